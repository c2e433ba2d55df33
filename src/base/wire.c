// SPDX-License-Identifier: Apache-2.0
/* wire: see wire.h. */
#include "base/wire.h"

struct wire wire_from(const void *p, size_t n)
{
	static const uint8_t nothing[1];
	const uint8_t *from = p ? p : nothing; /* NULL + 0 is undefined */

	return (struct wire){ from, from + (p ? n : 0), false };
}

size_t wire_left(const struct wire *w)
{
	return w->bad ? 0 : (size_t)(w->end - w->p);
}

const uint8_t *wire_bytes(struct wire *w, size_t n)
{
	const uint8_t *p = w->p;

	if (w->bad || (size_t)(w->end - w->p) < n) {
		w->bad = true;
		return NULL;
	}
	w->p += n;
	return p;
}

struct wire wire_sub(struct wire *w, size_t n)
{
	const uint8_t *p = wire_bytes(w, n);

	return p ? wire_from(p, n) : (struct wire){ .bad = true };
}

static uint64_t wire_int(struct wire *w, size_t n)
{
	const uint8_t *p = wire_bytes(w, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t wire_u8(struct wire *w)
{
	return (uint8_t)wire_int(w, 1);
}

uint16_t wire_u16(struct wire *w)
{
	return (uint16_t)wire_int(w, 2);
}

uint32_t wire_u32(struct wire *w)
{
	return (uint32_t)wire_int(w, 4);
}

uint64_t wire_u64(struct wire *w)
{
	return wire_int(w, 8);
}

uint64_t wire_varint(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t c = wire_u8(w);

		if (w->bad)
			return 0;
		if (shift == 63 && c > 1)
			break;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	w->bad = true;
	return 0;
}

static void put_int(struct buf *b, uint64_t v, size_t n)
{
	uint8_t out[8];

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
	buf_put(b, out, n);
}

void put_u8(struct buf *b, uint8_t v)
{
	put_int(b, v, 1);
}

void put_u16(struct buf *b, uint16_t v)
{
	put_int(b, v, 2);
}

void put_u32(struct buf *b, uint32_t v)
{
	put_int(b, v, 4);
}

void put_u64(struct buf *b, uint64_t v)
{
	put_int(b, v, 8);
}

void put_varint(struct buf *b, uint64_t v)
{
	do {
		put_u8(b, (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
		v >>= 7;
	} while (v);
}
