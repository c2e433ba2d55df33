/* SPDX-License-Identifier: Apache-2.0 */
/* Objects to what a node's speaker is to be: manifests in, what was made of them as lines. */
#include "bgp_objects.h"

#include <string.h>

static void check(const char *node, const char *objects, const char *expect)
{
	struct wanted w = want(node, objects);
	struct buf b = { .v = NULL };

	objects_put(&b, &w);
	assert_string_equal(b.v ? b.v : "", expect);
	buf_fini(&b);
}

static void test_mesh(void **state)
{
	struct wanted w;

	check("n1", N1 N2 N3,
	      "n2 192.0.2.2:179 AS64512 4\n"
	      "n3 192.0.2.3:179 AS64512 4\n");
	w = want("n1", DUAL1 DUAL2);
	assert_true(w.all.on);
	assert_int_equal(w.all.listen_port, 179);
	assert_int_equal(w.all.speaker.as, 64512);
	assert_int_equal(w.all.speaker.id, 0xc0000201);
	assert_int_equal(w.all.speaker.multipath, 8);
	assert_int_equal(w.all.speaker.restart_time, 120);
	assert_false(w.all.speaker.restarting);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.peers[0].session.hold_time, 90);
	assert_int_equal(w.peers[0].session.connect_retry, 5);
	assert_int_equal(w.peers[0].bfd.multiplier, 0);
	assert_true(w.peers[0].session.graceful.family[BGP_IPV6]);
	assert_int_equal(w.peers[0].next_hop[BGP_IPV6].b[15], 1);
	check("n1", DUAL1 DUAL2 N3, "n2 192.0.2.2:179 AS64512 4 6\nn3 192.0.2.3:179 AS64512 4 6\n");
	check("n1", N1 N2 CONFIG("nodeToNodeMeshEnabled: false"), "");
	check("n1", N1 N2 CONFIG("asNumber: 65001, listenPort: 1179"),
	      "n2 192.0.2.2:1179 AS65001 4\n");
	/* Another AS, another port, a password that is there, one that is not. */
	check("n1",
	      N1 NODE("n2", ", annotations: {fairlead.io/as-number: \"4200000000\"}",
		      IP("192.0.2.2"))
		      HEAD("BGPConfiguration", "node.n2") "spec: {listenPort: 2179}\n",
	      "n2 192.0.2.2:2179 AS4200000000 4\n");
	check("n1",
	      N1 N2 CONFIG("nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}")
		      SECRET("mesh: hunter2"),
	      "n2 192.0.2.2:179 AS64512 4 password=hunter2\n");
	check("n1", N1 N2 CONFIG("nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}"),
	      "! BGPConfiguration default: spec.nodeMeshPassword.secretKeyRef: there is no Secret "
	      "kube-system/bgp of type fairlead.io/bgp-password\n");
}

static void test_no_node(void **state)
{
	struct wanted w = want("n9", N1);

	assert_false(w.all.on);
	check("n9", N1, "! Node n9: is not there\n");
	check("n4", NODE("n4", "", ""), "! Node n4: status.addresses: there is no InternalIP\n");
	/* By IPv6 alone: another identifier for each name, and never 0. */
	w = want("n1", NODE("n1", "", IP("2001:db8::1")));
	assert_true(w.all.on);
	assert_int_not_equal(w.all.speaker.id, 0);
	assert_int_not_equal(w.all.speaker.id,
			     want("x", NODE("x", "", IP("2001:db8::1"))).all.speaker.id);
	check("n1", N1 NODE("n2", "", IP("2001:db8::2")),
	      "! BGPConfiguration default: Node n2 has no InternalIP of a family that n1 has\n");
}

static void test_routers(void **state)
{
#define RACK                                                                                       \
	PEER("rack", "nodeSelector: {matchLabels: {rack: a}}, peerIP: 192.0.2.254, asNumber: "     \
		     "65001")
#define IN_A NODE("n1", LABEL("rack: a"), IP("192.0.2.1"))
	check("n1", IN_A RACK ALONE, "rack 192.0.2.254:179 AS65001 4\n");
	check("n2", IN_A N2 RACK ALONE, "");
	check("n2", N2 ALONE PEER("p", "node: n2, peerIP: \"192.0.2.254:1179\", asNumber: 1"),
	      "p 192.0.2.254:1179 AS1 4\n");
	check("n2", N2 ALONE PEER("p", "node: n1, peerIP: \"192.0.2.254:1179\", asNumber: 1"), "");
	check("n1",
	      N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 1, passive: true, ttlSecurity: 2, "
				 "sourceAddress: None, nextHopMode: Self"),
	      "p 192.0.2.9:179 AS1 4 passive self any-source hops=2\n");
	/* Of one address the first by name counts, and before the mesh; oneself is nobody's peer. */
	check("n1",
	      N1 N2 PEER("b", "peerIP: 192.0.2.2, asNumber: 2")
		      PEER("a", "peerIP: 192.0.2.2, asNumber: 1"),
	      "a 192.0.2.2:179 AS1 4\n! BGPPeer b: spec.peerIP: BGPPeer a has it already\n");
	check("n1", N1 ALONE PEER("self", "peerIP: 192.0.2.1, asNumber: 1"), "");
	/* A router with a Node's name. */
	check("n1", N1 N2 PEER("n2", "peerIP: 192.0.2.254, asNumber: 1"),
	      "n2 192.0.2.254:179 AS1 4\nnode/n2 192.0.2.2:179 AS64512 4\n");
	/* IPv6 that this node has not: no session to it, no routes of it. */
	check("n1", N1 ALONE PEER("p", "peerIP: \"2001:db8::9\", asNumber: 1"),
	      "! BGPPeer p: spec.peerIP: this node has no InternalIP of its family\n");
	check("n1", N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 1, families: [IPv4, IPv6]"),
	      "p 192.0.2.9:179 AS1 4\n"
	      "! BGPPeer p: spec.families: this node has no InternalIP of IPv6\n");
	check("n1", DUAL1 ALONE PEER("p", "peerIP: \"2001:db8::9\", asNumber: 1, families: [IPv6]"),
	      "p 2001:db8::9:179 AS1 6\n");
}

static void test_reflectors(void **state)
{
#define RR(n, c)                                                                                   \
	NODE("rr" n,                                                                               \
	     LABEL("rr: \"\"") ", annotations: {fairlead.io/route-reflector-cluster-id: " c "}",   \
	     IP("192.0.2.10" n))
	check("n1", N1 N2 RR("1", "244.0.0.1") RR("2", "244.0.0.1") SELECT ALONE,
	      "rr1 192.0.2.101:179 AS64512 4\nrr2 192.0.2.102:179 AS64512 4\n");
	/* The selection holds both ways; of one cluster they are no clients, and there is no mesh with them. */
	check("rr1", N1 N2 RR("1", "244.0.0.1") RR("2", "244.0.0.1") SELECT,
	      "n1 192.0.2.1:179 AS64512 4 client\nn2 192.0.2.2:179 AS64512 4 client\n"
	      "rr2 192.0.2.102:179 AS64512 4\n");
	check("n1", N1 N2 RR("1", "244.0.0.1") SELECT,
	      "n2 192.0.2.2:179 AS64512 4\nrr1 192.0.2.101:179 AS64512 4\n");
	check("rr1", RR("1", "244.0.0.1") RR("2", "244.0.0.2") SELECT,
	      "rr2 192.0.2.102:179 AS64512 4 client\n");
	assert_int_equal(want("rr1", RR("1", "244.0.0.1")).all.cluster_id, 0xf4000001);
	check("rr1", RR("1", "244.0.0.1") N1, "");
	/* Outside of the cluster's Nodes: of our AS a client, of another none; a Node of the same cluster by its address none either. */
	check("rr1",
	      RR("1", "244.0.0.1") RR("2", "244.0.0.1")
		      PEER("a", "peerIP: 192.0.2.9, asNumber: 64512")
			      PEER("b", "peerIP: 192.0.2.8, asNumber: 1")
				      PEER("c", "peerIP: 192.0.2.102, asNumber: 64512"),
	      "a 192.0.2.9:179 AS64512 4 client\nb 192.0.2.8:179 AS1 4\nc 192.0.2.102:179 AS64512 "
	      "4\n");
}

static size_t password_file(const char *path, uint8_t *out, void *arg)
{
	if (strcmp(path, "/etc/bgp") != 0)
		return 0;
	memcpy(out, "of a file", 9);
	return 9;
}

static void test_passwords(void **state)
{
#define WITH(p) N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 1, password: {" p "}")
	uint64_t one, other;

	view.password_file = NULL;
	check("n1", WITH("file: /etc/bgp"),
	      "! BGPPeer p: spec.password.file: /etc/bgp has no password\n");
	view.password_file = password_file;
	check("n1", WITH("file: /etc/bgp"), "p 192.0.2.9:179 AS1 4 password=of a file\n");
	check("n1", WITH("file: /etc/other"),
	      "! BGPPeer p: spec.password.file: /etc/other has no password\n");
	view.password_file = NULL;
	check("n1", WITH("secretKeyRef: {name: bgp, key: p}") SECRET("q: x"),
	      "! BGPPeer p: spec.password.secretKeyRef.key: Secret bgp has no \"p\"\n");
	/* A session ends for another password, and for nothing else that a Secret holds. */
	one = want("n1", WITH("secretKeyRef: {name: bgp, key: p}") SECRET("p: x"))
		      .peers[0]
		      .transport;
	other = want("n1", WITH("secretKeyRef: {name: bgp, key: p}") SECRET("p: x, q: z"))
			.peers[0]
			.transport;
	assert_true(one == other);
	other = want("n1", WITH("secretKeyRef: {name: bgp, key: p}") SECRET("p: y"))
			.peers[0]
			.transport;
	assert_true(one != other);
	other = want("n1", N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 1")).peers[0].transport;
	assert_true(one != other);
	assert_true(other !=
		    want("n1", N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 1, ttlSecurity: 1"))
			    .peers[0]
			    .transport);
	assert_true(other == want("n1", N1 ALONE PEER("p", "peerIP: 192.0.2.9, asNumber: 2"))
				     .peers[0]
				     .transport);
}

static void test_sessions(void **state)
{
#define ONE(conf, peer)                                                                            \
	want("n1", N1 CONFIG(conf) PEER("p", "peerIP: 192.0.2.9, asNumber: 1" peer)).peers[0]
	struct bgp_peer_conf p;
	struct wanted w;
	struct prefix links[3];

	p = ONE("timers: {holdTimeSeconds: 30, connectRetryTimeSeconds: 1}",
		", timers: {keepAliveTimeSeconds: 5}");
	assert_int_equal(p.session.hold_time, 30);
	assert_int_equal(p.session.keepalive, 5);
	assert_int_equal(p.session.connect_retry, 1);
	p = ONE("timers: {keepAliveTimeSeconds: 20}", ", timers: {holdTimeSeconds: 9}");
	assert_int_equal(p.session.hold_time, 9);
	assert_int_equal(p.session.keepalive, 0);
	p = ONE("gracefulRestart: {restartTimeSeconds: 60}", "");
	assert_true(p.session.graceful.offered && p.session.graceful.notification);
	assert_int_equal(p.session.graceful.restart_time, 60);
	assert_true(p.session.graceful.family[BGP_IPV4] && !p.session.graceful.family[BGP_IPV6]);
	assert_false(p.session.graceful.kept[BGP_IPV4]);
	assert_false(ONE("gracefulRestart: {enabled: false}", "").session.graceful.offered);
	assert_false(
		ONE("bfd: {}", ", gracefulRestart: {enabled: false}").session.graceful.offered);
	view.kept = true;
	w = want("n1", N1 PEER("p", "peerIP: 192.0.2.9, asNumber: 1"));
	assert_true(w.all.speaker.restarting && w.peers[0].session.graceful.kept[BGP_IPV4]);
	view.kept = false;
	view.alone =
		true; /* what forwards is not ours: it is kept, though nothing says that we restarted */
	w = want("n1", N1 PEER("p", "peerIP: 192.0.2.9, asNumber: 1"));
	assert_true(!w.all.speaker.restarting && w.peers[0].session.graceful.kept[BGP_IPV4]);
	view.alone = false;
	p = ONE("bfd: {interval: 50}", "");
	assert_int_equal(p.bfd.interval_us, 50000);
	assert_int_equal(p.bfd.multiplier, 3);
	assert_int_not_equal(p.bfd.discriminator, 0);
	assert_int_equal(ONE("bfd: {}", ", bfd: {enabled: false}").bfd.multiplier, 0);
	assert_int_equal(ONE("multipath: 1", ", bfd: {detectMultiplier: 7}").bfd.multiplier, 7);
	assert_int_equal(ONE("multipath: 1", ", maxPrefixes: 9").max_prefixes, 9);
	assert_int_equal(ONE("multipath: 1", "").on_link.addr.family, 0);
	prefix_parse("192.0.2.1/24", &links[0]);
	prefix_parse("192.0.2.1/28", &links[1]);
	prefix_parse("10.0.0.1/8", &links[2]);
	view.subnets = links;
	view.n_subnets = 3;
	p = ONE("multipath: 1", "");
	assert_int_equal(p.on_link.len, 28);
	assert_int_equal(p.on_link.addr.b[3], 0);
	/* BFD over one hop where a link is shared, else over several, unless it is said. */
	assert_false(ONE("bfd: {}", "").bfd.multihop);
	assert_true(ONE("bfd: {multihop: true}", "").bfd.multihop);
	assert_true(ONE("bfd: {}", ", bfd: {multihop: true}").bfd.multihop);
	w = want("n1", N1 NODE("n2", "", IP("192.0.2.15")) NODE("n3", "", IP("198.51.100.3"))
			       CONFIG("bfd: {}"));
	assert_int_equal(w.n, 2);
	assert_true(!w.peers[0].bfd.multihop && w.peers[1].bfd.multihop);
	view.n_subnets = 0;
	p = ONE("bfd: {}", "");
	assert_true(p.bfd.multihop);
	assert_int_equal(p.bfd.min_ttl, 1);
	assert_false(ONE("bfd: {multihop: false}", "").bfd.multihop);
	assert_int_equal(ONE("bfd: {minimumTTL: 250}", "").bfd.min_ttl, 250);
	/* What a node has otherwise goes before the default, field by field. */
	w = want("n1", N1 CONFIG("asNumber: 65001, timers: {holdTimeSeconds: 30, "
				 "connectRetryTimeSeconds: 7}")
			       OTHERWISE("n1", "listenPort: 1179, timers: {holdTimeSeconds: 60}")
				       OTHERWISE("n2", "asNumber: 2, multipath: 2")
					       PEER("p", "peerIP: 192.0.2.9, asNumber: 1"));
	assert_int_equal(w.all.speaker.as, 65001);
	assert_int_equal(w.all.listen_port, 1179);
	assert_int_equal(w.all.speaker.multipath, 8);
	assert_int_equal(w.peers[0].session.hold_time, 60);
	assert_int_equal(w.peers[0].session.connect_retry, 7);
	assert_int_equal(w.peers[0].port, 179);
}

/* ---- filters */

static bool accepts(const struct bgp_filter *f, const char *text, struct bgp_draft *d)
{
	struct bgp_decided out;
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	assert_int_equal(bgp_filter_run(f, &p, true, d, &arena, &out), 0);
	return out.accept;
}

static void test_filters(void **state)
{
	struct bgp_draft d = { .fixed.has = 0 };
	struct wanted w = want(
		"n1",
		FILTERED("a, b") FILTER("a", "exportV4: [{action: Reject, cidr: 10.1.0.0/16}]")
			FILTER("b",
			       "exportV4: [{action: Accept, cidr: 10.0.0.0/8, prefixLength: {min: "
			       "16, max: 24}, operations: "
			       "[{addCommunity: {value: \"65000:7\"}}, {addCommunity: {value: "
			       "\"1:2:3\"}}, "
			       "{prependASPath: {prefix: [65001, 65002]}}, {setLocalPreference: "
			       "{value: 7}}]}, "
			       "{action: Reject}], importV6: [{action: Accept, cidr: \"fd00::/8\", "
			       "matchOperator: Equal, peerType: eBGP}, {action: Accept, "
			       "communities: "
			       "{values: [\"65000:7\"]}}, {action: Accept, asPathPrefix: [65001]}, "
			       "{action: Reject}]"));
	const struct bgp_filter *out = &w.peers[0].export[BGP_IPV4],
				*in = &w.peers[0].import[BGP_IPV6];

	assert_int_equal(out->n, 2);
	assert_string_equal(out->v[1]->name, "b");
	assert_false(accepts(out, "10.1.2.0/24", &d));
	assert_false(accepts(out, "10.2.2.0/25", &d));
	assert_false(accepts(out, "10.0.0.0/15", &d));
	assert_false(accepts(out, "11.0.0.0/24", &d));
	assert_false(accepts(in, "fd00::/9", &d));
	assert_true(accepts(in, "fd00::/8", &d));
	assert_true(accepts(out, "10.2.2.0/24", &d));
	assert_int_equal(d.fixed.local_pref, 7);
	assert_memory_equal(d.part[BGP_P_COMMUNITIES], "\xfd\xe8\0\7", 4);
	assert_memory_equal(d.part[BGP_P_LARGE], "\0\0\0\1\0\0\0\2\0\0\0\3", 12);
	assert_memory_equal(d.part[BGP_P_AS_PATH], "\2\2\0\0\xfd\xe9\0\0\xfd\xea", 10);
	assert_true(accepts(in, "fd00::/9", &d)); /* by its community, then by its path */
	d.len[BGP_P_COMMUNITIES] = 0;
	assert_true(accepts(in, "fd00::/9", &d));
	d.len[BGP_P_AS_PATH] = 0;
	assert_false(accepts(in, "fd00::/9", &d));
	/* Nothing is said of these. */
	assert_int_equal(w.peers[0].import[BGP_IPV4].n, 0);
	assert_true(accepts(&w.peers[0].import[BGP_IPV4], "10.1.2.0/24", &d));
}

/* A filter that is not there lets nothing pass; RFC 8212 asks for a rule. */
static void test_filters_missing(void **state)
{
	static const char text[] = FILTERED("gone") CONFIG("asNumber: 1");
	struct bgp_draft d = { .fixed.has = 0 };
	struct wanted w = want("n1", text);

	assert_false(accepts(&w.peers[0].import[BGP_IPV4], "10.1.2.0/24", &d));
	assert_false(accepts(&w.peers[0].export[BGP_IPV6], "fd00::/64", &d));
	check("n1", text,
	      "p 192.0.2.9:179 AS1 4\n! BGPPeer p: spec.filters[0]: there is no BGPFilter "
	      "\"gone\"; nothing is "
	      "taken or told\n");
	w = want("n1",
		 N1 CONFIG("ebgpRequiresPolicy: true") PEER("p", "peerIP: 192.0.2.9, asNumber: 1"));
	assert_false(accepts(&w.peers[0].import[BGP_IPV4], "10.1.2.0/24", &d));
	w = want("n1", N1 CONFIG("ebgpRequiresPolicy: true")
			       PEER("p", "peerIP: 192.0.2.9, asNumber: 64512"));
	assert_true(accepts(&w.peers[0].import[BGP_IPV4], "10.1.2.0/24", &d));
	w = want("n1", FILTERED("f") CONFIG("ebgpRequiresPolicy: true")
			       FILTER("f", "importV4: [{action: Reject, cidr: 10.0.0.0/8}]"));
	assert_true(accepts(&w.peers[0].import[BGP_IPV4], "11.1.2.0/24", &d));
	assert_false(accepts(&w.peers[0].export[BGP_IPV4], "11.1.2.0/24", &d));
}

static uint64_t digest_of(const char *filters, bool import)
{
	struct wanted w = want("n1", filters);

	return import ? w.peers[0].import[BGP_IPV4].digest : w.peers[0].export[BGP_IPV4].digest;
}

/* What a filter says is what tells it from another. */
static void test_filter_digests(void **state)
{
#define RULES(r) FILTERED("f") FILTER("f", "importV4: [" r "]")
	static const char *const rules[] = {
		RULES(""),
		RULES("{action: Accept}"),
		RULES("{action: Reject}"),
		RULES("{action: Accept}, {action: Reject}"),
		RULES("{action: Accept, cidr: 0.0.0.0/0}"),
		RULES("{action: Accept, cidr: 10.0.0.0/8}"),
		RULES("{action: Accept, cidr: 10.0.0.0/9}"),
		RULES("{action: Accept, cidr: 10.0.0.0/8, matchOperator: Equal}"),
		RULES("{action: Accept, cidr: 10.0.0.0/8, matchOperator: NotEqual}"),
		RULES("{action: Accept, cidr: 10.0.0.0/8, matchOperator: NotIn}"),
		RULES("{action: Accept, prefixLength: {min: 8}}"),
		RULES("{action: Accept, prefixLength: {max: 8}}"),
		RULES("{action: Accept, peerType: eBGP}"),
		RULES("{action: Accept, peerType: iBGP}"),
		RULES("{action: Accept, communities: {values: [\"1:1\"]}}"),
		RULES("{action: Accept, communities: {values: [\"1:1\", \"1:2\"]}}"),
		RULES("{action: Accept, communities: {values: [\"0:1:1\"]}}"),
		RULES("{action: Accept, asPathPrefix: [1]}"),
		RULES("{action: Accept, asPathPrefix: [1, 1]}"),
		RULES("{action: Accept, operations: [{addCommunity: {value: \"1:1\"}}]}"),
		RULES("{action: Accept, operations: [{prependASPath: {prefix: [1]}}]}"),
		RULES("{action: Accept, operations: [{setLocalPreference: {value: 0}}]}"),
		RULES("{action: Accept, operations: [{setLocalPreference: {value: 1}}]}"),
	};
	uint64_t seen[sizeof(rules) / sizeof(rules[0])];

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		seen[i] = digest_of(rules[i], true);
		assert_true(seen[i] == digest_of(rules[i], true));
		for (size_t k = 0; k < i; k++)
			if (seen[k] == seen[i])
				fail_msg("%s\nis as\n%s", rules[i], rules[k]);
	}
	/* In is what is meant without an operator; the other direction has not changed. */
	assert_true(
		seen[5] ==
		digest_of(RULES("{action: Accept, cidr: 10.0.0.0/8, matchOperator: In}"), true));
	assert_true(digest_of(rules[1], false) == digest_of(rules[2], false));
}

/* ---- own routes */

static void test_origins(void **state)
{
	struct wanted w = want(
		"n1",
		N1 POOL("told", "10.244.0.0/16", ", routes: bgp") POOL(
			"kept", "10.245.0.0/16", "") BLOCK("a", "10.244.0.0/26", "told", "n1", "")
			BLOCK("b", "10.244.1.0/26", "told", "n2",
			      ", borrowed: [{node: n1, address: 10.244.1.9, state: Granted}, "
			      "{node: n1, address: 10.244.1.10}, {node: n3, address: 10.244.1.11, "
			      "state: Granted}]") BLOCK("c", "10.245.0.0/26", "kept", "n1", "")
				BLOCK("d", "10.246.0.0/26", "gone", "n1", "")
					CONFIG("networks: [203.0.113.0/24, \"2001:db8::/64\"], "
					       "communities: [{name: all, value: \"1:1\"}], "
					       "prefixAdvertisements: [{cidr: 10.0.0.0/8, "
					       "communities: [all]}, {cidr: 10.244.1.0/24, "
					       "communities: [\"1:1\", \"2:2\", \"1:2:3\"]}]"));
	struct buf b = { .v = NULL };
	char text[PREFIX_TEXT];
	struct bgp_draft d;
	struct prefix p;

	for (size_t i = 0; i < w.n_origins; i++)
		buf_printf(&b, "%s by %s, %u %u\n", prefix_str(&w.origins[i].prefix, text),
			   w.origins[i].why, w.origins[i].attrs.len[BGP_P_COMMUNITIES],
			   w.origins[i].attrs.len[BGP_P_LARGE]);
	assert_string_equal(b.v, "10.244.0.0/26 by IPBlock a, 4 0\n"
				 "10.244.1.9/32 by borrowed of IPBlock b, 8 12\n"
				 "203.0.113.0/24 by BGPConfiguration: spec.networks, 0 0\n"
				 "2001:db8::/64 by BGPConfiguration: spec.networks, 0 0\n");
	buf_fini(&b);
	prefix_parse("10.1.2.3/32", &p); /* as a Service's address */
	d = bgp_want_attrs(&w.all, &p);
	assert_int_equal(d.len[BGP_P_COMMUNITIES], 4);
	assert_memory_equal(d.part[BGP_P_COMMUNITIES], "\0\1\0\1", 4);
	prefix_parse("11.1.2.3/32", &p);
	assert_int_equal(bgp_want_attrs(&w.all, &p).len[BGP_P_COMMUNITIES], 0);
}

/* ---- texts of objects */

static void test_texts(void **state)
{
	static const char *const bad[] = { "",        "1",       "1:",      ":1",
					   "1:2:3:4", "65536:1", "1:65536", "1:2:4294967296",
					   "-1:2",    "1:2 ",    "no" };
	uint32_t v[3];
	struct ipaddr a;
	uint16_t port;

	assert_int_equal(community_parse("65535:65281", v), 1);
	assert_int_equal(v[0], BGP_C_NO_EXPORT);
	assert_int_equal(community_parse("no-export", v), 1);
	assert_int_equal(v[0], BGP_C_NO_EXPORT);
	assert_int_equal(community_parse("4294967295:0:1", v), 3);
	assert_int_equal(v[0], UINT32_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (community_parse(bad[i], v) != -22)
			fail_msg("%s", bad[i]);
	assert_int_equal(peer_ip_parse("2001:db8::1", &a, &port), 0);
	assert_int_equal(port, 0);
	assert_int_equal(peer_ip_parse("[2001:db8::1]:65535", &a, &port), 0);
	assert_int_equal(port, 65535);
	assert_int_equal(a.b[15], 1);
	assert_int_equal(peer_ip_parse("192.0.2.1:", &a, &port), -22);
	assert_int_equal(peer_ip_parse("[2001:db8::1:1", &a, &port), -22);
	assert_int_equal(
		peer_ip_parse("1111111111111111111111111111111111111111111111111", &a, &port), -22);
}

/* Lengths of base64 around its groups of three. */
static void test_secret_passwords(void **state)
{
	static const struct {
		const char *coded, *plain;
	} rows[] = { { "YQ==", "a" },      { "YWI=", "ab" }, { "YWJj", "abc" }, { "Pz8/", "???" },
		     { "fn5+", "~~~" },    { "YQ=", NULL },  { "=", NULL },     { "====", NULL },
		     { "YQ==YQ==", NULL }, { "Y===", NULL }, { "YW J", NULL },  { "", NULL } };
	struct strmap_entry entry = { "k", NULL };
	struct secret s = { .data = { &entry, 1 } };
	uint8_t v[PASSWORD_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = rows[i].plain ? strlen(rows[i].plain) : 0;

		entry.value = rows[i].coded;
		if (secret_password(&s, "k", v) != n)
			fail_msg("%s", rows[i].coded);
		assert_memory_equal(v, rows[i].plain ? rows[i].plain : "", n);
	}
	assert_int_equal(secret_password(&s, "other", v), 0);
}

static int end(void **state)
{
	objects_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mesh),           cmocka_unit_test(test_no_node),
		cmocka_unit_test(test_routers),        cmocka_unit_test(test_reflectors),
		cmocka_unit_test(test_passwords),      cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_filters),        cmocka_unit_test(test_filters_missing),
		cmocka_unit_test(test_filter_digests), cmocka_unit_test(test_origins),
		cmocka_unit_test(test_texts),          cmocka_unit_test(test_secret_passwords),
	};

	arena_init(&arena, 0);
	return cmocka_run_group_tests(tests, NULL, end);
}
