/* SPDX-License-Identifier: Apache-2.0 */
/* One peer's session: the finite state machine of RFC 4271 8, as state × event → actions.
 *
 * It has no sockets and no clock. Its owner says what happened, and when, does what comes out, and calls again at the time
 * that it names. Two connections may be there at once (6.8): the one we made and the one that the peer made. Each
 * has a state of its own up to OpenConfirm; one is left when the other is Established, or loses by identifier. The session's
 * state is that of the connection that got further; without any it is Active, or Idle while a fault makes us wait.
 *
 * That wait (8.1.1, IdleHold) grows from 1 s to 60 s with each fault, and is 1 s again after a minute in Established. It is for
 * us alone: a peer that connects meanwhile is taken, so that its restart does not wait for our patience. DelayOpen is left out.
 *
 * Routes are none of this file's business, but for how long they may stay (RFC 4724, 8538): DOWN says whether the peer's are
 * kept for its restart time. A peer that connects anew while it is Established has restarted, where both offered that; else it is refused. */
#pragma once
#include "core/bgp/msg.h"

enum bgp_state {
	BGP_IDLE,
	BGP_CONNECT,
	BGP_ACTIVE,
	BGP_OPENSENT,
	BGP_OPENCONFIRM,
	BGP_ESTABLISHED
};

enum bgp_side { BGP_OURS, BGP_THEIRS, BGP_SIDES }; /* who made the connection */

struct bgp_session_conf {
	uint32_t local_as, local_id, peer_as;
	uint16_t hold_time, keepalive; /* seconds; keepalive 0: a third of what is agreed */
	uint16_t connect_retry;        /* seconds */
	bool passive;
	bool family[BGP_FAMILIES];
	struct bgp_graceful graceful; /* ours; `restarting` while we are */
	bool as4, refresh;            /* off: as a speaker from before 2001 */
};

enum bgp_event {
	BGP_EV_START,     /* the RFC's events 1, 3 to 5 */
	BGP_EV_STOP,      /* 2, with a fault to say */
	BGP_EV_CONNECTED, /* 16: ours is made */
	BGP_EV_ACCEPTED,  /* 17: the peer made one; it is taken only where TAKE comes out */
	BGP_EV_FAILED,    /* 18: could not be made, or the peer closed it */
	BGP_EV_MESSAGE,   /* 19, 21, 24 to 28: a whole one */
	BGP_EV_FAULT, /* a fault found elsewhere: in the frame, an UPDATE, by BFD, too many prefixes */
	BGP_EV_TIME, /* 9 to 13: what bgp_fsm_at() named has come */
};

struct bgp_input {
	enum bgp_event event;
	enum bgp_side side;     /* of CONNECTED, FAILED, MESSAGE, FAULT */
	const uint8_t *message; /* with its header, which bgp_message_next() checked */
	uint16_t len;
	const struct bgp_fault *fault; /* of FAULT and STOP */
};

enum bgp_verb {
	BGP_DO_CONNECT,
	BGP_DO_TAKE,  /* the accepted connection is now `side` THEIRS */
	BGP_DO_SEND,  /* `from`, `len` in the actions' bytes */
	BGP_DO_CLOSE, /* after what was sent; nothing of that side is said any more */
	BGP_DO_UP,    /* Established: fsm->agreed, fsm->peer */
	BGP_DO_DOWN, /* it is no more; `keep`: its routes stay for fsm->peer.graceful.restart_time */
	BGP_DO_UPDATE,  /* the message is one, and is yours */
	BGP_DO_REFRESH, /* the peer wants to be told everything of `family` again */
};

struct bgp_action {
	uint8_t verb, side, family;
	bool keep;
	uint32_t from, len;
};

#define BGP_ACTIONS 12 /* no step has more */

/* Cleared by each step; bgp_actions_fini() frees the bytes. */
struct bgp_actions {
	uint32_t n;
	struct bgp_action v[BGP_ACTIONS];
	struct buf bytes;
};

struct bgp_agreed {
	bool as4, refresh, graceful, notification;
	bool family[BGP_FAMILIES];
	uint16_t hold_time, keepalive; /* seconds, 0: none */
};

struct bgp_connection {
	uint8_t state;                 /* BGP_IDLE: there is none; BGP_CONNECT, BGP_OPENSENT … */
	int64_t hold_at, keepalive_at; /* ms; 0: not running */
	struct bgp_open peer;          /* from OpenConfirm on */
};

#define BGP_MESSAGES 6

/* Of two times, 0 standing for never. */
static inline int64_t bgp_earlier(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

struct bgp_fsm {
	struct bgp_session_conf conf;
	bool started, waits; /* waits: the next try is put off by a fault */
	struct bgp_connection side[BGP_SIDES];
	int64_t retry_at;       /* ms; 0: not running */
	uint32_t idle_ms;       /* the next wait */
	int64_t up_at, down_at; /* ms; 0: never */
	struct bgp_agreed agreed;
	struct bgp_open peer; /* what it said when it was Established last */
	struct bgp_fault
		last;     /* why it ended last; code 0: the connection broke, or it never was */
	bool last_theirs; /* the peer said so */
	uint32_t ends;    /* how often it ended */
	uint64_t in[BGP_MESSAGES], out[BGP_MESSAGES]; /* messages by type */
};

void bgp_fsm_init(struct bgp_fsm *f, const struct bgp_session_conf *c);
void bgp_fsm_step(struct bgp_fsm *f, const struct bgp_input *in, int64_t now_ms,
		  struct bgp_actions *out);
int64_t bgp_fsm_at(const struct bgp_fsm *f); /* when TIME is to be said next, in ms; 0: never */
enum bgp_state bgp_fsm_state(const struct bgp_fsm *f);
/* The side that is Established, or -1. */
int bgp_fsm_side(const struct bgp_fsm *f);
void bgp_actions_fini(struct bgp_actions *a);
const char *bgp_state_name(enum bgp_state s); /* "OpenSent" */
