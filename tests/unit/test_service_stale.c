// SPDX-License-Identifier: Apache-2.0
/* core/service/stale: which conntrack entries go, for each way a Service can change. Expectations are
 * from kube-proxy's cleaner and its users' reports, named in stale.h. */
#include "core/service/stale.h"
#include "store/manifest.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct svc_stale *st;
static struct ipaddr own[2];
static struct svc_node node;

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static int set_up(void **state)
{
	own[0] = ip("192.0.2.1");
	own[1] = ip("2001:db8::1");
	node = (struct svc_node){ .name = "n1", .addresses = { own, 2 } };
	st = svc_stale_new();
	return !st;
}

static int tear_down(void **state)
{
	svc_stale_free(st);
	return 0;
}

#define SERVES(a)  "- addresses: [\"" a "\"]\n"
#define UNREADY(a) "- {addresses: [\"" a "\"], conditions: {ready: false}}\n"
#define LEAVING(a)                                                                                 \
	"- {addresses: [\"" a "\"], conditions: {ready: false, serving: true, terminating: "       \
	"true}}\n"
#define PUBLISH(a) "- {addresses: [\"" a "\"], conditions: {ready: true, serving: false}}\n"
#define NONE       "  []\n"

#define A "10.244.1.1"
#define B "10.244.2.1"

/* The Service `name` with this cluster IP, port 53 and node port 30053, and endpoints at 5353. */
static void put(const char *name, const char *proto, const char *address, const char *endpoints)
{
	static const char form[] =
		"apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: ns}\n"
		"spec: {clusterIP: \"%s\", clusterIPs: [\"%s\"], type: NodePort, ports: "
		"[{port: 53, nodePort: 30053, protocol: %s}]}\n---\n"
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
		"metadata: {name: s-1, namespace: ns, labels: {kubernetes.io/service-name: s}}\n"
		"addressType: %s\nports: [{port: 5353, protocol: %s}]\nendpoints:\n%s";
	struct cluster *cluster = cluster_new();
	struct manifest m = { .n_items = 0 };
	struct svc_plan *plans;
	struct arena a;
	struct err e;
	char text[2048];
	size_t n;

	snprintf(text, sizeof(text), form, address, address, proto,
		 strchr(address, ':') ? "IPv6" : "IPv4", proto, endpoints);
	arena_init(&a, 0);
	manifest_parse(&m, "test", text, strlen(text));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, cluster);
	assert_int_equal(svc_plan_cluster(cluster, &node, &a, &plans, &n, &e), 0);
	assert_int_equal(svc_stale_put(st, "ns", name, plans, n, &e), 0);
	arena_fini(&a);
	manifest_fini(&m);
	cluster_free(cluster);
}

static void gone(const char *name)
{
	assert_int_equal(svc_stale_put(st, "ns", name, NULL, 0, NULL), 0);
}

static void pass(void)
{
	svc_stale_begin(st);
	svc_stale_done(st);
	assert_false(svc_stale_due(st));
}

static struct ct_entry entry(uint8_t proto, const char *dst, uint16_t port, const char *to)
{
	struct ct_entry c = { .proto = proto };

	c.orig = (struct ct_tuple){ ip("10.244.9.9"), ip(dst), 4711, port };
	c.reply = (struct ct_tuple){ to ? ip(to) : ip(dst), c.orig.src, to ? 5353 : port, 4711 };
	return c;
}

static enum svc_fate judge(const struct ct_entry *c, const char *service)
{
	const char *name = "?";
	enum svc_fate fate = svc_stale_judge(st, &node, c, &name);

	if (service)
		assert_string_equal(name ? name : "nobody", service);
	assert_string_not_equal(name_of(&svc_fate_names, fate), "?");
	return fate;
}

/* An entry to `dst`, translated to `to` (NULL: not). */
#define UDP(dst, port, to, want)                                                                   \
	do {                                                                                       \
		struct ct_entry c_ = entry(IPPROTO_UDP, dst, port, to);                            \
		assert_int_equal(judge(&c_, NULL), want);                                          \
	} while (0)
#define SCTP(dst, to, state, want)                                                                 \
	do {                                                                                       \
		struct ct_entry c_ = entry(IPPROTO_SCTP, dst, 53, to);                             \
		c_.sctp_state = state;                                                             \
		assert_int_equal(judge(&c_, NULL), want);                                          \
	} while (0)

#define VIP  "10.96.0.10"
#define VIP2 "10.96.0.11"
#define NODE "192.0.2.1"

/* kubernetes#125467, 59368: inside and from outside. */
static void test_endpoint_goes(void **state)
{
	put("s", "UDP", VIP, SERVES(A) SERVES(B));
	pass();
	put("s", "UDP", VIP, SERVES(B));
	assert_true(svc_stale_due(st));
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT);
	UDP(VIP, 53, B, SVC_KEEP_SERVED);
	UDP(NODE, 30053, A, SVC_STALE_NO_ENDPOINT);
	UDP(NODE, 30053, B, SVC_KEEP_SERVED);
	UDP(VIP, 54, A, SVC_KEEP_FOREIGN);
	pass();
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT); /* needs no memory */
}

static void test_endpoint_stops_to_serve(void **state)
{
	put("s", "UDP", VIP, SERVES(A) SERVES(B));
	pass();
	put("s", "UDP", VIP, LEAVING(A) SERVES(B));
	assert_false(svc_stale_due(st));
	UDP(VIP, 53, A, SVC_KEEP_SERVED);
	put("s", "UDP", VIP, UNREADY(A) SERVES(B));
	assert_true(svc_stale_due(st));
	UDP(VIP, 53, A, SVC_STALE_NOT_SERVING);
	put("s", "UDP", VIP, PUBLISH(A) SERVES(B));
	UDP(VIP, 53, A, SVC_KEEP_SERVED);
}

/* kubernetes#139628, and back (#48370). */
static void test_no_endpoint_and_back(void **state)
{
	put("s", "UDP", VIP, SERVES(A));
	pass();
	put("s", "UDP", VIP, NONE);
	assert_true(svc_stale_due(st));
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT);
	UDP(NODE, 30053, A, SVC_STALE_NO_ENDPOINT);
	UDP(VIP, 53, B, SVC_KEEP_UNKNOWN);
	UDP(VIP, 53, NULL, SVC_KEEP_UNKNOWN);
	pass();
	UDP(VIP, 53, A, SVC_KEEP_UNKNOWN); /* forgotten */
	put("s", "UDP", VIP, SERVES(B));
	assert_true(svc_stale_due(st));
	UDP(VIP, 53, NULL, SVC_STALE_UNTRANSLATED);
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT);
	UDP(VIP, 53, B, SVC_KEEP_SERVED);
	put("s", "UDP", VIP, UNREADY(B));
	UDP(VIP, 53, B, SVC_STALE_NOT_SERVING);
}

/* kubernetes#141371 */
static void test_service_goes(void **state)
{
	struct ct_entry c = entry(IPPROTO_UDP, VIP, 53, A);

	put("s", "UDP", VIP, SERVES(A));
	pass();
	gone("s");
	assert_true(svc_stale_due(st));
	assert_int_equal(judge(&c, "ns/s"), SVC_STALE_NO_FRONT);
	UDP(NODE, 30053, A, SVC_STALE_NO_FRONT);
	UDP(VIP, 53, B, SVC_KEEP_FOREIGN);
	UDP(VIP, 53, NULL, SVC_KEEP_FOREIGN);
	pass();
	assert_int_equal(judge(&c, "nobody"), SVC_KEEP_FOREIGN);
	gone("s");
	assert_false(svc_stale_due(st));
}

static void test_address_is_given_again(void **state)
{
	struct ct_entry c = entry(IPPROTO_UDP, VIP, 53, B);

	put("s", "UDP", VIP, SERVES(A));
	pass();
	gone("s");
	put("t", "UDP", VIP, SERVES(B));
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT);
	assert_int_equal(judge(&c, "ns/t"), SVC_KEEP_SERVED);
	pass();
	put("t", "UDP", VIP2, SERVES(B)); /* and a Service that changes its address */
	UDP(VIP, 53, B, SVC_STALE_NO_FRONT);
	UDP(VIP2, 53, B, SVC_KEEP_SERVED);
	UDP(NODE, 30053, B, SVC_KEEP_SERVED);
}

static void test_front_of_two(void **state)
{
	put("s", "UDP", VIP, SERVES(A));
	put("t", "UDP", VIP, SERVES(B));
	UDP(VIP, 53, A, SVC_KEEP_SERVED);
	UDP(VIP, 53, B, SVC_KEEP_SERVED);
	pass();
	gone("s");
	UDP(VIP, 53, A, SVC_STALE_NO_ENDPOINT);
	UDP(VIP, 53, B, SVC_KEEP_SERVED);
}

/* kubernetes#122740: a new agent takes nothing out that holds; what went meanwhile it has from the
 * rules that it found. */
static void test_start(void **state)
{
	put("s", "UDP", VIP, SERVES(A));
	put("t", "UDP", VIP2, SERVES(B));
	put("s", "UDP", VIP, SERVES(A));
	gone("t");
	assert_true(svc_stale_due(st));
	UDP(VIP, 53, A, SVC_KEEP_SERVED);
	UDP(VIP2, 53, B, SVC_STALE_NO_FRONT);
}

static void test_pass_that_fails_or_is_overtaken(void **state)
{
	put("s", "UDP", VIP, SERVES(A) SERVES(B));
	pass();
	gone("s");
	svc_stale_begin(st);
	assert_true(svc_stale_due(st)); /* failed: no done */
	UDP(VIP, 53, A, SVC_STALE_NO_FRONT);
	put("t", "UDP", VIP2, SERVES(A));
	pass();
	svc_stale_begin(st);
	gone("t");
	svc_stale_done(st);
	assert_true(svc_stale_due(st)); /* came after it began */
	UDP(VIP2, 53, A, SVC_STALE_NO_FRONT);
}

static void test_what_needs_no_pass(void **state)
{
	put("s", "TCP", VIP, SERVES(A));
	assert_false(svc_stale_due(st));
	gone("s");
	assert_false(svc_stale_due(st));
	put("s", "UDP", VIP, SERVES(A));
	pass();
	put("s", "UDP", VIP, SERVES(A) SERVES(B));
	put("s", "UDP", VIP, SERVES(A) SERVES(B));
	assert_false(svc_stale_due(st));
}

/* kubernetes#49881: not every destination that has the port; a foreign portmap's, a zone's. */
static void test_others_entries(void **state)
{
	struct ct_entry c = entry(IPPROTO_UDP, VIP, 53, A);

	put("s", "UDP", VIP, SERVES(B));
	UDP("203.0.113.7", 30053, NULL, SVC_KEEP_FOREIGN);
	UDP("127.0.0.1", 30053, NULL, SVC_KEEP_FOREIGN);
	UDP(NODE, 8053, A, SVC_KEEP_FOREIGN);
	UDP(NODE, 53, A, SVC_KEEP_FOREIGN);
	UDP(NODE, 30053, A, SVC_STALE_NO_ENDPOINT);
	UDP(NODE, 30053, NULL, SVC_STALE_UNTRANSLATED);
	node.localhost_node_ports = true;
	UDP("127.0.0.1", 30053, NULL, SVC_STALE_UNTRANSLATED);
	c.zone[1] = 7;
	assert_int_equal(judge(&c, "nobody"), SVC_KEEP_ZONE);
	c.zone[1] = 0;
	assert_int_equal(judge(&c, "ns/s"), SVC_STALE_NO_ENDPOINT);
	c.proto = IPPROTO_TCP;
	assert_int_equal(judge(&c, "nobody"), SVC_KEEP_PROTOCOL);
	c.proto = IPPROTO_SCTP;
	assert_int_equal(judge(&c, "nobody"), SVC_KEEP_FOREIGN);
}

static void test_ipv6(void **state)
{
	put("s", "UDP", "fd00:96::a", SERVES("fd00:244::1") SERVES("fd00:244::2"));
	pass();
	put("s", "UDP", "fd00:96::a", SERVES("fd00:244::2"));
	UDP("fd00:96::a", 53, "fd00:244::1", SVC_STALE_NO_ENDPOINT);
	UDP("fd00:96::a", 53, "fd00:244::2", SVC_KEEP_SERVED);
	UDP("2001:db8::1", 30053, "fd00:244::1", SVC_STALE_NO_ENDPOINT);
	UDP(NODE, 30053, A, SVC_KEEP_FOREIGN); /* the other family is not the Service's */
}

/* A host port is a front of one pod, on each of the node's addresses or on the one it names. */
static void test_host_port(void **state)
{
	struct svc_endpoint pod[] = { { .ip = ip(A), .port = 5353 },
				      { .ip = ip(B), .port = 5353 } };
	struct svc_port ports[] = {
		{ .proto = PROTO_UDP, .endpoints = { &pod[0], 1 } },
		{ .proto = PROTO_UDP, .endpoints = { &pod[1], 1 } },
	};
	struct svc_front fronts[] = {
		{ .address = ip(NODE), .number = 8125, .port = &ports[0] },
		{ .address = ip(NODE), .number = 8125, .port = &ports[1] },
	};
	struct svc_plan plans[2] = {
		{ .family = AF_INET, .ports = { &ports[0], 1 }, .fronts = { &fronts[0], 1 } },
		{ .family = AF_INET, .ports = { &ports[1], 1 }, .fronts = { &fronts[1], 1 } },
	};

	assert_int_equal(svc_stale_put(st, "pods", "a", &plans[0], 1, NULL), 0);
	assert_true(svc_stale_due(st));
	UDP(NODE, 8125, NULL, SVC_STALE_UNTRANSLATED); /* from before the pod */
	pass();
	assert_int_equal(svc_stale_put(st, "pods", "a", NULL, 0, NULL), 0);
	UDP(NODE, 8125, A, SVC_STALE_NO_FRONT);
	assert_int_equal(svc_stale_put(st, "pods", "b", &plans[1], 1, NULL), 0);
	UDP(NODE, 8125, A, SVC_STALE_NO_ENDPOINT);
	UDP(NODE, 8125, B, SVC_KEEP_SERVED);
}

/* kubernetes#106651, 101968; and nothing that lives is cut. */
static void test_sctp(void **state)
{
	put("s", "SCTP", VIP, SERVES(A) SERVES(B));
	pass();
	SCTP(VIP, "10.244.7.7", CT_SCTP_ESTABLISHED, SVC_KEEP_ASSOCIATION);
	SCTP(VIP, "10.244.7.7", CT_SCTP_NONE, SVC_KEEP_ASSOCIATION);
	SCTP(VIP, "10.244.7.7", CT_SCTP_CLOSED, SVC_STALE_NO_ENDPOINT);
	SCTP(VIP, NULL, CT_SCTP_CLOSED, SVC_STALE_UNTRANSLATED);
	put("s", "SCTP", VIP, UNREADY(A) SERVES(B));
	SCTP(VIP, A, CT_SCTP_ESTABLISHED, SVC_KEEP_ASSOCIATION);
	SCTP(VIP, A, CT_SCTP_COOKIE_WAIT, SVC_STALE_NOT_SERVING);
	pass();
	put("s", "SCTP", VIP, SERVES(B));
	assert_true(svc_stale_due(st));
	SCTP(VIP, A, CT_SCTP_ESTABLISHED, SVC_STALE_NO_ENDPOINT);
	SCTP(VIP, B, CT_SCTP_ESTABLISHED, SVC_KEEP_SERVED);
	gone("s");
	SCTP(VIP, B, CT_SCTP_ESTABLISHED, SVC_STALE_NO_FRONT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_endpoint_goes),
		T(test_endpoint_stops_to_serve),
		T(test_no_endpoint_and_back),
		T(test_service_goes),
		T(test_address_is_given_again),
		T(test_front_of_two),
		T(test_start),
		T(test_pass_that_fails_or_is_overtaken),
		T(test_what_needs_no_pass),
		T(test_others_entries),
		T(test_ipv6),
		T(test_host_port),
		T(test_sctp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
