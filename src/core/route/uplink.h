/* SPDX-License-Identifier: Apache-2.0 */
/* The interface by which a node reaches the others, read out of what its kernel holds. */
#pragma once
#include "core/route/plan.h"

struct uplink {
	char name[IFNAME_LEN]; /* "": none */
	uint32_t mtu;          /* bytes */
	struct prefix subnets[ROUTE_SUBNETS];
	size_t n_subnets;
	/* Of any device: it has IPv6 routes that came by router advertisement (RFC 4861). */
	char ra[ROUTE_RA][IFNAME_LEN];
	size_t n_ra;
};

/* `have[0..n)`: links, addresses and routes of the node, any order. The uplink is `forced`,
 * else the interface (not lo) that holds one of the Node's own addresses, else that of the default
 * route (the lowest metric; IPv4 before IPv6). False: there is none, and only out->ra
 * says something. */
bool uplink_find(const struct kobj *have, size_t n, const char *forced,
		 const struct ipaddr *node_ips, size_t n_ips, struct uplink *out);

/* Next hop by which `ip` is reached through `uplink`, where the longest matching route names one. */
struct route_hop uplink_gateway(const struct kobj *have, size_t n, const char *uplink,
				const struct ipaddr *ip);

/* Does a route of others lead to all of `p`, through whatever device? */
bool uplink_leads_to(const struct kobj *have, size_t n, const struct prefix *p);

/* The device of the link that `ip` is on, by the longest route of others; NULL: it is on none. Link-local
 * addresses are on any. */
const char *uplink_link(const struct kobj *have, size_t n, const struct ipaddr *ip);
/* Does somebody else have a route to this very prefix? */
bool uplink_has_route(const struct kobj *have, size_t n, const struct prefix *p);
