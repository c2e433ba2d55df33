// SPDX-License-Identifier: Apache-2.0
/* config: fairleadd.conf(5) line by line, and the errors that a person gets to see. */
#include "daemon/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void parse(struct config *c, const char *text)
{
	struct err e;

	if (config_parse(c, "conf", text, strlen(text), &e))
		fail_msg("%s", e.text);
}

static void parse_finish(struct config *c, const char *text)
{
	struct err e;

	parse(c, text);
	if (config_finish(c, "host", &e))
		fail_msg("%s", e.text);
}

static void expect_error(const char *text, const char *want)
{
	struct config c;
	struct err e = { 0 };
	int rc = config_parse(&c, "conf", text, strlen(text), &e);

	if (!rc) {
		rc = config_finish(&c, "host", &e);
		config_fini(&c);
	}
	assert_int_not_equal(rc, 0);
	assert_int_equal(rc, e.code);
	assert_string_equal(e.text, want);
}

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static void test_defaults(void **state)
{
	struct ipaddr any = { 0 }, v4 = ip("192.0.2.1"), v6 = ip("2001:db8::1");
	struct config c;

	parse_finish(&c, "store dir:/s\n");
	assert_string_equal(c.node, "host");
	assert_string_equal(c.run_dir, "/run/fairlead");
	assert_string_equal(c.state_dir, "/var/lib/fairlead");
	assert_string_equal(c.cluster_domain, "cluster.local");
	assert_int_equal(c.roles.n, 4);
	assert_string_equal(c.roles.v[0], "watch");
	assert_int_equal(c.health.port, 9099);
	assert_int_equal(c.proxy_health.port, 10256);
	assert_int_equal(c.proxy_health.addr.family, 0);
	assert_int_equal(c.log_level, LOG_INFO);
	/* BGP 179, BFD 3784 and 4784, DNS 53, ingress 80 and 443, node ports for health checks */
	assert_true(config_allows_bind(&c, "tcp", &any, 179));
	assert_true(config_allows_bind(&c, "tcp", &v6, 179));
	assert_true(config_allows_bind(&c, "udp", &v4, 3784));
	assert_true(config_allows_bind(&c, "udp", &v6, 4784));
	assert_true(config_allows_bind(&c, "udp", &v4, 53));
	assert_true(config_allows_bind(&c, "tcp", &v4, 53));
	assert_true(config_allows_bind(&c, "tcp", &v4, 80));
	assert_true(config_allows_bind(&c, "tcp", &v4, 443));
	assert_true(config_allows_bind(&c, "tcp", &v4, 30000));
	assert_true(config_allows_bind(&c, "tcp", &v4, 32767));
	assert_false(config_allows_bind(&c, "tcp", &v4, 32768));
	assert_false(config_allows_bind(&c, "tcp", &v4, 22));
	assert_false(config_allows_bind(&c, "udp", &v4, 80));
	config_fini(&c);
	/* those of the range that is configured */
	parse_finish(&c, "store dir:/s\nnode-port-range 20000-20100\n");
	assert_true(config_allows_bind(&c, "tcp", &any, 20100));
	assert_false(config_allows_bind(&c, "tcp", &v4, 30000));
	config_fini(&c);
}

static void test_every_key(void **state)
{
	struct config c;

	parse_finish(&c, "# a comment\n"
			 "\n"
			 "  node   worker-1.rack  # and another\n"
			 "store\tdir:/srv/a#b c\n"
			 "run-dir /run/f\r\n"
			 "state-dir /var/f\n"
			 "libexec-dir /opt/f\n"
			 "user nobody\n"
			 "uplink eth0.5\n"
			 "cluster-domain example.test\n"
			 "node-ip 192.0.2.1\n"
			 "node-ip 2001:db8::1\n"
			 "service-cidr 10.96.0.0/12\n"
			 "service-cidr fd00::/112\n"
			 "health-address [::1]:80\n"
			 "proxy-health-address off\n"
			 "log-level debug\n"
			 "roles health agent,health"); /* no newline at the end */
	assert_string_equal(c.node, "worker-1.rack");
	assert_string_equal(c.store, "dir:/srv/a#b c");
	assert_string_equal(c.run_dir, "/run/f");
	assert_string_equal(c.state_dir, "/var/f");
	assert_string_equal(c.libexec_dir, "/opt/f");
	assert_string_equal(c.user, "nobody");
	assert_string_equal(c.uplink, "eth0.5");
	assert_string_equal(c.cluster_domain, "example.test");
	assert_int_equal(c.node_ips.n, 2);
	assert_true(addr_eq(&c.node_ips.v[1],
			    &(struct ipaddr){ ip("2001:db8::1").family,
					      { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } }));
	assert_int_equal(c.service_cidrs.n, 2);
	assert_int_equal(c.service_cidrs.v[0].len, 12);
	assert_int_equal(c.health.port, 80);
	assert_int_equal(addr_bits(&c.health.addr), 128);
	assert_int_equal(c.proxy_health.port, 0);
	assert_int_equal(c.log_level, LOG_DEBUG);
	/* agent brings watch; the order is that of starting */
	assert_int_equal(c.roles.n, 3);
	assert_string_equal(c.roles.v[0], "watch");
	assert_string_equal(c.roles.v[1], "agent");
	assert_string_equal(c.roles.v[2], "health");
	config_fini(&c);
}

static void test_binds(void **state)
{
	struct ipaddr any = { 0 }, v4 = ip("192.0.2.1"), other = ip("192.0.2.2");
	struct config c;

	parse_finish(&c, "roles health\nbind tcp 192.0.2.1 8000-8010\nbind udp * 53\n"
			 "health-address 192.0.2.2:9000\n");
	assert_true(config_allows_bind(&c, "tcp", &v4, 8000));
	assert_true(config_allows_bind(&c, "tcp", &v4, 8010));
	assert_false(config_allows_bind(&c, "tcp", &v4, 8011));
	assert_false(config_allows_bind(&c, "tcp", &other, 8000));
	assert_false(config_allows_bind(&c, "tcp", &any, 8000));
	assert_true(config_allows_bind(&c, "udp", &any, 53));
	assert_false(config_allows_bind(&c, "tcp", &v4, 179)); /* defaults are replaced */
	assert_true(config_allows_bind(&c, "tcp", &other, 9000));
	assert_false(config_allows_bind(&c, "tcp", &v4, 9000));
	config_fini(&c);

	parse_finish(&c, "roles health\nbind none\nhealth-address off\n");
	assert_false(config_allows_bind(&c, "tcp", &v4, 179));
	assert_int_equal(c.health.port, 0);
	assert_false(config_allows_bind(&c, "tcp", &any, 0));
	config_fini(&c);
}

static void test_errors(void **state)
{
	char line[5000];

	expect_error("store dir:/s\nfoo bar\n", "conf:2: unknown key \"foo\"");
	expect_error("node\n", "conf:1: node has no value");
	expect_error("node a\n\nnode b\n", "conf:3: node is given twice");
	expect_error("node -a\n", "conf:1: node: \"-a\" is no name of a Node (RFC 1123 subdomain)");
	expect_error("node A\n", "conf:1: node: \"A\" is no name of a Node (RFC 1123 subdomain)");
	expect_error("node a..b\n",
		     "conf:1: node: \"a..b\" is no name of a Node (RFC 1123 subdomain)");
	expect_error("store etcd:x\n", "conf:1: store: \"etcd:x\" is no store; known is dir:/PATH");
	expect_error("store dir:rel\n",
		     "conf:1: store: \"dir:rel\" is no store; known is dir:/PATH");
	expect_error("run-dir run\n", "conf:1: run-dir: \"run\" is no absolute path");
	expect_error("roles agent bpg\n",
		     "conf:1: roles: \"bpg\" is no role; known are agent, bgp, "
		     "dns, watch, health, controller");
	expect_error("roles ,\n", "conf:1: roles: no role is named");
	expect_error("node-ip 1.2.3\n", "conf:1: node-ip: \"1.2.3\" is no IP address");
	expect_error("service-cidr 10.0.0.1/8\n",
		     "conf:1: service-cidr: 10.0.0.1/8 has bits set behind its length");
	expect_error("bind tcp *\n", "conf:1: bind: is `bind PROTO ADDR PORT`, or `bind none`");
	expect_error("bind tcp * 1 2\n", "conf:1: bind: is `bind PROTO ADDR PORT`, or `bind none`");
	expect_error("bind sctp * 1\n",
		     "conf:1: bind: \"sctp\" is no protocol; known are tcp, udp");
	expect_error("bind tcp * 0\n",
		     "conf:1: bind: \"0\" is no port (1-65535), nor a range of them");
	expect_error("bind tcp * 65536\n",
		     "conf:1: bind: \"65536\" is no port (1-65535), nor a range of them");
	expect_error("bind tcp * 9-8\n",
		     "conf:1: bind: \"9-8\" is no port (1-65535), nor a range of them");
	expect_error("pod-wait soon\n",
		     "conf:1: pod-wait: \"soon\" is no number of seconds (1-9999999)");
	expect_error("leak-grace 0\n",
		     "conf:1: leak-grace: \"0\" is no number of seconds (1-9999999)");
	expect_error("policy-on-change yes\n",
		     "conf:1: policy-on-change: \"yes\" is neither enforce nor grandfather");
	expect_error("policy-log 0\n",
		     "conf:1: policy-log: \"0\" is no number of lines a second (1-10000), nor off");
	expect_error(
		"policy-log 10001\n",
		"conf:1: policy-log: \"10001\" is no number of lines a second (1-10000), nor off");
	expect_error("policy-log 12345678\n", "conf:1: policy-log: \"12345678\" is no number of "
					      "lines a second (1-10000), nor off");
	expect_error("node-port-range 2000-1000\n",
		     "conf:1: node-port-range: \"2000-1000\" is no FROM-TO of ports");
	expect_error("reclaim-grace 5m\n",
		     "conf:1: reclaim-grace: \"5m\" is no number of seconds (1-9999999)");
	expect_error("health-address 9099\n", "conf:1: health-address: \"9099\" is no ADDR:PORT, "
					      "[ADDR]:PORT, *:PORT nor off");
	expect_error("health-address ::1:80\n", "conf:1: health-address: \"::1\" is no IPv4 "
						"address, [IPv6 address] nor *");
	expect_error("uplink a/b\n", "conf:1: uplink: \"a/b\" is no name of an interface");
	expect_error("log-level loud\n",
		     "conf:1: log-level: \"loud\" is none of error, warn, info, debug");
	expect_error("node a\x01\n", "conf:1: control character 0x01");
	expect_error("roles agent\n", "store: is not given, and role watch needs one");

	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	expect_error(line, "conf:1: is no line of text (NUL, or over 4096 bytes)");
}

static void test_flags_and_hostname(void **state)
{
	struct config c;
	struct err e;

	parse(&c, "node a\nstore dir:/s\n");
	assert_int_equal(config_set(&c, "--node", "node", "b", &e), 0);
	assert_int_not_equal(config_set(&c, "--roles", "roles", "x", &e), 0);
	assert_string_equal(e.text, "--roles: roles: \"x\" is no role; known are agent, bgp, "
				    "dns, watch, health, controller");
	assert_int_equal(config_finish(&c, NULL, &e), 0);
	assert_string_equal(c.node, "b");
	config_fini(&c);

	parse(&c, "store dir:/s\n");
	assert_int_not_equal(config_finish(&c, "Bad_Host", &e), 0);
	assert_string_equal(
		e.text, "node: is not given, and the host's name \"Bad_Host\" is none of a Node");
	config_fini(&c);
}

/* The text by which roles learn what the keeper decided. */
static void test_print(void **state)
{
	static const char want[] = "node n\n"
				   "store dir:/s\n"
				   "run-dir /run/fairlead\n"
				   "state-dir /var/lib/fairlead\n"
				   "uplink eth0\n"
				   "cluster-domain cluster.local\n"
				   "log-level warn\n"
				   "leak-grace 5\n"
				   "reclaim-grace 300\n"
				   "pod-wait 3\n"
				   "policy-log off\n"
				   "roles watch agent\n"
				   "node-ip 192.0.2.1\n"
				   "service-cidr fd00::/112\n"
				   "node-port-range 1000-2000\n"
				   "policy-on-change grandfather\n"
				   "bind tcp * 80\n"
				   "bind udp fe80::1 1000-2000\n"
				   "health-address [::1]:1\n"
				   "proxy-health-address 192.0.2.1:2\n"
				   "dns-listen 169.254.20.53:53\n"
				   "dns-listen [fd00::53]:5353\n"
				   "dns-upstream 192.0.2.53:53\n"
				   "dns-upstream /etc/resolv.conf\n"
				   "dns-hosts /etc/hosts\n"
				   "dns-zone 10.in-addr.arpa\n"
				   "dns-external-zone example.com\n"
				   "dns-ttl 0\n"
				   "dns-pods insecure\n"
				   "dns-log all\n"
				   "dns-workers 3\n"
				   "dns-cache off\n";
	struct buf text = { 0 };
	struct config c;

	parse_finish(
		&c, "dns-cache off\ndns-workers 3\ndns-log all\ndns-pods insecure\ndns-ttl "
		    "0\ndns-external-zone example.com\ndns-zone 10.in-addr.arpa\ndns-hosts "
		    "/etc/hosts\ndns-upstream 192.0.2.53\ndns-upstream "
		    "/etc/resolv.conf\ndns-listen 169.254.20.53\ndns-listen [fd00::53]:5353\n"
		    "health-address [::1]:1\nproxy-health-address 192.0.2.1:2\nbind tcp * 80\nbind "
		    "udp fe80::1 1000-2000\n"
		    "policy-log off\npod-wait 3\npolicy-on-change grandfather\nroles "
		    "agent\nservice-cidr "
		    "fd00::/112\nnode-ip "
		    "192.0.2.1\nlog-level warn\n"
		    "node-port-range 1000-2000\nleak-grace 5\nuplink eth0\nstore dir:/s\nnode n\n");
	config_print(&c, &text);
	assert_string_equal(text.v, want);
	config_fini(&c);
	parse_finish(&c, want);
	buf_clear(&text);
	config_print(&c, &text);
	assert_string_equal(text.v, want);
	config_fini(&c);
	buf_fini(&text);
}

/* Beside an agent it answers where pods ask, and the agent brings it there. */
static void test_dns_served(void **state)
{
	struct ipaddr at[CONFIG_DNS_SERVED], want;
	struct config c;

	parse_finish(&c, "roles agent dns\nnode n\nstore dir:/s\n"
			 "service-cidr 10.96.0.0/12\nservice-cidr fd00:96::/112\n");
	assert_int_equal(c.dns.listen.n, 3);
	assert_int_equal(config_dns_served(&c, at), 3);
	addr_parse("169.254.20.10", &want);
	assert_true(addr_eq(&at[0], &want));
	addr_parse("10.96.0.10", &want);
	assert_true(addr_eq(&at[1], &want));
	addr_parse("fd00:96::a", &want);
	assert_true(addr_eq(&at[2], &want));
	config_fini(&c);

	parse_finish(&c, "roles agent dns\nnode n\nstore dir:/s\nnode-ip 192.0.2.1\n"
			 "dns-listen 127.0.0.1\ndns-listen 192.0.2.1\ndns-listen fe80::1\n"
			 "dns-listen 10.0.0.53:5353\ndns-listen 10.0.0.54\n");
	assert_int_equal(config_dns_served(&c, at), 1);
	addr_parse("10.0.0.54", &want);
	assert_true(addr_eq(&at[0], &want));
	config_fini(&c);

	parse_finish(&c, "roles agent\nnode n\nstore dir:/s\nservice-cidr 10.96.0.0/12\n");
	assert_true(!c.dns.listen.n && !config_dns_served(&c, at));
	config_fini(&c);
	parse_finish(&c, "roles dns\nnode n\nstore dir:/s\n");
	assert_true(c.dns.listen.n == 2 && !config_dns_served(&c, at));
	config_fini(&c);
}

static void test_dns(void **state)
{
	struct ipaddr six;
	struct config c;

	parse_finish(&c, "roles dns\nnode n\nstore dir:/s\ndns-listen [fd00::53]:5353\n");
	assert_true(config_has_role(&c, "dns") && config_has_role(&c, "watch") && c.roles.n == 2);
	assert_true(c.dns.ttl == 5 && c.dns.cache_mib == 16 && !c.dns.workers &&
		    c.dns.pods == CONFIG_DNS_VERIFIED && c.dns.log == CONFIG_DNS_LOG_ERRORS);
	assert_int_equal(addr_parse("fd00::53", &six), 0);
	assert_true(config_allows_bind(&c, "udp", &six, 5353));
	assert_true(config_allows_bind(&c, "tcp", &six, 5353));
	assert_false(config_allows_bind(&c, "udp", &six, 5354));
	config_fini(&c);

	expect_error("dns-listen *:53\n", "conf:1: dns-listen: \"*:53\" names no address");
	expect_error("dns-listen off\n", "conf:1: dns-listen: \"off\" names no address");
	expect_error("dns-upstream ns1\n",
		     "conf:1: dns-upstream: \"ns1\" is no ADDR:PORT, [ADDR]:PORT, "
		     "*:PORT nor off");
	expect_error("dns-hosts hosts\n", "conf:1: dns-hosts: \"hosts\" is no absolute path");
	expect_error("dns-zone a..b\n", "conf:1: dns-zone: \"a..b\" is no domain name");
	expect_error("dns-listen ::1\ndns-listen [::1]:53\n",
		     "conf:2: dns-listen: \"[::1]:53\" is there twice");
	expect_error("dns-listen 10.0.0.1\ndns-listen 10.0.0.2\ndns-listen 10.0.0.3\n"
		     "dns-listen 10.0.0.4\ndns-listen 10.0.0.5\ndns-listen 10.0.0.6\n"
		     "dns-listen 10.0.0.7\ndns-listen 10.0.0.8\ndns-listen 10.0.0.9\n",
		     "conf:9: dns-listen: \"10.0.0.9\" is one more than 8");
	expect_error("dns-zone a\ndns-zone 10.in-addr.arpa\ndns-zone b\ndns-zone c\ndns-zone d\n"
		     "dns-zone e\ndns-zone f\ndns-zone g\ndns-zone h\n",
		     "conf:9: dns-zone: \"h\": 8 such zones are there already");
	expect_error("dns-ttl 3601\n",
		     "conf:1: dns-ttl: \"3601\" is no number of seconds (1-3600)");
	expect_error("dns-cache 0\n", "conf:1: dns-cache: \"0\" is no number of MiB (1-4096)");
	expect_error("dns-workers 33\n",
		     "conf:1: dns-workers: \"33\" is no number of threads (1-32)");
	expect_error("dns-pods maybe\n",
		     "conf:1: dns-pods: \"maybe\" is none of verified, insecure, disabled");
	expect_error("dns-log on\n", "conf:1: dns-log: \"on\" is none of errors, off, all");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_flags_and_hostname),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_dns_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
