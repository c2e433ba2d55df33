/* SPDX-License-Identifier: Apache-2.0 */
/* Services on this node: which of them changed, what the node does for them now
 * (core/service), and what that changes in the kernel (core/nft/services.h).
 *
 * A change marks its Service; marks are planned when it is whole or 2 ms later, in slices of a few
 * ms, so that ADD stays quick while very many load. On a kernel that had Services before this process
 * everything is planned before anything is sent: agent_service_flush(). */
#pragma once
#include "core/nft/services.h"
#include "daemon/agent.h"

int agent_service_open(struct agent *a, struct err *e);
void agent_service_close(struct agent *a);
/* `inet fairlead` as an earlier run left it. */
void agent_service_found(struct agent *a, const struct nft_table *observed);

/* A Service, an EndpointSlice or a Node. */
void agent_service_changed(struct agent *a, const struct object *old, const struct object *now);

/* Something else that is served like a Service (agent_hostport.h), by its plans' names: to be planned
 * again, a moment later or before this returns. */
void agent_service_mark(struct agent *a, const char *ns, const char *name);
void agent_service_now(struct agent *a, const char *ns, const char *name);

/* The change is whole: what it marked is planned at once. */
void agent_service_synced(struct agent *a);

typedef void agent_service_done_fn(struct agent *a);
/* Once: when all marks are planned, and the kernel holds them if it may be touched by then. */
void agent_service_flush(struct agent *a, agent_service_done_fn *done);

/* This node as Services' plans see it; lives in `ar`. */
int agent_service_node(const struct agent *a, struct arena *ar, struct svc_node *out,
		       struct err *e);
/* What every audit renders. */
struct nft_services *agent_service_rules(const struct agent *a);
