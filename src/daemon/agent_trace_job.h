/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of agent_trace share; see agent_trace.h. A job is one trace of this node: its course is
 * agent_trace.c's, the probe agent_trace_send.c's, what the store is told agent_trace_write.c's. */
#pragma once
#include "daemon/agent_trace.h"
#include "daemon/agent_trace_look.h"
#include "sys/trace_probe.h"

enum trace_step {
	TRACE_OPENING, /* the look */
	TRACE_LOOKING,
	TRACE_SETTLING, /* the probe's result is there */
	TRACE_ENDING,   /* the look */
	TRACE_OVER
};

struct trace_job {
	struct trace_job *next;
	struct agent *agent;
	char name[NAME_MAX_LEN + 1];
	int64_t expires; /* Unix seconds */
	struct arena arena;
	uint8_t step;
	struct trace_look *look; /* NULL: not any more */
	struct trace_node mine;  /* what this node says of it; its observations are the look's */

	bool sender, sent, answered; /* answered: `result` holds */
	struct trace_probe *probe;
	struct trace_probe_result result;
	struct trace_response *answer; /* to its DNS query; NULL: none */
	struct trace_dns dns;          /* what role dns here made of that; `from` NULL: nothing */
	unsigned n_dns;                /* times that it said so */

	bool due, writing, gone; /* gone: the object was deleted while a write is under way */
	ev_io events, probe_io;
	/* patience: that the sender has with other nodes, then for what is still under way. limit: of the
	 * look, then of the job. */
	ev_timer patience, probe_timer, limit, again;
};

struct agent_trace {
	struct agent *agent;
	struct trace_job *jobs;
	struct trace_look *looks; /* all; their jobs may be gone */
	struct agent_trace_stats stats;
};

/* agent_trace.c */
const struct packet_trace *trace_job_body(const struct trace_job *j); /* NULL: the object is gone */
void trace_job_timer(struct trace_job *j, ev_timer *t, double seconds);
void trace_job_free(struct trace_job *j); /* nothing of it runs */

/* agent_trace_send.c */
void trace_send_init(struct trace_job *j);
void trace_send_now(struct trace_job *j); /* once */
/* It was not sent, or nobody knows. */
void trace_send_failed(struct trace_job *j, const struct err *e);
/* The packet that the probe's socket gave to the network is a fact, too: before all others. */
void trace_send_note(struct trace_job *j, const struct packet_trace *t);
void trace_send_stop(struct trace_job *j);

/* agent_trace_dns.c */
void trace_dns_follow(struct trace_job *j, const struct packet_trace *t);
void trace_dns_take(struct trace_job *j, const struct rec_dns_made *r);

/* agent_trace_write.c */
void trace_write_init(struct trace_job *j);
/* `mine` and `result`, as they are by then. */
void trace_write_soon(struct trace_job *j);
void trace_write_stop(struct trace_job *j); /* what is under way goes on */
