// SPDX-License-Identifier: Apache-2.0
/* What the table-driven code shares: sizes of fields and sorted string maps. */
#include "model/schema.h"

#include <errno.h>
#include <string.h>

/* Index of `key`, or where it would be inserted (then *found is false). */
static uint32_t strmap_find(const struct strmap *m, const char *key, bool *found)
{
	uint32_t lo = 0, hi = m->n;

	*found = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = strcmp(m->v[mid].key, key);

		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const char *strmap_get(const struct strmap *m, const char *key)
{
	bool found;
	uint32_t i = strmap_find(m, key, &found);

	return found ? m->v[i].value : NULL;
}

int strmap_put(struct strmap *m, struct arena *a, const char *key, const char *value)
{
	bool found;
	uint32_t i = strmap_find(m, key, &found);
	char *copy = arena_strdup(a, value ? value : "");
	struct strmap_entry *v;
	char *k;

	if (!copy)
		return -ENOMEM;
	if (found) {
		m->v[i].value = copy;
		return 0;
	}
	k = arena_strdup(a, key);
	v = arena_array(a, m->n + 1, sizeof(*v));
	if (!k || !v)
		return -ENOMEM;
	if (m->n) {
		memcpy(v, m->v, i * sizeof(*v));
		memcpy(v + i + 1, m->v + i, (m->n - i) * sizeof(*v));
	}
	v[i] = (struct strmap_entry){ k, copy };
	m->v = v;
	m->n++;
	return 0;
}

size_t field_size(const struct field *f)
{
	switch ((enum ftype)f->type) {
	case F_STR:
		return sizeof(const char *);
	case F_BOOL:
	case F_OPT_BOOL:
	case F_ENUM:
		return sizeof(uint8_t);
	case F_I64:
	case F_TIME:
		return sizeof(int64_t);
	case F_OPT_I64:
		return sizeof(struct opt_i64);
	case F_ADDR:
		return sizeof(struct ipaddr);
	case F_PREFIX:
		return sizeof(struct prefix);
	case F_MAC:
		return sizeof(struct macaddr);
	case F_INTSTR:
		return sizeof(struct intstr);
	case F_MAP:
		return sizeof(struct strmap);
	case F_BLOB:
		return sizeof(struct blob);
	case F_OBJ:
		return f->sub->size;
	case F_PTR:
		return sizeof(void *);
	}
	return 0;
}

bool field_absent(const struct field *f, const void *p)
{
	static const struct macaddr no_mac;

	if (f->flags & FF_LIST)
		return !((const struct list_any *)p)->v;
	switch ((enum ftype)f->type) {
	case F_BOOL:
	case F_OPT_BOOL:
	case F_ENUM:
		return !*(const uint8_t *)p;
	case F_I64:
	case F_TIME:
		return !*(const int64_t *)p;
	case F_OPT_I64:
		return !((const struct opt_i64 *)p)->set;
	case F_STR:
	case F_PTR:
		return !*(const void *const *)p;
	case F_ADDR:
		return !((const struct ipaddr *)p)->family;
	case F_PREFIX:
		return !((const struct prefix *)p)->addr.family;
	case F_MAC:
		return !memcmp(p, &no_mac, sizeof(no_mac));
	case F_INTSTR:
		return !((const struct intstr *)p)->type;
	case F_MAP:
		return !((const struct strmap *)p)->n;
	case F_BLOB:
		return !((const struct blob *)p)->v;
	case F_OBJ:
		return false;
	}
	return false;
}
