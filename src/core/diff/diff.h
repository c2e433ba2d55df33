/* SPDX-License-Identifier: Apache-2.0 */
/* What must be done so that the kernel holds what is wanted: sort-merge of two arrays, and the
 * table of what is wanted, by owner.
 *
 * Each object leaves by exactly one verdict, as BIRD's krt_got_route() has it; the audit counts
 * and logs them by name.
 *
 * Order of the operations: additions and changes in the order of kobj_cmp() (sysctls and links
 * before what hangs on them), then deletions in the reverse order: what replaces is there before
 * what it replaces goes. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "model/kernel.h"

#include <stddef.h>
#include <stdint.h>

enum diff_verdict {
	DIFF_SEEN,     /* wanted and there */
	DIFF_IGNORE,   /* there, not wanted, not ours: somebody else's */
	DIFF_UPDATE,   /* wanted, there with other attributes */
	DIFF_DELETE,   /* there, ours, not wanted */
	DIFF_MISSING,  /* wanted, not there */
	DIFF_CONFLICT, /* wanted, but somebody else's object has the key: left alone */
	DIFF_VERDICTS
};

const char *diff_verdict_name(enum diff_verdict v); /* "seen", "ignore", … */

struct diff_conflict {
	const struct kobj *kept, *lost; /* same key */
};

struct diff {
	struct kop *ops;
	size_t n;
	uint64_t counts[DIFF_VERDICTS];
	struct diff_conflict *conflicts; /* foreign object over wanted one, or owner over owner */
	size_t nconflicts;
};

/* Is an object that is there, and that nobody wants, ours to delete? Not asked for those with
 * kobj.foreign. NULL stands for "yes". */
typedef bool (*diff_ours_fn)(void *arg, const struct kobj *have);

struct kobjs {
	const struct kobj *v;
	size_t n;
};

/* Both arrays sorted by kobj_cmp() and free of equal keys. The results live in `a`; operations
 * point into the two arrays. -ENOMEM when the arena is exhausted. */
int diff_kobjs(struct kobjs want, struct kobjs have, diff_ours_fn ours, void *arg, struct arena *a,
	       struct diff *out);

/* ---- desired: everything wanted, each object by one or more owners. Where owners want the same
 * key, the one with the lowest number has it; if the others want other attributes that is a
 * conflict, and the next one takes over when the first lets go. */

struct desired;

struct desired *desired_new(void); /* NULL: no memory */
void desired_free(struct desired *d);

/* Replaces all that `owner` wants by objs[0..n) (any order; kobj.owner is set to `owner`; of two
 * with one key the first counts) and says what changes in the kernel thereby: counts use MISSING
 * for additions. n = 0 lets go of everything. Operations point into `a`. On failure (-ENOMEM)
 * nothing has changed. */
int desired_set(struct desired *d, uint32_t owner, const struct kobj *objs, size_t n,
		struct arena *a, struct diff *out);

/* Everything wanted, one object per key, sorted, copied into `a`; NULL: no memory. */
const struct kobj *desired_all(const struct desired *d, struct arena *a, size_t *n);
/* The object that has this key, or NULL. */
const struct kobj *desired_get(const struct desired *d, const struct kobj *key);
size_t desired_count(const struct desired *d);
