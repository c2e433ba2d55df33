/* SPDX-License-Identifier: Apache-2.0 */
/* core/route: each object's wishes against lists written by hand, in the words of `ip`. */
#include "core/route/mtu.h"
#include "core/route/plan.h"
#include "core/route/uplink.h"

#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/addresses.h"

/* The test's own words, so that no printer of the program judges the program. */
static void say(const struct kobj *o, char *t, size_t n)
{
	char a[PREFIX_TEXT], b[ADDR_TEXT], c[ADDR_TEXT], m[MAC_TEXT];

	switch ((enum kobj_type)o->type) {
	case KOBJ_LINK:
		snprintf(t, n, "link %s kind %d mtu %u mac %s master %s%s", o->link.name,
			 o->link.kind, o->link.mtu, mac_str(&o->link.mac, m),
			 o->link.master[0] ? o->link.master : "-",
			 o->link.isolated ? " isolated" : "");
		break;
	case KOBJ_SYSCTL:
		snprintf(t, n, "sysctl %s=%s", o->sysctl.path, o->sysctl.value);
		break;
	case KOBJ_ADDR:
		snprintf(t, n, "addr %s dev %s scope %d", prefix_str(&o->addr.addr, a),
			 o->addr.ifname, o->addr.scope);
		break;
	case KOBJ_ROUTE:
		snprintf(t, n, "route %s%s via %s dev %s src %s metric %u%s",
			 o->route.type == KROUTE_BLACKHOLE ? "blackhole " : "",
			 prefix_str(&o->route.dst, a),
			 o->route.via.family ? addr_str(&o->route.via, b) : "-",
			 o->route.oif[0] ? o->route.oif : "-",
			 o->route.src.family ? addr_str(&o->route.src, c) : "-", o->route.metric,
			 o->route.onlink ? " onlink" : "");
		assert_int_equal(o->route.protocol, 70);
		break;
	case KOBJ_NEIGH:
		snprintf(t, n, "neigh %s dev %s mac %s", addr_str(&o->neigh.addr, b),
			 o->neigh.ifname, mac_str(&o->neigh.mac, m));
		break;
	case KOBJ_FDB:
		snprintf(t, n, "fdb %s dev %s dst %s", mac_str(&o->fdb.mac, m), o->fdb.ifname,
			 addr_str(&o->fdb.dst, b));
		break;
	case KOBJ_NONE:
		fail();
	}
}

#define WANT(out, ...) want_all(out, (const char *const[]){ __VA_ARGS__, NULL })

static void want_all(struct route_out *out, const char *const *want)
{
	size_t n = 0;
	char text[256];

	assert_false(out->failed);
	for (; want[n]; n++) {
		assert_true(n < out->n);
		say(&out->v[n], text, sizeof(text));
		assert_string_equal(text, want[n]);
	}
	assert_int_equal(out->n, n);
	route_out_fini(out);
}

static struct route_self node_a(void)
{
	struct route_self s = {
		.node = { .name = "a",
			  .ip = { ip("192.168.10.11"), ip("fd00:10::11") },
			  .tunnel = { ip("10.244.1.0"), ip("fd00:244:1::") } },
		.uplink = "eth0",
		.uplink_mtu = 1500,
		.subnets = { net("192.168.10.11/24"), net("fd00:10::11/64") },
		.n_subnets = 2,
		.vxlan = true,
	};
	return s;
}

/* In a's subnet. */
static struct route_peer node_b(void)
{
	return (struct route_peer){ .name = "b",
				    .ip = { ip("192.168.10.12"), ip("fd00:10::12") },
				    .tunnel = { ip("10.244.2.0"), ip("fd00:244:2::") } };
}

/* Behind a router. */
static struct route_peer node_c(void)
{
	return (struct route_peer){ .name = "c",
				    .ip = { ip("192.168.20.13"), ip("fd00:20::13") },
				    .tunnel = { ip("10.244.3.0"), ip("fd00:244:3::") } };
}

static struct ippool pool(const char *cidr, enum pool_mode mode, bool cross)
{
	return (struct ippool){
		.spec = { .cidr = net(cidr), .mode = (uint8_t)mode, .crossSubnet = cross }
	};
}

static const struct route_peer *find(void *arg, const char *node)
{
	struct route_peer *peers = arg;

	for (int i = 0; i < 2; i++)
		if (!strcmp(peers[i].name, node))
			return &peers[i];
	return NULL;
}

static struct route_out plan_block(const char *cidr, const char *owner, const struct ippool *p)
{
	struct route_self self = node_a();
	static struct route_peer peers[2];
	struct ipblock block = { .spec = { .cidr = net(cidr), .node = owner } };
	struct route_out out = { 0 };

	peers[0] = node_b();
	peers[1] = node_c();
	route_plan_block(&self,
			 &(struct route_block){ .block = &block,
						.pool = p,
						.owner = find(peers, owner),
						.peer = find,
						.arg = peers },
			 &out);
	return out;
}

static void test_direct(void **state)
{
	struct ippool p4 = pool("10.244.0.0/16", POOL_DIRECT, false);
	struct ippool p6 = pool("fd00:244::/32", POOL_DIRECT, false);
	struct route_out out;

	out = plan_block("10.244.2.0/26", "b", &p4);
	WANT(&out, "route 10.244.2.0/26 via 192.168.10.12 dev eth0 src - metric 0");
	out = plan_block("fd00:244:2::/122", "b", &p6);
	WANT(&out, "route fd00:244:2::/122 via fd00:10::12 dev eth0 src - metric 0");
	out = plan_block("10.244.3.0/26", "c", &p4); /* the default route's business */
	assert_int_equal(out.n, 0);
	assert_string_equal(out.problem, "");
}

static void test_direct_gateway(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_DIRECT, false);
	struct route_self self = node_a();
	struct route_peer c = node_c();

	assert_int_equal(route_way(&self, &c, &p), ROUTE_BY_FABRIC);
	c.gateway[ROUTE_V4].ip = ip("192.168.10.1");
	assert_int_equal(route_way(&self, &c, &p), ROUTE_BY_GATEWAY);

	struct ipblock block = { .spec = { .cidr = net("10.244.3.0/26"), .node = "c" } };
	struct route_out out = { 0 };

	route_plan_block(&self, &(struct route_block){ .block = &block, .pool = &p, .owner = &c },
			 &out);
	WANT(&out, "route 10.244.3.0/26 via 192.168.10.1 dev eth0 src - metric 0");
}

static void test_vxlan(void **state)
{
	struct ippool p4 = pool("10.244.0.0/16", POOL_VXLAN, false);
	struct ippool p6 = pool("fd00:244::/32", POOL_MODE_NONE, false);
	struct route_out out;

	out = plan_block("10.244.2.0/26", "b", &p4);
	WANT(&out, "route 10.244.2.0/26 via 10.244.2.0 dev vxlan0 src 10.244.1.0 metric 0 onlink");
	out = plan_block("fd00:244:3::/122", "c", &p6);
	WANT(&out, "route fd00:244:3::/122 via fe80::dc4c:86ff:fe01:4091 dev vxlan0 "
		   "src fd00:244:1:: metric 0");
}

static void test_cross_subnet(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_VXLAN, true);
	struct route_out out;

	out = plan_block("10.244.2.0/26", "b", &p);
	WANT(&out, "route 10.244.2.0/26 via 192.168.10.12 dev eth0 src - metric 0");
	out = plan_block("10.244.3.0/26", "c", &p);
	WANT(&out, "route 10.244.3.0/26 via 10.244.3.0 dev vxlan0 src 10.244.1.0 metric 0 onlink");
}

static void test_ipip(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_IPIP, false);
	struct ippool cross = pool("10.244.0.0/16", POOL_IPIP, true);
	struct ippool p6 = pool("fd00:244::/32", POOL_VXLAN, false);
	struct object o = { .body = &p }, o6 = { .body = &p6 };
	const struct object *pools[] = { &o, &o6 };
	struct route_self self = node_a();
	struct route_peer c = node_c();
	struct route_out out;

	/* The next hop is the node, and its tunnel address is of no concern. */
	out = plan_block("10.244.2.0/26", "b", &p);
	WANT(&out, "route 10.244.2.0/26 via 192.168.10.12 dev tunl0 src 10.244.1.0 metric 0 "
		   "onlink");
	out = plan_block("10.244.2.0/26", "b", &cross);
	WANT(&out, "route 10.244.2.0/26 via 192.168.10.12 dev eth0 src - metric 0");
	out = plan_block("10.244.3.0/26", "c", &cross);
	WANT(&out, "route 10.244.3.0/26 via 192.168.20.13 dev tunl0 src 10.244.1.0 metric 0 "
		   "onlink");
	c.tunnel[ROUTE_V4] = (struct ipaddr){ 0 };
	assert_int_equal(route_way(&self, &c, &p), ROUTE_TUNNEL);

	/* Nothing is to be known of a peer, beside what VXLAN of the other family asks for. */
	out = (struct route_out){ 0 };
	route_plan_peer(&self, &c, pools, 1, &out);
	assert_int_equal(out.n, 0);
	route_plan_peer(&self, &c, pools, 2, &out);
	assert_int_equal(out.n, 2);
	assert_int_equal(out.v[0].type, KOBJ_FDB);
	assert_int_equal(out.v[1].neigh.addr.family, AF_INET6);
	route_out_fini(&out);

	/* IPv4 alone: without it on either side there is no way. */
	c.ip[ROUTE_V4] = (struct ipaddr){ 0 };
	assert_int_equal(route_way(&self, &c, &p), ROUTE_NO_WAY);
	c = node_c();
	self.node.ip[ROUTE_V4] = (struct ipaddr){ 0 };
	assert_int_equal(route_way(&self, &c, &p), ROUTE_NO_WAY);
}

static void test_ipip_device(void **state)
{
	struct route_self self = node_a();
	struct macaddr m = route_vxlan_mac("a");
	struct route_out out = { 0 };
	char link[128], mac[MAC_TEXT];

	self.vxlan = false;
	self.ipip = true;
	self.ipip_kind = KLINK_IFB;
	snprintf(link, sizeof(link), "link tunl0 kind 4 mtu 1480 mac %s master -",
		 mac_str(&m, mac));
	route_plan_self(&self, &out);
	WANT(&out, "sysctl net/ipv4/ip_forward=1", "sysctl net/ipv6/conf/all/forwarding=1",
	     "sysctl net/netfilter/nf_conntrack_tcp_be_liberal=1",
	     "addr 169.254.1.1/32 dev lo scope 253", link, "sysctl net/ipv4/conf/tunl0/rp_filter=2",
	     "sysctl net/ipv6/conf/tunl0/disable_ipv6=1", "addr 10.244.1.0/32 dev tunl0 scope 0");

	self.ipip_kind = KLINK_IPIP; /* has no MAC */
	route_plan_self(&self, &out);
	say(&out.v[4], link, sizeof(link));
	assert_string_equal(link, "link tunl0 kind 5 mtu 1480 mac 00:00:00:00:00:00 master -");
	assert_int_equal(out.v[4].link.has_mac, 0);
	route_out_fini(&out);

	self.node.ip[ROUTE_V4] = (struct ipaddr){ 0 };
	route_plan_self(&self, &out);
	assert_int_equal(out.n, 4);
	route_out_fini(&out);
}

static void test_own_block_and_borrowed(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_VXLAN, true);
	struct route_self self = node_a();
	struct route_peer peers[2] = { node_b(), node_c() };
	struct block_borrow borrowed[] = {
		{ .address = ip("10.244.1.7"),
		  .node = "c",
		  .handle = "x/eth0",
		  .state = BORROW_GRANTED },
		{ .address = ip("10.244.1.8"),
		  .node = "b",
		  .handle = "y/eth0",
		  .state = BORROW_GRANTED },
		{ .address = ip("10.244.1.10"), .node = "c", .handle = "w/eth0" }, /* asked */
		{ .address = ip("10.244.1.9"),
		  .node = "gone",
		  .handle = "z/eth0",
		  .state = BORROW_GRANTED },
	};
	struct ipblock block = {
		.spec = { .cidr = net("10.244.1.0/26"), .node = "a", .borrowed = { borrowed, 4 } }
	};
	struct route_block b = { .block = &block, .pool = &p, .peer = find, .arg = peers };
	struct route_out out = { 0 };

	route_plan_block(&self, &b, &out);
	WANT(&out, "route blackhole 10.244.1.0/26 via - dev - src - metric 4096",
	     "route 10.244.1.7/32 via 10.244.3.0 dev vxlan0 src 10.244.1.0 metric 0 onlink",
	     "route 10.244.1.8/32 via 192.168.10.12 dev eth0 src - metric 0");

	/* The same block seen from a when b owns it and a borrowed: packets to the dead
	 * address must not go round between the two. */
	block.spec.node = "b";
	borrowed[0].node = "a";
	block.spec.borrowed.n = 1;
	b.owner = &peers[0];
	route_plan_block(&self, &b, &out);
	WANT(&out, "route 10.244.1.0/26 via 192.168.10.12 dev eth0 src - metric 0",
	     "route blackhole 10.244.1.7/32 via - dev - src - metric 4096");
}

/* Behind a router that the default route leads to: the block's own route is in the way, and where there is
 * none the default route does it. */
/* BGP brings what leads to others; what is here stays. */
static void test_routes_by_bgp(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_DIRECT, false);
	struct route_out out;

	p.spec.routes = ROUTES_BGP;
	out = plan_block("10.244.2.0/26", "b", &p);
	assert_int_equal(out.n, 0);
	route_out_fini(&out);
	out = plan_block("10.244.1.0/26", "a", &p);
	WANT(&out, "route blackhole 10.244.1.0/26 via - dev - src - metric 4096");
	route_out_fini(&out);
}

static void test_borrowed_beyond_a_router(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_DIRECT, false);
	struct route_self self = node_a();
	struct route_peer peers[2] = { node_b(), node_c() };
	struct block_borrow loan = { .address = ip("10.244.1.7"),
				     .node = "c",
				     .handle = "x/eth0",
				     .state = BORROW_GRANTED };
	struct ipblock block = {
		.spec = { .cidr = net("10.244.1.0/26"), .node = "a", .borrowed = { &loan, 1 } }
	};
	struct route_block b = { .block = &block, .pool = &p, .peer = find, .arg = peers };
	struct route_out out = { 0 };

	peers[1].gateway[ROUTE_V4] = (struct route_hop){ ip("192.168.10.1"), true };
	route_plan_block(&self, &b, &out);
	WANT(&out, "route blackhole 10.244.1.0/26 via - dev - src - metric 4096",
	     "route 10.244.1.7/32 via 192.168.10.1 dev eth0 src - metric 0");
	block.spec.node = "b";
	b.owner = &peers[0];
	route_plan_block(&self, &b, &out);
	WANT(&out, "route 10.244.1.0/26 via 192.168.10.12 dev eth0 src - metric 0",
	     "route 10.244.1.7/32 via 192.168.10.1 dev eth0 src - metric 0");
	block.spec.node = "c";
	loan.node = "b";
	b.owner = &peers[1];
	route_plan_block(&self, &b, &out);
	WANT(&out, "route 10.244.1.7/32 via 192.168.10.12 dev eth0 src - metric 0");
}

static void test_no_way_is_said(void **state)
{
	struct ippool p = pool("10.244.0.0/16", POOL_VXLAN, false);
	struct route_self self = node_a();
	struct route_peer b = node_b();
	struct ipblock block = { .spec = { .cidr = net("10.244.2.0/26"), .node = "b" } };
	struct route_out out = { 0 };

	b.tunnel[ROUTE_V4] = (struct ipaddr){ 0 };
	route_plan_block(&self, &(struct route_block){ .block = &block, .pool = &p, .owner = &b },
			 &out);
	assert_int_equal(out.n, 0);
	assert_string_equal(out.problem, "no way to 10.244.2.0/26: Node b has no tunnel address "
					 "of its family");
	route_out_fini(&out);
}

static void test_peer(void **state)
{
	struct ippool p4 = pool("10.244.0.0/16", POOL_VXLAN, true);
	struct ippool p6 = pool("fd00:244::/32", POOL_DIRECT, false);
	struct object o4 = { .body = &p4 }, o6 = { .body = &p6 };
	const struct object *pools[] = { &o4, &o6 };
	struct route_self self = node_a();
	struct route_peer b = node_b(), c = node_c();
	struct route_out out = { 0 };

	route_plan_peer(&self, &b, pools, 2, &out); /* never reached by tunnel */
	assert_int_equal(out.n, 0);

	char fdb[80], neigh[80], mac[MAC_TEXT];
	struct macaddr m = route_vxlan_mac("c");

	snprintf(fdb, sizeof(fdb), "fdb %s dev vxlan0 dst 192.168.20.13", mac_str(&m, mac));
	snprintf(neigh, sizeof(neigh), "neigh 10.244.3.0 dev vxlan0 mac %s", mac);
	route_plan_peer(&self, &c, pools, 2, &out);
	WANT(&out, fdb, neigh);

	p6.spec.mode = POOL_VXLAN; /* IPv6 inside IPv4 */
	char neigh6[80];

	snprintf(neigh6, sizeof(neigh6), "neigh fe80::dc4c:86ff:fe01:4091 dev vxlan0 mac %s", mac);
	route_plan_peer(&self, &c, pools, 2, &out);
	WANT(&out, fdb, neigh, neigh6);
}

static void test_vxlan_mac(void **state)
{
	struct macaddr a = route_vxlan_mac("node-1"), b = route_vxlan_mac("node-2");

	assert_memory_not_equal(&a, &b, sizeof(a));
	assert_int_equal(a.b[0] & 3, 2);
	/* Computed in another language; it may never change, nodes of two versions must agree. */
	char text[MAC_TEXT];

	assert_string_equal(mac_str(&a, text), "ee:c2:20:78:9f:55");
}

static void test_self(void **state)
{
	struct route_self self = node_a();
	struct route_out out = { 0 };
	char link[128], mac[MAC_TEXT];
	struct macaddr m = route_vxlan_mac("a");

	snprintf(link, sizeof(link), "link vxlan0 kind 3 mtu 1450 mac %s master -",
		 mac_str(&m, mac));
	strcpy(self.ra[self.n_ra++], "eth0");
	strcpy(self.ra[self.n_ra++], "mgmt0");
	route_plan_self(&self, &out);
	assert_int_equal(out.n, 12);
	assert_int_equal(out.v[6].link.vni, 4096);
	assert_int_equal(out.v[6].link.vxlan_port, 4789);
	assert_true(addr_eq(&out.v[6].link.vxlan_local, &self.node.ip[ROUTE_V4]));
	WANT(&out, "sysctl net/ipv4/ip_forward=1", "sysctl net/ipv6/conf/all/forwarding=1",
	     "sysctl net/netfilter/nf_conntrack_tcp_be_liberal=1",
	     "sysctl net/ipv6/conf/eth0/accept_ra=2", "sysctl net/ipv6/conf/mgmt0/accept_ra=2",
	     "addr 169.254.1.1/32 dev lo scope 253", link,
	     "sysctl net/ipv4/conf/vxlan0/rp_filter=2", "sysctl net/ipv6/conf/vxlan0/accept_ra=0",
	     "sysctl net/ipv6/conf/vxlan0/disable_ipv6=0", "addr 10.244.1.0/32 dev vxlan0 scope 0",
	     "addr fd00:244:1::/128 dev vxlan0 scope 0");

	/* An IPv6-only underlay costs 20 bytes more. */
	self.node.ip[ROUTE_V4] = (struct ipaddr){ 0 };
	self.n_ra = 0;
	route_plan_self(&self, &out);
	assert_int_equal(out.v[4].link.mtu, 1430);
	assert_true(addr_eq(&out.v[4].link.vxlan_local, &self.node.ip[ROUTE_V6]));
	route_out_fini(&out);

	self.vxlan = false;
	self.localnet = true;
	route_plan_self(&self, &out);
	WANT(&out, "sysctl net/ipv4/ip_forward=1", "sysctl net/ipv6/conf/all/forwarding=1",
	     "sysctl net/netfilter/nf_conntrack_tcp_be_liberal=1",
	     "sysctl net/ipv4/conf/all/route_localnet=1", "addr 169.254.1.1/32 dev lo scope 253");
}

static void test_endpoint(void **state)
{
	struct ipaddr ips[] = { ip("10.244.1.5"), ip("fd00:244:1::5") };
	struct route_endpoint ep = { .host_if = "fl0123456789abc",
				     .host_mac = { { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee } },
				     .mac = { { 2, 0, 0, 0, 0, 5 } },
				     .ips = ips,
				     .n_ips = 2,
				     .mtu = 1450 };
	struct route_out out = { 0 };

	route_plan_endpoint(&ep, &out);
	WANT(&out, "link fl0123456789abc kind 1 mtu 1450 mac ee:ee:ee:ee:ee:ee master -",
	     "sysctl net/ipv6/conf/fl0123456789abc/accept_ra=0",
	     "sysctl net/ipv6/conf/fl0123456789abc/disable_ipv6=0",
	     "sysctl net/ipv4/conf/fl0123456789abc/proxy_arp=0",
	     "addr fe80::1/64 dev fl0123456789abc scope 253",
	     "route 10.244.1.5/32 via - dev fl0123456789abc src - metric 0",
	     "neigh 10.244.1.5 dev fl0123456789abc mac 02:00:00:00:00:05",
	     "route fd00:244:1::5/128 via - dev fl0123456789abc src - metric 0",
	     "neigh fd00:244:1::5 dev fl0123456789abc mac 02:00:00:00:00:05");

	ep.bridge = "br-fl1";
	ep.n_ips = 1;
	route_plan_endpoint(&ep, &out);
	WANT(&out,
	     "link fl0123456789abc kind 1 mtu 1450 mac ee:ee:ee:ee:ee:ee master br-fl1 isolated",
	     "route 10.244.1.5/32 via - dev br-fl1 src - metric 0",
	     "neigh 10.244.1.5 dev br-fl1 mac 02:00:00:00:00:05");
}

/* Booted with ipv6.disable=1: no knob, no address and no route of IPv6 exists or can be made. */
static void test_without_ipv6(void **state)
{
	struct ipaddr ips[] = { ip("10.244.1.5"), ip("fd00:244:1::5") };
	struct route_endpoint ep = {
		.host_if = "fl0", .mac = { { 2, 0, 0, 0, 0, 5 } }, .ips = ips, .n_ips = 2
	};
	struct route_bridge br = { .name = "br-fl1", .gateways = ips, .n_gateways = 2 };
	struct route_self self = node_a();
	struct route_out out = { .no_ipv6 = true };

	strcpy(self.ra[self.n_ra++], "eth0");
	self.vxlan = false;
	route_plan_self(&self, &out);
	WANT(&out, "sysctl net/ipv4/ip_forward=1",
	     "sysctl net/netfilter/nf_conntrack_tcp_be_liberal=1",
	     "addr 169.254.1.1/32 dev lo scope 253");

	out.no_ipv6 = true;
	route_plan_endpoint(&ep, &out);
	WANT(&out, "link fl0 kind 1 mtu 0 mac 00:00:00:00:00:00 master -",
	     "sysctl net/ipv4/conf/fl0/proxy_arp=0",
	     "route 10.244.1.5/32 via - dev fl0 src - metric 0",
	     "neigh 10.244.1.5 dev fl0 mac 02:00:00:00:00:05");

	out.no_ipv6 = true;
	route_plan_bridge(&br, &out);
	WANT(&out, "link br-fl1 kind 2 mtu 0 mac 00:00:00:00:00:00 master -",
	     "sysctl net/ipv4/conf/br-fl1/proxy_arp=1",
	     "sysctl net/ipv4/conf/br-fl1/proxy_arp_pvlan=1",
	     "sysctl net/ipv4/neigh/br-fl1/proxy_delay=0",
	     "sysctl net/ipv4/conf/br-fl1/send_redirects=0",
	     "addr 10.244.1.5/32 dev br-fl1 scope 253");
}

static void test_bridges(void **state)
{
	struct route_out out = { 0 };

	route_plan_bridges(&out);
	WANT(&out, "sysctl net/bridge/bridge-nf-call-iptables=0",
	     "sysctl net/bridge/bridge-nf-call-ip6tables=0",
	     "sysctl net/ipv4/conf/all/send_redirects=0");
}

static void test_mtu(void **state)
{
	struct ippool direct = pool("10.0.0.0/16", POOL_DIRECT, false);
	struct ippool vxlan = pool("10.1.0.0/16", POOL_VXLAN, true);
	struct object a = { .body = &direct }, b = { .body = &vxlan };
	const struct object *pools[] = { &a, &b };

	assert_int_equal(mtu_pods(1500, AF_INET, pools, 1), 1500);
	assert_int_equal(mtu_pods(1500, AF_INET, pools, 2), 1450);
	assert_int_equal(mtu_pods(9000, AF_INET6, pools, 2), 8930);
	assert_int_equal(mtu_pods(600, AF_INET, pools, 2), MTU_MIN_V4);
	assert_int_equal(mtu_pods(1500, AF_INET, pools, 0), 1500);
	direct.spec.mode = POOL_IPIP; /* over IPv4, whatever VXLAN travels on */
	assert_int_equal(mtu_pods(1500, AF_INET, pools, 1), 1480);
	assert_int_equal(mtu_pods(1500, AF_INET6, pools, 1), 1480);
	assert_int_equal(mtu_pods(1500, AF_INET, pools, 2), 1450);
}

static struct kobj link_of(const char *name, uint32_t mtu)
{
	struct kobj o = { .type = KOBJ_LINK, .link = { .mtu = mtu } };

	snprintf(o.link.name, sizeof(o.link.name), "%s", name);
	return o;
}

static struct kobj addr_of(const char *dev, const char *p)
{
	struct kobj o = { .type = KOBJ_ADDR, .addr = { .addr = net(p) } };

	snprintf(o.addr.ifname, sizeof(o.addr.ifname), "%s", dev);
	return o;
}

static struct kobj route_of(const char *dst, const char *dev, const char *via, uint32_t metric,
			    uint8_t protocol)
{
	struct kobj o = { .type = KOBJ_ROUTE,
			  .route = { .dst = net(dst), .metric = metric, .protocol = protocol } };

	snprintf(o.route.oif, sizeof(o.route.oif), "%s", dev);
	if (via)
		o.route.via = ip(via);
	return o;
}

static void test_uplink(void **state)
{
	const struct kobj have[] = {
		link_of("lo", 65536),
		link_of("eth0", 1500),
		link_of("eth1", 9000),
		addr_of("lo", "192.0.2.7/32"),
		addr_of("eth0", "10.0.2.15/24"),
		addr_of("eth1", "192.168.10.11/24"),
		addr_of("eth1", "fe80::5/64"),
		addr_of("eth1", "fd00:10::11/64"),
		route_of("0.0.0.0/0", "eth1", "192.168.10.1", 200, RTPROT_STATIC),
		route_of("0.0.0.0/0", "eth0", "10.0.2.2", 100, RTPROT_DHCP),
		route_of("::/0", "eth1", "fe80::1", 1024, RTPROT_RA),
		route_of("::/0", "eth0", "fe80::2", 1024, RTPROT_RA),
		route_of("2001:db8::/32", "eth1", "fe80::3", 1024, RTPROT_RA),
		route_of("192.168.0.0/16", "eth1", "192.168.10.254", 0, RTPROT_STATIC),
		route_of("192.168.10.0/24", "eth1", NULL, 0, RTPROT_KERNEL),
	};
	const size_t n = sizeof(have) / sizeof(have[0]);
	const struct ipaddr own = ip("192.168.10.11"), gone = ip("172.16.0.1"),
			    announced = ip("192.0.2.7");
	struct uplink u;
	char text[PREFIX_TEXT];

	/* A machine whose default route leads elsewhere than the cluster's network. */
	assert_true(uplink_find(have, n, NULL, &own, 1, &u));
	assert_string_equal(u.name, "eth1");
	assert_int_equal(u.mtu, 9000);
	assert_int_equal(u.n_subnets, 2);
	assert_string_equal(prefix_str(&u.subnets[0], text), "192.168.10.11/24");
	assert_string_equal(prefix_str(&u.subnets[1], text), "fd00:10::11/64");
	assert_int_equal(u.n_ra, 2);
	assert_string_equal(u.ra[0], "eth1");
	assert_string_equal(u.ra[1], "eth0");

	assert_true(uplink_find(have, n, NULL, &gone, 1, &u));
	assert_string_equal(u.name, "eth0"); /* the lower metric */
	assert_true(uplink_find(have, n, NULL, &announced, 1, &u));
	assert_string_equal(u.name, "eth0");
	assert_true(uplink_find(have, n, "eth1", &gone, 1, &u));
	assert_string_equal(u.name, "eth1");
	assert_false(uplink_find(have, n, "eth7", NULL, 0, &u));
	assert_false(uplink_find(have, 1, NULL, NULL, 0, &u));

	struct ipaddr far = ip("192.168.20.13"), near = ip("192.168.10.12"), out = ip("9.9.9.9");
	struct route_hop via = uplink_gateway(have, n, "eth1", &far);
	struct ipaddr want = ip("192.168.10.254");

	assert_true(addr_eq(&via.ip, &want) && !via.by_default);
	assert_int_equal(uplink_gateway(have, n, "eth1", &near).ip.family, 0);
	assert_int_equal(uplink_gateway(have, n, "eth1", &out).ip.family, 0);
	assert_int_equal(uplink_gateway(have, n, "eth0", &far).ip.family, 0);
	via = uplink_gateway(have, n, "eth0", &out);
	want = ip("10.0.2.2");
	assert_true(addr_eq(&via.ip, &want) && via.by_default);

	struct ipaddr six = ip("fd00:10::12"), local = ip("fe80::9");
	struct prefix there = net("192.168.10.0/24"), inside = net("192.168.10.0/25");

	assert_string_equal(uplink_link(have, n, &near), "eth1");
	assert_null(uplink_link(have, n, &far)); /* behind a router */
	assert_null(uplink_link(have, n, &out));
	assert_null(uplink_link(have, n, &six)); /* by the default route only */
	assert_null(uplink_link(have, n, &local));
	assert_true(uplink_has_route(have, n, &there));
	assert_false(uplink_has_route(have, n, &inside));
}

/* The node's own connections to Services need a route, any route. */
static void test_front(void **state)
{
	const struct kobj have[] = {
		route_of("192.168.0.0/16", "eth1", NULL, 0, RTPROT_STATIC),
		route_of("203.0.113.0/24", "eth0", NULL, 0, RTPROT_FAIRLEAD),
		route_of("fd00::/8", "eth1", "fe80::3", 1024, RTPROT_RA),
	};
	const struct prefix range = net("10.96.0.0/12"), host6 = net("2001:db8::9/128");
	const struct {
		struct prefix to;
		bool leads;
	} cases[] = {
		{ net("192.168.7.1/32"), true },   { net("192.168.0.0/16"), true },
		{ net("192.160.0.0/12"), false },  { net("203.0.113.7/32"), false },
		{ net("10.96.0.0/12"), false },    { net("fd00:96::/112"), true },
		{ net("2001:db8::1/128"), false },
	};
	struct route_self self = node_a();
	struct route_out out = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(uplink_leads_to(have, 3, &cases[i].to), cases[i].leads);
	route_plan_front(&self, &range, &out);
	route_plan_front(&self, &host6, &out);
	WANT(&out, "route 10.96.0.0/12 via - dev eth0 src - metric 0",
	     "route 2001:db8::9/128 via - dev eth0 src - metric 0");
	route_out_reset(&out);
	self.node.ip[ROUTE_V6].family = 0; /* nobody here speaks it */
	route_plan_front(&self, &host6, &out);
	self.uplink[0] = '\0';
	route_plan_front(&self, &range, &out);
	assert_int_equal(out.n, 0);
	route_out_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_gateway),
		cmocka_unit_test(test_routes_by_bgp),
		cmocka_unit_test(test_borrowed_beyond_a_router),
		cmocka_unit_test(test_front),
		cmocka_unit_test(test_vxlan),
		cmocka_unit_test(test_cross_subnet),
		cmocka_unit_test(test_ipip),
		cmocka_unit_test(test_ipip_device),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_own_block_and_borrowed),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_no_way_is_said),
		cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_vxlan_mac),
		cmocka_unit_test(test_without_ipv6),
		cmocka_unit_test(test_bridges),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_uplink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
