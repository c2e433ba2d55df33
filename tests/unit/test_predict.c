// SPDX-License-Identifier: Apache-2.0
/* core/trace/predict: paths of packets by the cluster's objects, written by hand from docs/policy.md, from
 * what the planners' headers say and from the kernel's order of hooks: one line for each hop, with the
 * header where it changed, who decided, and whom that leads to.
 *
 * n1 and n2 share a subnet, n3 is behind a router. Pools: 10.244 and fd00:244 VXLAN, 10.245 Direct, 10.246
 * VXLAN between subnets; all but the last with natOutgoing. */
#include "base/text.h"
#include "core/route/plan.h"
#include "core/trace/diff.h"
#include "core/trace/predict.h"
#include "core/trace/words.h"
#include "store/manifest.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE(name, ip4, ip6)                                                                       \
	"{apiVersion: v1, kind: Node, metadata: {name: " name "}, status: {addresses: "            \
	"[{type: InternalIP, address: " ip4 "}, {type: InternalIP, address: '" ip6 "'}]}}\n---\n"
#define STATE(name, ip4, ip6)                                                                      \
	"{apiVersion: fairlead.io/v1, kind: NodeState, metadata: {name: " name                     \
	"}, status: {uplink: eth0, subnets: [" ip4 "/24, '" ip6 "/64']}}\n---\n"
#define POOL(name, cidr, spec)                                                                     \
	"{apiVersion: fairlead.io/v1, kind: IPPool, metadata: {name: " name                        \
	"}, spec: {cidr: '" cidr "', " spec "}}\n---\n"
#define BLOCK(name, cidr, pool, node, more)                                                        \
	"{apiVersion: fairlead.io/v1, kind: IPBlock, metadata: {name: " name                       \
	"}, spec: {cidr: '" cidr "', pool: " pool ", node: " node more "}}\n---\n"
#define BLOCKS(digit)                                                                              \
	BLOCK("tun-" digit, "10.244." digit ".0/26", "tun", "n" digit,                             \
	      ", tunnelAddress: 10.244." digit ".0")                                               \
	BLOCK("tun6-" digit, "fd00:244:" digit "::/122", "tun6", "n" digit,                        \
	      ", tunnelAddress: 'fd00:244:" digit "::'")                                           \
	BLOCK("dir-" digit, "10.245." digit ".0/26", "dir", "n" digit, "")                         \
	BLOCK("mix-" digit, "10.246." digit ".0/26", "mix", "n" digit, "")
#define POD(name, digit, ip)                                                                       \
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: " name                      \
	", labels: {app: " name "}}, spec: {nodeName: n" digit                                     \
	", containers: [{name: c}]}, status: {podIPs: [{ip: " ip "}]}}\n---\n"
#define TUN(name, digit, last)                                                                     \
	POD(name, digit, "10.244." digit "." last "}, {ip: 'fd00:244:" digit "::" last "'")
#define PORT(name, digit, more)                                                                    \
	"{apiVersion: fairlead.io/v1, kind: WorkloadEndpoint, metadata: {namespace: shop, "        \
	"name: " name "-eth0}, spec: {node: n" digit ", pod: " name                                \
	", interface: eth0, hostInterface: fl" name more "}}\n---\n"
#define LINK(name, digit) PORT(name, digit, "")
#define SERVICE(name, ip, nodeport, more)                                                          \
	"{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: " name                  \
	"}, spec: {clusterIP: 10.96.0." ip ", clusterIPs: [10.96.0." ip ", 'fd00:96::" ip          \
	"'], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, type: NodePort, ports: "  \
	"[{name: http, port: 80, targetPort: 8080, nodePort: " nodeport "}]" more "}}\n---\n"
#define EP(ip, node, pod)                                                                          \
	"{addresses: ['" ip "'], nodeName: " node ", targetRef: {kind: Pod, namespace: shop, "     \
	"name: " pod "}}"
#define SLICE(name, digit, family, eps)                                                            \
	"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: shop, "      \
	"name: " name "-" digit ", labels: {kubernetes.io/service-name: " name                     \
	"}}, addressType: " family ", ports: [{name: http, port: 8080}], endpoints: [" eps         \
	"]}\n---\n"

static const char base[] = NODE("n1", "192.0.2.1", "2001:db8::1") NODE(
	"n2", "192.0.2.2",
	"2001:db8::2") NODE("n3", "198.51.100.3",
			    "2001:db8:1::3") POOL("tun", "10.244.0.0/16",
						  "natOutgoing: true") POOL("tun6", "fd00:244::/32",
									    "natOutgoing: true")
	POOL("dir", "10.245.0.0/16", "mode: Direct, natOutgoing: true") POOL(
		"mix", "10.246.0.0/16", "mode: VXLAN, crossSubnet: true") BLOCKS("1") BLOCKS("2")
		BLOCKS("3") TUN("a", "1", "5") TUN("a2", "1", "6") TUN("b", "2", "5") TUN(
			"c", "3", "5") POD("da", "1", "10.245.1.5") POD("db", "2", "10.245.2.5")
			POD("dc", "3", "10.245.3.5") POD("ma", "1", "10.246.1.5") POD(
				"mb", "2", "10.246.2.5") POD("mc", "3", "10.246.3.5")
				LINK("a", "1") LINK("b", "2") SERVICE(
					"web", "10", "30080",
					"") SLICE("web", "4", "IPv4", EP("10.244.2.5", "n2", "b"))
					SLICE("web", "6", "IPv6",
					      EP("fd00:244:2::5", "n2",
						 "b")) SERVICE("local", "11", "30081",
							       ", externalTrafficPolicy: Local")
						SLICE("local", "4", "IPv4",
						      EP("10.244.2.5", "n2", "b"))
							SERVICE("two", "12", "30082", "") SLICE(
								"two", "4", "IPv4",
								EP("10.244.1.5", "n1", "a") ", " EP(
									"10.244.3.5", "n3", "c"))
								SERVICE("none", "13", "30083", "");

static const char states[] = STATE("n1", "192.0.2.1", "2001:db8::1")
	STATE("n2", "192.0.2.2", "2001:db8::2") STATE("n3", "198.51.100.3", "2001:db8:1::3");

#define POLICY(name, spec)                                                                         \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, "     \
	"name: " name "}, spec: {" spec "}}\n---\n"

/* ---- a cluster, a question and the answer's text */

struct world {
	struct cluster *cluster;
	struct arena arena;
	struct story_view view;
};

static void add_objects(struct world *w, const char *text)
{
	struct manifest m = { .n_items = 0 };

	manifest_parse(&m, "test", text, strlen(text));
	for (size_t i = 0; i < m.n_errors; i++)
		fail_msg("%s", m.errors[i]);
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
}

static void open_world(struct world *w, const char *more)
{
	*w = (struct world){ .cluster = cluster_new() };
	arena_init(&w->arena, 0);
	add_objects(w, base);
	if (more)
		add_objects(w, more);
	w->view.cluster = w->cluster;
}

static void close_world(struct world *w)
{
	cluster_free(w->cluster);
	arena_fini(&w->arena);
}

static struct ipaddr ip(const char *text)
{
	struct ipaddr out;

	assert_int_equal(addr_parse(text, &out), 0);
	return out;
}

static struct ipaddr address_of_node(const char *node, bool v6)
{
	if (text_eq(node, "n2"))
		return ip(v6 ? "2001:db8::2" : "192.0.2.2");
	return ip(v6 ? "2001:db8::1" : "192.0.2.1");
}

/* From a pod of shop, a node, or (`from` NULL) from 203.0.113.9 outside, by way of `node`. */
static struct stories ask(struct world *w, const char *from, const char *node, const char *dst,
			  uint16_t port)
{
	const struct object *pod = from ? cluster_get(w->cluster, KIND_POD, "shop", from) : NULL;
	struct story_question q = {
		.node = node,
		.outside = !from,
		.from = pod ? pod->body : NULL,
		.head = { .dst = ip(dst), .proto = IPPROTO_TCP, .sport = 40000, .dport = port }
	};
	struct stories out;
	struct err e = { .code = 0 };
	bool v6 = q.head.dst.family == 10;

	if (q.from) {
		q.node = q.from->spec.nodeName;
		for (uint32_t i = 0; i < q.from->status.podIPs.n; i++)
			if (q.from->status.podIPs.v[i].ip.family == q.head.dst.family)
				q.head.src = q.from->status.podIPs.v[i].ip;
	} else if (q.outside) {
		q.head.src = ip(v6 ? "2001:db8:9::9" : "203.0.113.9");
	} else {
		q.head.src = address_of_node(node, v6);
	}
	assert_int_equal(story_predict(&w->view, &q, &w->arena, &out, &e), 0);
	return out;
}

static bool says_head(const struct story_hop *h)
{
	return h->step == STORY_SEND || h->step == STORY_DELIVER || h->step == STORY_ANSWER ||
	       !story_head_same(&h->before, &h->after);
}

static const char *hop_text(const struct story_hop *h, struct arena *a)
{
	const char *by = story_by_text(&h->by, a), *behind = story_by_text(&h->behind, a);

	return arena_printf(a, "%s %s%s%s %s%s%s%s%s%s%s%s%s\n", h->direction ? "<" : ">", h->node,
			    h->netns ? "/" : "", h->netns ? h->netns : "",
			    name_of(&story_step_names, h->step), h->device ? " dev " : "",
			    h->device ? h->device : "", says_head(h) ? " " : "",
			    says_head(h) ? story_head_text(&h->after, a) : "", by ? " | " : "",
			    by ? by : "", behind ? " | " : "", behind ? behind : "");
}

static const char *story_text(const struct story *s, struct arena *a)
{
	const char *text = "";

	for (uint32_t i = 0; i < s->hops.n; i++)
		text = arena_printf(a, "%s%s", text, hop_text(&s->hops.v[i], a));
	return arena_printf(a, "%s= %s", text, name_of(&story_verdict_names, s->verdict));
}

static void expect(struct world *w, const struct stories *s, uint32_t i, const char *text)
{
	assert_true(i < s->list.n);
	assert_string_equal(story_text(&s->list.v[i], &w->arena), text);
}

static void expect_one(const char *more, const char *from, const char *node, const char *dst,
		       uint16_t port, const char *text)
{
	struct world w;
	struct stories s;

	open_world(&w, more);
	s = ask(&w, from, node, dst, port);
	assert_int_equal(s.list.n, 1);
	expect(&w, &s, 0, text);
	close_world(&w);
}

/* ---- pods to pods */

static void same_node(void **state)
{
	expect_one(states, "a", NULL, "10.244.1.6", 80,
		   "> n1/shop/a send 10.244.1.5:40000 > 10.244.1.6:80\n"
		   "> n1/shop/a leave-pod dev eth0\n"
		   "> n1 enter-node dev fla | Pod shop/a\n"
		   "> n1 route | Route 10.244.1.6/32 | Pod shop/a2\n"
		   "> n1/shop/a2 enter-pod\n"
		   "> n1/shop/a2 deliver 10.244.1.5:40000 > 10.244.1.6:80 | Pod shop/a2\n"
		   "< n1/shop/a2 answer 10.244.1.6:80 > 10.244.1.5:40000 | Pod shop/a2\n"
		   "< n1/shop/a2 leave-pod\n"
		   "< n1 enter-node | Pod shop/a2\n"
		   "< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
		   "< n1/shop/a enter-pod dev eth0\n"
		   "< n1/shop/a deliver 10.244.1.6:80 > 10.244.1.5:40000 | Pod shop/a\n"
		   "= answered");
}

static void by_tunnel(void **state)
{
	expect_one(states, "a", NULL, "10.244.2.5", 80,
		   "> n1/shop/a send 10.244.1.5:40000 > 10.244.2.5:80\n"
		   "> n1/shop/a leave-pod dev eth0\n"
		   "> n1 enter-node dev fla | Pod shop/a\n"
		   "> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 | "
		   "IPBlock tun-2\n"
		   "> n1 tunnel-in dev vxlan0 vxlan 192.0.2.1 > 192.0.2.2 [10.244.1.5:40000 > "
		   "10.244.2.5:80] | Node n2\n"
		   "> n1 leave-node dev eth0\n"
		   "> n2 enter-node dev eth0\n"
		   "> n2 tunnel-out dev vxlan0 10.244.1.5:40000 > 10.244.2.5:80\n"
		   "> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
		   "> n2/shop/b enter-pod dev eth0\n"
		   "> n2/shop/b deliver 10.244.1.5:40000 > 10.244.2.5:80 | Pod shop/b\n"
		   "< n2/shop/b answer 10.244.2.5:80 > 10.244.1.5:40000 | Pod shop/b\n"
		   "< n2/shop/b leave-pod dev eth0\n"
		   "< n2 enter-node dev flb | Pod shop/b\n"
		   "< n2 route dev vxlan0 | Route 10.244.1.0/26 via 10.244.1.0 dev vxlan0 | "
		   "IPBlock tun-1\n"
		   "< n2 tunnel-in dev vxlan0 vxlan 192.0.2.2 > 192.0.2.1 [10.244.2.5:80 > "
		   "10.244.1.5:40000] | Node n1\n"
		   "< n2 leave-node dev eth0\n"
		   "< n1 enter-node dev eth0\n"
		   "< n1 tunnel-out dev vxlan0 10.244.2.5:80 > 10.244.1.5:40000\n"
		   "< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
		   "< n1/shop/a enter-pod dev eth0\n"
		   "< n1/shop/a deliver 10.244.2.5:80 > 10.244.1.5:40000 | Pod shop/a\n"
		   "= answered");
}

/* In a subnet the neighbour is the next hop; behind the router the default route does it. */
static void direct(void **state)
{
	expect_one(
		states, "da", NULL, "10.245.2.5", 80,
		"> n1/shop/da send 10.245.1.5:40000 > 10.245.2.5:80\n"
		"> n1/shop/da leave-pod\n"
		"> n1 enter-node | Pod shop/da\n"
		"> n1 route dev eth0 | Route 10.245.2.0/26 via 192.0.2.2 dev eth0 | IPBlock dir-2\n"
		"> n1 leave-node dev eth0\n"
		"> n2 enter-node dev eth0\n"
		"> n2 route | Route 10.245.2.5/32 | Pod shop/db\n"
		"> n2/shop/db enter-pod\n"
		"> n2/shop/db deliver 10.245.1.5:40000 > 10.245.2.5:80 | Pod shop/db\n"
		"< n2/shop/db answer 10.245.2.5:80 > 10.245.1.5:40000 | Pod shop/db\n"
		"< n2/shop/db leave-pod\n"
		"< n2 enter-node | Pod shop/db\n"
		"< n2 route dev eth0 | Route 10.245.1.0/26 via 192.0.2.1 dev eth0 | IPBlock dir-1\n"
		"< n2 leave-node dev eth0\n"
		"< n1 enter-node dev eth0\n"
		"< n1 route | Route 10.245.1.5/32 | Pod shop/da\n"
		"< n1/shop/da enter-pod\n"
		"< n1/shop/da deliver 10.245.2.5:80 > 10.245.1.5:40000 | Pod shop/da\n"
		"= answered");
	expect_one(states, "da", NULL, "10.245.3.5", 80,
		   "> n1/shop/da send 10.245.1.5:40000 > 10.245.3.5:80\n"
		   "> n1/shop/da leave-pod\n"
		   "> n1 enter-node | Pod shop/da\n"
		   "> n1 route dev eth0 | Route 0.0.0.0/0\n"
		   "> n1 leave-node dev eth0\n"
		   "> n3 enter-node dev eth0\n"
		   "> n3 route | Route 10.245.3.5/32 | Pod shop/dc\n"
		   "> n3/shop/dc enter-pod\n"
		   "> n3/shop/dc deliver 10.245.1.5:40000 > 10.245.3.5:80 | Pod shop/dc\n"
		   "< n3/shop/dc answer 10.245.3.5:80 > 10.245.1.5:40000 | Pod shop/dc\n"
		   "< n3/shop/dc leave-pod\n"
		   "< n3 enter-node | Pod shop/dc\n"
		   "< n3 route dev eth0 | Route 0.0.0.0/0\n"
		   "< n3 leave-node dev eth0\n"
		   "< n1 enter-node dev eth0\n"
		   "< n1 route | Route 10.245.1.5/32 | Pod shop/da\n"
		   "< n1/shop/da enter-pod\n"
		   "< n1/shop/da deliver 10.245.3.5:80 > 10.245.1.5:40000 | Pod shop/da\n"
		   "= answered");
}

/* The same way where BGP is to bring it, which no object says: likely. */
static void by_bgp(void **state)
{
	struct world w;
	struct stories s;
	const struct story_hop *h = NULL;

	open_world(&w, states);
	add_objects(&w, POOL("dir", "10.245.0.0/16", "mode: Direct, routes: bgp"));
	s = ask(&w, "da", NULL, "10.245.2.5", 80);
	assert_int_equal(s.list.n, 1);
	for (uint32_t i = 0; !h && i < s.list.v[0].hops.n; i++)
		if (s.list.v[0].hops.v[i].step == STORY_ROUTE)
			h = &s.list.v[0].hops.v[i];
	assert_non_null(h);
	assert_string_equal(h->by.rule, "via 192.0.2.2 dev eth0");
	assert_string_equal(h->behind.name, "dir-2");
	assert_string_equal(h->why, "where BGP brings it");
	assert_true(h->likely);
	/* A pod beside it is reached by no route of BGP's. */
	s = ask(&w, "da", NULL, "10.245.1.5", 80);
	for (uint32_t i = 0; i < s.list.v[0].hops.n; i++)
		assert_false(s.list.v[0].hops.v[i].likely);
	close_world(&w);
}

static uint32_t count(const struct story *s, enum story_step step)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->hops.n; i++)
		n += s->hops.v[i].step == step;
	return n;
}

/* A tunnel between subnets only; who is a neighbour only agents say, and without them both may be. */
static void cross_subnet(void **state)
{
	struct world w;
	struct stories s;

	open_world(&w, states);
	s = ask(&w, "ma", NULL, "10.246.2.5", 80);
	assert_int_equal(s.list.n, 1);
	assert_int_equal(count(&s.list.v[0], STORY_TUNNEL_IN), 0);
	s = ask(&w, "ma", NULL, "10.246.3.5", 80);
	assert_int_equal(s.list.n, 1);
	assert_int_equal(count(&s.list.v[0], STORY_TUNNEL_IN), 2);
	close_world(&w);
	open_world(&w, NULL);
	s = ask(&w, "ma", NULL, "10.246.2.5", 80);
	assert_int_equal(s.list.n, 2);
	assert_int_equal(count(&s.list.v[0], STORY_TUNNEL_IN), 0);
	assert_int_equal(count(&s.list.v[1], STORY_TUNNEL_IN), 2);
	assert_int_equal(s.list.v[1].of, 2);
	s = ask(&w, "a", NULL, "10.244.2.5", 80);
	assert_int_equal(s.list.n, 1);
	close_world(&w);
}

/* ---- Services */

/* The next hop in the tunnel is the peer's link-local address there, which follows from its name. */
static const char *hop6(const char *node, struct arena *a)
{
	struct macaddr mac = route_vxlan_mac(node);
	struct ipaddr hop = addr_eui64(&mac);
	char text[ADDR_TEXT];

	return arena_strdup(a, addr_str(&hop, text));
}

static void cluster_ip6(void **state)
{
	struct world w;
	struct stories s;

	open_world(&w, states);
	s = ask(&w, "a", NULL, "fd00:96::10", 80);
	assert_int_equal(s.list.n, 1);
	expect(&w, &s, 0,
	       arena_printf(
		       &w.arena,
		       "> n1/shop/a send [fd00:244:1::5]:40000 > [fd00:96::10]:80\n"
		       "> n1/shop/a leave-pod dev eth0\n"
		       "> n1 enter-node dev fla | Pod shop/a\n"
		       "> n1 service [fd00:244:1::5]:40000 > [fd00:244:2::5]:8080 | Service "
		       "shop/web:http | "
		       "Pod shop/b\n"
		       "> n1 route dev vxlan0 | Route fd00:244:2::/122 via %s dev "
		       "vxlan0 | IPBlock tun6-2\n"
		       "> n1 tunnel-in dev vxlan0 vxlan 192.0.2.1 > 192.0.2.2 "
		       "[[fd00:244:1::5]:40000 > "
		       "[fd00:244:2::5]:8080] | Node n2\n"
		       "> n1 leave-node dev eth0\n"
		       "> n2 enter-node dev eth0\n"
		       "> n2 tunnel-out dev vxlan0 [fd00:244:1::5]:40000 > [fd00:244:2::5]:8080\n"
		       "> n2 route | Route fd00:244:2::5/128 | Pod shop/b\n"
		       "> n2/shop/b enter-pod dev eth0\n"
		       "> n2/shop/b deliver [fd00:244:1::5]:40000 > [fd00:244:2::5]:8080 | Pod "
		       "shop/b\n"
		       "< n2/shop/b answer [fd00:244:2::5]:8080 > [fd00:244:1::5]:40000 | Pod "
		       "shop/b\n"
		       "< n2/shop/b leave-pod dev eth0\n"
		       "< n2 enter-node dev flb | Pod shop/b\n"
		       "< n2 route dev vxlan0 | Route fd00:244:1::/122 via %s dev "
		       "vxlan0 | IPBlock tun6-1\n"
		       "< n2 tunnel-in dev vxlan0 vxlan 192.0.2.2 > 192.0.2.1 "
		       "[[fd00:244:2::5]:8080 > "
		       "[fd00:244:1::5]:40000] | Node n1\n"
		       "< n2 leave-node dev eth0\n"
		       "< n1 enter-node dev eth0\n"
		       "< n1 tunnel-out dev vxlan0 [fd00:244:2::5]:8080 > [fd00:244:1::5]:40000\n"
		       "< n1 untranslate [fd00:96::10]:80 > [fd00:244:1::5]:40000 | Service "
		       "shop/web:http\n"
		       "< n1 route | Route fd00:244:1::5/128 | Pod shop/a\n"
		       "< n1/shop/a enter-pod dev eth0\n"
		       "< n1/shop/a deliver [fd00:96::10]:80 > [fd00:244:1::5]:40000 | Pod shop/a\n"
		       "= answered",
		       hop6("n2", &w.arena), hop6("n1", &w.arena)));
	close_world(&w);
}

/* Two endpoints, two stories: the pod itself, whose source is translated, and the other one. */
static void hairpin(void **state)
{
	struct world w;
	struct stories s;

	open_world(&w, states);
	s = ask(&w, "a", NULL, "10.96.0.12", 80);
	assert_int_equal(s.list.n, 2);
	expect(&w, &s, 0,
	       "> n1/shop/a send 10.244.1.5:40000 > 10.96.0.12:80\n"
	       "> n1/shop/a leave-pod dev eth0\n"
	       "> n1 enter-node dev fla | Pod shop/a\n"
	       "> n1 service 10.244.1.5:40000 > 10.244.1.5:8080 | Service shop/two:http | Pod "
	       "shop/a\n"
	       "> n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
	       "> n1 snat 192.0.2.1 > 10.244.1.5:8080 | Service shop/two:http\n"
	       "> n1/shop/a enter-pod dev eth0\n"
	       "> n1/shop/a deliver 192.0.2.1 > 10.244.1.5:8080 | Pod shop/a\n"
	       "< n1/shop/a answer 10.244.1.5:8080 > 192.0.2.1 | Pod shop/a\n"
	       "< n1/shop/a leave-pod dev eth0\n"
	       "< n1 enter-node dev fla | Pod shop/a\n"
	       "< n1 untranslate 10.96.0.12:80 > 10.244.1.5:40000 | Service shop/two:http\n"
	       "< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
	       "< n1/shop/a enter-pod dev eth0\n"
	       "< n1/shop/a deliver 10.96.0.12:80 > 10.244.1.5:40000 | Pod shop/a\n"
	       "= answered");
	assert_int_equal(s.list.v[0].of, 2);
	assert_int_equal(count(&s.list.v[1], STORY_SNAT), 0);
	assert_int_equal(count(&s.list.v[1], STORY_TUNNEL_OUT), 2);
	assert_int_equal(s.list.v[1].verdict, STORY_ANSWERED);
	close_world(&w);
}

/* From outside, with both policies. Cluster: the node that took it sends it on in its own name, by the
 * tunnel, and the answer comes back by it. Local: the client is seen, and answered straight away. */
static void node_port(void **state)
{
	expect_one(states, NULL, "n1", "192.0.2.1", 30080,
		   "> outside send 203.0.113.9:40000 > 192.0.2.1:30080\n"
		   "> n1 enter-node dev eth0\n"
		   "> n1 service 203.0.113.9:40000 > 10.244.2.5:8080 | Service shop/web:http | Pod "
		   "shop/b\n"
		   "> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 | "
		   "IPBlock tun-2\n"
		   "> n1 snat 10.244.1.0 > 10.244.2.5:8080 | Service shop/web:http\n"
		   "> n1 tunnel-in dev vxlan0 vxlan 192.0.2.1 > 192.0.2.2 [10.244.1.0 > "
		   "10.244.2.5:8080] | Node n2\n"
		   "> n1 leave-node dev eth0\n"
		   "> n2 enter-node dev eth0\n"
		   "> n2 tunnel-out dev vxlan0 10.244.1.0 > 10.244.2.5:8080\n"
		   "> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
		   "> n2/shop/b enter-pod dev eth0\n"
		   "> n2/shop/b deliver 10.244.1.0 > 10.244.2.5:8080 | Pod shop/b\n"
		   "< n2/shop/b answer 10.244.2.5:8080 > 10.244.1.0 | Pod shop/b\n"
		   "< n2/shop/b leave-pod dev eth0\n"
		   "< n2 enter-node dev flb | Pod shop/b\n"
		   "< n2 route dev vxlan0 | Route 10.244.1.0/26 via 10.244.1.0 dev vxlan0 | "
		   "IPBlock tun-1\n"
		   "< n2 tunnel-in dev vxlan0 vxlan 192.0.2.2 > 192.0.2.1 [10.244.2.5:8080 > "
		   "10.244.1.0] | Node n1\n"
		   "< n2 leave-node dev eth0\n"
		   "< n1 enter-node dev eth0\n"
		   "< n1 tunnel-out dev vxlan0 10.244.2.5:8080 > 10.244.1.0\n"
		   "< n1 untranslate 192.0.2.1:30080 > 203.0.113.9:40000 | Service shop/web:http\n"
		   "< n1 route dev eth0 | Route 0.0.0.0/0\n"
		   "< n1 leave-node dev eth0\n"
		   "< outside deliver 192.0.2.1:30080 > 203.0.113.9:40000\n"
		   "= answered");
	expect_one(
		states, NULL, "n2", "192.0.2.2", 30081,
		"> outside send 203.0.113.9:40000 > 192.0.2.2:30081\n"
		"> n2 enter-node dev eth0\n"
		"> n2 service 203.0.113.9:40000 > 10.244.2.5:8080 | Service shop/local:http | Pod "
		"shop/b\n"
		"> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
		"> n2/shop/b enter-pod dev eth0\n"
		"> n2/shop/b deliver 203.0.113.9:40000 > 10.244.2.5:8080 | Pod shop/b\n"
		"< n2/shop/b answer 10.244.2.5:8080 > 203.0.113.9:40000 | Pod shop/b\n"
		"< n2/shop/b leave-pod dev eth0\n"
		"< n2 enter-node dev flb | Pod shop/b\n"
		"< n2 untranslate 192.0.2.2:30081 > 203.0.113.9:40000 | Service shop/local:http\n"
		"< n2 route dev eth0 | Route 0.0.0.0/0\n"
		"< n2 leave-node dev eth0\n"
		"< outside deliver 192.0.2.2:30081 > 203.0.113.9:40000\n"
		"= answered");
	expect_one(states, NULL, "n1", "192.0.2.1", 30081,
		   "> outside send 203.0.113.9:40000 > 192.0.2.1:30081\n"
		   "> n1 enter-node dev eth0\n"
		   "> n1 drop | Service shop/local:http\n"
		   "= dropped");
}

/* A pod's connection to a node port of another node: its own node puts its address on it
 * (natOutgoing), the other one its own once more, and each undoes what it did. */
static void node_port_of_another(void **state)
{
	expect_one(
		states, "c", NULL, "192.0.2.1", 30080,
		"> n3/shop/c send 10.244.3.5:40000 > 192.0.2.1:30080\n"
		"> n3/shop/c leave-pod\n"
		"> n3 enter-node | Pod shop/c\n"
		"> n3 route dev eth0 | Route 0.0.0.0/0 | Node n1\n"
		"> n3 snat 198.51.100.3 > 192.0.2.1:30080 | IPPool tun\n"
		"> n3 leave-node dev eth0\n"
		"> n1 enter-node dev eth0\n"
		"> n1 service 198.51.100.3 > 10.244.2.5:8080 | Service shop/web:http | Pod shop/b\n"
		"> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 | IPBlock "
		"tun-2\n"
		"> n1 snat 10.244.1.0 > 10.244.2.5:8080 | Service shop/web:http\n"
		"> n1 tunnel-in dev vxlan0 vxlan 192.0.2.1 > 192.0.2.2 [10.244.1.0 > "
		"10.244.2.5:8080] | Node n2\n"
		"> n1 leave-node dev eth0\n"
		"> n2 enter-node dev eth0\n"
		"> n2 tunnel-out dev vxlan0 10.244.1.0 > 10.244.2.5:8080\n"
		"> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
		"> n2/shop/b enter-pod dev eth0\n"
		"> n2/shop/b deliver 10.244.1.0 > 10.244.2.5:8080 | Pod shop/b\n"
		"< n2/shop/b answer 10.244.2.5:8080 > 10.244.1.0 | Pod shop/b\n"
		"< n2/shop/b leave-pod dev eth0\n"
		"< n2 enter-node dev flb | Pod shop/b\n"
		"< n2 route dev vxlan0 | Route 10.244.1.0/26 via 10.244.1.0 dev vxlan0 | IPBlock "
		"tun-1\n"
		"< n2 tunnel-in dev vxlan0 vxlan 192.0.2.2 > 192.0.2.1 [10.244.2.5:8080 > "
		"10.244.1.0] | Node n1\n"
		"< n2 leave-node dev eth0\n"
		"< n1 enter-node dev eth0\n"
		"< n1 tunnel-out dev vxlan0 10.244.2.5:8080 > 10.244.1.0\n"
		"< n1 untranslate 192.0.2.1:30080 > 198.51.100.3 | Service shop/web:http\n"
		"< n1 route dev eth0 | Route 0.0.0.0/0 | Node n3\n"
		"< n1 leave-node dev eth0\n"
		"< n3 enter-node dev eth0\n"
		"< n3 untranslate 192.0.2.1:30080 > 10.244.3.5:40000 | IPPool tun\n"
		"< n3 route | Route 10.244.3.5/32 | Pod shop/c\n"
		"< n3/shop/c enter-pod\n"
		"< n3/shop/c deliver 192.0.2.1:30080 > 10.244.3.5:40000 | Pod shop/c\n"
		"= answered");
}

/* Towards a pod IPv6 prefers the source that has most in common with it: the tunnel's. */
static void hairpin6(void **state)
{
	struct world w;
	struct stories s;

	open_world(&w, states);
	s = ask(&w, NULL, "n2", "2001:db8::2", 30080);
	assert_int_equal(s.list.n, 1);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 snat fd00:244:2:: > [fd00:244:2::5]:8080 | Service "
			       "shop/web:http\n"));
	close_world(&w);
}

/* A bridge's own address is nearer still, of several the one of the pod's block; IPv4 has none there that
 * reaches beyond the link. */
static void hairpin_on_bridge(void **state)
{
	static const char bridged[] =
		PORT("b", "2", ", gateways: [10.244.2.1, 'fd00:244:3::1', 'fd00:244:2::1']");
	struct world w;
	struct stories s;

	open_world(&w, states);
	add_objects(&w, bridged);
	s = ask(&w, NULL, "n2", "2001:db8::2", 30080);
	assert_int_equal(s.list.n, 1);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 snat fd00:244:2::1 > [fd00:244:2::5]:8080 | Service "
			       "shop/web:http\n"));
	s = ask(&w, NULL, "n2", "192.0.2.2", 30080);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 snat 192.0.2.2 > 10.244.2.5:8080 | Service shop/web:http\n"));
	/* What the node sends itself is from there in both families, and comes back to it. */
	s = ask(&w, "-", "n2", "10.244.2.5", 80);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 send 10.244.2.1:40000 > 10.244.2.5:80\n"));
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "< n2 deliver 10.244.2.5:80 > 10.244.2.1:40000 | Node n2\n"
			       "= answered"));
	s = ask(&w, "-", "n2", "fd00:244:2::5", 80);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 send [fd00:244:2::1]:40000 > [fd00:244:2::5]:80\n"));
	close_world(&w);
}

static void to_itself(void **state)
{
	expect_one(states, "a", NULL, "10.244.1.5", 80,
		   "> n1/shop/a send 10.244.1.5:40000 > 10.244.1.5:80\n"
		   "> n1/shop/a deliver 10.244.1.5:40000 > 10.244.1.5:80 | Pod shop/a\n"
		   "< n1/shop/a answer 10.244.1.5:80 > 10.244.1.5:40000 | Pod shop/a\n"
		   "< n1/shop/a deliver 10.244.1.5:80 > 10.244.1.5:40000 | Pod shop/a\n"
		   "= answered");
}

static void refused(void **state)
{
	expect_one(states, "a", NULL, "10.96.0.13", 80,
		   "> n1/shop/a send 10.244.1.5:40000 > 10.96.0.13:80\n"
		   "> n1/shop/a leave-pod dev eth0\n"
		   "> n1 enter-node dev fla | Pod shop/a\n"
		   "> n1 refuse | Service shop/none:http\n"
		   "= refused");
}

/* A node asks a ClusterIP: no policy judges it where it leaves, and its source is translated to the
 * address that the tunnel needs. */
static void from_node(void **state)
{
	struct world w;
	struct stories s;

	open_world(&w, states);
	s = ask(&w, "-", "n1", "10.96.0.10", 80);
	assert_int_equal(s.list.n, 1);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n1 send 192.0.2.1:40000 > 10.96.0.10:80\n"
			       "> n1 service 192.0.2.1:40000 > 10.244.2.5:8080 | Service shop/web:"
			       "http | Pod shop/b\n"
			       "> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev "
			       "vxlan0 | IPBlock tun-2\n"
			       "> n1 snat 10.244.1.0 > 10.244.2.5:8080 | Service shop/web:http\n"));
	assert_non_null(
		strstr(story_text(&s.list.v[0], &w.arena),
		       "< n1 untranslate 10.96.0.10:80 > 192.0.2.1:40000 | Service shop/web:"
		       "http\n"
		       "< n1 deliver 10.96.0.10:80 > 192.0.2.1:40000 | Node n1\n"
		       "= answered"));
	/* Straight to the pod it has the address that the route names. */
	s = ask(&w, "-", "n1", "10.244.2.5", 8080);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n1 send 10.244.1.0:40000 > 10.244.2.5:8080\n"));
	close_world(&w);
}

/* ---- to outside, and nowhere */

static void to_outside(void **state)
{
	expect_one(states, "a", NULL, "203.0.113.9", 443,
		   "> n1/shop/a send 10.244.1.5:40000 > 203.0.113.9:443\n"
		   "> n1/shop/a leave-pod dev eth0\n"
		   "> n1 enter-node dev fla | Pod shop/a\n"
		   "> n1 route dev eth0 | Route 0.0.0.0/0\n"
		   "> n1 snat 192.0.2.1 > 203.0.113.9:443 | IPPool tun\n"
		   "> n1 leave-node dev eth0\n"
		   "> outside deliver 192.0.2.1 > 203.0.113.9:443\n"
		   "< outside answer 203.0.113.9:443 > 192.0.2.1\n"
		   "< n1 enter-node dev eth0\n"
		   "< n1 untranslate 203.0.113.9:443 > 10.244.1.5:40000 | IPPool tun\n"
		   "< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
		   "< n1/shop/a enter-pod dev eth0\n"
		   "< n1/shop/a deliver 203.0.113.9:443 > 10.244.1.5:40000 | Pod shop/a\n"
		   "= answered");
}

static void nobody(void **state)
{
	expect_one(
		states, "a", NULL, "10.244.2.9", 80,
		"> n1/shop/a send 10.244.1.5:40000 > 10.244.2.9:80\n"
		"> n1/shop/a leave-pod dev eth0\n"
		"> n1 enter-node dev fla | Pod shop/a\n"
		"> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 | IPBlock "
		"tun-2\n"
		"> n1 tunnel-in dev vxlan0 vxlan 192.0.2.1 > 192.0.2.2 [10.244.1.5:40000 > "
		"10.244.2.9:80] | Node n2\n"
		"> n1 leave-node dev eth0\n"
		"> n2 enter-node dev eth0\n"
		"> n2 tunnel-out dev vxlan0 10.244.1.5:40000 > 10.244.2.9:80\n"
		"> n2 route | Route 10.244.2.0/26 blackhole | IPBlock tun-2\n"
		"> n2 drop | Route 10.244.2.0/26 blackhole\n"
		"= dropped");
}

/* ---- policies */

static void denied_at_source(void **state)
{
	static const char policies[] = POLICY("out", "podSelector: {}, policyTypes: [Egress]");

	expect_one(
		policies, "a", NULL, "10.96.0.10", 80,
		"> n1/shop/a send 10.244.1.5:40000 > 10.96.0.10:80\n"
		"> n1/shop/a leave-pod dev eth0\n"
		"> n1 enter-node dev fla | Pod shop/a\n"
		"> n1 service 10.244.1.5:40000 > 10.244.2.5:8080 | Service shop/web:http | Pod "
		"shop/b\n"
		"> n1 route dev vxlan0 | Route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 | IPBlock "
		"tun-2\n"
		"> n1 drop | NetworkPolicy shop/out default deny by shop/out\n"
		"= dropped");
}

static void denied_at_destination(void **state)
{
	static const char policies[] = POLICY(
		"in", "podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: "
		      "{matchLabels: {app: a}}}]}]")
		POLICY("out",
		       "podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: "
		       "[{ports: [{port: 53}]}, {to: [{podSelector: {}}]}]");

	struct world w;
	struct stories s;

	open_world(&w, policies);
	/* a may, by both; a2 may not; who comes from outside shows as the node that took it. */
	s = ask(&w, "a", NULL, "10.96.0.10", 80);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n1 policy-egress | NetworkPolicy shop/out egress[1].to[0]\n"
			       "> n1 tunnel-in "));
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
			       "> n2 policy-ingress | NetworkPolicy shop/in ingress[0].from[0]\n"
			       "> n2/shop/b enter-pod dev eth0\n"));
	assert_int_equal(s.list.v[0].verdict, STORY_ANSWERED);
	s = ask(&w, "a2", NULL, "10.244.2.5", 80);
	assert_non_null(strstr(story_text(&s.list.v[0], &w.arena),
			       "> n2 route | Route 10.244.2.5/32 | Pod shop/b\n"
			       "> n2 drop | NetworkPolicy shop/in default deny by shop/in\n"
			       "= dropped"));
	s = ask(&w, NULL, "n1", "192.0.2.1", 30080);
	assert_int_equal(s.list.v[0].verdict, STORY_DROPPED);
	assert_non_null(strstr(s.list.v[0].sentence, "NetworkPolicy shop/in"));
	assert_non_null(s.list.v[0].advice);
	close_world(&w);
}

#define DNS_STATE                                                                                  \
	"{apiVersion: fairlead.io/v1, kind: NodeState, metadata: {name: n1}, status: {uplink: "    \
	"eth0, subnets: [192.0.2.1/24], dnsAddresses: [10.96.0.100, 'fd00:96::100']}}\n---\n"
#define TO_DNS                                                                                     \
	"> n1/shop/a send 10.244.1.5:40000 > 10.96.0.100:53\n"                                     \
	"> n1/shop/a leave-pod dev eth0\n"                                                         \
	"> n1 enter-node dev fla | Pod shop/a\n"
#define FROM_DNS                                                                                   \
	"> n1 deliver 10.244.1.5:40000 > 10.96.0.100:53 | Node n1\n"                               \
	"< n1 answer 10.96.0.100:53 > 10.244.1.5:40000 | Node n1\n"                                \
	"< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"                                          \
	"< n1/shop/a enter-pod dev eth0\n"                                                         \
	"< n1/shop/a deliver 10.96.0.100:53 > 10.244.1.5:40000 | Pod shop/a\n"                     \
	"= answered"
#define LOCK                                                                                       \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: "           \
	"kube-system, name: lock}, spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, "       \
	"ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: "              \
	"a}}}]}]}}\n---\n"
#define ASKS(peer)                                                                                 \
	POLICY("asks", "podSelector: {}, policyTypes: [Egress], egress: [{to: "                    \
		       "[{namespaceSelector: {}, podSelector: {matchLabels: {" peer "}}}]}]")

/* The node answers itself; policies mean the pods that did so before. */
static void dns_of_node(void **state)
{
	expect_one(DNS_STATE, "a", NULL, "10.96.0.100", 53, TO_DNS FROM_DNS);
	expect_one(DNS_STATE LOCK ASKS("k8s-app: kube-dns"), "a", NULL, "10.96.0.100", 53,
		   TO_DNS "> n1 policy-egress | NetworkPolicy shop/asks egress[0].to[0]\n"
			  "> n1 policy-ingress | NetworkPolicy kube-system/lock "
			  "ingress[0].from[0]\n" FROM_DNS);
	expect_one(DNS_STATE ASKS("app: b"), "a", NULL, "10.96.0.100", 53,
		   TO_DNS "> n1 drop | NetworkPolicy shop/asks default deny by shop/asks\n"
			  "= dropped");
	expect_one(DNS_STATE LOCK, "a2", NULL, "fd00:96::100", 53,
		   "> n1/shop/a2 send [fd00:244:1::6]:40000 > [fd00:96::100]:53\n"
		   "> n1/shop/a2 leave-pod\n"
		   "> n1 enter-node | Pod shop/a2\n"
		   "> n1 drop | NetworkPolicy kube-system/lock default deny by kube-system/lock\n"
		   "= dropped");
	/* Another port of the address is nobody's DNS. */
	expect_one(DNS_STATE ASKS("app: b"), "a", NULL, "10.96.0.100", 54,
		   "> n1/shop/a send 10.244.1.5:40000 > 10.96.0.100:54\n"
		   "> n1/shop/a leave-pod dev eth0\n"
		   "> n1 enter-node dev fla | Pod shop/a\n"
		   "> n1 deliver 10.244.1.5:40000 > 10.96.0.100:54 | Node n1\n"
		   "< n1 answer 10.96.0.100:54 > 10.244.1.5:40000 | Node n1\n"
		   "< n1 route | Route 10.244.1.5/32 | Pod shop/a\n"
		   "< n1/shop/a enter-pod dev eth0\n"
		   "< n1/shop/a deliver 10.96.0.100:54 > 10.244.1.5:40000 | Pod shop/a\n"
		   "= answered");
	(void)state;
}

/* ---- predicted and observed */

struct looked {
	struct packet_trace trace;
	struct trace_node nodes[3];
	uint8_t means[2];
};

static const struct packet_trace *all_look(struct looked *l)
{
	static const char *const names[] = { "n1", "n2", "n3" };

	*l = (struct looked){ .means = { TRACE_BY_EBPF, TRACE_BY_NFTABLES } };
	for (int i = 0; i < 3; i++) {
		l->nodes[i].name = names[i];
		l->nodes[i].phase = TRACE_DONE;
		l->nodes[i].means.v = l->means;
		l->nodes[i].means.n = 2;
	}
	l->trace.status.nodes.v = l->nodes;
	l->trace.status.nodes.n = 3;
	return &l->trace;
}

static uint32_t differences(struct world *w, const struct story *p, const struct story *o,
			    const struct packet_trace *t, struct story_differences *out)
{
	struct err e = { .code = 0 };

	assert_int_equal(story_diff(p, o, t, &w->arena, out, &e), 0);
	return out->list.n;
}

/* What another cluster would show stands for what was observed. */
static void difference(void **state)
{
	static const char denial[] =
		POLICY("in", "podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress]");
	struct world open, closed;
	struct stories s, d, two;
	struct story_differences got;
	struct looked l;
	const struct packet_trace *t = all_look(&l);

	open_world(&open, states);
	open_world(&closed, denial);
	s = ask(&open, "a", NULL, "10.96.0.10", 80);
	d = ask(&closed, "a", NULL, "10.96.0.10", 80);
	assert_int_equal(differences(&open, &s.list.v[0], &s.list.v[0], t, &got), 0);
	assert_int_equal(differences(&open, &d.list.v[0], &d.list.v[0], t, &got), 0);
	/* The drop is the difference, and not all that would have followed. */
	assert_int_equal(differences(&open, &s.list.v[0], &d.list.v[0], t, &got), 1);
	assert_null(got.list.v[0].predicted);
	assert_int_equal(got.list.v[0].observed->step, STORY_DROP);
	assert_string_equal(got.list.v[0].observed->node, "n2");
	assert_int_equal(differences(&open, &d.list.v[0], &s.list.v[0], t, &got), 1);
	assert_int_equal(got.list.v[0].predicted->step, STORY_DROP);
	assert_null(got.list.v[0].observed);
	/* Who did not look does not miss it; what became of it is known. */
	l.nodes[1].phase = TRACE_FAILED;
	assert_int_equal(differences(&open, &s.list.v[0], &d.list.v[0], t, &got), 1);
	assert_null(got.list.v[0].observed);
	assert_non_null(strstr(got.list.v[0].observed_text, "NetworkPolicy shop/in"));
	l.nodes[1].phase = TRACE_DONE;
	/* Another endpoint: the Service's hop, with both. */
	two = ask(&open, "a2", NULL, "10.96.0.12", 80);
	assert_true(differences(&open, &two.list.v[0], &two.list.v[1], t, &got) > 1);
	assert_int_equal(got.list.v[0].predicted->step, STORY_SERVICE);
	assert_int_equal(got.list.v[0].observed->step, STORY_SERVICE);
	close_world(&open);
	close_world(&closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hairpin_on_bridge),
		cmocka_unit_test(same_node),
		cmocka_unit_test(by_tunnel),
		cmocka_unit_test(direct),
		cmocka_unit_test(by_bgp),
		cmocka_unit_test(cross_subnet),
		cmocka_unit_test(cluster_ip6),
		cmocka_unit_test(hairpin),
		cmocka_unit_test(hairpin6),
		cmocka_unit_test(to_itself),
		cmocka_unit_test(node_port),
		cmocka_unit_test(node_port_of_another),
		cmocka_unit_test(refused),
		cmocka_unit_test(from_node),
		cmocka_unit_test(to_outside),
		cmocka_unit_test(nobody),
		cmocka_unit_test(denied_at_source),
		cmocka_unit_test(denied_at_destination),
		cmocka_unit_test(dns_of_node),
		cmocka_unit_test(difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
