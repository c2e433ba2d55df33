// SPDX-License-Identifier: Apache-2.0
/* core/diff: verdicts by hand, and the table of what is wanted against a slow oracle: after any
 * series of changes, doing the operations on a plain list gives what a look at all owners says. */
#include "core/diff/diff.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct kobj route(unsigned net, unsigned via)
{
	struct kobj o = { .type = KOBJ_ROUTE };

	o.route.dst = (struct prefix){ addr_v4(10u << 24 | net << 8), 24 };
	o.route.via = addr_v4(192u << 24 | via);
	o.route.protocol = RTPROT_FAIRLEAD;
	return o;
}

static struct kobj link_named(const char *name, uint32_t mtu)
{
	struct kobj o = { .type = KOBJ_LINK };

	strcpy(o.link.name, name);
	o.link.mtu = mtu;
	return o;
}

static struct kobj foreign(struct kobj o)
{
	o.foreign = 1;
	return o;
}

static void expect_op(const struct diff *d, size_t i, enum kop_verb verb, struct kobj o)
{
	assert_true(i < d->n);
	assert_int_equal(d->ops[i].verb, verb);
	assert_int_equal(kobj_cmp(d->ops[i].obj, &o), 0);
	assert_true(kobj_same(&o, d->ops[i].obj));
}

static bool not_net_9(void *arg, const struct kobj *have)
{
	return have->route.dst.addr.b[2] != 9;
}

static void test_verdicts(void **state)
{
	struct kobj want[] = { link_named("a", 0), route(1, 1), route(2, 2), route(3, 3),
			       route(4, 4) };
	struct kobj have[] = { link_named("z", 0), foreign(route(1, 9)), route(2, 9), route(3, 3),
			       route(5, 5),        foreign(route(6, 6)), route(8, 8), route(9, 9) };
	struct arena a;
	struct diff d;

	arena_init(&a, 0);
	assert_int_equal(diff_kobjs((struct kobjs){ want, 5 }, (struct kobjs){ have, 8 }, not_net_9,
				    NULL, &a, &d),
			 0);
	assert_int_equal(d.counts[DIFF_SEEN], 1);
	assert_int_equal(d.counts[DIFF_IGNORE], 2);
	assert_int_equal(d.counts[DIFF_UPDATE], 1);
	assert_int_equal(d.counts[DIFF_DELETE], 3);
	assert_int_equal(d.counts[DIFF_MISSING], 2);
	assert_int_equal(d.counts[DIFF_CONFLICT], 1);
	assert_int_equal(d.n, 6);
	expect_op(&d, 0, KOP_ADD, link_named("a", 0));
	expect_op(&d, 1, KOP_CHANGE, route(2, 2));
	expect_op(&d, 2, KOP_ADD, route(4, 4));
	expect_op(&d, 3, KOP_DELETE, route(8, 8));
	expect_op(&d, 4, KOP_DELETE, route(5, 5));
	expect_op(&d, 5, KOP_DELETE, link_named("z", 0));
	assert_int_equal(d.nconflicts, 1);
	assert_ptr_equal(d.conflicts[0].kept, &have[1]);
	assert_ptr_equal(d.conflicts[0].lost, &want[1]);
	assert_int_equal(diff_kobjs((struct kobjs){ 0 }, (struct kobjs){ 0 }, NULL, NULL, &a, &d),
			 0);
	assert_int_equal(d.n, 0);
	assert_string_equal(diff_verdict_name(DIFF_SEEN), "seen");
	assert_string_equal(diff_verdict_name(DIFF_CONFLICT), "conflict");
	arena_fini(&a);
}

static void test_owners(void **state)
{
	struct desired *t = desired_new();
	struct kobj two[] = { route(2, 2), route(1, 1), route(1, 7) }, key = route(1, 0);
	struct kobj other = route(1, 5), same = route(2, 2);
	struct arena a;
	struct diff d;
	size_t n;

	arena_init(&a, 0);
	assert_int_equal(desired_set(t, 20, two, 3, &a, &d), 0);
	assert_int_equal(d.n, 2);
	expect_op(&d, 0, KOP_ADD, route(1, 1));
	expect_op(&d, 1, KOP_ADD, route(2, 2));
	/* Again: nothing to do. */
	assert_int_equal(desired_set(t, 20, two, 3, &a, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(d.counts[DIFF_SEEN], 2);
	/* A higher number waits, a conflict; it takes over when the lower lets go. */
	assert_int_equal(desired_set(t, 30, &other, 1, &a, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(d.nconflicts, 1);
	assert_int_equal(d.conflicts[0].kept->owner, 20);
	assert_int_equal(d.conflicts[0].lost->owner, 30);
	assert_int_equal(desired_set(t, 20, two, 1, &a, &d), 0);
	assert_int_equal(d.n, 1);
	expect_op(&d, 0, KOP_CHANGE, route(1, 5));
	/* A lower number takes it at once; the same wish by two is no conflict. */
	assert_int_equal(desired_set(t, 10, two, 2, &a, &d), 0);
	assert_int_equal(d.n, 1);
	expect_op(&d, 0, KOP_CHANGE, route(1, 1));
	assert_int_equal(d.nconflicts, 1);
	assert_int_equal(desired_get(t, &key)->owner, 10);
	assert_int_equal(desired_set(t, 20, NULL, 0, &a, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(desired_set(t, 40, &same, 1, &a, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(d.nconflicts, 0);
	assert_int_equal(desired_count(t), 2);
	assert_int_equal(desired_set(t, 10, NULL, 0, &a, &d), 0);
	assert_int_equal(d.n, 1);
	expect_op(&d, 0, KOP_CHANGE, route(1, 5));
	assert_int_equal(desired_set(t, 30, NULL, 0, &a, &d), 0);
	expect_op(&d, 0, KOP_DELETE, route(1, 5));
	assert_non_null(desired_all(t, &a, &n));
	assert_int_equal(n, 1);
	assert_int_equal(desired_set(t, 40, NULL, 0, &a, &d), 0);
	assert_int_equal(desired_count(t), 0);
	assert_null(desired_get(t, &key));
	desired_free(t);
	arena_fini(&a);
}

/* Out of memory at any point changes nothing. */
static void test_no_memory(void **state)
{
	struct kobj objs[] = { route(1, 1), route(2, 2), route(3, 3) };
	struct desired *t = desired_new();
	struct diff d = { .n = 77 };
	size_t failed = 0;
	struct arena a;

	for (size_t limit = 1;; limit += 8) {
		int rc;

		arena_init(&a, limit);
		rc = desired_set(t, 1, objs, 3, &a, &d);
		arena_fini(&a);
		if (!rc)
			break;
		failed++;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(desired_count(t), 0);
		assert_int_equal(d.n, 77);
	}
	assert_true(failed > 5);
	assert_int_equal(desired_count(t), 3);
	desired_free(t);
}

/* ---- against the slow way */

#define OWNERS 6
#define NETS   12

struct world {
	unsigned via[OWNERS][NETS]; /* 0: the owner does not want that net */
	unsigned kernel[NETS];      /* 0: not there */
};

static void do_ops(struct world *w, const struct diff *d)
{
	bool deleting = false;

	for (size_t i = 0; i < d->n; i++) {
		const struct kroute *r = &d->ops[i].obj->route;
		unsigned *k = &w->kernel[r->dst.addr.b[2]];

		assert_true(d->ops[i].verb == KOP_DELETE || !deleting);
		assert_int_equal(*k != 0, d->ops[i].verb != KOP_ADD);
		deleting = d->ops[i].verb == KOP_DELETE;
		*k = deleting ? 0 : r->via.b[3];
	}
}

static void check(const struct world *w, const struct desired *t, struct arena *a)
{
	size_t n, at = 0;
	const struct kobj *all = desired_all(t, a, &n);

	for (unsigned net = 0; net < NETS; net++) {
		unsigned winner = 0;

		for (unsigned o = 0; o < OWNERS && !winner; o++)
			winner = w->via[o][net];
		assert_int_equal(w->kernel[net], winner);
		if (!winner)
			continue;
		assert_true(at < n);
		assert_int_equal(all[at].route.dst.addr.b[2], net);
		assert_int_equal(all[at++].route.via.b[3], winner);
	}
	assert_int_equal(at, n);
}

static void test_random(void **state)
{
	struct desired *t = desired_new();
	struct world w = { 0 };
	struct arena a;
	struct diff d;

	srandom(4711);
	arena_init(&a, 0);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned owner = (unsigned)random() % OWNERS, n = 0;
		struct kobj objs[NETS];

		for (unsigned net = 0; net < NETS; net++) {
			w.via[owner][net] = random() % 3 ? 0 : 1 + (unsigned)random() % 3;
			if (w.via[owner][net])
				objs[n++] = route(net, w.via[owner][net]);
		}
		for (unsigned i = n; i > 1; i--) { /* any order will do */
			unsigned j = (unsigned)random() % i;
			struct kobj swap = objs[i - 1];

			objs[i - 1] = objs[j];
			objs[j] = swap;
		}
		assert_int_equal(desired_set(t, owner, objs, n, &a, &d), 0);
		do_ops(&w, &d);
		check(&w, t, &a);
		arena_reset(&a);
	}
	desired_free(t);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
