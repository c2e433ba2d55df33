/* SPDX-License-Identifier: Apache-2.0 */
/* The table of names for role dns, which so needs no mirror of the cluster beside the agent's: filled from that one, in memory that
 * the role can only read. Where the configuration names no role dns there is nothing. */
#pragma once
#include "daemon/agent.h"
#include "daemon/report.h"
#include "model/cluster.h"

int agent_dns_open(struct agent *a, struct err *e);
void agent_dns_close(struct agent *a);
void agent_dns_join(struct agent *a, int fd); /* takes the descriptor */

/* As of struct mirror_ops. */
void agent_dns_changed(struct agent *a, const struct object *old, const struct object *now);
void agent_dns_synced(struct agent *a);

/* Has the role say what it makes of a query: agent_trace_dns(). Nothing where there is no role, or it is away. */
void agent_dns_follow(struct agent *a, const struct rec_dns_follow *r);

void agent_dns_fill(const struct agent *a, struct report *m);
