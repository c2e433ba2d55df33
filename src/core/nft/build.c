/* SPDX-License-Identifier: Apache-2.0 */
/* The ruleset of a node.
 *
 *   inet fairlead
 *     raw-prerouting  ── from a pod's link ──► pod-source ── its own ──► pod-sends
 *                                                  └─ IPv6 ──► pod-ip6 ── from :: ──► pod-unspecified
 *       pod_src4, pod_src6   link . source address that the pod may use
 *       pod_nd               link . address that it may advertise or test by ND
 *     nat-postrouting ──► nat-outgoing
 *       nat4, nat6           sources of pools with natOutgoing
 *       pools4, pools6       every pool: never translated towards them
 *     Services               see service_frame.c
 *     NetworkPolicy          see policy_frame.c
 *     DNS of the node        see dns_frame.c
 *   arp fairlead
 *     input                  ARP that the node itself hears from routed pods
 *       pod_arp              link . MAC . IPv4 address (and 0.0.0.0: probes)
 *   bridge fairlead
 *     prerouting ── from a pod's port ──► port ──► port-ip6 ── from :: ──► port-unspecified
 *       port_mac, port_arp, port_src4, port_src6, port_nd
 *
 * What arrives from a pod's link is the pod's own or it is dropped, before conntrack sees it, and
 * fail-closed: a link without elements may send nothing. The drops count, and their comments
 * name them in metrics. Links are known by name, "fl" and a hash (docs/abi.md); flannel's own
 * device shares the first two letters and is let alone.
 *
 * The link-local address of a pod is the EUI-64 one of its MAC unless told otherwise; other
 * link-local sources are spoofs as any. An IPv6 address under test (DAD) is asked for from ::,
 * with the address as target; MLD reports may come from :: too (RFC 3590). A pod advertises
 * (NA) only its own addresses; router advertisements and redirects it sends never.
 *
 * VXLAN and IP-in-IP that a pod makes itself are dropped: nodes take VXLAN from anybody and IP-in-IP
 * from each other, whose address a pod's packets may get (natOutgoing), and the packet inside
 * could carry any source.
 *
 * In the inet table every packet of the node passes, so what is right is found first: from
 * elsewhere it pays one compare of names, from a pod one lookup. What remains is to be dropped,
 * or a case of its own. */
#include "core/nft/build_sets.h"
#include "core/nft/policies.h"
#include "core/nft/services.h"

#include <linux/netfilter_arp.h>
#include <linux/netfilter_bridge.h>
#include <net/ethernet.h>

#define VXLAN_PORT 4789 /* docs/abi.md */

enum {
	ICMPV6_MLD_REPORT = 131,
	ICMPV6_RA = 134,
	ICMPV6_NS = 135,
	ICMPV6_NA = 136,
	ICMPV6_REDIRECT = 137,
	ICMPV6_MLD2_REPORT = 143
};

/* ---- rules */

static void counted_drop(struct nft_rule *r)
{
	nft_counter(r);
	nft_drop(r);
}

static void not_ours(struct nft_chain *c)
{
	struct nft_rule *r = nft_rule_add(c, "not ours");

	nft_match(r, NFT_SEL(NFK_META_IIFNAME), NFC_EQ, nft_ifname_prefix(FLANNEL));
	nft_return(r);
}

/* From pods' links on: one jump, so that anything else pays for two name compares. */
static void from_pods(struct nft_chain *c, const char *chain)
{
	struct nft_rule *r;

	not_ours(c);
	r = nft_rule_add(c, NULL);
	nft_match(r, NFT_SEL(NFK_META_IIFNAME), NFC_EQ, nft_ifname_prefix(LINKS));
	nft_jump(r, chain);
}

static void drop_unless(struct nft_chain *c, const struct nft_sel *sels, const char *set,
			const char *comment)
{
	struct nft_rule *r = nft_rule_add(c, comment);

	nft_match_not_set(r, sels, set);
	counted_drop(r);
}

static void drop_icmpv6(struct nft_chain *c, uint8_t type, const char *comment)
{
	struct nft_rule *r = nft_rule_add(c, comment);

	nft_match(r, NFT_SEL(NFK_ICMPV6_TYPE), NFC_EQ, nft_u8(type));
	counted_drop(r);
}

/* IPv6 of one link: `main` for all, `unspec` for what comes from ::. */
static void ip6_rules(struct nft_chain *c, struct nft_chain *unspec, const char *src6,
		      const char *nd)
{
	static const uint8_t mld[] = { ICMPV6_MLD_REPORT, ICMPV6_MLD2_REPORT };
	const struct ipaddr any = { .family = AF_INET6 };
	struct nft_rule *r;

	if (!c || !unspec)
		return;
	r = nft_rule_add(c, NULL);
	nft_match(r, NFT_SEL(NFK_IP6_SADDR), NFC_EQ, nft_addr(&any));
	nft_goto(r, unspec->name);
	drop_icmpv6(c, ICMPV6_RA, "router advertisement from a pod");
	drop_icmpv6(c, ICMPV6_REDIRECT, "redirect from a pod");
	r = nft_rule_add(c, "spoofed neighbour advertisement");
	nft_match(r, NFT_SEL(NFK_ICMPV6_TYPE), NFC_EQ, nft_u8(ICMPV6_NA));
	nft_match_not_set(r, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), ND_TARGET), nd);
	counted_drop(r);
	drop_unless(c, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_IP6_SADDR)), src6,
		    "spoofed IPv6 source");

	r = nft_rule_add(unspec, NULL);
	nft_match(r, NFT_SEL(NFK_ICMPV6_TYPE), NFC_EQ, nft_u8(ICMPV6_NS));
	nft_match_set(r, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), ND_TARGET), nd);
	nft_return(r);
	for (unsigned i = 0; i < sizeof(mld); i++) {
		r = nft_rule_add(unspec, NULL);
		nft_match(r, NFT_SEL(NFK_ICMPV6_TYPE), NFC_EQ, nft_u8(mld[i]));
		nft_return(r);
	}
	r = nft_rule_add(unspec, "spoofed unspecified IPv6 source");
	counted_drop(r);
}

static void drop_tunnels(struct nft_chain *c)
{
	struct nft_rule *r = nft_rule_add(c, "VXLAN from a pod");

	nft_match(r, NFT_SEL(NFK_UDP_DPORT), NFC_EQ, nft_be16(VXLAN_PORT));
	counted_drop(r);
	r = nft_rule_add(c, "IP-in-IP from a pod");
	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_IPIP));
	counted_drop(r);
}

static void source_rules(struct nft_table *t, const struct nft_input *in)
{
	struct nft_chain *base, *pod, *sends, *ip6, *unspec;
	struct nft_rule *r;

	base = nft_base_add(t, "raw-prerouting", "filter", NF_INET_PRE_ROUTING, -300);
	pod = nft_chain_add(t, "pod-source");
	sends = nft_chain_add(t, "pod-sends");
	ip6 = nft_chain_add(t, "pod-ip6");
	unspec = nft_chain_add(t, "pod-unspecified");
	nft_dns_from_pods(base, in);
	r = nft_rule_add(base, NULL);
	nft_match(r, NFT_SEL(NFK_META_IIFNAME), NFC_EQ, nft_ifname_prefix(LINKS));
	nft_goto(r, "pod-source");

	r = nft_rule_add(pod, NULL);
	nft_match_set(r, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_IP_SADDR)), "pod_src4");
	nft_goto(r, "pod-sends");
	not_ours(pod);
	r = nft_rule_add(pod, NULL);
	nft_match(r, NFT_SEL(NFK_META_NFPROTO), NFC_EQ, nft_u8(NFPROTO_IPV6));
	nft_goto(r, "pod-ip6");
	r = nft_rule_add(pod, "spoofed IPv4 source");
	counted_drop(r);
	drop_tunnels(sends);

	/* ICMPv6 says more than whom it is from. */
	r = nft_rule_add(ip6, NULL);
	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_NE, nft_u8(IPPROTO_ICMPV6));
	nft_match_set(r, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_IP6_SADDR)), "pod_src6");
	nft_goto(r, "pod-sends");
	ip6_rules(ip6, unspec, "pod_src6", "pod_nd");
}

static void nat_rules(struct nft_table *t)
{
	static const struct {
		uint8_t src, dst;
		const char *nat, *pools;
	} family[] = { { NFK_IP_SADDR, NFK_IP_DADDR, "nat4", "pools4" },
		       { NFK_IP6_SADDR, NFK_IP6_DADDR, "nat6", "pools6" } };
	struct nft_chain *base, *out;
	struct nft_rule *r;

	base = nft_base_add(t, "nat-postrouting", "nat", NF_INET_POST_ROUTING, 100);
	out = nft_chain_add(t, "nat-outgoing");
	r = nft_rule_add(base, NULL);
	nft_match(r, NFT_SEL(NFK_META_OIFNAME), NFC_NE, nft_ifname_prefix(LINKS));
	nft_jump(r, "nat-outgoing");
	for (unsigned i = 0; i < 2; i++) {
		r = nft_rule_add(out, "natOutgoing");
		nft_match_set(r, NFT_SELS(NFT_SEL(family[i].src)), family[i].nat);
		nft_match_not_set(r, NFT_SELS(NFT_SEL(family[i].dst)), family[i].pools);
		nft_counter(r);
		nft_masquerade(r, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	}
}

static void arp_rules(struct nft_table *t)
{
	struct nft_chain *base = nft_base_add(t, "input", "filter", NF_ARP_IN, 0);
	struct nft_chain *pod = nft_chain_add(t, "pod-arp");

	from_pods(base, "pod-arp");
	drop_unless(pod,
		    NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_ARP_SADDR_ETHER),
			     NFT_SEL(NFK_ARP_SADDR_IP)),
		    "pod_arp", "spoofed ARP sender");
}

/* Answers of DHCP (RFC 2131, RFC 8415) come from servers, and a pod is none. */
static void dhcp_rules(struct nft_chain *c)
{
	static const uint16_t port[][2] = { { 67, 68 }, { 547, 546 } };

	for (unsigned i = 0; i < 2; i++) {
		struct nft_rule *r = nft_rule_add(c, "DHCP answer from a pod");

		nft_match(r, NFT_SEL(NFK_UDP_SPORT), NFC_EQ, nft_be16(port[i][0]));
		nft_match(r, NFT_SEL(NFK_UDP_DPORT), NFC_EQ, nft_be16(port[i][1]));
		counted_drop(r);
	}
}

static void bridge_rules(struct nft_table *t)
{
	static const uint16_t known[] = { ETHERTYPE_IP, ETHERTYPE_ARP };
	struct nft_chain *base, *port, *ip6, *unspec;
	struct nft_rule *r;

	base = nft_base_add(t, "prerouting", "filter", NF_BR_PRE_ROUTING,
			    NF_BR_PRI_NAT_DST_BRIDGED);
	port = nft_chain_add(t, "port");
	ip6 = nft_chain_add(t, "port-ip6");
	unspec = nft_chain_add(t, "port-unspecified");
	from_pods(base, "port");
	drop_unless(port, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_ETHER_SADDR)), "port_mac",
		    "spoofed MAC");
	dhcp_rules(port);
	drop_tunnels(port);
	r = nft_rule_add(port, NULL);
	nft_match(r, NFT_SEL(NFK_META_PROTOCOL), NFC_EQ, nft_be16(ETHERTYPE_IPV6));
	nft_goto(r, "port-ip6");
	drop_unless(port, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_IP_SADDR)), "port_src4",
		    "spoofed IPv4 source");
	drop_unless(port,
		    NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_ARP_SADDR_ETHER),
			     NFT_SEL(NFK_ARP_SADDR_IP)),
		    "port_arp", "spoofed ARP sender");
	for (unsigned i = 0; i < 2; i++) {
		r = nft_rule_add(port, NULL);
		nft_match(r, NFT_SEL(NFK_META_PROTOCOL), NFC_EQ, nft_be16(known[i]));
		nft_return(r);
	}
	r = nft_rule_add(port, "neither IP nor ARP");
	counted_drop(r);
	ip6_rules(ip6, unspec, "port_src6", "port_nd");
}

int nft_build(struct nft_ruleset *rs, const struct nft_input *in, struct err *e)
{
	struct nft_table *inet = nft_table_add(rs, NFPROTO_INET, NFT_TABLE);
	struct nft_table *arp = nft_table_add(rs, NFPROTO_ARP, NFT_TABLE);
	struct nft_table *bridge = nft_table_add(rs, NFPROTO_BRIDGE, NFT_TABLE);
	int r = build_sets(inet, arp, bridge, in, e);

	if (r)
		return r;
	source_rules(inet, in);
	nat_rules(inet);
	arp_rules(arp);
	bridge_rules(bridge);
	if (in->services)
		nft_services_render(in->services, inet);
	if (in->policies)
		nft_policies_render(in->policies, inet);
	nft_dns_frame(inet, in);
	return nft_check(rs, e);
}
