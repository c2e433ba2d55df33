// SPDX-License-Identifier: Apache-2.0
/* rtnl_reap: removing many links; see rtnl.h. RTM_DELLINK waits for RCU grace periods, 10 to 40 ms,
 * whether one device goes or a hundred. So they are put in a device group that nobody else uses,
 * and the group is deleted. Most of that wait is outside of the rtnl lock, but taking the devices
 * apart is inside: a hundred at once lock everybody else out for 10 to 160 ms, eight for one to
 * ten. */
#include "sys/rtnl.h"
#include "sys/rtnl_msg.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define DYING_GROUP 0x666c6472 /* "fldr" */

static int put_group(struct nl_batch *b, uint16_t type, int ifindex)
{
	struct nlmsghdr *nlh = nl_batch_add(b, type, 0, sizeof(struct ifinfomsg));

	if (!nlh)
		return -ENOMEM;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = ifindex;
	mnl_attr_put_u32(nlh, IFLA_GROUP, DYING_GROUP);
	return 0;
}

struct reaping {
	struct err *e;
	int rc;
};

static void on_reaped(void *arg, unsigned i, int code, const char *text)
{
	struct reaping *r = arg;

	if (code && code != -ENODEV && !r->rc)
		r->rc = err_set(r->e, code, "remove links: %s", text[0] ? text : strerror(-code));
}

static int put_some(struct nl_batch *b, const int *ifindex, size_t n)
{
	int rc = 0;

	if (n == 1)
		return rtnl_put_link_del(b, ifindex[0]);
	for (size_t i = 0; !rc && i < n; i++)
		rc = put_group(b, RTM_NEWLINK, ifindex[i]);
	return rc ? rc : put_group(b, RTM_DELLINK, 0);
}

int rtnl_delete_links(struct nl *nl, const int *ifindex, size_t n, struct err *e)
{
	struct reaping r = { e, 0 };
	struct nl_batch b = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i += RTNL_LINKS_AT_ONCE)
		rc = put_some(&b, ifindex + i,
			      n - i < RTNL_LINKS_AT_ONCE ? n - i : RTNL_LINKS_AT_ONCE);
	if (rc)
		err_sys(e, rc, "remove links");
	else
		rc = nl_batch_run(nl, &b, on_reaped, &r, e);
	nl_batch_fini(&b);
	return rc ? rc : r.rc;
}
