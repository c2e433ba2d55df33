// SPDX-License-Identifier: Apache-2.0
/* Responses: see msg.h. A record is written as if there were room; where there was not, the end of it takes back what it wrote, and the
 * names that it entered. */
#include "core/dns/msg.h"
#include "core/dns/msg_names.h"
#include "core/dns/octets.h"

#include <string.h>

#define OPCODE_BITS 0x7800

void dns_out_begin(struct dns_out *o, uint8_t *p, size_t cap, const struct dns_query *q,
		   uint16_t flags)
{
	o->p = p;
	o->cap = (cap < DNS_MESSAGE_MAX ? cap : DNS_MESSAGE_MAX) - (q->edns ? DNS_OPT_LENGTH : 0);
	o->q = q;
	o->flags = (uint16_t)(DNS_QR | flags | (q->flags & (OPCODE_BITS | DNS_RD | DNS_CD)));
	memset(o->count, 0, sizeof(o->count));
	o->additional_full = o->question_known = o->failed = false;
	memset(&o->set, 0, sizeof(o->set));
	o->n_names = 0;
	o->n = DNS_HEADER;
	if (!q->question_len)
		return;
	memcpy(p + DNS_HEADER, q->name.v, q->name.n);
	o->n += q->name.n;
	dns_set16(p + o->n, q->type);
	dns_set16(p + o->n + 2, q->class);
	o->n += 4;
}

/* Begins an RRset of the additional section, unless the record is another one of the last. */
static void begin_set(struct dns_out *o, const struct dns_name *owner, uint16_t type)
{
	if (o->set.count && o->set.type == type && dns_out_name_at(o, o->set.at, owner))
		return;
	o->set.at = o->n;
	o->set.type = type;
	o->set.count = 0;
	o->set.names = o->n_names;
}

bool dns_out_record_begin(struct dns_out *o, struct dns_out_record *r, enum dns_section s,
			  const struct dns_name *owner, uint16_t type, uint32_t ttl)
{
	uint8_t fixed[10];

	if (o->flags & DNS_TC || (s == DNS_ADDITIONAL && o->additional_full))
		return false;
	if (s == DNS_ADDITIONAL)
		begin_set(o, owner, type);
	r->section = s;
	r->at = o->n;
	r->names = o->n_names;
	if (owner == &o->q->name || owner == &o->q->lower)
		dns_out_put16(o, 0xc000 | DNS_HEADER);
	else
		dns_out_put_name(o, owner, true);
	dns_set16(fixed, type);
	dns_set16(fixed + 2, o->q->class);
	dns_set32(fixed + 4, ttl);
	dns_set16(fixed + 8, 0);
	dns_out_put(o, fixed, sizeof(fixed));
	r->data = o->n;
	return true;
}

bool dns_out_record_end(struct dns_out *o, const struct dns_out_record *r)
{
	if (!o->failed) {
		dns_set16(o->p + r->data - 2, (uint16_t)(o->n - r->data));
		o->count[r->section]++;
		if (r->section == DNS_ADDITIONAL)
			o->set.count++;
		return true;
	}
	o->failed = false;
	if (r->section != DNS_ADDITIONAL) {
		o->flags |= DNS_TC;
		o->n = r->at;
		o->n_names = r->names;
		return false;
	}
	o->additional_full = true;
	o->count[DNS_ADDITIONAL] = (uint16_t)(o->count[DNS_ADDITIONAL] - o->set.count);
	o->n = o->set.at;
	o->n_names = o->set.names;
	return false;
}

static bool put_data(struct dns_out *o, enum dns_section s, const struct dns_name *owner,
		     uint16_t type, uint32_t ttl, const void *v, size_t n)
{
	struct dns_out_record r;

	if (!dns_out_record_begin(o, &r, s, owner, type, ttl))
		return false;
	dns_out_put(o, v, n);
	return dns_out_record_end(o, &r);
}

static bool put_host(struct dns_out *o, enum dns_section s, const struct dns_name *owner,
		     uint16_t type, uint32_t ttl, const struct dns_name *host)
{
	struct dns_out_record r;

	if (!dns_out_record_begin(o, &r, s, owner, type, ttl))
		return false;
	dns_out_put_name(o, host, true);
	return dns_out_record_end(o, &r);
}

bool dns_out_a(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
	       const uint8_t v[4])
{
	return put_data(o, s, owner, DNS_A, ttl, v, 4);
}

bool dns_out_aaaa(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		  const uint8_t v[16])
{
	return put_data(o, s, owner, DNS_AAAA, ttl, v, 16);
}

bool dns_out_ns(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		const struct dns_name *host)
{
	return put_host(o, s, owner, DNS_NS, ttl, host);
}

bool dns_out_cname(struct dns_out *o, enum dns_section s, const struct dns_name *owner,
		   uint32_t ttl, const struct dns_name *target)
{
	return put_host(o, s, owner, DNS_CNAME, ttl, target);
}

bool dns_out_ptr(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_name *name)
{
	return put_host(o, s, owner, DNS_PTR, ttl, name);
}

bool dns_out_srv(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_srv *srv)
{
	struct dns_out_record r;

	if (!dns_out_record_begin(o, &r, s, owner, DNS_SRV, ttl))
		return false;
	dns_out_put16(o, srv->priority);
	dns_out_put16(o, srv->weight);
	dns_out_put16(o, srv->port);
	dns_out_put_name(o, &srv->target, false); /* RFC 2782 */
	return dns_out_record_end(o, &r);
}

bool dns_out_soa(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const struct dns_soa *soa)
{
	struct dns_out_record r;

	if (!dns_out_record_begin(o, &r, s, owner, DNS_SOA, ttl))
		return false;
	dns_out_put_name(o, &soa->mname, true);
	dns_out_put_name(o, &soa->rname, true);
	dns_out_put32(o, soa->serial);
	dns_out_put32(o, soa->refresh);
	dns_out_put32(o, soa->retry);
	dns_out_put32(o, soa->expire);
	dns_out_put32(o, soa->minimum);
	return dns_out_record_end(o, &r);
}

static void put_string(struct dns_out *o, const char *text, size_t n)
{
	uint8_t len = (uint8_t)n;

	dns_out_put(o, &len, 1);
	dns_out_put(o, text, n);
}

bool dns_out_txt(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint32_t ttl,
		 const char *text)
{
	struct dns_out_record r;
	size_t n = strlen(text);

	if (!dns_out_record_begin(o, &r, s, owner, DNS_TXT, ttl))
		return false;
	for (; n > 255; n -= 255, text += 255)
		put_string(o, text, 255);
	put_string(o, text, n);
	return dns_out_record_end(o, &r);
}

bool dns_out_any(struct dns_out *o, const struct dns_name *owner, uint32_t ttl)
{
	struct dns_out_record r;

	if (!dns_out_record_begin(o, &r, DNS_ANSWER, owner, DNS_HINFO, ttl))
		return false;
	put_string(o, "RFC8482", 7);
	put_string(o, "", 0);
	return dns_out_record_end(o, &r);
}

size_t dns_out_end(struct dns_out *o, int rcode)
{
	bool edns = o->q->edns;

	if (rcode > 15 && !edns)
		rcode = DNS_SERVFAIL;
	dns_set16(o->p, o->q->id);
	dns_set16(o->p + 2, (uint16_t)(o->flags | (rcode & 15)));
	dns_set16(o->p + 4, o->q->question_len != 0);
	for (unsigned s = 0; s < DNS_SECTIONS; s++)
		dns_set16(o->p + 6 + 2 * s, o->count[s]);
	if (edns) {
		dns_set16(o->p + 10, (uint16_t)(o->count[DNS_ADDITIONAL] + 1));
		o->n += dns_opt_put(o->p + o->n, rcode, o->q->dnssec_ok);
	}
	return o->n;
}
