// SPDX-License-Identifier: Apache-2.0
/* core/service/allocate: what Services get. Expectations from Kubernetes' documents on Services,
 * dual stack (KEP-563) and the low ends of ranges (KEP-3070, KEP-3668). */
#include "core/service/allocate.h"
#include "core/service/condition.h"
#include "store/manifest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct world {
	struct cluster *cluster;
	struct prefix ranges[2];
	struct svc_ranges r;
	struct svc_alloc *alloc;
	struct arena mem;
	struct service got;
	bool changed;
	struct err e;
};

static void open_world(struct world *w, const char *v4, const char *v6)
{
	*w = (struct world){ .cluster = cluster_new(),
			     .r = { .port_first = 30000, .port_last = 32767 } };
	w->r.addresses.v = w->ranges;
	if (v4)
		assert_int_equal(prefix_parse(v4, &w->ranges[w->r.addresses.n++]), 0);
	if (v6)
		assert_int_equal(prefix_parse(v6, &w->ranges[w->r.addresses.n++]), 0);
	w->alloc = svc_alloc_new(&w->r);
	assert_non_null(w->alloc);
	arena_init(&w->mem, 0);
}

static void close_world(struct world *w)
{
	svc_alloc_free(w->alloc);
	cluster_free(w->cluster);
	arena_fini(&w->mem);
}

/* Sets Service default/NAME with this spec and returns it. */
static const struct service *set(struct world *w, const char *name, const char *spec)
{
	struct manifest m = { .n_items = 0 };
	char text[1024];
	const struct object *o;

	snprintf(text, sizeof(text),
		 "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: default}, "
		 "spec: {%s}}\n",
		 name, spec);
	manifest_parse(&m, "test", text, strlen(text));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
	o = cluster_get(w->cluster, KIND_SERVICE, "default", name);
	assert_int_equal(svc_alloc_set(w->alloc, o->body), 0);
	return o->body;
}

static int fill(struct world *w, const char *name, const char *spec)
{
	return svc_alloc_fill(w->alloc, set(w, name, spec), &w->mem, &w->got, &w->changed, &w->e);
}

static void refused(struct world *w, const char *name, const char *spec, int code, const char *why)
{
	assert_int_equal(fill(w, name, spec), code);
	assert_string_equal(w->e.text, why);
}

#define PORT "ports: [{port: 80}]"

static struct ipaddr address(const struct world *w, uint32_t i)
{
	struct ipaddr a;

	assert_true(i < w->got.spec.clusterIPs.n);
	assert_int_equal(addr_parse(w->got.spec.clusterIPs.v[i], &a), 0);
	return a;
}

static uint64_t offset(const struct world *w, uint32_t i, uint32_t range)
{
	struct ipaddr a = address(w, i);

	assert_true(prefix_has(&w->ranges[range], &a));
	return addr_sub(&a, &w->ranges[range].addr);
}

static void test_single_stack(void **state)
{
	struct world w;
	char first[ADDR_TEXT];

	open_world(&w, "10.96.0.0/16", NULL);
	assert_int_equal(fill(&w, "a", PORT), 0);
	assert_true(w.changed);
	assert_int_equal(w.got.spec.clusterIPs.n, 1);
	assert_string_equal(w.got.spec.clusterIP, w.got.spec.clusterIPs.v[0]);
	assert_int_equal(w.got.spec.ipFamilyPolicy, SINGLE_STACK);
	assert_int_equal(w.got.spec.ipFamilies.n, 1);
	assert_int_equal(w.got.spec.ipFamilies.v[0], IP_FAMILY_4);
	assert_true(offset(&w, 0, 0) >= 256); /* the low end is people's */
	assert_int_equal(w.got.spec.ports.v[0].nodePort, 0);
	strcpy(first, w.got.spec.clusterIP);

	/* What was filled in lacks nothing, and a Service that is made anew gets the same. */
	assert_int_equal(svc_alloc_set(w.alloc, &w.got), 0);
	assert_int_equal(svc_alloc_fill(w.alloc, &w.got, &w.mem, &w.got, &w.changed, &w.e), 0);
	assert_false(w.changed);
	svc_alloc_drop(w.alloc, "default", "a");
	assert_int_equal(fill(&w, "a", PORT), 0);
	assert_string_equal(w.got.spec.clusterIP, first);
	close_world(&w);
}

static void test_families(void **state)
{
	struct world w;

	open_world(&w, "10.96.0.0/16", "fd00:96::/112");
	assert_int_equal(fill(&w, "dual", PORT ", ipFamilyPolicy: RequireDualStack"), 0);
	assert_int_equal(address(&w, 0).family, AF_INET);
	assert_int_equal(address(&w, 1).family, AF_INET6);
	assert_true(offset(&w, 1, 1) >= 256);
	assert_int_equal(fill(&w, "six", PORT ", ipFamilies: [IPv6]"), 0);
	assert_int_equal(w.got.spec.clusterIPs.n, 1);
	assert_int_equal(address(&w, 0).family, AF_INET6);
	assert_int_equal(
		fill(&w, "turned", PORT ", ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6]"),
		0);
	assert_int_equal(address(&w, 0).family, AF_INET6);
	assert_int_equal(address(&w, 1).family, AF_INET);
	/* A second family for one that has an address keeps that. */
	assert_int_equal(
		fill(&w, "grown", PORT ", clusterIP: 10.96.0.9, ipFamilyPolicy: PreferDualStack"),
		0);
	assert_string_equal(w.got.spec.clusterIPs.v[0], "10.96.0.9");
	assert_int_equal(address(&w, 1).family, AF_INET6);
	close_world(&w);

	open_world(&w, NULL, "fd00:96::/112");
	assert_int_equal(fill(&w, "a", PORT ", ipFamilyPolicy: PreferDualStack"), 0);
	assert_int_equal(w.got.spec.clusterIPs.n, 1);
	assert_int_equal(address(&w, 0).family, AF_INET6);
	refused(&w, "b", PORT ", ipFamilyPolicy: RequireDualStack", -EINVAL,
		"no service-cidr of IPv4 is configured");
	refused(&w, "c", PORT ", ipFamilies: [IPv4]", -EINVAL,
		"no service-cidr of IPv4 is configured");
	close_world(&w);
}

static void test_without_addresses(void **state)
{
	struct world w;

	open_world(&w, "10.96.0.0/16", NULL);
	assert_int_equal(fill(&w, "a", PORT ", clusterIP: None, selector: {app: a}"), 0);
	assert_int_equal(w.got.spec.clusterIPs.n, 1);
	assert_string_equal(w.got.spec.clusterIPs.v[0], "None");
	assert_int_equal(w.got.spec.ipFamilies.n, 1);
	/* Without a selector its endpoints may be of any family. */
	assert_int_equal(fill(&w, "b", "clusterIP: None"), 0);
	assert_int_equal(w.got.spec.ipFamilies.n, 2);
	assert_int_equal(w.got.spec.ipFamilyPolicy, REQUIRE_DUAL_STACK);
	assert_int_equal(fill(&w, "c", "type: ExternalName, externalName: example.com"), 0);
	assert_false(w.changed);
	assert_null(w.got.spec.clusterIP);
	close_world(&w);
}

static void test_conflict(void **state)
{
	const struct service *b;
	const char *ns, *name;
	struct world w;

	open_world(&w, "10.96.0.0/16", NULL);
	assert_int_equal(fill(&w, "a", PORT ", clusterIP: 192.0.2.7"), 0); /* outside: honoured */
	assert_string_equal(w.got.spec.clusterIP, "192.0.2.7");
	refused(&w, "b", PORT ", clusterIP: 192.0.2.7", -EEXIST,
		"192.0.2.7 is the cluster IP of default/a");
	b = set(&w, "b", PORT ", clusterIP: 192.0.2.7");
	assert_true(svc_alloc_refused(w.alloc, b, w.e.text));
	assert_false(svc_alloc_refused(w.alloc, b, w.e.text));             /* no news */
	assert_int_equal(fill(&w, "a", PORT ", clusterIP: 192.0.2.7"), 0); /* still first */

	/* The holder goes: b is looked at again, and has it. */
	assert_true(svc_alloc_next(w.alloc, &ns, &name));
	svc_alloc_drop(w.alloc, "default", "a");
	assert_true(svc_alloc_next(w.alloc, &ns, &name));
	assert_string_equal(name, "b");
	assert_false(svc_alloc_pending(w.alloc));
	assert_int_equal(svc_alloc_fill(w.alloc, b, &w.mem, &w.got, &w.changed, &w.e), 0);
	close_world(&w);
}

static void test_full(void **state)
{
	struct world w;
	bool seen[32] = { false };
	char name[8];

	/* Of 32 addresses: network, API server's and broadcast are not given. */
	open_world(&w, "10.96.0.0/27", NULL);
	for (unsigned i = 0; i < 29; i++) {
		uint64_t at;

		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(fill(&w, name, PORT), 0);
		at = offset(&w, 0, 0);
		assert_true(at >= 2 && at < 31 && !seen[at]);
		assert_true(at >= 16 || i >= 15); /* the low end last */
		seen[at] = true;
	}
	refused(&w, "more", PORT, -ENOSPC, "no IPv4 address of service-cidr is free");
	svc_alloc_drop(w.alloc, "default", "s7");
	assert_int_equal(fill(&w, "more", PORT), 0);
	close_world(&w);
}

#define TWO "ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]"

static void test_node_ports(void **state)
{
	const struct service_port *p;
	struct world w;
	int64_t first;

	open_world(&w, "10.96.0.0/16", NULL);
	assert_int_equal(fill(&w, "a", "type: NodePort, " TWO), 0);
	p = w.got.spec.ports.v;
	assert_true(p[0].nodePort >= 30086 && p[0].nodePort <= 32767);
	assert_int_equal(p[0].nodePort, p[1].nodePort); /* protocols have ports of their own */
	first = p[0].nodePort;
	assert_int_equal(fill(&w, "b", "type: NodePort, ports: [{port: 80, nodePort: 80}]"), 0);
	assert_int_equal(w.got.spec.ports.v[0].nodePort, 80);
	refused(&w, "c", "type: NodePort, ports: [{port: 1, nodePort: 80}]", -EEXIST,
		"node port 80/TCP is that of default/b");
	assert_int_equal(
		fill(&w, "d", "type: NodePort, ports: [{port: 1, protocol: UDP, nodePort: 80}]"),
		0);
	/* Applied without its ports it gets them again. */
	assert_int_equal(fill(&w, "a", "type: NodePort, " TWO), 0);
	assert_int_equal(w.got.spec.ports.v[0].nodePort, first);

	assert_int_equal(fill(&w, "lb", "type: LoadBalancer, " TWO), 0);
	assert_true(w.got.spec.ports.v[1].nodePort);
	assert_int_equal(w.got.spec.healthCheckNodePort, 0);
	assert_int_equal(fill(&w, "lb",
			      "type: LoadBalancer, externalTrafficPolicy: Local, "
			      "allocateLoadBalancerNodePorts: false, " TWO),
			 0);
	assert_int_equal(w.got.spec.ports.v[1].nodePort, 0);
	assert_true(w.got.spec.healthCheckNodePort >= 30086);
	close_world(&w);
}

/* The next range of the family, once one is full. */
static void test_second_range(void **state)
{
	struct world w;
	char name[8];

	open_world(&w, "10.96.0.0/29", "10.97.0.0/29");
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(fill(&w, name, PORT), 0);
		assert_in_range(offset(&w, 0, i / 5), 2, 6);
	}
	refused(&w, "more", PORT, -ENOSPC, "no IPv4 address of service-cidr is free");
	close_world(&w);
}

/* One that is refused for want of a port gives its address back, and wakes nobody for ever. */
static void test_no_port(void **state)
{
	const char *ns, *name;
	const struct service *s;
	struct world w;

	open_world(&w, "10.96.0.0/16", NULL);
	svc_alloc_free(w.alloc);
	w.r.port_last = 30000;
	w.alloc = svc_alloc_new(&w.r);
	assert_int_equal(fill(&w, "a", "type: NodePort, " PORT), 0);
	assert_int_equal(w.got.spec.ports.v[0].nodePort, 30000);
	for (unsigned i = 0; i < 2; i++) {
		s = set(&w, i ? "c" : "b", "type: NodePort, " PORT);
		assert_int_equal(svc_alloc_fill(w.alloc, s, &w.mem, &w.got, &w.changed, &w.e),
				 -ENOSPC);
		assert_true(svc_alloc_refused(w.alloc, s, w.e.text));
	}
	assert_true(svc_alloc_next(w.alloc, &ns, &name));
	assert_string_equal(name, "a");
	assert_false(svc_alloc_pending(w.alloc));
	svc_alloc_drop(w.alloc, "default", "a");
	assert_true(svc_alloc_next(w.alloc, &ns, &name));
	assert_string_equal(name, "b");
	close_world(&w);
}

static void expect_conditions(const struct service *s, uint32_t n, const char *reason)
{
	const struct pod_condition *c;

	assert_int_equal(s->status.conditions.n, n);
	c = &s->status.conditions.v[n - 1];
	assert_string_equal(c->type, reason ? CONDITION_ALLOCATED : "example.org/Mine");
	assert_string_equal(c->status, reason ? "False" : "True");
	if (reason)
		assert_string_equal(c->reason, reason);
}

/* It comes with the first refusal, says why, and goes; that of somebody else stays. */
static void test_condition(void **state)
{
	struct pod_condition mine = { .type = "example.org/Mine", .status = "True" };
	struct service s = { .meta = { .name = "s" } }, out;
	struct err e, why;
	struct arena mem;
	bool changed;

	arena_init(&mem, 0);
	s.status.conditions.v = &mine;
	s.status.conditions.n = 1;
	assert_int_equal(svc_condition(&s, NULL, &mem, &out, &changed, &e), 0);
	assert_false(changed);
	err_set(&why, -EEXIST, "10.96.0.9 is the cluster IP of a/b");
	assert_int_equal(svc_condition(&s, &why, &mem, &out, &changed, &e), 0);
	assert_true(changed);
	expect_conditions(&out, 2, "Taken");
	assert_string_equal(out.status.conditions.v[1].message, why.text);
	s = out;
	assert_int_equal(svc_condition(&s, &why, &mem, &out, &changed, &e), 0);
	assert_false(changed);
	err_set(&why, -ENOSPC, "no port of node-port-range is free");
	assert_int_equal(svc_condition(&s, &why, &mem, &out, &changed, &e), 0);
	assert_true(changed);
	expect_conditions(&out, 2, "Exhausted");
	err_set(&why, -EINVAL, "no service-cidr of IPv6 is configured");
	assert_int_equal(svc_condition(&s, &why, &mem, &out, &changed, &e), 0);
	expect_conditions(&out, 2, "NoRange");
	assert_int_equal(svc_condition(&s, NULL, &mem, &out, &changed, &e), 0);
	assert_true(changed);
	expect_conditions(&out, 1, NULL);
	arena_fini(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_stack),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_without_addresses),
		cmocka_unit_test(test_conflict),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_node_ports),
		cmocka_unit_test(test_second_range),
		cmocka_unit_test(test_no_port),
		cmocka_unit_test(test_condition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
