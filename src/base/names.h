/* SPDX-License-Identifier: Apache-2.0 */
/* Enum ↔ name tables. A table is an array indexed by the enum's value; a hole is NULL. Keep a
 * static_assert beside each table that its length matches the enum. */
#pragma once
#include <stddef.h>

struct names {
	const char *const *v;
	size_t n;
};

#define NAMES(array) ((struct names){ (array), sizeof(array) / sizeof((array)[0]) })

/* The name, or "?" for a value outside of the table. */
const char *name_of(const struct names *t, unsigned value);
/* The value, or -1. Exact match: Kubernetes' enums are case-sensitive. */
int name_find(const struct names *t, const char *name);
