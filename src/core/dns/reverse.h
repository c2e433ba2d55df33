/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as names: in-addr.arpa (RFC 1035 3.5), ip6.arpa (RFC 3596 2.5), and as one label with dashes ("10-0-0-1", "fd00--1"), by which
 * CoreDNS names pods and endpoints without a hostname. */
#pragma once
#include "base/addr.h"
#include "core/dns/name.h"

bool dns_reverse_is(const struct dns_name *lower); /* at or below one of the two */

enum dns_reverse_sort {
	DNS_REVERSE_NONE, /* no name that an address could have */
	DNS_REVERSE_PART, /* there may be addresses below */
	DNS_REVERSE_ADDR,
};
enum dns_reverse_sort dns_reverse_read(const struct dns_name *lower, struct ipaddr *out);

#define DNS_DASHED ADDR_TEXT
size_t dns_dashed_write(const struct ipaddr *a, char out[DNS_DASHED]); /* its length */
bool dns_dashed_read(const void *label, size_t n, struct ipaddr *out); /* IPv6 in any spelling */
