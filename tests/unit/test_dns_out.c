/* SPDX-License-Identifier: Apache-2.0 */
/* Responses as they are written: octets by hand, compression, and what is left at each length of the buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/dns/msg.h"

#include <string.h>

#define NAME                                                                                       \
	"03576542"                                                                                 \
	"026e73"                                                                                   \
	"00" /* WeB.ns. */
#define HEAD NAME "00010001"

static struct dns_name name(const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_parse(text, &n, NULL), 0);
	return n;
}

static struct dns_query query(const char *text, uint16_t type, bool edns)
{
	struct dns_query q = {
		.id = 0x1234, .flags = DNS_RD, .type = type, .class = DNS_IN, .edns = edns
	};
	uint8_t p[DNS_UDP_MIN];

	q.name = name(text);
	assert_int_equal(dns_query_read(p, dns_query_write(p, &q), &q), 0);
	return q;
}

static void expect(struct dns_out *o, int rcode, const char *hex)
{
	uint8_t want[1024];
	size_t n = octets(hex, want), got = dns_out_end(o, rcode);

	for (size_t i = 0; i < n && i < got; i++)
		if (o->p[i] != want[i])
			fail_msg("octet %zu is %02x, not %02x", i, o->p[i], want[i]);
	assert_int_equal(got, n);
}

/* One record of each kind for a question of WeB.ns. */
static void test_each(void **state)
{
	struct dns_query q = query("WeB.ns", DNS_A, false);
	struct dns_soa soa = { name("a.ns"), name("h.a.ns"), 1, 2, 3, 4, 5 };
	struct dns_srv srv = { 1, 2, 80, name("x.ns") };
	struct dns_name lower = name("web.ns"), x = name("x.ns"), other = name("org");
	uint8_t p[1024], v6[16] = { 0xfd, [15] = 1 };
	struct dns_out o;

	dns_out_begin(&o, p, sizeof(p), &q, DNS_AA);
	assert_true(dns_out_a(&o, DNS_ANSWER, &q.lower, 5, (uint8_t[]){ 10, 0, 0, 1 }));
	assert_true(dns_out_aaaa(&o, DNS_ANSWER, &q.name, 0x01020304, v6));
	expect(&o, 0,
	       "1234"
	       "8500"
	       "0001"
	       "0002"
	       "0000"
	       "0000" HEAD "c00c"
	       "0001"
	       "0001"
	       "00000005"
	       "0004"
	       "0a000001"
	       "c00c"
	       "001c"
	       "0001"
	       "01020304"
	       "0010"
	       "fd000000000000000000000000000001");

	/* 12 WeB, 16 ns, 20 type, 24 the first record */
	dns_out_begin(&o, p, sizeof(p), &q, DNS_AA | DNS_RA);
	assert_true(dns_out_cname(&o, DNS_ANSWER, &q.name, 5, &x)); /* data at 36 */
	assert_true(dns_out_ns(&o, DNS_AUTHORITY, &x, 5,
			       &lower)); /* other letters than the question's */
	assert_true(dns_out_ptr(&o, DNS_AUTHORITY, &lower, 5, &dns_root));
	expect(&o, DNS_NXDOMAIN,
	       "1234"
	       "8583"
	       "0001"
	       "0001"
	       "0002"
	       "0000" HEAD "c00c"
	       "0005"
	       "0001"
	       "00000005"
	       "0004"
	       "0178c010"
	       "c024"
	       "0002"
	       "0001"
	       "00000005"
	       "0006"
	       "03776562c010"
	       "c034"
	       "000c"
	       "0001"
	       "00000005"
	       "0001"
	       "00");

	dns_out_begin(&o, p, sizeof(p), &q, 0);
	assert_true(dns_out_soa(&o, DNS_AUTHORITY, &other, 5, &soa));
	expect(&o, 0,
	       "1234"
	       "8100"
	       "0001"
	       "0000"
	       "0001"
	       "0000" HEAD "036f726700"
	       "0006"
	       "0001"
	       "00000005"
	       "001c"
	       "0161c010"
	       "0168c027"
	       "0000000100000002000000030000000400000005");

	/* the target is written whole, and pointed to */
	dns_out_begin(&o, p, sizeof(p), &q, 0);
	assert_true(dns_out_srv(&o, DNS_ANSWER, &q.name, 5, &srv));
	assert_true(dns_out_a(&o, DNS_ADDITIONAL, &srv.target, 5, (uint8_t[]){ 1, 2, 3, 4 }));
	expect(&o, 0,
	       "1234"
	       "8100"
	       "0001"
	       "0001"
	       "0000"
	       "0001" HEAD "c00c"
	       "0021"
	       "0001"
	       "00000005"
	       "000c"
	       "000100020050"
	       "0178026e7300"
	       "c02a"
	       "0001"
	       "0001"
	       "00000005"
	       "0004"
	       "01020304");
}

static void test_texts(void **state)
{
	struct dns_query q = query(".", DNS_TXT, false);
	char text[301];
	uint8_t p[1024];
	struct dns_out o;

	dns_out_begin(&o, p, sizeof(p), &q, 0);
	assert_true(dns_out_txt(&o, DNS_ANSWER, &q.name, 5, "1.1.0"));
	assert_true(dns_out_txt(&o, DNS_ANSWER, &dns_root, 5, ""));
	expect(&o, 0,
	       "1234"
	       "8100"
	       "0001"
	       "0002"
	       "0000"
	       "0000"
	       "00"
	       "00100001"
	       "c00c"
	       "0010"
	       "0001"
	       "00000005"
	       "0006"
	       "05312e312e30"
	       "00"
	       "0010"
	       "0001"
	       "00000005"
	       "0001"
	       "00");
	memset(text, 'x', 300);
	text[300] = 0;
	dns_out_begin(&o, p, sizeof(p), &q, 0);
	assert_true(dns_out_txt(&o, DNS_ANSWER, &q.name, 5, text));
	assert_int_equal(dns_out_end(&o, 0), 17 + 12 + 302);
	assert_int_equal(p[29], 255);
	assert_int_equal(p[29 + 256], 45);

	q.type = DNS_ANY;
	dns_out_begin(&o, p, sizeof(p), &q, 0);
	assert_true(dns_out_any(&o, &q.name, 5));
	expect(&o, 0,
	       "1234"
	       "8100"
	       "0001"
	       "0001"
	       "0000"
	       "0000"
	       "00"
	       "00ff0001"
	       "c00c"
	       "000d"
	       "0001"
	       "00000005"
	       "0009"
	       "075246433834383200");
}

/* A rcode of 12 bits needs OPT. */
static void test_extended_rcode(void **state)
{
	struct dns_query q = query(".", DNS_A, true);
	uint8_t p[512];
	struct dns_out o;

	dns_out_begin(&o, p, sizeof(p), &q, 0);
	expect(&o, DNS_BADVERS,
	       "1234"
	       "8100"
	       "0001"
	       "0000"
	       "0000"
	       "0001"
	       "0000010001"
	       "00"
	       "0029"
	       "04d0"
	       "01000000"
	       "0000");
	q.edns = false;
	dns_out_begin(&o, p, sizeof(p), &q, 0);
	expect(&o, DNS_BADVERS,
	       "1234"
	       "8102"
	       "0001"
	       "0000"
	       "0000"
	       "0000"
	       "0000010001");
}

/* 60 A records in a buffer of each length: as many as fit, and TC unless all do; OPT always. */
static void test_answer_cut(void **state)
{
	static uint8_t p[2048];

	for (int edns = 0; edns < 2; edns++) {
		struct dns_query q = query("a.b", DNS_A, edns);
		size_t fixed = DNS_HEADER + 5 + 4 + (edns ? 11u : 0u);

		for (size_t cap = DNS_UDP_MIN; cap < 1100; cap++) {
			size_t fit = (cap - fixed) / 16, n;
			unsigned i;
			struct dns_out o;

			if (fit > 60)
				fit = 60;
			memset(p + cap, 0xee, 8);
			dns_out_begin(&o, p, cap, &q, 0);
			for (i = 0; i < 60; i++)
				if (!dns_out_a(&o, DNS_ANSWER, &q.name, 5, p))
					break;
			assert_int_equal(i, fit);
			assert_int_equal(dns_out_ns(&o, DNS_AUTHORITY, &q.name, 5, &dns_root),
					 fit == 60 && cap - fixed - 960 >= 13);
			n = dns_out_end(&o, 0);
			assert_true(n <= cap);
			assert_int_equal(!(p[2] & DNS_TC >> 8), o.count[DNS_AUTHORITY]);
			assert_int_equal(p[7], fit);
			assert_int_equal(n, fixed + fit * 16 + o.count[DNS_AUTHORITY] * 13u);
			for (int k = 0; k < 8; k++)
				assert_int_equal(p[cap + (size_t)k], 0xee);
		}
	}
}

/* Additional RRsets stay whole: two hosts of two addresses of each family. */
static void test_additional_cut(void **state)
{
	struct dns_query q = query("a.b", DNS_SRV, true);
	struct dns_srv one = { 0, 0, 80, name("one.a.b") }, two = { 0, 0, 80, name("two.a.b") };
	static uint8_t p[2048];
	size_t seen[9] = { 0 };

	for (size_t cap = DNS_UDP_MIN; cap < 800; cap++) {
		const struct dns_name *owner[] = { &one.target, &two.target };
		size_t room = cap - 11;
		struct dns_out o;

		dns_out_begin(&o, p, cap, &q, 0);
		while (o.n < 480 - 11) /* so that the least buffer is full */
			dns_out_a(&o, DNS_ANSWER, &q.name, 5, p);
		dns_out_srv(&o, DNS_ANSWER, &q.name, 5, &one);
		dns_out_srv(&o, DNS_ANSWER, &q.name, 5, &two);
		for (int i = 0; i < 2; i++) {
			for (int k = 0; k < 2; k++)
				dns_out_a(&o, DNS_ADDITIONAL, owner[i], 5, p);
			for (int k = 0; k < 2; k++)
				dns_out_aaaa(&o, DNS_ADDITIONAL, owner[i], 5, p);
		}
		assert_true(o.n <= room);
		assert_int_equal(o.count[DNS_ADDITIONAL] % 2, 0);
		assert_int_equal(o.count[DNS_ADDITIONAL] != 8,
				 o.additional_full || o.flags & DNS_TC);
		if (!(o.flags & DNS_TC))
			seen[o.count[DNS_ADDITIONAL]]++;
		else
			assert_int_equal(o.count[DNS_ADDITIONAL], 0);
		assert_true(dns_out_end(&o, 0) <= cap);
	}
	for (int i = 0; i < 9; i += 2)
		assert_true(seen[i]);
}

/* More names than are remembered, past where a pointer reaches; each is read back as it was written. */
static void test_many_names(void **state)
{
	struct dns_query q = query("_p._tcp.svc.ns.svc.cluster.local", DNS_SRV, false);
	static uint8_t p[DNS_MESSAGE_MAX];
	char text[80];
	struct dns_name got;
	struct dns_out o;
	size_t n, at;

	dns_out_begin(&o, p, sizeof(p), &q, 0);
	for (int i = 0; i < 500; i++) {
		struct dns_srv s = { 0, 0, 1, dns_root };

		sprintf(text, "10-0-%d-%d.svc.ns.svc.cluster.local", i / 256, i % 256);
		s.target = name(text);
		assert_true(dns_out_srv(&o, DNS_ANSWER, &q.name, 5, &s));
	}
	for (int i = 0; i < 500; i++) {
		struct dns_name owner;

		sprintf(text, "10-0-%d-%d.svc.ns.svc.cluster.local", i / 256, i % 256);
		owner = name(text);
		assert_true(dns_out_a(&o, DNS_ADDITIONAL, &owner, 5, p));
	}
	n = dns_out_end(&o, 0);
	at = DNS_HEADER + q.question_len;
	for (int i = 0; i < 1000; i++) {
		bool srv = i < 500;
		struct dns_name want;

		sprintf(text, "10-0-%d-%d.svc.ns.svc.cluster.local", i % 500 / 256, i % 500 % 256);
		want = name(text);
		assert_int_equal(dns_name_read(p, n, &at, &got), 0);
		assert_true(dns_name_equal(&got, srv ? &q.name : &want));
		at += 10;
		if (srv) {
			at += 6;
			assert_int_equal(dns_name_read(p, n, &at, &got), 0);
			assert_true(dns_name_equal(&got, &want));
		} else {
			at += 4;
		}
	}
	assert_int_equal(at, n);
	assert_true(n < 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),           cmocka_unit_test(test_texts),
		cmocka_unit_test(test_extended_rcode), cmocka_unit_test(test_answer_cut),
		cmocka_unit_test(test_additional_cut), cmocka_unit_test(test_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
