// SPDX-License-Identifier: Apache-2.0
/* The pure parts of watch and controller: what a subscriber of the log sees, and who leads. */
#include "daemon/lease.h"
#include "daemon/snapshot.h"
#include "daemon/watch_log.h"
#include "model/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- log */

static int put(struct watch_log *l, const char *name, uint64_t rev)
{
	struct pod p = { .meta = { .name = name, .namespace = "ns" } };
	struct object o = { .kind = kind_by_id(KIND_POD), .meta = &p.meta, .body = &p, .rev = rev };
	struct err e;

	return watch_log_put(l, &o, &e);
}

static int del(struct watch_log *l, const char *name, uint64_t rev)
{
	struct err e;

	return watch_log_del(l, kind_by_id(KIND_POD), "ns", name, rev, &e);
}

/* "+a@1 -b@2 " of one frame, decoded as a subscriber would. */
static void describe(const struct watch_entry *n, struct buf *out)
{
	union {
		struct rec_put put;
		struct rec_delete del;
	} b = { 0 };
	struct wire body;
	struct arena a;
	unsigned type;
	struct err e;

	arena_init(&a, 0);
	assert_int_equal(record_next((const uint8_t *)n->frame.v, n->frame.n, &type, &body, &e),
			 n->frame.n);
	assert_int_equal(record_decode(&body, record_schema(type), &b, &a, &e), 0);
	if (type == REC_PUT) {
		struct object *o = record_object(&b.put, &e);

		assert_non_null(o);
		assert_string_equal(o->meta->namespace, "ns");
		buf_printf(out, "+%s@%d ", o->meta->name, (int)o->rev);
		object_free(o);
	} else {
		assert_int_equal(type, REC_DELETE);
		assert_string_equal(b.del.ns, "ns");
		buf_printf(out, "-%s@%d ", b.del.name, (int)b.del.rev);
	}
	arena_fini(&a);
}

static void expect(struct watch_log *l, struct watch_pos *p, int max, const char *want)
{
	const struct watch_entry *n;
	struct buf seen = { 0 };

	buf_puts(&seen, "");
	while (max-- && (n = watch_log_next(l, p))) {
		describe(n, &seen);
		watch_log_pass(l, p);
	}
	assert_string_equal(seen.v, want);
	buf_fini(&seen);
}

static void test_log(void **state)
{
	struct watch_log l = { 0 };
	struct watch_pos p, late;

	assert_int_equal(put(&l, "a", 1), 1);
	assert_int_equal(put(&l, "b", 2), 1);
	assert_int_equal(put(&l, "c", 3), 1);
	assert_int_equal(put(&l, "b", 2), 0); /* nothing new */
	watch_log_enter(&l, &p);
	expect(&l, &p, 2, "+a@1 +b@2 ");
	assert_int_equal(put(&l, "a", 4), 1); /* passed: comes again, at the end */
	assert_int_equal(put(&l, "c", 5), 1); /* not passed: comes once, as it is now */
	expect(&l, &p, 9, "+a@4 +c@5 ");
	assert_int_equal(del(&l, "b", 6), 0);
	assert_int_equal(l.n_deletions, 1);
	watch_log_enter(&l, &late); /* never knew b */
	expect(&l, &late, 9, "+a@4 +c@5 ");
	assert_int_equal(l.n_deletions, 1);
	expect(&l, &p, 9, "-b@6 ");
	assert_int_equal(l.n_deletions, 0);
	assert_int_equal(put(&l, "b", 7), 1);
	assert_int_equal(del(&l, "b", 8), 0);
	assert_int_equal(put(&l, "b", 9), 1);
	expect(&l, &p, 9, "-b@8 +b@9 ");
	assert_int_equal(l.n_deletions, 1); /* `late` has not passed it */
	watch_log_leave(&l, &late);
	assert_int_equal(l.n_deletions, 0);
	assert_int_equal(l.n_objects, 3);
	assert_int_equal(l.per_kind[KIND_POD], 3);
	assert_int_equal(del(&l, "z", 9), 0); /* not known here, but perhaps there */
	expect(&l, &p, 9, "-z@9 ");
	watch_log_leave(&l, &p);
	assert_int_equal(del(&l, "a", 10), 0);
	assert_int_equal(l.n_deletions, 0); /* nobody waits for it */
	watch_log_fini(&l);
}

/* A store that is found again is listed anew: only what differs is told. */
static void test_relist(void **state)
{
	struct watch_log l = { 0 };
	struct watch_pos p;
	struct err e;

	watch_log_begin(&l);
	put(&l, "a", 1);
	put(&l, "b", 2);
	put(&l, "c", 3);
	assert_int_equal(watch_log_end(&l, &e), 0);
	watch_log_enter(&l, &p);
	expect(&l, &p, 9, "+a@1 +b@2 +c@3 ");
	watch_log_begin(&l);
	put(&l, "c", 3);
	put(&l, "a", 5);
	put(&l, "d", 4);
	assert_int_equal(watch_log_missing(&l), 1);
	assert_int_equal(watch_log_end(&l, &e), 0);
	expect(&l, &p, 9, "+a@5 +d@4 -b@2 ");
	watch_log_leave(&l, &p);
	watch_log_fini(&l);
}

static void test_laggard(void **state)
{
	struct watch_log l = { 0 };
	struct watch_pos slow, fast;
	char name[16];

	watch_log_enter(&l, &slow);
	watch_log_enter(&l, &fast);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		put(&l, name, (uint64_t)i + 1);
		del(&l, name, (uint64_t)i + 1);
	}
	while (watch_log_next(&l, &fast))
		watch_log_pass(&l, &fast);
	assert_int_equal(l.n_deletions, 10);
	assert_null(watch_log_laggard(&l, 10));
	assert_ptr_equal(watch_log_laggard(&l, 9), &slow);
	watch_log_leave(&l, &slow);
	assert_int_equal(l.n_deletions, 0);
	watch_log_leave(&l, &fast);
	watch_log_fini(&l);
}

static unsigned random_below(uint32_t *seed, unsigned n)
{
	*seed = *seed * 1664525 + 1013904223; /* Numerical Recipes' */
	return (*seed >> 8) % n;
}

/* Any order of changes, and subscribers that come and go and stop reading: whoever reads to the
 * end holds what the log holds. */
static void test_random(void **state)
{
	enum { NAMES = 20, SUBS = 4, STEPS = 20000 };
	struct watch_log l = { 0 };
	struct watch_pos pos[SUBS];
	uint64_t truth[NAMES] = { 0 }, view[SUBS][NAMES];
	bool in[SUBS] = { 0 };
	uint64_t rev = 0;
	uint32_t seed = 7;

	for (int step = 0; step < STEPS; step++) {
		unsigned s = random_below(&seed, SUBS), i = random_below(&seed, NAMES);
		char name[8];

		snprintf(name, sizeof(name), "%02u", i);
		switch (random_below(&seed, 8)) {
		case 0:
			if (in[s])
				watch_log_leave(&l, &pos[s]);
			else
				watch_log_enter(&l, &pos[s]);
			in[s] = !in[s];
			memset(view[s], 0, sizeof(view[s]));
			break;
		case 1:
		case 2:
			assert_int_equal(del(&l, name, ++rev), 0);
			truth[i] = 0;
			break;
		case 3:
		case 4:
			put(&l, name, ++rev);
			truth[i] = rev;
			break;
		default:
			for (unsigned n = random_below(&seed, 12);
			     in[s] && n && watch_log_next(&l, &pos[s]); n--) {
				const struct watch_entry *e = watch_log_next(&l, &pos[s]);

				view[s][(e->name[0] - '0') * 10 + e->name[1] - '0'] =
					e->deleted ? 0 : e->rev;
				watch_log_pass(&l, &pos[s]);
			}
			if (in[s] && !watch_log_next(&l, &pos[s]))
				assert_memory_equal(view[s], truth, sizeof(truth));
		}
	}
	for (int s = 0; s < SUBS; s++)
		if (in[s])
			watch_log_leave(&l, &pos[s]);
	assert_int_equal(l.n_deletions, 0);
	watch_log_fini(&l);
}

/* ---- snapshot */

static void snapshot_of_two(struct buf *b)
{
	struct snapshot_head head = { .store = "dir:/s", .node = "n1", .time = 5 };
	struct rec_join one = { .role = "one" }, two = { .role = "two" };
	struct err e;

	assert_int_equal(snapshot_begin(b, &head, &e), 0);
	assert_int_equal(record_put(b, REC_READY, record_schema(REC_READY), &one, &e), 0);
	assert_int_equal(record_put(b, REC_JOIN, record_schema(REC_JOIN), &two, &e), 0);
	snapshot_end(b, 0, 77);
	assert_false(b->failed);
}

static void snapshot_is_read_back(void **state)
{
	struct buf b = { .v = NULL };
	struct snapshot s;
	struct wire body;
	struct arena a;
	unsigned type;
	struct err e;

	arena_init(&a, 0);
	snapshot_of_two(&b);
	assert_int_equal(snapshot_open(&s, b.v, b.n, &a, &e), 0);
	assert_string_equal(s.head.store, "dir:/s");
	assert_string_equal(s.head.node, "n1");
	assert_int_equal(s.head.time, 5);
	assert_int_equal(s.revision, 77);
	assert_int_equal(snapshot_next(&s, &type, &body, &e), 1);
	assert_int_equal(type, REC_READY);
	assert_int_equal(snapshot_next(&s, &type, &body, &e), 1);
	assert_int_equal(type, REC_JOIN);
	assert_int_equal(snapshot_next(&s, &type, &body, &e), 0);
	arena_fini(&a);
	buf_fini(&b);
}

/* Cut off at any byte, or with any bit turned, it is refused. */
static void snapshot_that_is_damaged(void **state)
{
	struct buf b = { .v = NULL };
	struct snapshot s;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	snapshot_of_two(&b);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(snapshot_open(&s, b.v, n, &a, &e), -EBADMSG);
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		b.v[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(snapshot_open(&s, b.v, b.n, &a, &e), -EBADMSG);
		b.v[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(snapshot_open(&s, b.v, b.n, &a, &e), 0);
	arena_fini(&a);
	buf_fini(&b);
}

/* ---- lease */

static struct lease held_by(const char *who)
{
	return (struct lease){ .spec = { .holderIdentity = who, .leaseDurationSeconds = 9 } };
}

static void test_lease_alone(void **state)
{
	struct lease mine = held_by("n1");
	struct lease_state s;

	lease_init(&s, "n1");
	assert_int_equal(lease_step(&s, 1000), LEASE_CREATE);
	lease_asked(&s, 1000);
	assert_int_equal(lease_step(&s, 1001), LEASE_NOTHING); /* in flight */
	lease_answered(&s, true);
	assert_false(lease_leads(&s, 1002)); /* not seen yet */
	lease_seen(&s, &mine, 5, 1010);
	assert_true(lease_leads(&s, 1010));
	assert_int_equal(lease_step(&s, 3999), LEASE_NOTHING);
	assert_int_equal(lease_step(&s, 4000), LEASE_RENEW); /* a third */
	lease_asked(&s, 4000);
	lease_answered(&s, false);
	assert_true(lease_leads(&s, 6999));
	assert_false(lease_leads(&s, 7000)); /* two thirds after the last success */
	assert_int_equal(lease_step(&s, 7000), LEASE_RENEW);
	lease_asked(&s, 7000);
	lease_answered(&s, true);
	assert_true(lease_leads(&s, 7001));
	lease_seen(&s, NULL, 0, 8000); /* somebody deleted it */
	assert_false(lease_leads(&s, 8000));
	assert_int_equal(lease_step(&s, 8000), LEASE_CREATE);
}

static void test_lease_given_up(void **state)
{
	struct lease mine = held_by("n1"), written;
	struct lease_state s, other;

	lease_init(&s, "n1");
	lease_seen(&s, &mine, 5, 1000);
	lease_asked(&s, 1000);
	lease_leave(&s);
	assert_false(lease_leads(&s, 1000));
	assert_int_equal(lease_step(&s, 1000), LEASE_NOTHING); /* a renewal is in flight */
	lease_answered(&s, true);
	assert_int_equal(lease_step(&s, 1001), LEASE_GIVE_UP);
	lease_object(&s, &mine, 77, &written);
	assert_null(written.spec.holderIdentity);
	assert_int_equal(written.spec.leaseDurationSeconds, 1);
	lease_seen(&s, &written, 6, 1002);
	assert_int_equal(lease_step(&s, 99999), LEASE_NOTHING); /* and is not taken again */
	lease_init(&other, "n2");
	lease_seen(&other, &mine, 5, 1000);
	assert_int_equal(lease_step(&other, 1002), LEASE_NOTHING);
	lease_seen(&other, &written, 6, 1002);
	assert_int_equal(lease_step(&other, 1002), LEASE_TAKE);
	lease_object(&other, &written, 78, &mine);
	assert_string_equal(mine.spec.holderIdentity, "n2");
	assert_int_equal(mine.spec.leaseDurationSeconds, 9);
}

static void test_lease_other(void **state)
{
	struct lease theirs = held_by("n2"), mine = held_by("n1"), nobody = held_by(NULL);
	struct lease_state s;

	lease_init(&s, "n1");
	lease_seen(&s, &theirs, 5, 1000);
	assert_int_equal(lease_step(&s, 9999), LEASE_NOTHING);
	lease_seen(&s, &theirs, 6, 9000); /* it lives */
	assert_int_equal(lease_step(&s, 17999), LEASE_NOTHING);
	lease_seen(&s, &theirs, 6, 15000); /* told again, unchanged */
	assert_int_equal(lease_step(&s, 18000), LEASE_TAKE);
	lease_seen(&s, &nobody, 7, 18000);
	assert_int_equal(lease_step(&s, 18000), LEASE_TAKE);
	/* After a restart: ours from before leads only once it was renewed. */
	lease_init(&s, "n1");
	lease_seen(&s, &mine, 9, 20000);
	assert_false(lease_leads(&s, 20000));
	assert_int_equal(lease_step(&s, 20000), LEASE_RENEW);
	/* A lease without a duration does not block for ever. */
	theirs.spec.leaseDurationSeconds = 0;
	lease_init(&s, "n1");
	lease_seen(&s, &theirs, 10, 30000);
	assert_int_equal(lease_step(&s, 30000 + LEASE_DURATION_S * 1000), LEASE_TAKE);
}

static void test_lease_object(void **state)
{
	struct lease theirs = held_by("n2"), out;
	struct lease_state s;

	theirs.spec.acquireTime = 100;
	theirs.spec.leaseTransitions = 3;
	lease_init(&s, "n1");
	lease_object(&s, NULL, 500, &out);
	assert_string_equal(out.spec.holderIdentity, "n1");
	assert_int_equal(out.spec.leaseTransitions, 0);
	assert_int_equal(out.spec.acquireTime, 500);
	lease_seen(&s, &theirs, 1, 1);
	lease_object(&s, &theirs, 600, &out);
	assert_string_equal(out.spec.holderIdentity, "n1");
	assert_int_equal(out.spec.leaseTransitions, 4);
	assert_int_equal(out.spec.acquireTime, 600);
	lease_seen(&s, &out, 2, 2);
	lease_object(&s, &out, 700, &theirs);
	assert_int_equal(theirs.spec.leaseTransitions, 4);
	assert_int_equal(theirs.spec.acquireTime, 600);
	assert_int_equal(theirs.spec.renewTime, 700);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_is_read_back),
		cmocka_unit_test(snapshot_that_is_damaged),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_relist),
		cmocka_unit_test(test_laggard),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_lease_alone),
		cmocka_unit_test(test_lease_given_up),
		cmocka_unit_test(test_lease_other),
		cmocka_unit_test(test_lease_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
