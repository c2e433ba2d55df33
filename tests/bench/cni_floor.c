/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under ADD and DEL: what they do in the kernel, by one process that does nothing else.
 * No exec, no socket, no journal, no nftables; an address is simply the next one.
 *
 *   cni_floor NETNS…        in the node's namespace; prints "ADD NANOSECONDS", "DEL NANOSECONDS" each */
#include "sys/clock.h"
#include "sys/netns.h"
#include "sys/pod.h"

#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PODS_MAX 4096

static void check(int rc, const struct err *e)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "cni_floor: %s\n", e->text);
	exit(1);
}

struct floor {
	struct nl *nl;
	int links[PODS_MAX];
};

static struct kobj host_route(int i, const char *dev)
{
	struct kobj o = { .type = KOBJ_ROUTE };
	uint8_t b[4] = { 10, 255, (uint8_t)(i >> 8), (uint8_t)i };

	o.route = (struct kroute){ .dst = { { .family = AF_INET }, 32 },
				   .scope = RT_SCOPE_LINK,
				   .protocol = RTPROT_FAIRLEAD };
	memcpy(o.route.dst.addr.b, b, sizeof(b));
	snprintf(o.route.oif, sizeof(o.route.oif), "%s", dev);
	return o;
}

/* What the agent's plan has inside a pod with one IPv4 address. */
static void inside(int i, const struct macaddr *gw_mac, struct kobj v[4])
{
	static const uint8_t gw[4] = { 169, 254, 1, 1 };
	struct ipaddr via = { .family = AF_INET };

	memcpy(via.b, gw, sizeof(gw));
	memset(v, 0, 4 * sizeof(*v));
	v[0].type = KOBJ_ADDR;
	v[0].addr.addr = host_route(i, "").route.dst;
	v[1].type = KOBJ_NEIGH;
	v[1].neigh.addr = via;
	v[1].neigh.mac = *gw_mac;
	v[2].type = KOBJ_ROUTE;
	v[2].route = (struct kroute){ .dst = { via, 32 },
				      .scope = RT_SCOPE_LINK,
				      .protocol = RTPROT_BOOT };
	v[3].type = KOBJ_ROUTE;
	v[3].route = (struct kroute){ .via = via, .onlink = 1, .protocol = RTPROT_BOOT };
	v[3].route.dst.addr.family = AF_INET;
}

static void host_name(int i, char name[IFNAME_LEN])
{
	snprintf(name, IFNAME_LEN, "floor%d", i);
}

static void apply_route(struct nl *nl, int i, enum kop_verb verb)
{
	char name[IFNAME_LEN];
	struct kobj o;
	struct kop op = { verb, &o };
	struct err e;

	host_name(i, name);
	o = host_route(i, name);
	check(rtnl_apply(nl, &op, 1, NULL, &e), &e);
}

static void add(struct floor *f, int i, const char *path)
{
	char name[IFNAME_LEN];
	struct kobj objs[4];
	struct pod_if p = { .host = name,
			    .name = "eth0",
			    .host_mac = { { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee } },
			    .mac = { { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i } },
			    .mtu = 1500,
			    .objs = objs,
			    .nobjs = 4 };
	struct pod_links made;
	struct err e;
	int netns = netns_open(path, &e);

	check(netns, &e);
	host_name(i, name);
	inside(i, &p.host_mac, objs);
	check(pod_create(f->nl, netns, &p, &made, &e), &e);
	apply_route(f->nl, i, KOP_ADD);
	f->links[i] = made.host;
	close(netns);
}

static void del(struct floor *f, int i, const char *path)
{
	struct err e;
	int netns = netns_open(path, &e);

	check(netns, &e);
	apply_route(f->nl, i, KOP_DELETE);
	check(pod_retire(netns, "eth0", 0, &e), &e);
	close(netns);
}

int main(int argc, char **argv)
{
	static struct floor f;
	int n = argc - 1;
	struct err e;

	f.nl = nl_open(NETLINK_ROUTE, &e);
	if (!f.nl || n < 1 || n > PODS_MAX) {
		fprintf(stderr, "cni_floor: %s\n", f.nl ? "usage: cni_floor NETNS..." : e.text);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		uint64_t begun = clock_mono_ns();

		add(&f, i, argv[i + 1]);
		printf("ADD %llu\n", (unsigned long long)(clock_mono_ns() - begun));
	}
	for (int i = 0; i < n; i++) {
		uint64_t begun = clock_mono_ns();

		del(&f, i, argv[i + 1]);
		printf("DEL %llu\n", (unsigned long long)(clock_mono_ns() - begun));
	}
	check(pod_reap(f.nl, f.links, (size_t)n, &e), &e);
	nl_close(f.nl);
	return 0;
}
