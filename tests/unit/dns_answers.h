/* SPDX-License-Identifier: Apache-2.0 */
/* Responses from texts and back. A record is "SECTION OWNER TTL TYPE VALUE", section an, au or ad; several with ";" between. Types A,
 * AAAA, NS, CNAME, PTR, SRV ("0 0 80 host."), SOA ("minimum" alone), TXT, others as TYPE46 with octets of hexadecimal digits. After cmocka.h. */
#pragma once
#include "core/dns/relay.h"

/* A response to the query in `query`, of at most 65535 octets. `flags` besides QR and RA. */
size_t dns_answer_make(const uint8_t *query, size_t n, uint16_t flags, int rcode,
		       const char *records, uint8_t *out, size_t cap);
/* "CODE [tc] [ad]; records": into `buf`, which is returned. */
const char *dns_answer_text(const uint8_t *msg, size_t n, char *buf, size_t cap);
/* What a client that asks for `name` without EDNS, or with what `flags` and `edns` say, is answered. */
struct dns_query dns_ask_make(const char *name, uint16_t type);
const char *dns_relay_text(const struct dns_relay *r, const struct dns_query *q, char *buf,
			   size_t cap);
