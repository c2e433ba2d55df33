// SPDX-License-Identifier: Apache-2.0
/* unknown: see unknown.h. The schema leads the walk, as in json.c, so that its depth is bounded. */
#include "store/unknown.h"

#include "base/buf.h"

#include <errno.h>
#include <string.h>

static const struct field *field_named(const struct schema *s, const char *key)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (strcmp(s->fields[i].key, key) == 0)
			return &s->fields[i];
	return NULL;
}

static int complain(const struct buf *path, const char *key, const struct schema *s, struct err *e)
{
	struct buf known = { .v = NULL };

	for (uint32_t i = 0; i < s->n; i++)
		buf_printf(&known, "%s%s", i ? ", " : "", s->fields[i].key);
	err_set(e, -EINVAL, "%.*s.%.64s: unknown field; there are %s", (int)path->n, path->v, key,
		known.v ? known.v : "none");
	buf_fini(&known);
	return -EINVAL;
}

static int look(json_t *j, const struct schema *s, struct buf *path, struct err *e);

/* One value of `f`, or one element of its list. */
static int look_into(json_t *j, const struct field *f, struct buf *path, struct err *e)
{
	return (f->type == F_OBJ || f->type == F_PTR) && json_is_object(j)
		       ? look(j, f->sub, path, e)
		       : 0;
}

static int look(json_t *j, const struct schema *s, struct buf *path, struct err *e)
{
	size_t here = path->n;
	const char *key;
	json_t *value, *element;
	size_t i;
	int rc;

	json_object_foreach(j, key, value)
	{
		const struct field *f = field_named(s, key);

		if (!f)
			return complain(path, key, s, e);
		buf_printf(path, ".%s", key);
		rc = json_is_array(value) ? 0 : look_into(value, f, path, e);
		json_array_foreach(value, i, element)
		{
			size_t list = path->n;

			buf_printf(path, "[%zu]", i);
			rc = look_into(element, f, path, e);
			if (rc)
				return rc;
			path->n = list;
		}
		if (rc)
			return rc;
		path->n = here;
	}
	return 0;
}

int json_unknown_field(const json_t *j, const struct kind *k, struct err *e)
{
	json_t *spec = json_object_get(j, "spec");
	const struct field *f = field_named(k->schema, "spec");
	struct buf path = { .v = NULL };
	int rc;

	if (!json_is_object(spec) || !f || (f->type != F_OBJ && f->type != F_PTR) ||
	    (k->id != KIND_NETWORKPOLICY && strcmp(k->api_version, "fairlead.io/v1") != 0))
		return 0;
	buf_printf(&path, "spec");
	rc = look(spec, f->sub, &path, e);
	buf_fini(&path);
	return rc;
}
