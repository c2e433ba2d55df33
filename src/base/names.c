// SPDX-License-Identifier: Apache-2.0
/* names: see names.h. */
#include "base/names.h"

#include <string.h>

const char *name_of(const struct names *t, unsigned value)
{
	return value < t->n && t->v[value] ? t->v[value] : "?";
}

int name_find(const struct names *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i] && strcmp(t->v[i], name) == 0)
			return (int)i;
	return -1;
}
