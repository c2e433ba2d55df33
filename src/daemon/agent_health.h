/* SPDX-License-Identifier: Apache-2.0 */
/* What role health is told of Services besides metrics: the health check ports and how many
 * endpoints are behind each (struct rec_health_port), that this process lives, and since when the
 * kernel does what the store wants, or does not (REC_PROXY); and the metrics with kube-proxy's names,
 * without their label ip_family where one step here does both families.
 *
 * Each is told when the kernel does what it says, and all of them every few seconds with the
 * metrics. But for the sign of life nothing is told before the kernel was brought in line once:
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
/* The store said something, maybe of a Service or an EndpointSlice. */
void agent_health_changed(struct agent *a, const struct object *old, const struct object *now);
/* A Service is to be planned anew. */
void agent_health_queued(struct agent *a);
/* What was planned since began_ns was sent to the kernel; `all`: nothing else is to be planned. */
void agent_health_sent(struct agent *a, uint64_t began_ns, bool all);
/* The kernel does all that the store said; `live`: the store itself, and not what was kept of it.
 * Only then is what is not among it gone. */
void agent_health_in_kernel(struct agent *a, bool live);

/* All of it, with the metrics. */
void agent_health_fill(struct agent *a, struct report *m);
