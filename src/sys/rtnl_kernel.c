// SPDX-License-Identifier: Apache-2.0
/* rtnl_kernel: is this kernel new enough? See rtnl.h. Asked of the kernel, not of its version, as
 * distributions carry features back. Linux 5.18 brought IFA_PROTO, the last of the marks; an older
 * kernel takes the attribute in silence and forgets it, and then every address of ours would read
 * as somebody else's: never repaired, never taken back. */
#include "sys/netns.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int rtnl_keeps_mark(struct nl *nl, const struct kobj *addr, struct err *e)
{
	struct klist have = { 0 };
	int rc = rtnl_dump(nl, RTNL(KOBJ_ADDR), &have, e);
	bool kept = false;

	for (size_t i = 0; i < have.n; i++)
		kept |= !kobj_cmp(&have.v[i], addr) && !have.v[i].foreign;
	klist_fini(&have);
	if (!rc && !kept)
		rc = err_set(e, -EOPNOTSUPP,
			     "this kernel does not keep whose an address is (IFA_PROTO): "
			     "Linux 5.18 or newer is needed");
	return rc;
}

static int probe(struct nl *nl, struct err *e)
{
	struct kobj addr = { .type = KOBJ_ADDR,
			     .addr = { .ifname = "lo",
				       .addr = { { .family = AF_INET, .b = { 127, 0, 0, 2 } },
						 32 } } };
	struct kop make = { .verb = KOP_ADD, .obj = &addr };
	int rc = rtnl_apply(nl, &make, 1, NULL, e);

	return rc ? rc : rtnl_keeps_mark(nl, &addr, e);
}

int rtnl_check_kernel(struct err *e)
{
	int netns = netns_new(e), rc;
	struct nl *nl;

	if (netns < 0)
		return netns;
	nl = nl_open_in(netns, NETLINK_ROUTE, e);
	rc = nl ? probe(nl, e) : -EIO;
	nl_close(nl);
	close(netns);
	return rc;
}
