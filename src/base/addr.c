// SPDX-License-Identifier: Apache-2.0
/* addr: see addr.h. All arithmetic is on bytes in network order; nothing depends on the
 * machine's byte order. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int addr_parse(const char *s, struct ipaddr *out)
{
	struct ipaddr a = { 0 };

	if (strchr(s, ':')) {
		a.family = AF_INET6;
		if (inet_pton(AF_INET6, s, a.b) != 1)
			return -EINVAL;
	} else {
		a.family = AF_INET;
		if (inet_pton(AF_INET, s, a.b) != 1)
			return -EINVAL;
	}
	*out = a;
	return 0;
}

static int parse_prefix(const char *s, bool need_len, struct prefix *out)
{
	const char *slash = strchr(s, '/');
	char text[ADDR_TEXT];
	struct prefix p = { 0 };
	unsigned len = 0;
	size_t n = slash ? (size_t)(slash - s) : strlen(s);

	if ((!slash && need_len) || n >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, n);
	text[n] = '\0';
	if (addr_parse(text, &p.addr))
		return -EINVAL;
	if (!slash) {
		p.len = addr_bits(&p.addr);
		*out = p;
		return 0;
	}
	s = slash + 1;
	if (!*s || (*s == '0' && s[1]))
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || len > 128)
			return -EINVAL;
		len = len * 10 + (unsigned)(*s - '0');
	}
	if (len > addr_bits(&p.addr))
		return -EINVAL;
	p.len = (uint8_t)len;
	*out = p;
	return 0;
}

int prefix_parse(const char *s, struct prefix *out)
{
	return parse_prefix(s, true, out);
}

int prefix_parse_host(const char *s, struct prefix *out)
{
	return parse_prefix(s, false, out);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Without the spaces around, and without leading zeros: in IPv4 everywhere, else only in the
 * length, where they could not be part of a number in base 16. False when too long. */
static bool make_plain(const char *s, char out[PREFIX_TEXT])
{
	bool v6 = strchr(s, ':'), length = false;
	size_t end = strlen(s), n = 0;
	char before = '.';

	while (end && strchr(" \t\r\n", s[end - 1]))
		end--;
	for (size_t i = strspn(s, " \t\r\n"); i < end; i++) {
		length |= s[i] == '/';
		if (s[i] == '0' && !is_digit(before) && i + 1 < end && is_digit(s[i + 1]) &&
		    (!v6 || length))
			continue;
		if (n == PREFIX_TEXT - 1)
			return false;
		before = s[i];
		out[n++] = before;
	}
	out[n] = '\0';
	return true;
}

int addr_parse_lax(const char *s, struct ipaddr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[PREFIX_TEXT];
	struct ipaddr a;

	if (!make_plain(s, text) || addr_parse(text, &a))
		return -EINVAL;
	if (a.family == AF_INET6 && !memcmp(a.b, mapped, sizeof(mapped))) {
		*out = (struct ipaddr){ .family = AF_INET };
		memcpy(out->b, a.b + sizeof(mapped), 4);
		return 0;
	}
	*out = a;
	return 0;
}

int prefix_parse_lax(const char *s, struct prefix *out)
{
	char text[PREFIX_TEXT];

	return make_plain(s, text) ? prefix_parse(text, out) : -EINVAL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int mac_parse(const char *s, struct macaddr *out)
{
	struct macaddr m;

	if (strlen(s) != MAC_TEXT - 1)
		return -EINVAL;
	for (int i = 0; i < 6; i++) {
		int hi = hex(s[i * 3]), lo = hex(s[i * 3 + 1]);

		if (hi < 0 || lo < 0 || (i < 5 && s[i * 3 + 2] != ':'))
			return -EINVAL;
		m.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = m;
	return 0;
}

const char *addr_str(const struct ipaddr *a, char buf[ADDR_TEXT])
{
	if (!a->family || !inet_ntop(a->family, a->b, buf, ADDR_TEXT))
		snprintf(buf, ADDR_TEXT, "none");
	return buf;
}

const char *prefix_str(const struct prefix *p, char buf[PREFIX_TEXT])
{
	char text[ADDR_TEXT];

	snprintf(buf, PREFIX_TEXT, "%s/%u", addr_str(&p->addr, text), p->len);
	return buf;
}

const char *mac_str(const struct macaddr *m, char buf[MAC_TEXT])
{
	snprintf(buf, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m->b[0], m->b[1], m->b[2], m->b[3],
		 m->b[4], m->b[5]);
	return buf;
}

struct ipaddr addr_v4(uint32_t h)
{
	return (struct ipaddr){
		AF_INET, { (uint8_t)(h >> 24), (uint8_t)(h >> 16), (uint8_t)(h >> 8), (uint8_t)h }
	};
}

uint8_t addr_bits(const struct ipaddr *a)
{
	return a->family == AF_INET ? 32 : 128;
}

size_t addr_len(const struct ipaddr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

int addr_cmp(const struct ipaddr *a, const struct ipaddr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int c = addr_cmp(&a->addr, &b->addr);

	return c ? c : (int)a->len - (int)b->len;
}

bool addr_eq(const struct ipaddr *a, const struct ipaddr *b)
{
	return addr_cmp(a, b) == 0;
}

bool prefix_eq(const struct prefix *a, const struct prefix *b)
{
	return prefix_cmp(a, b) == 0;
}

bool addr_is_link_local(const struct ipaddr *a)
{
	if (a->family == AF_INET)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool addr_is_unspecified(const struct ipaddr *a)
{
	static const uint8_t zero[16];

	return a->family && !memcmp(a->b, zero, sizeof(zero));
}

bool addr_is_loopback(const struct ipaddr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->family == AF_INET ? a->b[0] == 127 : !memcmp(a->b, one, sizeof(one));
}

struct ipaddr addr_eui64(const struct macaddr *m)
{
	return (struct ipaddr){ AF_INET6,
				{ 0xfe, 0x80, 0, 0, 0, 0, 0, 0, m->b[0] ^ 2, m->b[1], m->b[2], 0xff,
				  0xfe, m->b[3], m->b[4], m->b[5] } };
}

struct prefix prefix_host(const struct ipaddr *a)
{
	return (struct prefix){ *a, addr_bits(a) };
}

/* The mask byte at position i of a prefix of `len` bits. */
static uint8_t mask_byte(unsigned len, size_t i)
{
	if (len >= (i + 1) * 8)
		return 0xff;
	if (len <= i * 8)
		return 0;
	return (uint8_t)(0xff << (8 - (len - i * 8)));
}

struct prefix prefix_mask(const struct prefix *p)
{
	struct prefix q = *p;

	for (size_t i = 0; i < addr_len(&q.addr); i++)
		q.addr.b[i] &= mask_byte(q.len, i);
	return q;
}

struct ipaddr prefix_last(const struct prefix *p)
{
	struct ipaddr a = p->addr;

	for (size_t i = 0; i < addr_len(&a); i++)
		a.b[i] |= (uint8_t)~mask_byte(p->len, i);
	return a;
}

bool prefix_has(const struct prefix *p, const struct ipaddr *a)
{
	if (p->addr.family != a->family)
		return false;
	for (size_t i = 0; i < addr_len(a); i++)
		if ((p->addr.b[i] ^ a->b[i]) & mask_byte(p->len, i))
			return false;
	return true;
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && prefix_has(outer, &inner->addr);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

struct ipaddr addr_add(const struct ipaddr *a, uint64_t n)
{
	struct ipaddr r = *a;

	for (size_t i = addr_len(a); i-- > 0 && n;) {
		n += r.b[i];
		r.b[i] = (uint8_t)n;
		n >>= 8;
	}
	return r;
}

uint64_t addr_sub(const struct ipaddr *a, const struct ipaddr *base)
{
	size_t len = addr_len(a);
	uint8_t d[16] = { 0 };
	uint64_t r = 0;
	int borrow = 0;

	for (size_t i = len; i-- > 0;) {
		int v = a->b[i] - base->b[i] - borrow;

		borrow = v < 0;
		d[i] = (uint8_t)v;
	}
	for (size_t i = 0; i < len; i++) {
		if (r >> 56)
			return UINT64_MAX;
		r = r << 8 | d[i];
	}
	return r;
}
