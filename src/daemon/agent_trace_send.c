// SPDX-License-Identifier: Apache-2.0
/* agent_trace_send: the probe (sys/trace_probe.h) of a trace that this node is the sender of, on the loop. */
#include "core/dns/traced.h"
#include "daemon/agent_trace_job.h"
#include "sys/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void ended(struct trace_job *j)
{
	size_t n;
	const uint8_t *message = trace_probe_message(j->probe, &n);

	j->result = *trace_probe_result(j->probe);
	j->answer = message ? arena_alloc(&j->arena, sizeof(*j->answer)) : NULL;
	if (j->answer && dns_traced_read(message, n, &j->arena, j->answer))
		j->answer = NULL;
	j->answered = true;
	trace_send_stop(j);
	trace_write_soon(j);
}

static void wait_for_probe(struct trace_job *j)
{
	struct ev_loop *loop = j->agent->role->loop;
	bool in = trace_probe_events(j->probe) & 1; /* POLLIN */

	ev_io_stop(loop, &j->probe_io);
	ev_io_set(&j->probe_io, trace_probe_fd(j->probe), in ? EV_READ : EV_WRITE);
	ev_io_start(loop, &j->probe_io);
	trace_job_timer(j, &j->probe_timer, trace_probe_wait_ms(j->probe) / 1000.);
}

static void end_or_wait(struct trace_job *j)
{
	if (trace_probe_ended(j->probe))
		ended(j);
	else
		wait_for_probe(j);
}

static void step(struct trace_job *j)
{
	trace_probe_step(j->probe);
	end_or_wait(j);
}

static void on_probe(struct ev_loop *loop, ev_io *w, int events)
{
	step(w->data);
}

static void on_probe_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	step(w->data);
}

void trace_send_failed(struct trace_job *j, const struct err *e)
{
	j->sent = true;
	j->result = (struct trace_probe_result){ .result = TRACE_ERROR };
	snprintf(j->result.error, sizeof(j->result.error), "%.*s", (int)sizeof(j->result.error) - 1,
		 e->text);
	j->answered = true;
	trace_write_soon(j);
}

void trace_send_now(struct trace_job *j)
{
	const struct packet_trace *t = trace_job_body(j);
	uint8_t query[DNS_UDP_MIN];
	struct trace_probe_ask ask;
	struct err e;
	int rc, n = 0;

	if (!t || j->sent)
		return;
	j->sent = true;
	ask = trace_probe_asked(t, trace_look_source(j->agent, t, &e));
	if (t->spec.query.name)
		n = dns_traced_write(t, query, &e);
	ask.query = query;
	ask.n_query = (uint16_t)(n > 0 ? n : 0);
	rc = ask.netns < 0 ? ask.netns : n < 0 ? n : trace_probe_send(&ask, &j->probe, &e);
	if (ask.netns >= 0)
		close(ask.netns);
	if (rc)
		trace_send_failed(j, &e);
	else
		end_or_wait(j);
}

void trace_send_note(struct trace_job *j, const struct packet_trace *t)
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

void trace_send_init(struct trace_job *j)
{
	ev_init(&j->probe_io, on_probe);
	ev_init(&j->probe_timer, on_probe_timer);
	j->probe_io.data = j->probe_timer.data = j;
}

void trace_send_stop(struct trace_job *j)
{
	ev_io_stop(j->agent->role->loop, &j->probe_io);
	ev_timer_stop(j->agent->role->loop, &j->probe_timer);
	trace_probe_close(j->probe);
	j->probe = NULL;
}
