/* SPDX-License-Identifier: Apache-2.0 */
/* What role health is told of Services besides metrics: the health check ports and how many
 * endpoints are behind each (struct rec_health_port), and that this process lives (REC_PROXY).
 *
 * Each is told when the kernel does what it says, and all of them every few seconds with the
 * metrics. Nothing is told before the store was heard and the kernel brought in line once:
 * until then the plans of a new agent are made of half a list. */
#pragma once
#include "core/service/service.h"
#include "daemon/agent.h"
#include "daemon/report.h"

int agent_health_open(struct agent *a, struct err *e);
void agent_health_close(struct agent *a);

/* A Service is planned, n plans of it; 0: it is gone. */
void agent_health_planned(struct agent *a, const char *ns, const char *name,
			  const struct svc_plan *plans, size_t n);
/* What was planned was sent to the kernel. */
void agent_health_sent(struct agent *a);
/* The kernel does all that the store wants. */
void agent_health_whole(struct agent *a);

/* All of it, with the metrics. */
void agent_health_fill(struct agent *a, struct report *m);
