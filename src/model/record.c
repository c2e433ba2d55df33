// SPDX-License-Identifier: Apache-2.0
/* Frames, and objects in them. The fields inside are the business of encode.c and decode.c. */
#include "model/record.h"
#include "model/codec.h"

#include <errno.h>
#include <string.h>

int record_body(struct buf *out, const struct schema *s, const void *body, struct err *e)
{
	int rc = encode_struct(out, s, body, e);

	if (rc)
		return err_wrap(e, "record %s", s->name);
	if (out->failed)
		return err_set(e, -ENOMEM, "record %s: no memory", s->name);
	return 0;
}

int record_put(struct buf *out, unsigned type, const struct schema *s, const void *body,
	       struct err *e)
{
	size_t start = out->n, len;
	int rc;

	put_u32(out, 0);
	put_u16(out, (uint16_t)type);
	put_u16(out, RECORD_VERSION);
	rc = record_body(out, s, body, e);
	len = out->n - start;
	if (!rc && len > RECORD_MAX)
		rc = err_set(e, -EMSGSIZE, "record %s: %zu bytes, the limit is %u", s->name, len,
			     RECORD_MAX);
	if (rc) {
		if (!out->failed)
			out->n = start;
		return rc;
	}
	len -= 4;
	for (size_t i = 0; i < 4; i++)
		out->v[start + i] = (char)(len >> (24 - 8 * i));
	return 0;
}

int record_next(const uint8_t *p, size_t n, unsigned *type, struct wire *body, struct err *e)
{
	struct wire w = wire_from(p, n);
	uint32_t len = wire_u32(&w);
	unsigned t = wire_u16(&w), version = wire_u16(&w);

	if (n >= 4 && (len < RECORD_HEADER - 4 || len > RECORD_MAX - 4))
		return err_set(e, -EBADMSG, "a frame of %u bytes is no record", len);
	if (w.bad)
		return 0;
	if (!version)
		return err_set(e, -EBADMSG, "a record of version 0");
	if (n - 4 < len)
		return 0;
	*type = t;
	*body = wire_from(p + RECORD_HEADER, len - (RECORD_HEADER - 4));
	return (int)len + 4;
}

int record_decode(struct wire *body, const struct schema *s, void *out, struct arena *a,
		  struct err *e)
{
	return decode_struct(body, s, out, a, e) ? err_wrap(e, "record %s", s->name) : 0;
}

static int check_names(const struct object *o, struct err *e)
{
	const struct meta *m = o->meta;

	if (!m->name || !m->name[0] || strlen(m->name) > NAME_MAX_LEN)
		return err_set(e, -EBADMSG, "%s without a usable name", o->kind->name);
	if (!m->namespace != !o->kind->namespaced ||
	    (m->namespace && (!m->namespace[0] || strlen(m->namespace) > NS_MAX_LEN)))
		return err_set(e, -EBADMSG, "%s %s: wrong or missing namespace", o->kind->name,
			       m->name);
	return 0;
}

struct object *record_object(const struct rec_put *put, struct err *e)
{
	const struct kind *k =
		put->kind > 0 && put->kind < KIND_COUNT ? kind_by_id((unsigned)put->kind) : NULL;
	struct wire body = wire_from(put->body.v, put->body.n);
	struct object *o;

	if (!k) {
		err_set(e, -EBADMSG, "an object of the unknown kind %lld", (long long)put->kind);
		return NULL;
	}
	o = object_new(k);
	if (!o) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	o->rev = (uint64_t)put->rev;
	if (record_decode(&body, k->schema, o->body, &o->arena, e) || check_names(o, e)) {
		object_free(o);
		return NULL;
	}
	return o;
}
