/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of Services.
 *
 *   service-check-in, -out  filter, before dstnat, new connections only: what no endpoint takes
 *     restricted4, sources4   fronts with loadBalancerSourceRanges; who may use them
 *     refused4                front ──► code ──► service-reject | drop | service-drop-outside
 *     cluster_ips4            a port that its Service does not have is refused
 *     service_nets4           an address that no Service has is dropped (KEP-3866)
 *     left_ips4               unless it is for another proxy to translate, behind us (KEP-2447)
 *     refused_nodeport4       the same as refused4 of node ports
 *   service-in, -out        nat, dstnat ──► services
 *     vip4, nodeport4         front ──► id of a group, or of a chooser
 *     sizes                   id ──► number of its choice | id
 *     choices                 number ──► tcp4-3 …
 *     front_choices           the same, and service-choose (apart: the kernel wants no loops)
 *     to_all, to_local        id of a chooser ──► id of a group
 *     tcp4_endpoints …        id of a group . slot ──► address . port
 *   service-postrouting     nat, before natOutgoing, of translated connections only
 *     hairpin4, pod_src4      an endpoint that reaches itself: one of this node's by its slice, or a
 *                             pod of a link of ours, whatever its slice says or leaves out
 *     masq4, masq_nodeport4   original destination ──► code ──► service-masq-…
 *
 * And the same with 6. A front is a protocol, an address and a port; that of a node port has no
 * address. nat chains cannot reject, so refusals are decided before them; and they see a
 * connection's first packet only, so that what one rule found may travel to the next in the
 * priority of that packet: forwarding sets it anew behind, the last chain clears it for the node's
 * own packets, and no bit of a mark is anybody's loss.
 *
 * The cost of a packet is one look-up for each family's fronts, whatever there are; of a choice,
 * three more. An endpoint that goes is replaced in its slot by the last. Maps of verdicts hold a
 * few elements and never one of a Service: whenever such a map changes, the kernel walks all its
 * elements to see that no loop came to be (3 ms at 10 000), and data costs nothing of the kind. */
#include "core/nft/service.h"

#include <stdio.h>
#include <string.h>

#define CHECK_PRIORITY (-110) /* before dstnat */
#define MASQ_PRIORITY  99     /* before natOutgoing */

#define LOOPBACK                                                                                   \
	{                                                                                          \
		.addr = { AF_INET, { 127 } }, .len = 8                                             \
	}

#define S(k)     NFT_SEL(NFK_##k)
#define K(...)   NFT_SELS(__VA_ARGS__)
#define FRONT(f) S(META_L4PROTO), NFT_SEL((f)->daddr), S(TH_DPORT)
#define PRIORITY K(S(META_PRIORITY))

/* Flows to the node's addresses that take node ports. */
static void match_node(struct nft_rule *r, const struct nft_service_family *f,
		       const struct svc_node *node)
{
	const struct prefix loop = LOOPBACK;
	bool v6 = f->digit == '6';

	/* First what costs little and tells the family. */
	if (node->nodePortAddresses.n)
		nft_match_set(r, K(NFT_SEL(f->daddr)), NFT_FAMILY_NAME("nodeport_nets", f));
	if (v6)
		nft_match(r, S(IP6_DADDR), NFC_NE,
			  nft_addr(&(struct ipaddr){ AF_INET6, { [15] = 1 } }));
	else if (!node->localhost_node_ports)
		nft_match_prefix(r, S(IP_DADDR), NFC_NE, &loop);
	else if (!node->nodePortAddresses.n)
		nft_match(r, S(META_NFPROTO), NFC_EQ, nft_u8(NFPROTO_IPV4));
	nft_match(r, S(FIB_DADDR_TYPE), NFC_EQ, nft_u32(2)); /* RTN_LOCAL */
}

static void hook_both(struct nft_table *t, const char *head, const char *type, int priority,
		      const char *to)
{
	static const struct {
		const char *tail;
		uint32_t hook;
	} at[] = { { "in", NF_INET_PRE_ROUTING }, { "out", NF_INET_LOCAL_OUT } };

	for (unsigned i = 0; i < 2; i++) {
		char name[NFT_SERVICE_NAME];
		struct nft_rule *r;

		snprintf(name, sizeof(name), "%s-%s", head, at[i].tail);
		r = nft_rule_add(nft_base_add(t, name, type, at[i].hook, priority), NULL);
		if (!strcmp(type, "filter"))
			nft_match(r, S(CT_STATE), NFC_ANY, nft_u32(8)); /* new */
		nft_jump(r, to);
	}
}

/* From pods and from the node itself: the short circuit of externalTrafficPolicy Local. */
static void unless_outside(struct nft_chain *c, int32_t code, const char *to)
{
	struct nft_rule *r;

	for (unsigned i = 0; i < 2; i++) {
		r = nft_rule_add(c, NULL);
		nft_match_set(r, K(NFT_SEL(nft_service_families[i].saddr)),
			      nft_service_families[i].pools);
		nft_verdict(r, code, to);
	}
	r = nft_rule_add(c, NULL);
	nft_match(r, S(FIB_SADDR_TYPE), NFC_EQ, nft_u32(2));
	nft_verdict(r, code, to);
}

/* To a cluster IP. (Kernels before 6.4 have no way to ask whether a map has a key but to use
 * what it says.) */
static void make_known(struct nft_table *t)
{
	struct nft_chain *c = nft_chain_add(t, "service-known");
	struct nft_rule *r;

	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		r = nft_rule_add(c, NULL);
		nft_set_map(r, NFTT_PRIORITY, K(FRONT(f)), NFT_FAMILY_NAME("vip", f));
		nft_return(r);
	}
	r = nft_rule_add(c, "the Service has no such port");
	nft_counter(r);
	nft_reject(r, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
}

/* Addresses that are for Services only. */
static void unserved(struct nft_chain *c, const struct nft_service_family *f)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match_set(r, K(NFT_SEL(f->daddr)), NFT_FAMILY_NAME("cluster_ips", f));
	nft_goto(r, "service-known");
	r = nft_rule_add(c, "no Service has the address");
	nft_match_set(r, K(NFT_SEL(f->daddr)), NFT_FAMILY_NAME("service_nets", f));
	nft_match_not_set(r, K(NFT_SEL(f->daddr)), NFT_FAMILY_NAME("left_ips", f));
	nft_counter(r);
	nft_drop(r);
}

/* With route_localnet, which node ports on 127.0.0.0/8 need, the kernel would take them from
 * anybody on the wire, for whatever listens there (CVE-2020-8558). */
static void guard_loopback(struct nft_chain *in)
{
	const struct prefix loop = LOOPBACK;
	struct nft_rule *r = nft_rule_add(in, "loopback address from elsewhere");

	nft_match_prefix(r, S(IP_DADDR), NFC_EQ, &loop);
	nft_match(r, S(META_IIFNAME), NFC_NE, nft_ifname("lo"));
	nft_counter(r);
	nft_drop(r);
}

static void make_check(struct nft_table *t, const struct svc_node *node)
{
	struct nft_chain *c = nft_chain_add(t, "service-check");
	struct nft_chain *outside = nft_chain_add(t, "service-drop-outside");
	struct nft_rule *r = nft_rule_add(nft_chain_add(t, "service-reject"), NULL);

	nft_reject(r, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
	unless_outside(outside, NFT_RETURN, NULL);
	nft_drop(nft_rule_add(outside, NULL));
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		r = nft_rule_add(c, "not in loadBalancerSourceRanges");
		nft_match_set(r, K(FRONT(f)), NFT_FAMILY_NAME("restricted", f));
		nft_match_not_set(r, K(FRONT(f), NFT_SEL(f->saddr)), NFT_FAMILY_NAME("sources", f));
		nft_counter(r);
		nft_drop(r);
		r = nft_rule_add(c, NULL);
		nft_set_map(r, NFTT_PRIORITY, K(FRONT(f)), NFT_FAMILY_NAME("refused", f));
		nft_vmap(r, PRIORITY, "refuse_way");
		unserved(c, f);
		r = nft_rule_add(c, NULL);
		match_node(r, f, node);
		nft_set_map(r, NFTT_PRIORITY, K(S(META_L4PROTO), S(TH_DPORT)),
			    NFT_FAMILY_NAME("refused_nodeport", f));
		nft_vmap(r, PRIORITY, "refuse_way");
	}
	hook_both(t, "service-check", "filter", CHECK_PRIORITY, "service-check");
	guard_loopback(nft_chain_get(t, "service-check-in"));
}

/* The priority is the id of a group or, of a front's, of a chooser: on to its chain. */
static void choose(struct nft_rule *r, const char *choices)
{
	nft_set_map(r, NFTT_PRIORITY, PRIORITY, "sizes");
	nft_vmap(r, K(NFT_MASKED(NFK_META_PRIORITY, NFT_CHOICE_MASK)), choices);
}

static void make_choose(struct nft_table *t)
{
	struct nft_chain *all = nft_chain_add(t, "service-choose-all");
	struct nft_chain *c = nft_choice_chain(t, &(struct nft_choice){ .family = AF_UNSPEC });
	struct nft_rule *r = nft_rule_add(all, NULL);

	nft_set_map(r, NFTT_PRIORITY, PRIORITY, "to_all");
	choose(r, "choices");
	unless_outside(c, NFT_GOTO, "service-choose-all");
	r = nft_rule_add(c, NULL);
	nft_set_map(r, NFTT_PRIORITY, PRIORITY, "to_local");
	choose(r, "choices");
}

static void make_services(struct nft_table *t, const struct svc_node *node)
{
	struct nft_chain *c = nft_chain_add(t, "services");

	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];
		struct nft_rule *r = nft_rule_add(c, NULL);

		nft_set_map(r, NFTT_PRIORITY, K(FRONT(f)), NFT_FAMILY_NAME("vip", f));
		choose(r, "front_choices");
		r = nft_rule_add(c, NULL);
		match_node(r, f, node);
		nft_set_map(r, NFTT_PRIORITY, K(S(META_L4PROTO), S(TH_DPORT)),
			    NFT_FAMILY_NAME("nodeport", f));
		choose(r, "front_choices");
	}
	hook_both(t, "service", "nat", -100, "services");
}

static void masquerade(struct nft_rule *r)
{
	nft_set_imm(r, NFTT_PRIORITY, 0);
	nft_masquerade(r, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static void make_masq_of(struct nft_chain *c, const struct nft_service_family *f)
{
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match_set(r, K(NFT_SEL(f->saddr), NFT_SEL(f->daddr)), NFT_FAMILY_NAME("hairpin", f));
	masquerade(r);
	r = nft_rule_add(c, NULL);
	nft_match_set(r, K(S(META_IIFNAME), NFT_SEL(f->daddr)), NFT_FAMILY_NAME("pod_src", f));
	masquerade(r);
	for (unsigned i = PROTO_TCP; i <= PROTO_SCTP; i++) {
		r = nft_rule_add(c, NULL);
		nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(nft_service_transports[i].number));
		nft_set_map(r, NFTT_PRIORITY,
			    K(S(META_L4PROTO), NFT_SEL(f->orig), S(CT_ORIG_DPORT)),
			    NFT_FAMILY_NAME("masq", f));
		nft_vmap(r, PRIORITY, "masq_way");
		r = nft_rule_add(c, NULL);
		nft_match(r, S(META_NFPROTO), NFC_EQ, nft_u8(f->nfproto));
		nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(nft_service_transports[i].number));
		nft_set_map(r, NFTT_PRIORITY, K(S(META_L4PROTO), S(CT_ORIG_DPORT)),
			    NFT_FAMILY_NAME("masq_nodeport", f));
		nft_vmap(r, PRIORITY, "masq_way");
	}
}

static void make_masq(struct nft_table *t)
{
	struct nft_chain *base, *c = nft_chain_add(t, "service-masq"), *to;
	struct nft_rule *r;

	masquerade(nft_rule_add(nft_chain_add(t, "service-masq-always"), NULL));
	to = nft_chain_add(t, "service-masq-unless-pod");
	for (unsigned i = 0; i < 2; i++) {
		r = nft_rule_add(to, NULL);
		nft_match_set(r, K(NFT_SEL(nft_service_families[i].saddr)),
			      nft_service_families[i].pools);
		nft_return(r);
	}
	masquerade(nft_rule_add(to, NULL));
	r = nft_rule_add(nft_chain_add(t, "service-masq-if-node"), NULL);
	nft_match(r, S(FIB_SADDR_TYPE), NFC_EQ, nft_u32(2));
	masquerade(r);
	r = nft_rule_add(nft_chain_add(t, "service-masq-if-loopback"), NULL);
	nft_match_prefix(r, S(IP_SADDR), NFC_EQ, &(const struct prefix)LOOPBACK);
	masquerade(r);
	for (unsigned i = 0; i < 2; i++)
		make_masq_of(c, &nft_service_families[i]);
	base = nft_base_add(t, "service-postrouting", "nat", NF_INET_POST_ROUTING, MASQ_PRIORITY);
	r = nft_rule_add(base, NULL);
	nft_match(r, S(CT_STATUS), NFC_ANY, nft_u32(32)); /* dnat */
	nft_jump(r, "service-masq");
	r = nft_rule_add(base, NULL);
	nft_match(r, S(CT_STATUS), NFC_ANY, nft_u32(32));
	nft_set_imm(r, NFTT_PRIORITY, 0);
}

void nft_service_frame(struct nft_table *t, const struct svc_node *node)
{
	nft_service_sets_add(t, node);
	make_known(t);
	make_check(t, node);
	make_choose(t);
	make_services(t, node);
	make_masq(t);
}
