/* SPDX-License-Identifier: Apache-2.0 */
/* What fairlead-cni and the agent say to each other (REC_CNI_REQUEST, REC_CNI_REPLY): the CNI
 * call after its JSON was judged, and the answer before it becomes JSON again. The plugin
 * opens CNI_NETNS itself and passes the descriptor along, so the agent may live in another
 * mount namespace. CNI 1.1.0, sections 2, 4 and 5. */
#pragma once
#include "model/cluster.h"

enum cni_verb { CNI_NONE, CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION };
enum cni_attach { CNI_ROUTED, CNI_BRIDGE };

/* Error codes of the specification, and ours above 100. */
enum cni_code {
	CNI_OK = 0,
	CNI_ERR_VERSION = 1,
	CNI_ERR_FIELD = 2,
	CNI_ERR_UNKNOWN_CONTAINER = 3,
	CNI_ERR_ENV = 4,
	CNI_ERR_IO = 5,
	CNI_ERR_DECODE = 6,
	CNI_ERR_CONFIG = 7,
	CNI_ERR_TRY_LATER = 11,
	CNI_ERR_UNAVAILABLE = 50,
	CNI_ERR_LIMITED = 51,
	CNI_ERR_EXISTS = 100,     /* this attachment is there already */
	CNI_ERR_NO_ADDRESS = 101, /* the pools have none left, or not the requested one */
	CNI_ERR_CHECK = 102,      /* the kernel differs from the result */
	CNI_ERR_PORT = 103,       /* somebody else has this port of the node */
	CNI_ERR_INTERNAL = 999,
};

struct cni_interface {
	const char *name;
	struct macaddr mac;
	int64_t mtu;
	const char *sandbox; /* NULL on the host */
};

struct cni_ip {
	struct prefix address;
	struct ipaddr gateway;
	struct opt_i64 interface; /* index into interfaces */
};

struct cni_route {
	struct prefix dst;
	struct ipaddr gw;
	int64_t mtu, advmss, priority;
	struct opt_i64 table, scope;
};

struct cni_result {
	LIST(struct cni_interface) interfaces;
	LIST(struct cni_ip) ips;
	LIST(struct cni_route) routes;
	struct {
		LIST(const char *) nameservers;
		const char *domain;
		LIST(const char *) search;
		LIST(const char *) options;
	} dns;
};

struct cni_attachment {
	const char *containerID, *ifname;
};

struct cni_request {
	uint8_t verb;      /* enum cni_verb, never VERSION */
	uint8_t ipam_only; /* called as fairlead-ipam: addresses, no interface */
	uint8_t attach;    /* enum cni_attach */
	const char *network, *containerID, *ifname, *netns;
	const char *pod_namespace, *pod_name, *pod_uid; /* from CNI_ARGS; NULL: a bare container */
	const char *bridge;                /* bridge attachment: device name, or NULL */
	int64_t mtu;                       /* 0: from the uplink and the pools' modes */
	struct macaddr mac;                /* all zero: derived */
	LIST(struct ipaddr) ips;           /* requested addresses */
	LIST(struct port_mapping) ports;   /* ADD and CHECK */
	LIST(const char *) pools;          /* names or CIDRs of pools to take from; empty: any */
	LIST(struct cni_attachment) valid; /* GC */
	struct cni_result *prev;           /* CHECK, and DEL where the runtime sends it */
};

struct cni_reply {
	int64_t code; /* enum cni_code */
	const char *msg, *details;
	struct cni_result result; /* ADD */
};

extern const struct schema cni_result_schema, cni_request_schema, cni_reply_schema,
	cni_attachment_schema;
