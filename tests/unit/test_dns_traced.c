// SPDX-License-Identifier: Apache-2.0
/* core/dns/traced.h and words.h: what a trace's DNS query looks like on the wire, by RFC 1035, 6891 and 7873, and answers and records in the
 * words of zone files. */
#include "core/dns/traced.h"
#include "core/dns/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct packet_trace trace_of(const char *name, const char *type)
{
	struct packet_trace t = { .meta.name = "t" };

	t.spec.protocol = TRACE_UDP;
	t.spec.query.name = name;
	t.spec.query.type = type;
	t.spec.signature = 0x1234567890abcdef;
	return t;
}

static void test_query(void **state)
{
	static const uint8_t wire[] = {
		0x12, 0x34, 1,   0,   0,    1,    0,    0,    0,    0,    0,
		1, /* id, RD, one question, OPT */
		3,    'W',  'e', 'b', 1,    's',  0,    0,    28,   0,    1,  /* AAAA IN */
		0,    0,    41,  4,   208,  0,    0,    0,    0,    0,    12, /* OPT: 1232 */
		0,    10,   0,   8,   0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd,
		0xef /* COOKIE */
	};
	const struct packet_trace t = trace_of("Web.s", "aaaa");
	uint8_t out[DNS_UDP_MIN];
	struct dns_query q;
	struct err e;

	(void)state;
	assert_int_equal(dns_traced_write(&t, out, &e), sizeof(wire));
	assert_memory_equal(out, wire, sizeof(wire));
	assert_int_equal(dns_query_read(out, sizeof(wire), &q), 0);
	assert_int_equal(q.type, DNS_AAAA);
	assert_int_equal(q.id, 0x1234);
	/* Behind a UDP header of 8 octets. */
	assert_int_equal(dns_traced_place(&t), 8 + sizeof(wire) - 8);
}

static void test_only_over_udp(void **state)
{
	struct packet_trace t = trace_of("a.b", "A");

	(void)state;
	assert_int_not_equal(dns_traced_place(&t), 0);
	t.spec.protocol = TRACE_TCP;
	assert_int_equal(dns_traced_place(&t), 0);
	t = trace_of(NULL, NULL);
	assert_int_equal(dns_traced_place(&t), 0);
}

/* "aaa…": labels of 41 octets with their length; 168 octets with the root's are the most. */
static void test_length(void **state)
{
	char name[256] = "";
	struct packet_trace t = trace_of(name, "A");
	uint8_t out[DNS_UDP_MIN];
	struct err e;

	(void)state;
	for (int i = 0; i < 4; i++) {
		memset(name + strlen(name), 'a', 40);
		strcat(name, ".");
	}
	strcat(name, "bb");
	assert_int_equal(dns_traced_write(&t, out, &e), 12 + 168 + 4 + 11 + 12);
	/* Also in what an ICMPv6 error quotes: 8 octets of it, a header of IPv6. */
	assert_int_equal(dns_traced_place(&t) + 8 + 40, 255);
	strcat(name, "b");
	assert_int_equal(dns_traced_write(&t, out, &e), -EINVAL);
	assert_int_equal(dns_traced_place(&t), 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *name, *type;
	} v[] = {
		{ "a..b", "A" }, { "a", "" }, { "a", "NOPE" }, { "a", "TYPE65536" }, { "a", "TYPE" }
	};
	uint8_t out[DNS_UDP_MIN];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		const struct packet_trace t = trace_of(v[i].name, v[i].type);

		assert_int_equal(dns_traced_write(&t, out, &e), -EINVAL);
	}
}

/* ---- answers */

static size_t answer(uint8_t *p, uint16_t type, int rcode)
{
	const struct packet_trace t = trace_of("a.b", dns_type_text(type, (char[16]){ 0 }));
	const uint8_t six[16] = { 0xfd, [15] = 1 };
	struct dns_query q;
	struct dns_out o;
	struct err e;

	assert_int_equal(dns_traced_question(&t, &q, &e), 0);
	dns_out_begin(&o, p, DNS_UDP_SIZE, &q, DNS_RA);
	if (type == DNS_A) {
		dns_out_a(&o, DNS_ANSWER, &q.name, 5, (const uint8_t[]){ 192, 0, 2, 1 });
		dns_out_a(&o, DNS_ANSWER, &q.name, 5, (const uint8_t[]){ 192, 0, 2, 2 });
	}
	if (type == DNS_AAAA)
		dns_out_aaaa(&o, DNS_ANSWER, &q.name, 60, six);
	if (type == DNS_TXT)
		dns_out_txt(&o, DNS_ANSWER, &q.name, 0, "say \"x\"");
	if (type == DNS_SRV) {
		struct dns_srv srv = { .weight = 100, .port = 80 };

		dns_name_copy(&srv.target, &q.name);
		dns_out_srv(&o, DNS_ANSWER, &q.name, 5, &srv);
	}
	return dns_out_end(&o, rcode);
}

static void test_answers(void **state)
{
	static const struct {
		uint16_t type;
		int rcode;
		const char *code, *first;
		uint32_t n;
	} v[] = {
		{ DNS_A, 0, "NOERROR", "a.b. 5 A 192.0.2.1", 2 },
		{ DNS_AAAA, 0, "NOERROR", "a.b. 60 AAAA fd00::1", 1 },
		{ DNS_TXT, 0, "NOERROR", "a.b. 0 TXT \"say \\\"x\\\"\"", 1 },
		{ DNS_SRV, 0, "NOERROR", "a.b. 5 SRV 0 100 80 a.b.", 1 },
		{ DNS_PTR, DNS_NXDOMAIN, "NXDOMAIN", NULL, 0 },
		{ DNS_PTR, 11, "RCODE11", NULL, 0 },
	};
	uint8_t p[DNS_UDP_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct trace_response r;
		struct arena a;
		size_t n = answer(p, v[i].type, v[i].rcode);

		arena_init(&a, 0);
		assert_int_equal(dns_traced_read(p, n, &a, &r), 0);
		assert_string_equal(r.rcode, v[i].code);
		assert_int_equal(r.records.n, v[i].n);
		if (v[i].n)
			assert_string_equal(r.records.v[0], v[i].first);
		assert_false(r.truncated);
		/* Cut short anywhere it is no message. */
		for (size_t k = 0; k + 11 < n; k++)
			assert_int_equal(dns_traced_read(p, k, &a, &r), -EBADMSG);
		arena_fini(&a);
	}
}

static void test_types(void **state)
{
	char buf[16];

	(void)state;
	for (unsigned t = 1; t < 65536; t++)
		assert_int_equal(dns_type_parse(dns_type_text((uint16_t)t, buf)), t);
	assert_int_equal(dns_type_parse("srv"), DNS_SRV);
	assert_int_equal(dns_type_parse("type65"), 65);
	assert_int_equal(dns_type_parse("HTTPS"), 65);
	assert_int_equal(dns_type_parse("caa"), 257);
	assert_string_equal(dns_type_text(999, buf), "TYPE999");
	assert_int_equal(dns_type_parse("TYPE1x"), 0);
	assert_int_equal(dns_type_parse("TYPE-1"), 0);
	assert_int_equal(dns_type_parse(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),   cmocka_unit_test(test_only_over_udp),
		cmocka_unit_test(test_length),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_answers), cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
