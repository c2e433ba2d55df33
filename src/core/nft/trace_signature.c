// SPDX-License-Identifier: Apache-2.0
/* nft_trace: the rules that find packets by what they bear; see trace.h. They read at places counted from
 * the transport header, which is where its protocol's RFC has them: TCP's numbers at 4 and 8, data of UDP
 * (unless the signature is further within it) and of an echo at 8, SCTP's tag at 4 and, in INIT, at 16; what an ICMP error quotes at 8, an IP header
 * without options first, as nobody sends others.
 *
 * Answers over UDP need not bear the data of the question. So who sees a question go on (input,
 * postrouting) writes down the ports and addresses that an answer to it will come with. */
#include "core/nft/trace.h"

#define QUOTED4     (8 + 20)
#define QUOTED6     (8 + 40)
#define LEARNED_MAX 64

/* The value at one place, of the transport header or of what is quoted. */
struct place {
	uint16_t at, len;
};

static struct nft_sel transport(unsigned at, unsigned len)
{
	return NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, (uint16_t)at, (uint16_t)len);
}

static uint16_t place_of_value(const struct nft_trace_signature *s)
{
	return s->at ? s->at : 8;
}

static struct nft_val be_val(uint64_t value, uint8_t len)
{
	struct nft_val v = { .len = len };

	for (uint8_t i = 0; i < len; i++)
		v.b[i] = (uint8_t)(value >> (len - 1 - i) * 8);
	return v;
}

/* ---- where the signature stands */

/* A rule for errors that quote the protocol where `l4`, where its header then begins, is not 0. */
static struct nft_rule *begin(struct nft_chain *c, uint8_t proto, unsigned l4)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	if (l4)
		nft_match(r, transport(l4 == QUOTED6 ? 8 + 6 : 8 + 9, 1), NFC_EQ, nft_u8(proto));
	return r;
}

/* The protocol comes last: of a header that a rule knows nft would read named fields. */
static void tell(struct nft_rule *r, uint8_t proto, unsigned l4)
{
	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ,
		  nft_u8(!l4             ? proto
			 : l4 == QUOTED6 ? IPPROTO_ICMPV6
					 : IPPROTO_ICMP));
	nft_set_imm(r, NFTT_NFTRACE, 1);
}

/* Others' packets pay for it: a mask costs less than half of what a range does. */
static void by_block(struct nft_chain *c, const struct nft_trace_signature *s, unsigned l4,
		     unsigned at)
{
	struct nft_rule *r = begin(c, s->proto, l4);

	nft_match_mask(r, transport(l4 + at, 4), be_val(~(NFT_TRACE_SEQS - 1), 4), NFC_EQ,
		       be_val((uint32_t)s->value, 4));
	tell(r, s->proto, l4);
}

static void by_seq(struct nft_chain *c, const struct nft_trace_signature *s, unsigned l4,
		   unsigned at)
{
	uint32_t from = (uint32_t)s->value, to = from + NFT_TRACE_SEQS - 1;
	struct nft_rule *r;

	if (from % NFT_TRACE_SEQS == 0) {
		by_block(c, s, l4, at);
		return;
	}
	r = begin(c, s->proto, l4);
	nft_match_range(r, transport(l4 + at, 4), NFC_RANGE, be_val(from, 4),
			be_val(to < from ? UINT32_MAX : to, 4));
	tell(r, s->proto, l4);
	if (to >= from)
		return;
	r = begin(c, s->proto, l4); /* the numbers begin anew in between */
	nft_match_range(r, transport(l4 + at, 4), NFC_RANGE, be_val(0, 4), be_val(to, 4));
	tell(r, s->proto, l4);
}

static void by_value(struct nft_chain *c, const struct nft_trace_signature *s, unsigned l4,
		     struct place p)
{
	struct nft_rule *r = begin(c, s->proto, l4);

	nft_match(r, transport(l4 + p.at, p.len), NFC_EQ, be_val(s->value, (uint8_t)p.len));
	tell(r, s->proto, l4);
}

static void by_init_tag(struct nft_chain *c, const struct nft_trace_signature *s, unsigned l4)
{
	struct nft_rule *r = begin(c, s->proto, l4);

	nft_match(r, transport(l4 + 12, 1), NFC_EQ, nft_u8(1)); /* INIT */
	nft_match(r, transport(l4 + 16, 4), NFC_EQ, be_val(s->value, 4));
	tell(r, s->proto, l4);
}

static void by_signature(struct nft_chain *c, const struct nft_trace_signature *s, unsigned l4)
{
	switch (s->proto) {
	case IPPROTO_TCP:
		by_seq(c, s, l4, 4);
		by_seq(c, s, l4, 8);
		break;
	case IPPROTO_SCTP:
		by_value(c, s, l4, (struct place){ 4, 4 });
		by_init_tag(c, s, l4);
		break;
	default:
		by_value(c, s, l4, (struct place){ place_of_value(s), 8 });
	}
}

/* ---- answers without it */

#define SEEN4 "seen4"
#define SEEN6 "seen6"

static const struct nft_sel answer4[] = { NFT_SEL(NFK_IP_DADDR), NFT_SEL(NFK_IP_SADDR),
					  NFT_SEL(NFK_UDP_DPORT), NFT_SEL(NFK_UDP_SPORT),
					  NFT_SEL(NFK_NONE) };
static const struct nft_sel answer6[] = { NFT_SEL(NFK_IP6_DADDR), NFT_SEL(NFK_IP6_SADDR),
					  NFT_SEL(NFK_UDP_DPORT), NFT_SEL(NFK_UDP_SPORT),
					  NFT_SEL(NFK_NONE) };
static const struct nft_sel packet4[] = { NFT_SEL(NFK_IP_SADDR), NFT_SEL(NFK_IP_DADDR),
					  NFT_SEL(NFK_UDP_SPORT), NFT_SEL(NFK_UDP_DPORT),
					  NFT_SEL(NFK_NONE) };
static const struct nft_sel packet6[] = { NFT_SEL(NFK_IP6_SADDR), NFT_SEL(NFK_IP6_DADDR),
					  NFT_SEL(NFK_UDP_SPORT), NFT_SEL(NFK_UDP_DPORT),
					  NFT_SEL(NFK_NONE) };

static void learn(struct nft_chain *c, const struct nft_trace_signature *s, bool v6)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match(r, transport(place_of_value(s), 8), NFC_EQ, be_val(s->value, 8));
	nft_dynset(r, NFT_DYNSET_OP_ADD, v6 ? answer6 : answer4, v6 ? SEEN6 : SEEN4, 0);
}

static void by_learned(struct nft_chain *c)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct nft_rule *r = nft_rule_add(c, NULL);

		nft_match_set(r, v6 ? packet6 : packet4, v6 ? SEEN6 : SEEN4);
		nft_set_imm(r, NFTT_NFTRACE, 1);
	}
}

static void learn_answers(struct nft_table *t, const struct nft_trace_signature *s)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t type = v6 ? NFTY_IPV6_ADDR : NFTY_IPV4_ADDR;
		struct nft_set *seen =
			nft_set_add(t, v6 ? SEEN6 : SEEN4, NFT_SET_EVAL,
				    NFT_TYPES(type, type, NFTY_INET_SERVICE, NFTY_INET_SERVICE));

		if (!seen)
			return;
		seen->size = LEARNED_MAX;
		learn(nft_trace_base(t, NFT_TRACE_INPUT), s, v6);
		learn(nft_trace_base(t, NFT_TRACE_POSTROUTING), s, v6);
	}
}

/* ---- the table */

#define QUOTING "quoting" /* errors of ICMP: do they quote it? */

static void to_quoting(struct nft_chain *c, uint8_t icmp)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ, nft_u8(icmp));
	nft_verdict(r, NFT_GOTO, QUOTING);
}

/* Others' packets go through all of it: so it is short. */
static void put_rules(struct nft_chain *c, const struct nft_trace_signature *s)
{
	by_signature(c, s, 0);
	if (s->proto == IPPROTO_UDP)
		by_learned(c);
	to_quoting(c, IPPROTO_ICMP);
	to_quoting(c, IPPROTO_ICMPV6);
}

struct nft_table *nft_trace_signature_table(struct nft_ruleset *rs, const char *name,
					    const struct nft_trace_signature *s)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, name);
	struct nft_chain *quoting;

	if (!t)
		return NULL;
	t->flags = NFT_TABLE_F_OWNER;
	if (s->proto == IPPROTO_UDP)
		learn_answers(t, s);
	quoting = nft_chain_add(t, QUOTING);
	by_signature(quoting, s, QUOTED4);
	by_signature(quoting, s, QUOTED6);
	put_rules(nft_trace_base(t, NFT_TRACE_PREROUTING), s);
	put_rules(nft_trace_base(t, NFT_TRACE_OUTPUT), s);
	return t;
}
