// SPDX-License-Identifier: Apache-2.0
/* rtnl_monitor: notices of change; see rtnl.h. The socket joins its groups before the names are
 * read, so that no device slips through between. When the kernel dropped notices the names are
 * read anew too. */
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

struct rtnl_monitor {
	struct nl *nl;
	struct ifnames *names;
	unsigned what;
	uint32_t *own;
	size_t nown;
	rtnl_notice_fn fn; /* of the read that is under way */
	void *arg;
};

static int read_names(struct rtnl_monitor *m, struct err *e)
{
	struct nl_batch b = { 0 };
	struct buf reply = { 0 };
	const struct nlmsghdr *nlh;
	struct nlmsghdr *req = nl_batch_add(&b, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	struct nl *nl = nl_open(NETLINK_ROUTE, e); /* dumps and notices do not mix on one */
	size_t off = 0;
	struct kobj o;
	int index, rc;

	if (!nl) {
		nl_batch_fini(&b);
		return e ? e->code : -EIO;
	}
	if (req)
		mnl_attr_put_u32(req, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	rc = nl_talk(nl, &b, &reply, e);
	while (!rc && (nlh = nl_walk(reply.v, reply.n, &off)))
		rtnl_decode(m->names, nlh, &o, &index);
	nl_close(nl);
	nl_batch_fini(&b);
	buf_fini(&reply);
	return rc;
}

static int join_groups(struct rtnl_monitor *m, struct err *e)
{
	static const struct {
		unsigned what, group;
	} groups[] = {
		{ 0, RTNLGRP_LINK }, /* always: names */
		{ RTNL(KOBJ_ADDR), RTNLGRP_IPV4_IFADDR },
		{ RTNL(KOBJ_ADDR), RTNLGRP_IPV6_IFADDR },
		{ RTNL(KOBJ_ROUTE), RTNLGRP_IPV4_ROUTE },
		{ RTNL(KOBJ_ROUTE), RTNLGRP_IPV6_ROUTE },
		{ RTNL(KOBJ_NEIGH) | RTNL(KOBJ_FDB), RTNLGRP_NEIGH },
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(groups) / sizeof(groups[0]); i++)
		if (!groups[i].what || (m->what & groups[i].what))
			rc = nl_join(m->nl, groups[i].group, e);
	return rc;
}

struct rtnl_monitor *rtnl_monitor_open(unsigned what, const uint32_t *own, size_t n, struct err *e)
{
	struct rtnl_monitor *m = calloc(1, sizeof(*m));

	if (!m || !(m->names = ifnames_new()) || !(m->own = calloc(n ? n : 1, sizeof(*own)))) {
		rtnl_monitor_close(m);
		err_sys(e, -ENOMEM, "netlink monitor");
		return NULL;
	}
	m->what = what;
	if (n)
		memcpy(m->own, own, n * sizeof(*own));
	m->nown = n;
	m->nl = nl_open(NETLINK_ROUTE, e);
	if (!m->nl || join_groups(m, e) || read_names(m, e)) {
		rtnl_monitor_close(m);
		return NULL;
	}
	return m;
}

void rtnl_monitor_close(struct rtnl_monitor *m)
{
	if (!m)
		return;
	nl_close(m->nl);
	ifnames_free(m->names);
	free(m->own);
	free(m);
}

int rtnl_monitor_fd(const struct rtnl_monitor *m)
{
	return nl_fd(m->nl);
}

static void on_message(void *arg, const struct nlmsghdr *nlh)
{
	struct rtnl_monitor *m = arg;
	struct rtnl_notice n = { .kernel = nlh->nlmsg_pid == 0 };

	if (rtnl_decode(m->names, nlh, &n.obj, &n.ifindex) <= 0 || !(m->what & RTNL(n.obj.type)))
		return;
	n.deleted = nlh->nlmsg_type == RTM_DELLINK || nlh->nlmsg_type == RTM_DELADDR ||
		    nlh->nlmsg_type == RTM_DELROUTE || nlh->nlmsg_type == RTM_DELNEIGH;
	for (size_t i = 0; i < m->nown; i++)
		n.ours |= nlh->nlmsg_pid == m->own[i];
	m->fn(m->arg, &n);
}

int rtnl_monitor_read(struct rtnl_monitor *m, rtnl_notice_fn fn, void *arg, bool *lost,
		      struct err *e)
{
	bool dropped = false;
	int rc;

	m->fn = fn;
	m->arg = arg;
	rc = nl_notices(m->nl, on_message, m, &dropped, e);
	if (!rc && dropped)
		rc = read_names(m, e);
	if (dropped)
		*lost = true;
	return rc;
}
