/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of policies as rules of the kernel. What a rule allows is counted, and its comment says
 * which rule of which policy it is; what a profile drops is logged and counted, by the list of
 * its policies, or by why its pods are closed. */
#include "core/nft/policies_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S(k)   NFT_SEL(NFK_##k)
#define K(...) NFT_SELS(__VA_ARGS__)

/* "shop/web ingress[0].from[1]": the rule in full, whatever the name's length. */
static const char *comment_of(const struct nft_policy_chain *c, const struct nft_policy_rule *r,
			      char out[NFT_COMMENT_MAX + 1])
{
	char rule[POLICY_RULE_TEXT];
	size_t n;

	policy_rule_text(c->type, r->rule, r->peer, rule);
	n = strlen(nft_policy_cut(c->text, NFT_COMMENT_MAX - strlen(rule) - 1, '#', out));
	snprintf(out + n, NFT_COMMENT_MAX + 1 - n, " %s", rule);
	return out;
}

static void match_whom(struct nft_rule *to, const struct nft_policy_chain *c,
		       const struct nft_policy_rule *r)
{
	const struct nft_service_family *f = &nft_service_families[c->family];
	struct nft_sel other = NFT_SEL(c->type == POLICY_EGRESS ? f->daddr : f->saddr);

	switch ((enum nft_policy_whom)r->whom) {
	case NFT_WHOM_ALL:
		break;
	case NFT_WHOM_NET: /* of its family is all that comes here */
		if (r->net.len)
			nft_match_prefix(to, other, NFC_EQ, &r->net);
		break;
	case NFT_WHOM_SET:
		nft_match_set(to, K(other), r->set->set.name);
		break;
	}
}

static void match_ports(struct nft_rule *to, const struct nft_policy_chain *c,
			const struct nft_policy_ports *p)
{
	const struct nft_service_transport *l4 = &nft_service_transports[p->proto];
	const struct nft_service_family *f = &nft_service_families[c->family];

	switch ((enum nft_policy_which)p->which) {
	case NFT_PORTS_ALL:
		break;
	case NFT_PORTS_RANGE:
		if (p->from == p->to)
			nft_match(to, NFT_SEL(l4->dport), NFC_EQ, nft_be16(p->from));
		else if (p->from || p->to != UINT16_MAX)
			nft_match_range(to, NFT_SEL(l4->dport), NFC_RANGE, nft_be16(p->from),
					nft_be16(p->to));
		else
			nft_match(to, S(META_L4PROTO), NFC_EQ, nft_u8(l4->number));
		break;
	case NFT_PORTS_SET:
		nft_match_set(to, K(S(META_L4PROTO), S(TH_DPORT)), p->set->set.name);
		break;
	case NFT_PORTS_NAMED:
		nft_match_set(to, K(NFT_SEL(f->daddr), S(META_L4PROTO), S(TH_DPORT)),
			      p->set->set.name);
		break;
	}
}

static void policy_rules_of(const struct nft_policy_chain *c, struct nft_chain *to)
{
	char comment[NFT_COMMENT_MAX + 1];

	for (uint32_t i = 0; i < c->rules.n; i++) {
		const struct nft_policy_rule *r = &c->rules.v[i];
		struct nft_rule *rule = nft_rule_add(to, comment_of(c, r, comment));

		match_whom(rule, c, r);
		match_ports(rule, c, &r->ports);
		nft_counter(rule);
		nft_accept(rule);
	}
}

/* What is dropped is logged at most so often, for each profile and each rule of the guard. */
#define LOG_RATE  10 /* a second */
#define LOG_BURST 20

void nft_policy_log(struct nft_rule *r, const char *prefix)
{
	nft_limit(r, LOG_RATE, 1, LOG_BURST, false);
	nft_log_group(r, NFT_POLICY_LOG_GROUP, prefix);
}

static void profile_rules_of(const struct nft_policies *s, const struct nft_policy_chain *c,
			     struct nft_chain *to)
{
	const struct nft_service_family *f = &nft_service_families[c->family];
	const char *head = policy_denial_head(c->text);
	char comment[NFT_COMMENT_MAX + 1];
	struct nft_rule *r;

	memcpy(comment, head, strlen(head));
	for (uint32_t i = 0; i < c->n_jumps; i++)
		nft_jump(nft_rule_add(to, NULL), c->jumps[i]->chain.name);
	r = nft_rule_add(to, NULL);
	nft_match_set(r, K(NFT_SEL(f->saddr), NFT_SEL(f->daddr)), s->frame.self[c->family]->name);
	nft_accept(r);
	nft_policy_log(nft_rule_add(to, NULL), c->chain.name);
	nft_policy_cut(c->text, NFT_COMMENT_MAX - strlen(head), '#', comment + strlen(head));
	r = nft_rule_add(to, comment);
	nft_counter(r);
	nft_drop(r);
}

void nft_policy_chain_rules(const struct nft_policies *s, const struct nft_policy_chain *c,
			    struct nft_chain *to)
{
	if (c->of_policy)
		policy_rules_of(c, to);
	else
		profile_rules_of(s, c, to);
}
