// SPDX-License-Identifier: Apache-2.0
/* sys: netlink, rtnetlink, namespaces, pod interfaces, in network namespaces that the test makes
 * for itself (they die with it). What we did is judged by what ip(8) and bridge(8) show; what we
 * read, by what they made. Needs root. */
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/netns.h"
#include "sys/pod.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define PROBE   0x88b5 /* IEEE 802, local experiments */

static struct nl *nl;

/* Each test has a fresh namespace and a socket in it. */
static int set_up(void **state)
{
	struct err e;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	nl = nl_open(NETLINK_ROUTE, &e);
	return nl ? 0 : -1;
}

static int tear_down(void **state)
{
	nl_close(nl);
	return 0;
}

static void sh(const char *cmd)
{
	if (system(cmd) != 0) /* NOLINT(cert-env33-c): commands of the test's own */
		fail_msg("%s", cmd);
}

static const char *output(const char *cmd)
{
	static char text[16384];
	FILE *f = popen(cmd, "re"); /* NOLINT(cert-env33-c) */
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	pclose(f);
	text[n] = 0;
	return text;
}

/* Some line of the command's output has all of the words in a row. */
static void shows(const char *cmd, const char *words)
{
	const char *text = output(cmd);

	if (!strstr(text, words))
		fail_msg("`%s` does not show \"%s\" but\n%s", cmd, words, text);
}

static void shows_not(const char *cmd, const char *words)
{
	const char *text = output(cmd);

	if (strstr(text, words))
		fail_msg("`%s` shows \"%s\":\n%s", cmd, words, text);
}

/* ---- objects by hand */

static struct ipaddr ip(const char *s)
{
	struct ipaddr a = { 0 };

	if (s[0])
		assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p), 0);
	return p;
}

static struct macaddr mac(const char *s)
{
	struct macaddr m;

	assert_int_equal(mac_parse(s, &m), 0);
	return m;
}

static struct kobj link_obj(const char *name, enum klink_kind kind)
{
	struct kobj o = { .type = KOBJ_LINK };

	strcpy(o.link.name, name);
	o.link.kind = (uint8_t)kind;
	o.link.up = 1;
	return o;
}

static struct kobj vxlan_obj(const char *name, uint32_t vni)
{
	struct kobj o = link_obj(name, KLINK_VXLAN);

	o.link.vni = vni;
	o.link.vxlan_port = 4789;
	o.link.mtu = 1450;
	o.link.has_mac = 1;
	o.link.mac = mac("66:00:00:00:00:01");
	return o;
}

static struct kobj addr_obj(const char *dev, const char *p, uint8_t scope)
{
	struct kobj o = { .type = KOBJ_ADDR };

	strcpy(o.addr.ifname, dev);
	o.addr.addr = pfx(p);
	o.addr.scope = scope;
	return o;
}

static struct kobj route_obj(const char *dst, const char *via, const char *dev)
{
	struct kobj o = { .type = KOBJ_ROUTE };

	o.route.dst = pfx(dst);
	o.route.via = ip(via);
	o.route.protocol = RTPROT_FAIRLEAD;
	strcpy(o.route.oif, dev);
	if (!via[0] && dev[0] && o.route.dst.addr.family == AF_INET)
		o.route.scope = RT_SCOPE_LINK;
	return o;
}

static struct kobj neigh_obj(const char *dev, const char *addr, const char *lladdr)
{
	struct kobj o = { .type = KOBJ_NEIGH };

	strcpy(o.neigh.ifname, dev);
	o.neigh.addr = ip(addr);
	if (lladdr[0])
		o.neigh.mac = mac(lladdr);
	o.neigh.proxy = !lladdr[0];
	return o;
}

static struct kobj fdb_obj(const char *dev, const char *lladdr, const char *dst)
{
	struct kobj o = { .type = KOBJ_FDB };

	strcpy(o.fdb.ifname, dev);
	o.fdb.mac = mac(lladdr);
	o.fdb.dst = ip(dst);
	return o;
}

static struct kobj sysctl_obj(const char *path, const char *value)
{
	struct kobj o = { .type = KOBJ_SYSCTL };

	strcpy(o.sysctl.path, path);
	strcpy(o.sysctl.value, value);
	return o;
}

static int apply1(enum kop_verb verb, const struct kobj *o, struct err *e)
{
	struct kop op = { (uint8_t)verb, o };

	return rtnl_apply(nl, &op, 1, NULL, e);
}

static void must(enum kop_verb verb, struct kobj o)
{
	struct err e;

	if (apply1(verb, &o, &e))
		fail_msg("%s", e.text);
}

/* What is read back is what was wanted, and is known as ours. */
static void reads_as(struct kobj want)
{
	struct klist got = { 0 };
	struct err e;
	char text[256];

	assert_int_equal(rtnl_dump(nl, RTNL(want.type), &got, &e), 0);
	for (size_t i = 0; i < got.n; i++) {
		if (kobj_cmp(&got.v[i], &want))
			continue;
		if (!kobj_same(&want, &got.v[i]))
			fail_msg("read: %s", kobj_str(&got.v[i], text, sizeof(text)));
		assert_false(got.v[i].foreign);
		klist_fini(&got);
		return;
	}
	fail_msg("not read: %s", kobj_str(&want, text, sizeof(text)));
}

/* ---- links */

static void test_vxlan(void **state)
{
	struct kobj o = vxlan_obj("vx0", 4096), again;

	must(KOP_ADD, o);
	shows("ip -d link show vx0", "vxlan id 4096 srcport 0 0 dstport 4789 nolearning");
	shows("ip link show vx0", "mtu 1450");
	shows("ip link show vx0", "66:00:00:00:00:01");
	shows("ip link show vx0", "UP");
	reads_as(o);
	must(KOP_ADD, o);
	/* A change in place keeps the device, a new VNI does not. */
	again = o;
	again.link.mtu = 1400;
	again.link.mac = mac("66:00:00:00:00:02");
	must(KOP_CHANGE, again);
	shows("ip link show vx0", "mtu 1400");
	shows("ip link show vx0", "66:00:00:00:00:02");
	again.link.vni = 7;
	again.link.vxlan_local = ip("10.0.0.1");
	must(KOP_CHANGE, again);
	shows("ip -d link show vx0", "vxlan id 7 local 10.0.0.1");
	reads_as(again);
	/* Nor does an address of the other family; another of the same stays without a gap. */
	sh("ip link set vx0 alias kept");
	again.link.vxlan_local = ip("10.0.0.2");
	must(KOP_CHANGE, again);
	shows("ip -d link show vx0", "vxlan id 7 local 10.0.0.2");
	shows("ip -d link show vx0", "alias kept");
	reads_as(again);
	again.link.vxlan_local = ip("fd00::1");
	must(KOP_CHANGE, again);
	shows("ip -d link show vx0", "local fd00::1");
	reads_as(again);
	must(KOP_DELETE, o);
	shows_not("ip link", "vx0");
	must(KOP_DELETE, o);
}

/* Who adds does not know that somebody has the name. */
static void test_vxlan_of_others(void **state)
{
	struct kobj o = vxlan_obj("vx0", 4096);
	struct err e;

	sh("ip link add vx0 type vxlan id 42 dstport 4789");
	assert_int_equal(apply1(KOP_ADD, &o, &e), -EEXIST);
	assert_non_null(strstr(e.text, "somebody else"));
	sh("ip link del vx0");
	sh("ip link add vx0 type vxlan id 4096 dstport 8472");
	assert_int_equal(apply1(KOP_ADD, &o, &e), -EEXIST);
	shows("ip -d link show vx0", "vxlan id 4096 srcport 0 0 dstport 8472");
	must(KOP_DELETE, o);
}

static void test_bridge_and_port(void **state)
{
	struct kobj br = link_obj("br0", KLINK_BRIDGE), port = link_obj("t0", KLINK_VETH), other;
	struct err e;

	br.link.has_mac = 1;
	br.link.mac = mac("66:00:00:00:00:03");
	assert_int_equal(apply1(KOP_ADD, &port, &e), -ENODEV);
	sh("ip link add t0 type veth peer t1");
	must(KOP_ADD, br);
	shows("ip link show br0", "66:00:00:00:00:03");
	strcpy(port.link.master, "br0");
	port.link.isolated = 1;
	must(KOP_CHANGE, port);
	shows("ip link show t0", "master br0");
	shows("bridge -d link show dev t0", "isolated on");
	reads_as(port);
	port.link.isolated = 0;
	must(KOP_CHANGE, port);
	shows("bridge -d link show dev t0", "isolated off");
	other = vxlan_obj("br0", 1);
	assert_int_equal(apply1(KOP_ADD, &other, &e), -EEXIST);
	assert_non_null(strstr(e.text, "br0"));
	strcpy(port.link.master, "none");
	assert_int_equal(apply1(KOP_CHANGE, &port, &e), -ENODEV);
	must(KOP_DELETE, br);
}

static void test_ifb(void **state)
{
	struct kobj o = link_obj("fb0", KLINK_IFB);

	o.link.has_mac = 1;
	o.link.mac = mac("66:00:00:00:00:04");
	must(KOP_ADD, o);
	reads_as(o);
	o.link.mac = mac("66:00:00:00:00:05");
	must(KOP_CHANGE, o);
	shows("ip link show fb0", "66:00:00:00:00:05");
}

/* ---- addresses, routes, neighbours, entries */

static void test_addrs(void **state)
{
	struct kobj four = addr_obj("t0", "10.1.0.1/24", RT_SCOPE_UNIVERSE);
	struct kobj six = addr_obj("t0", "fd00:1::1/64", RT_SCOPE_UNIVERSE);
	struct kobj ll = addr_obj("t0", "fe80::1/64", RT_SCOPE_LINK), host;
	struct err e;

	sh("ip link add t0 type veth peer t1; ip link set t0 up; ip addr add 10.9.0.1/24 dev t0");
	six.addr.nodad = ll.addr.nodad = 1;
	four.addr.noprefixroute = 1;
	must(KOP_ADD, four);
	must(KOP_ADD, six);
	must(KOP_ADD, ll);
	must(KOP_ADD, four);
	shows("ip addr show dev t0", "inet 10.1.0.1/24 scope global noprefixroute t0");
	shows("ip addr show dev t0", "inet6 fd00:1::1/64 scope global nodad");
	shows("ip addr show dev t0", "inet6 fe80::1/64 scope link nodad");
	shows_not("ip addr show dev t0", "fd00:1::1/64 scope global tentative");
	shows_not("ip route", "10.1.0.0/24");
	reads_as(four);
	reads_as(six);
	reads_as(ll);
	host = addr_obj("lo", "169.254.1.1/32", RT_SCOPE_LINK);
	must(KOP_ADD, host);
	shows("ip addr show dev lo", "inet 169.254.1.1/32 scope link lo");
	reads_as(host);
	must(KOP_DELETE, four);
	must(KOP_DELETE, four);
	must(KOP_DELETE, six);
	shows_not("ip addr", "10.1.0.1");
	shows_not("ip addr", "fd00:1::1");
	shows("ip addr", "10.9.0.1/24");
	four = addr_obj("nope", "10.1.0.1/24", 0);
	must(KOP_DELETE, four);
	assert_int_equal(apply1(KOP_ADD, &four, &e), -ENODEV);
	assert_non_null(strstr(e.text, "addr 10.1.0.1/24 dev nope"));
}

static void test_routes(void **state)
{
	struct kobj direct = route_obj("10.2.0.5/32", "", "t0");
	struct kobj via = route_obj("10.3.0.0/24", "10.9.0.2", "t0");
	struct kobj onlink = route_obj("10.4.0.0/26", "192.0.2.9", "t0");
	struct kobj hole = route_obj("10.5.0.0/26", "", "");
	struct kobj six = route_obj("fd00:3::/64", "fd00:9::2", "t0");
	struct kobj six_direct = route_obj("fd00:2::5/128", "", "t0");
	struct kobj six_hole = route_obj("fd00:5::/122", "", "");
	struct kobj four_via_six = route_obj("10.6.0.0/24", "fe80::2", "t0");

	sh("ip link add t0 type veth peer t1; ip link set t0 up; ip link set t1 up;"
	   "ip addr add 10.9.0.1/24 dev t0; ip addr add fd00:9::1/64 dev t0 nodad");
	onlink.route.onlink = 1;
	onlink.route.src = ip("10.9.0.1");
	onlink.route.mtu = 1400;
	via.route.metric = six.route.metric = 50;
	hole.route.type = KROUTE_BLACKHOLE;
	six_hole.route.type = KROUTE_UNREACHABLE;
	must(KOP_ADD, direct);
	must(KOP_ADD, via);
	must(KOP_ADD, onlink);
	must(KOP_ADD, hole);
	must(KOP_ADD, six);
	must(KOP_ADD, six_direct);
	must(KOP_ADD, six_hole);
	must(KOP_ADD, four_via_six);
	shows("ip route", "10.2.0.5 dev t0 proto 70 scope link \n");
	shows("ip route", "10.3.0.0/24 via 10.9.0.2 dev t0 proto 70 metric 50 \n");
	shows("ip route", "10.4.0.0/26 via 192.0.2.9 dev t0 proto 70 src 10.9.0.1 onlink mtu 1400");
	shows("ip route", "blackhole 10.5.0.0/26 proto 70 \n");
	shows("ip route", "10.6.0.0/24 via inet6 fe80::2 dev t0 proto 70 \n");
	shows("ip -6 route", "fd00:3::/64 via fd00:9::2 dev t0 proto 70 metric 50");
	shows("ip -6 route", "fd00:2::5 dev t0 proto 70 metric 1024");
	shows("ip -6 route", "unreachable fd00:5::/122 dev lo proto 70 metric 1024");
	reads_as(direct);
	reads_as(via);
	reads_as(onlink);
	reads_as(hole);
	reads_as(six);
	reads_as(six_direct);
	reads_as(six_hole);
	reads_as(four_via_six);

	via.route.via = ip("10.9.0.3");
	must(KOP_CHANGE, via);
	shows("ip route", "10.3.0.0/24 via 10.9.0.3 dev t0");
	six.route.via = ip("fd00:9::3");
	must(KOP_ADD, six); /* what an agent before us left */
	shows("ip -6 route", "fd00:3::/64 via fd00:9::3 dev t0");
	shows_not("ip -6 route", "fd00:9::2 ");
	/* A block that was routed becomes a black hole, and back. */
	direct.route.type = KROUTE_BLACKHOLE;
	direct.route.oif[0] = 0;
	direct.route.scope = 0;
	must(KOP_CHANGE, direct);
	shows("ip route", "blackhole 10.2.0.5 proto 70");
	reads_as(direct);
	six_direct.route.type = KROUTE_BLACKHOLE;
	six_direct.route.oif[0] = 0;
	must(KOP_CHANGE, six_direct);
	shows("ip -6 route", "blackhole fd00:2::5");
	shows_not("ip -6 route", "fd00:2::5 dev t0");

	must(KOP_DELETE, direct);
	must(KOP_DELETE, via);
	must(KOP_DELETE, onlink);
	must(KOP_DELETE, hole);
	must(KOP_DELETE, six);
	must(KOP_DELETE, six_direct);
	must(KOP_DELETE, six_hole);
	must(KOP_DELETE, four_via_six);
	shows_not("ip route", "proto 70");
	shows_not("ip -6 route", "proto 70");
	must(KOP_DELETE, hole);
	must(KOP_DELETE, six_hole);
}

static struct khop hop(const char *via, const char *oif)
{
	struct khop h = { .via = ip(via) };

	strcpy(h.oif, oif);
	return h;
}

/* Several next hops, as `ip` sees them: each set replaces the one before, whole. */
static void ecmp(const char *dst, const struct khop *hops, const char *show, const char *line)
{
	struct kobj two = route_obj(dst, "", ""), three = two, one = two;
	char text[256];

	kroute_set_hops(&two.route, hops, 2);
	kroute_set_hops(&three.route, hops, 3);
	kroute_set_hops(&one.route, hops + 2, 1);
	two.route.scope = three.route.scope = one.route.scope = RT_SCOPE_UNIVERSE;
	must(KOP_ADD, two);
	reads_as(two);
	must(KOP_ADD, two); /* what an agent before us left */
	reads_as(two);
	must(KOP_CHANGE, three);
	reads_as(three);
	snprintf(text, sizeof(text), "%s | grep -c 'nexthop via'", show);
	shows(text, "3\n");
	must(KOP_CHANGE, one);
	reads_as(one);
	shows_not(show, "nexthop");
	must(KOP_CHANGE, two);
	reads_as(two);
	shows(text, "2\n");
	must(KOP_DELETE, two);
	shows_not(show, line);
	must(KOP_DELETE, two);
}

static void test_multipath(void **state)
{
	struct khop four[] = { hop("10.9.0.2", "t0"), hop("10.9.0.3", "t0"),
			       hop("10.9.1.2", "t1") };
	struct khop six[] = { hop("fd00:9::2", "t0"), hop("fd00:9::3", "t0"),
			      hop("fd00:9:1::2", "t1") };
	struct kobj far = route_obj("10.3.0.0/24", "", "");
	struct kobj lost = far;
	struct err e;

	sh("ip link add t0 type veth peer t1; ip link set t0 up; ip link set t1 up;"
	   "ip addr add 10.9.0.1/24 dev t0; ip addr add fd00:9::1/64 dev t0 nodad;"
	   "ip addr add 10.9.1.1/24 dev t1; ip addr add fd00:9:1::1/64 dev t1 nodad");
	ecmp("10.2.0.0/24", four, "ip route show proto 70", "10.2.0.0/24");
	ecmp("fd00:2::/64", six, "ip -6 route show proto 70", "fd00:2::/64");

	/* In whatever order they were given to the kernel. */
	sh("ip route add 10.2.0.0/24 proto 70 nexthop via 10.9.1.2 nexthop via 10.9.0.3 "
	   "nexthop via 10.9.0.2;"
	   "ip -6 route add fd00:2::/64 proto 70 nexthop via fd00:9:1::2 nexthop via fd00:9::3 "
	   "nexthop via fd00:9::2");
	far = route_obj("10.2.0.0/24", "", "");
	kroute_set_hops(&far.route, four, 3);
	far.route.scope = RT_SCOPE_UNIVERSE;
	reads_as(far);
	far = route_obj("fd00:2::/64", "", "");
	kroute_set_hops(&far.route, six, 3);
	reads_as(far);

	/* By hosts that no route leads to. */
	four[1] = hop("192.0.2.9", "t1");
	four[1].onlink = 1;
	far = route_obj("10.3.0.0/24", "", "");
	kroute_set_hops(&far.route, four, 2);
	far.route.scope = RT_SCOPE_UNIVERSE;
	must(KOP_ADD, far);
	shows("ip route", "nexthop via 192.0.2.9 dev t1 weight 1 onlink");
	reads_as(far);
	must(KOP_DELETE, far);

	strcpy(four[1].oif, "none");
	lost = far;
	assert_int_equal(apply1(KOP_ADD, &lost, &e), -ENODEV);
	assert_non_null(strstr(e.text, "via 10.9.0.2 dev t0 nexthop via 192.0.2.9 dev none"));
}

static void test_foreign_routes(void **state)
{
	struct kobj ours = route_obj("10.7.0.0/24", "", "t0"),
		    six = route_obj("fd00:7::/64", "", "t0");
	struct klist got = { 0 };
	struct err e;
	size_t seen = 0;

	sh("ip link add t0 type veth peer t1; ip link set t0 up; ip link set t1 up;"
	   "ip route add 10.7.0.0/24 dev t0 proto static;"
	   "ip -6 route add fd00:7::/64 dev t0 proto static metric 1024;"
	   "ip route add 10.8.0.0/24 dev t0 table 7;"
	   "ip route add 10.8.1.0/24 nexthop dev t0 nexthop dev t1");
	assert_int_equal(apply1(KOP_ADD, &ours, &e), -EEXIST);
	assert_non_null(strstr(e.text, "somebody else has this route"));
	assert_int_equal(apply1(KOP_ADD, &six, &e), -EEXIST);
	must(KOP_DELETE, ours);
	must(KOP_DELETE, six);
	shows("ip route", "10.7.0.0/24 dev t0 proto static");
	shows("ip -6 route", "fd00:7::/64 dev t0 proto static");
	assert_int_equal(rtnl_dump(nl, RTNL(KOBJ_ROUTE), &got, &e), 0);
	for (size_t i = 0; i < got.n; i++) {
		assert_true(got.v[i].foreign);
		assert_false(
			prefix_eq(&got.v[i].route.dst, &(struct prefix){ ip("10.8.0.0"), 24 }));
		seen += prefix_eq(&got.v[i].route.dst, &ours.route.dst) ||
			prefix_eq(&got.v[i].route.dst, &six.route.dst) ||
			prefix_eq(&got.v[i].route.dst, &(struct prefix){ ip("10.8.1.0"), 24 });
		assert_true(!i || kobj_cmp(&got.v[i - 1], &got.v[i]) < 0);
	}
	assert_int_equal(seen, 3);
	klist_fini(&got);
}

static void test_neighs_and_fdb(void **state)
{
	struct kobj vx = vxlan_obj("vx0", 5);
	struct kobj four = neigh_obj("t0", "10.9.0.2", "02:00:00:00:00:02");
	struct kobj six = neigh_obj("t0", "fe80::9", "02:00:00:00:00:03");
	struct kobj proxy = neigh_obj("t0", "10.9.0.77", "");
	struct kobj proxy6 = neigh_obj("t0", "fd00::77", "");
	struct kobj fdb = fdb_obj("vx0", "66:00:00:00:00:09", "192.0.2.2");
	struct klist got = { 0 };
	struct err e;

	/* Both ends up: Linux before 6.12 forgets proxies when the carrier goes, or is missed. */
	sh("ip link add t0 type veth peer t1; ip link set t1 up; ip link set t0 up;"
	   "ip neigh add 10.9.0.3 lladdr 02:00:00:00:00:09 dev t0 nud permanent;"
	   "ip neigh add 10.9.0.4 lladdr 02:00:00:00:00:09 dev t0 nud reachable");
	must(KOP_ADD, vx);
	must(KOP_ADD, four);
	must(KOP_ADD, six);
	must(KOP_ADD, proxy);
	must(KOP_ADD, proxy6);
	must(KOP_ADD, fdb);
	must(KOP_ADD, fdb);
	shows("ip neigh", "10.9.0.2 dev t0 lladdr 02:00:00:00:00:02 PERMANENT proto 70");
	shows("ip neigh", "fe80::9 dev t0 lladdr 02:00:00:00:00:03 PERMANENT proto 70");
	shows("ip neigh show proxy", "10.9.0.77 dev t0 ");
	shows("ip -6 neigh show proxy", "fd00::77 dev t0 ");
	shows("bridge fdb show dev vx0", "66:00:00:00:00:09 dst 192.0.2.2 self permanent");
	reads_as(four);
	reads_as(six);
	reads_as(proxy);
	reads_as(proxy6);
	reads_as(fdb);
	four.neigh.mac = mac("02:00:00:00:00:0a");
	fdb.fdb.dst = ip("192.0.2.3");
	must(KOP_CHANGE, four);
	must(KOP_CHANGE, fdb);
	shows("ip neigh", "10.9.0.2 dev t0 lladdr 02:00:00:00:00:0a");
	shows("bridge fdb show dev vx0", "66:00:00:00:00:09 dst 192.0.2.3 self permanent");
	shows_not("bridge fdb show dev vx0", "192.0.2.2");
	assert_int_equal(rtnl_dump(nl, RTNL(KOBJ_NEIGH), &got, &e), 0);
	for (size_t i = 0; i < got.n; i++) {
		assert_false(addr_eq(&got.v[i].neigh.addr,
				     &(struct ipaddr){ AF_INET, { 10, 9, 0, 4 } }));
		assert_int_equal(got.v[i].foreign,
				 addr_eq(&got.v[i].neigh.addr,
					 &(struct ipaddr){ AF_INET, { 10, 9, 0, 3 } }));
	}
	klist_fini(&got);
	must(KOP_DELETE, four);
	must(KOP_DELETE, six);
	must(KOP_DELETE, proxy);
	must(KOP_DELETE, proxy6);
	must(KOP_DELETE, fdb);
	must(KOP_DELETE, fdb);
	must(KOP_DELETE, proxy);
	shows_not("ip neigh", "10.9.0.2 ");
	shows_not("ip neigh show proxy", "10.9.0.77");
	shows_not("ip -6 neigh show proxy", "fd00::77");
	shows_not("bridge fdb show dev vx0", "66:00:00:00:00:09");
}

/* Linux from 6.12 keeps permanent proxies when the carrier goes, others never: ours live as long as
 * those of `ip`. That it went is seen by one that is not permanent. */
static void test_proxies_without_carrier(void **state)
{
	struct kobj proxy = neigh_obj("t0", "10.9.0.77", "");
	const char *text;

	sh("ip link add t0 type veth peer t1; ip link set t1 up; ip link set t0 up;"
	   "ip neigh add proxy 10.9.0.78 dev t0; ip neigh add proxy 10.9.0.79 dev t0 nud none");
	must(KOP_ADD, proxy);
	shows("ip neigh show proxy", "10.9.0.77 dev t0 ");
	sh("ip link set t1 down");
	for (int i = 0; strstr(output("ip neigh show proxy"), "10.9.0.79 "); i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
	text = output("ip neigh show proxy");
	assert_int_equal(!strstr(text, "10.9.0.77 "), !strstr(text, "10.9.0.78 "));
}

static void test_sysctls(void **state)
{
	struct kobj o[] = { sysctl_obj("net/ipv4/ip_forward", "1"),
			    sysctl_obj("net/ipv6/conf/none0/forwarding", "1") };
	struct klist got = { 0 };
	struct err e;

	sh("sysctl -qw net.ipv4.ip_forward=0");
	must(KOP_ADD, o[0]);
	shows("sysctl net.ipv4.ip_forward", "= 1");
	must(KOP_DELETE, o[0]);
	shows("sysctl net.ipv4.ip_forward", "= 1");
	sh("sysctl -qw net.ipv4.ip_forward=0");
	assert_int_equal(rtnl_sysctls(o, 2, &got, &e), 0);
	assert_int_equal(got.n, 1);
	assert_string_equal(got.v[0].sysctl.value, "0");
	assert_int_equal(apply1(KOP_ADD, &o[1], &e), -ENOENT);
	klist_fini(&got);
}

/* ---- many at once */

#define MANY 5000

static void test_batch(void **state)
{
	static struct kobj objs[MANY + 2];
	static struct kop ops[MANY + 2];
	static int codes[MANY + 2];
	struct klist got = { 0 };
	uint64_t start;
	size_t ours = 0;
	struct err e;

	sh("ip link add t0 type veth peer t1; ip link set t0 up; ip link set t1 up");
	for (int i = 0; i < MANY + 2; i++) {
		char dst[32];

		snprintf(dst, sizeof(dst), "10.%d.%d.%d/32", 100 + i / 65536, i / 256 % 256,
			 i % 256);
		objs[i] = route_obj(dst, "", "t0");
		ops[i] = (struct kop){ KOP_ADD, &objs[i] };
	}
	objs[100].route.dst = objs[99].route.dst; /* twice the same is ours */
	strcpy(objs[MANY].route.oif, "missing");  /* no such device */
	start = clock_mono_ns();
	assert_int_equal(rtnl_apply(nl, ops, MANY + 2, codes, &e), -ENODEV);
	print_message("%d routes added in %.1f ms\n", MANY,
		      (double)(clock_mono_ns() - start) / 1e6);
	for (int i = 0; i < MANY + 2; i++)
		assert_int_equal(codes[i], i == MANY ? -ENODEV : 0);
	shows("ip route show proto 70 | wc -l", "5000\n");
	start = clock_mono_ns();
	assert_int_equal(rtnl_dump(nl, RTNL(KOBJ_ROUTE), &got, &e), 0);
	print_message("%zu routes read in %.1f ms\n", got.n,
		      (double)(clock_mono_ns() - start) / 1e6);
	for (size_t i = 0; i < got.n; i++)
		ours += !got.v[i].foreign;
	assert_int_equal(ours, 5000);
	for (int i = 0; i < MANY + 2; i++)
		ops[i].verb = KOP_DELETE;
	assert_int_equal(rtnl_apply(nl, ops, MANY + 2, codes, &e), 0);
	shows("ip route show proto 70 | wc -l", "0\n");
	/* Every request of every chunk fails, and each answer arrives. */
	assert_int_equal(rtnl_apply(nl, ops, MANY + 2, codes, &e), 0);
	for (int i = 0; i < MANY; i++) {
		ops[i].verb = KOP_ADD;
		objs[i].route.via = ip("203.0.113.1"); /* out of reach */
		objs[i].route.scope = RT_SCOPE_UNIVERSE;
	}
	assert_int_equal(rtnl_apply(nl, ops, MANY, codes, &e), -ENETUNREACH);
	assert_non_null(strstr(e.text, "route 10.100.0.0/32 via 203.0.113.1 dev t0: "));
	for (int i = 0; i < MANY; i++)
		assert_int_equal(codes[i], -ENETUNREACH);
	klist_fini(&got);
}

/* Links, addresses, routes and entries that hang on each other, in one call. */
static void test_ordered(void **state)
{
	struct kobj objs[] = { vxlan_obj("vx0", 9), addr_obj("vx0", "10.244.1.0/32", 0),
			       route_obj("10.244.2.0/26", "10.244.2.0", "vx0"),
			       neigh_obj("vx0", "10.244.2.0", "66:00:00:00:00:09"),
			       fdb_obj("vx0", "66:00:00:00:00:09", "192.0.2.2") };
	struct kop ops[5];
	struct err e;

	objs[2].route.onlink = 1;
	for (int i = 0; i < 5; i++)
		ops[i] = (struct kop){ KOP_ADD, &objs[i] };
	if (rtnl_apply(nl, ops, 5, NULL, &e))
		fail_msg("%s", e.text);
	shows("ip route", "10.244.2.0/26 via 10.244.2.0 dev vx0 proto 70 onlink");
	for (int i = 0; i < 5; i++)
		ops[i] = (struct kop){ KOP_DELETE,
				       &objs[i] }; /* the device first: the rest is gone */
	if (rtnl_apply(nl, ops, 5, NULL, &e))
		fail_msg("%s", e.text);
	shows_not("ip link", "vx0");
}

/* Removed in a row they cost one RCU wait, and what is between keeps its place. */
static void test_many_links(void **state)
{
	static struct kobj objs[101];
	struct kop ops[101];
	uint64_t start;
	int codes[101];
	struct err e;

	for (int i = 0; i < 101; i++) {
		char name[16];

		snprintf(name, sizeof(name), "fb%d", i);
		objs[i] = link_obj(name, KLINK_IFB);
		ops[i] = (struct kop){ KOP_ADD, &objs[i] };
	}
	objs[70] = sysctl_obj("net/ipv4/conf/fb71/rp_filter", "2");
	ops[100].verb = KOP_DELETE; /* was never there */
	ops[70].verb = KOP_DELETE;
	assert_int_equal(rtnl_apply(nl, ops, 101, codes, &e), 0);
	shows("ip -o link | wc -l", "100\n");
	for (int i = 0; i < 101; i++)
		ops[i].verb = KOP_DELETE;
	ops[70].verb = KOP_ADD; /* fb71 must still be there */
	start = clock_mono_ns();
	assert_int_equal(rtnl_apply(nl, ops, 101, codes, &e), 0);
	print_message("99 links removed in %.1f ms\n", (double)(clock_mono_ns() - start) / 1e6);
	shows("ip -o link | wc -l", "1\n");
}

/* ---- notices */

struct seen {
	struct rtnl_notice v[256];
	size_t n;
};

static void on_notice(void *arg, const struct rtnl_notice *n)
{
	struct seen *s = arg;

	if (s->n < 256)
		s->v[s->n++] = *n;
}

static const struct rtnl_notice *find(const struct seen *s, unsigned type, bool deleted,
				      const char *text)
{
	char buf[256];

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].obj.type == type && s->v[i].deleted == deleted &&
		    strstr(kobj_str(&s->v[i].obj, buf, sizeof(buf)), text))
			return &s->v[i];
	fail_msg("no notice of %s", text);
	return NULL;
}

static void test_monitor(void **state)
{
	uint32_t own = nl_portid(nl);
	struct seen s = { .n = 0 };
	struct rtnl_monitor *m;
	const struct rtnl_notice *n;
	bool lost = false;
	struct err e;

	m = rtnl_monitor_open(RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) |
				      RTNL(KOBJ_NEIGH) | RTNL(KOBJ_FDB),
			      &own, 1, &e);
	assert_non_null(m);
	must(KOP_ADD, vxlan_obj("vx0", 3));
	must(KOP_ADD, route_obj("10.1.0.0/24", "", "vx0"));
	must(KOP_ADD, fdb_obj("vx0", "66:00:00:00:00:09", "192.0.2.2"));
	sh("ip addr add 10.5.0.1/24 dev vx0; ip route del 10.1.0.0/24;"
	   "ip neigh add 10.5.0.2 lladdr 02:00:00:00:00:01 dev vx0 nud permanent;"
	   "bridge fdb del 66:00:00:00:00:09 dev vx0; ip link del vx0");
	assert_int_equal(
		poll(&(struct pollfd){ .fd = rtnl_monitor_fd(m), .events = POLLIN }, 1, 1000), 1);
	assert_int_equal(rtnl_monitor_read(m, on_notice, &s, &lost, &e), 0);
	assert_false(lost);
	n = find(&s, KOBJ_LINK, false, "link vx0 type vxlan id 3");
	assert_true(n->kernel || n->ours);
	n = find(&s, KOBJ_ROUTE, false, "route 10.1.0.0/24 dev vx0");
	assert_true(n->ours && !n->obj.foreign);
	n = find(&s, KOBJ_ROUTE, true, "route 10.1.0.0/24 dev vx0");
	assert_true(!n->ours && !n->kernel && !n->obj.foreign);
	n = find(&s, KOBJ_ADDR, false, "addr 10.5.0.1/24 dev vx0");
	assert_true(!n->ours && n->obj.foreign);
	n = find(&s, KOBJ_NEIGH, false, "neigh 10.5.0.2 lladdr 02:00:00:00:00:01 dev vx0");
	assert_false(n->ours);
	n = find(&s, KOBJ_FDB, false, "66:00:00:00:00:09 dev vx0 dst 192.0.2.2");
	assert_true(n->kernel); /* vxlan does not say who it was */
	n = find(&s, KOBJ_FDB, true, "66:00:00:00:00:09 dev vx0 dst 192.0.2.2");
	assert_false(n->ours);
	n = find(&s, KOBJ_LINK, true, "link vx0");
	assert_false(n->ours);
	rtnl_monitor_close(m);
}

static void test_monitor_overrun(void **state)
{
	struct seen s = { .n = 0 };
	struct rtnl_monitor *m;
	bool lost = false;
	struct err e;
	int small = 1;

	m = rtnl_monitor_open(RTNL(KOBJ_ROUTE), NULL, 0, &e);
	assert_non_null(m);
	setsockopt(rtnl_monitor_fd(m), SOL_SOCKET, SO_RCVBUFFORCE, &small, sizeof(small));
	sh("ip link add t0 type veth peer t1; ip link set t0 up;"
	   "for i in $(seq 1 100); do echo route add 10.1.0.$i dev t0; done | ip -batch -");
	assert_int_equal(rtnl_monitor_read(m, on_notice, &s, &lost, &e), 0);
	assert_true(lost);
	/* It goes on, with the names that it missed. */
	sh("ip route add 10.2.0.0/24 dev t0 proto 70");
	s.n = 0;
	assert_int_equal(rtnl_monitor_read(m, on_notice, &s, &lost, &e), 0);
	find(&s, KOBJ_ROUTE, false, "route 10.2.0.0/24 dev t0");
	rtnl_monitor_close(m);
}

/* ---- namespaces */

static int where_am_i(void *arg, struct err *e)
{
	int fd = netns_self(e), rc;

	if (fd < 0)
		return fd;
	rc = netns_id(fd, arg, e);
	close(fd);
	return rc ? rc : 42;
}

static void test_netns(void **state)
{
	char path[] = "/tmp/fairlead-netns-XXXXXX";
	uint64_t here, there, seen, back;
	struct err e;
	int fd = netns_new(&e), bound, dir = mkstemp(path);

	assert_true(fd >= 0 && dir >= 0);
	close(dir);
	unlink(path);
	assert_int_equal(where_am_i(&here, &e), 42);
	assert_int_equal(netns_id(fd, &there, &e), 0);
	assert_int_equal(netns_do(fd, where_am_i, &seen, &e), 42);
	assert_int_equal(where_am_i(&back, &e), 42);
	assert_int_equal(seen, there);
	assert_int_equal(back, here);
	assert_int_not_equal(here, there);
	assert_int_equal(netns_open("/proc/self/ns/uts", &e), -EINVAL);
	assert_int_equal(netns_open("/proc/self/ns/none", &e), -ENOENT);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	sh("mount --make-rprivate /");
	assert_int_equal(netns_bind(fd, path, &e), 0);
	assert_int_equal(netns_bind(fd, path, &e), -EEXIST);
	close(fd);
	bound = netns_open(path, &e);
	assert_true(bound >= 0);
	assert_int_equal(netns_id(bound, &seen, &e), 0);
	assert_int_equal(seen, there);
	close(bound);
	assert_int_equal(netns_unbind(path, &e), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(netns_unbind(path, &e), 0);
}

/* ---- pods */

static int in_pod; /* namespace in which pod_sh() and pod_shows() look */

static int sh_there(void *arg, struct err *e)
{
	sh(arg);
	return 0;
}

static int shows_there(void *arg, struct err *e)
{
	const char **a = arg;

	shows(a[0], a[1]);
	return 0;
}

static int shows_not_there(void *arg, struct err *e)
{
	const char **a = arg;

	shows_not(a[0], a[1]);
	return 0;
}

static void pod_sh(const char *cmd)
{
	struct err e;

	assert_int_equal(netns_do(in_pod, sh_there, (void *)cmd, &e), 0);
}

static void pod_shows(const char *cmd, const char *words)
{
	const char *a[] = { cmd, words };
	struct err e;

	assert_int_equal(netns_do(in_pod, shows_there, a, &e), 0);
}

static void pod_shows_not(const char *cmd, const char *words)
{
	const char *a[] = { cmd, words };
	struct err e;

	assert_int_equal(netns_do(in_pod, shows_not_there, a, &e), 0);
}

static size_t pod_objs(struct kobj *o)
{
	o[0] = addr_obj("", "10.244.1.5/32", 0);
	o[1] = addr_obj("", "fd00:244::5/128", 0);
	o[1].addr.nodad = 1;
	o[2] = neigh_obj("", "169.254.1.1", "ee:ee:ee:ee:ee:ee");
	o[3] = neigh_obj("", "fe80::1", "ee:ee:ee:ee:ee:ee");
	o[4] = route_obj("169.254.1.1/32", "", "eth0");
	o[5] = route_obj("0.0.0.0/0", "169.254.1.1", "eth0");
	o[6] = route_obj("::/0", "fe80::1", "eth0");
	return 7;
}

static struct pod_if pod_spec(const char *host, const struct kobj *objs, size_t n)
{
	return (struct pod_if){ .host = host,
				.name = "eth0",
				.alias = "shop/web-0 eth0",
				.host_mac = mac("ee:ee:ee:ee:ee:ee"),
				.mac = mac("02:00:00:00:00:05"),
				.mtu = 1450,
				.objs = objs,
				.nobjs = n };
}

static void test_pod(void **state)
{
	struct kobj objs[8];
	size_t n = pod_objs(objs);
	struct pod_if p = pod_spec("flabc", objs, n);
	struct pod_links l = { 0 };
	struct klist got = { 0 };
	struct err e;
	char index[64];

	in_pod = netns_new(&e);
	/* As container runtimes leave it. */
	pod_sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
	if (pod_create(nl, in_pod, &p, &l, &e))
		fail_msg("%s", e.text);
	snprintf(index, sizeof(index), "%d: flabc@if%d:", l.host, l.pod);
	shows("ip link show flabc", index);
	shows("ip link show flabc", "UP,LOWER_UP");
	shows("ip link show flabc", "mtu 1450");
	shows("ip link show flabc", "ee:ee:ee:ee:ee:ee");
	shows("ip link show flabc", "alias shop/web-0 eth0");
	pod_shows("ip link show eth0", "UP,LOWER_UP");
	pod_shows("ip link show eth0", "mtu 1450");
	pod_shows("ip link show eth0", "02:00:00:00:00:05");
	pod_shows("ip link show lo", "UP");
	pod_shows("ip addr show eth0", "inet 10.244.1.5/32 scope global eth0");
	pod_shows("ip addr show eth0", "inet6 fd00:244::5/128 scope global nodad");
	pod_shows("ip addr show eth0", "inet6 fe80::ff:fe00:5/64 scope link nodad");
	pod_shows_not("ip addr show", "tentative");
	pod_shows("ip route", "default via 169.254.1.1 dev eth0");
	pod_shows("ip -6 route", "default via fe80::1 dev eth0");
	pod_shows("ip neigh", "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT proto 70");
	pod_shows("ip neigh", "fe80::1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT proto 70");

	assert_int_equal(pod_read(in_pod, "eth0", &got, &e), 0);
	for (size_t i = 0; i < n; i++) {
		struct kobj want = objs[i];
		size_t j = 0;

		if (want.type == KOBJ_ADDR)
			strcpy(want.addr.ifname, "eth0");
		if (want.type == KOBJ_NEIGH)
			strcpy(want.neigh.ifname, "eth0");
		while (j < got.n && (kobj_cmp(&got.v[j], &want) || !kobj_same(&want, &got.v[j])))
			j++;
		assert_true(j < got.n);
	}
	klist_fini(&got);
	assert_int_equal(pod_read(in_pod, "eth1", &got, &e), -ENODEV);

	/* Traffic flows, both families, at once. */
	sh("ip addr add 169.254.1.1/32 dev lo; ip addr add fe80::1/64 dev flabc nodad;"
	   "ip route add 10.244.1.5/32 dev flabc; ip -6 route add fd00:244::5/128 dev flabc;"
	   "ping -c1 -W1 -q 10.244.1.5 >/dev/null; ping -c1 -W1 -q fd00:244::5 >/dev/null");

	/* Names are free at once after retirement, although the link still exists. */
	assert_int_equal(pod_retire(in_pod, "eth0", l.pod, &e), 0);
	pod_shows_not("ip link", "eth0");
	/* IPv6 is enabled by now: no sysctl of the pod's is needed, nor touched. */
	pod_sh("sysctl -qw net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.default.accept_dad=1");
	p.host = "flnew";
	assert_int_equal(pod_create(nl, in_pod, &p, &l, &e), 0);
	pod_shows("ip addr show eth0", "inet6 fe80::ff:fe00:5/64 scope link nodad");
	pod_shows_not("ip addr show", "tentative");
	pod_shows("sysctl net.ipv6.conf.eth0.accept_dad", "= 1");
	close(in_pod);
}

static void test_pod_conflicts(void **state)
{
	struct kobj objs[8], bad;
	struct pod_if p = pod_spec("flabc", objs, pod_objs(objs));
	struct pod_links l = { -1, -1 };
	struct err e;

	in_pod = netns_new(&e);
	sh("ip link add flabc type ifb");
	assert_int_equal(pod_create(nl, in_pod, &p, &l, &e), -EEXIST);
	assert_non_null(strstr(e.text, "flabc exists on the node"));
	sh("ip link del flabc");
	pod_sh("ip link add eth0 type ifb");
	assert_int_equal(pod_create(nl, in_pod, &p, &l, &e), -EEXIST);
	assert_non_null(strstr(e.text, "eth0 exists in the pod"));
	shows_not("ip link", "flabc");
	pod_sh("ip link del eth0");
	/* A route that the pod cannot have: nothing is left behind. */
	bad = route_obj("10.0.0.0/8", "192.0.2.1", "eth0");
	p.objs = &bad;
	p.nobjs = 1;
	assert_true(pod_create(nl, in_pod, &p, &l, &e) < 0);
	assert_non_null(strstr(e.text, "route 10.0.0.0/8 via 192.0.2.1"));
	shows_not("ip link", "flabc");
	pod_shows_not("ip link", "eth0");
	assert_int_equal(l.host, -1);
	p.nobjs = 0;
	p.master = "none";
	assert_int_equal(pod_create(nl, in_pod, &p, &l, &e), -ENODEV);
	close(in_pod);
}

static void test_pod_on_bridge(void **state)
{
	struct pod_if p = pod_spec("flbr", NULL, 0);
	struct pod_links l;
	struct err e;

	in_pod = netns_new(&e);
	sh("ip link add br0 type bridge");
	p.master = "br0";
	p.isolated = true;
	p.alias = NULL;
	if (pod_create(nl, in_pod, &p, &l, &e))
		fail_msg("%s", e.text);
	shows("bridge -d link show dev flbr", "master br0");
	shows("bridge -d link show dev flbr", "isolated on");
	close(in_pod);
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

#define PODS 100

static void test_pod_cost(void **state)
{
	struct kobj objs[8];
	size_t n = pod_objs(objs);
	struct pod_links l;
	double ms[PODS];
	int ns[PODS], idx[PODS + 1];
	uint64_t start;
	struct err e;
	char host[16];

	for (int i = 0; i < PODS; i++) {
		struct pod_if p = pod_spec(host, objs, n);

		snprintf(host, sizeof(host), "fl%d", i);
		ns[i] = netns_new(&e);
		start = clock_mono_ns();
		if (pod_create(nl, ns[i], &p, &l, &e))
			fail_msg("%s", e.text);
		ms[i] = (double)(clock_mono_ns() - start) / 1e6;
		idx[i] = l.host;
	}
	qsort(ms, PODS, sizeof(ms[0]), by_value);
	print_message("pod_create: p50 %.2f ms, p99 %.2f ms\n", ms[PODS / 2], ms[PODS * 99 / 100]);
	start = clock_mono_ns();
	assert_int_equal(pod_retire(ns[0], "eth0", 0, &e), 0);
	print_message("pod_retire: %.2f ms\n", (double)(clock_mono_ns() - start) / 1e6);
	start = clock_mono_ns();
	assert_int_equal(pod_reap(nl, idx, 1, &e), 0);
	print_message("pod_reap of one: %.1f ms\n", (double)(clock_mono_ns() - start) / 1e6);
	idx[PODS] = 99999; /* long gone */
	sh("ip link add keep type ifb");
	start = clock_mono_ns();
	assert_int_equal(pod_reap(nl, idx, PODS + 1, &e), 0);
	print_message("pod_reap of %d: %.1f ms\n", PODS - 1,
		      (double)(clock_mono_ns() - start) / 1e6);
	shows("ip -o link | wc -l", "2\n");
	assert_int_equal(pod_reap(nl, idx, PODS + 1, &e), 0);
	assert_int_equal(pod_reap(nl, idx, 1, &e), 0);
	for (int i = 0; i < PODS; i++)
		close(ns[i]);
}

/* ---- which kernel */

static void test_old_kernel(void **state)
{
	struct kobj marked = addr_obj("lo", "127.0.0.2/32", 0);
	struct kobj plain = addr_obj("lo", "127.0.0.3/32", 0);
	struct err e;

	assert_int_equal(rtnl_check_kernel(&e), 0);
	shows_not("ip addr", "127.0.0.2");
	/* Made without the attribute, as it reads back where the kernel does not know it. */
	sh("ip addr add 127.0.0.3/32 dev lo");
	must(KOP_ADD, marked);
	assert_int_equal(rtnl_keeps_mark(nl, &marked, &e), 0);
	assert_int_equal(rtnl_keeps_mark(nl, &plain, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "5.18"));
}

/* ---- carrier */

static int packet_socket(const char *dev)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(PROBE),
				  .sll_ifindex = (int)if_nametoindex(dev) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(PROBE));

	assert_true(fd >= 0 && at.sll_ifindex > 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int listen_inside(void *arg, struct err *e)
{
	*(int *)arg = packet_socket("eth0");
	return 0;
}

/* One broadcast frame out of the bridge arrives in the pod. */
static bool reaches(const char *bridge, int inside)
{
	static const unsigned char frame[60] = { 0xff, 0xff, 0xff,       0xff,        0xff,
						 0xff, 2,    0,          0,           0,
						 0,    1,    PROBE >> 8, PROBE & 0xff };
	struct pollfd p = { .fd = inside, .events = POLLIN };
	int fd = packet_socket(bridge);
	bool sent = send(fd, frame, sizeof(frame), 0) == sizeof(frame);

	close(fd);
	return sent && poll(&p, 1, 200) == 1;
}

/* Kernels before 6.8 take their time. */
static void wait_carries(const char *link, int want)
{
	struct err e;

	for (int tries = 0; rtnl_carries(nl, link, &e) != want; tries++) {
		assert_true(tries < 2000);
		usleep(1000);
	}
}

static void test_carries(void **state)
{
	struct kobj objs[8], br = link_obj("br0", KLINK_BRIDGE);
	struct kop make = { .verb = KOP_ADD, .obj = &br };
	size_t n = pod_objs(objs);
	struct err e;

	assert_int_equal(rtnl_carries(nl, "br0", &e), -ENODEV);
	for (int i = 0; i < 20; i++) {
		struct pod_if p = pod_spec("flx", objs, n);
		int ns = netns_new(&e), inside;
		struct pod_links l;

		p.master = "br0";
		assert_int_equal(rtnl_apply(nl, &make, 1, NULL, &e), 0);
		assert_int_equal(rtnl_carries(nl, "br0", &e), 0);
		if (pod_create(nl, ns, &p, &l, &e))
			fail_msg("%s", e.text);
		assert_int_equal(netns_do(ns, listen_inside, &inside, &e), 0);
		wait_carries("flx", 1);
		wait_carries("br0", 1);
		assert_true(reaches("br0", inside));
		assert_int_equal(pod_retire(ns, "eth0", 0, &e), 0);
		wait_carries("flx", 0);
		sh("ip link del flx; ip link del br0");
		close(inside);
		close(ns);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_old_kernel),      TEST(test_carries),
		TEST(test_vxlan),           TEST(test_vxlan_of_others),
		TEST(test_bridge_and_port), TEST(test_ifb),
		TEST(test_addrs),           TEST(test_routes),
		TEST(test_multipath),       TEST(test_foreign_routes),
		TEST(test_neighs_and_fdb),  TEST(test_proxies_without_carrier),
		TEST(test_sysctls),         TEST(test_batch),
		TEST(test_ordered),         TEST(test_many_links),
		TEST(test_monitor),         TEST(test_monitor_overrun),
		TEST(test_netns),           TEST(test_pod),
		TEST(test_pod_conflicts),   TEST(test_pod_on_bridge),
		TEST(test_pod_cost),
	};

	if (getuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		return SKIPPED;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
