/* SPDX-License-Identifier: Apache-2.0 */
/* What a kind of store implements; private to src/store. The calls mean what store.h says. */
#pragma once
#include "store/change.h"
#include "store/store.h"

struct store_ops {
	const char *scheme; /* "dir:" */
	int (*open)(const char *where, unsigned flags, struct store **out, struct err *e);
	void (*close)(struct store *s);
	int (*list)(struct store *s, unsigned kind, const char *ns, const struct store_events *ev,
		    void *arg, struct err *e);
	int (*get)(struct store *s, const struct store_key *key, struct object **o, json_t **json,
		   struct err *e);
	int (*change)(struct store *s, const struct change *c, uint64_t *rev, struct err *e);
	int (*remove)(struct store *s, const struct store_key *key, uint64_t *rev, struct err *e);
	int (*begin)(struct store *s, unsigned writes, struct err *e);
	int (*end)(struct store *s, struct err *e);
	int (*watch)(struct store *s, const struct store_events *ev, void *arg, struct err *e);
	int (*fd)(const struct store *s);
	int (*process)(struct store *s, struct err *e);
};

struct store {
	const struct store_ops *ops;
};

extern const struct store_ops dir_store_ops;
