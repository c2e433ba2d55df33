/* SPDX-License-Identifier: Apache-2.0 */
/* Builders. They only put things together: what is wrong is found by nft_check(). */
#include "base/hash.h"
#include "core/nft/sel.h"

#include <stdio.h>
#include <string.h>

void *grow(struct arena *a, void *v, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 8;
	void *p;

	if (n < *cap)
		return v;
	p = want > n ? arena_array(a, want, size) : NULL;
	if (!p) {
		a->failed = true;
		return NULL;
	}
	if (n)
		memcpy(p, v, n * size);
	*cap = want;
	return p;
}

static void complain(struct nft_ruleset *rs, const char *what, const char *name)
{
	if (!rs->bad[0])
		snprintf(rs->bad, sizeof(rs->bad), "%s: %.80s", what, name ? name : "?");
}

void nft_ruleset_init(struct nft_ruleset *rs, struct arena *a)
{
	*rs = (struct nft_ruleset){ .arena = a };
}

struct nft_table *nft_table_get(const struct nft_ruleset *rs, uint8_t family, const char *name)
{
	for (uint32_t i = 0; i < rs->n; i++)
		if (rs->tables[i]->family == family && !strcmp(rs->tables[i]->name, name))
			return rs->tables[i];
	return NULL;
}

/* ---- chains and sets by name: there may be thousands, and each rule and element names some */

typedef const char *name_at_fn(const struct nft_table *t, uint32_t i);

static const char *chain_name(const struct nft_table *t, uint32_t i)
{
	return t->chains[i]->name;
}

static const char *set_name(const struct nft_table *t, uint32_t i)
{
	return t->sets[i]->name;
}

/* Where the name stands, or where it would; the index has a free place. */
static uint32_t *place_of(const struct nft_table *t, const struct nft_index *x, name_at_fn *name_at,
			  const char *name)
{
	uint32_t i = (uint32_t)fnv64_text(FNV64_START, name);

	for (;; i++) {
		uint32_t *p = &x->v[i & (x->cap - 1)];

		if (!*p || !strcmp(name_at(t, *p - 1), name))
			return p;
	}
}

/* The next one, at position x->n, is found by its name from now on. It is in its array already. */
static bool index_add(struct nft_table *t, struct nft_index *x, name_at_fn *name_at)
{
	struct nft_index big = *x;

	if (2 * (x->n + 1) > x->cap) {
		big.cap = x->cap ? 2 * x->cap : 16;
		big.v = arena_array(t->rs->arena, big.cap, sizeof(*big.v));
		if (!big.v)
			return false;
		for (uint32_t i = 0; i < x->n; i++)
			*place_of(t, &big, name_at, name_at(t, i)) = i + 1;
	}
	*x = big;
	*place_of(t, x, name_at, name_at(t, x->n)) = x->n + 1;
	x->n++;
	return true;
}

struct nft_chain *nft_chain_get(const struct nft_table *t, const char *name)
{
	const struct nft_index *x = &t->chain_index;
	uint32_t at = x->cap && name ? *place_of(t, x, chain_name, name) : 0;

	return at ? t->chains[at - 1] : NULL;
}

struct nft_set *nft_set_get(const struct nft_table *t, const char *name)
{
	const struct nft_index *x = &t->set_index;
	uint32_t at = x->cap && name ? *place_of(t, x, set_name, name) : 0;

	return at ? t->sets[at - 1] : NULL;
}

struct nft_table *nft_table_add(struct nft_ruleset *rs, uint8_t family, const char *name)
{
	struct nft_table *t = nft_table_get(rs, family, name), **v;

	if (t)
		return t;
	v = grow(rs->arena, rs->tables, rs->n, &rs->cap, sizeof(*v));
	t = arena_alloc(rs->arena, sizeof(*t));
	if (!v || !t)
		return NULL;
	t->family = family;
	t->name = arena_strdup(rs->arena, name);
	t->rs = rs;
	if (!t->name)
		return NULL;
	rs->tables = v;
	rs->tables[rs->n++] = t;
	return t;
}

struct nft_chain *nft_chain_add(struct nft_table *t, const char *name)
{
	struct nft_chain *c, **v;

	if (!t)
		return NULL;
	c = nft_chain_get(t, name);
	if (c)
		return c;
	v = grow(t->rs->arena, t->chains, t->n_chains, &t->cap_chains, sizeof(*v));
	c = arena_alloc(t->rs->arena, sizeof(*c));
	if (!v || !c)
		return NULL;
	c->name = arena_strdup(t->rs->arena, name);
	c->table = t;
	if (!c->name)
		return NULL;
	t->chains = v;
	t->chains[t->n_chains] = c;
	if (!index_add(t, &t->chain_index, chain_name))
		return NULL;
	t->n_chains++;
	return c;
}

struct nft_chain *nft_base_add(struct nft_table *t, const char *name, const char *type,
			       uint32_t hook, int32_t priority)
{
	struct nft_chain *c = nft_chain_add(t, name);

	if (!c)
		return NULL;
	c->base = 1;
	c->type = arena_strdup(t->rs->arena, type);
	c->hook = hook;
	c->priority = priority;
	c->policy = NF_ACCEPT;
	return c;
}

static struct nft_set *set_new(struct nft_table *t, const char *name, uint32_t flags)
{
	struct nft_set *s, **v;

	if (!t)
		return NULL;
	s = nft_set_get(t, name);
	if (s) {
		complain(t->rs, "set made twice", name);
		return NULL;
	}
	v = grow(t->rs->arena, t->sets, t->n_sets, &t->cap_sets, sizeof(*v));
	s = arena_alloc(t->rs->arena, sizeof(*s));
	if (!v || !s)
		return NULL;
	s->name = arena_strdup(t->rs->arena, name);
	s->flags = flags;
	s->table = t;
	if (!s->name)
		return NULL;
	if (t->rs->filter)
		s->wanted = t->rs->filter->wants(t->rs->filter->arg, s);
	s->at = t->n_sets;
	t->sets = v;
	t->sets[t->n_sets] = s;
	if (!index_add(t, &t->set_index, set_name))
		return NULL;
	t->n_sets++;
	return s;
}

static void parts_types(struct nft_set *s, struct nft_part *v, uint8_t *n, uint16_t *len,
			const uint8_t *types)
{
	*n = 0;
	*len = 0;
	for (; *types != NFTY_NONE; types++) {
		if (*n == NFT_PARTS_MAX || *types == NFTY_INTEGER) {
			complain(s->table->rs, "key cannot be declared by type", s->name);
			return;
		}
		v[(*n)++] = (struct nft_part){ .type = *types };
		*len += pad4(type_info(*types)->len);
	}
	if (*n == 1)
		*len = type_info(v[0].type)->len;
}

static void parts_sels(struct nft_set *s, struct nft_part *v, uint8_t *n, uint16_t *len,
		       const struct nft_sel *sels)
{
	*n = 0;
	*len = 0;
	for (; sels->key != NFK_NONE; sels++) {
		if (*n == NFT_TYPEOF_MAX || !sel_typeof(sels)) {
			complain(s->table->rs, "key cannot be declared by typeof", s->name);
			return;
		}
		v[(*n)++] = (struct nft_part){ .type = sel_type(sels), .sel = *sels };
		*len += pad4(nft_sel_len(sels));
	}
	if (*n == 1)
		*len = nft_sel_len(&v[0].sel);
}

struct nft_set *nft_set_add(struct nft_table *t, const char *name, uint32_t flags,
			    const uint8_t *types)
{
	struct nft_set *s = set_new(t, name, flags);

	if (s)
		parts_types(s, s->key, &s->n_key, &s->key_len, types);
	return s;
}

struct nft_set *nft_set_typeof(struct nft_table *t, const char *name, uint32_t flags,
			       const struct nft_sel *sels)
{
	struct nft_set *s = set_new(t, name, flags);

	if (s)
		parts_sels(s, s->key, &s->n_key, &s->key_len, sels);
	return s;
}

struct nft_set *nft_set_like(struct nft_table *t, const struct nft_set *like)
{
	struct nft_set *s = set_new(t, like->name, like->flags), made;

	if (!s)
		return NULL;
	made = *like;
	made.name = s->name;
	made.comment = arena_strdup(t->rs->arena, like->comment);
	made.table = t;
	made.at = s->at;
	made.wanted = s->wanted;
	made.n = made.cap = 0;
	made.elems = NULL;
	*s = made;
	return s;
}

void nft_set_data(struct nft_set *s, const uint8_t *types)
{
	if (!s)
		return;
	s->flags |= NFT_SET_MAP;
	parts_types(s, s->data, &s->n_data, &s->data_len, types);
}

void nft_set_data_typeof(struct nft_set *s, const struct nft_sel *sels)
{
	if (!s)
		return;
	s->flags |= NFT_SET_MAP;
	parts_sels(s, s->data, &s->n_data, &s->data_len, sels);
}

bool nft_set_is_vmap(const struct nft_set *s)
{
	return s->n_data == 1 && s->data[0].type == NFTY_VERDICT;
}

int nft_elem_copy(struct arena *a, const struct nft_set *s, const struct nft_elem *e,
		  struct nft_elem *out)
{
	*out = *e;
	out->key = arena_memdup(a, e->key, s->key_len);
	if (e->key_end)
		out->key_end = arena_memdup(a, e->key_end, s->key_len);
	if (e->data)
		out->data = arena_memdup(a, e->data, s->data_len);
	out->verdict.chain = arena_strdup(a, e->verdict.chain);
	out->comment = arena_strdup(a, e->comment);
	return a->failed ? -1 : 0;
}

struct nft_elem *nft_elem_add(struct nft_set *s, const struct nft_elem *e)
{
	const struct nft_filter *filter = s ? s->table->rs->filter : NULL;
	struct arena *a;
	struct nft_elem *v;

	if (!s || (filter && (!s->wanted || !filter->keeps(filter->arg, s, e))))
		return NULL;
	a = s->table->rs->arena;
	v = grow(a, s->elems, s->n, &s->cap, sizeof(*v));
	if (!v)
		return NULL;
	s->elems = v;
	if (nft_elem_copy(a, s, e, &v[s->n]))
		return NULL;
	return &v[s->n++];
}

uint32_t nft_key_put(uint8_t *key, uint32_t n, const void *part, uint32_t len)
{
	if (n + len > NFT_KEY_MAX)
		return n;
	memcpy(key + n, part, len);
	return n + pad4(len);
}

uint32_t nft_key_addr(uint8_t *key, uint32_t n, const struct ipaddr *a)
{
	return nft_key_put(key, n, a->b, addr_len(a));
}

uint32_t nft_key_ifname(uint8_t *key, uint32_t n, const char *ifname)
{
	struct nft_val v = nft_ifname(ifname);

	return nft_key_put(key, n, v.b, v.len);
}

uint32_t nft_key_mac(uint8_t *key, uint32_t n, const struct macaddr *m)
{
	return nft_key_put(key, n, m->b, sizeof(m->b));
}

struct nft_rule *nft_rule_add(struct nft_chain *c, const char *comment)
{
	struct nft_rule *r, **v;
	struct arena *a;

	if (!c)
		return NULL;
	a = c->table->rs->arena;
	v = grow(a, c->rules, c->n, &c->cap, sizeof(*v));
	r = arena_alloc(a, sizeof(*r));
	if (!v || !r)
		return NULL;
	r->comment = arena_strdup(a, comment);
	r->rs = c->table->rs;
	c->rules = v;
	c->rules[c->n++] = r;
	return r;
}
