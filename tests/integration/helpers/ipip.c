/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the programs of IP-in-IP (sys/ipip.h) on tunl0 and an uplink of its network namespace, and leaves them there:
 *
 *     ipip UPLINK OWN-ADDRESS NODE...
 *
 * `ipip driver` prints whether the kernel has the driver: "driver 0" or "driver 1". */
#include "sys/ipip.h"
#include "sys/rtnl.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int fail(const struct err *e)
{
	fprintf(stderr, "%s\n", e->text);
	return 1;
}

static int attach(struct nl *nl, char **argv, struct err *e)
{
	struct ipip_ends ends = { .uplink = rtnl_ifindex(nl, argv[1], e) };
	struct klist links = { 0 };
	struct ipip *p = NULL;
	struct ipaddr node;
	int rc = ends.uplink < 0 ? ends.uplink : rtnl_dump(nl, RTNL(KOBJ_LINK), &links, e);

	for (size_t i = 0; i < links.n; i++)
		if (!strcmp(links.v[i].link.name, "tunl0"))
			ends.mac = links.v[i].link.mac;
	klist_fini(&links);
	if (!rc && (ends.tunnel = rtnl_ifindex(nl, "tunl0", e)) < 0)
		rc = ends.tunnel;
	if (!rc && addr_parse(argv[2], &ends.node))
		rc = err_set(e, -22, "%s: no address", argv[2]);
	rc = rc ?: ipip_open(&p, e);
	rc = rc ?: ipip_set(p, &ends, e);
	for (char **arg = argv + 3; !rc && *arg; arg++)
		rc = addr_parse(*arg, &node) ? err_set(e, -22, "%s: no address", *arg)
					     : ipip_node(p, &node, true, e);
	rc = rc ?: ipip_attach(p, nl, IPIP_ON_TUNNEL, ends.tunnel, e);
	rc = rc ?: ipip_attach(p, nl, IPIP_ON_UPLINK, ends.uplink, e);
	ipip_close(p);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e;
	struct nl *nl = nl_open(NETLINK_ROUTE, &e);
	int rc;

	if (!nl)
		return fail(&e);
	if (argc == 2 && !strcmp(argv[1], "driver")) {
		rc = rtnl_has_ipip(nl, &e);
		if (rc >= 0)
			printf("driver %d\n", rc);
	} else {
		rc = argc < 4 ? err_set(&e, -22, "usage: ipip UPLINK OWN-ADDRESS NODE...")
			      : attach(nl, argv, &e);
	}
	nl_close(nl);
	return rc < 0 ? fail(&e) : 0;
}
