/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables room without a kernel: text as a person read it (golden), what is encoded decodes
 * to the same, the diff's operations, what the check refuses. Against the nft program:
 * tests/integration/test_nft.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/decode.h"
#include "core/nft/diff.h"
#include "core/nft/encode.h"
#include "core/nft/text.h"
#include "golden.h"
#include "nft_cases.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 400

static char *text_of(const struct nft_ruleset *rs)
{
	struct buf b = { 0 };

	nft_text(rs, &b);
	assert_false(b.failed);
	buf_puts(&b, "");
	return b.v;
}

static void test_golden(void **state)
{
	for (const struct nft_case *c = nft_cases; c->name; c++) {
		struct nft_ruleset rs;
		struct arena a;
		struct err e = { 0 };
		char path[64], *text;

		arena_init(&a, 0);
		nft_ruleset_init(&rs, &a);
		c->make(&rs);
		if (nft_check(&rs, &e))
			fail_msg("%s: %s", c->name, e.text);
		snprintf(path, sizeof(path), "nft/%s.nft", c->name);
		text = text_of(&rs);
		golden_check(path, text);
		free(text);
		arena_fini(&a);
	}
}

/* ---- what goes out comes back */

/* Requests have the attributes of the kernel's answers: they can be decoded as such. */
static void encode_all(const struct nft_ruleset *rs, struct buf *out, size_t room)
{
	struct nft_ops ops;

	nft_ops_init(&ops, rs->arena);
	nft_ops_load(&ops, rs, false);
	for (uint32_t i = 0; i < ops.n; i++) {
		bool elems = ops.v[i].verb == NFTV_ADD_ELEMS;
		uint32_t from = 0, n;
		struct err e = { 0 };

		do {
			if (nft_encode(&ops.v[i], &from, out, room, 1, &n, &e))
				fail_msg("%s", e.text);
			assert_true(n > 0);
		} while (from < (elems ? ops.v[i].n_elems : 1));
	}
}

static void round_trip(const struct nft_ruleset *rs, size_t room)
{
	struct nft_ruleset back;
	struct buf bytes = { 0 };
	struct nft_diff d;
	struct err e = { 0 };
	char *said, *heard;

	encode_all(rs, &bytes, room);
	nft_ruleset_init(&back, rs->arena);
	assert_int_equal(nft_decode(&back, NULL, bytes.v, bytes.n, &e), 0);
	nft_decode_done(&back);
	said = text_of(rs);
	heard = text_of(&back);
	assert_string_equal(said, heard);
	assert_int_equal(nft_diff(&d, rs, &back, rs->arena, &e), 0);
	assert_int_equal(d.n_findings, 0);
	assert_int_equal(d.ops.n, 0);
	free(said);
	free(heard);
	buf_fini(&bytes);
}

static void test_round_trip(void **state)
{
	for (const struct nft_case *c = nft_cases; c->name; c++) {
		struct nft_ruleset rs;
		struct arena a;

		arena_init(&a, 0);
		nft_ruleset_init(&rs, &a);
		c->make(&rs);
		round_trip(&rs, NFT_MSG_MAX);
		round_trip(&rs, 2000); /* elements over several messages */
		arena_fini(&a);
	}
}

static void test_random_round_trip(void **state)
{
	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		struct nft_ruleset rs;
		struct arena a;
		struct err e = { 0 };

		arena_init(&a, 0);
		nft_ruleset_init(&rs, &a);
		nft_random(&rs, seed);
		if (nft_check(&rs, &e))
			fail_msg("seed %u: %s", seed, e.text);
		round_trip(&rs, NFT_MSG_MAX);
		arena_fini(&a);
	}
}

/* One message, byte by byte as nf_tables.h has it. */
static void test_wire_bytes(void **state)
{
	static const uint8_t want[] = {
		/* struct nlmsghdr: length, NEWSETELEM, REQUEST|CREATE, sequence 7, port 0 */
		80,
		0,
		0,
		0,
		NFT_MSG_NEWSETELEM,
		10,
		1,
		4,
		7,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		/* struct nfgenmsg: inet, version 0, res_id 0 */
		1,
		0,
		0,
		0,
		/* NFTA_SET_ELEM_LIST_TABLE "t", NFTA_SET_ELEM_LIST_SET "s" */
		6,
		0,
		1,
		0,
		't',
		0,
		0,
		0,
		6,
		0,
		2,
		0,
		's',
		0,
		0,
		0,
		/* NFTA_SET_ELEM_LIST_ELEMENTS { */
		44,
		0,
		3,
		128,
		/* first address: NFTA_LIST_ELEM { NFTA_SET_ELEM_KEY { NFTA_DATA_VALUE 10.0.0.0 } } */
		16,
		0,
		1,
		128,
		12,
		0,
		1,
		128,
		8,
		0,
		1,
		0,
		10,
		0,
		0,
		0,
	};
	/* the first key behind: NFTA_SET_ELEM_FLAGS INTERVAL_END, NFTA_SET_ELEM_KEY 11.0.0.0 */
	static const uint8_t tail[] = { 24, 0, 1, 128, 8, 0, 3, 0, 0,  0, 0, 1,
					12, 0, 1, 128, 8, 0, 1, 0, 11, 0, 0, 0 };
	struct buf out = { 0 };
	struct nft_ruleset rs;
	struct nft_ops ops;
	struct arena a;
	struct err e = { 0 };
	uint32_t from = 0, n;
	struct nft_set *s;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	s = nft_set_add(nft_table_add(&rs, NFPROTO_INET, "t"), "s", NFT_SET_INTERVAL,
			NFT_TYPES(NFTY_IPV4_ADDR));
	nft_ops_init(&ops, &a);
	nft_ops_elem(&ops, NFTV_ADD_ELEMS, s,
		     &(struct nft_elem){ .key = (const uint8_t[]){ 10, 0, 0, 0 },
					 .key_end = (const uint8_t[]){ 10, 255, 255, 255 } });
	assert_int_equal(nft_encode(&ops.v[0], &from, &out, 1000, 7, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(out.n, sizeof(want) + sizeof(tail));
	assert_memory_equal(out.v, want, sizeof(want));
	assert_memory_equal(out.v + sizeof(want), tail, sizeof(tail));
	buf_fini(&out);
	arena_fini(&a);
}

static void test_elements_are_cut(void **state)
{
	struct nft_op op = { .verb = NFTV_ADD_ELEMS, .family = NFPROTO_INET, .table = "bulk" };
	struct nft_ruleset rs;
	struct buf out = { 0 };
	struct arena a;
	struct err e = { 0 };
	uint32_t from = 0, n, msgs = 0;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	nft_bulk(&rs, 20000);
	op.set = rs.tables[0]->sets[0];
	op.elems = op.set->elems;
	op.n_elems = op.set->n;
	while (from < op.n_elems) {
		uint32_t before = from;
		size_t start = out.n;

		assert_int_equal(nft_encode(&op, &from, &out, 100000, 1 + msgs, &n, &e), 0);
		assert_true(from > before);
		assert_true(out.n - start <= 100000);
		msgs += n;
	}
	assert_in_range(msgs, 20000 * 20 / NFT_MSG_MAX, 20);
	from = 0;
	assert_int_equal(nft_encode(&op, &from, &out, 63, 1, &n, &e), -EMSGSIZE);
	assert_int_equal(from, 0);
	buf_fini(&out);
	arena_fini(&a);
}

/* ---- diff */

struct side {
	struct nft_ruleset rs;
	struct nft_table *t;
	struct nft_set *set, *map;
	struct nft_chain *chain;
};

static void elem(struct nft_set *s, uint8_t last, const char *comment)
{
	const uint8_t key[] = { 10, 0, 0, last };

	nft_elem_add(s, &(struct nft_elem){ .key = key, .comment = comment });
}

static void verdict(struct nft_set *s, uint8_t last, int32_t code)
{
	const uint8_t key[] = { 10, 0, 0, last };

	nft_elem_add(s, &(struct nft_elem){ .key = key, .verdict.code = code });
}

/* With handles, as if it were observed. */
static void side_init(struct side *x, struct arena *a)
{
	nft_ruleset_init(&x->rs, a);
	x->t = nft_table_add(&x->rs, NFPROTO_INET, "t");
	x->set = nft_set_add(x->t, "s", 0, NFT_TYPES(NFTY_IPV4_ADDR));
	x->map = nft_set_add(x->t, "m", 0, NFT_TYPES(NFTY_IPV4_ADDR));
	nft_set_data(x->map, NFT_TYPES(NFTY_VERDICT));
	x->chain = nft_chain_add(x->t, "c");
	for (uint8_t i = 1; i <= 3; i++) {
		struct nft_rule *r = nft_rule_add(x->chain, NULL);

		nft_match(r, NFT_SEL(NFK_TCP_DPORT), NFC_EQ, nft_be16(i));
		r->handle = 10 + i;
		elem(x->set, i, NULL);
		verdict(x->map, i, NF_ACCEPT);
	}
}

static void diff_is(const struct side *want, const struct side *have, const char *expect)
{
	struct buf got = { 0 };
	struct nft_diff d;
	struct err e = { 0 };

	if (nft_diff(&d, &want->rs, &have->rs, want->rs.arena, &e))
		fail_msg("%s", e.text);
	buf_puts(&got, "");
	for (uint32_t i = 0; i < d.n_findings; i++) {
		nft_finding_str(&d.findings[i], &got);
		buf_puts(&got, "\n");
	}
	for (uint32_t i = 0; i < d.ops.n; i++) {
		buf_puts(&got, "  ");
		nft_op_str(&d.ops.v[i], &got);
		buf_puts(&got, "\n");
		assert_int_equal(d.ops.v[i].step, i + 1 == d.ops.n);
	}
	assert_string_equal(got.v, expect);
	buf_fini(&got);
}

static void test_diff(void **state)
{
	struct side w, h;
	struct arena a;
	struct nft_rule *r;

	arena_init(&a, 0);
	side_init(&w, &a);
	side_init(&h, &a);
	diff_is(&w, &h, "");
	elem(w.set, 9, "new");
	elem(h.set, 8, NULL);
	verdict(w.map, 7, NF_DROP);
	verdict(h.map, 7, NF_ACCEPT);
	diff_is(&w, &h,
		"missing element inet t s\nextra element inet t s\nchanged element inet t m\n"
		"  delete element inet t s { 10.0.0.8 }\n"
		"  delete element inet t m { 10.0.0.7 : accept }\n"
		"  add element inet t s { 10.0.0.9 comment \"new\" }\n"
		"  add element inet t m { 10.0.0.7 : drop }\n");

	side_init(&w, &a);
	side_init(&h, &a);
	h.chain->rules[1]->comment = "changed";
	diff_is(&w, &h,
		"changed rule inet t c\n  delete rule inet t c handle 12\n"
		"  insert rule inet t c handle 13 tcp dport 2\n");
	h.chain->rules[2]->handle = 0; /* not all are known: the chain is filled anew */
	diff_is(&w, &h,
		"changed rule inet t c\n  flush chain inet t c\n  add rule inet t c tcp dport 1\n"
		"  add rule inet t c tcp dport 2\n  add rule inet t c tcp dport 3\n");

	side_init(&w, &a);
	side_init(&h, &a);
	h.chain->n = 2;
	diff_is(&w, &h, "missing rule inet t c\n  add rule inet t c tcp dport 3\n");
	diff_is(&h, &w, "extra rule inet t c\n  delete rule inet t c handle 13\n");

	side_init(&w, &a);
	side_init(&h, &a);
	r = nft_rule_add(nft_chain_add(w.t, "new"), NULL);
	nft_drop(r);
	verdict(w.map, 50, NFT_JUMP);
	w.map->elems[w.map->n - 1].verdict.chain = "new";
	nft_set_add(h.t, "old", 0, NFT_TYPES(NFTY_MARK));
	diff_is(&w, &h,
		"missing element inet t m\nmissing chain inet t new\nextra set inet t old\n"
		"  add chain inet t new\n  add element inet t m { 10.0.0.50 : jump new }\n"
		"  add rule inet t new drop\n  delete set inet t old\n");
	diff_is(&h, &w,
		"extra element inet t m\nmissing set inet t old\nextra chain inet t new\n"
		"  add set inet t old\n  flush chain inet t new\n"
		"  delete element inet t m { 10.0.0.50 : jump new }\n  delete chain inet t new\n");

	side_init(&w, &a);
	nft_ruleset_init(&h.rs, &a);
	w.set->n = w.map->n = w.chain->n = 1;
	diff_is(&w, &h,
		"missing table inet t\n  add table inet t\n  add set inet t s\n  add set inet t m\n"
		"  add chain inet t c\n  add element inet t s { 10.0.0.1 }\n"
		"  add element inet t m { 10.0.0.1 : accept }\n  add rule inet t c tcp dport 1\n");
	arena_fini(&a);
}

/* ---- what the node's ruleset says of pods and pools */

static void ops_are(const struct nft_ops *ops, const char *expect)
{
	struct buf got = { 0 };

	buf_puts(&got, "");
	for (uint32_t i = 0; i < ops->n; i++) {
		nft_op_str(&ops->v[i], &got);
		buf_puts(&got, "\n");
		assert_int_equal(ops->v[i].step, i + 1 == ops->n);
	}
	assert_string_equal(got.v, expect);
	buf_fini(&got);
}

static void test_pod_elements(void **state)
{
	static const struct ipaddr addrs[] = { { AF_INET, { 10, 244, 1, 2 } },
					       { AF_INET6, { 0xfd, [15] = 2 } },
					       { AF_INET, { 10, 244, 1, 2 } } };
	struct nft_pod p = {
		.ifname = "fl1", .mac = { { 0x52, 0x54, 0, 1, 2, 3 } }, .addrs = addrs, .n_addrs = 3
	};
	struct nft_ops ops;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	assert_int_equal(nft_pod_elems(&ops, &p, true, &e), 0);
	ops_are(&ops,
		"add element inet fairlead pod_src4 { \"fl1\" . 10.244.1.2 }\n"
		"add element arp fairlead pod_arp { \"fl1\" . 52:54:00:01:02:03 . 10.244.1.2, "
		"\"fl1\" . 52:54:00:01:02:03 . 0.0.0.0 }\n"
		"add element inet fairlead pod_src6 { \"fl1\" . fd00::2, "
		"\"fl1\" . fe80::5054:ff:fe01:203 }\n"
		"add element inet fairlead pod_nd { \"fl1\" . 0xfd000000000000000000000000000002, "
		"\"fl1\" . 0xfe80000000000000505400fffe010203 }\n");
	p.attachment = NFT_BRIDGED;
	p.n_addrs = 1;
	p.link_local = (struct ipaddr){ AF_INET6, { 0xfe, 0x80, [15] = 7 } };
	nft_ops_init(&ops, &a);
	assert_int_equal(nft_pod_elems(&ops, &p, false, &e), 0);
	ops_are(&ops, "delete element bridge fairlead port_mac { \"fl1\" . 52:54:00:01:02:03 }\n"
		      "delete element bridge fairlead port_src4 { \"fl1\" . 10.244.1.2 }\n"
		      "delete element bridge fairlead port_arp { \"fl1\" . 52:54:00:01:02:03 . "
		      "10.244.1.2, \"fl1\" . 52:54:00:01:02:03 . 0.0.0.0 }\n"
		      "delete element bridge fairlead port_src6 { \"fl1\" . fe80::7 }\n"
		      "delete element bridge fairlead port_nd { \"fl1\" . "
		      "0xfe800000000000000000000000000007 }\n");
	p.ifname = "eth0";
	assert_int_equal(nft_pod_elems(&ops, &p, true, &e), -EINVAL);
	assert_string_equal(e.text, "pod link \"eth0\" is not named fl…");
	p.ifname = "flannel.1";
	assert_int_equal(nft_pod_elems(&ops, &p, true, &e), -EINVAL);
	arena_fini(&a);
}

static struct nft_pool pool(const char *cidr, bool nat)
{
	struct nft_pool p = { .nat_outgoing = nat };

	assert_int_equal(prefix_parse(cidr, &p.cidr), 0);
	return p;
}

static void test_pool_elements(void **state)
{
	const struct nft_pool old[] = { pool("10.244.0.0/16", true), pool("10.244.7.0/24", true),
					pool("fd00::/64", false) };
	const struct nft_pool now[] = { pool("10.244.0.0/15", true), pool("fd00::/64", true) };
	const struct nft_input a_in = { .pools = old, .n_pools = 3 },
			       b_in = { .pools = now, .n_pools = 2 };
	struct nft_ops ops;
	struct arena a;
	struct err e = { 0 };

	arena_init(&a, 0);
	nft_ops_init(&ops, &a);
	assert_int_equal(nft_pool_elems(&ops, &a_in, &a_in, &e), 0);
	ops_are(&ops, "");
	assert_int_equal(nft_pool_elems(&ops, &a_in, &b_in, &e), 0);
	ops_are(&ops, "delete element inet fairlead pools4 { 10.244.0.0/16 }\n"
		      "add element inet fairlead pools4 { 10.244.0.0/15 }\n"
		      "delete element inet fairlead nat4 { 10.244.0.0/16 }\n"
		      "add element inet fairlead nat4 { 10.244.0.0/15 }\n"
		      "add element inet fairlead nat6 { fd00::/64 }\n");
	arena_fini(&a);
}

/* ---- what the check refuses */

struct bad {
	const char *error;
	void (*make)(struct nft_table *t, struct nft_rule *r);
};

static void bad_redundant(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ, nft_u8(6));
	nft_match(r, NFT_SEL(NFK_TCP_DPORT), NFC_EQ, nft_be16(80));
}

static void bad_contradiction(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_UDP_DPORT), NFC_EQ, nft_be16(80));
	nft_match(r, NFT_SEL(NFK_TCP_DPORT), NFC_EQ, nft_be16(80));
}

static void bad_again(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_IP_TTL), NFC_EQ, nft_u8(1));
	nft_match(r, NFT_SEL(NFK_META_NFPROTO), NFC_EQ, nft_u8(NFPROTO_IPV6));
}

static void bad_set(struct nft_table *t, struct nft_rule *r)
{
	nft_match_set(r, NFT_SELS(NFT_SEL(NFK_IP_SADDR)), "nobody");
}

static void bad_parts(struct nft_table *t, struct nft_rule *r)
{
	nft_match_set(r, NFT_SELS(NFT_SEL(NFK_IP6_SADDR)), "s");
}

static void bad_chain(struct nft_table *t, struct nft_rule *r)
{
	nft_jump(r, "nowhere");
}

static void bad_length(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_IP_SADDR), NFC_EQ, nft_u8(1));
}

static void bad_mask(struct nft_table *t, struct nft_rule *r)
{
	nft_match_mask(r, NFT_SEL(NFK_META_MARK), nft_u32(0xf0), NFC_EQ, nft_u32(0x1));
}

static void bad_comment(struct nft_table *t, struct nft_rule *r)
{
	static char long_one[140];

	memset(long_one, 'x', 129);
	r->comment = long_one;
}

static void bad_quote(struct nft_table *t, struct nft_rule *r)
{
	r->comment = "a \" quote";
}

static void bad_arp(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_ARP_OP), NFC_EQ, nft_be16(1));
}

static void bad_twice(struct nft_table *t, struct nft_rule *r)
{
	nft_set_add(t, "s", 0, NFT_TYPES(NFTY_MARK));
}

static void bad_generic(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_TCP_SPORT), NFC_EQ, nft_be16(1));
	nft_match(r, NFT_SEL(NFK_TH_DPORT), NFC_EQ, nft_be16(1));
}

static void bad_ct_port(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_GRE));
	nft_match(r, NFT_SEL(NFK_CT_ORIG_DPORT), NFC_EQ, nft_be16(80));
}

static void bad_vlan(struct nft_table *t, struct nft_rule *r)
{
	nft_match(r, NFT_SEL(NFK_META_PROTOCOL), NFC_EQ, nft_be16(0x8100));
	nft_match(r, NFT_SEL(NFK_UDP_DPORT), NFC_EQ, nft_be16(80));
}

static void test_check(void **state)
{
	static const struct bad v[] = {
		{ "chain c, rule 1: statement 1: a later statement implies this one",
		  bad_redundant },
		{ "chain c, rule 1: statement 2: no such header in this table or rule",
		  bad_contradiction },
		{ "chain c, rule 1: statement 2: the rule knows that protocol by then", bad_again },
		{ "chain c, rule 1: statement 1: no set nobody", bad_set },
		{ "chain c, rule 1: statement 1: part 1 does not fit set s", bad_parts },
		{ "chain c, rule 1: statement 1: no chain nowhere", bad_chain },
		{ "chain c, rule 1: statement 1: value of 1 bytes for ip saddr of 4", bad_length },
		{ "chain c, rule 1: statement 1: value has bits outside of its mask", bad_mask },
		{ "chain c, rule 1: comment must be 1 to 128 characters without quotes",
		  bad_comment },
		{ "chain c, rule 1: comment must be 1 to 128 characters without quotes",
		  bad_quote },
		{ "chain c, rule 1: statement 1: no such header in this table or rule", bad_arp },
		{ "set made twice: s", bad_twice },
		{ "chain c, rule 1: statement 2: what is said as th dport has a name here: tcp "
		  "dport",
		  bad_generic },
		{ "chain c, rule 1: statement 2: ct original proto-dst of a protocol not known to "
		  "have ports",
		  bad_ct_port },
		{ "chain c, rule 1: statement 2: no such header in this table or rule", bad_vlan },
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct nft_ruleset rs;
		struct nft_table *t;
		struct arena a;
		struct err e = { 0 };

		arena_init(&a, 0);
		nft_ruleset_init(&rs, &a);
		t = nft_table_add(&rs, NFPROTO_INET, "t");
		nft_set_add(t, "s", 0, NFT_TYPES(NFTY_IPV4_ADDR));
		v[i].make(t, nft_rule_add(nft_chain_add(t, "c"), NULL));
		assert_int_equal(nft_check(&rs, &e), -EINVAL);
		if (!strstr(e.text, v[i].error))
			fail_msg("%s\ninstead of %s", e.text, v[i].error);
		arena_fini(&a);
	}
}

static void test_no_memory(void **state)
{
	for (size_t limit = 1; limit < 40000; limit += 997) {
		struct nft_ruleset rs;
		struct nft_ops ops;
		struct arena a;
		struct err e = { 0 };
		int r;

		arena_init(&a, limit);
		nft_ruleset_init(&rs, &a);
		r = nft_build(&rs, nft_sample_input(), &e);
		assert_true(r == 0 || r == -ENOMEM);
		nft_ops_init(&ops, &a);
		nft_ops_load(&ops, &rs, true);
		r = nft_pod_elems(&ops, nft_sample_input()->pods, true, &e);
		assert_true(r == 0 || r == -ENOMEM);
		arena_fini(&a);
	}
}

static void test_notice(void **state)
{
	struct {
		struct nlmsghdr h;
		uint8_t gen[4];
		uint8_t attrs[12];
	} m = { { sizeof(m), 10 << 8 | NFT_MSG_NEWCHAIN, 0, 5, 77 },
		{ NFPROTO_INET, 0, 0, 0 },
		{ 12, 0, 1, 0, 'o', 't', 'h', 'e', 'r', 0 } };
	struct nft_notice x;
	struct err e = { 0 };

	assert_int_equal(nft_decode_notice(&m, sizeof(m), &x, &e), sizeof(m));
	assert_int_equal(x.msg, NFT_MSG_NEWCHAIN);
	assert_int_equal(x.portid, 77);
	assert_int_equal(x.family, NFPROTO_INET);
	assert_string_equal(x.table, "other");
	assert_int_equal(nft_decode_notice(&m, 0, &x, &e), 0);
	assert_int_equal(nft_decode_notice(&m, 20, &x, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_random_round_trip),
		cmocka_unit_test(test_wire_bytes),
		cmocka_unit_test(test_elements_are_cut),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_pod_elements),
		cmocka_unit_test(test_pool_elements),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
