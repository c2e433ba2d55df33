// SPDX-License-Identifier: Apache-2.0
/* agent_pace: see agent_pace.h. */
#include "daemon/agent_pace.h"

#define EVERY 30.0 /* seconds */

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct pace *p = w->data;

	p->audit(p->agent);
}

void pace_start(struct pace *p, struct agent *a, const char *what, void (*audit)(struct agent *a))
{
	p->agent = a;
	p->what = what;
	p->audit = audit;
	ev_timer_init(&p->regular, on_timer, EVERY, EVERY);
	ev_timer_init(&p->soon, on_timer, 0., 0.);
	p->regular.data = p->soon.data = p;
	ev_timer_start(a->role->loop, &p->regular);
}

void pace_stop(struct pace *p)
{
	if (!p->agent)
		return;
	ev_timer_stop(p->agent->role->loop, &p->regular);
	ev_timer_stop(p->agent->role->loop, &p->soon);
}

static ev_tstamp gap_of(const struct pace *p)
{
	return p->gap > PACE_GAP ? p->gap : PACE_GAP;
}

static void calm(struct pace *p)
{
	p->in_a_row = 0;
	p->gap = 0.;
}

void pace_within(struct pace *p, ev_tstamp seconds)
{
	struct ev_loop *loop = p->agent->role->loop;
	ev_tstamp now = ev_now(loop), earliest;

	if (ev_is_active(&p->soon))
		return;
	if (now - p->last > 2 * gap_of(p))
		calm(p);
	earliest = p->last + gap_of(p);
	ev_timer_set(&p->soon, now + seconds > earliest ? seconds : earliest - now, 0.);
	ev_timer_start(loop, &p->soon);
}

void pace_begin(struct pace *p)
{
	p->last = ev_now(p->agent->role->loop);
}

void pace_note(struct pace *p, bool repaired)
{
	if (!repaired)
		calm(p);
	else if (++p->in_a_row > PACE_PATIENCE)
		p->gap = gap_of(p) < PACE_MOST / 2 ? 2 * gap_of(p) : PACE_MOST;
	if (p->in_a_row == PACE_PATIENCE + 1)
		log_error("%s: somebody undoes what is repaired, again and again: audits become "
			  "rarer, down to one in %.0f s",
			  p->what, PACE_MOST);
}
