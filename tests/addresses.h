/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as a test writes them, for those that include cmocka.h before; what is no address fails the test. */
#pragma once
#include "base/addr.h"

static inline struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static inline struct prefix net(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p), 0);
	return p;
}
