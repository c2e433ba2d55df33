/* SPDX-License-Identifier: Apache-2.0 */
/* What of an upstream's answer is passed on, in a form that is kept (cache.h) and written for each client that asks.
 *
 * Bailiwick: an answer speaks of what was asked, and of nothing else. Kept are
 * - of the answer section the records of the name that was asked and of those that its CNAMEs (and DNAMEs) lead to, of the type that was
 *   asked,
 * - of the authority section SOA and NS of zones that these names lie in, and with DO what proves (NSEC, NSEC3, RRSIG) in such a zone,
 * - of the additional section addresses of hosts that a kept SRV, MX or NS names.
 * All else is dropped and counted. As answers are kept by question, a record that came along never answers a question of its own.
 *
 * TTLs: RFC 2181 8 (the top bit is none), RFC 2308 5 (a negative answer lives as long as its SOA says, and not at all without one). */
#pragma once
#include "core/dns/cache.h"
#include "core/dns/response.h"

/* Octets that an answer may take when it is taken apart: names are whole there. One that needs more is refused. */
#define DNS_RELAY_MAX (128 * 1024)

struct dns_ttls {
	uint32_t min, max; /* seconds; a positive answer's TTLs are brought to between these */
	uint32_t negative_min, negative_max; /* the same of negative ones */
};

struct dns_relayed {
	size_t n; /* octets written */
	unsigned rcode;
	uint32_t life_s;  /* 0: not to be kept */
	bool negative;    /* NXDOMAIN, or no record of the type */
	unsigned dropped; /* records that were out of place */
};

/* Takes a response apart whose id and question were looked at already (forward.h). -EBADMSG: CNAMEs without end, or it is too large. */
int dns_relay_read(const struct dns_response *msg, const struct dns_question *q,
		   const struct dns_ttls *t, uint8_t out[DNS_RELAY_MAX], struct dns_relayed *r);

#define DNS_RELAY_FAILURE 4
/* An answer that has a code and nothing else. */
void dns_relay_failure(unsigned rcode, uint8_t out[DNS_RELAY_FAILURE]);

struct dns_relay {
	const uint8_t *v;
	size_t n;
	uint32_t age_s; /* what TTLs have lost */
	bool stale;     /* past its time: every TTL is 30 s (RFC 8767 5) */
};

/* Writes it as the answer to `q`, which may ask in other letters, with or without EDNS: `cap` is dns_query_limit(). Returns its length. */
size_t dns_relay_write(const struct dns_relay *r, const struct dns_query *q, uint8_t *out,
		       size_t cap);
