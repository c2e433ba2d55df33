/* SPDX-License-Identifier: Apache-2.0 */
/* How far the kernel is behind what the store says of Services: since when a change waits, and
 * the figures that kube-proxy has of it. Pure: what happens is told, with the time.
 *
 *   change    the store said something of a Service or an EndpointSlice
 *   queued    a Service is to be planned anew
 *   slice     some were planned and sent; `all`: none is left. A round ends with that, and its
 *             length is the time that its slices took, as others run in between
 *   done      the kernel holds what was planned: not before that a change is no longer pending
 *
 * An EndpointSlice that says what moment it tells of (the annotation by which Kubernetes does,
 * since this process began) is measured from there to `done`. */
#pragma once
#include "daemon/histogram.h"

#include <stdbool.h>

#define TRIGGER_ANNOTATION "endpoints.kubernetes.io/last-change-trigger-time"
#define PROGRESS_TRIGGERS  4096 /* that wait at once; more are not measured */

struct moment {
	int64_t mono_ms; /* CLOCK_MONOTONIC */
	int64_t wall_us; /* since 1970 */
};

enum progress_of { PROGRESS_SERVICES, PROGRESS_SLICES, PROGRESS_OF };

struct progress {
	bool planned; /* nothing is left to plan */
	/* CLOCK_MONOTONIC, ms: since when something waits, 0: nothing does; since when all that the
	 * store said was done, 0: never yet. */
	int64_t queued, updated;
	int64_t queued_wall_us, done_wall_us; /* the last time of each, 0: never */
	uint64_t changes[PROGRESS_OF], pending[PROGRESS_OF];
	uint64_t round_us;
	struct histogram rounds, programming;
	int64_t born_us;
	int64_t triggers[PROGRESS_TRIGGERS]; /* wall, us */
	size_t n_triggers;
};

void progress_init(struct progress *p, const struct moment *now);
/* `trigger`: the slice's annotation, NULL where it has none or had the same before. */
void progress_change(struct progress *p, enum progress_of of, const char *trigger);
/* The kernel does not hold what it should, for another reason. */
void progress_behind(struct progress *p, const struct moment *now);
void progress_queued(struct progress *p, const struct moment *now);
void progress_slice(struct progress *p, uint64_t us, bool all);
/* Only after a slice that was all. */
void progress_done(struct progress *p, const struct moment *now);

/* "2026-11-28T04:31:06.123456Z", up to nine digits, or none with their dot; false: it is none. */
bool progress_time(const char *text, int64_t *wall_us);
