/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of nfnetlink_log: messages as the kernel sends them, the packets in them written by hand from the
 * RFCs. With a kernel: tests/integration/test_nflog.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/logged.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>

#define PACKET (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)

#define IP4(head, frag, proto)                                                                     \
	0x40 | (head), 0, 0, 60, 0, 0, (frag) >> 8, (frag)&255, 64, proto, 0, 0, 10, 0, 1, 2, 10,  \
		0, 2, 9
#define IP6(next)                                                                                  \
	0x60, 0, 0, 0, 0, 20, next, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd,   \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define PORTS 0x93, 0xd6, 0, 80, 1, 2, 3, 4

static char mem[2048] __attribute__((aligned(8)));

static struct nlmsghdr *message(uint16_t type, uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mem);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = type;
	g->nfgen_family = family;
	g->res_id = htons(26220);
	return nlh;
}

static struct nft_logged read_packet(uint8_t family, const uint8_t *p, size_t n)
{
	struct nlmsghdr *nlh = message(PACKET, family);
	struct nft_logged x;

	mnl_attr_put(nlh, NFULA_PAYLOAD, n, p);
	assert_int_equal(nft_logged_decode(nlh, &x, NULL), 0);
	return x;
}

#define READ4(...)                                                                                 \
	read_packet(NFPROTO_IPV4, (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))
#define READ6(...)                                                                                 \
	read_packet(NFPROTO_IPV6, (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static void assert_ports(const struct nft_logged *x, uint8_t proto, uint16_t sport, uint16_t dport)
{
	assert_int_equal(x->flow.proto, proto);
	assert_int_equal(x->flow.sport, sport);
	assert_int_equal(x->flow.dport, dport);
}

static void test_message(void **state)
{
	struct nlmsghdr *nlh = message(PACKET, NFPROTO_IPV4);
	struct nfulnl_msg_packet_hdr head = { .hook = NF_INET_FORWARD };
	struct nft_logged x;

	mnl_attr_put(nlh, NFULA_PACKET_HDR, sizeof(head), &head);
	mnl_attr_put_strz(nlh, NFULA_PREFIX, "egress4-1a2b");
	mnl_attr_put_u32(nlh, NFULA_IFINDEX_INDEV, htonl(3));
	mnl_attr_put_u32(nlh, NFULA_IFINDEX_OUTDEV, htonl(4));
	mnl_attr_put_u32(nlh, NFULA_MARK, htonl(0x4000));
	mnl_attr_put_u32(nlh, NFULA_SEQ, htonl(77));
	assert_int_equal(nft_logged_decode(nlh, &x, NULL), 0);
	assert_string_equal(x.prefix, "egress4-1a2b");
	assert_int_equal(x.group, 26220);
	assert_int_equal(x.family, NFPROTO_IPV4);
	assert_int_equal(x.hook, NF_INET_FORWARD);
	assert_int_equal(x.iif, 3);
	assert_int_equal(x.oif, 4);
	assert_int_equal(x.mark, 0x4000);
	assert_true(x.has_seq);
	assert_int_equal(x.seq, 77);
	assert_int_equal(x.flow.src.family, 0);
	assert_false(x.has_icmp);
}

static void test_long_prefix(void **state)
{
	struct nlmsghdr *nlh = message(PACKET, NFPROTO_IPV4);
	struct nft_logged x;
	char text[300];

	memset(text, 'a', sizeof(text)); /* without an end */
	mnl_attr_put(nlh, NFULA_PREFIX, sizeof(text), text);
	assert_int_equal(nft_logged_decode(nlh, &x, NULL), 0);
	assert_int_equal(strlen(x.prefix), NFT_LOG_PREFIX - 1);
	assert_false(x.has_seq);
}

static void test_none(void **state)
{
	struct nft_logged x = { .seq = 5 };
	struct err e = { 0 };

	assert_int_equal(nft_logged_decode(message(PACKET + 1, NFPROTO_IPV4), &x, &e), -EBADMSG);
	mnl_nlmsg_put_header(mem)->nlmsg_type = PACKET; /* no more than that */
	assert_int_equal(nft_logged_decode((void *)mem, &x, &e), -EBADMSG);
	assert_int_equal(x.seq, 5);
}

static void test_ipv4(void **state)
{
	struct nft_logged x = READ4(IP4(5, 0x4000, IPPROTO_TCP), PORTS); /* don't fragment */
	char text[ADDR_TEXT];

	assert_string_equal(addr_str(&x.flow.src, text), "10.0.1.2");
	assert_string_equal(addr_str(&x.flow.dst, text), "10.0.2.9");
	assert_ports(&x, IPPROTO_TCP, 0x93d6, 80);
	x = READ4(IP4(7, 0, IPPROTO_UDP), 9, 9, 9, 9, 9, 9, 9, 9, PORTS); /* options */
	assert_ports(&x, IPPROTO_UDP, 0x93d6, 80);
	x = READ4(IP4(5, 0, IPPROTO_GRE), PORTS);
	assert_ports(&x, IPPROTO_GRE, 0, 0);
	x = READ4(IP4(5, 0, IPPROTO_ICMP), 8, 1, 0, 0);
	assert_ports(&x, IPPROTO_ICMP, 0, 0);
	assert_true(x.has_icmp);
	assert_int_equal(x.icmp_type, 8);
	assert_int_equal(x.icmp_code, 1);
}

static void test_ipv4_fragments(void **state)
{
	struct nft_logged x = READ4(IP4(5, 0x2000, IPPROTO_UDP), PORTS); /* the first of more */

	assert_false(x.fragment);
	assert_ports(&x, IPPROTO_UDP, 0x93d6, 80);
	x = READ4(IP4(5, 0x2001, IPPROTO_UDP), PORTS);
	assert_true(x.fragment);
	assert_ports(&x, IPPROTO_UDP, 0, 0);
	x = READ4(IP4(5, 1, IPPROTO_ICMP), 8, 0, 0, 0);
	assert_true(x.fragment && !x.has_icmp);
}

static void test_ipv4_lies(void **state)
{
	struct nft_logged x = READ4(IP4(4, 0, IPPROTO_UDP), PORTS); /* a header of 16 bytes */

	assert_int_equal(x.flow.src.family, 0);
	x = READ4(IP4(15, 0, IPPROTO_UDP), PORTS); /* options behind the end */
	assert_ports(&x, IPPROTO_UDP, 0, 0);
	x = READ4(IP4(5, 0, IPPROTO_UDP), 0x93, 0xd6, 0); /* three bytes of four */
	assert_ports(&x, IPPROTO_UDP, 0, 0);
	x = READ4(IP4(5, 0, IPPROTO_ICMP), 8);
	assert_false(x.has_icmp);
	x = READ4(0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 2);
	assert_int_equal(x.flow.src.family, 0);
	x = READ6(IP4(5, 0, IPPROTO_UDP), PORTS); /* of the other family */
	assert_int_equal(x.flow.src.family, 0);
}

static void test_ipv6(void **state)
{
	struct nft_logged x = READ6(IP6(IPPROTO_SCTP), PORTS);
	char text[ADDR_TEXT];

	assert_string_equal(addr_str(&x.flow.src, text), "fd00::1");
	assert_string_equal(addr_str(&x.flow.dst, text), "fd00::2");
	assert_ports(&x, IPPROTO_SCTP, 0x93d6, 80);
	x = READ6(IP6(IPPROTO_ICMPV6), 128, 0, 0, 0);
	assert_true(x.has_icmp);
	assert_int_equal(x.icmp_type, 128);
	/* Hop-by-hop of 16 bytes, routing of 8, AH of 12, destination options of 8. */
	x = READ6(IP6(IPPROTO_HOPOPTS), IPPROTO_ROUTING, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		  0, IPPROTO_AH, 0, 0, 0, 0, 0, 0, 0, IPPROTO_DSTOPTS, 1, 0, 0, 1, 1, 1, 1, 2, 2, 2,
		  2, IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0, PORTS);
	assert_ports(&x, IPPROTO_UDP, 0x93d6, 80);
	x = READ6(IP6(IPPROTO_ESP), PORTS);
	assert_ports(&x, IPPROTO_ESP, 0, 0);
}

static void test_ipv6_fragments(void **state)
{
	struct nft_logged x = READ6(IP6(IPPROTO_FRAGMENT), IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9, PORTS);

	assert_false(x.fragment);
	assert_ports(&x, IPPROTO_UDP, 0x93d6, 80);
	x = READ6(IP6(IPPROTO_FRAGMENT), IPPROTO_UDP, 0, 0, 8, 0, 0, 0, 9, PORTS);
	assert_true(x.fragment);
	assert_ports(&x, IPPROTO_UDP, 0, 0);
}

static void test_ipv6_lies(void **state)
{
	uint8_t chain[40 + 20 * 8] = { IP6(IPPROTO_DSTOPTS) };
	struct nft_logged x = READ6(IP6(IPPROTO_HOPOPTS), IPPROTO_UDP, 9, PORTS);

	assert_ports(&x, IPPROTO_HOPOPTS, 0, 0); /* longer than what was copied */
	assert_int_equal(x.flow.src.family, AF_INET6);
	for (size_t i = 40; i < sizeof(chain); i += 8)
		chain[i] = i + 8 < sizeof(chain) ? IPPROTO_DSTOPTS : IPPROTO_UDP;
	x = read_packet(NFPROTO_IPV6, chain, sizeof(chain));
	assert_ports(&x, IPPROTO_DSTOPTS, 0, 0); /* too many */
	x = read_packet(NFPROTO_IPV6, chain, 39);
	assert_int_equal(x.flow.src.family, 0);
	x = READ4(IP6(IPPROTO_UDP), PORTS);
	assert_int_equal(x.flow.src.family, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),        cmocka_unit_test(test_long_prefix),
		cmocka_unit_test(test_none),           cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv4_fragments), cmocka_unit_test(test_ipv4_lies),
		cmocka_unit_test(test_ipv6),           cmocka_unit_test(test_ipv6_fragments),
		cmocka_unit_test(test_ipv6_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
