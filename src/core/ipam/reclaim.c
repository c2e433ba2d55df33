// SPDX-License-Identifier: Apache-2.0
/* reclaim: see reclaim.h. */
#include "core/ipam/reclaim.h"
#include "core/ipam/state.h"

#include <errno.h>

struct look {
	struct absence *gone;
	const struct cluster *c;
	int64_t now;
	struct arena *a;
	struct err *e;
};

static int note(const struct look *l, const char *node)
{
	if (!node || !*node || cluster_get(l->c, KIND_NODE, NULL, node))
		return 0;
	return absence_note(l->gone, node, l->now, l->e);
}

static bool is_gone(const struct look *l, const char *node)
{
	return node && absence_lasts(l->gone, node, l->now);
}

/* Into `out`, where the block is to be written: 1, else 0. */
static int judge(const struct look *l, const struct object *o, struct ipam_action *out)
{
	const struct ipblock *b = o->body;
	struct ipam_action x = { .type = IPAM_UPDATE, .rev = o->rev };
	bool living = false;
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		const struct block_borrow *w = &b->spec.borrowed.v[i];

		living = living || (w->state == BORROW_GRANTED && !is_gone(l, w->node));
		n += is_gone(l, w->node);
	}
	if (is_gone(l, b->spec.node) && !living) {
		x.type = IPAM_DELETE;
		x.why = "its node is gone";
	} else if (n) {
		x.why = "a node that borrowed from it is gone";
	} else {
		return 0;
	}
	if (block_copy(l->a, b, &x.block))
		return err_set(l->e, -ENOMEM, "no memory");
	n = 0;
	for (uint32_t i = 0; i < x.block.spec.borrowed.n; i++)
		if (!is_gone(l, x.block.spec.borrowed.v[i].node))
			x.block.spec.borrowed.v[n++] = x.block.spec.borrowed.v[i];
	x.block.spec.borrowed.n = n;
	*out = x;
	return 1;
}

static const uint8_t reports[] = { KIND_NODESTATE, KIND_WORKLOADENDPOINT };

static const char *reporter(const struct object *o)
{
	const struct workload_endpoint *w = o->body;

	return o->kind->id == KIND_NODESTATE ? o->meta->name : w->spec.node;
}

static int note_blocks(const struct look *l)
{
	size_t n;
	const struct object *const *v = cluster_all(l->c, KIND_IPBLOCK, &n);
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		const struct ipblock *b = v[i]->body;

		rc = note(l, b->spec.node);
		for (uint32_t k = 0; k < b->spec.borrowed.n && !rc; k++)
			rc = note(l, b->spec.borrowed.v[k].node);
	}
	return rc;
}

static int note_reports(const struct look *l)
{
	int rc = 0;

	for (size_t k = 0; k < sizeof(reports); k++) {
		size_t n;
		const struct object *const *v = cluster_all(l->c, reports[k], &n);

		for (size_t i = 0; i < n && !rc; i++)
			rc = note(l, reporter(v[i]));
	}
	return rc;
}

static int judge_blocks(const struct look *l, struct reclaim_plan *plan)
{
	size_t n;
	const struct object *const *v = cluster_all(l->c, KIND_IPBLOCK, &n);

	plan->writes.v = arena_array(l->a, n, sizeof(*plan->writes.v));
	if (!plan->writes.v)
		return err_set(l->e, -ENOMEM, "no memory");
	for (size_t i = 0; i < n; i++) {
		int rc = judge(l, v[i], &plan->writes.v[plan->writes.n]);

		if (rc < 0)
			return rc;
		plan->writes.n += (uint32_t)rc;
	}
	return 0;
}

static int judge_reports(const struct look *l, struct reclaim_plan *plan)
{
	const struct object *const *v[sizeof(reports)];
	size_t n[sizeof(reports)], all = 0;

	for (size_t k = 0; k < sizeof(reports); k++) {
		v[k] = cluster_all(l->c, reports[k], &n[k]);
		all += n[k];
	}
	plan->reports.v = arena_array(l->a, all, sizeof(*plan->reports.v));
	if (!plan->reports.v)
		return err_set(l->e, -ENOMEM, "no memory");
	for (size_t k = 0; k < sizeof(reports); k++)
		for (size_t i = 0; i < n[k]; i++)
			if (is_gone(l, reporter(v[k][i])))
				plan->reports.v[plan->reports.n++] = v[k][i];
	return 0;
}

int reclaim_look(struct absence *gone, const struct cluster *c, int64_t now, struct arena *a,
		 struct reclaim_plan *out, struct err *e)
{
	struct look l = { .gone = gone, .c = c, .now = now, .a = a, .e = e };
	struct reclaim_plan plan = { 0 };
	int rc = note_blocks(&l);

	if (!rc)
		rc = note_reports(&l);
	if (rc)
		return rc;
	absence_end(gone);
	rc = judge_blocks(&l, &plan);
	if (!rc)
		rc = judge_reports(&l, &plan);
	if (rc)
		return rc;
	plan.next = absence_next(gone, now);
	*out = plan;
	return 0;
}
