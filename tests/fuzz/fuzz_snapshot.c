/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot of any bytes: refused with a text, or read to its end. Then once more with the
 * checksum put right, so that what is inside is reached. What was read is written, and reads
 * back as the same.
 * Parser: daemon/snapshot.c */
#include "base/crc.h"
#include "daemon/snapshot.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* The head and revision of `s` with the frames that were read. */
static void again(const struct snapshot *s, const void *frames, size_t n, struct arena *a)
{
	struct buf one = { .v = NULL };
	struct snapshot t;

	assert(!snapshot_begin(&one, &s->head, NULL));
	buf_put(&one, frames, n);
	snapshot_end(&one, 0, s->revision);
	assert(!one.failed && !snapshot_open(&t, one.v, one.n, a, NULL));
	assert(t.revision == s->revision && t.head.time == s->head.time);
	assert(same(t.head.store, s->head.store) && same(t.head.node, s->head.node));
	assert(wire_left(&t.frames) == n && (!n || !memcmp(t.frames.p, frames, n)));
	buf_fini(&one);
}

static void read_all(const uint8_t *p, size_t n)
{
	struct snapshot s;
	struct wire frames, body;
	struct err e = { .code = 0 };
	struct arena a;
	unsigned type;
	int rc;

	arena_init(&a, 16 << 20);
	rc = snapshot_open(&s, p, n, &a, &e);
	assert(rc == 0 || (rc < 0 && e.text[0]));
	if (!rc) {
		frames = s.frames;
		while ((rc = snapshot_next(&s, &type, &body, &e)) > 0)
			assert(body.p >= p && body.end <= p + n);
		assert(rc == 0 || (rc < 0 && e.text[0]));
		again(&s, frames.p, (size_t)(s.frames.p - frames.p), &a);
	}
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 4);
	uint32_t crc = crc32_add(0, data, size);

	read_all(data, size);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	for (int i = 0; i < 4; i++)
		copy[size + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
	read_all(copy, size + 4);
	free(copy);
	return 0;
}
