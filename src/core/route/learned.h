/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that peers told by BGP: which of them this node takes, and by which way.
 *
 * BGP never overrules what the node knows better: not its own blocks and addresses, not pools whose routes are the
 * store's, not addresses of Services, which every node serves itself, and not a route that somebody else made.
 *
 * A prefix inside of a pool whose next hop is another node's address goes there as the pool's mode says
 * (route_way()): by the tunnel, too, so that a route reflector may pass the node's own address on. Any other next
 * hop must be on a link of this node; where several are, the kernel shares the packets between them. */
#pragma once
#include "core/route/plan.h"

struct route_learned {
	struct prefix prefix;
	const struct ipaddr *via; /* in the order of addr_cmp() */
	size_t n_via;
	const struct ippool *pool;   /* that has all of it; NULL: none */
	const struct ipblock *block; /* that it is, or is in; NULL: none */
	bool service;                /* an address, or a range, of Services */
	bool taken;                  /* somebody else's route to the same prefix */
	/* The node that has this address, or NULL; the device of the link that has it, or NULL. */
	const struct route_peer *(*peer)(void *arg, const struct ipaddr *ip);
	const char *(*link)(void *arg, const struct ipaddr *ip);
	void *arg;
};

/* Why the node leaves it, in words; NULL: it takes it. */
const char *route_learned_left(const struct route_self *self, const struct route_learned *l);
/* The route, where it is not left. Its further next hops are in out->hops. */
void route_plan_learned(const struct route_self *self, const struct route_learned *l,
			struct route_out *out);
