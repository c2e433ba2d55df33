/* SPDX-License-Identifier: Apache-2.0 */
/* How soon after a notice an audit runs. Others' changes come in bursts, so one waits a moment and
 * leaves a gap to the one before. Whoever undoes each repair would keep the agent busy for ever:
 * after PACE_PATIENCE audits in a row that each had to repair something the gap doubles, up to
 * PACE_MOST, until one finds nothing to do. */
#pragma once
#include "base/log.h"

#include <ev.h>
#include <stdbool.h>

#define PACE_SOON     0.02 /* seconds */
#define PACE_GAP      0.12
#define PACE_MOST     5.0
#define PACE_PATIENCE 10

struct pace {
	ev_tstamp last;    /* when the last audit began */
	ev_tstamp gap;     /* 0: PACE_GAP */
	unsigned in_a_row; /* audits that repaired something */
};

static inline ev_tstamp pace_gap(const struct pace *p)
{
	return p->gap > PACE_GAP ? p->gap : PACE_GAP;
}

static inline void pace_calm(struct pace *p)
{
	p->in_a_row = 0;
	p->gap = 0.;
}

/* Seconds to wait at `now` for an audit that is due in `seconds`. What was repaired a while ago
 * and lasted until now is no struggle. */
static inline ev_tstamp pace_wait(struct pace *p, ev_tstamp now, ev_tstamp seconds)
{
	ev_tstamp earliest;

	if (now - p->last > 2 * pace_gap(p))
		pace_calm(p);
	earliest = p->last + pace_gap(p);
	return now + seconds > earliest ? seconds : earliest - now;
}

/* After an audit of `what`. */
static inline void pace_note(struct pace *p, const char *what, bool repaired)
{
	if (!repaired)
		pace_calm(p);
	else if (++p->in_a_row > PACE_PATIENCE)
		p->gap = pace_gap(p) < PACE_MOST / 2 ? 2 * pace_gap(p) : PACE_MOST;
	if (p->in_a_row == PACE_PATIENCE + 1)
		log_error("%s: somebody undoes what is repaired, again and again: audits become "
			  "rarer, down to one in %.0f s",
			  what, PACE_MOST);
}
