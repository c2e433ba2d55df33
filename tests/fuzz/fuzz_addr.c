/* SPDX-License-Identifier: Apache-2.0 */
/* Address, prefix and MAC text: what is accepted prints and parses back to the same value, and counts. What is read
 * leniently is a superset: the same value, but that a mapped IPv4 address is an IPv4 one.
 * Parser: base/addr.c */
#include "base/addr.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

static void count(const struct ipaddr *a, uint64_t n)
{
	struct ipaddr b = addr_add(a, n);
	struct prefix host = prefix_host(a);

	assert(addr_bits(a) == 32 ? (uint32_t)addr_sub(&b, a) == (uint32_t)n
				  : addr_sub(&b, a) == n);
	assert(prefix_has(&host, a) && prefix_has(&host, &b) == addr_eq(a, &b));
	if (a->family == AF_INET) {
		b = addr_v4((uint32_t)a->b[0] << 24 | (uint32_t)a->b[1] << 16 |
			    (uint32_t)a->b[2] << 8 | a->b[3]);
		assert(addr_eq(a, &b) && (!addr_is_link_local(a) || a->b[0] == 169));
	} else {
		assert(!addr_is_link_local(a) || a->b[0] == 0xfe);
	}
}

static void lax(const char *text)
{
	struct ipaddr a, a2;
	struct prefix p, p2;
	char buf[PREFIX_TEXT];

	if (!addr_parse_lax(text, &a)) {
		assert(!addr_parse(addr_str(&a, buf), &a2) && addr_eq(&a, &a2));
		if (!addr_parse(text, &a2) && a2.family == a.family)
			assert(addr_eq(&a, &a2));
	} else {
		assert(addr_parse(text, &a2));
	}
	if (!prefix_parse_lax(text, &p)) {
		assert(!prefix_parse(prefix_str(&p, buf), &p2) && prefix_eq(&p, &p2));
		assert(prefix_parse(text, &p2) || prefix_eq(&p, &p2));
	} else {
		assert(prefix_parse(text, &p2));
	}
}

static void round_trip(const char *text)
{
	struct ipaddr a, a2;
	struct prefix p, p2;
	struct macaddr m, m2;
	char buf[PREFIX_TEXT];

	if (!addr_parse(text, &a)) {
		assert(!addr_parse(addr_str(&a, buf), &a2));
		assert(addr_eq(&a, &a2));
		assert(!prefix_parse_host(text, &p) && p.len == addr_bits(&a) &&
		       addr_eq(&p.addr, &a));
		count(&a, 0);
		count(&a, 1);
		count(&a, UINT64_MAX);
	}
	if (!prefix_parse(text, &p)) {
		struct prefix net = prefix_mask(&p);
		struct ipaddr last = prefix_last(&p);

		assert(p.len <= addr_bits(&p.addr));
		assert(!prefix_parse(prefix_str(&p, buf), &p2));
		assert(prefix_eq(&p, &p2));
		assert(prefix_has(&net, &p.addr) && prefix_has(&net, &last));
		assert(prefix_covers(&net, &p2) && prefix_overlaps(&p2, &net));
	}
	if (!mac_parse(text, &m)) {
		assert(!mac_parse(mac_str(&m, buf), &m2));
		assert(!memcmp(&m, &m2, sizeof(m)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[128];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	round_trip(text);
	lax(text);
	return 0;
}
