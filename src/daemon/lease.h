/* SPDX-License-Identifier: Apache-2.0 */
/* Leader election over a Lease object with compare-and-swap, as Kubernetes' own components do
 * it. Pure: `now` comes from outside, what to do goes out.
 *
 * No clock of another machine is trusted: a lease has run out when this process has seen it
 * unchanged for its whole duration. The holder counts itself leader only until two thirds of
 * the duration after the start of its last renewal that succeeded, so it stops before anybody
 * else may begin. */
#pragma once
#include "model/cluster.h"

#define LEASE_DURATION_S 9 /* renewed every third of it */

enum lease_action {
	LEASE_NOTHING,
	LEASE_CREATE,  /* there is none */
	LEASE_RENEW,   /* ours: update with the revision seen */
	LEASE_TAKE,    /* free, or run out: update with the revision seen */
	LEASE_GIVE_UP, /* ours, and we leave: update, so that it is nobody's */
};

struct lease_state {
	const char *identity; /* ours */
	bool known;           /* a lease was seen */
	bool held;            /* …and it is ours */
	bool free;            /* …and it is nobody's */
	bool leaving;         /* lease_leave() was called */
	uint64_t rev;
	int64_t duration_ms;
	int64_t seen_ms;    /* when this revision was first seen */
	int64_t asked_ms;   /* when the write in flight was begun; 0: none is */
	int64_t renewed_ms; /* when the last write that succeeded was begun */
};

void lease_init(struct lease_state *s, const char *identity);
/* The Lease as the store has it; NULL: it has none. */
void lease_seen(struct lease_state *s, const struct lease *l, uint64_t rev, int64_t now_ms);
/* What to write now; the caller then calls lease_asked(), and lease_answered() with the answer. */
enum lease_action lease_step(const struct lease_state *s, int64_t now_ms);
void lease_asked(struct lease_state *s, int64_t now_ms);
void lease_answered(struct lease_state *s, bool ok);
/* From now on nothing is taken or renewed, and what is held is given up. */
void lease_leave(struct lease_state *s);
bool lease_leads(const struct lease_state *s, int64_t now_ms);
/* The object to write: `old` (NULL: none) renewed, taken over, or given up where we leave, at
 * wall-clock second `wall`. */
void lease_object(const struct lease_state *s, const struct lease *old, int64_t wall,
		  struct lease *out);
