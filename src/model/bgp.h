/* SPDX-License-Identifier: Apache-2.0 */
/* What the store says of BGP: BGPConfiguration, BGPPeer, BGPFilter (fairlead.io/v1, fields named as Calico's where it
 * has them), the Secrets that hold passwords, and the annotations of Nodes. core/bgp/peers.h makes of them what one
 * node's speaker is to be. */
#pragma once
#include "model/cluster.h"

/* Node: it reflects routes, and this is its cluster (RFC 4456), as an address. */
#define ANNOTATION_CLUSTER_ID "fairlead.io/route-reflector-cluster-id"
#define ANNOTATION_AS_NUMBER  "fairlead.io/as-number" /* Node: its own AS */

/* What they say; 0: nothing. */
uint32_t annotation_as_number(const struct meta *m);
uint32_t annotation_cluster_id(const struct meta *m);

#define BGP_DEFAULT_AS 64512

/* Names of BGPConfigurations: of all nodes, and what one node has otherwise. */
#define BGP_CONFIG_DEFAULT "default"
#define BGP_CONFIG_NODE    "node."

/* ---- Secret: core/v1, only of this type. Others hold what is none of our business. */

#define SECRET_BGP_PASSWORD "fairlead.io/bgp-password"
#define SECRET_NAMESPACE    "kube-system" /* of those that BGPPeers refer to */
#define PASSWORD_MAX        80            /* octets: TCP_MD5SIG_MAXKEYLEN */

struct secret {
	struct meta meta;
	const char *type;
	struct strmap data;       /* base64 */
	struct strmap stringData; /* plain; goes before data */
};

/* The octets under this key, as many as it returns; 0: it is not there, or no password. */
size_t secret_password(const struct secret *s, const char *key, uint8_t out[PASSWORD_MAX]);

/* ---- parts of several kinds */

struct bgp_secret_key {
	const char *name, *key;
};

struct bgp_password { /* one of them */
	struct bgp_secret_key *secretKeyRef;
	const char *file;
};

struct bgp_restart {
	uint8_t enabled; /* enum tri */
	struct opt_i64 restartTimeSeconds;
};

#define BGP_RESTART_TIME 120

struct bgp_bfd {
	uint8_t enabled, multihop; /* enum tri */
	int64_t interval, detectMultiplier, minimumTTL;
};

#define BGP_BFD_INTERVAL    100 /* ms */
#define BGP_BFD_MULTIPLIER  3
#define BGP_BFD_MINIMUM_TTL 1

struct bgp_timers { /* seconds, absent where not set */
	struct opt_i64 holdTimeSeconds, keepAliveTimeSeconds, connectRetryTimeSeconds;
};

#define BGP_HOLD_TIME     90
#define BGP_CONNECT_RETRY 5

/* ---- BGPConfiguration */

struct bgp_cidr {
	struct prefix cidr;
};

struct bgp_named_community {
	const char *name, *value;
};

struct bgp_advertisement {
	struct prefix cidr;
	LIST(const char *) communities; /* values, or names of the configuration's */
};

struct bgpconfiguration {
	struct meta meta;
	struct {
		int64_t asNumber;
		uint8_t nodeToNodeMeshEnabled; /* enum tri */
		struct bgp_password *nodeMeshPassword;
		int64_t listenPort;
		LIST(struct bgp_cidr) serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs;
		LIST(struct prefix) networks;
		LIST(struct bgp_named_community) communities;
		LIST(struct bgp_advertisement) prefixAdvertisements;
		int64_t multipath;
		struct bgp_restart *gracefulRestart;
		struct bgp_timers timers;
		struct bgp_bfd *bfd;
		uint8_t ebgpRequiresPolicy; /* enum tri */
	} spec;
};

#define BGP_MULTIPATH 8

/* ---- BGPPeer */

enum bgppeer_next_hop { NEXT_HOP_NONE, NEXT_HOP_AUTO, NEXT_HOP_SELF };
enum bgppeer_source { SOURCE_ADDRESS_NONE, SOURCE_USE_NODE_IP, SOURCE_ANY };

struct bgppeer {
	struct meta meta;
	struct {
		const char *node;
		struct label_selector *nodeSelector;
		const char *peerIP; /* an address, perhaps with a port */
		struct label_selector *peerSelector;
		int64_t asNumber;
		uint8_t passive;
		struct bgp_password *password;
		int64_t ttlSecurity;
		LIST(uint8_t) families; /* enum ip_family */
		uint8_t nextHopMode, sourceAddress;
		LIST(const char *) filters;
		int64_t maxPrefixes;
		struct bgp_restart *gracefulRestart;
		struct bgp_timers timers;
		struct bgp_bfd *bfd;
	} spec;
};

/* "10.0.0.1", "10.0.0.1:1179", "fd00::1", "[fd00::1]:1179"; the port is 0 where there is none. */
int peer_ip_parse(const char *s, struct ipaddr *addr, uint16_t *port);

/* ---- BGPFilter */

enum filter_action { FILTER_NONE, FILTER_ACCEPT, FILTER_REJECT };
enum filter_match { MATCH_NONE, MATCH_IN, MATCH_NOT_IN, MATCH_EQUAL, MATCH_NOT_EQUAL };
enum filter_peer { FILTER_PEER_NONE, FILTER_PEER_EBGP, FILTER_PEER_IBGP };

struct filter_length {
	struct opt_i64 min, max;
};

struct filter_communities {
	LIST(const char *) values;
};

struct filter_community {
	const char *value;
};

struct filter_prepend {
	LIST(int64_t) prefix;
};

struct filter_value {
	struct opt_i64 value; /* required; 0 is one */
};

struct filter_operation { /* one of them */
	struct filter_community *addCommunity;
	struct filter_prepend *prependASPath;
	struct filter_value *setLocalPreference;
};

struct filter_rule {
	uint8_t action; /* enum filter_action */
	struct prefix cidr;
	uint8_t matchOperator; /* enum filter_match; of cidr */
	struct filter_length *prefixLength;
	uint8_t peerType; /* enum filter_peer */
	struct filter_communities *communities;
	LIST(int64_t) asPathPrefix;
	LIST(struct filter_operation) operations;
};

struct bgpfilter {
	struct meta meta;
	struct {
		LIST(struct filter_rule) importV4, exportV4, importV6, exportV6;
	} spec;
};

/* "65000:100" (RFC 1997), "65000:1:2" (RFC 8092), or a well-known name of the registry. Returns the numbers in
 * `v`: 1 of the whole, or 3; -EINVAL. */
int community_parse(const char *s, uint32_t v[3]);
