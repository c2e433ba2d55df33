/* SPDX-License-Identifier: Apache-2.0 */
/* The owners that are planned and applied at once, between the slices of all else (agent_plan.h):
 * pods and bridges. Nothing that others want is planned anew for them. */
#pragma once
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

/* `strict`: any refusal is an error, and nothing is wanted then. */
int agent_plan_pod(struct agent *a, const struct ipam_attachment *at, bool strict, struct err *e);
/* What it wants, for comparing. */
void agent_plan_pod_objs(const struct agent *a, const struct ipam_attachment *at,
			 struct route_out *out);
void agent_plan_pod_gone(struct agent *a, const struct ipam_attachment *at);
int agent_plan_bridge(struct agent *a, const struct route_bridge *br, struct err *e);
void agent_plan_bridge_gone(struct agent *a, const char *name);
/* The host's end of a pod vanished: nothing hangs on it any more. */
void agent_plan_link_lost(struct agent *a, const char *hostif);
