/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's register machine → statements: each register remembers how it was filled, and
 * the expression that consumes it becomes a statement. What does not fit the pattern that
 * encode_expr.c writes becomes an opaque statement with the expression's name. */
#include "core/nft/regs.h"

#include <string.h>

int word_of(const struct nlattr *a)
{
	uint32_t r = attr_be32(a);

	if (!a)
		return -1;
	if (r >= NFT_REG_1 && r <= NFT_REG_4)
		return (r - NFT_REG_1) * 4;
	if (r >= NFT_REG32_00 && r < NFT_REG32_00 + WORDS)
		return r - NFT_REG32_00;
	return -1;
}

void emit(struct dec *d, const struct nft_stmt *s)
{
	nft_stmt_add(d->r, s);
	pkt_learn(&d->k, s);
}

static bool set_sel(struct dec *d, const struct nlattr *dreg, const struct nft_sel *s)
{
	int w = word_of(dreg);
	unsigned n = pad4(nft_sel_len(s)) / 4;

	if (s->key == NFK_NONE || w < 0 || !n || w + n > WORDS)
		return false;
	for (unsigned i = 0; i < n; i++)
		d->w[w + i].fill = FILL_NONE;
	d->w[w] = (struct word){ .fill = FILL_SEL, .sel = *s };
	return true;
}

/* The bits of a key that is one number. */
static bool mask_of(const struct word *x, unsigned len, uint32_t *out)
{
	uint32_t xor ;

	memcpy(&xor, x->xor, sizeof(xor));
	memcpy(out, x->mask, sizeof(*out));
	return len == 4 && nft_sel_len(&x->sel) == 4 && *out && !xor;
}

struct nft_keys gather(struct dec *d, int w, unsigned len)
{
	struct nft_sel v[WORDS];
	struct nft_keys none = { NULL, 0 };
	unsigned n = 0, got = 0;

	if (w < 0 || !len)
		return none;
	while (got < len) {
		const struct word *x = w < WORDS ? &d->w[w] : NULL;

		if (!x || x->fill != FILL_SEL || x->swapped)
			return none;
		v[n] = x->sel;
		if (x->masked && !mask_of(x, len, &v[n].mask))
			return none;
		n++;
		got += pad4(nft_sel_len(&x->sel));
		w += pad4(nft_sel_len(&x->sel)) / 4;
	}
	if (got != pad4(len))
		return none;
	return (struct nft_keys){ arena_memdup(d->a, v, n * sizeof(*v)), n };
}

/* ---- expressions that fill registers */

static bool dec_meta(struct dec *d, const struct attrs *t)
{
	struct nft_sel s = sel_from_load(LOAD_META, attr_be32(t->v[NFTA_META_KEY]), 0);

	return set_sel(d, t->v[NFTA_META_DREG], &s);
}

static bool dec_ct(struct dec *d, const struct attrs *t)
{
	unsigned dir = t->v[NFTA_CT_DIRECTION] ? attr_u8(t->v[NFTA_CT_DIRECTION]) : 255;
	struct nft_sel s = sel_from_load(LOAD_CT, attr_be32(t->v[NFTA_CT_KEY]), dir);

	return set_sel(d, t->v[NFTA_CT_DREG], &s);
}

static bool dec_fib(struct dec *d, const struct attrs *t)
{
	struct nft_sel s = sel_from_load(LOAD_FIB, attr_be32(t->v[NFTA_FIB_RESULT]),
					 attr_be32(t->v[NFTA_FIB_FLAGS]));

	return set_sel(d, t->v[NFTA_FIB_DREG], &s);
}

static bool dec_rt(struct dec *d, const struct attrs *t)
{
	struct nft_sel s = sel_from_load(LOAD_RT, attr_be32(t->v[NFTA_RT_KEY]), 0);

	return set_sel(d, t->v[NFTA_RT_DREG], &s);
}

static bool dec_numgen(struct dec *d, const struct attrs *t)
{
	struct nft_sel s = sel_from_load(LOAD_NUMGEN, attr_be32(t->v[NFTA_NG_TYPE]), 0);

	s.modulus = attr_be32(t->v[NFTA_NG_MODULUS]);
	s.add = attr_be32(t->v[NFTA_NG_OFFSET]);
	return set_sel(d, t->v[NFTA_NG_DREG], &s);
}

static bool dec_hash(struct dec *d, const struct attrs *t)
{
	struct nft_keys of;
	struct nft_sel s = { .key = NFK_JHASH };

	if (attr_be32(t->v[NFTA_HASH_TYPE]) != NFT_HASH_JENKINS)
		return false;
	of = gather(d, word_of(t->v[NFTA_HASH_SREG]), attr_be32(t->v[NFTA_HASH_LEN]));
	if (!of.n || !of.v)
		return false;
	for (unsigned i = 0; i < of.n; i++)
		if (of.v[i].n_of)
			return false;
	s.of = of.v;
	s.n_of = of.n;
	s.modulus = attr_be32(t->v[NFTA_HASH_MODULUS]);
	s.seed = attr_be32(t->v[NFTA_HASH_SEED]);
	s.add = attr_be32(t->v[NFTA_HASH_OFFSET]);
	return set_sel(d, t->v[NFTA_HASH_DREG], &s);
}

static bool dec_payload(struct dec *d, const struct attrs *t)
{
	uint32_t base = attr_be32(t->v[NFTA_PAYLOAD_BASE]);
	uint32_t off = attr_be32(t->v[NFTA_PAYLOAD_OFFSET]),
		 len = attr_be32(t->v[NFTA_PAYLOAD_LEN]);
	struct nft_sel s;

	if (t->v[NFTA_PAYLOAD_SREG] || base > NFT_PAYLOAD_INNER_HEADER || off > 8191 || !len ||
	    len > 16)
		return false;
	s = sel_from_payload(base, off, len, d->k.l3, d->k.l4);
	return set_sel(d, t->v[NFTA_PAYLOAD_DREG], &s);
}

static bool dec_bitwise(struct dec *d, const struct attrs *t)
{
	int from = word_of(t->v[NFTA_BITWISE_SREG]), to = word_of(t->v[NFTA_BITWISE_DREG]);
	uint32_t len = attr_be32(t->v[NFTA_BITWISE_LEN]);
	const uint8_t *mask, *xor;
	struct word *w;

	if (from < 0 || to < 0 || !len || len > 16 || attr_be32(t->v[NFTA_BITWISE_OP]))
		return false;
	w = &d->w[from];
	mask = attr_value(t->v[NFTA_BITWISE_MASK], len);
	xor = attr_value(t->v[NFTA_BITWISE_XOR], len);
	if (w->fill != FILL_SEL || w->masked || w->swapped || nft_sel_len(&w->sel) != len ||
	    !mask || !xor)
		return false;
	d->w[to] = *w;
	w = &d->w[to];
	w->masked = 1;
	memcpy(w->mask, mask, len);
	memcpy(w->xor, xor, len);
	return true;
}

static bool dec_byteorder(struct dec *d, const struct attrs *t)
{
	int from = word_of(t->v[NFTA_BYTEORDER_SREG]), to = word_of(t->v[NFTA_BYTEORDER_DREG]);
	uint32_t len = attr_be32(t->v[NFTA_BYTEORDER_LEN]);

	if (from < 0 || to < 0 || d->w[from].fill != FILL_SEL || d->w[from].swapped ||
	    d->w[from].masked || nft_sel_len(&d->w[from].sel) != len ||
	    attr_be32(t->v[NFTA_BYTEORDER_SIZE]) != len || !sel_host(&d->w[from].sel))
		return false;
	d->w[to] = d->w[from];
	d->w[to].swapped = 1;
	return true;
}

static bool dec_immediate(struct dec *d, const struct attrs *t)
{
	int w = word_of(t->v[NFTA_IMMEDIATE_DREG]);
	size_t n = attr_value_len(t->v[NFTA_IMMEDIATE_DATA]);
	struct nft_stmt s = { .kind = NFS_VERDICT };

	if (t->v[NFTA_IMMEDIATE_DREG] && !attr_be32(t->v[NFTA_IMMEDIATE_DREG])) {
		if (!attr_verdict(d->a, t->v[NFTA_IMMEDIATE_DATA], &s.verdict))
			return false;
		emit(d, &s);
		return true;
	}
	if (w < 0 || !n || n > 16)
		return false;
	d->w[w] = (struct word){ .fill = FILL_IMM, .imm.len = n };
	memcpy(d->w[w].imm.b, attr_value(t->v[NFTA_IMMEDIATE_DATA], n), n);
	return true;
}

static bool dec_meta_any(struct dec *d, const struct attrs *t)
{
	if (t->v[NFTA_META_SREG])
		return dec_set(d, t->v[NFTA_META_KEY], t->v[NFTA_META_SREG], false);
	return dec_meta(d, t);
}

static bool dec_ct_any(struct dec *d, const struct attrs *t)
{
	if (t->v[NFTA_CT_SREG])
		return dec_set(d, t->v[NFTA_CT_KEY], t->v[NFTA_CT_SREG], true);
	return dec_ct(d, t);
}

static const struct {
	const char *name;
	bool (*fn)(struct dec *, const struct attrs *);
} exprs_known[] = {
	{ "meta", dec_meta_any },   { "payload", dec_payload }, { "cmp", dec_cmp },
	{ "lookup", dec_lookup },   { "counter", dec_counter }, { "immediate", dec_immediate },
	{ "ct", dec_ct_any },       { "bitwise", dec_bitwise }, { "byteorder", dec_byteorder },
	{ "range", dec_range },     { "fib", dec_fib },         { "rt", dec_rt },
	{ "numgen", dec_numgen },   { "hash", dec_hash },       { "nat", dec_nat },
	{ "masq", dec_masq },       { "redir", dec_redir },     { "dynset", dec_dynset },
	{ "limit", dec_limit },     { "log", dec_log },         { "reject", dec_reject },
	{ "notrack", dec_notrack },
};

static void dec_one(struct dec *d, const struct nlattr *expr)
{
	struct nft_stmt opaque = { .kind = NFS_OPAQUE };
	struct attrs t, data;

	attrs_nest(&t, expr);
	attrs_nest(&data, t.v[NFTA_EXPR_DATA]);
	for (unsigned i = 0; i < sizeof(exprs_known) / sizeof(exprs_known[0]); i++)
		if (attr_is(t.v[NFTA_EXPR_NAME], exprs_known[i].name)) {
			if (exprs_known[i].fn(d, &data))
				return;
			break;
		}
	opaque.opaque.name = attr_str(d->a, t.v[NFTA_EXPR_NAME]);
	if (!opaque.opaque.name)
		opaque.opaque.name = "?";
	memset(d->w, 0, sizeof(d->w));
	emit(d, &opaque);
}

void decode_exprs(struct nft_rule *r, const struct nft_table *t, const struct nlattr *exprs)
{
	struct dec d = { .r = r, .t = t, .a = r->rs->arena };
	const struct nlattr *attr;

	pkt_init(&d.k, t->family);
	if (!exprs)
		return;
	mnl_attr_for_each_nested(attr, exprs) dec_one(&d, attr);
	/* What a later statement implies was written by the encoder. */
	for (uint32_t i = 0; i < r->n;) {
		if (!pkt_redundant(r, t->family, i)) {
			i++;
			continue;
		}
		memmove(&r->v[i], &r->v[i + 1], (r->n - i - 1) * sizeof(*r->v));
		r->n--;
	}
}
