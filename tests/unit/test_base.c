// SPDX-License-Identifier: Apache-2.0
/* base: addresses, prefixes, cursors, arenas, errors, judged against values written by hand. */
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/by_name.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(prefix_parse(s, &p), 0);
	return p;
}

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static void test_parse_and_print(void **state)
{
	static const char *const bad[] = { "",
					   "10.0.0.0",
					   "10.0.0.0/33",
					   "10.0.0.0/-1",
					   "10.0.0.0/",
					   "10.0.0.0/024",
					   "::/129",
					   "10.0.0/8",
					   "fe80::1%x/64",
					   "10.0.0.0/8 ",
					   "1.2.3.4/99999999999" };
	char text[PREFIX_TEXT];
	struct prefix p;
	struct macaddr m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix_parse(bad[i], &p), -EINVAL);
	p = pfx("10.1.2.3/8");
	assert_string_equal(prefix_str(&p, text), "10.1.2.3/8");
	p = prefix_mask(&p);
	assert_string_equal(prefix_str(&p, text), "10.0.0.0/8");
	p = pfx("fd00:0:0::1/64");
	assert_string_equal(prefix_str(&p, text), "fd00::1/64");
	assert_int_equal(prefix_parse_host("::1", &p), 0);
	assert_int_equal(p.len, 128);
	assert_int_equal(mac_parse("02:00:5e:10:00:ff", &m), 0);
	assert_int_equal(m.b[5], 0xff);
	p.addr = addr_eui64(&m);
	assert_string_equal(addr_str(&p.addr, text), "fe80::5eff:fe10:ff");
	assert_int_equal(mac_parse("02:00:5e:10:00:f", &m), -EINVAL);
	assert_int_equal(mac_parse("02-00-5e-10-00-ff", &m), -EINVAL);
}

static void test_parse_lax(void **state)
{
	static const char *const same[][2] = {
		{ "172.30.0.041", "172.30.0.41" },
		{ " 010.000.0.00\n", "10.0.0.0" },
		{ "\t255.255.255.255 ", "255.255.255.255" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "fd00::0a", "fd00::a" },
		{ "::", "::" },
	};
	static const char *const wrong[] = { "",          " ",          "1.2.3",
					     "1.2.3.256", "1.2.3.0x1",  "1. 2.3.4",
					     "1.2.3.4/8", "fe80::1%lo", "00:1::00000" };
	char text[PREFIX_TEXT];
	struct prefix p;
	struct ipaddr a;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(addr_parse_lax(same[i][0], &a), 0);
		assert_string_equal(addr_str(&a, text), same[i][1]);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(addr_parse_lax(wrong[i], &a), -EINVAL);
	assert_int_equal(prefix_parse_lax(" 203.0.113.000/025", &p), 0);
	assert_string_equal(prefix_str(&p, text), "203.0.113.0/25");
	assert_int_equal(prefix_parse_lax("fd00::/064 ", &p), 0);
	assert_string_equal(prefix_str(&p, text), "fd00::/64");
	assert_int_equal(prefix_parse_lax("0.0.0.0/0", &p), 0);
	assert_int_equal(p.len, 0);
	assert_int_equal(prefix_parse_lax("10.0.0.1", &p), -EINVAL);
	assert_int_equal(prefix_parse_lax("10.0.0.0/033", &p), -EINVAL);
}

static void test_prefix_relations(void **state)
{
	struct prefix ten = pfx("10.0.0.0/8"), sub = pfx("10.3.0.0/16"), other = pfx("11.0.0.0/8");
	struct prefix six = pfx("fd00::/61");
	struct ipaddr a = ip("10.255.255.255"), b = ip("fd00:0:0:7::9"), c = ip("fd00:0:0:8::");
	struct ipaddr last = prefix_last(&ten);

	assert_true(prefix_covers(&ten, &sub));
	assert_false(prefix_covers(&sub, &ten));
	assert_true(prefix_overlaps(&sub, &ten));
	assert_false(prefix_overlaps(&ten, &other));
	assert_true(prefix_has(&ten, &a));
	assert_true(addr_eq(&last, &a));
	assert_true(prefix_has(&six, &b));
	assert_false(prefix_has(&six, &c));
	assert_false(prefix_has(&ten, &b));
}

static void test_addr_arithmetic(void **state)
{
	struct ipaddr a = ip("10.0.0.250"), b = addr_add(&a, 10), want = ip("10.0.1.4");
	struct ipaddr s = ip("fd00::ffff:ffff:ffff:ffff"), t = addr_add(&s, 1);
	struct ipaddr zero = ip("::"), far = ip("1::");

	assert_true(addr_eq(&b, &want));
	assert_int_equal(addr_sub(&b, &a), 10);
	want = ip("fd00:0:0:1::");
	assert_true(addr_eq(&t, &want));
	assert_int_equal(addr_sub(&t, &s), 1);
	assert_true(addr_sub(&far, &zero) == UINT64_MAX);
}

static void test_wire(void **state)
{
	struct buf b = { 0 };
	struct wire w, sub;
	static const uint8_t overlong[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2
	};

	put_u16(&b, 0x1234);
	put_u32(&b, 0xdeadbeef);
	put_varint(&b, 300);
	put_varint(&b, UINT64_MAX);
	put_u8(&b, 2);
	put_u16(&b, 7);
	assert_false(b.failed);
	w = wire_from(b.v, b.n);
	assert_int_equal(wire_u16(&w), 0x1234);
	assert_int_equal(wire_u32(&w), 0xdeadbeef);
	assert_int_equal(wire_varint(&w), 300);
	assert_true(wire_varint(&w) == UINT64_MAX);
	sub = wire_sub(&w, wire_u8(&w));
	assert_int_equal(wire_u16(&sub), 7);
	assert_int_equal(wire_u8(&sub), 0);
	assert_true(sub.bad);
	assert_false(w.bad);
	assert_int_equal(wire_left(&w), 0);
	assert_null(wire_bytes(&w, 1));
	assert_true(w.bad);
	w = wire_from(overlong, sizeof(overlong));
	wire_varint(&w);
	assert_true(w.bad);
	buf_fini(&b);
}

static void test_json_string(void **state)
{
	struct buf b = { 0 };

	buf_json_str(&b, "a\"b\\\n\x01\xc3\xa9\xff\xed\xa0\x80");
	assert_string_equal(b.v, "\"a\\\"b\\\\\\n\\u0001\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\"");
	buf_fini(&b);
}

static void test_arena(void **state)
{
	struct arena a;
	char *p;

	arena_init(&a, 10000);
	for (int i = 0; i < 9; i++) {
		p = arena_alloc(&a, 1000);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(void *), 0);
		memset(p, 0xaa, 1000);
	}
	assert_null(arena_alloc(&a, 5000));
	assert_true(a.failed);
	arena_reset(&a);
	assert_false(a.failed);
	assert_string_equal(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
	assert_null(arena_array(&a, SIZE_MAX, 2));
	arena_fini(&a);
}

/* Texts stand one behind the other; what comes after them is aligned again, and nothing overlaps. */
static void test_arena_texts(void **state)
{
	struct {
		uint64_t *number;
		char *text;
	} v[500];
	char text[16];
	struct arena a;

	arena_init(&a, 0);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "%.*u", 1 + (int)(i % 9), i % 10);
		v[i].text = arena_strdup(&a, text);
		if (i % 3)
			continue;
		v[i].number = arena_alloc(&a, sizeof(uint64_t));
		assert_int_equal((uintptr_t)v[i].number % _Alignof(uint64_t), 0);
		*v[i].number = UINT64_MAX - i;
	}
	for (unsigned i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "%.*u", 1 + (int)(i % 9), i % 10);
		assert_string_equal(v[i].text, text);
		assert_true(i % 3 || *v[i].number == UINT64_MAX - i);
	}
	/* 6 bytes a text, on average, and at most 7 of a gap before a number. */
	assert_true(a.used < 500 * 7 + 167 * 15);
	arena_fini(&a);
}

/* The paper's vector, of 15 octets; the others are its reference's, of 0 and 8. */
static void test_siphash(void **state)
{
	const uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t v[15];

	for (uint8_t i = 0; i < sizeof(v); i++)
		v[i] = i;
	assert_true(siphash(key, v, 15) == 0xa129ca6149be45e5);
	assert_true(siphash(key, v, 0) == 0x726fdb47dd0e0e31);
	assert_true(siphash(key, v, 8) == 0x93f5f5799a932462);
}

/* Vectors of draft-eastlake-fnv; the ends are worked out from its definition. */
static void test_fnv64(void **state)
{
	const uint64_t a = fnv64(FNV64_START, "a", 1);

	assert_true(fnv64(FNV64_START, NULL, 0) == 0xcbf29ce484222325);
	assert_true(a == 0xaf63dc4c8601ec8c);
	assert_true(fnv64(FNV64_START, "foobar", 6) == 0x85944171f73967e8);
	assert_true(fnv64(fnv64(FNV64_START, "foo", 3), "bar", 3) == 0x85944171f73967e8);
	assert_true(fnv64(FNV64_START, "", 1) == 0xaf63bd4c8601b7df);

	assert_true(fnv64_text(FNV64_START, "a") == fnv64(a, "\xff", 1));
	assert_true(fnv64_text(a, NULL) == fnv64_text(a, ""));
	assert_true(fnv64_text(fnv64_text(FNV64_START, "a"), "bc") !=
		    fnv64_text(fnv64_text(FNV64_START, "ab"), "c"));
}

static void test_err(void **state)
{
	struct err e = { 0 };

	assert_int_equal(err_sys(&e, -ENOENT, "open %s", "f"), -ENOENT);
	assert_string_equal(e.text, "open f: No such file or directory");
	assert_int_equal(err_wrap(&e, "pod %s", "a/b"), -ENOENT);
	assert_string_equal(e.text, "pod a/b: open f: No such file or directory");
	assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
}

static void test_by_name(void **state)
{
	struct thing {
		struct by_name id;
		int n;
	};
	static const char *const names[][2] = {
		{ "a", "b" }, { "a", "c" }, { "", "b" }, { "(x)", "a/b" }
	};
	struct by_name *all = NULL, *x, *next;
	int left = 0;

	assert_null(by_name_get(&all, "a", "b", 0));
	for (int i = 0; i < 4; i++) {
		struct thing *t =
			(struct thing *)by_name_get(&all, names[i][0], names[i][1], sizeof(*t));

		assert_non_null(t);
		assert_int_equal(t->n, 0); /* new */
		t->n = i + 1;
	}
	for (int i = 0; i < 4; i++) {
		/* Whether one may be made or not, it is the one that is there. */
		x = by_name_get(&all, names[i][0], names[i][1], 0);
		assert_ptr_equal(x,
				 by_name_get(&all, names[i][0], names[i][1], sizeof(struct thing)));
		assert_int_equal(((struct thing *)x)->n, i + 1);
		assert_string_equal(x->ns, names[i][0]);
		assert_string_equal(x->name, names[i][1]);
	}
	assert_string_equal(by_name_get(&all, "(x)", "a/b", 0)->key, "(x)/a/b");
	for (x = all; x; x = next) {
		next = by_name_next(x);
		if (((struct thing *)x)->n % 2)
			by_name_drop(&all, x);
	}
	for (x = all; x; x = by_name_next(x))
		left += ((struct thing *)x)->n;
	assert_int_equal(left, 2 + 4);
	while (all)
		by_name_drop(&all, all);
	assert_null(by_name_get(&all, "a", "c", 0));
}

static void test_text(void **state)
{
	assert_true(text_eq(NULL, NULL) && text_eq("a", "a") && text_eq("", ""));
	assert_false(text_eq(NULL, "") || text_eq("", NULL) || text_eq("a", "b") ||
		     text_eq("a", NULL));
	assert_true(text_eq_or_empty(NULL, "") && text_eq_or_empty(NULL, NULL) &&
		    text_eq_or_empty("a", "a"));
	assert_false(text_eq_or_empty(NULL, "a") || text_eq_or_empty("b", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_print),
		cmocka_unit_test(test_parse_lax),
		cmocka_unit_test(test_prefix_relations),
		cmocka_unit_test(test_addr_arithmetic),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_json_string),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_texts),
		cmocka_unit_test(test_fnv64),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_err),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
