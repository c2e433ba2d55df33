/* SPDX-License-Identifier: Apache-2.0 */
/* The annotation fairlead.io/ips, as users write it and get it wrong. */
#include "daemon/agent_ips.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_lists(void **state)
{
	struct ipaddr v[2];
	char text[ADDR_TEXT];
	struct err e;
	uint32_t n;

	assert_int_equal(agent_ips_parse("[\"10.0.0.5\", \"fd00::5\"]", v, 2, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(addr_str(&v[0], text), "10.0.0.5");
	assert_string_equal(addr_str(&v[1], text), "fd00::5");
	assert_int_equal(agent_ips_parse(" [\n] ", v, 2, &n, &e), 0);
	assert_int_equal(n, 0);
}

static void refused(const char *text, const char *why)
{
	struct ipaddr v[2];
	uint32_t n = 77;
	struct err e = { 0 };

	assert_int_equal(agent_ips_parse(text, v, 2, &n, &e), -EINVAL);
	assert_int_equal(n, 77);
	assert_string_equal(e.text, why);
}

static void test_mistakes(void **state)
{
	refused("10.0.0.5", "fairlead.io/ips: must be a JSON list");
	refused("[10.0.0.5]", "fairlead.io/ips: must be a list of strings");
	refused("[\"10.0.0.500\"]", "fairlead.io/ips: \"10.0.0.500\" is no address");
	refused("[\"10.0.0.5\",]", "fairlead.io/ips: \",\" or \"]\" expected");
	refused("[\"10.0.0.5\"", "fairlead.io/ips: \",\" or \"]\" expected");
	refused("[\"10.0.0.5\"] x", "fairlead.io/ips: something behind the list");
	refused("[\"10.0.0.5", "fairlead.io/ips: a string without an address");
	refused("[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\"]", "fairlead.io/ips: more than 2 addresses");
	refused("", "fairlead.io/ips: must be a JSON list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
