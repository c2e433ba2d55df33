/* SPDX-License-Identifier: Apache-2.0 */
/* nftables rulesets that tests share: hand-made ones that say everything the IR can say, the
 * ruleset of a node, and random ones. */
#pragma once
#include "core/nft/build.h"
#include "core/nft/service.h"

struct nft_case {
	const char *name;
	void (*make)(struct nft_ruleset *rs);
};

extern const struct nft_case nft_cases[]; /* ends with name NULL */

void nft_case_policies(struct nft_ruleset *rs);
/* A ruleset that nft_check() takes, different for each seed. */
void nft_random(struct nft_ruleset *rs, unsigned seed);
/* A routed and a bridged pod, three pools. */
const struct nft_input *nft_sample_input(void);
/* Node ports on some of its addresses only, two service ranges. */
const struct svc_node *nft_sample_services(void);
/* One table `inet bulk` with set `big` of n elements (ipv4_addr . inet_service). */
void nft_bulk(struct nft_ruleset *rs, uint32_t n);
