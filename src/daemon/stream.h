/* SPDX-License-Identifier: Apache-2.0 */
/* Record stream: frames (model/record.h) over a connected SOCK_STREAM unix socket on libev,
 * with descriptors. Used between roles, and by the agent for fairlead-cni and fairlead.
 *
 * Nothing blocks: output is queued up to a limit and written as the other side reads. A side
 * that does not read past the limit is dropped rather than waited for; whoever needs it joins
 * again and starts from the beginning. */
#pragma once
#include "base/err.h"
#include "base/wire.h"
#include "model/schema.h"

#include <ev.h>

#define STREAM_LIMIT (64u << 20) /* bytes of queued output, unless set otherwise */

struct stream;

struct stream_ops {
	/* One whole frame; `body` is valid during the call. `fd`: the descriptor that came with
	 * it, owned by the callee, or -1. */
	void (*frame)(struct stream *s, unsigned type, struct wire *body, int fd);
	/* The other end is gone (code 0), or it broke the protocol or the limit (e says how).
	 * Called once, from the loop, never from within stream_send(); the callee calls
	 * stream_free(). */
	void (*closed)(struct stream *s, const struct err *e);
	/* The queue became empty after it was not; may be NULL. */
	void (*drained)(struct stream *s);
};

/* Takes `fd` (closed on failure too). `ops` and `arg` must outlive the stream. */
struct stream *stream_new(struct ev_loop *loop, int fd, const struct stream_ops *ops, void *arg,
			  struct err *e);
void stream_free(struct stream *s); /* closes; allowed in its own callbacks; NULL is fine */
void *stream_arg(const struct stream *s);
int stream_fd(const struct stream *s); /* for SO_PEERCRED; stays the stream's */

/* Queues one record; `schema` NULL means record_schema(type). `fd` ≥ 0 is duplicated and
 * travels with it. -ENOBUFS past the limit, -EPIPE after it: the stream is dead then and
 * `closed` follows from the loop. */
int stream_send(struct stream *s, unsigned type, const struct schema *schema, const void *body,
		int fd, struct err *e);
int stream_send_frame(struct stream *s, const void *frame, size_t n, struct err *e);

size_t stream_queued(const struct stream *s); /* bytes not yet taken by the kernel */
void stream_set_limit(struct stream *s, size_t bytes);
/* Stops and resumes reading: back pressure for a side that asks faster than we answer. */
void stream_pause(struct stream *s, bool pause);
/* Reads within this turn of the loop, as something may have come already. */
void stream_look(struct stream *s);
/* Closes once everything queued was written (a reply, then end); `closed` is called then. */
void stream_finish(struct stream *s);
