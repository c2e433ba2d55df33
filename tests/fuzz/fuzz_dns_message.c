/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages, and names as texts. A query: its answer fits, repeats the question octet for octet and is a response that we would take ourselves. A response:
 * each record that is written again reads the same. The first two octets say how long what is written may be.
 * Parser: core/dns/name.c core/dns/msg_query.c core/dns/msg_out.c core/dns/msg_names.c core/dns/response.c */
#include "core/dns/msg_names.h"
#include "core/dns/response.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint8_t written[DNS_MESSAGE_MAX];

/* A name survives its text, and is under each of its suffixes. */
static void check_name(const struct dns_name *n)
{
	const uint8_t *label[DNS_LABELS_MAX];
	unsigned labels = dns_name_labels(n, label);
	char text[DNS_NAME_TEXT];
	struct dns_name again, tail;
	bool fits;

	assert(n->n && !n->v[n->n - 1]);
	assert(!dns_name_parse(dns_name_text(n, text), &again, NULL));
	assert(again.n == n->n && !memcmp(again.v, n->v, n->n));
	dns_name_lower(&again);
	assert(dns_name_equal(&again, n) && dns_name_under(n, &again));
	for (unsigned i = 0; i < labels; i++) {
		tail.n = (uint8_t)(n->v + n->n - label[i]);
		memcpy(tail.v, label[i], tail.n);
		assert(dns_name_under(n, &tail) && dns_name_under(n, &dns_root));
		assert(dns_name_under(&tail, n) == !i);
		again = dns_root;
		assert(dns_name_put(&again, label[i] + 1, *label[i]));
		fits = again.n - 1 + tail.n <= DNS_NAME_MAX;
		assert(dns_name_join(&again, &tail) == fits);
	}
}

/* As a name that somebody configured. */
static void check_text(const uint8_t *p, size_t size)
{
	char text[DNS_NAME_TEXT];
	size_t n = size < sizeof(text) ? size : sizeof(text) - 1;
	struct dns_name name;
	struct err e;

	memcpy(text, p, n);
	text[n] = 0;
	if (!dns_name_parse(text, &name, &e))
		check_name(&name);
	else
		assert(e.code == -EINVAL && *e.text);
}

/* Some of each kind of record, with names that have much in common. */
static void answer(struct dns_out *o, const struct dns_query *q)
{
	struct dns_srv srv = { .port = 53 };
	struct dns_soa soa = { .serial = 1 };
	struct dns_name up;
	unsigned cut = q->lower.v[0] ? q->lower.v[0] + 1u : 0;

	up.n = (uint8_t)(q->lower.n - cut);
	memcpy(up.v, q->lower.v + cut, up.n);
	dns_name_copy(&soa.mname, &q->name);
	dns_name_copy(&soa.rname, &up);
	dns_out_cname(o, DNS_ANSWER, &q->name, 1, &up);
	for (uint8_t i = 0; i < 70; i++) {
		srv.target = dns_root;
		dns_name_put(&srv.target, &i, 1);
		dns_name_join(&srv.target, &up);
		dns_out_srv(o, DNS_ANSWER, &q->name, 2, &srv);
	}
	dns_out_txt(o, DNS_ANSWER, &up, 3, "text");
	dns_out_any(o, &q->name, 4);
	dns_out_soa(o, DNS_AUTHORITY, &up, 5, &soa);
	dns_out_ns(o, DNS_AUTHORITY, &up, 6, &q->lower);
	dns_out_ptr(o, DNS_AUTHORITY, &q->lower, 7, &srv.target);
	for (uint8_t i = 0; i < 4; i++) {
		dns_out_a(o, DNS_ADDITIONAL, &srv.target, 8, up.v);
		dns_out_aaaa(o, DNS_ADDITIONAL, &srv.target, 9, q->lower.v);
	}
}

static void check_query(const uint8_t *p, size_t size, size_t cap)
{
	struct dns_query q, again;
	struct dns_response r;
	struct dns_out o;
	uint8_t ours[DNS_UDP_MIN];
	int rcode = dns_query_read(p, size, &q);
	size_t n;

	if (rcode < 0) {
		assert(rcode == -EBADMSG);
		return;
	}
	assert(q.udp_size >= DNS_UDP_MIN && dns_query_limit(&q, false, 1232) <= 1232);
	dns_out_begin(&o, written, cap, &q, DNS_AA);
	if (!rcode)
		answer(&o, &q);
	n = dns_out_end(&o, rcode);
	assert(n <= cap && !dns_response_read(written, n, &r));
	assert(r.id == q.id && r.edns == q.edns && r.question == !!q.question_len);
	assert(r.rcode == rcode && !((r.flags ^ q.flags) & (DNS_RD | DNS_CD)));
	if (!q.question_len)
		return;
	assert(!memcmp(written + DNS_HEADER, p + DNS_HEADER, q.question_len));
	check_name(&q.name);
	assert(!dns_query_read(ours, dns_query_write(ours, &q), &again) ==
	       (q.class == 1 || q.class == 3));
	assert(again.name.n == q.name.n && !memcmp(again.name.v, q.name.v, q.name.n));
}

/* The data again, names as the type lets them be. */
static void copy_data(struct dns_out *o, const struct dns_response *r, const struct dns_record *rec)
{
	const struct dns_data_form *f = dns_data_form(rec->type);
	size_t at = rec->data;
	struct dns_name name;

	if (!f) {
		dns_out_put(o, r->p + at, rec->len);
		return;
	}
	dns_out_put(o, r->p + at, f->before);
	at += f->before;
	for (int i = 0; i < f->names; i++) {
		assert(!dns_name_read(r->p, r->n, &at, &name));
		dns_out_put_name(o, &name, f->compress);
	}
	assert(at + f->after == rec->data + rec->len);
	dns_out_put(o, r->p + at, f->after);
}

static void check_data(const struct dns_response *r, const struct dns_record *a,
		       const struct dns_response *again, const struct dns_record *b)
{
	const struct dns_data_form *f = dns_data_form(a->type);
	size_t at = a->data, bt = b->data;
	struct dns_name x, y;

	if (!f) {
		assert(a->len == b->len && !memcmp(r->p + at, again->p + bt, a->len));
		return;
	}
	assert(!memcmp(r->p + at, again->p + bt, f->before));
	at += f->before;
	bt += f->before;
	for (int i = 0; i < f->names; i++) {
		assert(!dns_name_read(r->p, r->n, &at, &x) &&
		       !dns_name_read(again->p, again->n, &bt, &y));
		assert(x.n == y.n && !memcmp(x.v, y.v, x.n));
	}
	assert(!memcmp(r->p + at, again->p + bt, f->after));
}

static void check_response(const uint8_t *p, size_t size, size_t cap)
{
	struct dns_response r, again;
	struct dns_record a, b;
	struct dns_out_record rec;
	struct dns_walk w, v;
	struct dns_query q = { 0 };
	struct dns_out o;
	unsigned records = 0;

	if (dns_response_read(p, size, &r))
		return;
	q.class = DNS_IN;
	q.name = q.lower = dns_root;
	if (r.question) {
		q.name = r.name;
		q.question_len = (uint16_t)(r.name.n + 4);
	}
	dns_out_begin(&o, written, cap, &q, 0);
	for (w = dns_walk_begin(&r); dns_walk_next(&w, &a); records++) {
		check_name(&a.owner);
		if (a.type == DNS_OPT || (a.type == DNS_A && a.class != DNS_IN) ||
		    !dns_out_record_begin(&o, &rec, a.section, &a.owner, a.type, a.ttl))
			continue;
		copy_data(&o, &r, &a);
		dns_out_record_end(&o, &rec);
	}
	assert(records == (unsigned)r.count[0] + r.count[1] + r.count[2]);
	assert(!dns_response_read(written, dns_out_end(&o, 0), &again));
	w = dns_walk_begin(&r);
	for (v = dns_walk_begin(&again); dns_walk_next(&v, &b);) {
		do
			assert(dns_walk_next(&w, &a));
		while (a.type == DNS_OPT || (a.type == DNS_A && a.class != DNS_IN));
		assert(a.section == b.section && a.type == b.type && a.ttl == b.ttl);
		assert(a.owner.n == b.owner.n && !memcmp(a.owner.v, b.owner.v, a.owner.n));
		check_data(&r, &a, &again, &b);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cap;
	int frame;

	if (size < 2)
		return 0;
	cap = DNS_UDP_MIN + (size_t)(data[0] << 8 | data[1]);
	if (cap > sizeof(written))
		cap = sizeof(written);
	data += 2;
	size -= 2;
	frame = dns_frame_next(data, size);
	assert(frame == -EBADMSG || frame == 0 || (size_t)frame <= size);
	if (frame > 0) {
		dns_frame_put(written, (size_t)frame - DNS_FRAME);
		assert(!memcmp(written, data, DNS_FRAME));
	}
	check_text(data, size);
	check_query(data, size, cap);
	check_response(data, size, cap);
	return 0;
}
