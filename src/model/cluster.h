/* SPDX-License-Identifier: Apache-2.0 */
/* What the store says: Kubernetes' objects and fairlead's own, as plain structs with
 * Kubernetes' names and nesting, only the fields that fairlead reads or writes. The tables
 * that describe them are in kinds.c; a body is always `struct meta` first.
 *
 * Sources: the Kubernetes API reference (core/v1, apps/v1, batch/v1, discovery.k8s.io/v1,
 * networking.k8s.io/v1) and docs/reference/ for fairlead.io/v1. */
#pragma once
#include "base/arena.h"
#include "model/schema.h"

enum kind_id {
	KIND_NONE,
	/* core/v1 */
	KIND_NODE,
	KIND_NAMESPACE,
	KIND_POD,
	KIND_SERVICE,
	/* workloads; core/workload turns them into pods */
	KIND_DEPLOYMENT,
	KIND_REPLICASET,
	KIND_STATEFULSET,
	KIND_DAEMONSET,
	KIND_JOB,
	KIND_ENDPOINTSLICE,
	KIND_NETWORKPOLICY,
	KIND_INGRESS,
	KIND_LEASE, /* coordination.k8s.io/v1; derived: who of several daemons leads */
	/* fairlead.io/v1 */
	KIND_IPPOOL,
	KIND_IPBLOCK,
	KIND_IPRESERVATION,
	KIND_WORKLOADENDPOINT, /* derived: written by agents; in the pod's namespace, "default" for
				* bare containers */
	KIND_NODESTATE,        /* derived: written by agents */
	KIND_PACKETTRACE,      /* derived: a question of `fairlead trace`; model/trace.h */
	KIND_BGPCONFIGURATION, /* model/bgp.h, as the next ones */
	KIND_BGPPEER,
	KIND_BGPFILTER,
	KIND_SECRET, /* core/v1 */
	KIND_COUNT
};

struct owner_ref {
	const char *kind, *name, *uid;
	uint8_t controller;
};

struct meta {
	const char *name;
	const char *namespace; /* NULL for cluster-scoped kinds */
	const char *uid;
	struct strmap labels, annotations;
	int64_t deletionTimestamp;
	LIST(struct owner_ref) ownerReferences;
};

enum selector_op { SEL_NONE, SEL_IN, SEL_NOT_IN, SEL_EXISTS, SEL_DOES_NOT_EXIST };

struct label_requirement {
	const char *key;
	uint8_t op; /* enum selector_op */
	LIST(const char *) values;
};

struct label_selector {
	struct strmap matchLabels;
	LIST(struct label_requirement) matchExpressions;
};

/* ---- core/v1 */

enum address_type {
	NODE_ADDRESS_NONE,
	NODE_INTERNAL_IP,
	NODE_EXTERNAL_IP,
	NODE_HOSTNAME,
	NODE_INTERNAL_DNS,
	NODE_EXTERNAL_DNS
};

struct taint {
	const char *key, *value, *effect;
};

struct node_address {
	uint8_t type; /* enum address_type */
	const char *address;
};

struct node {
	struct meta meta;
	struct {
		const char *podCIDR;
		uint8_t unschedulable;
		LIST(struct taint) taints;
	} spec;
	struct {
		LIST(struct node_address) addresses;
	} status;
};

struct namespace_obj {
	struct meta meta;
};

enum protocol { PROTO_NONE, PROTO_TCP, PROTO_UDP, PROTO_SCTP };
extern const struct names protocol_names;
enum pod_phase { POD_NONE, POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

struct container_port {
	const char *name;
	int64_t containerPort, hostPort;
	uint8_t protocol; /* enum protocol; PROTO_NONE means TCP */
	const char *hostIP;
};

struct env_var {
	const char *name, *value;
};

struct container {
	const char *name, *image, *restartPolicy; /* "Always": an init container that goes on */
	LIST(const char *) command;
	LIST(const char *) args;
	LIST(struct env_var) env;
	LIST(struct container_port) ports;
};

struct toleration {
	const char *key, *operator, * value, *effect;
};

struct pod_spec {
	const char *nodeName, *hostname, *subdomain, *restartPolicy, *serviceAccountName;
	uint8_t hostNetwork;
	struct strmap nodeSelector;
	LIST(struct container) containers;
	LIST(struct container) initContainers;
	LIST(struct toleration) tolerations;
	const char *dnsPolicy;
};

/* Why a pod is not Ready, where the network had no address for it. */
#define POD_REASON_NO_ADDRESS "NoAddress"

struct pod_condition {
	const char *type, *status, *reason, *message;
};

struct pod_ip {
	struct ipaddr ip;
};

struct pod {
	struct meta meta;
	struct pod_spec spec;
	struct {
		uint8_t phase; /* enum pod_phase */
		struct ipaddr podIP, hostIP;
		LIST(struct pod_ip) podIPs;
		LIST(struct pod_condition) conditions;
	} status;
};

struct pod_template {
	struct meta meta;
	struct pod_spec spec;
};

extern const struct schema pod_template_schema; /* core/workload hashes its encoding */

/* Deployment, ReplicaSet, StatefulSet, DaemonSet and Job share the part that matters here. */
struct workload {
	struct meta meta;
	struct {
		struct opt_i64 replicas;    /* Deployment, ReplicaSet, StatefulSet */
		struct opt_i64 parallelism; /* Job */
		struct opt_i64 completions; /* Job */
		const char *serviceName;    /* StatefulSet */
		struct label_selector *selector;
		struct pod_template template;
	} spec;
};

/* ---- Service: core/v1. Addresses are text, for addr_parse_lax(). */

enum service_type {
	SERVICE_TYPE_NONE, /* ClusterIP */
	SERVICE_CLUSTER_IP,
	SERVICE_NODE_PORT,
	SERVICE_LOAD_BALANCER,
	SERVICE_EXTERNAL_NAME
};
enum affinity { AFFINITY_ABSENT, AFFINITY_NONE, AFFINITY_CLIENT_IP };
enum traffic_policy { POLICY_NONE, POLICY_CLUSTER, POLICY_LOCAL }; /* none: Cluster */
enum ip_family { IP_FAMILY_NONE, IP_FAMILY_4, IP_FAMILY_6 };
enum ip_family_policy { FAMILY_POLICY_NONE, SINGLE_STACK, PREFER_DUAL_STACK, REQUIRE_DUAL_STACK };
enum traffic_distribution { DISTRIBUTION_NONE, PREFER_CLOSE, PREFER_SAME_ZONE, PREFER_SAME_NODE };
enum ip_mode { IP_MODE_NONE, IP_MODE_VIP, IP_MODE_PROXY }; /* none: VIP */

#define CLUSTER_IP_NONE "None" /* clusterIP of a headless service */

struct service_port {
	const char *name;
	uint8_t protocol; /* enum protocol; PROTO_NONE means TCP */
	int64_t port, nodePort;
	struct intstr targetPort;
	const char *appProtocol;
};

struct client_ip_config {
	struct opt_i64 timeoutSeconds; /* absent: AFFINITY_TIMEOUT */
};

#define AFFINITY_TIMEOUT 10800

struct session_affinity_config {
	struct client_ip_config *clientIP;
};

struct port_status {
	int64_t port;
	uint8_t protocol; /* enum protocol */
	const char *error;
};

struct lb_ingress {
	const char *ip, *hostname;
	uint8_t ipMode; /* enum ip_mode */
	LIST(struct port_status) ports;
};

struct lb_status {
	LIST(struct lb_ingress) ingress;
};

struct service {
	struct meta meta;
	struct {
		uint8_t type;                  /* enum service_type */
		const char *clusterIP;         /* NULL or "": none yet */
		LIST(const char *) clusterIPs; /* at most one per family; the first is clusterIP */
		LIST(uint8_t) ipFamilies;      /* enum ip_family */
		uint8_t ipFamilyPolicy;
		LIST(struct service_port) ports;
		struct strmap selector;
		LIST(const char *) externalIPs;
		const char *externalName;
		uint8_t sessionAffinity; /* enum affinity */
		struct session_affinity_config *sessionAffinityConfig;
		uint8_t externalTrafficPolicy, internalTrafficPolicy; /* enum traffic_policy */
		uint8_t trafficDistribution;
		uint8_t publishNotReadyAddresses;
		const char *loadBalancerIP;
		LIST(const char *) loadBalancerSourceRanges; /* CIDRs, perhaps with spaces, or "" */
		const char *loadBalancerClass;
		uint8_t allocateLoadBalancerNodePorts; /* enum tri */
		int64_t healthCheckNodePort;
	} spec;
	struct {
		struct lb_status loadBalancer;
		LIST(struct pod_condition) conditions;
	} status;
};

/* ---- discovery.k8s.io/v1 */

#define LABEL_SERVICE_NAME "kubernetes.io/service-name"
#define LABEL_ZONE         "topology.kubernetes.io/zone"
#define LABEL_NO_BALANCER  "node.kubernetes.io/exclude-from-external-load-balancers" /* Node */
/* On Services and EndpointSlices, with any value: no node makes rules for them. */
#define LABEL_HEADLESS   "service.kubernetes.io/headless"
#define LABEL_PROXY_NAME "service.kubernetes.io/service-proxy-name"

enum slice_type { SLICE_NONE, SLICE_IPV4, SLICE_IPV6, SLICE_FQDN };

struct endpoint_conditions {
	uint8_t ready, serving, terminating; /* enum tri */
};

struct endpoint_hint {
	const char *name;
};

struct endpoint_hints {
	LIST(struct endpoint_hint) forZones;
	LIST(struct endpoint_hint) forNodes;
};

struct target_ref {
	const char *kind, *namespace, *name;
};

struct slice_endpoint {
	LIST(const char *) addresses; /* all of one endpoint; the first is used */
	struct endpoint_conditions conditions;
	const char *hostname, *nodeName, *zone;
	struct endpoint_hints *hints;
	struct target_ref *targetRef;
};

struct slice_port {
	const char *name; /* of the Service's port */
	uint8_t protocol; /* enum protocol; PROTO_NONE means TCP */
	int64_t port;     /* 0: absent */
	const char *appProtocol;
};

struct endpoint_slice {
	struct meta meta;
	uint8_t addressType; /* enum slice_type */
	LIST(struct slice_endpoint) endpoints;
	LIST(struct slice_port) ports;
};

/* ---- networking.k8s.io/v1 */

#define LABEL_NAMESPACE_NAME "kubernetes.io/metadata.name" /* every Namespace has it: its name */

enum policy_type { POLICY_TYPE_NONE, POLICY_INGRESS, POLICY_EGRESS };

struct policy_port {
	uint8_t protocol;   /* enum protocol; PROTO_NONE means TCP */
	struct intstr port; /* absent: every port; a name: of the pod that receives */
	struct opt_i64 endPort;
};

struct ip_block {
	const char *cidr;
	LIST(const char *) except;
};

struct policy_peer { /* an ipBlock, or one selector, or both */
	struct label_selector *podSelector, *namespaceSelector;
	struct ip_block *ipBlock;
};

struct policy_rule {
	LIST(struct policy_port) ports; /* none: every protocol and port */
	LIST(struct policy_peer) peers; /* from, to; none: everybody */
};

struct network_policy {
	struct meta meta;
	struct {
		struct label_selector podSelector;
		LIST(uint8_t) policyTypes; /* enum policy_type */
		LIST(struct policy_rule) ingress, egress;
	} spec;
};

/* Is this direction the policy's business? Without policyTypes ingress is, and egress where it
 * has rules for it. */
bool network_policy_has(const struct network_policy *p, enum policy_type type);

/* ---- coordination.k8s.io/v1 */

struct lease {
	struct meta meta;
	struct {
		const char *holderIdentity; /* NULL or "": nobody */
		int64_t leaseDurationSeconds, leaseTransitions;
		int64_t acquireTime, renewTime; /* the holder's clock: for people */
	} spec;
};

/* ---- fairlead.io/v1 */

enum pool_mode { POOL_MODE_NONE, POOL_DIRECT, POOL_VXLAN, POOL_IPIP };
enum route_source { ROUTES_NONE, ROUTES_STORE, ROUTES_BGP };

struct ippool {
	struct meta meta;
	struct {
		struct prefix cidr;
		int64_t blockSize;        /* prefix length of a block; 0: 26 or 122 */
		uint8_t mode;             /* enum pool_mode; POOL_MODE_NONE means VXLAN */
		uint8_t crossSubnet;      /* encapsulate only between subnets */
		uint8_t natOutgoing;      /* masquerade to destinations outside of every pool */
		uint8_t disabled;         /* no new addresses from here */
		uint8_t strictAffinity;   /* no address outside of the node's own blocks */
		int64_t maxBlocksPerNode; /* 0: no limit */
		struct label_selector *nodeSelector;
		uint8_t routes; /* enum route_source; ROUTES_NONE means store */
	} spec;
};

enum borrow_state { BORROW_ASKED, BORROW_GRANTED, BORROW_REFUSED };

/* An address of a block that another node wants or has. It is in use, and a route of its own,
 * only while Granted: by the block's owner, who alone knows what is free. */
struct block_borrow {
	struct ipaddr address;     /* absent: any will do, the owner fills it in */
	const char *node, *handle; /* who borrows, and for which attachment */
	uint8_t state;             /* enum borrow_state */
};

struct ipblock {
	struct meta meta; /* name: "10-244-1-0-26", "fd00-10--40-122" (ipam_block_name()) */
	struct {
		struct prefix cidr;
		const char *pool; /* name of the IPPool */
		const char *node; /* name of the Node that owns it */
		struct ipaddr
			tunnelAddress; /* the node's own address, in its first block of a family */
		/* Loans to other nodes, asked for by compare-and-swap (core/ipam/ipam.h). */
		LIST(struct block_borrow) borrowed;
	} spec;
};

struct ipreservation {
	struct meta meta;
	struct {
		LIST(struct prefix) reservedCIDRs;
	} spec;
};

/* A port of the node that leads into a pod: CNI's capability portMappings. */
struct port_mapping {
	int64_t hostPort, containerPort;
	uint8_t protocol;     /* enum protocol */
	struct ipaddr hostIP; /* family 0: every address; unspecified: every one of the family */
};

struct workload_endpoint {
	struct meta meta; /* name: pod (or container id) + "-" + interface */
	struct {
		const char *node, *pod, *network, *containerID, *interface, *hostInterface;
		struct macaddr mac;
		LIST(struct prefix) ips;
		LIST(struct port_mapping) ports;
		LIST(struct ipaddr) gateways; /* of the bridge that it is a port of; none: routed */
	} spec;
};

struct node_state {
	struct meta meta; /* name: the Node */
	struct {
		int64_t observedRevision; /* this node's kernel holds the store's state up to here */
		const char *version;
		int64_t pods;
		struct ipaddr tunnel4, tunnel6;
		struct macaddr vxlanMAC;
		LIST(struct pod_condition) conditions;
		const char *uplink;          /* NULL: none */
		int64_t mtu;                 /* of the uplink, bytes; 0: not known */
		LIST(struct prefix) subnets; /* its addresses, with their length */
		LIST(struct prefix) serviceCIDRs;
		LIST(struct ipaddr) dnsAddresses;
	} status;
};

/* ---- kinds */

struct kind {
	uint8_t id;                                           /* enum kind_id */
	const char *api_version, *name, *plural, *short_name; /* short_name may be NULL */
	uint8_t namespaced;
	uint8_t derived; /* written by daemons for people; does not move the observed revision */
	const struct schema *schema;
};

/* NULL for an id outside of the enum and for kinds that have no table yet. */
const struct kind *kind_by_id(unsigned id);
/* By apiVersion and kind of a manifest; NULL when fairlead does not know it. */
const struct kind *kind_by_name(const char *api_version, const char *kind);
/* By what a person types: "pods", "pod", "po", "Pod"; NULL when unknown. */
const struct kind *kind_by_word(const char *word);

/* Kubernetes' limits; longer names are refused at every door. */
#define NAME_MAX_LEN 253
#define NS_MAX_LEN   63

/* One object with its own memory. `body` points to the kind's struct, whose first member is
 * struct meta, in `arena`. */
struct object {
	const struct kind *kind;
	struct meta *meta; /* == body */
	void *body;
	uint64_t rev; /* the store's revision of its last change */
	struct arena arena;
};

/* All zero but for kind, meta and body; NULL when there is no memory. */
struct object *object_new(const struct kind *k);
void object_free(struct object *o); /* o itself too; NULL is fine */

/* ---- the set of all objects known */

struct cluster;

struct cluster *cluster_new(void);
void cluster_free(struct cluster *c);
/* Takes ownership of `o`, replacing an object of the same kind, namespace and name.
 * Returns the replaced object (the caller frees it), or NULL. */
struct object *cluster_put(struct cluster *c, struct object *o);
/* Removes and returns it (the caller frees it), or NULL. */
struct object *cluster_take(struct cluster *c, unsigned kind, const char *ns, const char *name);
const struct object *cluster_get(const struct cluster *c, unsigned kind, const char *ns,
				 const char *name);
/* All of one kind, sorted by namespace and name; valid until the next put or take. */
const struct object *const *cluster_all(const struct cluster *c, unsigned kind, size_t *n);
/* The IPPool, the first of cluster_all(), that has all of these addresses; NULL: none. */
const struct ippool *cluster_pool_of(const struct cluster *c, const struct prefix *p);

/* Kubernetes' selector rules: an empty selector matches everything, NULL nothing. */
bool selector_match(const struct label_selector *s, const struct strmap *labels);
/* In kubectl's words ("app=web,tier in (a,b),!old"), the same for selectors that ask the same
 * requirements in another order or spelling; "" for the empty one. In `a`; NULL: no memory. */
const char *selector_text(const struct label_selector *s, struct arena *a);
