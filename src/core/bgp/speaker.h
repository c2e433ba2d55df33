/* SPDX-License-Identifier: Apache-2.0 */
/* The speaker: peers, their sessions, the tables, and what ties them. Bytes, times and connections come in; bytes, connections
 * that are wanted, and routes go out. It has no sockets and no clock: its owner (role `bgp`) does what `struct bgp_io` asks for,
 * at once and without calling back, and says what happened.
 *
 * A peer has a session (fsm.h), is a source of paths (rib.h), and while its session is up a reader of each table that it agreed on.
 * What it tells goes through the import filter into the table; what it is told is taken out of the table when its connection has
 * room (bgp_peer_fill), so that a slow one waits alone and holds nobody up.
 *
 * Peers are given one by one: one that is the same goes on, one that differs in what a session cannot change starts anew, of one that
 * differs in filters the table is filtered or told again (RFC 2918: by asking the peer). What that costs does not depend on the others.
 *
 * Graceful restart (RFC 4724): routes of a peer that restarts stay for its restart time, or until it said End-of-RIB. While we restart
 * nothing is told until all peers that said that they help have told everything (4.1), or our own restart time is over. */
#pragma once
#include "core/bgp/bfd.h"
#include "core/bgp/filter.h"
#include "core/bgp/fsm.h"
#include "core/bgp/out.h"

struct bgp_speaker;
struct bgp_peer;

struct bgp_speaker_conf {
	uint32_t as, id;
	uint32_t multipath;    /* 1 to 255 */
	uint16_t restart_time; /* seconds, 0: we do not restart */
	bool restarting;       /* the kernel still has our routes from before */
};

/* One peer as it is wanted. Filters live until another configuration of the peer was given, the rest is copied. */
struct bgp_peer_conf {
	const char *name; /* of the object, or of the node: what status calls it */
	struct ipaddr addr;
	uint16_t port;
	struct bgp_session_conf session;
	bool client;         /* ours, as route reflector */
	uint32_t cluster_id; /* 0: the speaker's identifier */
	bool next_hop_self;
	struct prefix on_link; /* the link that both are on; family 0: none is known */
	struct ipaddr next_hop[BGP_FAMILIES], link_local; /* ours, as the peer reaches it */
	struct bgp_filter import[BGP_FAMILIES], export[BGP_FAMILIES];
	uint32_t max_prefixes; /* per family; 0: as many as there are */
	struct bfd_conf bfd;   /* multiplier 0: without */
	uint64_t
		transport; /* a digest of what only the owner knows (password, TTL): another one starts the session anew */
};

struct bgp_io {
	void (*connect)(struct bgp_peer *p, void *arg);
	void (*take)(struct bgp_peer *p,
		     void *arg); /* the connection just offered by bgp_peer_accepted() */
	void (*send)(struct bgp_peer *p, enum bgp_side side, const void *v, size_t n, void *arg);
	void (*close)(struct bgp_peer *p, enum bgp_side side, void *arg); /* after what was sent */
	void (*gone)(struct bgp_peer *p, void *arg); /* it is about to be freed */
	/* One line for the log: "peer n2 (10.0.0.2): up". */
	void (*note)(const struct bgp_peer *p, bool bad, const char *text, void *arg);
	void *arg;
};

struct bgp_speaker *bgp_speaker_new(const struct bgp_speaker_conf *c, const struct bgp_io *io,
				    int64_t now_ms); /* NULL: no memory */
void bgp_speaker_free(struct bgp_speaker *s);        /* says nothing: stop first */
/* A peer that is wanted, by its name, new or perhaps another. Of two with one address, or where one has another's name, what is not wanted
 * is dropped first. -ENOMEM: it is not there, and the next call tries again. */
int bgp_speaker_put(struct bgp_speaker *s, const struct bgp_peer_conf *c, int64_t now_ms);
/* One that is wanted no more; no harm where there is none. */
void bgp_speaker_drop(struct bgp_speaker *s, const char *name, int64_t now_ms);
/* All that is wanted was put: while it restarts, whom else it waits for is judged again. */
void bgp_speaker_settle(struct bgp_speaker *s);
/* Ends all sessions, so that peers know (`graceful`: they keep our routes, as of a restart). */
void bgp_speaker_stop(struct bgp_speaker *s, bool graceful, const char *why, int64_t now_ms);

/* Our own routes. `attrs` may be NULL: plain. -ENOMEM. */
int bgp_speaker_originate(struct bgp_speaker *s, const struct prefix *p,
			  const struct bgp_draft *attrs, int64_t now_ms);
void bgp_speaker_withdraw(struct bgp_speaker *s, const struct prefix *p);

struct bgp_rib *bgp_speaker_rib(const struct bgp_speaker *s, enum bgp_family family);
/* All that ends, or begins, with a time; when next, 0: never. */
void bgp_speaker_time(struct bgp_speaker *s, int64_t now_ms);
int64_t bgp_speaker_at(const struct bgp_speaker *s);
/* False while it restarts and waits for what its peers know, also of those that restart beside it: what the tables hold is not
 * everything yet. */
bool bgp_speaker_is_complete(const struct bgp_speaker *s);

/* ---- peers */

struct bgp_peer *bgp_speaker_find(const struct bgp_speaker *s,
				  const struct ipaddr *addr);                      /* NULL */
struct bgp_peer *bgp_speaker_named(const struct bgp_speaker *s, const char *name); /* NULL */
struct bgp_peer *bgp_peer_first(const struct bgp_speaker *s);                      /* in no order */
struct bgp_peer *bgp_peer_after(const struct bgp_peer *p);

void bgp_peer_connected(struct bgp_peer *p, int64_t now_ms);
void bgp_peer_accepted(struct bgp_peer *p, int64_t now_ms);
void bgp_peer_failed(struct bgp_peer *p, enum bgp_side side, int64_t now_ms);
/* As many octets of whole messages as were taken from the front of these; the rest is to be given again, with more. */
size_t bgp_peer_received(struct bgp_peer *p, enum bgp_side side, const uint8_t *v, size_t n,
			 int64_t now_ms);
/* Messages for a connection that has room: up to `enough` octets and a message. False: there is nothing more to tell. */
bool bgp_peer_fill(struct bgp_peer *p, struct buf *b, size_t enough, int64_t now_ms);

/* What people ask for. */
void bgp_peer_reset(struct bgp_peer *p, const char *why, int64_t now_ms);
void bgp_peer_refresh(struct bgp_peer *p,
		      int64_t now_ms); /* asks for its routes, and tells it ours, again */

const char *bgp_peer_name(const struct bgp_peer *p);
const struct bgp_peer_conf *bgp_peer_conf(const struct bgp_peer *p);
const struct bgp_fsm *bgp_peer_fsm(const struct bgp_peer *p);
const struct bgp_source *bgp_peer_source(const struct bgp_peer *p);
struct bfd *bgp_peer_bfd(struct bgp_peer *p); /* NULL: without */
/* BFD's word: the way to the peer is gone, or is there again. */
void bgp_peer_bfd_changed(struct bgp_peer *p, int64_t now_ms);
void *bgp_peer_data(const struct bgp_peer *p); /* the owner's */
void bgp_peer_set_data(struct bgp_peer *p, void *data);

struct bgp_peer_counts {
	uint32_t received, told;                 /* paths, of both families */
	uint64_t withdrawn_as_faulty, discarded; /* messages, attributes (RFC 7606) */
};
void bgp_peer_count(const struct bgp_peer *p, struct bgp_peer_counts *out);
