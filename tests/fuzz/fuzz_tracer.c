// SPDX-License-Identifier: Apache-2.0
/* Bytes that a tracer reads: a packet's headers, and the kernel's BTF. Nothing is read outside of them, and
 * what counts as a packet has addresses.
 * Parser: sys/tracer_head.c sys/btf.c */
#include "sys/btf.h"
#include "sys/tracer_state.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_value(void *arg, const char *name, uint32_t value)
{
	*(size_t *)arg += strlen(name) + value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* its end is guarded */
	struct tracer_head h;
	struct btf *b;
	size_t sum = 0;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (tracer_head_parse(copy, size, 4789, &h))
		assert(addr_bits(&h.flow.src) && h.flow.dst.family == h.flow.src.family);
	if (!btf_parse(copy, size, &b, NULL)) {
		btf_enum(b, "reason", on_value, &sum);
		btf_tracepoint_args(b, "x");
		btf_close(b);
	}
	free(copy);
	return 0;
}
