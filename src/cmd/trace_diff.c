// SPDX-License-Identifier: Apache-2.0
/* fairlead trace --diff: the same packet as objects predict it, against what was seen. The prediction follows
 * the endpoint that was chosen, and is asked for where the packet was seen to come in. Of several, as
 * objects leave a way open, the one that differs least counts. */
#include "cmd/trace.h"

#include "base/text.h"
#include "cmd/out.h"
#include "cmd/story_out.h"

#include <string.h>

static const struct story_hop *find_hop(const struct story *s, enum story_step step)
{
	for (uint32_t i = 0; i < s->hops.n; i++)
		if (s->hops.v[i].direction == STORY_REQUEST && s->hops.v[i].step == step)
			return &s->hops.v[i];
	return NULL;
}

static const struct pod *sender(const struct trace_asked *t)
{
	const struct object *o = NULL;

	if (t->trace->spec.source.pod)
		o = cluster_get(t->view.cluster, KIND_POD, t->trace->spec.source.namespace,
				t->trace->spec.source.pod);
	return o && policy_knows_pod(o->body) ? o->body : NULL;
}

/* Where it came in from outside: as seen, else at whom it was sent to. */
static const char *entrance(const struct trace_asked *t, const struct story *observed)
{
	const struct story_hop *in = find_hop(observed, STORY_ENTER_NODE);
	struct story_by owner = story_owner(&t->view, &t->trace->spec.destination.address);

	if (in)
		return in->node;
	if (owner.kind == STORY_BY_NODE)
		return owner.name;
	return t->trace->spec.nodes.n ? t->trace->spec.nodes.v[0] : "";
}

static struct story_question question(const struct trace_asked *t, const struct story *observed)
{
	const struct packet_trace *p = t->trace;
	const struct story_hop *service = find_hop(observed, STORY_SERVICE);
	struct story_question q = { .node = p->spec.source.node,
				    .outside = !p->spec.source.node,
				    .from = sender(t) };

	q.head.src = p->spec.source.address;
	if (p->status.probe.localAddress.family)
		q.head.src = p->status.probe.localAddress;
	q.head.dst = p->spec.destination.address;
	q.head.proto = trace_ip_proto(p->spec.protocol, q.head.dst.family);
	q.head.length = (uint32_t)p->spec.size;
	q.head.dport = (uint16_t)p->spec.destination.port;
	if (q.head.dport)
		q.head.sport = (uint16_t)p->status.probe.localPort;
	if (q.outside)
		q.node = entrance(t, observed);
	q.chosen = service ? &service->after : NULL;
	return q;
}

int trace_diff(struct cmd_ctx *ctx, const struct trace_asked *t, const struct story *observed,
	       struct trace_compared *out)
{
	const struct story_question q = question(t, observed);
	struct trace_compared c = { .predicted = NULL };
	struct err e = { .code = 0 };
	struct stories s;

	if (story_predict(&t->view, &q, ctx->arena, &s, &e))
		return cmd_fail(&e);
	for (uint32_t i = 0; i < s.list.n; i++) {
		struct story_differences d;

		if (story_diff(&s.list.v[i], observed, t->trace, ctx->arena, &d, &e))
			return cmd_fail(&e);
		if (c.predicted && d.list.n >= c.differences.list.n)
			continue;
		c.predicted = &s.list.v[i];
		c.differences = d;
	}
	if (!c.predicted)
		return cmd_error(CMD_NO, "nothing could be predicted");
	*out = c;
	return CMD_OK;
}

json_t *trace_diff_json(const struct trace_compared *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->differences.list.n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "predicted",
						c->differences.list.v[i].predicted_text, "observed",
						c->differences.list.v[i].observed_text));
	return json_pack("{s:o, s:o}", "predicted", story_json(c->predicted), "differences", list);
}

void trace_diff_print(const struct trace_compared *c)
{
	uint32_t n = c->differences.list.n;

	if (!n) {
		puts("\nas predicted");
		return;
	}
	printf("\nnot as predicted, in %u place%s:\n", n, n > 1 ? "s" : "");
	for (uint32_t i = 0; i < n; i++)
		printf("%s  predicted  %s\n  observed   %s\n", i ? "\n" : "",
		       c->differences.list.v[i].predicted_text,
		       c->differences.list.v[i].observed_text);
}
