/* SPDX-License-Identifier: Apache-2.0 */
/* Role bgp: the sockets, timers and streams around the speaker of core/bgp, which holds sessions and tables and decides.
 *
 *   bgp.c        the role: start, end, times, turns, metrics
 *   bgp_conn.c   connections to peers: bytes in, bytes out
 *   bgp_listen.c connections from peers, and their passwords
 *   bgp_bfd.c    BFD's datagrams
 *   bgp_store.c  the mirror of the store → what the speaker is to be
 *   bgp_origin.c what this node tells of itself
 *   bgp_agent.c  what the agent wants told, and routes to the agent
 *   bgp_ctl.c    bgp.sock: what `fairlead bgp` asks
 *
 * Everything that happens ends with bgp_wake(): one turn follows within the same turn of the loop, which tells peers and agent
 * what is new as far as they have room, a bounded piece at a time, and comes again while somebody has room and is not told all.
 * So no change costs more than the number of those who are told, and a large table holds up nobody's keepalives. */
#pragma once
#include "core/bgp/peers.h"
#include "daemon/ctl.h"
#include "daemon/mirror.h"
#include "daemon/report.h"
#include "daemon/role.h"

struct bgp_conn;
struct bgp_listeners;
struct bgp_store_state;
struct bgp_agent_state;
struct bgp_origins;

struct bgp {
	struct role *role;
	struct bgp_speaker *speaker;  /* NULL: there is none to be, or not yet */
	struct bgp_speaker_conf conf; /* its own */
	ev_timer turn, time;
	struct bgp_conn *conns;
	struct bgp_conn *offered; /* while the speaker is asked whether it takes it */
	uint8_t *room;            /* for what is read: BGP_ROOM octets */
	struct buf fill;          /* for what is told */
	struct bgp_listeners *listeners;
	struct bgp_store_state *store;
	struct bgp_agent_state *agent;
	struct bgp_origins *origins;
	struct ctl_server ctl;
	struct report report;
	uint64_t refused; /* connections of nobody that is a peer */
};

#define BGP_ROOM 65536u

/* What the role has of a peer, as bgp_peer_data(). */
struct bgp_end {
	struct bgp_conn *conn[BGP_SIDES];
	/* BFD: a socket of its own, so that its port is the session's (RFC 5881 4). */
	struct bgp *bgp;
	struct bgp_peer *peer;
	int bfd_fd;               /* -1 */
	uint16_t bfd_port;        /* it sends to */
	struct ipaddr bfd_source; /* it sends from; family 0: the kernel chose */
	bool bfd_said;            /* in the log, that it cannot send */
	ev_timer bfd_timer;
	/* The log, at most so many lines at once. */
	int64_t noted_ms;
	uint32_t noted, unsaid;
};

/* ---- bgp.c */

int64_t bgp_now_ms(void);
void bgp_wake(struct bgp *b);
/* The speaker is to be this one; ends the one before where it differs in what cannot change. -ENOMEM. */
int bgp_speak(struct bgp *b, const struct bgp_want *want);
/* No speaker any more; `graceful` as bgp_speaker_stop() has it. */
void bgp_silence(struct bgp *b, bool graceful, const char *why);
struct bgp_end *bgp_end_of(struct bgp *b, struct bgp_peer *p); /* NULL: no memory */

/* ---- bgp_conn.c */

void bgp_conn_io(struct bgp *b, struct bgp_io *io); /* fills in what connections do */
/* An accepted connection, which becomes the speaker's, or is closed. */
void bgp_conn_offer(struct bgp *b, struct bgp_peer *p, int fd);
/* Writes what waits and fills what has room; true: there is more to tell to somebody. */
bool bgp_conns_turn(struct bgp *b);
/* Writes what goes without waiting, and closes. */
void bgp_conns_close(struct bgp *b);

/* ---- bgp_listen.c */

int bgp_listen_open(struct bgp *b, struct err *e);
void bgp_listen_close(struct bgp *b);
/* Listens on these ports; 0: on none. */
void bgp_listen_update(struct bgp *b, uint16_t bgp_port, uint16_t bfd_port, uint16_t multihop_port);
/* The peer's password, or that it has none, is on the listeners afterwards. */
void bgp_listen_secret(struct bgp *b, const struct bgp_peer_conf *c, const struct bgp_transport *t);

/* ---- bgp_bfd.c */

void bgp_bfd_update(struct bgp *b, struct bgp_peer *p); /* after it was configured */
void bgp_bfd_gone(struct bgp_end *end);
void bgp_bfd_leave(struct bgp *b); /* tells all that this is no failure */
/* What came to a socket of this port. */
void bgp_bfd_take(struct bgp *b, int fd, uint16_t port);

/* ---- bgp_store.c */

int bgp_store_open(struct bgp *b, struct err *e);
void bgp_store_close(struct bgp *b);
void bgp_store_join(struct bgp *b, int fd);
void bgp_store_wake(struct bgp *b); /* something that the want follows from is another */
const struct bgp_want *bgp_store_want(const struct bgp *b);   /* NULL */
const struct bgp_wants *bgp_store_wants(const struct bgp *b); /* never NULL */
/* Of the peer; NULL: it is not wanted any more. */
const struct bgp_transport *bgp_store_transport(const struct bgp *b, const struct bgp_peer *p);

/* ---- bgp_origin.c: each prefix once, whoever wants it told */

int bgp_origin_own(struct bgp *b, const struct bgp_own *o); /* the store's; -ENOMEM: not told */
void bgp_origin_no_own(struct bgp *b, const struct prefix *p);
int bgp_origins_judge(
	struct bgp *b); /* the agent's, by other attributes perhaps; -ENOMEM: not all */
int bgp_origin_put(struct bgp *b, const struct rec_origin *o); /* the agent's; -ENOMEM */
void bgp_origins_begin(struct bgp *b);                         /* the agent's list begins anew… */
void bgp_origins_listed(struct bgp *b);                        /* …and was this */
void bgp_origins_forget(struct bgp *b); /* the speaker ends: nothing is told now */
const char *bgp_origin_why(const struct bgp *b, const struct prefix *p); /* "" */
void bgp_origins_free(struct bgp *b);

/* ---- bgp_agent.c */

int bgp_agent_open(struct bgp *b, struct err *e);
void bgp_agent_close(struct bgp *b);
void bgp_agent_join(struct bgp *b, int fd);
bool bgp_agent_turn(struct bgp *b); /* true: there is more to tell */
/* It said what it wants told, or nobody waits for it any more. */
bool bgp_agent_is_heard(const struct bgp *b);
bool bgp_agent_kept(const struct bgp *b); /* the kernel has our routes from before */
void bgp_agent_forget(struct bgp *b);     /* the tables end: what is told begins anew */

/* ---- bgp_ctl.c, bgp_report.c */

/* Why the best of its paths is that: "preferred: shorter AS path". */
const char *bgp_why(const struct bgp_dest *d, char buf[96]);
void bgp_report(struct report *r, void *arg);
void bgp_report_gone(struct bgp *b, const struct bgp_peer *p);

extern const struct ctl_verb bgp_verbs[];
void bgp_ctl_forget(struct bgp *b); /* the tables end: so do listings of them */
