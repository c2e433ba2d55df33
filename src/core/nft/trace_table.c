// SPDX-License-Identifier: Apache-2.0
/* nft_trace: the rules that events name, and those that make the kernel tell; see trace.h. */
#include "core/nft/trace.h"

#include <string.h>

#define BEFORE_CONNTRACK (-399) /* behind defragmentation, so that there are ports */
#define BEHIND_NAT       400    /* and behind helpers */

/* ---- rules that were met */

const struct nft_chain *nft_trace_chain(const struct nft_ruleset *rs, const struct nft_trace *t)
{
	const struct nft_table *table = nft_table_get(rs, t->family, t->table);

	return table ? nft_chain_get(table, t->chain) : NULL;
}

const struct nft_rule *nft_trace_rule(const struct nft_ruleset *rs, const struct nft_trace *t)
{
	const struct nft_chain *c = nft_trace_chain(rs, t);

	for (uint32_t i = 0; c && t->rule && i < c->n; i++)
		if (c->rules[i]->handle == t->rule)
			return c->rules[i];
	return NULL;
}

/* ---- the rules that make the kernel tell */

/* A port by its protocol's own name implies the protocol. */
static void trace_ports(struct nft_rule *r, const struct nft_trace_flow *f)
{
	static const struct {
		uint8_t proto, sport, dport;
	} names[] = { { IPPROTO_TCP, NFK_TCP_SPORT, NFK_TCP_DPORT },
		      { IPPROTO_UDP, NFK_UDP_SPORT, NFK_UDP_DPORT },
		      { IPPROTO_SCTP, NFK_SCTP_SPORT, NFK_SCTP_DPORT },
		      { 0, NFK_TH_SPORT, NFK_TH_DPORT } };
	unsigned i = 0;

	while (names[i].proto && names[i].proto != f->proto)
		i++;
	if (f->proto && (!names[i].proto || (!f->sport && !f->dport)))
		nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ, nft_u8(f->proto));
	if (f->sport)
		nft_match(r, NFT_SEL(names[i].sport), NFC_EQ, nft_be16(f->sport));
	if (f->dport)
		nft_match(r, NFT_SEL(names[i].dport), NFC_EQ, nft_be16(f->dport));
}

static void trace_flow(struct nft_chain *c, const struct nft_trace_flow *f)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	if (f->src.family)
		nft_match(r, NFT_SEL(f->src.family == AF_INET ? NFK_IP_SADDR : NFK_IP6_SADDR),
			  NFC_EQ, nft_addr(&f->src));
	if (f->dst.family)
		nft_match(r, NFT_SEL(f->dst.family == AF_INET ? NFK_IP_DADDR : NFK_IP6_DADDR),
			  NFC_EQ, nft_addr(&f->dst));
	trace_ports(r, f);
	nft_set_imm(r, NFTT_NFTRACE, 1);
}

struct nft_chain *nft_trace_base(struct nft_table *t, const char *name)
{
	static const struct {
		const char *name;
		uint32_t hook;
		int32_t priority;
	} chains[] = {
		{ NFT_TRACE_PREROUTING, NF_INET_PRE_ROUTING, BEFORE_CONNTRACK },
		{ NFT_TRACE_TRANSLATED, NF_INET_PRE_ROUTING, BEHIND_NAT },
		{ NFT_TRACE_INPUT, NF_INET_LOCAL_IN, BEFORE_CONNTRACK },
		{ NFT_TRACE_FORWARD, NF_INET_FORWARD, BEFORE_CONNTRACK },
		{ NFT_TRACE_OUTPUT, NF_INET_LOCAL_OUT, BEFORE_CONNTRACK },
		{ NFT_TRACE_REDIRECTED, NF_INET_LOCAL_OUT, BEHIND_NAT },
		{ NFT_TRACE_POSTROUTING, NF_INET_POST_ROUTING, BEHIND_NAT },
	};
	unsigned i = 0;

	while (strcmp(chains[i].name, name) != 0)
		i++;
	return nft_base_add(t, name, "filter", chains[i].hook, chains[i].priority);
}

struct nft_table *nft_trace_table(struct nft_ruleset *rs, const char *name,
				  const struct nft_trace_flow *v, size_t n)
{
	static const char *const chains[] = { NFT_TRACE_PREROUTING, NFT_TRACE_TRANSLATED,
					      NFT_TRACE_INPUT,      NFT_TRACE_FORWARD,
					      NFT_TRACE_OUTPUT,     NFT_TRACE_REDIRECTED,
					      NFT_TRACE_POSTROUTING };
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, name);

	if (!t)
		return NULL;
	t->flags = NFT_TABLE_F_OWNER;
	for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++) {
		struct nft_chain *c = nft_trace_base(t, chains[i]);
		bool begins = !strcmp(chains[i], NFT_TRACE_PREROUTING) ||
			      !strcmp(chains[i], NFT_TRACE_OUTPUT);

		for (size_t k = 0; begins && k < n; k++)
			trace_flow(c, &v[k]);
	}
	return t;
}
