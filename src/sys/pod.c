// SPDX-License-Identifier: Apache-2.0
/* pod: see pod.h.
 *
 * Order of making. One RTM_NEWLINK makes both ends, the pod's straight where it belongs; it must
 * not carry IFF_UP (ENOTCONN: its peer is not there yet). Then everything inside is one batch.
 *
 * A pod's sysctls are left alone: every namespace has its own /proc/sys/net of the same names, and
 * opening one costs the more, the more namespaces the machine has. Duplicate address detection is
 * kept off each address instead. The link-local one, which the kernel would make and test when
 * the link comes up, is there already. Only where the runtime disabled IPv6, as some do by
 * default, that is taken back.
 *
 * Retirement sets the pod's end down, which takes its routes and IPv6 addresses, and renames it
 * (which kernels before 6.2 allow only when down): a quarter of a millisecond. */
#include "sys/pod.h"
#include "sys/file.h"
#include "sys/netns.h"
#include "sys/rtnl_msg.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LO_INDEX 1

/* ---- the pair */

static void put_end(struct nlmsghdr *nlh, const char *name, const struct macaddr *mac, uint32_t mtu)
{
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(mac->b), mac->b);
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
}

static int put_pair(struct nl_batch *b, const struct pod_if *p, int netns, int master)
{
	struct nlmsghdr *nlh =
		nl_batch_add(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	struct nlattr *info, *data, *peer;
	struct ifinfomsg *ifm;

	if (!nlh)
		return -ENOMEM;
	ifm = mnl_nlmsg_get_payload(nlh);
	ifm->ifi_flags = ifm->ifi_change = IFF_UP;
	put_end(nlh, p->host, &p->host_mac, p->mtu);
	if (master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)master);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	put_end(nlh, p->name, &p->mac, p->mtu);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)netns);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return 0;
}

/* Port flags and alias are refused at creation; they follow by index. */
static int put_host_rest(struct nl_batch *b, const struct pod_if *p, int ifindex)
{
	struct nlmsghdr *nlh;

	if (p->master && p->isolated && rtnl_put_port(b, ifindex, true))
		return -ENOMEM;
	if (!p->alias)
		return 0;
	nlh = nl_batch_add(b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	if (!nlh)
		return -ENOMEM;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = ifindex;
	mnl_attr_put_strz(nlh, IFLA_IFALIAS, p->alias);
	return 0;
}

static int run(struct nl *nl, struct nl_batch *b, int rc, struct err *e)
{
	rc = rc ? err_sys(e, rc, "link") : nl_batch_run(nl, b, NULL, NULL, e);
	nl_batch_fini(b);
	return rc;
}

static int make_pair(struct nl *host, const struct pod_if *p, int netns, int *ifindex,
		     struct err *e)
{
	struct nl_batch b = { 0 };
	int master = 0, rc;

	if (p->master) {
		master = rtnl_ifindex(host, p->master, e);
		if (master < 0)
			return master;
	}
	rc = run(host, &b, put_pair(&b, p, netns, master), e);
	if (rc == -EEXIST && rtnl_ifindex(host, p->host, NULL) > 0)
		return err_set(e, rc, "link %s exists on the node", p->host);
	if (rc == -EEXIST)
		return err_set(e, rc, "link %s exists in the pod", p->name);
	if (rc) {
		err_wrap(e, "veth %s", p->host);
		return rc;
	}
	rc = rtnl_ifindex(host, p->host, e);
	if (rc < 0)
		return rc;
	*ifindex = rc;
	rc = run(host, &b, put_host_rest(&b, p, *ifindex), e);
	if (rc)
		err_wrap(e, "veth %s", p->host);
	return rc;
}

/* ---- inside */

enum ipv6_state { IPV6_ABSENT, IPV6_DISABLED, IPV6_ENABLED };

struct pod_end {
	int index;
	enum ipv6_state ipv6;
};

static const struct nlattr *nested(const struct nlattr *in, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, in)
	{
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

static int take_end(const struct nlattr *attr, void *arg)
{
	struct pod_end *end = arg;
	const struct nlattr *a = attr;
	int32_t disabled[DEVCONF_DISABLE_IPV6 + 1];

	if (mnl_attr_get_type(attr) != IFLA_AF_SPEC)
		return MNL_CB_OK;
	a = nested(attr, AF_INET6);
	a = a ? nested(a, IFLA_INET6_CONF) : NULL;
	if (!a || mnl_attr_get_payload_len(a) < sizeof(disabled))
		return MNL_CB_OK;
	memcpy(disabled, mnl_attr_get_payload(a), sizeof(disabled));
	end->ipv6 = disabled[DEVCONF_DISABLE_IPV6] ? IPV6_DISABLED : IPV6_ENABLED;
	return MNL_CB_OK;
}

static int read_end(struct nl *pod, const char *name, struct pod_end *out, struct err *e)
{
	struct pod_end end = { 0 };
	struct buf reply = { 0 };
	const struct nlmsghdr *nlh;
	size_t off = 0;
	int rc = rtnl_ask_link(pod, name, 0, &reply, e);

	if (!rc) {
		nlh = nl_walk(reply.v, reply.n, &off);
		if (nlh && nlh->nlmsg_type == RTM_NEWLINK &&
		    mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct ifinfomsg)) {
			end.index = ((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index;
			mnl_attr_parse(nlh, sizeof(struct ifinfomsg), take_end, &end);
			*out = end;
		} else {
			rc = err_set(e, -EBADMSG, "no link in the answer");
		}
	}
	if (rc)
		err_wrap(e, "in the pod: link %s", name);
	buf_fini(&reply);
	return rc;
}

/* Of all that is there and comes: `all` sets `default` and every device. */
static int enable_ipv6(void *arg, struct err *e)
{
	return sysctl_write("net/ipv6/conf/all/disable_ipv6", "0", e);
}

struct inside {
	const struct pod_if *p;
	unsigned first; /* requests before those of p->objs */
	struct err *e;
	int rc;
};

static void on_result(void *arg, unsigned i, int code, const char *text)
{
	struct inside *in = arg;
	char what[256] = "link up";

	if (!code || in->rc)
		return;
	if (i >= in->first)
		kobj_str(&in->p->objs[i - in->first], what, sizeof(what));
	in->rc = err_set(in->e, code, "in the pod: %s: %s", what, text[0] ? text : strerror(-code));
}

static int put_up(struct nl_batch *b, int ifindex)
{
	struct klink up = { .up = 1 }, down = { 0 };

	return rtnl_put_link_set(b, &up, &down, ifindex, 0);
}

static int put_link_local(struct nl_batch *b, const struct macaddr *mac, int ifindex)
{
	struct kaddr a = { .addr = { addr_eui64(mac), 64 }, .scope = RT_SCOPE_LINK, .nodad = 1 };

	return rtnl_put_addr(b, KOP_ADD, &a, ifindex);
}

/* All that hangs on the interface, in there: its own device is the only one it can name. */
static int put_obj(struct nl_batch *b, const struct kobj *o, int ifindex)
{
	switch ((enum kobj_type)o->type) {
	case KOBJ_ADDR:
		return rtnl_put_addr(b, KOP_ADD, &o->addr, ifindex);
	case KOBJ_ROUTE:
		return rtnl_put_route(b, KOP_ADD, &o->route, ifindex, NULL);
	case KOBJ_NEIGH:
		return rtnl_put_neigh(b, KOP_ADD, &o->neigh, ifindex);
	case KOBJ_NONE:
	case KOBJ_SYSCTL:
	case KOBJ_LINK:
	case KOBJ_FDB:
		break;
	}
	return -EINVAL;
}

static int configure(struct nl *pod, int netns, const struct pod_if *p, int *ifindex, struct err *e)
{
	struct inside in = { .p = p, .e = e };
	struct nl_batch b = { 0 };
	struct pod_end end = { 0 };
	int rc = read_end(pod, p->name, &end, e);

	if (!rc && end.ipv6 == IPV6_DISABLED)
		rc = netns_do(netns, enable_ipv6, NULL, e);
	if (rc)
		return rc;
	rc = put_up(&b, LO_INDEX);
	if (!rc && end.ipv6 != IPV6_ABSENT)
		rc = put_link_local(&b, &p->mac, end.index);
	if (!rc)
		rc = put_up(&b, end.index);
	in.first = b.n;
	for (size_t i = 0; !rc && i < p->nobjs; i++)
		rc = put_obj(&b, &p->objs[i], end.index);
	if (rc)
		err_sys(e, rc, "in the pod");
	else
		rc = nl_batch_run(pod, &b, on_result, &in, e);
	nl_batch_fini(&b);
	*ifindex = end.index;
	return rc ? rc : in.rc;
}

int pod_create(struct nl *host, int netns, const struct pod_if *p, struct pod_links *out,
	       struct err *e)
{
	struct nl *pod = nl_open_in(netns, NETLINK_ROUTE, e);
	struct pod_links made = { 0 };
	int rc;

	if (!pod)
		return e ? e->code : -EIO;
	rc = make_pair(host, p, netns, &made.host, e);
	if (!rc)
		rc = configure(pod, netns, p, &made.pod, e);
	if (rc && made.host)
		pod_reap(host, &made.host, 1, NULL);
	nl_close(pod);
	if (!rc)
		*out = made;
	return rc;
}

/* ---- reading back */

int pod_read(int netns, const char *name, struct klist *out, struct err *e)
{
	struct nl *nl = nl_open_in(netns, NETLINK_ROUTE, e);
	struct klist all = { 0 };
	bool found = !name;
	int rc;

	if (!nl)
		return e ? e->code : -EIO;
	rc = rtnl_dump(nl, RTNL(KOBJ_LINK) | RTNL(KOBJ_ADDR) | RTNL(KOBJ_ROUTE) | RTNL(KOBJ_NEIGH),
		       &all, e);
	nl_close(nl);
	for (size_t i = 0; !rc && i < all.n; i++) {
		if (name && strncmp(kobj_device(&all.v[i]), name, IFNAME_LEN) != 0)
			continue;
		found |= all.v[i].type == KOBJ_LINK;
		if (klist_add(out, &all.v[i]))
			rc = err_sys(e, -ENOMEM, "in the pod");
	}
	klist_fini(&all);
	if (!rc && !found)
		rc = err_set(e, -ENODEV, "in the pod: no link %s", name);
	return rc;
}

/* ---- its MTU */

static int set_mtu(struct nl *nl, const char *name, uint32_t mtu, struct err *e)
{
	struct klink want = { .mtu = mtu }, have = { 0 };
	struct nl_batch b = { 0 };
	int index, rc = rtnl_get_link(nl, name, 0, &have, &index, e);

	return rc ? rc : run(nl, &b, rtnl_put_link_set(&b, &want, &have, index, 0), e);
}

int pod_set_mtu(struct nl *host, int netns, const struct pod_if *p, uint32_t from, struct err *e)
{
	struct nl *pod = nl_open_in(netns, NETLINK_ROUTE, e);
	struct klink have = { 0 };
	int index, rc;

	if (!pod)
		return e ? e->code : -EIO;
	rc = rtnl_get_link(pod, p->name, 0, &have, &index, e);
	if (!rc && memcmp(&have.mac, &p->mac, sizeof(p->mac)) != 0)
		rc = err_set(e, -ENODEV, "link %s is another one", p->name);
	if (!rc && have.mtu == from) {
		bool grows = p->mtu > from;

		rc = grows ? set_mtu(host, p->host, p->mtu, e) : set_mtu(pod, p->name, p->mtu, e);
		if (!rc)
			rc = grows ? set_mtu(pod, p->name, p->mtu, e)
				   : set_mtu(host, p->host, p->mtu, e);
	}
	nl_close(pod);
	return rc;
}

/* ---- the end */

static int put_rename(struct nl_batch *b, int ifindex)
{
	struct nlmsghdr *nlh = nl_batch_add(b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	char name[IFNAME_LEN];

	if (!nlh)
		return -ENOMEM;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = ifindex;
	snprintf(name, sizeof(name), "dying%d", ifindex);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return 0;
}

static int put_down(struct nl_batch *b, int ifindex)
{
	struct nlmsghdr *nlh = nl_batch_add(b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifm;

	if (!nlh)
		return -ENOMEM;
	ifm = mnl_nlmsg_get_payload(nlh);
	ifm->ifi_index = ifindex;
	ifm->ifi_change = IFF_UP;
	return 0;
}

static int retire(struct nl *nl, int ifindex, struct err *e)
{
	struct nl_batch b = { 0 };
	int rc = put_down(&b, ifindex);

	if (!rc)
		rc = put_rename(&b, ifindex);
	return run(nl, &b, rc, e);
}

int pod_retire(int netns, const char *name, int ifindex, struct err *e)
{
	struct nl *nl = nl_open_in(netns, NETLINK_ROUTE, e);
	struct err why = { 0 };
	int rc = 0;

	if (!nl)
		return e ? e->code : -EIO;
	if (!ifindex)
		rc = ifindex = rtnl_ifindex(nl, name, &why);
	if (rc >= 0)
		rc = retire(nl, ifindex, &why);
	nl_close(nl);
	return rc && rc != -ENODEV ? err_set(e, rc, "in the pod: %s", why.text) : 0;
}

int pod_reap(struct nl *host, const int *ifindex, size_t n, struct err *e)
{
	return rtnl_delete_links(host, ifindex, n, e);
}
