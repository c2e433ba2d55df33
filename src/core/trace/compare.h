/* SPDX-License-Identifier: Apache-2.0 */
/* What was seen of a probe against what objects predict of the same packet. The prediction follows the endpoint
 * that was chosen, and is asked for where the packet was seen to come in. Of several, as objects leave a way
 * open, the one that differs least counts. */
#pragma once
#include "core/trace/diff.h"
#include "core/trace/predict.h"

struct story_comparison {
	const struct story *predicted;
	struct story_differences differences;
};

/* `observed`: story_join()'s of `trace`. In `a`. 0 or -errno. */
int story_compare(const struct story_view *view, const struct packet_trace *trace,
		  const struct story *observed, struct arena *a, struct story_comparison *out,
		  struct err *e);
