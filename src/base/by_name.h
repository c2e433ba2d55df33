/* SPDX-License-Identifier: Apache-2.0 */
/* Things kept by namespace and name, as objects of the cluster are told apart: a hash whose elements
 * begin with this struct. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct by_name {
	const char *ns, *name;
	const char *key; /* "namespace/name" */
	UT_hash_handle hh;
};

/* The element of this name; where there is none, and `size` is not 0, a new one of so many bytes,
 * zero but for its name. NULL: it is not there, or there is no memory. */
struct by_name *by_name_get(struct by_name **head, const char *ns, const char *name, size_t size);
/* Takes it out and frees it. */
void by_name_drop(struct by_name **head, struct by_name *x);

/* In no order; the one at hand may be dropped where its next was taken before. NULL: no more. */
static inline struct by_name *by_name_next(const struct by_name *x)
{
	return x ? x->hh.next : NULL;
}
