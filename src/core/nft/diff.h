/* SPDX-License-Identifier: Apache-2.0 */
/* Desired ruleset against applied or observed one → the least list of operations. */
#pragma once
#include "core/nft/ops.h"

enum nft_finding_kind { NFTF_MISSING, NFTF_CHANGED, NFTF_EXTRA };

/* What an audit found, for counting and naming. */
struct nft_finding {
	uint8_t kind; /* enum nft_finding_kind */
	uint8_t family;
	const char *what;         /* "table", "chain", "set", "element", "rule" */
	const char *table, *name; /* chain or set; NULL for a table */
	uint32_t n;               /* how many elements or rules */
};

struct nft_diff {
	struct nft_ops ops; /* one step; n == 0: nothing to do */
	uint32_t anew;      /* bits 1 << family of tables that are there and made anew */
	struct nft_finding *findings;
	uint32_t n_findings, cap_findings;
};

/* Only tables that `want` names are looked at; both sides have passed nft_check() or
 * nft_decode_done(). Elements of dynamic sets are the packets' own and left alone. Rules with
 * handles are kept where they are unchanged (their counters live on); without handles a chain
 * that differs is flushed and refilled. A set or base chain whose declaration changed cannot be
 * changed in place: its table is made anew, in the same transaction. Ops point into want, have
 * and `a`. 0, -ENOMEM, or -EINVAL where a rule of `want` cannot be encoded. */
int nft_diff(struct nft_diff *d, const struct nft_ruleset *want, const struct nft_ruleset *have,
	     struct arena *a, struct err *e);

/* "missing: 3 elements of inet fairlead pod_src4". */
void nft_finding_str(const struct nft_finding *f, struct buf *out);
