/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of values and statements. What a statement points at is copied into the arena. */
#include "core/nft/sel.h"

#include <string.h>

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
