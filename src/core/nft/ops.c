/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nft/ops.h"

#include "core/nft/sel.h"
#include "core/nft/text.h"

#include <inttypes.h>
#include <string.h>

void nft_ops_init(struct nft_ops *ops, struct arena *a)
{
	*ops = (struct nft_ops){ .arena = a };
}

struct nft_op *nft_op_add(struct nft_ops *ops, const struct nft_op *op)
{
	struct nft_op *v = grow(ops->arena, ops->v, ops->n, &ops->cap, sizeof(*v));

	if (!v)
		return NULL;
	ops->v = v;
	v[ops->n] = *op;
	return &v[ops->n++];
}

void nft_ops_step(struct nft_ops *ops)
{
	if (ops->n)
		ops->v[ops->n - 1].step = 1;
}

void nft_ops_elem(struct nft_ops *ops, uint8_t verb, const struct nft_set *set,
		  const struct nft_elem *e)
{
	struct nft_op *last = ops->n ? &ops->v[ops->n - 1] : NULL;
	struct nft_elem *v;

	if (!last || last->verb != verb || last->set != set || last->step)
		last = nft_op_add(ops, &(struct nft_op){ .verb = verb,
							 .family = set->table->family,
							 .table = set->table->name,
							 .set = set });
	if (!last)
		return;
	v = grow(ops->arena, (void *)last->elems, last->n_elems, &last->cap_elems, sizeof(*v));
	if (!v)
		return;
	last->elems = v;
	if (!nft_elem_copy(ops->arena, set, e, &v[last->n_elems]))
		last->n_elems++;
}

static void load_sets(struct nft_ops *ops, const struct nft_table *t, struct nft_op op)
{
	for (uint32_t i = 0; i < t->n_sets; i++) {
		op.verb = NFTV_ADD_SET;
		op.set = t->sets[i];
		nft_op_add(ops, &op);
	}
}

/* Elements come after the chains that verdicts name. */
static void load_elems(struct nft_ops *ops, const struct nft_table *t, struct nft_op op)
{
	for (uint32_t i = 0; i < t->n_sets; i++) {
		op.verb = NFTV_ADD_ELEMS;
		op.set = t->sets[i];
		op.elems = op.set->elems;
		op.n_elems = op.set->n;
		if (op.n_elems)
			nft_op_add(ops, &op);
	}
}

static void load_chains(struct nft_ops *ops, const struct nft_table *t, struct nft_op op)
{
	for (uint32_t i = 0; i < t->n_chains; i++) {
		op.verb = NFTV_ADD_CHAIN;
		op.c = t->chains[i];
		op.chain = op.c->name;
		nft_op_add(ops, &op);
	}
}

static void load_rules(struct nft_ops *ops, const struct nft_table *t, struct nft_op op)
{
	op.verb = NFTV_ADD_RULE;
	for (uint32_t i = 0; i < t->n_chains; i++)
		for (uint32_t j = 0; j < t->chains[i]->n; j++) {
			op.chain = t->chains[i]->name;
			op.rule = t->chains[i]->rules[j];
			nft_op_add(ops, &op);
		}
}

void nft_ops_load_table(struct nft_ops *ops, const struct nft_table *t)
{
	struct nft_op op = {
		.verb = NFTV_ADD_TABLE, .family = t->family, .table = t->name, .t = t
	};

	nft_op_add(ops, &op);
	load_sets(ops, t, op);
	load_chains(ops, t, op);
	load_elems(ops, t, op);
	load_rules(ops, t, op);
}

void nft_ops_load(struct nft_ops *ops, const struct nft_ruleset *rs, bool replace)
{
	for (uint32_t i = 0; i < rs->n; i++) {
		const struct nft_table *t = rs->tables[i];
		struct nft_op op = {
			.verb = NFTV_ADD_TABLE, .family = t->family, .table = t->name, .t = t
		};

		if (replace) {
			nft_op_add(ops, &op);
			op.verb = NFTV_DEL_TABLE;
			nft_op_add(ops, &op);
		}
		nft_ops_load_table(ops, t);
	}
	nft_ops_step(ops);
}

void nft_op_str(const struct nft_op *op, struct buf *out)
{
	static const char *const verb[] = {
		[NFTV_ADD_TABLE] = "add table",       [NFTV_DEL_TABLE] = "delete table",
		[NFTV_ADD_CHAIN] = "add chain",       [NFTV_DEL_CHAIN] = "delete chain",
		[NFTV_FLUSH_CHAIN] = "flush chain",   [NFTV_ADD_SET] = "add set",
		[NFTV_DEL_SET] = "delete set",        [NFTV_FLUSH_SET] = "flush set",
		[NFTV_ADD_ELEMS] = "add element",     [NFTV_DEL_ELEMS] = "delete element",
		[NFTV_ADD_RULE] = "add rule",         [NFTV_INSERT_RULE] = "insert rule",
		[NFTV_REPLACE_RULE] = "replace rule", [NFTV_DEL_RULE] = "delete rule",
	};

	buf_printf(out, "%s %s %s", op->verb < NFTV_COUNT ? verb[op->verb] : "?",
		   text_family(op->family), op->table);
	if (op->chain)
		buf_printf(out, " %s", op->chain);
	if (op->set)
		buf_printf(out, " %s", op->set->name);
	if (op->handle)
		buf_printf(out, " handle %" PRIu64, op->handle);
	if (op->n_elems) {
		buf_puts(out, " { ");
		for (uint32_t i = 0; i < op->n_elems && i < 4; i++) {
			buf_puts(out, i ? ", " : "");
			nft_text_elem(op->set, &op->elems[i], out);
		}
		if (op->n_elems > 4)
			buf_printf(out, ", and %" PRIu32 " more", op->n_elems - 4);
		buf_puts(out, " }");
	}
	if (op->rule && op->verb != NFTV_DEL_RULE) {
		buf_puts(out, " ");
		nft_text_rule(op->rule, op->family, out);
	}
}
