/* SPDX-License-Identifier: Apache-2.0 */
/* The sums of policies' counters (policy_sums.h) as few numbers: what each policy allowed and denied in each
 * direction. Pure.
 *
 * A packet that is dropped is dropped by the default of all policies that isolate its pod, so each of them
 * has it among its denied ones; as their sum is therefore no number of packets, the drops of each direction
 * are counted beside them.
 *
 * Bounded: TALLIES_MAX policies and directions, the first by name; the drops count for all. */
#pragma once
#include "core/nft/policies.h"

#define TALLIES_MAX 2000

struct tally {
	const char *policy; /* "shop/a" */
	uint8_t type;       /* enum policy_type */
	uint64_t allowed, denied;
};

struct tallies {
	struct arena mem; /* the caller's to begin and to end */
	struct tally *v;  /* by policy and direction */
	size_t n;
	uint64_t dropped[POLICY_EGRESS + 1]; /* by enum policy_type */
};

/* 0 or -ENOMEM. */
int tallies_make(struct tallies *t, const struct nft_policy_count *v, size_t n, struct err *e);
/* Calls `fn` for each that `old` has and `now` has not. */
void tallies_gone(const struct tallies *old, const struct tallies *now,
		  void (*fn)(void *arg, const struct tally *t), void *arg);
