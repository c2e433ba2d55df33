/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of a takeover: keeper_give.c of the keeper that runs, keeper_take.c of the next one. */
#pragma once
#include "base/err.h"
#include "sys/proc.h"
#include "sys/sock.h"

#include <poll.h>

struct keeper;

#define TAKEOVER_SOCK    "takeover.sock" /* in the run directory */
#define KEEPER_GIVE_POLL 3

enum next_state {
	NEXT_NONE,
	NEXT_ASKS,   /* connected, has not said what it wants */
	NEXT_WAITS,  /* has copies of our lock and sockets; our roles end */
	NEXT_TRIES,  /* starts its roles; ours are held back */
	NEXT_FAILED, /* shall end; then ours start again */
};

/* The keeper that takes our place. */
struct keeper_next {
	enum next_state state;
	struct rstream stream;
	struct proc peer;
	int64_t deadline_ms; /* of ASKS, TRIES and FAILED */
	bool outlived;       /* FAILED: by roles of its own, as was logged */
};

/* ---- keeper_give.c: the side of a takeover that runs */

int keeper_give_open(struct keeper *k, struct err *e);
bool keeper_giving(const struct keeper *k); /* no role of ours may start */
int keeper_give_tick(struct keeper *k);     /* ms until it must be called again, or -1 */
void keeper_give_poll(struct keeper *k, struct pollfd *fds);
void keeper_give_events(struct keeper *k, const struct pollfd *fds);
void keeper_give_stop(struct keeper *k); /* the keeper ends: whoever takes over shall, too */

/* ---- keeper_take.c: the side that comes */

/* -1 in the child that becomes the keeper; in its parent, when it is done, the exit code. */
int keeper_take_fork(struct keeper *k);
/* Asks the running keeper, until everything is ours, or that one has ended. */
int keeper_take(struct keeper *k, struct err *e);
bool keeper_taking(const struct keeper *k); /* it would go on, were we to end */
void keeper_take_events(struct keeper *k, short revents);
void keeper_take_done(struct keeper *k); /* our roles serve: the other one may leave */
void keeper_take_fail(struct keeper *k, const char *why);
