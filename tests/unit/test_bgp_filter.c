/* SPDX-License-Identifier: Apache-2.0 */
/* Filters: which rule decides, and what it does to the attributes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bgp/filter.h"
#include "core/bgp/path.h"

#include <string.h>

static struct arena arena;

static const uint8_t as_path[] = { BGP_AS_SEQUENCE, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xea };
static const uint8_t communities[] = { 0xfd, 0xe8, 0, 1 };
static const uint8_t large[] = { 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 0, 0, 0, 2 };

/* By 65001 65002, with 65000:1 and 65000:1:2. */
static struct bgp_draft draft(void)
{
	struct bgp_draft d = { .fixed.next_hop = addr_v4(0x0a000001) };

	d.part[BGP_P_AS_PATH] = as_path;
	d.len[BGP_P_AS_PATH] = sizeof(as_path);
	d.part[BGP_P_COMMUNITIES] = communities;
	d.len[BGP_P_COMMUNITIES] = sizeof(communities);
	d.part[BGP_P_LARGE] = large;
	d.len[BGP_P_LARGE] = sizeof(large);
	return d;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct bgp_decided run(const struct bgp_filter *f, const char *p, bool ebgp,
			      struct bgp_draft *d)
{
	struct bgp_decided out;
	struct prefix v = prefix(p);

	*d = draft();
	assert_int_equal(bgp_filter_run(f, &v, ebgp, d, &arena, &out), 0);
	return out;
}

/* Does a rule with this condition alone take 10.1.2.0/24 from another AS? */
static bool takes(const struct bgp_rule *r)
{
	const struct bgp_rules rules = { .name = "f", .n = 1, .v = (struct bgp_rule *)r };
	const struct bgp_rules *list[] = { &rules };
	const struct bgp_filter f = { .v = list, .n = 1, .deny = true };
	struct bgp_draft d;

	return run(&f, "10.1.2.0/24", true, &d).rules == &rules;
}

#define RULE(...) (&(struct bgp_rule){ __VA_ARGS__ })

static void test_conditions(void **state)
{
	struct bgp_community one = { .v = { 65000u << 16 | 1 } },
			     other = { .v = { 65000u << 16 | 2 } };
	struct bgp_community big = { .large = true, .v = { 65000, 1, 2 } },
			     bigger = { .large = true, .v = { 65000, 1, 3 } };
	struct bgp_community both[] = { one, big }, not_both[] = { one, other };
	uint32_t path[] = { 65001, 65002, 65003 }, second[] = { 65002 };

	assert_true(takes(RULE(.accept = true)));
	assert_true(takes(RULE(.match = BGP_M_IN, .cidr = prefix("10.0.0.0/8"))));
	assert_true(takes(RULE(.match = BGP_M_IN, .cidr = prefix("10.1.2.0/24"))));
	assert_false(takes(RULE(.match = BGP_M_IN, .cidr = prefix("10.1.2.0/25"))));
	assert_false(takes(RULE(.match = BGP_M_IN, .cidr = prefix("::/0"))));
	assert_true(takes(RULE(.match = BGP_M_NOT_IN, .cidr = prefix("10.2.0.0/16"))));
	assert_false(takes(RULE(.match = BGP_M_NOT_IN, .cidr = prefix("10.0.0.0/8"))));
	assert_true(takes(RULE(.match = BGP_M_EQUAL, .cidr = prefix("10.1.2.0/24"))));
	assert_false(takes(RULE(.match = BGP_M_EQUAL, .cidr = prefix("10.1.2.0/23"))));
	assert_true(takes(RULE(.match = BGP_M_NOT_EQUAL, .cidr = prefix("10.0.0.0/8"))));
	assert_false(takes(RULE(.match = BGP_M_NOT_EQUAL, .cidr = prefix("10.1.2.0/24"))));
	assert_true(takes(RULE(.min_len = 24, .max_len = 24)));
	assert_false(takes(RULE(.min_len = 25)));
	assert_false(takes(RULE(.max_len = 23)));
	assert_true(takes(RULE(.peer = BGP_PT_EBGP)));
	assert_false(takes(RULE(.peer = BGP_PT_IBGP)));
	assert_true(takes(RULE(.n_communities = 1, .communities = &one)));
	assert_false(takes(RULE(.n_communities = 1, .communities = &other)));
	assert_true(takes(RULE(.n_communities = 1, .communities = &big)));
	assert_false(takes(RULE(.n_communities = 1, .communities = &bigger)));
	assert_true(takes(RULE(.n_communities = 2, .communities = both)));
	assert_false(takes(RULE(.n_communities = 2, .communities = not_both)));
	assert_true(takes(RULE(.n_path = 1, .path = path)));
	assert_true(takes(RULE(.n_path = 2, .path = path)));
	assert_false(takes(RULE(.n_path = 3, .path = path)));
	assert_false(takes(RULE(.n_path = 1, .path = second)));
	/* All must hold. */
	assert_false(takes(RULE(.match = BGP_M_IN, .cidr = prefix("10.0.0.0/8"), .min_len = 25)));
}

/* The first rule of the first filter that matches decides; else the default. */
static void test_order(void **state)
{
	struct bgp_rule first[] = {
		{ .match = BGP_M_IN, .cidr = prefix("10.1.0.0/16"), .accept = false },
		{ .match = BGP_M_IN, .cidr = prefix("10.0.0.0/8"), .accept = true }
	};
	struct bgp_rule second[] = {
		{ .match = BGP_M_IN, .cidr = prefix("10.0.0.0/7"), .accept = false }
	};
	const struct bgp_rules a = { .name = "a", .n = 2, .v = first },
			       b = { .name = "b", .n = 1, .v = second };
	const struct bgp_rules *list[] = { &a, &b };
	struct bgp_filter f = { .v = list, .n = 2 };
	struct bgp_decided got;
	struct bgp_draft d;

	got = run(&f, "10.1.2.0/24", true, &d);
	assert_true(got.rules == &a && got.rule == 0 && !got.accept);
	got = run(&f, "10.2.0.0/16", true, &d);
	assert_true(got.rules == &a && got.rule == 1 && got.accept);
	got = run(&f, "11.0.0.0/8", true, &d);
	assert_true(got.rules == &b && !got.accept);
	got = run(&f, "192.0.2.0/24", true, &d);
	assert_true(!got.rules && got.accept);
	f.deny = true; /* RFC 8212 */
	assert_false(run(&f, "192.0.2.0/24", true, &d).accept);
	assert_true(run(NULL, "192.0.2.0/24", true, &d).accept);
}

static void test_operations(void **state)
{
	struct bgp_community add[] = { { .v = { 65000u << 16 | 7 } },
				       { .v = { 65000u << 16 | 1 } },
				       { .large = true, .v = { 1, 2, 3 } } };
	uint32_t prepend[] = { 65100, 65101 };
	struct bgp_rule rule = { .accept = true,
				 .set_preference = true,
				 .preference = 200,
				 .n_add = 3,
				 .add = add,
				 .n_prepend = 2,
				 .prepend = prepend };
	const struct bgp_rules rules = { .name = "f", .n = 1, .v = &rule };
	const struct bgp_rules *list[] = { &rules };
	const struct bgp_filter f = { .v = list, .n = 1 };
	struct bgp_store *s = bgp_store_new();
	struct buf path = { 0 }, text = { 0 };
	struct bgp_attrs *a;
	struct bgp_draft d;

	assert_true(run(&f, "10.1.2.0/24", true, &d).accept);
	a = bgp_store_take(s, &d);
	bgp_path_str(a, &path);
	bgp_communities_str(a, &text);
	assert_string_equal(path.v, "65100 65101 65001 65002");
	assert_string_equal(text.v, "65000:1 65000:7 1:2:3 65000:1:2");
	assert_int_equal(a->local_pref, 200);
	assert_true(a->has & BGP_HAS_LOCAL_PREF);
	buf_fini(&path);
	buf_fini(&text);
	bgp_store_drop(s, a);
	bgp_store_free(s);

	/* What is refused stays as it was. */
	rule.accept = false;
	assert_false(run(&f, "10.1.2.0/24", true, &d).accept);
	assert_int_equal(d.len[BGP_P_AS_PATH], sizeof(as_path));
	assert_false(d.fixed.has & BGP_HAS_LOCAL_PREF);
}

static int clean(void **state)
{
	arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_operations),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
