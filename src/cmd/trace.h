/* SPDX-License-Identifier: Apache-2.0 */
/* fairlead trace: the probe as it is asked for and what came back (trace_ask.c), and the story that it
 * makes, on paper (trace.c), held against what objects predict (trace_diff.c). */
#pragma once
#include "cmd/lab.h"
#include "cmd/why.h"
#include "core/trace/compare.h"
#include "core/trace/join.h"
#include "model/trace.h"

struct trace_opts {
	uint8_t proto; /* enum trace_protocol; 0: TCP */
	uint8_t format, explain, keep, diff;
	int64_t timeout;          /* of the probe, seconds; 0: TRACE_SECONDS */
	int64_t size;             /* of the probe, bytes; 0: as short as can be */
	const char *query;        /* NAME[/TYPE]: the probe is this DNS query; NULL: it is none */
	LIST(const char *) files; /* a PacketTrace that was kept, instead of asking */
};

struct trace_asked {
	struct objects objects;           /* as they were when it was asked */
	struct story_view view;           /* of them */
	const struct packet_trace *trace; /* answered; lives until trace_forget() */
	struct object *answer;            /* what `trace` is part of, where it was asked for */
};

/* FROM: NS/POD, a node, or "outside" of a lab; TO: as of `why`, with its port; of a query it may be NULL: whom FROM asks. Asks, waits, and takes the
 * question out of the store again (but for --keep). 0, or the exit code, having said why.
 * trace_forget() after either. */
int trace_ask(struct cmd_ctx *ctx, const struct trace_opts *o, const char *from, const char *to,
	      struct trace_asked *out);
void trace_forget(struct trace_asked *t);

/* Sends the probe from there and writes its result (trace_send.c). 0, or the exit code, having said why. */
int trace_send(struct store *s, const struct packet_trace *question,
	       const struct world_member *from);

/* ---- predicted against observed */

/* docs/abi.md */
json_t *trace_diff_json(const struct story_comparison *c);
void trace_diff_print(const struct story_comparison *c);
