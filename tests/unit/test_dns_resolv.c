/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf(5) and hosts(5): what is taken, what is passed over, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "core/dns/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_ignored(unsigned line, const char *why, void *arg)
{
	buf_printf(arg, "%u: %s\n", line, why);
}

/* ---- resolv.conf */

static void check(const char *text, const char *want, const char *ignored)
{
	struct buf said = { 0 }, got = { 0 };
	struct dns_resolv r;
	struct err e = { 0 };
	char addr[ADDR_TEXT];

	if (dns_resolv_parse(text, strlen(text), &r, on_ignored, &said, &e))
		buf_printf(&got, "error: %s", e.text);
	for (unsigned i = 0; i < r.n; i++)
		buf_printf(&got, "%s%s%s:%u ", addr_str(&r.v[i].addr, addr),
			   *r.v[i].scope ? "%" : "", r.v[i].scope, r.v[i].port);
	if (r.timeout_s || r.attempts || r.rotate)
		buf_printf(&got, "timeout %u attempts %u rotate %d", r.timeout_s, r.attempts,
			   r.rotate);
	assert_string_equal(got.n ? got.v : "", want);
	assert_string_equal(said.n ? said.v : "", ignored);
	buf_fini(&said);
	buf_fini(&got);
}

static void test_resolv(void **state)
{
	check("", "", "");
	check("# nothing\n; nothing\n\n", "", "");
	check("nameserver 10.0.0.1\nnameserver fd00::1", "10.0.0.1:53 fd00::1:53 ", "");
	check("  nameserver\t10.0.0.1   # the first\r\n", "10.0.0.1:53 ", "");
	check("nameserver fe80::1%eth0\nnameserver fe80::1%2\n", "fe80::1%eth0:53 fe80::1%2:53 ",
	      "");
	check("nameserver 10.0.0.1\nnameserver 10.0.0.1\n", "10.0.0.1:53 ",
	      "2: nameserver: it is there already\n");
	check("options timeout:3 attempts:4 rotate\n", "timeout 3 attempts 4 rotate 1", "");
	check("options timeout:99999999999999 attempts:77\n", "timeout 30 attempts 5 rotate 0", "");
	check("options ndots:5 timeout: timeout:0 timeout:x edns0\n", "",
	      "1: options: ndots:5 means nothing to a forwarder\n"
	      "1: options: timeout: means nothing to a forwarder\n"
	      "1: options: timeout:0 means nothing to a forwarder\n"
	      "1: options: timeout:x means nothing to a forwarder\n"
	      "1: options: edns0 means nothing to a forwarder\n");
	check("search example.com\ndomain example.com\nsortlist 10.0.0.0\nlookup file\n", "",
	      "1: search: clients complete and sort for themselves\n"
	      "2: domain: clients complete and sort for themselves\n"
	      "3: sortlist: clients complete and sort for themselves\n"
	      "4: lookup: no such keyword\n");
}

/* One bad server leaves the others; nothing but bad ones is an error, as it is no resolver that was meant. */
static void test_resolv_bad(void **state)
{
	static const struct {
		const char *addr, *why;
	} rows[] = {
		{ "", "no address" },
		{ "10.0.0", "no IP address" },
		{ "10.0.0.256", "no IP address" },
		{ "dns.example", "no IP address" },
		{ "0.0.0.0", "0.0.0.0 and :: are nobody's address" },
		{ "::", "0.0.0.0 and :: are nobody's address" },
		{ "fd00::1%eth0", "a scope belongs to a link-local address" },
		{ "fe80::1%", "no interface's name after %" },
		{ "fe80::1%a-very-long-interface", "no interface's name after %" },
	};
	char text[128], want[160], said[160];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(said, sizeof(said), "2: nameserver: %s\n", rows[i].why);
		snprintf(want, sizeof(want), "error: line 2: nameserver: %s", rows[i].why);
		snprintf(text, sizeof(text), "\nnameserver %s\n", rows[i].addr);
		check(text, want, said);
		snprintf(text, sizeof(text), "\nnameserver %s\nnameserver 10.0.0.1\n",
			 rows[i].addr);
		check(text, "10.0.0.1:53 ", said);
	}
}

static void test_resolv_many(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct dns_resolv r;
	struct err e;

	for (int i = 0; i <= DNS_SERVERS_MAX; i++)
		buf_printf(&text, "nameserver 10.0.0.%d\n", i);
	assert_int_equal(dns_resolv_parse(text.v, text.n, &r, on_ignored, &said, &e), 0);
	assert_int_equal(r.n, DNS_SERVERS_MAX);
	assert_string_equal(said.v, "16: nameserver: more than 15\n");
	assert_int_equal(dns_resolv_parse(text.v, text.n, &r, NULL, NULL, &e), 0);
	buf_fini(&text);
	buf_fini(&said);
}

static void test_lines(void **state)
{
	static const char nul[] = "nameserver 10.0.0.1\0\nnameserver 10.0.0.2\n";
	struct buf said = { 0 }, text = { 0 };
	struct dns_resolv r;
	struct err e;

	assert_int_equal(dns_resolv_parse(nul, sizeof(nul) - 1, &r, on_ignored, &said, &e), 0);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.v[0].addr.b[3], 2);
	for (int i = 0; i < DNS_LINE_MAX; i++)
		buf_puts(&text, "x");
	buf_puts(&text, "\nnameserver 10.0.0.3");
	assert_int_equal(dns_resolv_parse(text.v, text.n, &r, on_ignored, &said, &e), 0);
	assert_int_equal(r.v[0].addr.b[3], 3);
	assert_string_equal(said.v, "1: there is a NUL in it\n1: the line is too long\n");
	buf_fini(&said);
	buf_fini(&text);
}

/* ---- hosts */

static struct dns_hosts *hosts(const char *text, struct buf *said)
{
	struct dns_hosts *h = dns_hosts_parse(text, strlen(text), said ? on_ignored : NULL, said);

	assert_non_null(h);
	return h;
}

static void check_name(const struct dns_hosts *h, const char *name, const char *want)
{
	char addr[ADDR_TEXT];
	struct buf got = { 0 };
	struct dns_name n;
	struct err e;
	size_t first, count;

	assert_int_equal(dns_name_parse(name, &n, &e), 0);
	count = dns_hosts_find(h, &n, &first);
	for (size_t i = first; i < first + count; i++)
		buf_printf(&got, "%s ", addr_str(dns_hosts_addr(h, i), addr));
	assert_string_equal(got.n ? got.v : "", want);
	buf_fini(&got);
}

static void check_addr(const struct dns_hosts *h, const char *addr, const char *want)
{
	char text[DNS_NAME_TEXT];
	struct buf got = { 0 };
	struct ipaddr a;
	size_t first, count;

	assert_int_equal(addr_parse(addr, &a), 0);
	count = dns_hosts_find_addr(h, &a, &first);
	for (size_t i = first; i < first + count; i++) {
		struct dns_name n;

		dns_hosts_name(h, i, &n);
		buf_printf(&got, "%s ", dns_name_text(&n, text));
	}
	assert_string_equal(got.n ? got.v : "", want);
	buf_fini(&got);
}

static void test_hosts(void **state)
{
	struct dns_hosts *h = hosts("127.0.0.1 localhost localhost.localdomain\n"
				    "::1\tlocalhost ip6-localhost # v6\n"
				    "10.0.0.7 Web.Example.COM www\n"
				    "10.0.0.3 web.example.com.\n"
				    "10.0.0.7 other.example.com\n"
				    "10.0.0.7 web.example.com\n"
				    "0.0.0.0 tracker.example\n",
				    NULL);

	check_name(h, "localhost", "127.0.0.1 ::1 ");
	check_name(h, "ip6-localhost", "::1 ");
	check_name(h, "web.example.com", "10.0.0.7 10.0.0.3 ");
	check_name(h, "www", "10.0.0.7 ");
	check_name(h, "tracker.example", "0.0.0.0 ");
	check_name(h, "ww", "");
	check_name(h, "wwww", "");
	check_name(h, "example.com", "");
	check_addr(h, "127.0.0.1", "localhost. ");
	check_addr(h, "::1", "localhost. ");
	check_addr(h, "10.0.0.7", "web.example.com. other.example.com. ");
	check_addr(h, "10.0.0.3", "web.example.com. ");
	check_addr(h, "0.0.0.0", "");
	check_addr(h, "10.0.0.4", "");
	dns_hosts_free(h);
	h = hosts("", NULL);
	check_name(h, "localhost", "");
	check_addr(h, "::1", "");
	dns_hosts_free(h);
	dns_hosts_free(NULL);
}

static void test_hosts_bad(void **state)
{
	struct buf said = { 0 };
	struct dns_hosts *h = hosts("localhost 127.0.0.1\n"
				    "10.0.0.1\n"
				    "fe80::1%lo0 localhost\n"
				    "10.0.0.2 a..b good\n",
				    &said);

	check_name(h, "localhost", "");
	check_name(h, "good", "10.0.0.2 ");
	check_addr(h, "10.0.0.2", "good. ");
	assert_string_equal(said.v, "1: localhost: no IP address\n"
				    "2: an address without a name\n"
				    "3: fe80::1%lo0: no IP address\n"
				    "4: a..b: no name\n");
	buf_fini(&said);
	dns_hosts_free(h);
}

/* A list of blocked names, in no order. */
static void test_hosts_many(void **state)
{
	enum { N = 20000 };
	struct buf text = { 0 };
	struct dns_hosts *h;
	char name[32], addr[32];

	for (unsigned i = 0; i < N; i++)
		buf_printf(&text, "10.0.%u.%u h%u.example\n", i * 7919 % N >> 8, i * 7919 % N & 255,
			   i);
	h = hosts(text.v, NULL);
	for (unsigned i = 0; i < N; i += 37) {
		snprintf(name, sizeof(name), "h%u.example", i);
		snprintf(addr, sizeof(addr), "10.0.%u.%u ", i * 7919 % N >> 8, i * 7919 % N & 255);
		check_name(h, name, addr);
	}
	dns_hosts_free(h);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolv),      cmocka_unit_test(test_resolv_bad),
		cmocka_unit_test(test_resolv_many), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_hosts),       cmocka_unit_test(test_hosts_bad),
		cmocka_unit_test(test_hosts_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
