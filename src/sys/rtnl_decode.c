// SPDX-License-Identifier: Apache-2.0
/* rtnl_decode: rtnetlink messages → model/kernel.h; see rtnl.h. No sockets here. The bytes are not
 * trusted: an attribute counts only if its length is that of its type. */
#include "sys/nlattr.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- index → name, sorted by index: dumps come almost in that order */

struct ifname {
	int index;
	char name[IFNAME_LEN];
};

struct ifnames {
	struct ifname *v;
	size_t n, cap;
	struct khop hops[KROUTE_HOPS]; /* of the route decoded last */
};

struct ifnames *ifnames_new(void)
{
	return calloc(1, sizeof(struct ifnames));
}

void ifnames_free(struct ifnames *t)
{
	if (t)
		free(t->v);
	free(t);
}

/* First entry whose index is not below. */
static size_t lower_bound(const struct ifnames *t, int index)
{
	size_t lo = 0, hi = t->n;

	if (hi && t->v[hi - 1].index < index)
		return hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->v[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const char *ifnames_get(const struct ifnames *t, int index)
{
	size_t i = lower_bound(t, index);

	return i < t->n && t->v[i].index == index ? t->v[i].name : NULL;
}

static void forget(struct ifnames *t, int index)
{
	size_t i = lower_bound(t, index);

	if (i == t->n || t->v[i].index != index)
		return;
	memmove(t->v + i, t->v + i + 1, (--t->n - i) * sizeof(*t->v));
}

static int learn(struct ifnames *t, int index, const char *name)
{
	size_t i = lower_bound(t, index);

	if (i == t->n || t->v[i].index != index) {
		if (t->n == t->cap) {
			size_t cap = t->cap ? 2 * t->cap : 64;
			struct ifname *v = reallocarray(t->v, cap, sizeof(*v));

			if (!v)
				return -ENOMEM;
			t->v = v;
			t->cap = cap;
		}
		memmove(t->v + i + 1, t->v + i, (t->n++ - i) * sizeof(*t->v));
		t->v[i].index = index;
	}
	strncpy(t->v[i].name, name, IFNAME_LEN - 1);
	t->v[i].name[IFNAME_LEN - 1] = 0;
	return 0;
}

static void put_name(char out[IFNAME_LEN], const struct ifnames *t, int index)
{
	const char *name = ifnames_get(t, index);

	if (name)
		memcpy(out, name, IFNAME_LEN);
}

/* ---- one decoder per type: 1 when *o is set, 0 when it is of no interest */

static void decode_vxlan(const struct nla *data, struct klink *l)
{
	l->vni = nla_u32(data, IFLA_VXLAN_ID);
	l->vxlan_port = nla_be16(data, IFLA_VXLAN_PORT);
	if (!nla_addr(data, IFLA_VXLAN_LOCAL, AF_INET, &l->vxlan_local))
		nla_addr(data, IFLA_VXLAN_LOCAL6, AF_INET6, &l->vxlan_local);
}

static void decode_kind(const struct nla *t, struct klink *l)
{
	static const char *const kinds[] = { [KLINK_VETH] = "veth",
					     [KLINK_BRIDGE] = "bridge",
					     [KLINK_VXLAN] = "vxlan",
					     [KLINK_IFB] = "ifb",
					     [KLINK_IPIP] = "ipip" };
	struct nla info = nla_in(t, IFLA_LINKINFO), data;
	const char *kind = nla_str(&info, IFLA_INFO_KIND);

	for (unsigned i = KLINK_VETH; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i]))
			l->kind = (uint8_t)i;
	if (l->kind == KLINK_VXLAN) {
		data = nla_in(&info, IFLA_INFO_DATA);
		decode_vxlan(&data, l);
	}
	if (!strcmp(nla_str(&info, IFLA_INFO_SLAVE_KIND), "bridge")) {
		data = nla_in(&info, IFLA_INFO_SLAVE_DATA);
		l->isolated = nla_u8(&data, IFLA_BRPORT_ISOLATED) != 0;
	}
}

static int decode_link(struct ifnames *names, const struct nlmsghdr *nlh, const struct nla *t,
		       struct kobj *o, int *ifindex)
{
	const struct ifinfomsg *ifm = mnl_nlmsg_get_payload(nlh);
	const char *name = nla_str(t, IFLA_IFNAME);
	struct klink *l = &o->link;

	/* AF_BRIDGE messages are a bridge's view of its port, not the link. */
	if (ifm->ifi_family != AF_UNSPEC || ifm->ifi_index <= 0 || !name[0] ||
	    strlen(name) >= IFNAME_LEN)
		return 0;
	*ifindex = ifm->ifi_index;
	o->type = KOBJ_LINK;
	memcpy(l->name, name, strlen(name));
	l->up = (ifm->ifi_flags & IFF_UP) != 0;
	l->has_mac = nla_bytes(t, IFLA_ADDRESS, l->mac.b, sizeof(l->mac.b));
	l->mtu = nla_u32(t, IFLA_MTU);
	if (nla_u32(t, IFLA_MASTER))
		put_name(l->master, names, (int)nla_u32(t, IFLA_MASTER));
	decode_kind(t, l);
	if (nlh->nlmsg_type == RTM_DELLINK) {
		forget(names, ifm->ifi_index);
		return 1;
	}
	return learn(names, ifm->ifi_index, name) ? -ENOMEM : 1;
}

static int decode_addr(struct ifnames *names, const struct nlmsghdr *nlh, const struct nla *t,
		       struct kobj *o, int *ifindex)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	uint32_t flags = t->v[IFA_FLAGS] ? nla_u32(t, IFA_FLAGS) : ifa->ifa_flags;
	struct kaddr *a = &o->addr;

	if (!nla_addr(t, IFA_LOCAL, ifa->ifa_family, &a->addr.addr) &&
	    !nla_addr(t, IFA_ADDRESS, ifa->ifa_family, &a->addr.addr))
		return 0;
	if (ifa->ifa_prefixlen > addr_bits(&a->addr.addr))
		return 0;
	*ifindex = (int)ifa->ifa_index;
	o->type = KOBJ_ADDR;
	o->foreign = nla_u8(t, IFA_PROTO) != RTPROT_FAIRLEAD;
	put_name(a->ifname, names, *ifindex);
	a->addr.len = ifa->ifa_prefixlen;
	a->scope = ifa->ifa_scope;
	a->noprefixroute = (flags & IFA_F_NOPREFIXROUTE) != 0;
	a->nodad = (flags & IFA_F_NODAD) != 0;
	a->deprecated = (flags & IFA_F_DEPRECATED) != 0;
	return 1;
}

static void decode_via(const struct nla *t, uint8_t family, struct ipaddr *via)
{
	const struct rtvia *rv;
	struct ipaddr a = { 0 };

	if (nla_addr(t, RTA_GATEWAY, family, via) || !t->v[RTA_VIA] ||
	    mnl_attr_get_payload_len(t->v[RTA_VIA]) < sizeof(*rv))
		return;
	rv = mnl_attr_get_payload(t->v[RTA_VIA]);
	a.family = (uint8_t)rv->rtvia_family;
	if ((a.family != AF_INET && a.family != AF_INET6) ||
	    mnl_attr_get_payload_len(t->v[RTA_VIA]) != sizeof(*rv) + addr_len(&a))
		return;
	memcpy(a.b, rv->rtvia_addr, addr_len(&a));
	*via = a;
}

static int hop_order(const void *a, const void *b)
{
	return khop_cmp(a, b);
}

/* As many as are well formed. The kernel keeps them in the order in which they came. */
static void decode_hops(struct ifnames *names, const struct nlattr *paths, struct kroute *r,
			int *ifindex)
{
	const uint8_t *p = mnl_attr_get_payload(paths);
	size_t left = mnl_attr_get_payload_len(paths), n = 0;
	const struct rtnexthop *nh;

	while (left >= sizeof(*nh) && n < KROUTE_HOPS) {
		struct khop h = { .onlink = 0 };
		struct nla t;
		size_t step;

		nh = (const void *)p;
		if (nh->rtnh_len < sizeof(*nh) || nh->rtnh_len > left)
			break;
		t = nla_from(nh + 1, nh->rtnh_len - sizeof(*nh));
		decode_via(&t, r->dst.addr.family, &h.via);
		put_name(h.oif, names, nh->rtnh_ifindex);
		h.onlink = (nh->rtnh_flags & RTNH_F_ONLINK) != 0;
		if (!n)
			*ifindex = nh->rtnh_ifindex;
		names->hops[n++] = h;
		step = RTNH_ALIGN((size_t)nh->rtnh_len);
		left -= step < left ? step : left;
		p += step;
	}
	if (!n)
		return;
	qsort(names->hops, n, sizeof(*names->hops), hop_order);
	kroute_set_hops(r, names->hops, n);
}

static bool route_type(const struct rtmsg *rtm, uint8_t *out)
{
	switch (rtm->rtm_type) {
	case RTN_UNICAST:
		*out = KROUTE_UNICAST;
		return true;
	case RTN_BLACKHOLE:
		*out = KROUTE_BLACKHOLE;
		return true;
	case RTN_UNREACHABLE:
		*out = KROUTE_UNREACHABLE;
		return true;
	}
	return false;
}

#define IP6_DEFAULT_METRIC 1024

static int decode_route(struct ifnames *names, const struct nlmsghdr *nlh, const struct nla *t,
			struct kobj *o, int *ifindex)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	uint32_t table = t->v[RTA_TABLE] ? nla_u32(t, RTA_TABLE) : rtm->rtm_table;
	struct nla metrics = nla_in(t, RTA_METRICS);
	struct kroute *r = &o->route;

	if (table != RT_TABLE_MAIN || (rtm->rtm_flags & RTM_F_CLONED) || !route_type(rtm, &r->type))
		return 0;
	r->dst.addr.family = rtm->rtm_family;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return 0;
	if (rtm->rtm_dst_len > addr_bits(&r->dst.addr) ||
	    (!nla_addr(t, RTA_DST, rtm->rtm_family, &r->dst.addr) && rtm->rtm_dst_len))
		return 0;
	r->dst.len = rtm->rtm_dst_len;
	r->dst = prefix_mask(&r->dst);
	*ifindex = (int)nla_u32(t, RTA_OIF);
	o->type = KOBJ_ROUTE;
	o->foreign = rtm->rtm_protocol != RTPROT_FAIRLEAD;
	r->protocol = rtm->rtm_protocol;
	r->scope = rtm->rtm_scope;
	r->metric = nla_u32(t, RTA_PRIORITY);
	if (rtm->rtm_family == AF_INET6 && r->metric == IP6_DEFAULT_METRIC)
		r->metric = 0;
	r->mtu = nla_u32(&metrics, RTAX_MTU);
	nla_addr(t, RTA_PREFSRC, rtm->rtm_family, &r->src);
	if (r->type != KROUTE_UNICAST)
		return 1; /* IPv6 says "dev lo" for those; the model names no device */
	if (t->v[RTA_MULTIPATH]) {
		decode_hops(names, t->v[RTA_MULTIPATH], r, ifindex);
		return 1;
	}
	r->onlink = (rtm->rtm_flags & RTNH_F_ONLINK) != 0;
	decode_via(t, rtm->rtm_family, &r->via);
	put_name(r->oif, names, *ifindex);
	return 1;
}

static int decode_fdb(const struct ifnames *names, const struct ndmsg *ndm, const struct nla *t,
		      struct kobj *o)
{
	struct kfdb *f = &o->fdb;

	if (!nla_bytes(t, NDA_LLADDR, f->mac.b, sizeof(f->mac.b)) ||
	    (!nla_addr(t, NDA_DST, AF_INET, &f->dst) && !nla_addr(t, NDA_DST, AF_INET6, &f->dst)))
		return 0;
	o->type = KOBJ_FDB;
	put_name(f->ifname, names, ndm->ndm_ifindex);
	return 1;
}

static int decode_neigh(struct ifnames *names, const struct nlmsghdr *nlh, const struct nla *t,
			struct kobj *o, int *ifindex)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	struct kneigh *g = &o->neigh;
	bool mac;

	*ifindex = ndm->ndm_ifindex;
	if (ndm->ndm_family == AF_BRIDGE)
		return decode_fdb(names, ndm, t, o);
	g->proxy = (ndm->ndm_flags & NTF_PROXY) != 0;
	if (!nla_addr(t, NDA_DST, ndm->ndm_family, &g->addr))
		return 0;
	mac = nla_bytes(t, NDA_LLADDR, g->mac.b, sizeof(g->mac.b));
	/* One that goes is set to NUD_FAILED first and is told without its MAC. */
	if (!g->proxy && nlh->nlmsg_type != RTM_DELNEIGH &&
	    (!mac || !(ndm->ndm_state & NUD_PERMANENT)))
		return 0;
	o->type = KOBJ_NEIGH;
	o->foreign = nla_u8(t, NDA_PROTOCOL) != RTPROT_FAIRLEAD;
	put_name(g->ifname, names, *ifindex);
	return 1;
}

static const struct decoder {
	uint16_t made, gone; /* nlmsg_type */
	size_t head;         /* of the family */
	int (*fn)(struct ifnames *names, const struct nlmsghdr *nlh, const struct nla *t,
		  struct kobj *o, int *ifindex);
} decoders[] = {
	{ RTM_NEWLINK, RTM_DELLINK, sizeof(struct ifinfomsg), decode_link },
	{ RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), decode_addr },
	{ RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), decode_route },
	{ RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), decode_neigh },
};

int rtnl_decode(struct ifnames *names, const struct nlmsghdr *nlh, struct kobj *o, int *ifindex)
{
	for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++) {
		const struct decoder *d = &decoders[i];
		struct kobj got = { 0 };
		struct nla t;
		int index = 0, rc;

		if (nlh->nlmsg_type != d->made && nlh->nlmsg_type != d->gone)
			continue;
		if (mnl_nlmsg_get_payload_len(nlh) < d->head)
			return 0;
		t = nla_of(nlh, d->head);
		rc = d->fn(names, nlh, &t, &got, &index);
		if (rc > 0) {
			*o = got;
			*ifindex = index;
		}
		return rc;
	}
	return 0;
}
