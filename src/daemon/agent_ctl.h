/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.sock: what `fairlead` asks of the agent; docs/architecture.md lists the verbs. */
#pragma once
#include "daemon/agent.h"
#include "daemon/ctl.h"

int agent_ctl_open(struct agent *a, struct err *e);
void agent_ctl_close(struct agent *a);

/* agent_ctl_show.c, agent_ctl_ipam.c, agent_ctl_policy.c: 0, CTL_LATER, or -errno and why. */
int ctl_node_status(struct ctl_call *c, struct err *e);
int ctl_routes(struct ctl_call *c, struct err *e);
int ctl_ipam_show(struct ctl_call *c, struct err *e);
int ctl_ipam_check(struct ctl_call *c, struct err *e);
int ctl_ipam_release(struct ctl_call *c, struct err *e);
int ctl_policy_show(struct ctl_call *c, struct err *e);
