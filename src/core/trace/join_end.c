// SPDX-License-Identifier: Apache-2.0
/* Where a packet's way ends, and at whom: rules that drop or reject, packets that the kernel frees for a
 * reason, sockets that take them. Ours is what table `inet fairlead` has, whose rules name the policy in
 * their comment (docs/abi.md), or follow from a Service; everybody else's rule is told as it is. */
#include "core/policy/judge.h"
#include "core/trace/join_state.h"
#include "core/trace/words.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool starts(const char *s, const char *with)
{
	return s && !strncmp(s, with, strlen(with));
}

static bool is_ours(const struct trace_observation *o)
{
	return o->table && !strcmp(o->table, "inet fairlead");
}

static bool is_marker(const struct trace_observation *o)
{
	return starts(o->table, "inet fairlead-trace-");
}

/* "shop/db ingress[0].from[1]" or "default deny by shop/a, shop/b". */
static bool parse_policy(const char *comment, struct arena *a, struct story_by *out)
{
	bool denial = starts(comment, POLICY_DENIAL);
	const char *name = denial ? comment + strlen(POLICY_DENIAL) : comment;
	const char *slash = name ? strchr(name, '/') : NULL, *end;

	if (!slash)
		return false;
	end = slash + strcspn(slash, denial ? "," : " ");
	if (!denial && !starts(end, " ingress[") && !starts(end, " egress["))
		return false;
	*out = (struct story_by){ STORY_BY_POLICY, arena_strndup(a, name, (size_t)(slash - name)),
				  arena_strndup(a, slash + 1, (size_t)(end - slash - 1)),
				  denial ? comment : end + 1 };
	return true;
}

static struct story_by by_rule(const struct trace_observation *o)
{
	return (struct story_by){ STORY_BY_NFT, o->table, o->chain,
				  o->rule      ? o->rule
				  : o->comment ? o->comment
					       : "policy drop" };
}

static void end_here(struct walk *w, enum story_step step, const struct sight *s,
		     struct story_by by, const char *why)
{
	struct story_hop *h = walk_hop(w, step, s);

	if (!h)
		return;
	h->by = by;
	h->why = why;
}

/* What no endpoint takes is refused by the rule of a Service, which has no name of its own. */
static bool refused_by_service(struct walk *w, const struct sight *s, enum story_step step)
{
	struct story_choice c;
	struct story_plans plans;
	struct err e;

	if (!starts(s->o->chain, "service") ||
	    story_plans_make(w->view, w->leg->node, w->a, &plans, &e))
		return false;
	story_service(&plans, &w->head, NULL, w->a, &c);
	if (c.verdict.action != SVC_REJECT && c.verdict.action != SVC_DROP)
		return false;
	end_here(w, step, s, c.by, c.why);
	return true;
}

/* By whom the pod is isolated that this packet says it is connected with: those who would judge its
 * connection, which that pod or the other one began. */
static struct story_by by_midway(struct walk *w, enum policy_type type)
{
	const struct policy_flow begun = { .src = w->head.dst,
					   .dst = w->head.src,
					   .proto = PROTO_TCP,
					   .from = story_pod(w->view, &w->head.dst),
					   .to = story_pod(w->view, &w->head.src) };
	struct story_by by = { STORY_BY_POLICY, NULL, NULL, POLICY_MIDWAY };
	struct policy_half half;
	struct err e;

	if (policy_judge_half(w->view->cluster, &begun, type, w->a, &half, &e) || !half.isolating.n)
		return by; /* they are gone */
	by.ns = half.isolating.v[0]->meta.namespace;
	by.name = half.isolating.v[0]->meta.name;
	by.rule = policy_midway_text(half.isolating.v, half.isolating.n, w->a);
	return by;
}

static void dropping_rule(struct walk *w, const struct sight *s)
{
	enum story_step step =
		s->o->rule && strstr(s->o->rule, "reject") ? STORY_REFUSE : STORY_DROP;
	bool egress = strstr(s->o->chain ? s->o->chain : "", "egress");
	struct story_by by;

	if (is_ours(s->o) && s->o->comment && !strcmp(s->o->comment, POLICY_MIDWAY)) {
		end_here(
			w, step, s, by_midway(w, egress ? POLICY_EGRESS : POLICY_INGRESS),
			egress ? "nothing begins without SYN or INIT at a pod that is isolated for "
				 "egress"
			       : "nothing begins without SYN or INIT at a pod that is isolated for "
				 "ingress");
		return;
	}
	if (is_ours(s->o) && parse_policy(s->o->comment, w->a, &by)) {
		end_here(w, step, s, by,
			 story_denied_why(egress, w->hook && !strcmp(w->hook, "input")));
		return;
	}
	if (!is_ours(s->o) || !refused_by_service(w, s, step))
		end_here(w, step, s, by_rule(s->o), NULL);
}

static bool is_nat(const char *rule)
{
	return rule && (strstr(rule, "dnat ") || strstr(rule, "snat ") ||
			strstr(rule, "masquerade") || strstr(rule, "redirect"));
}

void join_rule(struct walk *w, const struct sight *s)
{
	bool rejects = s->o->rule && strstr(s->o->rule, "reject");
	bool drops = s->o->verdict && !strcmp(s->o->verdict, "drop");
	struct story_by by;
	struct story_hop *h;

	if (is_marker(s->o))
		return;
	if (rejects || drops) {
		dropping_rule(w, s);
	} else if (!is_ours(s->o) && is_nat(s->o->rule)) {
		w->nat = by_rule(s->o);
	} else if (is_ours(s->o) && parse_policy(s->o->comment, w->a, &by)) {
		h = walk_hop(w,
			     starts(by.rule, "egress") ? STORY_POLICY_EGRESS : STORY_POLICY_INGRESS,
			     s);
		if (h)
			h->by = by;
	}
}

/* ---- the kernel's own reasons */

/* Whose socket it is: of the namespace's pod; of what comes in by a pod's host link, that pod's. */
static struct story_by receiver(const struct walk *w, const struct sight *s)
{
	const char *slash = s->o->in ? strchr(s->o->in, '/') : NULL;
	struct story_by pod = { .kind = STORY_BY_NONE };

	if (s->o->kind == FACT_DEV_IN)
		pod = walk_linked_pod(w, s->o->device);
	if (slash)
		return (struct story_by){ STORY_BY_POD,
					  arena_strndup(w->a, s->o->in, (size_t)(slash - s->o->in)),
					  slash + 1, NULL };
	return pod.kind ? pod : (struct story_by){ STORY_BY_NODE, NULL, w->leg->node, NULL };
}

static const char *nothing_listens(const struct walk *w, const struct story_head *h)
{
	const char *proto = h->proto == IPPROTO_UDP    ? "UDP"
			    : h->proto == IPPROTO_SCTP ? "SCTP"
						       : "TCP";

	return arena_printf(w->a, "nothing listens on %s port %u", proto, h->dport);
}

/* The last route of this leg, if nothing came of it. */
static const struct story_hop *last_route(const struct walk *w)
{
	const struct story_hop *h = walk_last(w, w->leg->direction);

	return h && h->step == STORY_ROUTE && h->node && !strcmp(h->node, w->leg->node) ? h : NULL;
}

/* The outer packet's route is not seen: who is in front of another subnet is not known. */
static bool is_behind_router(const struct walk *w)
{
	const struct story_hop *h = walk_last(w, w->leg->direction);

	return h && h->step == STORY_TUNNEL_IN && h->after.encap != STORY_PLAIN &&
	       join_is_no_neighbour(w, w->leg->node, &h->after.outer_dst);
}

static const char *next_hop(const struct walk *w)
{
	char text[ADDR_TEXT];

	for (uint32_t i = w->story->hops.n; i-- > 0;) {
		const struct story_hop *h = &w->story->hops.v[i];
		const char *rule = h->step == STORY_ROUTE && h->by.rule ? h->by.rule : "";

		if (h->step == STORY_TUNNEL_IN && h->after.encap != STORY_PLAIN)
			return arena_strdup(w->a, addr_str(&h->after.outer_dst, text));
		if (starts(rule, "via "))
			return arena_strndup(w->a, rule + 4, strcspn(rule + 4, " "));
	}
	return arena_strdup(w->a, addr_str(&w->head.dst, text));
}

static bool is_dead_end(const struct story_hop *route)
{
	const char *rule = route && route->by.rule ? route->by.rule : "";

	return route && !starts(rule, "via ") && !starts(rule, "dev ");
}

/* What the probe got is no loss, whatever the kernel calls the end of the buffer: an RST that did its
 * work, an echo's answer, the rest of a connection that was made. */
bool join_is_benign(const struct packet_trace *t, const struct sight *s)
{
	const char *reason = s->o->reason ? s->o->reason : "", *place = s->o->place;

	if (starts(place, "ping_rcv") || starts(place, "icmp_rcv") || starts(place, "icmpv6_rcv"))
		return true;
	if (t->status.probe.result == TRACE_CONNECTED)
		return true;
	if (t->status.probe.result == TRACE_REFUSED && s->direction == STORY_REPLY)
		return true;
	return !strcmp(reason, "NOT_DROPPED_YET") || !strcmp(reason, "CONSUMED");
}

/* A node that shares its kernel with the next one hears what becomes of a packet there. Of what left by
 * the uplink only its queue is this node's. */
static bool is_elsewhere(const struct story_hop *last, const char *reason)
{
	return last && last->step == STORY_LEAVE_NODE && !starts(reason, "QDISC_") &&
	       !starts(reason, "TC_") && !starts(reason, "DEV_") && !starts(reason, "FULL_RING");
}

void join_drop(struct walk *w, const struct sight *s)
{
	const struct story_hop *last = walk_last(w, w->leg->direction), *route;
	const char *reason = s->o->reason ? s->o->reason : "NOT_SPECIFIED";

	if (join_is_benign(w->trace, s) || is_elsewhere(last, reason) ||
	    (last && (last->step == STORY_DROP || last->step == STORY_REFUSE)))
		return;
	if (join_too_big(w, s))
		return;
	route = last_route(w);
	if (!strcmp(reason, "NO_SOCKET"))
		end_here(w, STORY_REFUSE, s, receiver(w, s), nothing_listens(w, &w->head));
	else if (starts(reason, "NEIGH_"))
		end_here(w, STORY_DROP, s,
			 (struct story_by){ STORY_BY_NEIGHBOUR, NULL, next_hop(w), reason },
			 is_behind_router(w) ? "the router towards that address did not answer"
					     : "nobody answered for that address");
	else if (is_dead_end(route))
		end_here(w, STORY_DROP, s, route->by, route->why);
	else
		end_here(w, STORY_DROP, s,
			 (struct story_by){ STORY_BY_KERNEL, NULL, reason, s->o->place }, NULL);
}

/* A buffer is used up also where the kernel sends on a copy of it. */
static bool goes_on(const struct walk *w, const struct sight *s)
{
	for (s++; s < w->leg->v + w->leg->n; s++)
		if (join_is_station(s->o))
			return true;
	return false;
}

void join_deliver(struct walk *w, const struct sight *s)
{
	const struct story_hop *last = walk_last(w, w->leg->direction);
	int64_t at = w->at;
	struct story_hop *h;

	if (!w->entered || goes_on(w, s) || (last && last->step >= STORY_DELIVER))
		return;
	h = walk_hop(w, STORY_DELIVER, s);
	if (!h)
		return;
	h->by = receiver(w, s);
	if (starts(s->o->place, "skb_defer_free")) { /* long after a socket had it */
		h->since = -1;
		w->at = at;
	}
}

/* An answer that comes in by the network is somebody's of whom no node tells. */
static bool is_from_elsewhere(const struct walk *w, const struct sight *s)
{
	return s->o->kind == FACT_DEV_IN && !s->o->in &&
	       walk_linked_pod(w, s->o->device).kind == STORY_BY_NONE;
}

/* At who answers, with what its answer shows. */
static struct story_hop *answerer_hop(struct walk *w, enum story_step step, const struct sight *s)
{
	struct story_hop *h = walk_hop(w, step, s);

	if (!h)
		return NULL;
	h->device = NULL;
	h->since = -1;
	if (is_from_elsewhere(w, s)) {
		h->node = NULL;
		h->by = story_owner(w->view, &s->head.src);
		w->at = WALK_NO_TIME;
	} else {
		h->by = receiver(w, s);
	}
	return h;
}

/* The answer says that the request came: what was not seen of it is told. */
void join_answered(struct walk *w, const struct leg *reply)
{
	const struct sight *s = &reply->v[0];
	const struct story_hop *last = walk_last(w, STORY_REQUEST);
	bool rst = s->head.flags && strchr(s->head.flags, 'R'), refuses = rst || join_is_error(s);
	enum story_step end = !refuses                  ? STORY_DELIVER
			      : join_is_of_tunnel(w, s) ? STORY_DROP
							: STORY_REFUSE;
	struct story_hop *h;

	if (last && last->step < STORY_DELIVER) {
		h = answerer_hop(w, end, s);
		if (!h)
			return;
		h->direction = STORY_REQUEST;
		h->before = h->after = w->head;
		if (rst)
			h->why = nothing_listens(w, &w->head);
		else if (refuses)
			join_error_elsewhere(w, s, h);
	}
	last = walk_last(w, STORY_REQUEST);
	if (refuses || (last && last->step != STORY_DELIVER))
		return;
	w->head = s->head;
	answerer_hop(w, STORY_ANSWER, s);
}
