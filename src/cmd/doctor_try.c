// SPDX-License-Identifier: Apache-2.0
/* doctor_try: can this kernel do what fairlead asks of it? Told by doing it, in a network
 * namespace that goes away with its descriptor; and how large a packet the way to a peer takes. */
#include "cmd/doctor.h"
#include "core/nft/build.h"
#include "core/nft/diff.h"
#include "core/route/mtu.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int try_link(int netns, uint8_t kind)
{
	struct kobj o = { .type = KOBJ_LINK,
			  .link = { .name = "try0",
				    .kind = kind,
				    .vni = ROUTE_VXLAN_VNI,
				    .vxlan_port = ROUTE_VXLAN_PORT } };
	struct kop op = { KOP_ADD, &o };
	struct err e;
	struct nl *nl = nl_open_in(netns, NETLINK_ROUTE, &e);
	int rc = nl ? rtnl_apply(nl, &op, 1, NULL, &e) : 1;

	if (!rc) {
		op.verb = KOP_DELETE;
		rtnl_apply(nl, &op, 1, NULL, &e);
	}
	nl_close(nl);
	return rc;
}

static int load_rules(void *arg, struct err *e)
{
	struct nft_input none = { 0 };
	struct nft_ruleset want, have;
	struct nft_diff d = { 0 };
	struct nfnl *nl = NULL;
	struct arena a;
	int rc;

	arena_init(&a, 0);
	nft_ruleset_init(&want, &a);
	nft_ruleset_init(&have, &a);
	rc = nft_build(&want, &none, e);
	if (!rc)
		rc = nft_diff(&d, &want, &have, &a, e);
	if (!rc)
		rc = nfnl_open(&nl, e);
	if (!rc)
		rc = nfnl_commit(nl, &d.ops, NULL, e);
	nfnl_close(nl);
	arena_fini(&a);
	return rc;
}

/* One packet as large as the uplink takes, to the tunnel's port, where it means nothing. Whoever
 * on the way cannot pass it on says so (RFC 1191, RFC 8201). */
static int send_full(const struct ipaddr *ip, uint32_t mtu)
{
	bool v4 = ip->family == AF_INET;
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(ROUTE_VXLAN_PORT) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(ROUTE_VXLAN_PORT) };
	int fd = socket(ip->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int strict = v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
	size_t n = mtu - (v4 ? 28 : 48);
	void *bytes = calloc(1, n);

	memcpy(&a4.sin_addr, ip->b, sizeof(a4.sin_addr));
	memcpy(&a6.sin6_addr, ip->b, sizeof(a6.sin6_addr));
	if (fd < 0 || !bytes ||
	    setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
		       &strict, sizeof(strict)) ||
	    connect(fd, v4 ? (void *)&a4 : (void *)&a6, v4 ? sizeof(a4) : sizeof(a6)) ||
	    (send(fd, bytes, n, 0) < 0 && errno != EMSGSIZE)) {
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	free(bytes);
	return fd;
}

static uint32_t known_mtu(int fd, const struct ipaddr *ip)
{
	bool v4 = ip->family == AF_INET;
	socklen_t n = sizeof(int);
	int mtu = 0;

	if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &n))
		return 0;
	return (uint32_t)mtu;
}

#define PATHS   64
#define WAIT_MS 200

static void try_paths(struct doctor_facts *f)
{
	int fds[PATHS];

	for (uint32_t i = 0; i < f->peers.n; i++)
		fds[i] = send_full(&f->peers.v[i].ip, f->uplink.mtu);
	if (f->peers.n)
		poll(NULL, 0, WAIT_MS);
	for (uint32_t i = 0; i < f->peers.n; i++) {
		if (fds[i] < 0)
			continue;
		f->peers.v[i].path_mtu = known_mtu(fds[i], &f->peers.v[i].ip);
		close(fds[i]);
	}
}

void doctor_try(struct doctor_facts *f)
{
	struct err e;
	int netns = netns_new(&e);

	f->try_bridge = f->try_vxlan = f->try_nft = 1;
	if (netns >= 0) {
		f->try_bridge = try_link(netns, KLINK_BRIDGE);
		f->try_vxlan = try_link(netns, KLINK_VXLAN);
		f->try_nft = netns_do(netns, load_rules, NULL, &e);
		close(netns);
	}
	if (f->peers.n > PATHS)
		f->peers.n = PATHS;
	if (f->uplink.mtu > MTU_MIN_V6)
		try_paths(f);
}
