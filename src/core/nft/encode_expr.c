/* SPDX-License-Identifier: Apache-2.0 */
/* Statements → the kernel's register machine.
 *
 * Sixteen registers of 4 bytes; a statement uses them from the first on and leaves nothing
 * behind, so that each can be read alone. Parts of a concatenation follow each other, each
 * padded to 4 bytes, which is the layout of set keys. Before a statement that reads a header
 * stands the match that makes the header certain, unless the rule knows it by then. */
#include "core/nft/msg.h"
#include "core/nft/sel.h"

#include <errno.h>
#include <string.h>

#define WORDS 16

struct enc {
	struct msg *m;
	struct nlattr *elem, *data;
	struct err *e;
	int bad;
};

/* 16-byte registers have numbers of their own, and are what nft prefers. */
static uint32_t reg(unsigned word)
{
	return word % 4 ? NFT_REG32_00 + word : NFT_REG_1 + word / 4;
}

static void expr_start(struct enc *x, const char *name)
{
	x->elem = msg_nest(x->m, NFTA_LIST_ELEM);
	msg_str(x->m, NFTA_EXPR_NAME, name);
	x->data = msg_nest(x->m, NFTA_EXPR_DATA);
}

static void expr_end(struct enc *x)
{
	msg_end(x->m, x->data);
	msg_end(x->m, x->elem);
}

static void put_data(struct enc *x, uint16_t type, const void *p, size_t n)
{
	struct nlattr *nest = msg_nest(x->m, type);

	msg_put(x->m, NFTA_DATA_VALUE, p, n);
	msg_end(x->m, nest);
}

static void put_immediate(struct enc *x, unsigned word, const struct nft_val *v)
{
	expr_start(x, "immediate");
	msg_be32(x->m, NFTA_IMMEDIATE_DREG, reg(word));
	put_data(x, NFTA_IMMEDIATE_DATA, v->b, v->len);
	expr_end(x);
}

static void put_cmp(struct enc *x, uint32_t op, const void *p, size_t n)
{
	expr_start(x, "cmp");
	msg_be32(x->m, NFTA_CMP_SREG, reg(0));
	msg_be32(x->m, NFTA_CMP_OP, op);
	put_data(x, NFTA_CMP_DATA, p, n);
	expr_end(x);
}

static void put_bitwise(struct enc *x, const void *mask, const void * xor, size_t n)
{
	expr_start(x, "bitwise");
	msg_be32(x->m, NFTA_BITWISE_SREG, reg(0));
	msg_be32(x->m, NFTA_BITWISE_DREG, reg(0));
	msg_be32(x->m, NFTA_BITWISE_LEN, n);
	msg_be32(x->m, NFTA_BITWISE_OP, NFT_BITWISE_BOOL);
	put_data(x, NFTA_BITWISE_MASK, mask, n);
	put_data(x, NFTA_BITWISE_XOR, xor, n);
	expr_end(x);
}

static unsigned put_load(struct enc *x, const struct nft_sel *s, unsigned word);

static void put_hash(struct enc *x, const struct nft_sel *s, unsigned word)
{
	unsigned to = word, len;

	for (unsigned i = 0; i < s->n_of; i++)
		to = put_load(x, &s->of[i], to);
	len = nft_keys_len(&(struct nft_keys){ s->of, s->n_of });
	expr_start(x, "hash");
	msg_be32(x->m, NFTA_HASH_SREG, reg(word));
	msg_be32(x->m, NFTA_HASH_DREG, reg(word));
	msg_be32(x->m, NFTA_HASH_LEN, s->n_of == 1 ? nft_sel_len(s->of) : len);
	msg_be32(x->m, NFTA_HASH_MODULUS, s->modulus);
	if (s->seed)
		msg_be32(x->m, NFTA_HASH_SEED, s->seed);
	msg_be32(x->m, NFTA_HASH_OFFSET, s->add);
	msg_be32(x->m, NFTA_HASH_TYPE, NFT_HASH_JENKINS);
	expr_end(x);
}

/* Loads a selector at `word`; returns the word after it. */
static unsigned put_load(struct enc *x, const struct nft_sel *s, unsigned word)
{
	const struct sel_info *in = sel_info(s);
	unsigned end = word + pad4(nft_sel_len(s)) / 4;

	if (s->key == NFK_NONE || end > WORDS || end == word) {
		x->bad = x->bad ? x->bad : err_set(x->e, -EINVAL, "selector or key too long");
		return word;
	}
	switch ((enum sel_load)in->load) {
	case LOAD_META:
		expr_start(x, "meta");
		msg_be32(x->m, NFTA_META_KEY, in->arg);
		msg_be32(x->m, NFTA_META_DREG, reg(word));
		break;
	case LOAD_PAYLOAD:
		expr_start(x, "payload");
		msg_be32(x->m, NFTA_PAYLOAD_DREG, reg(word));
		msg_be32(x->m, NFTA_PAYLOAD_BASE, s->key == NFK_PAYLOAD ? s->base : in->arg);
		msg_be32(x->m, NFTA_PAYLOAD_OFFSET, s->key == NFK_PAYLOAD ? s->offset : in->off);
		msg_be32(x->m, NFTA_PAYLOAD_LEN, nft_sel_len(s));
		break;
	case LOAD_CT:
		expr_start(x, "ct");
		msg_be32(x->m, NFTA_CT_KEY, in->arg);
		msg_be32(x->m, NFTA_CT_DREG, reg(word));
		if (in->off != 255)
			msg_u8(x->m, NFTA_CT_DIRECTION, in->off);
		break;
	case LOAD_FIB:
		expr_start(x, "fib");
		msg_be32(x->m, NFTA_FIB_DREG, reg(word));
		msg_be32(x->m, NFTA_FIB_RESULT, in->arg);
		msg_be32(x->m, NFTA_FIB_FLAGS, in->off);
		break;
	case LOAD_RT:
		expr_start(x, "rt");
		msg_be32(x->m, NFTA_RT_KEY, in->arg);
		msg_be32(x->m, NFTA_RT_DREG, reg(word));
		break;
	case LOAD_NUMGEN:
		expr_start(x, "numgen");
		msg_be32(x->m, NFTA_NG_DREG, reg(word));
		msg_be32(x->m, NFTA_NG_MODULUS, s->modulus);
		msg_be32(x->m, NFTA_NG_TYPE, in->arg);
		msg_be32(x->m, NFTA_NG_OFFSET, s->add);
		break;
	case LOAD_HASH:
		put_hash(x, s, word);
		return end;
	}
	expr_end(x);
	return end;
}

static unsigned put_keys(struct enc *x, const struct nft_keys *k, unsigned word)
{
	static const uint32_t zero;

	for (uint32_t i = 0; i < k->n; i++)
		word = put_load(x, &k->v[i], word);
	if (k->n == 1 && k->v[0].mask)
		put_bitwise(x, &k->v[0].mask, &zero, 4);
	return word;
}

/* dreg: word, or -1 for a plain match, or -2 for a verdict. */
static void put_lookup(struct enc *x, const char *set, int dreg, bool neg)
{
	expr_start(x, "lookup");
	msg_str(x->m, NFTA_LOOKUP_SET, set);
	msg_be32(x->m, NFTA_LOOKUP_SREG, reg(0));
	if (dreg != -1)
		msg_be32(x->m, NFTA_LOOKUP_DREG,
			 dreg == -2 ? (uint32_t)NFT_REG_VERDICT : reg(dreg));
	if (neg)
		msg_be32(x->m, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	expr_end(x);
}

static struct nft_val swapped(struct nft_val v)
{
	for (unsigned i = 0; i < v.len / 2; i++) {
		uint8_t b = v.b[i];

		v.b[i] = v.b[v.len - 1 - i];
		v.b[v.len - 1 - i] = b;
	}
	return v;
}

/* Order needs big-endian bytes: the kernel compares with memcmp(). */
static bool put_swap(struct enc *x, const struct nft_sel *s)
{
	unsigned len = nft_sel_len(s);

	if (!sel_host(s) || len < 2 || len > 4)
		return false;
	expr_start(x, "byteorder");
	msg_be32(x->m, NFTA_BYTEORDER_SREG, reg(0));
	msg_be32(x->m, NFTA_BYTEORDER_DREG, reg(0));
	msg_be32(x->m, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	msg_be32(x->m, NFTA_BYTEORDER_LEN, len);
	msg_be32(x->m, NFTA_BYTEORDER_SIZE, len);
	expr_end(x);
	return true;
}

static void put_match(struct enc *x, const struct nft_stmt *s)
{
	static const uint8_t cmp[] = {
		[NFC_EQ] = NFT_CMP_EQ, [NFC_NE] = NFT_CMP_NEQ, [NFC_LT] = NFT_CMP_LT,
		[NFC_GT] = NFT_CMP_GT, [NFC_LE] = NFT_CMP_LTE, [NFC_GE] = NFT_CMP_GTE
	};
	struct nft_val a = s->match.a, b = s->match.b;
	static const struct nft_val zero;

	put_load(x, &s->match.sel, 0);
	switch ((enum nft_cmp)s->match.op) {
	case NFC_EQ:
	case NFC_NE:
		if (s->match.mask.len)
			put_bitwise(x, s->match.mask.b, zero.b, s->match.mask.len);
		put_cmp(x, cmp[s->match.op], a.b, a.len);
		return;
	case NFC_LT:
	case NFC_GT:
	case NFC_LE:
	case NFC_GE:
		if (put_swap(x, &s->match.sel))
			a = swapped(a);
		put_cmp(x, cmp[s->match.op], a.b, a.len);
		return;
	case NFC_RANGE:
	case NFC_NOT_RANGE:
		if (put_swap(x, &s->match.sel)) {
			a = swapped(a);
			b = swapped(b);
		}
		expr_start(x, "range");
		msg_be32(x->m, NFTA_RANGE_SREG, reg(0));
		msg_be32(x->m, NFTA_RANGE_OP,
			 s->match.op == NFC_RANGE ? NFT_RANGE_EQ : NFT_RANGE_NEQ);
		put_data(x, NFTA_RANGE_FROM_DATA, a.b, a.len);
		put_data(x, NFTA_RANGE_TO_DATA, b.b, b.len);
		expr_end(x);
		return;
	case NFC_ANY:
	case NFC_NONE:
		put_bitwise(x, a.b, zero.b, a.len);
		put_cmp(x, s->match.op == NFC_ANY ? NFT_CMP_NEQ : NFT_CMP_EQ, zero.b, a.len);
		return;
	}
}

static void put_verdict(struct enc *x, const struct nft_verdict *v)
{
	struct nlattr *data, *verdict;

	expr_start(x, "immediate");
	msg_be32(x->m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = msg_nest(x->m, NFTA_IMMEDIATE_DATA);
	verdict = msg_nest(x->m, NFTA_DATA_VERDICT);
	msg_be32(x->m, NFTA_VERDICT_CODE, v->code);
	if (v->chain)
		msg_str(x->m, NFTA_VERDICT_CHAIN, v->chain);
	msg_end(x->m, verdict);
	msg_end(x->m, data);
	expr_end(x);
}

static void put_limit(struct enc *x, const struct nft_stmt *s)
{
	expr_start(x, "limit");
	msg_be64(x->m, NFTA_LIMIT_RATE, s->limit.rate);
	msg_be64(x->m, NFTA_LIMIT_UNIT, s->limit.unit);
	msg_be32(x->m, NFTA_LIMIT_BURST, s->limit.burst);
	msg_be32(x->m, NFTA_LIMIT_TYPE, s->limit.is_bytes ? NFT_LIMIT_PKT_BYTES : NFT_LIMIT_PKTS);
	msg_be32(x->m, NFTA_LIMIT_FLAGS, s->limit.over ? NFT_LIMIT_F_INV : 0);
	expr_end(x);
}

static void put_log(struct enc *x, const struct nft_stmt *s)
{
	expr_start(x, "log");
	if (s->log.prefix)
		msg_str(x->m, NFTA_LOG_PREFIX, s->log.prefix);
	if (s->log.has_group)
		msg_be16(x->m, NFTA_LOG_GROUP, s->log.group);
	if (s->log.snaplen)
		msg_be32(x->m, NFTA_LOG_SNAPLEN, s->log.snaplen);
	expr_end(x);
}

/* Words of the address, its end, the port, its end; -1: absent. */
struct nat_words {
	int addr, addr_max, port, port_max;
};

static struct nat_words put_nat_source(struct enc *x, const struct nft_nat *n)
{
	struct nat_words w = { -1, -1, -1, -1 };
	const struct nft_val *v[] = { &n->addr, &n->addr_max, &n->port, &n->port_max };
	int *word[] = { &w.addr, &w.addr_max, &w.port, &w.port_max };

	if (n->map) {
		put_keys(x, &n->keys, 0);
		put_lookup(x, n->map, 0, false);
		if (!n->family) {
			w.port = 0;
			return w;
		}
		w.addr = 0;
		if (n->map_port)
			w.port = n->family == NFPROTO_IPV6 ? 4 : 1;
		return w;
	}
	for (unsigned i = 0; i < 4; i++)
		if (v[i]->len) {
			put_immediate(x, 4 * i, v[i]);
			*word[i] = 4 * i;
		}
	return w;
}

static void put_word(struct enc *x, uint16_t type, int word)
{
	if (word >= 0)
		msg_be32(x->m, type, reg(word));
}

static void put_nat(struct enc *x, const struct nft_stmt *s)
{
	const struct nft_nat *n = &s->nat;
	struct nat_words w = put_nat_source(x, n);

	expr_start(x, "nat");
	msg_be32(x->m, NFTA_NAT_TYPE, n->type);
	msg_be32(x->m, NFTA_NAT_FAMILY, n->family);
	put_word(x, NFTA_NAT_REG_ADDR_MIN, w.addr);
	put_word(x, NFTA_NAT_REG_ADDR_MAX, w.addr_max);
	put_word(x, NFTA_NAT_REG_PROTO_MIN, w.port);
	put_word(x, NFTA_NAT_REG_PROTO_MAX, w.port_max);
	if (n->flags)
		msg_be32(x->m, NFTA_NAT_FLAGS, n->flags);
	expr_end(x);
}

static void put_redirect(struct enc *x, const struct nft_stmt *s)
{
	struct nat_words w = put_nat_source(x, &s->nat);

	expr_start(x, "redir");
	put_word(x, NFTA_REDIR_REG_PROTO_MIN, w.port);
	put_word(x, NFTA_REDIR_REG_PROTO_MAX, w.port_max);
	if (s->nat.flags)
		msg_be32(x->m, NFTA_REDIR_FLAGS, s->nat.flags);
	expr_end(x);
}

static void put_set(struct enc *x, const struct nft_stmt *s)
{
	static const uint32_t key[] = { [NFTT_MARK] = NFT_META_MARK,
					[NFTT_CTMARK] = NFT_CT_MARK,
					[NFTT_NFTRACE] = NFT_META_NFTRACE,
					[NFTT_PKTTYPE] = NFT_META_PKTTYPE,
					[NFTT_PRIORITY] = NFT_META_PRIORITY };
	const struct nft_src *src = &s->set.src;
	bool ct = s->set.target == NFTT_CTMARK;

	if (!src->keys.n)
		put_immediate(x, 0, &src->imm);
	put_keys(x, &src->keys, 0);
	if (src->map)
		put_lookup(x, src->map, 0, false);
	else if (src->mask || src->xor)
		put_bitwise(x, &src->mask, &src->xor, 4);
	expr_start(x, ct ? "ct" : "meta");
	msg_be32(x->m, ct ? NFTA_CT_KEY : NFTA_META_KEY, key[s->set.target]);
	msg_be32(x->m, ct ? NFTA_CT_SREG : NFTA_META_SREG, reg(0));
	expr_end(x);
}

static void put_dynset(struct enc *x, const struct nft_stmt *s)
{
	unsigned word = put_keys(x, &s->dynset.keys, 0), data = (word + 3) / 4 * 4;

	if (s->dynset.data.n)
		put_keys(x, &s->dynset.data, data);
	expr_start(x, "dynset");
	msg_str(x->m, NFTA_DYNSET_SET_NAME, s->dynset.set);
	msg_be32(x->m, NFTA_DYNSET_OP, s->dynset.op);
	msg_be32(x->m, NFTA_DYNSET_SREG_KEY, reg(0));
	if (s->dynset.data.n)
		msg_be32(x->m, NFTA_DYNSET_SREG_DATA, reg(data));
	if (s->dynset.timeout_ms)
		msg_be64(x->m, NFTA_DYNSET_TIMEOUT, s->dynset.timeout_ms);
	expr_end(x);
}

static void put_stmt(struct enc *x, const struct nft_stmt *s)
{
	switch ((enum nft_stmt_kind)s->kind) {
	case NFS_OPAQUE:
	case NFS_KIND_COUNT:
		x->bad = err_set(x->e, -EINVAL, "cannot say statement %s", s->opaque.name);
		return;
	case NFS_MATCH:
		put_match(x, s);
		return;
	case NFS_LOOKUP:
	case NFS_VMAP:
		put_keys(x, &s->lookup.keys, 0);
		put_lookup(x, s->lookup.set, s->kind == NFS_VMAP ? -2 : -1, s->lookup.neg);
		return;
	case NFS_VERDICT:
		put_verdict(x, &s->verdict);
		return;
	case NFS_COUNTER:
		expr_start(x, "counter");
		msg_be64(x->m, NFTA_COUNTER_BYTES, 0);
		msg_be64(x->m, NFTA_COUNTER_PACKETS, 0);
		expr_end(x);
		return;
	case NFS_LIMIT:
		put_limit(x, s);
		return;
	case NFS_LOG:
		put_log(x, s);
		return;
	case NFS_REJECT:
		expr_start(x, "reject");
		msg_be32(x->m, NFTA_REJECT_TYPE, s->reject.type);
		msg_u8(x->m, NFTA_REJECT_ICMP_CODE, s->reject.code);
		expr_end(x);
		return;
	case NFS_NAT:
		put_nat(x, s);
		return;
	case NFS_MASQUERADE:
		expr_start(x, "masq");
		if (s->nat.flags)
			msg_be32(x->m, NFTA_MASQ_FLAGS, s->nat.flags);
		expr_end(x);
		return;
	case NFS_REDIRECT:
		put_redirect(x, s);
		return;
	case NFS_NOTRACK:
		expr_start(x, "notrack");
		expr_end(x);
		return;
	case NFS_SET:
		put_set(x, s);
		return;
	case NFS_DYNSET:
		put_dynset(x, s);
		return;
	}
}

/* The match that a header needs. */
static void put_dep(struct enc *x, const struct dep *d)
{
	struct nft_stmt s = { .kind = NFS_MATCH,
			      .match = { .sel = NFT_SEL(d->key), .op = NFC_EQ } };

	s.match.a = d->key == NFK_META_PROTOCOL ? nft_be16(d->value) : nft_u8(d->value);
	put_match(x, &s);
}

int encode_exprs(struct msg *m, const struct nft_rule *r, uint8_t family, struct err *e)
{
	struct enc x = { .m = m, .e = e };
	struct pkt k;

	pkt_init(&k, family);
	for (uint32_t i = 0; i < r->n && !x.bad; i++) {
		struct dep d[2];
		int n = pkt_need(&k, &r->v[i], d);

		if (n < 0)
			return err_set(e, -EINVAL, "statement %u: no such header here", i + 1);
		for (int j = 0; j < n; j++)
			put_dep(&x, &d[j]);
		put_stmt(&x, &r->v[i]);
		pkt_learn(&k, &r->v[i]);
	}
	return x.bad;
}
