/* SPDX-License-Identifier: Apache-2.0 */
/* UPDATE: what comes of each fault (RFC 7606), what is read and written (RFC 4271, 4760, 6793), octets written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "octets.h"

#include "core/bgp/path.h"
#include "core/bgp/update.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Attributes: flags, type, length, value. */
#define ORIGIN     "40010100"
#define PATH       "40020602010000fde9" /* 65001 */
#define HOP        "4003040a000002"
#define LOCAL_PREF "40050400000064"
#define NLRI       "18c00002" /* 192.0.2.0/24 */
#define GOOD       ORIGIN PATH HOP
#define REACH6                                                                                     \
	"800e1a"                                                                                   \
	"000201"                                                                                   \
	"10"                                                                                       \
	"fd000000000000000000000000000002"                                                         \
	"00"                                                                                       \
	"20"                                                                                       \
	"20010db8"

static const struct bgp_link external = {
	.as4 = true, .family = { true, true }, .ebgp = true, .peer_as = 65001
};
static const struct bgp_link internal = { .as4 = true, .family = { true, true }, .peer_as = 65000 };

static struct arena arena;
static uint8_t body[8192];

/* The lengths are put in here. */
static struct bgp_update decode(const char *withdrawn, const char *attrs, const char *nlri,
				const struct bgp_link *l)
{
	struct bgp_update u;
	size_t n, at = 2;

	n = octets(withdrawn, body + at);
	body[0] = (uint8_t)(n >> 8);
	body[1] = (uint8_t)n;
	at += n;
	n = octets(attrs, body + at + 2);
	body[at] = (uint8_t)(n >> 8);
	body[at + 1] = (uint8_t)n;
	at += 2 + n;
	at += octets(nlri, body + at);
	assert_int_equal(bgp_update_decode(body, at, l, &arena, &u), 0);
	return u;
}

/* ---- faults */

enum { E, I }; /* from another AS, from ours */

static const struct {
	const char *what, *attrs, *nlri;
	int from;
	enum bgp_verdict verdict;
	uint8_t sub; /* of the fault */
	uint32_t discarded;
} faults[] = {
	{ "nothing wrong", GOOD, NLRI, E, BGP_OK, 0, 0 },
	{ "nothing wrong, from within", GOOD LOCAL_PREF, NLRI, I, BGP_OK, 0, 0 },
	{ "any order", HOP PATH ORIGIN, NLRI, E, BGP_OK, 0, 0 },
	{ "an extended length that need not be", "5001000100" PATH HOP, NLRI, E, BGP_OK, 0, 0 },
	/* RFC 7606 7.1 to 7.10 */
	{ "ORIGIN of 2", "4001020000" PATH HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTE_LENGTH,
	  0 },
	{ "ORIGIN 3", "40010103" PATH HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "ORIGIN said to be optional", "c0010100" PATH HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_FLAGS,
	  0 },
	{ "AS_PATH with a segment past its end", ORIGIN "40020602020000fde9" HOP, NLRI, E,
	  BGP_AS_WITHDRAWN, BGP_E_AS_PATH, 0 },
	{ "AS_PATH with an empty segment", ORIGIN "40020802010000fde90200" HOP, NLRI, E,
	  BGP_AS_WITHDRAWN, BGP_E_AS_PATH, 0 },
	{ "AS_PATH with a segment of no type", ORIGIN "40020605010000fde9" HOP, NLRI, E,
	  BGP_AS_WITHDRAWN, BGP_E_AS_PATH, 0 },
	{ "AS_PATH of a confederation", ORIGIN "40020603010000fde9" HOP, NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_AS_PATH, 0 },
	{ "AS_PATH with AS 0", ORIGIN "40020a02020000fde900000000" HOP, NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_AS_PATH, 0 },
	{ "AS_PATH that does not begin with the peer", ORIGIN "40020602010000fdea" HOP, NLRI, E,
	  BGP_AS_WITHDRAWN, BGP_E_AS_PATH, 0 },
	{ "AS_PATH that is empty", ORIGIN "400200" HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_AS_PATH,
	  0 },
	{ "AS_PATH that is empty, from within", ORIGIN "400200" HOP LOCAL_PREF, NLRI, I, BGP_OK, 0,
	  0 },
	{ "NEXT_HOP of 5", ORIGIN PATH "4003050a00000200", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "NEXT_HOP 0.0.0.0", ORIGIN PATH "40030400000000", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_NEXT_HOP, 0 },
	{ "NEXT_HOP 127.0.0.1", ORIGIN PATH "4003047f000001", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_NEXT_HOP, 0 },
	{ "NEXT_HOP 224.0.0.1", ORIGIN PATH "400304e0000001", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_NEXT_HOP, 0 },
	{ "MED of 3", GOOD "800403000000", NLRI, E, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "LOCAL_PREF of 3", GOOD "400503000000", NLRI, I, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTE_LENGTH,
	  0 },
	{ "LOCAL_PREF of 3, from another AS", GOOD "400503000000", NLRI, E, BGP_OK, 0, 1 },
	{ "LOCAL_PREF missing, from within", GOOD, NLRI, I, BGP_AS_WITHDRAWN, BGP_E_MISSING, 0 },
	{ "ATOMIC_AGGREGATE of 1", GOOD "40060100", NLRI, E, BGP_OK, 0, 1 },
	{ "AGGREGATOR of 6", GOOD "c00706fde90a000002", NLRI, E, BGP_OK, 0, 1 },
	{ "AGGREGATOR with AS 0", GOOD "c00708000000000a000002", NLRI, E, BGP_OK, 0, 1 },
	{ "COMMUNITIES of 3", GOOD "c00803000000", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "COMMUNITIES of 0", GOOD "c00800", NLRI, E, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "COMMUNITIES twice",
	  GOOD "c00804fde80001"
	       "c00803000000",
	  NLRI, E, BGP_OK, 0, 1 },
	{ "ORIGINATOR_ID of 3", GOOD LOCAL_PREF "800903000000", NLRI, I, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "ORIGINATOR_ID from another AS", GOOD "8009040a000009", NLRI, E, BGP_OK, 0, 1 },
	{ "CLUSTER_LIST of 5", GOOD LOCAL_PREF "800a050a00000900", NLRI, I, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "extended communities of 7", GOOD "c0100700000000000000", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	{ "large communities of 11", GOOD "c0200b0000000000000000000000", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTE_LENGTH, 0 },
	/* 3 d: missing */
	{ "no ORIGIN", PATH HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_MISSING, 0 },
	{ "no AS_PATH", ORIGIN HOP, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_MISSING, 0 },
	{ "no NEXT_HOP", ORIGIN PATH, NLRI, E, BGP_AS_WITHDRAWN, BGP_E_MISSING, 0 },
	{ "no attribute", "", NLRI, E, BGP_AS_WITHDRAWN, BGP_E_MISSING, 0 },
	/* 4: the list cannot be followed to its end */
	{ "an attribute past the end", GOOD "c00808fde80001", NLRI, E, BGP_AS_WITHDRAWN,
	  BGP_E_ATTRIBUTES, 0 },
	{ "half a header", GOOD "c008", NLRI, E, BGP_AS_WITHDRAWN, BGP_E_ATTRIBUTES, 0 },
	/* 5.2: nothing is reachable that could be withdrawn */
	{ "ORIGIN 3, and no prefix", "40010103" PATH HOP, "", E, BGP_RESET, BGP_E_ATTRIBUTE_LENGTH,
	  0 },
	/* 5.3: prefixes */
	{ "a prefix of 33", GOOD, "21c000020000", E, BGP_RESET, BGP_E_NETWORK, 0 },
	{ "a prefix cut short", GOOD, "18c000", E, BGP_RESET, BGP_E_NETWORK, 0 },
	{ "an IPv6 prefix of 129",
	  ORIGIN PATH "800e27"
		      "000201"
		      "10"
		      "fd000000000000000000000000000002"
		      "00"
		      "81"
		      "20010db80000000000000000000000000000",
	  "", E, BGP_RESET, BGP_E_NETWORK, 0 },
	/* 3 g, 7.11 */
	{ "MP_REACH_NLRI twice", ORIGIN PATH REACH6 REACH6, "", E, BGP_RESET, BGP_E_ATTRIBUTES, 0 },
	{ "a next hop of 5",
	  ORIGIN PATH "800e0f"
		      "000201"
		      "05"
		      "fd00000000"
		      "00"
		      "20"
		      "20010db8",
	  "", E, BGP_RESET, BGP_E_ATTRIBUTE, 0 },
	{ "a next hop past the end",
	  ORIGIN PATH "800e05"
		      "000201"
		      "ff"
		      "00",
	  "", E, BGP_RESET, BGP_E_ATTRIBUTE, 0 },
	{ "MP_UNREACH_NLRI of 2", "800f020002", "", E, BGP_RESET, BGP_E_ATTRIBUTE, 0 },
	{ "a family that nobody speaks",
	  ORIGIN PATH "800e0b"
		      "000180"
		      "04"
		      "0a000002"
		      "00"
		      "08"
		      "0a",
	  "", E, BGP_OK, 0, 0 },
	/* RFC 4271 6.3 */
	{ "a well-known one that is none", GOOD "40630100", NLRI, E, BGP_RESET, BGP_E_WELL_KNOWN,
	  0 },
	{ "one that is not known", GOOD "c0630100", NLRI, E, BGP_OK, 0, 0 },
	{ "one that is not known, for the neighbour alone", GOOD "80630100", NLRI, E, BGP_OK, 0,
	  0 },
};

static void test_faults(void **state)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct bgp_update u = decode("", faults[i].attrs, faults[i].nlri,
					     faults[i].from == E ? &external : &internal);
		const struct bgp_routes *r = &u.family[BGP_IPV4];

		if (u.verdict != faults[i].verdict || u.discarded != faults[i].discarded ||
		    (u.verdict != BGP_OK &&
		     (u.fault.code != BGP_E_UPDATE || u.fault.sub != faults[i].sub)))
			fail_msg("%s: verdict %d, %u/%u %s, %u discarded", faults[i].what,
				 u.verdict, u.fault.code, u.fault.sub, u.fault.text, u.discarded);
		if (u.verdict == BGP_OK && *faults[i].nlri)
			assert_true(r->n_reach == 1 && !r->n_unreach);
		if (u.verdict == BGP_AS_WITHDRAWN)
			assert_true(!r->n_reach && r->n_unreach == 1);
		arena_reset(&arena);
	}
}

static void test_lengths(void **state)
{
	static const char *const bad[] = { "0001",     "000100",   "00000001",
					   "ffff0000", "0000ffff", "00" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bgp_update u;
		size_t n = octets(bad[i], body);

		assert_int_equal(bgp_update_decode(body, n, &external, &arena, &u), 0);
		assert_int_equal(u.verdict, BGP_RESET);
		assert_int_equal(u.fault.sub, BGP_E_ATTRIBUTES);
	}
}

/* ---- what is read */

static void assert_prefix(const struct prefix *p, const char *want)
{
	char text[PREFIX_TEXT];

	assert_string_equal(prefix_str(p, text), want);
}

static void test_routes(void **state)
{
	struct bgp_update u = decode("10ac10"
				     "08"
				     "0a",
				     GOOD "80040400000005"
					  "c00808fde80002fde80001",
				     NLRI "1ec0000207"
					  "04e0"
					  "00",
				     &external);
	const struct bgp_routes *r = &u.family[BGP_IPV4];

	assert_int_equal(u.verdict, BGP_OK);
	assert_int_equal(r->n_unreach, 2);
	assert_prefix(&r->unreach[0], "172.16.0.0/16");
	assert_prefix(&r->unreach[1], "10.0.0.0/8");
	/* Host bits are no fault, multicast is left out, the default route is a route. */
	assert_int_equal(r->n_reach, 3);
	assert_prefix(&r->reach[1], "192.0.2.4/30");
	assert_prefix(&r->reach[2], "0.0.0.0/0");
	assert_int_equal(r->attrs.fixed.med, 5);
	assert_int_equal(r->attrs.len[BGP_P_COMMUNITIES], 8);
	assert_int_equal(u.family[BGP_IPV6].n_reach, 0);

	u = decode("",
		   ORIGIN PATH REACH6 "800f08"
				      "000201"
				      "20"
				      "20010db9",
		   "", &external);
	r = &u.family[BGP_IPV6];
	assert_int_equal(u.verdict, BGP_OK);
	assert_int_equal(r->n_reach, 1);
	assert_prefix(&r->reach[0], "2001:db8::/32");
	assert_prefix(&r->unreach[0], "2001:db9::/32");
	assert_int_equal(r->attrs.fixed.next_hop.b[15], 2);
	assert_false(r->attrs.fixed.link_local.family);
}

/* RFC 2545 3: a global next hop and a link-local one. */
static void test_next_hops(void **state)
{
	struct bgp_update u = decode("",
				     ORIGIN PATH "800e2a"
						 "000201"
						 "20"
						 "fd000000000000000000000000000002"
						 "fe800000000000000000000000000002"
						 "00"
						 "20"
						 "20010db8",
				     "", &external);
	const struct bgp_attrs *f = &u.family[BGP_IPV6].attrs.fixed;
	char text[ADDR_TEXT];

	assert_int_equal(u.verdict, BGP_OK);
	assert_string_equal(addr_str(&f->next_hop, text), "fd00::2");
	assert_string_equal(addr_str(&f->link_local, text), "fe80::2");
}

static void test_end_of_rib(void **state)
{
	struct bgp_update u = decode("", "", "", &external);

	assert_true(u.family[BGP_IPV4].end && !u.family[BGP_IPV6].end);
	u = decode("", "800f03000201", "", &external);
	assert_true(u.family[BGP_IPV6].end && !u.family[BGP_IPV4].end);
	u = decode("", ORIGIN "800f03000201", "", &external);
	assert_false(u.family[BGP_IPV6].end);
}

static void assert_path(const struct bgp_draft *d, const char *want)
{
	struct bgp_store *s = bgp_store_new();
	struct bgp_attrs *a = bgp_store_take(s, d);
	struct buf b = { 0 };

	bgp_path_str(a, &b);
	assert_string_equal(b.n ? b.v : "", want);
	buf_fini(&b);
	bgp_store_drop(s, a);
	bgp_store_free(s);
}

/* RFC 6793 4.2.3: from a speaker of two octets. */
static void test_as4_path(void **state)
{
	struct bgp_link old = external;
	struct bgp_update u;

	old.as4 = false;
	u = decode("",
		   ORIGIN "40020a0204"
			  "fde9"
			  "fdea"
			  "5ba0"
			  "5ba0"
			  "c0110a0202"
			  "00010000"
			  "00010001" HOP,
		   NLRI, &old);
	assert_int_equal(u.verdict, BGP_OK);
	assert_path(&u.family[BGP_IPV4].attrs, "65001 65002 65536 65537");
	/* Longer than the path: it is not heeded. */
	u = decode("",
		   ORIGIN "4002040201"
			  "fde9"
			  "c0110a0202"
			  "00010000"
			  "00010001" HOP,
		   NLRI, &old);
	assert_path(&u.family[BGP_IPV4].attrs, "65001");
	/* Somebody aggregated who did not know of it. */
	u = decode("",
		   ORIGIN "4002060202"
			  "fde9"
			  "5ba0"
			  "c00706"
			  "fde9"
			  "0a000002"
			  "c011060201"
			  "00010000" HOP,
		   NLRI, &old);
	assert_path(&u.family[BGP_IPV4].attrs, "65001 23456");
	/* From one of four octets it means nothing. */
	u = decode("",
		   GOOD "c011060201"
			"00010000",
		   NLRI, &external);
	assert_path(&u.family[BGP_IPV4].attrs, "65001");
}

/* ---- what is written */

/* Everything that was written, read again: how many prefixes, and in how many messages. */
static uint32_t read_all(const struct buf *b, const struct bgp_link *l, enum bgp_family family,
			 bool reach, unsigned *messages)
{
	uint32_t n = 0;

	*messages = 0;
	for (size_t at = 0; at < b->n; ++*messages) {
		const uint8_t *m = (const uint8_t *)b->v + at;
		size_t len = (size_t)m[16] << 8 | m[17];
		struct bgp_update u;

		assert_true(len <= BGP_MESSAGE && at + len <= b->n);
		assert_int_equal(bgp_update_decode(m + BGP_HEADER, len - BGP_HEADER, l, &arena, &u),
				 0);
		assert_int_equal(u.verdict, BGP_OK);
		n += reach ? u.family[family].n_reach : u.family[family].n_unreach;
		at += len;
		arena_reset(&arena);
	}
	return n;
}

static void test_many(void **state)
{
	static struct prefix v[2][5000];
	struct bgp_draft d = { .fixed = { .next_hop.family = AF_INET } };
	struct bgp_link l = internal;
	unsigned messages;

	d.fixed.has = BGP_HAS_LOCAL_PREF | BGP_HAS_MED;
	for (uint32_t i = 0; i < 5000; i++) {
		v[BGP_IPV4][i] = (struct prefix){ addr_v4(0x0a000000 + (i << 8)), 24 };
		v[BGP_IPV6][i] = (struct prefix){
			{ AF_INET6, { 0x20, 1, 0xd, 0xb8, (uint8_t)(i >> 8), (uint8_t)i } }, 48
		};
	}
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		struct buf b = { 0 };
		int made;

		d.fixed.next_hop = f == BGP_IPV4 ? addr_v4(0x0a000002)
						 : (struct ipaddr){ AF_INET6, { 0xfd, [15] = 2 } };
		made = bgp_update_put(&b, f, &l, &d, v[f], 5000);
		assert_int_equal(read_all(&b, &l, f, true, &messages), 5000);
		assert_int_equal(messages, made);
		/* As full as they can be: 4 octets a prefix of 24, 7 of 48. */
		assert_true(messages <= (f == BGP_IPV4 ? 5 : 9));
		buf_clear(&b);
		made = bgp_update_put(&b, f, &l, NULL, v[f], 5000);
		assert_int_equal(read_all(&b, &l, f, false, &messages), 5000);
		assert_int_equal(messages, made);
		buf_fini(&b);
	}
}

/* What was read is what is written, but for Partial, and LOCAL_PREF that another AS is not told. */
static void test_round(void **state)
{
	static const char attrs[] = ORIGIN PATH HOP "80040400000005" LOCAL_PREF "400600"
						    "c00708"
						    "0000fde9"
						    "0a000002"
						    "c00808fde80001fde80002"
						    "8009040a000009"
						    "800a080a00000a0a00000b"
						    "c010080002fde800000001"
						    "c0200c0000fde80000000100000002"
						    "e0630401020304";
	struct bgp_update u = decode("", attrs, NLRI, &internal);
	uint8_t want[512];
	struct buf b = { 0 };
	size_t n = octets(attrs, want);

	assert_int_equal(u.verdict, BGP_OK);
	assert_int_equal(bgp_update_put(&b, BGP_IPV4, &internal, &u.family[BGP_IPV4].attrs,
					u.family[BGP_IPV4].reach, 1),
			 1);
	assert_int_equal(b.n, BGP_HEADER + 4 + n + 4);
	assert_memory_equal(b.v + BGP_HEADER + 4, want, n);
	buf_fini(&b);
}

/* To a speaker of two octets: AS_TRANS in its path, the whole beside it. */
static void test_old_speaker(void **state)
{
	struct bgp_link old = external;
	struct bgp_update u = decode("",
				     ORIGIN "40020a0202"
					    "0000fde9"
					    "00010000" HOP,
				     NLRI, &external);
	struct bgp_draft d = u.family[BGP_IPV4].attrs;
	struct prefix p = u.family[BGP_IPV4].reach[0];
	struct buf b = { 0 };

	old.as4 = false;
	assert_int_equal(bgp_update_put(&b, BGP_IPV4, &old, &d, &p, 1), 1);
	assert_int_equal(bgp_update_decode((const uint8_t *)b.v + BGP_HEADER, b.n - BGP_HEADER,
					   &old, &arena, &u),
			 0);
	assert_int_equal(u.verdict, BGP_OK);
	assert_path(&u.family[BGP_IPV4].attrs, "65001 65536");
	assert_non_null(memmem(b.v, b.n, "\x02\x02\xfd\xe9\x5b\xa0", 6));
	buf_fini(&b);
}

static void test_no_room(void **state)
{
	static uint8_t path[2 + 4 * 255];
	struct bgp_draft d = { .fixed = { .next_hop = addr_v4(0x0a000002) } };
	static uint8_t long_path[4 * sizeof(path)];
	struct prefix p = { addr_v4(0x0a000000), 8 };
	struct buf b = { 0 };

	path[0] = BGP_AS_SEQUENCE;
	path[1] = 255;
	for (unsigned i = 0; i < 255; i++)
		path[2 + 4 * i + 3] = 1;
	for (unsigned i = 0; i < 4; i++)
		memcpy(long_path + i * sizeof(path), path, sizeof(path));
	buf_puts(&b, "before");
	d.part[BGP_P_AS_PATH] = long_path;
	d.len[BGP_P_AS_PATH] = sizeof(long_path);
	assert_int_equal(bgp_update_put(&b, BGP_IPV4, &internal, &d, &p, 1), -EMSGSIZE);
	assert_int_equal(b.n, 6);
	buf_fini(&b);
}

static int clean(void **state)
{
	arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),      cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_routes),      cmocka_unit_test(test_next_hops),
		cmocka_unit_test(test_end_of_rib),  cmocka_unit_test(test_as4_path),
		cmocka_unit_test(test_many),        cmocka_unit_test(test_round),
		cmocka_unit_test(test_old_speaker), cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
