/* SPDX-License-Identifier: Apache-2.0 */
/* Responses: one with all that names can do, cut at each length; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/dns/octets.h"
#include "core/dns/response.h"

#include <errno.h>
#include <string.h>

/* www.example.org: CNAME, A, AAAA; authority NS and SOA; additional A and OPT of BADVERS with DO. Offsets are as the pointers have them. */
#define Q                                                                                          \
	"0377777707"                                                                               \
	"6578616d706c65"                                                                           \
	"036f7267"                                                                                 \
	"00"                                                                                       \
	"00010001" /* 12 to 32 */
#define WHOLE                                                                                      \
	"abcd"                                                                                     \
	"8580"                                                                                     \
	"0001"                                                                                     \
	"0003"                                                                                     \
	"0002"                                                                                     \
	"0002" Q "c00c"                                                                            \
	"0005"                                                                                     \
	"0001"                                                                                     \
	"0000012c"                                                                                 \
	"0004"                                                                                     \
	"0178c010" /* 33, data at 45 */                                                            \
	"c02d"                                                                                     \
	"0001"                                                                                     \
	"0001"                                                                                     \
	"0000003c"                                                                                 \
	"0004"                                                                                     \
	"01020304"                                                                                 \
	"c02d"                                                                                     \
	"001c"                                                                                     \
	"0001"                                                                                     \
	"ffffffff"                                                                                 \
	"0010"                                                                                     \
	"fd000000000000000000000000000001"                                                         \
	"c010"                                                                                     \
	"0002"                                                                                     \
	"0001"                                                                                     \
	"0000003c"                                                                                 \
	"0005"                                                                                     \
	"026e73c010"                                                                               \
	"c010"                                                                                     \
	"0006"                                                                                     \
	"0001"                                                                                     \
	"0000000a"                                                                                 \
	"001a"                                                                                     \
	"c069"                                                                                     \
	"0161c010"                                                                                 \
	"0000000100000002000000030000000400000005"                                                 \
	"026e73c010"                                                                               \
	"0001"                                                                                     \
	"0001"                                                                                     \
	"00000005"                                                                                 \
	"0004"                                                                                     \
	"01010101"                                                                                 \
	"00"                                                                                       \
	"0029"                                                                                     \
	"1000"                                                                                     \
	"01008000"                                                                                 \
	"0000"

static const struct {
	enum dns_section section;
	const char *owner;
	uint16_t type;
	uint32_t ttl;
	uint16_t len;
} records[] = {
	{ DNS_ANSWER, "www.example.org.", DNS_CNAME, 300, 4 },
	{ DNS_ANSWER, "x.example.org.", DNS_A, 60, 4 },
	{ DNS_ANSWER, "x.example.org.", DNS_AAAA, 0xffffffff, 16 },
	{ DNS_AUTHORITY, "example.org.", DNS_NS, 60, 5 },
	{ DNS_AUTHORITY, "example.org.", DNS_SOA, 10, 26 },
	{ DNS_ADDITIONAL, "ns.example.org.", DNS_A, 5, 4 },
	{ DNS_ADDITIONAL, ".", DNS_OPT, 0x01008000, 0 },
};

#define RECORDS (sizeof(records) / sizeof(records[0]))

static void test_whole(void **state)
{
	uint8_t in[512];
	size_t n = octets(WHOLE, in);
	char text[DNS_NAME_TEXT];
	struct dns_response r;
	struct dns_record rec;
	struct dns_walk w;

	assert_int_equal(dns_response_read(in, n, &r), 0);
	assert_int_equal(r.id, 0xabcd);
	assert_int_equal(r.flags, DNS_QR | DNS_AA | DNS_RD | DNS_RA);
	assert_int_equal(r.rcode, DNS_BADVERS);
	assert_true(r.question && r.edns && r.dnssec_ok);
	assert_int_equal(r.udp_size, 4096);
	assert_string_equal(dns_name_text(&r.name, text), "www.example.org.");
	assert_int_equal(r.type, DNS_A);
	assert_int_equal(r.class, DNS_IN);
	w = dns_walk_begin(&r);
	for (size_t i = 0; i < RECORDS; i++) {
		assert_true(dns_walk_next(&w, &rec));
		assert_int_equal(rec.section, records[i].section);
		assert_string_equal(dns_name_text(&rec.owner, text), records[i].owner);
		assert_int_equal(rec.type, records[i].type);
		assert_int_equal(rec.ttl, records[i].ttl);
		assert_int_equal(rec.len, records[i].len);
		assert_int_equal(dns_get16(in + rec.data - 2), rec.len);
	}
	assert_false(dns_walk_next(&w, &rec));
	assert_int_equal(w.at, n);
	rec.data = n - 30 - 26; /* the SOA's */
	assert_int_equal(dns_name_read(in, n, &rec.data, &rec.owner), 0);
	assert_string_equal(dns_name_text(&rec.owner, text), "ns.example.org.");

	/* Octets behind are ignored, one that is missing is not. */
	in[n] = 1;
	assert_int_equal(dns_response_read(in, n + 1, &r), 0);
	for (size_t less = 0; less < n; less++)
		assert_int_equal(dns_response_read(in, less, &r), -EBADMSG);
}

#define HEAD(answers, additional)                                                                  \
	"0001"                                                                                     \
	"8180"                                                                                     \
	"0001" answers "0000" additional "00"                                                      \
	"00010001"

static const struct {
	const char *what, *hex;
	bool good;
} cases[] = {
	{ "no question",
	  "0001"
	  "8185"
	  "0000"
	  "0000"
	  "0000"
	  "0000",
	  true },
	{ "two questions",
	  "0001"
	  "8185"
	  "0002"
	  "0000"
	  "0000"
	  "0000"
	  "0000010001"
	  "0000010001",
	  false },
	{ "a query",
	  "0001"
	  "0100"
	  "0001"
	  "0000"
	  "0000"
	  "0000"
	  "0000010001",
	  false },
	{ "the question cut short",
	  "0001"
	  "8180"
	  "0001"
	  "0000"
	  "0000"
	  "0000"
	  "00000100",
	  false },
	{ "an A of 4",
	  HEAD("0001", "0000") "00"
			       "00010001"
			       "00000001"
			       "0004"
			       "01020304",
	  true },
	{ "an A of 3",
	  HEAD("0001", "0000") "00"
			       "00010001"
			       "00000001"
			       "0003"
			       "010203",
	  false },
	{ "an A of 5",
	  HEAD("0001", "0000") "00"
			       "00010001"
			       "00000001"
			       "0005"
			       "0102030405",
	  false },
	{ "an A of CH",
	  HEAD("0001", "0000") "00"
			       "00010003"
			       "00000001"
			       "0003"
			       "000001",
	  true },
	{ "an AAAA of 4",
	  HEAD("0001", "0000") "00"
			       "001c0001"
			       "00000001"
			       "0004"
			       "01020304",
	  false },
	{ "a CNAME and more",
	  HEAD("0001", "0000") "00"
			       "00050001"
			       "00000001"
			       "0002"
			       "0000",
	  false },
	{ "a CNAME of nothing",
	  HEAD("0001", "0000") "00"
			       "00050001"
			       "00000001"
			       "0000"
			       "00",
	  false },
	{ "a name past its data",
	  HEAD("0001", "0000") "00"
			       "00050001"
			       "00000001"
			       "0002"
			       "016100",
	  false },
	{ "a CNAME to itself",
	  HEAD("0001", "0000") "00"
			       "00050001"
			       "00000001"
			       "0002"
			       "c01c",
	  false },
	{ "an MX",
	  HEAD("0001", "0000") "00"
			       "000f0001"
			       "00000001"
			       "0003"
			       "000a00",
	  true },
	{ "an MX without a host",
	  HEAD("0001", "0000") "00"
			       "000f0001"
			       "00000001"
			       "0002"
			       "000a",
	  false },
	{ "an MX of 1",
	  HEAD("0001", "0000") "00"
			       "000f0001"
			       "00000001"
			       "0001"
			       "00",
	  false },
	{ "an SRV with a pointer",
	  HEAD("0001", "0000") "00"
			       "00210001"
			       "00000001"
			       "0008"
			       "000000000000c00c",
	  true },
	{ "an SOA one short",
	  HEAD("0001", "0000") "00"
			       "00060001"
			       "00000001"
			       "0015"
			       "0000"
			       "00000000000000000000000000000000000000",
	  false },
	{ "an unknown type",
	  HEAD("0001", "0000") "00"
			       "ff000001"
			       "00000001"
			       "0002"
			       "c0ff",
	  true },
	{ "OPT twice",
	  HEAD("0000", "0002") "0000290200000000000000"
			       "0000290200000000000000",
	  false },
	{ "OPT as an answer", HEAD("0001", "0000") "0000290200000000000000", false },
	{ "OPT not of the root", HEAD("0000", "0001") "01610000290200000000000000", false },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_response r;
		uint8_t in[128];
		size_t n = octets(cases[i].hex, in);
		int got = dns_response_read(in, n, &r);

		if (got != (cases[i].good ? 0 : -EBADMSG))
			fail_msg("%s: %d", cases[i].what, got);
	}
}

static void test_forms(void **state)
{
	assert_null(dns_data_form(DNS_A));
	assert_null(dns_data_form(65280));
	assert_int_equal(dns_data_form(DNS_SRV)->before, 6);
	assert_false(dns_data_form(DNS_SRV)->compress);
	assert_int_equal(dns_data_form(DNS_SOA)->names, 2);
	assert_true(dns_data_form(DNS_SOA)->compress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
