/* SPDX-License-Identifier: Apache-2.0 */
/* Route planner: what each object of the cluster wants the kernel of this node to hold.
 *
 * One call plans one object: this node, another node, a block, a local endpoint, a bridge.
 * Its result depends on nothing but the arguments, and no two calls want the same kernel
 * object, so a changed block costs its own few entries however large the cluster is. Who
 * keeps the results apart by object and finds the difference is core/diff.
 *
 * Ways from this node to a peer's addresses, by the pool's mode (route_way()):
 *   Direct            same subnet: the peer's address is the next hop. Another subnet: the
 *                     routers between carry pod addresses; no route here, the default route
 *                     does it, unless the node reaches the peer through a more specific
 *                     route, whose gateway the block then shares. An address that such a
 *                     node borrowed goes by the default route's gateway, where its block's
 *                     own route here is longer and leads elsewhere.
 *   VXLAN             vxlan0, RFC 7348, VNI 4096, UDP 4789, without learning: for each peer
 *                     one forwarding entry (its MAC → its address) and one permanent
 *                     neighbour per family (its tunnel address, IPv6: the link-local
 *                     address of its vxlan0, → its MAC). The MAC follows from the
 *                     node's name, so nothing is exchanged.
 *   IPIP              tunl0, RFC 2003, IPv4 in IPv4: the next hop of a route into it is the peer's
 *                     own address, which becomes the outer header's, so nothing else is to be
 *                     known of a peer. The kernel's driver where it has one, else a pseudo
 *                     device with our programs (sys/ipip.h); on the wire they are one.
 *   with crossSubnet  same subnet: as Direct; another: by the tunnel.
 * "Same subnet" is judged by the prefixes on the uplink. A route into the tunnel carries the
 * own tunnel address as source: with the uplink's the reply would come back outside of the
 * tunnel, where strict rp_filter drops it.
 *
 * Own blocks are blackholes, so that a packet to an address nobody holds does not go out by
 * the default route and back again; pods' host routes are longer, and the connected route of a
 * bridge that another plugin made over our addresses has the better metric. An address granted
 * out of a block is a host route to the borrower, in every mode.
 *
 * In a pool with `routes: bgp` what leads to other nodes comes by learned.h instead. */
#pragma once
#include "model/cluster.h"
#include "model/kernel.h"

#define ROUTE_VXLAN_DEV      "vxlan0"
#define ROUTE_VXLAN_VNI      4096
#define ROUTE_VXLAN_PORT     4789
#define ROUTE_IPIP_DEV       "tunl0"
#define ROUTE_LOCALNET       "net/ipv4/conf/all/route_localnet"
#define ROUTE_TCP_BE_LIBERAL "net/netfilter/nf_conntrack_tcp_be_liberal"
#define ROUTE_BRIDGE_CALL4   "net/bridge/bridge-nf-call-iptables"
#define ROUTE_BRIDGE_CALL6   "net/bridge/bridge-nf-call-ip6tables"
#define ROUTE_SEND_REDIRECTS "net/ipv4/conf/all/send_redirects"
#define ROUTE_GATEWAY4       "169.254.1.1" /* what a routed pod's default route names */
#define ROUTE_GATEWAY6       "fe80::1"     /* on every host link and bridge */

#define ROUTE_SUBNETS 16
#define ROUTE_RA      8
#define ROUTE_DNS     8

enum route_family { ROUTE_V4, ROUTE_V6, ROUTE_FAMILIES };

/* Index of an address' family in the arrays below. */
static inline enum route_family route_family(const struct ipaddr *a)
{
	return a->family == 10 /* AF_INET6 */ ? ROUTE_V6 : ROUTE_V4;
}

/* Where the longest route of others leads; ip of family 0: to no router. */
struct route_hop {
	struct ipaddr ip;
	bool by_default; /* that is the default route */
};

struct route_peer {
	const char *name;
	struct ipaddr ip[ROUTE_FAMILIES];         /* InternalIP; family 0: none */
	struct ipaddr tunnel[ROUTE_FAMILIES];     /* out of its first block of the family */
	struct route_hop gateway[ROUTE_FAMILIES]; /* to ip, by the uplink */
};

/* This node: what the store says of it and what was seen in its kernel. */
struct route_self {
	struct route_peer node;
	char uplink[IFNAME_LEN];
	uint32_t uplink_mtu;                  /* bytes */
	struct prefix subnets[ROUTE_SUBNETS]; /* addresses with length, as on the uplink */
	size_t n_subnets;
	bool vxlan;                   /* some pool needs vxlan0 */
	bool ipip;                    /* some pool needs tunl0 */
	uint8_t ipip_kind;            /* what tunl0 is here: KLINK_IPIP or KLINK_IFB */
	bool localnet;                /* node ports on 127.0.0.0/8 */
	struct ipaddr dns[ROUTE_DNS]; /* where the node answers DNS itself */
	size_t n_dns;
	char ra[ROUTE_RA][IFNAME_LEN]; /* devices that live by router advertisements */
	size_t n_ra;
};

struct route_endpoint {
	const char *host_if;      /* the veth's end on the node */
	const char *bridge;       /* NULL: routed */
	struct macaddr host_mac;  /* of host_if */
	struct macaddr mac;       /* the pod's */
	const struct ipaddr *ips; /* what routes to it */
	size_t n_ips;
	uint32_t mtu; /* bytes */
};

struct route_bridge {
	const char *name;
	struct macaddr mac;
	uint32_t mtu;
	const struct ipaddr *gateways; /* one IPv4 address of each block in use */
	size_t n_gateways;
};

/* The peer by its Node's name, or NULL; asked for the borrowers of addresses. */
typedef const struct route_peer *route_peer_fn(void *arg, const char *node);

struct route_block {
	const struct ipblock *block;
	const struct ippool *pool;
	const struct route_peer *owner; /* NULL: no such Node (yet) */
	route_peer_fn *peer;
	void *arg;
};

/* Next hops that a wanted route refers to, malloc()ed: whoever has it wanted takes them over, and frees them when
 * nothing can refer to them any more. */
struct route_hops {
	struct route_hops *next; /* the taker's */
	struct khop v[];
};

/* What a planner returns, in the order of planning. The caller owns it: route_out_fini(). On
 * a failed allocation it becomes `failed` and must not be used. */
struct route_out {
	struct kobj *v;
	size_t n, cap;
	bool failed;
	bool no_ipv6;      /* set by the owner: this kernel runs without, want nothing of it */
	char problem[160]; /* why something is missing, in words; empty: nothing is */
	struct kobj spare; /* written to instead, once `failed` */
	struct route_hops *hops; /* of a route in `v` that has several; NULL: none has */
};

void route_out_reset(struct route_out *o); /* keeps the memory */
void route_out_fini(struct route_out *o);

enum route_way { ROUTE_NO_WAY, ROUTE_ON_LINK, ROUTE_BY_GATEWAY, ROUTE_BY_FABRIC, ROUTE_TUNNEL };

enum route_way route_way(const struct route_self *self, const struct route_peer *peer,
			 const struct ippool *pool);

/* A Node's InternalIPs (ExternalIPs where it has none), the first of each family. */
void route_node_ips(const struct node *node, struct ipaddr ips[ROUTE_FAMILIES]);
/* The device that packets of this pool may enter a tunnel by, or NULL: they never do. */
const char *route_tunnel(const struct ippool *pool);
bool route_pool_tunnelled(const struct ippool *pool);
/* The family that VXLAN of this node travels on; 0 when it has no address. */
uint8_t route_underlay(const struct route_self *self);
/* Locally administered unicast address from the node's name (FNV-1a, 46 bits): the same on
 * every node. */
struct macaddr route_vxlan_mac(const char *node);

/* Forwarding sysctls, the gateway's address on lo, the tunnels with the own tunnel addresses. */
void route_plan_self(const struct route_self *self, struct route_out *out);
/* The peer's forwarding entry and neighbours, where one of the pools reaches it by tunnel. */
void route_plan_peer(const struct route_self *self, const struct route_peer *peer,
		     const struct object *const *pools, size_t n_pools, struct route_out *out);
/* A block of this or another node, and the addresses borrowed from it. */
void route_plan_block(const struct route_self *self, const struct route_block *b,
		      struct route_out *out);
/* Addresses of Services, for the node's own connections: that there is a route is enough, as they
 * are translated or refused before a packet leaves. Wanted where nothing else leads there. */
void route_plan_front(const struct route_self *self, const struct prefix *p, struct route_out *out);
/* A route to a peer's addresses by the way of the pool; and one by hops that are set later. */
void route_plan_way(const struct route_self *self, const struct route_peer *peer,
		    const struct ippool *pool, const struct prefix *dst, struct route_out *out);
struct kroute *route_out_route(struct route_out *out, const struct prefix *dst);
/* Host link, neighbours and host routes of a pod on this node. */
void route_plan_endpoint(const struct route_endpoint *ep, struct route_out *out);
void route_plan_bridge(const struct route_bridge *br, struct route_out *out);
/* What all bridges of a node need, once. */
void route_plan_bridges(struct route_out *out);
