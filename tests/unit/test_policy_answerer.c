// SPDX-License-Identifier: Apache-2.0
/* core/policy: a node's own DNS answerer, as policies see it: by the judge. */
#include "core/policy/judge.h"
#include "store/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* shop/web on n1; its address, and those where n1 answers. */
static const char base[] =
	"{apiVersion: v1, kind: Node, metadata: {name: n1},\n"
	" status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web, labels: {app: web}},\n"
	" spec: {nodeName: n1, containers: [{name: c}]}, status: {podIPs: [{ip: 10.244.1.1}]}}\n";

/* As kubeadm has them, but for the pods' port that has another name: and one by which others know them. */
#define SERVICE(ns, name, address, selector)                                                       \
	"---\n{apiVersion: v1, kind: Service, metadata: {namespace: " ns ", name: " name "},\n"    \
	" spec: {clusterIP: " address ", clusterIPs: [" address "], selector: " selector           \
	", ports: [{port: 53, protocol: UDP}]}}\n"
#define POD(ns, name, labels, more)                                                                \
	"---\n{apiVersion: v1, kind: Pod, metadata: {namespace: " ns ", name: " name               \
	", labels: " labels "},\n spec: {nodeName: n2, containers: [{name: c, ports: [{name: "     \
	"domain, containerPort: 53, protocol: UDP}]}]" more "}}\n"
#define POLICY(ns, name, spec)                                                                     \
	"---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: " ns   \
	", name: " name "},\n spec: " spec "}\n"

#define KUBE_DNS SERVICE("kube-system", "kube-dns", "10.96.0.10", "{k8s-app: kube-dns}")
#define CORE_DNS POD("kube-system", "core", "{k8s-app: kube-dns, tier: infra}", "")

/* Everything is denied to shop/web but what the peers, or the ports, allow. */
#define ALLOW(rule)                                                                                \
	POLICY("shop", "p", "{podSelector: {}, policyTypes: [Egress], egress: [" rule "]}")
#define TO(peer) ALLOW("{to: [" peer "]}")
#define STANDARD                                                                                   \
	"{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}},"           \
	" podSelector: {matchLabels: {k8s-app: kube-dns}}}"

struct world {
	struct cluster *cluster;
	struct arena a;
	struct policy_answerer dns;
	struct policy_flow query;
};

static struct ipaddr ip(const char *text)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void open_world(struct world *w, const char *objects)
{
	const struct ipaddr addrs[] = { ip("169.254.20.10"), ip("10.96.0.10"), ip("fd00:96::a") };
	struct manifest m = { .n_items = 0 };
	char text[8192];
	int n = snprintf(text, sizeof(text), "%s%s", base, objects);

	assert_true((size_t)n < sizeof(text));
	*w = (struct world){ .cluster = cluster_new() };
	arena_init(&w->a, 0);
	manifest_parse(&m, "test", text, (size_t)n);
	if (m.n_errors)
		fail_msg("%s", m.errors[0]);
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
	assert_int_equal(policy_answerer_find(w->cluster, "n1", addrs, 3, &w->a, &w->dns, NULL), 0);
	w->query = (struct policy_flow){
		.src = ip("10.244.1.1"),
		.dst = ip("10.96.0.10"),
		.proto = PROTO_UDP,
		.dport = 53,
		.from = cluster_get(w->cluster, KIND_POD, "shop", "web")->body,
		.answerer = &w->dns,
	};
}

static void close_world(struct world *w)
{
	cluster_free(w->cluster);
	arena_fini(&w->a);
}

static const char *text_of(struct world *w, const struct policy_half *h)
{
	if (h->state == POLICY_DENIED)
		return policy_denial_text(h, &w->a);
	if (h->exempt)
		return h->exempt == POLICY_OWN_NODE ? "own node" : "other";
	return name_of(&policy_state_names, h->state);
}

static void must_say(struct world *w, const char *egress, const char *ingress)
{
	struct policy_verdict v;

	assert_int_equal(policy_judge(w->cluster, &w->query, &w->a, &v, NULL), 0);
	assert_string_equal(text_of(w, &v.egress), egress);
	assert_string_equal(text_of(w, &v.ingress), ingress);
}

/* What the world says of shop/web's query. */
static void says(const char *objects, const char *egress, const char *ingress)
{
	struct world w;

	open_world(&w, objects);
	must_say(&w, egress, ingress);
	close_world(&w);
}

#define DENIED "default deny by shop/p"

static void without_service(void **state)
{
	says("", "open", "open");
	says(ALLOW(""), DENIED, "open");
	says(TO(STANDARD), "allowed", "open");
	says(TO("{namespaceSelector: {}}"), "allowed", "open");
	says(TO("{podSelector: {}}"), DENIED, "open");
	says(TO("{ipBlock: {cidr: 10.96.0.0/12}}"), "allowed", "open");
	says(TO("{ipBlock: {cidr: 10.96.0.0/12, except: [10.96.0.10/32]}}"), DENIED, "open");
	/* Pods that look like it are not asked, as no Service leads there. */
	says(CORE_DNS TO("{namespaceSelector: {}, podSelector: {matchLabels: {tier: infra}}}"),
	     DENIED, "open");
}

static void which_service(void **state)
{
	struct world w;

	/* At the earlier address, then by namespace and name. */
	open_world(&w, SERVICE("b", "z", "10.96.0.10", "{c: d}")
			       SERVICE("a", "x", "10.96.0.11", "{a: b}")
				       SERVICE("a", "y", "'fd00:96:0::a'", "{a: b}")
					       SERVICE("c", "y", "10.96.0.10", "{a: b}"));
	assert_string_equal(w.dns.service->meta.name, "z");
	assert_string_equal(w.dns.stand_in->meta.namespace, "b");
	assert_string_equal(strmap_get(&w.dns.stand_in->meta.labels, "c"), "d");
	assert_string_equal(w.dns.stand_in->meta.name, "dns@n1");
	close_world(&w);
	/* Without a selector it says nothing of pods. */
	open_world(&w, SERVICE("a", "x", "10.96.0.10", "{}"));
	assert_string_equal(w.dns.service->meta.name, "x");
	assert_string_equal(w.dns.stand_in->meta.namespace, "kube-system");
	assert_int_equal(w.dns.pods.n, 1);
	close_world(&w);
}

static void as_the_pods_of_its_service(void **state)
{
#define INFRA "{namespaceSelector: {}, podSelector: {matchLabels: {tier: infra}}}"
	says(KUBE_DNS TO(INFRA), DENIED, "open");
	says(KUBE_DNS CORE_DNS TO(INFRA), "allowed", "open");
	says(KUBE_DNS CORE_DNS TO(STANDARD), "allowed", "open");
	/* Which policies do not know are not there. */
	says(KUBE_DNS POD("kube-system", "core", "{k8s-app: kube-dns, tier: infra}",
			  ", hostNetwork: true") TO(INFRA),
	     DENIED, "open");
	/* Each of several. */
	says(KUBE_DNS CORE_DNS POD("kube-system", "other", "{k8s-app: kube-dns}", "") TO(INFRA),
	     "allowed", "open");
	/* The pods only, where there are some: not who it is without. */
	says(SERVICE("shop", "dns", "10.96.0.10", "{a: b}") POD("shop", "x", "{a: b, c: d}", "")
		     TO("{podSelector: {matchExpressions: [{key: c, operator: DoesNotExist}]}}"),
	     DENIED, "open");
}

static void ports(void **state)
{
#define PORT(port, proto) ALLOW("{ports: [{port: " port ", protocol: " proto "}]}")
	struct world w;

	says(PORT("53", "UDP"), "allowed", "open");
	says(PORT("53", "TCP"), DENIED, "open");
	says(PORT("dns", "UDP"), "allowed", "open");
	says(PORT("dns-tcp", "UDP"), DENIED, "open");
	says(PORT("domain", "UDP"), DENIED, "open");
	says(KUBE_DNS CORE_DNS PORT("domain", "UDP"), "allowed", "open");
	says(KUBE_DNS CORE_DNS PORT("dns", "UDP"), DENIED, "open");
	open_world(&w, PORT("dns-tcp", "TCP"));
	w.query.proto = PROTO_TCP;
	must_say(&w, "allowed", "open");
	close_world(&w);
}

static void isolated_itself(void **state)
{
#define CLOSED(pods) POLICY("kube-system", "q", "{podSelector: " pods "}")
	static const char denied[] = "default deny by kube-system/q";
	struct world w;

	says(CLOSED("{}"), "open", denied);
	says(CLOSED("{matchLabels: {tier: infra}}"), "open", "open");
	says(KUBE_DNS CORE_DNS CLOSED("{matchLabels: {tier: infra}}"), "open", denied);
	says(POLICY("kube-system", "q",
		    "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: "
		    "{matchLabels: {app: web}}}], ports: [{port: dns, protocol: UDP}]}]}"),
	     "open", "allowed");
	/* Its node, and who is on its network, may ask; of other nodes nobody is its node. */
	open_world(&w, CLOSED("{}"));
	w.query.from = NULL;
	w.query.src = ip("192.0.2.1");
	must_say(&w, "other", "own node");
	w.query.src = w.query.dst;
	must_say(&w, "other", "other"); /* to itself */
	w.query.src = ip("192.0.2.2");
	must_say(&w, "other", denied);
	close_world(&w);
}

static void explained(void **state)
{
	struct policy_half half;
	struct policy_misses m;
	struct world w;

	open_world(&w, KUBE_DNS CORE_DNS TO(
			       "{namespaceSelector: {}, podSelector: {matchLabels: {app: dns}}},"
			       "{podSelector: {}}"));
	assert_int_equal(policy_judge_half(w.cluster, &w.query, POLICY_EGRESS, &w.a, &half, NULL),
			 0);
	assert_int_equal(policy_explain(w.cluster, &w.query, POLICY_EGRESS, &half, &w.a, &m, NULL),
			 0);
	assert_int_equal(m.list.n, 2);
	assert_string_equal(m.list.v[0].why, "podSelector wants app=dns, the node's DNS, as "
					     "kube-system/core, has no app");
	assert_string_equal(m.list.v[1].why, "selects pods of namespace shop, the node's DNS, as "
					     "kube-system/core, is in another");
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_service),
		cmocka_unit_test(which_service),
		cmocka_unit_test(as_the_pods_of_its_service),
		cmocka_unit_test(ports),
		cmocka_unit_test(isolated_itself),
		cmocka_unit_test(explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
