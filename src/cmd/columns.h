/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of `fairlead get`: which columns a kind has. */
#pragma once
#include "cmd/out.h"
#include "model/cluster.h"

/* Starts `t` with the kind's headers, after NAMESPACE when `with_ns`. */
void columns_init(struct table *t, const struct kind *k, bool with_ns, bool wide);
void columns_row(struct table *t, const struct object *o, bool with_ns, bool wide);
