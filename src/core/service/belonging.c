// SPDX-License-Identifier: Apache-2.0
/* belonging: see belonging.h. */
#include "core/service/belonging.h"
#include "core/service/label_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct belonging {
	struct label_index *pods, *services, *slices;
};

static bool selects(const struct service *s, const struct object *pod)
{
	struct label_selector sel = { .matchLabels = s->spec.selector };

	return s->spec.selector.n && selector_match(&sel, &pod->meta->labels);
}

/* ---- changes */

int belonging_put(struct belonging *b, const struct object *o)
{
	const struct service *s = o->body;
	struct strmap_entry owner = { .key = LABEL_SERVICE_NAME };
	struct strmap pairs;

	switch (o->kind->id) {
	case KIND_POD:
		return label_index_put(b->pods, o, &o->meta->labels);
	case KIND_SERVICE:
		pairs = (struct strmap){ .v = s->spec.selector.v, .n = s->spec.selector.n > 0 };
		return label_index_put(b->services, o, &pairs);
	case KIND_ENDPOINTSLICE:
		owner.value = strmap_get(&o->meta->labels, LABEL_SERVICE_NAME);
		pairs = (struct strmap){ .v = &owner, .n = svc_slice_is_ours(o->body) };
		return label_index_put(b->slices, o, &pairs);
	}
	return 0;
}

void belonging_drop(struct belonging *b, const struct object *o)
{
	switch (o->kind->id) {
	case KIND_POD:
		label_index_drop(b->pods, o->meta->namespace, o->meta->name);
		break;
	case KIND_SERVICE:
		label_index_drop(b->services, o->meta->namespace, o->meta->name);
		break;
	case KIND_ENDPOINTSLICE:
		label_index_drop(b->slices, o->meta->namespace, o->meta->name);
		break;
	}
}

int belonging_fill(struct belonging *b, const struct cluster *c)
{
	static const unsigned kinds[] = { KIND_POD, KIND_SERVICE, KIND_ENDPOINTSLICE };
	int rc = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		size_t n;
		const struct object *const *all = cluster_all(c, kinds[k], &n);

		for (size_t i = 0; i < n && !rc; i++)
			rc = belonging_put(b, all[i]);
	}
	return rc;
}

/* ---- questions */

struct found {
	const struct object **v;
	size_t n;
	const struct service *service; /* not NULL: only pods that it selects */
};

static void add_found(void *arg, const struct object *o)
{
	struct found *f = arg;

	if (!f->service || selects(f->service, o))
		f->v[f->n++] = o;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct object *const *)a)->meta->name,
		      (*(const struct object *const *)b)->meta->name);
}

static int find(const struct label_index *x, const char *ns, const struct strmap_entry *pair,
		struct arena *a, struct found *f)
{
	f->v = arena_array(a, label_index_count(x, ns, pair), sizeof(*f->v));
	if (!f->v)
		return -ENOMEM;
	label_index_each(x, ns, pair, add_found, f);
	qsort(f->v, f->n, sizeof(*f->v), by_name);
	return 0;
}

static const struct strmap_entry *rarest(const struct belonging *b, const char *ns,
					 const struct strmap *selector)
{
	const struct strmap_entry *best = &selector->v[0];

	for (uint32_t i = 1; i < selector->n; i++)
		if (label_index_count(b->pods, ns, &selector->v[i]) <
		    label_index_count(b->pods, ns, best))
			best = &selector->v[i];
	return best;
}

/* NOLINTNEXTLINE(readability-function-size): the Service's name is two words */
int belonging_gather(const struct belonging *b, const struct cluster *c, const char *ns,
		     const char *name, struct arena *a, struct svc_pods *out)
{
	const struct object *o = cluster_get(c, KIND_SERVICE, ns, name);
	const struct service *s = o ? o->body : NULL;
	const struct strmap_entry owner = { LABEL_SERVICE_NAME, name };
	struct found pods = { .service = s }, slices = { 0 };
	const struct pod **p;
	int rc = find(b->slices, ns, &owner, a, &slices);

	if (!rc && s && s->spec.selector.n)
		rc = find(b->pods, ns, rarest(b, ns, &s->spec.selector), a, &pods);
	p = arena_array(a, pods.n, sizeof(*p));
	if (rc || !p)
		return -ENOMEM;
	for (size_t i = 0; i < pods.n; i++)
		p[i] = pods.v[i]->body;
	*out = (struct svc_pods){ .service = s,
				  .pods = p,
				  .n_pods = pods.n,
				  .slices = slices.v,
				  .n_slices = slices.n,
				  .cluster = c };
	return 0;
}

struct asking {
	const struct object *pod;
	belonging_fn *fn;
	void *arg;
};

static void tell_selecting(void *arg, const struct object *service)
{
	const struct asking *q = arg;

	if (selects(service->body, q->pod))
		q->fn(q->arg, service->body);
}

void belonging_services(const struct belonging *b, const struct object *pod, belonging_fn *fn,
			void *arg)
{
	struct asking q = { pod, fn, arg };

	for (uint32_t i = 0; i < pod->meta->labels.n; i++)
		label_index_each(b->services, pod->meta->namespace, &pod->meta->labels.v[i],
				 tell_selecting, &q);
}

/* ---- life */

struct belonging *belonging_new(void)
{
	struct belonging *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->pods = label_index_new();
	b->services = label_index_new();
	b->slices = label_index_new();
	if (b->pods && b->services && b->slices)
		return b;
	belonging_free(b);
	return NULL;
}

void belonging_free(struct belonging *b)
{
	if (!b)
		return;
	label_index_free(b->pods);
	label_index_free(b->services);
	label_index_free(b->slices);
	free(b);
}
