// SPDX-License-Identifier: Apache-2.0
/* core/policy: what NetworkPolicies allow, which object decides, and the words for why not.
 * Expectations are from the NetworkPolicy API (networking.k8s.io/v1) and its concept page. */
#include "core/policy/judge.h"
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Namespaces shop (team=a) and lab (team=b, and a label that lies about its name); nowhere has no
 * object. `host` is on n1's network, `done` has ended; of `lost` (10.244.2.8) there is only the endpoint. */
static const char base[] =
	"{apiVersion: v1, kind: Node, metadata: {name: n1},\n"
	" status: {addresses: [{type: InternalIP, address: 192.0.2.1},\n"
	"                      {type: InternalIP, address: '2001:db8::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Node, metadata: {name: n2},\n"
	" status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}\n"
	"---\n"
	"{apiVersion: v1, kind: Namespace,\n"
	" metadata: {name: lab, labels: {team: b, kubernetes.io/metadata.name: shop}}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web, labels: {app: web}},\n"
	" spec: {nodeName: n1, containers: [{name: c, ports: [{name: http, containerPort: "
	"8080}]},\n"
	"        {name: d, ports: [{name: dns, containerPort: 53, protocol: UDP},\n"
	"                          {name: dns, containerPort: 5353}]}],\n"
	"        initContainers: [{name: i, ports: [{name: once, containerPort: 1}]},\n"
	"        {name: s, restartPolicy: Always, ports: [{name: side, containerPort: 2}]}]},\n"
	" status: {podIPs: [{ip: 10.244.1.1}, {ip: 'fd00:244:1::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: db,\n"
	"                                       labels: {app: db, tier: back}},\n"
	" spec: {nodeName: n2, containers: [{name: c, ports: [{name: http, containerPort: "
	"80}]}]},\n"
	" status: {podIPs: [{ip: 10.244.2.1}, {ip: 'fd00:244:2::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: lab, name: web, labels: {app: web}},\n"
	" spec: {nodeName: n2, containers: [{name: c}]}, status: {podIPs: [{ip: 10.244.2.2}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: nowhere, name: web, labels: {app: "
	"web}},\n"
	" spec: {nodeName: n2, containers: [{name: c}]}, status: {podIPs: [{ip: 10.244.2.3}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: host, labels: {app: web}},\n"
	" spec: {nodeName: n1, hostNetwork: true,\n"
	"        containers: [{name: c, ports: [{name: http, containerPort: 80}]}]},\n"
	" status: {podIPs: [{ip: 192.0.2.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: done, labels: {app: web}},\n"
	" spec: {nodeName: n2, containers: [{name: c}]},\n"
	" status: {phase: Succeeded, podIPs: [{ip: 10.244.2.9}]}}\n"
	"---\n"
	"{apiVersion: fairlead.io/v1, kind: WorkloadEndpoint, metadata: {namespace: shop, name: "
	"db-eth0},\n"
	" spec: {node: n2, pod: db, ips: [10.244.2.1/32]}}\n"
	"---\n"
	"{apiVersion: fairlead.io/v1, kind: WorkloadEndpoint, metadata: {namespace: shop, name: "
	"lost-eth0},\n"
	" spec: {node: n2, pod: lost, ips: [10.244.2.8/32]}}\n";

struct world {
	struct cluster *cluster;
	struct arena arena;
};

/* `policies`: "NS/NAME SPEC" lines, SPEC in YAML's flow style. */
static void open_world(struct world *w, const char *policies)
{
	char text[16384], spec[2048], ns[64], name[64];
	struct manifest m = { .n_items = 0 };
	int n = snprintf(text, sizeof(text), "%s", base), used;

	while (sscanf(policies, "%63[^/]/%63s %2047[^\n]\n%n", ns, name, spec, &used) == 3) {
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,\n"
			      " metadata: {namespace: %s, name: %s}, spec: %s}\n",
			      ns, name, spec);
		policies += used;
	}
	assert_string_equal(policies, "");
	assert_true((size_t)n < sizeof(text));
	*w = (struct world){ .cluster = cluster_new() };
	arena_init(&w->arena, 0);
	manifest_parse(&m, "test", text, (size_t)n);
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
}

static void close_world(struct world *w)
{
	cluster_free(w->cluster);
	arena_fini(&w->arena);
}

/* "shop/web", with '6' before it by IPv6; or an address. */
static void find_end(const struct world *w, const char *text, struct ipaddr *ip,
		     const struct pod **pod)
{
	bool v6 = *text == '6';
	const char *slash = strchr(text, '/');
	char ns[64];
	const struct object *o;

	*pod = NULL;
	if (!slash) {
		assert_int_equal(addr_parse(text, ip), 0);
		return;
	}
	snprintf(ns, sizeof(ns), "%.*s", (int)(slash - text - v6), text + v6);
	o = cluster_get(w->cluster, KIND_POD, ns, slash + 1);
	assert_non_null(o);
	*pod = o->body;
	*ip = (*pod)->status.podIPs.v[v6].ip;
}

static struct policy_flow flow_of(const struct world *w, const char *from, const char *to,
				  const char *port)
{
	struct policy_flow f = { .proto = PROTO_NONE };
	char *proto;

	find_end(w, from, &f.src, &f.from);
	find_end(w, to, &f.dst, &f.to);
	f.dport = (uint16_t)strtoul(port, &proto, 10);
	if (!strcmp(proto, "/tcp"))
		f.proto = PROTO_TCP;
	else if (!strcmp(proto, "/udp"))
		f.proto = PROTO_UDP;
	else if (!strcmp(proto, "/sctp"))
		f.proto = PROTO_SCTP;
	else
		assert_string_equal(port, "icmp");
	return f;
}

/* What a direction says: "open", "self", "shop/a ingress[0].from[1]", "default deny by shop/a". */
static const char *half_text(struct world *w, const struct policy_half *h, enum policy_type type)
{
	static const char *const exempt[] = { "?", "no pod", "itself", "own node" };
	char rule[POLICY_RULE_TEXT];

	switch ((enum policy_state)h->state) {
	case POLICY_EXEMPT:
		return exempt[h->exempt];
	case POLICY_OPEN:
		return "open";
	case POLICY_ALLOWED:
		return arena_printf(&w->arena, "%s/%s %s", h->by->meta.namespace, h->by->meta.name,
				    policy_rule_text(type, h->rule, h->peer, rule));
	case POLICY_DENIED:
		return policy_denial_text(h, &w->arena);
	}
	return "?";
}

/* "EGRESS; INGRESS" */
static void check(struct world *w, const char *from, const char *to, const char *port,
		  const char *want)
{
	struct policy_flow f = flow_of(w, from, to, port);
	struct policy_verdict v;
	const char *got;

	assert_int_equal(policy_judge(w->cluster, &f, &w->arena, &v, NULL), 0);
	got = arena_printf(&w->arena, "%s; %s", half_text(w, &v.egress, POLICY_EGRESS),
			   half_text(w, &v.ingress, POLICY_INGRESS));
	if (strcmp(got, want) != 0)
		fail_msg("%s -> %s %s: %s, not %s", from, to, port, got, want);
	assert_int_equal(v.allowed,
			 v.egress.state != POLICY_DENIED && v.ingress.state != POLICY_DENIED);
}

/* Does the first peer of an ingress policy on shop/db let `from` in? */
static bool lets_in(const char *peer, const char *from)
{
	char policy[1024];
	struct world w;
	struct policy_flow f;
	struct policy_verdict v;

	snprintf(policy, sizeof(policy),
		 "shop/p {podSelector: {matchLabels: {app: db}}, ingress: [{from: [%s]}]}\n", peer);
	open_world(&w, policy);
	f = flow_of(&w, from, *from == '6' ? "6shop/db" : "shop/db", "80/tcp");
	assert_int_equal(policy_judge(w.cluster, &f, &w.arena, &v, NULL), 0);
	close_world(&w);
	return v.allowed;
}

static void without_policies(void **state)
{
	struct world w;

	open_world(&w, "");
	check(&w, "shop/web", "shop/db", "80/tcp", "open; open");
	check(&w, "203.0.113.9", "shop/db", "icmp", "no pod; open");
	check(&w, "shop/web", "203.0.113.9", "80/tcp", "open; no pod");
	close_world(&w);
}

static void both_directions(void **state)
{
	struct world w;

	open_world(
		&w,
		"shop/b {podSelector: {}, policyTypes: [Ingress, Egress]}\n"
		"shop/a {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}},"
		" {podSelector: {matchLabels: {app: web}}}]}]}\n"
		"lab/c {podSelector: {}}\n");
	check(&w, "shop/web", "shop/db", "80/tcp",
	      "default deny by shop/b; shop/a ingress[0].from[1]");
	check(&w, "shop/db", "shop/web", "80/tcp",
	      "default deny by shop/b; default deny by shop/a, shop/b");
	check(&w, "lab/web", "shop/web", "80/tcp", "open; default deny by shop/a, shop/b");
	check(&w, "shop/web", "lab/web", "80/tcp", "default deny by shop/b; default deny by lab/c");
	check(&w, "203.0.113.9", "lab/web", "icmp", "no pod; default deny by lab/c");
	check(&w, "6shop/web", "6shop/db", "80/tcp",
	      "default deny by shop/b; shop/a ingress[0].from[1]");
	close_world(&w);
}

/* policies by name, then rules and peers by their place */
static void first_match_names_the_rule(void **state)
{
	struct world w;

	open_world(&w, "shop/z {podSelector: {}, ingress: [{}]}\n"
		       "shop/m {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}],"
		       " ports: [{port: 81}]}, {from: [{ipBlock: {cidr: 10.1.0.0/16}},"
		       " {podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}]}, {}]}\n");
	check(&w, "shop/web", "shop/db", "80/tcp", "open; shop/m ingress[1].from[1]");
	check(&w, "shop/web", "shop/db", "81/tcp", "open; shop/m ingress[0].from[0]");
	check(&w, "203.0.113.9", "shop/db", "81/tcp", "no pod; shop/m ingress[2]");
	close_world(&w);
}

static void types_default(void **state)
{
	struct world w;

	open_world(
		&w,
		"shop/a {podSelector: {matchLabels: {app: web}}}\n"
		"shop/b {podSelector: {matchLabels: {app: db}}, egress: [{ports: [{port: 1}]}]}\n"
		"lab/c {podSelector: {}, policyTypes: [Egress], ingress: [{}]}\n"
		"nowhere/d {podSelector: {}, policyTypes: [Ingress], egress: [{}]}\n");
	check(&w, "shop/web", "shop/db", "80/tcp", "open; default deny by shop/b");
	check(&w, "shop/db", "shop/web", "80/tcp",
	      "default deny by shop/b; default deny by shop/a");
	check(&w, "lab/web", "nowhere/web", "80/tcp",
	      "default deny by lab/c; default deny by nowhere/d");
	check(&w, "nowhere/web", "lab/web", "80/tcp", "open; open");
	close_world(&w);
}

static void operators(void **state)
{
	static const struct {
		const char *expression;
		bool web, db; /* app=web; app=db, tier=back */
	} cases[] = {
		{ "{key: app, operator: In, values: [web, x]}", true, false },
		{ "{key: tier, operator: In, values: [back]}", false, true },
		{ "{key: app, operator: NotIn, values: [web]}", false, true },
		{ "{key: tier, operator: NotIn, values: [back]}", true, false },
		{ "{key: tier, operator: NotIn, values: [front]}", true, true },
		{ "{key: tier, operator: Exists}", false, true },
		{ "{key: tier, operator: DoesNotExist}", true, false },
		{ "{key: app, operator: Exists}, {key: tier, operator: Exists}", false, true },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world w;

		snprintf(text, sizeof(text),
			 "lab/p {podSelector: {}, ingress: [{from: [{namespaceSelector: {},"
			 " podSelector: {matchExpressions: [%s]}}]}]}\n",
			 cases[i].expression);
		open_world(&w, text);
		check(&w, "shop/web", "lab/web", "1/tcp",
		      cases[i].web ? "open; lab/p ingress[0].from[0]"
				   : "open; default deny by lab/p");
		check(&w, "shop/db", "lab/web", "1/tcp",
		      cases[i].db ? "open; lab/p ingress[0].from[0]"
				  : "open; default deny by lab/p");
		close_world(&w);
	}
}

static void peers(void **state)
{
	static const char own[] = "{podSelector: {matchLabels: {app: web}}}";
	static const char there[] = "{namespaceSelector: {matchLabels: {team: b}}}";
	static const char both[] = "{namespaceSelector: {matchLabels: {team: a}},"
				   " podSelector: {matchLabels: {app: web}}}";

	assert_true(lets_in(own, "shop/web"));
	assert_false(lets_in(own, "lab/web"));
	assert_false(lets_in(own, "203.0.113.9"));
	assert_true(lets_in(there, "lab/web"));
	assert_false(lets_in(there, "shop/web"));
	assert_true(lets_in(both, "shop/web"));
	assert_true(lets_in(both, "6shop/web"));
	assert_false(lets_in(both, "lab/web"));
	/* Everybody, and every pod. */
	assert_true(lets_in("", "203.0.113.9"));
	assert_false(lets_in("{namespaceSelector: {}}", "203.0.113.9"));
	assert_true(lets_in("{namespaceSelector: {}}", "nowhere/web"));
}

/* The label is the name, in a namespace that says otherwise, and in one without an object. */
static void name_of_a_namespace(void **state)
{
	static const char shop[] =
		"{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}";
	static const char lab[] =
		"{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab, team: b}}}";
	static const char nowhere[] =
		"{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nowhere}}}";

	assert_true(lets_in(shop, "shop/web"));
	assert_false(lets_in(shop, "lab/web"));
	assert_true(lets_in(lab, "lab/web"));
	assert_true(lets_in(nowhere, "nowhere/web"));
	assert_false(lets_in("{namespaceSelector: {matchLabels: {team: b}}}", "nowhere/web"));
}

static void blocks(void **state)
{
	static const char pods[] = "{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.2.2/32]}}";
	static const char v6[] = "{ipBlock: {cidr: 'fd00:244::/32', except: ['fd00:244:2::/48']}}";

	assert_true(lets_in(pods, "shop/web"));
	assert_false(lets_in(pods, "lab/web"));
	assert_true(lets_in(pods, "nowhere/web"));
	assert_true(lets_in(pods, "10.9.9.9"));
	assert_false(lets_in(pods, "203.0.113.9"));
	assert_false(lets_in("{ipBlock: {cidr: 0.0.0.0/0}}", "6shop/web"));
	assert_true(lets_in(v6, "6shop/web"));
	assert_false(lets_in(v6, "shop/web"));
	assert_true(lets_in("{ipBlock: {cidr: '::/0'}}", "6shop/web"));
}

static void ports(void **state)
{
	struct world w;

	open_world(&w,
		   "lab/p {podSelector: {}, ingress: [{ports: [{port: 80}, {port: 90, endPort: 92},"
		   " {protocol: UDP}, {protocol: SCTP, port: 7}]}]}\n");
	check(&w, "shop/web", "lab/web", "80/tcp", "open; lab/p ingress[0]");
	check(&w, "shop/web", "lab/web", "81/tcp", "open; default deny by lab/p");
	check(&w, "shop/web", "lab/web", "89/tcp", "open; default deny by lab/p");
	check(&w, "shop/web", "lab/web", "90/tcp", "open; lab/p ingress[0]");
	check(&w, "shop/web", "lab/web", "92/tcp", "open; lab/p ingress[0]");
	check(&w, "shop/web", "lab/web", "93/tcp", "open; default deny by lab/p");
	check(&w, "shop/web", "lab/web", "12345/udp", "open; lab/p ingress[0]");
	check(&w, "shop/web", "lab/web", "7/sctp", "open; lab/p ingress[0]");
	check(&w, "shop/web", "lab/web", "80/sctp", "open; default deny by lab/p");
	check(&w, "shop/web", "lab/web", "icmp", "open; default deny by lab/p");
	close_world(&w);
}

/* They are the receiving pod's: of shop/web for its ingress, of shop/db for shop/web's egress. */
static void named_ports(void **state)
{
	struct world w;

	open_world(&w,
		   "shop/p {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress],"
		   " ingress: [{ports: [{port: http}, {port: dns, protocol: UDP}]},"
		   " {ports: [{port: side}, {port: once}]}], egress: [{ports: [{port: http}]}]}\n");
	check(&w, "shop/db", "shop/web", "8080/tcp", "open; shop/p ingress[0]");
	check(&w, "shop/db", "shop/web", "80/tcp", "open; default deny by shop/p");
	check(&w, "shop/db", "shop/web", "53/udp", "open; shop/p ingress[0]");
	check(&w, "shop/db", "shop/web", "5353/tcp", "open; default deny by shop/p");
	check(&w, "shop/db", "shop/web", "5353/udp", "open; default deny by shop/p");
	/* Init containers have ports as long as they go on. */
	check(&w, "shop/db", "shop/web", "2/tcp", "open; shop/p ingress[1]");
	check(&w, "shop/db", "shop/web", "1/tcp", "open; default deny by shop/p");
	check(&w, "shop/web", "shop/db", "80/tcp", "shop/p egress[0]; open");
	check(&w, "shop/web", "shop/db", "8080/tcp", "default deny by shop/p; open");
	check(&w, "shop/web", "203.0.113.9", "80/tcp", "default deny by shop/p; no pod");
	/* A pod on another node's network, and one that has ended, have none either. */
	check(&w, "shop/web", "192.0.2.2", "80/tcp", "default deny by shop/p; no pod");
	check(&w, "shop/web", "shop/done", "80/tcp", "default deny by shop/p; no pod");
	close_world(&w);
}

static void exemptions(void **state)
{
	struct world w;

	open_world(&w, "shop/p {podSelector: {}, policyTypes: [Ingress, Egress]}\n");
	check(&w, "shop/web", "shop/web", "80/tcp", "itself; itself");
	check(&w, "6shop/web", "shop/web", "icmp", "itself; itself");
	/* Its node, by either address or through a pod there; not the other node. */
	check(&w, "192.0.2.1", "shop/web", "80/tcp", "no pod; own node");
	check(&w, "2001:db8::1", "6shop/web", "80/tcp", "no pod; own node");
	check(&w, "shop/host", "shop/web", "80/tcp", "no pod; own node");
	check(&w, "shop/web", "192.0.2.1", "80/tcp", "own node; no pod");
	check(&w, "shop/web", "shop/host", "80/tcp", "own node; no pod");
	check(&w, "192.0.2.2", "shop/web", "80/tcp", "no pod; default deny by shop/p");
	check(&w, "shop/web", "192.0.2.2", "80/tcp", "default deny by shop/p; no pod");
	check(&w, "shop/host", "shop/db", "80/tcp", "no pod; default deny by shop/p");
	close_world(&w);
}

/* Neither is selected, by a podSelector or as a peer; an ipBlock has their address. */
static void pods_without_a_network_of_their_own(void **state)
{
	struct world w;

	open_world(
		&w,
		"shop/p {podSelector: {}, policyTypes: [Ingress, Egress],"
		" ingress: [{from: [{podSelector: {}}]}, {from: [{ipBlock: {cidr: 10.244.2.9/32}}],"
		" ports: [{port: 1}]}]}\n"
		"lab/q {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}\n");
	check(&w, "lab/web", "shop/done", "80/tcp", "open; no pod");
	check(&w, "shop/done", "shop/db", "80/tcp", "no pod; default deny by shop/p");
	check(&w, "shop/done", "shop/db", "1/tcp", "no pod; shop/p ingress[1].from[0]");
	check(&w, "shop/host", "shop/db", "80/tcp", "no pod; default deny by shop/p");
	check(&w, "shop/host", "lab/web", "80/tcp", "no pod; lab/q ingress[0].from[0]");
	check(&w, "lab/web", "shop/host", "80/tcp", "open; no pod");
	close_world(&w);
}

/* A policy is its namespace's alone, whoever asks. */
static void other_namespaces(void **state)
{
	const struct network_policy *p;
	const struct pod *pod;
	struct ipaddr ip;
	struct world w;

	open_world(&w, "lab/p {podSelector: {}}\n");
	p = cluster_get(w.cluster, KIND_NETWORKPOLICY, "lab", "p")->body;
	find_end(&w, "lab/web", &ip, &pod);
	assert_true(policy_isolates(p, POLICY_INGRESS, pod));
	assert_false(policy_isolates(p, POLICY_EGRESS, pod));
	find_end(&w, "shop/web", &ip, &pod);
	assert_false(policy_isolates(p, POLICY_INGRESS, pod));
	close_world(&w);
}

/* A pod that has no address yet: selectors hold, no block has it, its node is known. */
static void unknown_addresses(void **state)
{
	struct policy_flow f;
	struct policy_verdict v;
	struct world w;

	open_world(&w, "lab/a {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]},"
		       " {from: [{namespaceSelector: {}}]}]}\n");
	f = flow_of(&w, "shop/web", "lab/web", "80/tcp");
	f.src = f.dst = (struct ipaddr){ .family = 0 };
	assert_int_equal(policy_judge(w.cluster, &f, &w.arena, &v, NULL), 0);
	assert_int_equal(v.ingress.state, POLICY_ALLOWED);
	assert_int_equal(v.ingress.rule, 1);
	close_world(&w);

	open_world(&w, "shop/a {podSelector: {}}\n");
	f = flow_of(&w, "shop/host", "shop/web", "80/tcp");
	f.src = (struct ipaddr){ .family = 0 };
	assert_int_equal(policy_judge(w.cluster, &f, &w.arena, &v, NULL), 0);
	assert_int_equal(v.ingress.exempt, POLICY_OWN_NODE);
	close_world(&w);
}

static void explain(struct world *w, const char *from, const char *to, const char *port,
		    enum policy_type type, const char *want)
{
	struct policy_flow f = flow_of(w, from, to, port);
	struct policy_half half;
	struct policy_misses m;
	const char *got = "";
	char rule[POLICY_RULE_TEXT];

	assert_int_equal(policy_judge_half(w->cluster, &f, type, &w->arena, &half, NULL), 0);
	assert_int_equal(half.state, POLICY_DENIED);
	assert_int_equal(policy_explain(w->cluster, &f, type, &half, &w->arena, &m, NULL), 0);
	for (uint32_t i = 0; i < m.list.n; i++) {
		const struct policy_miss *x = &m.list.v[i];

		got = arena_printf(
			&w->arena, "%s%s %s: %s\n", got, x->policy->meta.name,
			x->rule < 0 ? "-"
				    : policy_rule_text(type, (uint32_t)x->rule, x->peer, rule),
			x->why);
	}
	assert_string_equal(got, want);
}

static void words_for_why_not(void **state)
{
	struct world w;

	open_world(
		&w,
		"shop/a {podSelector: {}}\n"
		"shop/b {podSelector: {}, ingress: [{ports: [{port: 81}, {port: 90, endPort: 92,"
		" protocol: UDP}, {protocol: SCTP}, {port: http}, {port: nope}]},"
		" {ports: [{port: 443}], from: [{podSelector: {}}]},"
		" {from: [{podSelector: {}}, {namespaceSelector: {matchLabels: {team: a}}},"
		" {namespaceSelector: {}, podSelector: {matchLabels: {app: web}, matchExpressions:"
		" [{key: tier, operator: Exists}]}}, {ipBlock: {cidr: 10.0.0.0/8,"
		" except: [10.244.0.0/16]}}, {ipBlock: {cidr: 192.0.2.0/24}}]}]}\n"
		"lab/c {podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector:"
		" {matchExpressions: [{key: app, operator: NotIn, values: [x, db]}]}},"
		" {namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator:"
		" NotIn, values: [x, db]}]}}]}]}\n");
	explain(&w, "lab/web", "shop/db", "82/tcp", POLICY_INGRESS,
		"a -: has no rule\n"
		"b ingress[0]: 82/tcp is not 81/tcp, 90-92/udp, every sctp port, http/tcp (80) or "
		"nope/tcp (which the target has not)\n"
		"b ingress[1]: 82/tcp is not 443/tcp\n"
		"b ingress[2].from[0]: selects pods of namespace shop, lab/web is in another\n"
		"b ingress[2].from[1]: namespaceSelector wants team=a, namespace lab has team=b\n"
		"b ingress[2].from[2]: podSelector wants tier, lab/web has no tier\n"
		"b ingress[2].from[3]: ipBlock 10.0.0.0/8 has not 10.244.2.2, as except has "
		"10.244.0.0/16\n"
		"b ingress[2].from[4]: ipBlock 192.0.2.0/24 has not 10.244.2.2\n");
	explain(&w, "lab/web", "shop/db", "82/tcp", POLICY_EGRESS,
		"c egress[0].to[0]: selects pods of namespace lab, shop/db is in another\n"
		"c egress[0].to[1]: podSelector wants app notin (db,x), shop/db has app=db\n");
	explain(&w, "203.0.113.9", "shop/db", "icmp", POLICY_INGRESS,
		"a -: has no rule\n"
		"b ingress[0]: the protocol has no ports: not 81/tcp, 90-92/udp, every sctp port, "
		"http/tcp (80) or nope/tcp (which the target has not)\n"
		"b ingress[1]: the protocol has no ports: not 443/tcp\n"
		"b ingress[2].from[0]: selects pods, 203.0.113.9 is the address of none\n"
		"b ingress[2].from[1]: selects pods, 203.0.113.9 is the address of none\n"
		"b ingress[2].from[2]: selects pods, 203.0.113.9 is the address of none\n"
		"b ingress[2].from[3]: ipBlock 10.0.0.0/8 has not 203.0.113.9\n"
		"b ingress[2].from[4]: ipBlock 192.0.2.0/24 has not 203.0.113.9\n");
	explain(&w, "lab/web", "shop/host", "82/tcp", POLICY_EGRESS,
		"c egress[0].to[0]: selects pods, shop/host is on its node's network\n"
		"c egress[0].to[1]: selects pods, shop/host is on its node's network\n");
	explain(&w, "lab/web", "shop/done", "82/tcp", POLICY_EGRESS,
		"c egress[0].to[0]: selects pods, shop/done has ended\n"
		"c egress[0].to[1]: selects pods, shop/done has ended\n");
	close_world(&w);
}

/* Memory that ends is told, and nothing is answered. */
static void no_memory(void **state)
{
	struct policy_verdict v = { .allowed = true };
	struct policy_flow f;
	struct arena small;
	struct err e = { .code = 0 };
	struct world w;

	open_world(&w, "shop/a {podSelector: {}}\n");
	f = flow_of(&w, "lab/web", "shop/db", "80/tcp");
	arena_init(&small, 1);
	assert_int_equal(policy_judge(w.cluster, &f, &small, &v, &e), -12);
	assert_true(v.allowed);
	assert_string_equal(e.text, "no memory");
	arena_fini(&small);
	close_world(&w);
}

/* It runs, and whom policies mean nobody can say: closed where one of its namespace is about the direction. */
static void no_pod_in_the_store(void **state)
{
	static const char closed[] = "no pod; " POLICY_NO_OBJECT;
	struct world w;

	open_world(&w, "shop/p {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], "
		       "ingress: [{}]}\n");
	check(&w, "203.0.113.9", "10.244.2.8", "80/tcp", closed);
	check(&w, "shop/web", "10.244.2.8", "icmp", "open; " POLICY_NO_OBJECT);
	check(&w, "10.244.2.8", "shop/db", "80/tcp", "open; shop/p ingress[0]");
	check(&w, "10.244.2.8", "10.244.2.8", "80/tcp", "itself; itself");
	check(&w, "192.0.2.2", "10.244.2.8", "80/tcp", "no pod; own node");
	check(&w, "192.0.2.1", "10.244.2.8", "80/tcp", closed);
	check(&w, "203.0.113.9", "10.244.2.7", "80/tcp", "no pod; no pod");
	close_world(&w);
	open_world(&w, "lab/p {podSelector: {}}\n");
	check(&w, "203.0.113.9", "10.244.2.8", "80/tcp", "no pod; open");
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_policies),
		cmocka_unit_test(no_pod_in_the_store),
		cmocka_unit_test(both_directions),
		cmocka_unit_test(first_match_names_the_rule),
		cmocka_unit_test(types_default),
		cmocka_unit_test(operators),
		cmocka_unit_test(peers),
		cmocka_unit_test(name_of_a_namespace),
		cmocka_unit_test(blocks),
		cmocka_unit_test(ports),
		cmocka_unit_test(named_ports),
		cmocka_unit_test(exemptions),
		cmocka_unit_test(pods_without_a_network_of_their_own),
		cmocka_unit_test(other_namespaces),
		cmocka_unit_test(unknown_addresses),
		cmocka_unit_test(words_for_why_not),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
