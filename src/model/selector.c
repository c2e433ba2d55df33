// SPDX-License-Identifier: Apache-2.0
/* Label selectors, as Kubernetes' LabelSelector (meta/v1): all of matchLabels and all of
 * matchExpressions must hold. */
#include "model/cluster.h"

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
