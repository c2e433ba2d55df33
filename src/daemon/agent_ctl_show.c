// SPDX-License-Identifier: Apache-2.0
/* agent_ctl_show: node-status and routes. */
#include "daemon/agent_bgp.h"
#include "daemon/agent_ctl.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_store.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- node-status: tables node, peer, audit */

static uint64_t count_pods(const struct agent *a)
{
	const struct ipam_attachment *const *v;
	uint64_t pods = 0;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		pods += v[i]->state == IPAM_LIVE && !agent_ipam_is_gateway(v[i]);
	return pods;
}

static void show_node(struct ctl_call *c)
{
	const struct agent *a = c->owner;
	const struct route_self *self = agent_plan_self(a);
	char mac[MAC_TEXT];

	ctl_row(c, "node");
	ctl_col(c, "name", self->node.name);
	ctl_col(c, "version", FAIRLEAD_VERSION);
	ctl_flag(c, "inSync", agent_store_live(a));
	ctl_num(c, "revision", (uint64_t)agent_store_revision(a));
	ctl_num(c, "observedRevision", (uint64_t)agent_store_observed(a));
	ctl_col(c, "uplink", self->uplink);
	ctl_num(c, "mtu", self->uplink_mtu);
	ctl_num(c, "podMTU", agent_plan_mtu(a));
	ctl_num(c, "pods", count_pods(a));
	ctl_addr(c, "ip4", &self->node.ip[ROUTE_V4]);
	ctl_addr(c, "ip6", &self->node.ip[ROUTE_V6]);
	ctl_addr(c, "tunnel4", &self->node.tunnel[ROUTE_V4]);
	ctl_addr(c, "tunnel6", &self->node.tunnel[ROUTE_V6]);
	if (self->vxlan) {
		struct macaddr m = route_vxlan_mac(self->node.name);

		ctl_col(c, "vxlanMAC", mac_str(&m, mac));
	}
	if (self->ipip)
		ctl_col(c, "ipip", self->ipip_kind == KLINK_IPIP ? "driver" : "ebpf");
	ctl_send(c);
}

static const char *const way_names[] = { [ROUTE_NO_WAY] = "none",
					 [ROUTE_ON_LINK] = "direct",
					 [ROUTE_BY_GATEWAY] = "gateway",
					 [ROUTE_BY_FABRIC] = "fabric",
					 [ROUTE_TUNNEL] = NULL /* by the pool's mode */ };

/* A row per pool: the way to a peer depends on it. */
static void show_peer(void *arg, const struct route_peer *peer)
{
	struct ctl_call *c = arg;
	const struct route_self *self = agent_plan_self(c->owner);
	const struct object *const *pools;
	size_t n;

	pools = cluster_all(agent_store_cluster(c->owner), KIND_IPPOOL, &n);
	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = pools[i]->body;
		enum route_family f = route_family(&pool->spec.cidr.addr);
		const char *way = way_names[route_way(self, peer, pool)];

		ctl_row(c, "peer");
		ctl_col(c, "name", peer->name);
		ctl_col(c, "pool", pool->meta.name);
		ctl_addr(c, "ip", &peer->ip[f]);
		ctl_addr(c, "tunnel", &peer->tunnel[f]);
		ctl_col(c, "way", way ? way : pool->spec.mode == POOL_IPIP ? "ipip" : "vxlan");
		ctl_send(c);
	}
}

static void show_verdict(struct ctl_call *c, const char *of, const char *verdict, uint64_t n)
{
	ctl_row(c, "audit");
	ctl_col(c, "of", of);
	ctl_col(c, "verdict", verdict);
	ctl_num(c, "count", n);
	ctl_send(c);
}

int ctl_node_status(struct ctl_call *c, struct err *e)
{
	const struct agent_kernel_stats *k = agent_kernel_stats(c->owner);
	const struct agent_nft_stats *n = agent_nft_stats(c->owner);

	show_node(c);
	agent_plan_peers(c->owner, show_peer, c);
	for (int v = 0; v < DIFF_VERDICTS; v++)
		show_verdict(c, "rtnetlink", diff_verdict_name((enum diff_verdict)v),
			     k->verdicts[v]);
	show_verdict(c, "nftables", "missing", n->missing);
	show_verdict(c, "nftables", "changed", n->changed);
	show_verdict(c, "nftables", "unwanted", n->unwanted);
	return 0;
}

/* ---- routes: what is wanted, by whom, and whether the kernel has it; what BGP brought and nobody wants */

/* All next hops, of a route that has several. */
static void show_hops(struct ctl_call *c, const struct kroute *r)
{
	struct buf b = { .v = NULL };
	char text[ADDR_TEXT];

	if (!r->n_more)
		return;
	buf_printf(&b, "%s dev %s", addr_str(&r->via, text), r->oif);
	for (unsigned i = 0; i < r->n_more; i++)
		buf_printf(&b, ", %s dev %s", addr_str(&r->more[i].via, text), r->more[i].oif);
	buf_put(&b, "", 1);
	if (!b.failed)
		ctl_col(c, "hops", b.v);
	buf_fini(&b);
}

static void show_words(struct ctl_call *c, const struct agent_bgp_words *w)
{
	ctl_col(c, "peer", w->peer);
	ctl_col(c, "why", w->why);
	if (w->stale)
		ctl_flag(c, "stale", true);
}

static void show_left(void *arg, const struct agent_bgp_words *w)
{
	struct ctl_call *c = arg;
	const struct agent *a = c->owner;

	if (!w->left)
		return;
	ctl_row(c, "route");
	ctl_col(c, "node", a->role->cfg.node);
	ctl_prefix(c, "dst", &w->prefix);
	ctl_col(c, "state", "left");
	show_words(c, w);
	ctl_col(c, "because", w->left);
	ctl_send(c);
}

static void show_route(struct ctl_call *c, const struct kroute *r, uint32_t owner,
		       const char *state)
{
	static const char *const types[] = { [KROUTE_UNICAST] = "unicast",
					     [KROUTE_BLACKHOLE] = "blackhole",
					     [KROUTE_UNREACHABLE] = "unreachable" };
	struct agent *a = c->owner;
	const char *of = agent_plan_owner(a, owner);
	struct agent_bgp_words w;

	ctl_row(c, "route");
	ctl_col(c, "node", a->role->cfg.node);
	ctl_prefix(c, "dst", &r->dst);
	ctl_col(c, "type", types[r->type]);
	ctl_addr(c, "via", &r->via);
	ctl_col(c, "dev", r->oif);
	ctl_addr(c, "src", &r->src);
	ctl_num(c, "metric", r->metric);
	ctl_col(c, "owner", of);
	ctl_col(c, "state", state);
	show_hops(c, r);
	if (of && !strncmp(of, "bgp/", 4) && agent_bgp_words(a, &r->dst, &w))
		show_words(c, &w);
	ctl_send(c);
}

static const char *state_of(const struct kobj *want, const struct klist *have, size_t *at)
{
	/* Both are sorted. */
	while (*at < have->n && kobj_cmp(&have->v[*at], want) < 0)
		(*at)++;
	if (*at == have->n || kobj_cmp(&have->v[*at], want))
		return "missing";
	return kobj_same(want, &have->v[*at]) ? "installed" : "different";
}

int ctl_routes(struct ctl_call *c, struct err *e)
{
	const struct kobj *want;
	struct klist have = { 0 };
	size_t n, at = 0;
	int rc = rtnl_dump(agent_kernel_nl(c->owner), RTNL(KOBJ_ROUTE), &have, e);

	want = rc ? NULL : desired_all(agent_kernel_desired(c->owner), &c->arena, &n);
	if (!rc && !want)
		rc = err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; !rc && i < n; i++)
		if (want[i].type == KOBJ_ROUTE)
			show_route(c, &want[i].route, want[i].owner,
				   state_of(&want[i], &have, &at));
	if (!rc)
		agent_bgp_each(c->owner, show_left, c);
	klist_fini(&have);
	return rc;
}
