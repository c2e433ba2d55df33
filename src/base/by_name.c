// SPDX-License-Identifier: Apache-2.0
/* by_name: see by_name.h. The texts stand behind the element. */
#include "base/by_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct by_name *by_name_get(struct by_name **head, const char *ns, const char *name, size_t size)
{
	size_t n = strlen(ns), len = n + strlen(name) + 2,
	       at = size ? size : sizeof(struct by_name);
	struct by_name *x = calloc(1, at + len + n + 1), *found;
	char *key;

	if (!x)
		return NULL;
	key = (char *)x + at;
	snprintf(key, len, "%s/%s", ns, name);
	HASH_FIND(hh, *head, key, len - 1, found);
	if (found || !size) {
		free(x);
		return found;
	}
	x->key = key;
	x->name = key + n + 1;
	x->ns = memcpy(key + len, ns, n + 1);
	HASH_ADD_KEYPTR(hh, *head, x->key, len - 1, x);
	if (x->hh.tbl)
		return x;
	free(x);
	return NULL;
}

void by_name_drop(struct by_name **head, struct by_name *x)
{
	HASH_DEL(*head, x);
	free(x);
}
