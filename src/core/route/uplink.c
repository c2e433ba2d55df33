/* SPDX-License-Identifier: Apache-2.0 */
#include "core/route/uplink.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The interface that has the address; not lo, where a node has one that it announces. */
static const char *holder(const struct kobj *have, size_t n, const struct ipaddr *ip)
{
	for (size_t i = 0; i < n; i++)
		if (have[i].type == KOBJ_ADDR && addr_eq(&have[i].addr.addr.addr, ip) &&
		    strcmp(have[i].addr.ifname, "lo") != 0)
			return have[i].addr.ifname;
	return NULL;
}

static bool is_default(const struct kobj *o)
{
	return o->type == KOBJ_ROUTE && o->route.type == KROUTE_UNICAST && !o->route.dst.len &&
	       o->route.oif[0] && o->route.protocol != RTPROT_FAIRLEAD;
}

static const char *default_dev(const struct kobj *have, size_t n, uint8_t family)
{
	const struct kroute *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct kroute *r = &have[i].route;

		if (is_default(&have[i]) && r->dst.addr.family == family &&
		    (!best || r->metric < best->metric))
			best = r;
	}
	return best ? best->oif : NULL;
}

static const char *choose(const struct kobj *have, size_t n, const char *forced,
			  const struct ipaddr *ips, size_t n_ips)
{
	const char *dev = forced;

	for (size_t i = 0; !dev && i < n_ips; i++)
		if (ips[i].family)
			dev = holder(have, n, &ips[i]);
	if (!dev)
		dev = default_dev(have, n, AF_INET);
	return dev ? dev : default_dev(have, n, AF_INET6);
}

static void note_ra(struct uplink *u, const struct kobj *o)
{
	if (o->type != KOBJ_ROUTE || o->route.protocol != RTPROT_RA || !o->route.oif[0] ||
	    u->n_ra == ROUTE_RA)
		return;
	for (size_t i = 0; i < u->n_ra; i++)
		if (!strncmp(u->ra[i], o->route.oif, IFNAME_LEN))
			return;
	memcpy(u->ra[u->n_ra++], o->route.oif, IFNAME_LEN);
}

bool uplink_find(const struct kobj *have, size_t n, const char *forced,
		 const struct ipaddr *node_ips, size_t n_ips, struct uplink *out)
{
	const char *dev = choose(have, n, forced, node_ips, n_ips);
	bool found = false;

	*out = (struct uplink){ 0 };
	for (size_t i = 0; i < n; i++)
		note_ra(out, &have[i]);
	if (!dev)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct kobj *o = &have[i];

		if (o->type == KOBJ_LINK && !strcmp(o->link.name, dev)) {
			found = true;
			out->mtu = o->link.mtu;
		} else if (o->type == KOBJ_ADDR && !strcmp(o->addr.ifname, dev) &&
			   !addr_is_link_local(&o->addr.addr.addr) &&
			   out->n_subnets < ROUTE_SUBNETS) {
			out->subnets[out->n_subnets++] = o->addr.addr;
		}
	}
	if (!found) {
		out->n_subnets = 0;
		return false;
	}
	snprintf(out->name, sizeof(out->name), "%s", dev);
	return true;
}

/* The longest route of others to `ip`, of those the one with the lowest metric; NULL. */
static const struct kroute *longest(const struct kobj *have, size_t n, const struct ipaddr *ip)
{
	const struct kroute *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct kroute *r = &have[i].route;

		if (have[i].type != KOBJ_ROUTE || r->protocol == RTPROT_FAIRLEAD ||
		    !prefix_has(&r->dst, ip))
			continue;
		if (!best || r->dst.len > best->dst.len ||
		    (r->dst.len == best->dst.len && r->metric < best->metric))
			best = r;
	}
	return best;
}

struct route_hop uplink_gateway(const struct kobj *have, size_t n, const char *uplink,
				const struct ipaddr *ip)
{
	const struct kroute *best = longest(have, n, ip);

	if (!best || best->type != KROUTE_UNICAST || strcmp(best->oif, uplink))
		return (struct route_hop){ 0 };
	return (struct route_hop){ best->via, !best->dst.len };
}

bool uplink_leads_to(const struct kobj *have, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++) {
		const struct kroute *r = &have[i].route;

		if (have[i].type == KOBJ_ROUTE && r->protocol != RTPROT_FAIRLEAD &&
		    r->type == KROUTE_UNICAST && prefix_covers(&r->dst, p))
			return true;
	}
	return false;
}

const char *uplink_link(const struct kobj *have, size_t n, const struct ipaddr *ip)
{
	const struct kroute *best = addr_is_link_local(ip) ? NULL : longest(have, n, ip);

	return best && best->type == KROUTE_UNICAST && !best->via.family && best->oif[0] ? best->oif
											 : NULL;
}

bool uplink_has_route(const struct kobj *have, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (have[i].type == KOBJ_ROUTE && have[i].route.protocol != RTPROT_FAIRLEAD &&
		    prefix_eq(&have[i].route.dst, p))
			return true;
	return false;
}
