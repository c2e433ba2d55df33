// SPDX-License-Identifier: Apache-2.0
/* agent_rebuild: see agent_rebuild.h. Addresses of a routed pod are the host routes over its link;
 * those of a bridged pod are the bridge's permanent neighbours with the pod's MAC. That follows
 * from container and interface unless the runtime chose it, and is read from the pod's end then.
 * A pod can change what stands there: it is asked last of all, when the addresses of those that
 * need not be asked are taken. Links that are not recognised stay where they are; somebody may
 * still live behind them. */
#include "daemon/agent_rebuild.h"
#include "core/cni/message.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan_pod.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_store.h"
#include "sys/rtnl.h"

#include <stdio.h>
#include <string.h>

struct found {
	struct ipam_attachment at;
	struct ipaddr ips[IPAM_MAX_WANTED];
	char alias[LINK_ALIAS], pod[LINK_ALIAS];
};

/* "NS/POD CONTAINER IFNAME NETWORK" */
static bool read_alias(struct found *f)
{
	char *word[4], *save = NULL, *slash;
	int n = 0;

	for (char *w = strtok_r(f->alias, " ", &save); w && n < 4; w = strtok_r(NULL, " ", &save))
		word[n++] = w;
	if (n < 4)
		return false;
	f->at.container = word[1];
	f->at.ifname = word[2];
	f->at.network = word[3];
	slash = strchr(word[0], '/');
	if (slash) {
		*slash = 0;
		f->at.pod_namespace = word[0];
		f->at.pod_name = slash + 1;
	}
	return true;
}

static void add_ip(struct found *f, const struct ipaddr *ip)
{
	if (f->at.addrs.n < IPAM_MAX_WANTED)
		f->ips[f->at.addrs.n++] = *ip;
}

static void find_ips(struct found *f, const struct klist *have, const char *bridge)
{
	for (size_t i = 0; i < have->n; i++) {
		const struct kobj *o = &have->v[i];

		if (o->foreign)
			continue;
		if (!bridge[0] && o->type == KOBJ_ROUTE && !strcmp(o->route.oif, f->at.hostif) &&
		    o->route.dst.len == addr_bits(&o->route.dst.addr))
			add_ip(f, &o->route.dst.addr);
		if (bridge[0] && o->type == KOBJ_NEIGH && !strcmp(o->neigh.ifname, bridge) &&
		    !memcmp(&o->neigh.mac, &f->at.mac, sizeof(f->at.mac)))
			add_ip(f, &o->neigh.addr);
		if (!bridge[0] && o->type == KOBJ_NEIGH && !strcmp(o->neigh.ifname, f->at.hostif))
			f->at.mac = o->neigh.mac;
	}
}

static bool rebuild_one(struct agent *a, const struct klist *have, const struct klink *l,
			bool ask_mac)
{
	struct found f = { 0 };
	struct err e;

	if (link_get_alias(agent_kernel_nl(a), l->name, f.alias, &e) || !read_alias(&f))
		return false;
	f.at.hostif = l->name;
	f.at.attach = l->master[0] ? CNI_BRIDGE : CNI_ROUTED;
	f.at.mac = agent_pod_mac(f.at.container, f.at.ifname);
	if (ask_mac && link_peer_mac(agent_kernel_nl(a), l->name, &f.at.mac, &e))
		return false;
	f.at.addrs.v = f.ips;
	find_ips(&f, have, l->master);
	if (!f.at.addrs.n)
		return false;
	if (agent_ipam_adopt_one(a, &f.at, &e)) {
		log_warn("link %s: %s", l->name, e.text);
		return false;
	}
	return true;
}

/* The gateways of bridges: addresses of ours on a bridge whose network a port's alias names. */
static void rebuild_gateways(struct agent *a, const struct klist *have, const char *bridge,
			     const char *network)
{
	for (size_t i = 0; i < have->n; i++) {
		const struct kaddr *k = &have->v[i].addr;
		struct ipaddr ip = k->addr.addr;
		struct ipam_attachment gw = { .attach = CNI_BRIDGE,
					      .network = network,
					      .container = AGENT_GATEWAY,
					      .hostif = bridge,
					      .addrs = { &ip, 1 } };
		char name[ADDR_TEXT];
		struct err e;

		if (have->v[i].type != KOBJ_ADDR || have->v[i].foreign ||
		    strcmp(k->ifname, bridge) != 0 || addr_is_link_local(&ip))
			continue;
		gw.ifname = addr_str(&ip, name);
		if (agent_ipam_adopt_one(a, &gw, &e))
			log_warn("bridge %s: %s", bridge, e.text);
	}
}

static void take_over_pods(struct agent *a)
{
	const struct ipam_attachment *const *v;
	struct err e;
	size_t n;

	agent_bridge_restore(a);
	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++) {
		if (agent_ipam_is_gateway(v[i]) || v[i]->ipam_only)
			continue;
		agent_nft_expect(a, v[i]);
		agent_policy_expect(a, v[i]);
		if (agent_plan_pod(a, v[i], false, &e))
			log_error("link %s: %s", v[i]->hostif, e.text);
	}
}

static bool is_known(const struct agent *a, const struct pod *p)
{
	for (uint32_t i = 0; i < p->status.podIPs.n; i++)
		if (ipam_find_addr(agent_ipam_book(a), &p->status.podIPs.v[i].ip))
			return true;
	return false;
}

/* The addresses of a Pod of this node that the kernel did not show, under a name of our own: its
 * container's id is lost. */
static bool rebuild_pod(struct agent *a, const struct object *o)
{
	const struct pod *p = o->body;
	struct found f = { 0 };
	struct err e;

	if (!p->spec.nodeName || strcmp(p->spec.nodeName, a->role->cfg.node) != 0 ||
	    p->spec.hostNetwork || p->status.phase == POD_SUCCEEDED ||
	    p->status.phase == POD_FAILED || is_known(a, p))
		return false;
	for (uint32_t i = 0; i < p->status.podIPs.n; i++)
		add_ip(&f, &p->status.podIPs.v[i].ip);
	snprintf(f.alias, sizeof(f.alias), "%.63s_%.150s",
		 o->meta->namespace ? o->meta->namespace : "default", o->meta->name);
	f.at.network = "recovered";
	f.at.container = f.alias;
	f.at.ifname = "eth0";
	f.at.ipam_only = 1;
	f.at.pod_namespace = o->meta->namespace;
	f.at.pod_name = o->meta->name;
	f.at.pod_uid = o->meta->uid;
	f.at.addrs.v = f.ips;
	if (!f.at.addrs.n || agent_ipam_adopt_one(a, &f.at, &e))
		return false;
	return true;
}

static unsigned rebuild_from_store(struct agent *a)
{
	size_t n;
	const struct object *const *v = cluster_all(agent_store_cluster(a), KIND_POD, &n);
	unsigned pods = 0;

	for (size_t i = 0; i < n; i++)
		pods += rebuild_pod(a, v[i]);
	return pods;
}

static unsigned rebuild_links(struct agent *a, const struct klist *have, bool ask_mac)
{
	unsigned pods = 0;
	struct err none;

	for (size_t i = 0; i < have->n; i++) {
		const struct klink *l = &have->v[i].link;
		struct found f = { 0 };

		if (have->v[i].type != KOBJ_LINK || l->kind != KLINK_VETH ||
		    !agent_is_host_link(l->name))
			continue;
		if (ask_mac) {
			pods += l->master[0] && !agent_ipam_has_link(a, l->name) &&
				rebuild_one(a, have, l, true);
			continue;
		}
		pods += rebuild_one(a, have, l, false);
		if (l->master[0] && !link_get_alias(agent_kernel_nl(a), l->name, f.alias, &none) &&
		    read_alias(&f))
			rebuild_gateways(a, have, l->master, f.at.network);
	}
	return pods;
}

int agent_rebuild(struct agent *a, struct err *e)
{
	struct klist have = { 0 };
	unsigned pods, held;
	int rc = rtnl_dump(agent_kernel_nl(a),
			   RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) | RTNL(KOBJ_NEIGH),
			   &have, e);

	if (rc)
		return rc;
	pods = rebuild_links(a, &have, false);
	pods += rebuild_links(a, &have, true);
	klist_fini(&have);
	held = rebuild_from_store(a);
	if (pods || held)
		log_warn("the journal was lost: %u pods rebuilt from the kernel, addresses of %u "
			 "more held because the store has them",
			 pods, held);
	if (pods)
		take_over_pods(a);
	return 0;
}
