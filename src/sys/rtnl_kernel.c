// SPDX-License-Identifier: Apache-2.0
/* rtnl_kernel: is this kernel new enough? See rtnl.h. Asked of the kernel, not of its version, as
 * distributions carry features back. Linux 5.18 brought IFA_PROTO, the last of the marks; an older
 * kernel takes the attribute in silence and forgets it, and then every address of ours would read
 * as somebody else's: never repaired, never taken back. */
#include "sys/netns.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
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

/* The kind is looked up, and its module loaded, before the rest is judged. */
int rtnl_has_ipip(struct nl *nl, struct err *e)
{
	struct nl_batch b = { 0 };
	struct nlmsghdr *nlh =
		nl_batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	struct nlattr *info, *data;
	int rc;

	if (!nlh) {
		nl_batch_fini(&b);
		return err_sys(e, -ENOMEM, "ipip");
	}
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "ipip");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u8(nlh, IFLA_IPTUN_PROTO, IPPROTO_UDP); /* which it does not carry */
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	rc = nl_batch_run(nl, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	return rc == -EINVAL ? 1 : rc == -EOPNOTSUPP ? 0 : rc ? rc : err_set(e, -EPROTO, "ipip");
}
