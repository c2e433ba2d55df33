// SPDX-License-Identifier: Apache-2.0
/* doctor_judge() on what no test can do to a machine; the rest is tests/integration/test_doctor.py. */
#include "core/doctor/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct doctor_facts healthy(void)
{
	return (struct doctor_facts){ .node = "n1",
				      .has_kernel = true,
				      .has_nft = true,
				      .forward4 = 1,
				      .forward6 = 1,
				      .uplink_forward4 = 1,
				      .conntrack = 10,
				      .conntrack_max = 100,
				      .kernel_major = 6,
				      .kernel_minor = 1 };
}

/* The ids, each followed by a blank. */
static const char *ids(const struct doctor_facts *f)
{
	static char text[256];
	struct arena a;
	struct doctor d = { .a = &a };

	arena_init(&a, 0);
	doctor_judge(&d, f);
	assert_false(d.failed);
	text[0] = 0;
	for (uint32_t i = 0; i < d.findings.n; i++) {
		strcat(text, d.findings.v[i].id);
		strcat(text, " ");
	}
	arena_fini(&a);
	return text;
}

static void test_kernel(void **state)
{
	struct doctor_pool pool = { .name = "p", .tunnel = "vxlan0" };
	struct doctor_facts f = healthy();

	assert_string_equal(ids(&f), "");
	f.kernel_major = 5;
	f.kernel_minor = 15;
	assert_string_equal(ids(&f), "");
	f.kernel_minor = 14;
	assert_string_equal(ids(&f), "kernel-old ");
	f.kernel_minor = 15;
	f.try_vxlan = -95;
	assert_string_equal(ids(&f), ""); /* nobody needs it */
	f.pools.v = &pool;
	f.pools.n = 1;
	assert_string_equal(ids(&f), "kernel-vxlan ");
	pool.tunnel = "tunl0";
	assert_string_equal(ids(&f), ""); /* nor does IP-in-IP */
	pool.tunnel = "vxlan0";
	f.try_vxlan = 1; /* not tried is not missing */
	assert_string_equal(ids(&f), "");
	f.try_bridge = f.try_nft = -95;
	assert_string_equal(ids(&f), "kernel-bridge kernel-nftables ");
}

static void test_conntrack(void **state)
{
	struct doctor_facts f = healthy();

	f.conntrack = 90;
	assert_string_equal(ids(&f), "");
	f.conntrack = 91;
	assert_string_equal(ids(&f), "conntrack-full ");
	f.conntrack_max = 0; /* no conntrack on this kernel */
	assert_string_equal(ids(&f), "");
}

/* `fairlead apply` refuses these; another program may have written them. */
static void test_pools(void **state)
{
	struct doctor_pool pools[] = { { .name = "a" }, { .name = "b" }, { .name = "c" } };
	struct doctor_facts f = healthy();

	prefix_parse("10.0.0.0/8", &pools[0].cidr);
	prefix_parse("10.1.0.0/16", &pools[1].cidr);
	prefix_parse("fd00::/48", &pools[2].cidr);
	f.pools.v = pools;
	f.pools.n = 3;
	assert_string_equal(ids(&f), "overlap-pools ");
	f.forward6 = 0;
	assert_string_equal(ids(&f), "forwarding-v6 overlap-pools ");
}

static void test_no_memory(void **state)
{
	struct doctor_facts f = healthy();
	struct arena a;
	struct doctor d = { .a = &a };

	arena_init(&a, 64);
	doctor_judge(&d, &f);
	assert_true(d.failed);
	arena_fini(&a);
}

static void test_dns(void **state)
{
	struct doctor_facts f = healthy();

	f.dns_taken = true;
	assert_string_equal(ids(&f), ""); /* nobody wants it */
	f.dns_wanted = true;
	assert_string_equal(ids(&f), "dns-port ");
	f.dns_taken = false;
	assert_string_equal(ids(&f), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_kernel),
					    cmocka_unit_test(test_conntrack),
					    cmocka_unit_test(test_pools),
					    cmocka_unit_test(test_dns),
					    cmocka_unit_test(test_no_memory) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
