/* SPDX-License-Identifier: Apache-2.0 */
/* Random rulesets: any selector, any operator that fits it, values over the whole range, sets of
 * any key, rules of several statements; only what nft_check() takes. */
#include "nft_cases.h"

#include "core/nft/sel.h"

#include <stdio.h>
#include <string.h>

struct rnd {
	uint64_t s;
	struct nft_ruleset *rs;
	struct nft_table *t;
	unsigned n_sets;
};

static uint32_t next(struct rnd *r, uint32_t below)
{
	r->s = r->s * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->s >> 33) % below;
}

static void bytes(struct rnd *r, uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = next(r, 4) ? (uint8_t)next(r, 256) : next(r, 2) ? 0 : 255;
}

/* A value that the type can have. */
static void value(struct rnd *r, unsigned type, uint8_t *p, unsigned len)
{
	static const uint8_t protos[] = { 1, 6, 17, 33, 47, 50, 51, 58, 132 };
	static const uint16_t ethertypes[] = { 0x0008, 0x0608, 0xdd86, 0x0081 };
	static const uint32_t states[] = { 1, 2, 4, 8, 64, 6 };
	uint32_t v = 0;

	switch (type) {
	case NFTY_IFNAME:
		memset(p, 0, len);
		snprintf((char *)p, len, "%s%u", next(r, 2) ? "fl" : "veth", next(r, 100000));
		return;
	case NFTY_INET_PROTO:
		*p = protos[next(r, sizeof(protos))];
		return;
	case NFTY_ETHER_TYPE:
		memcpy(p, &ethertypes[next(r, 4)], 2);
		return;
	case NFTY_NFPROTO:
		*p = next(r, 2) ? NFPROTO_IPV4 : NFPROTO_IPV6;
		return;
	case NFTY_CT_STATE:
		v = states[next(r, 6)];
		break;
	case NFTY_CT_STATUS:
		v = 1u << next(r, 6);
		break;
	case NFTY_FIB_ADDRTYPE:
		v = 1 + next(r, 8);
		break;
	case NFTY_BOOLEAN:
		v = next(r, 2);
		break;
	case NFTY_CT_DIR:
		*p = (uint8_t)next(r, 2);
		return;
	case NFTY_PKT_TYPE:
		*p = (uint8_t)next(r, 4);
		return;
	case NFTY_ICMP_CODE:
	case NFTY_ICMPV6_CODE:
		*p = (uint8_t)next(r, 20);
		return;
	case NFTY_ARP_OP:
		p[0] = 0;
		p[1] = (uint8_t)(1 + next(r, 2));
		return;
	case NFTY_TCP_FLAG:
		*p = (uint8_t)(1 + next(r, 255));
		return;
	case NFTY_ETHER_ADDR:
		bytes(r, p, len);
		p[0] = 2;
		return;
	default:
		bytes(r, p, len);
		return;
	}
	memcpy(p, &v, 4);
}

/* Selectors that may stand in a rule that knows what `k` says. */
static struct nft_sel pick(struct rnd *r, const struct pkt *k, bool in_key)
{
	for (;;) {
		struct nft_stmt probe = { .kind = NFS_MATCH };
		struct nft_sel s = NFT_SEL(1 + next(r, NFK_COUNT - 1));
		struct pkt copy = *k;
		struct dep d[2];

		if (s.key == NFK_IP_PROTOCOL || s.key == NFK_IP6_NEXTHDR || s.key == NFK_ETHER_TYPE)
			continue; /* nft takes them for l4proto and protocol in some places */
		if (s.key == NFK_PAYLOAD)
			s = NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16);
		if (s.key == NFK_NUMGEN_INC || s.key == NFK_NUMGEN_RANDOM)
			s.modulus = 1 + next(r, 1000);
		if (s.key == NFK_JHASH) {
			static const struct nft_sel of[] = { { .key = NFK_META_IIFNAME },
							     { .key = NFK_META_MARK } };

			s.modulus = 1 + next(r, 64);
			s.seed = next(r, 2) ? 1 + next(r, 1000) : 0;
			s.of = of;
			s.n_of = 1 + next(r, 2);
		}
		/* The IPv6 transport header with raw payload would be icmpv6's. */
		if (in_key && !sel_typeof(&s))
			continue;
		if (r->t->family == NFPROTO_BRIDGE &&
		    (sel_info(&s)->load == LOAD_CT || sel_info(&s)->load == LOAD_FIB ||
		     sel_info(&s)->load == LOAD_RT))
			continue;
		probe.match.sel = s;
		if (pkt_need(&copy, &probe, d) < 0)
			continue;
		return s;
	}
}

static void random_match(struct rnd *r, struct nft_rule *rule, struct pkt *k)
{
	struct nft_sel s = pick(r, k, false);
	unsigned type = sel_type(&s), len = nft_sel_len(&s);
	const struct type_info *t = type_info(type);
	struct nft_val a = { .len = (uint8_t)len }, b = { .len = (uint8_t)len };
	bool ordered = type == NFTY_IPV4_ADDR || type == NFTY_IPV6_ADDR ||
		       type == NFTY_INET_SERVICE || type == NFTY_MARK;
	struct prefix p = { .len = (uint8_t)(1 + next(r, len * 8 - 1)) };

	value(r, type, a.b, len);
	value(r, type, b.b, len);
	if (s.modulus)
		a = nft_u32(s.add + next(r, s.modulus));
	if (t->flags) {
		nft_match(rule, s, next(r, 3) ? NFC_ANY : NFC_NONE, a);
		return;
	}
	if ((type == NFTY_IPV4_ADDR || type == NFTY_IPV6_ADDR) && !next(r, 3)) {
		p.addr.family = len == 4 ? AF_INET : AF_INET6;
		memcpy(p.addr.b, a.b, len);
		p = prefix_mask(&p);
		nft_match_prefix(rule, s, next(r, 2), &p);
		return;
	}
	if (ordered && !next(r, 3)) {
		uint8_t x[16], y[16];

		for (unsigned i = 0; i < len; i++) {
			x[i] = a.b[sel_host(&s) ? len - 1 - i : i];
			y[i] = b.b[sel_host(&s) ? len - 1 - i : i];
		}
		int c = memcmp(x, y, len);

		if (c < 0)
			nft_match_range(rule, s, NFC_RANGE + next(r, 2), a, b);
		else if (c > 0)
			nft_match_range(rule, s, NFC_RANGE + next(r, 2), b, a);
		return;
	}
	if (type == NFTY_MARK && !next(r, 2)) {
		b.b[3] |= 1;
		for (unsigned i = 0; i < 4; i++)
			a.b[i] &= b.b[i];
		nft_match_mask(rule, s, b, next(r, 2), a);
		return;
	}
	if (type == NFTY_IFNAME && !next(r, 3))
		a.len = (uint8_t)(1 + next(r, 3));
	nft_match(rule, s, next(r, 2), a);
}

static void random_lookup(struct rnd *r, struct nft_rule *rule)
{
	struct nft_set *s = r->t->sets[next(r, r->t->n_sets)];
	struct nft_sel v[NFT_PARTS_MAX + 1] = { 0 };

	for (unsigned i = 0; i < s->n_key; i++)
		v[i] = s->key[i].sel;
	if (nft_set_is_vmap(s))
		nft_vmap(rule, v, s->name);
	else if (s->n_data)
		nft_set_map(rule, NFTT_MARK, v, s->name);
	else if (next(r, 2))
		nft_match_set(rule, v, s->name);
	else
		nft_match_not_set(rule, v, s->name);
}

static void random_rule(struct rnd *r, struct nft_chain *c)
{
	struct nft_rule *rule = nft_rule_add(c, next(r, 4) ? NULL : "because of that");
	unsigned n = next(r, 4);

	for (unsigned i = 0; i < n; i++) {
		uint32_t before = rule->n;
		struct pkt k;
		struct dep d[2];

		pkt_init(&k, r->t->family);
		for (uint32_t j = 0; j < rule->n; j++) {
			pkt_need(&k, &rule->v[j], d);
			pkt_learn(&k, &rule->v[j]);
		}
		if (next(r, 3) || !r->t->n_sets)
			random_match(r, rule, &k);
		else
			random_lookup(r, rule);
		if (nft_check(r->rs, NULL))
			rule->n = before;
	}
	if (next(r, 2))
		nft_counter(rule);
	switch (next(r, 7)) {
	case 0:
		nft_drop(rule);
		break;
	case 1:
		nft_accept(rule);
		break;
	case 2:
		nft_jump(rule, "target");
		break;
	case 3:
		nft_set_imm(rule, NFTT_MARK, next(r, 1u << 31));
		break;
	case 4:
		nft_set_bits(rule, NFTT_MARK, NFT_SEL(NFK_META_MARK), ~(1u << next(r, 32)),
			     next(r, 2) ? 1u << next(r, 32) : 0);
		break;
	case 5:
		nft_set_imm(rule, NFTT_PRIORITY, next(r, 1u << 31));
		break;
	default:
		nft_counter(rule);
		break;
	}
}

static void random_elems(struct rnd *r, struct nft_set *s)
{
	unsigned n = next(r, 6);

	for (unsigned i = 0; i < n; i++) {
		uint8_t key[NFT_KEY_MAX] = { 0 }, data[4];
		struct nft_elem e = { .key = key, .data = data };
		uint32_t at = 0;
		bool twice = false;

		for (unsigned j = 0; j < s->n_key; j++) {
			unsigned len = nft_sel_len(&s->key[j].sel);
			uint8_t v[16];

			value(r, s->key[j].type, v, len);
			if (type_info(s->key[j].type)->flags) {
				memset(v, 0, len);
				v[0] = (uint8_t)(1u << next(r, 4));
			}
			if (s->key[j].sel.modulus)
				memcpy(v, nft_u32(next(r, s->key[j].sel.modulus)).b, 4);
			at = nft_key_put(key, at, v, len);
		}
		for (uint32_t j = 0; j < s->n; j++)
			twice |= !memcmp(s->elems[j].key, key, s->key_len);
		if (twice)
			continue;
		bytes(r, data, 4);
		if (!s->n_data || nft_set_is_vmap(s))
			e.data = NULL;
		if (nft_set_is_vmap(s))
			e.verdict = (struct nft_verdict){ next(r, 2) ? NFT_JUMP : NF_DROP, NULL };
		if (e.verdict.code == NFT_JUMP)
			e.verdict.chain = "target";
		e.comment = next(r, 4) ? NULL : "elem";
		nft_elem_add(s, &e);
	}
}

static void random_set(struct rnd *r)
{
	struct nft_sel v[NFT_PARTS_MAX + 1] = { 0 };
	unsigned n = 1 + next(r, NFT_TYPEOF_MAX), len = 0;
	struct pkt k;
	struct nft_set *s;
	char name[8];

	pkt_init(&k, r->t->family);
	for (unsigned i = 0; i < n; i++) {
		struct nft_stmt st = { .kind = NFS_MATCH };
		struct dep d[2];

		v[i] = pick(r, &k, true);
		len += pad4(nft_sel_len(&v[i]));
		if (len > NFT_KEY_MAX) {
			v[i].key = NFK_NONE;
			break;
		}
		st.match.sel = v[i];
		pkt_need(&k, &st, d);
	}
	snprintf(name, sizeof(name), "s%u", r->n_sets++);
	s = nft_set_typeof(r->t, name, 0, v);
	switch (next(r, 3)) {
	case 0:
		nft_set_data(s, NFT_TYPES(NFTY_VERDICT));
		break;
	case 1:
		nft_set_data_typeof(s, NFT_SELS(NFT_SEL(NFK_META_MARK)));
		break;
	default:
		break;
	}
	s->counter = next(r, 4) == 0;
	random_elems(r, s);
}

void nft_random(struct nft_ruleset *rs, unsigned seed)
{
	static const uint8_t families[] = { NFPROTO_INET, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6,
					    NFPROTO_BRIDGE };
	struct rnd r = { .s = seed * 2654435761u + 1, .rs = rs };
	struct nft_chain *c;
	unsigned n;

	next(&r, 2);
	r.t = nft_table_add(rs, families[next(&r, sizeof(families))], "rnd");
	n = next(&r, 4);
	for (unsigned i = 0; i < n; i++)
		random_set(&r);
	nft_counter(nft_rule_add(nft_chain_add(r.t, "target"), NULL));
	c = nft_chain_add(r.t, "c");
	n = 1 + next(&r, 6);
	for (unsigned i = 0; i < n; i++)
		random_rule(&r, c);
}
