/* SPDX-License-Identifier: Apache-2.0 */
/* What of an upstream's answer is passed on, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_answers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct dns_ttls ttls = { 0, 3600, 0, 1800 };

struct read {
	struct dns_query q;
	struct dns_question question;
	uint8_t v[DNS_RELAY_MAX];
	struct dns_relayed r;
	int error;
};

static const struct read *read_with(const struct dns_query *q, uint16_t flags, int rcode,
				    const char *records, const struct dns_ttls *t)
{
	static uint8_t query[DNS_UDP_MIN], msg[DNS_MESSAGE_MAX];
	struct dns_query sent = *q;
	static struct read out;
	struct dns_response r;
	size_t n;

	sent.edns = true;
	n = dns_query_write(query, &sent);
	n = dns_answer_make(query, n, flags, rcode, records, msg, sizeof(msg));
	out.q = *q;
	out.question = (struct dns_question){
		.name = q->lower, .type = q->type, .class = q->class, .dnssec_ok = q->dnssec_ok
	};
	assert_int_equal(dns_response_read(msg, n, &r), 0);
	out.error = dns_relay_read(&r, &out.question, t, out.v, &out.r);
	return &out;
}

static const char *text(const struct read *r, uint32_t age)
{
	const struct dns_relay relay = { r->v, r->r.n, age, false };
	static char buf[4096];

	assert_int_equal(r->error, 0);
	return dns_relay_text(&relay, &r->q, buf, sizeof(buf));
}

/* Of records: what is passed on, how many are dropped, how long it lives, whether it is negative. */
static const struct {
	const char *what, *name;
	uint16_t type;
	int rcode;
	bool dnssec;
	const char *records, *want;
	unsigned dropped, life;
	bool negative;
} rows[] = {
	{ "an address", "a.example", DNS_A, 0, false, "an a.example 60 A 10.0.0.1",
	  "0; an a.example. 60 A 10.0.0.1", 0, 60, false },
	{ "two, the shorter life", "a.example", DNS_AAAA, 0, false,
	  "an a.example 60 AAAA fd00::1;an a.example 30 AAAA fd00::2",
	  "0; an a.example. 60 AAAA fd00::1; an a.example. 30 AAAA fd00::2", 0, 30, false },
	{ "not longer than allowed", "a.example", DNS_A, 0, false, "an a.example 90000 A 10.0.0.1",
	  "0; an a.example. 3600 A 10.0.0.1", 0, 3600, false },
	{ "the top bit is none", "a.example", DNS_A, 0, false, "an a.example 2147483648 A 10.0.0.1",
	  "0; an a.example. 0 A 10.0.0.1", 0, 0, false },
	{ "a chain", "a.example", DNS_A, 0, false,
	  "an a.example 60 CNAME b.test;an b.test 20 CNAME c.test;an c.test 90 A 10.0.0.1",
	  "0; an a.example. 60 CNAME b.test.; an b.test. 20 CNAME c.test.; an c.test. 90 A "
	  "10.0.0.1",
	  0, 20, false },
	{ "a chain in no order", "a.example", DNS_A, 0, false,
	  "an c.test 90 A 10.0.0.1;an b.test 20 CNAME c.test;an a.example 60 CNAME b.test",
	  "0; an c.test. 90 A 10.0.0.1; an b.test. 20 CNAME c.test.; an a.example. 60 CNAME "
	  "b.test.",
	  0, 20, false },
	{ "the CNAME itself", "a.example", DNS_CNAME, 0, false,
	  "an a.example 60 CNAME b.test;an b.test 20 A 10.0.0.1",
	  "0; an a.example. 60 CNAME b.test.", 1, 60, false },
	{ "DNAME", "a.old.example", DNS_A, 0, false,
	  "an old.example 60 DNAME new.example;an a.old.example 60 CNAME a.new.example;"
	  "an a.new.example 60 A 10.0.0.1",
	  "0; an old.example. 60 DNAME new.example.; an a.old.example. 60 CNAME a.new.example.; "
	  "an a.new.example. 60 A 10.0.0.1",
	  0, 60, false },
	/* What does not belong. */
	{ "another's address", "a.example", DNS_A, 0, false,
	  "an a.example 60 A 10.0.0.1;an www.bank 60 A 6.6.6.6", "0; an a.example. 60 A 10.0.0.1",
	  1, 60, false },
	{ "another type", "a.example", DNS_A, 0, false,
	  "an a.example 60 A 10.0.0.1;an a.example 5 AAAA fd00::1",
	  "0; an a.example. 60 A 10.0.0.1", 1, 60, false },
	{ "the zone's servers, and another's", "a.example", DNS_A, 0, false,
	  "an a.example 60 A 10.0.0.1;au example 60 NS ns.evil;au bank 60 NS ns.evil;"
	  "ad ns.evil 60 A 6.6.6.6;ad www.bank 60 A 6.6.6.6",
	  "0; an a.example. 60 A 10.0.0.1; au example. 60 NS ns.evil.", 3, 60, false },
	{ "an address as address record", "a.example", DNS_A, 0, false, "ad a.example 60 A 6.6.6.6",
	  "0", 1, 0, true },
	{ "only another's", "a.example", DNS_A, 0, false, "an www.bank 60 A 6.6.6.6", "0", 1, 0,
	  true },
	{ "targets", "_x._tcp.a.example", DNS_SRV, 0, false,
	  "an _x._tcp.a.example 60 SRV 1 2 80 h.a.example;ad h.a.example 60 A 10.0.0.1;"
	  "ad h.a.example 60 AAAA fd00::1;ad h.a.example 60 TXT no;ad i.a.example 60 A 6.6.6.6",
	  "0; an _x._tcp.a.example. 60 SRV 1 2 80 h.a.example.; ad h.a.example. 60 A 10.0.0.1; "
	  "ad h.a.example. 60 AAAA fd00::1",
	  2, 60, false },
	{ "mail", "a.example", DNS_MX, 0, false,
	  "an a.example 60 MX 10 mx.example;ad mx.example 60 A 10.0.0.1",
	  "0; an a.example. 60 MX 10 mx.example.; ad mx.example. 60 A 10.0.0.1", 0, 60, false },
	/* RFC 2308 */
	{ "no such name", "a.example", DNS_A, 3, false, "au example 900 SOA 300",
	  "3; au example. 300 SOA 300", 0, 300, true },
	{ "the SOA's own life is shorter", "a.example", DNS_A, 3, false, "au example 30 SOA 300",
	  "3; au example. 30 SOA 300", 0, 30, true },
	{ "no such type", "a.example", DNS_A, 0, false, "au example 9000 SOA 9000",
	  "0; au example. 1800 SOA 9000", 0, 1800, true },
	{ "without SOA", "a.example", DNS_A, 3, false, "", "3", 0, 0, true },
	{ "another zone's SOA", "a.example", DNS_A, 3, false, "au bank 900 SOA 300", "3", 1, 0,
	  true },
	{ "a chain to nowhere", "a.example", DNS_A, 3, false,
	  "an a.example 60 CNAME b.test;au test 900 SOA 300",
	  "3; an a.example. 60 CNAME b.test.; au test. 300 SOA 300", 0, 60, true },
	/* DNSSEC, for who wants it. */
	{ "signatures unasked", "a.example", DNS_A, 0, false,
	  "an a.example 60 A 10.0.0.1;an a.example 60 TYPE46 00", "0; an a.example. 60 A 10.0.0.1",
	  1, 60, false },
	{ "signatures", "a.example", DNS_A, 0, true,
	  "an a.example 60 A 10.0.0.1;an a.example 60 TYPE46 00",
	  "0; an a.example. 60 A 10.0.0.1; an a.example. 60 TYPE46 00", 0, 60, false },
	{ "proofs", "a.example", DNS_A, 3, true,
	  "au example 900 SOA 300;au x.example 300 TYPE47 00;au y.bank 300 TYPE47 00;"
	  "au x.example 300 TYPE46 00",
	  "3; au example. 300 SOA 300; au x.example. 300 TYPE47 00; au x.example. 300 TYPE46 00", 1,
	  300, true },
	{ "a wildcard's proof, by who signs", "a.example", DNS_A, 0, true,
	  "an a.example 60 A 10.0.0.1;"
	  "an a.example 60 TYPE46 000000000000000000000000000000000000076578616d706c6500;"
	  "au x.example 300 TYPE50 00;au x.bank 300 TYPE50 00",
	  "0; an a.example. 60 A 10.0.0.1; "
	  "an a.example. 60 TYPE46 000000000000000000000000000000000000076578616d706c6500; "
	  "au x.example. 300 TYPE50 00",
	  1, 60, false },
	{ "all types", "a.example", DNS_ANY, 0, false,
	  "an a.example 60 A 10.0.0.1;an a.example 60 TXT x;an b.example 60 TXT y",
	  "0; an a.example. 60 A 10.0.0.1; an a.example. 60 TXT x", 1, 60, false },
	{ "a failure", "a.example", DNS_A, 2, false, "au example 900 SOA 300",
	  "2; au example. 300 SOA 300", 0, 0, true },
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_query q = dns_ask_make(rows[i].name, rows[i].type);
		const struct read *r;

		q.dnssec_ok = q.edns = rows[i].dnssec;
		r = read_with(&q, 0, rows[i].rcode, rows[i].records, &ttls);
		if (strcmp(text(r, 0), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].what, text(r, 0));
		assert_int_equal(r->r.dropped, rows[i].dropped);
		assert_int_equal(r->r.life_s, rows[i].life);
		assert_int_equal(r->r.negative, rows[i].negative);
		assert_int_equal(r->r.rcode, rows[i].rcode);
	}
}

static void test_circles(void **state)
{
	struct dns_query q = dns_ask_make("a.example", DNS_A);
	char records[2048] = "an a.example 60 CNAME n0";
	size_t n = strlen(records);

	assert_int_equal(read_with(&q, 0, 0, "an a.example 60 CNAME a.example", &ttls)->error,
			 -EBADMSG);
	assert_int_equal(
		read_with(&q, 0, 0,
			  "an a.example 60 CNAME b.example;an b.example 60 CNAME a.example", &ttls)
			->error,
		-EBADMSG);
	for (int i = 0; i < 15; i++)
		n += (size_t)snprintf(records + n, sizeof(records) - n, ";an n%d 60 CNAME n%d", i,
				      i + 1);
	assert_int_equal(read_with(&q, 0, 0, records, &ttls)->error, 0);
	snprintf(records + n, sizeof(records) - n, ";an n15 60 CNAME n16");
	assert_int_equal(read_with(&q, 0, 0, records, &ttls)->error, -EBADMSG);
}

static void test_lives(void **state)
{
	static const struct dns_ttls floor = { 5, 100, 10, 20 };
	struct dns_query q = dns_ask_make("a.example", DNS_A);
	const struct read *r = read_with(&q, 0, 0, "an a.example 60 A 10.0.0.1", &ttls);
	struct dns_relay relay = { r->v, r->r.n, 0, true };
	char buf[256];

	assert_string_equal(text(r, 59), "0; an a.example. 1 A 10.0.0.1");
	assert_string_equal(text(r, 61), "0; an a.example. 0 A 10.0.0.1");
	/* RFC 8767 5: what is past its time is said to live 30 s. */
	assert_string_equal(dns_relay_text(&relay, &q, buf, sizeof(buf)),
			    "0; an a.example. 30 A 10.0.0.1");
	r = read_with(&q, 0, 0, "an a.example 0 A 10.0.0.1", &floor);
	assert_int_equal(r->r.life_s, 5);
	r = read_with(&q, 0, 3, "au example 900 SOA 1", &floor);
	assert_int_equal(r->r.life_s, 10);
}

/* AD only to those who say that they know it; the question's letters as the client has them; what does not fit is cut. */
static void test_write(void **state)
{
	struct dns_query q = dns_ask_make("A.eXample", DNS_A);
	const struct read *r = read_with(
		&q, DNS_AD, 0, "an a.example 60 CNAME b.test;an b.test 60 A 10.0.0.1", &ttls);
	const struct dns_relay relay = { r->v, r->r.n, 0, false };
	static const struct dns_name asked = { 11, "\1A\7eXample" };
	uint8_t msg[DNS_UDP_MIN];
	struct dns_response got;
	char buf[4096], records[4096];
	size_t n = 0;

	assert_string_equal(text(r, 0),
			    "0; an A.eXample. 60 CNAME b.test.; an b.test. 60 A 10.0.0.1");
	q.flags |= DNS_AD;
	assert_string_equal(dns_relay_text(&relay, &q, buf, sizeof(buf)),
			    "0 ad; an A.eXample. 60 CNAME b.test.; an b.test. 60 A 10.0.0.1");
	assert_int_equal(
		dns_response_read(msg, dns_relay_write(&relay, &q, msg, sizeof(msg)), &got), 0);
	assert_int_equal(got.id, 7);
	assert_memory_equal(got.name.v, asked.v, asked.n);
	assert_false(got.edns);
	q.edns = true;
	assert_int_equal(
		dns_response_read(msg, dns_relay_write(&relay, &q, msg, sizeof(msg)), &got), 0);
	assert_true(got.edns);
	for (int i = 0; i < 40; i++)
		n += (size_t)snprintf(records + n, sizeof(records) - n,
				      "%san a.example 60 A 10.0.0.%d", i ? ";" : "", i);
	r = read_with(&q, 0, 0, records, &ttls);
	n = dns_relay_write(&relay, &q, msg, sizeof(msg));
	assert_true(n <= sizeof(msg));
	dns_answer_text(msg, n, buf, sizeof(buf));
	assert_memory_equal(buf, "0 tc; an ", 9);
	assert_non_null(strstr(text(r, 0), "10.0.0.39"));
}

static void test_failure(void **state)
{
	struct dns_query q = dns_ask_make("a.example", DNS_A);
	uint8_t v[DNS_RELAY_FAILURE];
	const struct dns_relay relay = { v, sizeof(v), 0, false };
	char buf[64];

	dns_relay_failure(DNS_SERVFAIL, v);
	assert_string_equal(dns_relay_text(&relay, &q, buf, sizeof(buf)), "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),    cmocka_unit_test(test_circles),
		cmocka_unit_test(test_lives),   cmocka_unit_test(test_write),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
