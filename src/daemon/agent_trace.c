// SPDX-License-Identifier: Apache-2.0
/* agent_trace: see agent_trace.h. A job is one trace of this node. It is kept, empty, after its end, until
 * the object goes: what the store tells late must not begin it anew. */
#include "daemon/agent_bgp.h"
#include "daemon/agent_store.h"
#include "daemon/agent_trace_job.h"
#include "model/validate.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWERS_S  3.  /* that the sender waits for the other nodes, */
#define OPENING_S  .05 /* and, again and again, for itself */
#define SETTLE_S   0.1 /* from the probe's result on: what is still under way */
#define SLACK_S    15  /* beyond the probe's own time */
#define JOB_MEMORY (8UL << 20)

static struct ev_loop *loop_of(const struct trace_job *j)
{
	return j->agent->role->loop;
}

void trace_job_timer(struct trace_job *j, ev_timer *t, double seconds)
{
	ev_timer_stop(loop_of(j), t);
	ev_timer_set(t, seconds, 0.);
	ev_timer_start(loop_of(j), t);
}

const struct packet_trace *trace_job_body(const struct trace_job *j)
{
	const struct object *o =
		cluster_get(agent_store_cluster(j->agent), KIND_PACKETTRACE, NULL, j->name);

	return o ? o->body : NULL;
}

/* ---- who has answered */

static const struct trace_node *node_in(const struct packet_trace *t, const char *name)
{
	for (uint32_t i = 0; i < t->status.nodes.n; i++)
		if (!strcmp(t->status.nodes.v[i].name, name))
			return &t->status.nodes.v[i];
	return NULL;
}

static bool all_answered(const struct packet_trace *t)
{
	for (uint32_t i = 0; i < t->spec.nodes.n; i++)
		if (!node_in(t, t->spec.nodes.v[i]))
			return false;
	return true;
}

/* ---- a trace's course */

static void stop_look(struct trace_job *j)
{
	ev_io_stop(loop_of(j), &j->events);
	trace_look_close(j->look);
	j->look = NULL;
}

static void fail(struct trace_job *j, uint64_t *counter, const char *why)
{
	j->step = TRACE_OVER;
	stop_look(j);
	log_warn("trace %s: failed: %s", j->name, why);
	++*counter;
	j->mine.phase = TRACE_FAILED;
	j->mine.note = arena_strdup(&j->arena, why);
	trace_write_soon(j);
}

static void send_now(struct trace_job *j)
{
	ev_timer_stop(loop_of(j), &j->patience);
	trace_send_now(j);
}

static void consider(struct trace_job *j, const struct packet_trace *t)
{
	if (j->sender && !j->sent && all_answered(t))
		send_now(j);
	if (t->status.probe.result && j->step == TRACE_LOOKING) {
		j->step = TRACE_SETTLING;
		trace_job_timer(j, &j->patience, SETTLE_S);
	}
}

/* Not in the look's thread: what BGP told is the loop's. */
static void note_who_told(struct trace_job *j)
{
	for (uint32_t i = 0; i < j->mine.observations.n; i++) {
		struct trace_route *r = j->mine.observations.v[i].route;
		struct agent_bgp_words w;

		if (!r || !r->prefix.addr.family || !agent_bgp_words(j->agent, &r->prefix, &w) ||
		    w.left)
			continue;
		r->told = w.peer[0] ? arena_printf(&j->arena, "by BGP from %s%s%s", w.peer,
						   w.why[0] ? ": " : "", w.why)
				    : "by BGP, before the agent began";
	}
}

static void on_ended(void *arg, int rc, const struct err *e)
{
	struct trace_job *j = arg;
	struct agent_trace_stats *s = &j->agent->trace->stats;
	const struct packet_trace *t = trace_job_body(j);
	struct trace_node *n = &j->mine;

	j->step = TRACE_OVER;
	ev_timer_stop(loop_of(j), &j->limit);
	trace_look_told(j->look, &j->arena, n);
	note_who_told(j);
	if (t)
		trace_send_note(j, t);
	n->phase = TRACE_DONE;
	s->done++;
	s->observations += n->observations.n;
	s->lost += (uint64_t)n->lost;
	log_info("trace %s: done: %u observations, %lld lost%s%s", j->name, n->observations.n,
		 (long long)n->lost, n->note ? ": " : "", n->note ? n->note : "");
	trace_write_soon(j);
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int events)
{
	struct trace_job *j = w->data;

	if (j->step == TRACE_SETTLING) {
		j->step = TRACE_ENDING;
		ev_io_stop(loop, &j->events);
		trace_look_end(j->look, on_ended, j);
	} else if (j->step == TRACE_OPENING) {
		trace_job_timer(j, &j->patience, OPENING_S); /* who else sees it begin? */
	} else {
		send_now(j);
	}
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	struct trace_job *j = w->data;

	fail(j, &j->agent->trace->stats.failed,
	     j->step == TRACE_LOOKING ? "nobody said what became of the probe"
				      : "the collector took too long");
}

static void on_events(struct ev_loop *loop, ev_io *w, int events)
{
	struct trace_job *j = w->data;

	trace_look_read(j->look);
}

static void on_opened(void *arg, int rc, const struct err *e)
{
	struct trace_job *j = arg;
	const struct packet_trace *t = trace_job_body(j);

	/* Who looks at what is over would say that nothing came. */
	if (rc || (t && t->status.probe.result)) {
		ev_timer_stop(loop_of(j), &j->limit);
		fail(j, &j->agent->trace->stats.failed,
		     rc ? e->text : "it was ready only after the probe was sent");
		return;
	}
	j->step = TRACE_LOOKING;
	ev_io_set(&j->events, trace_look_fd(j->look), EV_READ);
	ev_io_start(loop_of(j), &j->events);
	trace_look_about(j->look, &j->arena, &j->mine);
	j->mine.phase = TRACE_ARMED;
	trace_write_soon(j);
}

static void arm(struct trace_job *j, const struct packet_trace *t)
{
	struct agent_trace *s = j->agent->trace;
	int64_t seconds = t->spec.timeoutSeconds ? t->spec.timeoutSeconds : TRACE_SECONDS;
	int64_t left = j->expires - clock_wall();
	struct err e;

	if (trace_looks_active(j->agent) >= AGENT_TRACES_MAX) {
		fail(j, &s->stats.refused,
		     arena_printf(&j->arena, "%d other traces look here already",
				  AGENT_TRACES_MAX));
		return;
	}
	if (validate_packet_trace(t, &e) ||
	    trace_look_open(j->agent, t, on_opened, j, &j->look, &e)) {
		fail(j, &s->stats.failed, e.text);
		return;
	}
	seconds += SLACK_S;
	trace_job_timer(j, &j->limit, (double)(seconds < left ? seconds : left));
}

/* ---- jobs */

static struct trace_job *find_job(const struct agent_trace *s, const char *name)
{
	struct trace_job *j = s->jobs;

	while (j && strcmp(j->name, name) != 0)
		j = j->next;
	return j;
}

static struct trace_job *new_job(struct agent_trace *s, const struct object *o)
{
	const struct packet_trace *t = o->body;
	struct trace_job *j = calloc(1, sizeof(*j));

	if (!j) {
		log_error("trace %s: no memory", o->meta->name);
		return NULL;
	}
	j->agent = s->agent;
	snprintf(j->name, sizeof(j->name), "%s", o->meta->name);
	j->expires = t->spec.expires;
	arena_init(&j->arena, JOB_MEMORY);
	j->mine.name = s->agent->role->cfg.node;
	ev_init(&j->events, on_events);
	ev_init(&j->patience, on_patience);
	ev_init(&j->limit, on_limit);
	j->events.data = j->patience.data = j->limit.data = j;
	trace_send_init(j);
	trace_write_init(j);
	j->sender = t->spec.sender && !strcmp(t->spec.sender, j->mine.name);
	j->next = s->jobs;
	s->jobs = j;
	return j;
}

static void stop_job(struct trace_job *j)
{
	stop_look(j);
	trace_send_stop(j);
	trace_write_stop(j);
	ev_timer_stop(loop_of(j), &j->patience);
	ev_timer_stop(loop_of(j), &j->limit);
}

void trace_job_free(struct trace_job *j)
{
	arena_fini(&j->arena);
	free(j);
}

static void drop_job(struct agent_trace *s, struct trace_job *j)
{
	struct trace_job **at = &s->jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	stop_job(j);
	if (j->writing)
		j->gone = true;
	else
		trace_job_free(j);
}

static bool names_us(const struct agent *a, const struct packet_trace *t)
{
	for (uint32_t i = 0; i < t->spec.nodes.n; i++)
		if (!strcmp(t->spec.nodes.v[i], a->role->cfg.node))
			return true;
	return false;
}

/* The agent before this one looked. Whether it sent its probe nobody knows any more. */
static void resume(struct trace_job *j, const struct packet_trace *t)
{
	struct err e;

	err_set(&e, -EINTR, "the agent was started anew while it looked");
	fail(j, &j->agent->trace->stats.failed, e.text);
	j->sent = true;
	if (j->sender && !t->status.probe.result)
		trace_send_failed(j, &e);
}

static void begin(struct agent_trace *s, const struct object *o)
{
	const struct packet_trace *t = o->body;
	const struct trace_node *said = node_in(t, s->agent->role->cfg.node);
	struct trace_job *j;

	if (!names_us(s->agent, t) || t->spec.expires <= clock_wall() ||
	    (said && said->phase != TRACE_ARMED))
		return;
	j = new_job(s, o);
	if (!j)
		return;
	if (said) {
		resume(j, t);
		return;
	}
	if (j->sender)
		trace_job_timer(j, &j->patience, ANSWERS_S);
	trace_dns_follow(j, t);
	arm(j, t);
}

void agent_trace_changed(struct agent *a, const struct object *old, const struct object *now)
{
	struct agent_trace *s = a->trace;
	const struct object *o = now ? now : old;
	struct trace_job *j;

	if (o->kind->id != KIND_PACKETTRACE)
		return;
	j = find_job(s, o->meta->name);
	if (!now && j)
		drop_job(s, j);
	else if (now && j)
		consider(j, now->body);
	else if (now)
		begin(s, now);
}

void agent_trace_dns(struct agent *a, const struct rec_dns_made *r)
{
	struct trace_job *j = r->trace ? find_job(a->trace, r->trace) : NULL;

	if (j)
		trace_dns_take(j, r);
}

struct agent_trace_stats agent_trace_stats(const struct agent *a)
{
	struct agent_trace_stats s = a->trace->stats;

	s.active = trace_looks_active(a);
	return s;
}

int agent_trace_open(struct agent *a, struct err *e)
{
	a->trace = calloc(1, sizeof(*a->trace));
	if (!a->trace)
		return err_set(e, -ENOMEM, "no memory");
	a->trace->agent = a;
	return 0;
}

void agent_trace_close(struct agent *a)
{
	if (!a->trace)
		return;
	while (a->trace->jobs)
		drop_job(a->trace, a->trace->jobs);
	trace_looks_wait(a);
	free(a->trace);
	a->trace = NULL;
}
