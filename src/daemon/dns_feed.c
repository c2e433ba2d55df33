// SPDX-License-Identifier: Apache-2.0
/* Which table the workers answer from, and its change. Each worker goes over to the next one between two turns of its loop, so that no query sees
 * both or none; a table that was left is let go of when the last worker says that it is there. */
#include "daemon/dns_worker.h"

#include "sys/clock.h"

#include <errno.h>

/* A table that no worker is over at yet is left, too. */
void dns_feed_leave(struct dns *d, struct dns_feed *f)
{
	if (atomic_fetch_sub(&f->users, 1) == 1)
		ev_async_send(d->role->loop, &d->left);
}

int dns_feed_use(struct dns *d, struct dns_feed *f, struct err *e)
{
	struct dns_view v[DNS_TABLE_READERS + 1] = { 0 };
	unsigned n = 0;
	int rc = 0;

	while (n < d->n_workers && !rc) {
		rc = dns_view_attach(&v[n], f->region, f->size, f->readers, e);
		if (!rc)
			rc = dns_view_claim(&v[n], d->reader, e);
		n += !rc;
	}
	while (rc && n)
		dns_view_release(&v[--n]);
	if (rc)
		return rc;
	/* One more is ours, until the next. */
	atomic_store(&f->users, d->n_workers + 1);
	f->since_ns = clock_mono_ns();
	f->next = d->feed;
	d->feed = f;
	for (unsigned i = 0; i < n; i++)
		dns_worker_view(&d->workers[i], f, &v[i]);
	if (f->next)
		dns_feed_leave(d, f->next);
	return 0;
}

/* Those that nobody reads any more, `current`: that too. */
static void sweep(struct dns *d, bool current)
{
	struct dns_feed **at = &d->feed;

	while (*at) {
		struct dns_feed *f = *at;

		if (!current && atomic_load(&f->users)) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		f->unused(f);
	}
}

static void on_left(struct ev_loop *loop, ev_async *a, int events)
{
	(void)loop;
	(void)events;
	sweep(a->data, false);
}

void dns_feed_open(struct dns *d)
{
	do
		random_bytes(&d->reader, sizeof(d->reader));
	while (!d->reader);
	ev_async_init(&d->left, on_left);
	d->left.data = d;
	ev_async_start(d->role->loop, &d->left);
}

void dns_feed_close(struct dns *d)
{
	sweep(d, true);
	ev_async_stop(d->role->loop, &d->left);
}
