/* SPDX-License-Identifier: Apache-2.0 */
/* What watch knows: every object as the encoded frame that subscribers get, in the order of its
 * last change. A subscriber is a position in that order: "what comes next for it" is what lies
 * behind its position, whether it takes its first list or is a moment late. So a slow
 * subscriber costs no queue; only deletions must be kept until the last one passed them, and a
 * subscriber that keeps too many waiting is told by watch_log_laggard(). */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "model/cluster.h"

#include <uthash.h>

struct watch_entry {
	struct watch_entry *prev, *next;
	UT_hash_handle hh; /* by key; not while it is a deletion */
	uint64_t seq;      /* of its last change, in this process */
	uint64_t rev;
	uint64_t round; /* of the list that last held it */
	unsigned kind;
	unsigned waiting; /* a deletion: positions that have not passed it */
	bool deleted;
	struct buf frame; /* REC_PUT or REC_DELETE */
	char *ns;         /* NULL, or in `key` */
	char *name;       /* in `key` */
	size_t key_len;
	char key[]; /* kind, NS, NUL, NAME, NUL */
};

struct watch_pos {
	struct watch_pos *link;   /* of the log */
	struct watch_entry *next; /* NULL: at the end */
	uint64_t since;           /* deletions up to here are none of its business */
};

struct watch_log {
	struct watch_entry *head, *tail, *by_key;
	struct watch_pos *positions;
	uint64_t seq, round;
	size_t n_objects, n_deletions;
	size_t per_kind[KIND_COUNT];
};

void watch_log_fini(struct watch_log *l);

/* An object as it is now. 1: it is new or changed, 0: nothing new. */
int watch_log_put(struct watch_log *l, const struct object *o, struct err *e);
/* Tells everybody, also of an object that is not known here: somebody may know it from before. */
int watch_log_del(struct watch_log *l, const struct kind *k, const char *ns, const char *name,
		  uint64_t rev, struct err *e);

/* Around a whole list: what was not put between begin and end is deleted at the end. */
void watch_log_begin(struct watch_log *l);
int watch_log_end(struct watch_log *l, struct err *e);
/* Of the object with this one's name; 0: there is none. */
uint64_t watch_log_rev(struct watch_log *l, const struct object *o);
/* How many objects watch_log_end() would delete. */
size_t watch_log_missing(const struct watch_log *l);

/* From the first entry on; `p` is the caller's until watch_log_leave(). */
void watch_log_enter(struct watch_log *l, struct watch_pos *p);
void watch_log_leave(struct watch_log *l, struct watch_pos *p);
/* The next entry for `p`, or NULL at the end; valid until watch_log_pass(). */
const struct watch_entry *watch_log_next(struct watch_log *l, struct watch_pos *p);
void watch_log_pass(struct watch_log *l, struct watch_pos *p);
/* A position that keeps more than `max` deletions waiting, or NULL. */
struct watch_pos *watch_log_laggard(struct watch_log *l, size_t max);
