// SPDX-License-Identifier: Apache-2.0
/* agent_trace_write: what the node says of a trace lies in `mine` and `result`; writing is one loop for all
 * of it: put that into the object as it is known now, compare-and-swap, again with the next one where
 * somebody else was faster. While the store is away it is tried until the trace expires. */
#include "daemon/agent_store.h"
#include "daemon/agent_trace_job.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MEMORY (8UL << 20)
#define LOST_RACE_S 0.02 /* the others wait for as long, and a random part of it more */
#define AWAY_S      0.3

static void write_after(struct trace_job *j, double seconds)
{
	j->due = true;
	if (!j->writing)
		trace_job_timer(j, &j->again, seconds);
}

void trace_write_soon(struct trace_job *j)
{
	write_after(j, 0.);
}

/* What this node's role dns said is in the place of what it said before. False: no memory. */
static bool put_dns(struct trace_job *j, const struct packet_trace *seen, struct packet_trace *t,
		    struct arena *ar)
{
	struct trace_dns *v = arena_array(ar, seen->status.dns.n + 1u, sizeof(*v));
	uint32_t n = 0;

	if (!v)
		return false;
	for (uint32_t i = 0; i < seen->status.dns.n; i++)
		if (strcmp(seen->status.dns.v[i].node, j->mine.name) != 0)
			v[n++] = seen->status.dns.v[i];
	v[n++] = j->dns;
	t->status.dns.v = v;
	t->status.dns.n = n;
	return true;
}

/* `seen` with what this node has to say; pointers lead into both. NULL: no memory. */
static const struct packet_trace *body_of(struct trace_job *j, const struct packet_trace *seen,
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
	if (j->answered)
		t->status.probe.answer = j->answer;
	if (j->dns.from && !put_dns(j, seen, t, ar))
		return NULL;
	return t;
}

static void on_written(struct agent *a, void *arg, int code, uint64_t rev, const char *text)
{
	struct trace_job *j = arg;

	j->writing = false;
	if (j->gone) {
		trace_job_free(j);
		return;
	}
	if (!code) {
		if (j->due)
			write_after(j, 0.);
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
	write_after(j, code == -ESTALE ? LOST_RACE_S * (1. + (double)random() / RAND_MAX) : AWAY_S);
}

static void write_now(struct trace_job *j)
{
	const struct object *o =
		cluster_get(agent_store_cluster(j->agent), KIND_PACKETTRACE, NULL, j->name);
	struct rec_write w = { .op = WRITE_UPDATE, .kind = KIND_PACKETTRACE, .name = j->name };
	const struct packet_trace *body;
	struct arena ar;
	struct err e;

	if (!o || j->writing || !j->due || clock_wall() >= j->expires)
		return;
	arena_init(&ar, BODY_MEMORY);
	body = body_of(j, o->body, &ar);
	w.expect = (int64_t)o->rev;
	if (body && !agent_store_write(j->agent, &w, body, on_written, j, &e)) {
		j->writing = true;
		j->due = false;
	} else {
		write_after(j, AWAY_S);
	}
	arena_fini(&ar);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	write_now(w->data);
}

void trace_write_init(struct trace_job *j)
{
	ev_init(&j->again, on_again);
	j->again.data = j;
}

void trace_write_stop(struct trace_job *j)
{
	ev_timer_stop(j->agent->role->loop, &j->again);
}
