/* SPDX-License-Identifier: Apache-2.0 */
/* What the counters of policies are as metrics: sums, denials that belong to several policies, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/tally.h"

#include <stdio.h>
#include <string.h>

static void make(struct tallies *t, const struct nft_policy_count *v, size_t n)
{
	struct err e = { 0 };

	arena_init(&t->mem, 0);
	assert_int_equal(tallies_make(t, v, n, &e), 0);
}

static void assert_tally(const struct tally *t, const char *policy, uint8_t type, uint64_t allowed,
			 uint64_t denied)
{
	assert_string_equal(t->policy, policy);
	assert_int_equal(t->type, type);
	assert_int_equal(t->allowed, allowed);
	assert_int_equal(t->denied, denied);
}

static void test_sums(void **state)
{
	const struct nft_policy_count v[] = {
		{ POLICY_EGRESS, "shop", "b", "egress[0]", 5, 500 },
		{ POLICY_INGRESS, "shop", "a", "ingress[0].from[0]", 1, 100 },
		{ POLICY_INGRESS, "shop", "a", "ingress[0].from[1]", 2, 200 },
		{ POLICY_INGRESS, NULL, NULL, "shop/a, shop/b", 10, 1000 },
		{ POLICY_INGRESS, NULL, NULL, "shop/b", 20, 2000 },
		{ POLICY_EGRESS, NULL, NULL, "shop/b, shop/c", 40, 4000 },
	};
	struct tallies t;

	make(&t, v, 6);
	assert_int_equal(t.n, 4);
	assert_tally(&t.v[0], "shop/a", POLICY_INGRESS, 3, 10);
	assert_tally(&t.v[1], "shop/b", POLICY_INGRESS, 0, 30);
	assert_tally(&t.v[2], "shop/b", POLICY_EGRESS, 5, 40);
	assert_tally(&t.v[3], "shop/c", POLICY_EGRESS, 0, 40);
	assert_int_equal(t.dropped[POLICY_INGRESS], 30);
	assert_int_equal(t.dropped[POLICY_EGRESS], 40);
	arena_fini(&t.mem);
}

static void note(void *arg, const struct tally *t)
{
	char *text = arg;

	snprintf(text + strlen(text), 100 - strlen(text), "%s:%u ", t->policy, t->type);
}

static void test_gone(void **state)
{
	const struct nft_policy_count old[] = { { POLICY_INGRESS, "a", "a", "ingress[0]", 1, 1 },
						{ POLICY_EGRESS, "a", "a", "egress[0]", 1, 1 },
						{ POLICY_INGRESS, "b", "b", "ingress[0]", 1, 1 },
						{ POLICY_INGRESS, "c", "c", "ingress[0]", 1, 1 } };
	const struct nft_policy_count now[] = { { POLICY_INGRESS, "a", "a", "ingress[0]", 0, 0 },
						{ POLICY_INGRESS, "b", "a", "ingress[0]", 1, 1 },
						{ POLICY_INGRESS, "b", "b", "ingress[0]", 1, 1 } };
	struct tallies x, y;
	char text[100] = "";

	make(&x, old, 4);
	make(&y, now, 3);
	tallies_gone(&x, &y, note, text);
	assert_string_equal(text, "a/a:2 c/c:1 ");
	text[0] = 0;
	tallies_gone(&y, &y, note, text);
	assert_string_equal(text, "");
	arena_fini(&x.mem);
	make(&x, old, 0);
	tallies_gone(&y, &x, note, text);
	assert_string_equal(text, "a/a:1 b/a:1 b/b:1 ");
	arena_fini(&x.mem);
	arena_fini(&y.mem);
}

static void test_bound(void **state)
{
	static struct nft_policy_count v[TALLIES_MAX + 500];
	static char names[TALLIES_MAX + 500][16];
	struct tallies t;

	for (size_t i = 0; i < TALLIES_MAX + 500; i++) {
		snprintf(names[i], sizeof(names[i]), "ns/p%05zu", i);
		v[i] = (struct nft_policy_count){ POLICY_INGRESS, NULL, NULL, names[i], 1, 1 };
	}
	make(&t, v, TALLIES_MAX + 500);
	assert_int_equal(t.n, TALLIES_MAX);
	assert_string_equal(t.v[TALLIES_MAX - 1].policy, names[TALLIES_MAX - 1]);
	assert_int_equal(t.dropped[POLICY_INGRESS], TALLIES_MAX + 500);
	arena_fini(&t.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
