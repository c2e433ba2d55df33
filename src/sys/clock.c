// SPDX-License-Identifier: Apache-2.0
/* clock: see clock.h. */
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall(void)
{
	return time(NULL);
}

int64_t clock_wall_ns(void)
{
	return (int64_t)clock_ns(CLOCK_REALTIME);
}

void random_bytes(void *p, size_t n)
{
	unsigned char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno != EINTR)
			abort(); /* predictable "randomness" is worse than no process */
		if (got < 0)
			continue;
		at += got;
		n -= (size_t)got;
	}
}
