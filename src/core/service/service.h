/* SPDX-License-Identifier: Apache-2.0 */
/* Service planner: what one node does with new connections to one Service, in one family, as
 * kube-proxy 1.34 does it. The plan is read by the nftables encoder, by `fairlead why` and by
 * `fairlead trace`; svc_judge() follows one flow through plans.
 *
 *   fronts     addresses and ports that are the Service's: cluster IP, external IPs, addresses
 *              of load balancers (ipMode Proxy excepted: KEP-1860), node ports
 *   endpoints  of each port: those of all its EndpointSlices with the port's name and protocol
 *              (so a named target port may differ from slice to slice; KEP-752), once per
 *              address and port, and for both groups whether it is in or why not:
 *     all        ready ones; where no ready one is left, those that still serve while they
 *                terminate (KEP-1669): as long as an endpoint can serve at all, this
 *                group has one. Hints narrow the ready ones, all or nothing
 *                (KEP-2433, KEP-3015, KEP-4444): to this node where each has a node hint and one is
 *                for this node, else to this zone by the same rule; so that a hint that is
 *                missing or leaves nothing is as good as no hints.
 *     local      the same of this node's own endpoints, without hints (KEP-2086)
 *   policies   internalTrafficPolicy Local sends the cluster IP's flows to `local`;
 *              externalTrafficPolicy Local those of the other fronts, except from pods and from
 *              the node itself, which reach `all`: the short circuit. No endpoint anywhere is
 *              refused, none on this node with policy Local is dropped.
 *   sources    are translated to the node's where externalTrafficPolicy is Cluster, for the
 *              cluster IP where the source is no pod (or --masquerade-all), for the node's
 *              own flows over the short circuit, and where an endpoint reaches itself.
 *
 * publishNotReadyAddresses, trafficDistribution and topology are the slices' writer's business:
 * conditions and hints carry them. ExternalName and headless Services are DNS' business, one labelled
 * service-proxy-name is another proxy's (KEP-2447), a Service without a cluster IP of the family is
 * not there yet: such a plan has no fronts. Slices with either label do not count. The other proxy's
 * cluster IPs are left alone, also where a service range has them. Where the node answers DNS itself there is no front of anybody. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

/* The node that plans and judges, and its configuration. */
struct svc_node {
	const char *name, *zone;            /* zone: NULL or "" when it has no label */
	LIST(struct ipaddr) addresses;      /* its own; loopback is, without being listed */
	LIST(struct prefix) pods, services; /* ranges of addresses */
	LIST(struct ipaddr) dns;            /* where it answers DNS itself: no Service has that */
	LIST(struct prefix)
	nodePortAddresses;         /* of its own, those that take node ports; none: all */
	bool masquerade_all;       /* also pods' flows to cluster IPs */
	bool localhost_node_ports; /* node ports on 127.0.0.0/8 too */
};

enum svc_group { SVC_ALL, SVC_LOCAL, SVC_GROUPS };

/* Why an endpoint is not in a group. */
enum svc_out {
	SVC_IN,
	SVC_NOT_READY,
	SVC_TERMINATING,
	SVC_OTHER_NODE,
	SVC_HINT_NODE, /* for other nodes */
	SVC_HINT_ZONE
};
extern const struct names svc_out_names; /* in words; NULL for SVC_IN */

struct svc_endpoint {
	struct ipaddr ip;
	uint16_t port;
	bool local;                      /* on the planning node */
	uint8_t out[SVC_GROUPS];         /* enum svc_out */
	const struct slice_endpoint *of; /* node, zone, pod */
};

struct svc_port {
	const char *name; /* "": none */
	uint8_t proto;    /* enum protocol */
	uint16_t port;
	LIST(struct svc_endpoint) endpoints; /* by address and port, each once */
	uint32_t n[SVC_GROUPS];              /* how many are in each group */
	bool uses[SVC_GROUPS];               /* does a front lead there? */
};

enum svc_kind {
	SVC_CLUSTER_IP,
	SVC_EXTERNAL_IP,
	SVC_LOAD_BALANCER,
	SVC_NODE_PORT,
	SVC_HOST_PORT /* core/service/hostport.h */
};
extern const struct names svc_kind_names;

enum svc_way {
	SVC_TO_ALL,
	SVC_TO_LOCAL,
	SVC_TO_LOCAL_FROM_OUTSIDE /* from pods and the node itself: all */
};
enum svc_masq {
	SVC_MASQ_ALWAYS,
	SVC_MASQ_UNLESS_POD,
	SVC_MASQ_IF_NODE,
	SVC_MASQ_IF_LOOPBACK /* IPv4's, as none of IPv6's leaves the node */
};
enum svc_refuse {
	SVC_SERVED,
	SVC_REJECTED,             /* no endpoint anywhere */
	SVC_DROPPED,              /* none where the policy wants it */
	SVC_DROPPED_FROM_OUTSIDE, /* the same; pods and the node itself are served */
};

struct svc_front {
	uint8_t kind;          /* enum svc_kind */
	uint8_t way;           /* enum svc_way */
	uint8_t masq;          /* enum svc_masq; an endpoint that reaches itself: always */
	uint8_t refuse;        /* enum svc_refuse */
	struct ipaddr address; /* family 0: the node's addresses that take node ports */
	uint16_t number;       /* the port that clients name */
	const struct svc_port *port;
};

struct svc_plan {
	const char *ns, *name;
	uint8_t family;           /* AF_INET, AF_INET6 */
	const char *absent;       /* why there are no fronts; NULL: there are */
	struct ipaddr cluster_ip; /* family 0: none */
	bool left;                /* it is another proxy's business, and no fronts are */
	uint32_t affinity;        /* a client keeps its endpoint for so many seconds; 0: no */
	LIST(struct svc_port) ports;
	LIST(struct svc_front) fronts;
	/* Who may use the load balancers' addresses; none: everybody. `sources_node`: one of the
	 * node's addresses is among them, and with it the load balancer's own address as the
	 * source, which a node that talks to it may show. */
	LIST(struct prefix) sources;
	bool sources_node;
	uint16_t health_port; /* healthCheckNodePort; 0: none */
	uint32_t local_ready; /* what it answers: ready endpoint addresses on this node */
};

/* `slices` are those of the Service, in the order of their names: of endpoints that several have,
 * one on this node counts, else the first. The plan lives in `a` and points into both objects. */
int svc_plan(const struct service *s, const struct endpoint_slice *const *slices, size_t n_slices,
	     const struct svc_node *node, uint8_t family, struct arena *a, struct svc_plan *out,
	     struct err *e);

/* Ports with endpoints, but none where the policy wants it: by internalTrafficPolicy for the cluster
 * IP, by externalTrafficPolicy for the other fronts. Adds to `n`. */
enum svc_policy { SVC_INTERNAL, SVC_EXTERNAL, SVC_POLICIES };
void svc_count_no_local(const struct svc_plan *plan, uint32_t n[SVC_POLICIES]);

/* Plans of all Services of a cluster, both families of each, by namespace and name. */
int svc_plan_cluster(const struct cluster *c, const struct svc_node *node, struct arena *a,
		     struct svc_plan **out, size_t *n, struct err *e);

/* ---- what becomes of a flow's first packet */

struct svc_flow {
	struct ipaddr src, dst; /* family 0: a pod's, which is not known yet; no front is that */
	uint8_t proto;          /* enum protocol; PROTO_NONE: one without ports */
	uint16_t dport;
};

enum svc_action { SVC_PASS, SVC_ACCEPT, SVC_DNAT, SVC_REJECT, SVC_DROP };
extern const struct names svc_action_names;

struct svc_verdict {
	uint8_t action;                /* enum svc_action */
	const struct svc_plan *plan;   /* whose flow it is; NULL: nobody's */
	const struct svc_front *front; /* NULL where no front decided */
	bool by_endpoints;       /* the endpoints of `group` decided, be it by their absence */
	uint8_t group;           /* enum svc_group */
	bool masquerade;         /* DNAT: the source becomes the node's, whatever endpoint */
	const char *reason;      /* the rule, in words */
	const char *masq_reason; /* DNAT: why the source is, or is not, translated */
};

/* The first of `plans` with a front for it decides, as names of fronts are unique in a cluster. */
void svc_judge(const struct svc_node *node, const struct svc_plan *plans, size_t n,
	       const struct svc_flow *flow, struct svc_verdict *out);
/* Does the node answer this itself, by its own DNS? */
bool svc_is_dns(const struct svc_node *node, const struct ipaddr *dst, uint8_t proto,
		uint16_t port);
#define SVC_DNS      "the node answers DNS there itself"
#define SVC_DNS_PORT 53
/* Would this endpoint, chosen for this source, reach itself? Then the source is translated. */
bool svc_is_hairpin(const struct svc_endpoint *ep, const struct ipaddr *src);
