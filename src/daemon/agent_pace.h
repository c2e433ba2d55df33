/* SPDX-License-Identifier: Apache-2.0 */
/* When audits run: every 30 s, and soon after a notice. Others' changes come in bursts, so one waits
 * a moment and leaves a gap to the one before. Whoever undoes each repair would keep the agent busy
 * for ever: after PACE_PATIENCE audits in a row that each had to repair something the gap doubles,
 * up to PACE_MOST, until one finds nothing to do. What was repaired a while ago and lasted is no
 * struggle: the next harm is repaired at once. */
#pragma once
#include "daemon/agent.h"

#include <ev.h>

#define PACE_SOON     0.02 /* seconds */
#define PACE_GAP      0.12
#define PACE_MOST     5.0
#define PACE_PATIENCE 10

struct pace {
	struct agent *agent;
	const char *what;
	void (*audit)(struct agent *a);
	ev_timer regular, soon;
	ev_tstamp last;    /* when the last audit began */
	ev_tstamp gap;     /* 0: PACE_GAP */
	unsigned in_a_row; /* audits that repaired something */
};

/* From now on `audit` is called, which calls pace_begin(). `what` it looks at is for the log. */
void pace_start(struct pace *p, struct agent *a, const char *what, void (*audit)(struct agent *a));
void pace_stop(struct pace *p); /* also of one that was never started */
/* An audit is due in `seconds`, or as soon afterwards as the gap allows. */
void pace_within(struct pace *p, ev_tstamp seconds);
void pace_begin(struct pace *p);
/* It is known whether the audit had to repair something. */
void pace_note(struct pace *p, bool repaired);
