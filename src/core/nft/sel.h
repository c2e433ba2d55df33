/* SPDX-License-Identifier: Apache-2.0 */
/* What encode, decode and text all need to know of types and selectors: one table each.
 * Internal to core/nft. */
#pragma once
#include "core/nft/ir.h"

struct type_info {
	const char *name; /* nft's, as in `type ipv4_addr . inet_service` */
	uint8_t len;      /* bytes; 0: by the selector */
	uint8_t number;   /* nft's, in NFTA_SET_KEY_TYPE: 6 bits per part */
	uint8_t host;     /* a number of the kernel in host order (a name counts as one) */
	uint8_t flags;    /* the value is a set of bits */
};

const struct type_info *type_info(unsigned type);
unsigned type_by_number(unsigned number); /* NFTY_NONE if unknown */

enum sel_load { LOAD_META, LOAD_PAYLOAD, LOAD_CT, LOAD_FIB, LOAD_RT, LOAD_NUMGEN, LOAD_HASH };

/* Protocols that a header selector implies; as numbers of struct sel_info. */
enum sel_l3 { L3_ANY, L3_IP, L3_IP6, L3_ARP, L3_ETHER /* bridge tables have it */, L3_OTHER };

struct sel_info {
	const char *text;
	uint8_t type, len;
	uint8_t load;
	uint8_t arg;          /* key of meta, ct, rt; payload base; fib result; numgen type */
	uint8_t off;          /* payload offset; fib flags; ct direction (255: none) */
	uint8_t l3;           /* enum sel_l3: what must be known of the packet */
	uint8_t l4;           /* IPPROTO_*, 0: any */
	uint8_t proto, field; /* payload: nft's numbers of header and field for typeof */
};

const struct sel_info *sel_info(const struct nft_sel *s);
unsigned sel_type(const struct nft_sel *s);
bool sel_host(const struct nft_sel *s);   /* loads a number in host order */
bool sel_typeof(const struct nft_sel *s); /* may stand in a typeof declaration */
bool sel_ct_port(const struct nft_sel *s);
bool sel_eq(const struct nft_sel *a, const struct nft_sel *b);

/* Payload bytes back to a named selector, given what is known of the packet; NFK_PAYLOAD with
 * base, offset and len where they have no name. */
struct nft_sel sel_from_payload(unsigned base, unsigned offset, unsigned len, unsigned l3,
				unsigned l4);
struct nft_sel sel_from_load(unsigned load, unsigned arg, unsigned off); /* NFK_NONE: unknown */
struct nft_sel sel_from_field(unsigned proto, unsigned field);           /* typeof's numbers */

static inline uint32_t pad4(uint32_t n)
{
	return (n + 3) & ~3u;
}

/* ---- what a rule knows of the packet, statement by statement */

struct pkt {
	uint8_t family;
	uint8_t l3; /* enum sel_l3 of the network header: L3_IP, L3_IP6, L3_ARP or L3_ANY */
	uint8_t l4;
};

/* The match that must come before a selector, or that it implies. */
struct dep {
	uint8_t key; /* enum nft_key */
	uint16_t value;
};

void pkt_init(struct pkt *k, uint8_t family);
void pkt_learn(struct pkt *k, const struct nft_stmt *s);
/* Writes the deps (header first) that `s` needs beyond what is known, and learns them. Returns
 * how many, or -EINVAL where the family or the rule cannot have such a header. */
int pkt_need(struct pkt *k, const struct nft_stmt *s, struct dep out[2]);
/* `s` says a protocol of a header whose protocol is known: the same again, or a contradiction. */
bool pkt_known(const struct pkt *k, const struct nft_stmt *s);
/* Statement `i` of the rule says only what later ones imply. */
bool pkt_redundant(const struct nft_rule *r, uint8_t family, uint32_t i);

/* All selectors of a statement, keys of maps and hashes included. Returns their number;
 * at most `max` are written. */
uint32_t stmt_sels(const struct nft_stmt *s, const struct nft_sel **out, uint32_t max);

/* Room for one more in an array of an arena; NULL when the arena failed. */
void *grow(struct arena *a, void *v, uint32_t n, uint32_t *cap, size_t size);

int nft_elem_copy(struct arena *a, const struct nft_set *s, const struct nft_elem *e,
		  struct nft_elem *out);
