/* SPDX-License-Identifier: Apache-2.0 */
/* A write, apart from where it is kept: from what is stored and what is asked for to what shall
 * be stored. Private to src/store. */
#pragma once
#include "store/store.h"

struct change {
	enum store_op op;
	struct store_key key;
	const json_t *json; /* either this */
	const void *body;   /* or the kind's struct */
	uint64_t expect;    /* 0: any revision */
};

/* `old` (may be NULL: nothing stored) is at `old_rev`. On success *out is the new object
 * without a new resourceVersion, decoded in *o (both the caller's), or both are NULL when
 * nothing changes. */
int change_compute(const struct change *c, const json_t *old, uint64_t old_rev, json_t **out,
		   struct object **o, struct err *e);

/* -ESTALE and the text for it. */
int change_stale(const struct store_key *key, uint64_t have, uint64_t expect, struct err *e);

uint64_t json_revision(const json_t *j); /* metadata.resourceVersion; 0 when there is none */
int json_set_revision(json_t *j, uint64_t rev);
