// SPDX-License-Identifier: Apache-2.0
/* relay: see relay.h. The form that is kept: a code, flags and the number of records; then each record as section, owner (a length and its
 * octets, 0: the name that was asked), type, class, TTL, length and data with whole names. relay_write.c makes messages of it. */
#include "core/dns/relay.h"

#include "core/dns/octets.h"

#include <errno.h>
#include <string.h>

/* Types that msg.h does without. */
enum { RRSIG = 46, NSEC = 47, NSEC3 = 50 };

#define SIGNER      18 /* octets of an RRSIG before its signer's name (RFC 4034 3.1) */
#define CHAIN_MAX   16 /* CNAMEs on end; more is a loop or a prank */
#define TARGETS_MAX 32

struct message {
	const struct dns_response *r;
	const struct dns_question *q;
	struct dns_name chain[1 + CHAIN_MAX]; /* what was asked, and where it led */
	unsigned n_chain;
	struct dns_name zone; /* one that signs or serves a name of the chain; n 0: none is known */
	struct dns_name target[TARGETS_MAX];
	unsigned n_targets;
};

static bool next(struct dns_walk *w, struct dns_record *rr)
{
	if (!dns_walk_next(w, rr))
		return false;
	dns_name_lower(&rr->owner);
	/* RFC 2181 8. */
	if (rr->ttl > INT32_MAX)
		rr->ttl = 0;
	return true;
}

/* A name at `skip` octets of the data, within it. */
static bool data_name(const struct message *m, const struct dns_record *rr, size_t skip,
		      struct dns_name *out)
{
	size_t at = rr->data + skip;

	if (skip > rr->len || dns_name_read(m->r->p, rr->data + rr->len, &at, out))
		return false;
	dns_name_lower(out);
	return true;
}

static bool on_chain(const struct message *m, const struct dns_name *n)
{
	for (unsigned i = 0; i < m->n_chain; i++)
		if (dns_name_equal(&m->chain[i], n))
			return true;
	return false;
}

static bool above_chain(const struct message *m, const struct dns_name *zone)
{
	for (unsigned i = 0; i < m->n_chain; i++)
		if (dns_name_under(&m->chain[i], zone))
			return true;
	return false;
}

/* ---- what belongs to the answer */

/* Follows CNAMEs in whatever order they stand. -EBADMSG: in a circle, or too far. */
static int find_chain(struct message *m)
{
	bool grew = m->q->type != DNS_CNAME && m->q->type != DNS_ANY;
	struct dns_record rr;
	struct dns_name to;

	dns_name_copy(&m->chain[0], &m->q->name);
	m->n_chain = 1;
	while (grew) {
		struct dns_walk w = dns_walk_begin(m->r);

		grew = false;
		while (next(&w, &rr) && rr.section == DNS_ANSWER) {
			if (rr.type != DNS_CNAME || rr.class != m->q->class ||
			    !dns_name_equal(&rr.owner, &m->chain[m->n_chain - 1]))
				continue;
			if (!data_name(m, &rr, 0, &to) || on_chain(m, &to) ||
			    m->n_chain > CHAIN_MAX)
				return -EBADMSG;
			dns_name_copy(&m->chain[m->n_chain++], &to);
			grew = true;
		}
	}
	return 0;
}

static bool is_proof(const struct dns_record *rr)
{
	return rr->type == RRSIG || rr->type == NSEC || rr->type == NSEC3;
}

static bool answers(const struct message *m, const struct dns_record *rr)
{
	if (rr->type == DNS_DNAME && m->q->type != DNS_DNAME)
		return above_chain(m, &rr->owner);
	if (rr->type == RRSIG && m->q->type != RRSIG)
		return m->q->dnssec_ok && (on_chain(m, &rr->owner) || above_chain(m, &rr->owner));
	if (!on_chain(m, &rr->owner))
		return false;
	return rr->type == m->q->type || m->q->type == DNS_ANY ||
	       (rr->type == DNS_CNAME && !dns_name_equal(&rr->owner, &m->chain[m->n_chain - 1]));
}

static bool is_target(const struct message *m, const struct dns_name *n)
{
	for (unsigned i = 0; i < m->n_targets; i++)
		if (dns_name_equal(&m->target[i], n))
			return true;
	return false;
}

static bool belongs(const struct message *m, const struct dns_record *rr)
{
	if (rr->class != m->q->class)
		return false;
	switch (rr->section) {
	case DNS_ANSWER:
		return answers(m, rr);
	case DNS_AUTHORITY:
		if (rr->type == DNS_SOA || rr->type == DNS_NS)
			return above_chain(m, &rr->owner);
		return m->q->dnssec_ok && is_proof(rr) && m->zone.n &&
		       dns_name_under(&rr->owner, &m->zone);
	default:
		return (rr->type == DNS_A || rr->type == DNS_AAAA) && is_target(m, &rr->owner);
	}
}

static void remember_target(struct message *m, const struct dns_record *rr)
{
	size_t skip = rr->type == DNS_SRV ? 6 : rr->type == DNS_MX ? 2 : 0;
	struct dns_name name;

	if (rr->section != DNS_ANSWER || m->n_targets == TARGETS_MAX ||
	    (rr->type != DNS_SRV && rr->type != DNS_MX && rr->type != DNS_NS))
		return;
	if (data_name(m, rr, skip, &name))
		dns_name_copy(&m->target[m->n_targets++], &name);
}

/* The zone whose proofs are believed to be of this answer: its SOA's or NS' owner, else a signer. */
static void find_zone(struct message *m)
{
	struct dns_walk w = dns_walk_begin(m->r);
	struct dns_name signer;
	struct dns_record rr;

	while (next(&w, &rr) && rr.section < DNS_ADDITIONAL) {
		if (rr.section == DNS_AUTHORITY && (rr.type == DNS_SOA || rr.type == DNS_NS) &&
		    above_chain(m, &rr.owner)) {
			dns_name_copy(&m->zone, &rr.owner);
			return;
		}
		if (!m->zone.n && rr.type == RRSIG && data_name(m, &rr, SIGNER, &signer) &&
		    above_chain(m, &signer))
			dns_name_copy(&m->zone, &signer);
	}
}

/* ---- writing it down */

struct writer {
	uint8_t *v;
	size_t n;
	bool full;
};

static void put(struct writer *w, const void *p, size_t n)
{
	if (w->full || DNS_RELAY_MAX - w->n < n) {
		w->full = true;
		return;
	}
	memcpy(w->v + w->n, p, n);
	w->n += n;
}

static void put_n(struct writer *w, uint32_t v, unsigned octets)
{
	uint8_t p[4];

	for (unsigned i = 0; i < octets; i++)
		p[i] = (uint8_t)(v >> 8 * (octets - 1 - i));
	put(w, p, octets);
}

/* The data with whole names; that they are there, dns_response_read() has seen. */
static void put_data(struct writer *w, const struct message *m, const struct dns_record *rr)
{
	const struct dns_data_form *form = dns_data_form(rr->type);
	const uint8_t *p = m->r->p;
	size_t len_at = w->n, at = rr->data;
	struct dns_name name;

	put_n(w, rr->len, 2);
	if (!form) {
		put(w, p + at, rr->len);
		return;
	}
	put(w, p + at, form->before);
	at += form->before;
	for (unsigned k = 0; k < form->names && !dns_name_read(p, m->r->n, &at, &name); k++)
		put(w, name.v, name.n);
	put(w, p + at, form->after);
	if (!w->full)
		dns_set16(w->v + len_at, (uint16_t)(w->n - len_at - 2));
}

static void put_record(struct writer *w, const struct message *m, const struct dns_record *rr,
		       uint32_t ttl)
{
	put_n(w, rr->section, 1);
	if (dns_name_equal(&rr->owner, &m->q->name)) {
		put_n(w, 0, 1);
	} else {
		put_n(w, rr->owner.n, 1);
		put(w, rr->owner.v, rr->owner.n);
	}
	put_n(w, rr->type, 2);
	put_n(w, rr->class, 2);
	put_n(w, ttl, 4);
	put_data(w, m, rr);
}

/* ---- how long it lives */

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

struct lives {
	uint32_t answer, soa; /* the shortest of each; UINT32_MAX: there is none */
	bool asked;           /* a record of the type that was asked is there */
};

static uint32_t judge_ttl(const struct message *m, const struct dns_record *rr,
			  const struct dns_ttls *t, struct lives *l)
{
	uint32_t ttl = clamp(rr->ttl, t->min, t->max);

	if (rr->section == DNS_ANSWER) {
		l->asked |= rr->type == m->q->type || m->q->type == DNS_ANY;
		if (ttl < l->answer)
			l->answer = ttl;
	} else if (rr->section == DNS_AUTHORITY && rr->type == DNS_SOA) {
		uint32_t minimum = dns_get32(m->r->p + rr->data + rr->len - 4);

		ttl = clamp(minimum < rr->ttl ? minimum : rr->ttl, t->negative_min,
			    t->negative_max);
		if (ttl < l->soa)
			l->soa = ttl;
	}
	return ttl;
}

static void judge_life(const struct lives *l, struct dns_relayed *r)
{
	r->negative = r->rcode == DNS_NXDOMAIN || !l->asked;
	if (r->rcode != DNS_NOERROR && r->rcode != DNS_NXDOMAIN)
		r->life_s = 0;
	else if (!r->negative)
		r->life_s = l->answer;
	else
		r->life_s = l->soa == UINT32_MAX ? 0 : l->soa < l->answer ? l->soa : l->answer;
}

int dns_relay_read(const struct dns_response *msg, const struct dns_question *q,
		   const struct dns_ttls *t, uint8_t out[DNS_RELAY_MAX], struct dns_relayed *r)
{
	struct message m = { .r = msg, .q = q };
	struct writer w = { .v = out };
	struct lives lives = { UINT32_MAX, UINT32_MAX, false };
	struct dns_walk at = dns_walk_begin(msg);
	unsigned records = 0;
	struct dns_record rr;

	memset(r, 0, sizeof(*r));
	r->rcode = msg->rcode;
	if (find_chain(&m))
		return -EBADMSG;
	find_zone(&m);
	put_n(&w, 0, 4);
	while (next(&at, &rr)) {
		if (rr.type == DNS_OPT)
			continue;
		if (!belongs(&m, &rr)) {
			r->dropped++;
			continue;
		}
		put_record(&w, &m, &rr, judge_ttl(&m, &rr, t, &lives));
		remember_target(&m, &rr);
		records++;
	}
	if (w.full)
		return -EBADMSG;
	out[0] = (uint8_t)r->rcode;
	out[1] = msg->flags & DNS_AD;
	dns_set16(out + 2, (uint16_t)records);
	judge_life(&lives, r);
	r->n = w.n;
	return 0;
}
