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
 * What a change costs: bgp_wants_changed() says whether anything that is read here is another. A Node, an IPBlock or another node's
 * BGPConfiguration is followed by itself: its row, and the addresses that it has or had. What concerns all sessions (this Node, the
 * configuration, a BGPPeer, BGPFilter or Secret that this node uses) is followed whole: all rows are judged again.
 *
 * It is pure. What cannot be done as an object says is left out, never done by half (no session without the password it should have,
 * no route past a filter that is missing), and is said among the problems. */
#pragma once
#include "core/bgp/speaker.h"
#include "model/cluster.h"

struct bgp_wants;

struct bgp_view {
	const struct cluster *cluster;
	/* Addresses of this node's interfaces with the lengths of their links. */
	const struct prefix *subnets;
	size_t n_subnets;
	bool kept; /* the kernel still had our routes when this process began (RFC 4724 4.1) */
	bool alone; /* no agent puts routes into the kernel: what forwards here goes on whatever becomes of us */
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

/* What all of it has in common. */
struct bgp_want {
	bool on; /* false: this Node is not there, or has no address; then there are no peers and no routes */
	struct bgp_speaker_conf speaker;
	uint16_t listen_port;
	uint32_t cluster_id; /* 0: no route reflector */
	struct bgp_advert *adverts;
	size_t n_adverts;
	const char **files; /* that passwords were looked for in, in that order */
	size_t n_files;
};

/* What bgp_wants_follow() tells. Pointers are valid until the next bgp_wants_follow() ended, so that filters of before may be compared. */
struct bgp_wants_ops {
	void (*all)(void *arg,
		    const struct bgp_want *w); /* before peers, when all is judged again */
	/* All that are gone before all that are new, or perhaps others. A peer has a name of its own: the BGPPeer's; of a Node its
	 * own, or "node/NAME" where a router's BGPPeer has that. */
	void (*gone)(void *arg, const char *peer);
	void (*peer)(void *arg, const struct bgp_peer_conf *c, const struct bgp_transport *t);
	/* Own routes, each new one, or perhaps another one. */
	void (*no_own)(void *arg, const struct prefix *p);
	void (*own)(void *arg, const struct bgp_own *o);
};

struct bgp_wants *bgp_wants_new(const char *node); /* NULL: no memory */
void bgp_wants_free(struct bgp_wants *w);          /* NULL is fine */

/* An object of any kind is new (`old` NULL), another, or gone (`now` NULL); `now` must live until its next change is told. True:
 * something that is read is another, bgp_wants_follow() is to be called. */
bool bgp_wants_changed(struct bgp_wants *w, const struct object *old, const struct object *now);
/* What the view has beside the cluster is another: all is judged again by the next bgp_wants_follow(). */
void bgp_wants_again(struct bgp_wants *w);
/* Will the next call judge all, and read the whole view? Else of the view the cluster is enough. */
bool bgp_wants_is_due_whole(const struct bgp_wants *w);
/* Tells what is another since the last call; the first one learns what the cluster has. -ENOMEM: not everything, and the next
 * call judges and tells all. */
int bgp_wants_follow(struct bgp_wants *w, const struct bgp_view *v, const struct bgp_wants_ops *ops,
		     void *arg);

/* What was followed; NULL: nothing yet. */
const struct bgp_want *bgp_wants_all(const struct bgp_wants *w);
/* Of the peer of this address; NULL: there is none. */
const struct bgp_transport *bgp_wants_transport(const struct bgp_wants *w,
						const struct ipaddr *peer);
/* Each peer that was told, in no order. */
void bgp_wants_each(const struct bgp_wants *w,
		    void (*fn)(void *arg, const struct bgp_peer_conf *c,
			       const struct bgp_transport *t),
		    void *arg);
/* Has any peer BFD of that kind? */
bool bgp_wants_bfd(const struct bgp_wants *w, bool multihop);
/* The attributes of an own route, such as a Service's address; what they refer to is the want's. */
struct bgp_draft bgp_want_attrs(const struct bgp_want *w, const struct prefix *p);

/* "BGPPeer rack-1", "spec.filters[0]: there is no BGPFilter \"in\"; nothing is taken or told". */
void bgp_wants_problems(const struct bgp_wants *w,
			void (*fn)(void *arg, const char *object, const char *text), void *arg);
/* Another number: the problems are others. */
uint64_t bgp_wants_problems_version(const struct bgp_wants *w);

/* What was judged since the beginning. */
struct bgp_wants_work {
	uint64_t all, nodes, addresses;
};
struct bgp_wants_work bgp_wants_work(const struct bgp_wants *w);
