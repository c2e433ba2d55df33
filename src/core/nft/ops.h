/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on a ruleset: what the diff finds, what hot paths ask for, what the encoder turns
 * into messages. An operation points into the ruleset or arena that it was made from. */
#pragma once
#include "core/nft/ir.h"

enum nft_verb {
	NFTV_ADD_TABLE, /* no error where it exists */
	NFTV_DEL_TABLE, /* with everything in it; an error where it does not exist */
	NFTV_ADD_CHAIN, /* no error where it exists the same */
	NFTV_DEL_CHAIN, /* must be empty and unreferenced by then */
	NFTV_FLUSH_CHAIN,
	NFTV_ADD_SET,
	NFTV_DEL_SET,
	NFTV_FLUSH_SET,
	NFTV_ADD_ELEMS, /* an element that is there the same is no error, with other data -EEXIST */
	NFTV_DEL_ELEMS, /* -ENOENT where one does not exist: keep state */
	NFTV_ADD_RULE,  /* at the end, or after rule `handle` when that is not 0 */
	NFTV_INSERT_RULE,  /* at the beginning, or before rule `handle` */
	NFTV_REPLACE_RULE, /* rule `handle` */
	NFTV_DEL_RULE,     /* rule `handle` */
	NFTV_COUNT
};

struct nft_op {
	uint8_t verb; /* enum nft_verb */
	/* The ruleset is consistent once this op is in: a transaction may end here. ADD_ELEMS and
	 * DEL_ELEMS with this mark may also be cut between any two elements. */
	uint8_t step;
	uint8_t family;
	const char *table;
	const char *chain;         /* of rules */
	const struct nft_table *t; /* ADD_TABLE: flags and comment; may be NULL */
	const struct nft_chain *c; /* ADD_CHAIN, DEL_CHAIN, FLUSH_CHAIN */
	const struct nft_set *set; /* sets and elements: name, types and flags are used */
	const struct nft_elem *elems;
	uint32_t n_elems, cap_elems; /* cap_elems: nft_ops_elem() may append */
	const struct nft_rule *rule;
	uint64_t handle;
};

struct nft_ops {
	struct arena *arena;
	struct nft_op *v;
	uint32_t n, cap;
};

void nft_ops_init(struct nft_ops *ops, struct arena *a);
/* Appends; NULL when the arena failed (then arena->failed says so at the end). */
struct nft_op *nft_op_add(struct nft_ops *ops, const struct nft_op *op);
/* Marks the last op as a step's end. */
void nft_ops_step(struct nft_ops *ops);

/* One element: copied into the ops' arena, joined to the op before it where verb and set are
 * the same. */
void nft_ops_elem(struct nft_ops *ops, uint8_t verb, const struct nft_set *set,
		  const struct nft_elem *e);

/* Everything of `rs`. With `replace` each table is first added and deleted, in the same
 * transaction, so that whatever was there is gone. Elements come before the rules that use
 * them; the only step mark is at the end. */
void nft_ops_load(struct nft_ops *ops, const struct nft_ruleset *rs, bool replace);
void nft_ops_load_table(struct nft_ops *ops, const struct nft_table *t); /* no step mark */

/* One line per op for logs and tests: "add element inet fairlead pod_src4 { … }". */
void nft_op_str(const struct nft_op *op, struct buf *out);
