/* SPDX-License-Identifier: Apache-2.0 */
/* BFD: packets by octets, two sessions against each other, times as RFC 5880 6.8 has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bgp/bfd.h"

#include <errno.h>
#include <string.h>

#define MS 1000

/* ---- packets */

static const uint8_t good[BFD_PACKET] = { 0x20, 0xc8, 3, 24, 0,    0,    0, 7, 0,    0,
					  0,    9,    0, 1,  0x86, 0xa0, 0, 1, 0x86, 0xa0 };

static void test_packet(void **state)
{
	struct bfd_packet p;
	struct buf b = { 0 };
	const char *why;

	assert_int_equal(bfd_packet_decode(good, sizeof(good), &p, &why), 0);
	assert_int_equal(p.state, BFD_UP);
	assert_int_equal(p.multiplier, 3);
	assert_int_equal(p.my, 7);
	assert_int_equal(p.your, 9);
	assert_int_equal(p.desired_us, 100000);
	assert_true(p.c_independent && !p.poll && !p.final);
	bfd_packet_put(&b, &p);
	assert_int_equal(b.n, sizeof(good));
	assert_memory_equal(b.v, good, sizeof(good));
	buf_fini(&b);
}

/* 6.8.6: each of these is dropped. */
static void test_bad_packets(void **state)
{
	static const struct {
		uint8_t at, v;
		const char *why;
	} rows[] = {
		{ 0, 0x40, "another version" },
		{ 3, 23, "a length that it does not have" },
		{ 3, 25, "a length that it does not have" },
		{ 2, 0, "detection multiplier 0" },
		{ 1, 0xc1, "multipoint" },
		{ 7, 0, "discriminator 0" },
		{ 11, 0, "no discriminator of ours, and not down" },
	};
	struct bfd_packet p;
	const char *why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t v[BFD_PACKET];

		memcpy(v, good, sizeof(v));
		v[rows[i].at] = rows[i].v;
		assert_int_equal(bfd_packet_decode(v, sizeof(v), &p, &why), -EBADMSG);
		assert_string_equal(why, rows[i].why);
	}
	for (size_t n = 0; n < BFD_PACKET; n++)
		assert_int_equal(bfd_packet_decode(good, n, &p, &why), -EBADMSG);
}

/* ---- two ends */

struct line {
	struct bfd s[2];
	int64_t now;
	bool cut[2]; /* what this one sends is lost */
	unsigned sent[2];
};

static void init(struct line *l, uint32_t interval_us)
{
	*l = (struct line){ .now = 1 };
	for (unsigned i = 0; i < 2; i++)
		bfd_init(&l->s[i],
			 &(struct bfd_conf){ .interval_us = interval_us,
					     .multiplier = 3,
					     .discriminator = 100 + i },
			 l->now);
}

static void tick(struct line *l, unsigned i)
{
	struct bfd_packet p, q;
	const char *why;
	struct buf b = { 0 };
	bool send;

	bfd_tick(&l->s[i], l->now, 128, &send, &p);
	if (!send)
		return;
	l->sent[i]++;
	bfd_packet_put(&b, &p);
	assert_int_equal(bfd_packet_decode((const uint8_t *)b.v, b.n, &q, &why), 0);
	buf_fini(&b);
	if (!l->cut[i])
		bfd_receive(&l->s[!i], &q, l->now);
}

static void run(struct line *l, int64_t us)
{
	int64_t end = l->now + us;

	for (unsigned turns = 0;; turns++) {
		int64_t a = bfd_at(&l->s[0]), b = bfd_at(&l->s[1]);
		int64_t at = a < b ? a : b;

		assert_true(turns < 1000000);
		if (at > end)
			break;
		l->now = at > l->now ? at : l->now;
		tick(l, 0);
		tick(l, 1);
	}
	l->now = end;
}

/* RFC 5881 5, RFC 5883 5: over one hop only what no router touched, over several what is configured; each has its port. */
static void test_how_far(void **state)
{
	struct bfd_conf c = { .min_ttl = 200 };

	assert_int_equal(bfd_port(&c), 3784);
	assert_true(bfd_is_near(&c, 3784, 255));
	assert_false(bfd_is_near(&c, 3784, 254) || bfd_is_near(&c, 3784, -1));
	assert_false(bfd_is_near(&c, 4784, 255));
	c.multihop = true;
	assert_int_equal(bfd_port(&c), 4784);
	assert_true(bfd_is_near(&c, 4784, 255) && bfd_is_near(&c, 4784, 200));
	assert_false(bfd_is_near(&c, 4784, 199) || bfd_is_near(&c, 4784, -1));
	assert_false(bfd_is_near(&c, 3784, 255));
}

static void test_up_and_down(void **state)
{
	unsigned before;
	struct line l;

	init(&l, 100 * MS);
	run(&l, 3000 * MS);
	assert_int_equal(l.s[0].state, BFD_UP);
	assert_int_equal(l.s[1].state, BFD_UP);
	/* Both have agreed on 100 ms: with jitter 75 to 100 of them. */
	run(&l, 2000 * MS);
	before = l.sent[0];
	run(&l, 10000 * MS);
	assert_in_range(l.sent[0] - before, 100, 134);
	assert_false(l.s[0].polling || l.s[1].polling);

	/* One direction is dead: its receiver sees it after three intervals, the other one is told. */
	l.cut[1] = true;
	run(&l, 250 * MS);
	assert_int_equal(l.s[0].state, BFD_UP);
	run(&l, 100 * MS);
	assert_int_equal(l.s[0].state, BFD_DOWN);
	assert_int_equal(l.s[0].diag, BFD_EXPIRED);
	assert_int_equal(l.s[1].state, BFD_DOWN);
	assert_int_equal(l.s[1].diag, BFD_NEIGHBOR_DOWN);
	/* While it is down, once a second (6.8.3). */
	before = l.sent[0];
	run(&l, 10000 * MS);
	assert_in_range(l.sent[0] - before, 10, 14);
	l.cut[1] = false;
	run(&l, 3000 * MS);
	assert_int_equal(l.s[0].state, BFD_UP);
}

/* The slower one's interval counts; another one is agreed on while it is up. */
static void test_intervals(void **state)
{
	unsigned before;
	struct line l;

	init(&l, 100 * MS);
	l.s[1].conf.interval_us = 300 * MS;
	run(&l, 5000 * MS);
	before = l.sent[0];
	run(&l, 9000 * MS);
	assert_int_equal(l.s[0].state, BFD_UP);
	assert_in_range(l.sent[0] - before, 30, 41);
	bfd_configure(
		&l.s[1],
		&(struct bfd_conf){ .interval_us = 50 * MS, .multiplier = 3, .discriminator = 101 },
		l.now);
	run(&l, 2000 * MS);
	assert_int_equal(l.s[0].state, BFD_UP);
	before = l.sent[0];
	run(&l, 9000 * MS);
	assert_in_range(l.sent[0] - before, 90, 121);
	assert_int_equal(l.s[1].state, BFD_UP);
}

static void test_admin_down(void **state)
{
	struct line l;

	init(&l, 100 * MS);
	run(&l, 3000 * MS);
	bfd_admin(&l.s[0], true, l.now);
	run(&l, 50 * MS);
	assert_int_equal(l.s[0].state, BFD_ADMIN_DOWN);
	assert_int_equal(l.s[1].state, BFD_DOWN);
	assert_int_equal(l.s[1].peer_state, BFD_ADMIN_DOWN);
	run(&l, 5000 * MS);
	assert_int_equal(l.s[1].state, BFD_DOWN);
	bfd_admin(&l.s[0], false, l.now);
	run(&l, 4000 * MS);
	assert_int_equal(l.s[1].state, BFD_UP);
}

/* A packet for a session that is not this one. */
static void test_another_discriminator(void **state)
{
	struct bfd_packet p = {
		.version = 1, .state = BFD_DOWN, .multiplier = 3, .my = 7, .your = 999
	};
	struct line l;

	init(&l, 100 * MS);
	assert_false(bfd_receive(&l.s[0], &p, l.now));
	assert_int_equal(l.s[0].dropped, 1);
	assert_int_equal(l.s[0].state, BFD_DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet),
		cmocka_unit_test(test_bad_packets),
		cmocka_unit_test(test_how_far),
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_admin_down),
		cmocka_unit_test(test_another_discriminator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
