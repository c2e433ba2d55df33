/* SPDX-License-Identifier: Apache-2.0 */
/* What watch knew, on disk: STATE/watch/snapshot, in a folder of its own that is given to the
 * role's user. Where a watch starts while the store is out of reach it serves this, as stale.
 *
 * Written after changes, at most once a second and for no more than a small part of the time, as
 * a whole, beside the old one, then renamed. The writer is a position in the log like a
 * subscriber's, so it takes a slice at a time and what changes meanwhile is in it too. The loop copies
 * a slice, a thread writes and syncs it and puts the whole in place: disks may take long, and changes go on
 * meanwhile. One thread runs at a time and ends before the process does. Derived kinds are left out: they are
 * the daemons' own words.
 *
 * Used is only the snapshot of the same store URL and node. Whether another cluster stands behind
 * that URL by now only the store could say; once it does, nothing here counts any more. */
#pragma once
#include "base/buf.h"
#include "daemon/role.h"
#include "daemon/watch_log.h"

#include <pthread.h>

struct watch;

struct watch_snapshot {
	int dir; /* STATE/watch, open since we were root; -1: there is none */
	int old; /* the file as it was found at the start, or -1 */
	int fd;  /* the file that is being written, or -1 */
	struct watch_pos pos;
	uint64_t revision; /* as of the slice */
	bool whole;        /* the slice is the last one */
	bool abandoned;    /* nothing follows it */
	double begun, ended;
	pthread_t thread;
	bool running;     /* the thread: `fd` and the next three are its own until it is joined */
	struct buf chunk; /* the slice */
	uint32_t crc;
	int rc;
	ev_async flushed;
	uint64_t written; /* revision of the one on disk that this process wrote */
	bool failing;
	uint64_t n_failed;
	ev_timer timer;
};

/* Still root, after it is known whose role it is. */
void watch_snapshot_prepare(struct watch *w, const struct role *r);
void watch_snapshot_start(struct watch *w);
void watch_snapshot_stop(struct watch *w);
/* The store is in sync: writes one soon, where something changed. */
void watch_snapshot_due(struct watch *w);
/* It holds up the log's deletions: a later one will do. */
void watch_snapshot_abandon(struct watch *w);
/* The store is out of reach and was not seen: fills the log from disk, the first time. Returns
 * whether it did. */
bool watch_snapshot_load(struct watch *w);
