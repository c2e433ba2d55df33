/* SPDX-License-Identifier: Apache-2.0 */
#include "core/route/plan.h"
#include "base/hash.h"
#include "core/route/mtu.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { METRIC_FALLBACK = 4096 }; /* behind every other route of the same length */

void route_out_reset(struct route_out *o)
{
	o->n = 0;
	o->failed = false;
	o->problem[0] = 0;
	free(o->hops);
	o->hops = NULL;
}

void route_out_fini(struct route_out *o)
{
	free(o->v);
	free(o->hops);
	*o = (struct route_out){ 0 };
}

/* `family` 0: of both. */
static struct kobj *want(struct route_out *o, enum kobj_type type, uint8_t family)
{
	bool drop = o->no_ipv6 && family == AF_INET6;

	if (o->n == o->cap && !o->failed && !drop) {
		size_t cap = o->cap ? 2 * o->cap : 16;
		struct kobj *v = realloc(o->v, cap * sizeof(*v));

		if (v) {
			o->v = v;
			o->cap = cap;
		} else {
			o->failed = true;
		}
	}

	struct kobj *k = o->failed || drop ? &o->spare : &o->v[o->n++];

	*k = (struct kobj){ .type = type };
	return k;
}

static void set_name(char to[IFNAME_LEN], const char *name)
{
	snprintf(to, IFNAME_LEN, "%s", name);
}

static void want_sysctl(struct route_out *o, const char *value, const char *fmt, const char *dev)
{
	uint8_t family = strncmp(fmt, "net/ipv6/", 9) ? AF_INET : AF_INET6;
	struct ksysctl *s = &want(o, KOBJ_SYSCTL, family)->sysctl;

	snprintf(s->path, sizeof(s->path), fmt, dev);
	snprintf(s->value, sizeof(s->value), "%s", value);
}

static struct kaddr *want_addr(struct route_out *o, const char *dev, const struct prefix *p,
			       uint8_t scope)
{
	struct kaddr *a = &want(o, KOBJ_ADDR, p->addr.family)->addr;

	set_name(a->ifname, dev);
	a->addr = *p;
	a->scope = scope;
	a->noprefixroute = 1;
	a->nodad = p->addr.family == AF_INET6;
	return a;
}

static void want_neigh(struct route_out *o, const char *dev, const struct ipaddr *addr,
		       const struct macaddr *mac)
{
	struct kneigh *n = &want(o, KOBJ_NEIGH, addr->family)->neigh;

	set_name(n->ifname, dev);
	n->addr = *addr;
	n->mac = *mac;
}

static struct kroute *want_route(struct route_out *o, const struct prefix *dst,
				 enum kroute_type type)
{
	struct kroute *r = &want(o, KOBJ_ROUTE, dst->addr.family)->route;

	r->dst = prefix_mask(dst);
	r->type = type;
	r->protocol = RTPROT_FAIRLEAD;
	return r;
}

/* fe80::1, the same on every link to a pod, so that a pod's default route never changes. */
static void want_gateway6(struct route_out *o, const char *dev)
{
	struct prefix p = { .len = 64 };

	addr_parse(ROUTE_GATEWAY6, &p.addr);
	/* With its route: the link may have no other link-local address to bring one. */
	want_addr(o, dev, &p, RT_SCOPE_LINK)->noprefixroute = 0;
}

const char *route_tunnel(const struct ippool *pool)
{
	switch ((enum pool_mode)pool->spec.mode) {
	case POOL_MODE_NONE:
	case POOL_VXLAN:
		return ROUTE_VXLAN_DEV;
	case POOL_IPIP:
		return ROUTE_IPIP_DEV;
	case POOL_DIRECT:
		break;
	}
	return NULL;
}

bool route_pool_tunnelled(const struct ippool *pool)
{
	return route_tunnel(pool) != NULL;
}

static bool by_ipip(const struct ippool *pool)
{
	return pool->spec.mode == POOL_IPIP;
}

uint8_t route_underlay(const struct route_self *self)
{
	if (self->node.ip[ROUTE_V4].family)
		return AF_INET;
	return self->node.ip[ROUTE_V6].family;
}

struct macaddr route_vxlan_mac(const char *node)
{
	uint64_t h = fnv64(FNV64_START, node, strlen(node));
	struct macaddr mac;

	h ^= h >> 48; /* the bits that six octets cannot hold */
	for (int i = 0; i < 6; i++)
		mac.b[i] = (uint8_t)(h >> (8 * (5 - i)));
	mac.b[0] = (mac.b[0] & 0xfc) | 0x02; /* unicast, locally administered */
	return mac;
}

/* What the peer's vxlan0 has by itself (EUI-64, RFC 4291, appendix A). As a next hop it needs no
 * route of its own: the tunnel address lies in a block of the peer's, and Linux lets no route to
 * that block name it while another one leads there by another device. */
static struct ipaddr tunnel_link_local(const char *node)
{
	struct macaddr mac = route_vxlan_mac(node);

	return (struct ipaddr){ .family = AF_INET6,
				.b = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac.b[0] ^ 2, mac.b[1],
				       mac.b[2], 0xff, 0xfe, mac.b[3], mac.b[4], mac.b[5] } };
}

void route_node_ips(const struct node *node, struct ipaddr ips[ROUTE_FAMILIES])
{
	static const uint8_t types[] = { NODE_INTERNAL_IP, NODE_EXTERNAL_IP };

	memset(ips, 0, ROUTE_FAMILIES * sizeof(*ips));
	for (int t = 0; t < 2; t++)
		for (uint32_t i = 0; i < node->status.addresses.n; i++) {
			const struct node_address *na = &node->status.addresses.v[i];
			struct ipaddr ip;

			if (na->type != types[t] || !na->address || addr_parse(na->address, &ip))
				continue;
			if (!ips[route_family(&ip)].family)
				ips[route_family(&ip)] = ip;
		}
}

static bool same_subnet(const struct route_self *self, const struct ipaddr *peer)
{
	for (size_t i = 0; i < self->n_subnets; i++)
		if (prefix_has(&self->subnets[i], peer))
			return true;
	return false;
}

/* Can this node and the peer send each other the pool's packets by its tunnel? */
static bool tunnel_ends(const struct route_self *self, const struct route_peer *peer,
			const struct ippool *pool)
{
	enum route_family under = route_underlay(self) == AF_INET6 ? ROUTE_V6 : ROUTE_V4;

	if (by_ipip(pool))
		return self->node.ip[ROUTE_V4].family && peer->ip[ROUTE_V4].family;
	return peer->ip[under].family && peer->tunnel[route_family(&pool->spec.cidr.addr)].family;
}

enum route_way route_way(const struct route_self *self, const struct route_peer *peer,
			 const struct ippool *pool)
{
	enum route_family f = route_family(&pool->spec.cidr.addr);
	const struct ipaddr *ip = &peer->ip[f];
	bool tunnelled = route_pool_tunnelled(pool);

	if ((!tunnelled || pool->spec.crossSubnet) && ip->family && same_subnet(self, ip))
		return ROUTE_ON_LINK;
	if (tunnelled)
		return tunnel_ends(self, peer, pool) ? ROUTE_TUNNEL : ROUTE_NO_WAY;
	if (!ip->family)
		return ROUTE_NO_WAY;
	return peer->gateway[f].ip.family && !peer->gateway[f].by_default ? ROUTE_BY_GATEWAY
									  : ROUTE_BY_FABRIC;
}

static uint32_t tunnel_mtu(const struct route_self *self, enum pool_mode mode)
{
	uint32_t over = mtu_overhead(mode, route_underlay(self));

	return self->uplink_mtu > over + MTU_MIN_V4 ? self->uplink_mtu - over : MTU_MIN_V4;
}

static void want_tunnel_addr(const struct route_self *self, enum route_family f, const char *dev,
			     struct route_out *out)
{
	struct prefix p;

	if (!self->node.tunnel[f].family)
		return;
	p = prefix_host(&self->node.tunnel[f]);
	want_addr(out, dev, &p, RT_SCOPE_UNIVERSE);
}

/* A peer that changes its mode before or after this node sends by another way than this node would
 * answer; strict (1) would drop that (RFC 3704). */
static void want_loose(struct route_out *out, const char *dev)
{
	want_sysctl(out, "2", "net/ipv4/conf/%s/rp_filter", dev);
}

static void plan_vxlan(const struct route_self *self, struct route_out *out)
{
	uint8_t under = route_underlay(self);
	struct klink *l = &want(out, KOBJ_LINK, 0)->link;

	set_name(l->name, ROUTE_VXLAN_DEV);
	l->kind = KLINK_VXLAN;
	l->up = 1;
	l->has_mac = 1;
	l->mac = route_vxlan_mac(self->node.name);
	l->mtu = tunnel_mtu(self, POOL_VXLAN);
	l->vni = ROUTE_VXLAN_VNI;
	l->vxlan_port = ROUTE_VXLAN_PORT;
	l->vxlan_local = self->node.ip[under == AF_INET6 ? ROUTE_V6 : ROUTE_V4];

	want_loose(out, ROUTE_VXLAN_DEV);
	want_sysctl(out, "0", "net/ipv6/conf/%s/accept_ra", ROUTE_VXLAN_DEV);
	if (self->node.tunnel[ROUTE_V6].family)
		want_sysctl(out, "0", "net/ipv6/conf/%s/disable_ipv6", ROUTE_VXLAN_DEV);
	want_tunnel_addr(self, ROUTE_V4, ROUTE_VXLAN_DEV, out);
	want_tunnel_addr(self, ROUTE_V6, ROUTE_VXLAN_DEV, out);
}

/* The pseudo device's MAC is the one that vxlan0 has: it is given at birth alone, and no frame
 * carries it beyond the node. */
static void plan_ipip(const struct route_self *self, struct route_out *out)
{
	struct klink *l = &want(out, KOBJ_LINK, 0)->link;

	set_name(l->name, ROUTE_IPIP_DEV);
	l->kind = self->ipip_kind;
	l->up = 1;
	l->has_mac = self->ipip_kind == KLINK_IFB;
	if (l->has_mac)
		l->mac = route_vxlan_mac(self->node.name);
	l->mtu = tunnel_mtu(self, POOL_IPIP);

	want_loose(out, ROUTE_IPIP_DEV);
	want_sysctl(out, "1", "net/ipv6/conf/%s/disable_ipv6", ROUTE_IPIP_DEV);
	want_tunnel_addr(self, ROUTE_V4, ROUTE_IPIP_DEV, out);
}

/* Never the source of anything but an answer. */
static void want_dns(struct route_out *out, const struct ipaddr *a)
{
	const struct prefix p = prefix_host(a);
	bool v6 = a->family == AF_INET6;

	want_addr(out, "lo", &p, v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST)->deprecated = v6;
}

void route_plan_self(const struct route_self *self, struct route_out *out)
{
	struct prefix gateway = { .len = 32 };

	want_sysctl(out, "1", "net/ipv4/ip_forward%s", "");
	want_sysctl(out, "1", "net/ipv6/conf/all/forwarding%s", "");
	/* A segment that conntrack thinks out of window is INVALID to it, is not translated, and has
	 * the other end reset the connection (kubernetes#74839); the ends judge windows better. */
	want_sysctl(out, "1", ROUTE_TCP_BE_LIBERAL "%s", "");
	/* Answers of endpoints come back to where those connections began. */
	if (self->localnet)
		want_sysctl(out, "1", ROUTE_LOCALNET "%s", "");
	/* A forwarding host takes no router advertisements unless told so (kernel's
	 * ip-sysctl, accept_ra), and loses at once what it has by them: its default route. */
	for (size_t i = 0; i < self->n_ra; i++)
		want_sysctl(out, "2", "net/ipv6/conf/%s/accept_ra", self->ra[i]);

	/* Answers pods' ARP for their gateway; scope link, so that it is never the source
	 * of the node's own packets. */
	addr_parse(ROUTE_GATEWAY4, &gateway.addr);
	want_addr(out, "lo", &gateway, RT_SCOPE_LINK);

	for (size_t i = 0; i < self->n_dns; i++)
		want_dns(out, &self->dns[i]);

	if (self->vxlan && route_underlay(self))
		plan_vxlan(self, out);
	if (self->ipip && self->node.ip[ROUTE_V4].family)
		plan_ipip(self, out);
}

void route_plan_peer(const struct route_self *self, const struct route_peer *peer,
		     const struct object *const *pools, size_t n_pools, struct route_out *out)
{
	bool used[ROUTE_FAMILIES] = { false };
	struct macaddr mac = route_vxlan_mac(peer->name);

	for (size_t i = 0; i < n_pools; i++) {
		const struct ippool *pool = pools[i]->body;

		if (!by_ipip(pool) && route_way(self, peer, pool) == ROUTE_TUNNEL)
			used[route_family(&pool->spec.cidr.addr)] = true;
	}
	if (!used[ROUTE_V4] && !used[ROUTE_V6])
		return;

	struct kfdb *fdb = &want(out, KOBJ_FDB, 0)->fdb;

	set_name(fdb->ifname, ROUTE_VXLAN_DEV);
	fdb->mac = mac;
	fdb->dst = peer->ip[route_underlay(self) == AF_INET6 ? ROUTE_V6 : ROUTE_V4];
	if (used[ROUTE_V4])
		want_neigh(out, ROUTE_VXLAN_DEV, &peer->tunnel[ROUTE_V4], &mac);
	if (used[ROUTE_V6]) {
		struct ipaddr hop = tunnel_link_local(peer->name);

		want_neigh(out, ROUTE_VXLAN_DEV, &hop, &mac);
	}
}

/* `dst` is a block of the peer's, or an address that it borrowed. `hidden`: a route of ours to its
 * block keeps it from the default one. */
static void plan_remote(const struct route_self *self, const struct route_peer *peer,
			const struct ippool *pool, const struct prefix *dst, bool hidden,
			struct route_out *out)
{
	enum route_family f = route_family(&pool->spec.cidr.addr);
	enum route_way way = route_way(self, peer, pool);
	char text[PREFIX_TEXT];
	struct kroute *r;

	if (way == ROUTE_BY_FABRIC && hidden && peer->gateway[f].ip.family)
		way = ROUTE_BY_GATEWAY;
	switch (way) {
	case ROUTE_NO_WAY:
		snprintf(out->problem, sizeof(out->problem),
			 "no way to %s: Node %s has no %s of its family", prefix_str(dst, text),
			 peer->name,
			 route_pool_tunnelled(pool) && !by_ipip(pool) ? "tunnel address"
								      : "InternalIP");
		return;
	case ROUTE_BY_FABRIC:
		return;
	case ROUTE_ON_LINK:
	case ROUTE_BY_GATEWAY:
		r = want_route(out, dst, KROUTE_UNICAST);
		set_name(r->oif, self->uplink);
		r->via = way == ROUTE_ON_LINK ? peer->ip[f] : peer->gateway[f].ip;
		return;
	case ROUTE_TUNNEL:
		r = want_route(out, dst, KROUTE_UNICAST);
		set_name(r->oif, route_tunnel(pool));
		if (by_ipip(pool))
			r->via = peer->ip[ROUTE_V4];
		else
			r->via = f == ROUTE_V4 ? peer->tunnel[f] : tunnel_link_local(peer->name);
		r->src = self->node.tunnel[f];
		r->onlink = f == ROUTE_V4;
		return;
	}
}

void route_plan_way(const struct route_self *self, const struct route_peer *peer,
		    const struct ippool *pool, const struct prefix *dst, struct route_out *out)
{
	plan_remote(self, peer, pool, dst, false, out);
}

struct kroute *route_out_route(struct route_out *out, const struct prefix *dst)
{
	return want_route(out, dst, KROUTE_UNICAST);
}

void route_plan_block(const struct route_self *self, const struct route_block *b,
		      struct route_out *out)
{
	const struct ipblock *block = b->block;
	bool own = block->spec.node && !strcmp(block->spec.node, self->node.name);
	bool told = b->pool->spec.routes == ROUTES_BGP;
	bool hides = own || (b->owner && route_way(self, b->owner, b->pool) != ROUTE_BY_FABRIC);

	if (own)
		want_route(out, &block->spec.cidr, KROUTE_BLACKHOLE)->metric = METRIC_FALLBACK;
	else if (b->owner && !told)
		plan_remote(self, b->owner, b->pool, &block->spec.cidr, false, out);

	for (uint32_t i = 0; i < block->spec.borrowed.n; i++) {
		const struct block_borrow *borrow = &block->spec.borrowed.v[i];
		struct prefix host = prefix_host(&borrow->address);

		if (!borrow->node || borrow->state != BORROW_GRANTED || !borrow->address.family)
			continue;
		if (!strcmp(borrow->node, self->node.name)) {
			/* Without it the owner and this node pass a dead address' packets
			 * back and forth. */
			want_route(out, &host, KROUTE_BLACKHOLE)->metric = METRIC_FALLBACK;
			continue;
		}

		const struct route_peer *peer = told ? NULL : b->peer(b->arg, borrow->node);

		if (peer)
			plan_remote(self, peer, b->pool, &host, hides, out);
	}
}

void route_plan_endpoint(const struct route_endpoint *ep, struct route_out *out)
{
	struct klink *l = &want(out, KOBJ_LINK, 0)->link;
	const char *dev = ep->bridge ? ep->bridge : ep->host_if;

	set_name(l->name, ep->host_if);
	l->kind = KLINK_VETH;
	l->up = 1;
	l->has_mac = 1;
	l->mac = ep->host_mac;
	l->mtu = ep->mtu;
	if (ep->bridge) {
		set_name(l->master, ep->bridge);
		l->isolated = 1;
	} else {
		/* A pod is no router of the node's. */
		want_sysctl(out, "0", "net/ipv6/conf/%s/accept_ra", ep->host_if);
		want_sysctl(out, "0", "net/ipv6/conf/%s/disable_ipv6", ep->host_if);
		want_sysctl(out, "0", "net/ipv4/conf/%s/proxy_arp", ep->host_if);
		want_gateway6(out, ep->host_if);
	}

	for (size_t i = 0; i < ep->n_ips; i++) {
		struct prefix host = prefix_host(&ep->ips[i]);
		struct kroute *r = want_route(out, &host, KROUTE_UNICAST);

		set_name(r->oif, dev);
		r->scope = ep->ips[i].family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
		want_neigh(out, dev, &ep->ips[i], &ep->mac);
	}
}

void route_plan_front(const struct route_self *self, const struct prefix *p, struct route_out *out)
{
	struct kroute *r;

	if (!self->uplink[0] || !self->node.ip[route_family(&p->addr)].family)
		return;
	r = want_route(out, p, KROUTE_UNICAST);
	set_name(r->oif, self->uplink);
	r->scope = p->addr.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

void route_plan_bridges(struct route_out *out)
{
	static const char *const paths[] = { ROUTE_BRIDGE_CALL4, ROUTE_BRIDGE_CALL6 };

	/* With br_netfilter, a packet is translated while it still is the bridge's; one that goes
	 * to another port then is switched there, not routed, and isolated ports drop it. */
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		want_sysctl(out, "0", "%s", paths[i]);
		if (!out->failed)
			out->v[out->n - 1].sysctl.optional = 1;
	}
	/* What is routed back into a bridge would be answered by redirects, which ports refuse, and
	 * which count as ICMP errors: the kernel says no refusal to a host that was just told one.
	 * It heeds the link's key or this one, whichever is set. */
	want_sysctl(out, "0", "%s", ROUTE_SEND_REDIRECTS);
}

void route_plan_bridge(const struct route_bridge *br, struct route_out *out)
{
	struct klink *l = &want(out, KOBJ_LINK, 0)->link;

	set_name(l->name, br->name);
	l->kind = KLINK_BRIDGE;
	l->up = 1;
	l->has_mac = 1;
	l->mac = br->mac;
	l->mtu = br->mtu;

	/* The bridge answers ARP for every address that it can route to, also back into the
	 * bridge (RFC 3069), at once: isolated ports never reach each other by themselves. */
	want_sysctl(out, "1", "net/ipv4/conf/%s/proxy_arp", br->name);
	want_sysctl(out, "1", "net/ipv4/conf/%s/proxy_arp_pvlan", br->name);
	want_sysctl(out, "0", "net/ipv4/neigh/%s/proxy_delay", br->name);
	want_sysctl(out, "0", "net/ipv4/conf/%s/send_redirects", br->name);
	want_sysctl(out, "0", "net/ipv6/conf/%s/accept_ra", br->name);
	want_sysctl(out, "0", "net/ipv6/conf/%s/disable_ipv6", br->name);
	want_gateway6(out, br->name);
	for (size_t i = 0; i < br->n_gateways; i++) {
		struct prefix p = prefix_host(&br->gateways[i]);

		/* IPv6 has no scope but the address' own. */
		want_addr(out, br->name, &p,
			  p.addr.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	}
}
