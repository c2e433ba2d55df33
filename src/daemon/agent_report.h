/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent tells others: NodeState and WorkloadEndpoints into the store, metrics to role
 * health. No pod waits for any of it. What the store did not take is written again when it is in
 * sync the next time; a pod that is gone stays DYING in the book until its object is gone too. */
#pragma once
#include "core/cni/message.h"
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

int agent_report_open(struct agent *a, struct err *e);
void agent_report_close(struct agent *a);
void agent_report_join(struct agent *a, int fd); /* health; takes the descriptor */

struct report *agent_report_to_health(struct agent *a);

/* Publishes NodeState where it differs from what was published, and what could not be written
 * before. */
void agent_report_state(struct agent *a);
/* The WorkloadEndpoint of an attachment that is wired. */
void agent_report_endpoint(struct agent *a, const struct ipam_attachment *at);
/* The Node is back in the store: what was written before may have been taken with it, and is due
 * with the next agent_report_state(). */
void agent_report_anew(struct agent *a);
/* Asks for its removal; true once the store has it no longer. Until then call again after
 * agent_reap_soon(), which is called when the answer comes. */
bool agent_report_endpoint_gone(struct agent *a, const struct ipam_attachment *at);

/* One CNI call came to an end. */
void agent_report_cni(struct agent *a, enum cni_verb verb, enum cni_code code, double seconds);
