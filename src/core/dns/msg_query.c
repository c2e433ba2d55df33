// SPDX-License-Identifier: Apache-2.0
/* Queries, and the frames of TCP: see msg.h. A question's name cannot be compressed: it is the first of the message, and a pointer only
 * leads back. */
#include "core/dns/msg_names.h"
#include "core/dns/octets.h"

#include <errno.h>
#include <string.h>

#define DO_BIT 0x8000

static int read_question(const uint8_t *p, size_t n, size_t *at, struct dns_query *q)
{
	int r = dns_name_read(p, n, at, &q->name);

	if (r || n - *at < 4)
		return DNS_FORMERR;
	q->type = dns_get16(p + *at);
	q->class = dns_get16(p + *at + 2);
	*at += 4;
	q->question_len = (uint16_t)(*at - DNS_HEADER);
	dns_name_copy(&q->lower, &q->name);
	dns_name_lower(&q->lower);
	return 0;
}

/* Options are a code and a length each, nothing else. */
static bool options_fit(const uint8_t *p, size_t n)
{
	while (n >= 4) {
		size_t len = dns_get16(p + 2);

		if (len > n - 4)
			return false;
		p += 4 + len;
		n -= 4 + len;
	}
	return !n;
}

static int read_opt(const uint8_t *p, const uint8_t *fixed, size_t owner, bool additional,
		    struct dns_query *q)
{
	uint16_t size = dns_get16(fixed + 2);

	if (!additional || q->edns || p[owner] != 0 ||
	    !options_fit(fixed + 10, dns_get16(fixed + 8)))
		return DNS_FORMERR;
	q->edns = true;
	q->udp_size = size > DNS_UDP_MIN ? size : DNS_UDP_MIN;
	q->edns_version = fixed[5];
	q->dnssec_ok = dns_get16(fixed + 6) & DO_BIT;
	return 0;
}

/* What follows the question. */
static int read_records(const uint8_t *p, size_t n, size_t at, struct dns_query *q)
{
	unsigned before = dns_get16(p + 6) + dns_get16(p + 8);
	unsigned all = before + dns_get16(p + 10);
	struct dns_name owner;

	for (unsigned i = 0; i < all; i++) {
		size_t begun = at;
		const uint8_t *fixed;

		if (dns_name_read(p, n, &at, &owner) || n - at < 10)
			return DNS_FORMERR;
		fixed = p + at; /* type, class, ttl, length */
		at += 10;
		if (n - at < dns_get16(fixed + 8))
			return DNS_FORMERR;
		at += dns_get16(fixed + 8);
		if (dns_get16(fixed) == DNS_OPT && read_opt(p, fixed, begun, i >= before, q))
			return DNS_FORMERR;
	}
	return 0;
}

int dns_query_read(const uint8_t *p, size_t n, struct dns_query *out)
{
	size_t at = DNS_HEADER;
	int r;

	if (n < DNS_HEADER || p[2] & DNS_QR >> 8)
		return -EBADMSG;
	out->id = dns_get16(p);
	out->flags = dns_get16(p + 2);
	out->question_len = 0;
	out->udp_size = DNS_UDP_MIN;
	out->edns = out->dnssec_ok = false;
	out->edns_version = 0;
	if (DNS_OPCODE(out->flags) != DNS_QUERY)
		return DNS_NOTIMP;
	if (dns_get16(p + 4) != 1)
		return DNS_FORMERR;
	r = read_question(p, n, &at, out);
	if (!r)
		r = read_records(p, n, at, out);
	if (r)
		return r;
	if (out->edns_version)
		return DNS_BADVERS;
	return out->class == DNS_IN || out->class == DNS_CH ? 0 : DNS_REFUSED;
}

size_t dns_query_limit(const struct dns_query *q, bool tcp, size_t most)
{
	if (tcp)
		return DNS_MESSAGE_MAX;
	return q->udp_size < most ? q->udp_size : most;
}

size_t dns_query_write(uint8_t p[DNS_UDP_MIN], const struct dns_query *q)
{
	size_t n = DNS_HEADER;

	memset(p, 0, DNS_HEADER);
	dns_set16(p, q->id);
	dns_set16(p + 2, q->flags & (DNS_RD | DNS_CD | DNS_AD));
	dns_set16(p + 4, 1);
	memcpy(p + n, q->name.v, q->name.n);
	n += q->name.n;
	dns_set16(p + n, q->type);
	dns_set16(p + n + 2, q->class);
	n += 4;
	if (q->edns) {
		dns_set16(p + 10, 1);
		n += dns_opt_put(p + n, 0, q->dnssec_ok);
	}
	return n;
}

size_t dns_opt_put(uint8_t p[DNS_OPT_LENGTH], int rcode, bool dnssec_ok)
{
	memset(p, 0, DNS_OPT_LENGTH); /* the root, no options */
	dns_set16(p + 1, DNS_OPT);
	dns_set16(p + 3, DNS_UDP_SIZE);
	p[5] = (uint8_t)(rcode >> 4);
	dns_set16(p + 7, dnssec_ok ? DO_BIT : 0);
	return DNS_OPT_LENGTH;
}

int dns_frame_next(const uint8_t *p, size_t n)
{
	size_t len;

	if (n < DNS_FRAME)
		return 0;
	len = dns_get16(p);
	if (len < DNS_HEADER)
		return -EBADMSG;
	return n < DNS_FRAME + len ? 0 : (int)(DNS_FRAME + len);
}

void dns_frame_put(uint8_t p[DNS_FRAME], size_t message)
{
	dns_set16(p, (uint16_t)message);
}
