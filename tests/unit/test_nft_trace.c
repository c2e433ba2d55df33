/* SPDX-License-Identifier: Apache-2.0 */
/* Trace events of nftables: bytes as the kernel sends them, packets in them, the rules they name, and
 * the table that asks for them, and whose they are. With a kernel: tests/integration/test_nftrace.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/service_kube.h"
#include "core/nft/text.h"
#include "core/nft/trace.h"
#include "golden.h"
#include "nft_cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#define TRACE (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE)

static const uint8_t ip4[] = {
	0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 2, 10, 0, 2, 9
};
static const uint8_t tcp[] = { 0x93, 0xd6, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 2 };

static struct nlmsghdr *message(void *mem, uint16_t type, uint32_t trace_type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mem);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = type;
	g->nfgen_family = NFPROTO_INET;
	mnl_attr_put_u32(nlh, NFTA_TRACE_ID, htonl(0xa1b2c3d4));
	mnl_attr_put_u32(nlh, NFTA_TRACE_TYPE, htonl(trace_type));
	mnl_attr_put_strz(nlh, NFTA_TRACE_TABLE, "fairlead");
	mnl_attr_put_strz(nlh, NFTA_TRACE_CHAIN, "services");
	return nlh;
}

static void put_packet(struct nlmsghdr *nlh, uint32_t nfproto, const void *network, size_t n)
{
	mnl_attr_put_u32(nlh, NFTA_TRACE_NFPROTO, htonl(nfproto));
	mnl_attr_put(nlh, NFTA_TRACE_NETWORK_HEADER, n, network);
	mnl_attr_put(nlh, NFTA_TRACE_TRANSPORT_HEADER, sizeof(tcp), tcp);
}

static void put_verdict(struct nlmsghdr *nlh, int32_t code, const char *chain)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_TRACE_VERDICT);

	mnl_attr_put_u32(nlh, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	if (chain)
		mnl_attr_put_strz(nlh, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(nlh, nest);
}

static void test_rule(void **state)
{
	char mem[1024] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = message(mem, TRACE, NFT_TRACETYPE_RULE);
	struct nft_trace_flow p;
	struct nft_trace t;

	mnl_attr_put_u64(nlh, NFTA_TRACE_RULE_HANDLE, htobe64(42));
	put_verdict(nlh, NFT_GOTO, "tcp4-3");
	mnl_attr_put_u32(nlh, NFTA_TRACE_IIF, htonl(3));
	mnl_attr_put_u16(nlh, NFTA_TRACE_IIFTYPE, htons(1));
	mnl_attr_put_u32(nlh, NFTA_TRACE_MARK, htonl(0x4000));
	put_packet(nlh, NFPROTO_IPV4, ip4, sizeof(ip4));
	mnl_attr_put_u32(nlh, 18, htonl(77)); /* NFTA_TRACE_CT_ID … */
	mnl_attr_put_u8(nlh, 19, 1);
	mnl_attr_put_u32(nlh, 20, htonl(0x20));
	mnl_attr_put_u32(nlh, 21, htonl(NFT_CT_NEW));
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_int_equal(t.id, 0xa1b2c3d4);
	assert_int_equal(t.type, NFT_TRACETYPE_RULE);
	assert_int_equal(t.family, NFPROTO_INET);
	assert_string_equal(t.table, "fairlead");
	assert_string_equal(t.chain, "services");
	assert_int_equal(t.rule, 42);
	assert_int_equal(t.verdict, NFT_GOTO);
	assert_string_equal(t.to, "tcp4-3");
	assert_int_equal(t.iif, 3);
	assert_int_equal(t.iiftype, 1);
	assert_int_equal(t.oif, 0);
	assert_int_equal(t.mark, 0x4000);
	assert_true(t.has_ct);
	assert_int_equal(t.ct_id, 77);
	assert_int_equal(t.ct_reply, 1);
	assert_int_equal(t.ct_status, 0x20);
	assert_int_equal(t.ct_state, NFT_CT_NEW);
	assert_true(nft_trace_packet(&t, &p));
	assert_memory_equal(p.src.b, "\x0a\x00\x01\x02", 4);
	assert_memory_equal(p.dst.b, "\x0a\x00\x02\x09", 4);
	assert_int_equal(p.proto, 6);
	assert_int_equal(p.sport, 0x93d6);
	assert_int_equal(p.dport, 80);
}

static void test_other_types(void **state)
{
	char mem[1024] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = message(mem, TRACE, NFT_TRACETYPE_POLICY);
	struct nft_trace_flow p;
	struct nft_trace t;

	mnl_attr_put_u32(nlh, NFTA_TRACE_POLICY, htonl(NF_DROP));
	mnl_attr_put_u64(nlh, NFTA_TRACE_RULE_HANDLE, htobe64(42)); /* not a policy's */
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_int_equal(t.type, NFT_TRACETYPE_POLICY);
	assert_int_equal(t.policy, NF_DROP);
	assert_int_equal(t.rule, 0);
	assert_false(t.has_ct);
	assert_false(nft_trace_packet(&t, &p));
	nlh = message(mem, TRACE, NFT_TRACETYPE_RULE); /* rule 0 */
	put_verdict(nlh, NFT_CONTINUE, NULL);
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_int_equal(t.type, NFT_TRACETYPE_RETURN);
	assert_int_equal(t.verdict, NFT_CONTINUE);
	nlh = message(mem, TRACE, NFT_TRACETYPE_RETURN);
	put_verdict(nlh, NFT_RETURN, "not a jump");
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_int_equal(t.verdict, NFT_RETURN);
	assert_string_equal(t.to, "");
}

static void test_what_is_none(void **state)
{
	char mem[1024] __attribute__((aligned(8)));
	struct nft_trace t = { .id = 5 };
	struct err e = { 0 };

	assert_int_equal(nft_trace_decode(message(mem, TRACE, 9), &t, &e), -EBADMSG);
	assert_int_equal(nft_trace_decode(message(mem, TRACE - 1, NFT_TRACETYPE_RULE), &t, &e),
			 -EBADMSG);
	mnl_nlmsg_put_header(mem)->nlmsg_type = TRACE; /* no more than that */
	assert_int_equal(nft_trace_decode((void *)mem, &t, &e), -EBADMSG);
	assert_int_equal(t.id, 5);
}

static void test_packets(void **state)
{
	uint8_t ip6[40] = { 0x60, [6] = 6, [7] = 64, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2 };
	uint8_t icmp[20];
	char mem[1024] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = message(mem, TRACE, NFT_TRACETYPE_POLICY);
	struct nft_trace_flow p;
	struct nft_trace t;
	char text[ADDR_TEXT];

	put_packet(nlh, NFPROTO_IPV6, ip6, sizeof(ip6));
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_true(nft_trace_packet(&t, &p));
	assert_string_equal(addr_str(&p.src, text), "fd00::1");
	assert_string_equal(addr_str(&p.dst, text), "fd00::2");
	assert_int_equal(p.dport, 80);

	nlh = message(mem, TRACE, NFT_TRACETYPE_POLICY); /* cut short */
	put_packet(nlh, NFPROTO_IPV6, ip6, 39);
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_false(nft_trace_packet(&t, &p));

	memcpy(icmp, ip4, sizeof(icmp)); /* bytes where others have ports */
	icmp[9] = IPPROTO_ICMP;
	nlh = message(mem, TRACE, NFT_TRACETYPE_POLICY);
	put_packet(nlh, NFPROTO_IPV4, icmp, sizeof(icmp));
	assert_int_equal(nft_trace_decode(nlh, &t, NULL), 0);
	assert_true(nft_trace_packet(&t, &p));
	assert_int_equal(p.proto, IPPROTO_ICMP);
	assert_int_equal(p.sport, 0);
	assert_int_equal(p.dport, 0);
}

static struct nft_trace_flow flow(const char *src, const char *dst, uint8_t proto, uint16_t sport,
				  uint16_t dport)
{
	struct nft_trace_flow f = { .proto = proto, .sport = sport, .dport = dport };

	if (src)
		assert_int_equal(addr_parse(src, &f.src), 0);
	if (dst)
		assert_int_equal(addr_parse(dst, &f.dst), 0);
	return f;
}

static void test_matches(void **state)
{
	const struct nft_trace_flow packet = flow("10.0.0.1", "10.0.0.2", 6, 1025, 80);
	const struct nft_trace_flow yes[] = { flow(NULL, NULL, 0, 0, 0), packet,
					      flow(NULL, "10.0.0.2", 6, 0, 80) };
	const struct nft_trace_flow no[] = {
		flow("10.0.0.3", NULL, 0, 0, 0), flow(NULL, "fd00::2", 0, 0, 0),
		flow(NULL, NULL, 17, 0, 0),      flow(NULL, NULL, 0, 1026, 0),
		flow(NULL, NULL, 0, 0, 81),
	};

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		assert_true(nft_trace_matches(&yes[i], &packet));
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		assert_false(nft_trace_matches(&no[i], &packet));
}

static void test_rule_of_an_event(void **state)
{
	struct nft_trace t = { .family = NFPROTO_INET, .table = "t", .chain = "c", .rule = 7 };
	struct nft_ruleset rs;
	struct nft_chain *c;
	struct arena a;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	c = nft_chain_add(nft_table_add(&rs, NFPROTO_INET, "t"), "c");
	nft_rule_add(c, "first")->handle = 6;
	nft_rule_add(c, "second")->handle = 7;
	assert_ptr_equal(nft_trace_chain(&rs, &t), c);
	assert_string_equal(nft_trace_rule(&rs, &t)->comment, "second");
	t.rule = 8;
	assert_null(nft_trace_rule(&rs, &t));
	t.rule = 0;
	assert_null(nft_trace_rule(&rs, &t));
	t.rule = 7;
	t.family = NFPROTO_IPV4;
	assert_null(nft_trace_rule(&rs, &t));
	arena_fini(&a);
}

static void test_table(void **state)
{
	const struct nft_trace_flow flows[] = {
		flow("10.244.1.5", "10.96.0.10", IPPROTO_TCP, 40000, 80),
		flow(NULL, "fd00::9", IPPROTO_UDP, 0, 53),
		flow(NULL, "10.0.0.9", IPPROTO_ICMP, 0, 0),
		flow(NULL, NULL, IPPROTO_SCTP, 7, 0),
		flow(NULL, NULL, 0, 0, 53),
		flow(NULL, NULL, 0, 0, 0),
	};
	struct buf text = { 0 };
	struct nft_ruleset rs;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	nft_trace_table(&rs, "fairlead-trace-1", flows, sizeof(flows) / sizeof(*flows));
	if (nft_check(&rs, &e))
		fail_msg("%s", e.text);
	nft_text(&rs, &text);
	golden_check("nft/trace.nft", text.v);
	buf_fini(&text);
	arena_fini(&a);
}

/* One file for all protocols; TCP's numbers begin anew within the first one's range, the third one's are a block; UDP's
 * last one is the cookie of a DNS query. */
static void test_signature_table(void **state)
{
	static const struct nft_trace_signature v[] = {
		{ IPPROTO_TCP, 0xfffffff0 },          { IPPROTO_TCP, 0x01020304 },
		{ IPPROTO_TCP, 0x01020340 },          { IPPROTO_UDP, 0x0102030405060708 },
		{ IPPROTO_ICMP, 0x0102030405060708 }, { IPPROTO_ICMPV6, 0x0102030405060708 },
		{ IPPROTO_SCTP, 0x01020304 },         { IPPROTO_UDP, 0x0102030405060708, .at = 67 },
	};
	struct buf text = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct nft_ruleset rs;
		struct arena a;

		arena_init(&a, 0);
		nft_ruleset_init(&rs, &a);
		nft_trace_signature_table(&rs, "fairlead-trace-1", &v[i]);
		if (nft_check(&rs, &e))
			fail_msg("%s", e.text);
		nft_text(&rs, &text);
		arena_fini(&a);
	}
	golden_check("nft/trace-signature.nft", text.v);
	buf_fini(&text);
}

/* One event: of a rule, or of a chain's end where `verdict` is 0; the first one of a base chain is `first`. */
static struct nft_trace event_of(uint32_t id, const char *table, const char *chain, int32_t verdict,
				 bool first)
{
	struct nft_trace x = { .id = id, .family = NFPROTO_INET, .n_network = first ? 20 : 0 };

	x.type = verdict ? NFT_TRACETYPE_RULE : NFT_TRACETYPE_POLICY;
	x.verdict = verdict;
	snprintf(x.table, sizeof(x.table), "%s", table);
	snprintf(x.chain, sizeof(x.chain), "%s", chain);
	return x;
}

/* Two tables trace at once; the one that is asked is number 1. */
static void test_own(void **state)
{
	static const struct {
		uint32_t id;
		const char *table, *chain;
		int32_t verdict;
		bool first, own;
	} v[] = {
		/* another's packet: theirs goes on, ours lets it go */
		{ 7, NFT_TRACE_TABLE "2", "prerouting", NFT_CONTINUE, true, false },
		{ 7, NFT_TRACE_TABLE "1", "prerouting", NFT_RETURN, true, false },
		{ 7, NFT_TRACE_TABLE "1", "prerouting", 0, false, false },
		{ 7, "fairlead", "services", NFT_JUMP, true, false },
		/* ours, and theirs lets it go; behind dstnat our chain only shows it */
		{ 8, NFT_TRACE_TABLE "1", "prerouting", NFT_CONTINUE, true, true },
		{ 8, NFT_TRACE_TABLE "2", "prerouting", NFT_RETURN, true, false },
		{ 8, "fairlead", "services", NFT_JUMP, true, true },
		{ 8, NFT_TRACE_TABLE "1", "translated", 0, true, true },
		{ 7, "fairlead", "services", NFT_JUMP, true, false },
		/* its buffer, and so its id, is another's packet by now */
		{ 8, NFT_TRACE_TABLE "2", "output", NFT_CONTINUE, true, false },
		{ 8, NFT_TRACE_TABLE "1", "output", 0, true, false },
		{ 8, "fairlead", "policy", NF_DROP, true, false },
	};
	struct nft_trace_own o = { 0 };
	struct nft_trace x;

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		x = event_of(v[i].id, v[i].table, v[i].chain, v[i].verdict, v[i].first);
		if (nft_trace_is_own(&o, NFT_TRACE_TABLE "1", &x) != v[i].own)
			fail_msg("event %zu", i);
	}
	for (uint32_t id = 1000; id < 1000 + 3 * NFT_TRACE_OWN; id++) {
		x = event_of(id, NFT_TRACE_TABLE "1", "output", NFT_CONTINUE, true);
		assert_true(nft_trace_is_own(&o, NFT_TRACE_TABLE "1", &x));
	}
	for (uint32_t id = 1000; id < 1000 + 3 * NFT_TRACE_OWN; id++) {
		x = event_of(id, "fairlead", "policy", NF_ACCEPT, true);
		assert_int_equal(nft_trace_is_own(&o, NFT_TRACE_TABLE "1", &x),
				 id >= 1000 + 2 * NFT_TRACE_OWN);
	}
}

/* Which chain of kube-proxy's each rule of a node stands for: read it when the rules change. */
static void test_kube_chains(void **state)
{
	const struct nft_case *c = nft_cases;
	struct buf text = { 0 };
	const struct nft_table *t;
	struct nft_ruleset rs;
	struct arena a;

	while (strcmp(c->name, "services") != 0)
		c++;
	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	c->make(&rs);
	t = nft_table_get(&rs, NFPROTO_INET, "fairlead");
	for (uint32_t i = 0; i < t->n_chains; i++) {
		bool local = false;

		buf_printf(&text, "%s\n", t->chains[i]->name);
		for (uint32_t k = 0; k < t->chains[i]->n; k++) {
			const struct nft_rule *r = t->chains[i]->rules[k];
			const char *kube = nft_kube_chain(t->chains[i]->name, r, &local);

			buf_printf(&text, "  %-23s ", kube ? kube : "-");
			nft_text_rule(r, NFPROTO_INET, &text);
			buf_puts(&text, "\n");
		}
	}
	golden_check("nft/kube-proxy.txt", text.v);
	buf_fini(&text);
	arena_fini(&a);
}

/* Behind a choice among this node's endpoints the next one is among those. */
static void test_kube_local(void **state)
{
	struct nft_ruleset rs;
	struct nft_chain *choose, *group;
	struct nft_rule *r;
	bool local = false;
	struct arena a;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	choose = nft_chain_add(nft_table_add(&rs, NFPROTO_INET, "fairlead"), "service-choose");
	group = nft_chain_add(choose->table, "tcp4-3");
	r = nft_rule_add(group, NULL);
	nft_nat_map(r, NFT_NAT_DNAT, NFPROTO_IPV4,
		    NFT_SELS(NFT_SEL(NFK_META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, 3)),
		    "tcp4_endpoints", true);
	assert_string_equal(nft_kube_chain("tcp4-3", r, &local), "KUBE-SVC-*, KUBE-SEP-*");
	nft_set_map(nft_rule_add(choose, NULL), NFTT_PRIORITY, NFT_SELS(NFT_SEL(NFK_META_PRIORITY)),
		    "to_local");
	assert_string_equal(nft_kube_chain("service-choose", choose->rules[0], &local),
			    "KUBE-EXT-*");
	assert_string_equal(nft_kube_chain("tcp4-3", r, &local), "KUBE-SVL-*, KUBE-SEP-*");
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),         cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_what_is_none), cmocka_unit_test(test_packets),
		cmocka_unit_test(test_matches),      cmocka_unit_test(test_rule_of_an_event),
		cmocka_unit_test(test_table),        cmocka_unit_test(test_signature_table),
		cmocka_unit_test(test_kube_chains),  cmocka_unit_test(test_kube_local),
		cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
