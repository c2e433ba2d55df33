/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of Services outside of their ranges: external IPs, load balancers', cluster IPs that
 * objects brought along. A connection of the node's own to one of them, or into a range, is looked
 * up in the routing table before any rule sees it: on a node without a way there it would end as
 * "network is unreachable", neither translated nor refused. Here is which such addresses there are,
 * however many Services have one; the planner gives those a route that nothing else covers
 * (route_plan_front()). */
#pragma once
#include "model/cluster.h"

struct fronts;

/* The ranges outlive it. NULL: no memory. */
struct fronts *fronts_new(const struct prefix *ranges, size_t n);
void fronts_free(struct fronts *f);

/* A Service was `old` and is `now` (NULL: not there). `changed` is told each address that came or
 * went; false: no memory, some address is not known. */
bool fronts_changed(struct fronts *f, const struct service *old, const struct service *now,
		    void (*changed)(void *arg, const struct ipaddr *ip), void *arg);
bool fronts_have(const struct fronts *f, const struct ipaddr *ip);
