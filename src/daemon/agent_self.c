// SPDX-License-Identifier: Apache-2.0
/* agent_self: see agent_self.h. */
#include "daemon/agent_self.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_peers.h"
#include "daemon/agent_store.h"
#include "sys/file.h"

#include <net/ethernet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void agent_self_ips(const struct agent *a, struct ipaddr ips[ROUTE_FAMILIES])
{
	const struct config *cfg = &a->role->cfg;
	const struct object *o = NULL;

	memset(ips, 0, ROUTE_FAMILIES * sizeof(*ips));
	if (a->store)
		o = cluster_get(agent_store_cluster(a), KIND_NODE, NULL, cfg->node);
	if (o)
		route_node_ips(o->body, ips);
	for (uint32_t i = 0; i < cfg->node_ips.n; i++) {
		const struct ipaddr *ip = &cfg->node_ips.v[i];

		if (!ips[route_family(ip)].family)
			ips[route_family(ip)] = *ip;
	}
}

/* Without a Node object and configuration, what the uplink has. */
static void ips_of_uplink(const struct uplink *u, struct ipaddr ips[ROUTE_FAMILIES])
{
	if (ips[ROUTE_V4].family || ips[ROUTE_V6].family)
		return;
	for (size_t i = 0; i < u->n_subnets; i++) {
		const struct ipaddr *ip = &u->subnets[i].addr;

		if (!ips[route_family(ip)].family)
			ips[route_family(ip)] = *ip;
	}
}

static bool same_peer(const struct route_peer *x, const struct route_peer *y)
{
	for (int f = 0; f < ROUTE_FAMILIES; f++)
		if (!addr_eq(&x->ip[f], &y->ip[f]) || !addr_eq(&x->tunnel[f], &y->tunnel[f]))
			return false;
	return true;
}

/* What the configuration says never changes. */
bool agent_self_eq(const struct route_self *x, const struct route_self *y)
{
	if (!same_peer(&x->node, &y->node) || strcmp(x->uplink, y->uplink) != 0 ||
	    x->uplink_mtu != y->uplink_mtu || x->vxlan != y->vxlan || x->ipip != y->ipip ||
	    x->n_ra != y->n_ra || memcmp(x->ra, y->ra, sizeof(x->ra)) != 0 ||
	    x->n_subnets != y->n_subnets)
		return false;
	for (size_t i = 0; i < x->n_subnets; i++)
		if (!prefix_eq(&x->subnets[i], &y->subnets[i]))
			return false;
	return true;
}

/* Where accept_ra is 0 somebody else, such as systemd-networkd, takes advertisements and sets
 * the routes; those stay, and the kernel must not begin to. */
static void find_ra(const struct uplink *u, struct route_self *self)
{
	for (size_t i = 0; i < u->n_ra; i++) {
		char path[SYSCTL_PATH], value[16];

		snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", u->ra[i]);
		if (!sysctl_read(path, value, sizeof(value), NULL) && strcmp(value, "0"))
			memcpy(self->ra[self->n_ra++], u->ra[i], IFNAME_LEN);
	}
}

static void note_tunnel(struct route_self *self, const char *dev)
{
	self->vxlan |= dev && !strcmp(dev, ROUTE_VXLAN_DEV);
	self->ipip |= dev && !strcmp(dev, ROUTE_IPIP_DEV);
}

void agent_self_find(const struct agent *a, struct route_self *self)
{
	const struct uplink *u = agent_kernel_uplink(a);
	const struct object *const *pools;
	size_t n;

	*self = (struct route_self){ .node.name = a->role->cfg.node,
				     .uplink_mtu = u->mtu ? u->mtu : ETHERMTU,
				     .n_subnets = u->n_subnets,
				     .localnet = a->role->cfg.localhost_node_ports };
	self->n_dns = config_dns_served(&a->role->cfg, self->dns);
	find_ra(u, self);
	memcpy(self->uplink, u->name, sizeof(self->uplink));
	memcpy(self->subnets, u->subnets, sizeof(self->subnets));
	agent_self_ips(a, self->node.ip);
	ips_of_uplink(u, self->node.ip);
	self->node.tunnel[ROUTE_V4] = agent_ipam_tunnel(a, AF_INET);
	self->node.tunnel[ROUTE_V6] = agent_ipam_tunnel(a, AF_INET6);
	pools = cluster_all(agent_store_cluster(a), KIND_IPPOOL, &n);
	for (size_t i = 0; i < n; i++)
		note_tunnel(self, route_tunnel(pools[i]->body));
}
