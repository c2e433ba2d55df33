// SPDX-License-Identifier: Apache-2.0
/* path: see path.h. */
#include "core/bgp/path.h"

#include "base/wire.h"

#include <errno.h>
#include <string.h>

#define SEGMENT_MOST 255

struct segment {
	uint8_t type, count;
	struct wire as; /* numbers of four octets */
};

static struct wire path_of(const struct bgp_attrs *a)
{
	return wire_from(bgp_attrs_part(a, BGP_P_AS_PATH), a->len[BGP_P_AS_PATH]);
}

static bool next_segment(struct wire *path, struct segment *s)
{
	if (!wire_left(path))
		return false;
	s->type = wire_u8(path);
	s->count = wire_u8(path);
	s->as = wire_sub(path, 4u * s->count);
	return !path->bad;
}

/* What it counts for its length. */
static uint32_t weight(const struct segment *s)
{
	return s->type == BGP_AS_SEQUENCE ? s->count : s->type == BGP_AS_SET;
}

static uint32_t length_of(struct wire path)
{
	struct segment s;
	uint32_t n = 0;

	while (next_segment(&path, &s))
		n += weight(&s);
	return n;
}

uint32_t bgp_path_length(const struct bgp_attrs *a)
{
	return length_of(path_of(a));
}

bool bgp_path_has(const struct bgp_attrs *a, uint32_t as)
{
	struct wire path = path_of(a);
	struct segment s;

	while (next_segment(&path, &s))
		while (wire_left(&s.as))
			if (wire_u32(&s.as) == as)
				return true;
	return false;
}

uint32_t bgp_segments_first(const uint8_t *path, uint16_t len)
{
	struct wire w = wire_from(path, len);
	struct segment s;

	return next_segment(&w, &s) && s.type == BGP_AS_SEQUENCE ? wire_u32(&s.as) : 0;
}

uint32_t bgp_path_first(const struct bgp_attrs *a)
{
	return bgp_segments_first(bgp_attrs_part(a, BGP_P_AS_PATH), a->len[BGP_P_AS_PATH]);
}

void bgp_path_str(const struct bgp_attrs *a, struct buf *out)
{
	static const char *const open[] = { "{", "", "(", "[" }, *const close[] = { "}", "", ")",
										    "]" };
	struct wire path = path_of(a);
	const char *space = "";
	struct segment s;

	while (next_segment(&path, &s)) {
		unsigned kind = (s.type - 1u) & 3;
		const char *between = s.type == BGP_AS_SET || s.type == BGP_CONFED_SET ? "," : " ";

		buf_printf(out, "%s%s", space, open[kind]);
		for (unsigned i = 0; i < s.count; i++)
			buf_printf(out, "%s%u", i ? between : "", wire_u32(&s.as));
		buf_puts(out, close[kind]);
		space = " ";
	}
}

/* ---- making paths */

static uint8_t *put_as(uint8_t *at, uint32_t as)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (uint8_t)(as >> shift);
	return at;
}

/* Into the first segment where that is a sequence with room, else a new one before it (RFC 4271 5.1.2 a). */
static int prepend_one(struct bgp_draft *d, uint32_t as, struct arena *ar)
{
	const uint8_t *old = d->part[BGP_P_AS_PATH];
	uint16_t len = d->len[BGP_P_AS_PATH], skip = 0;
	uint8_t *v = arena_alloc(ar, len + 6u), *at = v, count = 1;

	if (!v)
		return -ENOMEM;
	if (len > UINT16_MAX - 6)
		return -EMSGSIZE;
	if (len && old[0] == BGP_AS_SEQUENCE && old[1] < SEGMENT_MOST) {
		count = old[1] + 1;
		skip = 2;
	}
	*at++ = BGP_AS_SEQUENCE;
	*at++ = count;
	at = put_as(at, as);
	if (len > skip)
		memcpy(at, old + skip, len - skip);
	d->part[BGP_P_AS_PATH] = v;
	d->len[BGP_P_AS_PATH] = (uint16_t)(at - v + len - skip);
	return 0;
}

int bgp_path_prepend(struct bgp_draft *d, const uint32_t *v, uint32_t n, struct arena *ar)
{
	int rc = 0;

	while (n && !rc)
		rc = prepend_one(d, v[--n], ar);
	return rc;
}

/* The first ASes of the path, as many as `n`; a set counts one and is never cut. The end of what was put. */
static uint8_t *put_first(uint8_t *at, struct wire path, uint32_t n)
{
	struct segment s;

	while (n && next_segment(&path, &s)) {
		uint8_t count = s.type == BGP_AS_SEQUENCE && s.count > n ? (uint8_t)n : s.count;

		n -= s.type == BGP_AS_SEQUENCE ? count : 1;
		*at++ = s.type;
		*at++ = count;
		memcpy(at, wire_bytes(&s.as, 4u * count), 4u * count);
		at += 4u * count;
	}
	return at;
}

int bgp_as4_merge(struct bgp_draft *d, const uint8_t *as4, uint16_t len, struct arena *ar)
{
	struct wire path = wire_from(d->part[BGP_P_AS_PATH], d->len[BGP_P_AS_PATH]);
	uint32_t have = length_of(path), longer = length_of(wire_from(as4, len));
	uint8_t *v, *at;

	if (have < longer)
		return 0;
	v = arena_alloc(ar, (size_t)d->len[BGP_P_AS_PATH] + len + 1);
	if (!v)
		return -ENOMEM;
	at = put_first(v, path, have - longer);
	if (len)
		memcpy(at, as4, len);
	d->part[BGP_P_AS_PATH] = v;
	d->len[BGP_P_AS_PATH] = (uint16_t)(at - v + len);
	return 0;
}

bool bgp_path_put_as2(const struct bgp_draft *d, struct buf *out)
{
	struct wire path = wire_from(d->part[BGP_P_AS_PATH], d->len[BGP_P_AS_PATH]);
	struct segment s;
	bool stood_in = false;

	while (next_segment(&path, &s)) {
		put_u8(out, s.type);
		put_u8(out, s.count);
		while (wire_left(&s.as)) {
			uint32_t as = wire_u32(&s.as);

			stood_in |= as > UINT16_MAX;
			put_u16(out, as > UINT16_MAX ? BGP_AS_TRANS : (uint16_t)as);
		}
	}
	return stood_in;
}
