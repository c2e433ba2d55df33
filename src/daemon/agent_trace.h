/* SPDX-License-Identifier: Apache-2.0 */
/* PacketTraces (model/trace.h) as this node answers them. One that names the node is armed: a collector
 * is opened (agent_trace_look.h) and that is written into its status; where the node is the sender, the
 * probe is sent once every node has answered, or after 3 s; 100 ms after the probe's result is there the
 * collector is closed and what it saw is written. All nodes write into one object: by compare-and-swap,
 * again after each lost race.
 *
 * Bounded: AGENT_TRACES_MAX at once (more are refused, which is written), each for the time it asks for
 * and 15 s; never longer than it lives. A trace outlives no agent: nothing of it stays in the kernel, and
 * the next agent answers Failed for it. */
#pragma once
#include "daemon/agent.h"

#define AGENT_TRACES_MAX 4

int agent_trace_open(struct agent *a, struct err *e);
void agent_trace_close(struct agent *a);
/* A change of the store, of any kind. */
void agent_trace_changed(struct agent *a, const struct object *old, const struct object *now);

/* What role dns made of a trace's query. */
void agent_trace_dns(struct agent *a, const struct rec_dns_made *r);

struct agent_trace_stats {
	uint64_t done, failed, refused; /* traces */
	uint64_t observations, lost;
	unsigned active;
};
struct agent_trace_stats agent_trace_stats(const struct agent *a);
