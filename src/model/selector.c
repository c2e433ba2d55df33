// SPDX-License-Identifier: Apache-2.0
/* Label selectors, as Kubernetes' LabelSelector (meta/v1): all of matchLabels and all of
 * matchExpressions must hold. Their text is canonical: a label is the same as In with its one
 * value, values and requirements are sorted and each there once. It tells equal selectors, not
 * equivalent ones. */
#include "model/cluster.h"

#include <stdlib.h>
#include <string.h>

static bool has_value(const struct label_requirement *r, const char *value)
{
	for (uint32_t i = 0; i < r->values.n; i++)
		if (!strcmp(r->values.v[i], value))
			return true;
	return false;
}

static bool requirement_match(const struct label_requirement *r, const struct strmap *labels)
{
	const char *value = r->key ? strmap_get(labels, r->key) : NULL;

	switch ((enum selector_op)r->op) {
	case SEL_IN:
		return value && has_value(r, value);
	case SEL_NOT_IN: /* a missing key is not in the set either */
		return !value || !has_value(r, value);
	case SEL_EXISTS:
		return value;
	case SEL_DOES_NOT_EXIST:
		return !value;
	case SEL_NONE:
		return false;
	}
	return false;
}

bool selector_match(const struct label_selector *s, const struct strmap *labels)
{
	if (!s)
		return false;
	for (uint32_t i = 0; i < s->matchLabels.n; i++) {
		const char *value = strmap_get(labels, s->matchLabels.v[i].key);

		if (!value || strcmp(value, s->matchLabels.v[i].value) != 0)
			return false;
	}
	for (uint32_t i = 0; i < s->matchExpressions.n; i++)
		if (!requirement_match(&s->matchExpressions.v[i], labels))
			return false;
	return true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts, drops what is there twice, and joins. */
static const char *join(const char **v, size_t n, struct arena *a)
{
	size_t len = 1;
	char *out, *end;

	if (n)
		qsort(v, n, sizeof(*v), by_text);
	for (size_t i = 0; i < n; i++)
		len += strlen(v[i]) + 1;
	out = end = arena_alloc(a, len);
	for (size_t i = 0; out && i < n; i++) {
		if (i && !strcmp(v[i - 1], v[i]))
			continue;
		if (end != out)
			*end++ = ',';
		end = stpcpy(end, v[i]);
	}
	return out;
}

static const char *requirement_text(const struct label_requirement *r, struct arena *a)
{
	const char **v = arena_array(a, r->values.n, sizeof(*v)), *values;

	if (!v)
		return NULL;
	for (uint32_t i = 0; i < r->values.n; i++)
		v[i] = r->values.v[i];
	values = join(v, r->values.n, a);
	if (!values)
		return NULL;
	switch ((enum selector_op)r->op) {
	case SEL_IN: /* no value has a comma */
		return strchr(values, ',') ? arena_printf(a, "%s in (%s)", r->key, values)
					   : arena_printf(a, "%s=%s", r->key, values);
	case SEL_NOT_IN:
		return arena_printf(a, "%s notin (%s)", r->key, values);
	case SEL_EXISTS:
		return r->key;
	case SEL_DOES_NOT_EXIST:
		return arena_printf(a, "!%s", r->key);
	case SEL_NONE:
		break;
	}
	return "";
}

const char *selector_text(const struct label_selector *s, struct arena *a)
{
	size_t n = 0;
	const char **v =
		arena_array(a, (size_t)s->matchLabels.n + s->matchExpressions.n, sizeof(*v));

	if (!v)
		return NULL;
	for (uint32_t i = 0; i < s->matchLabels.n; i++, n++)
		v[n] = arena_printf(a, "%s=%s", s->matchLabels.v[i].key, s->matchLabels.v[i].value);
	for (uint32_t i = 0; i < s->matchExpressions.n; i++, n++)
		v[n] = requirement_text(&s->matchExpressions.v[i], a);
	for (size_t i = 0; i < n; i++)
		if (!v[i])
			return NULL;
	return join(v, n, a);
}
