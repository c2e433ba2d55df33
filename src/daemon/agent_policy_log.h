/* SPDX-License-Identifier: Apache-2.0 */
/* The deny log: a line for each packet that NetworkPolicies dropped on this node and the kernel tells of
 * (NFLOG), with the names of both ends and the policies that isolate. Two limits: the kernel's rules tell of
 * some packets a second for each list of policies, and `policy-log` bounds the lines of the agent; how many
 * more came through is said in one line every ten seconds. The counters in the kernel know all.
 *
 * The group has one reader. While somebody else has it, or after an error, it is tried again for as long as
 * the agent runs: nothing else depends on it. */
#pragma once
#include "daemon/agent.h"

int agent_policy_log_open(struct agent *a, struct err *e);
void agent_policy_log_close(struct agent *a);

struct agent_policy_log_stats {
	uint64_t written, left_out; /* lines; packets told of without one */
	uint64_t lost;              /* packets that did not come through from the kernel */
};
const struct agent_policy_log_stats *agent_policy_log_stats(const struct agent *a);
