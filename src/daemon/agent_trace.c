// SPDX-License-Identifier: Apache-2.0
/* agent_trace: see agent_trace.h. A job is one trace of this node. It is kept, empty, after its end, until
 * the object goes: what the store tells late must not begin it anew.
 *
 * What the node says of a trace lies in `mine` and `probe`; writing is one loop for all of it: put that
 * into the object as it is known now, compare-and-swap, again with the next one where somebody else was
 * faster. While the store is away it is tried until the trace expires. */
#include "daemon/agent_trace.h"
#include "daemon/agent_store.h"
#include "daemon/agent_trace_look.h"
#include "model/validate.h"
#include "sys/clock.h"
#include "sys/trace_probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_S   3.  /* that the sender waits for the other nodes */
#define SETTLE_S    0.1 /* from the probe's result on: what is still under way */
#define SLACK_S     15  /* beyond the probe's own time */
#define JOB_MEMORY  (8UL << 20)
#define LOST_RACE_S 0.02 /* the others wait for as long, and a random part of it more */
#define AWAY_S      0.3

struct job {
	struct job *next;
	struct agent *agent;
	char name[NAME_MAX_LEN + 1];
	int64_t expires; /* Unix seconds */
	struct arena arena;
	struct trace_look *look; /* NULL: not any more */
	struct trace_node mine;
	bool settling;

	bool sender, sent, answered; /* answered: `result` holds */
	struct trace_probe *probe;
	struct trace_probe_result result;

	bool due, writing, gone; /* gone: the object was deleted while a write is under way */
	ev_io events, probe_io;
	/* patience: that the sender has with other nodes, then what SETTLE_S is for. limit: of the
	 * look, then of the job. */
	ev_timer patience, probe_timer, limit, again;
};

struct agent_trace {
	struct agent *agent;
	struct job *jobs;
	struct agent_trace_stats stats;
};

static struct ev_loop *loop_of(const struct job *j)
{
	return j->agent->role->loop;
}

static void start_timer(struct job *j, ev_timer *t, double seconds)
{
	ev_timer_stop(loop_of(j), t);
	ev_timer_set(t, seconds, 0.);
	ev_timer_start(loop_of(j), t);
}

static const struct object *object_of(const struct job *j)
{
	return cluster_get(agent_store_cluster(j->agent), KIND_PACKETTRACE, NULL, j->name);
}

/* ---- what this node has to say */

static void stop_look(struct job *j)
{
	if (!j->look)
		return;
	ev_io_stop(loop_of(j), &j->events);
	trace_look_close(j->look);
	j->look = NULL;
	j->agent->trace->stats.active--;
}

static void stop_probe(struct job *j)
{
	ev_io_stop(loop_of(j), &j->probe_io);
	ev_timer_stop(loop_of(j), &j->probe_timer);
	trace_probe_close(j->probe);
	j->probe = NULL;
}

static void write_soon(struct job *j, double seconds)
{
	j->due = true;
	if (!j->writing)
		start_timer(j, &j->again, seconds);
}

static void fail(struct job *j, uint64_t *counter, const char *why)
{
	stop_look(j);
	log_warn("trace %s: failed: %s", j->name, why);
	++*counter;
	j->mine.phase = TRACE_FAILED;
	j->mine.note = arena_strdup(&j->arena, why);
	write_soon(j, 0.);
}

/* The packet that the probe's socket gave to the network is a fact, too. */
static void note_sent(struct job *j, const struct packet_trace *t)
{
	static const uint8_t protos[] = {
		[TRACE_TCP] = PACKET_TCP, [TRACE_UDP] = PACKET_UDP, [TRACE_SCTP] = PACKET_SCTP
	};
	const struct trace_probe_result *r = &j->result;
	struct trace_node *n = &j->mine;
	bool v6 = t->spec.destination.address.family == AF_INET6;
	struct trace_observation *v;

	if (!j->sender || !j->answered || r->result == TRACE_ERROR)
		return;
	v = arena_array(&j->arena, n->observations.n + 1u, sizeof(*v));
	if (!v)
		return;
	v[0] = (struct trace_observation){
		.at = r->sent_at,
		.kind = FACT_SEND,
		.head = { .src = r->address,
			  .dst = t->spec.destination.address,
			  .proto = t->spec.protocol == TRACE_ICMP
					   ? (v6 ? PACKET_ICMPV6 : PACKET_ICMP)
					   : protos[t->spec.protocol],
			  .sport = r->port,
			  .dport = t->spec.destination.port,
			  .flags = t->spec.protocol == TRACE_TCP ? "S" : NULL },
	};
	if (t->spec.source.pod)
		v[0].in = arena_printf(&j->arena, "%s/%s", t->spec.source.namespace,
				       t->spec.source.pod);
	memcpy(v + 1, n->observations.v, n->observations.n * sizeof(*v));
	n->observations.v = v;
	n->observations.n++;
}

static void finish(struct job *j)
{
	struct agent_trace_stats *s = &j->agent->trace->stats;
	const struct object *o = object_of(j);

	if (!j->look || !o)
		return;
	trace_look_end(j->look, &j->mine);
	stop_look(j);
	note_sent(j, o->body);
	j->mine.phase = TRACE_DONE;
	s->done++;
	s->observations += j->mine.observations.n;
	s->lost += (uint64_t)j->mine.lost;
	log_info("trace %s: done: %u observations, %lld lost%s%s", j->name, j->mine.observations.n,
		 (long long)j->mine.lost, j->mine.note ? ": " : "",
		 j->mine.note ? j->mine.note : "");
	write_soon(j, 0.);
}

/* ---- writing it */

/* `seen` with what this node has to say; pointers lead into both. NULL: no memory. */
static const struct packet_trace *body_of(struct job *j, const struct packet_trace *seen,
					  struct arena *ar)
{
	struct packet_trace *t = arena_memdup(ar, seen, sizeof(*seen));
	struct trace_node *v = arena_array(ar, seen->status.nodes.n + 1u, sizeof(*v));
	uint32_t n = 0;

	if (!t || !v)
		return NULL;
	for (uint32_t i = 0; i < seen->status.nodes.n; i++)
		if (strcmp(seen->status.nodes.v[i].name, j->mine.name) != 0)
			v[n++] = seen->status.nodes.v[i];
	v[n++] = j->mine;
	t->status.nodes.v = v;
	t->status.nodes.n = n;
	if (j->answered)
		trace_probe_note(&j->result, t);
	return t;
}

static void free_job(struct job *j);

static void on_written(struct agent *a, void *arg, int code, uint64_t rev, const char *text)
{
	struct job *j = arg;

	j->writing = false;
	if (j->gone) {
		free_job(j);
		return;
	}
	if (!code) {
		if (j->due)
			start_timer(j, &j->again, 0.);
		return;
	}
	if (code == -ENOENT)
		return; /* its deletion is about to be told */
	if (code != -ESTALE && code != -EAGAIN && code != -EPIPE) {
		if (!j->mine.observations.n) {
			log_warn("trace %s: cannot be answered: %s", j->name, text);
			return;
		}
		log_warn("trace %s: what was seen cannot be written: %s", j->name, text);
		j->mine.observations.n = 0;
		j->mine.phase = TRACE_FAILED;
		j->mine.note = arena_strdup(&j->arena, text);
	}
	write_soon(j, code == -ESTALE ? LOST_RACE_S * (1. + (double)random() / RAND_MAX) : AWAY_S);
}

static void write_now(struct job *j)
{
	const struct object *o = object_of(j);
	struct rec_write w = { .op = WRITE_UPDATE, .kind = KIND_PACKETTRACE, .name = j->name };
	const struct packet_trace *body;
	struct arena ar;
	struct err e;

	if (!o || j->writing || !j->due || clock_wall() >= j->expires)
		return;
	arena_init(&ar, JOB_MEMORY);
	body = body_of(j, o->body, &ar);
	w.expect = (int64_t)o->rev;
	if (body && !agent_store_write(j->agent, &w, body, on_written, j, &e)) {
		j->writing = true;
		j->due = false;
	} else {
		start_timer(j, &j->again, AWAY_S);
	}
	arena_fini(&ar);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	write_now(w->data);
}

/* ---- the probe */

static void probe_ended(struct job *j)
{
	j->result = *trace_probe_result(j->probe);
	j->answered = true;
	stop_probe(j);
	write_soon(j, 0.);
}

static void wait_for_probe(struct job *j)
{
	struct ev_loop *loop = loop_of(j);
	bool in = trace_probe_events(j->probe) & 1; /* POLLIN */

	ev_io_stop(loop, &j->probe_io);
	ev_io_set(&j->probe_io, trace_probe_fd(j->probe), in ? EV_READ : EV_WRITE);
	ev_io_start(loop, &j->probe_io);
	start_timer(j, &j->probe_timer, trace_probe_wait_ms(j->probe) / 1000.);
}

static void step_probe(struct job *j)
{
	trace_probe_step(j->probe);
	if (trace_probe_ended(j->probe))
		probe_ended(j);
	else
		wait_for_probe(j);
}

static void on_probe(struct ev_loop *loop, ev_io *w, int events)
{
	step_probe(w->data);
}

static void on_probe_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	step_probe(w->data);
}

static void probe_failed(struct job *j, const struct err *e)
{
	j->result = (struct trace_probe_result){ .result = TRACE_ERROR };
	snprintf(j->result.error, sizeof(j->result.error), "%.*s", (int)sizeof(j->result.error) - 1,
		 e->text);
	j->answered = true;
	write_soon(j, 0.);
}

static void send_probe(struct job *j)
{
	const struct object *o = object_of(j);
	const struct packet_trace *t = o ? o->body : NULL;
	struct trace_probe_ask ask;
	struct err e;
	int rc;

	if (!t || j->sent)
		return;
	j->sent = true;
	ev_timer_stop(loop_of(j), &j->patience);
	ask = (struct trace_probe_ask){
		.netns = trace_look_source(j->agent, t, &e),
		.source = t->spec.source.address,
		.dst = t->spec.destination.address,
		.protocol = t->spec.protocol,
		.port = (uint16_t)t->spec.destination.port,
		.signature = (uint64_t)t->spec.signature,
		.size = (uint16_t)t->spec.size,
		.timeout_ms = 1000 * (int)(t->spec.timeoutSeconds ? t->spec.timeoutSeconds
								  : TRACE_SECONDS),
	};
	rc = ask.netns < 0 ? ask.netns : trace_probe_send(&ask, &j->probe, &e);
	if (ask.netns >= 0)
		close(ask.netns);
	if (rc)
		probe_failed(j, &e);
	else if (trace_probe_ended(j->probe))
		probe_ended(j);
	else
		wait_for_probe(j);
}

/* ---- a trace's course */

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

static void consider(struct job *j, const struct packet_trace *t)
{
	if (j->sender && !j->sent && all_answered(t))
		send_probe(j);
	if (t->status.probe.result && j->look && !j->settling) {
		j->settling = true;
		start_timer(j, &j->patience, SETTLE_S);
	}
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int events)
{
	struct job *j = w->data;

	if (j->settling)
		finish(j);
	else
		send_probe(j);
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	struct job *j = w->data;

	if (j->look)
		fail(j, &j->agent->trace->stats.failed, "nobody said what became of the probe");
}

static void on_events(struct ev_loop *loop, ev_io *w, int events)
{
	struct job *j = w->data;

	trace_look_read(j->look);
}

static void arm(struct job *j, const struct packet_trace *t)
{
	struct agent_trace *s = j->agent->trace;
	int64_t seconds = t->spec.timeoutSeconds ? t->spec.timeoutSeconds : TRACE_SECONDS;
	int64_t left = j->expires - clock_wall();
	struct err e;

	if (s->stats.active >= AGENT_TRACES_MAX) {
		fail(j, &s->stats.refused,
		     arena_printf(&j->arena, "%d other traces look here already",
				  AGENT_TRACES_MAX));
		return;
	}
	if (validate_packet_trace(t, &e) || trace_look_open(j->agent, t, &j->arena, &j->look, &e)) {
		fail(j, &s->stats.failed, e.text);
		return;
	}
	s->stats.active++;
	ev_io_set(&j->events, trace_look_fd(j->look), EV_READ);
	ev_io_start(loop_of(j), &j->events);
	trace_look_about(j->look, &j->mine);
	j->mine.phase = TRACE_ARMED;
	seconds += SLACK_S;
	start_timer(j, &j->limit, (double)(seconds < left ? seconds : left));
	write_soon(j, 0.);
}

/* ---- jobs */

static struct job *find_job(const struct agent_trace *s, const char *name)
{
	struct job *j = s->jobs;

	while (j && strcmp(j->name, name) != 0)
		j = j->next;
	return j;
}

static struct job *new_job(struct agent_trace *s, const struct object *o)
{
	const struct packet_trace *t = o->body;
	struct job *j = calloc(1, sizeof(*j));

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
	ev_init(&j->probe_io, on_probe);
	ev_init(&j->patience, on_patience);
	ev_init(&j->probe_timer, on_probe_timer);
	ev_init(&j->limit, on_limit);
	ev_init(&j->again, on_again);
	j->events.data = j->probe_io.data = j->patience.data = j->probe_timer.data = j->limit.data =
		j->again.data = j;
	j->sender = t->spec.sender && !strcmp(t->spec.sender, j->mine.name);
	j->next = s->jobs;
	s->jobs = j;
	return j;
}

static void stop_job(struct job *j)
{
	stop_look(j);
	stop_probe(j);
	ev_timer_stop(loop_of(j), &j->patience);
	ev_timer_stop(loop_of(j), &j->limit);
	ev_timer_stop(loop_of(j), &j->again);
}

static void free_job(struct job *j)
{
	arena_fini(&j->arena);
	free(j);
}

static void drop_job(struct agent_trace *s, struct job *j)
{
	struct job **at = &s->jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	stop_job(j);
	if (j->writing)
		j->gone = true;
	else
		free_job(j);
}

static bool names_us(const struct agent *a, const struct packet_trace *t)
{
	for (uint32_t i = 0; i < t->spec.nodes.n; i++)
		if (!strcmp(t->spec.nodes.v[i], a->role->cfg.node))
			return true;
	return false;
}

/* The agent before this one looked. Whether it sent its probe nobody knows any more. */
static void resume(struct job *j, const struct packet_trace *t)
{
	struct err e;

	err_set(&e, -EINTR, "the agent was started anew while it looked");
	fail(j, &j->agent->trace->stats.failed, e.text);
	j->sent = true;
	if (j->sender && !t->status.probe.result)
		probe_failed(j, &e);
}

static void begin(struct agent_trace *s, const struct object *o)
{
	const struct packet_trace *t = o->body;
	const struct trace_node *said = node_in(t, s->agent->role->cfg.node);
	struct job *j;

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
		start_timer(j, &j->patience, ANSWERS_S);
	arm(j, t);
}

void agent_trace_changed(struct agent *a, const struct object *old, const struct object *now)
{
	struct agent_trace *s = a->trace;
	const struct object *o = now ? now : old;
	struct job *j;

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

struct agent_trace_stats agent_trace_stats(const struct agent *a)
{
	return a->trace->stats;
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
	free(a->trace);
	a->trace = NULL;
}
