// SPDX-License-Identifier: Apache-2.0
/* name: see name.h. Lowering and comparing take eight octets at a time, the last eight once more where they overlap: both may be
 * done twice to an octet. */
#include "core/dns/name.h"

#include "core/dns/octets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER  12
#define POINTER 0xc0 /* the upper bits of a length octet */

/* Who compresses has a label before each pointer. Chains of pointers alone could be thousands long, and each of a message's thousands of
 * names could be one. */
#define POINTERS (DNS_LABELS_MAX + 1)

const struct dns_name dns_root = { 1, { 0 } };

int dns_name_read(const uint8_t *msg, size_t n, size_t *at, struct dns_name *out)
{
	size_t pos = *at, lowest = pos, len = 0, after = 0;
	unsigned pointers = 0;

	for (;;) {
		uint8_t c;

		if (pos >= n)
			return -EBADMSG;
		c = msg[pos];
		if (c >= POINTER) {
			size_t to;

			if (n - pos < 2)
				return -EBADMSG;
			to = dns_get16(msg + pos) & 0x3fff;
			if (to >= lowest || to < HEADER || ++pointers > POINTERS)
				return -EBADMSG;
			if (!after)
				after = pos + 2;
			lowest = pos = to;
			continue;
		}
		/* 01 and 10 in the upper bits are no labels any more (RFC 6891 5). */
		if (c > DNS_LABEL_MAX || len + c + 1 > DNS_NAME_MAX - !!c || n - pos < c + 1u)
			return -EBADMSG;
		memcpy(out->v + len, msg + pos, c + 1u);
		len += c + 1u;
		pos += c + 1u;
		if (!c)
			break;
	}
	out->n = (uint8_t)len;
	*at = after ? after : pos;
	return 0;
}

/* One octet of the text, behind a backslash or not; NULL: an escape that says nothing. */
static const char *unescape(const char *s, uint8_t *out)
{
	unsigned v = 0;

	if (*s != '\\') {
		*out = (uint8_t)*s;
		return s + 1;
	}
	s++;
	if (*s < '0' || *s > '9') {
		*out = (uint8_t)*s;
		return *s ? s + 1 : NULL;
	}
	for (int i = 0; i < 3; i++, s++) {
		if (*s < '0' || *s > '9')
			return NULL;
		v = v * 10 + (unsigned)(*s - '0');
	}
	*out = (uint8_t)v;
	return v <= 255 ? s : NULL;
}

int dns_name_parse(const char *text, struct dns_name *out, struct err *e)
{
	struct dns_name n = dns_root;
	const char *s = text;

	if (!*s)
		return err_set(e, -EINVAL, "a name is empty");
	while (*s && strcmp(s, ".") != 0) {
		uint8_t label[DNS_LABEL_MAX + 1];
		size_t len = 0;

		while (*s && *s != '.') {
			s = unescape(s, &label[len]);
			if (!s)
				return err_set(e, -EINVAL, "'%s' has an escape that is none", text);
			if (++len > DNS_LABEL_MAX)
				return err_set(e, -EINVAL, "'%s' has a label over %d octets", text,
					       DNS_LABEL_MAX);
		}
		if (!len)
			return err_set(e, -EINVAL, "'%s' has an empty label", text);
		if (!dns_name_put(&n, label, len))
			return err_set(e, -EINVAL, "'%s' is over %d octets", text, DNS_NAME_MAX);
		if (*s == '.' && !*++s)
			break;
		if (*s == '.')
			return err_set(e, -EINVAL, "'%s' has an empty label", text);
	}
	dns_name_copy(out, &n);
	return 0;
}

const char *dns_name_text(const struct dns_name *n, char buf[DNS_NAME_TEXT])
{
	char *s = buf;

	for (const uint8_t *l = n->v; *l; l += *l + 1) {
		for (const uint8_t *c = l + 1; c <= l + *l; c++) {
			if (*c <= ' ' || *c > '~') {
				*s++ = '\\';
				*s++ = (char)('0' + *c / 100);
				*s++ = (char)('0' + *c / 10 % 10);
				*s++ = (char)('0' + *c % 10);
				continue;
			}
			if (strchr(".\\\"();@$", *c))
				*s++ = '\\';
			*s++ = (char)*c;
		}
		*s++ = '.';
	}
	if (s == buf)
		*s++ = '.';
	*s = 0;
	return buf;
}

bool dns_name_put(struct dns_name *n, const void *label, size_t len)
{
	if (!len || len > DNS_LABEL_MAX || n->n + len + 1 > DNS_NAME_MAX)
		return false;
	n->v[n->n - 1] = (uint8_t)len;
	memcpy(n->v + n->n, label, len);
	n->n = (uint8_t)(n->n + len + 1);
	n->v[n->n - 1] = 0;
	return true;
}

bool dns_name_join(struct dns_name *n, const struct dns_name *tail)
{
	if (n->n - 1 + tail->n > DNS_NAME_MAX)
		return false;
	memcpy(n->v + n->n - 1, tail->v, tail->n);
	n->n = (uint8_t)(n->n - 1 + tail->n);
	return true;
}

void dns_name_copy(struct dns_name *to, const struct dns_name *from)
{
	to->n = from->n;
	memcpy(to->v, from->v, from->n);
}

#define EACH(v) (0x0101010101010101ull * (v))

static uint64_t eight(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 'A' to 'Z' get 0x20: the top bit of an octet of `from` says "A or more", of `past` "more than Z". */
static uint64_t lower_eight(uint64_t x)
{
	uint64_t low = x & EACH(0x7f), from = low + EACH(0x80 - 'A'), past = low + EACH(0x7f - 'Z');

	return x | (from & ~past & ~x & EACH(0x80)) >> 2;
}

static uint8_t lower_one(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

void dns_name_lower(struct dns_name *n)
{
	if (n->n < 8) {
		for (unsigned i = 0; i < n->n; i++)
			n->v[i] = lower_one(n->v[i]);
		return;
	}
	for (unsigned i = 0;; i = i + 16 <= n->n ? i + 8 : n->n - 8u) {
		uint64_t v = lower_eight(eight(n->v + i));

		memcpy(n->v + i, &v, sizeof(v));
		if (i + 8 == n->n)
			return;
	}
}

static bool same(const uint8_t *a, const uint8_t *b, unsigned n)
{
	if (n < 8) {
		for (unsigned i = 0; i < n; i++)
			if (lower_one(a[i]) != lower_one(b[i]))
				return false;
		return true;
	}
	for (unsigned i = 0;; i = i + 16 <= n ? i + 8 : n - 8) {
		if (lower_eight(eight(a + i)) != lower_eight(eight(b + i)))
			return false;
		if (i + 8 == n)
			return true;
	}
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && same(a->v, b->v, a->n);
}

bool dns_name_under(const struct dns_name *n, const struct dns_name *zone)
{
	unsigned above = 0;

	if (n->n < zone->n)
		return false;
	while (above < (unsigned)n->n - zone->n) /* a suffix begins where a label does */
		above += n->v[above] + 1u;
	return above == (unsigned)n->n - zone->n && same(n->v + above, zone->v, zone->n);
}

unsigned dns_name_labels(const struct dns_name *n, const uint8_t *label[DNS_LABELS_MAX])
{
	unsigned count = 0;

	for (const uint8_t *l = n->v; *l; l += *l + 1)
		label[count++] = l;
	return count;
}
