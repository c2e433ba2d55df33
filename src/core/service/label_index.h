/* SPDX-License-Identifier: Apache-2.0 */
/* Objects by their namespace and a pair of words, so that what a label leads to need not be looked
 * for among all of a kind: a change costs what it changes and a question what it finds, however many
 * there are.
 *
 * It points to objects, which it does not own: put the new one before the old one is freed. A question
 * may find too much (pairs with line ends in them), never too little. */
#pragma once
#include "model/cluster.h"

struct label_index;

struct label_index *label_index_new(void);    /* NULL: no memory */
void label_index_free(struct label_index *x); /* NULL is fine */
/* In place of what was put by its namespace and name, found by these pairs. -ENOMEM: by none. */
int label_index_put(struct label_index *x, const struct object *o, const struct strmap *pairs);
void label_index_drop(struct label_index *x, const char *ns, const char *name);

size_t label_index_count(const struct label_index *x, const char *ns,
			 const struct strmap_entry *pair);
typedef void label_index_fn(void *arg, const struct object *o);
/* In no order. */
void label_index_each(const struct label_index *x, const char *ns, const struct strmap_entry *pair,
		      label_index_fn *fn, void *arg);
