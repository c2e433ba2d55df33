/* SPDX-License-Identifier: Apache-2.0 */
#include "nft_cases.h"

#include <assert.h>
#include <linux/netfilter_bridge.h>
#include <stdio.h>
#include <string.h>

#define S(k)   NFT_SEL(NFK_##k)
#define K(...) NFT_SELS(__VA_ARGS__)

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	if (addr_parse(s, &a))
		assert(!"address");
	return a;
}

static struct prefix net(const char *s)
{
	struct prefix p;

	if (prefix_parse(s, &p))
		assert(!"prefix");
	return p;
}

static struct nft_val av(const char *s)
{
	struct ipaddr a = ip(s);

	return nft_addr(&a);
}

static struct nft_rule *rule(struct nft_chain *c)
{
	return nft_rule_add(c, NULL);
}

static void eq(struct nft_chain *c, struct nft_sel sel, struct nft_val v)
{
	nft_match(rule(c), sel, NFC_EQ, v);
}

static void cmp(struct nft_chain *c, struct nft_sel sel, uint8_t op, struct nft_val v)
{
	nft_match(rule(c), sel, op, v);
}

static void range(struct nft_chain *c, struct nft_sel sel, uint8_t op, struct nft_val a,
		  struct nft_val b)
{
	nft_match_range(rule(c), sel, op, a, b);
}

static void under(struct nft_chain *c, struct nft_sel sel, uint8_t op, const char *p)
{
	struct prefix x = net(p);

	nft_match_prefix(rule(c), sel, op, &x);
}

static const struct macaddr mac1 = { { 2, 0, 0, 0, 0, 1 } };

/* ---- every match */

static void make_meta(struct nft_ruleset *rs)
{
	struct nft_chain *c = nft_chain_add(nft_table_add(rs, NFPROTO_INET, "t"), "c");

	eq(c, S(META_IIFNAME), nft_ifname("eth0"));
	cmp(c, S(META_IIFNAME), NFC_NE, nft_ifname("eth0"));
	eq(c, S(META_OIFNAME), nft_ifname_prefix("fl"));
	cmp(c, S(META_OIFNAME), NFC_NE, nft_ifname_prefix("fl"));
	eq(c, S(META_L4PROTO), nft_u8(6));
	eq(c, S(META_L4PROTO), nft_u8(99));
	eq(c, S(META_NFPROTO), nft_u8(NFPROTO_IPV6));
	eq(c, S(META_PROTOCOL), nft_be16(0x0800));
	eq(c, S(META_MARK), nft_u32(5));
	cmp(c, S(META_MARK), NFC_GT, nft_u32(5));
	range(c, S(META_MARK), NFC_RANGE, nft_u32(5), nft_u32(300));
	range(c, S(META_MARK), NFC_NOT_RANGE, nft_u32(5), nft_u32(300));
	nft_match_mask(rule(c), S(META_MARK), nft_u32(0xff00), NFC_EQ, nft_u32(0x4200));
	nft_match_mask(rule(c), S(META_MARK), nft_u32(0xff00), NFC_NE, nft_u32(0));
	eq(c, S(META_SKUID), nft_u32(0));
	eq(c, S(META_SKGID), nft_u32(1000));
	eq(c, S(META_PKTTYPE), nft_u8(1));
	cmp(c, S(META_LENGTH), NFC_GE, nft_u32(1400));
	cmp(c, S(META_L4PROTO), NFC_NE, nft_u8(17));
}

static void make_headers(struct nft_ruleset *rs)
{
	struct nft_chain *c = nft_chain_add(nft_table_add(rs, NFPROTO_INET, "t"), "c");
	struct nft_rule *r;

	eq(c, S(IP_SADDR), av("10.1.2.3"));
	cmp(c, S(IP_SADDR), NFC_NE, av("10.1.2.3"));
	under(c, S(IP_DADDR), NFC_EQ, "10.0.0.0/8");
	under(c, S(IP_DADDR), NFC_NE, "10.64.0.0/11");
	nft_match_mask(rule(c), S(IP_SADDR), av("0.0.0.255"), NFC_EQ, av("0.0.0.1"));
	range(c, S(IP_SADDR), NFC_RANGE, av("10.0.0.1"), av("10.0.0.7"));
	range(c, S(IP_SADDR), NFC_NOT_RANGE, av("10.0.0.1"), av("10.0.0.7"));
	cmp(c, S(IP_TTL), NFC_LT, nft_u8(5));
	cmp(c, S(IP_LENGTH), NFC_GT, nft_be16(576));
	eq(c, S(IP_PROTOCOL), nft_u8(47));
	eq(c, S(IP6_SADDR), av("::"));
	under(c, S(IP6_SADDR), NFC_EQ, "fe80::/10");
	under(c, S(IP6_DADDR), NFC_NE, "2001:db8::/32");
	eq(c, S(IP6_NEXTHDR), nft_u8(58));
	cmp(c, S(IP6_HOPLIMIT), NFC_NE, nft_u8(255));
	eq(c, S(TH_DPORT), nft_be16(53));
	eq(c, S(TH_SPORT), nft_be16(53));
	eq(c, S(TCP_DPORT), nft_be16(80));
	range(c, S(TCP_DPORT), NFC_RANGE, nft_be16(30000), nft_be16(32767));
	range(c, S(TCP_SPORT), NFC_NOT_RANGE, nft_be16(1), nft_be16(1023));
	cmp(c, S(UDP_DPORT), NFC_LE, nft_be16(1023));
	eq(c, S(UDP_SPORT), nft_be16(67));
	eq(c, S(SCTP_DPORT), nft_be16(9));
	eq(c, S(SCTP_SPORT), nft_be16(9));
	cmp(c, S(TCP_FLAGS), NFC_ANY, nft_u8(2));
	cmp(c, S(TCP_FLAGS), NFC_EQ, nft_u8(2));
	nft_match_mask(rule(c), S(TCP_FLAGS), nft_u8(0x17), NFC_EQ, nft_u8(2));
	eq(c, S(ICMP_TYPE), nft_u8(8));
	eq(c, S(ICMP_TYPE), nft_u8(77));
	eq(c, S(ICMPV6_TYPE), nft_u8(136));
	eq(c, NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16), av("fe80::5"));
	eq(c, NFT_RAW(NFT_PAYLOAD_NETWORK_HEADER, 1, 2), nft_be16(0x1234));
	r = rule(c); /* one implied match serves all that follow */
	nft_match(r, S(ICMP_TYPE), NFC_EQ, nft_u8(3));
	nft_match(r, S(ICMP_CODE), NFC_EQ, nft_u8(4));
	nft_match(r, S(IP_SADDR), NFC_EQ, av("10.0.0.1"));
	r = rule(c);
	nft_match(r, S(ICMPV6_TYPE), NFC_EQ, nft_u8(1));
	nft_match(r, S(ICMPV6_CODE), NFC_EQ, nft_u8(4));
	r = rule(c);
	nft_match(r, S(UDP_SPORT), NFC_EQ, nft_be16(67));
	nft_match(r, S(UDP_DPORT), NFC_EQ, nft_be16(68));
	nft_drop(r);
	r = rule(c);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(6));
	nft_match(r, S(IP_SADDR), NFC_EQ, av("10.0.0.1"));
	r = rule(c);
	nft_match(r, S(TCP_DPORT), NFC_EQ, nft_be16(22));
	nft_match(r, S(IP6_SADDR), NFC_EQ, av("fd00::1"));
	nft_counter(r);
	nft_accept(r);
}

static void make_ct(struct nft_ruleset *rs)
{
	struct nft_chain *c = nft_chain_add(nft_table_add(rs, NFPROTO_INET, "t"), "c");

	cmp(c, S(CT_STATE), NFC_ANY, nft_u32(2 | 4));
	cmp(c, S(CT_STATE), NFC_ANY, nft_u32(8));
	cmp(c, S(CT_STATE), NFC_NONE, nft_u32(2 | 4));
	cmp(c, S(CT_STATE), NFC_ANY, nft_u32(64));
	cmp(c, S(CT_STATE), NFC_ANY, nft_u32(1));
	cmp(c, S(CT_STATUS), NFC_ANY, nft_u32(32));
	cmp(c, S(CT_STATUS), NFC_NONE, nft_u32(16));
	eq(c, S(CT_MARK), nft_u32(5));
	nft_match_mask(rule(c), S(CT_MARK), nft_u32(0xf), NFC_EQ, nft_u32(1));
	eq(c, S(CT_DIRECTION), nft_u8(0));
	eq(c, S(CT_DIRECTION), nft_u8(1));
	eq(c, S(CT_ORIG_SADDR4), av("10.0.0.1"));
	eq(c, S(CT_ORIG_DADDR4), av("10.0.0.1"));
	eq(c, S(CT_ORIG_SADDR6), av("fd00::1"));
	eq(c, S(CT_ORIG_DADDR6), av("fd00::1"));
	eq(c, S(CT_REPLY_SADDR4), av("10.0.0.1"));
	eq(c, S(CT_REPLY_SADDR6), av("fd00::1"));
	eq(c, S(FIB_DADDR_TYPE), nft_u32(2));
	cmp(c, S(FIB_SADDR_TYPE), NFC_NE, nft_u32(1));
	eq(c, S(FIB_SADDR_IIF_OIF), nft_u32(0));
	eq(c, S(FIB_SADDR_IIF_OIF), nft_u32(1));
	cmp(c, S(RT_TCPMSS), NFC_GT, nft_u16h(1000));
	eq(c, NFT_NUMGEN(NFK_NUMGEN_RANDOM, 2), nft_u32(0));
	cmp(c, (struct nft_sel){ .key = NFK_NUMGEN_INC, .modulus = 10, .add = 5 }, NFC_LT,
	    nft_u32(7));
	eq(c,
	   (struct nft_sel){
		   .key = NFK_JHASH, .modulus = 2, .of = K(S(IP_SADDR), S(TCP_SPORT)), .n_of = 2 },
	   nft_u32(1));
	eq(c,
	   (struct nft_sel){ .key = NFK_JHASH,
			     .modulus = 16,
			     .seed = 0xdeadbeef,
			     .add = 3,
			     .of = K(S(IP6_SADDR)),
			     .n_of = 1 },
	   nft_u32(4));
}

/* ---- sets */

static void elem(struct nft_set *s, const uint8_t *key, const uint8_t *end, const uint8_t *data,
		 const char *comment)
{
	nft_elem_add(s, &(struct nft_elem){
				.key = key, .key_end = end, .data = data, .comment = comment });
}

static void addr_elem(struct nft_set *s, const char *p)
{
	struct prefix x = net(p);
	struct ipaddr last = prefix_last(&x);

	elem(s, x.addr.b, x.len == addr_bits(&x.addr) ? NULL : last.b, NULL, NULL);
}

static void make_sets(struct nft_ruleset *rs)
{
	static const char *const nets[] = { "240.0.0.0/4", "10.0.0.0/8", "11.0.0.0/8",
					    "1.2.3.4/32",  "0.0.0.0/8",  "1.2.3.5/32" };
	static const char *const names[] = { "b", "abc", "ab", "lo", "fl1", "fl2" };
	static const uint32_t marks[] = { 1, 2, 256, 65536, 3, 4, 5, 6, 7 };
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_set *s = nft_set_add(t, "nets", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV4_ADDR));
	struct nft_chain *c;
	struct ipaddr a, b;
	struct nft_rule *r;

	s->comment = "what is ours";
	for (unsigned i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
		addr_elem(s, nets[i]);
	a = ip("20.0.0.5");
	b = ip("20.0.0.9");
	elem(s, a.b, b.b, NULL, "a range");
	s = nft_set_add(t, "nets6", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV6_ADDR));
	addr_elem(s, "fd00::/8");
	addr_elem(s, "2001:db8::1/128");
	addr_elem(s, "ff00::/8");
	s = nft_set_add(t, "links", 0, NFT_TYPES(NFTY_IFNAME));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct nft_val v = nft_ifname(names[i]);

		elem(s, v.b, NULL, NULL, i == 3 ? "loop" : NULL);
	}
	s = nft_set_add(t, "marks", NFT_SET_CONSTANT, NFT_TYPES(NFTY_MARK));
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		elem(s, (const void *)&marks[i], NULL, NULL, NULL);
	s = nft_set_add(t, "macs", 0, NFT_TYPES(NFTY_ETHER_ADDR));
	elem(s, mac1.b, NULL, NULL, NULL);
	s = nft_set_add(t, "protos", 0, NFT_TYPES(NFTY_INET_PROTO));
	for (unsigned i = 0; i < 3; i++)
		elem(s, &(const uint8_t[]){ 6, 17, 99 }[i], NULL, NULL, NULL);
	s = nft_set_add(t, "seen", NFT_SET_EVAL | NFT_SET_TIMEOUT,
			NFT_TYPES(NFTY_IPV4_ADDR, NFTY_INET_SERVICE));
	s->size = 1000;
	s->timeout_ms = 3661000;
	s = nft_set_add(t, "aged", NFT_SET_TIMEOUT, NFT_TYPES(NFTY_INET_SERVICE));
	elem(s, nft_be16(80).b, NULL, NULL, NULL);
	nft_elem_add(s, &(struct nft_elem){ .key = nft_be16(81).b, .timeout_ms = 90000 });

	c = nft_chain_add(t, "c");
	nft_match_set(rule(c), K(S(IP_SADDR)), "nets");
	nft_match_not_set(rule(c), K(S(IP_DADDR)), "nets");
	nft_match_not_set(rule(c), K(S(IP6_DADDR)), "nets6");
	nft_match_set(rule(c), K(S(META_IIFNAME)), "links");
	nft_match_set(rule(c), K(S(META_MARK)), "marks");
	nft_match_set(rule(c), K(S(META_L4PROTO)), "protos");
	nft_match_set(rule(c), K(S(TCP_DPORT)), "aged");
	r = rule(c);
	nft_dynset(r, NFT_DYNSET_OP_UPDATE, K(S(IP_SADDR), S(TCP_SPORT)), "seen", 0);
	nft_dynset(rule(c), NFT_DYNSET_OP_ADD, K(S(IP_SADDR), S(UDP_SPORT)), "seen", 5000);
	nft_dynset(rule(c), NFT_DYNSET_OP_DELETE, K(S(IP_SADDR), S(TH_SPORT)), "seen", 0);
}

static void make_concat(struct nft_ruleset *rs)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_chain *c = nft_chain_add(t, "c");
	struct nft_set *s;
	struct ipaddr a = ip("10.0.0.1"), b = ip("10.244.0.0"), b2 = ip("10.244.255.255");
	uint32_t n;

	s = nft_set_add(t, "src4", 0, NFT_TYPES(NFTY_IFNAME, NFTY_IPV4_ADDR));
	for (unsigned i = 0; i < 3; i++) {
		uint8_t key[NFT_KEY_MAX] = { 0 };

		a.b[3] = 3 - i;
		nft_key_addr(key, nft_key_ifname(key, 0, i ? "fl22" : "fl1"), &a);
		elem(s, key, NULL, NULL, i == 1 ? "pod shop/db" : NULL);
	}
	s = nft_set_add(t, "peers", NFT_SET_INTERVAL,
			NFT_TYPES(NFTY_IPV4_ADDR, NFTY_INET_PROTO, NFTY_INET_SERVICE));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t lo[NFT_KEY_MAX] = { 0 }, hi[NFT_KEY_MAX] = { 0 };

		n = nft_key_put(lo, nft_key_addr(lo, 0, i ? &b : &a), nft_u8(6).b, 1);
		nft_key_put(lo, n, nft_be16(80).b, 2);
		n = nft_key_put(hi, nft_key_addr(hi, 0, i ? &b2 : &a), nft_u8(6).b, 1);
		nft_key_put(hi, n, nft_be16(i ? 80 : 90).b, 2);
		elem(s, lo, hi, NULL, NULL);
	}
	s = nft_set_typeof(t, "nd", 0,
			   K(S(META_IIFNAME), NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16)));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t key[NFT_KEY_MAX] = { 0 };

		a = ip(i ? "::c" : "fe80::1");
		nft_key_addr(key, nft_key_ifname(key, 0, "fl1"), &a);
		elem(s, key, NULL, NULL, NULL);
	}
	nft_set_add(t, "tuple", 0,
		    NFT_TYPES(NFTY_IPV4_ADDR, NFTY_IPV4_ADDR, NFTY_INET_PROTO, NFTY_INET_SERVICE,
			      NFTY_INET_SERVICE));
	nft_set_typeof(t, "ctm", 0, K(S(CT_MARK), S(CT_STATE), S(CT_ORIG_SADDR4)));
	nft_set_typeof(t, "six", 0, K(S(IP6_SADDR), S(IP6_NEXTHDR), S(META_MARK)));
	nft_set_typeof(t, "one", 0, K(S(META_OIFNAME)));

	nft_match_not_set(rule(c), K(S(META_IIFNAME), S(IP_SADDR)), "src4");
	nft_match_set(rule(c), K(S(IP_DADDR), S(META_L4PROTO), S(TH_DPORT)), "peers");
	nft_match_not_set(rule(c), K(S(META_IIFNAME), NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16)),
			  "nd");
	nft_match_set(rule(c),
		      K(S(IP_SADDR), S(IP_DADDR), S(META_L4PROTO), S(TH_SPORT), S(TH_DPORT)),
		      "tuple");
}

static void make_maps(struct nft_ruleset *rs)
{
	static const struct nft_sel svc[] = { { .key = NFK_META_L4PROTO },
					      { .key = NFK_IP_DADDR },
					      { .key = NFK_TH_DPORT },
					      { .key = NFK_NUMGEN_RANDOM, .modulus = 2 },
					      { .key = NFK_NONE } };
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_chain *c = nft_chain_add(t, "c"), *lb = nft_chain_add(t, "lb-2"), *n;
	struct nft_set *m;
	struct ipaddr a = ip("10.96.0.1"), p = ip("10.244.1.2");
	uint8_t key[NFT_KEY_MAX] = { 0 }, data[NFT_KEY_MAX] = { 0 };
	uint32_t len;

	m = nft_set_add(t, "svc", 0, NFT_TYPES(NFTY_INET_PROTO, NFTY_IPV4_ADDR, NFTY_INET_SERVICE));
	nft_set_data(m, NFT_TYPES(NFTY_VERDICT));
	m->counter = 1;
	len = nft_key_put(key, 0, nft_u8(6).b, 1);
	len = nft_key_addr(key, len, &a);
	nft_key_put(key, len, nft_be16(80).b, 2);
	nft_elem_add(m, &(struct nft_elem){ .key = key,
					    .verdict = { NFT_GOTO, "lb-2" },
					    .comment = "default/web:http" });
	key[3 + 4 + 1] ^= 1;
	nft_elem_add(m, &(struct nft_elem){ .key = key, .verdict = { NF_DROP, NULL } });
	key[3 + 4 + 1] ^= 1;
	m = nft_set_typeof(t, "eps", 0, svc);
	nft_set_data_typeof(m, K(S(IP_DADDR), S(TH_DPORT)));
	nft_key_put(data, nft_key_addr(data, 0, &p), nft_be16(8080).b, 2);
	nft_elem_add(m, &(struct nft_elem){ .key = key, .data = data });
	m = nft_set_typeof(t, "addrs", 0, svc);
	nft_set_data_typeof(m, K(S(IP_DADDR)));
	m = nft_set_add(t, "marks", 0, NFT_TYPES(NFTY_IPV4_ADDR));
	nft_set_data(m, NFT_TYPES(NFTY_MARK));
	elem(m, p.b, NULL, nft_u32(0x10).b, "by pod");
	m = nft_set_add(t, "affinity", NFT_SET_EVAL | NFT_SET_TIMEOUT,
			NFT_TYPES(NFTY_IPV4_ADDR, NFTY_INET_SERVICE));
	nft_set_data(m, NFT_TYPES(NFTY_MARK));
	m->size = 65536;
	m->timeout_ms = 10800000;
	m = nft_set_add(t, "ports", 0, NFT_TYPES(NFTY_INET_SERVICE));
	nft_set_data(m, NFT_TYPES(NFTY_INET_SERVICE));
	elem(m, nft_be16(80).b, NULL, nft_be16(8080).b, NULL);
	m = nft_set_add(t, "ranges", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV4_ADDR));
	nft_set_data(m, NFT_TYPES(NFTY_VERDICT));
	a = ip("10.0.0.0");
	p = ip("10.255.255.255");
	nft_elem_add(m, &(struct nft_elem){
				.key = a.b, .key_end = p.b, .verdict = { NFT_JUMP, "lb-2" } });

	nft_vmap(rule(c), K(S(META_L4PROTO), S(IP_DADDR), S(TH_DPORT)), "svc");
	nft_vmap(rule(c), K(S(IP_SADDR)), "ranges");
	nft_set_map(rule(c), NFTT_MARK, K(S(IP_SADDR)), "marks");
	nft_set_map(rule(c), NFTT_CTMARK, K(S(IP_SADDR)), "marks");
	nft_dynset_map(rule(c), NFT_DYNSET_OP_UPDATE, K(S(IP_SADDR), S(TCP_DPORT)), K(S(META_MARK)),
		       "affinity", 0);
	nft_dynset_map(rule(c), NFT_DYNSET_OP_ADD, K(S(IP_SADDR), S(TCP_DPORT)), K(S(META_MARK)),
		       "affinity", 60000);
	nft_nat_map(rule(lb), NFT_NAT_DNAT, NFPROTO_IPV4, svc, "eps", true);
	nft_nat_map(rule(lb), NFT_NAT_DNAT, NFPROTO_IPV4, svc, "addrs", false);
	n = nft_base_add(t, "nat", "nat", NF_INET_PRE_ROUTING, -95);
	nft_jump(nft_rule_add(n, "to the balancer"), "lb-2");
}

/* The id of a choice travels from rule to rule in the priority. */
static void make_priority(struct nft_ruleset *rs)
{
	static const uint32_t ids[] = { 0, 5, 0x50000, 0x10002, 0x10003, 0xfff0001, UINT32_MAX };
	static const struct nft_sel flow[] = { { .key = NFK_META_L4PROTO },
					       { .key = NFK_IP_DADDR },
					       { .key = NFK_TH_DPORT },
					       { .key = NFK_IP_SADDR },
					       { .key = NFK_NONE } };
	static const struct nft_sel pick[] = { { .key = NFK_META_PRIORITY },
					       { .key = NFK_NUMGEN_RANDOM, .modulus = 3 },
					       { .key = NFK_NONE } };
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_chain *c = nft_chain_add(t, "c");
	struct nft_set *m;
	struct nft_rule *r;

	m = nft_set_typeof(t, "groups", 0, K(S(META_PRIORITY)));
	nft_set_data(m, NFT_TYPES(NFTY_VERDICT));
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		nft_elem_add(m, &(struct nft_elem){ .key = (const void *)&ids[i],
						    .verdict = { NF_ACCEPT, NULL } });
	m = nft_set_typeof(t, "other", 0, K(S(META_PRIORITY)));
	nft_set_data_typeof(m, K(S(META_PRIORITY)));
	elem(m, nft_u32(0x10002).b, NULL, nft_u32(0x10003).b, "a way back");
	m = nft_set_add(t, "class", 0, NFT_TYPES(NFTY_CLASSID));
	nft_set_data(m, NFT_TYPES(NFTY_CLASSID));
	elem(m, nft_u32(0x10002).b, NULL, nft_u32(0x10003).b, NULL);
	m = nft_set_typeof(t, "affinity", NFT_SET_EVAL | NFT_SET_TIMEOUT, flow);
	nft_set_data_typeof(m, K(S(META_PRIORITY)));
	m->size = 65536;
	m = nft_set_typeof(t, "endpoints", 0,
			   K(S(META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, 65536)));
	nft_set_data_typeof(m, K(S(IP6_DADDR), S(TCP_DPORT)));
	m = nft_set_add(t, "masq", 0,
			NFT_TYPES(NFTY_INET_PROTO, NFTY_IPV4_ADDR, NFTY_INET_SERVICE));
	nft_set_data(m, NFT_TYPES(NFTY_VERDICT));

	eq(c, S(META_PRIORITY), nft_u32(0x10002));
	cmp(c, S(META_PRIORITY), NFC_GT, nft_u32(0x10002));
	range(c, S(META_PRIORITY), NFC_RANGE, nft_u32(0x10002), nft_u32(0xabcdef0));
	nft_match_mask(rule(c), S(META_PRIORITY), nft_u32(0xff), NFC_EQ, nft_u32(2));
	nft_set_imm(rule(c), NFTT_PRIORITY, 0);
	nft_set_imm(rule(c), NFTT_PRIORITY, 0x10002);
	r = rule(c);
	nft_set_map(r, NFTT_PRIORITY, flow, "affinity");
	nft_dynset_map(r, NFT_DYNSET_OP_UPDATE, flow, K(S(META_PRIORITY)), "affinity", 10800000);
	r = rule(c);
	nft_set_map(r, NFTT_PRIORITY, K(S(META_PRIORITY)), "other");
	nft_vmap(r, K(S(META_PRIORITY)), "groups");
	r = rule(c);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_TCP));
	nft_nat_map(r, NFT_NAT_DNAT, NFPROTO_IPV6, pick, "endpoints", true);
	r = rule(c);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_SCTP));
	nft_vmap(r, K(S(META_L4PROTO), S(CT_ORIG_DADDR4), S(CT_ORIG_DPORT)), "masq");
	r = rule(c);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_UDP));
	nft_match(r, S(CT_ORIG_SPORT), NFC_EQ, nft_be16(53));
}

/* ---- statements */

static void make_statements(struct nft_ruleset *rs)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_chain *r0 = nft_chain_add(t, "r"), *c = nft_chain_add(t, "c");
	struct nft_rule *r;

	t->comment = "all statements";
	nft_counter(rule(r0));
	nft_limit(rule(c), 10, 1, NFT_BURST, false);
	nft_limit(rule(c), 10, 60, 7, false);
	nft_limit(rule(c), 10, 3600, NFT_BURST, true);
	nft_stmt_add(rule(c),
		     &(struct nft_stmt){ .kind = NFS_LIMIT, .limit = { 10240, 1, 0, 1, 0 } });
	nft_log_group(rule(c), 5, NULL);
	nft_log_group(rule(c), 0, "fairlead drop ");
	nft_stmt_add(rule(c), &(struct nft_stmt){ .kind = NFS_LOG, .log = { "x", 1, 5, 100 } });
	nft_stmt_add(rule(c), &(struct nft_stmt){ .kind = NFS_LOG, .log = { .prefix = "a b" } });
	nft_reject(rule(c), NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
	nft_reject(rule(c), NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
	nft_reject(rule(c), NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_NO_ROUTE);
	r = rule(c);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(6));
	nft_reject(r, NFT_REJECT_TCP_RST, 0);
	r = rule(c);
	nft_match(r, S(TCP_DPORT), NFC_EQ, nft_be16(80));
	nft_reject(r, NFT_REJECT_TCP_RST, 0);
	nft_stmt_add(rule(c),
		     &(struct nft_stmt){ .kind = NFS_REJECT,
					 .reject = { NFT_REJECT_ICMP_UNREACH, 1, NFPROTO_IPV4 } });
	nft_stmt_add(rule(c),
		     &(struct nft_stmt){ .kind = NFS_REJECT,
					 .reject = { NFT_REJECT_ICMP_UNREACH, 4, NFPROTO_IPV6 } });
	nft_set_imm(rule(c), NFTT_NFTRACE, 1);
	nft_set_imm(rule(c), NFTT_MARK, 0x42);
	nft_set_imm(rule(c), NFTT_CTMARK, 0x42);
	nft_set_imm(rule(c), NFTT_PKTTYPE, 0);
	nft_set_bits(rule(c), NFTT_MARK, S(META_MARK), 0xffff00ff, 0x4200);
	nft_set_bits(rule(c), NFTT_MARK, S(META_MARK), 0xffffffff, 0x4200);
	nft_set_bits(rule(c), NFTT_MARK, S(META_MARK), 0xffff00ff, 0);
	nft_set_bits(rule(c), NFTT_MARK, S(CT_MARK), 0xffffffff, 0);
	nft_set_bits(rule(c), NFTT_CTMARK, S(META_MARK), 0xff00, 0);
	nft_notrack(rule(c));
	nft_jump(nft_rule_add(c, "why"), "r");
	nft_goto(rule(c), "r");
	nft_return(rule(c));
	nft_verdict(rule(c), NFT_CONTINUE, NULL);
	r = nft_rule_add(c, "a comment of the greatest length that nft 1.0.6 takes, which is one "
			    "hundred and twenty-eight characters, without any space  .");
	nft_counter(r);
	nft_drop(r);
}

static void make_nat(struct nft_ruleset *rs)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_chain *post = nft_base_add(t, "post", "nat", NF_INET_POST_ROUTING, 100);
	struct nft_chain *pre = nft_base_add(t, "pre", "nat", NF_INET_PRE_ROUTING, -100);
	struct nft_set *m = nft_set_add(t, "ports", 0, NFT_TYPES(NFTY_INET_SERVICE));
	const struct nft_val none = { 0 };
	struct nft_stmt s = { .kind = NFS_NAT,
			      .nat = { .type = NFT_NAT_SNAT,
				       .family = NFPROTO_IPV4,
				       .flags = NF_NAT_RANGE_PROTO_RANDOM_FULLY,
				       .addr = av("1.2.3.4"),
				       .addr_max = av("1.2.3.8") } };
	struct nft_rule *r;

	nft_set_data(m, NFT_TYPES(NFTY_INET_SERVICE));
	nft_masquerade(rule(post), 0);
	nft_masquerade(rule(post), NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	nft_masquerade(rule(post), NF_NAT_RANGE_PROTO_RANDOM | NF_NAT_RANGE_PERSISTENT);
	nft_nat_to(rule(post), NFT_NAT_SNAT, av("1.2.3.4"), none);
	nft_nat_to(rule(post), NFT_NAT_SNAT, av("fd00::1"), none);
	nft_stmt_add(rule(post), &s);
	s.nat.flags = 0;
	s.nat.addr_max = none;
	s.nat.port = nft_be16(1000);
	s.nat.port_max = nft_be16(2000);
	r = rule(post);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(17));
	nft_stmt_add(r, &s);
	for (unsigned i = 0; i < 6; i++) {
		r = rule(pre);
		nft_match(r, S(TCP_DPORT), NFC_EQ, nft_be16(1000 + i));
		if (i == 0)
			nft_nat_to(r, NFT_NAT_DNAT, av("1.2.3.4"), nft_be16(80));
		if (i == 1)
			nft_nat_to(r, NFT_NAT_DNAT, av("fd00::1"), nft_be16(80));
		if (i == 2)
			nft_nat_to(r, NFT_NAT_DNAT, av("1.2.3.4"), none);
		if (i == 3)
			nft_redirect(r, nft_be16(80));
		if (i == 4)
			nft_redirect(r, none);
		if (i == 5)
			nft_stmt_add(r, &(struct nft_stmt){ .kind = NFS_REDIRECT,
							    .nat = { .keys = { K(S(TCP_DPORT)), 1 },
								     .map = "ports" } });
	}
}

static void make_families(struct nft_ruleset *rs)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_IPV4, "t");
	struct nft_chain *c = nft_base_add(t, "c", "filter", NF_INET_FORWARD, -10);
	struct nft_set *s;
	struct nft_rule *r;
	uint8_t key[NFT_KEY_MAX] = { 0 };
	uint32_t n;

	c->policy = NF_DROP;
	eq(c, S(IP_SADDR), av("1.2.3.4"));
	eq(c, S(TCP_DPORT), nft_be16(80));
	eq(c, S(ICMP_TYPE), nft_u8(8));
	nft_nat_to(rule(nft_base_add(t, "n", "nat", NF_INET_PRE_ROUTING, -100)), NFT_NAT_DNAT,
		   av("1.2.3.4"), (struct nft_val){ 0 });
	t = nft_table_add(rs, NFPROTO_IPV6, "t");
	c = nft_base_add(t, "c", "route", NF_INET_LOCAL_OUT, -151);
	eq(c, S(IP6_SADDR), av("::1"));
	eq(c, S(UDP_DPORT), nft_be16(53));
	eq(c, S(ICMPV6_TYPE), nft_u8(135));
	t = nft_table_add(rs, NFPROTO_ARP, "t");
	s = nft_set_add(t, "own", 0, NFT_TYPES(NFTY_IFNAME, NFTY_ETHER_ADDR, NFTY_IPV4_ADDR));
	n = nft_key_mac(key, nft_key_ifname(key, 0, "fl1"), &mac1);
	nft_key_addr(key, n, &(struct ipaddr){ AF_INET, { 10, 0, 0, 1 } });
	elem(s, key, NULL, NULL, NULL);
	c = nft_base_add(t, "c", "filter", 0, 0);
	eq(c, S(ARP_OP), nft_be16(1));
	eq(c, S(ARP_SADDR_IP), av("10.0.0.1"));
	eq(c, S(ARP_SADDR_ETHER), nft_mac(&mac1));
	eq(c, S(ARP_DADDR_IP), av("10.0.0.1"));
	eq(c, S(ARP_DADDR_ETHER), nft_mac(&mac1));
	nft_match_not_set(rule(c), K(S(META_IIFNAME), S(ARP_SADDR_ETHER), S(ARP_SADDR_IP)), "own");
	t = nft_table_add(rs, NFPROTO_BRIDGE, "t");
	nft_set_add(t, "own", 0, NFT_TYPES(NFTY_IFNAME, NFTY_ETHER_ADDR, NFTY_IPV4_ADDR));
	c = nft_base_add(t, "c", "filter", NF_BR_PRE_ROUTING, -300);
	eq(c, S(ETHER_SADDR), nft_mac(&mac1));
	cmp(c, S(ETHER_DADDR), NFC_NE, nft_mac(&mac1));
	eq(c, S(ETHER_TYPE), nft_be16(0x0806));
	eq(c, S(META_PROTOCOL), nft_be16(0x86dd));
	eq(c, S(ARP_SADDR_IP), av("10.0.0.1"));
	eq(c, S(IP_SADDR), av("10.0.0.1"));
	eq(c, S(IP6_SADDR), av("fe80::1"));
	eq(c, S(ICMPV6_TYPE), nft_u8(134));
	nft_match_not_set(rule(c), K(S(META_IIFNAME), S(ARP_SADDR_ETHER), S(ARP_SADDR_IP)), "own");
	r = rule(c);
	nft_match(r, S(IP_SADDR), NFC_EQ, av("10.0.0.1"));
	nft_match(r, S(TCP_DPORT), NFC_EQ, nft_be16(80));
	nft_match(r, S(ETHER_SADDR), NFC_EQ, nft_mac(&mac1));
	t = nft_table_add(rs, NFPROTO_NETDEV, "t");
	c = nft_base_add(t, "c", "filter", 0, 0);
	c->devs = arena_memdup(rs->arena, &(const char *){ "lo" }, sizeof(char *));
	c->n_devs = 1;
	eq(c, S(IP_SADDR), av("10.0.0.1"));
	eq(c, S(META_PROTOCOL), nft_be16(0x0806));
	eq(c, S(UDP_DPORT), nft_be16(4789));
}

static void make_priorities(struct nft_ruleset *rs)
{
	static const struct {
		const char *type;
		uint32_t hook;
		int32_t prio;
	} v[] = {
		{ "filter", NF_INET_PRE_ROUTING, -300 },    { "filter", NF_INET_PRE_ROUTING, -305 },
		{ "nat", NF_INET_PRE_ROUTING, -95 },        { "filter", NF_INET_FORWARD, -100 },
		{ "filter", NF_INET_FORWARD, 11 },          { "filter", NF_INET_LOCAL_OUT, -150 },
		{ "route", NF_INET_LOCAL_OUT, -151 },       { "filter", NF_INET_LOCAL_IN, 50 },
		{ "filter", NF_INET_LOCAL_IN, 100 },        { "nat", NF_INET_POST_ROUTING, 100 },
		{ "filter", NF_INET_LOCAL_IN, -2147483647 }
	};
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	char name[8];

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		snprintf(name, sizeof(name), "c%u", i);
		nft_base_add(t, name, v[i].type, v[i].hook, v[i].prio);
	}
}

const struct nft_input *nft_sample_input(void)
{
	static const struct ipaddr a1[] = { { AF_INET, { 10, 244, 1, 2 } },
					    { AF_INET6, { 0xfd, 0, 0, 0x10, [15] = 2 } } };
	static const struct ipaddr a2[] = { { AF_INET, { 10, 244, 1, 3 } },
					    { AF_INET6, { 0xfd, 0, 0, 0x10, [15] = 3 } } };
	static const struct nft_pod pods[] = {
		{ "fl0123456789abc", NFT_ROUTED, { { 2, 0x42, 1, 2, 3, 4 } }, a1, 2, { 0 } },
		{ "flcba9876543210", NFT_BRIDGED, { { 2, 0x42, 1, 2, 3, 5 } }, a2, 2, { 0 } },
	};
	static const struct nft_pool pools[] = {
		{ { { AF_INET, { 10, 244 } }, 16 }, true },
		{ { { AF_INET, { 10, 244, 128 } }, 24 }, false },
		{ { { AF_INET6, { 0xfd, 0, 0, 0x10 } }, 64 }, true },
		{ { { AF_INET, { 192, 168 } }, 16 }, false },
	};
	static const struct nft_input in = { pods, 2, pools, 4 };

	return &in;
}

static void make_node(struct nft_ruleset *rs)
{
	struct err e;

	if (nft_build(rs, nft_sample_input(), &e)) {
		fprintf(stderr, "%s\n", e.text);
		assert(!"build");
	}
}

const struct svc_node *nft_sample_services(void)
{
	static struct prefix services[] = { { { AF_INET, { 10, 96 } }, 16 },
					    { { AF_INET6, { 0xfd, 0, 0, 0x96 } }, 112 } };
	static struct prefix ports[] = { { { AF_INET, { 192, 168 } }, 16 },
					 { { AF_INET6, { 0xfd, 0, 0, 0x16 } }, 64 } };
	static const struct svc_node node = { .services = { services, 2 },
					      .nodePortAddresses = { ports, 2 } };

	return &node;
}

static void make_services(struct nft_ruleset *rs)
{
	struct nft_table *t;

	make_node(rs);
	t = nft_table_get(rs, NFPROTO_INET, NFT_TABLE);
	nft_service_frame(t, nft_sample_services());
	for (unsigned i = 0; i < 2; i++)
		for (int p = PROTO_TCP; p <= PROTO_SCTP; p++) {
			struct nft_choice c = { i ? AF_INET6 : AF_INET, (uint8_t)p, 1 + 2 * i, 0 };

			nft_choice_chain(t, &c);
			c.affinity = 10800;
			nft_choice_chain(t, &c);
			assert(nft_choice_chain(t, &c)->n == 7);
		}
}

/* Node ports on all addresses, loopback too. */
static void make_nodeports(struct nft_ruleset *rs)
{
	const struct svc_node node = { .localhost_node_ports = true };

	make_node(rs);
	nft_service_frame(nft_table_get(rs, NFPROTO_INET, NFT_TABLE), &node);
}

void nft_bulk(struct nft_ruleset *rs, uint32_t n)
{
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "bulk");
	struct nft_set *s = nft_set_add(t, "big", 0, NFT_TYPES(NFTY_IPV4_ADDR, NFTY_INET_SERVICE));
	struct nft_chain *c = nft_chain_add(t, "c");

	for (uint32_t i = 0; i < n; i++) {
		struct ipaddr a = addr_v4(0x0a000000 + i);
		uint8_t key[NFT_KEY_MAX] = { 0 };

		nft_key_put(key, nft_key_addr(key, 0, &a), nft_be16((uint16_t)(i % 1000 + 1)).b, 2);
		nft_elem_add(s, &(struct nft_elem){ .key = key });
	}
	nft_match_set(rule(c), K(S(IP_SADDR), S(TH_DPORT)), "big");
}

const struct nft_case nft_cases[] = {
	{ "meta", make_meta },
	{ "headers", make_headers },
	{ "ct", make_ct },
	{ "sets", make_sets },
	{ "concat", make_concat },
	{ "maps", make_maps },
	{ "priority", make_priority },
	{ "statements", make_statements },
	{ "nat", make_nat },
	{ "families", make_families },
	{ "priorities", make_priorities },
	{ "node", make_node },
	{ "services", make_services },
	{ "nodeports", make_nodeports },
	{ "policies", nft_case_policies },
	{ NULL, NULL },
};
