// SPDX-License-Identifier: Apache-2.0
/* hash: byte by byte, as draft-eastlake-fnv has it; what is hashed here is short. */
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
