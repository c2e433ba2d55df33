/* SPDX-License-Identifier: Apache-2.0 */
/* Desired ruleset against applied or observed one → the least list of operations. */
#pragma once
#include "core/nft/ops.h"

enum nft_finding_kind { NFTF_MISSING, NFTF_CHANGED, NFTF_FOREIGN };

/* What an audit found, for counting and naming: "element pod_src4 missing". */
struct nft_finding {
	uint8_t kind; /* enum nft_finding_kind */
	uint8_t family;
	const char *what;         /* "table", "chain", "set", "element", "rule" */
	const char *table, *name; /* chain or set */
	uint32_t n;               /* how many elements or rules */
};

struct nft_diff {
	struct nft_ops ops; /* ends as one step; n == 0: nothing to do */
	struct nft_finding *findings;
	uint32_t n_findings, cap_findings;
};

/* Only tables that `want` names are looked at. Elements of sets flagged dynamic or timeout are
 * the packets' own: never deleted. Rules that have handles are kept where they are unchanged
 * (their counters live on), else the chain is flushed and refilled in the same transaction.
 * Ops point into want, have and `a`. */
int nft_diff(struct nft_diff *d, const struct nft_ruleset *want, const struct nft_ruleset *have,
	     struct arena *a, struct err *e);
