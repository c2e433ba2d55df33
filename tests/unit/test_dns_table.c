// SPDX-License-Identifier: Apache-2.0
/* core/dns/table: entries come, change and go while others read; memory is used again; the dead hold nothing for good; and whoever writes
 * what he likes into the readers' area harms readers alone. */
#include "core/dns/table.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1UL << 20)

struct room {
	struct dns_table t;
	struct dns_view v;
	void *region, *readers;
	size_t size, usable;
};

static int usable(void *ctx, size_t bytes)
{
	struct room *r = ctx;

	assert_true(bytes > r->usable && bytes <= r->size);
	r->usable = bytes;
	return 0;
}

static struct room *open_room(size_t size)
{
	struct room *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->size = size;
	r->region = aligned_alloc(64, size);
	assert_non_null(r->region);
	memset(r->region, 0, size);
	r->readers = aligned_alloc(64, DNS_READERS_SIZE);
	assert_non_null(r->readers);
	memset(r->readers, 0, DNS_READERS_SIZE);
	assert_int_equal(dns_table_init(&r->t, r->region, size, r->readers, usable, r, NULL), 0);
	assert_int_equal(dns_view_attach(&r->v, r->region, size, r->readers, NULL), 0);
	assert_int_equal(dns_view_claim(&r->v, 1, NULL), 0);
	return r;
}

static void close_room(struct room *r)
{
	dns_view_release(&r->v);
	dns_table_fini(&r->t);
	free(r->region);
	free(r->readers);
	free(r);
}

static int put(struct room *r, unsigned key, unsigned value, size_t n)
{
	unsigned v[2048];

	for (size_t i = 0; i < n; i++)
		v[i] = value;
	return dns_table_put(&r->t, &key, sizeof(key), v, n * sizeof(*v), NULL);
}

/* -1: not there. All of a blob must say the same. */
static long get(const struct dns_view *v, unsigned key)
{
	size_t n;
	const unsigned *b = dns_view_get(v, &key, sizeof(key), &n);

	if (!b)
		return -1;
	for (size_t i = 1; i < n / sizeof(*b); i++)
		if (b[i] != b[0])
			return -2;
	return n ? (long)b[0] : -3;
}

static void puts_and_dels(void **state)
{
	struct room *r = open_room(4 * MIB);
	uint64_t generation = dns_view_generation(&r->v);

	(void)state;
	assert_int_equal(put(r, 1, 10, 3), 0);
	assert_int_equal(put(r, 2, 20, 1), 0);
	assert_int_equal(dns_table_put(&r->t, "", 0, "", 0, NULL), 0);
	dns_view_enter(&r->v);
	assert_int_equal(get(&r->v, 1), 10);
	assert_int_equal(get(&r->v, 2), 20);
	assert_int_equal(get(&r->v, 3), -1);
	assert_int_equal(put(r, 1, 11, 700), 0);
	assert_int_equal(get(&r->v, 1), 11);
	assert_true(dns_table_del(&r->t, &(unsigned){ 2 }, sizeof(unsigned)));
	assert_false(dns_table_del(&r->t, &(unsigned){ 2 }, sizeof(unsigned)));
	assert_int_equal(get(&r->v, 2), -1);
	dns_view_leave(&r->v);
	assert_int_equal(dns_view_word(&r->v), 0);
	dns_table_set_word(&r->t, 77);
	assert_int_equal(dns_view_word(&r->v), 77);
	assert_int_equal(dns_view_generation(&r->v), generation + 6);
	assert_int_equal(r->t.count, 2);
	close_room(r);
}

static void grows(void **state)
{
	struct room *r = open_room(64 * MIB);

	(void)state;
	for (unsigned i = 0; i < 200000; i++)
		assert_int_equal(put(r, i, i + 1, 1 + i % 4), 0);
	dns_view_enter(&r->v);
	for (unsigned i = 0; i < 200000; i++)
		assert_int_equal(get(&r->v, i), i + 1);
	assert_int_equal(get(&r->v, 200000), -1);
	dns_view_leave(&r->v);
	assert_true(r->usable < 32 * MIB);
	close_room(r);
}

/* A million changes of every size between empty and full. */
static void uses_memory_again(void **state)
{
	struct room *r = open_room(32 * MIB);
	unsigned rnd = 1;
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		unsigned key;

		rnd = rnd * 1664525 + 1013904223;
		key = (rnd >> 8) % 3000;
		if (rnd >> 31)
			assert_int_equal(put(r, key, i, 1 + (rnd >> 20) % 300), 0);
		else
			dns_table_del(&r->t, &key, sizeof(key));
		if (i == 300000)
			used = r->t.used;
	}
	assert_true(r->t.used < used + used / 8);
	for (unsigned key = 0; key < 3000; key++)
		dns_table_del(&r->t, &key, sizeof(key));
	assert_int_equal(r->t.count, 0);
	dns_table_reclaim(&r->t);
	assert_int_equal(r->t.n_limbo, 0);
	assert_true(r->t.held < 64 * 1024); /* the buckets */
	close_room(r);
}

static void full(void **state)
{
	struct room *r = open_room(DNS_TABLE_MIN * 2);
	unsigned n = 0;

	(void)state;
	while (put(r, n, n, 64) == 0)
		n++;
	assert_in_range(n, 300, 500);
	assert_int_equal(put(r, n, n, 64), -ENOSPC);
	dns_view_enter(&r->v);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(get(&r->v, i), i);
	dns_view_leave(&r->v);
	/* What goes makes room, also for what is smaller. */
	assert_true(dns_table_del(&r->t, &(unsigned){ 3 }, sizeof(unsigned)));
	assert_int_equal(put(r, n, 5, 40), 0);
	assert_int_equal(dns_table_put(&r->t, "k", DNS_TABLE_KEY_MAX + 1, "", 0, NULL), -EINVAL);
	assert_int_equal(dns_table_put(&r->t, "k", 1, "", 8 * MIB, NULL), -ENOSPC);
	close_room(r);
}

static int unwilling(void *ctx, size_t bytes)
{
	return bytes > *(size_t *)ctx ? -ENOMEM : 0;
}

static void no_more(void **state)
{
	size_t most = 0;
	void *region = aligned_alloc(64, 4 * MIB);
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE] = { 0 };
	struct dns_table t;
	struct err e;
	char big[2 * MIB] = { 0 };

	(void)state;
	memset(region, 0, 4 * MIB);
	assert_int_equal(dns_table_init(&t, region, 4 * MIB, readers, unwilling, &most, &e),
			 -ENOMEM);
	most = MIB;
	assert_int_equal(dns_table_init(&t, region, 4 * MIB, readers, unwilling, &most, &e), 0);
	assert_int_equal(dns_table_put(&t, "a", 1, big, sizeof(big), &e), -ENOMEM);
	assert_non_null(strstr(e.text, "usable"));
	assert_int_equal(dns_table_put(&t, "a", 1, big, 1000, &e), 0);
	dns_table_fini(&t);
	free(region);
}

static void readers_hold(void **state)
{
	struct room *r = open_room(8 * MIB);
	const unsigned *b;
	size_t n;

	(void)state;
	assert_int_equal(put(r, 1, 10, 100), 0);
	dns_view_enter(&r->v);
	b = dns_view_get(&r->v, &(unsigned){ 1 }, sizeof(unsigned), &n);
	assert_non_null(b);
	/* Also over a growth of the buckets, and what was read before is what it was. */
	for (unsigned i = 1; i < 3000; i++)
		assert_int_equal(put(r, i, 50 + i, 100), 0);
	for (unsigned i = 2; i < 3000; i += 2)
		assert_true(dns_table_del(&r->t, &i, sizeof(i)));
	assert_int_equal(b[0], 10);
	assert_int_equal(b[99], 10);
	assert_int_equal(get(&r->v, 2999), 3049);
	assert_true(r->t.n_limbo > 1500);
	dns_view_leave(&r->v);
	for (unsigned i = 0; i < 8; i++) /* the buckets' growth waited */
		assert_int_equal(put(r, 1, i, 1), 0);
	dns_table_reclaim(&r->t);
	assert_int_equal(r->t.n_limbo, 0);
	close_room(r);
}

/* One that died within, or stands still, holds nothing for longer than two rounds; if it lives it hears of it. */
static void overdue(void **state)
{
	struct room *r = open_room(8 * MIB);
	struct dns_view other = r->v;

	(void)state;
	assert_int_equal(dns_view_claim(&other, 2, NULL), 0);
	assert_int_equal(put(r, 1, 10, 1), 0);
	assert_false(dns_table_overdue(&r->t));
	dns_view_enter(&r->v);
	assert_int_equal(put(r, 1, 11, 1), 0);
	assert_false(dns_table_overdue(&r->t)); /* the first that it is seen by */
	assert_int_equal(r->t.n_limbo, 1);
	dns_view_enter(&other);
	assert_int_equal(put(r, 1, 12, 1), 0);
	assert_true(dns_table_overdue(&r->t));
	assert_int_equal(r->t.n_limbo, 1); /* what the other one holds */
	assert_int_equal(get(&other, 1), 12);
	assert_true(dns_view_leave(&other));
	assert_false(dns_view_leave(&r->v));
	dns_view_enter(&r->v);
	assert_int_equal(get(&r->v, 1), 12);
	assert_true(dns_view_leave(&r->v));
	assert_false(dns_table_overdue(&r->t));
	assert_int_equal(r->t.n_limbo, 0);
	dns_view_release(&other);
	close_room(r);
}

static void places(void **state)
{
	struct room *r = open_room(DNS_TABLE_MIN);
	struct dns_view v[DNS_TABLE_READERS];

	(void)state;
	for (unsigned i = 1; i < DNS_TABLE_READERS; i++) {
		v[i] = r->v;
		assert_int_equal(dns_view_claim(&v[i], i + 1, NULL), 0);
		assert_int_equal(v[i].place, i);
	}
	v[0] = r->v;
	assert_int_equal(dns_view_claim(&v[0], 99, NULL), -EUSERS);
	dns_view_release(&v[7]);
	dns_view_release(&v[7]);
	assert_int_equal(dns_view_claim(&v[0], 99, NULL), 0);
	assert_int_equal(v[0].place, 7);
	/* A new process alone: what others held, and where, is free. */
	dns_view_enter(&v[3]);
	assert_int_equal(put(r, 1, 1, 1), 0);
	assert_int_equal(put(r, 1, 2, 1), 0);
	dns_readers_only(r->readers, 99);
	dns_table_reclaim(&r->t);
	assert_int_equal(r->t.n_limbo, 0);
	assert_int_equal(dns_view_claim(&v[1], 99, NULL), 0);
	assert_int_equal(v[1].place, 0);
	r->v.place = DNS_TABLE_READERS;
	close_room(r);
}

/* Garbage in the readers' area: the table stays whole, and memory does not grow beyond what two rounds of dns_table_overdue() hold. */
static void evil_readers(void **state)
{
	struct room *r = open_room(32 * MIB);
	uint32_t *area = r->readers, rnd = 7;
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		unsigned key = i % 500;

		rnd = rnd * 1664525 + 1013904223;
		/* Once anything, once what holds everything. */
		area[(rnd >> 8) % (DNS_READERS_SIZE / sizeof(*area))] =
			i / 20000 % 2 ? rnd : 1 + (rnd >> 31);
		assert_int_equal(put(r, key, i, 1 + (rnd >> 20) % 30), 0);
		if (i % 1000 == 0)
			dns_table_overdue(&r->t);
		assert_true(r->t.n_limbo < 2100);
		if (i == 50000)
			used = r->t.used;
	}
	assert_true(r->t.used < used + used / 4);
	for (unsigned key = 0; key < 500; key++) {
		size_t n;
		const unsigned *b = dns_table_get(&r->t, &key, sizeof(key), &n);

		assert_non_null(b);
		assert_int_equal(b[0], 199500 + key);
		assert_int_equal(b[n / sizeof(*b) - 1], b[0]);
	}
	memset(area, 0xff, DNS_READERS_SIZE);
	assert_int_equal(put(r, 1, 1, 1), 0);
	dns_table_overdue(&r->t);
	dns_table_overdue(&r->t);
	assert_int_equal(r->t.n_limbo, 0);
	r->v.place = DNS_TABLE_READERS;
	close_room(r);
}

/* A reader of a mapping that cannot be written to. */
static void read_only(void **state)
{
	_Alignas(64) uint8_t readers[DNS_READERS_SIZE] = { 0 };
	int fd = memfd_create("table", MFD_CLOEXEC);
	struct dns_table t;
	struct dns_view v;
	void *w, *p;

	(void)state;
	assert_int_equal(ftruncate(fd, MIB), 0);
	w = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(w != MAP_FAILED && p != MAP_FAILED);
	assert_int_equal(dns_table_init(&t, w, MIB, readers, NULL, NULL, NULL), 0);
	assert_int_equal(dns_view_attach(&v, p, MIB, readers, NULL), 0);
	assert_int_equal(dns_view_claim(&v, 1, NULL), 0);
	assert_int_equal(dns_table_put(&t, "a", 1, &(unsigned){ 5 }, sizeof(unsigned), NULL), 0);
	dns_view_enter(&v);
	assert_non_null(dns_view_get(&v, "a", 1, &(size_t){ 0 }));
	assert_true(dns_view_leave(&v));
	dns_view_release(&v);
	dns_table_fini(&t);
	munmap(w, MIB);
	munmap(p, MIB);
	close(fd);
}

static void garbage(void **state)
{
	struct room *r = open_room(DNS_TABLE_MIN);
	struct dns_view v;
	uint8_t *p = r->region, *q = r->readers, was[64];
	struct dns_table t;

	(void)state;
	assert_int_equal(dns_view_attach(&v, r->region, DNS_TABLE_MIN - 64, q, NULL), -EBADMSG);
	assert_int_equal(dns_view_attach(&v, p + 8, DNS_TABLE_MIN, q, NULL), -EBADMSG);
	assert_int_equal(dns_view_attach(&v, p, DNS_TABLE_MIN, q + 8, NULL), -EBADMSG);
	assert_int_equal(dns_table_init(&t, p + 8, DNS_TABLE_MIN, q, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(dns_table_init(&t, p, DNS_TABLE_MIN, q + 8, NULL, NULL, NULL), -EINVAL);
	memcpy(was, p, sizeof(was));
	for (size_t i = 0; i < 24; i++) {
		p[i] ^= 0x41;
		assert_int_equal(dns_view_attach(&v, r->region, DNS_TABLE_MIN, q, NULL), -EBADMSG);
		memcpy(p, was, sizeof(was));
	}
	memset(p + 64, 0xff, 8); /* where the buckets are */
	assert_int_equal(dns_view_attach(&v, r->region, DNS_TABLE_MIN, q, NULL), -EBADMSG);
	memset(p, 0, DNS_TABLE_MIN);
	assert_int_equal(dns_view_attach(&v, r->region, DNS_TABLE_MIN, q, NULL), -EBADMSG);
	r->v.place = DNS_TABLE_READERS;
	close_room(r);
}

/* ---- readers in threads beside the writer */

#define KEYS 2000

struct reader {
	struct room *room;
	_Atomic bool *stop;
	pthread_t thread;
	unsigned long reads, wrong;
	uint32_t owner;
};

/* A key's blob says a number with the key in it; keys 0 to 9 never go. */
static void *read_on(void *arg)
{
	struct reader *me = arg;
	struct dns_view v = me->room->v;
	unsigned rnd = me->owner;

	if (dns_view_claim(&v, me->owner, NULL))
		return NULL;
	while (!atomic_load(me->stop)) {
		dns_view_enter(&v);
		for (int i = 0; i < 32; i++) {
			unsigned key;
			long x;

			rnd = rnd * 1664525 + 1013904223;
			key = (rnd >> 8) % KEYS;
			x = get(&v, key);
			me->wrong += x < -1 || (x >= 0 && (unsigned long)x % KEYS != key) ||
				     (x < 0 && key < 10);
			me->reads++;
		}
		me->wrong += !dns_view_leave(&v);
	}
	dns_view_release(&v);
	return NULL;
}

static void threads(void **state)
{
	struct room *r = open_room(32 * MIB);
	struct reader readers[3];
	_Atomic bool stop = false;
	unsigned rnd = 5;

	(void)state;
	for (unsigned key = 0; key < 10; key++)
		assert_int_equal(put(r, key, key, 8), 0);
	for (unsigned i = 0; i < 3; i++) {
		readers[i] = (struct reader){ .room = r, .stop = &stop, .owner = i + 2 };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (unsigned i = 0; i < 300000; i++) {
		unsigned key;

		rnd = rnd * 1664525 + 1013904223;
		key = (rnd >> 8) % KEYS;
		if (rnd >> 30 || key < 10)
			assert_int_equal(put(r, key, i % 100 * KEYS + key, 1 + (rnd >> 20) % 50),
					 0);
		else
			dns_table_del(&r->t, &key, sizeof(key));
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_true(readers[i].reads > 0);
		assert_int_equal(readers[i].wrong, 0);
	}
	dns_table_reclaim(&r->t);
	assert_int_equal(r->t.n_limbo, 0);
	assert_true(r->t.used < 16 * MIB);
	close_room(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_and_dels),     cmocka_unit_test(grows),
		cmocka_unit_test(uses_memory_again), cmocka_unit_test(full),
		cmocka_unit_test(no_more),           cmocka_unit_test(readers_hold),
		cmocka_unit_test(overdue),           cmocka_unit_test(places),
		cmocka_unit_test(evil_readers),      cmocka_unit_test(read_only),
		cmocka_unit_test(garbage),           cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
