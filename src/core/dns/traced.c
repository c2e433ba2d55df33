// SPDX-License-Identifier: Apache-2.0
/* traced: see traced.h. A query begins with id, flags and counts, of which only the id's 16 bits are free: too few to tell one from a busy
 * node's others while it is looked for. A client cookie (RFC 7873 4) has 64 that the client draws at random, every server takes it or
 * passes it over, and its place follows from the name's length alone, as it is the first option of the only additional record. */
#include "core/dns/traced.h"

#include "core/dns/words.h"

#include <errno.h>
#include <string.h>

#define UDP_HEADER  8
#define OPT_HEADER  11 /* root, type, size, flags, length */
#define OPTION_HEAD 4
#define COOKIE      10
#define COOKIE_LEN  8

int dns_traced_question(const struct packet_trace *t, struct dns_query *out, struct err *e)
{
	const char *type = t->spec.query.type ? t->spec.query.type : "";

	*out = (struct dns_query){ .id = (uint16_t)((uint64_t)t->spec.signature >> 48),
				   .flags = DNS_RD,
				   .class = DNS_IN,
				   .udp_size = DNS_UDP_SIZE,
				   .edns = true };
	if (dns_name_parse(t->spec.query.name ? t->spec.query.name : "", &out->name, e))
		return e->code;
	if (out->name.n > DNS_TRACED_NAME_MAX)
		return err_set(e, -EINVAL, "%s: a name of %u octets; %d at most can be followed",
			       t->spec.query.name, out->name.n, DNS_TRACED_NAME_MAX);
	out->type = dns_type_parse(type);
	if (!out->type)
		return err_set(e, -EINVAL, "\"%s\" is no type of records", type);
	dns_name_copy(&out->lower, &out->name);
	dns_name_lower(&out->lower);
	out->question_len = (uint16_t)(out->name.n + 4);
	return 0;
}

int dns_traced_write(const struct packet_trace *t, uint8_t out[DNS_UDP_MIN], struct err *e)
{
	struct dns_query q;
	int rc = dns_traced_question(t, &q, e);
	uint8_t *p;
	size_t n;

	if (rc)
		return rc;
	n = dns_query_write(out, &q);
	out[n - 1] = OPTION_HEAD + COOKIE_LEN; /* the length of OPT's data ends the message */
	p = out + n;
	*p++ = 0;
	*p++ = COOKIE;
	*p++ = 0;
	*p++ = COOKIE_LEN;
	for (int shift = 56; shift >= 0; shift -= 8)
		*p++ = (uint8_t)((uint64_t)t->spec.signature >> shift);
	return (int)(p - out);
}

uint8_t dns_traced_place(const struct packet_trace *t)
{
	struct dns_query q;
	struct err e;

	if (!t->spec.query.name || t->spec.protocol != TRACE_UDP || dns_traced_question(t, &q, &e))
		return 0;
	return (uint8_t)(UDP_HEADER + DNS_HEADER + q.question_len + OPT_HEADER + OPTION_HEAD);
}

static const char *record_text(const struct dns_walk *w, const struct dns_record *r,
			       struct arena *a)
{
	char name[DNS_NAME_TEXT], type[16];
	struct buf b = { 0 };
	const char *text;

	buf_printf(&b, "%s %u %s ", dns_name_text(&r->owner, name), r->ttl,
		   dns_type_text(r->type, type));
	dns_data_text(&b, w, r);
	text = b.failed ? NULL : arena_strdup(a, b.v);
	buf_fini(&b);
	return text;
}

int dns_traced_read(const uint8_t *p, size_t n, struct arena *a, struct trace_response *out)
{
	struct dns_response r;
	struct dns_record record;
	struct dns_walk w;
	char code[16];

	if (dns_response_read(p, n, &r))
		return -EBADMSG;
	*out = (struct trace_response){ .rcode = arena_strdup(a, dns_rcode_text(r.rcode, code)),
					.truncated = r.flags & DNS_TC };
	out->records.v = arena_array(a, r.count[DNS_ANSWER], sizeof(*out->records.v));
	w = dns_walk_begin(&r);
	while (out->records.v && dns_walk_next(&w, &record) && record.section == DNS_ANSWER)
		out->records.v[out->records.n++] = record_text(&w, &record, a);
	return a->failed ? -ENOMEM : 0;
}
