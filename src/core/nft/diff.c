/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the operations, so that each finds what it refers to:
 *   sets and chains that are missing are added; elements and rules that are too many go;
 *   missing elements and rules come; what nothing refers to any more is deleted.
 * Rules are compared by their encoded expressions, which is what the kernel will run. */
#include "core/nft/diff.h"

#include "base/text.h"
#include "core/nft/encode.h"
#include "core/nft/sel.h"
#include "core/nft/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct work {
	struct nft_diff *d;
	struct arena *a;
	struct err *e;
	const struct nft_table *want, *have;
};

static void find(struct work *w, uint8_t kind, const char *what, const char *name, uint32_t n)
{
	struct nft_diff *d = w->d;
	struct nft_finding *v =
		grow(w->a, d->findings, d->n_findings, &d->cap_findings, sizeof(*v));

	if (!v)
		return;
	d->findings = v;
	v[d->n_findings++] = (struct nft_finding){ .kind = kind,
						   .family = w->want->family,
						   .what = what,
						   .table = w->want->name,
						   .name = name,
						   .n = n };
}

static struct nft_op op_of(const struct work *w, uint8_t verb)
{
	return (struct nft_op){
		.verb = verb, .family = w->want->family, .table = w->want->name, .t = w->want
	};
}

static void add_op(struct work *w, struct nft_op op)
{
	nft_op_add(&w->d->ops, &op);
}

/* ---- is a declaration the same? */

static bool parts_same(const struct nft_part *a, const struct nft_part *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (a[i].type != b[i].type || !sel_eq(&a[i].sel, &b[i].sel))
			return false;
	return true;
}

static bool set_same(const struct nft_set *a, const struct nft_set *b)
{
	return a->flags == b->flags && a->n_key == b->n_key && a->n_data == b->n_data &&
	       a->key_len == b->key_len && a->data_len == b->data_len && a->size == b->size &&
	       a->timeout_ms == b->timeout_ms && a->counter == b->counter &&
	       text_eq_or_empty(a->comment, b->comment) && parts_same(a->key, b->key, a->n_key) &&
	       parts_same(a->data, b->data, a->n_data);
}

static bool chain_same(const struct nft_chain *a, const struct nft_chain *b)
{
	if (a->base != b->base)
		return false;
	if (!a->base)
		return true;
	if (!text_eq_or_empty(a->type, b->type) || a->hook != b->hook ||
	    a->priority != b->priority || a->policy != b->policy || a->n_devs != b->n_devs)
		return false;
	for (uint32_t i = 0; i < a->n_devs; i++)
		if (!text_eq_or_empty(a->devs[i], b->devs[i]))
			return false;
	return true;
}

/* Everything that is on both sides is declared the same; says what is not. */
static bool declared_same(struct work *w)
{
	bool same = true;

	if (w->want->flags != w->have->flags ||
	    !text_eq_or_empty(w->want->comment, w->have->comment)) {
		find(w, NFTF_CHANGED, "table", NULL, 1);
		same = false;
	}
	for (uint32_t i = 0; i < w->want->n_sets; i++) {
		const struct nft_set *a = w->want->sets[i], *b = nft_set_get(w->have, a->name);

		if (b && !set_same(a, b)) {
			find(w, NFTF_CHANGED, "set", a->name, 1);
			same = false;
		}
	}
	for (uint32_t i = 0; i < w->want->n_chains; i++) {
		const struct nft_chain *a = w->want->chains[i],
				       *b = nft_chain_get(w->have, a->name);

		if (b && !chain_same(a, b)) {
			find(w, NFTF_CHANGED, "chain", a->name, 1);
			same = false;
		}
	}
	return same;
}

/* ---- elements */

struct sorted {
	const struct nft_elem *e;
	uint16_t len;
};

static const uint8_t *last_of(const struct nft_elem *e)
{
	return e->key_end ? e->key_end : e->key;
}

static int cmp_keys(const void *x, const void *y)
{
	const struct sorted *a = x, *b = y;
	int c = memcmp(a->e->key, b->e->key, a->len);

	return c ? c : memcmp(last_of(a->e), last_of(b->e), a->len);
}

static struct sorted *sorted(struct arena *a, const struct nft_set *s)
{
	struct sorted *v = arena_array(a, s ? s->n : 0, sizeof(*v));

	for (uint32_t i = 0; v && s && i < s->n; i++)
		v[i] = (struct sorted){ &s->elems[i], s->key_len };
	if (v && s)
		qsort(v, s->n, sizeof(*v), cmp_keys);
	return v;
}

static bool elem_same(const struct nft_set *s, const struct nft_elem *a, const struct nft_elem *b)
{
	if (!text_eq_or_empty(a->comment, b->comment) || a->timeout_ms != b->timeout_ms)
		return false;
	if (!s->n_data)
		return true;
	if (nft_set_is_vmap(s))
		return a->verdict.code == b->verdict.code &&
		       text_eq_or_empty(a->verdict.chain, b->verdict.chain);
	return !memcmp(a->data, b->data, s->data_len);
}

/* First what must go: the kernel refuses another element with a key that is there. */
struct elems_diff {
	struct nft_ops del, add;
	uint32_t missing, changed, extra;
};

static void diff_elems(struct work *w, const struct nft_set *want, const struct nft_set *have,
		       struct elems_diff *d)
{
	struct sorted *a = sorted(w->a, want), *b = sorted(w->a, have);
	uint32_t i = 0, j = 0, nb = have ? have->n : 0;

	nft_ops_init(&d->del, w->a);
	nft_ops_init(&d->add, w->a);
	if (!a || !b)
		return;
	while (i < want->n || j < nb) {
		int c = i == want->n ? 1 : j == nb ? -1 : cmp_keys(&a[i], &b[j]);

		if (c > 0) {
			nft_ops_elem(&d->del, NFTV_DEL_ELEMS, want, b[j++].e);
			d->extra++;
			continue;
		}
		if (c < 0) {
			nft_ops_elem(&d->add, NFTV_ADD_ELEMS, want, a[i++].e);
			d->missing++;
			continue;
		}
		if (!elem_same(want, a[i].e, b[j].e)) {
			nft_ops_elem(&d->del, NFTV_DEL_ELEMS, want, b[j].e);
			nft_ops_elem(&d->add, NFTV_ADD_ELEMS, want, a[i].e);
			d->changed++;
		}
		i++;
		j++;
	}
}

static void append(struct work *w, const struct nft_ops *ops)
{
	for (uint32_t i = 0; i < ops->n; i++)
		add_op(w, ops->v[i]);
}

static void elems_of_set(struct work *w, const struct nft_set *want, struct nft_ops *del,
			 struct nft_ops *add)
{
	const struct nft_set *have = nft_set_get(w->have, want->name);
	struct elems_diff d = { 0 };

	if (want->flags & NFT_SET_EVAL && have)
		return;
	diff_elems(w, want, have, &d);
	if (d.missing && have)
		find(w, NFTF_MISSING, "element", want->name, d.missing);
	if (d.changed)
		find(w, NFTF_CHANGED, "element", want->name, d.changed);
	if (d.extra)
		find(w, NFTF_EXTRA, "element", want->name, d.extra);
	for (uint32_t i = 0; i < d.del.n; i++)
		nft_op_add(del, &d.del.v[i]);
	for (uint32_t i = 0; i < d.add.n; i++)
		nft_op_add(add, &d.add.v[i]);
}

/* ---- rules */

struct coded {
	const struct nft_rule *r;
	const void *p;
	size_t n;
};

/* What the rules of a chain are as bytes. An opaque rule equals nothing. */
static struct coded *coded(struct work *w, const struct nft_chain *c, bool ours, int *rc)
{
	struct coded *v = arena_array(w->a, c->n, sizeof(*v));

	for (uint32_t i = 0; v && i < c->n; i++) {
		struct buf b = { 0 };
		int r = nft_encode_exprs(c->rules[i], w->want->family, &b, ours ? w->e : NULL);

		v[i].r = c->rules[i];
		if (!r) {
			v[i].n = b.n;
			v[i].p = arena_memdup(w->a, b.v, b.n);
		} else if (ours) {
			*rc = err_wrap(w->e, "rule %u of chain %s", i + 1, c->name);
		}
		buf_fini(&b);
	}
	return v;
}

static bool coded_same(const struct coded *a, const struct coded *b)
{
	return a->p && b->p && a->n == b->n && !memcmp(a->p, b->p, a->n) &&
	       text_eq_or_empty(a->r->comment, b->r->comment);
}

static void put_rule(struct work *w, struct nft_ops *to, uint8_t verb, const char *chain,
		     const struct nft_rule *r, uint64_t handle)
{
	struct nft_op op = op_of(w, verb);

	op.chain = chain;
	op.rule = r;
	op.handle = handle;
	nft_op_add(to, &op);
}

/* The rules between an equal head and an equal tail are taken out and put in anew. */
static int rules_of_chain(struct work *w, const struct nft_chain *want, struct nft_ops *del,
			  struct nft_ops *add)
{
	static const struct nft_chain none;
	const struct nft_chain *found = nft_chain_get(w->have, want->name);
	const struct nft_chain *have = found ? found : &none;
	uint32_t head = 0, tail = 0, m = want->n, n = have->n;
	bool handles = true;
	int rc = 0;
	struct coded *a = coded(w, want, true, &rc), *b = coded(w, have, false, &rc);

	if (rc || !a || !b)
		return rc;
	while (head < m && head < n && coded_same(&a[head], &b[head]))
		head++;
	while (tail < m - head && tail < n - head && coded_same(&a[m - 1 - tail], &b[n - 1 - tail]))
		tail++;
	if (head == m && head == n)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		handles &= have->rules[i]->handle != 0;
	if (found && m - head > tail)
		find(w, n - head > tail ? NFTF_CHANGED : NFTF_MISSING, "rule", want->name,
		     m - head - tail);
	else if (found)
		find(w, NFTF_EXTRA, "rule", want->name, n - head - tail);
	if (!handles && n) {
		struct nft_op op = op_of(w, NFTV_FLUSH_CHAIN);

		op.c = want;
		op.chain = want->name;
		nft_op_add(del, &op);
		head = tail = 0;
		n = 0;
	}
	for (uint32_t i = head; i + tail < n; i++)
		put_rule(w, del, NFTV_DEL_RULE, want->name, have->rules[i], have->rules[i]->handle);
	/* New ones stand before the tail's first rule, each behind the one before it. */
	for (uint32_t i = head; i + tail < m; i++)
		if (tail)
			put_rule(w, add, NFTV_INSERT_RULE, want->name, want->rules[i],
				 have->rules[n - tail]->handle);
		else
			put_rule(w, add, NFTV_ADD_RULE, want->name, want->rules[i], 0);
	return 0;
}

/* ---- what is missing, what is too many */

static void missing_decls(struct work *w)
{
	struct nft_op op;

	for (uint32_t i = 0; i < w->want->n_sets; i++) {
		if (nft_set_get(w->have, w->want->sets[i]->name))
			continue;
		find(w, NFTF_MISSING, "set", w->want->sets[i]->name, 1);
		op = op_of(w, NFTV_ADD_SET);
		op.set = w->want->sets[i];
		add_op(w, op);
	}
	for (uint32_t i = 0; i < w->want->n_chains; i++) {
		if (nft_chain_get(w->have, w->want->chains[i]->name))
			continue;
		find(w, NFTF_MISSING, "chain", w->want->chains[i]->name, 1);
		op = op_of(w, NFTV_ADD_CHAIN);
		op.c = w->want->chains[i];
		op.chain = op.c->name;
		add_op(w, op);
	}
}

/* What a rule brought without a name of its own goes with the rule. Other chains that are too many lose their rules first, then themselves, so that it does not matter
 * which of them jumps to which. */
static void extra_chains(struct work *w, bool flush)
{
	for (uint32_t i = 0; i < w->have->n_chains; i++) {
		const struct nft_chain *c = w->have->chains[i];
		struct nft_op op = op_of(w, flush ? NFTV_FLUSH_CHAIN : NFTV_DEL_CHAIN);

		if (nft_chain_get(w->want, c->name) || (flush && !c->n) || c->binding)
			continue;
		if (!flush)
			find(w, NFTF_EXTRA, "chain", c->name, 1);
		op.c = c;
		op.chain = c->name;
		add_op(w, op);
	}
}

static void extra_sets(struct work *w, bool flush)
{
	for (uint32_t i = 0; i < w->have->n_sets; i++) {
		const struct nft_set *s = w->have->sets[i];
		struct nft_op op = op_of(w, flush ? NFTV_FLUSH_SET : NFTV_DEL_SET);

		if (nft_set_get(w->want, s->name) || s->flags & NFT_SET_ANONYMOUS)
			continue;
		/* Its elements may jump to a chain that goes. */
		if (flush && !nft_set_is_vmap(s))
			continue;
		if (!flush)
			find(w, NFTF_EXTRA, "set", s->name, 1);
		op.set = s;
		add_op(w, op);
	}
}

static int diff_table(struct work *w)
{
	struct nft_ops del_e, add_e, del_r, add_r;
	int r = 0;

	if (!w->have) {
		find(w, NFTF_MISSING, "table", NULL, 1);
		nft_ops_load_table(&w->d->ops, w->want);
		return 0;
	}
	if (!declared_same(w)) {
		add_op(w, op_of(w, NFTV_DEL_TABLE));
		w->d->anew |= 1u << w->want->family;
		nft_ops_load_table(&w->d->ops, w->want);
		return 0;
	}
	nft_ops_init(&del_e, w->a);
	nft_ops_init(&add_e, w->a);
	nft_ops_init(&del_r, w->a);
	nft_ops_init(&add_r, w->a);
	for (uint32_t i = 0; i < w->want->n_sets; i++)
		elems_of_set(w, w->want->sets[i], &del_e, &add_e);
	for (uint32_t i = 0; !r && i < w->want->n_chains; i++)
		r = rules_of_chain(w, w->want->chains[i], &del_r, &add_r);
	if (r)
		return r;
	missing_decls(w);
	append(w, &del_r);
	extra_chains(w, true);
	append(w, &del_e);
	append(w, &add_e);
	append(w, &add_r);
	extra_sets(w, true);
	extra_chains(w, false);
	extra_sets(w, false);
	return 0;
}

int nft_diff(struct nft_diff *d, const struct nft_ruleset *want, const struct nft_ruleset *have,
	     struct arena *a, struct err *e)
{
	*d = (struct nft_diff){ .ops = { .arena = a } };
	for (uint32_t i = 0; i < want->n; i++) {
		const struct nft_table *t = want->tables[i];
		struct work w = { d, a, e, t, nft_table_get(have, t->family, t->name) };
		int r = diff_table(&w);

		if (r)
			return err_wrap(e, "table %s %s", text_family(t->family), t->name);
	}
	nft_ops_step(&d->ops);
	return a->failed ? err_set(e, -ENOMEM, "no memory for the nftables diff") : 0;
}

void nft_finding_str(const struct nft_finding *f, struct buf *out)
{
	static const char *const kind[] = { "missing", "changed", "extra" };

	buf_printf(out, "%s %s %s %s", kind[f->kind % 3], f->what, text_family(f->family),
		   f->table);
	if (f->name)
		buf_printf(out, " %s", f->name);
	if (f->n > 1)
		buf_printf(out, " (%" PRIu32 ")", f->n);
}
