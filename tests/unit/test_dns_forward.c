/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarder: who is asked, which answers count, when clients hear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_answers.h"

#include "core/dns/forward.h"
#include "core/dns/octets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UDP   UINT32_MAX /* instead of a stream */
#define KEPT  64
#define A_ONE "an a.example 60 A 10.0.0.1"

struct sent {
	unsigned upstream, slot;
	uint32_t stream;
	uint8_t v[DNS_UDP_MIN];
	size_t n;
};

struct end {
	uint64_t client;
	char text[512];
};

struct world {
	struct dns_forward *f;
	struct dns_cache *cache;
	struct dns_forward_conf conf;
	int64_t now;
	uint32_t seed;
	struct sent sent[KEPT];
	struct end end[KEPT];
	unsigned n_sent, n_end, closed, answered, loops;
};

static struct world world;

static void keep(unsigned upstream, unsigned slot, uint32_t stream, const uint8_t *v, size_t n)
{
	struct sent *s = &world.sent[world.n_sent];
	struct dns_query q;

	assert_int_equal(dns_query_read(v, n, &q), 0);
	if (q.type == DNS_HINFO)
		world.loops++;
	assert_true(world.n_sent < KEPT);
	*s = (struct sent){ upstream, slot, stream, { 0 }, n };
	memcpy(s->v, v, n);
	world.n_sent++;
}

static void on_udp(unsigned upstream, unsigned slot, const uint8_t *v, size_t n, void *arg)
{
	assert_true(slot < world.conf.slots);
	keep(upstream, slot, UDP, v, n);
}

static void on_tcp(unsigned upstream, uint32_t stream, const uint8_t *v, size_t n, void *arg)
{
	assert_int_not_equal(stream, UDP);
	keep(upstream, 0, stream, v, n);
}

static void on_close(uint32_t stream, void *arg)
{
	world.closed++;
}

static void on_end(uint64_t client, const struct dns_relay *answer, void *arg)
{
	struct dns_query q = dns_ask_make("a.example", DNS_A);
	struct end *e = &world.end[world.n_end];

	assert_true(world.n_end < KEPT);
	e->client = client;
	dns_relay_text(answer, &q, e->text, sizeof(e->text));
	world.n_end++;
}

static void on_answered(unsigned upstream, unsigned rcode, unsigned ms, void *arg)
{
	world.answered++;
}

static uint32_t on_random(void *arg)
{
	world.seed = world.seed * 1664525 + 1013904223;
	return world.seed ^ world.seed >> 15;
}

static const struct dns_forward_io io = { on_udp,      on_tcp,    on_close, on_end,
					  on_answered, on_random, NULL };

/* ---- what happens */

static void time_to(int64_t now)
{
	while (dns_forward_at(world.f) <= now) {
		int64_t at = dns_forward_at(world.f);

		world.now = at > world.now ? at : world.now;
		dns_forward_time(world.f, world.now);
	}
	world.now = now;
}

static enum dns_asked ask_as(const char *name, uint64_t client, char *text, size_t cap)
{
	struct dns_query q = dns_ask_make(name, DNS_A);
	struct dns_question question;
	struct dns_relay known;
	enum dns_asked r;
	unsigned looped;

	dns_question_of(&q, &question);
	r = dns_forward_ask(world.f, world.now, &question, true, client, &known, &looped);
	if (r == DNS_KNOWN && text)
		dns_relay_text(&known, &q, text, cap);
	return r;
}

static enum dns_asked ask(uint64_t client)
{
	return ask_as("a.example", client, NULL, 0);
}

static void say(const struct sent *s, unsigned upstream, unsigned slot, const uint8_t *v, size_t n)
{
	if (s->stream == UDP)
		dns_forward_udp(world.f, world.now, upstream, slot, v, n);
	else
		dns_forward_tcp(world.f, world.now, s->stream, v, n);
}

static size_t make(unsigned i, uint16_t flags, int rcode, const char *records, uint8_t v[4096])
{
	return dns_answer_make(world.sent[i].v, world.sent[i].n, flags, rcode, records, v, 4096);
}

static void answer(unsigned i, uint16_t flags, int rcode, const char *records)
{
	const struct sent s = world.sent[i];
	uint8_t v[4096];
	size_t n = make(i, flags, rcode, records, v);

	say(&s, s.upstream, s.slot, v, n);
}

static uint64_t odd(enum dns_odd what)
{
	struct dns_forward_counts c;

	dns_forward_count(world.f, &c);
	return c.odd[what];
}

static struct dns_upstream_state up(unsigned i)
{
	struct dns_upstream_state s;

	dns_forward_upstream(world.f, i, &s);
	return s;
}

static void check_end(unsigned i, uint64_t client, const char *text)
{
	assert_true(world.n_end > i);
	assert_int_equal(world.end[i].client, client);
	assert_string_equal(world.end[i].text, text);
}

/* Answers the looks for loops with which it begins, so that tests see what they ask for. */
static void begin(struct dns_forward_conf *c, uint32_t stale_s)
{
	struct dns_cache_conf cc = { .bytes = DNS_CACHE_MIN, .stale_s = stale_s, .seed = { 3, 4 } };
	struct err e;

	memset(&world, 0, sizeof(world));
	world.seed = 5;
	world.now = 1000;
	world.conf = *c;
	world.cache = dns_cache_new(&cc, &e);
	world.f = dns_forward_new(c, &io, world.cache, world.now, &e);
	assert_non_null(world.f);
	dns_forward_time(world.f, world.now);
	assert_int_equal(world.n_sent, c->upstreams);
	for (unsigned i = 0; i < c->upstreams; i++)
		answer(i, 0, DNS_NXDOMAIN, "");
	world.n_sent = world.answered = 0;
}

static struct dns_forward_conf conf(unsigned upstreams)
{
	struct dns_forward_conf c;

	dns_forward_defaults(&c);
	c.upstreams = upstreams;
	c.policy = DNS_SEQUENTIAL;
	c.loop_key = 0x0123456789abcdef;
	return c;
}

static void begin_with(unsigned upstreams)
{
	struct dns_forward_conf c = conf(upstreams);

	begin(&c, 0);
}

static void end(void)
{
	struct dns_forward_counts c;
	unsigned before = world.n_end;

	/* Whoever still waits is answered. */
	dns_forward_count(world.f, &c);
	dns_forward_free(world.f);
	assert_int_equal(world.n_end, before + c.clients);
	dns_cache_free(world.cache);
}

/* ---- the plain way */

static void test_answer(void **state)
{
	struct dns_query q;
	char text[256];

	begin_with(1);
	assert_int_equal(ask(1), DNS_ASKED);
	assert_int_equal(world.n_sent, 1);
	assert_int_equal(dns_query_read(world.sent[0].v, world.sent[0].n, &q), 0);
	assert_int_equal(q.flags, DNS_RD);
	assert_true(q.edns && q.udp_size == DNS_UDP_SIZE && !q.dnssec_ok);
	answer(0, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	assert_int_equal(world.answered, 1);
	time_to(world.now + 20000);
	assert_int_equal(ask_as("a.example", 2, text, sizeof(text)), DNS_KNOWN);
	assert_string_equal(text, "0; an a.example. 40 A 10.0.0.1");
	time_to(world.now + 40000);
	assert_int_equal(ask(3), DNS_ASKED);
	assert_int_equal(world.n_end, 1);
	end();
	check_end(1, 3, "2");
}

static void test_negative(void **state)
{
	begin_with(1);
	ask(1);
	answer(0, 0, DNS_NXDOMAIN, "au example 60 SOA 30");
	check_end(0, 1, "3; au example. 30 SOA 30");
	assert_int_equal(ask(2), DNS_KNOWN);
	time_to(world.now + 30000);
	assert_int_equal(ask(3), DNS_ASKED);
	answer(1, 0, DNS_NXDOMAIN, "");
	assert_int_equal(ask(4), DNS_ASKED);
	end();
}

/* Each query has its own id, and slot, and letters; with 64 of them none of these is always the same. */
static void test_random(void **state)
{
	unsigned ids = 0, slots = 0, letters = 0;
	char name[32];

	begin_with(1);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "n%02u.some-longer-name.example", i);
		assert_int_equal(ask_as(name, i, NULL, 0), DNS_ASKED);
		if (!i)
			continue;
		ids += dns_get16(world.sent[i].v) != dns_get16(world.sent[i - 1].v);
		slots += world.sent[i].slot != world.sent[i - 1].slot;
		letters += memcmp(world.sent[i].v + 16, world.sent[i - 1].v + 16, 20) != 0;
	}
	assert_true(ids >= 58 && slots >= 45 && letters >= 58);
	end();
}

static void test_joined(void **state)
{
	struct dns_forward_counts c;

	begin_with(1);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(ask(i), DNS_ASKED);
	assert_int_equal(world.n_sent, 1);
	answer(0, 0, 0, A_ONE);
	assert_int_equal(world.n_end, 5);
	for (unsigned i = 0; i < 5; i++)
		check_end(i, i + 1, "0; an a.example. 60 A 10.0.0.1");
	answer(0, 0, 0, A_ONE);
	assert_int_equal(world.n_end, 5);
	dns_forward_count(world.f, &c);
	assert_int_equal(c.joined, 4);
	assert_int_equal(c.clients + c.questions, 0);
	assert_int_equal(c.odd[DNS_ODD_ID], 1);
	end();
}

/* ---- forged answers */

static void test_forged(void **state)
{
	uint8_t v[4096], bad[4096];
	struct dns_forward_conf c = conf(2);
	struct sent s;
	size_t n;
	uint8_t *letter;

	begin(&c, 0);
	ask(1);
	s = world.sent[0];
	n = make(0, 0, 0, A_ONE, v);
	for (unsigned id = 0; id < 65536; id += 13) {
		memcpy(bad, v, n);
		dns_set16(bad, (uint16_t)id);
		if (dns_get16(bad) != dns_get16(v))
			dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	}
	assert_true(odd(DNS_ODD_ID) >= 5000);
	for (unsigned slot = 0; slot < c.slots + 3; slot++)
		if (slot != s.slot)
			dns_forward_udp(world.f, world.now, s.upstream, slot, v, n);
	assert_int_equal(odd(DNS_ODD_SLOT), c.slots + 2);
	dns_forward_udp(world.f, world.now, !s.upstream, s.slot, v, n);
	dns_forward_udp(world.f, world.now, 77, s.slot, v, n);
	assert_int_equal(odd(DNS_ODD_UPSTREAM), 2);
	/* another name, type, class */
	memcpy(bad, v, n);
	bad[DNS_HEADER + 1] = 'x';
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	memcpy(bad, v, n);
	dns_set16(bad + DNS_HEADER + 11, DNS_AAAA);
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	dns_set16(bad + DNS_HEADER + 11, DNS_A);
	dns_set16(bad + DNS_HEADER + 13, 3);
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	assert_int_equal(odd(DNS_ODD_QUESTION), 3);
	/* no response, no message, no question */
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, s.v, s.n);
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, v, 11);
	memcpy(bad, v, n);
	dns_set16(bad + 4, 0);
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	dns_forward_udp(world.f, world.now, s.upstream, s.slot, v, 20);
	assert_int_equal(odd(DNS_ODD_FORM), 4);
	assert_int_equal(world.n_sent, 1);
	assert_int_equal(world.n_end, 0);
	/* other letters: it is asked for over TCP, once, where letters need not be right */
	memcpy(bad, v, n);
	letter = bad + DNS_HEADER + 3;
	*letter ^= 0x20;
	for (int i = 0; i < 5; i++)
		dns_forward_udp(world.f, world.now, s.upstream, s.slot, bad, n);
	assert_int_equal(odd(DNS_ODD_CASE), 5);
	assert_int_equal(world.n_sent, 2);
	assert_int_not_equal(world.sent[1].stream, UDP);
	assert_int_equal(world.n_end, 0);
	/* what is right is still taken */
	say(&s, s.upstream, s.slot, v, n);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	assert_int_equal(world.closed, 1);
	assert_int_equal(up(s.upstream).fails, 0);
	end();
}

/* An upstream that sends every name in small letters serves, over TCP. */
static void test_small_letters(void **state)
{
	uint8_t v[4096];
	struct dns_name small;
	struct err e;
	struct sent s;
	size_t n;

	begin_with(1);
	ask(1);
	assert_int_equal(dns_name_parse("a.example", &small, &e), 0);
	for (unsigned i = 0; i < 2; i++) {
		s = world.sent[i];
		n = make(i, 0, 0, A_ONE, v);
		memcpy(v + DNS_HEADER, small.v, small.n);
		say(&s, s.upstream, s.slot, v, n);
	}
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	end();
}

/* What comes along is neither passed on nor kept. */
static void test_bailiwick(void **state)
{
	struct dns_forward_counts c;

	begin_with(1);
	ask(1);
	answer(0, 0, 0,
	       "an a.example 60 A 10.0.0.1;an www.bank 60 A 6.6.6.6;au bank 60 NS ns.evil;"
	       "ad ns.bank 60 A 6.6.6.6");
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	assert_int_equal(ask_as("www.bank", 2, NULL, 0), DNS_ASKED);
	assert_int_equal(ask_as("ns.bank", 3, NULL, 0), DNS_ASKED);
	dns_forward_count(world.f, &c);
	assert_int_equal(c.dropped_records, 3);
	end();
}

/* ---- other ways */

static void test_truncated(void **state)
{
	uint8_t v[4096];
	size_t n;

	begin_with(2);
	ask(1);
	answer(0, DNS_TC, 0, "");
	assert_int_equal(world.n_sent, 2);
	assert_int_equal(world.sent[1].upstream, world.sent[0].upstream);
	assert_int_not_equal(world.sent[1].stream, UDP);
	assert_int_equal(world.n_end, 0);
	n = make(1, 0, 0, A_ONE, v);
	/* another stream, another id */
	dns_forward_tcp(world.f, world.now, world.sent[1].stream + 1, v, n);
	v[0] ^= 1;
	dns_forward_tcp(world.f, world.now, world.sent[1].stream, v, n);
	assert_int_equal(odd(DNS_ODD_ID), 2);
	dns_forward_tcp(world.f, world.now, world.sent[1].stream, v, 3);
	assert_int_equal(odd(DNS_ODD_FORM), 1);
	answer(1, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	assert_int_equal(world.closed, 0);
	/* truncated over TCP is none: the other one is asked */
	ask_as("b.example", 2, NULL, 0);
	answer(2, DNS_TC, 0, "");
	answer(3, DNS_TC, 0, "");
	assert_int_equal(odd(DNS_ODD_RECORDS), 1);
	assert_int_equal(world.n_sent, 5);
	assert_int_equal(world.sent[4].upstream, 1);
	/* a connection that fails: nobody is left but who was asked already */
	answer(4, DNS_TC, 0, "");
	dns_forward_tcp_failed(world.f, world.now, world.sent[5].stream);
	check_end(1, 2, "2");
	assert_int_equal(up(1).unreachable, 1);
	dns_forward_tcp_failed(world.f, world.now, world.sent[5].stream);
	assert_int_equal(up(1).unreachable, 1);
	end();
}

static void test_no_edns(void **state)
{
	static const int codes[] = { DNS_FORMERR, DNS_NOTIMP, DNS_BADVERS };
	struct dns_query q;
	uint8_t v[4096];

	for (unsigned i = 0; i < 3; i++) {
		begin_with(1);
		ask(1);
		answer(0, 0, codes[i], "");
		assert_int_equal(dns_query_read(world.sent[1].v, world.sent[1].n, &q), 0);
		assert_false(q.edns);
		answer(1, 0, i ? 0 : DNS_FORMERR, i ? A_ONE : "");
		check_end(0, 1, i ? "0; an a.example. 60 A 10.0.0.1" : "1");
		end();
	}
	/* nothing but a header */
	begin_with(1);
	ask(1);
	make(0, 0, DNS_FORMERR, "", v);
	memset(v + 4, 0, 8);
	say(&world.sent[0], 0, world.sent[0].slot, v, DNS_HEADER);
	assert_int_equal(world.n_sent, 2);
	answer(1, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	end();
}

static void test_malformed(void **state)
{
	uint8_t v[4096];
	size_t n;

	begin_with(2);
	ask(1);
	n = make(0, 0, 0, A_ONE, v);
	say(&world.sent[0], 0, world.sent[0].slot, v, n - 1 - 11 - 1);
	assert_int_equal(odd(DNS_ODD_RECORDS), 1);
	assert_int_equal(world.sent[1].upstream, 1);
	answer(1, 0, 0, "an a.example 60 CNAME a.example");
	check_end(0, 1, "2");
	end();
}

/* ---- failing over */

static void test_refusing(void **state)
{
	begin_with(3);
	ask(1);
	answer(0, 0, DNS_SERVFAIL, "");
	answer(1, 0, DNS_REFUSED, "");
	assert_int_equal(world.n_sent, 3);
	assert_int_equal(world.sent[2].upstream, 2);
	answer(2, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	/* It lives, whatever it says. */
	assert_int_equal(up(0).fails + up(1).fails, 0);
	ask_as("b.example", 2, NULL, 0);
	for (unsigned i = 3; i < 6; i++)
		answer(i, 0, DNS_REFUSED, "");
	check_end(1, 2, "5");
	/* RFC 9520: for a moment nobody is asked again. */
	assert_int_equal(ask_as("b.example", 3, NULL, 0), DNS_KNOWN);
	time_to(world.now + 1000);
	assert_int_equal(ask_as("b.example", 3, NULL, 0), DNS_ASKED);
	end();
}

static void test_silent(void **state)
{
	begin_with(2);
	ask(1);
	time_to(world.now + 1499);
	assert_int_equal(world.n_sent, 1);
	time_to(world.now + 1);
	assert_int_equal(world.n_sent, 3);
	assert_int_equal(world.sent[1].upstream, 1);
	assert_int_equal(world.sent[2].upstream, 0); /* the probe */
	assert_int_equal(up(0).timeouts, 1);
	/* The first one may still answer. */
	answer(0, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	assert_int_equal(up(0).fails, 0);
	end();
}

static void test_deadline(void **state)
{
	int64_t from;

	begin_with(1);
	from = world.now;
	ask(1);
	time_to(from + 2000);
	ask(2);
	time_to(from + 4999);
	assert_int_equal(world.n_end, 0);
	time_to(from + 5000);
	assert_int_equal(world.n_end, 2);
	check_end(0, 1, "2");
	check_end(1, 2, "2");
	assert_true(up(0).down);
	end();
}

static void test_unreachable(void **state)
{
	begin_with(2);
	ask(1);
	ask_as("b.example", 2, NULL, 0);
	dns_forward_unreachable(world.f, world.now, 0, world.sent[0].slot);
	assert_true(world.n_sent >= 3);
	assert_int_equal(world.sent[2].upstream, 1);
	assert_int_equal(up(0).unreachable, 1);
	answer(2, 0, 0, A_ONE);
	check_end(0, 1, "0; an a.example. 60 A 10.0.0.1");
	dns_forward_unreachable(world.f, world.now, 1, 0);
	dns_forward_unreachable(world.f, world.now, 9, 9);
	end();
	begin_with(1);
	ask(1);
	dns_forward_unreachable(world.f, world.now, 0, world.sent[0].slot);
	check_end(0, 1, "2");
	end();
}

/* Down after two failures on end, probed every half second, up with any answer; asked all the same where all are down. */
static void test_health(void **state)
{
	struct dns_forward_counts c;
	struct dns_query q;
	unsigned n;

	begin_with(2);
	ask(1);
	time_to(world.now + 1500); /* 1: the other one, 2: a probe */
	answer(1, 0, 0, A_ONE);
	assert_false(up(0).down);
	assert_int_equal(dns_query_read(world.sent[2].v, world.sent[2].n, &q), 0);
	assert_int_equal(q.type, DNS_NS);
	assert_int_equal(q.name.n, 1);
	ask_as("b.example", 2, NULL, 0);
	assert_int_equal(world.sent[3].upstream, 0);
	time_to(world.now + 1500);
	assert_true(up(0).down);
	assert_true(up(0).probes_failed >= 1);
	n = world.n_sent;
	ask_as("c.example", 3, NULL, 0);
	assert_int_equal(world.sent[n].upstream, 1);
	n = world.n_sent;
	time_to(world.now + 1200);
	assert_true(world.n_sent > n);
	/* The last thing sent to it is a probe; "I refuse" is life. */
	for (n = world.n_sent - 1; world.sent[n].upstream != 0; n--)
		;
	answer(n, 0, DNS_REFUSED, "");
	assert_false(up(0).down);
	time_to(world.now);
	assert_int_equal(world.loops, 3); /* it came back, perhaps from elsewhere */
	end();
	begin_with(1);
	ask(1);
	time_to(world.now + 5000);
	assert_true(up(0).down);
	n = world.n_sent;
	ask_as("b.example", 2, NULL, 0);
	assert_int_equal(world.n_sent, n + 1);
	answer(n, 0, 0, "an b.example 60 A 10.0.0.1");
	check_end(1, 2, "0; an a.example. 60 A 10.0.0.1");
	assert_false(up(0).down);
	dns_forward_count(world.f, &c);
	assert_int_equal(c.all_down, 1);
	end();
}

/* However often it comes back, one look for a loop is out at a time. */
static void test_one_look(void **state)
{
	struct dns_forward_conf c = conf(1);
	unsigned probe;
	char name[32];

	c.max_fails = 1;
	c.loop_ms = 1;
	begin(&c, 0);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		ask_as(name, i, NULL, 0);
		dns_forward_unreachable(world.f, world.now, 0, world.sent[world.n_sent - 1].slot);
		assert_true(up(0).down);
		probe = world.n_sent;
		time_to(world.now);
		answer(probe, 0, DNS_REFUSED, "");
		assert_false(up(0).down);
		time_to(world.now + 2);
		assert_int_equal(world.loops, 2);
	}
	dns_forward_looped(world.f, world.now, 0);
	time_to(world.now + 2);
	assert_int_equal(world.loops, 2);
	end();
}

static void test_policies(void **state)
{
	struct dns_forward_conf c = conf(3);
	unsigned got[3] = { 0 };
	char name[32];

	c.policy = DNS_ROUND_ROBIN;
	begin(&c, 0);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		ask_as(name, i, NULL, 0);
		assert_int_equal(world.sent[i].upstream, i % 3);
	}
	end();
	c.policy = DNS_RANDOM;
	begin(&c, 0);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		ask_as(name, i, NULL, 0);
		got[world.sent[i].upstream]++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(got[i] > 8);
	end();
}

/* ---- limits, loops */

static void test_busy(void **state)
{
	struct dns_forward_conf c = conf(1);
	struct dns_forward_counts n;

	c.questions = 2;
	c.clients = 3;
	begin(&c, 0);
	assert_int_equal(ask_as("a", 1, NULL, 0), DNS_ASKED);
	assert_int_equal(ask_as("b", 2, NULL, 0), DNS_ASKED);
	assert_int_equal(ask_as("c", 3, NULL, 0), DNS_BUSY);
	assert_int_equal(ask_as("a", 4, NULL, 0), DNS_ASKED);
	assert_int_equal(ask_as("a", 5, NULL, 0), DNS_BUSY);
	dns_forward_count(world.f, &n);
	assert_int_equal(n.busy, 2);
	answer(0, 0, 0, "an a 60 A 10.0.0.1");
	assert_int_equal(ask_as("c", 3, NULL, 0), DNS_ASKED);
	end();
}

static void test_denied(void **state)
{
	struct dns_query q = dns_ask_make("a.example", DNS_AXFR);
	struct dns_question question;
	struct dns_relay out;
	unsigned looped;

	begin_with(1);
	dns_question_of(&q, &question);
	assert_int_equal(dns_forward_ask(world.f, 0, &question, true, 1, &out, &looped),
			 DNS_DENIED);
	question.type = DNS_A;
	assert_int_equal(dns_forward_ask(world.f, 0, &question, false, 1, &out, &looped),
			 DNS_DENIED);
	assert_int_equal(world.n_sent, 0);
	end();
	begin_with(0);
	assert_int_equal(ask(1), DNS_DENIED);
	end();
}

/* Our look for a loop comes back: that upstream is left out until a later look finds none. */
static void test_loop(void **state)
{
	struct dns_forward_conf c = conf(2);
	struct dns_question question;
	struct dns_relay out;
	struct dns_query q;
	unsigned looped = 9, n;

	begin(&c, 0);
	dns_forward_free(world.f);
	world.f = dns_forward_new(&c, &io, NULL, world.now, NULL);
	time_to(world.now);
	assert_int_equal(world.n_sent, 2);
	assert_int_equal(dns_query_read(world.sent[0].v, world.sent[0].n, &q), 0);
	assert_int_equal(q.type, DNS_HINFO);
	dns_question_of(&q, &question);
	assert_int_equal(dns_forward_ask(world.f, world.now, &question, true, 1, &out, &looped),
			 DNS_LOOP);
	assert_int_equal(looped, 0);
	answer(0, 0, DNS_REFUSED, "");
	answer(1, 0, DNS_NXDOMAIN, "");
	assert_true(up(0).looped && !up(1).looped);
	ask(2);
	assert_int_equal(world.sent[2].upstream, 1);
	answer(2, 0, DNS_SERVFAIL, "");
	check_end(0, 2, "2");
	dns_forward_looped(world.f, world.now, 1);
	assert_int_equal(ask(3), DNS_ASKED);
	check_end(1, 3, "2");
	assert_int_equal(world.n_sent, 3);
	time_to(world.now + 30000);
	n = world.n_sent;
	assert_int_equal(n, 5);
	answer(3, 0, DNS_NXDOMAIN, "");
	answer(4, 0, DNS_NXDOMAIN, "");
	assert_true(!up(0).looped && !up(1).looped);
	/* Names like it that are not: */
	question.type = DNS_A;
	assert_int_equal(dns_forward_ask(world.f, world.now, &question, true, 4, &out, &looped),
			 DNS_ASKED);
	question.type = DNS_HINFO;
	question.name.v[6] = 'x';
	assert_int_equal(dns_forward_ask(world.f, world.now, &question, true, 5, &out, &looped),
			 DNS_ASKED);
	question.name.v[6] = '7';
	assert_int_equal(dns_forward_ask(world.f, world.now, &question, true, 6, &out, &looped),
			 DNS_ASKED);
	end();
}

/* ---- with the cache */

static void test_stale(void **state)
{
	struct dns_forward_conf c = conf(1);
	struct dns_forward_counts n;
	int64_t from;
	char text[256];

	begin(&c, 3600);
	ask(1);
	answer(0, 0, 0, A_ONE);
	time_to(world.now + 61000);
	from = world.now;
	assert_int_equal(ask(2), DNS_ASKED);
	time_to(from + 1799);
	assert_int_equal(world.n_end, 1);
	time_to(from + 1800);
	check_end(1, 2, "0; an a.example. 30 A 10.0.0.1");
	/* While it goes on others need not wait, and an answer counts. */
	assert_int_equal(ask_as("a.example", 3, text, sizeof(text)), DNS_KNOWN);
	assert_string_equal(text, "0; an a.example. 30 A 10.0.0.1");
	answer(1, 0, 0, "an a.example 60 A 10.0.0.2");
	assert_int_equal(ask_as("a.example", 4, text, sizeof(text)), DNS_KNOWN);
	assert_string_equal(text, "0; an a.example. 60 A 10.0.0.2");
	/* Nobody answers at all: from then on it is given at once, for a second. */
	time_to(world.now + 61000);
	world.n_sent = 0;
	ask(5);
	answer(0, 0, DNS_SERVFAIL, "");
	check_end(2, 5, "0; an a.example. 30 A 10.0.0.2");
	assert_int_equal(ask(6), DNS_KNOWN);
	time_to(world.now + 1000);
	assert_int_equal(ask(7), DNS_ASKED);
	dns_forward_count(world.f, &n);
	assert_int_equal(n.stale, 4);
	end();
}

/* An answer that is used and about to end is asked for anew, with nobody waiting. */
static void test_prefetch(void **state)
{
	struct dns_forward_counts n;

	begin_with(1);
	ask(1);
	answer(0, 0, 0, A_ONE);
	assert_int_equal(ask(2), DNS_KNOWN);
	time_to(world.now + 55000);
	assert_int_equal(ask(3), DNS_KNOWN);
	assert_int_equal(ask(4), DNS_KNOWN);
	assert_int_equal(world.n_sent, 2);
	answer(1, 0, 0, A_ONE);
	time_to(world.now + 50000);
	assert_int_equal(ask(5), DNS_KNOWN);
	dns_forward_count(world.f, &n);
	assert_int_equal(n.prefetched, 1);
	/* Nobody answers: not at every use. */
	time_to(world.now + 5000);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask(6), DNS_KNOWN);
		assert_int_equal(world.n_sent, 3);
		if (!i)
			answer(2, 0, DNS_SERVFAIL, "");
	}
	time_to(world.now + 1000);
	assert_int_equal(ask(7), DNS_KNOWN);
	assert_int_equal(world.n_sent, 4);
	assert_int_equal(world.n_end, 1);
	end();
}

static void test_refused_conf(void **state)
{
	struct dns_forward_conf c;
	struct err e;

#define REFUSED(field, value, why)                                                                 \
	do {                                                                                       \
		c = conf(1);                                                                       \
		c.field = value;                                                                   \
		assert_null(dns_forward_new(&c, &io, NULL, 0, &e));                                \
		assert_int_equal(e.code, -EINVAL);                                                 \
		assert_string_equal(e.text, "forwarder: " why);                                    \
	} while (0)
	REFUSED(upstreams, DNS_UPSTREAMS_MAX + 1, "upstreams");
	REFUSED(slots, 0, "slots");
	REFUSED(slots, DNS_SLOTS_MAX + 1, "slots");
	REFUSED(questions, 0, "questions");
	REFUSED(questions, DNS_QUESTIONS_MAX + 1, "questions");
	REFUSED(clients, 0, "clients");
	REFUSED(attempt_ms, 0, "a time of 0");
	REFUSED(failure_s, 6, "failure_s");
	REFUSED(ttls.min, 3601, "ttls");
	dns_forward_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),       cmocka_unit_test(test_negative),
		cmocka_unit_test(test_random),       cmocka_unit_test(test_joined),
		cmocka_unit_test(test_forged),       cmocka_unit_test(test_small_letters),
		cmocka_unit_test(test_bailiwick),    cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_no_edns),      cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_refusing),     cmocka_unit_test(test_silent),
		cmocka_unit_test(test_deadline),     cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_health),       cmocka_unit_test(test_policies),
		cmocka_unit_test(test_one_look),     cmocka_unit_test(test_busy),
		cmocka_unit_test(test_denied),       cmocka_unit_test(test_loop),
		cmocka_unit_test(test_stale),        cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_refused_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
