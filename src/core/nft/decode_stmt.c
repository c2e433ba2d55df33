/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions that consume registers: each becomes a statement. */
#include "core/nft/regs.h"

#include <string.h>

static struct nft_val val(const struct nlattr *a, bool swap)
{
	size_t n = attr_value_len(a);
	struct nft_val v = { 0 };

	if (!n || n > sizeof(v.b))
		return v;
	v.len = n;
	memcpy(v.b, attr_value(a, n), n);
	for (unsigned i = 0; swap && i < n / 2; i++) {
		uint8_t b = v.b[i];

		v.b[i] = v.b[n - 1 - i];
		v.b[n - 1 - i] = b;
	}
	return v;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* The selector in `w` and what was masked off it, as the left side of a match. */
static bool match_left(struct dec *d, int w, struct nft_stmt *s)
{
	const struct word *x = w < 0 ? NULL : &d->w[w];
	unsigned len;

	if (!x || x->fill != FILL_SEL)
		return false;
	len = nft_sel_len(&x->sel);
	s->match.sel = x->sel;
	if (!x->masked)
		return true;
	s->match.mask.len = len;
	memcpy(s->match.mask.b, x->mask, len);
	return all_zero(x->xor, len);
}

bool dec_cmp(struct dec *d, const struct attrs *t)
{
	static const uint8_t op[] = {
		[NFT_CMP_EQ] = NFC_EQ,  [NFT_CMP_NEQ] = NFC_NE, [NFT_CMP_LT] = NFC_LT,
		[NFT_CMP_LTE] = NFC_LE, [NFT_CMP_GT] = NFC_GT,  [NFT_CMP_GTE] = NFC_GE
	};
	uint32_t kop = attr_be32(t->v[NFTA_CMP_OP]);
	int w = word_of(t->v[NFTA_CMP_SREG]);
	struct nft_stmt s = { .kind = NFS_MATCH };
	unsigned len;

	if (kop >= sizeof(op) || !match_left(d, w, &s))
		return false;
	s.match.op = op[kop];
	s.match.a = val(t->v[NFTA_CMP_DATA], d->w[w].swapped);
	len = nft_sel_len(&s.match.sel);
	if (!s.match.a.len || s.match.a.len > len ||
	    (s.match.a.len < len && sel_type(&s.match.sel) != NFTY_IFNAME))
		return false;
	if (s.match.mask.len && s.match.op != NFC_EQ && s.match.op != NFC_NE)
		return false;
	if (s.match.mask.len && type_info(sel_type(&s.match.sel))->flags &&
	    all_zero(s.match.a.b, len)) {
		s.match.op = s.match.op == NFC_EQ ? NFC_NONE : NFC_ANY;
		s.match.a = s.match.mask;
		s.match.mask.len = 0;
	}
	emit(d, &s);
	return true;
}

bool dec_range(struct dec *d, const struct attrs *t)
{
	uint32_t op = attr_be32(t->v[NFTA_RANGE_OP]);
	int w = word_of(t->v[NFTA_RANGE_SREG]);
	struct nft_stmt s = { .kind = NFS_MATCH };

	if (op > NFT_RANGE_NEQ || !match_left(d, w, &s) || s.match.mask.len)
		return false;
	s.match.op = op == NFT_RANGE_EQ ? NFC_RANGE : NFC_NOT_RANGE;
	s.match.a = val(t->v[NFTA_RANGE_FROM_DATA], d->w[w].swapped);
	s.match.b = val(t->v[NFTA_RANGE_TO_DATA], d->w[w].swapped);
	if (s.match.a.len != nft_sel_len(&s.match.sel) || s.match.b.len != s.match.a.len)
		return false;
	emit(d, &s);
	return true;
}

bool dec_lookup(struct dec *d, const struct attrs *t)
{
	const char *name = attr_str(d->a, t->v[NFTA_LOOKUP_SET]);
	const struct nft_set *set = name ? nft_set_get(d->t, name) : NULL;
	const struct nlattr *dreg = t->v[NFTA_LOOKUP_DREG];
	struct nft_stmt s = { .kind = NFS_LOOKUP };
	int to = word_of(dreg);

	if (!set)
		return false;
	s.lookup.keys = gather(d, word_of(t->v[NFTA_LOOKUP_SREG]), set->key_len);
	s.lookup.set = name;
	s.lookup.neg = attr_be32(t->v[NFTA_LOOKUP_FLAGS]) & NFT_LOOKUP_F_INV ? 1 : 0;
	if (!s.lookup.keys.v)
		return false;
	if (to >= 0) {
		unsigned n = pad4(set->data_len) / 4;

		for (unsigned i = 0; i < n && to + i < WORDS; i++)
			d->w[to + i].fill = FILL_NONE;
		d->w[to] = (struct word){ .fill = FILL_MAP, .keys = s.lookup.keys, .map = name };
		return true;
	}
	if (dreg)
		s.kind = NFS_VMAP;
	emit(d, &s);
	return true;
}

/* The source of `meta … set`. */
static bool source(const struct dec *d, int w, struct nft_src *src)
{
	const struct word *x = w < 0 ? NULL : &d->w[w];

	if (!x)
		return false;
	switch ((enum fill)x->fill) {
	case FILL_IMM:
		src->imm = x->imm;
		return true;
	case FILL_MAP:
		src->keys = x->keys;
		src->map = x->map;
		return true;
	case FILL_SEL:
		if (x->swapped || (x->masked && nft_sel_len(&x->sel) != 4))
			return false;
		src->keys = (struct nft_keys){ &x->sel, 1 };
		if (x->masked) {
			memcpy(&src->mask, x->mask, 4);
			memcpy(&src->xor, x->xor, 4);
		}
		return true;
	case FILL_NONE:
		break;
	}
	return false;
}

bool dec_set(struct dec *d, const struct nlattr *key, const struct nlattr *sreg, bool ct)
{
	struct nft_stmt s = { .kind = NFS_SET };

	if (!source(d, word_of(sreg), &s.set.src))
		return false;
	if (ct) {
		if (attr_be32(key) != NFT_CT_MARK)
			return false;
		s.set.target = NFTT_CTMARK;
	} else {
		switch (attr_be32(key)) {
		case NFT_META_MARK:
			s.set.target = NFTT_MARK;
			break;
		case NFT_META_NFTRACE:
			s.set.target = NFTT_NFTRACE;
			break;
		case NFT_META_PKTTYPE:
			s.set.target = NFTT_PKTTYPE;
			break;
		case NFT_META_PRIORITY:
			s.set.target = NFTT_PRIORITY;
			break;
		default:
			return false;
		}
	}
	emit(d, &s);
	return true;
}

static bool nat_val(const struct dec *d, const struct nlattr *sreg, unsigned len,
		    struct nft_val *out)
{
	int w = word_of(sreg);

	if (!sreg)
		return true;
	if (w < 0 || d->w[w].fill != FILL_IMM || d->w[w].imm.len != len)
		return false;
	*out = d->w[w].imm;
	return true;
}

#define NAT_FLAGS                                                                                  \
	(NF_NAT_RANGE_PROTO_RANDOM | NF_NAT_RANGE_PROTO_RANDOM_FULLY | NF_NAT_RANGE_PERSISTENT)

bool dec_nat(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_NAT };
	struct nft_nat *n = &s.nat;
	int w = word_of(t->v[NFTA_NAT_REG_ADDR_MIN]);
	unsigned len;

	n->type = attr_be32(t->v[NFTA_NAT_TYPE]);
	n->family = attr_be32(t->v[NFTA_NAT_FAMILY]);
	n->flags = attr_be32(t->v[NFTA_NAT_FLAGS]) & NAT_FLAGS;
	if (n->type > NFT_NAT_DNAT || (n->family != NFPROTO_IPV4 && n->family != NFPROTO_IPV6))
		return false;
	len = n->family == NFPROTO_IPV6 ? 16 : 4;
	if (w >= 0 && d->w[w].fill == FILL_MAP) {
		int port = word_of(t->v[NFTA_NAT_REG_PROTO_MIN]);

		n->keys = d->w[w].keys;
		n->map = d->w[w].map;
		n->map_port = port >= 0;
		if (port >= 0 && port != w + (int)len / 4)
			return false;
	} else if (!nat_val(d, t->v[NFTA_NAT_REG_ADDR_MIN], len, &n->addr) ||
		   !nat_val(d, t->v[NFTA_NAT_REG_PROTO_MIN], 2, &n->port)) {
		return false;
	} else {
		const struct nlattr *amax = t->v[NFTA_NAT_REG_ADDR_MAX],
				    *pmax = t->v[NFTA_NAT_REG_PROTO_MAX];

		/* The kernel says the same register for both ends of one value. */
		if (word_of(amax) != w && !nat_val(d, amax, len, &n->addr_max))
			return false;
		if (word_of(pmax) != word_of(t->v[NFTA_NAT_REG_PROTO_MIN]) &&
		    !nat_val(d, pmax, 2, &n->port_max))
			return false;
	}
	emit(d, &s);
	return true;
}

bool dec_redir(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_REDIRECT };
	const struct nlattr *min = t->v[NFTA_REDIR_REG_PROTO_MIN],
			    *max = t->v[NFTA_REDIR_REG_PROTO_MAX];
	int w = word_of(min);

	s.nat.flags = attr_be32(t->v[NFTA_REDIR_FLAGS]) & NAT_FLAGS;
	if (w >= 0 && d->w[w].fill == FILL_MAP) {
		s.nat.keys = d->w[w].keys;
		s.nat.map = d->w[w].map;
	} else if (!nat_val(d, min, 2, &s.nat.port) ||
		   (word_of(max) != w && !nat_val(d, max, 2, &s.nat.port_max))) {
		return false;
	}
	emit(d, &s);
	return true;
}

bool dec_masq(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_MASQUERADE };

	if (t->v[NFTA_MASQ_REG_PROTO_MIN])
		return false;
	s.nat.flags = attr_be32(t->v[NFTA_MASQ_FLAGS]) & NAT_FLAGS;
	emit(d, &s);
	return true;
}

bool dec_dynset(struct dec *d, const struct attrs *t)
{
	const char *name = attr_str(d->a, t->v[NFTA_DYNSET_SET_NAME]);
	const struct nft_set *set = name ? nft_set_get(d->t, name) : NULL;
	struct nft_stmt s = { .kind = NFS_DYNSET };

	if (!set || t->v[NFTA_DYNSET_EXPR] || t->v[NFTA_DYNSET_EXPRESSIONS])
		return false;
	s.dynset.op = attr_be32(t->v[NFTA_DYNSET_OP]);
	s.dynset.set = name;
	s.dynset.timeout_ms = attr_be64(t->v[NFTA_DYNSET_TIMEOUT]);
	s.dynset.keys = gather(d, word_of(t->v[NFTA_DYNSET_SREG_KEY]), set->key_len);
	if (t->v[NFTA_DYNSET_SREG_DATA])
		s.dynset.data = gather(d, word_of(t->v[NFTA_DYNSET_SREG_DATA]), set->data_len);
	if (!s.dynset.keys.v || (t->v[NFTA_DYNSET_SREG_DATA] && !s.dynset.data.v) ||
	    s.dynset.op > NFT_DYNSET_OP_DELETE)
		return false;
	emit(d, &s);
	return true;
}

bool dec_counter(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_COUNTER };

	s.counter.bytes = attr_be64(t->v[NFTA_COUNTER_BYTES]);
	s.counter.packets = attr_be64(t->v[NFTA_COUNTER_PACKETS]);
	emit(d, &s);
	return true;
}

bool dec_limit(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_LIMIT };

	s.limit.rate = attr_be64(t->v[NFTA_LIMIT_RATE]);
	s.limit.unit = attr_be64(t->v[NFTA_LIMIT_UNIT]);
	s.limit.burst = attr_be32(t->v[NFTA_LIMIT_BURST]);
	s.limit.is_bytes = attr_be32(t->v[NFTA_LIMIT_TYPE]) == NFT_LIMIT_PKT_BYTES;
	s.limit.over = attr_be32(t->v[NFTA_LIMIT_FLAGS]) & NFT_LIMIT_F_INV ? 1 : 0;
	emit(d, &s);
	return true;
}

bool dec_log(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_LOG };

	if ((t->v[NFTA_LOG_LEVEL] && attr_be32(t->v[NFTA_LOG_LEVEL]) != NFT_LOGLEVEL_WARNING) ||
	    attr_be32(t->v[NFTA_LOG_FLAGS]) || attr_be16(t->v[NFTA_LOG_QTHRESHOLD]))
		return false;
	s.log.prefix = attr_str(d->a, t->v[NFTA_LOG_PREFIX]);
	s.log.has_group = t->v[NFTA_LOG_GROUP] != NULL;
	s.log.group = attr_be16(t->v[NFTA_LOG_GROUP]);
	s.log.snaplen = attr_be32(t->v[NFTA_LOG_SNAPLEN]);
	emit(d, &s);
	return true;
}

bool dec_reject(struct dec *d, const struct attrs *t)
{
	struct nft_stmt s = { .kind = NFS_REJECT };

	s.reject.type = attr_be32(t->v[NFTA_REJECT_TYPE]);
	if (s.reject.type > NFT_REJECT_ICMPX_UNREACH)
		return false;
	if (s.reject.type != NFT_REJECT_TCP_RST)
		s.reject.code = attr_u8(t->v[NFTA_REJECT_ICMP_CODE]);
	if (s.reject.type == NFT_REJECT_ICMP_UNREACH)
		s.reject.family = d->k.l3 == L3_IP6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	emit(d, &s);
	return true;
}

bool dec_notrack(struct dec *d, const struct attrs *t)
{
	emit(d, &(struct nft_stmt){ .kind = NFS_NOTRACK });
	return true;
}
