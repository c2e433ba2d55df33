// SPDX-License-Identifier: Apache-2.0
/* lab: the pure parts. The SCTP packets were made by scapy. */
#include "base/sctp.h"
#include "lab/bgp.h"
#include "lab/matrix.h"
#include "lab/nodeconf.h"
#include "lab/responder.h"
#include "lab/sandbox.h"
#include "lab/spec.h"
#include "lab/world.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- SCTP */

static const uint8_t scapy_init[] = { 0x9c, 0x40, 0x0f, 0x1c, 0, 0, 0, 0,
				      0xf3, 0x9f, 0x9f, 0x8a, 1, 0, 0, 20,
				      0x11, 0x22, 0x33, 0x44, 0, 1, 0, 0,
				      0,    10,   0,    10,   0, 0, 0, 1 };
static const uint8_t scapy_init_ack[] = { 0x0f, 0x1c, 0x9c, 0x40, 0x11, 0x22, 0x33, 0x44, 0x80,
					  0xdf, 0x85, 0x3c, 0x02, 0x00, 0x00, 0x20, 0x55, 0x66,
					  0x77, 0x88, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00,
					  0x01, 0x55, 0x66, 0x77, 0x88, 0x00, 0x07, 0x00, 0x0c,
					  0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x31, 0x32, 0x33 };
static const uint8_t scapy_abort[] = { 0x0f, 0x1c, 0x9c, 0x40, 0x11, 0x22, 0x33, 0x44,
				       0xbf, 0xc6, 0x03, 0x96, 6,    0,    0,    4 };

static void test_sctp_reads_scapy(void **state)
{
	struct sctp_packet p;

	assert_true(sctp_parse(scapy_init, sizeof(scapy_init), &p));
	assert_int_equal(p.type, SCTP_INIT);
	assert_int_equal(p.src, 40000);
	assert_int_equal(p.dst, 3868);
	assert_int_equal(p.init_tag, 0x11223344);
	assert_true(sctp_parse(scapy_init_ack, sizeof(scapy_init_ack), &p));
	assert_int_equal(p.type, SCTP_INIT_ACK);
	assert_int_equal(p.vtag, 0x11223344);
	assert_int_equal(p.init_tag, 0x55667788);
	assert_int_equal(p.cookie_len, 8);
	assert_memory_equal(p.cookie, "hello123", 8);
	assert_true(sctp_parse(scapy_abort, sizeof(scapy_abort), &p));
	assert_int_equal(p.type, SCTP_ABORT);
}

static void test_sctp_writes_like_scapy(void **state)
{
	struct sctp_packet ack = { .type = SCTP_INIT_ACK,
				   .src = 3868,
				   .dst = 40000,
				   .vtag = 0x11223344,
				   .init_tag = 0x55667788,
				   .cookie_len = 8 };
	struct sctp_packet abort = {
		.type = SCTP_ABORT, .src = 3868, .dst = 40000, .vtag = 0x11223344
	};
	uint8_t out[SCTP_PACKET_MAX];

	memcpy(ack.cookie, "hello123", 8);
	assert_int_equal(sctp_build(&ack, out), sizeof(scapy_init_ack));
	assert_memory_equal(out, scapy_init_ack, sizeof(scapy_init_ack));
	assert_int_equal(sctp_build(&abort, out), sizeof(scapy_abort));
	assert_memory_equal(out, scapy_abort, sizeof(scapy_abort));
}

static void test_sctp_refuses(void **state)
{
	uint8_t bad[sizeof(scapy_init)];
	struct sctp_packet p;

	for (size_t i = 0; i < sizeof(bad); i++) { /* the checksum sees every byte */
		memcpy(bad, scapy_init, sizeof(bad));
		bad[i] ^= 0x10;
		assert_false(sctp_parse(bad, sizeof(bad), &p));
	}
	for (size_t n = 0; n < sizeof(scapy_init); n++)
		assert_false(sctp_parse(scapy_init, n, &p));
}

/* ---- responder */

static const struct responder_who who = { .name = "shop/db-0",
					  .self = "10.0.0.2:80",
					  .client = "10.0.0.1:999" };

#define WHOLE (-2) /* of the request is taken */

static void expect_tcp(const char *request, long took, const char *status, const char *body)
{
	struct buf out = { 0 };

	assert_int_equal(responder_tcp(&who, request, strlen(request), &out),
			 took == WHOLE ? (long)strlen(request) : took);
	if (status) {
		const char *end = strstr(out.v, "\r\n\r\n");

		assert_non_null(end);
		assert_non_null(strstr(out.v, status));
		assert_string_equal(end + 4, body);
	} else {
		assert_int_equal(out.n, 0);
	}
	buf_fini(&out);
}

static void test_responder_http(void **state)
{
	expect_tcp("GET /hostname HTTP/1.1\r\nHost: x\r\n\r\n", WHOLE, "200 OK", "db-0");
	expect_tcp("GET /clientip HTTP/1.1\r\n\r\n", WHOLE, "200 OK", "10.0.0.1:999");
	expect_tcp("GET /echo?msg=hi&x=y HTTP/1.1\r\n\r\n", WHOLE, "200 OK", "hi");
	expect_tcp("GET /probe HTTP/1.1\r\n\r\n", WHOLE, "200 OK",
		   "shop/db-0@10.0.0.2:80 10.0.0.1:999\n");
	expect_tcp("GET / HTTP/1.0\r\n\r\n", -1, "Connection: close", "db-0");
	expect_tcp("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", -1, "200 OK", "db-0");
	expect_tcp("HEAD /hostname HTTP/1.1\r\n\r\n", WHOLE, "Content-Length: 4", "");
	expect_tcp("POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", WHOLE, "200 OK", "abc");
	/* the next request on the connection is left for the next call */
	expect_tcp("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 18, "200 OK", "db-0");
}

static void test_responder_waits(void **state)
{
	expect_tcp("GE", 0, NULL, NULL);
	expect_tcp("GET / HTTP/1.1\r\nHost: x\r\n", 0, NULL, NULL);
	expect_tcp("POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 0, NULL, NULL);
	expect_tcp("hostname", 0, NULL, NULL);
}

static void test_responder_refuses(void **state)
{
	expect_tcp("GET /\r\n\r\n", -1, "400 Bad Request", "400 Bad Request\n");
	expect_tcp("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", -1, "411",
		   "411 Length Required\n");
	expect_tcp("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", -1, "413",
		   "413 Content Too Large\n");
	expect_tcp("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", -1, "413",
		   "413 Content Too Large\n");
}

static void expect_udp(const char *request, const char *want)
{
	struct buf out = { 0 };

	responder_udp(&who, request, strlen(request), &out);
	assert_string_equal(out.v, want);
	buf_fini(&out);
}

static void test_responder_words(void **state)
{
	struct buf out = { 0 };

	expect_udp("hostname", "db-0\n");
	expect_udp("clientip\n", "10.0.0.1:999\n");
	expect_udp("echo a b", "a b\n");
	expect_udp("echo", "\n");
	expect_udp("whatever", "db-0\n");
	expect_udp("probe 0a0b", "probe 0a0b shop/db-0@10.0.0.2:80 10.0.0.1:999\n");
	assert_int_equal(responder_tcp(&who, "clientip\nhost", 13, &out), 9);
	assert_string_equal(out.v, "10.0.0.1:999\n");
	buf_fini(&out);
}

/* ---- what a lab is made of */

static struct lab_spec base_spec(void)
{
	return (struct lab_spec){
		.name = "lab", .racks = 2, .mode = POOL_VXLAN, .cluster_domain = "cluster.local"
	};
}

static void expect_addr(const struct ipaddr *a, const char *want)
{
	char text[ADDR_TEXT];

	assert_string_equal(addr_str(a, text), want);
}

static void test_spec_defaults(void **state)
{
	struct lab_spec s = base_spec(), back;
	struct buf text = { 0 }, again = { 0 };
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	assert_int_equal(lab_spec_finish(&s, 3, NULL, 0, &a, &e), 0);
	assert_int_equal(s.nodes.n, 3);
	assert_string_equal(s.nodes.v[2].name, "n3");
	assert_int_equal(s.nodes.v[0].rack, 1);
	assert_int_equal(s.nodes.v[1].rack, 1);
	assert_int_equal(s.nodes.v[2].rack, 2);
	expect_addr(&s.nodes.v[2].addrs.v[0].addr, "172.18.2.13");
	expect_addr(&s.nodes.v[2].addrs.v[1].addr, "fd00:18:2::13");
	assert_int_equal(s.pod_cidrs.n, 2);
	lab_spec_print(&s, &text);
	assert_int_equal(lab_spec_parse(&back, text.v, &a, &e), 0);
	lab_spec_print(&back, &again);
	assert_string_equal(text.v, again.v);
	buf_fini(&text);
	buf_fini(&again);
	arena_fini(&a);
}

static unsigned reflectors(const struct lab_spec *s, char *names, size_t n)
{
	unsigned found = 0;
	size_t at = 0;

	names[0] = '\0';
	for (uint32_t i = 0; i < s->nodes.n; i++) {
		if (!lab_is_reflector(s, &s->nodes.v[i]))
			continue;
		at += (size_t)snprintf(names + at, n - at, "%s ", s->nodes.v[i].name);
		found++;
	}
	return found;
}

/* Who reflects, the racks' numbers, and that BIRD has each node once, by an address of its rack. */
static void test_spec_bgp(void **state)
{
	struct lab_spec s = base_spec(), back;
	struct buf text = { 0 };
	struct arena a;
	struct err e = { 0 };
	char names[64];

	arena_init(&a, 0);
	s.racks = 2;
	assert_int_equal(lab_spec_finish(&s, 6, NULL, 0, &a, &e), 0);
	assert_false(lab_has_bgp(&s));
	assert_int_equal(lab_as(&s, &s.nodes.v[5]), 64512);
	s.routes = LAB_ROUTES_BGP;
	assert_true(lab_has_bgp(&s));
	assert_int_equal(reflectors(&s, names, sizeof(names)), 0);
	s.routes = LAB_ROUTES_REFLECTED;
	reflectors(&s, names, sizeof(names));
	assert_string_equal(names, "n1 n4 ");
	s.bird = true;
	reflectors(&s, names, sizeof(names));
	assert_string_equal(names, "n1 n2 n4 n5 ");
	assert_int_equal(lab_as(&s, &s.nodes.v[5]), 64514);
	lab_spec_print(&s, &text);
	assert_int_equal(lab_spec_parse(&back, text.v, &a, &e), 0);
	assert_int_equal(back.routes, LAB_ROUTES_REFLECTED);
	assert_true(back.bird);
	buf_fini(&text);
	lab_bird_conf(&s, &text);
	assert_non_null(strstr(text.v, "protocol bgp 'n6' from node {\n"
				       "\tlocal 172.18.2.1 as 65000;\n"
				       "\tneighbor 172.18.2.16 as 64514;\n}\n"));
	assert_non_null(strstr(text.v, "if net ~ [ 10.244.0.0/16+ ] then accept;"));
	assert_non_null(strstr(text.v, "if net ~ [ fd00:10:244::/56+ ] then accept;"));
	buf_fini(&text);
	arena_fini(&a);
}

static void test_spec_families(void **state)
{
	struct lab_spec s = base_spec();
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	s.family = LAB_IPV6;
	assert_int_equal(lab_spec_finish(&s, 1, NULL, 0, &a, &e), 0);
	assert_int_equal(s.racks, 1); /* no more racks than nodes */
	assert_int_equal(s.nodes.v[0].addrs.n, 1);
	expect_addr(&s.nodes.v[0].addrs.v[0].addr, "fd00:18:1::11");
	assert_int_equal(s.pod_cidrs.n, 1);
	assert_int_equal(s.pod_cidrs.v[0].addr.family, AF_INET6);
	arena_fini(&a);
}

static void test_spec_nodes_of_manifests(void **state)
{
	struct node_address own[] = { { NODE_INTERNAL_IP, "172.18.2.77" },
				      { NODE_EXTERNAL_IP, "198.51.100.4" } };
	struct strmap_entry zone[] = { { "topology.kubernetes.io/zone", "rack2" } };
	struct object *o = object_new(kind_by_id(KIND_NODE));
	const struct object *list[] = { o };
	struct lab_spec s = base_spec();
	struct node *n = o->body;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	n->meta.name = "edge";
	n->meta.labels = (struct strmap){ zone, 1 };
	n->status.addresses.v = own;
	n->status.addresses.n = 2;
	s.racks = 1;
	assert_int_equal(lab_spec_finish(&s, 9, list, 1, &a, &e), 0);
	assert_int_equal(s.nodes.n, 1);
	assert_int_equal(s.nodes.v[0].rack, 1); /* rack2 does not exist */
	assert_int_equal(s.nodes.v[0].extra.n, 2);
	s = base_spec();
	list[0] = o;
	assert_int_equal(lab_spec_finish(&s, 9, (const struct object *[]){ o, o }, 2, &a, &e), 0);
	assert_int_equal(s.nodes.v[0].rack, 2);
	expect_addr(&s.nodes.v[0].addrs.v[0].addr, "172.18.2.77");
	assert_int_equal(s.nodes.v[0].addrs.n, 2); /* and the rack's IPv6 one */
	expect_addr(&s.nodes.v[0].extra.v[0], "198.51.100.4");
	own[0].address = "nonsense";
	s = base_spec();
	assert_int_equal(lab_spec_finish(&s, 1, list, 1, &a, &e), -EINVAL);
	assert_string_equal(e.text,
			    "Node edge: status.addresses[0].address: \"nonsense\" is no address");
	object_free(o);
	arena_fini(&a);
}

static void test_spec_refuses(void **state)
{
	static const char *const bad[] = { "",
					   "name x\nracks 1\n",
					   "name\n",
					   "mode ipip\n",
					   "name x\nracks 1\nnode n1 1 nonsense\n",
					   "name x\nracks 1\npod-cidr 10.0.0.0\nnode n1 1\n" };
	struct lab_spec s;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(lab_spec_parse(&s, bad[i], &a, &e), -EINVAL);
	assert_true(lab_name_ok("a"));
	assert_true(lab_name_ok("t123-0"));
	assert_false(lab_name_ok(""));
	assert_false(lab_name_ok("-a"));
	assert_false(lab_name_ok("A"));
	assert_false(lab_name_ok("a/b"));
	assert_false(lab_name_ok("a.b"));
	arena_fini(&a);
}

static void test_pod_files(void **state)
{
	struct lab_spec s = base_spec();
	struct pod_files p = {
		.hostname = "db-0", .ns = "shop", .subdomain = "db", .cluster_dns = true
	};
	struct prefix ip;
	struct buf out = { 0 };
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(lab_spec_finish(&s, 1, NULL, 0, &a, NULL), 0);
	prefix_parse("10.244.0.5/32", &ip);
	p.ips = &ip;
	p.n_ips = 1;
	nodeconf_pod_hosts(&s, &p, &out);
	assert_non_null(strstr(out.v, "\n10.244.0.5\tdb-0.db.shop.svc.cluster.local db-0\n"));
	buf_clear(&out);
	nodeconf_resolv(&s, &p, &out);
	assert_string_equal(out.v, "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
				   "nameserver 10.96.0.10\nnameserver fd00:10:96::a\n"
				   "options ndots:5\n");
	buf_fini(&out);
	arena_fini(&a);
}

static void test_sandbox_record(void **state)
{
	char dir[] = "/tmp/fairlead-test-XXXXXX", path[64];
	struct prefix ips[2];
	struct sandbox_container c[] = { { "", { 11, 12 } }, { "sh", { 13, 14 } } };
	struct sandbox s = { .phase = SANDBOX_RUNNING,
			     .ns = "shop",
			     .name = "db-0",
			     .uid = "u-1",
			     .node = "n1",
			     .id = "abc",
			     .pause = { 7, 8 } },
		       got;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	assert_non_null(mkdtemp(dir));
	prefix_parse("10.0.0.5/32", &ips[0]);
	prefix_parse("fd00::5/128", &ips[1]);
	s.ips.v = ips;
	s.ips.n = 2;
	s.containers.v = c;
	s.containers.n = 2;
	assert_int_equal(sandbox_write(&s, dir, &e), 0);
	assert_int_equal(sandbox_read(dir, &got, &a, &e), 0);
	assert_string_equal(got.name, "db-0");
	assert_int_equal(got.phase, SANDBOX_RUNNING);
	assert_int_equal(got.pause.pid, 7);
	assert_int_equal(got.ips.n, 2);
	assert_true(prefix_eq(&got.ips.v[1], &ips[1]));
	assert_int_equal(got.containers.n, 2);
	assert_string_equal(got.containers.v[0].name, "");
	assert_string_equal(got.containers.v[1].name, "sh");
	assert_int_equal(got.containers.v[1].proc.start, 14);
	snprintf(path, sizeof(path), "%s/record", dir);
	assert_int_equal(truncate(path, 30), 0);
	assert_int_equal(sandbox_read(dir, &got, &a, &e), -EINVAL);
	dir_remove(dir, &e);
	arena_fini(&a);
}

/* ---- what people type */

static void expect_select(const char *selector, bool want)
{
	struct strmap_entry v[] = { { "app", "web" }, { "tier", "front" } };
	struct strmap labels = { v, 2 };
	struct world_member pod = { .kind = WORLD_POD, .name = "shop/web-1", .labels = &labels };
	bool got;

	assert_int_equal(matrix_select(selector, &pod, &got, NULL), 0);
	assert_int_equal(got, want);
}

static void test_selectors(void **state)
{
	struct world_member node = { .kind = WORLD_NODE, .name = "n1" };
	struct err e = { 0 };
	bool got;

	expect_select("app=web", true);
	expect_select("app=web,tier=front", true);
	expect_select("app=web,tier=back", false);
	expect_select("app!=api", true);
	expect_select("app!=web", false);
	expect_select("none!=x", true);
	expect_select("tier", true);
	expect_select("!tier", false);
	expect_select("!none", true);
	expect_select("shop/app=web", true);
	expect_select("other/app=web", false);
	expect_select("shop/web-1", true);
	expect_select("shop/web-2", false);
	assert_int_equal(matrix_select("n1", &node, &got, &e), 0);
	assert_true(got);
	assert_int_equal(matrix_select("app=web", &node, &got, &e), 0);
	assert_false(got);
	assert_int_equal(matrix_select("", &node, &got, &e), -EINVAL);
}

static void test_ports(void **state)
{
	static const char *const bad[] = { "",  "0/tcp", "65536",   "80/icmp", "80/xyz",
					   "x", "80tcp", "icmp/80", "icmp6",   "tcp" };
	struct world_port *v;
	struct arena a;
	struct err e = { 0 };
	uint32_t n;

	arena_init(&a, 0);
	assert_int_equal(matrix_ports("80/tcp,81/udp,82/sctp,83,icmp", &v, &n, &a, &e), 0);
	assert_int_equal(n, 5);
	assert_int_equal(v[1].port, 81);
	assert_int_equal(v[1].proto, PROBE_UDP);
	assert_int_equal(v[3].proto, PROBE_TCP);
	assert_int_equal(v[4].proto, PROBE_ICMP);
	assert_int_equal(v[4].port, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(matrix_ports(bad[i], &v, &n, &a, &e), -EINVAL);
	arena_fini(&a);
}

static void expect_split(const char *text, const char *host, int port)
{
	const char *got = NULL;
	struct arena a;
	struct err e = { 0 };
	uint16_t p = 0;
	int rc;

	arena_init(&a, 0);
	rc = world_split(text, &got, &p, &a, &e);
	assert_int_equal(rc, host ? 0 : -EINVAL);
	if (host) {
		assert_string_equal(got, host);
		assert_int_equal(p, port);
	}
	arena_fini(&a);
}

static void test_targets(void **state)
{
	expect_split("shop/db-0:5432", "shop/db-0", 5432);
	expect_split("shop/db-0", "shop/db-0", 0);
	expect_split("10.0.0.1:80", "10.0.0.1", 80);
	expect_split("fd00::1", "fd00::1", 0);
	expect_split("[fd00::1]:80", "fd00::1", 80);
	expect_split("[fd00::1]", "fd00::1", 0);
	expect_split("outside:8080", "outside", 8080);
	expect_split("web.shop.svc:80", "web.shop.svc", 80);
	expect_split("a:0", NULL, 0);
	expect_split("a:65536", NULL, 0);
	expect_split("a:", NULL, 0);
	expect_split("a:+80", NULL, 0);
	expect_split("[::1", NULL, 0);
	expect_split("[::1]80", NULL, 0);
	expect_split(":80", NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sctp_reads_scapy),
		cmocka_unit_test(test_sctp_writes_like_scapy),
		cmocka_unit_test(test_sctp_refuses),
		cmocka_unit_test(test_responder_http),
		cmocka_unit_test(test_responder_waits),
		cmocka_unit_test(test_responder_refuses),
		cmocka_unit_test(test_responder_words),
		cmocka_unit_test(test_spec_defaults),
		cmocka_unit_test(test_spec_bgp),
		cmocka_unit_test(test_spec_families),
		cmocka_unit_test(test_spec_nodes_of_manifests),
		cmocka_unit_test(test_spec_refuses),
		cmocka_unit_test(test_pod_files),
		cmocka_unit_test(test_sandbox_record),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
