/* SPDX-License-Identifier: Apache-2.0 */
/* core/route/learned.h: what of BGP's routes a node takes, and by which way. */
#include "core/route/learned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/addresses.h"

static struct route_self self;
static struct route_peer peer;

static int setup(void **state)
{
	self = (struct route_self){ .uplink = "eth0", .n_subnets = 1 };
	self.node.name = "a";
	self.node.ip[ROUTE_V4] = ip("192.0.2.1");
	self.node.ip[ROUTE_V6] = ip("fd00::1");
	self.node.tunnel[ROUTE_V4] = ip("10.244.1.0");
	self.subnets[0] = net("192.0.2.1/24");
	peer = (struct route_peer){ .name = "b" };
	peer.ip[ROUTE_V4] = ip("192.0.2.2");
	peer.tunnel[ROUTE_V4] = ip("10.244.2.0");
	return 0;
}

static const struct route_peer *find_peer(void *arg, const struct ipaddr *a)
{
	return addr_eq(a, &peer.ip[ROUTE_V4]) ? &peer : NULL;
}

/* Links as their first octets say: 192.0.2.0/24 and fd00::/16 eth0, 198.51.100.0/24 eth1. */
static const char *find_link(void *arg, const struct ipaddr *a)
{
	return a->b[0] == 192 || a->b[0] == 0xfd ? "eth0" : a->b[0] == 198 ? "eth1" : NULL;
}

#define HOPS 8

struct told {
	struct route_learned l;
	struct ipaddr via[HOPS];
};

static void tell(struct told *t, const char *prefix, const char *const *via)
{
	*t = (struct told){ .l = { .prefix = net(prefix), .peer = find_peer, .link = find_link } };
	for (; *via; via++)
		t->via[t->l.n_via++] = ip(*via);
	t->l.via = t->via;
}

#define TELL(t, prefix, ...) tell(t, prefix, (const char *const[]){ __VA_ARGS__, NULL })

static struct ippool pool(enum pool_mode mode, enum route_source routes)
{
	struct ippool p = {
		.spec = { .cidr = net("10.244.0.0/16"), .mode = mode, .routes = routes }
	};

	return p;
}

/* The route in the words of `ip`, "" where there is none. */
static void expect(const struct told *t, const char *want)
{
	struct route_out out = { 0 };
	char text[512] = "";

	route_plan_learned(&self, &t->l, &out);
	assert_false(out.failed);
	assert_true(out.n <= 1);
	if (out.n)
		kobj_str(&out.v[0], text, sizeof(text));
	assert_string_equal(text, want);
	if (out.n && out.v[0].route.n_more)
		assert_ptr_equal(out.v[0].route.more, &out.hops->v[1]);
	route_out_fini(&out);
}

static void expect_left(const struct told *t, const char *why)
{
	const char *left = route_learned_left(&self, &t->l);

	assert_non_null(left);
	assert_string_equal(left, why);
	expect(t, "");
}

static void test_next_hops(void **state)
{
	struct route_out out = { 0 };
	struct told t;

	TELL(&t, "172.16.0.0/12", "192.0.2.9");
	expect(&t, "route 172.16.0.0/12 via 192.0.2.9 dev eth0");
	TELL(&t, "fd01::/32", "fd00::9");
	expect(&t, "route fd01::/32 via fd00::9 dev eth0");
	TELL(&t, "0.0.0.0/0", "192.0.2.8", "192.0.2.9", "198.51.100.1");
	expect(&t, "route 0.0.0.0/0 nexthop via 192.0.2.8 dev eth0 nexthop via 192.0.2.9 dev eth0"
		   " nexthop via 198.51.100.1 dev eth1");
	/* What is not on a link, and the node itself, is not among them. */
	TELL(&t, "172.16.0.0/12", "192.0.2.1", "192.0.2.9", "203.0.113.1");
	expect(&t, "route 172.16.0.0/12 via 192.0.2.9 dev eth0");
	TELL(&t, "172.16.0.0/12", "203.0.113.1");
	expect(&t, "");
	route_plan_learned(&self, &t.l, &out);
	assert_string_equal(out.problem, "next hop 203.0.113.1 is on no link of this node");
	assert_null(route_learned_left(&self, &t.l));
	route_out_fini(&out);
	TELL(&t, "172.16.0.0/12", "192.0.2.1");
	expect(&t, "");
}

/* A next hop that is a node is reached as the pool says; another one as it is. */
static void test_pools(void **state)
{
	struct ippool vxlan = pool(POOL_VXLAN, ROUTES_BGP), direct = pool(POOL_DIRECT, ROUTES_BGP);
	struct told t;

	TELL(&t, "10.244.2.0/26", "192.0.2.2");
	t.l.pool = &vxlan;
	expect(&t, "route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 src 10.244.1.0 onlink");
	vxlan.spec.crossSubnet = 1;
	expect(&t, "route 10.244.2.0/26 via 192.0.2.2 dev eth0");
	t.l.pool = &direct;
	expect(&t, "route 10.244.2.0/26 via 192.0.2.2 dev eth0");
	t.l.pool = NULL;
	expect(&t, "route 10.244.2.0/26 via 192.0.2.2 dev eth0");
	/* A node beyond a router, told by a reflector: the routers between know the way. */
	peer.ip[ROUTE_V4] = ip("203.0.113.2");
	TELL(&t, "10.244.2.0/26", "203.0.113.2");
	t.l.pool = &direct;
	expect(&t, "");
	peer.gateway[ROUTE_V4] = (struct route_hop){ ip("192.0.2.254"), false };
	expect(&t, "route 10.244.2.0/26 via 192.0.2.254 dev eth0");
	TELL(&t, "10.244.2.0/26", "192.0.2.8", "192.0.2.9");
	t.l.pool = &direct;
	expect(&t,
	       "route 10.244.2.0/26 nexthop via 192.0.2.8 dev eth0 nexthop via 192.0.2.9 dev eth0");
}

static void test_left(void **state)
{
	struct block_borrow lent = { .address = ip("10.244.1.7"),
				     .node = "b",
				     .state = BORROW_GRANTED };
	struct ipblock block = { .spec = { .cidr = net("10.244.1.0/26"), .node = "a" } };
	struct ippool bgp = pool(POOL_DIRECT, ROUTES_BGP), store = pool(POOL_DIRECT, ROUTES_STORE),
		      silent = pool(POOL_DIRECT, ROUTES_NONE);
	struct told t;

	TELL(&t, "10.244.9.0/26", "192.0.2.9");
	t.l.pool = &store;
	expect_left(&t, "in a pool whose routes are the store's");
	t.l.pool = &silent;
	expect_left(&t, "in a pool whose routes are the store's");

	TELL(&t, "10.244.1.0/26", "192.0.2.9");
	t.l.pool = &bgp;
	t.l.block = &block;
	expect_left(&t, "in a block of this node");
	TELL(&t, "10.244.1.7/32", "192.0.2.9");
	t.l.pool = &bgp;
	t.l.block = &block;
	expect_left(&t, "in a block of this node");
	block.spec.borrowed.v = &lent;
	block.spec.borrowed.n = 1;
	expect(&t, "route 10.244.1.7/32 via 192.0.2.9 dev eth0"); /* lent to another */
	lent.state = BORROW_ASKED;
	expect_left(&t, "in a block of this node");
	block.spec.node = "b"; /* and the other way round */
	lent.node = "a";
	expect(&t, "route 10.244.1.7/32 via 192.0.2.9 dev eth0");
	lent.state = BORROW_GRANTED;
	expect_left(&t, "an address of this node");

	TELL(&t, "10.96.0.7/32", "192.0.2.9");
	t.l.service = true;
	expect_left(&t, "of Services, which every node serves");
	TELL(&t, "192.0.2.0/24", "192.0.2.9");
	t.l.taken = true;
	expect_left(&t, "somebody else's route leads there");
	TELL(&t, "127.1.0.0/16", "192.0.2.9");
	expect_left(&t, "nothing that is routed");
	TELL(&t, "224.0.0.0/4", "192.0.2.9");
	expect_left(&t, "nothing that is routed");
	TELL(&t, "fe80::/64", "fd00::9");
	expect_left(&t, "nothing that is routed");
	TELL(&t, "ff00::/8", "fd00::9");
	expect_left(&t, "nothing that is routed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_next_hops, setup),
		cmocka_unit_test_setup(test_pools, setup),
		cmocka_unit_test_setup(test_left, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
