/* SPDX-License-Identifier: Apache-2.0 */
/* One address type and one prefix type for both families, so that nothing above forks into
 * IPv4 and IPv6 twins. Bytes are in network order. `family` is AF_INET or AF_INET6, and 0
 * means "no address"; unused bytes are zero, so structs compare with memcmp(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ipaddr {
	uint8_t family;
	uint8_t b[16];
};

/* A network or an interface address; whether host bits may be set depends on the use. */
struct prefix {
	struct ipaddr addr;
	uint8_t len;
};

struct macaddr {
	uint8_t b[6];
};

#define ADDR_TEXT   46
#define PREFIX_TEXT 50
#define MAC_TEXT    18

/* Parsers accept exactly the canonical-or-longer RFC 4291 forms that inet_pton(3) takes,
 * and for prefixes a decimal length without sign, space or leading zero. Return 0 or -EINVAL. */
int addr_parse(const char *s, struct ipaddr *out);
int prefix_parse(const char *s, struct prefix *out);      /* needs "/len"; host bits kept */
int prefix_parse_host(const char *s, struct prefix *out); /* as above, or a bare address */
/* As Kubernetes reads what its objects hold since before it was strict (KEP-4858): also with
 * spaces around, leading zeros in IPv4 (decimal) and in the length, and IPv4-mapped IPv6
 * addresses, which are IPv4. */
int addr_parse_lax(const char *s, struct ipaddr *out);
int prefix_parse_lax(const char *s, struct prefix *out);
int mac_parse(const char *s, struct macaddr *out);

/* Write into `buf` and return it. */
const char *addr_str(const struct ipaddr *a, char buf[ADDR_TEXT]);
const char *prefix_str(const struct prefix *p, char buf[PREFIX_TEXT]);
const char *mac_str(const struct macaddr *m, char buf[MAC_TEXT]);

struct ipaddr addr_v4(uint32_t host_order);
uint8_t addr_bits(const struct ipaddr *a); /* 32 or 128 */
size_t addr_len(const struct ipaddr *a);   /* 4 or 16 */
int addr_cmp(const struct ipaddr *a, const struct ipaddr *b);
int prefix_cmp(const struct prefix *a, const struct prefix *b); /* family, address, length */
bool addr_eq(const struct ipaddr *a, const struct ipaddr *b);
bool prefix_eq(const struct prefix *a, const struct prefix *b);
bool addr_is_link_local(const struct ipaddr *a);
bool addr_is_unspecified(const struct ipaddr *a); /* 0.0.0.0, :: */
bool addr_is_loopback(const struct ipaddr *a);    /* 127.0.0.0/8, ::1 */
/* The link-local IPv6 address that follows from a MAC (RFC 4291, appendix A). */
struct ipaddr addr_eui64(const struct macaddr *m);

struct prefix prefix_host(const struct ipaddr *a); /* /32 or /128 */
struct prefix prefix_mask(const struct prefix *p); /* host bits cleared */
struct ipaddr prefix_last(const struct prefix *p); /* all host bits set */
bool prefix_has(const struct prefix *p, const struct ipaddr *a);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

/* a + n within the family; wraps at the end of the address space. */
struct ipaddr addr_add(const struct ipaddr *a, uint64_t n);
/* a - base, saturated to UINT64_MAX; both of one family, a ≥ base. */
uint64_t addr_sub(const struct ipaddr *a, const struct ipaddr *base);
