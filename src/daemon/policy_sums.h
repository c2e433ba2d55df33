/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of policies as sums that only grow, though what the kernel counts with goes: its rules are replaced
 * when a policy changes, and go with the last pod that it isolates. Pure.
 *
 * A sum lives as long as its policy. What a list of policies denied goes, when one of them does, to the
 * list of the others, so that each policy's denials keep their sum; those of a list of which none is left are
 * nobody's ("") and count among all drops alone. So there are no more sums than rules and lists of
 * policies that are there. */
#pragma once
#include "base/buf.h"
#include "core/nft/policies.h"

struct policy_sum;

struct policy_sums {
	struct policy_sum *all;
	struct buf key; /* to look one up */
};

void policy_sums_fini(struct policy_sums *s); /* zero is an empty one */
/* 0 or -ENOMEM, and nothing was added. */
int policy_sums_add(struct policy_sums *s, const struct nft_policy_count *grown);
/* What `is_there` denies lets go of its sums. As above; what is left is done by the next call. */
int policy_sums_forget(struct policy_sums *s, bool (*is_there)(void *arg, const char *policy),
		       void *arg);
/* By policy, direction and rule; they point into the sums, until those change. In `a`. 0 or -ENOMEM. */
int policy_sums_list(const struct policy_sums *s, struct arena *a, struct nft_policy_count **out,
		     size_t *n, struct err *e);
