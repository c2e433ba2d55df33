// SPDX-License-Identifier: Apache-2.0
/* rtnl_route: which route the kernel takes, by its own lookup; rtnetlink(7), RTM_F_FIB_MATCH (Linux 4.20):
 * the answer is the entry that matched, not what comes of it for one destination. */
#include "sys/nlattr.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static void put_addr(struct nlmsghdr *h, uint16_t type, const struct ipaddr *a)
{
	if (a->family)
		mnl_attr_put(h, type, addr_len(a), a->b);
}

static int decode(const struct nlmsghdr *m, struct rtnl_route *out)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(m);
	struct rtnl_route r = { .type = 0 };
	struct nla t, metrics;

	if (m->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(m) < sizeof(*rt))
		return -EBADMSG;
	t = nla_of(m, sizeof(*rt));
	metrics = nla_in(&t, RTA_METRICS);
	r.type = rt->rtm_type;
	r.protocol = rt->rtm_protocol;
	r.table = t.v[RTA_TABLE] ? nla_u32(&t, RTA_TABLE) : rt->rtm_table;
	r.prefix.addr.family = rt->rtm_family;
	r.prefix.len = rt->rtm_dst_len;
	nla_addr(&t, RTA_DST, rt->rtm_family, &r.prefix.addr); /* absent: the default route */
	nla_addr(&t, RTA_GATEWAY, rt->rtm_family, &r.via);
	nla_addr(&t, RTA_PREFSRC, rt->rtm_family, &r.source);
	r.oif = nla_u32(&t, RTA_OIF);
	r.mtu = nla_u32(&metrics, RTAX_MTU);
	*out = r;
	return 0;
}

int rtnl_route_match(struct nl *nl, const struct rtnl_route_ask *ask, struct rtnl_route *out,
		     struct err *e)
{
	const struct nlmsghdr *m;
	struct buf reply = { 0 };
	struct nl_batch b;
	struct nlmsghdr *h;
	struct rtmsg *rt;
	size_t off = 0;
	int rc;

	nl_batch_init(&b);
	h = nl_batch_add(&b, RTM_GETROUTE, 0, sizeof(*rt));
	if (!h) {
		nl_batch_fini(&b);
		return err_set(e, -ENOMEM, "no memory");
	}
	rt = mnl_nlmsg_get_payload(h);
	rt->rtm_family = ask->dst.family;
	rt->rtm_dst_len = addr_bits(&ask->dst);
	rt->rtm_src_len = ask->src.family ? addr_bits(&ask->src) : 0;
	rt->rtm_flags = RTM_F_FIB_MATCH;
	put_addr(h, RTA_DST, &ask->dst);
	put_addr(h, RTA_SRC, &ask->src);
	if (ask->iif)
		mnl_attr_put_u32(h, RTA_IIF, ask->iif);
	if (ask->mark)
		mnl_attr_put_u32(h, RTA_MARK, ask->mark);
	rc = nl_talk(nl, &b, &reply, e);
	m = rc ? NULL : nl_walk(reply.v, reply.n, &off);
	if (!rc && (!m || decode(m, out)))
		rc = err_set(e, -EBADMSG, "route: the kernel's answer is none");
	buf_fini(&reply);
	nl_batch_fini(&b);
	return rc;
}

int rtnl_learn_names(struct nl *nl, struct ifnames *names, struct err *e)
{
	const struct nlmsghdr *m;
	struct buf reply = { 0 };
	struct nl_batch b;
	struct kobj none;
	size_t off = 0;
	int index, rc = 0;

	nl_batch_init(&b);
	if (!nl_batch_add(&b, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg)))
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc)
		rc = nl_talk(nl, &b, &reply, e);
	while (!rc && (m = nl_walk(reply.v, reply.n, &off)))
		if (rtnl_decode(names, m, &none, &index) < 0)
			rc = err_set(e, -ENOMEM, "no memory");
	buf_fini(&reply);
	nl_batch_fini(&b);
	return rc;
}
