// SPDX-License-Identifier: Apache-2.0
/* Rules of labels and label selectors, as the API server has them (apimachinery,
 * meta/v1/validation). */
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>

#define PATH_LEN 128

int validate_labels(const char *at, const struct strmap *labels, struct err *e)
{
	for (uint32_t i = 0; i < labels->n; i++) {
		if (!is_qualified_name(labels->v[i].key))
			return err_set(e, -EINVAL, "%s: \"%s\" is no label key ([prefix/]name)", at,
				       labels->v[i].key);
		if (!is_label_value(labels->v[i].value))
			return err_set(e, -EINVAL,
				       "%s.%s: must be up to 63 letters, digits, '-', '_' or '.', "
				       "with a letter or digit at both ends",
				       at, labels->v[i].key);
	}
	return 0;
}

static int check_requirement(const char *at, uint32_t i, const struct label_requirement *r,
			     struct err *e)
{
	bool wants = r->op == SEL_IN || r->op == SEL_NOT_IN;

	if (!is_qualified_name(r->key))
		return err_set(e, -EINVAL, "%s.matchExpressions[%u].key: \"%s\" is no label key",
			       at, i, r->key);
	if (wants && !r->values.n)
		return err_set(e, -EINVAL,
			       "%s.matchExpressions[%u].values: In and NotIn need at least one", at,
			       i);
	if (!wants && r->values.n)
		return err_set(e, -EINVAL,
			       "%s.matchExpressions[%u].values: must be empty for Exists and "
			       "DoesNotExist",
			       at, i);
	for (uint32_t k = 0; k < r->values.n; k++)
		if (!is_label_value(r->values.v[k]))
			return err_set(e, -EINVAL,
				       "%s.matchExpressions[%u].values[%u]: is no label value", at,
				       i, k);
	return 0;
}

int validate_selector(const char *at, const struct label_selector *s, struct err *e)
{
	char path[PATH_LEN];
	int rc = 0;

	snprintf(path, sizeof(path), "%s.matchLabels", at);
	rc = validate_labels(path, &s->matchLabels, e);
	for (uint32_t i = 0; !rc && i < s->matchExpressions.n; i++)
		rc = check_requirement(at, i, &s->matchExpressions.v[i], e);
	return rc;
}
