/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of its stream with role bgp: what peers told becomes routes (owners "bgp/PREFIX" of agent_plan.h,
 * planned by core/route/learned.h), and addresses of Services are told to be advertised (origins.h).
 *
 * A speaker that went away says nothing of its routes, so they stay; the next one's are told beside them, and what
 * it did not tell goes when it says that this was all. So with an agent that went away: what it left in the kernel
 * is kept as it is until then (RFC 4724 4.1). On a node without role bgp nothing of that is kept. */
#pragma once
#include "core/service/service.h"
#include "daemon/agent.h"

int agent_bgp_open(struct agent *a, struct err *e);
void agent_bgp_close(struct agent *a);
void agent_bgp_join(struct agent *a, int fd); /* takes the descriptor */

/* The store was heard, and nothing is deleted yet: what is in the kernel by BGP is wanted when marks are planned.
 * Later calls do nothing. */
void agent_bgp_adopt(struct agent *a);
/* What of Services is told is all that there is: their plans are made, and in the kernel. */
void agent_bgp_in_kernel(struct agent *a);

/* A Service is planned, n plans of it; 0: it is gone. */
void agent_bgp_planned(struct agent *a, const char *ns, const char *name,
		       const struct svc_plan *plans, size_t n);
void agent_bgp_sent(struct agent *a); /* and sent to the kernel */
/* The BGPConfiguration, or this node, may be another. */
void agent_bgp_changed(struct agent *a, const struct object *old, const struct object *now);

/* Plans the route to "10.1.0.0/26"; false: there is none any more. */
bool agent_bgp_plan(struct agent *a, const char *prefix, struct route_out *out);
/* Whoever reads a next hop of these routes: a node's address, or a link, leads elsewhere now. */
void agent_bgp_via_moved(struct agent *a, const struct ipaddr *via);
/* What is said of a route; pointers live until the next turn of the loop. */
struct agent_bgp_words {
	struct prefix prefix;
	const char *peer, *why; /* who told it, and why it was the best; "" where it was found */
	const char *left;       /* why the node does not take it; NULL: it does */
	bool stale;             /* told by an earlier stream, or found */
};
bool agent_bgp_words(struct agent *a, const struct prefix *p, struct agent_bgp_words *out);
void agent_bgp_each(struct agent *a, void (*fn)(void *arg, const struct agent_bgp_words *w),
		    void *arg);
