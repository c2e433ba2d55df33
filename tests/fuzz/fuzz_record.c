/* SPDX-License-Identifier: Apache-2.0 */
/* Records: any bytes as a stream of frames. What decodes encodes again, to bytes that decode
 * to the same bytes (the second encoding is the canonical one). A frame of type 0, which no
 * process sends, is read as a struct of our own: it has each type that a field may have, also
 * those that no message uses today, and holds itself, as deep as the bytes say.
 * Parser: model/record.c model/decode.c */
#include "model/record.h"
#include "model/table.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct inner {
	int64_t number;
};

struct every {
	const char *str;
	uint8_t flag, tri, word;
	int64_t number, time;
	struct opt_i64 opt;
	struct ipaddr addr;
	struct prefix prefix;
	struct macaddr mac;
	struct intstr either;
	struct strmap map;
	struct blob blob;
	struct inner inner;
	struct every *next;
	LIST(const char *) strs;
	LIST(int64_t) numbers;
	LIST(uint8_t) words;
	LIST(struct ipaddr) addrs;
	LIST(struct prefix) prefixes;
	LIST(struct inner) inners;
};

ENUM_NAMES(word_names, 2, "one", "two");

static const struct field inner_fields[] = { FIELD(struct inner, number, 1, F_I64) };
static const SCHEMA(inner_schema, "Inner", struct inner, inner_fields);

static const struct schema every_schema;
static const struct field every_fields[] = {
	FIELD(struct every, str, 1, F_STR),
	FIELD(struct every, flag, 2, F_BOOL),
	FIELD(struct every, tri, 3, F_OPT_BOOL),
	FIELD(struct every, word, 4, F_ENUM, .names = &word_names),
	FIELD(struct every, number, 5, F_I64),
	FIELD(struct every, time, 6, F_TIME),
	FIELD(struct every, opt, 7, F_OPT_I64),
	FIELD(struct every, addr, 8, F_ADDR),
	FIELD(struct every, prefix, 9, F_PREFIX),
	FIELD(struct every, mac, 10, F_MAC),
	FIELD(struct every, either, 11, F_INTSTR),
	FIELD(struct every, map, 12, F_MAP),
	FIELD(struct every, blob, 13, F_BLOB),
	FIELD(struct every, inner, 14, F_OBJ, .sub = &inner_schema),
	FIELD(struct every, next, 15, F_PTR, .sub = &every_schema),
	FIELD(struct every, strs, 16, F_STR, .flags = FF_LIST),
	FIELD(struct every, numbers, 17, F_I64, .flags = FF_LIST),
	FIELD(struct every, words, 18, F_ENUM, .flags = FF_LIST, .names = &word_names),
	FIELD(struct every, addrs, 19, F_ADDR, .flags = FF_LIST),
	FIELD(struct every, prefixes, 20, F_PREFIX, .flags = FF_LIST),
	FIELD(struct every, inners, 21, F_OBJ, .flags = FF_LIST, .sub = &inner_schema),
};
static const SCHEMA(every_schema, "Every", struct every, every_fields);

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
	const struct schema *s = type == REC_NONE ? &every_schema : record_schema(type);
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
