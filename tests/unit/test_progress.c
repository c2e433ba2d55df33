// SPDX-License-Identifier: Apache-2.0
/* How far the kernel is behind the store, and histograms, by hand. */
#include "daemon/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BORN 1764304266000000 /* 2025-11-28T04:31:06Z */

static struct moment at(int64_t ms)
{
	return (struct moment){ .mono_ms = 5000 + ms, .wall_us = BORN + 1000 * ms };
}

static void begin(struct progress *p)
{
	struct moment t = at(0);

	progress_init(p, &t);
}

static void queue(struct progress *p, int64_t ms)
{
	struct moment t = at(ms);

	progress_queued(p, &t);
}

static void done(struct progress *p, int64_t ms)
{
	struct moment t = at(ms);

	progress_done(p, &t);
}

static void test_rounds(void **state)
{
	struct progress p;

	begin(&p);
	progress_change(&p, PROGRESS_SERVICES, NULL);
	progress_change(&p, PROGRESS_SLICES, NULL);
	progress_change(&p, PROGRESS_SLICES, NULL);
	queue(&p, 100);
	queue(&p, 150);
	assert_int_equal(p.queued, 5100); /* the oldest */
	assert_int_equal(p.queued_wall_us, BORN + 150000);
	assert_int_equal(p.updated, 0);
	progress_slice(&p, 2000, false);
	assert_false(p.planned);
	progress_slice(&p, 1500, true);
	assert_true(p.planned);
	assert_int_equal(p.rounds.n, 1);
	assert_int_equal(p.rounds.sum_us, 3500);
	assert_int_equal(p.pending[PROGRESS_SLICES], 2); /* until the kernel has it */
	done(&p, 200);
	assert_int_equal(p.queued, 0);
	assert_int_equal(p.updated, 5200);
	assert_int_equal(p.done_wall_us, BORN + 200000);
	assert_int_equal(p.pending[PROGRESS_SERVICES] + p.pending[PROGRESS_SLICES], 0);
	assert_int_equal(p.changes[PROGRESS_SERVICES], 1);
	assert_int_equal(p.changes[PROGRESS_SLICES], 2);

	progress_slice(&p, 10, true); /* nothing to plan: no round */
	done(&p, 300);                /* and nothing was done */
	assert_int_equal(p.rounds.n, 1);
	assert_int_equal(p.updated, 5200);
}

static void test_behind(void **state)
{
	struct moment t = at(700);
	struct progress p;

	begin(&p);
	done(&p, 10); /* no Services at all is done too */
	assert_int_equal(p.updated, 5010);
	progress_behind(&p, &t);
	t = at(900);
	progress_behind(&p, &t);
	assert_int_equal(p.queued, 5700);
	assert_int_equal(p.queued_wall_us, 0); /* nothing was to be planned */
	done(&p, 1000);
	assert_int_equal(p.queued, 0);
	assert_int_equal(p.updated, 6000);
}

static void test_triggers(void **state)
{
	struct progress p;

	begin(&p);
	progress_change(&p, PROGRESS_SLICES, "2025-11-28T04:31:05.999Z"); /* before this process */
	progress_change(&p, PROGRESS_SLICES, "2025-11-28T04:31:06Z");
	progress_change(&p, PROGRESS_SLICES, "2025-11-28T04:31:07.25Z");
	progress_change(&p, PROGRESS_SLICES, "2025-11-28T04:31:59Z"); /* another machine's clock */
	progress_change(&p, PROGRESS_SLICES, "yesterday");
	assert_int_equal(p.programming.n, 0);
	done(&p, 1500);
	assert_int_equal(p.programming.n, 3);
	assert_int_equal(p.programming.sum_us, 1500000 + 250000);
	assert_int_equal(p.programming.counts[0], 2); /* 0.25 s and 0 */
	assert_int_equal(p.programming.counts[3], 1); /* up to 2 s */
	progress_change(&p, PROGRESS_SLICES, NULL);
	done(&p, 2000);
	assert_int_equal(p.programming.n, 3);
	for (int i = 0; i < PROGRESS_TRIGGERS + 1; i++)
		progress_change(&p, PROGRESS_SLICES, "2025-11-28T04:31:07Z");
	done(&p, 2000);
	assert_int_equal(p.programming.n, 3 + PROGRESS_TRIGGERS);
}

static void test_times(void **state)
{
	static const char *const bad[] = { "",
					   "2025-11-28",
					   "2025-11-28T04:31:06",
					   "2025-11-28T04:31:06.Z",
					   "2025-11-28T04:31:06.1234567890Z",
					   "2025-11-28T04:31:06+00:00",
					   "2025-11-28T04:31:06ZZ",
					   "2025-13-28T04:31:06Z",
					   "2025-00-28T04:31:06Z",
					   "2025-11-32T04:31:06Z",
					   "2025-11-28T24:31:06Z",
					   "2025-11-28 04:31:06Z",
					   "1969-12-31T23:59:59Z",
					   "2025-11-28T04:31:6ZZ",
					   "-025-11-28T04:31:06Z" };
	int64_t us = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (progress_time(bad[i], &us))
			fail_msg("%s", bad[i]);
	assert_int_equal(us, 7);
	assert_true(progress_time("2025-11-28T04:31:06Z", &us));
	assert_int_equal(us, BORN);
	assert_true(progress_time("2025-11-28T04:31:06.000001999Z", &us));
	assert_int_equal(us, BORN + 1);
	assert_true(progress_time("1970-01-01T00:00:00.5Z", &us));
	assert_int_equal(us, 500000);
}

/* kube-proxy's bounds, and which bucket a value is in. */
static void test_bounds(void **state)
{
	struct histogram h = { .bounds = &histogram_quick };
	const struct histogram_bounds *s = &histogram_slow;

	assert_int_equal(histogram_quick.n, 15);
	assert_int_equal(histogram_quick.ms(0), 1);
	assert_int_equal(histogram_quick.ms(14), 16384);
	for (size_t i = 1; i < s->n; i++)
		assert_true(s->ms(i) > s->ms(i - 1));
	assert_int_equal(s->ms(0), 250);
	assert_int_equal(s->ms(1), 500);
	assert_int_equal(s->ms(2), 1000);
	assert_int_equal(s->ms(60), 59000);
	assert_int_equal(s->ms(61), 60000);
	assert_int_equal(s->ms(72), 115000);
	assert_int_equal(s->ms(73), 120000);
	assert_int_equal(s->ms(s->n - 1), 300000);
	histogram_observe(&h, 1000);
	histogram_observe(&h, 1001);
	histogram_observe(&h, 16384001);
	assert_int_equal(h.counts[0], 1);
	assert_int_equal(h.counts[1], 1);
	assert_int_equal(h.n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),   cmocka_unit_test(test_behind),
		cmocka_unit_test(test_triggers), cmocka_unit_test(test_times),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
