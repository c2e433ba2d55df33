/* SPDX-License-Identifier: Apache-2.0 */
/* The ruleset of a node.
 *
 *   inet fairlead
 *     raw-prerouting  ── from a pod's link ──► pod-source ── from :: ──► pod-unspecified
 *       pod_src4, pod_src6   link . source address that the pod may use
 *       pod_nd               link . address that it may advertise or test by ND
 *     nat-postrouting ──► nat-outgoing
 *       nat4, nat6           sources of pools with natOutgoing
 *       pools4, pools6       every pool: never translated towards them
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
 * (NA) only its own addresses; router advertisements and redirects it sends never. */
#include "core/nft/build.h"

#include "core/nft/sel.h"

#include <errno.h>
#include <linux/netfilter_arp.h>
#include <linux/netfilter_bridge.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>

#define LINKS   "fl"      /* pods' links: docs/abi.md */
#define FLANNEL "flannel" /* not ours */

#define ND_TARGET NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16) /* RFC 4861, 4.3 and 4.4 */

enum {
	ICMPV6_MLD_REPORT = 131,
	ICMPV6_RA = 134,
	ICMPV6_NS = 135,
	ICMPV6_NA = 136,
	ICMPV6_REDIRECT = 137,
	ICMPV6_MLD2_REPORT = 143
};

/* The sets that a pod has elements in; the same for a routed and a bridged one but ARP's. */
struct pod_sets {
	struct nft_set *mac, *arp, *src4, *src6, *nd;
};

static struct pod_sets inet_sets(struct nft_table *t)
{
	return (struct pod_sets){
		.src4 = nft_set_add(t, "pod_src4", 0, NFT_TYPES(NFTY_IFNAME, NFTY_IPV4_ADDR)),
		.src6 = nft_set_add(t, "pod_src6", 0, NFT_TYPES(NFTY_IFNAME, NFTY_IPV6_ADDR)),
		.nd = nft_set_typeof(t, "pod_nd", 0,
				     NFT_SELS(NFT_SEL(NFK_META_IIFNAME), ND_TARGET)),
	};
}

static struct nft_set *arp_set(struct nft_table *t, const char *name)
{
	return nft_set_add(t, name, 0, NFT_TYPES(NFTY_IFNAME, NFTY_ETHER_ADDR, NFTY_IPV4_ADDR));
}

static struct pod_sets bridge_sets(struct nft_table *t)
{
	return (struct pod_sets){
		.mac = nft_set_add(t, "port_mac", 0, NFT_TYPES(NFTY_IFNAME, NFTY_ETHER_ADDR)),
		.arp = arp_set(t, "port_arp"),
		.src4 = nft_set_add(t, "port_src4", 0, NFT_TYPES(NFTY_IFNAME, NFTY_IPV4_ADDR)),
		.src6 = nft_set_add(t, "port_src6", 0, NFT_TYPES(NFTY_IFNAME, NFTY_IPV6_ADDR)),
		.nd = nft_set_typeof(t, "port_nd", 0,
				     NFT_SELS(NFT_SEL(NFK_META_IIFNAME), ND_TARGET)),
	};
}

struct pool_sets {
	struct nft_set *all[2], *nat[2]; /* IPv4, IPv6 */
};

static struct pool_sets pool_sets(struct nft_table *t)
{
	struct pool_sets s;

	s.all[0] = nft_set_add(t, "pools4", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV4_ADDR));
	s.all[1] = nft_set_add(t, "pools6", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV6_ADDR));
	s.nat[0] = nft_set_add(t, "nat4", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV4_ADDR));
	s.nat[1] = nft_set_add(t, "nat6", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV6_ADDR));
	return s;
}

/* ---- rules */

static void counted_drop(struct nft_rule *r)
{
	nft_counter(r);
	nft_drop(r);
}

/* From pods' links on: one jump, so that anything else pays for two name compares. */
static void from_pods(struct nft_chain *c, const char *chain)
{
	struct nft_rule *r = nft_rule_add(c, "not ours");

	nft_match(r, NFT_SEL(NFK_META_IIFNAME), NFC_EQ, nft_ifname_prefix(FLANNEL));
	nft_return(r);
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

static void source_rules(struct nft_table *t)
{
	struct nft_chain *base, *pod, *unspec;

	base = nft_base_add(t, "raw-prerouting", "filter", NF_INET_PRE_ROUTING, -300);
	pod = nft_chain_add(t, "pod-source");
	unspec = nft_chain_add(t, "pod-unspecified");
	from_pods(base, "pod-source");
	drop_unless(pod, NFT_SELS(NFT_SEL(NFK_META_IIFNAME), NFT_SEL(NFK_IP_SADDR)), "pod_src4",
		    "spoofed IPv4 source");
	ip6_rules(pod, unspec, "pod_src6", "pod_nd");
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

/* ---- elements of a pod */

struct sink {
	struct nft_ops *ops; /* NULL: into the sets themselves */
	uint8_t verb;
};

static void put(const struct sink *to, struct nft_set *s, const uint8_t *key)
{
	const struct nft_elem e = { .key = key };

	if (!s)
		return;
	if (to->ops)
		nft_ops_elem(to->ops, to->verb, s, &e);
	else
		nft_elem_add(s, &e);
}

static void put_addr(const struct sink *to, struct nft_set *s, const struct nft_pod *p,
		     const struct ipaddr *a)
{
	uint8_t key[NFT_KEY_MAX] = { 0 };

	nft_key_addr(key, nft_key_ifname(key, 0, p->ifname), a);
	put(to, s, key);
}

static void put_arp(const struct sink *to, struct nft_set *s, const struct nft_pod *p,
		    const struct ipaddr *a)
{
	uint8_t key[NFT_KEY_MAX] = { 0 };
	uint32_t n = nft_key_ifname(key, 0, p->ifname);

	n = nft_key_mac(key, n, &p->mac);
	nft_key_addr(key, n, a);
	put(to, s, key);
}

/* RFC 4291, appendix A. */
static struct ipaddr eui64(const struct macaddr *m)
{
	return (struct ipaddr){ AF_INET6,
				{ 0xfe, 0x80, 0, 0, 0, 0, 0, 0, m->b[0] ^ 2, m->b[1], m->b[2], 0xff,
				  0xfe, m->b[3], m->b[4], m->b[5] } };
}

static bool seen_before(const struct nft_pod *p, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++)
		if (addr_eq(&p->addrs[j], &p->addrs[i]))
			return true;
	return false;
}

static void put_pod(const struct sink *to, const struct pod_sets *s, struct nft_set *arp,
		    const struct nft_pod *p)
{
	const struct ipaddr probe = { .family = AF_INET };
	struct ipaddr ll = p->link_local.family ? p->link_local : eui64(&p->mac);
	uint8_t mac[NFT_KEY_MAX] = { 0 };
	bool v4 = false;

	nft_key_mac(mac, nft_key_ifname(mac, 0, p->ifname), &p->mac);
	put(to, s->mac, mac);
	for (uint32_t i = 0; i < p->n_addrs; i++)
		if (p->addrs[i].family == AF_INET && !seen_before(p, i)) {
			put_addr(to, s->src4, p, &p->addrs[i]);
			v4 = true;
		}
	for (uint32_t i = 0; i < p->n_addrs; i++)
		if (p->addrs[i].family == AF_INET && !seen_before(p, i))
			put_arp(to, arp, p, &p->addrs[i]);
	if (v4)
		put_arp(to, arp, p, &probe);
	for (uint32_t i = 0; i < p->n_addrs; i++)
		if (p->addrs[i].family == AF_INET6 && !seen_before(p, i) &&
		    !addr_eq(&p->addrs[i], &ll))
			put_addr(to, s->src6, p, &p->addrs[i]);
	put_addr(to, s->src6, p, &ll);
	for (uint32_t i = 0; i < p->n_addrs; i++)
		if (p->addrs[i].family == AF_INET6 && !seen_before(p, i) &&
		    !addr_eq(&p->addrs[i], &ll))
			put_addr(to, s->nd, p, &p->addrs[i]);
	put_addr(to, s->nd, p, &ll);
}

static int check_pod(const struct nft_pod *p, struct err *e)
{
	size_t n = p->ifname ? strlen(p->ifname) : 0;

	if (n < 3 || n > 15 || strncmp(p->ifname, LINKS, strlen(LINKS)) != 0 ||
	    !strncmp(p->ifname, FLANNEL, strlen(FLANNEL)))
		return err_set(e, -EINVAL, "pod link \"%s\" is not named " LINKS "…",
			       p->ifname ? p->ifname : "");
	for (uint32_t i = 0; i < p->n_addrs; i++)
		if (p->addrs[i].family != AF_INET && p->addrs[i].family != AF_INET6)
			return err_set(e, -EINVAL, "pod link %s: address %u has no family",
				       p->ifname, i + 1);
	return 0;
}

int nft_pod_elems(struct nft_ops *ops, const struct nft_pod *p, bool add, struct err *e)
{
	const struct sink to = { ops, add ? NFTV_ADD_ELEMS : NFTV_DEL_ELEMS };
	struct nft_ruleset rs;
	struct nft_set *arp;
	struct pod_sets s;
	int r = check_pod(p, e);

	if (r)
		return r;
	nft_ruleset_init(&rs, ops->arena);
	if (p->attachment == NFT_BRIDGED) {
		s = bridge_sets(nft_table_add(&rs, NFPROTO_BRIDGE, NFT_TABLE));
		arp = s.arp;
	} else {
		s = inet_sets(nft_table_add(&rs, NFPROTO_INET, NFT_TABLE));
		arp = arp_set(nft_table_add(&rs, NFPROTO_ARP, NFT_TABLE), "pod_arp");
	}
	put_pod(&to, &s, arp, p);
	nft_ops_step(ops);
	return ops->arena->failed ? err_set(e, -ENOMEM, "no memory for the elements of a pod") : 0;
}

/* ---- elements of pools */

static int cmp_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

/* The pools of one family, sorted, without those inside of others. */
static struct prefix *cidrs(struct arena *a, const struct nft_input *in, int family, bool nat,
			    uint32_t *n)
{
	struct prefix *v = arena_array(a, in->n_pools, sizeof(*v));
	uint32_t m = 0, kept = 0;

	*n = 0;
	if (!v)
		return NULL;
	for (uint32_t i = 0; i < in->n_pools; i++)
		if (in->pools[i].cidr.addr.family == family && (in->pools[i].nat_outgoing || !nat))
			v[m++] = prefix_mask(&in->pools[i].cidr);
	qsort(v, m, sizeof(*v), cmp_prefix);
	/* A network sorts before what it contains. */
	for (uint32_t i = 0; i < m; i++)
		if (!kept || !prefix_covers(&v[kept - 1], &v[i]))
			v[kept++] = v[i];
	*n = kept;
	return v;
}

static struct nft_elem cidr_elem(struct arena *a, const struct prefix *p)
{
	struct ipaddr last = prefix_last(p);
	struct nft_elem e = { .key = arena_memdup(a, p->addr.b, addr_len(&p->addr)) };

	if (p->len < addr_bits(&p->addr))
		e.key_end = arena_memdup(a, last.b, addr_len(&p->addr));
	return e;
}

static bool listed(const struct prefix *v, uint32_t n, const struct prefix *p)
{
	for (uint32_t i = 0; i < n; i++)
		if (prefix_eq(&v[i], p))
			return true;
	return false;
}

static int check_pools(const struct nft_input *in, struct err *e)
{
	for (uint32_t i = 0; i < in->n_pools; i++) {
		const struct prefix *p = &in->pools[i].cidr;

		if ((p->addr.family != AF_INET && p->addr.family != AF_INET6) ||
		    p->len > addr_bits(&p->addr))
			return err_set(e, -EINVAL, "pool %u has no CIDR", i + 1);
	}
	return 0;
}

static void change_set(struct nft_ops *ops, struct nft_set *s, const struct nft_input *old,
		       const struct nft_input *now, int family, bool nat)
{
	uint32_t n_had, n_want;
	struct prefix *had = cidrs(ops->arena, old, family, nat, &n_had);
	struct prefix *want = cidrs(ops->arena, now, family, nat, &n_want);

	if (!s)
		return;
	for (uint32_t i = 0; i < n_had; i++)
		if (!listed(want, n_want, &had[i])) {
			struct nft_elem e = cidr_elem(ops->arena, &had[i]);

			nft_ops_elem(ops, NFTV_DEL_ELEMS, s, &e);
		}
	for (uint32_t i = 0; i < n_want; i++)
		if (!listed(had, n_had, &want[i])) {
			struct nft_elem e = cidr_elem(ops->arena, &want[i]);

			nft_ops_elem(ops, NFTV_ADD_ELEMS, s, &e);
		}
}

int nft_pool_elems(struct nft_ops *ops, const struct nft_input *old, const struct nft_input *now,
		   struct err *e)
{
	static const int family[] = { AF_INET, AF_INET6 };
	struct nft_ruleset rs;
	struct pool_sets s;
	uint32_t before = ops->n;
	int r = check_pools(old, e);

	if (!r)
		r = check_pools(now, e);
	if (r)
		return r;
	nft_ruleset_init(&rs, ops->arena);
	s = pool_sets(nft_table_add(&rs, NFPROTO_INET, NFT_TABLE));
	for (unsigned i = 0; i < 2; i++) {
		change_set(ops, s.all[i], old, now, family[i], false);
		change_set(ops, s.nat[i], old, now, family[i], true);
	}
	if (ops->n > before)
		nft_ops_step(ops);
	return ops->arena->failed ? err_set(e, -ENOMEM, "no memory for the elements of pools") : 0;
}

static void fill_pools(struct arena *a, const struct pool_sets *s, const struct nft_input *in)
{
	static const int family[] = { AF_INET, AF_INET6 };

	for (unsigned i = 0; i < 4; i++) {
		struct nft_set *set = i < 2 ? s->all[i] : s->nat[i - 2];
		uint32_t n;
		struct prefix *v = cidrs(a, in, family[i % 2], i >= 2, &n);

		for (uint32_t j = 0; j < n; j++) {
			struct nft_elem e = cidr_elem(a, &v[j]);

			nft_elem_add(set, &e);
		}
	}
}

int nft_build(struct nft_ruleset *rs, const struct nft_input *in, struct err *e)
{
	struct nft_table *inet = nft_table_add(rs, NFPROTO_INET, NFT_TABLE);
	struct nft_table *arp = nft_table_add(rs, NFPROTO_ARP, NFT_TABLE);
	struct nft_table *bridge = nft_table_add(rs, NFPROTO_BRIDGE, NFT_TABLE);
	struct pod_sets routed = inet_sets(inet), bridged = bridge_sets(bridge);
	struct nft_set *pod_arp = arp_set(arp, "pod_arp");
	struct pool_sets pools = pool_sets(inet);
	const struct sink to = { 0 };
	int r = check_pools(in, e);

	for (uint32_t i = 0; !r && i < in->n_pods; i++)
		r = check_pod(&in->pods[i], e);
	if (r)
		return r;
	for (uint32_t i = 0; i < in->n_pods; i++) {
		const struct nft_pod *p = &in->pods[i];

		if (p->attachment == NFT_BRIDGED)
			put_pod(&to, &bridged, bridged.arp, p);
		else
			put_pod(&to, &routed, pod_arp, p);
	}
	fill_pools(rs->arena, &pools, in);
	source_rules(inet);
	nat_rules(inet);
	arp_rules(arp);
	bridge_rules(bridge);
	return nft_check(rs, e);
}
