// SPDX-License-Identifier: Apache-2.0
/* core/service: groups of endpoints, fronts, and what becomes of flows. Expectations are from
 * the Service and EndpointSlice API, the KEPs in service.h, and kube-proxy's behaviour. */
#include "core/service/hostport.h"
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p), 0);
	return p;
}

/* Node n1 in zone a, with 192.0.2.1 and 2001:db8::1; pods in 10.244.0.0/16 and fd00:244::/48. */
struct world {
	struct cluster *cluster;
	struct arena arena;
	struct ipaddr addresses[2];
	struct prefix pods[2], services[2], node_ports[1];
	struct svc_node node;
	struct svc_plan *plans;
	size_t n;
};

static void open_world(struct world *w, const char *text)
{
	struct manifest m = { .n_items = 0 };

	*w = (struct world){
		.cluster = cluster_new(),
		.addresses = { ip("192.0.2.1"), ip("2001:db8::1") },
		.pods = { pfx("10.244.0.0/16"), pfx("fd00:244::/48") },
		.services = { pfx("10.96.0.0/12"), pfx("fd00:96::/112") },
	};
	w->node = (struct svc_node){ .name = "n1",
				     .zone = "a",
				     .addresses = { w->addresses, 2 },
				     .pods = { w->pods, 2 },
				     .services = { w->services, 2 } };
	arena_init(&w->arena, 0);
	manifest_parse(&m, "test", text, strlen(text));
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
}

static void plan(struct world *w)
{
	assert_int_equal(svc_plan_cluster(w->cluster, &w->node, &w->arena, &w->plans, &w->n, NULL),
			 0);
}

static void close_world(struct world *w)
{
	cluster_free(w->cluster);
	arena_fini(&w->arena);
}

/* Who is in a group of a port: "10.244.1.1:80 10.244.2.1:80". */
static const char *members(const struct svc_port *port, enum svc_group group)
{
	static char text[512];
	char a[ADDR_TEXT];
	int n = 0;

	*text = '\0';
	for (uint32_t i = 0; i < port->endpoints.n; i++)
		if (port->endpoints.v[i].out[group] == SVC_IN)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s:%u", n ? " " : "",
				      addr_str(&port->endpoints.v[i].ip, a),
				      port->endpoints.v[i].port);
	return text;
}

/* "DNAT 10.244.1.1:80 10.244.2.1:80", "DNAT masq …", "DROP" … */
static const char *judge(const struct world *w, const char *src, const char *dst, unsigned dport,
			 enum protocol proto)
{
	static char text[600];
	struct svc_flow flow = { ip(src), ip(dst), (uint8_t)proto, (uint16_t)dport };
	struct svc_verdict v;

	svc_judge(&w->node, w->plans, w->n, &flow, &v);
	assert_non_null(v.reason);
	if (v.action != SVC_DNAT)
		return name_of(&svc_action_names, v.action);
	assert_non_null(v.masq_reason);
	snprintf(text, sizeof(text), "DNAT %s%s", v.masquerade ? "masq " : "",
		 members(v.front->port, v.group));
	return text;
}

#define POD                       "10.244.9.9"
#define NODE                      "192.0.2.1"
#define OUTSIDE                   "203.0.113.9"
#define TCP(src, dst, port, want) assert_string_equal(judge(&w, src, dst, port, PROTO_TCP), want)

#define SERVICE(spec)                                                                              \
	"{apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns}, spec: {" spec         \
	"}}\n---\n"
#define SLICE(name, endpoints)                                                                     \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " name            \
	", namespace: ns, labels: {kubernetes.io/service-name: s}}, addressType: IPv4, "           \
	"ports: [{port: 80}], endpoints: [" endpoints "]}\n---\n"
#define EP(a, more) "{addresses: [10.244." a "]" more "}, "
#define HERE        ", nodeName: n1"
#define THERE       ", nodeName: n2"
#define UNREADY     ", conditions: {ready: false}"
#define LEAVING     ", conditions: {ready: false, serving: true, terminating: true}"
#define GONE        ", conditions: {ready: false, serving: false, terminating: true}"
#define ZONES(z)    ", hints: {forZones: [" z "]}"
#define NODES(z, n) ", hints: {forZones: [" z "], forNodes: [" n "]}"
#define ONE         "clusterIP: 10.96.0.1, ports: [{port: 80}]"
#define LB(more)                                                                                   \
	"type: LoadBalancer, clusterIP: 10.96.0.1, externalIPs: [198.51.100.1], ports: [{port: "   \
	"80, nodePort: 30080}]" more "}, status: {loadBalancer: {ingress: [{ip: 198.51.100.7}, "   \
	"{ip: 198.51.100.8, ipMode: Proxy}, {hostname: lb.example}]}"

/* ---- groups */

static void test_groups(void **state)
{
	static const struct {
		const char *what, *spec, *endpoints, *all, *local;
		bool uses_all, uses_local;
	} cases[] = {
		{ "no endpoint", ONE, "", "", "", true, false },
		{ "ready is the default", ONE, EP("1.1", "") EP("2.1", ", conditions: {}"),
		  "10.244.1.1:80 10.244.2.1:80", "", true, false },
		{ "unready ones are out", ONE, EP("1.1", UNREADY) EP("2.1", HERE), "10.244.2.1:80",
		  "10.244.2.1:80", true, false },
		{ "leaving ones wait", ONE, EP("1.1", LEAVING HERE) EP("2.1", ""), "10.244.2.1:80",
		  "10.244.1.1:80", true, false },
		{ "leaving ones serve last", ONE, EP("1.1", LEAVING) EP("2.1", GONE),
		  "10.244.1.1:80", "", true, false },
		{ "serving alone is not enough", ONE,
		  EP("1.1", ", conditions: {ready: false, serving: true}"), "", "", true, false },
		{ "absent serving follows ready", ONE,
		  EP("1.1", ", conditions: {ready: false, terminating: true}"), "", "", true,
		  false },
		{ "ready while terminating: published although not ready", ONE,
		  EP("1.1", ", conditions: {ready: true, terminating: true}"), "10.244.1.1:80", "",
		  true, false },
		{ "internal Local", ONE ", internalTrafficPolicy: Local",
		  EP("1.1", HERE) EP("2.1", THERE), "10.244.1.1:80 10.244.2.1:80", "10.244.1.1:80",
		  false, true },
		{ "internal Local, still seen from outside",
		  LB(", internalTrafficPolicy: Local, externalTrafficPolicy: Cluster"),
		  EP("1.1", HERE) EP("2.1", THERE), "10.244.1.1:80 10.244.2.1:80", "10.244.1.1:80",
		  true, true },
		{ "external Local without external fronts", ONE ", externalTrafficPolicy: Local",
		  EP("1.1", THERE), "10.244.1.1:80", "", true, false },
		{ "zone", ONE, EP("1.1", ZONES("{name: a}")) EP("2.1", ZONES("{name: b}")),
		  "10.244.1.1:80", "", true, false },
		{ "zone, several", ONE,
		  EP("1.1", ZONES("{name: b}, {name: a}")) EP("2.1", ZONES("{name: b}")),
		  "10.244.1.1:80", "", true, false },
		{ "a hint that is missing: none count", ONE,
		  EP("1.1", ZONES("{name: a}")) EP("2.1", ""), "10.244.1.1:80 10.244.2.1:80", "",
		  true, false },
		{ "no endpoint for the zone: none count", ONE,
		  EP("1.1", ZONES("{name: b}")) EP("2.1", ZONES("{name: c}")),
		  "10.244.1.1:80 10.244.2.1:80", "", true, false },
		{ "hints of unready ones do not matter", ONE,
		  EP("1.1", ZONES("{name: a}")) EP("2.1", ZONES("{name: b}")) EP("3.1", UNREADY),
		  "10.244.1.1:80", "", true, false },
		{ "the zone's only endpoint is not ready", ONE,
		  EP("1.1", ZONES("{name: a}") UNREADY) EP("2.1", ZONES("{name: b}")),
		  "10.244.2.1:80", "", true, false },
		{ "node before zone", ONE,
		  EP("1.1", NODES("{name: a}", "{name: n1}"))
			  EP("2.1", NODES("{name: a}", "{name: n2}")),
		  "10.244.1.1:80", "", true, false },
		{ "no endpoint for the node: zone", ONE,
		  EP("1.1", NODES("{name: a}", "{name: n3}"))
			  EP("2.1", NODES("{name: b}", "{name: n2}")),
		  "10.244.1.1:80", "", true, false },
		{ "hints leave local endpoints alone", LB(", externalTrafficPolicy: Local"),
		  EP("1.1", ZONES("{name: b}") HERE) EP("2.1", ZONES("{name: a}") THERE),
		  "10.244.2.1:80", "10.244.1.1:80", true, true },
		{ "leaving ones serve whatever their hints", ONE,
		  EP("1.1", ZONES("{name: b}") LEAVING) EP("2.1", LEAVING),
		  "10.244.1.1:80 10.244.2.1:80", "", true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[4096];
		struct world w;
		const struct svc_port *port;

		snprintf(text, sizeof(text), SERVICE("%s") SLICE("s-1", "%s"), cases[i].spec,
			 cases[i].endpoints);
		open_world(&w, text);
		plan(&w);
		port = &w.plans[0].ports.v[0];
		if (strcmp(members(port, SVC_ALL), cases[i].all) ||
		    strcmp(members(port, SVC_LOCAL), cases[i].local) ||
		    port->uses[SVC_ALL] != cases[i].uses_all ||
		    port->uses[SVC_LOCAL] != cases[i].uses_local)
			fail_msg("%s: all %s", cases[i].what, members(port, SVC_ALL));
		close_world(&w);
	}
}

static void test_reasons(void **state)
{
	struct world w;
	const struct svc_port *port;

	open_world(&w, SERVICE(ONE) SLICE("s-1", EP("1.1", ZONES("{name: a}") THERE) EP(
							 "2.1", ZONES("{name: b}"))
							 EP("3.1", UNREADY) EP("4.1", LEAVING)));
	plan(&w);
	port = &w.plans[0].ports.v[0];
	assert_int_equal(port->endpoints.n, 4);
	assert_int_equal(port->endpoints.v[0].out[SVC_ALL], SVC_IN);
	assert_int_equal(port->endpoints.v[0].out[SVC_LOCAL], SVC_OTHER_NODE);
	assert_int_equal(port->endpoints.v[1].out[SVC_ALL], SVC_HINT_ZONE);
	assert_int_equal(port->endpoints.v[2].out[SVC_ALL], SVC_NOT_READY);
	assert_int_equal(port->endpoints.v[3].out[SVC_ALL], SVC_TERMINATING);
	for (unsigned i = SVC_NOT_READY; i <= SVC_HINT_ZONE; i++)
		assert_string_not_equal(name_of(&svc_out_names, i), "?");
	close_world(&w);
}

/* Slices of one Service: merged by name and protocol of the port, each endpoint once. */
static void test_slices(void **state)
{
	struct world w;
	const struct svc_plan *p;

	open_world(
		&w,
		SERVICE("clusterIP: 10.96.0.1, ports: [{name: a, port: 80, targetPort: web}, "
			"{name: b, port: 80, protocol: UDP}]") "{apiVersion: discovery.k8s.io/v1, "
							       "kind: EndpointSlice, metadata: "
							       "{name: x, "
							       "namespace: ns, labels: "
							       "{kubernetes.io/service-name: s}}, "
							       "addressType: IPv4, "
							       "ports: [{name: a, port: 8080}, "
							       "{name: b, port: 53, protocol: "
							       "UDP}, {name: b2, "
							       "port: 9}], endpoints: [{addresses: "
							       "[10.244.1.1, 10.244.1.2], "
							       "nodeName: n2}, "
							       "{addresses: [10.244.0.1], "
							       "nodeName: n1}]}\n---\n"
							       "{apiVersion: discovery.k8s.io/v1, "
							       "kind: EndpointSlice, metadata: "
							       "{name: y, "
							       "namespace: ns, labels: "
							       "{kubernetes.io/service-name: s}}, "
							       "addressType: IPv4, "
							       "ports: [{name: a, port: 8081}], "
							       "endpoints: [{addresses: "
							       "[10.244.1.1]}]}\n---\n"
							       "{apiVersion: discovery.k8s.io/v1, "
							       "kind: EndpointSlice, metadata: "
							       "{name: z, "
							       "namespace: ns, labels: "
							       "{kubernetes.io/service-name: s}}, "
							       "addressType: IPv4, "
							       "ports: [{name: a, port: 8080}, "
							       "{name: b, protocol: UDP}], "
							       "endpoints: "
							       "[{addresses: [10.244.1.1], "
							       "nodeName: n1, conditions: {ready: "
							       "false}}]}\n---\n"
							       "{apiVersion: discovery.k8s.io/v1, "
							       "kind: EndpointSlice, metadata: "
							       "{name: other, "
							       "namespace: ns2, labels: "
							       "{kubernetes.io/service-name: s}}, "
							       "addressType: IPv4, "
							       "ports: [{name: a, port: 1}], "
							       "endpoints: [{addresses: "
							       "[10.244.1.9]}]}\n---\n"
							       "{apiVersion: discovery.k8s.io/v1, "
							       "kind: EndpointSlice, metadata: "
							       "{name: v6, "
							       "namespace: ns, labels: "
							       "{kubernetes.io/service-name: s}}, "
							       "addressType: IPv6, "
							       "ports: [{name: a, port: 1}], "
							       "endpoints: [{addresses: "
							       "['fd00:244::1']}]}\n");
	plan(&w);
	p = &w.plans[0];
	/* Of 10.244.1.1:8080, which two slices have, the one on this node counts: not ready. */
	assert_string_equal(members(&p->ports.v[0], SVC_ALL), "10.244.0.1:8080 10.244.1.1:8081");
	assert_int_equal(p->ports.v[0].endpoints.n, 3);
	assert_string_equal(members(&p->ports.v[1], SVC_ALL), "10.244.0.1:53 10.244.1.1:53");
	assert_int_equal(p->local_ready, 1);
	assert_non_null(w.plans[1].absent);
	assert_int_equal(w.plans[1].fronts.n, 0);
	close_world(&w);
}

/* ---- flows */

static void test_cluster_policy(void **state)
{
	struct world w;

	open_world(&w, SERVICE(LB("")) SLICE("s-1", EP("1.1", HERE) EP("2.1", THERE)));
	plan(&w);
	TCP(POD, "10.96.0.1", 80, "DNAT 10.244.1.1:80 10.244.2.1:80");
	TCP(NODE, "10.96.0.1", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(OUTSIDE, "10.96.0.1", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(POD, "198.51.100.1", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(POD, "198.51.100.7", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(OUTSIDE, NODE, 30080, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(OUTSIDE, "198.51.100.8", 80, "PASS"); /* ipMode Proxy */
	TCP(OUTSIDE, NODE, 80, "PASS");
	TCP(OUTSIDE, "2001:db8::1", 30080, "PASS"); /* no IPv6 */
	TCP("127.0.0.1", "127.0.0.1", 30080, "PASS");
	TCP(POD, "10.96.0.1", 81, "REJECT");
	assert_string_equal(judge(&w, POD, "10.96.0.1", 80, PROTO_UDP), "REJECT");
	TCP(POD, "10.96.0.2", 80, "DROP");
	TCP(POD, "203.0.113.1", 80, "PASS");
	w.node.masquerade_all = w.node.localhost_node_ports = true;
	plan(&w);
	TCP(POD, "10.96.0.1", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP("127.0.0.1", "127.0.0.1", 30080, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	close_world(&w);
}

/* A pod without an address asks as a pod; nobody's front is the address that such a pod will have, a headless
 * Service's neither. */
static void test_addresses_not_known(void **state)
{
	struct svc_flow from = { .dst = ip("10.96.0.1"), .proto = PROTO_TCP, .dport = 80 };
	struct svc_flow to = { .src = ip(OUTSIDE), .proto = PROTO_TCP, .dport = 80 };
	struct svc_flow icmp = { .src = ip(POD), .dst = ip("10.96.0.1") };
	struct svc_verdict v;
	struct world w;

	open_world(&w, SERVICE("clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{port: 80}]")
			       SLICE("s-1",
				     EP("1.1", HERE)) "{apiVersion: v1, kind: Service, metadata: "
						      "{name: h, namespace: ns}, spec: {"
						      "clusterIP: None, clusterIPs: [None], ports: "
						      "[{port: 80}]}}\n---\n");
	plan(&w);
	svc_judge(&w.node, w.plans, w.n, &from, &v);
	assert_int_equal(v.action, SVC_DNAT);
	assert_false(v.masquerade);
	assert_string_equal(v.masq_reason, "it is a pod");
	svc_judge(&w.node, w.plans, w.n, &to, &v);
	assert_int_equal(v.action, SVC_PASS);
	assert_null(v.plan);
	svc_judge(&w.node, w.plans, w.n, &icmp, &v);
	assert_int_equal(v.action, SVC_REJECT);
	assert_string_equal(v.reason, "a cluster IP answers by its ports alone");
	close_world(&w);
}

static void assert_no_local(const struct world *w, uint32_t internal, uint32_t external)
{
	uint32_t n[SVC_POLICIES] = { 0 };

	svc_count_no_local(&w->plans[0], n);
	assert_int_equal(n[SVC_INTERNAL], internal);
	assert_int_equal(n[SVC_EXTERNAL], external);
}

static void test_local_policies(void **state)
{
	struct world w;

	open_world(&w, SERVICE(LB(", externalTrafficPolicy: Local, healthCheckNodePort: 31000"))
			       SLICE("s-1", EP("1.1", HERE) EP("2.1", THERE)));
	plan(&w);
	TCP(POD, "10.96.0.1", 80, "DNAT 10.244.1.1:80 10.244.2.1:80");
	TCP(POD, "198.51.100.7", 80, "DNAT 10.244.1.1:80 10.244.2.1:80"); /* short circuit */
	TCP(NODE, "198.51.100.7", 80, "DNAT masq 10.244.1.1:80 10.244.2.1:80");
	TCP(OUTSIDE, "198.51.100.7", 80, "DNAT 10.244.1.1:80");
	TCP(OUTSIDE, "198.51.100.1", 80, "DNAT 10.244.1.1:80");
	TCP(OUTSIDE, NODE, 30080, "DNAT 10.244.1.1:80");
	TCP(OUTSIDE, NODE, 31000, "ACCEPT");
	TCP(OUTSIDE, "198.51.100.7", 31000, "PASS");
	assert_string_equal(judge(&w, OUTSIDE, NODE, 31000, PROTO_UDP), "PASS");
	assert_int_equal(w.plans[0].local_ready, 1);
	assert_no_local(&w, 0, 0);
	close_world(&w);

	open_world(&w, SERVICE(LB(", externalTrafficPolicy: Local, internalTrafficPolicy: Local"))
			       SLICE("s-1", EP("2.1", THERE)));
	plan(&w);
	assert_no_local(&w, 1, 1);
	TCP(POD, "10.96.0.1", 80, "DROP");
	TCP(OUTSIDE, NODE, 30080, "DROP");
	TCP(POD, NODE, 30080, "DNAT 10.244.2.1:80");
	TCP("127.0.0.1", NODE, 30080, "DNAT masq 10.244.2.1:80");
	close_world(&w);

	open_world(&w, SERVICE(LB(", externalTrafficPolicy: Local, internalTrafficPolicy: Local"))
			       SLICE("s-1", EP("2.1", UNREADY THERE)));
	plan(&w);
	TCP(POD, "10.96.0.1", 80, "REJECT");
	TCP(OUTSIDE, NODE, 30080, "REJECT");
	TCP(OUTSIDE, "198.51.100.7", 80, "REJECT");
	close_world(&w);
}

static void test_source_ranges(void **state)
{
	struct world w;

	open_world(&w, SERVICE(LB(", loadBalancerSourceRanges: [' 203.0.113.000/025', '', "
				  "'fd00::/8', 192.0.2.0/24]")) SLICE("s-1", EP("1.1", "")));
	plan(&w);
	TCP("203.0.113.9", "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	TCP("203.0.113.200", "198.51.100.7", 80, "DROP");
	TCP("203.0.113.200", "198.51.100.1", 80, "DNAT masq 10.244.1.1:80"); /* external IP */
	TCP("203.0.113.200", NODE, 30080, "DNAT masq 10.244.1.1:80");
	TCP(NODE, "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	/* The node's address is in a range, and it may show the balancer's as its own. */
	TCP("198.51.100.7", "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	close_world(&w);
	open_world(&w,
		   SERVICE(LB(", loadBalancerSourceRanges: [203.0.113.0/25]")) SLICE("s-1", ""));
	plan(&w);
	TCP("198.51.100.7", "198.51.100.7", 80, "DROP");
	TCP("203.0.113.200", "198.51.100.7", 80, "DROP");
	TCP("203.0.113.9", "198.51.100.7", 80, "REJECT");
	close_world(&w);
	/* An address that is an external IP too is not open by that. */
	open_world(&w, SERVICE("type: LoadBalancer, clusterIP: 10.96.0.1, ports: [{port: 80}], "
			       "externalIPs: [198.51.100.7], loadBalancerSourceRanges: "
			       "[203.0.113.0/25]}, status: {loadBalancer: {ingress: [{ip: "
			       "198.51.100.7}]}") SLICE("s-1", EP("1.1", "")));
	plan(&w);
	TCP("203.0.113.200", "198.51.100.7", 80, "DROP");
	TCP("203.0.113.9", "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	close_world(&w);
	/* Ranges of the other family alone restrict nobody. */
	open_world(&w, SERVICE(LB(", loadBalancerSourceRanges: ['fd00::/8']"))
			       SLICE("s-1", EP("1.1", "")));
	plan(&w);
	TCP("203.0.113.200", "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	close_world(&w);
}

static void test_hairpin(void **state)
{
	struct world w;

	open_world(&w, SERVICE(ONE) SLICE("s-1", EP("1.1", "")));
	plan(&w);
	TCP("10.244.1.1", "10.96.0.1", 80, "DNAT masq 10.244.1.1:80");
	TCP("10.244.1.2", "10.96.0.1", 80, "DNAT 10.244.1.1:80");
	close_world(&w);
	open_world(&w, SERVICE(ONE) SLICE("s-1", EP("1.1", "") EP("1.2", "")));
	plan(&w);
	/* Only where it is the one chosen: the endpoint tells. */
	TCP("10.244.1.1", "10.96.0.1", 80, "DNAT 10.244.1.1:80 10.244.1.2:80");
	assert_true(svc_is_hairpin(&w.plans[0].ports.v[0].endpoints.v[0],
				   &(struct ipaddr){ AF_INET, { 10, 244, 1, 1 } }));
	assert_false(svc_is_hairpin(&w.plans[0].ports.v[0].endpoints.v[1],
				    &(struct ipaddr){ AF_INET, { 10, 244, 1, 1 } }));
	close_world(&w);
}

static void test_node_port_addresses(void **state)
{
	struct world w;

	open_world(&w, SERVICE("type: NodePort, clusterIPs: [10.96.0.1, 'fd00:96::1'], ports: "
			       "[{port: 80, nodePort: 30080}]") SLICE("s-1", EP("1.1", "")));
	w.addresses[1] = ip("192.0.2.99");
	w.node_ports[0] = pfx("192.0.2.0/28");
	plan(&w);
	TCP(OUTSIDE, NODE, 30080, "DNAT masq 10.244.1.1:80");
	TCP(OUTSIDE, "192.0.2.99", 30080, "DNAT masq 10.244.1.1:80");
	w.node.nodePortAddresses.v = w.node_ports;
	w.node.nodePortAddresses.n = 1;
	w.node.localhost_node_ports = true;
	TCP(OUTSIDE, NODE, 30080, "DNAT masq 10.244.1.1:80");
	TCP(OUTSIDE, "192.0.2.99", 30080, "PASS");
	TCP(OUTSIDE, "192.0.2.5", 30080, "PASS"); /* in the range, but not the node's */
	TCP("127.0.0.1", "127.0.0.1", 30080, "PASS");
	w.node_ports[0] = pfx("127.0.0.0/8");
	TCP("127.0.0.1", "127.0.0.1", 30080, "DNAT masq 10.244.1.1:80");
	TCP("::1", "::1", 30080, "PASS");
	close_world(&w);
}

static void test_dual_stack(void **state)
{
	struct world w;

	open_world(&w, SERVICE("type: NodePort, clusterIP: 10.96.0.001, clusterIPs: [10.96.0.001, "
			       "'fd00:96::1'], ports: [{port: 80, nodePort: 30080}]")
			       SLICE("s-1",
				     EP("1.1",
					"")) "{apiVersion: discovery.k8s.io/v1, kind: "
					     "EndpointSlice, metadata: {name: s-6, "
					     "namespace: ns, labels: {kubernetes.io/service-name: "
					     "s}}, addressType: IPv6, "
					     "ports: [{port: 80}], endpoints: [{addresses: "
					     "['fd00:244::1']}]}\n");
	plan(&w);
	assert_int_equal(w.n, 2);
	TCP(POD, "10.96.0.1", 80, "DNAT 10.244.1.1:80");
	TCP("fd00:244::9", "fd00:96::1", 80, "DNAT fd00:244::1:80");
	TCP("2001:db8:9::1", "fd00:96::1", 80, "DNAT masq fd00:244::1:80");
	TCP("2001:db8:9::1", "2001:db8::1", 30080, "DNAT masq fd00:244::1:80");
	TCP("fd00:244::9", "fd00:96::1", 81, "REJECT");
	TCP("fd00:244::9", "fd00:96::2", 81, "DROP");
	close_world(&w);
}

/* The status is obeyed whatever the type: an API server clears it where it has no meaning. */
static void test_balancer_of_another_type(void **state)
{
	struct world w;

	open_world(&w, SERVICE(ONE "}, status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}")
			       SLICE("s-1", EP("1.1", "")));
	plan(&w);
	TCP(OUTSIDE, "198.51.100.7", 80, "DNAT masq 10.244.1.1:80");
	close_world(&w);
}

/* A verdict says who decided, by which rule, and whether endpoints did. */
static void test_verdicts(void **state)
{
	static const struct {
		const char *src, *dst;
		uint16_t dport;
		uint8_t action, group;
		bool front, by_endpoints;
		const char *reason, *masq_reason;
	} cases[] = {
		{ OUTSIDE, "198.51.100.7", 80, SVC_DROP, SVC_ALL, true, false,
		  "the source is in none of loadBalancerSourceRanges", NULL },
		{ OUTSIDE, "198.51.100.1", 80, SVC_DROP, SVC_LOCAL, true, true,
		  "externalTrafficPolicy Local, and no endpoint on this node", NULL },
		{ POD, "10.96.0.1", 80, SVC_DROP, SVC_LOCAL, true, true,
		  "internalTrafficPolicy Local, and no endpoint on this node", NULL },
		{ POD, "198.51.100.1", 80, SVC_DNAT, SVC_ALL, true, true,
		  "one of its endpoints: externalTrafficPolicy Local does not bind pods",
		  "externalTrafficPolicy Local" },
		{ NODE, "198.51.100.1", 80, SVC_DNAT, SVC_ALL, true, true,
		  "one of its endpoints: externalTrafficPolicy Local does not bind the node",
		  "it is the node itself" },
		{ "10.244.2.1", "198.51.100.1", 80, SVC_DNAT, SVC_ALL, true, true,
		  "one of its endpoints: externalTrafficPolicy Local does not bind pods",
		  "it reaches itself" },
		{ POD, "10.96.0.1", 81, SVC_REJECT, SVC_ALL, false, false,
		  "the cluster IP has no such port", NULL },
	};
	struct world w;

	open_world(&w, SERVICE(LB(", externalTrafficPolicy: Local, internalTrafficPolicy: Local, "
				  "loadBalancerSourceRanges: [10.0.0.0/8]"))
			       SLICE("s-1", EP("2.1", THERE)));
	plan(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct svc_flow flow = { ip(cases[i].src), ip(cases[i].dst), PROTO_TCP,
					 cases[i].dport };
		struct svc_verdict v;

		svc_judge(&w.node, w.plans, w.n, &flow, &v);
		assert_int_equal(v.action, cases[i].action);
		assert_int_equal(v.group, cases[i].group);
		assert_ptr_equal(v.plan, &w.plans[0]);
		assert_true((v.front != NULL) == cases[i].front);
		assert_true(v.by_endpoints == cases[i].by_endpoints);
		assert_string_equal(v.reason, cases[i].reason);
		if (cases[i].masq_reason)
			assert_string_equal(v.masq_reason, cases[i].masq_reason);
		else
			assert_null(v.masq_reason);
	}
	close_world(&w);
}

/* What is DNS' business, or not there yet, has no front. */
static void test_no_fronts(void **state)
{
	static const char *const specs[] = {
		SERVICE("type: ExternalName, externalName: a.example"),
		SERVICE("clusterIP: None, ports: [{port: 80}]"),
		SERVICE("type: NodePort, externalIPs: [198.51.100.1], ports: [{port: 80, "
			"nodePort: 30080}]"),
		SERVICE("clusterIP: '', ports: [{port: 80}]"),
	};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct world w;

		open_world(&w, specs[i]);
		plan(&w);
		assert_non_null(w.plans[0].absent);
		assert_non_null(w.plans[1].absent);
		TCP(OUTSIDE, "198.51.100.1", 80, "PASS");
		TCP(OUTSIDE, NODE, 30080, "PASS");
		close_world(&w);
	}
}

#define LABELLED(kind, label, more)                                                                \
	"{apiVersion: " kind ", namespace: ns, labels: {kubernetes.io/service-name: s, " label     \
	": ''}}, " more "}\n---\n"
#define SERVICE_WITH(label)                                                                        \
	LABELLED("v1, kind: Service, metadata: {name: s", label, "spec: {" ONE "}")
#define SLICE_WITH(label)                                                                          \
	LABELLED("discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e2", label,           \
		 "addressType: IPv4, ports: [{port: 80}], endpoints: [" EP("1.2", "") "]")

/* Another proxy serves them, or nobody; a slice alone is as good as not there. */
static void test_left_to_others(void **state)
{
	static const char *const left[] = {
		SERVICE_WITH(LABEL_PROXY_NAME) SLICE("e", EP("1.1", "")),
		SERVICE_WITH(LABEL_HEADLESS) SLICE("e", EP("1.1", "")),
	};
	static const char *const slices[] = {
		SERVICE(ONE) SLICE("e", EP("1.1", "")) SLICE_WITH(LABEL_PROXY_NAME),
		SERVICE(ONE) SLICE("e", EP("1.1", "")) SLICE_WITH(LABEL_HEADLESS),
		SERVICE(ONE) SLICE("e", EP("1.1", "")) SLICE_WITH("x"),
	};

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		struct world w;

		open_world(&w, left[i]);
		plan(&w);
		assert_non_null(w.plans[0].absent);
		/* The other proxy translates behind us. */
		TCP(POD, "10.96.0.1", 80, i ? "DROP" : "PASS");
		TCP(POD, "10.96.0.2", 80, "DROP");
		close_world(&w);
	}
	for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
		struct world w;

		open_world(&w, slices[i]);
		plan(&w);
		TCP(POD, "10.96.0.1", 80,
		    i < 2 ? "DNAT 10.244.1.1:80" : "DNAT 10.244.1.1:80 10.244.1.2:80");
		close_world(&w);
	}
}

static void test_affinity(void **state)
{
	static const struct {
		const char *spec;
		uint32_t seconds;
	} cases[] = {
		{ ONE, 0 },
		{ ONE ", sessionAffinity: None", 0 },
		{ ONE ", sessionAffinity: ClientIP", 10800 },
		{ ONE ", sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: "
		      "{timeoutSeconds: 7}}",
		  7 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct world w;

		snprintf(text, sizeof(text), SERVICE("%s"), cases[i].spec);
		open_world(&w, text);
		plan(&w);
		assert_int_equal(w.plans[0].affinity, cases[i].seconds);
		close_world(&w);
	}
}

#define ENDPOINT(name, node, more)                                                                 \
	"{apiVersion: fairlead.io/v1, kind: WorkloadEndpoint, metadata: {name: " name              \
	"-eth0, namespace: ns}, spec: {node: " node ", " more "}}\n---\n"
#define PORTMAP(host, inside, proto)                                                               \
	"{hostPort: " host ", containerPort: " inside ", protocol: " proto

/* As portmap: the client stays who it is, but for the pod itself and loopback. */
static void test_host_ports(void **state)
{
	struct world w;

	open_world(
		&w,
		ENDPOINT("web", "n1",
			 "pod: web, ips: [10.244.1.1/32, fd00:244::1/128], ports: [" PORTMAP(
				 "8080", "80", "TCP") "}, " PORTMAP("53", "5353",
								    "UDP") ", hostIP: "
									   "192.0.2.1},"
									   " " PORTMAP("81", "80",
										       "TCP") ","
											      " "
											      "h"
											      "o"
											      "s"
											      "t"
											      "I"
											      "P"
											      ":"
											      " "
											      "'"
											      ":"
											      ":"
											      "'"
											      "}"
											      "]")
			ENDPOINT("bare", "n1",
				 "containerID: c0ffee, ips: [10.244.1.2/32], ports: [" PORTMAP(
					 "9", "9", "SCTP") "}]")
				ENDPOINT("far", "n2",
					 "pod: far, ips: [10.244.2.1/32], ports: [" PORTMAP(
						 "8081", "80", "TCP") "}]")
					ENDPOINT("none", "n1", "pod: none, ips: [10.244.1.3/32]"));
	assert_int_equal(
		svc_plan_host_ports_cluster(w.cluster, &w.node, &w.arena, &w.plans, &w.n, NULL), 0);
	assert_int_equal(w.n, 4); /* two pods, two families */
	for (size_t i = 0; i < w.n; i++)
		assert_string_equal(w.plans[i].ns, SVC_HOST_PORTS);
	TCP(OUTSIDE, NODE, 8080, "DNAT 10.244.1.1:80");
	TCP("2001:db8:1::9", "2001:db8::1", 8080, "DNAT fd00:244::1:80");
	TCP(POD, NODE, 8080, "DNAT 10.244.1.1:80");
	TCP(NODE, NODE, 8080, "DNAT 10.244.1.1:80");
	TCP("10.244.1.1", NODE, 8080, "DNAT masq 10.244.1.1:80");
	TCP(OUTSIDE, "192.0.2.2", 8080, "PASS");
	TCP(OUTSIDE, NODE, 8081, "PASS"); /* another node's */
	TCP(OUTSIDE, NODE, 81, "PASS");   /* IPv6's only */
	TCP("2001:db8:1::9", "2001:db8::1", 81, "DNAT fd00:244::1:80");
	assert_string_equal(judge(&w, OUTSIDE, NODE, 53, PROTO_UDP), "DNAT 10.244.1.1:5353");
	assert_string_equal(judge(&w, "2001:db8:1::9", "2001:db8::1", 53, PROTO_UDP), "PASS");
	assert_string_equal(judge(&w, OUTSIDE, NODE, 9, PROTO_SCTP), "DNAT 10.244.1.2:9");
	TCP("127.0.0.1", "127.0.0.1", 8080, "PASS");
	w.node.localhost_node_ports = true;
	TCP("127.0.0.1", "127.0.0.1", 8080, "DNAT masq 10.244.1.1:80");
	TCP("::1", "::1", 8080, "PASS");
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_cluster_policy),
		cmocka_unit_test(test_local_policies),
		cmocka_unit_test(test_source_ranges),
		cmocka_unit_test(test_hairpin),
		cmocka_unit_test(test_node_port_addresses),
		cmocka_unit_test(test_dual_stack),
		cmocka_unit_test(test_balancer_of_another_type),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_no_fronts),
		cmocka_unit_test(test_addresses_not_known),
		cmocka_unit_test(test_left_to_others),
		cmocka_unit_test(test_affinity),
		cmocka_unit_test(test_host_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
