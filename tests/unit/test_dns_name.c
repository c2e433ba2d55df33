/* SPDX-License-Identifier: Apache-2.0 */
/* Names: the presentation form both ways, what a message may point to, case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/dns/name.h"

#include <errno.h>
#include <string.h>

#define HEAD       "000000000000000000000000" /* a header that nobody looks at */
#define F_ISI_ARPA "014603495349044152504100"

static struct dns_name name(const char *text)
{
	struct dns_name n;
	struct err e;

	if (dns_name_parse(text, &n, &e))
		fail_msg("%s", e.text);
	return n;
}

/* ---- messages */

static const struct {
	const char *what, *hex;
	size_t at;
	const char *want; /* NULL: -EBADMSG */
	size_t after;
} reads[] = {
	{ "the root", HEAD "00", 12, ".", 13 },
	{ "a label", HEAD "016100", 12, "a.", 15 },
	/* as in RFC 1035 4.1.4 */
	{ "F.ISI.ARPA", HEAD F_ISI_ARPA, 12, "F.ISI.ARPA.", 24 },
	{ "FOO.F.ISI.ARPA", HEAD F_ISI_ARPA "03464f4fc00c", 24, "FOO.F.ISI.ARPA.", 30 },
	{ "ARPA", HEAD F_ISI_ARPA "c012", 24, "ARPA.", 26 },
	{ "a pointer to the root", HEAD F_ISI_ARPA "03464f4fc017", 24, "FOO.", 30 },
	{ "a chain",
	  HEAD "016100"
	       "0162c00c"
	       "0163c00f",
	  19, "c.b.a.", 23 },
	{ "a pointer alone", HEAD "016100c00c", 15, "a.", 17 },
	{ "a pointer to itself", HEAD "c00c", 12, NULL, 0 },
	{ "into its own name", HEAD "0161c00c", 12, NULL, 0 },
	{ "to the second label of its own name", HEAD "01610162c00e", 12, NULL, 0 },
	{ "forward", HEAD "c00e0000", 12, NULL, 0 },
	{ "forward in a chain",
	  HEAD "c00e"
	       "c00c",
	  14, NULL, 0 },
	{ "into the header", HEAD "c000", 12, NULL, 0 },
	{ "to the header's last octet", HEAD "00c00b", 13, NULL, 0 },
	{ "past the end", HEAD "ffff", 12, NULL, 0 },
	{ "half a pointer", HEAD "00c0", 13, NULL, 0 },
	{ "nothing", HEAD, 12, NULL, 0 },
	{ "no end", HEAD "0161", 12, NULL, 0 },
	{ "a label cut short", HEAD "0461626300", 12, NULL, 0 },
	{ "01 in the upper bits", HEAD "416100", 12, NULL, 0 },
	{ "10 in the upper bits", HEAD "816100", 12, NULL, 0 },
	{ "any octet", HEAD "0400ff2e5c00", 12, "\\000\\255\\.\\\\.", 18 },
};

static void test_read(void **state)
{
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		uint8_t in[64];
		size_t n = octets(reads[i].hex, in), at = reads[i].at;
		char text[DNS_NAME_TEXT];
		struct dns_name out;
		int r = dns_name_read(in, n, &at, &out);

		if (r != (reads[i].want ? 0 : -EBADMSG))
			fail_msg("%s: %d", reads[i].what, r);
		assert_int_equal(at, r ? reads[i].at : reads[i].after);
		if (!r)
			assert_string_equal(dns_name_text(&out, text), reads[i].want);
	}
}

/* 255 octets are a name, with and without a pointer, 256 are none. */
static void test_longest(void **state)
{
	uint8_t in[600] = { 0 };
	struct dns_name out;
	size_t at = 12, n = 12;

	for (int i = 0; i < 127; i++, n += 2)
		in[n] = 1, in[n + 1] = 'a';
	in[n++] = 0;
	assert_int_equal(dns_name_read(in, n, &at, &out), 0);
	assert_int_equal(out.n, 255);
	assert_int_equal(at, n);
	in[n] = 1, in[n + 1] = 'b', in[n + 2] = 0xc0, in[n + 3] = 12;
	assert_int_equal(dns_name_read(in, n + 4, &at, &out), -EBADMSG);
	in[n + 3] = 14;
	assert_int_equal(dns_name_read(in, n + 4, &at, &out), 0);
	assert_int_equal(out.n, 255);
	assert_int_equal(at, n + 4);
}

/* Pointers to pointers, 128 and one more. */
static void test_pointers(void **state)
{
	uint8_t in[300] = { 0 };
	struct dns_name out;
	size_t n = 13, at;

	for (size_t to = 12; n < 13 + 2 * 129; to = n, n += 2) {
		in[n] = (uint8_t)(0xc0 | to >> 8);
		in[n + 1] = (uint8_t)to;
	}
	at = n - 4;
	assert_int_equal(dns_name_read(in, n, &at, &out), 0);
	assert_int_equal(out.n, 1);
	assert_int_equal(at, n - 2);
	assert_int_equal(dns_name_read(in, n, &at, &out), -EBADMSG);
}

/* ---- texts */

static const char *const texts[][2] = {
	/* and as it comes back */
	{ ".", "." },
	{ "a", "a." },
	{ "Kubernetes.default.svc.Cluster.local", "Kubernetes.default.svc.Cluster.local." },
	{ "_http._tcp.a-b.ns.", "_http._tcp.a-b.ns." },
	{ "a\\.b.c", "a\\.b.c." },
	{ "\\065\\000\\032.", "A\\000\\032." },
	{ "\\\\.\\\".\\(x\\)", "\\\\.\\\".\\(x\\)." },
	{ "*.x", "*.x." },
	{ "\xc3\xa4", "\\195\\164." },
};

static void test_text(void **state)
{
	static const char *const bad[] = { "",   "..",    ".a",    "a..",   "a..b",
					   "\\", "a\\25", "\\256", "\\2x5", NULL };
	char text[DNS_NAME_TEXT], longest[80];
	struct dns_name n;
	struct err e;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		n = name(texts[i][0]);
		assert_string_equal(dns_name_text(&n, text), texts[i][1]);
	}
	for (size_t i = 0; bad[i]; i++)
		if (dns_name_parse(bad[i], &n, &e) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	memset(longest, 'a', 64);
	longest[64] = 0;
	assert_int_equal(dns_name_parse(longest, &n, &e), -EINVAL);
	longest[63] = 0;
	assert_int_equal(dns_name_parse(longest, &n, &e), 0);
	assert_int_equal(n.n, 65);
}

/* The longest text that there is, and one octet more. */
static void test_text_limit(void **state)
{
	char text[DNS_NAME_TEXT + 8], *s = text, back[DNS_NAME_TEXT];
	struct dns_name n;
	struct err e;

	for (int i = 0; i < 250; i++) {
		s += sprintf(s, "\\%03d", 128 + i % 127);
		if (i % 63 == 62)
			*s++ = '.';
	}
	strcpy(s, ".");
	assert_int_equal(dns_name_parse(text, &n, &e), 0);
	assert_int_equal(n.n, DNS_NAME_MAX);
	assert_string_equal(dns_name_text(&n, back), text);
	strcpy(s, "x.");
	assert_int_equal(dns_name_parse(text, &n, &e), -EINVAL);
}

/* ---- case, zones, labels */

static void test_case(void **state)
{
	struct dns_name a = name("\\064\\091\\096\\123.AZaz.\\193\\218\\225.x"), b;
	char text[DNS_NAME_TEXT];

	dns_name_copy(&b, &a);
	dns_name_lower(&b);
	assert_string_equal(dns_name_text(&b, text), "\\@[`{.azaz.\\193\\218\\225.x.");
	assert_true(dns_name_equal(&a, &b));
	for (unsigned len = 1; len < 40; len++) { /* each octet of each length */
		struct dns_name u = dns_root, l = dns_root;

		for (unsigned i = 0; i < len; i++) {
			dns_name_put(&u, &(char){ (char)('A' + i % 26) }, 1);
			dns_name_put(&l, &(char){ (char)('a' + i % 26) }, 1);
		}
		assert_true(dns_name_equal(&u, &l));
		for (unsigned i = 1; i < l.n; i += 2) {
			l.v[i] ^= 1;
			assert_false(dns_name_equal(&u, &l));
			l.v[i] ^= 1;
		}
		dns_name_lower(&u);
		assert_memory_equal(u.v, l.v, l.n);
	}
}

static void test_under(void **state)
{
	struct dns_name zone = name("cluster.local"), n;
	const uint8_t *label[DNS_LABELS_MAX];

	static const struct {
		const char *text;
		bool under;
	} cases[] = {
		{ "a.b.Cluster.LOCAL", true },
		{ "cluster.local", true },
		{ "local", false },
		{ ".", false },
		{ "acluster.local", false },
		{ "a.cluster.locale", false },
		{ "x.cluster\\.local", false },
		{ "y.\\007cluster.local", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = name(cases[i].text);
		if (dns_name_under(&n, &zone) != cases[i].under)
			fail_msg("%s", cases[i].text);
		assert_true(dns_name_under(&n, &dns_root));
	}
	n = name("a.bc.def");
	assert_int_equal(dns_name_labels(&n, label), 3);
	assert_ptr_equal(label[1], n.v + 2);
	assert_int_equal(*label[2], 3);
	assert_int_equal(dns_name_labels(&dns_root, label), 0);
}

static void test_build(void **state)
{
	struct dns_name n = dns_root, zone = name("svc.cluster.local");
	char text[DNS_NAME_TEXT], label[DNS_LABEL_MAX + 1] = { 0 };

	assert_true(dns_name_put(&n, "web-0", 5));
	assert_true(dns_name_put(&n, "web", 3));
	assert_true(dns_name_join(&n, &zone));
	assert_string_equal(dns_name_text(&n, text), "web-0.web.svc.cluster.local.");
	assert_false(dns_name_put(&n, "", 0));
	assert_false(dns_name_put(&n, label, sizeof(label)));
	while (dns_name_put(&n, label, 9))
		;
	while (dns_name_put(&n, "x", 1))
		;
	assert_int_equal(n.n, 255);
	assert_false(dns_name_join(&n, &zone));
	assert_int_equal(n.n, 255);
	assert_true(dns_name_join(&n, &dns_root));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),       cmocka_unit_test(test_longest),
		cmocka_unit_test(test_pointers),   cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_limit), cmocka_unit_test(test_case),
		cmocka_unit_test(test_under),      cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
