/* SPDX-License-Identifier: Apache-2.0 */
/* The cache: times, room, order of use, failures and stale answers; then random use against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/dns/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000

static struct dns_question question(const char *name, uint16_t type)
{
	struct dns_question q = { .type = type, .class = 1 };
	struct err e;

	if (dns_name_parse(name, &q.name, &e))
		fail_msg("%s", e.text);
	return q;
}

static struct dns_cache *cache(size_t bytes, uint32_t stale_s)
{
	struct dns_cache_conf conf = { .bytes = bytes, .stale_s = stale_s, .seed = { 1, 2 } };
	struct err e;
	struct dns_cache *c = dns_cache_new(&conf, &e);

	assert_non_null(c);
	return c;
}

/* What an entry holds, and how it stands. */
static enum dns_cached get(struct dns_cache *c, int64_t now, const char *name, char text[32])
{
	struct dns_question q = question(name, 1);
	struct dns_hit hit;
	enum dns_cached got = dns_cache_get(c, now, &q, &hit);

	snprintf(text, 32, "%.*s/%u", got == DNS_MISS ? 0 : (int)hit.n,
		 got == DNS_MISS ? "" : (const char *)hit.v, got == DNS_MISS ? 0 : hit.age_s);
	return got;
}

static void put(struct dns_cache *c, int64_t now, const char *name, const char *v, uint32_t life)
{
	struct dns_question q = question(name, 1);

	dns_cache_put(c, now, &q, v, strlen(v), life, false);
}

static void test_times(void **state)
{
	struct dns_cache *c = cache(DNS_CACHE_MIN, 0);
	char text[32];

	assert_int_equal(get(c, 0, "a", text), DNS_MISS);
	put(c, 5 * SECOND, "a", "x", 10);
	assert_int_equal(get(c, 5 * SECOND, "a", text), DNS_FRESH);
	assert_string_equal(text, "x/0");
	assert_int_equal(get(c, 15 * SECOND - 1, "a", text), DNS_FRESH);
	assert_string_equal(text, "x/9");
	assert_int_equal(get(c, 15 * SECOND, "a", text), DNS_MISS);
	put(c, 0, "a", "x", 10);
	put(c, 0, "a", "y", 20);
	assert_int_equal(get(c, 15 * SECOND, "a", text), DNS_FRESH);
	assert_string_equal(text, "y/15");
	/* A newer answer that may not be kept leaves no older one. */
	put(c, 0, "a", "z", 0);
	assert_int_equal(get(c, 0, "a", text), DNS_MISS);
	put(c, 0, "a", "x", 10);
	dns_cache_clear(c);
	assert_int_equal(get(c, 0, "a", text), DNS_MISS);
	dns_cache_free(c);
}

static void test_keys(void **state)
{
	struct dns_cache *c = cache(DNS_CACHE_MIN, 0);
	struct dns_question q[6];
	struct dns_hit hit;

	for (int i = 0; i < 6; i++)
		q[i] = question("a.example", 1);
	q[1].type = 28;
	q[2].class = 3;
	q[3].dnssec_ok = true;
	q[4].checking_disabled = true;
	q[5] = question("b.example", 1);
	for (uint8_t i = 0; i < 6; i++) {
		assert_int_equal(dns_cache_get(c, 0, &q[i], &hit), DNS_MISS);
		dns_cache_put(c, 0, &q[i], &i, 1, 10, i & 1);
	}
	for (uint8_t i = 0; i < 6; i++) {
		assert_int_equal(dns_cache_get(c, 0, &q[i], &hit), DNS_FRESH);
		assert_int_equal(*hit.v, i);
		assert_int_equal(hit.negative, i & 1);
		assert_int_equal(hit.uses, 1);
	}
	dns_cache_free(c);
}

/* Names and answers of every length, so that their ends fall everywhere in cells. */
static void test_lengths(void **state)
{
	struct dns_cache *c = cache(4 << 20, 0);
	static uint8_t v[DNS_CACHE_ENTRY_MAX + 1];
	struct dns_question q = { .type = 1, .class = 1 };
	struct dns_hit hit;

	for (size_t i = 0; i < sizeof(v); i++)
		v[i] = (uint8_t)(i * 31 >> 3);
	for (unsigned n = 1; n <= DNS_NAME_MAX; n++) {
		size_t len = n * 67 % DNS_CACHE_ENTRY_MAX;

		q.name.n = (uint8_t)n;
		memset(q.name.v, 'a', n);
		dns_cache_put(c, 0, &q, v, len, 10, false);
		assert_int_equal(dns_cache_get(c, 0, &q, &hit), DNS_FRESH);
		assert_int_equal(hit.n, len);
		assert_memory_equal(hit.v, v, len);
		q.name.v[n - 1] = 'b';
		assert_int_equal(dns_cache_get(c, 0, &q, &hit), DNS_MISS);
	}
	q.name.v[q.name.n - 1] = 'a';
	for (size_t len = 0; len < 300; len++) {
		dns_cache_put(c, 0, &q, v, len, 10, false);
		assert_int_equal(dns_cache_get(c, 0, &q, &hit), DNS_FRESH);
		assert_int_equal(hit.n, len);
		assert_memory_equal(hit.v, v, len);
	}
	dns_cache_put(c, 0, &q, v, DNS_CACHE_ENTRY_MAX, 10, false);
	assert_int_equal(dns_cache_get(c, 0, &q, &hit), DNS_FRESH);
	assert_memory_equal(hit.v, v, DNS_CACHE_ENTRY_MAX);
	dns_cache_put(c, 0, &q, v, sizeof(v), 10, false);
	assert_int_equal(dns_cache_get(c, 0, &q, &hit), DNS_MISS);
	dns_cache_free(c);
}

static void test_stale(void **state)
{
	struct dns_cache *c = cache(DNS_CACHE_MIN, 60);
	struct dns_question q = question("a", 1);
	char text[32];

	put(c, 0, "a", "x", 10);
	assert_int_equal(get(c, 10 * SECOND, "a", text), DNS_STALE);
	assert_string_equal(text, "x/10");
	dns_cache_put_failure(c, 20 * SECOND, &q, "f", 1, 5);
	assert_int_equal(get(c, 25 * SECOND - 1, "a", text), DNS_FAILED);
	assert_string_equal(text, "x/24");
	assert_int_equal(get(c, 25 * SECOND, "a", text), DNS_STALE);
	assert_int_equal(get(c, 70 * SECOND - 1, "a", text), DNS_STALE);
	assert_int_equal(get(c, 70 * SECOND, "a", text), DNS_MISS);
	/* Where nothing is to fall back on the failure is the answer, and never a stale one. */
	dns_cache_put_failure(c, 80 * SECOND, &q, "f", 1, 5);
	assert_int_equal(get(c, 85 * SECOND - 1, "a", text), DNS_FRESH);
	assert_string_equal(text, "f/4");
	assert_int_equal(get(c, 85 * SECOND, "a", text), DNS_MISS);
	/* What is fresh does not suffer. */
	put(c, 90 * SECOND, "a", "y", 10);
	dns_cache_put_failure(c, 91 * SECOND, &q, "f", 1, 5);
	assert_int_equal(get(c, 92 * SECOND, "a", text), DNS_FRESH);
	assert_string_equal(text, "y/2");
	/* Past all use, but not yet asked for. */
	dns_cache_put_failure(c, 200 * SECOND, &q, "f", 1, 5);
	assert_int_equal(get(c, 200 * SECOND, "a", text), DNS_FRESH);
	assert_string_equal(text, "f/0");
	dns_cache_free(c);
}

/* What was used last stays. */
static void test_order(void **state)
{
	struct dns_cache *c = cache(DNS_CACHE_MIN, 0);
	struct dns_cache_counts n;
	char text[32], name[32];

	put(c, 0, "kept", "x", 1000);
	put(c, 0, "lost", "x", 1000);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put(c, 0, name, "y", 1000);
		assert_int_equal(get(c, 0, "kept", text), DNS_FRESH);
	}
	assert_int_equal(get(c, 0, "lost", text), DNS_MISS);
	assert_int_equal(get(c, 0, "n1999", text), DNS_FRESH);
	assert_int_equal(get(c, 0, "n0", text), DNS_MISS);
	dns_cache_count(c, &n);
	assert_int_equal(n.positive + n.evicted, 2002);
	assert_true(n.bytes <= DNS_CACHE_MIN);
	dns_cache_free(c);
}

static uint32_t draw(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* A million entries of random names, lengths and lives. What is found is what was put last, and never more memory than allowed. */
static void test_million(void **state)
{
	enum { NAMES = 1 << 16, LIMIT = 1 << 20 };
	static struct {
		uint32_t mark;
		int64_t until;
		uint16_t len;
	} model[NAMES];
	struct dns_cache *c = cache(LIMIT, 0);
	static uint32_t v[DNS_CACHE_ENTRY_MAX / 4];
	struct dns_cache_counts n;
	uint32_t x = 1, hits = 0, failed = 0;
	struct dns_hit hit;
	int64_t now = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		uint32_t k = draw(&x) % NAMES;
		uint16_t len = (uint16_t)(4 + (draw(&x) % 64 ? draw(&x) % 200 : draw(&x) % 8000));
		struct dns_question q = { .type = (uint16_t)k, .class = 1 };

		q.name.n = (uint8_t)(1 + k % 251);
		memset(q.name.v, (int)(k & 255), q.name.n);
		now += draw(&x) % 8;
		if (draw(&x) & 1) {
			v[0] = model[k].mark = i;
			model[k].len = len;
			model[k].until = now + (int64_t)(1 + k % 64) * SECOND;
			dns_cache_put(c, now, &q, v, len, 1 + k % 64, k & 1);
		} else if (dns_cache_get(c, now, &q, &hit) == DNS_FRESH) {
			uint32_t mark;

			memcpy(&mark, hit.v, sizeof(mark));
			failed += mark != model[k].mark || hit.n != model[k].len ||
				  now >= model[k].until || hit.negative != (k & 1);
			hits++;
		}
		dns_cache_count(c, &n);
		failed += n.bytes > LIMIT;
	}
	assert_int_equal(failed, 0);
	assert_true(hits > 1000);
	assert_true(n.positive && n.negative && n.evicted);
	dns_cache_free(c);
}

static void test_refused(void **state)
{
	struct dns_cache_conf conf = { .bytes = DNS_CACHE_MIN - 1 };
	struct err e;

	assert_null(dns_cache_new(&conf, &e));
	assert_int_equal(e.code, -EINVAL);
	assert_string_equal(e.text, "a cache of 65535 octets: at least 65536");
	conf.bytes = SIZE_MAX;
	assert_null(dns_cache_new(&conf, &e));
	assert_int_equal(e.code, -EINVAL);
	dns_cache_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),   cmocka_unit_test(test_keys),
		cmocka_unit_test(test_lengths), cmocka_unit_test(test_stale),
		cmocka_unit_test(test_order),   cmocka_unit_test(test_million),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
