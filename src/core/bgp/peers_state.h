/* SPDX-License-Identifier: Apache-2.0 */
/* Within peers.h: the frame, which is what all sessions have in common (peers.c) with what each BGPPeer and the mesh bring
 * (peers_source.c, peers_filter.c), and the rows below it: Nodes and addresses (peers_nodes.c), own routes (peers_own.c).
 *
 * A frame is made whole, in an arena of its own, and refers to objects of the store only until the first change that makes the
 * next one due; what may be asked for in between lies in the arena. */
#pragma once
#include "base/by_name.h"
#include "core/bgp/peers.h"
#include "model/bgp.h"

/* A problem of a row, which comes and goes with it. */
struct trouble {
	char *object, *text; /* NULL: none */
	struct trouble *next, **prev;
};

/* A BGPPeer that concerns this node, or the mesh. */
struct source {
	const char *name;          /* of the BGPPeer */
	const char *label;         /* of the object, for problems */
	const struct bgppeer *how; /* NULL: the mesh */
	/* A router's. Family 0: it selects Nodes, and this node has them as peers, or is one to them. */
	struct ipaddr addr;
	uint16_t port;
	bool has, is;
	bool off; /* it cannot be done as it says: its addresses have no session */
	struct bgp_transport transport;
	struct bgp_filter import[BGP_FAMILIES], export[BGP_FAMILIES];
	struct source *next_here; /* the next router of this address */
	struct trouble trouble;
};

struct want_problem {
	const char *object, *text;
	struct want_problem *next;
};

struct want { /* a frame */
	const char *node;
	const struct bgp_view *v; /* while it is made, and rows are judged */
	struct arena arena, *a;
	struct bgp_want out;
	const struct node *self;      /* while it is made */
	struct bgpconfiguration conf; /* default's, with what this node has otherwise */
	struct ipaddr ip[BGP_FAMILIES];
	uint32_t as, id;
	bool kept;
	struct source *sources; /* in the order in which they have an address */
	size_t n_sources;
	struct prefix *subnets;
	size_t n_subnets;
	struct want_problem *problems, **last_problem;
};

struct place;
struct member;

/* A Node at one of its addresses. */
struct stay {
	struct member *node;
	struct place *place;
	struct stay *next, **prev;
};

struct member { /* a Node */
	/* First. The key is "node/NAME", which is the peer's name where a router has the Node's. */
	struct by_name id;
	const struct object *object; /* NULL: it is gone, or was never there */
	struct stay at[BGP_FAMILIES];
	const struct source *source; /* by which it is a peer; NULL: by none */
	int family;                  /* enum bgp_family, of its session; -1: none that both have */
	bool due;
	struct member *next_due;
	struct trouble trouble;
};

struct place { /* an address */
	struct ipaddr addr;
	struct source *routers; /* in their order */
	struct stay *nodes;
	bool has; /* a peer */
	struct bgp_peer_conf conf;
	struct bgp_transport transport;
	const char *told;       /* the name of the peer that was told; NULL: none */
	uint32_t discriminator; /* of BFD; 0: none yet */
	bool due;
	struct place *next_due;
	UT_hash_handle hh, hh_bfd;
};

struct bgp_wants {
	char *node;
	struct want frame[2]; /* the one at hand; the other while it is followed */
	unsigned now;
	bool any; /* there is a frame */
	bool learned; /* all that the cluster has; false: in the beginning, and after a lack of memory */
	bool again; /* the frame is to be made anew */
	struct by_name *members;
	struct place *places, *by_discriminator;
	struct member *due;
	struct place *due_places;
	uint32_t n_bfd[2];      /* over one hop, over several */
	struct by_name *blocks; /* IPBlocks with routes of ours: struct holding of peers_own.c */
	bool own_due;
	struct prefix *own; /* as told, in order */
	size_t n_own;
	struct trouble *troubles;
	uint64_t troubles_version;
	struct bgp_wants_work work;
};

static inline struct want *wants_frame(struct bgp_wants *w)
{
	return &w->frame[w->now];
}

/* ---- peers.c */

void want_problem(struct want *w, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The first InternalIP of each family. */
void want_node_ips(const struct node *n, struct ipaddr ip[BGP_FAMILIES]);
/* The BGPConfiguration of this name, without or with "node." before it; NULL. */
const struct bgpconfiguration *want_config(const struct want *w, const char *prefix,
					   const char *name);
/* Makes it; the arena is empty. -ENOMEM. */
int want_make(struct want *w, const char *node, const struct bgp_view *v);

/* ---- peers_follow.c */

/* Replaces what the row's problem was; `object` NULL: there is none. Without memory it is not said. */
void wants_trouble(struct bgp_wants *w, struct trouble *t, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- peers_source.c */

void want_sources(struct want *w);
/* Does it select this Node, on the side that speaks of "node" and "nodeSelector"? */
bool want_has_peer(const struct bgppeer *p, const struct meta *node);
/* The first that has this Node as a peer; NULL: none. */
const struct source *want_source_of(const struct want *w, const struct node *n);
/* What a session by this source is, but for BFD's discriminator. */
struct peer_facts {
	const char *name;
	struct ipaddr addr;
	uint16_t port;
	uint32_t as, cluster_id;
};
void want_session(const struct want *w, const struct source *s, const struct peer_facts *f,
		  struct bgp_peer_conf *p, struct bgp_transport *t);

/* ---- peers_filter.c */

/* Of these BGPFilters, in one direction and family. */
struct bgp_filter want_filter(struct want *w, const struct bgppeer *p, bool import,
			      enum bgp_family family);
void want_missing_filters(struct want *w, const struct bgppeer *p, const char *label);

/* ---- peers_nodes.c */

struct member *wants_member(struct bgp_wants *w, const char *name, bool make);
void wants_member_due(struct bgp_wants *w, struct member *m);
/* Judges what is due, and tells it. -ENOMEM: not all. */
int wants_tell_peers(struct bgp_wants *w, const struct bgp_wants_ops *ops, void *arg);
/* A new frame: all is due. -ENOMEM. */
int wants_all_due(struct bgp_wants *w);
void wants_drop_rows(struct bgp_wants *w);

/* ---- peers_own.c */

/* An IPPool, or IPBlock, is another. True: so may be the routes. Without memory `learned` is false afterwards. */
bool wants_pool(struct bgp_wants *w, const struct object *old, const struct object *now);
bool wants_block(struct bgp_wants *w, const struct object *old, const struct object *now);
void wants_drop_blocks(struct bgp_wants *w);
int wants_tell_own(struct bgp_wants *w, const struct bgp_wants_ops *ops, void *arg); /* -ENOMEM */
