// SPDX-License-Identifier: Apache-2.0
/* Fields of records to structs. The input is hostile: every length is a window into its
 * parent, every count is bound by the bytes that are there, depth is bound by DEPTH_MAX. */
#include "model/codec.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Schemas nest six deep; a recursive one must not eat the stack. */
#define DEPTH_MAX 16

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static int get_struct(struct wire *w, const struct schema *s, void *out, struct arena *a,
		      unsigned depth, struct err *e);

static int short_of(struct err *e)
{
	return err_set(e, -EBADMSG, "is cut short");
}

static int get_str(struct wire *w, const char **out, struct arena *a, struct err *e)
{
	size_t n = wire_left(w);
	const uint8_t *p = wire_bytes(w, n);
	char *s;

	if (n && memchr(p, 0, n))
		return err_set(e, -EBADMSG, "has a zero byte inside");
	s = arena_strndup(a, n ? (const char *)p : "", n);
	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	*out = s;
	return 0;
}

static int get_addr(struct wire *w, size_t n, struct ipaddr *out, struct err *e)
{
	struct ipaddr addr = { .family = n == 4 ? AF_INET : AF_INET6 };

	if (n != 4 && n != 16)
		return err_set(e, -EBADMSG, "has no address' length");
	memcpy(addr.b, wire_bytes(w, n), n);
	*out = addr;
	return 0;
}

static int get_prefix(struct wire *w, struct prefix *out, struct err *e)
{
	struct prefix p = { .len = 0 };
	int rc = get_addr(w, wire_left(w) - 1, &p.addr, e);

	if (rc)
		return rc;
	p.len = wire_u8(w);
	if (p.len > addr_bits(&p.addr))
		return err_set(e, -EBADMSG, "has the prefix length %u", p.len);
	*out = p;
	return 0;
}

static int get_map(struct wire *w, struct strmap *out, struct arena *a, struct err *e)
{
	uint64_t n = wire_varint(w);
	struct strmap m = { .n = 0 };

	/* Each entry takes two bytes at least: no count can ask for more than the input's size. */
	if (w->bad || n > wire_left(w) / 2)
		return short_of(e);
	m.v = arena_array(a, n, sizeof(*m.v));
	if (!m.v)
		return err_set(e, -ENOMEM, "no memory");
	for (; m.n < n; m.n++) {
		struct strmap_entry *entry = &m.v[m.n];
		struct wire key = wire_sub(w, wire_varint(w));
		struct wire value = wire_sub(w, wire_varint(w));
		int rc;

		if (w->bad)
			return short_of(e);
		rc = get_str(&key, &entry->key, a, e);
		if (!rc)
			rc = get_str(&value, &entry->value, a, e);
		if (rc)
			return rc;
		if (m.n && strcmp(entry[-1].key, entry->key) >= 0)
			return err_set(e, -EBADMSG, "keys are not in order");
	}
	*out = m;
	return 0;
}

static int get_intstr(struct wire *w, struct intstr *out, struct arena *a, struct err *e)
{
	struct intstr v = { .type = wire_u8(w) };
	int rc = 0;

	if (v.type == INTSTR_INT)
		v.i = unzigzag(wire_varint(w));
	else if (v.type == INTSTR_STR)
		rc = get_str(w, &v.s, a, e);
	else
		return err_set(e, -EBADMSG, "is neither a number nor a string");
	if (rc)
		return rc;
	if (w->bad)
		return short_of(e);
	*out = v;
	return 0;
}

static int get_small(struct wire *w, const struct field *f, uint8_t *out, struct err *e)
{
	uint64_t v = wire_varint(w);
	uint64_t max = f->type == F_BOOL       ? 1
		       : f->type == F_OPT_BOOL ? TRI_TRUE
		       : f->names              ? f->names->n - 1
					       : UINT8_MAX;

	if (w->bad)
		return short_of(e);
	if (v > max)
		return err_set(e, -EBADMSG, "has the unknown value %llu", (unsigned long long)v);
	*out = (uint8_t)v;
	return 0;
}

static int get_int(struct wire *w, int64_t *out, struct err *e)
{
	uint64_t v = wire_varint(w);

	if (w->bad)
		return short_of(e);
	*out = unzigzag(v);
	return 0;
}

/* `w` is a window of exactly the value, except for a varint in its struct. */
static int get_value(struct wire *w, const struct field *f, void *p, struct arena *a,
		     unsigned depth, struct err *e)
{
	struct blob *blob = p;
	void *sub;
	int rc;

	switch ((enum ftype)f->type) {
	case F_BOOL:
	case F_OPT_BOOL:
	case F_ENUM:
		return get_small(w, f, p, e);
	case F_I64:
	case F_TIME:
		return get_int(w, p, e);
	case F_OPT_I64:
		rc = get_int(w, &((struct opt_i64 *)p)->v, e);
		((struct opt_i64 *)p)->set = !rc;
		return rc;
	case F_STR:
		return get_str(w, p, a, e);
	case F_ADDR:
		return get_addr(w, wire_left(w), p, e);
	case F_PREFIX:
		return get_prefix(w, p, e);
	case F_MAC:
		if (wire_left(w) != sizeof(struct macaddr))
			return err_set(e, -EBADMSG, "has no MAC address' length");
		memcpy(p, wire_bytes(w, sizeof(struct macaddr)), sizeof(struct macaddr));
		return 0;
	case F_INTSTR:
		return get_intstr(w, p, a, e);
	case F_MAP:
		return get_map(w, p, a, e);
	case F_BLOB:
		blob->n = (uint32_t)wire_left(w);
		blob->v = arena_memdup(a, w->p, blob->n);
		return blob->v ? 0 : err_set(e, -ENOMEM, "no memory");
	case F_OBJ:
		memset(p, 0, f->sub->size);
		return get_struct(w, f->sub, p, a, depth + 1, e);
	case F_PTR:
		sub = arena_alloc(a, f->sub->size);
		if (!sub)
			return err_set(e, -ENOMEM, "no memory");
		*(void **)p = sub;
		return get_struct(w, f->sub, sub, a, depth + 1, e);
	}
	return err_set(e, -EBADMSG, "type %u has no encoding", f->type);
}

static int get_list(struct wire *w, const struct field *f, struct list_any *out, struct arena *a,
		    unsigned depth, struct err *e)
{
	uint64_t n = wire_varint(w);
	size_t size = field_size(f);
	struct list_any l;

	if (w->bad || n > wire_left(w))
		return short_of(e);
	l = (struct list_any){ arena_array(a, n, size), (uint32_t)n };
	if (!l.v)
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < n; i++) {
		struct wire element = wire_sub(w, wire_varint(w));
		int rc = w->bad ? short_of(e)
				: get_value(&element, f, (char *)l.v + i * size, a, depth, e);

		if (rc)
			return err_wrap(e, "[%u]", i);
	}
	*out = l;
	return 0;
}

static const struct field *field_by_id(const struct schema *s, uint64_t id)
{
	/* Tables are written in the order of ids, mostly without holes. */
	if (id >= 1 && id <= s->n && s->fields[id - 1].id == id)
		return &s->fields[id - 1];
	for (uint32_t i = 0; i < s->n; i++)
		if (s->fields[i].id == id)
			return &s->fields[i];
	return NULL;
}

static int get_field(struct wire *w, const struct schema *s, void *out, struct arena *a,
		     unsigned depth, struct err *e)
{
	uint64_t tag = wire_varint(w);
	const struct field *f = field_by_id(s, tag >> 1);
	bool sized = tag & 1;
	struct wire value;
	int rc;

	if (w->bad)
		return err_set(e, -EBADMSG, "is cut short");
	if (!sized && !f) {
		wire_varint(w);
		return w->bad ? short_of(e) : 0;
	}
	if (f && sized == codec_is_varint(f))
		return err_set(e, -EBADMSG, "%s: has another type", f->key);
	if (!sized) {
		rc = get_value(w, f, (char *)out + f->offset, a, depth, e);
		return rc ? err_wrap(e, "%s", f->key) : 0;
	}
	value = wire_sub(w, wire_varint(w));
	if (w->bad)
		return err_set(e, -EBADMSG, "%s: is cut short", f ? f->key : "unknown field");
	if (!f)
		return 0;
	if (f->flags & FF_LIST)
		rc = get_list(&value, f, (void *)((char *)out + f->offset), a, depth, e);
	else
		rc = get_value(&value, f, (char *)out + f->offset, a, depth, e);
	return rc ? err_wrap(e, "%s", f->key) : 0;
}

static int get_struct(struct wire *w, const struct schema *s, void *out, struct arena *a,
		      unsigned depth, struct err *e)
{
	if (depth > DEPTH_MAX)
		return err_set(e, -EBADMSG, "is nested too deeply");
	while (wire_left(w)) {
		int rc = get_field(w, s, out, a, depth, e);

		if (rc)
			return rc;
	}
	return 0;
}

int decode_struct(struct wire *w, const struct schema *s, void *out, struct arena *a, struct err *e)
{
	return get_struct(w, s, out, a, 0, e);
}
