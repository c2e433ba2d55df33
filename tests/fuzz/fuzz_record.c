/* SPDX-License-Identifier: Apache-2.0 */
/* Records: any bytes as a stream of frames. What decodes encodes again, to bytes that decode
 * to the same bytes (the second encoding is the canonical one).
 * Parser: model/record.c model/decode.c */
#include "model/record.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void again(const struct schema *s, const void *body, struct arena *a)
{
	struct buf one = { .v = NULL }, two = { .v = NULL };
	void *copy = arena_alloc(a, s->size);
	struct wire w, in;
	unsigned type;

	if (copy && !record_body(&one, s, body, NULL)) {
		w = wire_from(one.v, one.n);
		assert(!record_decode(&w, s, copy, a, NULL));
		assert(!record_body(&two, s, copy, NULL));
		assert(one.n == two.n && (!one.n || !memcmp(one.v, two.v, one.n)));
		two.n = 0;
		assert(!record_put(&two, REC_PUT, s, copy, NULL) && two.n == RECORD_HEADER + one.n);
		assert(record_next((uint8_t *)two.v, two.n, &type, &in, NULL) == (int)two.n);
		assert(type == REC_PUT && wire_left(&in) == one.n);
	}
	buf_fini(&one);
	buf_fini(&two);
}

static void frame(unsigned type, struct wire *body, struct arena *a)
{
	const struct schema *s = record_schema(type);
	struct err e = { .code = 0 };
	struct object *o;
	void *out;

	if (!s)
		return;
	out = arena_alloc(a, s->size);
	if (record_decode(body, s, out, a, &e)) {
		assert(e.code < 0 && e.text[0]);
		return;
	}
	again(s, out, a);
	if (type != REC_PUT)
		return;
	o = record_object(out, &e);
	if (o)
		again(o->kind->schema, o->body, &o->arena);
	object_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	unsigned type;
	struct wire body;

	arena_init(&a, 64UL << 20);
	while (size) {
		int n = record_next(data, size, &type, &body, NULL);

		if (n <= 0)
			break;
		assert((size_t)n <= size && n >= RECORD_HEADER);
		frame(type, &body, &a);
		arena_reset(&a);
		data += n;
		size -= (size_t)n;
	}
	arena_fini(&a);
	return 0;
}
