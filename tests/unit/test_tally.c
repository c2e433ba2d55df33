/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of policies: sums that never fall; and what they are as metrics: denials that belong to
 * several policies, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/policy/match.h"
#include "daemon/policy_sums.h"
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
		{ POLICY_EGRESS, "shop/b", "egress[0]", 5, 500 },
		{ POLICY_INGRESS, "shop/a", "ingress[0].from[0]", 1, 100 },
		{ POLICY_INGRESS, "shop/a", "ingress[0].from[1]", 2, 200 },
		{ POLICY_INGRESS, NULL, "shop/a, shop/b", 10, 1000 },
		{ POLICY_INGRESS, NULL, "shop/b", 20, 2000 },
		{ POLICY_EGRESS, NULL, "shop/b, shop/c", 40, 4000 },
		{ POLICY_EGRESS, NULL, POLICY_UNKNOWN, 7, 700 }, /* no policy's */
	};
	struct tallies t;

	make(&t, v, 7);
	assert_int_equal(t.n, 4);
	assert_tally(&t.v[0], "shop/a", POLICY_INGRESS, 3, 10);
	assert_tally(&t.v[1], "shop/b", POLICY_INGRESS, 0, 30);
	assert_tally(&t.v[2], "shop/b", POLICY_EGRESS, 5, 40);
	assert_tally(&t.v[3], "shop/c", POLICY_EGRESS, 0, 40);
	assert_int_equal(t.dropped[POLICY_INGRESS], 30);
	assert_int_equal(t.dropped[POLICY_EGRESS], 47);
	arena_fini(&t.mem);
}

static void note(void *arg, const struct tally *t)
{
	char *text = arg;

	snprintf(text + strlen(text), 100 - strlen(text), "%s:%u ", t->policy, t->type);
}

static void test_gone(void **state)
{
	const struct nft_policy_count old[] = { { POLICY_INGRESS, "a/a", "ingress[0]", 1, 1 },
						{ POLICY_EGRESS, "a/a", "egress[0]", 1, 1 },
						{ POLICY_INGRESS, "b/b", "ingress[0]", 1, 1 },
						{ POLICY_INGRESS, "c/c", "ingress[0]", 1, 1 } };
	const struct nft_policy_count now[] = { { POLICY_INGRESS, "a/a", "ingress[0]", 0, 0 },
						{ POLICY_INGRESS, "b/a", "ingress[0]", 1, 1 },
						{ POLICY_INGRESS, "b/b", "ingress[0]", 1, 1 } };
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
		v[i] = (struct nft_policy_count){ POLICY_INGRESS, NULL, names[i], 1, 1 };
	}
	make(&t, v, TALLIES_MAX + 500);
	assert_int_equal(t.n, TALLIES_MAX);
	assert_string_equal(t.v[TALLIES_MAX - 1].policy, names[TALLIES_MAX - 1]);
	assert_int_equal(t.dropped[POLICY_INGRESS], TALLIES_MAX + 500);
	arena_fini(&t.mem);
}

/* ---- sums */

static void add(struct policy_sums *s, const char *policy, const char *rule, uint64_t packets)
{
	const struct nft_policy_count c = { POLICY_INGRESS, policy, rule, packets, 10 * packets };

	assert_int_equal(policy_sums_add(s, &c), 0);
}

/* `arg`: who is gone, with a blank around each. */
static bool is_there(void *arg, const char *policy)
{
	char name[32];

	snprintf(name, sizeof(name), " %s ", policy);
	return !strstr(arg, name);
}

static void forget(struct policy_sums *s, char *gone)
{
	assert_int_equal(policy_sums_forget(s, is_there, gone), 0);
}

static void assert_sums(const struct policy_sums *s, const char *want)
{
	struct nft_policy_count *v;
	char text[400] = "";
	struct arena a;
	struct err e;
	size_t n;

	arena_init(&a, 0);
	assert_int_equal(policy_sums_list(s, &a, &v, &n, &e), 0);
	for (size_t i = 0; i < n; i++) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s(%s)=%u",
			 i ? " " : "", v[i].policy ? v[i].policy : "", v[i].rule,
			 (unsigned)v[i].packets);
		assert_int_equal(v[i].bytes, 10 * v[i].packets);
	}
	assert_string_equal(text, want);
	arena_fini(&a);
}

static void make_of(const struct policy_sums *s, struct tallies *t)
{
	struct nft_policy_count *v;
	struct arena a;
	struct err e;
	size_t n;

	arena_init(&a, 0);
	assert_int_equal(policy_sums_list(s, &a, &v, &n, &e), 0);
	make(t, v, n);
	arena_fini(&a);
}

static void test_growth(void **state)
{
	struct policy_sums s = { 0 };

	add(&s, "shop/a", "ingress[10]", 1);
	add(&s, "shop/a", "ingress[9]", 2);
	add(&s, NULL, "shop/a", 3);
	add(&s, "shop/a", "ingress[9]", 4);
	add(&s, "shop/a", "ingress[10]", 0);
	assert_sums(&s, "(shop/a)=3 shop/a(ingress[9])=6 shop/a(ingress[10])=1");
	policy_sums_fini(&s);
}

/* A policy that goes takes along what is its own; what others have in common with it stays theirs. */
static void test_a_policy_goes(void **state)
{
	struct policy_sums s = { 0 };
	struct tallies t;

	add(&s, NULL, "shop/a, shop/b", 10);
	add(&s, NULL, "shop/a, shop/b, shop/c", 5);
	add(&s, NULL, "shop/a", 1);
	add(&s, NULL, "shop/b", 100);
	add(&s, "shop/a", "ingress[0]", 3);
	add(&s, "shop/b", "ingress[0]", 7);
	forget(&s, " shop/b ");
	assert_sums(&s, "()=100 (shop/a)=11 (shop/a, shop/c)=5 shop/a(ingress[0])=3");
	make_of(&s, &t);
	assert_int_equal(t.n, 2);
	assert_tally(&t.v[0], "shop/a", POLICY_INGRESS, 3, 16);
	assert_tally(&t.v[1], "shop/c", POLICY_INGRESS, 0, 5);
	assert_int_equal(t.dropped[POLICY_INGRESS], 116);
	arena_fini(&t.mem);
	add(&s, NULL, "shop/a, shop/b", 2); /* its kernel rules were still there */
	add(&s, NULL, POLICY_UNKNOWN, 9);   /* no policy's, and so it goes with none */
	forget(&s, " shop/b  shop/c  " POLICY_UNKNOWN " ");
	assert_sums(&s, "()=100 (" POLICY_UNKNOWN ")=9 (shop/a)=18 shop/a(ingress[0])=3");
	policy_sums_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),          cmocka_unit_test(test_gone),
		cmocka_unit_test(test_bound),         cmocka_unit_test(test_growth),
		cmocka_unit_test(test_a_policy_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
