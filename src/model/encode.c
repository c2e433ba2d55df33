// SPDX-License-Identifier: Apache-2.0
/* Structs to fields of records. */
#include "model/codec.h"

#include <errno.h>
#include <string.h>

static uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

bool codec_is_varint(const struct field *f)
{
	switch ((enum ftype)f->type) {
	case F_BOOL:
	case F_OPT_BOOL:
	case F_ENUM:
	case F_I64:
	case F_OPT_I64:
	case F_TIME:
		return !(f->flags & FF_LIST);
	case F_STR:
	case F_ADDR:
	case F_PREFIX:
	case F_MAC:
	case F_INTSTR:
	case F_MAP:
	case F_BLOB:
	case F_OBJ:
	case F_PTR:
		return false;
	}
	return false;
}

/* Turns what was appended since `start` into varint(its length), itself. */
static void put_length_before(struct buf *out, size_t start)
{
	size_t len = out->n - start, k;
	char head[10];

	put_varint(out, len);
	if (out->failed)
		return;
	k = out->n - start - len;
	memcpy(head, out->v + start + len, k);
	memmove(out->v + start + k, out->v + start, len);
	memcpy(out->v + start, head, k);
}

static void put_bytes(struct buf *out, const void *p, size_t n)
{
	put_varint(out, n);
	if (n)
		buf_put(out, p, n);
}

static int put_map(struct buf *out, const struct strmap *m, struct err *e)
{
	put_varint(out, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		const char *value = m->v[i].value ? m->v[i].value : "";

		if (i && strcmp(m->v[i - 1].key, m->v[i].key) >= 0)
			return err_set(e, -EINVAL, "keys are not in order at \"%s\"", m->v[i].key);
		put_bytes(out, m->v[i].key, strlen(m->v[i].key));
		put_bytes(out, value, strlen(value));
	}
	return 0;
}

static void put_intstr(struct buf *out, const struct intstr *v)
{
	put_u8(out, v->type);
	if (v->type == INTSTR_INT)
		put_varint(out, zigzag(v->i));
	else if (v->s)
		buf_puts(out, v->s);
}

static int put_value(struct buf *out, const struct field *f, const void *p, struct err *e)
{
	const struct prefix *prefix = p;
	const struct blob *blob = p;

	switch ((enum ftype)f->type) {
	case F_BOOL:
	case F_OPT_BOOL:
	case F_ENUM:
		put_varint(out, *(const uint8_t *)p);
		return 0;
	case F_I64:
	case F_TIME:
		put_varint(out, zigzag(*(const int64_t *)p));
		return 0;
	case F_OPT_I64:
		put_varint(out, zigzag(((const struct opt_i64 *)p)->v));
		return 0;
	case F_STR:
		if (*(const char *const *)p)
			buf_puts(out, *(const char *const *)p);
		return 0;
	case F_ADDR:
		buf_put(out, ((const struct ipaddr *)p)->b, addr_len(p));
		return 0;
	case F_PREFIX:
		buf_put(out, prefix->addr.b, addr_len(&prefix->addr));
		put_u8(out, prefix->len);
		return 0;
	case F_MAC:
		buf_put(out, p, sizeof(struct macaddr));
		return 0;
	case F_INTSTR:
		put_intstr(out, p);
		return 0;
	case F_MAP:
		return put_map(out, p, e);
	case F_BLOB:
		if (blob->n)
			buf_put(out, blob->v, blob->n);
		return 0;
	case F_OBJ:
		return encode_struct(out, f->sub, p, e);
	case F_PTR:
		return encode_struct(out, f->sub, *(const void *const *)p, e);
	}
	return err_set(e, -EINVAL, "type %u has no encoding", f->type);
}

static int put_list(struct buf *out, const struct field *f, const struct list_any *l, struct err *e)
{
	size_t size = field_size(f);

	put_varint(out, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		size_t start = out->n;
		int rc = put_value(out, f, (const char *)l->v + i * size, e);

		if (rc)
			return err_wrap(e, "[%u]", i);
		put_length_before(out, start);
	}
	return 0;
}

static int put_field(struct buf *out, const struct field *f, const void *p, struct err *e)
{
	size_t before = out->n, start;
	int rc;

	if (field_absent(f, p))
		return 0;
	put_varint(out, (uint64_t)f->id << 1 | !codec_is_varint(f));
	if (codec_is_varint(f))
		return put_value(out, f, p, e);
	start = out->n;
	rc = f->flags & FF_LIST ? put_list(out, f, p, e) : put_value(out, f, p, e);
	if (rc)
		return rc;
	if (f->type == F_OBJ && !(f->flags & FF_LIST) && out->n == start && !out->failed) {
		out->n = before;
		return 0;
	}
	put_length_before(out, start);
	return 0;
}

int encode_struct(struct buf *out, const struct schema *s, const void *body, struct err *e)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		int rc = put_field(out, f, (const char *)body + f->offset, e);

		if (rc)
			return err_wrap(e, "%s", f->key);
	}
	return 0;
}
