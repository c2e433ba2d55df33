// SPDX-License-Identifier: Apache-2.0
/* forward_in: what comes back. RFC 5452 9.1: an answer must have the query's question, id, address and port, else it is as if it had not
 * come. That over TCP has the connection instead of the port, and the letters' case need not be right there: nobody else can write into it. */
#include "core/dns/forward_state.h"
#include "core/dns/octets.h"

static void odd(struct dns_forward *f, enum dns_odd what)
{
	f->counts.odd[what]++;
}

static bool is_response(const uint8_t *v, size_t n)
{
	return n >= DNS_HEADER && dns_get16(v + 2) & DNS_QR &&
	       DNS_OPCODE(dns_get16(v + 2)) == DNS_QUERY;
}

/* The question is the try's, or *why says in what it differs. */
static bool question_is(const struct dns_forward *f, const struct question *q, const struct try *t,
			const uint8_t *v, size_t n, enum dns_odd *why)
{
	struct dns_name sent, got;
	size_t at = DNS_HEADER;

	*why = DNS_ODD_FORM;
	if (dns_get16(v + 4) != 1 || dns_name_read(v, n, &at, &got) || n - at < 4)
		return false;
	forward_mixed_name(q, t, &sent);
	*why = DNS_ODD_QUESTION;
	if (!dns_name_equal(&sent, &got) || dns_get16(v + at) != q->q.type ||
	    dns_get16(v + at + 2) != q->q.class)
		return false;
	*why = DNS_ODD_CASE;
	if (!f->conf.mix_case || t->state == TRY_TCP)
		return true;
	for (unsigned i = 0; i < sent.n; i++)
		if (sent.v[i] != got.v[i])
			return false;
	return true;
}

static void answered(struct dns_forward *f, int64_t now, struct try *t, unsigned rcode)
{
	forward_up_answered(f, now, t->upstream);
	f->io.answered(t->upstream, rcode, (unsigned)(now - t->sent_at), f->io.arg);
}

/* The same upstream, another way: what it said shows that it lives. */
static void ask_again(struct dns_forward *f, int64_t now, struct question *q, struct try *t,
		      bool tcp, bool plain)
{
	unsigned upstream = t->upstream;

	forward_try_close(f, q, t, false);
	if (!forward_try(f, now, q, upstream, tcp, plain))
		forward_try_failed(f, now, q);
}

static void failed(struct dns_forward *f, int64_t now, struct question *q, struct try *t,
		   unsigned rcode)
{
	/* A code of more than four bits is about the EDNS between us and the upstream. */
	q->last_rcode = rcode < 16 && rcode != DNS_NOERROR ? (uint8_t)rcode : DNS_SERVFAIL;
	forward_try_close(f, q, t, false);
	forward_try_failed(f, now, q);
}

static void use(struct dns_forward *f, int64_t now, struct question *q, struct try *t,
		const uint8_t *v, size_t n)
{
	struct dns_relay answer = { .v = f->relay };
	struct dns_response msg;
	struct dns_relayed r;

	if (dns_get16(v + 2) & DNS_TC && t->state == TRY_UDP) {
		ask_again(f, now, q, t, true, t->plain);
		return;
	}
	if (dns_get16(v + 2) & DNS_TC || dns_response_read(v, n, &msg) ||
	    dns_relay_read(&msg, &q->q, &f->conf.ttls, f->relay, &r)) {
		odd(f, DNS_ODD_RECORDS);
		failed(f, now, q, t, DNS_SERVFAIL);
		return;
	}
	if (!t->plain &&
	    (r.rcode == DNS_FORMERR || r.rcode == DNS_NOTIMP || r.rcode == DNS_BADVERS)) {
		ask_again(f, now, q, t, t->state == TRY_TCP, true);
		return;
	}
	if (r.rcode != DNS_NOERROR && r.rcode != DNS_NXDOMAIN) {
		failed(f, now, q, t, r.rcode);
		return;
	}
	f->counts.dropped_records += r.dropped;
	if (f->cache)
		dns_cache_put(f->cache, now, &q->q, f->relay, r.n, r.life_s, r.negative);
	answer.n = r.n;
	forward_try_close(f, q, t, false);
	forward_end(f, now, q, &answer);
}

static bool has_stream(const struct question *q, unsigned upstream)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (q->t[i].state == TRY_TCP && q->t[i].upstream == upstream)
			return true;
	return false;
}

static void receive(struct dns_forward *f, int64_t now, struct question *q, struct try *t,
		    const uint8_t *v, size_t n)
{
	unsigned rcode = DNS_RCODE(dns_get16(v + 2));
	enum dns_odd why;

	/* A server that knows no EDNS need not repeat the question. */
	if (rcode == DNS_FORMERR && !dns_get16(v + 4) && !t->plain) {
		answered(f, now, t, rcode);
		ask_again(f, now, q, t, t->state == TRY_TCP, true);
		return;
	}
	if (!question_is(f, q, t, v, n, &why)) {
		odd(f, why);
		/* The try stays: if somebody guessed, the true answer is on its way. */
		if (why == DNS_ODD_CASE && !has_stream(q, t->upstream))
			forward_try(f, now, q, t->upstream, true, t->plain);
		return;
	}
	answered(f, now, t, rcode);
	if (q->kind != FOR_CLIENTS) {
		forward_try_close(f, q, t, false);
		forward_end(f, now, q, NULL);
		return;
	}
	use(f, now, q, t, v, n);
}

void dns_forward_udp(struct dns_forward *f, int64_t now, unsigned upstream, unsigned slot,
		     const uint8_t *v, size_t n)
{
	enum dns_odd why = DNS_ODD_ID;
	struct question *q;
	struct try *t;
	uint16_t id;

	if (!is_response(v, n)) {
		odd(f, DNS_ODD_FORM);
		return;
	}
	id = dns_get16(v);
	for (uint32_t at = f->by_id[id & f->mask]; at != NONE; at = t->hash_next) {
		t = forward_try_at(f, at, &q);
		if (t->id != id || t->state != TRY_UDP)
			continue;
		if (t->upstream == upstream && t->slot == slot) {
			receive(f, now, q, t, v, n);
			return;
		}
		if (t->upstream == upstream)
			why = DNS_ODD_SLOT;
		else if (why == DNS_ODD_ID)
			why = DNS_ODD_UPSTREAM;
	}
	odd(f, why);
}

/* ---- streams */

static struct try *of_stream(struct dns_forward *f, uint32_t stream, struct question **q)
{
	uint32_t places = f->n_questions * TRIES;
	struct try *t = places ? forward_try_at(f, stream % places, q) : NULL;

	return t && t->state == TRY_TCP && t->serial == stream / places ? t : NULL;
}

void dns_forward_tcp(struct dns_forward *f, int64_t now, uint32_t stream, const uint8_t *v,
		     size_t n)
{
	struct question *q;
	struct try *t = of_stream(f, stream, &q);

	if (!is_response(v, n))
		odd(f, DNS_ODD_FORM);
	else if (!t || t->id != dns_get16(v))
		odd(f, DNS_ODD_ID);
	else
		receive(f, now, q, t, v, n);
}

void dns_forward_tcp_failed(struct dns_forward *f, int64_t now, uint32_t stream)
{
	struct question *q;
	struct try *t = of_stream(f, stream, &q);

	if (!t)
		return;
	f->up[t->upstream].s.unreachable++;
	forward_up_failed(f, now, t->upstream);
	forward_try_close(f, q, t, false);
	forward_try_failed(f, now, q);
}

void dns_forward_unreachable(struct dns_forward *f, int64_t now, unsigned upstream, unsigned slot)
{
	bool any = false;

	for (uint32_t i = 0; i < f->n_questions; i++) {
		struct question *q = &f->questions[i];
		bool hit = false;

		for (struct try *t = q->t; t < q->t + TRIES && q->used; t++) {
			if (t->state != TRY_UDP || t->upstream != upstream || t->slot != slot)
				continue;
			forward_try_close(f, q, t, false);
			hit = true;
		}
		if (hit && !any) {
			f->up[upstream].s.unreachable++;
			forward_up_failed(f, now, upstream);
		}
		any |= hit;
		if (hit)
			forward_try_failed(f, now, q);
	}
}
