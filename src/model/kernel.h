/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel holds, or should hold, outside of nftables: one tagged struct for links,
 * addresses, routes, neighbours, forwarding entries and sysctls, so that planning, diffing and
 * applying are each one loop. nftables objects have their own model in core/nft/ir.h.
 *
 * Devices are named, never numbered: an index changes when a device is made anew.
 * Every object has a key (what makes it "the same one": kobj_cmp) and attributes (what may be
 * changed in place or by replacement: kobj_same). A struct is all zero where unused. */
#pragma once
#include "base/addr.h"

#define IFNAME_LEN  16
#define SYSCTL_PATH 96

/* rtm_protocol of every route that fairlead owns in the main table: whatever carries another
 * number is somebody else's and never touched. Listed in docs/abi.md. */
#define RTPROT_FAIRLEAD 70

enum kobj_type { KOBJ_NONE, KOBJ_LINK, KOBJ_SYSCTL, KOBJ_ADDR, KOBJ_ROUTE, KOBJ_NEIGH, KOBJ_FDB };
enum klink_kind { KLINK_ANY, KLINK_VETH, KLINK_BRIDGE, KLINK_VXLAN, KLINK_IFB, KLINK_IPIP };
enum kroute_type { KROUTE_UNICAST, KROUTE_BLACKHOLE, KROUTE_UNREACHABLE };

struct klink {
	char name[IFNAME_LEN]; /* key */
	uint8_t kind;          /* enum klink_kind */
	uint8_t up;
	uint8_t has_mac;
	struct macaddr mac;
	uint32_t mtu;              /* 0: leave */
	char master[IFNAME_LEN];   /* bridge that it is a port of */
	uint8_t isolated;          /* bridge port: isolated */
	uint32_t vni;              /* vxlan: fixed at creation, a change makes it anew */
	uint16_t vxlan_port;       /* vxlan, host order */
	struct ipaddr vxlan_local; /* its family is fixed too */
};

struct kaddr {
	char ifname[IFNAME_LEN]; /* key */
	struct prefix addr;      /* key */
	uint8_t scope;           /* RT_SCOPE_* */
	uint8_t noprefixroute, nodad;
	uint8_t deprecated; /* never the source of the node's own packets, unless bound (RFC 6724) */
};

/* One of several next hops that share a route's packets, by flow (ECMP). */
struct khop {
	char oif[IFNAME_LEN];
	struct ipaddr via;
	uint8_t onlink;
};

#define KROUTE_HOPS 64 /* of one route, at most */

struct kroute {
	struct prefix dst; /* key; host bits clear */
	uint32_t metric;   /* key; IPv6: 0 is the kernel's default, 1024 */
	uint8_t type;      /* enum kroute_type */
	char oif[IFNAME_LEN];
	struct ipaddr via, src; /* family 0: none */
	uint8_t onlink;
	uint8_t scope;    /* RT_SCOPE_* */
	uint8_t protocol; /* RTPROT_FAIRLEAD in all of ours */
	uint32_t mtu;     /* 0: the device's */
	/* Further next hops. With `oif` and `via` they are in the order of khop_cmp(). They belong to who
	 * wants the route, or to the list that it was read into: a copy of the struct shares them. */
	const struct khop *more;
	uint8_t n_more;
};

struct kneigh {
	char ifname[IFNAME_LEN]; /* key */
	struct ipaddr addr;      /* key */
	uint8_t proxy;           /* key: NTF_PROXY entry, without MAC */
	struct macaddr mac;      /* permanent entry */
};

struct kfdb {
	char ifname[IFNAME_LEN]; /* key: a vxlan device */
	struct macaddr mac;      /* key */
	struct ipaddr dst;       /* the other node */
};

struct ksysctl {
	char path[SYSCTL_PATH]; /* key: below /proc/sys, e.g. "net/ipv4/ip_forward" */
	char value[16];
	uint8_t optional; /* good as it is where the kernel has no such file */
};

struct kobj {
	uint8_t type;    /* enum kobj_type */
	uint8_t foreign; /* observed without our mark: somebody else's, never touched */
	uint32_t owner;  /* whose plan wants it: an index that the planner's caller gives out */
	union {
		struct klink link;
		struct kaddr addr;
		struct kroute route;
		struct kneigh neigh;
		struct kfdb fdb;
		struct ksysctl sysctl;
	};
};

/* Order by type (in the order in which they must be made: link, sysctl (many are a device's),
 * address, route, neighbour, fdb), then key. */
int kobj_cmp(const struct kobj *a, const struct kobj *b);
/* Same key is given; are the attributes that `want` sets the ones that `have` has? */
bool kobj_same(const struct kobj *want, const struct kobj *have);
int khop_cmp(const struct khop *a, const struct khop *b);
/* The first of hops[0..n), in the order of khop_cmp(), as the route's own and the others as `more`. */
void kroute_set_hops(struct kroute *r, const struct khop *hops, size_t n);
/* One line as `ip` would say it, for logs and verdicts: "route 10.244.1.0/26 via … dev …". */
const char *kobj_str(const struct kobj *o, char *buf, size_t n);
/* The link that it is, or is a part of; "" for a sysctl. */
const char *kobj_device(const struct kobj *o);

enum kop_verb { KOP_ADD, KOP_CHANGE, KOP_DELETE };

struct kop {
	uint8_t verb; /* enum kop_verb */
	const struct kobj *obj;
};
