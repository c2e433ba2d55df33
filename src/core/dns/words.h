/* SPDX-License-Identifier: Apache-2.0 */
/* Types, response codes and records in the words that people and zone files use (RFC 1035 5.1). */
#pragma once
#include "base/buf.h"
#include "core/dns/response.h"

/* "A"; "TYPE999" of what has no name here (RFC 3597 5). Returns `buf`, or a constant. */
const char *dns_type_text(uint16_t type, char buf[16]);
/* In any letters; 0: there is none of that name. */
uint16_t dns_type_parse(const char *text);
/* "NXDOMAIN"; "RCODE9" of what has no name here. */
const char *dns_rcode_text(unsigned rcode, char buf[16]);
/* A record's data: the usual form of the types that we give, RFC 3597's of others. */
void dns_data_text(struct buf *b, const struct dns_walk *w, const struct dns_record *r);
