// SPDX-License-Identifier: Apache-2.0
/* One leg's facts as hops, in the order in which its kernel told them.
 *
 * A packet's header is known where it comes in, goes out and where a base chain begins. A header that
 * differs from the last one says that something translated it between: that is a hop, and who did it
 * follows from what Services and pools say. A route is asked for after the destination was translated
 * and before the next header shows it, so it waits for that header.
 *
 * A device is told once: a bridge passes a packet to its own device on the way in and from it on the
 * way out, so of several in a row the first one in and the last one out count. What a pod's host
 * link does is told by the pod's end, if that was seen. */
#include "core/trace/join_state.h"

#include "core/route/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

/* ---- hops */

struct story_hop *walk_last(const struct walk *w, enum story_direction direction)
{
	uint32_t n = w->story->hops.n;

	return n && w->story->hops.v[n - 1].direction == direction ? &w->story->hops.v[n - 1]
								   : NULL;
}

static bool make_room(struct walk *w)
{
	struct story_hop *more;

	if (w->story->hops.n < w->cap)
		return true;
	more = arena_array(w->a, w->cap ? 2 * (size_t)w->cap : 32, sizeof(*more));
	if (!more)
		return false;
	if (w->story->hops.n)
		memcpy(more, w->story->hops.v, w->story->hops.n * sizeof(*more));
	w->story->hops.v = more;
	w->cap = w->cap ? 2 * w->cap : 32;
	return true;
}

struct story_hop *walk_hop(struct walk *w, enum story_step step, const struct sight *s)
{
	struct story_hop *h;

	if (!make_room(w))
		return NULL;
	h = &w->story->hops.v[w->story->hops.n++];
	*h = (struct story_hop){ .direction = w->leg->direction,
				 .step = (uint8_t)step,
				 .node = w->leg->node,
				 .netns = s->o->in,
				 .device = s->o->device,
				 .before = w->head,
				 .after = s->head.src.family ? s->head : w->head,
				 .since = s->o->at >= w->at && w->at != WALK_NO_TIME
						  ? s->o->at - w->at
						  : -1 };
	w->at = s->o->at > w->at ? s->o->at : w->at; /* a route is told late */
	return h;
}

/* ---- translation */

static void redirected(struct walk *w, const struct sight *s)
{
	struct story_head to = w->head;
	struct story_plans plans;
	struct story_hop *h;
	struct err e;

	to.dst = s->head.dst;
	to.dport = s->head.dport;
	if (story_plans_make(w->view, w->leg->node, w->a, &plans, &e))
		return;
	story_service(&plans, &w->head, &to, w->a, &w->choice);
	h = walk_hop(w, STORY_SERVICE, s);
	if (!h)
		return;
	h->device = NULL;
	h->after = to;
	h->by = w->choice.by.kind ? w->choice.by : w->nat;
	h->behind = w->choice.behind;
	h->why = w->choice.why;
	w->head = to;
}

static void masqueraded(struct walk *w, const struct sight *s)
{
	struct story_hop *h = walk_hop(w, STORY_SNAT, s);
	struct story_head to = w->head;

	to.src = s->head.src;
	to.sport = s->head.sport;
	if (!h)
		return;
	h->device = NULL;
	h->after = to;
	h->by = story_masquerade(w->view, w->choice.by.kind ? &w->choice : NULL, &w->head, &h->why);
	if (h->by.kind == STORY_BY_NONE)
		h->by = w->nat;
	w->head = to;
}

const struct story_hop *walk_translated(const struct walk *w, enum story_step step)
{
	for (uint32_t i = 0; i < w->story->hops.n; i++) {
		const struct story_hop *h = &w->story->hops.v[i];

		if (h->direction == STORY_REQUEST && h->step == step && h->node &&
		    !strcmp(h->node, w->leg->node))
			return h;
	}
	return NULL;
}

/* Of a reply: a destination that changes is the request's source again, a source its destination. By
 * whom, the request's hops say. */
static void restored(struct walk *w, const struct sight *s, bool dst)
{
	const struct story_hop *was = walk_translated(w, dst ? STORY_SNAT : STORY_SERVICE);
	struct story_hop *h = walk_last(w, STORY_REPLY);

	/* To the node itself it is undone in two hooks. */
	if (h && h->step == STORY_UNTRANSLATE && same_text(h->node, w->leg->node)) {
		h->after = s->head;
		return;
	}
	h = walk_hop(w, STORY_UNTRANSLATE, s);
	if (!h)
		return;
	h->device = NULL;
	if (!was)
		was = walk_translated(w, dst ? STORY_SERVICE : STORY_SNAT);
	if (was)
		h->by = was->by;
}

/* What the header shows that came since the last one. */
static void compare(struct walk *w, const struct sight *s)
{
	bool dst, src;

	if (!s->head.src.family)
		return;
	dst = !addr_eq(&w->head.dst, &s->head.dst) || w->head.dport != s->head.dport;
	src = !addr_eq(&w->head.src, &s->head.src) || w->head.sport != s->head.sport;
	if (w->head.src.family && w->head.proto == s->head.proto && (dst || src)) {
		if (w->leg->direction == STORY_REPLY) {
			restored(w, s, dst);
		} else {
			if (dst)
				redirected(w, s);
			if (src)
				masqueraded(w, s);
		}
	}
}

/* ---- routes */

/* Asked for where this packet goes? Kernels ask for its source too, to judge by where it came. */
static bool leads_there(const struct sight *s, const struct ipaddr *dst)
{
	const struct trace_observation *o = s->o;

	if (o->head.dst.family)
		return addr_eq(&o->head.dst, dst);
	return o->route->prefix.addr.family && prefix_has(&o->route->prefix, dst);
}

static const struct sight *asked_route(struct walk *w)
{
	const struct sight *found = NULL;

	for (uint32_t i = 0; i < w->n_routes; i++)
		if (leads_there(w->routes[i], &w->head.dst))
			found = w->routes[i];
	w->n_routes = 0;
	return found;
}

static struct story_by by_route(const struct trace_route *r, struct arena *a)
{
	char text[PREFIX_TEXT], via[ADDR_TEXT];
	struct story_by by = { .kind = STORY_BY_ROUTE };
	bool unicast = !r->type || !strcmp(r->type, "unicast") || !strcmp(r->type, "local");

	by.name = r->prefix.addr.family ? arena_strdup(a, prefix_str(&r->prefix, text)) : NULL;
	if (r->error) /* what the kernel says of a blackhole */
		by.rule = same_text(r->error, "Invalid argument") ? "blackhole" : r->error;
	else if (!unicast)
		by.rule = r->type;
	else if (r->via.family)
		by.rule = arena_printf(a, "via %s dev %s", addr_str(&r->via, via),
				       r->device ? r->device : "-");
	else if (r->device)
		by.rule = arena_printf(a, "dev %s", r->device);
	return by;
}

/* Asked for again on this visit, as for a neighbour's sake, or for an error about it? */
static bool is_told(const struct walk *w, const struct story_by *route)
{
	for (uint32_t i = w->began; i < w->story->hops.n; i++)
		if (w->story->hops.v[i].step == STORY_ROUTE &&
		    story_by_same(&w->story->hops.v[i].by, route))
			return true;
	return false;
}

/* Tells of the route that was asked for, now that it is known where the packet goes. */
static void flush_route(struct walk *w)
{
	const struct sight *s = asked_route(w);
	const struct trace_route *r;
	struct story_by by;
	struct story_hop *h;

	if (!s)
		return;
	r = s->o->route;
	by = by_route(r, w->a);
	if (is_told(w, &by))
		return;
	h = walk_hop(w, STORY_ROUTE, s);
	if (!h)
		return;
	h->device = r->device;
	h->mtu = r->mtu > 0 ? (uint32_t)r->mtu : 0;
	h->before = h->after = w->head;
	h->by = by;
	h->behind = story_route_behind(w->view, &r->prefix, &w->head.dst, w->a, &h->why);
	if (r->told)
		h->why = h->why ? arena_printf(w->a, "%s, %s", h->why, r->told) : r->told;
	if (r->error && !h->by.name)
		h->by.name = story_block_of(w->view, &w->head.dst, w->leg->node, w->a, &h->behind);
}

static void route(struct walk *w, const struct sight *s)
{
	const struct story_hop *last = walk_last(w, w->leg->direction);

	if (last && last->step == STORY_LEAVE_NODE)
		return; /* another node's, of the same kernel */
	if (s->o->in || !s->o->route || (!s->o->route->prefix.addr.family && !s->o->route->error))
		return;
	if (w->n_routes == WALK_ROUTES) /* the oldest is of no use */
		memmove(w->routes, w->routes + 1, --w->n_routes * sizeof(*w->routes));
	w->routes[w->n_routes++] = s;
}

/* ---- devices */

/* The next sight of a device in this leg. */
static const struct sight *next_device(const struct walk *w, const struct sight *s)
{
	for (s++; s < w->leg->v + w->leg->n; s++)
		if (s->o->kind == FACT_DEV_IN || s->o->kind == FACT_DEV_OUT)
			return s;
	return NULL;
}

/* Whose host link is it? */
struct story_by walk_linked_pod(const struct walk *w, const char *device)
{
	size_t n;
	const struct object *const *all = cluster_all(w->view->cluster, KIND_WORKLOADENDPOINT, &n);

	for (size_t i = 0; device && i < n; i++) {
		const struct workload_endpoint *e = all[i]->body;

		if (same_text(e->spec.hostInterface, device) &&
		    same_text(e->spec.node, w->leg->node))
			return (struct story_by){ STORY_BY_POD, e->meta.namespace,
						  e->spec.pod ? e->spec.pod : e->meta.name, NULL };
	}
	return (struct story_by){ .kind = STORY_BY_NONE };
}

static void came_in(struct walk *w, const struct sight *s)
{
	bool out_of_tunnel = w->head.encap != STORY_PLAIN && s->head.encap == STORY_PLAIN;
	struct story_hop *h;

	if (join_is_loopback(s->o)) {
		/* it stays where it is */
	} else if (s->o->in) {
		walk_hop(w, STORY_ENTER_POD, s);
	} else if (out_of_tunnel && w->entered) {
		walk_hop(w, STORY_TUNNEL_OUT, s);
	} else if (!w->entered) {
		const char *between = join_between(w, s);

		h = walk_hop(w, STORY_ENTER_NODE, s);
		if (h && h->before.src.family == 0)
			h->before = h->after;
		if (h)
			h->behind = walk_linked_pod(w, s->o->device);
		if (h)
			h->why = between;
	}
	w->entered = true;
}

static struct story_hop *into_tunnel(struct walk *w, const struct sight *s,
				     const struct sight *next)
{
	struct story_hop *h = walk_hop(w, STORY_TUNNEL_IN, s);

	if (!h)
		return NULL;
	h->after = next->head;
	h->behind = story_owner(w->view, &next->head.outer_dst);
	w->head = next->head;
	return h;
}

/* Into a tunnel and not out by any device: how the tunnel's packet looks its end may show. */
static void got_no_further(struct walk *w, const struct sight *s)
{
	const struct sight *next = s + 1, *end = w->leg->v + w->leg->n;

	while (next < end && next->head.encap == STORY_PLAIN)
		next++;
	if (next < end)
		into_tunnel(w, s, next);
	else
		walk_hop(w, STORY_TUNNEL_IN, s);
}

/* IP-in-IP by programs (bpf/ipip.bpf.c): tunl0 hands on before anybody is told that it sends, so what the uplink
 * sends is in the tunnel already. The route says by which device. */
static void tunnel_unseen(struct walk *w, const struct sight *s)
{
	const struct story_hop *last = walk_last(w, w->leg->direction);
	const char *device = last && last->step == STORY_ROUTE ? last->device : ROUTE_IPIP_DEV;
	struct story_hop *h = into_tunnel(w, s, s);

	if (h)
		h->device = device;
}

static void went_out(struct walk *w, const struct sight *s)
{
	const struct sight *next = next_device(w, s);
	bool again = next && next->o->kind == FACT_DEV_OUT && same_text(next->o->in, s->o->in);
	struct story_hop *h;

	w->entered = false;
	if (s->o->in) {
		if (!again && !join_is_loopback(s->o))
			walk_hop(w, STORY_LEAVE_POD, s);
		return;
	}
	flush_route(w);
	if (w->head.encap == STORY_PLAIN && s->head.encap == STORY_IPIP)
		tunnel_unseen(w, s);
	if (again && next->head.encap != s->head.encap) {
		into_tunnel(w, s, next);
	} else if (same_text(s->o->device, ROUTE_VXLAN_DEV) ||
		   same_text(s->o->device, ROUTE_IPIP_DEV)) {
		got_no_further(w, s);
	} else if (walk_linked_pod(w, s->o->device).kind != STORY_BY_NONE) {
		if (next) /* by the pod's end */
			return;
		h = walk_hop(w, STORY_ENTER_POD, s);
		if (h)
			h->behind = walk_linked_pod(w, s->o->device);
	} else if (!again && !join_is_loopback(s->o)) {
		walk_hop(w, STORY_LEAVE_NODE, s);
	}
}

/* ---- the leg */

static void verdict(struct walk *w, const struct sight *s)
{
	flush_route(w);
	join_rule(w, s);
}

/* Before the router sees a packet, rules ask for routes (`fib`), and a rejection asks for the way back. */
static bool is_asked_by_nft(const struct walk *w, const struct sight *s)
{
	bool ruled = s->o->table || same_text(s->o->reason, "NETFILTER_DROP");

	return ruled && same_text(w->hook, "prerouting");
}

static void step(struct walk *w, const struct sight *s)
{
	if (s->o->kind == FACT_CHAIN)
		w->hook = s->o->hook;
	/* In input it is where it goes: that it is the node's own tells nothing. */
	if (is_asked_by_nft(w, s) || same_text(w->hook, "input"))
		w->n_routes = 0;
	if (s != w->leg->v)
		compare(w, s);
	switch (s->o->kind) {
	case FACT_DEV_IN:
		came_in(w, s);
		break;
	case FACT_DEV_OUT:
		went_out(w, s);
		break;
	case FACT_ROUTE:
		route(w, s);
		break;
	case FACT_RULE:
	case FACT_VERDICT:
		verdict(w, s);
		break;
	case FACT_DROP:
		flush_route(w);
		join_drop(w, s);
		break;
	case FACT_DELIVER:
		join_deliver(w, s);
		break;
	default:
		break;
	}
	if (s->head.src.family)
		w->head = s->head;
}

void join_walk(struct walk *w, const struct leg *leg)
{
	const struct story_hop *last =
		w->story->hops.n ? &w->story->hops.v[w->story->hops.n - 1] : NULL;

	w->leg = leg;
	w->began = w->story->hops.n;
	w->n_routes = 0;
	w->hook = NULL;
	w->entered = false;
	if (!last || !last->node || strcmp(last->node, leg->node) != 0)
		w->at = WALK_NO_TIME; /* another clock */
	for (uint32_t i = 0; i < leg->n; i++)
		step(w, &leg->v[i]);
}
