// SPDX-License-Identifier: Apache-2.0
/* forward_new: a forwarder's making, with all memory that it ever uses, and its end. */
#include "core/dns/forward_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *fault(const struct dns_forward_conf *c)
{
	if (c->upstreams > DNS_UPSTREAMS_MAX)
		return "upstreams";
	if (!c->slots || c->slots > DNS_SLOTS_MAX)
		return "slots";
	if (!c->questions || c->questions > DNS_QUESTIONS_MAX)
		return "questions";
	if (!c->clients || c->clients >= NONE)
		return "clients";
	if (!c->attempt_ms || !c->deadline_ms || !c->probe_ms || !c->loop_ms)
		return "a time of 0";
	if (c->failure_s > 5)
		return "failure_s";
	if (c->ttls.min > c->ttls.max || c->ttls.negative_min > c->ttls.negative_max)
		return "ttls";
	return NULL;
}

struct dns_forward *dns_forward_new(const struct dns_forward_conf *c,
				    const struct dns_forward_io *io, struct dns_cache *cache,
				    int64_t now_ms, struct err *e)
{
	const char *why = fault(c);
	struct dns_forward *f;

	if (why) {
		err_set(e, -EINVAL, "forwarder: %s", why);
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		goto no_memory;
	f->conf = *c;
	f->io = *io;
	f->cache = cache;
	/* Each upstream may have one of both probes out besides. */
	f->n_questions = c->questions + 2 * c->upstreams;
	for (f->mask = 256; f->mask < f->n_questions; f->mask *= 2)
		;
	f->questions = calloc(f->n_questions, sizeof(*f->questions));
	f->waiters = calloc(c->clients, sizeof(*f->waiters));
	f->heap = calloc(f->n_questions, sizeof(*f->heap));
	f->by_question = calloc(f->mask, sizeof(*f->by_question));
	f->by_id = calloc(f->mask, sizeof(*f->by_id));
	f->mask--;
	if (!f->questions || !f->waiters || !f->heap || !f->by_question || !f->by_id)
		goto no_memory;
	memset(f->by_question, 0xff, (f->mask + 1) * sizeof(*f->by_question));
	memset(f->by_id, 0xff, (f->mask + 1) * sizeof(*f->by_id));
	for (unsigned i = 0; i < 4; i++)
		f->seed[i / 2] = f->seed[i / 2] << 32 | io->random(io->arg);
	for (unsigned i = 0; i < c->upstreams; i++) {
		f->up[i].probe_at = INT64_MAX;
		f->up[i].loop_at = now_ms;
	}
	return f;
no_memory:
	if (f)
		f->n_questions = 0;
	dns_forward_free(f);
	err_set(e, -ENOMEM, "no memory for a forwarder");
	return NULL;
}

void dns_forward_free(struct dns_forward *f)
{
	uint8_t failure[DNS_RELAY_FAILURE];
	struct dns_relay answer = { failure, sizeof(failure), 0, false };

	if (!f)
		return;
	dns_relay_failure(DNS_SERVFAIL, failure);
	for (uint32_t i = 0; i < f->n_questions; i++)
		if (f->questions[i].used)
			forward_end(f, 0, &f->questions[i], &answer);
	free(f->questions);
	free(f->waiters);
	free(f->heap);
	free(f->by_question);
	free(f->by_id);
	free(f);
}
