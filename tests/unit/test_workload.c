// SPDX-License-Identifier: Apache-2.0
/* Workloads on clusters written as manifests; expectations by hand from Kubernetes' rules. */
#include "base/buf.h"
#include "core/workload/workload.h"
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(struct cluster *c, const char *yaml)
{
	struct manifest m = { .n_items = 0 };

	manifest_parse(&m, "test", yaml, strlen(yaml));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	assert_int_equal(m.n_ignored, 0);
	manifest_into_cluster(&m, c);
	manifest_fini(&m);
}

static struct cluster *cluster_of(const char *yaml)
{
	struct cluster *c = cluster_new();

	add(c, yaml);
	return c;
}

static void settle(struct cluster *c)
{
	struct workload_plan plan = { .creates = { NULL, 0 } };
	struct arena a;

	assert_int_equal(workload_settle(c, NULL), 0);
	arena_init(&a, 0);
	assert_int_equal(workload_plan(c, &a, &plan, NULL), 0);
	assert_int_equal(plan.creates.n, 0);
	assert_int_equal(plan.deletes.n, 0);
	arena_fini(&a);
}

/* "name@node name@node …" of all pods, in order. */
static void expect_pods(const struct cluster *c, const char *want)
{
	struct buf b = { .v = NULL };
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_POD, &n);

	buf_puts(&b, "");
	for (size_t i = 0; i < n; i++) {
		const struct pod *p = v[i]->body;

		buf_printf(&b, "%s%s@%s", i ? " " : "", p->meta.name,
			   p->spec.nodeName ? p->spec.nodeName : "-");
	}
	assert_string_equal(b.v ? b.v : "", want);
	buf_fini(&b);
}

static size_t pods_on(const struct cluster *c, const char *node, const char *prefix)
{
	size_t n, count = 0;
	const struct object *const *v = cluster_all(c, KIND_POD, &n);

	for (size_t i = 0; i < n; i++) {
		const struct pod *p = v[i]->body;

		count += p->spec.nodeName && !strcmp(p->spec.nodeName, node) &&
			 !strncmp(p->meta.name, prefix, strlen(prefix));
	}
	return count;
}

static size_t pods(const struct cluster *c)
{
	size_t n;

	cluster_all(c, KIND_POD, &n);
	return n;
}

#define NODES                                                                                      \
	"{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}}\n---\n"             \
	"{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {zone: b}}}\n---\n"             \
	"{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {zone: b}}}\n---\n"

#define WORKLOAD(kind, spec, pod)                                                                  \
	"{apiVersion: apps/v1, kind: " kind ", metadata: {name: w, namespace: shop}, spec: {" spec \
	"selector: {matchLabels: {app: w}}, template: {metadata: {labels: {app: w}}, "             \
	"spec: {containers: [{name: c}]" pod "}}}}\n---\n"

static void test_deployment(void **state)
{
	struct cluster *c = cluster_of(NODES WORKLOAD("Deployment", "replicas: 3, ", ""));
	struct cluster *again = cluster_of(WORKLOAD("Deployment", "replicas: 3, ", "") NODES);
	const struct object *const *v, *const *w;
	const struct pod *p;
	char old[256];
	size_t n;

	settle(c);
	settle(again);
	v = cluster_all(c, KIND_POD, &n);
	w = cluster_all(again, KIND_POD, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		const char *name = v[i]->meta->name;

		assert_string_equal(name, w[i]->meta->name);
		/* w-<10>-<5> of Kubernetes' alphabet */
		assert_int_equal(strlen(name), 1 + 1 + 10 + 1 + 5);
		assert_int_equal(strspn(name + 2, "bcdfghjklmnpqrstvwxz2456789"), 10);
		assert_int_equal(strspn(name + 13, "bcdfghjklmnpqrstvwxz2456789"), 5);
	}
	p = v[0]->body;
	assert_string_equal(p->meta.namespace, "shop");
	assert_string_equal(strmap_get(&p->meta.labels, "app"), "w");
	assert_non_null(strmap_get(&p->meta.labels, "pod-template-hash"));
	assert_int_equal(p->meta.ownerReferences.n, 1);
	assert_string_equal(p->meta.ownerReferences.v[0].kind, "Deployment");
	assert_string_equal(p->meta.ownerReferences.v[0].name, "w");
	assert_int_equal(p->meta.ownerReferences.v[0].controller, 1);
	assert_string_equal(p->spec.containers.v[0].name, "c");
	for (const char *node = "n1\0n2\0n3\0"; *node; node += 3)
		assert_int_equal(pods_on(c, node, "w-"), 1);
	snprintf(old, sizeof(old), "%s", p->meta.name);
	/* Fewer: two of the three stay. More: they are still there. */
	add(c, WORKLOAD("Deployment", "replicas: 2, ", ""));
	settle(c);
	assert_int_equal(pods(c), 2);
	add(c, WORKLOAD("Deployment", "replicas: 30, ", ""));
	settle(c);
	assert_int_equal(pods(c), 30);
	for (const char *node = "n1\0n2\0n3\0"; *node; node += 3)
		assert_int_equal(pods_on(c, node, "w-"), 10);
	/* Another template: all are new. */
	add(c, WORKLOAD("Deployment", "replicas: 3, ", ", hostNetwork: true"));
	settle(c);
	assert_int_equal(pods(c), 3);
	assert_null(cluster_get(c, KIND_POD, "shop", old));
	/* Replicas given as 0, and absent (1). */
	add(c, WORKLOAD("Deployment", "replicas: 0, ", ""));
	settle(c);
	assert_int_equal(pods(c), 0);
	add(c, WORKLOAD("Deployment", "", ""));
	settle(c);
	assert_int_equal(pods(c), 1);
	object_free(cluster_take(c, KIND_DEPLOYMENT, "shop", "w"));
	settle(c);
	assert_int_equal(pods(c), 0);
	cluster_free(c);
	cluster_free(again);
}

static void test_scale_keeps_pods(void **state)
{
	struct cluster *c = cluster_of(WORKLOAD("ReplicaSet", "replicas: 5, ", ""));
	char names[3][64];
	const struct object *const *v;
	size_t n;

	add(c, WORKLOAD("ReplicaSet", "replicas: 3, ", ""));
	settle(c);
	v = cluster_all(c, KIND_POD, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++)
		snprintf(names[i], sizeof(names[i]), "%s", v[i]->meta->name);
	add(c, WORKLOAD("ReplicaSet", "replicas: 9, ", ""));
	settle(c);
	add(c, WORKLOAD("ReplicaSet", "replicas: 3, ", ""));
	settle(c);
	assert_int_equal(pods(c), 3);
	for (size_t i = 0; i < 3; i++)
		assert_non_null(cluster_get(c, KIND_POD, "shop", names[i]));
	cluster_free(c);
}

static void test_statefulset(void **state)
{
	struct cluster *c =
		cluster_of(NODES WORKLOAD("StatefulSet", "serviceName: db, replicas: 3, ", ""));
	const struct pod *p;
	char first[64];

	settle(c);
	expect_pods(c, "w-0@n1 w-1@n2 w-2@n3");
	p = cluster_get(c, KIND_POD, "shop", "w-1")->body;
	assert_string_equal(p->spec.hostname, "w-1");
	assert_string_equal(p->spec.subdomain, "db");
	assert_string_equal(strmap_get(&p->meta.labels, "statefulset.kubernetes.io/pod-name"),
			    "w-1");
	assert_string_equal(strmap_get(&p->meta.labels, "apps.kubernetes.io/pod-index"), "1");
	snprintf(first, sizeof(first), "%s", strmap_get(&p->meta.labels, LABEL_TEMPLATE));
	add(c, WORKLOAD("StatefulSet", "serviceName: db, replicas: 2, ", ""));
	settle(c);
	expect_pods(c, "w-0@n1 w-1@n2");
	add(c, WORKLOAD("StatefulSet", "serviceName: db, replicas: 2, ", ", dnsPolicy: Default"));
	settle(c);
	expect_pods(c, "w-0@n1 w-1@n2");
	p = cluster_get(c, KIND_POD, "shop", "w-1")->body;
	assert_string_not_equal(first, strmap_get(&p->meta.labels, LABEL_TEMPLATE));
	cluster_free(c);
}

static void test_daemonset(void **state)
{
	struct cluster *c = cluster_of(NODES WORKLOAD("DaemonSet", "", ""));

	settle(c);
	assert_int_equal(pods(c), 3);
	for (const char *node = "n1\0n2\0n3\0"; *node; node += 3)
		assert_int_equal(pods_on(c, node, "w-"), 1);
	/* A cordoned node keeps its pod, a tainted one has none, a new one gets one. */
	add(c, "{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {unschedulable: true}}\n"
	       "---\n{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {taints: [{key: k, "
	       "effect: NoSchedule}]}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: n4}}");
	settle(c);
	assert_int_equal(pods(c), 3);
	assert_int_equal(pods_on(c, "n1", "w-"), 1);
	assert_int_equal(pods_on(c, "n2", "w-"), 0);
	assert_int_equal(pods_on(c, "n4", "w-"), 1);
	add(c, WORKLOAD("DaemonSet", "",
			", nodeSelector: {zone: b}, tolerations: [{operator: Exists}]"));
	settle(c);
	assert_int_equal(pods(c), 1);
	assert_int_equal(pods_on(c, "n3", "w-"), 1);
	cluster_free(c);
}

static void set_phase(struct cluster *c, size_t index, enum pod_phase phase)
{
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_POD, &n);

	assert_true(index < n);
	((struct pod *)v[index]->body)->status.phase = phase;
}

static void test_job(void **state)
{
	struct cluster *c = cluster_of(
		"{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {parallelism: 2, "
		"completions: 3, template: {spec: {restartPolicy: Never, containers: [{name: "
		"c}]}}}}");

	settle(c);
	assert_int_equal(pods(c), 2);
	set_phase(c, 0, POD_SUCCEEDED);
	settle(c);
	assert_int_equal(pods(c), 3);
	set_phase(c, 1, POD_SUCCEEDED);
	set_phase(c, 2, POD_FAILED);
	set_phase(c, 0, POD_SUCCEEDED);
	settle(c);
	assert_int_equal(pods(c), 4); /* one more for the one that failed */
	for (size_t i = 0; i < 4; i++)
		set_phase(c, i, POD_SUCCEEDED);
	settle(c);
	assert_int_equal(pods(c), 4);
	/* What fails always is given up after six retries. */
	for (size_t i = 0; i < 20; i++) {
		for (size_t k = 0; k < pods(c); k++)
			set_phase(c, k, POD_FAILED);
		settle(c);
	}
	assert_in_range(pods(c), 7, 9);
	cluster_free(c);
}

static void test_foreign_pods_stay(void **state)
{
	/* Made by somebody else: not ours to delete, and its name is taken. */
	struct cluster *c = cluster_of(
		"{apiVersion: v1, kind: Pod, metadata: {name: w-0, namespace: shop}}\n---\n"
		"{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: shop, ownerReferences: "
		"[{apiVersion: apps/v1, kind: ReplicaSet, name: gone, controller: "
		"true}]}}\n---\n" WORKLOAD("StatefulSet", "replicas: 2, ", ""));

	settle(c);
	expect_pods(c, "w-0@- w-1@- x@-");
	cluster_free(c);
}

static void test_replicaset_of_deployment(void **state)
{
	struct cluster *c = cluster_of(
		"{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: w-1, ownerReferences: "
		"[{apiVersion: apps/v1, kind: Deployment, name: w, controller: true}]}, spec: "
		"{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}");

	settle(c);
	assert_int_equal(pods(c), 0);
	cluster_free(c);
}

#define POD(name, spec)                                                                            \
	"{apiVersion: v1, kind: Pod, metadata: {name: " name "}, spec: {" spec "}}\n---\n"

static void test_bind(void **state)
{
	struct cluster *c = cluster_of(
		"{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}}\n---\n"
		"{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {unschedulable: "
		"true}}\n---\n"
		"{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {zone: b}}, spec: "
		"{taints: "
		"[{key: gpu, value: big, effect: NoSchedule}, {key: soft, effect: "
		"PreferNoSchedule}]}}\n"
		"---\n" POD("a1", "nodeName: n1") POD("a2", "nodeName: n1") POD("b1", "")
			POD("b2", "nodeSelector: {zone: b}") POD(
				"b3", "tolerations: [{key: gpu, operator: Equal, value: big}]")
				POD("b4", "tolerations: [{key: gpu, value: small}], nodeSelector: "
					  "{zone: b}") POD("b5", "nodeSelector: {zone: c}"));

	settle(c);
	expect_pods(c, "a1@n1 a2@n1 b1@n1 b2@- b3@n3 b4@- b5@-");
	cluster_free(c);
	c = cluster_of(NODES POD("a", "") POD("b", "") POD("c", "") POD("d", "nodeName: n1")
			       POD("e", ""));
	settle(c);
	expect_pods(c, "a@n2 b@n3 c@n1 d@n1 e@n2");
	cluster_free(c);
}

static void test_many(void **state)
{
	struct cluster *c = cluster_of(NODES WORKLOAD("Deployment", "replicas: 2000, ", ""));

	settle(c);
	assert_int_equal(pods(c), 2000); /* names are distinct */
	assert_in_range(pods_on(c, "n1", "w-"), 666, 667);
	cluster_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deployment),
		cmocka_unit_test(test_scale_keeps_pods),
		cmocka_unit_test(test_statefulset),
		cmocka_unit_test(test_daemonset),
		cmocka_unit_test(test_job),
		cmocka_unit_test(test_foreign_pods_stay),
		cmocka_unit_test(test_replicaset_of_deployment),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
