// SPDX-License-Identifier: Apache-2.0
/* rtnl_msg: see rtnl_msg.h.
 *
 * Routes: ADD is exclusive, because a route of the same key may be somebody else's; CHANGE replaces.
 * A deletion names key and our protocol, so that it cannot hit a foreign route, and no next hop, so that
 * all of them go (of an IPv6 route each could go alone). Addresses, neighbours and
 * entries live on devices that are ours or by keys that are ours, and are always brought into the
 * wanted state. */
#include "sys/rtnl_msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define IP6_DEFAULT_METRIC 1024

static void put_addr(struct nlmsghdr *nlh, uint16_t type, const struct ipaddr *a)
{
	mnl_attr_put(nlh, type, addr_len(a), a->b);
}

int rtnl_put_addr(struct nl_batch *b, enum kop_verb verb, const struct kaddr *a, int ifindex)
{
	const struct ifa_cacheinfo shy = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
	bool del = verb == KOP_DELETE;
	struct nlmsghdr *nlh =
		nl_batch_add(b, del ? RTM_DELADDR : RTM_NEWADDR,
			     del ? 0 : NLM_F_CREATE | NLM_F_REPLACE, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *ifa;

	if (!nlh)
		return -ENOMEM;
	ifa = mnl_nlmsg_get_payload(nlh);
	ifa->ifa_family = a->addr.addr.family;
	ifa->ifa_prefixlen = a->addr.len;
	ifa->ifa_scope = a->scope;
	ifa->ifa_index = (uint32_t)ifindex;
	put_addr(nlh, IFA_LOCAL, &a->addr.addr);
	put_addr(nlh, IFA_ADDRESS, &a->addr.addr);
	if (del)
		return 0;
	mnl_attr_put_u32(nlh, IFA_FLAGS,
			 (a->noprefixroute ? IFA_F_NOPREFIXROUTE : 0) |
				 (a->nodad ? IFA_F_NODAD : 0));
	mnl_attr_put_u8(nlh, IFA_PROTO, RTPROT_FAIRLEAD);
	if (a->deprecated)
		mnl_attr_put(nlh, IFA_CACHEINFO, sizeof(shy), &shy);
	return 0;
}

static uint8_t rtn_type(const struct kroute *r)
{
	switch ((enum kroute_type)r->type) {
	case KROUTE_UNICAST:
		return RTN_UNICAST;
	case KROUTE_BLACKHOLE:
		return RTN_BLACKHOLE;
	case KROUTE_UNREACHABLE:
		return RTN_UNREACHABLE;
	}
	return RTN_UNSPEC;
}

static void put_via(struct nlmsghdr *nlh, uint8_t family, const struct ipaddr *a)
{
	struct {
		uint16_t family;
		uint8_t addr[16];
	} via = { .family = a->family };

	if (!a->family)
		return;
	if (a->family == family) {
		put_addr(nlh, RTA_GATEWAY, a);
		return;
	}
	memcpy(via.addr, a->b, addr_len(a));
	mnl_attr_put(nlh, RTA_VIA, sizeof(via.family) + addr_len(a), &via);
}

/* struct rtnexthop is no attribute but has its attributes behind it (rtnetlink(7)). */
static void put_hop(struct nlmsghdr *nlh, uint8_t family, const struct khop *h, int ifindex)
{
	struct rtnexthop *nh = mnl_nlmsg_get_payload_tail(nlh);

	*nh = (struct rtnexthop){ .rtnh_flags = h->onlink ? RTNH_F_ONLINK : 0,
				  .rtnh_ifindex = ifindex };
	nlh->nlmsg_len += sizeof(*nh);
	put_via(nlh, family, &h->via);
	nh->rtnh_len = (uint16_t)((char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)nh);
}

static void put_hops(struct nlmsghdr *nlh, const struct kroute *r, int ifindex, const int *more)
{
	struct nlattr *all = mnl_attr_nest_start(nlh, RTA_MULTIPATH);
	struct khop first = { .via = r->via, .onlink = r->onlink };

	put_hop(nlh, r->dst.addr.family, &first, ifindex);
	for (unsigned i = 0; i < r->n_more; i++)
		put_hop(nlh, r->dst.addr.family, &r->more[i], more[i]);
	mnl_attr_nest_end(nlh, all);
}

int rtnl_put_route(struct nl_batch *b, enum kop_verb verb, const struct kroute *r, int ifindex,
		   const int *more)
{
	static const uint16_t flags[] = { [KOP_ADD] = NLM_F_CREATE | NLM_F_EXCL,
					  [KOP_CHANGE] = NLM_F_CREATE | NLM_F_REPLACE,
					  [KOP_DELETE] = 0 };
	struct nlmsghdr *nlh = nl_batch_add(b, verb == KOP_DELETE ? RTM_DELROUTE : RTM_NEWROUTE,
					    flags[verb], sizeof(struct rtmsg));
	uint32_t metric = r->metric;
	struct nlattr *nest;
	struct rtmsg *rtm;

	if (!nlh)
		return -ENOMEM;
	rtm = mnl_nlmsg_get_payload(nlh);
	rtm->rtm_family = r->dst.addr.family;
	rtm->rtm_dst_len = r->dst.len;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = r->protocol;
	rtm->rtm_type = rtn_type(r);
	rtm->rtm_scope = verb == KOP_DELETE ? RT_SCOPE_NOWHERE : r->scope;
	put_addr(nlh, RTA_DST, &r->dst.addr);
	if (!metric && r->dst.addr.family == AF_INET6)
		metric = IP6_DEFAULT_METRIC;
	if (metric)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, metric);
	if (verb == KOP_DELETE)
		return 0;
	if (r->n_more) {
		put_hops(nlh, r, ifindex, more);
	} else {
		rtm->rtm_flags = r->onlink ? RTNH_F_ONLINK : 0;
		if (ifindex)
			mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)ifindex);
		put_via(nlh, r->dst.addr.family, &r->via);
	}
	if (r->src.family)
		put_addr(nlh, RTA_PREFSRC, &r->src);
	if (r->mtu) {
		nest = mnl_attr_nest_start(nlh, RTA_METRICS);
		mnl_attr_put_u32(nlh, RTAX_MTU, r->mtu);
		mnl_attr_nest_end(nlh, nest);
	}
	return 0;
}

static struct nlmsghdr *put_neigh(struct nl_batch *b, enum kop_verb verb, struct ndmsg ndm)
{
	bool del = verb == KOP_DELETE;
	struct nlmsghdr *nlh =
		nl_batch_add(b, del ? RTM_DELNEIGH : RTM_NEWNEIGH,
			     del ? 0 : NLM_F_CREATE | NLM_F_REPLACE, sizeof(struct ndmsg));

	if (nlh)
		memcpy(mnl_nlmsg_get_payload(nlh), &ndm, sizeof(ndm));
	return nlh;
}

int rtnl_put_neigh(struct nl_batch *b, enum kop_verb verb, const struct kneigh *g, int ifindex)
{
	struct nlmsghdr *nlh = put_neigh(b, verb,
					 (struct ndmsg){
						 .ndm_family = g->addr.family,
						 .ndm_ifindex = ifindex,
						 .ndm_state = NUD_PERMANENT,
						 .ndm_flags = g->proxy ? NTF_PROXY : 0,
					 });

	if (!nlh)
		return -ENOMEM;
	put_addr(nlh, NDA_DST, &g->addr);
	if (verb == KOP_DELETE)
		return 0;
	if (!g->proxy)
		mnl_attr_put(nlh, NDA_LLADDR, sizeof(g->mac.b), g->mac.b);
	mnl_attr_put_u8(nlh, NDA_PROTOCOL, RTPROT_FAIRLEAD);
	return 0;
}

int rtnl_put_fdb(struct nl_batch *b, enum kop_verb verb, const struct kfdb *f, int ifindex)
{
	struct nlmsghdr *nlh = put_neigh(b, verb,
					 (struct ndmsg){
						 .ndm_family = AF_BRIDGE,
						 .ndm_ifindex = ifindex,
						 .ndm_state = NUD_NOARP | NUD_PERMANENT,
						 .ndm_flags = NTF_SELF,
					 });

	if (!nlh)
		return -ENOMEM;
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(f->mac.b), f->mac.b);
	put_addr(nlh, NDA_DST, &f->dst);
	return 0;
}

/* ---- links */

/* A device that is there takes another address, but would refuse its own port. */
static void put_vxlan(struct nlmsghdr *nlh, const struct klink *l, bool birth)
{
	struct nlattr *data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);

	if (birth) {
		mnl_attr_put_u32(nlh, IFLA_VXLAN_ID, l->vni);
		mnl_attr_put_u16(nlh, IFLA_VXLAN_PORT, htons(l->vxlan_port));
		mnl_attr_put_u8(nlh, IFLA_VXLAN_LEARNING, 0);
	}
	if (l->vxlan_local.family)
		put_addr(nlh,
			 l->vxlan_local.family == AF_INET6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL,
			 &l->vxlan_local);
	mnl_attr_nest_end(nlh, data);
}

int rtnl_put_link_new(struct nl_batch *b, const struct klink *l)
{
	static const char *const kinds[] = {
		[KLINK_BRIDGE] = "bridge",
		[KLINK_VXLAN] = "vxlan",
		[KLINK_IFB] = "ifb",
		[KLINK_IPIP] = "ipip",
	};
	struct nlmsghdr *nlh =
		nl_batch_add(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifm;
	struct nlattr *info;

	if (!nlh)
		return -ENOMEM;
	ifm = mnl_nlmsg_get_payload(nlh);
	ifm->ifi_flags = ifm->ifi_change = l->up ? IFF_UP : 0;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, l->name);
	if (l->has_mac)
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(l->mac.b), l->mac.b);
	if (l->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, l->mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kinds[l->kind]);
	if (l->kind == KLINK_VXLAN)
		put_vxlan(nlh, l, true);
	mnl_attr_nest_end(nlh, info);
	return 0;
}

static struct nlmsghdr *put_link(struct nl_batch *b, uint16_t type, int ifindex)
{
	struct nlmsghdr *nlh = nl_batch_add(b, type, 0, sizeof(struct ifinfomsg));

	if (nlh)
		((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = ifindex;
	return nlh;
}

int rtnl_put_link_set(struct nl_batch *b, const struct klink *l, const struct klink *have,
		      int ifindex, int master)
{
	struct nlmsghdr *nlh = put_link(b, RTM_NEWLINK, ifindex);
	struct ifinfomsg *ifm;

	if (!nlh)
		return -ENOMEM;
	ifm = mnl_nlmsg_get_payload(nlh);
	ifm->ifi_flags = ifm->ifi_change = l->up && !have->up ? IFF_UP : 0;
	if (l->has_mac && memcmp(&l->mac, &have->mac, sizeof(l->mac)) != 0)
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(l->mac.b), l->mac.b);
	if (l->mtu && l->mtu != have->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, l->mtu);
	if (master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)master);
	if (l->kind == KLINK_VXLAN && !addr_eq(&l->vxlan_local, &have->vxlan_local)) {
		struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);

		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vxlan");
		put_vxlan(nlh, l, false);
		mnl_attr_nest_end(nlh, info);
	}
	return 0;
}

int rtnl_put_link_down(struct nl_batch *b, int ifindex)
{
	struct nlmsghdr *nlh = put_link(b, RTM_NEWLINK, ifindex);

	if (!nlh)
		return -ENOMEM;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_change = IFF_UP;
	return 0;
}

int rtnl_put_port(struct nl_batch *b, int ifindex, bool isolated)
{
	struct nlmsghdr *nlh = put_link(b, RTM_NEWLINK, ifindex);
	struct nlattr *info, *data;

	if (!nlh)
		return -ENOMEM;
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(nlh, IFLA_BRPORT_ISOLATED, isolated);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return 0;
}

int rtnl_put_link_del(struct nl_batch *b, int ifindex)
{
	return put_link(b, RTM_DELLINK, ifindex) ? 0 : -ENOMEM;
}
