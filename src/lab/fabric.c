// SPDX-License-Identifier: Apache-2.0
/* fabric: see fabric.h. Every wire is a veth pair whose near end is in the switch or the router.
 * Numbers of links: UPLINK is what leads up (br0 in a switch, eth0 in a node and outside, the wire to
 * `outside` in the router), FIRST_PORT + i the i-th port or rack. The numbers from 2 on are left to what the
 * kernel puts into every new namespace where modules of tunnels are loaded (tunl0, gre0, sit0 …). */
#include "lab/fabric.h"

#include "lab/cable.h"
#include "sys/file.h"
#include "sys/netns.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MTU_DEFAULT  1500
#define OUTSIDE_HOST 10
#define UPLINK       100
#define FIRST_PORT   102

static const int families[] = { AF_INET, AF_INET6 };

/* ---- knobs: set before the first link, whose own settings are copies of `default` */

struct knob {
	const char *path, *value;
};

static int turn(const struct knob *k, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int rc = sysctl_write(k[i].path, k[i].value, e);

		if (rc)
			return rc;
	}
	return 0;
}

#define TURN(table) turn(table, sizeof(table) / sizeof(*(table)), e)

/* Addresses of the fabric are given by hand, so detecting duplicates would only cost seconds. */
static const struct knob common[] = {
	{ "net/ipv6/conf/all/accept_dad", "0" },
	{ "net/ipv6/conf/default/accept_dad", "0" },
	{ "net/ipv6/conf/default/dad_transmits", "0" },
	{ "net/ipv6/conf/default/accept_ra", "0" },
	/* When all are killed at once a speaker's last words meet nobody, and until TCP gives them up, else after some
	 * 100 s, they keep the namespace and the eBPF in it. */
	{ "net/ipv4/tcp_orphan_retries", "1" },
};

static int knobs_switch(void *arg, struct err *e)
{
	static const struct knob k[] = {
		{ "net/ipv6/conf/all/disable_ipv6", "1" },
		{ "net/ipv6/conf/default/disable_ipv6", "1" },
	};

	return TURN(k);
}

static int knobs_router(void *arg, struct err *e)
{
	static const struct knob k[] = {
		{ "net/ipv4/ip_forward", "1" },
		{ "net/ipv6/conf/all/forwarding", "1" },
		{ "net/ipv4/conf/all/send_redirects", "0" },
		{ "net/ipv4/conf/default/send_redirects", "0" },
	};

	return TURN(common) ?: TURN(k);
}

static int knobs_host(void *arg, struct err *e)
{
	static const struct knob k[] = {
		{ "net/ipv4/ip_forward", "0" },
		{ "net/ipv6/conf/all/forwarding", "0" },
		{ "net/ipv4/conf/all/rp_filter", "1" },
		{ "net/ipv4/conf/default/rp_filter", "1" },
	};

	return TURN(common) ?: TURN(k);
}

/* ---- wires */

static struct macaddr mac_of(char kind, unsigned i, unsigned side)
{
	return (struct macaddr){ { 0x02, 0x18, (uint8_t)kind, (uint8_t)(i >> 8), (uint8_t)i,
				   (uint8_t)side } };
}

static uint32_t mtu_of(const struct fabric *f)
{
	return f->spec->mtu ? f->spec->mtu : MTU_DEFAULT;
}

/* Sends what was gathered to the kernel, in the namespace it is for. */
static int run(int netns, struct nl_batch *b, struct err *e)
{
	struct nl *nl = nl_open_in(netns, NETLINK_ROUTE, e);
	int rc = nl ? nl_batch_run(nl, b, NULL, NULL, e) : e->code;

	nl_close(nl);
	return rc;
}

/* The node's name where it fits, so that `bridge link` in the switch reads well. */
static void port_name(const struct lab_node *node, unsigned i, char *out, size_t n)
{
	if (strlen(node->name) < n && strcmp(node->name, "router") != 0 &&
	    strcmp(node->name, "br0") != 0 && strcmp(node->name, "lo") != 0)
		snprintf(out, n, "%s", node->name);
	else
		snprintf(out, n, "port%u", i + 1);
}

static int build_rack(const struct fabric *f, unsigned rack, struct nl_batch *b, struct err *e)
{
	char up[16], port[16];
	struct cable w = { .near = { "router", FIRST_PORT - 1, mac_of('r', rack, 0) },
			   .far = { up, FIRST_PORT + (int)rack, mac_of('r', rack, 1) },
			   .netns = f->router,
			   .master = UPLINK,
			   .mtu = mtu_of(f) };

	cable_put_up(b, CABLE_LO);
	cable_put_bridge(b, "br0", UPLINK, mtu_of(f));
	snprintf(up, sizeof(up), "rack%u", rack);
	cable_put_veth(b, &w);
	for (uint32_t i = 0; i < f->spec->nodes.n; i++) {
		if (f->spec->nodes.v[i].rack != rack)
			continue;
		port_name(&f->spec->nodes.v[i], i, port, sizeof(port));
		w.near = (struct cable_end){ port, FIRST_PORT + (int)i, mac_of('n', i, 0) };
		w.far = (struct cable_end){ "eth0", UPLINK, mac_of('n', i, 1) };
		w.netns = f->nodes[i];
		cable_put_veth(b, &w);
	}
	return run(f->racks[rack - 1], b, e);
}

static int build_node(const struct fabric *f, unsigned i, struct nl_batch *b, struct err *e)
{
	const struct lab_node *node = &f->spec->nodes.v[i];

	cable_put_up(b, CABLE_LO);
	cable_put_up(b, UPLINK);
	for (uint32_t k = 0; k < node->addrs.n; k++)
		cable_put_addr(b, UPLINK, &node->addrs.v[k]);
	for (uint32_t k = 0; k < node->extra.n; k++) {
		struct prefix host = prefix_host(&node->extra.v[k]);

		cable_put_addr(b, UPLINK, &host);
	}
	for (int k = 0; k < 2; k++) {
		struct prefix router = lab_address(families[k], node->rack, 1);

		if (lab_has_family(f->spec, families[k]))
			cable_put_route(b, UPLINK, NULL, &router.addr, RTPROT_STATIC);
	}
	return run(f->nodes[i], b, e);
}

static int build_outside(const struct fabric *f, struct nl_batch *b, struct err *e)
{
	cable_put_up(b, CABLE_LO);
	cable_put_up(b, UPLINK);
	for (int i = 0; i < 2; i++) {
		struct prefix gw = lab_address(families[i], 0, 1);
		struct prefix own = lab_address(families[i], 0, OUTSIDE_HOST);

		if (!lab_has_family(f->spec, families[i]))
			continue;
		cable_put_addr(b, UPLINK, &own);
		cable_put_route(b, UPLINK, NULL, &gw.addr, RTPROT_STATIC);
	}
	return run(f->outside, b, e);
}

/* Node addresses that lie outside of the racks' subnets. */
static void route_extra(const struct lab_node *node, struct nl_batch *b)
{
	for (uint32_t k = 0; k < node->extra.n; k++) {
		struct prefix dst = prefix_host(&node->extra.v[k]);

		for (uint32_t j = 0; j < node->addrs.n; j++) {
			if (node->addrs.v[j].addr.family != dst.addr.family)
				continue;
			cable_put_route(b, FIRST_PORT + (int)node->rack, &dst,
					&node->addrs.v[j].addr, RTPROT_STATIC);
			break;
		}
	}
}

static int build_router(const struct fabric *f, struct nl_batch *b, struct err *e)
{
	struct cable w = { .near = { "outside", UPLINK, mac_of('o', 0, 0) },
			   .far = { "eth0", UPLINK, mac_of('o', 0, 1) },
			   .netns = f->outside,
			   .mtu = mtu_of(f) };

	cable_put_up(b, CABLE_LO);
	cable_put_veth(b, &w);
	for (unsigned rack = 0; rack <= f->spec->racks; rack++) {
		int index = rack ? FIRST_PORT + (int)rack : UPLINK;

		cable_put_up(b, index);
		for (int i = 0; i < 2; i++) {
			struct prefix p = lab_address(families[i], rack, 1);

			if (lab_has_family(f->spec, families[i]))
				cable_put_addr(b, index, &p);
		}
	}
	/* What nobody here knows goes out, as everywhere; `outside` forwards nothing. */
	for (int i = 0; i < 2; i++) {
		struct prefix out = lab_address(families[i], 0, OUTSIDE_HOST);

		if (lab_has_family(f->spec, families[i]))
			cable_put_route(b, UPLINK, NULL, &out.addr, RTPROT_STATIC);
	}
	for (uint32_t i = 0; i < f->spec->nodes.n; i++)
		route_extra(&f->spec->nodes.v[i], b);
	return run(f->router, b, e);
}

static int turn_knobs(const struct fabric *f, struct err *e)
{
	int rc = netns_do(f->router, knobs_router, NULL, e);

	if (!rc)
		rc = netns_do(f->outside, knobs_host, NULL, e);
	for (unsigned r = 0; !rc && r < f->spec->racks; r++)
		rc = netns_do(f->racks[r], knobs_switch, NULL, e);
	for (uint32_t i = 0; !rc && i < f->spec->nodes.n; i++)
		rc = netns_do(f->nodes[i], knobs_host, NULL, e);
	return rc;
}

int fabric_build(const struct fabric *f, struct err *e)
{
	struct nl_batch b;
	int rc = turn_knobs(f, e);

	nl_batch_init(&b);
	for (unsigned r = 1; !rc && r <= f->spec->racks; r++)
		if ((rc = build_rack(f, r, &b, e)) != 0)
			err_wrap(e, "rack%u", r);
	if (!rc && (rc = build_router(f, &b, e)) != 0)
		err_wrap(e, "router");
	if (!rc && (rc = build_outside(f, &b, e)) != 0)
		err_wrap(e, "outside");
	for (uint32_t i = 0; !rc && i < f->spec->nodes.n; i++)
		if ((rc = build_node(f, i, &b, e)) != 0)
			err_wrap(e, "node %s", f->spec->nodes.v[i].name);
	nl_batch_fini(&b);
	return rc;
}
