/* SPDX-License-Identifier: Apache-2.0 */
/* What can be known to be wrong before the kernel says so in one errno for a whole batch. */
#include "core/nft/sel.h"

#include <errno.h>
#include <string.h>

struct place {
	const struct nft_table *t;
	const struct nft_chain *c;
};

static int check_name(const char *what, const char *s, struct err *e)
{
	size_t n = s ? strlen(s) : 0;

	if (!n || n >= NFT_NAME_MAXLEN)
		return err_set(e, -EINVAL, "%s: name must have 1 to %d characters", what,
			       NFT_NAME_MAXLEN - 1);
	return 0;
}

/* Quoted strings of nft have no escape. */
static int check_text(const char *what, const char *s, size_t max, struct err *e)
{
	if (!s)
		return 0;
	if (!*s || strlen(s) > max || strpbrk(s, "\"\n"))
		return err_set(e, -EINVAL, "%s must be 1 to %zu characters without quotes", what,
			       max);
	return 0;
}

static unsigned part_len(const struct nft_part *p)
{
	return p->sel.key ? nft_sel_len(&p->sel) : type_info(p->type)->len;
}

static int check_parts(const struct nft_part *v, unsigned n, bool vmap, struct err *e)
{
	for (unsigned i = 0; i < n; i++) {
		if (!v[i].sel.key != !v[0].sel.key)
			return err_set(e, -EINVAL, "types and typeof are mixed");
		if (!vmap && !part_len(&v[i]))
			return err_set(e, -EINVAL, "part %u has no length", i + 1);
	}
	return 0;
}

/* nft 1.0.6 aborts on listing them. */
static bool many_flags(const struct nft_set *s, const uint8_t *key)
{
	for (unsigned i = 0, at = 0; i < s->n_key; i++) {
		uint32_t v = 0;

		memcpy(&v, key + at, part_len(&s->key[i]) < 4 ? 1 : 4);
		if (type_info(s->key[i].type)->flags && v & (v - 1))
			return true;
		at += pad4(part_len(&s->key[i]));
	}
	return false;
}

static int check_elems(const struct nft_set *s, const struct nft_table *t, struct err *e)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct nft_elem *x = &s->elems[i];
		int r = check_text("comment", x->comment, NFT_COMMENT_MAX, e);

		if (r)
			return r;
		if (x->key_end && !(s->flags & NFT_SET_INTERVAL))
			return err_set(e, -EINVAL, "a range in a set without intervals");
		if (many_flags(s, x->key))
			return err_set(e, -EINVAL, "an element with several flags in one part");
		if (s->n_data && !nft_set_is_vmap(s) && !x->data)
			return err_set(e, -EINVAL, "an element without data");
		if (x->verdict.chain && !nft_chain_get(t, x->verdict.chain))
			return err_set(e, -EINVAL, "an element jumps to %s, which is not there",
				       x->verdict.chain);
	}
	return 0;
}

static int check_set(const struct nft_table *t, const struct nft_set *s, struct err *e)
{
	int r = check_name("set", s->name, e);

	if (!r)
		r = check_text("comment", s->comment, NFT_COMMENT_MAX, e);
	if (!r && (!s->n_key || s->key_len > NFT_KEY_MAX))
		r = err_set(e, -EINVAL, "key of %u bytes", s->key_len);
	if (!r)
		r = check_parts(s->key, s->n_key, false, e);
	if (!r)
		r = check_parts(s->data, s->n_data, nft_set_is_vmap(s), e);
	if (!r && s->n_data && !nft_set_is_vmap(s) && !s->data[0].sel.key != !s->key[0].sel.key)
		r = err_set(e, -EINVAL, "types and typeof are mixed");
	for (unsigned i = 0; !r && s->flags & NFT_SET_INTERVAL && i < s->n_key; i++)
		if (s->n_key == 1 && (s->key[i].sel.key ? sel_host(&s->key[i].sel)
							: type_info(s->key[i].type)->host))
			r = err_set(e, -EINVAL, "intervals of a type in host order");
	if (!r && s->flags & NFT_SET_EVAL && !s->size)
		r = err_set(e, -EINVAL, "a dynamic set needs a size");
	if (!r && s->timeout_ms && !(s->flags & NFT_SET_TIMEOUT))
		r = err_set(e, -EINVAL, "timeout without its flag");
	if (!r)
		r = check_elems(s, t, e);
	return r ? err_wrap(e, "set %s", s->name) : 0;
}

/* A generator gives add … add + modulus - 1. */
static int check_generated(const struct nft_sel *s, const struct nft_val *v, struct err *e)
{
	uint32_t x;

	if (sel_info(s)->load != LOAD_NUMGEN && sel_info(s)->load != LOAD_HASH)
		return 0;
	memcpy(&x, v->b, 4);
	if (!s->modulus || x < s->add || x - s->add >= s->modulus)
		return err_set(e, -EINVAL, "%s mod %u never gives %u", sel_info(s)->text,
			       s->modulus, x);
	return 0;
}

static int check_match(const struct nft_stmt *s, struct err *e)
{
	unsigned len = nft_sel_len(&s->match.sel), type = sel_type(&s->match.sel);
	bool prefix = type == NFTY_IFNAME && s->match.a.len && s->match.a.len < len &&
		      (s->match.op == NFC_EQ || s->match.op == NFC_NE) && !s->match.mask.len;
	bool any_set = false;

	if (!len || len > 16 || (s->match.a.len != len && !prefix))
		return err_set(e, -EINVAL, "value of %u bytes for %s of %u", s->match.a.len,
			       sel_info(&s->match.sel)->text, len);
	if ((s->match.op == NFC_RANGE || s->match.op == NFC_NOT_RANGE) && s->match.b.len != len)
		return err_set(e, -EINVAL, "range without its end");
	if (check_generated(&s->match.sel, &s->match.a, e))
		return -EINVAL;
	if ((s->match.op == NFC_ANY || s->match.op == NFC_NONE) && !type_info(type)->flags)
		return err_set(e, -EINVAL, "%s has no flags", sel_info(&s->match.sel)->text);
	if (!s->match.mask.len)
		return 0;
	if (s->match.mask.len != len || (s->match.op != NFC_EQ && s->match.op != NFC_NE))
		return err_set(e, -EINVAL, "mask does not fit");
	for (unsigned i = 0; i < len; i++) {
		if (s->match.a.b[i] & ~s->match.mask.b[i])
			return err_set(e, -EINVAL, "value has bits outside of its mask");
		any_set |= s->match.mask.b[i] != 0;
	}
	return any_set ? 0 : err_set(e, -EINVAL, "empty mask");
}

static int check_lookup(const struct place *p, const struct nft_keys *k, const char *name,
			struct err *e)
{
	const struct nft_set *s = name ? nft_set_get(p->t, name) : NULL;

	if (!s)
		return err_set(e, -EINVAL, "no set %s", name ? name : "?");
	if (!k->n || k->n > NFT_PARTS_MAX || k->n != s->n_key)
		return err_set(e, -EINVAL, "key of %u parts for set %s", k->n, name);
	for (uint32_t i = 0; i < k->n; i++)
		if (nft_sel_len(&k->v[i]) != part_len(&s->key[i]) ||
		    (k->v[i].mask && (k->n > 1 || nft_sel_len(&k->v[i]) != 4)))
			return err_set(e, -EINVAL, "part %u does not fit set %s", i + 1, name);
	return 0;
}

static int check_map(const struct place *p, const struct nft_keys *k, const char *name,
		     unsigned len, struct err *e)
{
	int r = check_lookup(p, k, name, e);

	if (r)
		return r;
	if (nft_set_get(p->t, name)->data_len != len)
		return err_set(e, -EINVAL, "data of map %s does not fit", name);
	return 0;
}

static int check_nat(const struct place *p, const struct nft_stmt *s, struct err *e)
{
	const struct nft_nat *n = &s->nat;
	unsigned alen = n->family == NFPROTO_IPV6 ? 16 : 4;

	if (n->map)
		return check_map(p, &n->keys, n->map,
				 s->kind == NFS_REDIRECT ? 2 : alen + (n->map_port ? 4 : 0), e);
	if (s->kind == NFS_NAT && !n->addr.len && !n->port.len)
		return err_set(e, -EINVAL, "nat to nothing");
	if ((n->addr.len && n->addr.len != alen) || (n->port.len && n->port.len != 2) ||
	    (n->addr_max.len && n->addr_max.len != n->addr.len) ||
	    (n->port_max.len && n->port_max.len != n->port.len))
		return err_set(e, -EINVAL, "nat address or port of a wrong length");
	return 0;
}

static int check_assign(const struct place *p, const struct nft_stmt *s, struct err *e)
{
	const struct nft_src *src = &s->set.src;
	unsigned len = s->set.target == NFTT_NFTRACE || s->set.target == NFTT_PKTTYPE ? 1 : 4;

	if (src->map)
		return check_map(p, &src->keys, src->map, len, e);
	if (src->keys.n ? src->keys.n != 1 || nft_sel_len(src->keys.v) != len : src->imm.len != len)
		return err_set(e, -EINVAL, "assigned value of a wrong length");
	return 0;
}

static int check_dynset(const struct place *p, const struct nft_stmt *s, struct err *e)
{
	const struct nft_set *set = nft_set_get(p->t, s->dynset.set);
	int r = check_lookup(p, &s->dynset.keys, s->dynset.set, e);

	if (r)
		return r;
	if (!(set->flags & NFT_SET_EVAL))
		return err_set(e, -EINVAL, "set %s is not dynamic", set->name);
	if (nft_keys_len(&s->dynset.data) != pad4(set->data_len))
		return err_set(e, -EINVAL, "data does not fit map %s", set->name);
	return 0;
}

static int check_stmt(const struct place *p, const struct nft_stmt *s, struct err *e)
{
	switch ((enum nft_stmt_kind)s->kind) {
	case NFS_MATCH:
		return check_match(s, e);
	case NFS_LOOKUP:
	case NFS_VMAP:
		return check_lookup(p, &s->lookup.keys, s->lookup.set, e);
	case NFS_VERDICT:
		if (s->verdict.chain && !nft_chain_get(p->t, s->verdict.chain))
			return err_set(e, -EINVAL, "no chain %s", s->verdict.chain);
		return 0;
	case NFS_NAT:
	case NFS_REDIRECT:
		return check_nat(p, s, e);
	case NFS_SET:
		return check_assign(p, s, e);
	case NFS_DYNSET:
		return check_dynset(p, s, e);
	case NFS_LOG:
		return check_text("log prefix", s->log.prefix, 127, e);
	case NFS_LIMIT:
		return s->limit.rate ? 0 : err_set(e, -EINVAL, "limit without a rate");
	case NFS_OPAQUE:
	case NFS_COUNTER:
	case NFS_REJECT:
	case NFS_MASQUERADE:
	case NFS_NOTRACK:
		return 0;
	case NFS_KIND_COUNT:
		break;
	}
	return err_set(e, -EINVAL, "no such statement");
}

/* A header has one name, given what the rule knows by then. */
static int check_names(const struct pkt *k, const struct nft_stmt *s, struct err *e)
{
	const struct nft_sel *v[64];
	uint32_t n = stmt_sels(s, v, 64);

	for (uint32_t i = 0; i < n && i < 64; i++) {
		const struct sel_info *in = sel_info(v[i]);
		bool raw = v[i]->key == NFK_PAYLOAD;
		struct nft_sel known;

		if (v[i]->key == NFK_META_NFPROTO && k->family != NFPROTO_INET)
			return err_set(e, -EINVAL, "meta nfproto is for inet tables");
		if (sel_ct_port(v[i]) && k->l4 != IPPROTO_TCP && k->l4 != IPPROTO_UDP &&
		    k->l4 != IPPROTO_SCTP)
			return err_set(e, -EINVAL, "%s of a protocol not known to have ports",
				       in->text);
		if (in->load != LOAD_PAYLOAD)
			continue;
		/* nft reads it as the named fields that lie there. */
		if (raw && v[i]->base == NFT_PAYLOAD_TRANSPORT_HEADER && k->l4 &&
		    k->l4 != IPPROTO_ICMP && k->l4 != IPPROTO_ICMPV6)
			return err_set(e, -EINVAL, "raw bytes of a header that has names");
		known = sel_from_payload(raw ? v[i]->base : in->arg, raw ? v[i]->offset : in->off,
					 nft_sel_len(v[i]), k->l3, k->l4);
		if (known.key != v[i]->key)
			return err_set(e, -EINVAL, "what is said as %s has a name here: %s",
				       in->text, sel_info(&known)->text);
	}
	return 0;
}

static int check_rule(const struct place *p, const struct nft_rule *r, struct err *e)
{
	struct pkt k;
	int rc = check_text("comment", r->comment, NFT_COMMENT_MAX, e);

	pkt_init(&k, p->t->family);
	for (uint32_t i = 0; !rc && i < r->n; i++) {
		struct dep d[2];

		rc = check_stmt(p, &r->v[i], e);
		if (!rc && pkt_need(&k, &r->v[i], d) < 0)
			rc = err_set(e, -EINVAL, "no such header in this table or rule");
		if (!rc)
			rc = check_names(&k, &r->v[i], e);
		if (!rc && pkt_redundant(r, p->t->family, i))
			rc = err_set(e, -EINVAL, "a later statement implies this one");
		if (!rc && pkt_known(&k, &r->v[i]))
			rc = err_set(e, -EINVAL, "the rule knows that protocol by then");
		pkt_learn(&k, &r->v[i]);
		if (rc)
			return err_wrap(e, "statement %u", i + 1);
	}
	return rc;
}

static int check_table(const struct nft_table *t, struct err *e)
{
	int r = check_name("table", t->name, e);

	if (!r)
		r = check_text("comment", t->comment, NFT_COMMENT_MAX, e);
	for (uint32_t i = 0; !r && i < t->n_sets; i++)
		r = check_set(t, t->sets[i], e);
	for (uint32_t i = 0; !r && i < t->n_chains; i++) {
		struct place p = { t, t->chains[i] };

		r = check_name("chain", p.c->name, e);
		for (uint32_t j = 0; !r && j < p.c->n; j++) {
			r = check_rule(&p, p.c->rules[j], e);
			if (r)
				err_wrap(e, "chain %s, rule %u", p.c->name, j + 1);
		}
	}
	return r ? err_wrap(e, "table %s", t->name) : 0;
}

int nft_check(const struct nft_ruleset *rs, struct err *e)
{
	if (rs->arena->failed)
		return err_set(e, -ENOMEM, "no memory for the nftables ruleset");
	if (rs->bad[0])
		return err_set(e, -EINVAL, "%s", rs->bad);
	for (uint32_t i = 0; i < rs->n; i++) {
		int r = check_table(rs->tables[i], e);

		if (r)
			return r;
	}
	return 0;
}
