/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a node that answers DNS itself, on addresses that lie on its lo.
 *
 *   raw-prerouting   what pods ask ──► dns-query
 *   raw-output       what the node asks ──► dns-query, what it answers ──► dns-answer
 *     dns4             protocol . address . port where it answers: conntrack makes no entry, so that queries
 *                      lose none either (kubernetes#56903), and Services see none of them
 *   policy-input-egress, -ingress   input, one behind the other as in forward (policy_frame.c)
 *     policy-dns-egress             source ──► its profile for egress
 *     policy-dns-ingress            address ──► the answerer's own for ingress (core/policy/answerer.h)
 *
 * And the same with 6. Each packet of a query is judged, as none belongs to a connection; what the node itself asks
 * comes by lo, and the answerer always takes it. What goes to any other port
 * pays one compare in each of these chains. A node without role dns has none of them, for what it does
 * not serve is a Service's as any. */
#include "core/nft/build_sets.h"
#include "core/nft/service.h"

#define RAW_PRIORITY (-300)

#define S(k)   NFT_SEL(NFK_##k)
#define K(...) NFT_SELS(__VA_ARGS__)

static void fill(struct nft_set *s, const struct nft_input *in, int family)
{
	static const uint8_t transports[] = { IPPROTO_TCP, IPPROTO_UDP };

	for (uint32_t i = 0; i < in->n_dns; i++)
		for (unsigned k = 0; k < 2 && in->dns[i].family == family; k++) {
			uint8_t key[NFT_KEY_MAX] = { 0 };
			uint32_t n = nft_key_put(key, 0, &transports[k], 1);

			n = nft_key_addr(key, n, &in->dns[i]);
			nft_key_put(key, n, nft_be16(SVC_DNS_PORT).b, 2);
			nft_elem_add(s, &(struct nft_elem){ .key = key });
		}
}

/* On to the chain, by which end has DNS' port. */
static void by_port(struct nft_chain *c, uint16_t end, const char *to)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match(r, NFT_SEL(end), NFC_EQ, nft_be16(SVC_DNS_PORT));
	nft_jump(r, to);
}

static void make_untracked(struct nft_table *t)
{
	struct nft_chain *query = nft_chain_add(t, "dns-query");
	struct nft_chain *answer = nft_chain_add(t, "dns-answer");
	struct nft_chain *out =
		nft_base_add(t, "raw-output", "filter", NF_INET_LOCAL_OUT, RAW_PRIORITY);
	struct nft_rule *r;

	by_port(out, NFK_TH_DPORT, "dns-query");
	by_port(out, NFK_TH_SPORT, "dns-answer");
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];
		const char *name = NFT_FAMILY_NAME("dns", f);

		r = nft_rule_add(query, NULL);
		nft_match_set(r, K(S(META_L4PROTO), NFT_SEL(f->daddr), S(TH_DPORT)), name);
		nft_notrack(r);
		r = nft_rule_add(answer, NULL);
		nft_match_set(r, K(S(META_L4PROTO), NFT_SEL(f->saddr), S(TH_SPORT)), name);
		nft_notrack(r);
	}
}

static void make_judged(struct nft_table *t, bool egress)
{
	const char *name = egress ? "policy-dns-egress" : "policy-dns-ingress";
	struct nft_chain *c = nft_chain_add(t, name);

	by_port(nft_base_add(t, egress ? "policy-input-egress" : "policy-input-ingress", "filter",
			     NF_INET_LOCAL_IN, !egress),
		NFK_TH_DPORT, name);
	if (!egress) {
		struct nft_rule *own = nft_rule_add(c, NULL);

		nft_match(own, S(META_IIFNAME), NFC_EQ, nft_ifname("lo"));
		nft_accept(own);
	}
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];
		struct nft_rule *r = nft_rule_add(c, NULL);

		nft_match_set(r, K(S(META_L4PROTO), NFT_SEL(f->daddr), S(TH_DPORT)),
			      NFT_FAMILY_NAME("dns", f));
		nft_vmap(r, K(NFT_SEL(egress ? f->saddr : f->daddr)),
			 NFT_FAMILY_NAME(egress ? "policy_egress" : "policy_ingress", f));
	}
}

void nft_dns_from_pods(struct nft_chain *raw, const struct nft_input *in)
{
	if (in->n_dns)
		by_port(raw, NFK_TH_DPORT, "dns-query");
}

void nft_dns_frame(struct nft_table *t, const struct nft_input *in)
{
	static const int family[] = { AF_INET, AF_INET6 };

	if (!in->n_dns)
		return;
	for (unsigned i = 0; i < 2; i++)
		fill(nft_set_add(t, NFT_FAMILY_NAME("dns", &nft_service_families[i]), 0,
				 NFT_TYPES(NFTY_INET_PROTO, nft_service_families[i].type,
					   NFTY_INET_SERVICE)),
		     in, family[i]);
	make_untracked(t);
	if (in->policies) {
		make_judged(t, true);
		make_judged(t, false);
	}
}
