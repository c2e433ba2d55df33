/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of durations, as Prometheus counts them. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX 96

/* Upper ends of the buckets, ascending. */
struct histogram_bounds {
	size_t n;
	uint32_t (*ms)(size_t i);
};

extern const struct histogram_bounds histogram_quick; /* 1 ms, doubled, to 16.384 s */
extern const struct histogram_bounds histogram_slow;  /* 0.25 s to 5 min */

struct histogram {
	const struct histogram_bounds *bounds;
	uint64_t counts[HISTOGRAM_MAX]; /* of each bucket alone; what is beyond all is in none */
	uint64_t n, sum_us;
};

void histogram_observe(struct histogram *h, uint64_t us);
