/* SPDX-License-Identifier: Apache-2.0 */
/* One trace's eyes on this node: the collector (sys/tracer.h) in the namespaces of the node and of its
 * pods, and its events as observations (model/trace.h). While it looks, facts are noted as they come;
 * what has to be asked for, names of devices, routes' prefixes, rules' texts, is when it ends.
 *
 * To open a collector, to ask and to close it takes 50 to 150 ms each, in which the loop would answer no ADD:
 * a thread does it, one at a time for each look, with nothing but what is the look's own; it writes no log. It
 * cannot be interrupted, and need not be: who closes a look waits for nothing. */
#pragma once
#include "daemon/agent.h"
#include "model/trace.h"

struct trace_look;

/* On the loop, never before the call returned. */
typedef void (*trace_look_fn)(void *arg, int rc, const struct err *e);
/* Then it can be read, or not. */
int trace_look_open(struct agent *a, const struct packet_trace *t, trace_look_fn opened, void *arg,
		    struct trace_look **out, struct err *e);
int trace_look_fd(const struct trace_look *l);
void trace_look_read(struct trace_look *l);
/* By what an open one looks, and what it does not see and why; in `ar`. */
void trace_look_about(const struct trace_look *l, struct arena *ar, struct trace_node *out);
/* No more is read, and soon nothing is in the kernel any more; then all is there that was seen. */
void trace_look_end(struct trace_look *l, trace_look_fn ended, void *arg);
/* All that was seen, of a look that has ended, and as long as it is there. */
void trace_look_told(const struct trace_look *l, struct arena *ar, struct trace_node *out);
/* At any time; NULL is fine. Nobody is called any more. */
void trace_look_close(struct trace_look *l);

unsigned trace_looks_active(const struct agent *a); /* also those that are about to be, or to end */
/* Waits for those that were closed. */
void trace_looks_wait(struct agent *a);

/* The namespace of this node that a trace's probe is sent from, as a descriptor. */
int trace_look_source(struct agent *a, const struct packet_trace *t, struct err *e);

/* ---- between its files */

/* What still has to be asked for about observation `at`. */
struct trace_open_end {
	uint32_t at;
	uint32_t space;
	uint8_t family; /* of a rule's table, without which there is none */
	const char *table, *chain;
	uint64_t handle;
	uint32_t iif, oif, mark;
	struct ipaddr src, dst; /* of a route: asked for */
	int32_t error;
};

struct trace_space {
	const char *in;   /* NULL: the node's own */
	const char *path; /* of its namespace */
};

struct trace_facts {
	struct arena *arena; /* the look's */
	struct trace_observation *v;
	uint32_t n;
	struct trace_open_end *ends;
	uint32_t n_ends;
	int64_t lost;
	struct trace_space *spaces;
	uint32_t n_spaces, left_out; /* left out: pods */
	const char *marker;          /* the table by which the collector is told of rules */
};

struct tracer;
struct tracer_event;
struct tracer_space;
struct ct_entry;
/* agent_trace_where.c: `out` has room for TRACER_SPACES_MAX; how many there are, also after a failure, says f. */
int trace_look_where(struct agent *a, const struct packet_trace *t, struct trace_facts *f,
		     struct tracer_space *out, struct err *e);
/* agent_trace_facts.c */
int trace_facts_init(struct trace_facts *f, struct arena *ar, struct err *e);
void trace_facts_event(struct trace_facts *f, const struct tracer_event *x);
void trace_facts_connection(struct trace_facts *f, uint32_t space, const struct ct_entry *c);
/* agent_trace_ask.c: asks what is open; what is gone meanwhile stays unsaid. In the thread. */
void trace_facts_ask(struct trace_facts *f, struct tracer *t);
