// SPDX-License-Identifier: Apache-2.0
/* Pods of workloads: what should be, against what is. */
#include "base/hash.h"
#include "core/workload/plan.h"
#include "model/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Kubernetes' alphabet for generated names: no vowels, no 0, 1 and 3 (apimachinery util/rand). */
static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
#define LETTERS  27u
#define SUFFIX   5
#define SUFFIXES 14348907u /* LETTERS to the power of SUFFIX */

void vec_push(struct vec *l, struct arena *a, void *p)
{
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? 2 * l->cap : 16;
		void **v = arena_array(a, cap, sizeof(*v));

		if (!v)
			return;
		if (l->n)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = p;
}

static void spell(char *out, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++, v /= LETTERS)
		out[i] = alphabet[v % LETTERS];
	out[n] = 0;
}

char *group_name(struct run *r, const struct group *g, uint64_t index)
{
	char suffix[SUFFIX + 1];

	/* The factor is no multiple of 3, so different indexes give different suffixes. */
	spell(suffix, (index % SUFFIXES * 2654435761u + g->seed % SUFFIXES) % SUFFIXES, SUFFIX);
	if (g->owner->kind->id == KIND_DEPLOYMENT)
		return arena_printf(r->a, "%s-%s-%s", g->owner->meta->name, g->hash, suffix);
	return arena_printf(r->a, "%s-%s", g->owner->meta->name, suffix);
}

/* ---- what is there */

static const struct owner_ref *made_by(const struct object *pod)
{
	if (!strmap_get(&pod->meta->labels, LABEL_TEMPLATE))
		return NULL;
	for (uint32_t i = 0; i < pod->meta->ownerReferences.n; i++)
		if (pod->meta->ownerReferences.v[i].controller)
			return &pod->meta->ownerReferences.v[i];
	return NULL;
}

static int cmp_owner(const struct owned *o, const char *kind, const char *ns, const char *name)
{
	int c = strcmp(o->owner->kind, kind);

	if (!c)
		c = strcmp(o->pod->meta->namespace, ns);
	return c ? c : strcmp(o->owner->name, name);
}

static int by_owner(const void *pa, const void *pb)
{
	const struct owned *a = pa, *b = pb;
	int c = cmp_owner(a, b->owner->kind, b->pod->meta->namespace, b->owner->name);

	return c ? c : strcmp(a->pod->meta->name, b->pod->meta->name);
}

static int collect_owned(struct run *r)
{
	size_t n;
	const struct object *const *pods = cluster_all(r->c, KIND_POD, &n);

	r->owned = arena_array(r->a, n, sizeof(*r->owned));
	if (!r->owned)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct owner_ref *owner = made_by(pods[i]);

		if (owner)
			r->owned[r->n_owned++] = (struct owned){ pods[i], owner, false };
	}
	qsort(r->owned, r->n_owned, sizeof(*r->owned), by_owner);
	return 0;
}

struct owned *owned_range(const struct run *r, const char *kind, const char *ns, const char *name,
			  size_t *n)
{
	size_t lo = 0, hi = r->n_owned;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp_owner(&r->owned[mid], kind, ns, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (*n = 0; lo + *n < r->n_owned; (*n)++)
		if (cmp_owner(&r->owned[lo + *n], kind, ns, name))
			break;
	return r->owned + lo;
}

static struct owned *find_pod(const struct group *g, const char *name)
{
	size_t lo = 0, hi = g->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(g->v[mid].pod->meta->name, name);

		if (!c)
			return &g->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool name_is_free(const struct run *r, const struct group *g, const char *name)
{
	return !cluster_get(r->c, KIND_POD, g->owner->meta->namespace, name);
}

static bool same_template(const struct group *g, const struct object *pod)
{
	return !strcmp(strmap_get(&pod->meta->labels, LABEL_TEMPLATE), g->hash);
}

/* ---- what should be */

static int hash_template(struct group *g)
{
	struct buf b = { .v = NULL };
	int rc = record_body(&b, &pod_template_schema, &g->w->spec.template, NULL);
	uint64_t h = fnv64(FNV64_START, b.v, b.n);

	buf_fini(&b);
	spell(g->hash, h, 10);
	h = fnv64_text(h, g->owner->kind->name);
	h = fnv64_text(h, g->owner->meta->namespace);
	g->seed = fnv64_text(h, g->owner->meta->name);
	return rc;
}

static void add_labels(struct run *r, const struct group *g, struct pod *p)
{
	struct strmap *m = &p->meta.labels;

	strmap_put(m, r->a, LABEL_TEMPLATE, g->hash);
	if (g->owner->kind->id == KIND_DEPLOYMENT)
		strmap_put(m, r->a, "pod-template-hash", g->hash);
	if (g->owner->kind->id == KIND_JOB) {
		strmap_put(m, r->a, "job-name", g->owner->meta->name);
		strmap_put(m, r->a, "batch.kubernetes.io/job-name", g->owner->meta->name);
	}
}

struct pod *group_pod(struct run *r, const struct group *g, const char *name)
{
	const struct pod_template *t = &g->w->spec.template;
	struct owner_ref *owner = arena_alloc(r->a, sizeof(*owner));
	struct pod *p = arena_alloc(r->a, sizeof(*p));

	if (!p || !owner || !name)
		return NULL;
	*owner = (struct owner_ref){ .kind = g->owner->kind->name,
				     .name = g->owner->meta->name,
				     .uid = g->owner->meta->uid,
				     .controller = 1 };
	p->meta.name = name;
	p->meta.namespace = g->owner->meta->namespace;
	p->meta.labels = t->meta.labels;
	p->meta.annotations = t->meta.annotations;
	p->meta.ownerReferences.v = owner;
	p->meta.ownerReferences.n = 1;
	p->spec = t->spec;
	add_labels(r, g, p);
	return p;
}

/* Keeps the pod of that name, or asks for it. */
static void want(struct run *r, struct group *g, const char *name)
{
	struct owned *there = name ? find_pod(g, name) : NULL;

	if (there && same_template(g, there->pod))
		there->keep = true;
	else if (name && name_is_free(r, g, name))
		vec_push(&r->creates, r->a, group_pod(r, g, name));
}

static int64_t replicas(const struct group *g)
{
	return g->w->spec.replicas.set ? g->w->spec.replicas.v : 1;
}

static void plan_replicas(struct run *r, struct group *g)
{
	for (int64_t i = 0; i < replicas(g); i++)
		want(r, g, group_name(r, g, (uint64_t)i));
}

static void plan_statefulset(struct run *r, struct group *g)
{
	for (int64_t i = 0; i < replicas(g); i++) {
		char *name = arena_printf(r->a, "%s-%lld", g->owner->meta->name, (long long)i);
		uint32_t before = r->creates.n;
		struct pod *p;

		want(r, g, name);
		if (r->creates.n == before || !r->creates.v[before])
			continue;
		p = r->creates.v[before];
		p->spec.hostname = name;
		p->spec.subdomain = g->w->spec.serviceName;
		strmap_put(&p->meta.labels, r->a, "statefulset.kubernetes.io/pod-name", name);
		strmap_put(&p->meta.labels, r->a, "apps.kubernetes.io/pod-index",
			   arena_printf(r->a, "%lld", (long long)i));
	}
}

/* Kubernetes' default for spec.backoffLimit. */
#define JOB_RETRIES 6

static void plan_job(struct run *r, struct group *g)
{
	const struct opt_i64 *par = &g->w->spec.parallelism, *com = &g->w->spec.completions;
	int64_t parallel = par->set ? par->v : 1;
	int64_t open = com->set ? com->v : par->set && par->v ? par->v : 1;
	int64_t failed = 0, there = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct pod *p = g->v[i].pod->body;

		g->v[i].keep = p->status.phase == POD_SUCCEEDED || p->status.phase == POD_FAILED;
		open -= p->status.phase == POD_SUCCEEDED;
		failed += p->status.phase == POD_FAILED;
	}
	if (open < parallel)
		parallel = open;
	/* Pods that ended hold their names, so the first names that are free or running count. */
	for (uint64_t i = 0; there < parallel && i < g->n + (uint64_t)parallel; i++) {
		char *name = group_name(r, g, i);
		struct owned *pod = name ? find_pod(g, name) : NULL;

		if (pod && pod->keep)
			continue;
		there++;
		if (pod || failed <= JOB_RETRIES)
			want(r, g, name);
	}
}

static void drop_unwanted(struct run *r)
{
	for (size_t i = 0; i < r->n_owned; i++)
		if (!r->owned[i].keep)
			vec_push(&r->deletes, r->a, (void *)r->owned[i].pod);
}

/* A ReplicaSet that a Deployment made is the Deployment's business. */
static bool is_made(const struct object *o)
{
	for (uint32_t i = 0; i < o->meta->ownerReferences.n; i++)
		if (o->meta->ownerReferences.v[i].controller)
			return true;
	return false;
}

static int plan_kind(struct run *r, unsigned kind)
{
	size_t n;
	const struct object *const *v = cluster_all(r->c, kind, &n);

	for (size_t i = 0; i < n; i++) {
		struct group g = { .owner = v[i], .w = v[i]->body };
		int rc;

		if (is_made(v[i]))
			continue;
		rc = hash_template(&g);
		if (rc)
			return rc;
		g.v = owned_range(r, g.owner->kind->name, g.owner->meta->namespace,
				  g.owner->meta->name, &g.n);
		if (kind == KIND_STATEFULSET)
			plan_statefulset(r, &g);
		else if (kind == KIND_DAEMONSET)
			plan_daemonset(r, &g);
		else if (kind == KIND_JOB)
			plan_job(r, &g);
		else
			plan_replicas(r, &g);
	}
	return 0;
}

int workload_plan(const struct cluster *c, struct arena *a, struct workload_plan *out,
		  struct err *e)
{
	struct run r = { .c = c, .a = a };
	int rc = collect_owned(&r);

	for (unsigned kind = KIND_DEPLOYMENT; !rc && kind <= KIND_JOB; kind++)
		rc = plan_kind(&r, kind);
	if (!rc)
		drop_unwanted(&r);
	if (!rc)
		rc = bind_pods(&r, out);
	if (rc || a->failed)
		return err_set(e, -ENOMEM, "workloads: no memory");
	out->creates.v = (struct pod **)r.creates.v;
	out->creates.n = r.creates.n;
	out->deletes.v = (const struct object **)r.deletes.v;
	out->deletes.n = r.deletes.n;
	return 0;
}

/* ---- offline */

/* An object with memory of its own: through the codec, which is the one deep copy we have. */
static int put_pod(struct cluster *c, const struct pod *p, uint64_t rev, struct err *e)
{
	const struct kind *k = kind_by_id(KIND_POD);
	struct rec_put put = { .kind = KIND_POD, .rev = (int64_t)rev };
	struct buf b = { .v = NULL };
	struct object *o;
	int rc = record_body(&b, k->schema, p, e);

	if (rc) {
		buf_fini(&b);
		return rc;
	}
	put.body = (struct blob){ (const uint8_t *)b.v, (uint32_t)b.n };
	o = record_object(&put, e);
	buf_fini(&b);
	if (!o)
		return -EINVAL;
	object_free(cluster_put(c, o));
	return 0;
}

static int carry_out(struct cluster *c, const struct workload_plan *plan, struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < plan->creates.n; i++)
		rc = put_pod(c, plan->creates.v[i], 0, e);
	for (uint32_t i = 0; !rc && i < plan->binds.n; i++) {
		const struct object *o = plan->binds.v[i].pod;
		struct pod p = *(const struct pod *)o->body;

		p.spec.nodeName = plan->binds.v[i].node;
		rc = put_pod(c, &p, o->rev, e);
	}
	for (uint32_t i = 0; !rc && i < plan->deletes.n; i++) {
		const struct meta *m = plan->deletes.v[i]->meta;

		object_free(cluster_take(c, KIND_POD, m->namespace, m->name));
	}
	return rc;
}

int workload_settle(struct cluster *c, struct err *e)
{
	/* One plan makes everything, one more replaces what kept its name. */
	for (unsigned round = 0; round < 3; round++) {
		struct workload_plan plan = { .creates = { NULL, 0 } };
		struct arena a;
		int rc;

		arena_init(&a, 0);
		rc = workload_plan(c, &a, &plan, e);
		if (!rc)
			rc = carry_out(c, &plan, e);
		arena_fini(&a);
		if (rc)
			return rc;
		if (!plan.creates.n && !plan.deletes.n && !plan.binds.n)
			break;
	}
	return 0;
}
