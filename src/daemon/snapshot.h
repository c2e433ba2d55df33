/* SPDX-License-Identifier: Apache-2.0 */
/* The format of watch's snapshot, which daemon/watch_snapshot.h writes and reads:
 *
 *   file := "FLWATCH1\n" | u32 length | head | frame* | u64 revision | u32 CRC-32 of all before
 *
 * big-endian. The head (model/record.h) says whose snapshot it is; the frames are the REC_PUT and
 * REC_DELETE of subscribers, in their order: a later one of the same object counts. A file is
 * believed as a whole or not at all. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"

struct snapshot_head {
	const char *store; /* its URL */
	const char *node;
	int64_t time; /* begun, seconds since 1970 */
};

int snapshot_begin(struct buf *out, const struct snapshot_head *h, struct err *e);
/* `crc`: of all bytes before those in `out`, which it adds. */
void snapshot_end(struct buf *out, uint32_t crc, uint64_t revision);

struct snapshot {
	struct wire frames;
	struct snapshot_head head; /* strings in the arena of snapshot_open() */
	uint64_t revision;
};

/* -EBADMSG: it is not one, or damaged. */
int snapshot_open(struct snapshot *s, const void *p, size_t n, struct arena *a, struct err *e);
/* The next frame: 1, 0 at the end, or -EBADMSG. */
int snapshot_next(struct snapshot *s, unsigned *type, struct wire *body, struct err *e);
