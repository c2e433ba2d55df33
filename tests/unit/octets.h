/* SPDX-License-Identifier: Apache-2.0 */
/* Octets as they stand in RFCs and dumps: pairs of hexadecimal digits. After cmocka.h. */
#pragma once
#include <stdio.h>

/* How many were written. */
static inline size_t octets(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	for (; hex[0] && hex[1]; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		out[n++] = (uint8_t)v;
	}
	return n;
}
