/* SPDX-License-Identifier: Apache-2.0 */
/* fairlead's own ruleset as a function of plain inputs: what each table, chain and set is for
 * stands in build.c. Tables: `inet fairlead`, `arp fairlead`, `bridge fairlead`. Chains and
 * rules depend on nothing but whether the node answers DNS; pods and pools are only elements of sets, so that a pod costs a few
 * element operations and no rule is ever rewritten. */
#pragma once
#include "core/nft/ops.h"

#define NFT_TABLE "fairlead"

enum nft_attachment {
	NFT_ROUTED,  /* `ifname` is a routed veth end */
	NFT_BRIDGED, /* `ifname` is a port of a bridge */
};

struct nft_pod {
	const char *ifname; /* host link, "fl…" */
	uint8_t attachment; /* enum nft_attachment */
	struct macaddr mac; /* the pod's end */
	const struct ipaddr *addrs;
	uint32_t n_addrs;
	struct ipaddr link_local; /* family 0: the EUI-64 one of `mac` */
};

struct nft_pool {
	struct prefix cidr;
	bool nat_outgoing;
};

struct nft_services;
struct nft_policies;

struct nft_input {
	const struct nft_pod *pods;
	uint32_t n_pods;
	const struct nft_pool *pools; /* all pools of the cluster; may overlap */
	uint32_t n_pools;
	const struct ipaddr *dns; /* where the node answers DNS itself; each once */
	uint32_t n_dns;
	const struct nft_services *services; /* NULL: the node serves none */
	const struct nft_policies *policies; /* NULL: the node enforces none */
};

/* Builds everything into `rs` (initialised by the caller). -EINVAL names the bad input. */
int nft_build(struct nft_ruleset *rs, const struct nft_input *in, struct err *e);

/* The element operations of one pod, as one step. The table must have been loaded. `add` false
 * deletes: exactly what was added for the same pod, else the kernel answers -ENOENT. */
int nft_pod_elems(struct nft_ops *ops, const struct nft_pod *p, bool add, struct err *e);

/* Element operations that turn the pools' sets from `old` to `now`, as one step; none if equal. */
int nft_pool_elems(struct nft_ops *ops, const struct nft_input *old, const struct nft_input *now,
		   struct err *e);
