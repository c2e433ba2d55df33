/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from changes of objects: that it is what follows from all of them at once, and how much is judged for it. */
#include "bgp_objects.h"

#include <stdio.h>
#include <string.h>

static bool replace(struct object *now, unsigned kind, const char *ns, const char *name)
{
	struct object *old =
		now ? cluster_put(cluster, now) : cluster_take(cluster, kind, ns, name);
	bool any = (old || now) && bgp_wants_changed(made.wants, old, now);

	object_free(old);
	return any;
}

/* Puts these; true: something follows. */
static bool change(const char *text)
{
	struct cluster *c = cluster_new();
	bool any = false;

	objects_parse(text, c);
	for (unsigned k = 0; k < KIND_COUNT; k++) {
		size_t n;

		while (cluster_all(c, k, &n), n) {
			const struct meta *o = cluster_all(c, k, &n)[0]->meta;

			any |= replace(cluster_take(c, k, o->namespace, o->name), 0, NULL, NULL);
		}
	}
	cluster_free(c);
	return any;
}

static bool follow(void)
{
	return !bgp_wants_follow(made.wants, &view, &objects_ops, &made);
}

static void put_all(struct buf *b, const struct wanted *w)
{
	char text[PREFIX_TEXT];

	objects_put(b, w);
	for (size_t i = 0; i < w->n; i++)
		buf_printf(b, "%s %llx %llx %u %u\n", w->peers[i].name,
			   (unsigned long long)w->peers[i].transport,
			   (unsigned long long)w->peers[i].import[BGP_IPV4].digest,
			   w->peers[i].bfd.multiplier, w->peers[i].session.local_as);
	for (size_t i = 0; i < w->n_origins; i++)
		buf_printf(b, "%s by %s\n", prefix_str(&w->origins[i].prefix, text),
			   w->origins[i].why);
}

/* What was told by and by is what is told of the same objects at once. */
static void compare(const char *what)
{
	struct wanted other = { .wants = bgp_wants_new(made.wants->node) };
	struct buf a = { .v = NULL }, b = { .v = NULL };

	assert_int_equal(bgp_wants_follow(other.wants, &view, &objects_ops, &other), 0);
	put_all(&a, &made);
	put_all(&b, &other);
	buf_puts(&a, "");
	buf_puts(&b, "");
	if (strcmp(a.v ? a.v : "", b.v ? b.v : ""))
		fail_msg("after %s:\n%s\ninstead of\n%s", what, a.v ? a.v : "", b.v ? b.v : "");
	for (int multihop = 0; multihop < 2; multihop++)
		assert_int_equal(bgp_wants_bfd(made.wants, multihop),
				 bgp_wants_bfd(other.wants, multihop));
	assert_true(made.all.on == other.all.on && made.all.speaker.as == other.all.speaker.as);
	bgp_wants_free(other.wants);
	buf_fini(&a);
	buf_fini(&b);
}

static uint32_t dice(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % n;
}

#define ANY(list) list[dice(&seed, sizeof(list) / sizeof(list[0]))]

static void test_by_and_by(void **state)
{
	static const char *const metas[] = {
		"",
		", labels: {rack: a}",
		", labels: {rack: b, rr: \"\"}",
		", annotations: {fairlead.io/route-reflector-cluster-id: 244.0.0.1}",
		", labels: {rr: \"\"}, annotations: {fairlead.io/as-number: \"65009\"}",
	};
	static const char *const addresses[] = {
		"",
		IP("192.0.2.1"),
		IP("192.0.2.2"),
		IP("192.0.2.3"),
		IP("192.0.2.9"),
		IP("2001:db8::2"),
		IP("192.0.2.3") ", " IP("2001:db8::9"),
		IP("2001:db8::2") ", " IP("192.0.2.2"),
	};
	static const char *const configs[] = {
		"",
		"nodeToNodeMeshEnabled: false",
		"asNumber: 65001, bfd: {}",
		"listenPort: 1179",
		"nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}",
		"networks: [10.244.0.0/26, 203.0.113.0/24]",
	};
	static const char *const peers[] = {
		"peerIP: 192.0.2.9, asNumber: 1",
		"peerIP: 192.0.2.2, asNumber: 1, filters: [f]",
		"peerIP: \"2001:db8::9\", asNumber: 64512",
		"node: n1, peerIP: 192.0.2.3, asNumber: 2",
		"peerSelector: {matchLabels: {rr: \"\"}}",
		"node: n2, peerIP: 192.0.2.9, asNumber: 3",
		"nodeSelector: {matchLabels: {rack: a}}, peerSelector: {matchLabels: {rack: b}}, "
		"filters: [f]",
		"peerIP: 192.0.2.1, asNumber: 1, password: {secretKeyRef: {name: bgp, key: p}}",
		"peerSelector: {matchLabels: {rack: a}}, bfd: {}, password: {secretKeyRef: {name: "
		"bgp, key: p}}",
	};
	static const char *const names[] = { "a", "n2", "n3", "z" };
	static const char *const secrets[] = { "p: x", "p: y, mesh: z", "mesh: z" };
	static const char *const pools[] = { "", ", routes: bgp" };
	static const char *const blocks[] = {
		"node: n1",
		"node: n2",
		"node: n1, borrowed: [{node: n1, address: 10.244.0.9, state: Granted}]",
		"node: n2, borrowed: [{node: n3}, {node: n1, address: 10.244.0.9, state: Granted}]",
		"node: n2, borrowed: [{node: n1, address: 10.244.0.8, state: Granted}]",
	};
	uint32_t seed = 7;
	char text[800], name[16];

	want("n1", N1 N2 N3);
	for (unsigned step = 0; step < 6000; step++) {
		bool gone = !dice(&seed, 4);
		unsigned what = dice(&seed, 10), kind = KIND_NODE, i = 1 + dice(&seed, 5);
		const char *ns = NULL;

		snprintf(name, sizeof(name), "n%u", what == 0 ? 1 : i);
		snprintf(text, sizeof(text), NODE("%s", "%s", "%s"), name, ANY(metas),
			 ANY(addresses));
		if (what == 4) {
			kind = KIND_BGPCONFIGURATION;
			snprintf(name, sizeof(name), i < 4 ? "node.n%u" : "default", i);
			snprintf(text, sizeof(text), HEAD("BGPConfiguration", "%s") "spec: {%s}\n",
				 name, ANY(configs));
		} else if (what == 5 || what == 6) {
			kind = KIND_BGPPEER;
			snprintf(name, sizeof(name), "%s", ANY(names));
			snprintf(text, sizeof(text), PEER("%s", "%s"), name, ANY(peers));
		} else if (what == 7) {
			kind = KIND_SECRET;
			ns = "kube-system";
			snprintf(name, sizeof(name), "bgp");
			snprintf(text, sizeof(text), SECRET("%s"), ANY(secrets));
		} else if (what == 8) {
			kind = KIND_IPPOOL;
			snprintf(name, sizeof(name), "told");
			snprintf(text, sizeof(text), POOL("told", "10.244.0.0/16", "%s"),
				 ANY(pools));
		} else if (what == 9) {
			kind = KIND_IPBLOCK;
			snprintf(name, sizeof(name), i < 4 ? "b" : "a");
			snprintf(text, sizeof(text),
				 HEAD("IPBlock",
				      "%s") "spec: {cidr: 10.244.0.0/%u, pool: told, %s}\n",
				 name, 24 + i % 2, ANY(blocks));
		} else if (!dice(&seed, 20)) {
			kind = KIND_BGPFILTER;
			snprintf(name, sizeof(name), "f");
			snprintf(text, sizeof(text), FILTER("f", "importV4: [{action: %s}]"),
				 dice(&seed, 2) ? "Accept" : "Reject");
		}
		if (gone ? replace(NULL, kind, ns, name) : change(text))
			assert_true(follow());
		if (dice(&seed, 3))
			compare(gone ? name : text);
	}
	assert_true(bgp_wants_work(made.wants).all > 100);
}

/* What is read of nothing wakes nobody. */
static void test_heartbeats(void **state)
{
#define TOLD POOL("told", "10.244.0.0/16", ", routes: bgp")
	want("n1", N1 N2 TOLD BLOCK("a", "10.244.0.0/26", "told", "n1", "")
			   BLOCK("b", "10.244.1.0/26", "told", "n2", "")
				   PEER("p", "peerIP: 192.0.2.9, asNumber: 1"));
	assert_int_equal(made.n_origins, 1);
	assert_false(change(N1 N2 BLOCK("a", "10.244.0.0/26", "told", "n1", "")));
	assert_false(change(NODE("n2", ", annotations: {beat: \"7\"}",
				 "{type: Hostname, address: n2}, " IP("192.0.2.2"))));
	assert_false(change(BLOCK("b", "10.244.1.0/26", "told", "n2",
				  ", borrowed: [{node: n3, address: 10.244.1.9, state: Granted}, "
				  "{node: n1}]")));
	assert_false(change(BLOCK("c", "10.244.2.0/26", "told", "n3", "")));
	assert_false(change(TOLD PEER("q", "node: n2, peerIP: 192.0.2.9, asNumber: 1") SECRET(
		"p: x") FILTER("f", "") OTHERWISE("n7", "listenPort: 1179")));
	assert_false(replace(NULL, KIND_IPBLOCK, NULL, "c"));
	compare("heartbeats");
	/* The control: the same objects, with what is read. */
	assert_true(change(NODE("n2", LABEL("a: b"), IP("192.0.2.2"))));
	assert_true(change(BLOCK("a", "10.244.0.64/26", "told", "n1", "")));
	assert_true(follow());
	compare("changes");
	assert_true(change(POOL("told", "10.244.0.0/16", "")));
	assert_true(follow());
	assert_int_equal(made.n_origins, 0);
}

/* ---- how much is judged */

#define MANY 5000

struct counts {
	unsigned all, gone, peers, own;
};

static void count_all(void *arg, const struct bgp_want *w)
{
	((struct counts *)arg)->all++;
}

static void count_gone(void *arg, const char *peer)
{
	((struct counts *)arg)->gone++;
}

static void count_peer(void *arg, const struct bgp_peer_conf *c, const struct bgp_transport *t)
{
	((struct counts *)arg)->peers++;
}

static void count_own(void *arg, const struct bgp_own *o)
{
	((struct counts *)arg)->own++;
}

static void count_no_own(void *arg, const struct prefix *p)
{
	((struct counts *)arg)->own++;
}

/* Text of what was judged and told since the last call: all, Nodes, addresses; all, gone, peers, own routes. */
static const char *work(bool any)
{
	static const struct bgp_wants_ops counting = { count_all, count_gone, count_peer,
						       count_no_own, count_own };
	static struct bgp_wants_work before;
	static char text[96];
	struct counts n = { 0 };
	struct bgp_wants_work now;

	if (any)
		assert_int_equal(bgp_wants_follow(made.wants, &view, &counting, &n), 0);
	now = bgp_wants_work(made.wants);
	if (n.all && now.all == 1)
		before = (struct bgp_wants_work){ 0 };
	snprintf(text, sizeof(text), "%llu %llu %llu: %u %u %u %u",
		 (unsigned long long)(now.all - before.all),
		 (unsigned long long)(now.nodes - before.nodes),
		 (unsigned long long)(now.addresses - before.addresses), n.all, n.gone, n.peers,
		 n.own);
	before = now;
	return text;
}

static void put_cluster(struct buf *b)
{
	buf_puts(b, TOLD);
	for (unsigned i = 1; i <= MANY; i++) {
		buf_printf(b, NODE("n%u", "", IP("10.0.%u.%u")), i, i / 250, i % 250);
		buf_printf(b, BLOCK("b%u", "10.244.%u.%u/32", "told", "n%u", ""), i, i / 250,
			   i % 250, i);
	}
}

static void test_work(void **state)
{
	struct buf b = { .v = NULL };

	objects_begin("n1");
	put_cluster(&b);
	objects_parse(b.v, cluster);
	buf_fini(&b);
	assert_string_equal(work(true), "1 5000 5000: 1 0 4999 1");
	assert_string_equal(
		work(change(NODE("n2", ", annotations: {beat: \"1\"}", IP("10.0.0.2")))),
		"0 0 0: 0 0 0 0");
	/* Nodes: another, a new one, one that moves, one that goes. */
	assert_string_equal(work(change(NODE("n2", LABEL("a: b"), IP("10.0.0.2")))),
			    "0 1 1: 0 0 1 0");
	assert_string_equal(work(change(NODE("new", "", IP("10.9.0.2")))), "0 1 1: 0 0 1 0");
	assert_string_equal(work(change(NODE("new", "", IP("10.9.0.3")))), "0 1 2: 0 1 1 0");
	assert_string_equal(work(replace(NULL, KIND_NODE, NULL, "new")), "0 1 1: 0 1 0 0");
	assert_string_equal(work(change(OTHERWISE("n3", "listenPort: 1179"))), "0 1 1: 0 0 1 0");
	/* Blocks: another node's, one of this node. */
	assert_string_equal(work(change(BLOCK("x", "10.245.0.0/32", "told", "n2", ""))),
			    "0 0 0: 0 0 0 0");
	assert_string_equal(work(change(BLOCK("y", "10.245.0.1/32", "told", "n1", ""))),
			    "0 0 0: 0 0 0 2");
	assert_string_equal(work(replace(NULL, KIND_IPBLOCK, NULL, "y")), "0 0 0: 0 0 0 2");
	/* What concerns all. */
	assert_string_equal(work(change(CONFIG("multipath: 4"))), "1 5000 5000: 1 0 4999 1");
}

/* BFD's discriminators are all different, and stay. */
static void test_discriminators(void **state)
{
	uint32_t before[2];

	want("n1", N1 N2 N3 CONFIG("bfd: {}"));
	before[0] = made.peers[0].bfd.discriminator;
	before[1] = made.peers[1].bfd.discriminator;
	assert_true(before[0] && before[1] && before[0] != before[1]);
	assert_true(bgp_wants_bfd(made.wants, true) && !bgp_wants_bfd(made.wants, false));
	assert_true(change(CONFIG("bfd: {multihop: false}")) && follow());
	assert_true(!bgp_wants_bfd(made.wants, true) && bgp_wants_bfd(made.wants, false));
	assert_true(change(N2 CONFIG("bfd: {interval: 200}")) && follow());
	assert_int_equal(made.peers[0].bfd.discriminator, before[0]);
	assert_int_equal(made.peers[1].bfd.discriminator, before[1]);
	assert_true(change(CONFIG("multipath: 1")) && follow());
	assert_int_equal(made.peers[0].bfd.discriminator, 0);
	assert_false(bgp_wants_bfd(made.wants, true) || bgp_wants_bfd(made.wants, false));
}

/* Without memory it says so, leaves what was told, and has it all when there is some. */
static void test_no_memory(void **state)
{
	static const char text[] = N1 N2 SELECT FILTERED("f")
		FILTER("f", "importV4: [{action: Accept}]") CONFIG("networks: [10.0.0.0/8]");
	unsigned failed = 0;

	want("n1", text);
	assert_int_equal(made.n, 2);
	for (size_t limit = 1; limit < 4096; limit += 61) {
		bool done;

		assert_true(change(CONFIG("networks: [10.0.0.0/9]")));
		made.wants->frame[!made.wants->now].arena.limit = limit;
		done = follow();
		made.wants->frame[0].arena.limit = made.wants->frame[1].arena.limit = ARENA_LIMIT;
		failed += !done;
		assert_int_equal(made.n, 2);
		assert_true(done || bgp_wants_is_due_whole(made.wants));
		assert_true(follow());
		compare("a lack of memory");
	}
	assert_true(failed > 10);
}

static int end(void **state)
{
	objects_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_and_by), cmocka_unit_test(test_heartbeats),
		cmocka_unit_test(test_work),      cmocka_unit_test(test_discriminators),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
