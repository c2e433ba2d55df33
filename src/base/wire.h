/* SPDX-License-Identifier: Apache-2.0 */
/* Wire cursors with a sticky error: after the first read past the end every read gives zero
 * and every write is dropped, so a decoder checks `bad` once. Multi-byte integers are
 * big-endian (network order) on the wire. Readers never allocate: wire_bytes() points into
 * the input. wire_sub() hands out a window, so that a nested length cannot overrun its
 * parent. */
#pragma once
#include "base/buf.h"

#include <stdint.h>

struct wire {
	const uint8_t *p, *end;
	bool bad;
};

struct wire wire_from(const void *p, size_t n);
size_t wire_left(const struct wire *w);
uint8_t wire_u8(struct wire *w);
uint16_t wire_u16(struct wire *w);
uint32_t wire_u32(struct wire *w);
uint64_t wire_u64(struct wire *w);
const uint8_t *wire_bytes(struct wire *w, size_t n); /* NULL when short */
struct wire wire_sub(struct wire *w, size_t n);      /* an empty bad window when short */

/* Unsigned LEB128, at most 10 bytes; a longer or overlong-at-the-top one is bad. */
uint64_t wire_varint(struct wire *w);

void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_varint(struct buf *b, uint64_t v);
