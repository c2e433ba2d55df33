// SPDX-License-Identifier: Apache-2.0
/* response: see response.h. */
#include "core/dns/response.h"

#include "core/dns/octets.h"

#include <errno.h>
#include <string.h>

#define FIXED  10 /* type, class, TTL and length */
#define DO_BIT 0x8000

/* Types that msg.h does without. */
enum { MINFO = 14, RP = 17, AFSDB = 18, KX = 36 };

/* RFC 1035 3.3, 1183, 2230, 2782, 6672. */
static const struct dns_data_form forms[] = {
	{ DNS_NS, 0, 1, 0, true },  { DNS_CNAME, 0, 1, 0, true },  { DNS_SOA, 0, 2, 20, true },
	{ DNS_PTR, 0, 1, 0, true }, { MINFO, 0, 2, 0, true },      { DNS_MX, 2, 1, 0, true },
	{ RP, 0, 2, 0, false },     { AFSDB, 2, 1, 0, false },     { DNS_SRV, 6, 1, 0, false },
	{ KX, 2, 1, 0, false },     { DNS_DNAME, 0, 1, 0, false },
};

const struct dns_data_form *dns_data_form(uint16_t type)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (forms[i].type == type)
			return &forms[i];
	return NULL;
}

/* Is the data as long as its type wants? Names may point anywhere before, but end within it. */
static bool data_fits(const uint8_t *p, const struct dns_record *r)
{
	const struct dns_data_form *f = dns_data_form(r->type);
	size_t at = r->data, end = r->data + r->len;
	struct dns_name name;

	if (r->type == DNS_A && r->class == DNS_IN)
		return r->len == 4;
	if (r->type == DNS_AAAA)
		return r->len == 16;
	if (!f)
		return true;
	if (r->len < f->before)
		return false;
	at += f->before;
	for (int i = 0; i < f->names; i++)
		if (dns_name_read(p, end, &at, &name))
			return false;
	return end - at == f->after;
}

static int read_record(const uint8_t *p, size_t n, size_t *at, struct dns_record *r)
{
	if (dns_name_read(p, n, at, &r->owner) || n - *at < FIXED)
		return -EBADMSG;
	r->type = dns_get16(p + *at);
	r->class = dns_get16(p + *at + 2);
	r->ttl = dns_get32(p + *at + 4);
	r->len = dns_get16(p + *at + 8);
	r->data = *at + FIXED;
	if (n - r->data < r->len)
		return -EBADMSG;
	*at = r->data + r->len;
	return 0;
}

struct dns_walk dns_walk_begin(const struct dns_response *r)
{
	struct dns_walk w = { .p = r->p, .n = r->n, .at = r->records_at };

	memcpy(w.left, r->count, sizeof(w.left));
	return w;
}

bool dns_walk_next(struct dns_walk *w, struct dns_record *out)
{
	while (w->section < DNS_SECTIONS && !w->left[w->section])
		w->section++;
	if (w->section == DNS_SECTIONS || read_record(w->p, w->n, &w->at, out))
		return false;
	out->section = w->section;
	w->left[w->section]--;
	return true;
}

/* RFC 6891 6.1.1. */
static int read_opt(const struct dns_record *r, struct dns_response *out)
{
	if (r->section != DNS_ADDITIONAL || out->edns || r->owner.n != 1)
		return -EBADMSG;
	out->edns = true;
	out->dnssec_ok = r->ttl & DO_BIT;
	out->rcode = (uint16_t)(r->ttl >> 24 << 4 | out->rcode);
	if (r->class > DNS_UDP_MIN)
		out->udp_size = r->class;
	return 0;
}

static int read_question(const uint8_t *p, size_t n, size_t *at, struct dns_response *out)
{
	if (dns_name_read(p, n, at, &out->name) || n - *at < 4)
		return -EBADMSG;
	out->type = dns_get16(p + *at);
	out->class = dns_get16(p + *at + 2);
	*at += 4;
	out->question = true;
	return 0;
}

int dns_response_read(const uint8_t *p, size_t n, struct dns_response *out)
{
	unsigned left = 0;
	struct dns_record r;
	struct dns_walk w;

	if (n < DNS_HEADER || !(dns_get16(p + 2) & DNS_QR) || dns_get16(p + 4) > 1)
		return -EBADMSG;
	out->id = dns_get16(p);
	out->flags = dns_get16(p + 2);
	out->rcode = DNS_RCODE(out->flags);
	out->question = out->edns = out->dnssec_ok = false;
	out->udp_size = DNS_UDP_MIN;
	out->p = p;
	out->n = n;
	out->records_at = DNS_HEADER;
	for (unsigned s = 0; s < DNS_SECTIONS; s++)
		left += out->count[s] = dns_get16(p + 6 + (size_t)2 * s);
	if (dns_get16(p + 4) && read_question(p, n, &out->records_at, out))
		return -EBADMSG;
	for (w = dns_walk_begin(out); left; left--)
		if (!dns_walk_next(&w, &r) || !data_fits(p, &r) ||
		    (r.type == DNS_OPT && read_opt(&r, out)))
			return -EBADMSG;
	return 0;
}
