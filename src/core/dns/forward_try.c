// SPDX-License-Identifier: Apache-2.0
/* forward_try: whom a question is asked of next, and the query that is sent.
 *
 * A try that got no answer in time stays open until its question ends: an upstream that must ask far away may take longer than we wait
 * before we ask another one. */
#include "core/dns/forward_state.h"

#include <string.h>

static uint32_t draw(struct dns_forward *f)
{
	return f->io.random(f->io.arg);
}

/* Of `n`, evenly enough: n is small against 2^32. */
static unsigned draw_of(struct dns_forward *f, unsigned n)
{
	return (unsigned)((uint64_t)draw(f) * n >> 32);
}

static uint32_t place_of(const struct dns_forward *f, const struct question *q, const struct try *t)
{
	return (uint32_t)(q - f->questions) * TRIES + (uint32_t)(t - q->t);
}

struct try *forward_try_at(struct dns_forward *f, uint32_t at, struct question **q)
{
	*q = &f->questions[at / TRIES];
	return &(*q)->t[at % TRIES];
}

/* ---- whom to ask */

/* Up before down, then who was asked least; of those alike, the first from `from` on. */
static bool better(const struct dns_forward *f, const struct question *q, unsigned a, unsigned b)
{
	if (f->up[a].s.down != f->up[b].s.down)
		return !f->up[a].s.down;
	return q->tried[a] < q->tried[b];
}

/* NONE: there is no upstream, or each leads back to us. */
static unsigned choose(struct dns_forward *f, const struct question *q)
{
	unsigned n = f->conf.upstreams, from = 0, best = NONE;
	bool any_up = false;

	if (!n)
		return NONE;
	for (unsigned i = 0; i < n; i++)
		any_up |= !f->up[i].s.down && !f->up[i].s.looped;
	/* With all down health says nothing, so that each has its turn whatever the policy is. */
	if (!q->starts && !any_up)
		f->counts.all_down++;
	if (f->conf.policy == DNS_RANDOM && any_up)
		from = draw_of(f, n);
	else if (f->conf.policy == DNS_ROUND_ROBIN || !any_up)
		from = f->turn++ % n;
	for (unsigned i = 0; i < n; i++) {
		unsigned u = (from + i) % n;

		if (!f->up[u].s.looped && (best == NONE || better(f, q, u, best)))
			best = u;
	}
	return best;
}

bool forward_try_next(struct dns_forward *f, int64_t now, struct question *q)
{
	unsigned u = q->kind == FOR_CLIENTS ? choose(f, q) : q->only;

	return u != NONE && forward_try(f, now, q, u, false, false);
}

/* ---- the query */

void forward_mixed_name(const struct question *q, const struct try *t, struct dns_name *out)
{
	dns_name_copy(out, &q->q.name);
	for (unsigned i = 0; i < out->n; i++)
		if (t->mixed[i / 8] >> i % 8 & 1)
			out->v[i] = (uint8_t)(out->v[i] ^ 0x20);
}

static void mix(struct dns_forward *f, const struct question *q, struct try *t)
{
	uint32_t bits = 0;

	memset(t->mixed, 0, sizeof(t->mixed));
	if (!f->conf.mix_case)
		return;
	for (unsigned i = 0, drawn = 0; i < q->q.name.n; i++) {
		/* No length octet is a letter. */
		if (q->q.name.v[i] < 'a' || q->q.name.v[i] > 'z')
			continue;
		bits = drawn++ % 32 ? bits >> 1 : draw(f);
		if (bits & 1)
			t->mixed[i / 8] = (uint8_t)(t->mixed[i / 8] | 1u << i % 8);
	}
}

static bool is_taken(const struct dns_forward *f, const struct try *t)
{
	for (uint32_t at = f->by_id[t->id & f->mask]; at != NONE;) {
		const struct try *o = &f->questions[at / TRIES].t[at % TRIES];

		if (o->id == t->id && o->upstream == t->upstream && o->slot == t->slot)
			return true;
		at = o->hash_next;
	}
	return false;
}

/* Two queries that an answer could not tell apart would be one's answer for the other. */
static bool draw_id(struct dns_forward *f, struct try *t)
{
	for (unsigned i = 0; i < 64; i++) {
		t->id = (uint16_t)draw(f);
		t->slot = (uint16_t)draw_of(f, f->conf.slots);
		if (!is_taken(f, t))
			return true;
	}
	return false;
}

static void send(struct dns_forward *f, const struct question *q, struct try *t)
{
	struct dns_query out = {
		.id = t->id,
		.flags = (uint16_t)(DNS_RD | (q->q.checking_disabled ? DNS_CD : 0)),
		.type = q->q.type,
		.class = q->q.class,
		.edns = !t->plain,
		.dnssec_ok = q->q.dnssec_ok && !t->plain,
	};
	uint8_t v[DNS_UDP_MIN];
	size_t n;

	forward_mixed_name(q, t, &out.name);
	n = dns_query_write(v, &out);
	f->up[t->upstream].s.sent++;
	if (t->state == TRY_TCP) {
		f->counts.tcp++;
		f->io.tcp(t->upstream, t->serial * f->n_questions * TRIES + place_of(f, q, t), v, n,
			  f->io.arg);
	} else {
		f->counts.udp++;
		f->io.udp(t->upstream, t->slot, v, n, f->io.arg);
	}
}

bool forward_try(struct dns_forward *f, int64_t now, struct question *q, unsigned upstream,
		 bool tcp, bool plain)
{
	struct try *t = q->t;

	while (t < q->t + TRIES && t->state != TRY_FREE)
		t++;
	if (t == q->t + TRIES || q->starts == STARTS_MAX)
		return false;
	memset(t, 0, sizeof(*t));
	t->upstream = (uint8_t)upstream;
	t->plain = plain;
	if (!draw_id(f, t))
		return false;
	t->state = tcp ? TRY_TCP : TRY_UDP;
	/* The numbers of streams go round within 32 bits, whole turns of the places. */
	t->serial = f->serial++ % (UINT32_MAX / (f->n_questions * TRIES));
	t->sent_at = now;
	mix(f, q, t);
	t->hash_next = f->by_id[t->id & f->mask];
	f->by_id[t->id & f->mask] = place_of(f, q, t);
	q->starts++;
	q->tried[upstream]++;
	q->next_try = q->kind == FOR_CLIENTS ? now + f->conf.attempt_ms : INT64_MAX;
	forward_heap_moved(f, q);
	send(f, q, t);
	return true;
}

void forward_try_close(struct dns_forward *f, struct question *q, struct try *t, bool stream_too)
{
	uint32_t me = place_of(f, q, t), *p = &f->by_id[t->id & f->mask];
	struct question *other;

	while (*p != me)
		p = &forward_try_at(f, *p, &other)->hash_next;
	*p = t->hash_next;
	if (t->state == TRY_TCP && stream_too)
		f->io.close(t->serial * f->n_questions * TRIES + me, f->io.arg);
	t->state = TRY_FREE;
}

bool forward_any_open(const struct question *q)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (q->t[i].state != TRY_FREE)
			return true;
	return false;
}

static bool is_untried(const struct dns_forward *f, const struct question *q)
{
	for (unsigned i = 0; i < f->conf.upstreams && q->kind == FOR_CLIENTS; i++)
		if (!f->up[i].s.looped && !q->tried[i])
			return true;
	return false;
}

void forward_try_failed(struct dns_forward *f, int64_t now, struct question *q)
{
	if (is_untried(f, q) && forward_try_next(f, now, q))
		return;
	if (!forward_any_open(q))
		forward_fail(f, now, q);
}
