/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: what the steps of a join hand to each other. */
#pragma once
#include "core/trace/join.h"

/* An observation, judged. */
struct sight {
	const struct trace_observation *o;
	struct story_head head; /* src.family 0: not known */
	uint8_t direction;
};

/* What one node saw of one direction, in its kernel's order, of one journey: from where it came to the node
 * until it left it. Who comes back makes another. */
struct leg {
	const char *node;
	uint8_t direction;
	struct sight *v; /* at least one */
	uint32_t n;
};

struct legs {
	struct leg *v;
	uint32_t n;
};

/* Where a packet of one journey comes by but once. */
bool join_is_station(const struct trace_observation *o);
/* What goes by it stays where it is. */
bool join_is_loopback(const struct trace_observation *o);
/* Of all nodes that saw something. 0 or -ENOMEM. */
int join_sights(const struct packet_trace *t, struct arena *a, struct legs *out);
/* Puts them into the order of causes, each direction by itself, the request first. */
void join_order(const struct packet_trace *t, struct legs *legs);
#define WALK_ROUTES  8
#define WALK_NO_TIME INT64_MIN

/* State of the walk through all legs. */
struct walk {
	const struct story_view *view;
	const struct packet_trace *trace;
	struct arena *a;
	struct story *story;
	uint32_t cap;               /* of the story's hops */
	struct story_head head;     /* as it was last seen; src.family 0: not yet */
	struct story_choice choice; /* what a Service did to the request */
	struct story_by nat;        /* whose rule translated, where it is none of ours */
	/* Of the leg: */
	const struct leg *leg;
	uint32_t began; /* its first hop */
	const struct sight
		*routes[WALK_ROUTES]; /* asked for, and to be told when it is known what for */
	uint32_t n_routes;
	const char *hook; /* whose chains it met last; NULL: none */
	bool entered;     /* it came in by a device, and was not sent on yet */
	int64_t at;       /* of the last hop there; or WALK_NO_TIME */
};

/* Adds the leg's hops. */
void join_walk(struct walk *w, const struct leg *leg);
/* Before the reply's first leg: how the request ended, where that was not seen, and who answers. */
void join_answered(struct walk *w, const struct leg *reply);

/* One sight that may end the way, or tells of a rule that let it through. */
void join_rule(struct walk *w, const struct sight *s);
void join_drop(struct walk *w, const struct sight *s);
void join_deliver(struct walk *w, const struct sight *s);

/* The next hop, with the walk's node, direction and head; what is added has since set. NULL: no memory. */
struct story_hop *walk_hop(struct walk *w, enum story_step step, const struct sight *s);
/* The pod whose host link it is; kind NONE: none. */
struct story_by walk_linked_pod(const struct walk *w, const char *device);
/* The last hop of this direction; NULL: none. */
struct story_hop *walk_last(const struct walk *w, enum story_direction direction);

/* The request's hop that translated it on the leg's node; NULL: none did. */
const struct story_hop *walk_translated(const struct walk *w, enum story_step step);

/* size.c. Is it the end of a packet that was too big? Then that is told. */
bool join_too_big(struct walk *w, const struct sight *s);
/* `h` is refused by what is seen: says how long it might have been, where that is why. */
void join_told_too_big(struct walk *w, const struct sight *s, struct story_hop *h);
/* At the very end: whether who sent it was told. */
void join_whether_told(struct walk *w, struct story_hop *end);

/* join_gap.c. What is known of the way from the node that sent it to this one, in words; NULL: nothing. Before the
 * hop of its coming in is told. */
const char *join_between(const struct walk *w, const struct sight *s);
/* Is the address in none of the node's subnets? False also where nobody knows them. */
bool join_is_no_neighbour(const struct walk *w, const char *node, const struct ipaddr *ip);
/* join_icmp.c. Any ICMP but an echo's answer? */
bool join_is_error(const struct sight *s);
/* Is it about the tunnel's packet that the walk's is in? */
bool join_is_of_tunnel(const struct walk *w, const struct sight *s);
/* `h` is the end that it tells of: by whom and why. */
void join_error_elsewhere(struct walk *w, const struct sight *s, struct story_hop *h);

/* A drop that is none: freed after use, with a reason. */
bool join_is_benign(const struct packet_trace *t, const struct sight *s);
