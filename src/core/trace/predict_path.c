// SPDX-License-Identifier: Apache-2.0
#include "core/trace/predict_state.h"

#include "base/text.h"

#include <string.h>

/* ---- hops */

static bool set_room(struct path *w, uint32_t cap, struct arena *a)
{
	struct story_hop *v = arena_array(a, cap, sizeof(*v));

	if (!v)
		return false;
	if (w->story.hops.n)
		memcpy(v, w->story.hops.v, w->story.hops.n * sizeof(*v));
	w->story.hops.v = v;
	w->cap = cap;
	return true;
}

struct story_hop *path_hop(struct path *w, enum story_step step, const char *node, struct arena *a)
{
	struct story_hop *h;

	if (w->story.hops.n == w->cap && !set_room(w, w->cap ? 2 * w->cap : 32, a))
		return NULL;
	h = &w->story.hops.v[w->story.hops.n++];
	*h = (struct story_hop){ .direction = w->direction,
				 .step = (uint8_t)step,
				 .node = node,
				 .before = w->head,
				 .after = w->head,
				 .since = -1,
				 .likely = w->likely };
	return h;
}

static const char *interface_of(const struct story_view *view, const struct pod *pod)
{
	const struct workload_endpoint *w = place_link(view, pod);

	return w ? w->spec.interface : NULL;
}

struct story_hop *path_pod_hop(struct path *w, enum story_step step, const char *node,
			       const struct pod *pod, const struct story_view *view,
			       struct arena *a)
{
	struct story_hop *h = path_hop(w, step, node, a);

	if (!h)
		return NULL;
	h->netns = arena_printf(a, "%s/%s", pod->meta.namespace, pod->meta.name);
	if (step == STORY_LEAVE_POD || step == STORY_ENTER_POD)
		h->device = interface_of(view, pod);
	return h;
}

void path_become(struct path *w, struct story_hop *h, const struct story_head *to)
{
	w->head = *to;
	if (h)
		h->after = *to;
}

bool path_fork(const struct path *w, struct path *out, struct arena *a)
{
	*out = *w;
	return set_room(out, w->cap, a);
}

void path_end(struct path *w, enum story_step step, const char *node, struct story_by by,
	      const char *why, struct arena *a)
{
	struct story_hop *h = path_hop(w, step, node, a);

	w->story.verdict = step == STORY_DROP ? STORY_DROPPED : STORY_REFUSED;
	w->story.by = by;
	if (!h)
		return;
	h->by = by;
	h->why = why;
}

/* ---- translations */

void path_note_change(struct path *w, const char *node, const struct story_head *came)
{
	if (w->n_changes < PATH_NODES)
		w->changes[w->n_changes++] = (struct path_change){ node, *came, w->head };
}

/* Of several who changed it, the first: it made the others necessary. */
static struct story_by changer(const struct path *w, const char *node)
{
	for (uint32_t i = 0; i < w->story.hops.n; i++) {
		const struct story_hop *h = &w->story.hops.v[i];

		if ((h->step == STORY_SERVICE || h->step == STORY_SNAT) && text_eq(h->node, node))
			return h->by;
	}
	return (struct story_by){ .kind = STORY_BY_NONE };
}

const struct path_change *path_changed(const struct path *w, const char *node, struct story_by *by)
{
	struct story_head request = story_head_inverse(&w->head);

	for (uint32_t i = w->n_changes; i-- > 0;) {
		const struct path_change *c = &w->changes[i];

		if (!text_eq(c->node, node) || !story_head_same(&c->sent, &request))
			continue;
		*by = changer(w, node);
		return c;
	}
	return NULL;
}

struct story_by path_by_pod(const struct pod *pod)
{
	return (struct story_by){ STORY_BY_POD, pod->meta.namespace, pod->meta.name, NULL };
}
