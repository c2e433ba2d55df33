/* SPDX-License-Identifier: Apache-2.0 */
/* What was predicted against what was observed. A hop of the one is looked for in the other by direction,
 * place and step, in order; the same hop is the same if who decided and the packet after it are. Not compared
 * is what no side can know or see: times; devices; ports that were chosen by chance; what is only likely;
 * places where nobody looked, and steps that the means there do not show (trace_means): packet sockets see
 * devices, routes and deliveries only eBPF, policies and refusals only nftables.
 *
 * Where one story ends before the other, that end is the difference, and what would have followed
 * is none of its own. */
#pragma once
#include "base/err.h"
#include "core/trace/story.h"
#include "model/trace.h"

struct story_difference {
	/* NULL: it is not there. Both NULL: the verdicts differ, and no hop does. */
	const struct story_hop *predicted, *observed;
	const char *predicted_text, *observed_text; /* in words */
};

struct story_differences {
	LIST(struct story_difference) list;
};

/* `trace`: who looked, and how. In `a`. 0 or -ENOMEM. */
int story_diff(const struct story *predicted, const struct story *observed,
	       const struct packet_trace *trace, struct arena *a, struct story_differences *out,
	       struct err *e);
