/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of pods and pools, for a whole ruleset or as operations of one change. */
#include "core/nft/build_sets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	struct ipaddr ll = p->link_local.family ? p->link_local : addr_eui64(&p->mac);
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

int build_sets(struct nft_table *inet, struct nft_table *arp, struct nft_table *bridge,
	       const struct nft_input *in, struct err *e)
{
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
	if (inet)
		fill_pools(inet->rs->arena, &pools, in);
	return 0;
}
