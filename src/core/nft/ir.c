/* SPDX-License-Identifier: Apache-2.0 */
/* Builders. They only put things together: what is wrong is found by nft_check(). */
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

struct nft_chain *nft_chain_get(const struct nft_table *t, const char *name)
{
	for (uint32_t i = 0; i < t->n_chains; i++)
		if (!strcmp(t->chains[i]->name, name))
			return t->chains[i];
	return NULL;
}

struct nft_set *nft_set_get(const struct nft_table *t, const char *name)
{
	for (uint32_t i = 0; i < t->n_sets; i++)
		if (!strcmp(t->sets[i]->name, name))
			return t->sets[i];
	return NULL;
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
	t->chains[t->n_chains++] = c;
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
	t->sets = v;
	t->sets[t->n_sets++] = s;
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
	struct arena *a;
	struct nft_elem *v;

	if (!s)
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

/* ---- values */

struct nft_val nft_u8(uint8_t v)
{
	return (struct nft_val){ .len = 1, .b = { v } };
}

struct nft_val nft_be16(uint16_t v)
{
	return (struct nft_val){ .len = 2, .b = { v >> 8, v & 255 } };
}

struct nft_val nft_u16h(uint16_t v)
{
	struct nft_val out = { .len = 2 };

	memcpy(out.b, &v, 2);
	return out;
}

struct nft_val nft_u32(uint32_t v)
{
	struct nft_val out = { .len = 4 };

	memcpy(out.b, &v, 4);
	return out;
}

struct nft_val nft_addr(const struct ipaddr *a)
{
	struct nft_val out = { .len = addr_len(a) };

	memcpy(out.b, a->b, out.len);
	return out;
}

struct nft_val nft_mac(const struct macaddr *m)
{
	struct nft_val out = { .len = sizeof(m->b) };

	memcpy(out.b, m->b, sizeof(m->b));
	return out;
}

struct nft_val nft_ifname(const char *name)
{
	struct nft_val out = { .len = sizeof(out.b) };

	memcpy(out.b, name, strnlen(name, sizeof(out.b) - 1));
	return out;
}

struct nft_val nft_ifname_prefix(const char *head)
{
	struct nft_val out = { .len = strnlen(head, sizeof(out.b) - 1) };

	memcpy(out.b, head, out.len);
	return out;
}

struct nft_val nft_prefix_mask(const struct prefix *p)
{
	struct nft_val out = { .len = addr_len(&p->addr) };

	for (unsigned i = 0; i < p->len; i++)
		out.b[i / 8] |= 0x80 >> i % 8;
	return out;
}

/* ---- statements */

static struct nft_keys dup_sels(struct arena *a, const struct nft_sel *v, uint32_t n)
{
	struct nft_keys k = { arena_memdup(a, v, n * sizeof(*v)), n };

	for (uint32_t i = 0; k.v && i < n; i++)
		if (v[i].n_of) {
			struct nft_sel *s = (struct nft_sel *)&k.v[i];

			s->of = arena_memdup(a, v[i].of, v[i].n_of * sizeof(*v));
		}
	return k;
}

static struct nft_keys keys_of(const struct nft_sel *sels)
{
	uint32_t n = 0;

	while (sels[n].key != NFK_NONE)
		n++;
	return (struct nft_keys){ sels, n };
}

void nft_stmt_add(struct nft_rule *r, const struct nft_stmt *s)
{
	struct nft_stmt *v, *d;
	struct arena *a;

	if (!r)
		return;
	a = r->rs->arena;
	v = grow(a, r->v, r->n, &r->cap, sizeof(*v));
	if (!v)
		return;
	r->v = v;
	d = &v[r->n++];
	*d = *s;
	switch ((enum nft_stmt_kind)s->kind) {
	case NFS_OPAQUE:
		d->opaque.name = arena_strdup(a, s->opaque.name);
		break;
	case NFS_MATCH:
		if (s->match.sel.n_of)
			d->match.sel.of = arena_memdup(a, s->match.sel.of,
						       s->match.sel.n_of * sizeof(struct nft_sel));
		break;
	case NFS_LOOKUP:
	case NFS_VMAP:
		d->lookup.keys = dup_sels(a, s->lookup.keys.v, s->lookup.keys.n);
		d->lookup.set = arena_strdup(a, s->lookup.set);
		break;
	case NFS_VERDICT:
		d->verdict.chain = arena_strdup(a, s->verdict.chain);
		break;
	case NFS_LOG:
		d->log.prefix = arena_strdup(a, s->log.prefix);
		break;
	case NFS_NAT:
	case NFS_REDIRECT:
	case NFS_MASQUERADE:
		d->nat.keys = dup_sels(a, s->nat.keys.v, s->nat.keys.n);
		d->nat.map = arena_strdup(a, s->nat.map);
		break;
	case NFS_SET:
		d->set.src.keys = dup_sels(a, s->set.src.keys.v, s->set.src.keys.n);
		d->set.src.map = arena_strdup(a, s->set.src.map);
		break;
	case NFS_DYNSET:
		d->dynset.keys = dup_sels(a, s->dynset.keys.v, s->dynset.keys.n);
		d->dynset.data = dup_sels(a, s->dynset.data.v, s->dynset.data.n);
		d->dynset.set = arena_strdup(a, s->dynset.set);
		break;
	case NFS_COUNTER:
	case NFS_LIMIT:
	case NFS_REJECT:
	case NFS_NOTRACK:
	case NFS_KIND_COUNT:
		break;
	}
}

#define STMT(r, ...) nft_stmt_add((r), &(struct nft_stmt){ __VA_ARGS__ })

void nft_match(struct nft_rule *r, struct nft_sel sel, uint8_t op, struct nft_val v)
{
	STMT(r, .kind = NFS_MATCH, .match = { .sel = sel, .op = op, .a = v });
}

void nft_match_range(struct nft_rule *r, struct nft_sel sel, uint8_t op, struct nft_val a,
		     struct nft_val b)
{
	STMT(r, .kind = NFS_MATCH, .match = { .sel = sel, .op = op, .a = a, .b = b });
}

void nft_match_mask(struct nft_rule *r, struct nft_sel sel, struct nft_val mask, uint8_t op,
		    struct nft_val v)
{
	STMT(r, .kind = NFS_MATCH, .match = { .sel = sel, .op = op, .mask = mask, .a = v });
}

void nft_match_prefix(struct nft_rule *r, struct nft_sel sel, uint8_t op, const struct prefix *p)
{
	struct prefix net = prefix_mask(p);

	if (p->len == addr_bits(&p->addr))
		nft_match(r, sel, op, nft_addr(&net.addr));
	else
		nft_match_mask(r, sel, nft_prefix_mask(p), op, nft_addr(&net.addr));
}

void nft_match_set(struct nft_rule *r, const struct nft_sel *sels, const char *set)
{
	STMT(r, .kind = NFS_LOOKUP, .lookup = { .keys = keys_of(sels), .set = set });
}

void nft_match_not_set(struct nft_rule *r, const struct nft_sel *sels, const char *set)
{
	STMT(r, .kind = NFS_LOOKUP, .lookup = { .keys = keys_of(sels), .set = set, .neg = 1 });
}

void nft_vmap(struct nft_rule *r, const struct nft_sel *sels, const char *map)
{
	STMT(r, .kind = NFS_VMAP, .lookup = { .keys = keys_of(sels), .set = map });
}

void nft_verdict(struct nft_rule *r, int32_t code, const char *chain)
{
	STMT(r, .kind = NFS_VERDICT, .verdict = { code, chain });
}

void nft_counter(struct nft_rule *r)
{
	STMT(r, .kind = NFS_COUNTER);
}

void nft_notrack(struct nft_rule *r)
{
	STMT(r, .kind = NFS_NOTRACK);
}

void nft_limit(struct nft_rule *r, uint64_t rate, uint64_t unit_s, uint32_t burst, bool over)
{
	STMT(r, .kind = NFS_LIMIT,
	     .limit = { .rate = rate, .unit = unit_s, .burst = burst, .over = over });
}

void nft_log_group(struct nft_rule *r, uint16_t group, const char *prefix)
{
	STMT(r, .kind = NFS_LOG, .log = { .has_group = 1, .group = group, .prefix = prefix });
}

void nft_reject(struct nft_rule *r, uint8_t type, uint8_t code)
{
	STMT(r, .kind = NFS_REJECT, .reject = { .type = type, .code = code });
}

void nft_masquerade(struct nft_rule *r, uint32_t flags)
{
	STMT(r, .kind = NFS_MASQUERADE, .nat = { .flags = flags });
}

void nft_nat_to(struct nft_rule *r, uint8_t type, struct nft_val addr, struct nft_val port)
{
	STMT(r, .kind = NFS_NAT,
	     .nat = { .type = type,
		      .family = addr.len == 16 ? NFPROTO_IPV6 : NFPROTO_IPV4,
		      .addr = addr,
		      .port = port });
}

void nft_nat_map(struct nft_rule *r, uint8_t type, uint8_t family, const struct nft_sel *sels,
		 const char *map, bool map_port)
{
	STMT(r, .kind = NFS_NAT,
	     .nat = { .type = type,
		      .family = family,
		      .keys = keys_of(sels),
		      .map = map,
		      .map_port = map_port });
}

void nft_redirect(struct nft_rule *r, struct nft_val port)
{
	STMT(r, .kind = NFS_REDIRECT, .nat = { .port = port });
}

void nft_set_imm(struct nft_rule *r, uint8_t target, uint32_t value)
{
	bool byte = target == NFTT_NFTRACE || target == NFTT_PKTTYPE;

	STMT(r, .kind = NFS_SET,
	     .set = { .target = target, .src.imm = byte ? nft_u8(value) : nft_u32(value) });
}

void nft_set_bits(struct nft_rule *r, uint8_t target, struct nft_sel sel, uint32_t mask,
		  uint32_t xor)
{
	STMT(r, .kind = NFS_SET,
	     .set = { .target = target,
		      .src = { .keys = { &sel, 1 },
			       .mask = mask == UINT32_MAX && !xor? 0 : mask,
			       .xor = xor} });
}

void nft_set_map(struct nft_rule *r, uint8_t target, const struct nft_sel *sels, const char *map)
{
	STMT(r, .kind = NFS_SET,
	     .set = { .target = target, .src = { .keys = keys_of(sels), .map = map } });
}

void nft_dynset(struct nft_rule *r, uint8_t op, const struct nft_sel *sels, const char *set,
		uint64_t timeout_ms)
{
	STMT(r, .kind = NFS_DYNSET,
	     .dynset = { .op = op, .keys = keys_of(sels), .set = set, .timeout_ms = timeout_ms });
}

void nft_dynset_map(struct nft_rule *r, uint8_t op, const struct nft_sel *sels,
		    const struct nft_sel *data, const char *set, uint64_t timeout_ms)
{
	STMT(r, .kind = NFS_DYNSET,
	     .dynset = { .op = op,
			 .keys = keys_of(sels),
			 .set = set,
			 .data = keys_of(data),
			 .timeout_ms = timeout_ms });
}
