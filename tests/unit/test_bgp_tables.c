/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/learned.h and daemon/origins.h: what role bgp told the agent, and what it is told. */
#include "daemon/learned.h"
#include "daemon/origins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/addresses.h"

/* What callbacks hear, sorted so that no order of a hash is tested. */
static char heard[16][80];
static size_t n_heard;

static void hear(const char *text)
{
	assert_true(n_heard < 16);
	snprintf(heard[n_heard++], sizeof(heard[0]), "%s", text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void expect(const char *want)
{
	char got[16 * 82] = "";

	qsort(heard, n_heard, sizeof(heard[0]), by_text);
	for (size_t i = 0; i < n_heard; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " | " : "",
			 heard[i]);
	n_heard = 0;
	assert_string_equal(got, want);
}

/* ---- learned */

static void on_prefix(void *arg, const struct prefix *p)
{
	char text[PREFIX_TEXT];

	hear(prefix_str(p, text));
}

static int put(struct learned_table *t, const char *prefix, const char *via, const char *via2,
	       uint32_t stream)
{
	struct ipaddr v[2] = { ip(via) };
	struct rec_route r = {
		.prefix = net(prefix), .via = { v, 1 }, .peer = "tor", .why = "only"
	};

	if (via2)
		v[r.via.n++] = ip(via2);
	return learned_put(t, &r, stream);
}

static void by_via(const struct learned_table *t, const char *via, const char *want)
{
	struct ipaddr a = ip(via);

	learned_by_via(t, &a, on_prefix, NULL);
	expect(want);
}

static void test_learned(void **state)
{
	struct learned_table *t = learned_new();
	struct prefix p = net("10.1.0.0/26"), host = net("10.1.0.9/26");
	const struct learned *l;

	assert_int_equal(put(t, "10.1.0.0/26", "192.0.2.1", NULL, 1), LEARNED_CHANGED);
	assert_int_equal(put(t, "10.1.0.5/26", "192.0.2.1", NULL, 1), LEARNED_SAME); /* host bits */
	assert_int_equal(put(t, "10.1.0.0/26", "192.0.2.1", "192.0.2.2", 1), LEARNED_CHANGED);
	assert_int_equal(put(t, "10.1.1.0/26", "192.0.2.2", NULL, 1), LEARNED_CHANGED);
	assert_int_equal(put(t, "fd01::/64", "fd00::1", NULL, 1), LEARNED_CHANGED);
	assert_int_equal(learned_count(t), 3);
	l = learned_find(t, &p);
	assert_non_null(l);
	assert_int_equal(l->n_via, 2);
	assert_string_equal(l->peer, "tor");
	assert_string_equal(l->why, "only");
	assert_null(l->kept);
	by_via(t, "192.0.2.1", "10.1.0.0/26");
	by_via(t, "192.0.2.2", "10.1.0.0/26 | 10.1.1.0/26");
	by_via(t, "192.0.2.3", "");

	/* One next hop fewer, and none at last. */
	assert_int_equal(put(t, "10.1.0.0/26", "192.0.2.1", NULL, 1), LEARNED_CHANGED);
	by_via(t, "192.0.2.2", "10.1.1.0/26");
	assert_true(learned_drop(t, &host));
	assert_false(learned_drop(t, &host));
	assert_null(learned_find(t, &p));
	by_via(t, "192.0.2.1", "");
	learned_free(t);
}

/* What the second stream tells as it was is no change, and what it does not tell goes. */
static void test_sweep(void **state)
{
	struct learned_table *t = learned_new();
	struct prefix p = net("10.1.0.0/26");
	struct rec_route other = { .prefix = p, .peer = "n2", .why = "shorter" };
	struct ipaddr via = ip("192.0.2.1");

	put(t, "10.1.0.0/26", "192.0.2.1", NULL, 1);
	put(t, "10.1.1.0/26", "192.0.2.1", NULL, 1);
	put(t, "fd01::/64", "fd00::1", NULL, 1);
	other.via.v = &via;
	other.via.n = 1;
	assert_int_equal(learned_put(t, &other, 2), LEARNED_SAME); /* but in words */
	assert_string_equal(learned_find(t, &p)->peer, "n2");
	learned_sweep(t, 2, on_prefix, NULL);
	expect("10.1.1.0/26 | fd01::/64");
	assert_int_equal(learned_count(t), 1);
	learned_sweep(t, 2, on_prefix, NULL);
	expect("");
	by_via(t, "192.0.2.1", "10.1.0.0/26");
	learned_free(t);
}

static void test_kept(void **state)
{
	struct khop more[] = { { "eth1", ip("198.51.100.1"), 0 } };
	struct kroute found = { .dst = net("10.1.0.0/26"),
				.oif = "eth0",
				.via = ip("192.0.2.1"),
				.more = more,
				.n_more = 1 };
	struct learned_table *t = learned_new();
	const struct learned *l;

	assert_int_equal(learned_keep(t, &found), 0);
	memset(more, 0, sizeof(more));
	l = learned_find(t, &found.dst);
	assert_non_null(l->kept);
	assert_string_equal(l->kept->oif, "eth0");
	assert_string_equal(l->kept->more[0].oif, "eth1");
	assert_int_equal(l->stream, 0);
	/* Told, it is planned as any other; and what is told is not overruled by what is found. */
	assert_int_equal(put(t, "10.1.0.0/26", "192.0.2.1", NULL, 1), LEARNED_CHANGED);
	assert_int_equal(learned_keep(t, &found), 0);
	assert_null(learned_find(t, &found.dst)->kept);
	found.dst = net("10.1.1.0/26");
	found.n_more = 0;
	assert_int_equal(learned_keep(t, &found), 0);
	learned_sweep(t, 1, on_prefix, NULL);
	expect("10.1.1.0/26");
	learned_free(t);
}

static void test_many(void **state)
{
	struct learned_table *t = learned_new();
	char text[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.%d.%d.0/26", i / 200, i % 200);
		assert_int_equal(put(t, text, "192.0.2.1", i % 2 ? "192.0.2.2" : NULL, 1),
				 LEARNED_CHANGED);
	}
	assert_int_equal(learned_count(t), 20000);
	for (int i = 19999; i >= 0; i--) {
		struct prefix p;

		snprintf(text, sizeof(text), "10.%d.%d.0/26", i / 200, i % 200);
		p = net(text);
		assert_true(learned_drop(t, &p));
	}
	by_via(t, "192.0.2.1", "");
	by_via(t, "192.0.2.2", "");
	learned_free(t);
}

/* ---- origins */

static void on_origin(void *arg, const struct rec_origin *r)
{
	char prefix[PREFIX_TEXT], text[80];

	if (r->withdrawn)
		snprintf(text, sizeof(text), "-%s", prefix_str(&r->prefix, prefix));
	else
		snprintf(text, sizeof(text), "%s %s %s/%s", prefix_str(&r->prefix, prefix), r->kind,
			 r->ns, r->name);
	hear(text);
}

static void told(struct origins *o, bool all, const char *want)
{
	bool any = origins_tell(o, all, on_origin, NULL);

	assert_int_equal(any, want[0] != 0);
	expect(want);
}

static struct prefix ranges[ORIGIN_KINDS][2];

static void allow(struct origins *o, const char *cluster, const char *external, const char *lb)
{
	const char *text[ORIGIN_KINDS] = { cluster, external, lb };
	struct origin_ranges r = { 0 };

	for (int k = 0; k < ORIGIN_KINDS; k++) {
		if (!text[k])
			continue;
		ranges[k][0] = net(text[k]);
		r.of[k].v = ranges[k];
		r.of[k].n = 1;
	}
	assert_true(origins_allow(o, &r));
}

/* A Service with two ports on an address of each kind; `local`: externalTrafficPolicy, with so many ready here. */
static void service(struct origins *o, const char *name, const char *cluster, const char *lb,
		    int local)
{
	struct svc_front f[] = {
		{ .kind = SVC_CLUSTER_IP, .address = ip(cluster), .number = 80 },
		{ .kind = SVC_CLUSTER_IP, .address = ip(cluster), .number = 443 },
		{ .kind = SVC_LOAD_BALANCER, .address = ip(lb), .number = 80 },
		{ .kind = SVC_NODE_PORT, .number = 30080 },
	};
	struct svc_plan p = { .ns = "shop", .name = name, .family = AF_INET, .fronts = { f, 4 } };

	if (local >= 0) {
		f[2].way = f[3].way = SVC_TO_LOCAL_FROM_OUTSIDE;
		p.local_ready = (uint32_t)local;
	}
	assert_true(origins_service(o, "shop", name, &p, 1));
}

static void test_origins(void **state)
{
	struct origins *o = origins_new();

	service(o, "web", "10.96.0.7", "203.0.113.7", -1);
	told(o, false, ""); /* nothing is said of which */
	allow(o, NULL, NULL, "203.0.113.0/24");
	told(o, false, "203.0.113.7/32 Service shop/web");
	told(o, false, "");
	told(o, true, "203.0.113.7/32 Service shop/web");
	allow(o, "10.96.0.0/12", "0.0.0.0/0", "203.0.113.0/24");
	told(o, false, "10.96.0.7/32 Service shop/web");
	told(o, true, "10.96.0.7/32 Service shop/web | 203.0.113.7/32 Service shop/web");

	/* Another address, and none, and gone. */
	service(o, "web", "10.96.0.7", "203.0.113.8", -1);
	told(o, false, "-203.0.113.7/32 | 203.0.113.8/32 Service shop/web");
	service(o, "web", "10.96.0.7", "198.51.100.8", -1);
	told(o, false, "-203.0.113.8/32");
	assert_true(origins_service(o, "shop", "web", NULL, 0));
	told(o, false, "-10.96.0.7/32");
	told(o, true, "");
	assert_true(origins_service(o, "shop", "web", NULL, 0));
	origins_free(o);
}

/* externalTrafficPolicy Local: only while an endpoint is ready here. */
static void test_origins_local(void **state)
{
	struct origins *o = origins_new();

	allow(o, NULL, NULL, "203.0.113.0/24");
	service(o, "web", "10.96.0.7", "203.0.113.7", 0);
	told(o, false, "");
	service(o, "web", "10.96.0.7", "203.0.113.7", 2);
	told(o, false, "203.0.113.7/32 Service shop/web");
	service(o, "web", "10.96.0.7", "203.0.113.7", 1);
	told(o, false, "");
	service(o, "web", "10.96.0.7", "203.0.113.7", 0);
	told(o, false, "-203.0.113.7/32");
	/* Back before anybody was told: nothing to tell. */
	service(o, "web", "10.96.0.7", "203.0.113.7", 1);
	service(o, "web", "10.96.0.7", "203.0.113.7", 0);
	told(o, false, "");
	origins_free(o);
}

/* Two Services share an address: it is told until both are gone. */
static void test_origins_shared(void **state)
{
	struct origins *o = origins_new();

	allow(o, NULL, NULL, "203.0.113.0/24");
	service(o, "a", "10.96.0.1", "203.0.113.7", -1);
	service(o, "b", "10.96.0.2", "203.0.113.7", -1);
	told(o, false, "203.0.113.7/32 Service shop/a");
	service(o, "a", "10.96.0.1", "203.0.113.9", -1);
	told(o, false, "203.0.113.9/32 Service shop/a");
	assert_true(origins_service(o, "shop", "b", NULL, 0));
	told(o, false, "-203.0.113.7/32");
	allow(o, NULL, NULL, NULL);
	told(o, false, "-203.0.113.9/32");
	origins_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learned),        cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_kept),           cmocka_unit_test(test_many),
		cmocka_unit_test(test_origins),        cmocka_unit_test(test_origins_local),
		cmocka_unit_test(test_origins_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
