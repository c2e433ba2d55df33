// SPDX-License-Identifier: Apache-2.0
/* core/service/belonging: random changes of Pods, Services and EndpointSlices; what is found must be what a
 * look through all of them finds. */
#include "core/service/belonging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS 4000

static const char *const namespaces[] = { "a", "b" };
static const char *const words[] = { "x", "y", "z" };

struct world {
	struct cluster *c;
	struct belonging *b;
	unsigned seed;
};

static unsigned upto(struct world *w, unsigned n)
{
	return (unsigned)rand_r(&w->seed) % n;
}

static void random_pairs(struct world *w, struct strmap *m, struct arena *a)
{
	for (unsigned i = upto(w, 4); i; i--)
		assert_int_equal(strmap_put(m, a, words[upto(w, 3)], words[upto(w, 3)]), 0);
}

static struct object *random_object(struct world *w, unsigned kind, const char *name)
{
	struct object *o = object_new(kind_by_id(kind));
	struct endpoint_slice *slice = o->body;
	struct service *service = o->body;
	char owner[8];

	o->meta->name = arena_strdup(&o->arena, name);
	o->meta->namespace = namespaces[upto(w, 2)];
	if (kind == KIND_POD) {
		random_pairs(w, &o->meta->labels, &o->arena);
	} else if (kind == KIND_SERVICE) {
		random_pairs(w, &service->spec.selector, &o->arena);
	} else {
		snprintf(owner, sizeof(owner), "s%u", upto(w, 6));
		strmap_put(&slice->meta.labels, &o->arena, LABEL_SERVICE_NAME,
			   arena_strdup(&o->arena, owner));
		strmap_put(&slice->meta.labels, &o->arena, LABEL_MANAGED_BY,
			   upto(w, 4) ? MANAGED_BY_US : "somebody.else");
	}
	return o;
}

static void change(struct world *w)
{
	static const unsigned kinds[] = { KIND_POD, KIND_POD, KIND_SERVICE, KIND_ENDPOINTSLICE };
	unsigned kind = kinds[upto(w, 4)];
	struct object *o, *old;
	char name[8];

	snprintf(name, sizeof(name), "%c%u",
		 kind == KIND_POD       ? 'p'
		 : kind == KIND_SERVICE ? 's'
					: 'e',
		 upto(w, kind == KIND_POD ? 40 : 6));
	o = random_object(w, kind, name);
	if (upto(w, 3)) {
		old = cluster_put(w->c, o);
		assert_int_equal(belonging_put(w->b, o), 0);
	} else {
		old = cluster_take(w->c, kind, o->meta->namespace, name);
		if (old)
			belonging_drop(w->b, old);
		object_free(o);
	}
	object_free(old);
}

static bool is_selected(const struct service *s, const struct object *pod, const char *ns)
{
	const struct label_selector sel = { .matchLabels = s->spec.selector };

	return s->spec.selector.n && !strcmp(pod->meta->namespace, ns) &&
	       selector_match(&sel, &pod->meta->labels);
}

static void check_gathered(const struct world *w, const char *ns, const char *name)
{
	const struct object *o = cluster_get(w->c, KIND_SERVICE, ns, name);
	size_t n, found = 0;
	const struct object *const *all = cluster_all(w->c, KIND_POD, &n);
	struct svc_pods in;
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(belonging_gather(w->b, w->c, ns, name, &a, &in), 0);
	assert_ptr_equal(in.service, o ? o->body : NULL);
	for (size_t i = 0; o && i < n; i++)
		if (is_selected(o->body, all[i], ns)) {
			assert_true(found < in.n_pods);
			assert_ptr_equal(in.pods[found++], all[i]->body);
		}
	assert_int_equal(found, in.n_pods);
	all = cluster_all(w->c, KIND_ENDPOINTSLICE, &n);
	found = 0;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i]->meta->namespace, ns) && svc_slice_is_ours(all[i]->body) &&
		    !strcmp(strmap_get(&all[i]->meta->labels, LABEL_SERVICE_NAME), name)) {
			assert_true(found < in.n_slices);
			assert_ptr_equal(in.slices[found++], all[i]);
		}
	assert_int_equal(found, in.n_slices);
	arena_fini(&a);
}

static void count_service(void *arg, const struct service *s)
{
	(void)s;
	++*(size_t *)arg;
}

static void check_services(const struct world *w)
{
	size_t n_pods, n;
	const struct object *const *pods = cluster_all(w->c, KIND_POD, &n_pods);
	const struct object *const *services = cluster_all(w->c, KIND_SERVICE, &n);

	for (size_t i = 0; i < n_pods; i++) {
		size_t want = 0, got = 0;

		for (size_t k = 0; k < n; k++)
			want += is_selected(services[k]->body, pods[i],
					    services[k]->meta->namespace);
		belonging_services(w->b, pods[i], count_service, &got);
		assert_int_equal(got, want);
	}
}

static void check(const struct world *w)
{
	char name[8];

	for (unsigned i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "s%u", i % 6);
		check_gathered(w, namespaces[i / 6], name);
	}
	check_services(w);
}

static void test_random(void **state)
{
	struct world w = { .c = cluster_new(), .b = belonging_new(), .seed = 1 };

	(void)state;
	for (unsigned i = 0; i < STEPS; i++) {
		change(&w);
		if (i % 10 == 0)
			check(&w);
	}
	/* The same from all of them at once. */
	belonging_free(w.b);
	w.b = belonging_new();
	assert_int_equal(belonging_fill(w.b, w.c), 0);
	check(&w);
	belonging_free(w.b);
	cluster_free(w.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
