/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the deny log, written by hand, and how many there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/policy/match.h"
#include "daemon/denial.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct nft_logged packet(const char *src, const char *dst, uint8_t proto, uint16_t sport,
				uint16_t dport)
{
	struct nft_logged p = { .flow = { .proto = proto, .sport = sport, .dport = dport } };

	assert_int_equal(addr_parse(src, &p.flow.src), 0);
	assert_int_equal(addr_parse(dst, &p.flow.dst), 0);
	return p;
}

static void assert_line(const struct denial *d, const char *want)
{
	struct buf b = { 0 };

	denial_line(d, &b);
	assert_string_equal(b.v, want);
	buf_fini(&b);
}

static void test_ends(void **state)
{
	struct nft_logged p = packet("10.244.1.5", "10.244.2.7", IPPROTO_TCP, 43210, 5432);
	struct denial d = { .packet = &p,
			    .type = POLICY_EGRESS,
			    .from = { "shop", "web" },
			    .to = { "shop", "db" },
			    .policies = "shop/a, shop/b" };

	assert_line(
		&d,
		"egress denied: tcp shop/web 10.244.1.5:43210 > shop/db 10.244.2.7:5432: default "
		"deny by shop/a, shop/b");
	d.type = POLICY_INGRESS;
	d.from = (struct denial_end){ NULL, "n2" };
	d.policies = "shop/a";
	assert_line(&d, "ingress denied: tcp node n2 10.244.1.5:43210 > shop/db 10.244.2.7:5432: "
			"default deny "
			"by shop/a");
	p = packet("2001:db8::9", "fd00::7", IPPROTO_UDP, 53, 4000);
	d.from = (struct denial_end){ NULL, NULL };
	assert_line(&d, "ingress denied: udp [2001:db8::9]:53 > shop/db [fd00::7]:4000: default "
			"deny by shop/a");
	d.policies = NULL;
	assert_line(&d, "ingress denied: udp [2001:db8::9]:53 > shop/db [fd00::7]:4000: by "
			"policies that are gone");
}

static void test_midway(void **state)
{
	struct nft_logged p = packet("10.244.2.7", "10.244.1.5", IPPROTO_TCP, 5432, 43210);
	struct denial d = { .packet = &p,
			    .type = POLICY_INGRESS,
			    .midway = true,
			    .from = { "shop", "db" },
			    .to = { "shop", "web" },
			    .policies = "shop/a, shop/b" };

	assert_line(&d, "ingress denied: tcp shop/db 10.244.2.7:5432 > shop/web 10.244.1.5:43210: "
			"in the middle of a connection that no longer is, by shop/a, shop/b");
	d.policies = NULL;
	assert_line(&d, "ingress denied: tcp shop/db 10.244.2.7:5432 > shop/web 10.244.1.5:43210: "
			"in the middle of a connection that no longer is, by policies that are "
			"gone");
}

static void test_protocols(void **state)
{
	struct nft_logged p = packet("10.0.0.1", "10.0.0.2", IPPROTO_ICMP, 0, 0);
	struct denial d = { .packet = &p, .type = POLICY_INGRESS, .policies = "a/b" };

	p.has_icmp = true;
	p.icmp_type = 8;
	assert_line(&d,
		    "ingress denied: icmp type 8 code 0 10.0.0.1 > 10.0.0.2: default deny by a/b");
	p = packet("10.0.0.1", "10.0.0.2", IPPROTO_GRE, 0, 0);
	assert_line(&d, "ingress denied: protocol 47 10.0.0.1 > 10.0.0.2: default deny by a/b");
	p = packet("10.0.0.1", "10.0.0.2", IPPROTO_UDP, 0, 0);
	p.fragment = true;
	assert_line(&d, "ingress denied: udp fragment 10.0.0.1 > 10.0.0.2: default deny by a/b");
	p = (struct nft_logged){ .prefix = "ingress4-1" };
	assert_line(&d, "ingress denied: a packet that cannot be read: default deny by a/b");
	d.policies = POLICY_UNKNOWN;
	assert_line(&d, "ingress denied: a packet that cannot be read: policies not known yet");
	d.midway = true;
	d.policies = POLICY_NO_OBJECT;
	assert_line(&d,
		    "ingress denied: a packet that cannot be read: in the middle of a connection "
		    "that no longer is: its Pod is not in the store");
}

static void test_many_policies(void **state)
{
	struct nft_logged p = packet("10.0.0.1", "10.0.0.2", IPPROTO_UDP, 1, 2);
	struct denial d = { .packet = &p, .type = POLICY_INGRESS };
	char list[4096] = "", long_name[800];
	struct buf b = { 0 };
	size_t n = 0;

	for (unsigned i = 0; i < 100; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%sns/policy-%02u", i ? ", " : "",
				      i);
	d.policies = list;
	denial_line(&d, &b);
	assert_non_null(strstr(b.v, "ns/policy-43, ns/policy-44, and 55 more"));
	assert_true(b.n < 1000);
	buf_clear(&b);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[2] = '/';
	long_name[sizeof(long_name) - 1] = 0;
	d.policies = long_name;
	denial_line(&d, &b);
	assert_string_equal(b.v,
			    "ingress denied: udp 10.0.0.1:1 > 10.0.0.2:2: default deny by 1 more");
	buf_fini(&b);
}

static void test_rate(void **state)
{
	struct denial_rate r = { .per_second = 10 };
	unsigned n = 0;

	for (unsigned i = 0; i < 100; i++)
		n += denial_rate_take(&r, 1000.);
	assert_int_equal(n, 10);
	assert_int_equal(r.more, 90);
	n = 0;
	for (unsigned i = 0; i < 1000; i++) /* ten seconds of a hundred each */
		n += denial_rate_take(&r, 1000. + i / 100.);
	assert_in_range(n, 99, 101);
	n = 0;
	for (unsigned i = 0; i < 100; i++) /* silence saves up no more than a second's */
		n += denial_rate_take(&r, 5000.);
	assert_int_equal(n, 10);
	assert_false(denial_rate_take(&r, 4000.)); /* a clock that was set back */
	assert_true(denial_rate_take(&r, 4000.2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),      cmocka_unit_test(test_midway),
		cmocka_unit_test(test_protocols), cmocka_unit_test(test_many_policies),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
