// SPDX-License-Identifier: Apache-2.0
/* relay_write: a message for a client out of what relay.c wrote down, which is trusted to be well-formed. */
#include "core/dns/msg_names.h"
#include "core/dns/octets.h"
#include "core/dns/relay.h"

#include <string.h>

#define STALE_TTL 30 /* RFC 8767 5 */

static const uint8_t *get_name(const uint8_t *p, size_t n, struct dns_name *out)
{
	out->n = (uint8_t)n;
	memcpy(out->v, p, n);
	return p + n;
}

/* The length of a whole name, from its labels. */
static size_t name_length(const uint8_t *p)
{
	size_t n = 0;

	while (p[n])
		n += 1 + (size_t)p[n];
	return n + 1;
}

static void put_data(struct dns_out *o, uint16_t type, const uint8_t *p, size_t n)
{
	const struct dns_data_form *form = dns_data_form(type);
	struct dns_name name;

	if (!form) {
		dns_out_put(o, p, n);
		return;
	}
	dns_out_put(o, p, form->before);
	p += form->before;
	for (unsigned i = 0; i < form->names; i++) {
		p = get_name(p, name_length(p), &name);
		dns_out_put_name(o, &name, form->compress);
	}
	dns_out_put(o, p, form->after);
}

static uint32_t ttl_now(const struct dns_relay *r, uint32_t ttl)
{
	if (r->stale)
		return STALE_TTL;
	return ttl > r->age_s ? ttl - r->age_s : 0;
}

size_t dns_relay_write(const struct dns_relay *r, const struct dns_query *q, uint8_t *out,
		       size_t cap)
{
	const uint8_t *p = r->v + DNS_RELAY_FAILURE;
	struct dns_out_record rec;
	struct dns_out o;
	uint16_t flags = DNS_RA;

	/* RFC 6840 5.8: AD is for those who say that they know it. */
	if (r->v[1] & DNS_AD && (q->dnssec_ok || q->flags & DNS_AD))
		flags |= DNS_AD;
	dns_out_begin(&o, out, cap, q, flags);
	for (unsigned left = dns_get16(r->v + 2); left; left--) {
		const struct dns_name *owner = &q->name;
		struct dns_name other;
		unsigned section = p[0];
		size_t n = p[1];
		uint16_t type, len;
		uint32_t ttl;

		p += 2;
		if (n) {
			p = get_name(p, n, &other);
			owner = &other;
		}
		type = dns_get16(p);
		ttl = ttl_now(r, dns_get32(p + 4));
		len = dns_get16(p + 8);
		p += 10;
		if (!dns_out_record_begin(&o, &rec, section, owner, type, ttl))
			break;
		put_data(&o, type, p, len);
		if (!dns_out_record_end(&o, &rec))
			break;
		p += len;
	}
	return dns_out_end(&o, r->v[0]);
}

void dns_relay_failure(unsigned rcode, uint8_t out[DNS_RELAY_FAILURE])
{
	memset(out, 0, DNS_RELAY_FAILURE);
	out[0] = (uint8_t)rcode;
}
