// SPDX-License-Identifier: Apache-2.0
/* agent_pod: see agent_pod.h. */
#include "daemon/agent_pod.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_hostport.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_plan_pod.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_reap.h"
#include "sys/file.h"
#include "sys/netns.h"
#include "sys/pod.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Per family: what leads out of the pod, and the interface's own address. */
#define POD_OBJS (2 + 5 * IPAM_MAX_WANTED)

/* Second interfaces of a pod: their default routes stand behind the first's. */
#define METRIC_STEP 100

struct inside {
	struct kobj v[POD_OBJS];
	size_t n;
};

struct gateway {
	struct ipaddr ip;
	struct macaddr mac; /* of the node's end, or of the bridge */
};

/* One ADD on its way. */
struct wiring {
	struct agent *a;
	const struct ipam_attachment *at;
	const struct ipam_answer *grants;
	const struct pod_call *call;
	const char *bridge; /* NULL: routed */
	char bridge_name[IFNAME_LEN];
	uint32_t mtu;
	struct pod_links links;
};

/* ---- what the pod's namespace gets */

static struct kobj *inside_add(struct inside *in, enum kobj_type type)
{
	struct kobj *o = &in->v[in->n++];

	*o = (struct kobj){ .type = type };
	return o;
}

static void inside_addr(struct inside *in, const struct ipaddr *ip, uint8_t len)
{
	struct kaddr *k = &inside_add(in, KOBJ_ADDR)->addr;

	k->addr = (struct prefix){ *ip, len };
	k->nodad = ip->family == AF_INET6;
}

/* The way out: the gateway is a link's host whatever the interface's prefix is, and its MAC is
 * known beforehand. */
static void inside_gateway(struct inside *in, const struct gateway *gw, uint32_t metric)
{
	struct prefix host = prefix_host(&gw->ip);
	bool v4 = gw->ip.family == AF_INET;
	struct kneigh *nb = &inside_add(in, KOBJ_NEIGH)->neigh;
	struct kroute *r;

	nb->addr = gw->ip;
	nb->mac = gw->mac;
	if (!addr_is_link_local(&gw->ip) || v4) {
		r = &inside_add(in, KOBJ_ROUTE)->route;
		r->dst = host;
		r->metric = metric;
		r->scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
		r->protocol = RTPROT_BOOT;
	}
	r = &inside_add(in, KOBJ_ROUTE)->route;
	r->dst.addr.family = gw->ip.family;
	r->via = gw->ip;
	r->onlink = 1;
	r->metric = metric;
	r->protocol = RTPROT_BOOT;
}

static struct gateway gateway_for(struct agent *a, const struct ipam_attachment *at,
				  const struct ipam_grant *g, const char *bridge)
{
	struct gateway gw = { .mac = agent_host_mac(at) };

	if (bridge) {
		gw.ip = agent_ipam_gateway(a, at->network, &g->block, false);
		if (agent_ipam_gateway(a, at->network, &g->block, true).family)
			gw.ip = agent_ipam_gateway(a, at->network, &g->block, true);
		gw.mac = agent_bridge_mac(bridge);
	} else {
		addr_parse(g->address.family == AF_INET ? ROUTE_GATEWAY4 : ROUTE_GATEWAY6, &gw.ip);
	}
	return gw;
}

/* In a bridge's network an IPv4 pod sees its block as its subnet (the bridge answers ARP for all
 * of it); everywhere else an address stands alone. */
static uint8_t pod_prefix_len(const struct ipam_grant *g, const char *bridge)
{
	if (bridge && g->address.family == AF_INET && !g->borrowed)
		return g->block.len;
	return addr_bits(&g->address);
}

static void plan_inside(const struct wiring *w, uint32_t metric, struct inside *in)
{
	const struct ipam_answer *grants = w->grants;
	bool done[2] = { false };

	in->n = 0;
	for (uint32_t i = 0; i < grants->grants.n; i++) {
		const struct ipam_grant *g = &grants->grants.v[i];

		inside_addr(in, &g->address, pod_prefix_len(g, w->bridge));
	}
	for (uint32_t i = 0; i < grants->grants.n; i++) {
		const struct ipam_grant *g = &grants->grants.v[i];
		enum route_family f = route_family(&g->address);
		struct gateway gw;

		if (done[f])
			continue;
		done[f] = true;
		gw = gateway_for(w->a, w->at, g, w->bridge);
		inside_gateway(in, &gw, metric);
	}
}

/* ---- the result */

static void result_ips(const struct wiring *w, int64_t interface, struct cni_result *res)
{
	const struct ipam_answer *grants = w->grants;
	struct arena *ar = w->call->arena;
	struct prefix any[2] = { { .addr.family = AF_INET }, { .addr.family = AF_INET6 } };
	bool done[2] = { false };

	res->ips.v = arena_array(ar, grants->grants.n, sizeof(*res->ips.v));
	res->routes.v = arena_array(ar, 2, sizeof(*res->routes.v));
	if (!res->ips.v || !res->routes.v)
		return;
	for (uint32_t i = 0; i < grants->grants.n; i++) {
		const struct ipam_grant *g = &grants->grants.v[i];
		enum route_family f = route_family(&g->address);
		struct ipaddr gw = gateway_for(w->a, w->at, g, w->bridge).ip;
		struct cni_ip *ip = &res->ips.v[res->ips.n++];

		ip->address = (struct prefix){ g->address, pod_prefix_len(g, w->bridge) };
		ip->gateway = gw;
		ip->interface = (struct opt_i64){ 1, interface };
		if (done[f])
			continue;
		done[f] = true;
		res->routes.v[res->routes.n++] = (struct cni_route){ .dst = any[f], .gw = gw };
	}
}

static int make_result(const struct wiring *w, struct cni_result *res, struct err *e)
{
	const struct ipam_attachment *at = w->at;
	struct arena *ar = w->call->arena;
	struct cni_interface *v = arena_array(ar, 3, sizeof(*v));
	uint32_t n = 0;

	*res = (struct cni_result){ 0 };
	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	if (w->bridge)
		v[n++] = (struct cni_interface){ .name = arena_strdup(ar, w->bridge),
						 .mac = agent_bridge_mac(w->bridge),
						 .mtu = w->mtu };
	v[n++] = (struct cni_interface){ .name = arena_strdup(ar, at->hostif),
					 .mac = agent_host_mac(at),
					 .mtu = w->mtu };
	v[n] = (struct cni_interface){ .name = arena_strdup(ar, at->ifname),
				       .mac = at->mac,
				       .mtu = w->mtu,
				       .sandbox = arena_strdup(ar, w->call->netns_path) };
	res->interfaces.v = v;
	res->interfaces.n = n + 1;
	result_ips(w, n, res);
	return ar->failed ? err_set(e, -ENOMEM, "no memory") : 0;
}

int agent_pod_addresses(struct agent *a, const struct ipam_attachment *at,
			const struct ipam_answer *grants, struct arena *ar, struct cni_result *res,
			struct err *e)
{
	int rc = agent_bridge_gateways(a, at->network, NULL, grants, e);

	if (rc)
		return rc;
	*res = (struct cni_result){ 0 };
	res->ips.v = arena_array(ar, grants->grants.n, sizeof(*res->ips.v));
	if (!res->ips.v)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < grants->grants.n; i++) {
		const struct ipam_grant *g = &grants->grants.v[i];
		struct cni_ip *ip = &res->ips.v[res->ips.n++];

		ip->address = (struct prefix){ g->address, g->borrowed ? addr_bits(&g->address)
								       : g->block.len };
		ip->gateway = agent_ipam_gateway(a, at->network, &g->block, true);
	}
	return 0;
}

/* ---- ADD */

/* How many other interfaces of ours the container has. */
static uint32_t other_interfaces(struct agent *a, const struct ipam_attachment *at)
{
	const struct ipam_attachment *const *v;
	uint32_t others = 0;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		others += v[i]->state == IPAM_LIVE && v[i]->id != at->id && !v[i]->ipam_only &&
			  !strcmp(v[i]->container, at->container);
	return others;
}

static bool pod_has(int netns, const char *ifname)
{
	struct klist have = { 0 };
	struct err none;
	int rc = pod_read(netns, ifname, &have, &none);

	klist_fini(&have);
	return rc != -ENODEV;
}

static int make_link(struct wiring *w, struct err *e)
{
	const struct ipam_attachment *at = w->at;
	uint32_t metric = METRIC_STEP * other_interfaces(w->a, at);
	struct nl *nl = agent_kernel_nl(w->a);
	struct inside in;
	struct pod_if p = {
		.host = at->hostif,
		.name = at->ifname,
		.host_mac = agent_host_mac(at),
		.mac = at->mac,
		.mtu = w->mtu,
		.master = w->bridge,
		.isolated = w->bridge != NULL,
		.objs = in.v,
	};
	int rc;

	plan_inside(w, metric, &in);
	p.nobjs = in.n;
	rc = pod_create(nl, w->call->netns, &p, &w->links, e);
	if (rc != -EEXIST || metric || pod_has(w->call->netns, at->ifname))
		return rc;
	/* Another plugin's interface has a default route already: ours stands behind it. */
	plan_inside(w, METRIC_STEP, &in);
	p.nobjs = in.n;
	return pod_create(nl, w->call->netns, &p, &w->links, e);
}

/* A router that routes back into the link where a packet came from says so by redirects; the
 * isolated ports of a bridge must not follow them. */
static int refuse_redirects(void *arg, struct err *e)
{
	static const char *const paths[] = { "net/ipv4/conf/all/accept_redirects",
					     "net/ipv4/conf/%s/accept_redirects",
					     "net/ipv6/conf/%s/accept_redirects" };
	const struct ipam_attachment *at = arg;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char path[SYSCTL_PATH];
		int rc;

		snprintf(path, sizeof(path), paths[i], at->ifname);
		rc = sysctl_write(path, "0", e);
		if (rc && rc != -ENOENT)
			return rc;
	}
	return 0;
}

static void undo_link(const struct wiring *w)
{
	const struct ipam_attachment *at = w->at;
	struct err e;

	agent_plan_pod_gone(w->a, at);
	if (pod_retire(w->call->netns, at->ifname, w->links.pod, &e) ||
	    pod_reap(agent_kernel_nl(w->a), &w->links.host, 1, &e))
		log_error("link %s of a failed ADD: %s", at->hostif, e.text);
}

/* Everything on the node that makes the link a pod's. */
static int join_node(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	char alias[LINK_ALIAS];
	int rc = agent_plan_pod(a, at, true, e);

	if (rc)
		return rc;
	rc = agent_nft_pod_add(a, at, e);
	if (rc)
		return rc;
	link_alias(at, alias);
	rc = link_set_alias(agent_kernel_nl(a), at->hostif, alias, e);
	if (rc)
		agent_nft_pod_del(a, at);
	return rc;
}

/* The same container and interface again, before the reaper came by: the name on the node
 * follows from both, and is still its predecessor's. */
static int free_name(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_DYING && v[i]->hostif && !strcmp(v[i]->hostif, at->hostif))
			return agent_reap_now(a, e);
	return 0;
}

static int join_bridge(struct wiring *w, struct err *e)
{
	const char *network = w->at->network;
	int rc;

	if (w->at->attach != CNI_BRIDGE)
		return 0;
	w->bridge = w->bridge_name;
	if (agent_ipam_bridge(w->a, network, w->bridge_name))
		; /* a network keeps the bridge that it began with */
	else if (w->call->bridge)
		snprintf(w->bridge_name, IFNAME_LEN, "%s", w->call->bridge);
	else
		agent_bridge_name(network, w->bridge_name);
	rc = agent_bridge_gateways(w->a, network, w->bridge, w->grants, e);
	return rc ? rc : agent_bridge_make(w->a, network, w->bridge, e);
}

static int wire_pod(struct wiring *w, struct cni_result *res, struct err *e)
{
	struct agent *a = w->a;
	int rc = join_bridge(w, e);

	if (!rc)
		rc = make_link(w, e);
	if (rc)
		return rc;
	if (w->bridge)
		rc = netns_do(w->call->netns, refuse_redirects, (void *)w->at, e);
	if (!rc)
		rc = join_node(a, w->at, e);
	if (!rc) {
		rc = make_result(w, res, e);
		if (rc)
			agent_nft_pod_del(a, w->at);
	}
	if (rc)
		undo_link(w);
	return rc;
}

int agent_pod_add(struct agent *a, const struct ipam_attachment *at,
		  const struct ipam_answer *grants, const struct pod_call *call,
		  struct cni_result *res, struct err *e)
{
	struct wiring w = { .a = a,
			    .at = at,
			    .grants = grants,
			    .call = call,
			    .mtu = call->mtu ? call->mtu : agent_plan_mtu(a) };
	int rc = free_name(a, at, e);

	/* First: a bridge's port is reachable as soon as it is there. */
	if (!rc)
		rc = agent_conntrack_clear(a, at, e);
	if (!rc)
		rc = agent_policy_pod_add(a, at, e);
	if (rc)
		return rc;
	rc = wire_pod(&w, res, e);
	if (rc)
		agent_policy_pod_del(a, at);
	return rc;
}

bool agent_pod_carries(struct agent *a, const struct ipam_attachment *at)
{
	struct nl *nl = agent_kernel_nl(a);
	char bridge[IFNAME_LEN];
	struct err none;

	if (at->ipam_only || at->state != IPAM_LIVE)
		return true;
	if (!rtnl_carries(nl, at->hostif, &none))
		return false;
	return at->attach != CNI_BRIDGE || !agent_ipam_bridge(a, at->network, bridge) ||
	       rtnl_carries(nl, bridge, &none) != 0;
}

/* ---- DEL */

/* Is what has this name in there the end that we made? Told by the MAC that we gave it. */
static bool is_our_end(const struct ipam_attachment *at, int netns)
{
	struct klist have = { 0 };
	bool ours = false;
	struct err e;

	if (!pod_read(netns, at->ifname, &have, &e))
		for (size_t i = 0; i < have.n; i++)
			ours |= have.v[i].type == KOBJ_LINK &&
				!memcmp(&have.v[i].link.mac, &at->mac, sizeof(at->mac));
	klist_fini(&have);
	return ours;
}

/* The runtime's own descriptor is believed as long as the link lives; the path in the book may be
 * another pod's by now. */
static void retire(const struct ipam_attachment *at, int netns, bool link_lives)
{
	bool given = netns >= 0;
	struct err e;

	if (!given && at->netns)
		netns = netns_open(at->netns, &e);
	if (netns < 0)
		return;
	if (((given && link_lives) || is_our_end(at, netns)) &&
	    pod_retire(netns, at->ifname, 0, &e))
		log_warn("container %s, %s: %s", at->container, at->ifname, e.text);
	if (!given)
		close(netns);
}

int agent_pod_del(struct agent *a, const struct ipam_attachment *at, int netns, struct err *e)
{
	int ifindex = 0, rc;

	if (!at->ipam_only) {
		ifindex = link_of(agent_kernel_nl(a), at, e);
		if (ifindex < 0)
			return ifindex;
		agent_nft_pod_del(a, at);
		agent_plan_pod_gone(a, at);
		retire(at, netns, ifindex > 0);
		agent_policy_pod_del(a, at);
	}
	rc = agent_conntrack_gone(a, at, e);
	if (!rc)
		rc = agent_ipam_dying(a, at->id, ifindex, e);
	if (!rc)
		agent_hostport_changed(a, at);
	agent_reap_soon(a);
	return rc;
}

/* ---- after a restart */

enum link_is { LINK_FINISHED, LINK_UNFINISHED, LINK_GONE };

static enum link_is look_at(struct agent *a, const struct ipam_attachment *at)
{
	char alias[LINK_ALIAS];
	struct err e;
	int rc = link_get_alias(agent_kernel_nl(a), at->hostif, alias, &e);

	if (rc == -ENODEV)
		return LINK_GONE;
	/* Only a kernel that says so makes a link unfinished; no memory at that moment does not. */
	return rc || alias[0] ? LINK_FINISHED : LINK_UNFINISHED;
}

static void restore_one(struct agent *a, const struct ipam_attachment *at)
{
	struct err e;

	if (at->ipam_only || agent_ipam_is_gateway(at))
		return;
	switch (look_at(a, at)) {
	case LINK_FINISHED:
		agent_nft_expect(a, at);
		agent_policy_expect(a, at);
		if (agent_plan_pod(a, at, false, &e))
			log_error("link %s: %s", at->hostif, e.text);
		return;
	case LINK_GONE:
		return; /* agent_gc.c: not at one look */
	case LINK_UNFINISHED:
		break;
	}
	log_warn("container %s, %s: its ADD did not come to an end; undone", at->container,
		 at->ifname);
	if (agent_pod_del(a, at, -1, &e))
		log_error("container %s, %s: %s", at->container, at->ifname, e.text);
}

/* Of those that ended before, nobody knows whether a look came to its end. */
static void seek_dying(struct agent *a)
{
	const struct ipam_attachment *const *v;
	struct err e;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_DYING && agent_conntrack_gone(a, v[i], &e))
			log_error("container %s: %s", v[i]->container, e.text);
}

void agent_pod_restore(struct agent *a)
{
	const struct ipam_attachment *const *v;
	uint64_t *ids;
	size_t n;

	agent_bridge_restore(a);
	v = ipam_all(agent_ipam_book(a), &n);
	ids = calloc(n + 1, sizeof(*ids));
	if (!ids) {
		log_error("no memory to look at %zu pods", n);
		return;
	}
	/* Undoing changes the list. */
	for (size_t i = 0; i < n; i++)
		ids[i] = v[i]->state == IPAM_LIVE ? v[i]->id : 0;
	for (size_t i = 0; i < n; i++)
		if (ids[i])
			restore_one(a, ipam_by_id(agent_ipam_book(a), ids[i]));
	seek_dying(a);
	free(ids);
	agent_reap_soon(a);
}
