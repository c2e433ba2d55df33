/* SPDX-License-Identifier: Apache-2.0 */
/* A subscriber's copy of the store: the kinds it asked role watch for, kept up to date, and
 * writes back. Survives restarts of watch: the new stream's list is taken in the background and
 * compared with the copy at its in-sync mark, so what vanished meanwhile is told as gone and
 * what did not change is not told at all. Until then the copy stays as it was. */
#pragma once
#include "daemon/role.h"
#include "model/cluster.h"

struct mirror;

struct mirror_ops {
	/* `old` NULL: new; `now` NULL: gone. Both are valid during the call; `now` stays the
	 * mirror's until its next change is told. */
	void (*changed)(void *arg, const struct object *old, const struct object *now);
	/* Everything up to s->revision was told. Not called before the first in_sync mark,
	 * except with s->stale. */
	void (*synced)(void *arg, const struct rec_sync *s);
};

/* `kinds`: n of enum kind_id. `ops` and `arg` must outlive it. */
struct mirror *mirror_new(struct role *r, const uint8_t *kinds, size_t n,
			  const struct mirror_ops *ops, void *arg, struct err *e);
void mirror_free(struct mirror *m); /* NULL is fine */
/* The descriptor of ops->join for peer "watch", which becomes the mirror's. */
void mirror_join(struct mirror *m, int fd);

const struct cluster *mirror_cluster(const struct mirror *m);
/* Has the whole of the store been seen once, or what watch had kept on disk of it? */
bool mirror_known(const struct mirror *m);
/* Has it been seen, and is the copy what watch has now, not what an earlier stream told? */
bool mirror_current(const struct mirror *m);
/* Objects that could not be read may be missing: that one is not there means nothing. */
bool mirror_incomplete(const struct mirror *m);

/* The answer; code -EPIPE where watch went away before it: then the write may or may not have
 * happened. */
typedef void mirror_written_fn(void *arg, const struct rec_written *answer);

/* w->id and, where `body` is given, w->body are filled in: `body` is the struct of w->kind.
 * -EPIPE while there is no stream. */
int mirror_write(struct mirror *m, const struct rec_write *w, const void *body,
		 mirror_written_fn *fn, void *arg, struct err *e);
