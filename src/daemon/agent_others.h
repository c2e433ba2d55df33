/* SPDX-License-Identifier: Apache-2.0 */
/* What others made on this node, as last dumped: the uplink and the ways to peers are read from it,
 * and a vxlan0 or tunl0 that is not ours is neither removed nor used. Nothing here is ever written. */
#pragma once
#include "core/diff/diff.h"
#include "core/route/uplink.h"
#include "daemon/agent.h"
#include "sys/rtnl.h"

enum { OTHERS_TUNNELS = 2 };

struct others {
	struct klist seen; /* links, addresses and routes that are not ours */
	struct uplink uplink;
	bool tunnel_taken[OTHERS_TUNNELS]; /* somebody else's device has the tunnel's name */
};

/* Is the link ours, by name and kind? */
bool agent_owns_link(const struct klink *l);
/* Remembers what is in a fresh dump, marks a foreign tunnel there, and tells the plan what moved. */
void others_look(struct others *o, struct agent *a, struct klist *have);
/* Looks for the uplink again, and tells the plan when it is another. */
void others_find_uplink(struct others *o, struct agent *a);
/* See uplink_leads_to(). */
bool others_lead_to(const struct others *o, const struct prefix *p);
/* See uplink_link(), uplink_has_route(). */
const char *others_link(const struct others *o, const struct ipaddr *ip);
bool others_have_route(const struct others *o, const struct prefix *p);
/* See uplink_gateway(). */
struct route_hop others_gateway(const struct others *o, const struct ipaddr *ip);
/* Has somebody else the device of that tunnel's name? */
bool others_have(const struct others *o, const char *tunnel);
/* Leaves out what would go to a tunnel that is not ours; returns how many operations stay. */
size_t others_spare_tunnel(const struct others *o, struct kop *ops, size_t n);
void others_fini(struct others *o);
