// SPDX-License-Identifier: Apache-2.0
/* agent_trace_look: see agent_trace_look.h. While the thread runs, all of the look is the thread's but for
 * whom to call; between, the loop's. A look that is closed while the thread runs goes when it comes back; one
 * whose collector is still open then, in another thread. */
#include "core/dns/traced.h"
#include "daemon/agent_trace_job.h"
#include "sys/tracer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MEMORY (8UL << 20)

struct trace_look {
	struct trace_look *next; /* of all of this agent */
	struct agent *agent;
	struct arena arena;
	struct trace_facts facts;
	struct tracer *tracer; /* NULL: not yet, or not any more */
	uint32_t lost;         /* by the tracer, once it has ended */
	const char *note;
	struct tracer_opts opts; /* with `spaces`: until it is open */
	struct tracer_space spaces[TRACER_SPACES_MAX];

	void (*task)(struct trace_look *l); /* that the thread runs; NULL: none */
	bool threaded;
	pthread_t thread;
	ev_async done;
	int rc;
	struct err e;
	trace_look_fn fn; /* NULL: it is closed */
	void *arg;
};

/* ---- in the thread */

static void close_spaces(struct trace_look *l)
{
	for (uint32_t i = 0; i < l->opts.n_spaces; i++)
		close(l->spaces[i].netns);
	l->opts.n_spaces = 0;
}

static void open_task(struct trace_look *l)
{
	l->rc = tracer_open(&l->opts, &l->tracer, &l->e);
	if (!l->rc)
		l->facts.marker = tracer_table(l->tracer, 0);
	close_spaces(l);
}

static void on_event(void *arg, const struct tracer_event *event)
{
	trace_facts_event(arg, event);
}

static void on_connection(void *arg, uint32_t space, const struct ct_entry *c)
{
	trace_facts_connection(arg, space, c);
}

static void close_task(struct trace_look *l)
{
	tracer_close(l->tracer);
	l->tracer = NULL;
}

/* At most what one trace is told, so it ends. */
static void end_task(struct trace_look *l)
{
	struct err e;

	while (tracer_read(l->tracer, on_event, &l->facts, &e) > 0)
		;
	if (tracer_connections(l->tracer, on_connection, &l->facts, &e))
		l->note = arena_strdup(&l->arena, e.text);
	trace_facts_ask(&l->facts, l->tracer);
	l->lost = tracer_lost(l->tracer);
	close_task(l);
	l->rc = 0;
}

static void *run(void *arg)
{
	struct trace_look *l = arg;

	l->task(l);
	ev_async_send(l->agent->role->loop, &l->done);
	return NULL;
}

/* ---- on the loop */

/* Where there is no thread to be had the loop waits. */
static void start(struct trace_look *l, void (*task)(struct trace_look *l))
{
	l->task = task;
	l->threaded = !pthread_create(&l->thread, NULL, run, l);
	if (!l->threaded)
		run(l);
}

static void join(struct trace_look *l)
{
	if (l->task && l->threaded)
		pthread_join(l->thread, NULL);
	l->task = NULL;
}

static void destroy(struct trace_look *l)
{
	struct trace_look **at = &l->agent->trace->looks;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	ev_async_stop(l->agent->role->loop, &l->done);
	close_spaces(l);
	close_task(l);
	arena_fini(&l->arena);
	free(l);
}

static void go(struct trace_look *l)
{
	if (l->tracer)
		start(l, close_task);
	else
		destroy(l);
}

static void on_done(struct ev_loop *loop, ev_async *w, int events)
{
	struct trace_look *l = w->data;

	join(l);
	if (l->fn)
		l->fn(l->arg, l->rc, &l->e);
	else
		go(l);
}

int trace_look_open(struct agent *a, const struct packet_trace *t, trace_look_fn opened, void *arg,
		    struct trace_look **out, struct err *e)
{
	struct trace_look *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(e, -ENOMEM, "trace: no memory");
	l->agent = a;
	l->next = a->trace->looks;
	a->trace->looks = l;
	ev_async_init(&l->done, on_done);
	l->done.data = l;
	ev_async_start(a->role->loop, &l->done);
	arena_init(&l->arena, LOOK_MEMORY);
	rc = trace_facts_init(&l->facts, &l->arena, e);
	if (!rc)
		rc = trace_look_where(a, t, &l->facts, l->spaces, e);
	l->opts = (struct tracer_opts){
		.spaces = l->spaces,
		.n_spaces = l->facts.n_spaces,
		.signature = { trace_ip_proto(t->spec.protocol, t->spec.destination.address.family),
			       (uint64_t)t->spec.signature, dns_traced_place(t) },
	};
	if (rc) {
		destroy(l);
		return rc;
	}
	l->fn = opened;
	l->arg = arg;
	start(l, open_task);
	*out = l;
	return 0;
}

void trace_look_end(struct trace_look *l, trace_look_fn ended, void *arg)
{
	l->fn = ended;
	l->arg = arg;
	start(l, end_task);
}

void trace_look_close(struct trace_look *l)
{
	if (!l)
		return;
	l->fn = NULL;
	if (!l->task)
		go(l);
}

unsigned trace_looks_active(const struct agent *a)
{
	unsigned n = 0;

	for (const struct trace_look *l = a->trace->looks; l; l = l->next)
		n += l->task || l->tracer;
	return n;
}

void trace_looks_wait(struct agent *a)
{
	while (a->trace->looks) {
		join(a->trace->looks);
		destroy(a->trace->looks);
	}
}

/* ---- reading */

int trace_look_fd(const struct trace_look *l)
{
	return tracer_fd(l->tracer);
}

void trace_look_read(struct trace_look *l)
{
	struct err e;

	if (tracer_read(l->tracer, on_event, &l->facts, &e) < 0 && !l->note) {
		log_warn("trace: %s", e.text);
		l->note = arena_strdup(&l->arena, e.text);
	}
}

void trace_look_about(const struct trace_look *l, struct arena *ar, struct trace_node *out)
{
	static const struct {
		unsigned means;
		uint8_t name;
	} all[] = { { TRACER_BPF, TRACE_BY_EBPF },
		    { TRACER_RULES, TRACE_BY_NFTABLES },
		    { TRACER_SOCKETS, TRACE_BY_PACKET_SOCKET } };
	size_t n = sizeof(all) / sizeof(all[0]);
	const char *note = tracer_note(l->tracer);

	out->means.n = 0;
	out->means.v = arena_array(ar, n, sizeof(*out->means.v));
	for (size_t i = 0; out->means.v && i < n; i++)
		if (tracer_means(l->tracer) & all[i].means)
			out->means.v[out->means.n++] = all[i].name;
	if (*note)
		out->note = arena_strdup(ar, note);
	if (l->facts.left_out)
		out->note = arena_printf(ar, "%s%s%u pods are not looked into", note,
					 *note ? "; " : "", l->facts.left_out);
}

void trace_look_told(const struct trace_look *l, struct arena *ar, struct trace_node *out)
{
	out->lost = l->facts.lost + l->lost;
	out->observations.v = l->facts.v;
	out->observations.n = l->facts.n;
	if (l->note)
		out->note = arena_printf(ar, "%s%s%s", out->note ? out->note : "",
					 out->note ? "; " : "", l->note);
}
