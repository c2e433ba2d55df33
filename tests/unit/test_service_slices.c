// SPDX-License-Identifier: Apache-2.0
/* core/service/slices: from pods to EndpointSlices. Expectations from KEP-752, KEP-1672, KEP-2433,
 * KEP-3015 and KEP-4444. Each step is carried out on the cluster, and planned again: nothing. */
#include "base/buf.h"
#include "core/service/slices.h"
#include "model/record.h"
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add(struct cluster *c, const char *yaml)
{
	struct manifest m = { .n_items = 0 };

	manifest_parse(&m, "test", yaml, strlen(yaml));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, c);
	manifest_fini(&m);
}

#define NODES                                                                                      \
	"{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: " \
	"a}}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: n2}}\n---\n"
#define SERVICE(spec)                                                                              \
	"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, labels: {team: "   \
	"t}}, spec: {clusterIP: 10.96.0.9, ipFamilies: [IPv4], selector: {app: web}, " spec "}}\n"
#define PORT80 "ports: [{name: http, port: 80, targetPort: http}]"

static void add_pod(struct cluster *c, const char *name, unsigned number, int port,
		    const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, labels: {app: "
		 "web}}, spec: {nodeName: n%u, containers: [{name: c, image: i, ports: [{name: "
		 "http, containerPort: %d}]}]}, status: {phase: Running, podIPs: [{ip: "
		 "10.244.%u.%u}, {ip: 'fd00::%x'}], conditions: [{type: Ready, status: '%s'}]}}\n",
		 name, number % 2 + 1, port, number / 256, number % 256, number + 1,
		 more ? more : "True");
	add(c, text);
}

/* What the plan writes, as "made 2 changed 0 deleted 0". It is carried out. */
struct tally {
	unsigned made, changed, deleted;
};

static void carry_out(struct cluster *c, const struct svc_slice_write *w)
{
	const struct kind *k = kind_by_id(KIND_ENDPOINTSLICE);
	struct buf b = { 0 };
	struct object *o;
	struct wire body;
	struct err e;

	if (!w->now) {
		object_free(cluster_take(c, KIND_ENDPOINTSLICE, "shop", w->old->meta->name));
		return;
	}
	o = object_new(k);
	assert_non_null(o);
	assert_int_equal(record_body(&b, k->schema, w->now, &e), 0);
	body = wire_from(b.v, b.n);
	assert_int_equal(record_decode(&body, k->schema, o->body, &o->arena, &e), 0);
	buf_fini(&b);
	object_free(cluster_put(c, o));
}

static struct tally plan(struct cluster *c)
{
	size_t n_pods, n_slices, k = 0, m = 0;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n_pods);
	const struct object *const *slices = cluster_all(c, KIND_ENDPOINTSLICE, &n_slices);
	const struct object *service = cluster_get(c, KIND_SERVICE, "shop", "web");
	const struct pod *matched[512];
	const struct object *ours[16];
	struct svc_pods in = { .service = service ? service->body : NULL, .cluster = c };
	struct svc_slices_plan p;
	struct tally t = { 0 };
	struct arena a;

	arena_init(&a, 0);
	for (size_t i = 0; i < n_pods; i++)
		matched[k++] = pods[i]->body;
	for (size_t i = 0; i < n_slices; i++)
		if (svc_slice_is_ours(slices[i]->body))
			ours[m++] = slices[i];
	in.pods = matched;
	in.n_pods = k;
	in.slices = ours;
	in.n_slices = m;
	assert_int_equal(svc_slices_plan(&in, &a, &p, NULL), 0);
	for (uint32_t i = 0; i < p.writes.n; i++) {
		t.made += !p.writes.v[i].old;
		t.deleted += !p.writes.v[i].now;
		t.changed += p.writes.v[i].old && p.writes.v[i].now;
		carry_out(c, &p.writes.v[i]);
	}
	arena_fini(&a);
	return t;
}

static void expect(struct cluster *c, unsigned made, unsigned changed, unsigned deleted)
{
	struct tally t = plan(c);

	assert_int_equal(t.made, made);
	assert_int_equal(t.changed, changed);
	assert_int_equal(t.deleted, deleted);
	t = plan(c);
	assert_int_equal(t.made + t.changed + t.deleted, 0);
}

static const struct endpoint_slice *slice(const struct cluster *c, size_t i)
{
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_ENDPOINTSLICE, &n);

	assert_true(i < n);
	return v[i]->body;
}

static void test_one(void **state)
{
	struct cluster *c = cluster_new();
	const struct slice_endpoint *ep;
	const struct endpoint_slice *s;

	add(c, NODES SERVICE(PORT80));
	expect(c, 0, 0, 0);
	add_pod(c, "p0", 0, 8080, NULL);
	expect(c, 1, 0, 0);
	s = slice(c, 0);
	assert_int_equal(s->addressType, SLICE_IPV4);
	assert_string_equal(strmap_get(&s->meta.labels, LABEL_SERVICE_NAME), "web");
	assert_string_equal(strmap_get(&s->meta.labels, "team"), "t");
	assert_string_equal(s->meta.ownerReferences.v[0].name, "web");
	assert_int_equal(s->ports.n, 1);
	assert_string_equal(s->ports.v[0].name, "http");
	assert_int_equal(s->ports.v[0].port, 8080);
	ep = &s->endpoints.v[0];
	assert_string_equal(ep->addresses.v[0], "10.244.0.0");
	assert_string_equal(ep->targetRef->name, "p0");
	assert_string_equal(ep->nodeName, "n1");
	assert_string_equal(ep->zone, "a");
	assert_int_equal(ep->conditions.ready, TRI_TRUE);
	assert_null(ep->hints);

	add_pod(c, "p0", 0, 8080, "False");
	expect(c, 0, 1, 0);
	assert_int_equal(slice(c, 0)->endpoints.v[0].conditions.ready, TRI_FALSE);
	add(c, SERVICE(PORT80 ", publishNotReadyAddresses: true"));
	expect(c, 0, 1, 0);
	assert_int_equal(slice(c, 0)->endpoints.v[0].conditions.ready, TRI_TRUE);
	assert_int_equal(slice(c, 0)->endpoints.v[0].conditions.serving, TRI_FALSE);
	object_free(cluster_take(c, KIND_SERVICE, "shop", "web"));
	expect(c, 0, 0, 1);
	cluster_free(c);
}

static void test_port_groups_and_families(void **state)
{
	struct cluster *c = cluster_new();

	add(c, NODES SERVICE(PORT80));
	add_pod(c, "p0", 0, 8080, NULL);
	add_pod(c, "p1", 1, 9090, NULL);
	expect(c, 2, 0, 0);
	/* A pod that resolves the name anew moves: the slice that it leaves is empty. */
	add_pod(c, "p1", 1, 8080, NULL);
	expect(c, 0, 1, 1);
	add(c, "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, labels: "
	       "{team: t}}, spec: {clusterIP: 10.96.0.9, ipFamilies: [IPv4, IPv6], "
	       "ipFamilyPolicy: PreferDualStack, selector: {app: web}, " PORT80 "}}\n");
	expect(c, 1, 0, 0);
	cluster_free(c);
}

/* Ended for good, evicted for one: no endpoint, whatever its conditions say. */
static void test_ended_pods(void **state)
{
	static const char *const phases[] = { "Failed", "Succeeded" };

	for (size_t i = 0; i < 2; i++) {
		struct cluster *c = cluster_new();
		char text[512];

		add(c, NODES SERVICE(PORT80));
		add_pod(c, "p", 0, 8080, NULL);
		expect(c, 1, 0, 0);
		snprintf(text, sizeof(text),
			 "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: "
			 "{app: "
			 "web}}, status: {phase: %s, podIPs: [{ip: 10.244.0.1}], conditions: "
			 "[{type: Ready, "
			 "status: 'True'}]}}\n",
			 phases[i]);
		add(c, text);
		expect(c, 0, 0, 1);
		cluster_free(c);
	}
}

/* An init container that goes on is a place to look for a port's name, one that ends is none. */
static void test_ports_of_init_containers(void **state)
{
	static const char *const policies[] = { ", restartPolicy: Always", "" };

	for (size_t i = 0; i < 2; i++) {
		struct cluster *c = cluster_new();
		char text[1024];

		snprintf(text, sizeof(text),
			 "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: "
			 "{app: "
			 "web}}, spec: {containers: [{name: c, image: i}], initContainers: [{name: "
			 "i, image: i%s, ports: "
			 "[{name: http, containerPort: 8080}]}]}, status: {podIPs: [{ip: "
			 "10.244.0.1}]}}\n",
			 policies[i]);
		add(c, NODES SERVICE(PORT80));
		add(c, text);
		expect(c, 1, 0, 0);
		assert_int_equal(slice(c, 0)->ports.n, i == 0);
		if (i == 0)
			assert_int_equal(slice(c, 0)->ports.v[0].port, 8080);
		cluster_free(c);
	}
}

static void test_hundreds(void **state)
{
	struct cluster *c = cluster_new();
	char name[16];

	add(c, NODES SERVICE(PORT80));
	for (unsigned i = 0; i < 250; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		add_pod(c, name, i, 8080, NULL);
	}
	expect(c, 3, 0, 0);
	add_pod(c, "q", 400, 8080, NULL);
	expect(c, 0, 1, 0); /* into the one with room */
	object_free(cluster_take(c, KIND_POD, "shop", "p7"));
	expect(c, 0, 1, 0);
	object_free(cluster_take(c, KIND_POD, "shop", "p8"));
	add_pod(c, "r", 401, 8080, NULL);
	expect(c, 0, 1, 0); /* into the one that changes anyway */
	cluster_free(c);
}

static void test_hints(void **state)
{
	struct cluster *c = cluster_new();
	const struct slice_endpoint *v;

	add(c, NODES SERVICE(PORT80 ", trafficDistribution: PreferSameNode"));
	add_pod(c, "p0", 0, 8080, NULL);
	add_pod(c, "p1", 1, 8080, NULL);
	add_pod(c, "p2", 2, 8080, "False");
	expect(c, 1, 0, 0);
	v = slice(c, 0)->endpoints.v;
	assert_string_equal(v[0].hints->forNodes.v[0].name, "n1");
	assert_string_equal(v[0].hints->forZones.v[0].name, "a");
	assert_int_equal(v[1].hints->forZones.n, 0); /* n2 has no zone */
	assert_null(v[2].hints);
	add(c, SERVICE(PORT80 ", trafficDistribution: PreferClose"));
	expect(c, 0, 1, 0);
	v = slice(c, 0)->endpoints.v;
	assert_int_equal(v[0].hints->forNodes.n, 0);
	assert_null(v[1].hints);
	cluster_free(c);
}

static void test_others(void **state)
{
	struct cluster *c = cluster_new();

	add(c, NODES SERVICE(PORT80));
	add(c, "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-x, "
	       "namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, "
	       "endpoints: [{addresses: [10.9.9.9]}]}\n");
	assert_false(svc_slice_is_ours(slice(c, 0)));
	add_pod(c, "p0", 0, 8080, NULL);
	expect(c, 1, 0, 0);
	object_free(cluster_take(c, KIND_POD, "shop", "p0"));
	expect(c, 0, 0, 1);
	assert_string_equal(slice(c, 0)->meta.name, "web-x");
	cluster_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),        cmocka_unit_test(test_port_groups_and_families),
		cmocka_unit_test(test_ended_pods), cmocka_unit_test(test_ports_of_init_containers),
		cmocka_unit_test(test_hundreds),   cmocka_unit_test(test_hints),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
