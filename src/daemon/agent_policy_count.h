/* SPDX-License-Identifier: Apache-2.0 */
/* What NetworkPolicies did on this node: sums of what the kernel counts with their rules. The kernel is
 * read when somebody asks, and for metrics every five seconds, or more rarely where reading takes long, in
 * turns of half a millisecond; and of a rule that is about to be replaced or to go, just before. An agent
 * that starts anew begins with what the rules have. */
#pragma once
#include "core/nft/ops.h"
#include "core/nft/policies.h"
#include "daemon/agent.h"
#include "daemon/report.h"

int agent_policy_count_open(struct agent *a, struct err *e);
void agent_policy_count_close(struct agent *a);

/* Who asks: the caller's, zero until it asks, and while it waits in the reader's list. */
struct agent_policy_ask {
	void (*done)(void *arg, int rc, const struct err *e);
	void *arg;
	uint64_t pass;
	struct agent_policy_ask *prev, *next;
};

/* Reads all counters, in later turns of the loop; q->done is called then, unless it was taken back. */
void agent_policy_count_read(struct agent *a, struct agent_policy_ask *q);
void agent_policy_count_unread(struct agent *a, struct agent_policy_ask *q);
/* As of the last reading; by policy, direction and rule. In `ar`, until the next turn. */
int agent_policy_counts(struct agent *a, struct arena *ar, struct nft_policy_count **v, size_t *n,
			struct err *e);

/* Of "shop/a" the name, and the namespace into `ns`; NULL: it is no such text. */
const char *agent_policy_split(const char *policy, char ns[NS_MAX_LEN + 1]);

/* These are about to be sent: what the chains had that they empty is read, of the first so many. */
void agent_policy_count_before(struct agent *a, const struct nft_ops *ops);

/* Metrics; what a policy that is gone had is taken back. */
void agent_policy_count_fill(struct agent *a, struct report *m);
/* Health is another, which knows nothing yet: before its first fill. */
void agent_policy_count_anew(struct agent *a);
