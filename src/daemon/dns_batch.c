// SPDX-License-Identifier: Apache-2.0
/* The memory of a worker's batch: its own until the keeper gives some that outlives the process. What is found in that is of the
 * process before it, the same user's, and its lengths are judged before they are used (dns_udp_resume()). */
#include "daemon/dns_worker.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct dns_batch) <= (size_t)DNS_BATCH_KIB << 10, "room for a batch");

int dns_batch_make(struct dns_worker *w)
{
	w->batch = calloc(1, sizeof(*w->batch));
	return w->batch ? 0 : -ENOMEM;
}

void dns_batch_free(struct dns_worker *w)
{
	if (!w->kept.p)
		free(w->batch);
	shm_free(&w->kept);
	w->batch = NULL;
}

void dns_worker_keep(struct dns *d, unsigned worker, int fd)
{
	struct dns_worker *w = &d->workers[worker];
	struct shm m;
	struct err e;

	if (shm_take(&m, fd, (size_t)DNS_BATCH_KIB << 10, true, &e)) {
		log_error("%s", e.text);
		return;
	}
	pthread_mutex_lock(&w->lock);
	dns_batch_free(w);
	w->kept = m;
	w->batch = m.p;
	pthread_mutex_unlock(&w->lock);
}
