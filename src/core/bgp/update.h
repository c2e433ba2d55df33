/* SPDX-License-Identifier: Apache-2.0 */
/* UPDATE: bytes ↔ routes, with the faults of RFC 7606 as verbs.
 *
 * A decoded message says at most once of each prefix that it is reachable, and of each that it is not; what it says last counts.
 * Attributes of one message are one draft per family, whose parts point into the message or into the
 * decoder's scratch, so that nothing outlives the call that is not interned.
 *
 * RFC 4271 4.3, 6.3; RFC 4760 (MP_REACH, MP_UNREACH); RFC 2545 (next hops of IPv6); RFC 6793 (AS4_PATH of old
 * speakers is merged); RFC 7606 (which fault discards, withdraws or resets; section 5.1 to 7); RFC 4724 2 (End-of-RIB). */
#pragma once
#include "base/arena.h"
#include "core/bgp/attr.h"

/* What the session agreed on, and who the peer is. */
struct bgp_link {
	bool as4;                  /* both speak four octets */
	bool family[BGP_FAMILIES]; /* both speak it */
	bool ebgp;
	uint32_t peer_as;
	struct ipaddr local; /* of the session's own end: a next hop that is this one is wrong */
};

enum bgp_verdict {
	BGP_OK,
	BGP_AS_WITHDRAWN, /* the message's routes are gone instead (RFC 7606 2): `unreach` has them all */
	BGP_RESET,        /* `fault` */
};

/* One family's part of a message. Prefixes are in the arena, host bits clear. */
struct bgp_routes {
	struct prefix *reach, *unreach;
	uint32_t n_reach, n_unreach;
	struct bgp_draft attrs; /* of `reach`; where there is none it is of no meaning */
	bool end;               /* End-of-RIB */
};

struct bgp_update {
	struct bgp_routes family[BGP_FAMILIES];
	enum bgp_verdict verdict;
	struct bgp_fault fault; /* also of what was withdrawn: for the log and the counters */
	uint32_t discarded;     /* attributes, as malformed (RFC 7606) */
};

/* `body` follows the header and must live as long as `out`. -ENOMEM: the arena is full; else 0. */
int bgp_update_decode(const uint8_t *body, size_t n, const struct bgp_link *l, struct arena *ar,
		      struct bgp_update *out);

/* Whole messages, each at most BGP_MESSAGE, that say that the prefixes of one family are reachable by these attributes,
 * or (attrs NULL) are not. The draft is as it goes out: path prepended, next hop set, LOCAL_PREF only where it
 * belongs. Returns how many messages; -EMSGSIZE: the attributes leave no room for a prefix; -ENOMEM (b->failed). */
int bgp_update_put(struct buf *b, enum bgp_family family, const struct bgp_link *l,
		   const struct bgp_draft *attrs, const struct prefix *v, uint32_t n);
void bgp_end_of_rib_put(struct buf *b, enum bgp_family family);
