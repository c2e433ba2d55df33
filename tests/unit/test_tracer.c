// SPDX-License-Identifier: Apache-2.0
/* What sys/tracer makes of bytes: packets' headers, written down here from their RFCs, and BTF. */
#include <errno.h>
#include <linux/btf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "sys/btf.h"
#include "sys/tracer_state.h"

static struct tracer_head parse(const uint8_t *v, size_t n)
{
	struct tracer_head h;

	memset(&h, 0xaa, sizeof(h));
	assert_true(tracer_head_parse(v, n, 4789, &h));
	return h;
}

static void expect_flow(const struct nft_trace_flow *f, unsigned proto, const char *src,
			unsigned sport, const char *dst, unsigned dport)
{
	char text[ADDR_TEXT];

	assert_int_equal(f->proto, proto);
	assert_string_equal(addr_str(&f->src, text), src);
	assert_string_equal(addr_str(&f->dst, text), dst);
	assert_int_equal(f->sport, sport);
	assert_int_equal(f->dport, dport);
}

/* 10.0.0.1:1025 > 10.0.0.2:80, seq 0x11223344, ack 0x55667788, SYN and ACK; id 0x0102, ttl 63. */
#define IP4_TCP                                                                                    \
	0x45, 0, 0, 40, 1, 2, 0x40, 0, 63, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 1, 0, 80, 0x11,   \
		0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x50, 0x12, 0, 0, 0, 0, 0, 0
/* [fd00::1]:1025 > [fd00::2]:53, 8 bytes of data; hop limit 62. */
#define IP6_UDP                                                                                    \
	0x60, 0, 0, 0, 0, 16, 17, 62, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0,  \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1, 0, 53, 0, 16, 0, 0, 1, 2, 3, 4, 5, \
		6, 7, 8
#define ETHER(type) 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, (type) >> 8, (type)&0xff

static void test_plain(void **state)
{
	static const uint8_t tcp[] = { IP4_TCP }, udp[] = { IP6_UDP };
	struct tracer_head h = parse(tcp, sizeof(tcp));

	expect_flow(&h.flow, 6, "10.0.0.1", 1025, "10.0.0.2", 80);
	assert_int_equal(h.seq, 0x11223344);
	assert_int_equal(h.ack, 0x55667788);
	assert_int_equal(h.tcp_flags, 0x12);
	assert_int_equal(h.ttl, 63);
	assert_int_equal(h.length, 40);
	assert_int_equal(h.ip_id, 0x0102);
	assert_int_equal(h.outer.proto, 0);
	assert_false(h.has_quoted);
	h = parse(udp, sizeof(udp));
	expect_flow(&h.flow, 17, "fd00::1", 1025, "fd00::2", 53);
	assert_int_equal(h.ttl, 62);
	assert_int_equal(h.length, 56);
}

static void test_tunnels(void **state)
{
	static const uint8_t vxlan[] = { 0x45,
					 0,
					 0,
					 76,
					 0,
					 0,
					 0,
					 0,
					 64,
					 17,
					 0,
					 0,
					 192,
					 0,
					 2,
					 1,
					 192,
					 0,
					 2,
					 2,
					 200,
					 1,
					 0x12,
					 0xb5,
					 0,
					 56,
					 0,
					 0,
					 8,
					 0,
					 0,
					 0,
					 0,
					 0x10,
					 0x20,
					 0,
					 ETHER(0x86dd),
					 IP6_UDP };
	static const uint8_t ipip[] = { 0x45, 0,   0, 60, 0, 0,   0, 0, 64, 4,      0,
					0,    192, 0, 2,  1, 192, 0, 2, 2,  IP4_TCP };
	struct tracer_head h = parse(vxlan, sizeof(vxlan));
	char text[ADDR_TEXT];

	expect_flow(&h.flow, 17, "fd00::1", 1025, "fd00::2", 53);
	assert_int_equal(h.outer.proto, 17);
	assert_int_equal(h.outer.vni, 0x1020);
	assert_string_equal(addr_str(&h.outer.dst, text), "192.0.2.2");
	assert_true(tracer_head_parse(vxlan, sizeof(vxlan), 8472, &h)); /* somebody else's port */
	expect_flow(&h.flow, 17, "192.0.2.1", 51201, "192.0.2.2", 4789);
	assert_int_equal(h.outer.proto, 0);
	h = parse(ipip, sizeof(ipip));
	expect_flow(&h.flow, 6, "10.0.0.1", 1025, "10.0.0.2", 80);
	assert_int_equal(h.outer.proto, 4);
	assert_string_equal(addr_str(&h.outer.src, text), "192.0.2.1");
	h = parse(ipip, 30); /* the inner header was cut off */
	expect_flow(&h.flow, 4, "192.0.2.1", 0, "192.0.2.2", 0);
}

static void test_icmp(void **state)
{
	static const uint8_t too_big[] = { 0x45, 0,  0, 68, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0,      0,
					   9,    10, 0, 0,  1, 3, 4, 0, 0,  0, 0, 5, 0,  IP4_TCP };
	static const uint8_t echo[] = {
		0x45, 0, 0, 36, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0,
		0,    2, 8, 0,  0, 0, 7, 9, 0,  1, 1, 2, 3,  4, 5, 6, 7,  8
	};
	static const uint8_t later[] = { 0x45, 0, 0,  28, 0, 0, 0, 9, 64, 17, 0, 0, 10, 0,
					 0,    1, 10, 0,  0, 2, 1, 2, 3,  4,  5, 6, 7,  8 };
	struct tracer_head h = parse(too_big, sizeof(too_big));

	expect_flow(&h.flow, 1, "10.0.0.9", 0, "10.0.0.1", 0);
	assert_true(h.has_quoted);
	expect_flow(&h.quoted, 6, "10.0.0.1", 1025, "10.0.0.2", 80);
	assert_int_equal(h.icmp_mtu, 1280);
	h = parse(echo, sizeof(echo));
	assert_int_equal(h.icmp_type, 8);
	assert_int_equal(h.icmp_id, 0x0709);
	assert_false(h.has_quoted);
	h = parse(later, sizeof(later)); /* a fragment's data are no ports */
	expect_flow(&h.flow, 17, "10.0.0.1", 0, "10.0.0.2", 0);
}

static void test_no_packet(void **state)
{
	static const uint8_t v[] = { IP4_TCP };
	uint8_t other[sizeof(v)] = { 0x55 };
	struct tracer_head h;

	assert_false(tracer_head_parse(v, 19, 4789, &h));
	assert_false(tracer_head_parse(v, 0, 4789, &h));
	assert_false(tracer_head_parse(other, sizeof(other), 4789, &h));
	other[0] = 0x44; /* a header shorter than the shortest */
	assert_false(tracer_head_parse(other, sizeof(other), 4789, &h));
}

/* ---- BTF: an enum, and `typedef void (*btf_trace_x)(void *, int)` */

static const char strings[] = "\0reason\0ONE\0TWO\0btf_trace_x";

struct small_btf {
	struct btf_header head;
	struct btf_type reason;
	struct btf_enum values[2];
	struct btf_type proto;
	struct btf_param params[2];
	struct btf_type pointer, name;
	char strings[sizeof(strings)];
};

static struct small_btf small(void)
{
	struct small_btf b = {
		.head = { BTF_MAGIC, 1, 0, sizeof(struct btf_header), 0,
			  offsetof(struct small_btf, strings) - sizeof(struct btf_header),
			  offsetof(struct small_btf, strings) - sizeof(struct btf_header),
			  sizeof(strings) },
		.reason = { 1, BTF_KIND_ENUM << 24 | 2, { 4 } },
		.values = { { 8, 3 }, { 12, 4 } },
		.proto = { 0, BTF_KIND_FUNC_PROTO << 24 | 2, { 0 } },
		.pointer = { 0, BTF_KIND_PTR << 24, { 2 } },
		.name = { 16, BTF_KIND_TYPEDEF << 24, { 3 } },
	};

	memcpy(b.strings, strings, sizeof(strings));
	return b;
}

static void on_value(void *arg, const char *name, uint32_t value)
{
	char(*names)[4] = arg;

	strcpy(names[value], name);
}

static void test_btf(void **state)
{
	struct small_btf s = small();
	struct btf *b;
	char names[8][4] = { 0 };

	assert_int_equal(btf_parse((uint8_t *)&s, sizeof(s), &b, NULL), 0);
	assert_int_equal(btf_enum(b, "reason", on_value, names), 2);
	assert_string_equal(names[3], "ONE");
	assert_string_equal(names[4], "TWO");
	assert_int_equal(btf_enum(b, "season", on_value, names), -ENOENT);
	assert_int_equal(btf_tracepoint_args(b, "x"), 1);
	assert_int_equal(btf_tracepoint_args(b, "y"), -ENOENT);
	btf_close(b);
	s.name.type = 9; /* leads nowhere */
	assert_int_equal(btf_parse((uint8_t *)&s, sizeof(s), &b, NULL), 0);
	assert_int_equal(btf_tracepoint_args(b, "x"), -ENOENT);
	btf_close(b);
	assert_int_equal(btf_parse((uint8_t *)&s, sizeof(s) - 1, &b, NULL), -EBADMSG);
	s.head.magic++;
	assert_int_equal(btf_parse((uint8_t *)&s, sizeof(s), &b, NULL), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_icmp),  cmocka_unit_test(test_no_packet),
		cmocka_unit_test(test_btf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
