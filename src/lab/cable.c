// SPDX-License-Identifier: Apache-2.0
/* cable: see cable.h. */
#include "lab/cable.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define MAKE (NLM_F_CREATE | NLM_F_EXCL)

static struct nlmsghdr *link_msg(struct nl_batch *b, uint16_t flags, int index, unsigned up)
{
	struct nlmsghdr *nlh = nl_batch_add(b, RTM_NEWLINK, flags, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifm;

	if (!nlh)
		return NULL;
	ifm = mnl_nlmsg_get_payload(nlh);
	ifm->ifi_index = index;
	ifm->ifi_flags = up;
	ifm->ifi_change = up;
	return nlh;
}

static void put_end(struct nlmsghdr *nlh, const struct cable_end *end, uint32_t mtu)
{
	mnl_attr_put_strz(nlh, IFLA_IFNAME, end->name);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(end->mac.b), end->mac.b);
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
}

void cable_put_veth(struct nl_batch *b, const struct cable *w)
{
	struct nlmsghdr *nlh = link_msg(b, MAKE, w->near.index, IFF_UP);
	struct nlattr *info, *data, *peer;
	struct ifinfomsg *ifm;

	if (!nlh)
		return;
	put_end(nlh, &w->near, w->mtu);
	if (w->master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)w->master);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_index = w->far.index; /* never up here: the driver refuses without its peer */
	put_end(nlh, &w->far, w->mtu);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)w->netns);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
}

void cable_put_bridge(struct nl_batch *b, const char *name, int index, uint32_t mtu)
{
	struct nlmsghdr *nlh = link_msg(b, MAKE, index, IFF_UP);
	struct nlattr *info;

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(nlh, info);
}

void cable_put_up(struct nl_batch *b, int index)
{
	link_msg(b, 0, index, IFF_UP);
}

static void addr_msg(struct nl_batch *b, uint16_t type, uint16_t flags, int index,
		     const struct prefix *p)
{
	struct nlmsghdr *nlh = nl_batch_add(b, type, flags, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *ifa;

	if (!nlh)
		return;
	ifa = mnl_nlmsg_get_payload(nlh);
	ifa->ifa_family = p->addr.family;
	ifa->ifa_prefixlen = p->len;
	ifa->ifa_flags = p->addr.family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_index = (uint32_t)index;
	mnl_attr_put(nlh, IFA_LOCAL, addr_len(&p->addr), p->addr.b);
	mnl_attr_put(nlh, IFA_ADDRESS, addr_len(&p->addr), p->addr.b);
}

void cable_put_addr(struct nl_batch *b, int index, const struct prefix *p)
{
	addr_msg(b, RTM_NEWADDR, MAKE, index, p);
}

void cable_del_addr(struct nl_batch *b, int index, const struct prefix *p)
{
	addr_msg(b, RTM_DELADDR, 0, index, p);
}

static struct nlmsghdr *route_msg(struct nl_batch *b, uint16_t type, uint16_t flags, uint8_t family,
				  const struct prefix *dst)
{
	struct nlmsghdr *nlh = nl_batch_add(b, type, flags, sizeof(struct rtmsg));
	struct rtmsg *rtm;

	if (!nlh)
		return NULL;
	rtm = mnl_nlmsg_get_payload(nlh);
	rtm->rtm_family = family;
	rtm->rtm_dst_len = dst ? dst->len : 0;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	if (dst && dst->len)
		mnl_attr_put(nlh, RTA_DST, addr_len(&dst->addr), dst->addr.b);
	return nlh;
}

void cable_put_route(struct nl_batch *b, int index, const struct prefix *dst,
		     const struct ipaddr *via, uint8_t protocol)
{
	uint16_t flags = protocol == CABLE_PODS ? NLM_F_CREATE | NLM_F_REPLACE : MAKE;
	struct nlmsghdr *nlh = route_msg(b, RTM_NEWROUTE, flags, via->family, dst);

	if (!nlh)
		return;
	((struct rtmsg *)mnl_nlmsg_get_payload(nlh))->rtm_protocol = protocol;
	mnl_attr_put(nlh, RTA_GATEWAY, addr_len(via), via->b);
	if (index)
		mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)index);
}

void cable_del_route(struct nl_batch *b, const struct prefix *dst)
{
	struct nlmsghdr *nlh = route_msg(b, RTM_DELROUTE, 0, dst->addr.family, dst);

	if (nlh)
		((struct rtmsg *)mnl_nlmsg_get_payload(nlh))->rtm_protocol = CABLE_PODS;
}
