/* SPDX-License-Identifier: Apache-2.0 */
/* Who wants what: each object of the cluster that matters to this node, each pod here and each
 * bridge is an owner with a number and a dirty mark. A change marks the owners that it touches;
 * a few milliseconds later they are planned (core/route) and handed to the kernel part, in
 * slices, so that a starting pod never waits behind ten thousand blocks. */
#pragma once
#include "daemon/agent.h"

int agent_plan_open(struct agent *a, struct err *e);
void agent_plan_close(struct agent *a);

/* An object of the store appeared (old NULL), changed, or went (now NULL). */
void agent_plan_changed(struct agent *a, const struct object *old, const struct object *now);
/* Everything that was marked before this call is in the kernel when `done` is called (from the
 * loop); of several calls the last one's counts. */
typedef void agent_plan_done_fn(struct agent *a);
void agent_plan_flush(struct agent *a, agent_plan_done_fn *done);

/* Plans this node itself, before agent_kernel_start(). */
void agent_plan_start(struct agent *a);
void agent_plan_uplink_changed(struct agent *a);
void agent_plan_ways_changed(struct agent *a); /* routes of others: gateways to peers */
void agent_plan_tunnel_changed(struct agent *a);

/* BGP's word on this prefix is another (agent_bgp.h). */
void agent_plan_learned(struct agent *a, const struct prefix *p);

const struct route_self *agent_plan_self(const struct agent *a);
/* The kernel once held everything that the store's first whole list asks for. */
bool agent_plan_is_settled(const struct agent *a);
uint32_t agent_plan_mtu(const struct agent *a); /* of new pods */
/* Calls fn for every other node that is known, in no order. */
void agent_plan_peers(const struct agent *a, void (*fn)(void *arg, const struct route_peer *p),
		      void *arg);
/* The node that has this address, or NULL. */
const struct route_peer *agent_plan_peer_at(const struct agent *a, const struct ipaddr *ip);
/* Is it of Services: in a range of theirs, or an address that some have? */
bool agent_plan_serves(const struct agent *a, const struct prefix *p);
/* "block/10-244-1-0-26" of an object that is wanted, or NULL. */
const char *agent_plan_owner(const struct agent *a, uint32_t owner);

/* For agent_plan_pod.c: who wants what, and where one owner at a time is planned into. */
struct owners *agent_plan_owners(const struct agent *a);
struct route_out *agent_plan_out(const struct agent *a);
