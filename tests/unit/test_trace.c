// SPDX-License-Identifier: Apache-2.0
/* core/trace: what makes two hops the same, and what their parts are called. */
#include "core/trace/story.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* after the four above, as it asks for */
#include <cmocka.h>

static struct ipaddr ip(const char *text)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static struct story_head tunnelled(void)
{
	return (struct story_head){ .src = ip("10.244.1.2"),
				    .dst = ip("10.244.2.2"),
				    .proto = IPPROTO_TCP,
				    .sport = 40000,
				    .dport = 80,
				    .encap = STORY_VXLAN,
				    .outer_src = ip("192.0.2.1"),
				    .outer_dst = ip("192.0.2.2"),
				    .vni = 4096,
				    .flags = "S",
				    .length = 60,
				    .ttl = 63 };
}

/* Each field that says which packet it is counts, and none that differs from packet to packet. */
static void test_heads_compare(void **state)
{
	struct story_head a = tunnelled(), b;

	(void)state;
#define DIFFERS(field, value)                                                                      \
	do {                                                                                       \
		b = a;                                                                             \
		b.field = (value);                                                                 \
		assert_false(story_head_same(&a, &b));                                             \
	} while (0)
	DIFFERS(src, ip("10.244.1.3"));
	DIFFERS(dst, ip("fd00::2"));
	DIFFERS(proto, IPPROTO_UDP);
	DIFFERS(sport, 40001);
	DIFFERS(dport, 8080);
	DIFFERS(encap, STORY_IPIP);
	DIFFERS(outer_src, ip("192.0.2.3"));
	DIFFERS(outer_dst, ip("192.0.2.3"));
	DIFFERS(vni, 1);
#undef DIFFERS
	b = a;
	b.flags = "SA";
	b.length = 1500;
	b.ttl = 1;
	assert_true(story_head_same(&a, &b));
}

static void test_deciders_compare(void **state)
{
	const struct story_by a = { STORY_BY_POLICY, "shop", "db", "ingress[0].from[1]" };
	struct story_by b = a;
	char copy[] = "db";

	(void)state;
	b.name = copy;
	assert_true(story_by_same(&a, &b));
	b.kind = STORY_BY_SERVICE;
	assert_false(story_by_same(&a, &b));
	b = a;
	b.ns = "other";
	assert_false(story_by_same(&a, &b));
	b = a;
	b.name = "dc";
	assert_false(story_by_same(&a, &b));
	b = a;
	b.rule = NULL;
	assert_false(story_by_same(&a, &b));
	assert_false(story_by_same(&b, &a));
}

static void test_deciders_have_words(void **state)
{
	const struct {
		struct story_by by;
		const char *text;
	} v[] = {
		{ { STORY_BY_POLICY, "shop", "db", "egress[0].to[1]" },
		  "NetworkPolicy shop/db egress[0].to[1]" },
		{ { STORY_BY_ROUTE, NULL, "10.244.2.0/24", "via 192.0.2.2 dev eth0" },
		  "Route 10.244.2.0/24 via 192.0.2.2 dev eth0" },
		{ { STORY_BY_NODE, NULL, "n1", NULL }, "Node n1" },
		{ { STORY_BY_KERNEL, NULL, "IP_RPFILTER", NULL }, "Kernel IP_RPFILTER" },
		{ { STORY_BY_NONE, NULL, NULL, NULL }, NULL },
	};
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		const char *text = story_by_text(&v[i].by, &a);

		if (v[i].text)
			assert_string_equal(text, v[i].text);
		else
			assert_null(text);
	}
	arena_fini(&a);
}

/* JSON's names: what scripts look for. */
static void test_names(void **state)
{
	(void)state;
	assert_string_equal(name_of(&story_step_names, STORY_SEND), "send");
	assert_string_equal(name_of(&story_step_names, STORY_POLICY_INGRESS), "policy-ingress");
	assert_string_equal(name_of(&story_step_names, STORY_TUNNEL_OUT), "tunnel-out");
	assert_string_equal(name_of(&story_step_names, STORY_DROP), "drop");
	assert_string_equal(name_of(&story_verdict_names, STORY_ANSWERED), "answered");
	assert_string_equal(name_of(&story_by_names, STORY_BY_IPPOOL), "IPPool");
	assert_string_equal(name_of(&story_direction_names, STORY_REPLY), "reply");
	assert_string_equal(name_of(&story_encap_names, STORY_VXLAN), "vxlan");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads_compare),
		cmocka_unit_test(test_deciders_compare),
		cmocka_unit_test(test_deciders_have_words),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
