/* SPDX-License-Identifier: Apache-2.0 */
/* Who decided what becomes of a packet, by the cluster's objects: for a translation that was seen, or
 * is predicted, the Service or IPPool whose rule it is; for a route whom it leads to; for an
 * address whose it is. The plans are those that nodes enforce (core/service).
 *
 * Texts live in the arena, or in the cluster. Without memory parts are missing (the arena says
 * so: `failed`), nothing else fails. */
#pragma once
#include "core/service/service.h"
#include "core/trace/story.h"

/* What nodes know: objects, and the part of their configuration that Services ask for. */
struct story_view {
	const struct cluster *cluster;
	LIST(struct prefix)
	pods; /* none: the pools, and where there are none the pods' addresses */
	LIST(struct prefix) services, node_port_addresses;
	bool masquerade_all, localhost_node_ports;
};

/* The plans of one node, made once. */
struct story_plans {
	struct svc_node node;
	struct svc_plan *v;
	size_t n;
};

int story_plans_make(const struct story_view *view, const char *node, struct arena *a,
		     struct story_plans *out, struct err *e);

/* The Pod that has the address for itself, else the Node; kind NONE: nobody that is known. */
struct story_by story_owner(const struct story_view *view, const struct ipaddr *ip);
/* The pod's object; NULL: no such pod. */
const struct pod *story_pod(const struct story_view *view, const struct ipaddr *ip);

/* enum protocol; NONE: it has no ports. */
uint8_t story_protocol(uint8_t ipproto);

/* What a node's Services say of the packet. */
struct story_choice {
	struct svc_verdict verdict;
	struct story_by by;     /* kind NONE: no Service's business */
	struct story_by behind; /* the endpoint's pod */
	const char *why;        /* this endpoint; or of a refusal */
};
/* `to`: where it was sent; NULL: not known, or nowhere. */
void story_service(const struct story_plans *p, const struct story_head *head,
		   const struct story_head *to, struct arena *a, struct story_choice *out);

/* Whose rule translates the source of a packet, which `choice` (NULL: none) sent to where `head` says. */
struct story_by story_masquerade(const struct story_view *view, const struct story_choice *choice,
				 const struct story_head *head, const char **why);

/* Whom a route of this prefix serves, for a packet to `dst`: a Pod, an IPBlock, a Node; and in words. */
struct story_by story_route_behind(const struct story_view *view, const struct prefix *route,
				   const struct ipaddr *dst, struct arena *a, const char **why);

/* What to do about how it ended, where that is a known mistake; NULL: it is none. */
const char *story_advice(const struct story_view *view, const struct story *s, struct arena *a);

/* The block of this node that has the address, which no longer prefix leads to: as text, and the IPBlock. NULL:
 * none. */
const char *story_block_of(const struct story_view *view, const struct ipaddr *ip, const char *node,
			   struct arena *a, struct story_by *block);
