// SPDX-License-Identifier: Apache-2.0
/* forward: see forward.h. Here are the questions: how they begin, who waits for them, how they end. forward_try.c asks, forward_in.c reads
 * what comes back, forward_up.c knows the upstreams. */
#include "core/dns/forward_state.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFETCH_LIFE 10 /* seconds; what lives shorter is not worth it */

void dns_forward_defaults(struct dns_forward_conf *c)
{
	*c = (struct dns_forward_conf){ .slots = 16,
					.questions = 1024,
					.clients = 8192,
					.policy = DNS_RANDOM,
					.attempt_ms = 1500,
					.deadline_ms = 5000,
					.stale_ms = 1800,
					.max_fails = 2,
					.probe_ms = 500,
					.loop_ms = 30000,
					.failure_s = 1,
					.mix_case = true,
					.prefetch = true,
					.ttls = { 0, 3600, 0, 1800 },
					.probe_type = DNS_NS };
	dns_name_copy(&c->probe_name, &dns_root);
}

void dns_question_of(const struct dns_query *q, struct dns_question *out)
{
	dns_name_copy(&out->name, &q->lower);
	out->type = q->type;
	out->class = q->class;
	out->dnssec_ok = q->dnssec_ok;
	out->checking_disabled = q->flags & DNS_CD;
}

/* ---- one question */

static uint32_t bucket(const struct dns_forward *f, const struct dns_question *q)
{
	return (uint32_t)siphash(f->seed, q->name.v, q->name.n) & f->mask;
}

static struct question *find(const struct dns_forward *f, const struct dns_question *q)
{
	for (uint32_t i = f->by_question[bucket(f, q)]; i != NONE; i = f->questions[i].hash_next)
		if (dns_question_equal(&f->questions[i].q, q))
			return &f->questions[i];
	return NULL;
}

struct question *forward_begin(struct dns_forward *f, int64_t now, const struct dns_question *ask,
			       enum question_kind kind, unsigned only)
{
	struct question *q;
	uint32_t *head;

	if (kind == FOR_CLIENTS && f->counts.questions == f->conf.questions)
		return NULL;
	q = &f->questions[f->free_question];
	f->free_question = FREE_NEXT(f->free_question, q->hash_next);
	memset(q, 0, sizeof(*q));
	q->q = *ask;
	q->used = true;
	q->kind = (uint8_t)kind;
	q->only = (uint8_t)only;
	q->first = q->last = NONE;
	q->last_rcode = DNS_SERVFAIL;
	q->deadline = now + (kind == PROBE ? f->conf.attempt_ms : f->conf.deadline_ms);
	q->next_try = q->stale_at = INT64_MAX;
	if (kind == FOR_CLIENTS) {
		head = &f->by_question[bucket(f, ask)];
		q->hash_next = *head;
		*head = (uint32_t)(q - f->questions);
		f->counts.questions++;
	}
	forward_heap_add(f, q);
	return q;
}

static bool wait_for(struct dns_forward *f, struct question *q, uint64_t client)
{
	uint32_t i = f->free_waiter;

	if (i == f->conf.clients)
		return false;
	f->free_waiter = FREE_NEXT(i, f->waiters[i].next);
	f->waiters[i] = (struct waiter){ client, NONE };
	if (q->first == NONE)
		q->first = i;
	else
		f->waiters[q->last].next = i;
	q->last = i;
	f->counts.clients++;
	return true;
}

void forward_answer_waiters(struct dns_forward *f, struct question *q,
			    const struct dns_relay *answer)
{
	while (q->first != NONE) {
		struct waiter *w = &f->waiters[q->first];
		uint32_t i = q->first;

		q->first = w->next;
		w->next = FREE_LINK(i, f->free_waiter);
		f->free_waiter = i;
		f->counts.clients--;
		f->io.end(w->client, answer, f->io.arg);
	}
	q->last = NONE;
}

void forward_end(struct dns_forward *f, int64_t now, struct question *q,
		 const struct dns_relay *answer)
{
	uint32_t me = (uint32_t)(q - f->questions), *p;

	for (unsigned i = 0; i < TRIES; i++)
		if (q->t[i].state != TRY_FREE)
			forward_try_close(f, q, &q->t[i], true);
	forward_heap_remove(f, q);
	if (q->kind == FOR_CLIENTS) {
		p = &f->by_question[bucket(f, &q->q)];
		while (*p != me)
			p = &f->questions[*p].hash_next;
		*p = q->hash_next;
		f->counts.questions--;
		forward_answer_waiters(f, q, answer);
	} else {
		forward_probe_ended(f, now, q->only, q->kind);
	}
	q->used = false;
	q->hash_next = FREE_LINK(me, f->free_question);
	f->free_question = me;
}

static struct dns_relay relay_of(const struct dns_hit *hit, bool stale)
{
	return (struct dns_relay){ hit->v, hit->n, hit->age_s, stale };
}

void forward_fail(struct dns_forward *f, int64_t now, struct question *q)
{
	uint8_t failure[DNS_RELAY_FAILURE];
	struct dns_relay answer = { failure, sizeof(failure), 0, false };
	enum dns_cached cached;
	struct dns_hit hit;

	if (q->kind == FOR_CLIENTS) {
		f->counts.failed++;
		dns_relay_failure(q->last_rcode, failure);
		if (f->cache) {
			dns_cache_put_failure(f->cache, now, &q->q, failure, sizeof(failure),
					      f->conf.failure_s);
			cached = dns_cache_get(f->cache, now, &q->q, &hit);
			if (cached == DNS_STALE || cached == DNS_FAILED) {
				answer = relay_of(&hit, true);
				f->counts.stale += q->first != NONE;
			}
		}
	}
	forward_end(f, now, q, &answer);
}

/* ---- what clients ask */

static void prefetch(struct dns_forward *f, int64_t now, const struct dns_question *ask,
		     const struct dns_hit *hit)
{
	struct question *q;

	if (!f->conf.prefetch || hit->failed || hit->uses < 2 || hit->life_s < PREFETCH_LIFE ||
	    (hit->life_s - hit->age_s) * 10 > hit->life_s || find(f, ask))
		return;
	q = forward_begin(f, now, ask, FOR_CLIENTS, 0);
	if (!q)
		return;
	f->counts.prefetched++;
	/* It was not asked for, and what is there is good: no failure. */
	if (!forward_try_next(f, now, q))
		forward_end(f, now, q, NULL);
}

/* False: too many. */
static bool begin(struct dns_forward *f, int64_t now, const struct dns_question *ask,
		  uint64_t client, bool have_stale)
{
	struct question *q = NULL;

	if (f->free_waiter != f->conf.clients)
		q = forward_begin(f, now, ask, FOR_CLIENTS, 0);
	if (!q)
		return false;
	wait_for(f, q, client);
	if (have_stale && f->conf.stale_ms) {
		q->stale_at = now + f->conf.stale_ms;
		forward_heap_moved(f, q);
	}
	if (!forward_try_next(f, now, q))
		forward_fail(f, now, q);
	return true;
}

static enum dns_asked known(struct dns_forward *f, const struct dns_hit *hit, bool stale,
			    struct dns_relay *out)
{
	(*(stale ? &f->counts.stale : &f->counts.hits))++;
	*out = relay_of(hit, stale);
	return DNS_KNOWN;
}

enum dns_asked dns_forward_ask(struct dns_forward *f, int64_t now, const struct dns_question *ask,
			       bool recursive, uint64_t client, struct dns_relay *out,
			       unsigned *looped)
{
	enum dns_cached cached = DNS_MISS;
	struct question *q;
	struct dns_hit hit;

	f->counts.asked++;
	if (forward_is_loop(f, ask, looped)) {
		dns_forward_looped(f, now, *looped);
		return DNS_LOOP;
	}
	if (f->cache)
		cached = dns_cache_get(f->cache, now, ask, &hit);
	q = find(f, ask);
	if (cached == DNS_FRESH) {
		prefetch(f, now, ask, &hit);
		return known(f, &hit, false, out);
	}
	if (cached == DNS_FAILED || (cached == DNS_STALE && q && q->stale_given))
		return known(f, &hit, true, out);
	if (!recursive || !f->conf.upstreams || ask->type == DNS_AXFR || ask->type == DNS_IXFR) {
		f->counts.denied++;
		return DNS_DENIED;
	}
	if (q && wait_for(f, q, client)) {
		f->counts.joined++;
		return DNS_ASKED;
	}
	if (!q && begin(f, now, ask, client, cached == DNS_STALE))
		return DNS_ASKED;
	if (cached == DNS_STALE)
		return known(f, &hit, true, out);
	f->counts.busy++;
	return DNS_BUSY;
}

/* ---- times */

static void time_out_tries(struct dns_forward *f, int64_t now, struct question *q)
{
	for (struct try *t = q->t; t < q->t + TRIES; t++) {
		if (t->state == TRY_FREE || t->timed_out ||
		    now < t->sent_at + (int64_t)f->conf.attempt_ms)
			continue;
		t->timed_out = true;
		f->up[t->upstream].s.timeouts++;
		forward_up_failed(f, now, t->upstream);
	}
}

static void give_stale(struct dns_forward *f, int64_t now, struct question *q)
{
	enum dns_cached cached;
	struct dns_relay answer;
	struct dns_hit hit;

	q->stale_at = INT64_MAX;
	forward_heap_moved(f, q);
	cached = dns_cache_get(f->cache, now, &q->q, &hit);
	if (cached != DNS_STALE && cached != DNS_FAILED)
		return;
	q->stale_given = true;
	f->counts.stale += q->first != NONE;
	answer = relay_of(&hit, true);
	forward_answer_waiters(f, q, &answer);
}

void dns_forward_time(struct dns_forward *f, int64_t now)
{
	while (f->n_heap && f->questions[f->heap[0]].at <= now) {
		struct question *q = &f->questions[f->heap[0]];

		if (now >= q->deadline) {
			time_out_tries(f, now, q);
			forward_fail(f, now, q);
		} else if (now >= q->stale_at) {
			give_stale(f, now, q);
		} else {
			time_out_tries(f, now, q);
			q->next_try = INT64_MAX;
			forward_heap_moved(f, q);
			forward_try_next(f, now, q);
		}
	}
	forward_up_time(f, now);
}

int64_t dns_forward_at(const struct dns_forward *f)
{
	int64_t at = forward_up_at(f);

	return f->n_heap && f->questions[f->heap[0]].at < at ? f->questions[f->heap[0]].at : at;
}

void dns_forward_count(const struct dns_forward *f, struct dns_forward_counts *out)
{
	*out = f->counts;
}

void dns_forward_upstream(const struct dns_forward *f, unsigned upstream,
			  struct dns_upstream_state *out)
{
	*out = f->up[upstream].s;
}
