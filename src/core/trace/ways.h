/* SPDX-License-Identifier: Apache-2.0 */
/* A node as its own planners see it, made of the cluster's objects: what Services do there (core/service)
 * and where it sends a packet (core/route). Nothing is decided here: the routes are those that
 * route_plan_block() wants, of which the longest that contains the destination counts.
 *
 * What no object says: what BGP brings in pools with `routes: bgp`, where the way to the block's node is assumed, and
 * `likely`; the kernel's default route, which stands for all ways out of the cluster and for
 * routers that carry pods' addresses; the uplink's name; and, where the node's agent has not
 * written a NodeState with its subnets and MTU, who its neighbours are and how long a packet may be. Then `neighbours` is assumed, and a way
 * that depends on it is `likely`. */
#pragma once
#include "core/route/plan.h"
#include "core/trace/decide.h"

struct place {
	const char *name;
	struct story_plans plans;
	struct route_self self;
	bool knows_subnets;
	uint32_t pods_mtu; /* 0: no object says the uplink's */
};

enum way_kind {
	WAY_HERE, /* the node itself */
	WAY_POD,  /* one of its pods */
	WAY_WIRE, /* by the uplink */
	WAY_TUNNEL,
	WAY_DEAD_END /* a route says so */
};

struct way {
	uint8_t kind;                       /* enum way_kind */
	struct prefix route;                /* family 0: not known */
	const char *rule, *device;          /* as of a route's hop; NULL: not known */
	const char *to;                     /* Node that gets it next; NULL: out of the cluster */
	const struct pod *pod;              /* of WAY_POD */
	uint32_t mtu;                       /* of its device; 0: not known */
	struct ipaddr src;                  /* that the node's own packets get */
	struct ipaddr nat;                  /* that packets get whose source is translated */
	struct ipaddr outer_src, outer_dst; /* of WAY_TUNNEL */
	bool likely;                        /* may be another: no object says who is a neighbour */
	bool doubtful;                      /* and that other one is a way of another kind */
	const char *why;
};

/* `neighbours`: whether nodes share a subnet where no object says. 0 or -errno. */
int place_make(const struct story_view *view, const char *node, bool neighbours, struct arena *a,
	       struct place *out, struct err *e);
/* Where the node sends what goes to `dst`. 0 or -ENOMEM. */
int place_way(const struct story_view *view, const struct place *p, const struct ipaddr *dst,
	      struct arena *a, struct way *out, struct err *e);
/* Has the node this address? */
bool place_has(const struct story_view *view, const struct place *p, const struct ipaddr *ip);
/* How the pod is attached; NULL: not known. */
const struct workload_endpoint *place_link(const struct story_view *view, const struct pod *pod);
