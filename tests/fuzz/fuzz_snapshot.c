/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot of any bytes: refused with a text, or read to its end. Then once more with the
 * checksum put right, so that what is inside is reached.
 * Parser: daemon/snapshot.c */
#include "base/crc.h"
#include "daemon/snapshot.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void read_all(const uint8_t *p, size_t n)
{
	struct snapshot s;
	struct wire body;
	struct err e = { .code = 0 };
	struct arena a;
	unsigned type;
	int rc;

	arena_init(&a, 1 << 20);
	rc = snapshot_open(&s, p, n, &a, &e);
	assert(rc == 0 || (rc < 0 && e.text[0]));
	while (!rc && (rc = snapshot_next(&s, &type, &body, &e)) > 0) {
		assert(body.p >= p && body.end <= p + n);
		rc = 0;
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
