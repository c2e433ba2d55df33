// SPDX-License-Identifier: Apache-2.0
/* Pods to nodes: the least loaded node that takes the pod; among those of one workload, the
 * node with the fewest of its pods first, so that replicas spread. Ties go to the first name. */
#include "base/hash.h"
#include "core/workload/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool tolerates(const struct toleration *t, const struct taint *taint)
{
	bool exists = t->operator&& !strcmp(t->operator, "Exists");

	if (t->effect && *t->effect && strcmp(t->effect, taint->effect) != 0)
		return false;
	if (!t->key || !*t->key) /* without a key Exists tolerates everything */
		return exists;
	if (strcmp(t->key, taint->key) != 0)
		return false;
	return exists || !strcmp(t->value ? t->value : "", taint->value ? taint->value : "");
}

static bool tolerated(const struct pod_spec *spec, const struct taint *taint)
{
	if (!strcmp(taint->effect, "PreferNoSchedule"))
		return true;
	for (uint32_t i = 0; i < spec->tolerations.n; i++)
		if (tolerates(&spec->tolerations.v[i], taint))
			return true;
	return false;
}

bool node_takes(const struct object *o, const struct pod_spec *spec, bool daemonset)
{
	const struct node *node = o->body;

	if (node->spec.unschedulable && !daemonset)
		return false;
	for (uint32_t i = 0; i < spec->nodeSelector.n; i++) {
		const struct strmap_entry *want = &spec->nodeSelector.v[i];
		const char *have = strmap_get(&o->meta->labels, want->key);

		if (!have || strcmp(have, want->value) != 0)
			return false;
	}
	for (uint32_t i = 0; i < node->spec.taints.n; i++)
		if (!tolerated(spec, &node->spec.taints.v[i]))
			return false;
	return true;
}

/* ---- DaemonSets: bound where they are planned */

static struct owned *pod_on(struct group *g, const char *node)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct pod *p = g->v[i].pod->body;
		const char *hash = strmap_get(&p->meta.labels, LABEL_TEMPLATE);

		if (!g->v[i].keep && p->spec.nodeName && !strcmp(p->spec.nodeName, node) &&
		    !strcmp(hash, g->hash))
			return &g->v[i];
	}
	return NULL;
}

static bool is_created(const struct run *r, uint32_t from, const char *name)
{
	for (uint32_t i = from; i < r->creates.n; i++)
		if (!strcmp(((struct pod *)r->creates.v[i])->meta.name, name))
			return true;
	return false;
}

void plan_daemonset(struct run *r, struct group *g)
{
	const struct pod_spec *spec = &g->w->spec.template.spec;
	uint32_t first = r->creates.n;
	size_t n;
	const struct object *const *nodes = cluster_all(r->c, KIND_NODE, &n);

	for (size_t i = 0; i < n; i++) {
		const char *node = nodes[i]->meta->name;
		uint64_t index = fnv64_text(g->seed, node);
		struct owned *there = pod_on(g, node);
		struct pod *p;
		char *name;

		if (!node_takes(nodes[i], spec, true))
			continue;
		if (there) {
			there->keep = true;
			continue;
		}
		do
			name = group_name(r, g, index++);
		while (name && (!name_is_free(r, g, name) || is_created(r, first, name)));
		p = group_pod(r, g, name);
		if (!p)
			return;
		p->spec.nodeName = node;
		vec_push(&r->creates, r->a, p);
	}
}

/* ---- everything else */

struct load {
	const struct object *const *nodes; /* sorted by name */
	size_t n;
	int32_t *pods;  /* per node */
	int32_t *group; /* per node: pods of the workload at hand */
};

static size_t node_index(const struct load *l, const char *name)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(l->nodes[mid]->meta->name, name);

		if (!c)
			return mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return l->n;
}

static void count_pod(const struct load *l, int32_t *counts, const struct pod *p, int by)
{
	size_t at = p->spec.nodeName ? node_index(l, p->spec.nodeName) : l->n;

	if (at < l->n && p->status.phase != POD_SUCCEEDED && p->status.phase != POD_FAILED)
		counts[at] += by;
}

static const char *choose(struct load *l, const struct pod_spec *spec)
{
	size_t best = l->n;

	for (size_t i = 0; i < l->n; i++) {
		if (!node_takes(l->nodes[i], spec, false))
			continue;
		if (best == l->n || l->group[i] < l->group[best] ||
		    (l->group[i] == l->group[best] && l->pods[i] < l->pods[best]))
			best = i;
	}
	if (best == l->n)
		return NULL;
	l->pods[best]++;
	l->group[best]++;
	return l->nodes[best]->meta->name;
}

/* A pod without a node, of the cluster or of the plan. */
struct unbound {
	const struct object *obj; /* NULL: of the plan */
	struct pod *pod;
	const struct owner_ref *owner;
};

static const struct owner_ref *controller_of(const struct meta *m)
{
	for (uint32_t i = 0; i < m->ownerReferences.n; i++)
		if (m->ownerReferences.v[i].controller)
			return &m->ownerReferences.v[i];
	return NULL;
}

static int cmp_group(const struct unbound *a, const struct unbound *b)
{
	int c;

	if (!a->owner || !b->owner)
		return !a->owner - !b->owner;
	c = strcmp(a->owner->kind, b->owner->kind);
	if (!c)
		c = strcmp(a->pod->meta.namespace, b->pod->meta.namespace);
	return c ? c : strcmp(a->owner->name, b->owner->name);
}

/* Those of a workload together; bare pods last, in the order of their names. */
static int by_group(const void *pa, const void *pb)
{
	const struct unbound *a = pa, *b = pb;
	int c = cmp_group(a, b);

	if (!c)
		c = strcmp(a->pod->meta.namespace, b->pod->meta.namespace);
	return c ? c : strcmp(a->pod->meta.name, b->pod->meta.name);
}

static void count_group(struct load *l, const struct run *r, const struct unbound *u)
{
	struct owned *v;
	size_t n;

	memset(l->group, 0, l->n * sizeof(*l->group));
	if (!u->owner)
		return;
	v = owned_range(r, u->owner->kind, u->pod->meta.namespace, u->owner->name, &n);
	for (size_t i = 0; i < n; i++)
		if (v[i].keep)
			count_pod(l, l->group, v[i].pod->body, 1);
}

/* Is it among the deletes? */
static bool is_going(const struct run *r, const struct object *pod)
{
	const struct owner_ref *owner = controller_of(pod->meta);
	struct owned *v;
	size_t n;

	if (!owner)
		return false;
	v = owned_range(r, owner->kind, pod->meta->namespace, owner->name, &n);
	for (size_t i = 0; i < n; i++)
		if (v[i].pod == pod)
			return !v[i].keep;
	return false;
}

static struct unbound *collect(struct run *r, struct load *l, size_t *n_out)
{
	size_t n, n_unbound = 0;
	const struct object *const *pods = cluster_all(r->c, KIND_POD, &n);
	struct unbound *v = arena_array(r->a, n + r->creates.n, sizeof(*v));

	if (!v)
		return NULL;
	for (uint32_t i = 0; i < r->deletes.n; i++)
		count_pod(l, l->pods, ((const struct object *)r->deletes.v[i])->body, -1);
	for (size_t i = 0; i < n; i++) {
		struct pod *p = pods[i]->body;

		if (p->spec.nodeName && *p->spec.nodeName)
			count_pod(l, l->pods, p, 1);
		else if (p->status.phase != POD_SUCCEEDED && p->status.phase != POD_FAILED &&
			 !is_going(r, pods[i]))
			v[n_unbound++] = (struct unbound){ pods[i], p, controller_of(&p->meta) };
	}
	for (uint32_t i = 0; i < r->creates.n; i++) {
		struct pod *p = r->creates.v[i];

		if (p->spec.nodeName && *p->spec.nodeName)
			count_pod(l, l->pods, p, 1);
		else
			v[n_unbound++] = (struct unbound){ NULL, p, controller_of(&p->meta) };
	}
	*n_out = n_unbound;
	return v;
}

int bind_pods(struct run *r, struct workload_plan *out)
{
	struct load l = { .n = 0 };
	struct workload_binding *binds;
	struct unbound *v;
	uint32_t n_binds = 0;
	size_t n;

	l.nodes = cluster_all(r->c, KIND_NODE, &l.n);
	l.pods = arena_array(r->a, l.n, sizeof(*l.pods));
	l.group = arena_array(r->a, l.n, sizeof(*l.group));
	v = l.pods && l.group ? collect(r, &l, &n) : NULL;
	binds = v ? arena_array(r->a, n, sizeof(*binds)) : NULL;
	if (!binds)
		return -ENOMEM;
	qsort(v, n, sizeof(*v), by_group);
	for (size_t i = 0; i < n; i++) {
		const char *node;

		if (!i || cmp_group(&v[i - 1], &v[i]) || !v[i].owner)
			count_group(&l, r, &v[i]);
		node = choose(&l, &v[i].pod->spec);
		if (!node)
			continue;
		if (v[i].obj)
			binds[n_binds++] = (struct workload_binding){ v[i].obj, node };
		else
			v[i].pod->spec.nodeName = node;
	}
	out->binds.v = binds;
	out->binds.n = n_binds;
	return 0;
}
