/* SPDX-License-Identifier: Apache-2.0 */
/* One trace's eyes on this node: the collector (sys/tracer.h) in the namespaces of the node and of its
 * pods, and its events as observations (model/trace.h). While it looks, facts are noted as they come;
 * what has to be asked for, names of devices, routes' prefixes, rules' texts, is when it ends. */
#pragma once
#include "daemon/agent.h"
#include "model/trace.h"

struct trace_look;

/* Notes what is not seen in *note, if anything, and by what it looks in `means`: both in `ar`, which
 * outlives the look and holds its observations. */
int trace_look_open(struct agent *a, const struct packet_trace *t, struct arena *ar,
		    struct trace_look **out, struct err *e);
void trace_look_close(struct trace_look *l); /* NULL is fine */
int trace_look_fd(const struct trace_look *l);
void trace_look_read(struct trace_look *l);
/* Means and note. */
void trace_look_about(const struct trace_look *l, struct trace_node *out);
/* All that was seen. The look sees nothing any more. */
void trace_look_end(struct trace_look *l, struct trace_node *out);

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
	struct arena *arena;
	struct trace_observation *v;
	uint32_t n;
	struct trace_open_end *ends;
	uint32_t n_ends;
	int64_t lost;
	struct trace_space *spaces;
	uint32_t n_spaces;
	const char *marker; /* the table by which the collector is told of rules */
};

struct tracer;
struct tracer_event;
struct ct_entry;
/* agent_trace_facts.c */
int trace_facts_init(struct trace_facts *f, struct arena *ar, struct err *e);
void trace_facts_event(struct trace_facts *f, const struct tracer_event *x);
void trace_facts_connection(struct trace_facts *f, uint32_t space, const struct ct_entry *c);
/* agent_trace_ask.c: asks what is open; what is gone meanwhile stays unsaid. */
void trace_facts_ask(struct trace_facts *f, struct agent *a, struct tracer *t);
