/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of kernel objects: a name ("block/10-244-1-0-26") and the number by which core/diff
 * knows it, given out once and not again. */
#pragma once
#include "core/route/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct owners;

struct owner {
	char *key;
	uint32_t id;
	bool dirty;
	struct route_hops *hops; /* that what it wants refers to */
	char problem[160];       /* as last logged */
};

struct owners *owners_new(void); /* NULL: no memory */
void owners_free(struct owners *v);
/* The one of this name, made where there is none; NULL: no memory. */
struct owner *owners_get(struct owners *v, const char *key);
struct owner *owners_find(const struct owners *v, const char *key);
const struct owner *owners_by_id(const struct owners *v, uint32_t id);
void owners_drop(struct owners *v, struct owner *o);
void owners_each(const struct owners *v, void (*fn)(void *arg, struct owner *o), void *arg);
