// SPDX-License-Identifier: Apache-2.0
/* The walk. On a node the steps come in the kernel's order: Services (dstnat), route, policies of both
 * ends (forward), source (postrouting), device. A node's own packets and those to itself are never
 * forwarded, so that no policy judges them, but for queries to the node's DNS (input); an answer is judged and translated by nobody, as it
 * belongs to a connection that is known. */
#include "core/trace/predict_state.h"

#include "base/text.h"
#include "core/trace/words.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* ---- parts */

struct place *predict_place(struct predictor *p, const char *node)
{
	struct place *at;

	for (uint32_t i = 0; i < p->n_places; i++)
		if (text_eq(p->places[i]->name, node))
			return p->places[i];
	at = arena_alloc(p->a, sizeof(*at));
	if (!at)
		predict_fail(p, err_set(p->e, -ENOMEM, "no memory"));
	else if (!predict_fail(p, place_make(p->view, node, p->neighbours, p->a, at, p->e)) &&
		 p->n_places < PATH_NODES)
		p->places[p->n_places++] = at;
	return p->rc ? NULL : at;
}

/* ---- where a packet arrives */

static void answer(struct predictor *p, struct path *w, const char *node, const struct pod *pod);

static void arrive(struct predictor *p, struct path *w, const char *node, const struct pod *pod)
{
	struct story_hop *h;

	if (pod) {
		path_pod_hop(w, STORY_ENTER_POD, node, pod, p->view, p->a);
		h = path_pod_hop(w, STORY_DELIVER, node, pod, p->view, p->a);
	} else {
		h = path_hop(w, STORY_DELIVER, node, p->a);
	}
	if (h && pod)
		h->by = path_by_pod(pod);
	else if (h && strcmp(node, PREDICT_OUTSIDE) != 0)
		h->by = (struct story_by){ STORY_BY_NODE, NULL, node, NULL };
	if (w->direction == STORY_REQUEST) {
		answer(p, w, node, pod);
		return;
	}
	/* Who asked has the address that it asked from, and is answered by the one that it asked. */
	if (addr_eq(&w->head.dst, &p->q->head.src) || !p->q->from)
		w->story.verdict = STORY_ANSWERED;
	else
		w->story.verdict = STORY_LOST;
	predict_tell(p, w);
}

/* Where an answer from outside comes in: at whom it is addressed to. */
static const char *entrance(const struct predictor *p, const struct ipaddr *dst)
{
	const struct pod *pod = predict_pod(p, dst);
	struct story_by owner = story_owner(p->view, dst);

	if (pod && pod->spec.nodeName && *pod->spec.nodeName)
		return pod->spec.nodeName;
	return owner.kind == STORY_BY_NODE ? owner.name : p->q->node;
}

void predict_enter_node(struct predictor *p, struct path *w, const char *node,
			const struct pod *out_of)
{
	struct story_hop *h = path_hop(w, STORY_ENTER_NODE, node, p->a);
	const struct workload_endpoint *link;
	const struct place *at = predict_place(p, node);

	if (h && out_of) {
		link = place_link(p->view, out_of);
		h->behind = path_by_pod(out_of);
		h->device = link ? link->spec.hostInterface : NULL;
	} else if (h && at && at->self.uplink[0]) {
		h->device = at->self.uplink;
	}
}

void predict_leave_pod(struct predictor *p, struct path *w, const char *node, const struct pod *pod)
{
	struct story_hop *h = path_pod_hop(w, STORY_LEAVE_POD, node, pod, p->view, p->a);
	const struct place *at = predict_place(p, node);

	if (h && at)
		h->mtu = at->pods_mtu;
	predict_enter_node(p, w, node, pod);
}

static void answer(struct predictor *p, struct path *w, const char *node, const struct pod *pod)
{
	bool outside = !strcmp(node, PREDICT_OUTSIDE);
	struct story_hop *h;

	w->direction = STORY_REPLY;
	w->visits = 0;
	w->head = story_head_inverse(&w->head);
	w->likely |= outside || w->head.proto == IPPROTO_UDP;
	h = pod ? path_pod_hop(w, STORY_ANSWER, node, pod, p->view, p->a)
		: path_hop(w, STORY_ANSWER, node, p->a);
	if (h && pod)
		h->by = path_by_pod(pod);
	else if (h && !outside)
		h->by = (struct story_by){ STORY_BY_NODE, NULL, node, NULL };
	if (outside) {
		node = entrance(p, &w->head.dst);
		predict_enter_node(p, w, node, NULL);
	} else if (pod) {
		predict_leave_pod(p, w, node, pod);
	}
	predict_visit(p, w, node, !outside && !pod);
}

/* ---- on a node */

static void tell_route(struct predictor *p, struct path *w, const struct place *at,
		       const struct way *way)
{
	struct story_hop *h = path_hop(w, STORY_ROUTE, at->name, p->a);
	char text[PREFIX_TEXT];

	if (!h)
		return;
	h->device = way->kind == WAY_WIRE && at->self.uplink[0] ? at->self.uplink : way->device;
	h->likely |= way->likely;
	h->mtu = way->mtu;
	h->by.kind = STORY_BY_ROUTE;
	h->by.rule = way->rule;
	if (way->route.addr.family) {
		h->by.name = arena_strdup(p->a, prefix_str(&way->route, text));
		h->behind = story_route_behind(p->view, &way->route, &w->head.dst, p->a, &h->why);
	}
	if (way->why)
		h->why = way->why;
}

static void send_on(struct predictor *p, struct path *w, const struct place *at,
		    const struct way *way)
{
	struct story_head plain = w->head, outer = w->head;
	struct story_hop *h;

	if (way->kind == WAY_TUNNEL) {
		bool ipip = !strcmp(way->device, ROUTE_IPIP_DEV);

		outer.encap = ipip ? STORY_IPIP : STORY_VXLAN;
		outer.vni = ipip ? 0 : ROUTE_VXLAN_VNI;
		outer.outer_src = way->outer_src;
		outer.outer_dst = way->outer_dst;
		h = path_hop(w, STORY_TUNNEL_IN, at->name, p->a);
		if (h) {
			h->device = way->device;
			h->behind = story_owner(p->view, &way->outer_dst);
		}
		path_become(w, h, &outer);
	}
	h = path_hop(w, STORY_LEAVE_NODE, at->name, p->a);
	if (h && at->self.uplink[0])
		h->device = at->self.uplink;
	if (!way->to) {
		w->likely = true;
		arrive(p, w, PREDICT_OUTSIDE, NULL);
		return;
	}
	predict_enter_node(p, w, way->to, NULL);
	if (way->kind == WAY_TUNNEL) {
		h = path_hop(w, STORY_TUNNEL_OUT, way->to, p->a);
		if (h)
			h->device = way->device;
		path_become(w, h, &plain);
	}
	predict_visit(p, w, way->to, false);
}

/* An endpoint of whom there is neither Pod nor block is where its slice says. */
static void follow_slice(const struct path *w, const struct place *at, struct way *way)
{
	const struct svc_endpoint *ep = w->endpoint;
	const char *node = ep && addr_eq(&ep->ip, &w->head.dst) ? ep->of->nodeName : NULL;

	if (way->kind != WAY_WIRE || way->to || !node || !*node)
		return;
	way->likely = true;
	way->route.addr.family = 0;
	way->why = "no IPBlock has the address, the EndpointSlice says its node";
	if (strcmp(node, at->name) != 0)
		way->to = node;
	else
		way->kind = WAY_HERE;
}

/* Of the route that was told last; NULL: no object says it. */
static const char *last_device(const struct path *w)
{
	return w->story.hops.n ? w->story.hops.v[w->story.hops.n - 1].device : NULL;
}

/* `came`: as it was before Services. */
static void forward(struct predictor *p, struct path *w, const struct place *at,
		    const struct story_choice *choice, const struct story_head *came,
		    bool from_self)
{
	struct way way;

	if (predict_fail(p, place_way(p->view, at, &w->head.dst, p->a, &way, p->e)))
		return;
	follow_slice(w, at, &way);
	p->doubted |= way.doubtful;
	if (way.kind != WAY_HERE)
		tell_route(p, w, at, &way);
	if (predict_too_big(p, w, at->name, way.mtu, last_device(w), from_self))
		return;
	if (way.kind == WAY_DEAD_END) {
		predict_end(p, w, STORY_DROP, at->name, w->story.hops.v[w->story.hops.n - 1].by,
			    way.why);
		return;
	}
	if (w->direction == STORY_REQUEST) {
		if (!from_self && way.kind != WAY_HERE && !predict_passes(p, w, at, &way))
			return;
		if (way.kind == WAY_HERE && !predict_passes_dns(p, w, at))
			return;
		if (way.kind != WAY_HERE)
			predict_masquerade(p, w, at, &way, choice);
		if (!story_head_same(came, &w->head))
			path_note_change(w, at->name, came);
	}
	if (p->rc)
		return;
	if (way.kind == WAY_HERE)
		arrive(p, w, at->name, NULL);
	else if (way.kind == WAY_POD)
		arrive(p, w, at->name, way.pod);
	else
		send_on(p, w, at, &way);
}

/* To this endpoint. */
static void redirect(struct predictor *p, struct path *w, const struct place *at,
		     const struct svc_endpoint *ep, bool from_self)
{
	struct story_head came = w->head, to = w->head;
	struct story_choice choice;
	struct story_hop *h;

	to.dst = ep->ip;
	to.dport = ep->port;
	story_service(&at->plans, &came, &to, p->a, &choice);
	h = path_hop(w, STORY_SERVICE, at->name, p->a);
	if (h) {
		h->by = choice.by;
		h->behind = choice.behind;
		h->why = choice.why;
	}
	path_become(w, h, &to);
	w->endpoint = ep;
	forward(p, w, at, &choice, &came, from_self);
}

static bool is_chosen(const struct predictor *p, const struct svc_endpoint *ep)
{
	return addr_eq(&p->q->chosen->dst, &ep->ip) && p->q->chosen->dport == ep->port;
}

static void each_endpoint(struct predictor *p, struct path *w, const struct place *at,
			  const struct svc_verdict *v, bool from_self)
{
	const struct svc_port *port = v->front->port;
	bool known = false;

	for (uint32_t i = 0; p->q->chosen && i < port->endpoints.n; i++)
		known |= is_chosen(p, &port->endpoints.v[i]);
	for (uint32_t i = 0; !p->rc && i < port->endpoints.n; i++) {
		const struct svc_endpoint *ep = &port->endpoints.v[i];
		struct path *one;

		if (known ? !is_chosen(p, ep) : ep->out[v->group] != SVC_IN)
			continue;
		one = arena_alloc(p->a, sizeof(*one));
		if (!one || !path_fork(w, one, p->a)) {
			predict_fail(p, err_set(p->e, -ENOMEM, "no memory"));
			return;
		}
		one->story.of *= port->n[v->group];
		redirect(p, one, at, ep, from_self);
	}
}

static void undo(struct predictor *p, struct path *w, const char *node)
{
	struct story_by by;
	const struct path_change *c = path_changed(w, node, &by);
	struct story_head to;
	struct story_hop *h;

	if (!c)
		return;
	to = story_head_inverse(&c->came);
	h = path_hop(w, STORY_UNTRANSLATE, node, p->a);
	if (h)
		h->by = by;
	path_become(w, h, &to);
}

void predict_visit(struct predictor *p, struct path *w, const char *node, bool from_self)
{
	struct place *at = predict_place(p, node);
	struct story_head came = w->head;
	struct story_choice choice;

	if (!at)
		return;
	if (++w->visits > PATH_NODES) {
		w->story.verdict = STORY_LOST;
		predict_tell(p, w);
		return;
	}
	if (w->direction == STORY_REPLY) {
		undo(p, w, node);
		forward(p, w, at, NULL, &came, from_self);
		return;
	}
	story_service(&at->plans, &w->head, NULL, p->a, &choice);
	switch ((enum svc_action)choice.verdict.action) {
	case SVC_REJECT:
		predict_end(p, w, STORY_REFUSE, node, choice.by, choice.why);
		break;
	case SVC_DROP:
		predict_end(p, w, STORY_DROP, node, choice.by, choice.why);
		break;
	case SVC_DNAT:
		each_endpoint(p, w, at, &choice.verdict, from_self);
		break;
	case SVC_PASS:
	case SVC_ACCEPT:
		forward(p, w, at, NULL, &came, from_self);
		break;
	}
}
