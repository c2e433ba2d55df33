/* SPDX-License-Identifier: Apache-2.0 */
/* A journal of any bytes: replayed or refused with a text. What was replayed is written anew as
 * a snapshot, which replays to a snapshot of the same bytes. Then once more with all checksums
 * put right, so that what is inside is reached. */
#include "core/ipam/ipam.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void replay(const uint8_t *data, size_t size)
{
	struct ipam *s = ipam_new("n1", IPAM_COOLDOWN_MS), *t = ipam_new("n1", IPAM_COOLDOWN_MS);
	struct buf one = { .v = NULL }, two = { .v = NULL };
	struct err e = { .code = 0 };
	size_t good = 0;

	if (ipam_replay(s, data, size, &good, &e)) {
		assert(e.code < 0 && e.text[0]);
	} else {
		assert(good <= size);
		if (!ipam_snapshot(s, 1000, &one, &e)) {
			assert(!ipam_replay(t, one.v, one.n, &good, &e));
			assert(good == one.n);
			assert(!ipam_snapshot(t, 1000, &two, &e));
			assert(one.n == two.n && !memcmp(one.v, two.v, one.n));
		}
	}
	buf_fini(&one);
	buf_fini(&two);
	ipam_free(s);
	ipam_free(t);
}

static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
	}
	return ~c;
}

static void put_right(uint8_t *p, size_t n)
{
	static const uint8_t mark[4] = { 0xf1, 0xa1, 0xd0, 0xe5 };

	for (size_t i = 0; i + 12 <= n; i++) {
		size_t len;
		uint32_t crc;

		if (memcmp(p + i, mark, 4) != 0)
			continue;
		len = (size_t)p[i + 6] << 8 | p[i + 7];
		if (p[i + 4] || p[i + 5] || len > n - i - 12)
			continue;
		crc = crc32(p + i + 12, len);
		for (int k = 0; k < 4; k++)
			p[i + 8 + (size_t)k] = (uint8_t)(crc >> (24 - 8 * k));
		i += 11 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	replay(data, size);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	put_right(copy, size);
	replay(copy, size);
	free(copy);
	return 0;
}
