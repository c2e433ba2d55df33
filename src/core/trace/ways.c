// SPDX-License-Identifier: Apache-2.0
/* Plans of blocks are made anew for each question: a packet asks for two or three. */
#include "core/trace/ways.h"

#include "base/text.h"
#include "core/route/mtu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- nodes */

/* As agents find them: addresses of the Node, tunnel addresses out of its blocks. */
static void find_peer(const struct cluster *c, const char *name, struct route_peer *out)
{
	const struct object *o = cluster_get(c, KIND_NODE, NULL, name), *const * blocks;
	size_t n;

	*out = (struct route_peer){ .name = name };
	if (o)
		route_node_ips(o->body, out->ip);
	blocks = cluster_all(c, KIND_IPBLOCK, &n);
	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (text_eq(b->spec.node, name) && b->spec.tunnelAddress.family)
			out->tunnel[route_family(&b->spec.tunnelAddress)] = b->spec.tunnelAddress;
	}
}

/* Everybody is a neighbour. */
static void assume_neighbours(struct route_self *self)
{
	self->subnets[0] = (struct prefix){ .addr.family = AF_INET };
	self->subnets[1] = (struct prefix){ .addr.family = AF_INET6 };
	self->n_subnets = 2;
}

/* As agents give it to pods and to the tunnel, where no CNI configuration says otherwise. */
static void find_mtu(const struct cluster *c, uint32_t uplink, struct place *p)
{
	size_t n;
	const struct object *const *pools = cluster_all(c, KIND_IPPOOL, &n);

	p->self.uplink_mtu = uplink;
	p->pods_mtu = mtu_pods(uplink, route_underlay(&p->self), pools, n);
}

static void find_subnets(const struct cluster *c, bool neighbours, struct place *p)
{
	const struct object *o = cluster_get(c, KIND_NODESTATE, NULL, p->name);
	const struct node_state *s = o ? o->body : NULL;

	for (uint32_t i = 0; s && i < s->status.subnets.n && i < ROUTE_SUBNETS; i++)
		p->self.subnets[p->self.n_subnets++] = s->status.subnets.v[i];
	if (s && s->status.uplink)
		snprintf(p->self.uplink, sizeof(p->self.uplink), "%s", s->status.uplink);
	if (s && s->status.mtu > 0)
		find_mtu(c, (uint32_t)s->status.mtu, p);
	p->knows_subnets = p->self.n_subnets;
	if (!p->knows_subnets && neighbours)
		assume_neighbours(&p->self);
}

int place_make(const struct story_view *view, const char *node, bool neighbours, struct arena *a,
	       struct place *out, struct err *e)
{
	struct place p = { .name = node };
	int rc = story_plans_make(view, node, a, &p.plans, e);

	if (rc)
		return rc;
	find_peer(view->cluster, node, &p.self.node);
	find_subnets(view->cluster, neighbours, &p);
	*out = p;
	return 0;
}

static bool bridge_has(const struct story_view *view, const char *node, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *all = cluster_all(view->cluster, KIND_WORKLOADENDPOINT, &n);

	for (size_t i = 0; i < n; i++) {
		const struct workload_endpoint *port = all[i]->body;

		for (uint32_t k = 0; k < port->spec.gateways.n; k++)
			if (addr_eq(&port->spec.gateways.v[k], ip) &&
			    text_eq(port->spec.node, node))
				return true;
	}
	return false;
}

bool place_has(const struct story_view *view, const struct place *p, const struct ipaddr *ip)
{
	for (uint32_t i = 0; i < p->plans.node.addresses.n; i++)
		if (addr_eq(&p->plans.node.addresses.v[i], ip))
			return true;
	for (uint32_t i = 0; i < p->plans.node.dns.n; i++)
		if (addr_eq(&p->plans.node.dns.v[i], ip))
			return true;
	return addr_is_loopback(ip) || addr_eq(&p->self.node.tunnel[route_family(ip)], ip) ||
	       bridge_has(view, p->name, ip);
}

const struct workload_endpoint *place_link(const struct story_view *view, const struct pod *pod)
{
	size_t n;
	const struct object *const *all = cluster_all(view->cluster, KIND_WORKLOADENDPOINT, &n);

	for (size_t i = 0; i < n; i++) {
		const struct workload_endpoint *w = all[i]->body;

		if (text_eq(w->spec.pod, pod->meta.name) &&
		    text_eq(w->meta.namespace, pod->meta.namespace))
			return w;
	}
	return NULL;
}

/* ---- routes of blocks */

struct peers {
	const struct cluster *cluster;
	struct route_peer *v;
	uint32_t n;
};

static const struct route_peer *peer_of(void *arg, const char *node)
{
	struct peers *p = arg;

	if (!cluster_get(p->cluster, KIND_NODE, NULL, node))
		return NULL;
	for (uint32_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].name, node))
			return &p->v[i];
	find_peer(p->cluster, node, &p->v[p->n]);
	return &p->v[p->n++];
}

/* Who has the address: whom it was lent to, else the block's node. */
static const char *holder_of(const struct ipblock *b, const struct ipaddr *dst)
{
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		const struct block_borrow *loan = &b->spec.borrowed.v[i];

		if (loan->state == BORROW_GRANTED && loan->node && addr_eq(&loan->address, dst))
			return loan->node;
	}
	return b->spec.node;
}

static const struct kroute *longest(const struct route_out *out, const struct ipaddr *dst)
{
	const struct kroute *best = NULL;

	for (size_t i = 0; i < out->n; i++)
		if (out->v[i].type == KOBJ_ROUTE && prefix_has(&out->v[i].route.dst, dst) &&
		    (!best || out->v[i].route.dst.len > best->dst.len))
			best = &out->v[i].route;
	return best;
}

static const char *rule_of(const struct kroute *r, struct arena *a)
{
	char via[ADDR_TEXT];

	if (r->type == KROUTE_BLACKHOLE)
		return "blackhole";
	return arena_printf(a, "via %s%s%s", addr_str(&r->via, via), r->oif[0] ? " dev " : "",
			    r->oif);
}

static void by_route(const struct place *p, const struct kroute *r, const struct route_peer *peer,
		     struct arena *a, struct way *out)
{
	out->route = r->dst;
	out->rule = rule_of(r, a);
	out->src = r->src;
	if (r->type == KROUTE_BLACKHOLE) {
		out->kind = WAY_DEAD_END;
		out->to = NULL;
	} else if (!strcmp(r->oif, ROUTE_VXLAN_DEV) || !strcmp(r->oif, ROUTE_IPIP_DEV)) {
		bool ipip = !strcmp(r->oif, ROUTE_IPIP_DEV);
		enum route_family under =
			!ipip && route_underlay(&p->self) == AF_INET6 ? ROUTE_V6 : ROUTE_V4;

		out->kind = WAY_TUNNEL;
		out->device = ipip ? ROUTE_IPIP_DEV : ROUTE_VXLAN_DEV;
		out->outer_src = p->self.node.ip[under];
		if (peer)
			out->outer_dst = peer->ip[under];
	}
}

/* The way to a block, or to an address that was lent out of it. */
static int by_block(const struct story_view *view, const struct place *p, const struct ipblock *b,
		    const struct ipaddr *dst, struct arena *a, struct way *out)
{
	const struct object *pool =
		b->spec.pool ? cluster_get(view->cluster, KIND_IPPOOL, NULL, b->spec.pool) : NULL;
	struct peers peers = { view->cluster,
			       arena_array(a, b->spec.borrowed.n + 2, sizeof(*peers.v)), 0 };
	struct route_block block = { .block = b, .peer = peer_of, .arg = &peers };
	const char *holder = holder_of(b, dst);
	struct route_out plan = { .v = NULL };
	const struct kroute *r;
	struct ippool told;

	out->to = text_eq(holder, p->name) ? NULL : holder;
	if (!pool || !peers.v)
		return peers.v ? 0 : -ENOMEM;
	block.pool = pool->body;
	if (block.pool->spec.routes == ROUTES_BGP) {
		/* What a node tells by BGP leads to itself. */
		told = *block.pool;
		told.spec.routes = ROUTES_STORE;
		block.pool = &told;
		out->likely = out->to;
		out->why = out->to ? "where BGP brings it" : NULL;
	}
	block.owner = b->spec.node ? peer_of(&peers, b->spec.node) : NULL;
	route_plan_block(&p->self, &block, &plan);
	r = plan.failed ? NULL : longest(&plan, dst);
	if (r)
		by_route(p, r, holder ? peer_of(&peers, holder) : NULL, a, out);
	else if (plan.problem[0])
		out->why = arena_strdup(a, plan.problem);
	if (out->to && !p->knows_subnets) {
		bool tunnelled = route_pool_tunnelled(block.pool);

		out->likely |= !tunnelled || block.pool->spec.crossSubnet;
		out->doubtful = tunnelled && block.pool->spec.crossSubnet;
	}
	route_out_fini(&plan);
	return plan.failed ? -ENOMEM : 0;
}

static const struct ipblock *block_of(const struct cluster *c, const struct ipaddr *dst)
{
	size_t n;
	const struct object *const *blocks = cluster_all(c, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (prefix_has(&b->spec.cidr, dst))
			return b;
	}
	return NULL;
}

/* ---- all ways */

static void by_default(const struct ipaddr *dst, struct way *out)
{
	out->kind = WAY_WIRE;
	out->route = (struct prefix){ .addr.family = dst->family };
}

/* To a node, or whoever is in one of the node's own subnets. */
static void by_subnet(const struct place *p, const struct ipaddr *dst, struct way *out)
{
	for (size_t i = 0; p->knows_subnets && i < p->self.n_subnets; i++)
		if (prefix_has(&p->self.subnets[i], dst))
			out->route = prefix_mask(&p->self.subnets[i]);
	if (!p->knows_subnets && out->to) {
		out->route = (struct prefix){ .len = 0 };
		out->likely = true;
	}
}

static uint32_t bits_in_common(const struct ipaddr *a, const struct ipaddr *b)
{
	struct prefix p = prefix_host(a);

	while (p.len && !prefix_has(&p, b))
		p.len--;
	return p.len;
}

/* Of the bridge that the pod is a port of, which the node's own packets get; family 0: it is routed. IPv4 has the
 * first of that device, IPv6 the one that has most in common with the destination (RFC 6724, rule 8). */
static struct ipaddr gateway_towards(const struct story_view *view, const struct pod *pod,
				     const struct ipaddr *dst)
{
	const struct workload_endpoint *link = place_link(view, pod);
	struct ipaddr best = { .family = 0 };

	for (uint32_t i = 0; link && i < link->spec.gateways.n; i++) {
		const struct ipaddr *gw = &link->spec.gateways.v[i];

		if (gw->family != dst->family)
			continue;
		if (!best.family || (gw->family == AF_INET6 &&
				     bits_in_common(gw, dst) > bits_in_common(&best, dst)))
			best = *gw;
	}
	return best;
}

/* The host's end of a pod's link has no address that reaches beyond it, and a bridge's of IPv4 serve who sends by
 * it, not who is translated: then the first one of the node is taken, the uplink's. IPv6 takes one of the
 * device's (RFC 6724, rule 5), a bridge's, else the one that has most in common with the destination, which is
 * the tunnel's where there is one. */
static void sources_towards_pod(const struct story_view *view, const struct place *p,
				const struct ipaddr *dst, struct way *w)
{
	w->src = gateway_towards(view, w->pod, dst);
	if (dst->family == AF_INET6) {
		w->src = w->src.family ? w->src : p->self.node.tunnel[ROUTE_V6];
		w->nat = w->src;
	}
}

static uint32_t mtu_of(const struct place *p, const struct way *w)
{
	bool ipip = w->device && !strcmp(w->device, ROUTE_IPIP_DEV);
	uint32_t over = mtu_overhead(ipip ? POOL_IPIP : POOL_VXLAN, route_underlay(&p->self));

	switch ((enum way_kind)w->kind) {
	case WAY_POD:
		return p->pods_mtu;
	case WAY_WIRE:
		return p->self.uplink_mtu;
	case WAY_TUNNEL:
		return p->self.uplink_mtu > over ? p->self.uplink_mtu - over : 0;
	case WAY_HERE:
	case WAY_DEAD_END:
		break;
	}
	return 0;
}

int place_way(const struct story_view *view, const struct place *p, const struct ipaddr *dst,
	      struct arena *a, struct way *out, struct err *e)
{
	const struct ipblock *b = block_of(view->cluster, dst);
	const struct pod *pod = story_pod(view, dst);
	struct way w = { .kind = WAY_WIRE };
	struct story_by owner;

	by_default(dst, &w);
	if (place_has(view, p, dst)) {
		w.kind = WAY_HERE;
		w.route = prefix_host(dst);
		w.src = *dst;
	} else if (pod && text_eq(pod->spec.nodeName, p->name)) {
		w.kind = WAY_POD;
		w.route = prefix_host(dst);
		w.pod = pod;
	} else if (pod && (!pod->spec.nodeName || !*pod->spec.nodeName)) {
		w.kind = WAY_POD;
		w.route = prefix_host(dst);
		w.pod = pod;
		w.likely = true;
		w.why = "no object says on which node the pod is";
	} else if (b) {
		if (by_block(view, p, b, dst, a, &w))
			return err_set(e, -ENOMEM, "no memory");
	} else if (pod && pod->spec.nodeName) {
		w.to = pod->spec.nodeName;
		w.route = (struct prefix){ .len = 0 };
		w.why = "no IPBlock has the address, the Pod says its node";
		w.likely = true;
	} else {
		owner = story_owner(view, dst);
		w.to = owner.kind == STORY_BY_NODE ? owner.name : NULL;
		by_subnet(p, dst, &w);
	}
	w.mtu = mtu_of(p, &w);
	w.nat = w.src;
	if (w.kind == WAY_POD)
		sources_towards_pod(view, p, dst, &w);
	if (!w.src.family)
		w.src = p->self.node.ip[route_family(dst)];
	if (!w.nat.family)
		w.nat = p->self.node.ip[route_family(dst)];
	*out = w;
	return 0;
}
