/* SPDX-License-Identifier: Apache-2.0 */
/* The session's machine: what each state does with each event, collisions, waits, restarts. Actions are written as a line:
 * "take", "connect", "open", "keepalive", "6/5" for a NOTIFICATION, "close", "up", "down", "down-keep", "update", "refresh",
 * with < behind those of the connection that the peer made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bgp/fsm.h"

#include <stdio.h>
#include <string.h>

#define ME   65000
#define PEER 65001

struct test {
	struct bgp_fsm f;
	struct bgp_actions out;
	struct buf said;
	int64_t now;
};

static struct bgp_session_conf conf(void)
{
	return (struct bgp_session_conf){ .local_as = ME,
					  .local_id = 10,
					  .peer_as = PEER,
					  .hold_time = 90,
					  .connect_retry = 5,
					  .family = { true, true },
					  .as4 = true,
					  .refresh = true };
}

static struct bgp_open their_open(void)
{
	return (struct bgp_open){ .version = BGP_VERSION,
				  .as = PEER,
				  .id = 20,
				  .hold_time = 30,
				  .as4 = true,
				  .refresh = true,
				  .multiprotocol = true,
				  .family = { true, false } };
}

static void init(struct test *t, const struct bgp_session_conf *c)
{
	*t = (struct test){ .now = 1000 };
	bgp_fsm_init(&t->f, c);
}

static void fini(struct test *t)
{
	bgp_actions_fini(&t->out);
	buf_fini(&t->said);
}

static void say(struct test *t, const struct bgp_action *a)
{
	static const char *const words[] = { "connect", "take", "",       "close",
					     "up",      "down", "update", "refresh" };
	const uint8_t *m = (const uint8_t *)t->out.bytes.v + a->from;
	struct buf *b = &t->said;

	if (b->n)
		buf_puts(b, " ");
	if (a->verb != BGP_DO_SEND)
		buf_puts(b, words[a->verb]);
	else if (m[18] == BGP_NOTIFICATION)
		buf_printf(b, "%u/%u", m[19], m[20]);
	else
		buf_puts(b, m[18] == BGP_OPEN        ? "open"
			    : m[18] == BGP_KEEPALIVE ? "keepalive"
						     : "?");
	if (a->verb == BGP_DO_DOWN && a->keep)
		buf_puts(b, "-keep");
	if (a->side == BGP_THEIRS)
		buf_puts(b, "<");
}

static const char *step(struct test *t, const struct bgp_input *in)
{
	bgp_fsm_step(&t->f, in, t->now, &t->out);
	buf_clear(&t->said);
	for (uint32_t i = 0; i < t->out.n; i++)
		say(t, &t->out.v[i]);
	return t->said.n ? t->said.v : "";
}

static const char *event(struct test *t, enum bgp_event e, enum bgp_side side)
{
	static const struct bgp_fault stop = { .code = BGP_E_CEASE, .sub = BGP_E_SHUTDOWN };

	return step(t, &(struct bgp_input){ .event = e, .side = side, .fault = &stop });
}

static const char *bytes(struct test *t, enum bgp_side side, const struct buf *b)
{
	struct bgp_fault f;
	int len = bgp_message_next((const uint8_t *)b->v, b->n, &f);

	assert_int_equal(len, b->n);
	return step(t, &(struct bgp_input){ .event = BGP_EV_MESSAGE,
					    .side = side,
					    .message = (const uint8_t *)b->v,
					    .len = (uint16_t)len });
}

static const char *opens(struct test *t, enum bgp_side side, const struct bgp_open *o)
{
	struct buf b = { 0 };
	const char *said;

	bgp_open_put(&b, o);
	said = bytes(t, side, &b);
	buf_fini(&b);
	return said;
}

/* A message of this type that is well-formed. */
static const char *hears(struct test *t, enum bgp_side side, enum bgp_message type)
{
	const struct bgp_fault f = { .code = BGP_E_CEASE, .sub = BGP_E_SHUTDOWN };
	const struct bgp_open o = their_open();
	struct buf b = { 0 };
	const char *said;

	if (type == BGP_OPEN)
		bgp_open_put(&b, &o);
	else if (type == BGP_NOTIFICATION)
		bgp_notification_put(&b, &f);
	else if (type == BGP_REFRESH)
		bgp_refresh_put(&b, BGP_IPV4);
	else if (type == BGP_KEEPALIVE)
		bgp_keepalive_put(&b);
	else {
		size_t begun = bgp_message_begin(&b, BGP_UPDATE);

		buf_put(&b, "\0\0\0\0", 4);
		bgp_message_end(&b, begun);
	}
	said = bytes(t, side, &b);
	buf_fini(&b);
	return said;
}

static void to_state(struct test *t, enum bgp_state s, enum bgp_side side)
{
	event(t, BGP_EV_START, BGP_OURS);
	if (s >= BGP_OPENSENT)
		event(t, side == BGP_OURS ? BGP_EV_CONNECTED : BGP_EV_ACCEPTED, side);
	if (s >= BGP_OPENCONFIRM)
		hears(t, side, BGP_OPEN);
	if (s >= BGP_ESTABLISHED)
		hears(t, side, BGP_KEEPALIVE);
	assert_int_equal(bgp_fsm_state(&t->f), s);
}

static void test_a_session(void **state)
{
	const struct bgp_session_conf c = conf();
	struct test t;

	init(&t, &c);
	assert_int_equal(bgp_fsm_state(&t.f), BGP_IDLE);
	assert_string_equal(event(&t, BGP_EV_START, BGP_OURS), "connect");
	assert_int_equal(bgp_fsm_state(&t.f), BGP_CONNECT);
	assert_string_equal(event(&t, BGP_EV_CONNECTED, BGP_OURS), "open");
	assert_string_equal(hears(&t, BGP_OURS, BGP_OPEN), "keepalive");
	assert_int_equal(bgp_fsm_state(&t.f), BGP_OPENCONFIRM);
	assert_string_equal(hears(&t, BGP_OURS, BGP_KEEPALIVE), "up");
	assert_int_equal(t.f.agreed.hold_time, 30);
	assert_int_equal(t.f.agreed.keepalive, 10);
	assert_true(t.f.agreed.family[BGP_IPV4] && !t.f.agreed.family[BGP_IPV6] && t.f.agreed.as4);
	assert_string_equal(hears(&t, BGP_OURS, BGP_UPDATE), "update");
	assert_string_equal(hears(&t, BGP_OURS, BGP_REFRESH), "refresh");
	assert_int_equal(bgp_fsm_at(&t.f), 1000 + 10000);
	t.now = 11000;
	assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "keepalive");
	t.now = 31000;
	assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "4/0 close down");
	assert_int_equal(bgp_fsm_state(&t.f), BGP_IDLE);
	fini(&t);
}

/* RFC 4271 8.2.2, RFC 6608: each message in each state. */
static void test_messages(void **state)
{
	static const struct {
		enum bgp_state s;
		enum bgp_message m;
		const char *said;
	} rows[] = {
		{ BGP_OPENSENT, BGP_OPEN, "keepalive" },
		{ BGP_OPENSENT, BGP_UPDATE, "5/1 close" },
		{ BGP_OPENSENT, BGP_NOTIFICATION, "close" },
		{ BGP_OPENSENT, BGP_KEEPALIVE, "5/1 close" },
		{ BGP_OPENSENT, BGP_REFRESH, "5/1 close" },
		{ BGP_OPENCONFIRM, BGP_OPEN, "5/2 close" },
		{ BGP_OPENCONFIRM, BGP_UPDATE, "5/2 close" },
		{ BGP_OPENCONFIRM, BGP_NOTIFICATION, "close" },
		{ BGP_OPENCONFIRM, BGP_KEEPALIVE, "up" },
		{ BGP_OPENCONFIRM, BGP_REFRESH, "5/2 close" },
		{ BGP_ESTABLISHED, BGP_OPEN, "5/3 close down" },
		{ BGP_ESTABLISHED, BGP_UPDATE, "update" },
		{ BGP_ESTABLISHED, BGP_NOTIFICATION, "close down" },
		{ BGP_ESTABLISHED, BGP_KEEPALIVE, "" },
		{ BGP_ESTABLISHED, BGP_REFRESH, "refresh" },
	};
	const struct bgp_session_conf c = conf();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *said;
		struct test t;

		init(&t, &c);
		to_state(&t, rows[i].s, BGP_OURS);
		said = hears(&t, BGP_OURS, rows[i].m);
		if (strcmp(said, rows[i].said) != 0)
			fail_msg("%s in %s: %s", bgp_message_name((uint8_t)rows[i].m),
				 bgp_state_name(rows[i].s), said);
		fini(&t);
	}
}

/* And everything that is no message. */
static void test_events(void **state)
{
	static const struct {
		enum bgp_state s;
		enum bgp_event e;
		enum bgp_side side;
		const char *said;
	} rows[] = {
		{ BGP_CONNECT, BGP_EV_FAILED, BGP_OURS, "close" },
		{ BGP_CONNECT, BGP_EV_STOP, BGP_OURS, "close" },
		{ BGP_CONNECT, BGP_EV_ACCEPTED, BGP_THEIRS, "close take< open<" },
		{ BGP_OPENSENT, BGP_EV_FAILED, BGP_OURS, "close" },
		{ BGP_OPENSENT, BGP_EV_STOP, BGP_OURS, "6/2 close" },
		{ BGP_OPENSENT, BGP_EV_FAULT, BGP_OURS, "6/2 close" },
		{ BGP_OPENCONFIRM, BGP_EV_STOP, BGP_OURS, "6/2 close" },
		{ BGP_ESTABLISHED, BGP_EV_STOP, BGP_OURS, "6/2 close down" },
		{ BGP_ESTABLISHED, BGP_EV_FAULT, BGP_OURS, "6/2 close down" },
		{ BGP_ESTABLISHED, BGP_EV_FAILED, BGP_OURS, "close down" },
		{ BGP_ESTABLISHED, BGP_EV_FAILED, BGP_THEIRS, "" },
		{ BGP_ESTABLISHED, BGP_EV_ACCEPTED, BGP_THEIRS,
		  "" }, /* it is not taken: RFC 4271 6.8 */
		{ BGP_ESTABLISHED, BGP_EV_START, BGP_OURS, "" },
	};
	const struct bgp_session_conf c = conf();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *said;
		struct test t;

		init(&t, &c);
		to_state(&t, rows[i].s, BGP_OURS);
		said = event(&t, rows[i].e, rows[i].side);
		if (strcmp(said, rows[i].said) != 0)
			fail_msg("event %d in %s: %s", rows[i].e, bgp_state_name(rows[i].s), said);
		fini(&t);
	}
}

/* 6.2: what the configuration says of the peer. */
static void test_wrong_peers(void **state)
{
	static const struct {
		const char *what;
		uint32_t as, id, local_as;
		bool v4, v6;
		const char *said;
	} rows[] = {
		{ "another AS", 65009, 20, ME, true, true, "2/2 close" },
		{ "our identifier, from another AS", PEER, 10, ME, true, true, "keepalive" },
		{ "our identifier, from ours", PEER, 10, PEER, true, true, "2/3 close" },
		{ "IPv6 alone", PEER, 20, ME, false, true, "keepalive" },
		{ "no family in common", PEER, 20, ME, false, true, "2/7 close" },
	};
	const size_t none_in_common = sizeof(rows) / sizeof(rows[0]) - 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_session_conf c = conf();
		struct bgp_open o = their_open();
		const char *said;
		struct test t;

		c.local_as = rows[i].local_as;
		o.as = rows[i].as;
		o.id = rows[i].id;
		o.family[BGP_IPV4] = rows[i].v4;
		o.family[BGP_IPV6] = rows[i].v6;
		c.family[BGP_IPV6] = i != none_in_common;
		init(&t, &c);
		to_state(&t, BGP_OPENSENT, BGP_OURS);
		said = opens(&t, BGP_OURS, &o);
		if (strcmp(said, rows[i].said) != 0)
			fail_msg("%s: %s", rows[i].what, said);
		fini(&t);
	}
}

/* 6.8: two connections; the one of the higher identifier stays, whichever is further. */
static void test_collisions(void **state)
{
	struct bgp_session_conf c = conf();
	struct bgp_open o = their_open();
	struct test t;

	/* Theirs is 20, ours 10: theirs stays. */
	init(&t, &c);
	to_state(&t, BGP_OPENCONFIRM, BGP_OURS);
	assert_string_equal(event(&t, BGP_EV_ACCEPTED, BGP_THEIRS), "take< open<");
	assert_string_equal(hears(&t, BGP_THEIRS, BGP_OPEN), "6/7 close keepalive<");
	assert_string_equal(hears(&t, BGP_THEIRS, BGP_KEEPALIVE), "up<");
	fini(&t);

	/* Ours is higher: theirs goes. */
	c.local_id = 30;
	init(&t, &c);
	to_state(&t, BGP_OPENCONFIRM, BGP_OURS);
	event(&t, BGP_EV_ACCEPTED, BGP_THEIRS);
	assert_string_equal(hears(&t, BGP_THEIRS, BGP_OPEN), "6/7< close<");
	assert_string_equal(hears(&t, BGP_OURS, BGP_KEEPALIVE), "up");
	fini(&t);

	/* The same: the larger AS (RFC 6286 2.3), which is theirs. */
	c.local_id = o.id;
	init(&t, &c);
	to_state(&t, BGP_OPENCONFIRM, BGP_OURS);
	event(&t, BGP_EV_ACCEPTED, BGP_THEIRS);
	assert_string_equal(hears(&t, BGP_THEIRS, BGP_OPEN), "6/7 close keepalive<");
	fini(&t);

	/* One is Established before the other heard an OPEN. */
	init(&t, &c);
	to_state(&t, BGP_OPENCONFIRM, BGP_OURS);
	event(&t, BGP_EV_ACCEPTED, BGP_THEIRS);
	assert_string_equal(hears(&t, BGP_OURS, BGP_KEEPALIVE), "6/7< close< up");
	fini(&t);
}

/* Who comes is met first: no second connection is made, or gone on with, that would only collide. */
static void test_who_comes_first(void **state)
{
	struct bgp_session_conf c = conf();
	struct test t;

	init(&t, &c);
	assert_string_equal(event(&t, BGP_EV_START, BGP_OURS), "connect");
	assert_string_equal(event(&t, BGP_EV_ACCEPTED, BGP_THEIRS), "close take< open<");
	assert_string_equal(event(&t, BGP_EV_CONNECTED, BGP_OURS), "");
	fini(&t);

	c.graceful.offered = c.graceful.restarting = true;
	init(&t, &c);
	assert_string_equal(event(&t, BGP_EV_START, BGP_OURS), "");
	assert_int_equal(bgp_fsm_at(&t.f) - t.now, 200);
	assert_string_equal(event(&t, BGP_EV_ACCEPTED, BGP_THEIRS), "take< open<");
	t.now += 200;
	assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "");
	fini(&t);

	init(&t, &c);
	event(&t, BGP_EV_START, BGP_OURS);
	t.now += 200;
	assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "connect");
	fini(&t);
}

/* A fault makes us wait, longer each time, up to a minute; a minute in Established forgets it. Who connects is taken. */
static void test_waits(void **state)
{
	static const int64_t want[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	const struct bgp_session_conf c = conf();
	struct test t;

	init(&t, &c);
	to_state(&t, BGP_OPENSENT, BGP_OURS);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		hears(&t, BGP_OURS, BGP_KEEPALIVE);
		assert_int_equal(bgp_fsm_state(&t.f), BGP_IDLE);
		assert_int_equal(bgp_fsm_at(&t.f) - t.now, want[i] * 1000);
		t.now = bgp_fsm_at(&t.f);
		assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "connect");
		event(&t, BGP_EV_CONNECTED, BGP_OURS);
	}
	hears(&t, BGP_OURS, BGP_KEEPALIVE);
	assert_string_equal(event(&t, BGP_EV_ACCEPTED, BGP_THEIRS), "take< open<");
	hears(&t, BGP_THEIRS, BGP_OPEN);
	hears(&t, BGP_THEIRS, BGP_KEEPALIVE);
	t.now += 60000;
	event(&t, BGP_EV_FAILED, BGP_THEIRS);
	assert_int_equal(bgp_fsm_at(&t.f) - t.now, 1000);
	fini(&t);
}

/* Nobody is there: tried again, with no wait that grows; a connection that hangs is given up. */
static void test_connect_retry(void **state)
{
	struct bgp_session_conf c = conf();
	struct test t;

	init(&t, &c);
	event(&t, BGP_EV_START, BGP_OURS);
	for (unsigned i = 0; i < 5; i++) {
		assert_string_equal(event(&t, BGP_EV_FAILED, BGP_OURS), "close");
		assert_int_equal(bgp_fsm_state(&t.f), BGP_ACTIVE);
		assert_int_equal(bgp_fsm_at(&t.f) - t.now, 5000);
		t.now += 5000;
		assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "connect");
	}
	t.now += 5000;
	assert_string_equal(event(&t, BGP_EV_TIME, BGP_OURS), "close connect");
	fini(&t);

	c.passive = true;
	init(&t, &c);
	assert_string_equal(event(&t, BGP_EV_START, BGP_OURS), "");
	assert_int_equal(bgp_fsm_state(&t.f), BGP_ACTIVE);
	assert_int_equal(bgp_fsm_at(&t.f), 0);
	assert_string_equal(event(&t, BGP_EV_ACCEPTED, BGP_THEIRS), "take< open<");
	fini(&t);
}

/* RFC 4724 4.2, RFC 8538: what ends the session says whether routes stay. */
static void test_graceful(void **state)
{
	const struct bgp_graceful g = { .offered = true,
					.restart_time = 120,
					.family = { true, true } };
	struct bgp_session_conf c = conf();
	struct bgp_open o = their_open();
	static const struct {
		const char *what;
		bool notification; /* both say N */
		enum bgp_event e;
		uint8_t sub;
		const char *said;
	} rows[] = {
		{ "it breaks", false, BGP_EV_FAILED, 0, "close down-keep" },
		{ "we end it", false, BGP_EV_FAULT, BGP_E_RESET, "6/4 close down" },
		{ "we end it, and both know of RFC 8538", true, BGP_EV_FAULT, BGP_E_RESET,
		  "6/4 close down-keep" },
		{ "the same, hard", true, BGP_EV_FAULT, BGP_E_HARD_RESET, "6/9 close down" },
		{ "we stop", true, BGP_EV_STOP, BGP_E_SHUTDOWN, "6/2 close down" },
		{ "it connects anew", false, BGP_EV_ACCEPTED, 0, "close down-keep take< open<" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_fault f = { .code = BGP_E_CEASE, .sub = rows[i].sub };
		const char *said;
		struct test t;

		c.graceful = o.graceful = g;
		c.graceful.notification = o.graceful.notification = rows[i].notification;
		init(&t, &c);
		to_state(&t, BGP_OPENSENT, BGP_OURS);
		opens(&t, BGP_OURS, &o);
		hears(&t, BGP_OURS, BGP_KEEPALIVE);
		said = step(&t,
			    &(struct bgp_input){ .event = rows[i].e,
						 .side = rows[i].e == BGP_EV_ACCEPTED ? BGP_THEIRS
										      : BGP_OURS,
						 .fault = &f });
		if (strcmp(said, rows[i].said) != 0)
			fail_msg("%s: %s", rows[i].what, said);
		fini(&t);
	}
}

/* A hold time of 0: no keepalives, and nothing is waited for (4.2, 4.4). */
static void test_no_hold_time(void **state)
{
	const struct bgp_session_conf c = conf();
	struct bgp_open o = their_open();
	struct test t;

	o.hold_time = 0;
	init(&t, &c);
	to_state(&t, BGP_OPENSENT, BGP_OURS);
	opens(&t, BGP_OURS, &o);
	hears(&t, BGP_OURS, BGP_KEEPALIVE);
	assert_int_equal(bgp_fsm_state(&t.f), BGP_ESTABLISHED);
	assert_int_equal(bgp_fsm_at(&t.f), 0);
	fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_session),  cmocka_unit_test(test_messages),
		cmocka_unit_test(test_events),     cmocka_unit_test(test_wrong_peers),
		cmocka_unit_test(test_collisions), cmocka_unit_test(test_who_comes_first),
		cmocka_unit_test(test_waits),      cmocka_unit_test(test_connect_retry),
		cmocka_unit_test(test_graceful),   cmocka_unit_test(test_no_hold_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
