/* SPDX-License-Identifier: Apache-2.0 */
/* What NetworkPolicies did on this node: the counters that the kernel keeps with their rules. They are read
 * when somebody asks, and for metrics every five seconds, or more rarely where reading takes long. They live
 * as long as their rules do: an agent that starts anew finds them, a rule that changes begins from 0. */
#pragma once
#include "core/nft/policies.h"
#include "daemon/agent.h"
#include "daemon/report.h"

int agent_policy_count_open(struct agent *a, struct err *e);
void agent_policy_count_close(struct agent *a);

/* As of now; by policy, direction and rule. In `ar`. */
int agent_policy_counts(struct agent *a, struct arena *ar, struct nft_policy_count **v, size_t *n,
			struct err *e);

/* Metrics; what a policy that is gone had is taken back. */
void agent_policy_count_fill(struct agent *a, struct report *m);
/* Health is another, which knows nothing yet: before its first fill. */
void agent_policy_count_anew(struct agent *a);
