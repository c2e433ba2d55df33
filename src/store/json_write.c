// SPDX-License-Identifier: Apache-2.0
/* Structs to JSON trees, and onto trees that hold more than we know. */
#include "store/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *time_json(int64_t t)
{
	char text[32];
	time_t when = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return NULL;
	return json_string(text);
}

static json_t *map_json(const struct strmap *m)
{
	json_t *j = json_object();

	for (uint32_t i = 0; j && i < m->n; i++)
		json_object_set_new(j, m->v[i].key, json_string(m->v[i].value));
	return j;
}

static json_t *value_json(const struct field *f, const void *p)
{
	const struct intstr *is = p;
	char text[PREFIX_TEXT];

	switch ((enum ftype)f->type) {
	case F_STR:
		return json_string(*(const char *const *)p ? *(const char *const *)p : "");
	case F_BOOL:
		return json_boolean(*(const uint8_t *)p);
	case F_OPT_BOOL:
		return json_boolean(*(const uint8_t *)p == TRI_TRUE);
	case F_I64:
		return json_integer(*(const int64_t *)p);
	case F_OPT_I64:
		return json_integer(((const struct opt_i64 *)p)->v);
	case F_ENUM:
		return json_string(name_of(f->names, *(const uint8_t *)p));
	case F_ADDR:
		return json_string(addr_str(p, text));
	case F_PREFIX:
		return json_string(prefix_str(p, text));
	case F_MAC:
		return json_string(mac_str(p, text));
	case F_INTSTR:
		return is->type == INTSTR_INT ? json_integer(is->i) : json_string(is->s);
	case F_TIME:
		return time_json(*(const int64_t *)p);
	case F_MAP:
		return map_json(p);
	case F_BLOB:
		return NULL;
	case F_OBJ:
		return struct_to_json(f->sub, p);
	case F_PTR:
		return struct_to_json(f->sub, *(const void *const *)p);
	}
	return NULL;
}

static json_t *list_json(const struct field *f, const struct list_any *l)
{
	size_t size = field_size(f);
	json_t *j = json_array();

	for (uint32_t i = 0; j && i < l->n; i++)
		if (json_array_append_new(j, value_json(f, (const char *)l->v + i * size))) {
			json_decref(j);
			return NULL;
		}
	return j;
}

/* A new reference, or NULL with *absent telling why. */
static json_t *field_json(const struct field *f, const void *p, bool *absent)
{
	json_t *j;

	/* Bytes have no JSON form. */
	*absent = f->type == F_BLOB || field_absent(f, p);
	if (*absent)
		return NULL;
	j = f->flags & FF_LIST ? list_json(f, p) : value_json(f, p);
	if (j && f->type == F_OBJ && !(f->flags & FF_LIST) && !json_object_size(j)) {
		json_decref(j);
		*absent = true;
		return NULL;
	}
	return j;
}

json_t *struct_to_json(const struct schema *s, const void *body)
{
	json_t *j = json_object();

	for (uint32_t i = 0; j && i < s->n; i++) {
		const struct field *f = &s->fields[i];
		bool absent;
		json_t *value = field_json(f, (const char *)body + f->offset, &absent);

		if (!absent && json_object_set_new(j, f->key, value)) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

json_t *object_to_json(const struct kind *k, const void *body)
{
	json_t *fields = struct_to_json(k->schema, body), *j;

	if (!fields)
		return NULL;
	j = json_pack("{s:s, s:s}", "apiVersion", k->api_version, "kind", k->name);
	if (!j || json_object_update(j, fields)) {
		json_decref(j);
		j = NULL;
	}
	json_decref(fields);
	return j;
}

/* ---- onto what is there */

/* What we know of the raw element `j`, as we would write it; NULL when it cannot be read. */
static json_t *known_part(const json_t *j, const struct schema *s)
{
	struct arena a;
	json_t *known = NULL;
	void *body;

	arena_init(&a, 0);
	body = arena_alloc(&a, s->size);
	if (body && !struct_from_json(j, s, body, &a, NULL))
		known = struct_to_json(s, body);
	arena_fini(&a);
	return known;
}

/* Replaces elements of `fresh` by those of `old` whose known part is the same. */
static void keep_unchanged(json_t *fresh, const json_t *old, const struct schema *s)
{
	size_t n = json_array_size(old);
	json_t **known = calloc(n + 1, sizeof(json_t *));
	size_t i;
	json_t *element;

	for (size_t k = 0; known && k < n; k++)
		known[k] = known_part(json_array_get(old, k), s);
	json_array_foreach(fresh, i, element)
	{
		for (size_t k = 0; known && k < n; k++)
			if (known[k] && json_equal(known[k], element)) {
				json_array_set(fresh, i, json_array_get(old, k));
				json_decref(known[k]);
				known[k] = NULL;
				break;
			}
	}
	for (size_t k = 0; known && k < n; k++)
		json_decref(known[k]);
	free(known);
}

static int onto_field(json_t *j, const struct field *f, const void *p, struct err *e)
{
	json_t *old = json_object_get(j, f->key), *fresh;
	const void *sub = f->type == F_PTR ? *(const void *const *)p : p;
	bool absent;

	if (!(f->flags & FF_LIST) && (f->type == F_OBJ || f->type == F_PTR) && sub &&
	    json_is_object(old))
		return struct_onto_json(old, f->sub, sub, 0, e);
	fresh = field_json(f, p, &absent);
	if (absent) {
		json_object_del(j, f->key);
		return 0;
	}
	if (fresh && f->flags & FF_LIST && f->type == F_OBJ && json_is_array(old))
		keep_unchanged(fresh, old, f->sub);
	if (json_object_set_new(j, f->key, fresh))
		return err_set(e, -ENOMEM, "%s: no memory", f->key);
	return 0;
}

int struct_onto_json(json_t *j, const struct schema *s, const void *body, unsigned flags,
		     struct err *e)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		int rc;

		if (flags && !(f->flags & flags))
			continue;
		rc = onto_field(j, f, (const char *)body + f->offset, e);
		if (rc)
			return rc;
	}
	return 0;
}
