/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (a jansson tree of one object) <-> typed struct, by the tables of the model.
 *
 * Reading: unknown fields are ignored, null counts as absent, wrong types and values are
 * refused with "KIND NS/NAME: path.to[2].field: rule". Writing: absent fields are left out. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

#include <jansson.h>

/* Into the zeroed struct `out`; pointers lead into `a`. Errors name the path only. */
int struct_from_json(const json_t *j, const struct schema *s, void *out, struct arena *a,
		     struct err *e);

/* A new tree (the caller's reference); NULL when there is no memory. */
json_t *struct_to_json(const struct schema *s, const void *body);

/* Makes the known fields of the object `j` say what `body` says and keeps the unknown ones:
 * also those inside of list elements whose known fields did not change. With `flags` only
 * top-level fields that carry one of them (FF_STATUS). */
int struct_onto_json(json_t *j, const struct schema *s, const void *body, unsigned flags,
		     struct err *e);

/* A whole manifest object: kind by apiVersion and kind, fields, then the rules of
 * model/validate.h. A namespaced object without a namespace is in "default".
 * NULL and e on failure; e->code is -ENOTSUP for a kind that fairlead does not know. */
struct object *object_from_json(const json_t *j, struct err *e);
/* With apiVersion and kind; without server's fields. NULL when there is no memory. */
json_t *object_to_json(const struct kind *k, const void *body);

/* "Pod shop/web", "Node n1"; "Pod ?" without a name. For errors and logs. */
const char *object_label(const struct kind *k, const struct meta *m, char *buf, size_t n);
