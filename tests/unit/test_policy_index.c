// SPDX-License-Identifier: Apache-2.0
/* core/policy/index: under which addresses a pod is found, and selected, as its status, other nodes
 * and this one come to know it, in any order. What the index makes of changes is told with its
 * encoding: test_nft_policies.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/policy/index.h"
#include "core/policy/match.h"

static struct policy_index *x;
static struct object *pod;
static struct policy_set *all;

static struct ipaddr ip(const char *text)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static struct object *pod_with(const char *status)
{
	struct object *o = object_new(kind_by_id(KIND_POD));
	struct pod *p = o->body;

	p->meta.name = "web";
	p->meta.namespace = "shop";
	if (status)
		p->status.podIP = ip(status);
	return o;
}

static int set_up(void **state)
{
	static struct label_selector everybody;
	static const struct policy_peer peer = { .podSelector = &everybody };

	x = policy_index_new();
	all = x ? policy_set_use_peer(x, "shop", &peer) : NULL;
	pod = NULL;
	return !all;
}

static int tear_down(void **state)
{
	policy_set_release(x, all);
	policy_index_free(x);
	object_free(pod);
	return 0;
}

static void told(struct object *now)
{
	struct err e;

	assert_int_equal(policy_index_changed(x, pod, now, &e), 0);
	object_free(pod);
	pod = now;
}

static void wired(const char *addr)
{
	struct ipaddr a = addr ? ip(addr) : (struct ipaddr){ 0 };
	struct err e;

	assert_int_equal(policy_index_wired(x, "shop", "web", &a, addr != NULL, &e), 0);
}

static void elsewhere(const char *addr)
{
	struct ipaddr a = addr ? ip(addr) : (struct ipaddr){ 0 };
	struct err e;

	assert_int_equal(policy_index_elsewhere(x, "shop", "web", &a, addr != NULL, &e), 0);
}

/* Found, and what the selector of all pods stands for, as the reader would have it. */
static void expect(const char *addr, bool known)
{
	const struct policy_member *m = NULL;
	struct policy_member *taken;
	struct ipaddr a = ip(addr);
	bool is_member = false;

	while ((taken = policy_index_take_member(x)))
		taken->told = taken->wanted;
	while ((m = policy_set_next(all, m)))
		is_member |= m->wanted && addr_eq(&m->addr, &a);
	assert_int_equal(policy_index_pod_at(x, &a) != NULL, known);
	assert_int_equal(is_member, known);
}

static void test_elsewhere_before_its_status(void **state)
{
	told(pod_with(NULL));
	expect("10.0.0.1", false);
	elsewhere("10.0.0.1");
	expect("10.0.0.1", true);
	told(pod_with("10.0.0.1"));
	expect("10.0.0.1", true);
	elsewhere(NULL);
	expect("10.0.0.1", true);
	told(pod_with(NULL));
	expect("10.0.0.1", false);
}

static void test_elsewhere_before_its_object(void **state)
{
	elsewhere("fd00::1");
	expect("fd00::1", false);
	told(pod_with("10.0.0.1"));
	expect("fd00::1", true);
	expect("10.0.0.1", true);
	told(NULL);
	expect("fd00::1", false);
	told(pod_with(NULL));
	expect("fd00::1", true);
}

/* What is here is the book's alone to say. */
static void test_wired_here_decides(void **state)
{
	told(pod_with("10.0.0.1"));
	elsewhere("10.0.0.2");
	wired("10.0.0.3");
	expect("10.0.0.1", false);
	expect("10.0.0.2", false);
	expect("10.0.0.3", true);
	wired(NULL);
	expect("10.0.0.1", true);
	expect("10.0.0.2", true);
	expect("10.0.0.3", false);
	elsewhere(NULL);
	told(NULL);
	expect("10.0.0.2", false);
}

/* Is the address of the node's DNS one of shop's pods'? */
static void expect_dns(bool is)
{
	const struct ipaddr a = ip("10.96.0.10");
	const struct policy_member *m = NULL;
	bool has = false;

	while ((m = policy_set_next(all, m)))
		has |= m->wanted && addr_eq(&m->addr, &a);
	assert_int_equal(has, is);
}

static struct policy_subject *taken(void)
{
	struct policy_subject *s = NULL;
	struct err e;

	assert_int_equal(policy_index_take_subject(x, &s, &e), 0);
	return s;
}

/* The one pod that is due: why it is closed in each direction ("": it is not), how many policies isolate it. */
static void expect_subject(const char *ingress, const char *egress, uint32_t isolating)
{
	const struct policy_subject *s = taken();

	assert_non_null(s);
	assert_string_equal(s->closed[POLICY_INGRESS] ? s->closed[POLICY_INGRESS] : "", ingress);
	assert_string_equal(s->closed[POLICY_EGRESS] ? s->closed[POLICY_EGRESS] : "", egress);
	assert_int_equal(s->isolating[POLICY_INGRESS].n + s->isolating[POLICY_EGRESS].n, isolating);
	assert_null(taken());
}

/* Deleted by force: its processes run, but whom policies mean nobody can say. Closed where some of them isolate. */
static void test_wired_without_its_object(void **state)
{
	struct network_policy p = { .meta = { .namespace = "shop", .name = "p" } };
	struct object o = { .kind = kind_by_id(KIND_NETWORKPOLICY), .meta = &p.meta, .body = &p };
	struct err e;

	told(pod_with("10.0.0.1"));
	wired("10.0.0.3");
	expect_subject("", "", 0);
	told(NULL);
	expect("10.0.0.3", false);
	expect_subject("", "", 0);
	assert_int_equal(policy_index_changed(x, NULL, &o, &e), 0);
	expect_subject(POLICY_NO_OBJECT, "", 0);
	told(pod_with("10.0.0.1"));
	expect("10.0.0.3", true);
	expect_subject("", "", 1);
	policy_index_unknown(x, true);
	expect_subject(POLICY_UNKNOWN, POLICY_UNKNOWN, 0);
	policy_index_unknown(x, false);
	assert_int_equal(policy_index_changed(x, &o, NULL, &e), 0);
	expect_subject("", "", 0);
	wired(NULL);
}

/* As an agent ends: the mirror with its objects first. Under AddressSanitizer a look at them is fatal. */
static void test_objects_may_end_first(void **state)
{
	static struct container container;
	static struct container_port port = { .name = "http", .containerPort = 80 };
	struct policy_set *http = policy_set_use_port(x, PROTO_TCP, "http");
	struct object *o = pod_with("10.0.0.1");
	struct pod *p = o->body;

	assert_non_null(http);
	port.protocol = PROTO_TCP;
	container.ports.v = &port;
	container.ports.n = 1;
	p->spec.containers.v = &container;
	p->spec.containers.n = 1;
	told(o);
	wired("10.0.0.3");
	expect("10.0.0.3", true);
	object_free(pod);
	pod = NULL;
	policy_set_release(x, http);
}

/* ---- the node's own DNS: in shop, where its Service is, it counts as the pod web */

static struct strmap_entry is_dns[] = { { "app", "dns" } };

static struct object *service(const char *ip)
{
	struct object *o = object_new(kind_by_id(KIND_SERVICE));
	struct service *s = o->body;

	s->meta.name = "dns";
	s->meta.namespace = "shop";
	s->spec.clusterIP = ip;
	s->spec.selector = (struct strmap){ is_dns, 1 };
	return o;
}

static void service_told(struct object *old, struct object *now)
{
	struct err e;

	assert_int_equal(policy_index_changed(x, old, now, &e), 0);
	object_free(old);
}

static struct object *dns_pod(void)
{
	struct object *o = pod_with("10.0.0.1");

	o->meta->labels = (struct strmap){ is_dns, 1 };
	return o;
}

static void expect_stand_in(const char *ns, bool wired)
{
	struct policy_subject *s = taken();

	assert_non_null(s);
	assert_string_equal(s->ns, ns);
	assert_string_equal(s->name, "dns@n1");
	assert_int_equal(s->n_addrs, wired);
}

static void test_dns(void **state)
{
	const struct ipaddr addr = ip("10.96.0.10");
	struct network_policy p = { .meta = { .namespace = "shop", .name = "p" },
				    .spec.podSelector = { .matchLabels = { is_dns, 1 } } };
	struct object o = { .kind = kind_by_id(KIND_NETWORKPOLICY), .meta = &p.meta, .body = &p };
	struct object *s = service("10.96.0.10"), *other = service("10.96.0.11");
	struct policy_index_stats n;
	struct err e;

	assert_int_equal(policy_index_dns(x, "n1", &addr, 1, &e), 0);
	policy_index_count(x, &n);
	assert_int_equal(n.pods + n.wired, 0);
	expect_stand_in("kube-system", true);
	assert_string_equal(policy_index_pod_at(x, &addr)->meta.name, "dns@n1");
	expect_dns(false);
	service_told(NULL, s);
	expect_stand_in("kube-system", false);
	expect_stand_in("shop", true);
	expect_dns(true); /* by itself */
	assert_string_equal(policy_index_isolated_dns(x, &p)->meta.name, "dns@n1");
	assert_int_equal(policy_index_changed(x, NULL, &o, &e), 0);
	expect_subject("", "", 1);
	told(pod_with("10.0.0.1"));
	assert_null(taken()); /* it is none of the Service's */
	told(dns_pod());
	expect_dns(true); /* by the pod */
	expect_subject("", "", 1);
	assert_int_equal(policy_index_pod_at(x, &addr)->meta.name[0], 'd');
	told(NULL);
	expect_dns(true);
	expect_subject("", "", 1);
	service_told(s, other);
	expect_stand_in("shop", false);
	expect_stand_in("kube-system", true);
	expect_dns(false);
	service_told(other, NULL);
	assert_null(taken());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_elsewhere_before_its_status, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_elsewhere_before_its_object, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_wired_here_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wired_without_its_object, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_objects_may_end_first, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
