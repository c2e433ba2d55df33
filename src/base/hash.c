// SPDX-License-Identifier: Apache-2.0
/* hash: FNV byte by byte, as draft-eastlake-fnv has it, as what is hashed so is short; SipHash as Aumasson and Bernstein's paper. */
#include "base/hash.h"

#include <string.h>

uint64_t fnv64(uint64_t h, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n--)
		h = (h ^ *at++) * 1099511628211u;
	return h;
}

uint64_t fnv64_text(uint64_t h, const char *s)
{
	static const uint8_t end = 0xff;

	return fnv64(fnv64(h, s, s ? strlen(s) : 0), &end, 1);
}

static uint64_t rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

static void sip_rounds(uint64_t v[4], unsigned n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

/* Little-endian, as the paper reads words. */
static uint64_t sip_load(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	while (n--)
		word = word << 8 | p[n];
	return word;
}

uint64_t siphash(const uint64_t key[2], const void *p, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			  key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	const uint8_t *at = p;
	size_t left = n;

	for (; left >= 8; at += 8, left -= 8)
		sip_word(v, sip_load(at, 8));
	sip_word(v, (uint64_t)n << 56 | sip_load(at, left));
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
