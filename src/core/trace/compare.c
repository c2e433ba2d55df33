// SPDX-License-Identifier: Apache-2.0
#include "core/trace/compare.h"

#include "core/policy/match.h"

#include <errno.h>

static const struct story_hop *find_hop(const struct story *s, enum story_step step)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].direction == STORY_REQUEST && s->hops.v[i].step == step)
			return &s->hops.v[i];
	return NULL;
}

static const struct pod *sender(const struct story_view *view, const struct packet_trace *t)
{
	const struct object *o = NULL;

	if (t->spec.source.pod)
		o = cluster_get(view->cluster, KIND_POD, t->spec.source.namespace,
				t->spec.source.pod);
	return o && policy_knows_pod(o->body) ? o->body : NULL;
}

/* Where it came in from outside: as seen, else at whom it was sent to. */
static const char *entrance(const struct story_view *view, const struct packet_trace *t,
			    const struct story *observed)
{
	const struct story_hop *in = find_hop(observed, STORY_ENTER_NODE);
	struct story_by owner = story_owner(view, &t->spec.destination.address);

	if (in)
		return in->node;
	if (owner.kind == STORY_BY_NODE)
		return owner.name;
	return t->spec.nodes.n ? t->spec.nodes.v[0] : "";
}

static struct story_question question(const struct story_view *view, const struct packet_trace *t,
				      const struct story *observed)
{
	const struct story_hop *send = find_hop(observed, STORY_SEND);
	const struct story_hop *service = find_hop(observed, STORY_SERVICE);
	struct story_question q = { .node = t->spec.source.node,
				    .outside = !t->spec.source.node,
				    .from = sender(view, t) };

	q.head.src = t->spec.source.address;
	if (send)
		q.head.src = send->after.src; /* that the kernel chose */
	q.head.dst = t->spec.destination.address;
	q.head.proto = trace_ip_proto(t->spec.protocol, q.head.dst.family);
	q.head.length = (uint32_t)t->spec.size;
	q.head.dport = (uint16_t)t->spec.destination.port;
	if (q.head.dport)
		q.head.sport = (uint16_t)t->status.probe.localPort;
	if (q.outside)
		q.node = entrance(view, t, observed);
	q.chosen = service ? &service->after : NULL;
	return q;
}

int story_compare(const struct story_view *view, const struct packet_trace *trace,
		  const struct story *observed, struct arena *a, struct story_comparison *out,
		  struct err *e)
{
	const struct story_question q = question(view, trace, observed);
	struct story_comparison c = { .predicted = NULL };
	struct stories s;
	int rc = story_predict(view, &q, a, &s, e);

	for (uint32_t i = 0; !rc && i < s.list.n; i++) {
		struct story_differences d;

		rc = story_diff(&s.list.v[i], observed, trace, a, &d, e);
		if (rc || (c.predicted && d.list.n >= c.differences.list.n))
			continue;
		c.predicted = &s.list.v[i];
		c.differences = d;
	}
	if (!rc && !c.predicted)
		rc = err_set(e, -ENOENT, "nothing could be predicted");
	if (!rc)
		*out = c;
	return rc;
}
