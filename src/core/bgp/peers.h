/* SPDX-License-Identifier: Apache-2.0 */
/* From the objects of the store to what the speaker of one node is to be: its AS and identifier, its peers with their
 * sessions, filters and connections, and the routes that it originates by itself.
 *
 * Who has whom as a peer: the full mesh (all Nodes but route reflectors, unless it is off), then BGPPeers that select this node: a router
 * by its address, or Nodes by their labels, then both sides have each other, whichever of them the object selects. One session per
 * address: a BGPPeer goes before the mesh, the first by name before others. Two Nodes speak over IPv4 where both have an InternalIP of it,
 * else over IPv6; routes of both families go over one session.
 *
 * A Node with a cluster id (annotation) reflects (RFC 4456): whoever is of its AS, but for Nodes of the same cluster, is its client.
 *
 * It is pure, whole and cheap enough to be made anew at each change: the speaker itself finds what differs. What cannot be done as an
 * object says is left out, never done by half (no session without the password it should have, no route past a filter that is
 * missing), and said in `problems`. */
#pragma once
#include "core/bgp/speaker.h"
#include "model/cluster.h"

struct bgp_objects {
	const struct object *const *v;
	size_t n;
};

struct bgp_view {
	const char *node;
	/* Node, BGPConfiguration, BGPPeer, BGPFilter, Secret, IPPool, IPBlock; of Nodes, BGPPeers and Secrets in the order of their names. */
	struct bgp_objects nodes, configs, peers, filters, secrets, pools, blocks;
	/* Addresses of this node's interfaces with the lengths of their links. */
	const struct prefix *subnets;
	size_t n_subnets;
	bool kept; /* the kernel still had our routes when this process began (RFC 4724 4.1) */
	/* The first line of a file, at most PASSWORD_MAX octets; 0: there is none. NULL: no file can be read. */
	size_t (*password_file)(const char *path, uint8_t *out, void *arg);
	void *arg;
};

/* What only sockets need; its digest is in the peer's configuration. */
struct bgp_transport {
	struct ipaddr source; /* family 0: as the kernel chooses */
	const char *password; /* NULL: none; not terminated */
	size_t password_len;
	uint8_t ttl_hops; /* 0: any TTL will do (RFC 5082: at least 256 less this) */
};

struct bgp_own { /* a route that this node originates */
	struct prefix prefix;
	struct bgp_draft attrs;
	const char *why; /* "IPBlock 10-244-1-0-26" */
};

struct bgp_advert { /* own routes in here have these attributes */
	struct prefix cidr;
	struct bgp_draft attrs;
};

struct bgp_problem {
	const char *object; /* "BGPPeer rack-1" */
	const char *
		text; /* "spec.filters[0]: there is no BGPFilter \"in\"; nothing is taken or told" */
};

/* All of it lies in the arena, and refers to the objects. */
struct bgp_want {
	bool on; /* false: this Node is not there, or has no address */
	struct bgp_speaker_conf speaker;
	uint16_t listen_port;
	uint32_t cluster_id; /* 0: no route reflector */
	/* Each with a name of its own: the BGPPeer's; of a Node its own, or "node/NAME" where a router's BGPPeer has that. */
	struct bgp_peer_conf *peers;
	struct bgp_transport *transports; /* of each peer */
	size_t n;
	struct bgp_own *origins;
	size_t n_origins;
	struct bgp_advert *adverts;
	size_t n_adverts;
	struct bgp_problem *problems;
	size_t n_problems;
};

/* -ENOMEM. */
int bgp_want(const struct bgp_view *v, struct arena *a, struct bgp_want *out);
/* The attributes of an own route, such as a Service's address; what they refer to is the want's. */
struct bgp_draft bgp_want_attrs(const struct bgp_want *w, const struct prefix *p);
