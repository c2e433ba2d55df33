// SPDX-License-Identifier: Apache-2.0
/* The question: where and as what the packet begins, then the walk (predict_walk.c). Where objects leave open
 * whether nodes are neighbours and it makes a difference, it is walked both ways. */
#include "core/trace/predict_state.h"

#include "core/trace/words.h"

#include <errno.h>

/* A node's own packet has the address that the route to its destination names. */
static void find_source(struct predictor *p, struct path *w)
{
	const struct place *at = predict_place(p, p->q->node);
	struct way way;

	if (!at || !place_has(p->view, at, &w->head.src))
		return;
	if (!predict_fail(p, place_way(p->view, at, &w->head.dst, p->a, &way, p->e)) &&
	    way.src.family)
		w->head.src = way.src;
}

/* What a pod sends to its own address never leaves it. */
static void within_pod(struct predictor *p, struct path *w)
{
	const struct story_question *q = p->q;

	for (int direction = STORY_REQUEST; direction <= STORY_REPLY; direction++) {
		struct story_hop *h;

		if (direction == STORY_REPLY) {
			w->direction = STORY_REPLY;
			w->head = story_head_inverse(&w->head);
			h = path_pod_hop(w, STORY_ANSWER, q->node, q->from, p->view, p->a);
			if (h)
				h->by = path_by_pod(q->from);
		}
		h = path_pod_hop(w, STORY_DELIVER, q->node, q->from, p->view, p->a);
		if (h)
			h->by = path_by_pod(q->from);
	}
	w->story.verdict = STORY_ANSWERED;
	predict_tell(p, w);
}

static bool is_too_big_for_pod(struct predictor *p, struct path *w)
{
	const struct place *at = predict_place(p, p->q->node);
	struct story_hop *v;

	if (!at || !w->story.hops.n ||
	    !predict_too_big(p, w, at->name, at->pods_mtu, STORY_OWN_DEVICE, true))
		return false;
	v = w->story.hops.v;
	v[w->story.hops.n - 1].netns = v[0].netns;
	return true;
}

static void start(struct predictor *p)
{
	const struct story_question *q = p->q;
	struct path *w = arena_alloc(p->a, sizeof(*w));

	if (!w) {
		predict_fail(p, err_set(p->e, -ENOMEM, "no memory"));
		return;
	}
	w->head = q->head;
	w->story.weight = w->story.of = 1;
	p->n_places = 0;
	if (q->from) {
		path_pod_hop(w, STORY_SEND, q->node, q->from, p->view, p->a);
		if (addr_eq(&q->head.src, &q->head.dst)) {
			within_pod(p, w);
			return;
		}
		if (is_too_big_for_pod(p, w))
			return;
		predict_leave_pod(p, w, q->node, q->from);
	} else if (q->outside) {
		path_hop(w, STORY_SEND, PREDICT_OUTSIDE, p->a);
		predict_enter_node(p, w, q->node, NULL);
	} else {
		find_source(p, w);
		path_hop(w, STORY_SEND, q->node, p->a);
	}
	if (!p->rc)
		predict_visit(p, w, q->node, !q->from && !q->outside);
}

int story_predict(const struct story_view *view, const struct story_question *q, struct arena *a,
		  struct stories *out, struct err *e)
{
	struct predictor p = { .view = view, .q = q, .a = a, .e = e, .neighbours = true };

	start(&p);
	if (!p.rc && p.doubted) {
		p.neighbours = false;
		start(&p);
		for (uint32_t i = 0; i < p.out.list.n; i++)
			p.out.list.v[i].of *= 2;
	}
	for (uint32_t i = 0; !p.rc && i < p.out.list.n; i++) {
		struct story *s = &p.out.list.v[i];

		s->advice = story_advice(view, s, a);
		if (story_words(s, a))
			predict_fail(&p, err_set(e, -ENOMEM, "no memory"));
	}
	if (!p.rc && a->failed)
		predict_fail(&p, err_set(e, -ENOMEM, "no memory"));
	if (!p.rc)
		*out = p.out;
	return p.rc;
}
