// SPDX-License-Identifier: Apache-2.0
/* JSON trees to structs, by the tables. Recursion follows the schema, never the input, so a
 * deep document costs nothing. */
#include "store/json.h"

#include "base/buf.h"
#include "model/bgp.h"
#include "model/validate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Where we are, innermost first: a key, or an index where `key` is NULL. */
struct path {
	const struct path *up;
	const char *key;
	size_t index;
};

static void path_put(const struct path *p, struct buf *out)
{
	if (!p)
		return;
	path_put(p->up, out);
	if (p->key)
		buf_printf(out, "%s%s", p->up ? "." : "", p->key);
	else
		buf_printf(out, "[%zu]", p->index);
}

static int bad(const struct path *p, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(const struct path *p, struct err *e, const char *fmt, ...)
{
	struct buf text = { .v = NULL };
	char rule[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rule, sizeof(rule), fmt, ap);
	va_end(ap);
	path_put(p, &text);
	err_set(e, -EINVAL, "%s%s%s", text.v ? text.v : "", text.n ? ": " : "", rule);
	buf_fini(&text);
	return -EINVAL;
}

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory");
}

static int get_text(const json_t *j, const struct path *p, const char **out, struct err *e)
{
	const char *s = json_string_value(j);

	if (!s)
		return bad(p, e, "must be a string");
	if (strlen(s) != json_string_length(j))
		return bad(p, e, "must not hold a zero byte");
	*out = s;
	return 0;
}

static int get_str(const json_t *j, const struct path *p, const char **out, struct arena *a,
		   struct err *e)
{
	const char *s;
	int rc = get_text(j, p, &s, e);

	if (rc)
		return rc;
	*out = arena_strdup(a, s);
	return *out ? 0 : no_memory(e);
}

static int get_int(const json_t *j, const struct field *f, const struct path *p, int64_t *out,
		   struct err *e)
{
	int64_t v;

	if (!json_is_integer(j))
		return bad(p, e, "must be a whole number");
	v = json_integer_value(j);
	if ((f->min || f->max) && (v < f->min || v > f->max))
		return bad(p, e, "must be between %lld and %lld", (long long)f->min,
			   (long long)f->max);
	*out = v;
	return 0;
}

static int get_enum(const json_t *j, const struct field *f, const struct path *p, uint8_t *out,
		    struct err *e)
{
	struct buf all = { .v = NULL };
	const char *s;
	int at, rc = get_text(j, p, &s, e);

	if (rc)
		return rc;
	at = name_find(f->names, s);
	if (at > 0) {
		*out = (uint8_t)at;
		return 0;
	}
	for (size_t i = 1; i < f->names->n; i++)
		buf_printf(&all, "%s%s", i > 1 ? ", " : "", f->names->v[i]);
	rc = bad(p, e, "must be one of %s, not \"%.64s\"", all.v ? all.v : "?", s);
	buf_fini(&all);
	return rc;
}

/* RFC 3339, section 5.6. Fractions of a second are dropped. */
static int get_time(const json_t *j, const struct path *p, int64_t *out, struct err *e)
{
	static const char rule[] = "must be a time such as 2026-01-31T10:00:00Z";
	struct tm tm = { .tm_isdst = 0 };
	int h = 0, m = 0, rc;
	const char *s, *end;
	char sign;

	rc = get_text(j, p, &s, e);
	if (rc)
		return rc;
	end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end)
		return bad(p, e, rule);
	sign = *end;
	if (sign == '+' || sign == '-') {
		if (strlen(end) != 6 || end[3] != ':' || strspn(end + 1, "0123456789:") != 5)
			return bad(p, e, rule);
		h = (end[1] - '0') * 10 + end[2] - '0';
		m = (end[4] - '0') * 10 + end[5] - '0';
	} else if (strcmp(end, "Z") != 0) {
		return bad(p, e, rule);
	}
	*out = (int64_t)timegm(&tm) - (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

static int get_map(json_t *j, const struct path *p, struct strmap *out, struct arena *a,
		   struct err *e)
{
	struct strmap m = { .n = 0 };
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return bad(p, e, "must be a map of strings");
	m.v = arena_array(a, json_object_size(j), sizeof(*m.v));
	if (!m.v)
		return no_memory(e);
	json_object_foreach(j, key, value)
	{
		struct path at = { p, key, 0 };
		int rc;

		if (json_is_null(value))
			continue;
		rc = get_str(value, &at, &m.v[m.n].value, a, e);
		if (rc)
			return rc;
		m.v[m.n].key = arena_strdup(a, key);
		if (!m.v[m.n].key)
			return no_memory(e);
		m.n++;
	}
	qsort(m.v, m.n, sizeof(*m.v), by_key);
	*out = m;
	return 0;
}

static int get_intstr(const json_t *j, const struct field *f, const struct path *p,
		      struct intstr *out, struct arena *a, struct err *e)
{
	int rc;

	if (!json_is_integer(j) && !json_is_string(j))
		return bad(p, e, "must be a number or a name");
	rc = json_is_integer(j) ? get_int(j, f, p, &out->i, e) : get_str(j, p, &out->s, a, e);
	if (!rc)
		out->type = json_is_integer(j) ? INTSTR_INT : INTSTR_STR;
	return rc;
}

static int get_net(const json_t *j, const struct field *f, const struct path *p, void *out,
		   struct err *e)
{
	const char *s;
	int rc = get_text(j, p, &s, e);

	if (rc)
		return rc;
	if (f->type == F_ADDR)
		return addr_parse(s, out) ? bad(p, e, "must be an IP address, not \"%.64s\"", s)
					  : 0;
	if (f->type == F_PREFIX)
		return prefix_parse(s, out)
			       ? bad(p, e, "must be a CIDR such as 10.0.0.0/8, not \"%.64s\"", s)
			       : 0;
	return mac_parse(s, out) ? bad(p, e, "must be a MAC address, not \"%.64s\"", s) : 0;
}

static int get_struct(const json_t *j, const struct schema *s, void *out, struct arena *a,
		      const struct path *p, struct err *e);

static int get_value(json_t *j, const struct field *f, void *out, struct arena *a,
		     const struct path *p, struct err *e)
{
	void *sub;
	int rc;

	switch ((enum ftype)f->type) {
	case F_STR:
		return get_str(j, p, out, a, e);
	case F_BOOL:
	case F_OPT_BOOL:
		if (!json_is_boolean(j))
			return bad(p, e, "must be true or false");
		*(uint8_t *)out = f->type == F_BOOL ? json_is_true(j)
				  : json_is_true(j) ? TRI_TRUE
						    : TRI_FALSE;
		return 0;
	case F_I64:
		return get_int(j, f, p, out, e);
	case F_OPT_I64:
		rc = get_int(j, f, p, &((struct opt_i64 *)out)->v, e);
		((struct opt_i64 *)out)->set = !rc;
		return rc;
	case F_ENUM:
		return get_enum(j, f, p, out, e);
	case F_ADDR:
	case F_PREFIX:
	case F_MAC:
		return get_net(j, f, p, out, e);
	case F_INTSTR:
		return get_intstr(j, f, p, out, a, e);
	case F_TIME:
		return get_time(j, p, out, e);
	case F_MAP:
		return get_map(j, p, out, a, e);
	case F_BLOB:
		return bad(p, e, "has no JSON form");
	case F_OBJ:
		return get_struct(j, f->sub, out, a, p, e);
	case F_PTR:
		sub = arena_alloc(a, f->sub->size);
		if (!sub)
			return no_memory(e);
		*(void **)out = sub;
		return get_struct(j, f->sub, sub, a, p, e);
	}
	return -EINVAL;
}

static int get_list(const json_t *j, const struct field *f, struct list_any *out, struct arena *a,
		    const struct path *p, struct err *e)
{
	size_t size = field_size(f), n = json_array_size(j);
	char *v;

	if (!json_is_array(j))
		return bad(p, e, "must be a list");
	v = arena_array(a, n, size);
	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct path at = { p, NULL, i };
		int rc = get_value(json_array_get(j, i), f, v + i * size, a, &at, e);

		if (rc)
			return rc;
	}
	*out = (struct list_any){ v, (uint32_t)n };
	return 0;
}

static int get_struct(const json_t *j, const struct schema *s, void *out, struct arena *a,
		      const struct path *p, struct err *e)
{
	if (!json_is_object(j))
		return bad(p, e, "must be an object");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		json_t *value = json_object_get(j, f->key);
		void *member = (char *)out + f->offset;
		struct path at = { p, f->key, 0 };
		int rc;

		if (!value || json_is_null(value)) {
			if (f->flags & FF_REQUIRED)
				return bad(&at, e, "is required");
			continue;
		}
		rc = f->flags & FF_LIST ? get_list(value, f, member, a, &at, e)
					: get_value(value, f, member, a, &at, e);
		if (rc)
			return rc;
	}
	return 0;
}

int struct_from_json(const json_t *j, const struct schema *s, void *out, struct arena *a,
		     struct err *e)
{
	return get_struct(j, s, out, a, NULL, e);
}

/* ---- whole objects */

const char *object_label(const struct kind *k, const struct meta *m, char *buf, size_t n)
{
	if (k->namespaced && m->namespace)
		snprintf(buf, n, "%s %s/%s", k->name, m->namespace, m->name ? m->name : "?");
	else
		snprintf(buf, n, "%s %s", k->name, m->name ? m->name : "?");
	return buf;
}

/* As object_label(), for what is not decoded yet. */
static void raw_label(const json_t *j, const char *kind, bool namespaced, char *buf, size_t n)
{
	const json_t *meta = json_object_get(j, "metadata");
	const char *name = json_string_value(json_object_get(meta, "name"));
	const char *ns = json_string_value(json_object_get(meta, "namespace"));

	snprintf(buf, n, "%.63s %.63s%s%.253s", kind, namespaced ? (ns ? ns : "default") : "",
		 namespaced ? "/" : "", name ? name : "?");
}

/* Of Secrets only those that are meant for us are looked at, or kept. */
static bool is_others_secret(const json_t *j)
{
	const char *type = json_string_value(json_object_get(j, "type"));

	return !type || strcmp(type, SECRET_BGP_PASSWORD) != 0;
}

static const struct kind *kind_of(const json_t *j, struct err *e)
{
	const char *api = json_string_value(json_object_get(j, "apiVersion"));
	const char *kind = json_string_value(json_object_get(j, "kind"));
	const struct kind *k;
	char label[512];

	if (!json_is_object(j)) {
		err_set(e, -EINVAL, "must be an object with apiVersion, kind and metadata");
		return NULL;
	}
	if (!api || !kind) {
		raw_label(j, kind ? kind : "object", false, label, sizeof(label));
		err_set(e, -EINVAL, "%s: %s: is required", label, api ? "kind" : "apiVersion");
		return NULL;
	}
	k = kind_by_name(api, kind);
	if (!k) {
		bool namespaced = json_object_get(json_object_get(j, "metadata"), "namespace");

		raw_label(j, kind, namespaced, label, sizeof(label));
		err_set(e, -ENOTSUP, "%.63s %s: unknown kind", api, label);
		return NULL;
	}
	if (k->id == KIND_SECRET && is_others_secret(j)) {
		raw_label(j, kind, true, label, sizeof(label));
		err_set(e, -ENOTSUP, "%s: type: none that fairlead reads, which is %s", label,
			SECRET_BGP_PASSWORD);
		return NULL;
	}
	return k;
}

struct object *object_from_json(const json_t *j, struct err *e)
{
	const struct kind *k = kind_of(j, e);
	struct object *o;
	char label[512];
	int rc;

	if (!k)
		return NULL;
	o = object_new(k);
	if (!o) {
		no_memory(e);
		return NULL;
	}
	rc = struct_from_json(j, k->schema, o->body, &o->arena, e);
	if (rc) {
		raw_label(j, k->name, k->namespaced, label, sizeof(label));
		err_wrap(e, "%s", label);
	} else {
		if (k->namespaced && !o->meta->namespace)
			o->meta->namespace = arena_strdup(&o->arena, "default");
		rc = validate_object(o, e);
	}
	if (rc) {
		object_free(o);
		return NULL;
	}
	return o;
}
