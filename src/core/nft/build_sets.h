/* SPDX-License-Identifier: Apache-2.0 */
/* The sets of the node's ruleset and their elements; internal to core/nft. */
#pragma once
#include "core/nft/build.h"

#define LINKS   "fl"      /* pods' links: docs/abi.md */
#define FLANNEL "flannel" /* not ours */

/* The target of NS and NA (RFC 4861, 4.3 and 4.4). */
#define ND_TARGET NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16)

/* Declares every set of the three tables and fills them. */
int build_sets(struct nft_table *inet, struct nft_table *arp, struct nft_table *bridge,
	       const struct nft_input *in, struct err *e);

/* ---- dns_frame.c */

/* Into the chain that packets of pods meet first. */
void nft_dns_from_pods(struct nft_chain *raw, const struct nft_input *in);
/* After the frames of Services and policies. */
void nft_dns_frame(struct nft_table *t, const struct nft_input *in);
