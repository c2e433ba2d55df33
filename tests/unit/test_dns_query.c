/* SPDX-License-Identifier: Apache-2.0 */
/* Queries: octets written by hand from RFC 1035, 6891 and 9619, and what each is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/dns/msg.h"

#include <errno.h>
#include <string.h>

#define ONE  "0001000000000000" /* one question, nothing else */
#define PLUS "0001000000000001" /* and an additional record */
#define Q                                                                                          \
	"0377656202"                                                                               \
	"4e53"                                                                                     \
	"00"                                                                                       \
	"00010001"
#define OPT   "00002904d0000000000000"
#define OPTDO "00002904d0000080000000"

static const struct {
	const char *what, *hex;
	int want;
	bool question, edns, dnssec_ok;
	uint16_t size;
} queries[] = {
	{ "plain", "12340100" ONE Q, 0, true, false, false, 512 },
	{ "without RD", "12340000" ONE Q, 0, true, false, false, 512 },
	{ "with octets behind", "12340100" ONE Q "ff", 0, true, false, false, 512 },
	{ "TC, AA, RA, Z, AD, CD and an rcode say nothing", "123407ff" ONE Q, 0, true, false, false,
	  512 },
	{ "EDNS", "12340100" PLUS Q OPT, 0, true, true, false, 1232 },
	{ "EDNS with DO", "12340100" PLUS Q OPTDO, 0, true, true, true, 1232 },
	{ "EDNS of 511", "12340100" PLUS Q "00002901ff000000000000", 0, true, true, false, 512 },
	{ "EDNS of 0", "12340100" PLUS Q "0000290000000000000000", 0, true, true, false, 512 },
	{ "EDNS of 65535", "12340100" PLUS Q "000029ffff000000000000", 0, true, true, false,
	  65535 },
	{ "EDNS with a cookie", "12340100" PLUS Q "00002904d000000000000c000a00080102030405060708",
	  0, true, true, false, 1232 },
	{ "EDNS with an empty option", "12340100" PLUS Q "00002904d0000000000004fde90000", 0, true,
	  true, false, 1232 },
	{ "EDNS with an option too long", "12340100" PLUS Q "00002904d0000000000004fde90001",
	  DNS_FORMERR, true, false, false, 512 },
	{ "EDNS with half an option", "12340100" PLUS Q "00002904d0000000000003fde900", DNS_FORMERR,
	  true, false, false, 512 },
	{ "EDNS version 1", "12340100" PLUS Q "00002904d0000180000000", DNS_BADVERS, true, true,
	  true, 1232 },
	{ "EDNS twice",
	  "12340100"
	  "0001000000000002" Q OPT OPT,
	  DNS_FORMERR, true, true, false, 1232 },
	{ "EDNS not of the root", "12340100" PLUS Q "016100002904d0000000000000", DNS_FORMERR, true,
	  false, false, 512 },
	{ "EDNS of the root by a pointer",
	  "12340100" PLUS Q "c01300"
	  "2904d0000000000000",
	  DNS_FORMERR, true, false, false, 512 },
	{ "EDNS as an answer",
	  "12340100"
	  "0001000100000000" Q OPT,
	  DNS_FORMERR, true, false, false, 512 },
	{ "EDNS as authority",
	  "12340100"
	  "0001000000010000" Q OPT,
	  DNS_FORMERR, true, false, false, 512 },
	{ "EDNS cut short", "12340100" PLUS Q "00002904d00000000000", DNS_FORMERR, true, false,
	  false, 512 },
	{ "an additional record that is not there", "12340100" PLUS Q, DNS_FORMERR, true, false,
	  false, 512 },
	{ "another type first",
	  "12340100"
	  "0001000000000002" Q "c00c"
	  "00fa00ff000000000002abcd" OPT,
	  0, true, true, false, 1232 },
	{ "an IXFR's SOA",
	  "12340000"
	  "0001000000010000"
	  "00"
	  "00fb0001"
	  "0000060001000000000000",
	  0, true, false, false, 512 },
	{ "no question",
	  "12340100"
	  "0000000000000000",
	  DNS_FORMERR, false, false, false, 512 },
	{ "two questions",
	  "12340100"
	  "0002000000000000" Q Q,
	  DNS_FORMERR, false, false, false, 512 },
	{ "a question cut short",
	  "12340100" ONE "0377656202"
	  "4e53"
	  "00"
	  "000100",
	  DNS_FORMERR, false, false, false, 512 },
	{ "a question that points to itself", "12340100" ONE "c00c00010001", DNS_FORMERR, false,
	  false, false, 512 },
	{ "IQUERY", "12340900" ONE Q, DNS_NOTIMP, false, false, false, 512 },
	{ "STATUS without a question",
	  "12341000"
	  "0000000000000000",
	  DNS_NOTIMP, false, false, false, 512 },
	{ "NOTIFY", "12342400" ONE Q, DNS_NOTIMP, false, false, false, 512 },
	{ "UPDATE", "12342800" ONE Q, DNS_NOTIMP, false, false, false, 512 },
	{ "opcode 15", "12347800" ONE Q, DNS_NOTIMP, false, false, false, 512 },
	{ "CH", "12340100" ONE "0776657273696f6e0462696e640000100003", 0, true, false, false, 512 },
	{ "class ANY",
	  "12340100" ONE "00"
	  "000100ff",
	  DNS_REFUSED, true, false, false, 512 },
	{ "HS",
	  "12340100" ONE "00"
	  "00010004",
	  DNS_REFUSED, true, false, false, 512 },
	{ "a response", "12348100" ONE Q, -EBADMSG, false, false, false, 0 },
	{ "a header cut short", "1234010000010000000000", -EBADMSG, false, false, false, 0 },
	{ "nothing", "", -EBADMSG, false, false, false, 0 },
};

static void test_read(void **state)
{
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		uint8_t in[128], back[DNS_UDP_MIN];
		size_t n = octets(queries[i].hex, in), len;
		struct dns_query q;
		struct dns_out o;
		int r = dns_query_read(in, n, &q);

		if (r != queries[i].want ||
		    (r >= 0 && (q.udp_size != queries[i].size || q.edns != queries[i].edns)))
			fail_msg("%s: %d", queries[i].what, r);
		if (r < 0)
			continue;
		assert_int_equal(q.question_len != 0, queries[i].question);
		assert_int_equal(q.dnssec_ok, queries[i].dnssec_ok);
		assert_int_equal(q.id, 0x1234);

		/* What is answered: the question as it was, flags, OPT, the rcode. */
		dns_out_begin(&o, back, sizeof(back), &q, DNS_RA);
		len = dns_out_end(&o, r);
		assert_int_equal(len, DNS_HEADER + q.question_len + (q.edns ? 11u : 0u));
		assert_memory_equal(back, in, 2);
		assert_int_equal(back[2], 0x80 | (in[2] & 0x79));
		assert_int_equal(back[3], 0x80 | (in[3] & 0x10) | (r & 15));
		assert_int_equal(back[5], queries[i].question);
		assert_memory_equal(back + DNS_HEADER, in + DNS_HEADER, q.question_len);
		assert_int_equal(back[11], q.edns);
		if (q.edns) {
			uint8_t want[11];

			octets(q.dnssec_ok ? OPTDO : OPT, want);
			want[5] = (uint8_t)(r >> 4);
			assert_memory_equal(back + len - 11, want, 11);
		}
	}
}

static void test_names(void **state)
{
	uint8_t in[64];
	size_t n = octets("12340100" ONE Q, in);
	char text[DNS_NAME_TEXT];
	struct dns_query q;

	assert_int_equal(dns_query_read(in, n, &q), 0);
	assert_string_equal(dns_name_text(&q.name, text), "web.NS.");
	assert_string_equal(dns_name_text(&q.lower, text), "web.ns.");
	assert_int_equal(q.type, DNS_A);
	assert_int_equal(q.class, DNS_IN);
	assert_int_equal(dns_query_limit(&q, false, 1232), 512);
	q.udp_size = 4096;
	assert_int_equal(dns_query_limit(&q, false, 1232), 1232);
	assert_int_equal(dns_query_limit(&q, true, 1232), 65535);
}

/* Ours are read as they were meant. */
static void test_write(void **state)
{
	struct dns_query q = { .id = 7,
			       .flags = DNS_RD | DNS_CD | DNS_AA,
			       .type = DNS_SRV,
			       .class = DNS_IN },
			 got;
	uint8_t p[DNS_UDP_MIN];
	size_t n;

	for (int i = 0; i < 4; i++) {
		q.edns = i & 1;
		q.dnssec_ok = i == 3;
		assert_int_equal(dns_name_parse("_http._TCP.x", &q.name, NULL), 0);
		n = dns_query_write(p, &q);
		assert_int_equal(dns_query_read(p, n, &got), 0);
		assert_int_equal(got.id, 7);
		assert_int_equal(got.flags, DNS_RD | DNS_CD);
		assert_int_equal(got.type, DNS_SRV);
		assert_int_equal(got.edns, q.edns);
		assert_int_equal(got.udp_size, q.edns ? DNS_UDP_SIZE : 512);
		assert_int_equal(got.dnssec_ok, q.dnssec_ok);
		assert_memory_equal(got.name.v, q.name.v, q.name.n);
	}
}

static void test_frame(void **state)
{
	uint8_t p[20] = { 0, 13 };

	assert_int_equal(dns_frame_next(p, 0), 0);
	assert_int_equal(dns_frame_next(p, 1), 0);
	assert_int_equal(dns_frame_next(p, 14), 0);
	assert_int_equal(dns_frame_next(p, 15), 15);
	assert_int_equal(dns_frame_next(p, 20), 15);
	p[1] = 11;
	assert_int_equal(dns_frame_next(p, 2), -EBADMSG);
	dns_frame_put(p, 65535);
	assert_int_equal(p[0] << 8 | p[1], 65535);
	assert_int_equal(dns_frame_next(p, 20), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
