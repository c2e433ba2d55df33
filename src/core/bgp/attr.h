/* SPDX-License-Identifier: Apache-2.0 */
/* Path attributes of a route, as they are kept: decoded, checked, each distinct set once.
 *
 * A set is immutable once it was interned, and shared by all routes that have it; the store counts
 * who holds it. Next hops are part of the set. All that is of variable length lies behind the struct in
 * the same allocation, in the form of the wire with AS numbers of four octets; so two sets are equal where their bytes are.
 *
 * RFC 4271 5; large and standard communities RFC 8092, 1997; extended ones RFC 4360 (carried, not read);
 * route reflection RFC 4456. */
#pragma once
#include "base/buf.h"
#include "core/bgp/types.h"

enum bgp_origin { BGP_ORIGIN_IGP, BGP_ORIGIN_EGP, BGP_ORIGIN_INCOMPLETE };

enum bgp_attr_type {
	BGP_A_ORIGIN = 1,
	BGP_A_AS_PATH = 2,
	BGP_A_NEXT_HOP = 3,
	BGP_A_MED = 4,
	BGP_A_LOCAL_PREF = 5,
	BGP_A_ATOMIC = 6,
	BGP_A_AGGREGATOR = 7,
	BGP_A_COMMUNITIES = 8,
	BGP_A_ORIGINATOR = 9,
	BGP_A_CLUSTER_LIST = 10,
	BGP_A_REACH = 14,
	BGP_A_UNREACH = 15,
	BGP_A_EXTENDED = 16,
	BGP_A_AS4_PATH = 17,
	BGP_A_AS4_AGGREGATOR = 18,
	BGP_A_LARGE = 32,
};

#define BGP_AF_OPTIONAL   0x80
#define BGP_AF_TRANSITIVE 0x40
#define BGP_AF_PARTIAL    0x20
#define BGP_AF_EXTENDED   0x10

enum bgp_segment {
	BGP_AS_SET = 1,
	BGP_AS_SEQUENCE = 2,
	BGP_CONFED_SEQUENCE = 3,
	BGP_CONFED_SET = 4
};

/* Well-known communities (RFC 1997, 7999, 8326). */
#define BGP_C_NO_EXPORT           0xffffff01u
#define BGP_C_NO_ADVERTISE        0xffffff02u
#define BGP_C_NO_EXPORT_SUBCONFED 0xffffff03u
#define BGP_C_GRACEFUL_SHUTDOWN   0xffff0000u

/* What is of variable length. */
enum bgp_part {
	BGP_P_AS_PATH,      /* segments: type, count, AS numbers of four octets */
	BGP_P_COMMUNITIES,  /* four octets each, sorted, each once */
	BGP_P_LARGE,        /* twelve octets each, sorted, each once */
	BGP_P_EXTENDED,     /* eight octets each */
	BGP_P_CLUSTER_LIST, /* four octets each, the nearest first */
	BGP_P_UNKNOWN, /* optional transitive ones that we do not know, whole, with Partial set, by type */
	BGP_PARTS,
};

#define BGP_HAS_MED        1
#define BGP_HAS_LOCAL_PREF 2
#define BGP_HAS_ATOMIC     4
#define BGP_HAS_AGGREGATOR 8
#define BGP_HAS_ORIGINATOR 16

struct bgp_attrs {
	/* Filled by the store. */
	struct bgp_attrs *next;
	uint64_t hash;
	uint32_t refs;
	/* From here on: the value. */
	uint16_t len[BGP_PARTS]; /* of each part, in octets */
	uint8_t has;             /* BGP_HAS_… */
	uint8_t origin;          /* enum bgp_origin */
	uint32_t med, local_pref;
	uint32_t aggregator_as, aggregator_id;
	uint32_t originator_id;
	struct ipaddr next_hop;   /* a global one */
	struct ipaddr link_local; /* RFC 2545 3; family 0: none */
};

const uint8_t *bgp_attrs_part(const struct bgp_attrs *a, enum bgp_part part);

/* A set while it is put together; the parts are its owner's. */
struct bgp_draft {
	struct bgp_attrs fixed; /* len, next, hash, refs are ignored */
	const uint8_t *part[BGP_PARTS];
	uint16_t len[BGP_PARTS];
};

/* The same as a draft, whose parts are those of `a`. */
struct bgp_draft bgp_draft_of(const struct bgp_attrs *a);

struct bgp_store;

struct bgp_store *bgp_store_new(void); /* NULL: no memory */
void bgp_store_free(struct bgp_store *s);
/* The set with this value, held once more; NULL: no memory. Sorts communities. */
struct bgp_attrs *bgp_store_take(struct bgp_store *s, const struct bgp_draft *d);
struct bgp_attrs *bgp_attrs_hold(struct bgp_attrs *a);
void bgp_store_drop(struct bgp_store *s, struct bgp_attrs *a); /* NULL is allowed */
size_t bgp_store_count(const struct bgp_store *s);

/* ---- reading a set */

bool bgp_has_community(const struct bgp_attrs *a, uint32_t community);
bool bgp_has_cluster(const struct bgp_attrs *a, uint32_t id);

/* ---- for people */
void bgp_communities_str(const struct bgp_attrs *a,
			 struct buf *out); /* "65000:100 no-export 65000:1:2" */
