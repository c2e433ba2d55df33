/* SPDX-License-Identifier: Apache-2.0 */
/* What msg_*.c share: names within a response that is being written, and OPT. */
#pragma once
#include "core/dns/msg.h"

#define DNS_OPT_LENGTH 11 /* without options */

/* An OPT of version 0, with the upper bits of `rcode`. Returns its length. */
size_t dns_opt_put(uint8_t p[DNS_OPT_LENGTH], int rcode, bool dnssec_ok);

void dns_out_put(struct dns_out *o, const void *v, size_t n);
void dns_out_put16(struct dns_out *o, uint16_t v);
void dns_out_put32(struct dns_out *o, uint32_t v);

/* `compress`: where the longest suffix stands already, a pointer to it; owners, and names in data of the types of RFC 1035 (RFC 3597 4). All
 * suffixes that are new may be pointed to later. The case of letters is kept: only octets that are the same are shared. */
void dns_out_put_name(struct dns_out *o, const struct dns_name *n, bool compress);

/* Is `n` what stands at `at`, octet for octet? */
bool dns_out_name_at(const struct dns_out *o, size_t at, const struct dns_name *n);

/* One record: false where its section takes no more; then the data; then the end, which is false where it did not fit. */
struct dns_out_record {
	enum dns_section section;
	size_t at, data; /* where it and its data begin */
	uint8_t names;
};

bool dns_out_record_begin(struct dns_out *o, struct dns_out_record *r, enum dns_section s,
			  const struct dns_name *owner, uint16_t type, uint32_t ttl);
bool dns_out_record_end(struct dns_out *o, const struct dns_out_record *r);
