/* SPDX-License-Identifier: Apache-2.0 */
/* Services in the node's ruleset: fixed chains and sets (the frame), chains that depend only on
 * how many endpoints a choice is among, and elements: whatever belongs to one Service. How a
 * packet goes through them stands in service_frame.c. This header is the room's own; who keeps
 * Services in a kernel uses services.h. */
#pragma once
#include "core/nft/build.h"
#include "core/service/service.h"

/* ---- what travels in skb->priority between two rules
 *
 * Ids of groups and choosers have 20 bits; `sizes` puts the number of the group's choice in
 * front. Ids of endpoints that clients keep are numbers of their own, and so are the codes of
 * refusals and of masquerading: each is written by the rule that a later one reads. */
#define NFT_SERVICE_ID_BITS 20
#define NFT_SERVICE_ID_MASK ((1u << NFT_SERVICE_ID_BITS) - 1)
#define NFT_CHOICE_MASK     (~NFT_SERVICE_ID_MASK)
#define NFT_CHOICE_MAX      (UINT32_MAX >> NFT_SERVICE_ID_BITS) /* choices 1 … 4095 */
#define NFT_CHOOSER         1u    /* the choice that leads to another */
#define NFT_SERVICE_SLOTS   65536 /* endpoints that a choice can be among */

/* Codes: 1 and on, as 0 is what no rule has written. */
static inline uint32_t nft_refuse_code(uint8_t refuse) /* enum svc_refuse, not SVC_SERVED */
{
	return refuse;
}

static inline uint32_t nft_masq_code(uint8_t masq) /* enum svc_masq */
{
	return masq + 1u;
}

/* Where a choice ends: one chain for each of these. */
struct nft_choice {
	uint8_t family;    /* AF_INET, AF_INET6; AF_UNSPEC: the chooser of externalTrafficPolicy */
	uint8_t proto;     /* enum protocol */
	uint32_t count;    /* endpoints, 1 to NFT_SERVICE_SLOTS */
	uint32_t affinity; /* seconds that a client keeps its endpoint; 0: none */
};

#define NFT_CHOICE_NAME 32

bool nft_choice_eq(const struct nft_choice *a, const struct nft_choice *b);
/* "tcp4-3", with affinity "tcp4-3-10800"; "service-choose". */
const char *nft_choice_name(const struct nft_choice *c, char out[NFT_CHOICE_NAME]);
bool nft_choice_parse(const char *name, struct nft_choice *out);
/* Adds the chain to `t`, which has the frame; the same again returns the one that is there. */
struct nft_chain *nft_choice_chain(struct nft_table *t, const struct nft_choice *c);

/* ---- the frame */

/* Sets by family [0] IPv4, [1] IPv6, and by protocol. */
struct nft_service_sets {
	const struct nft_set *vip[2], *nodeport[2], *refused[2], *refused_nodeport[2], *masq[2],
		*masq_nodeport[2], *restricted[2], *sources[2], *cluster_ips[2], *left_ips[2],
		*hairpin[2];
	const struct nft_set *endpoints[2][PROTO_SCTP + 1], *kept[2][PROTO_SCTP + 1];
	const struct nft_set *sizes, *choices, *front_choices, *to_all, *to_local, *affinity_back,
		*affinity_slots;
};

/* Adds everything fixed to `t`, which has the sets of the pools (nft_build()). */
void nft_service_frame(struct nft_table *t, const struct svc_node *node);
/* The part of it that the chains read. */
void nft_service_sets_add(struct nft_table *t, const struct svc_node *node);
/* The sets of a table that has the frame; false where one is missing. */
bool nft_service_find_sets(const struct nft_table *t, struct nft_service_sets *out);

/* ---- names that the files of the frame share */

struct nft_service_family {
	char digit;
	uint8_t nfproto, type, saddr, daddr, orig;
	const char *pools;
};

struct nft_service_transport {
	const char *name;
	uint8_t number, dport;
};

extern const struct nft_service_family nft_service_families[2];
extern const struct nft_service_transport nft_service_transports[]; /* by enum protocol */

#define NFT_SERVICE_NAME 32

/* `head` with the family's digit; lives as long as the block of the caller. */
#define NFT_FAMILY_NAME(head, f) nft_family_name((char[NFT_SERVICE_NAME]){ 0 }, (head), (f))
const char *nft_family_name(char out[NFT_SERVICE_NAME], const char *head,
			    const struct nft_service_family *f);
/* "tcp4_endpoints"; `proto`: enum protocol. */
const char *nft_endpoints_name(char out[NFT_SERVICE_NAME], unsigned proto,
			       const struct nft_service_family *f, const char *tail);
/* What of a front's address stands in the affinity maps' keys: see service_choice.c. */
struct nft_sel nft_affinity_address(const struct nft_service_family *f);
