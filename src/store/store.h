/* SPDX-License-Identifier: Apache-2.0 */
/* The store: objects by kind, namespace and name, one monotonic revision, compare-and-swap,
 * and a watch. Which store is decided by the URL's scheme: "dir:/path" (store/dir.c).
 *
 * Objects are kept as the JSON they came as, so fields that fairlead does not know survive;
 * the store adds metadata.namespace, uid, creationTimestamp and resourceVersion. A handle is
 * for one thread; many handles and processes may use one store at once. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"
#include "model/record.h"

#include <jansson.h>

struct store;

enum store_flag {
	STORE_CREATE = 1, /* make an empty store where there is none; else that is -ENOENT */
	STORE_NOWAIT = 2, /* no write waits for another writer, as else for ten seconds */
};

/* -ENOTSUP for a scheme that is not built. `out` is closed by the caller. */
int store_open(const char *url, unsigned flags, struct store **out, struct err *e);
void store_close(struct store *s); /* NULL is fine */

/* What list and watch tell. */
struct store_events {
	/* An object is there or changed. `o` becomes the callee's; `json`, the whole object, is
	 * only valid during the call. */
	void (*put)(void *arg, struct object *o, const json_t *json);
	/* An object is gone: perhaps one that was never told, because it could not be read. */
	/* It is gone; also told of what only `bad` was told of. */
	void (*del)(void *arg, const struct kind *k, const char *ns, const char *name,
		    uint64_t rev);
	/* Everything up to this revision was told; `revision` is that of the last change that is
	 * not of a derived kind (struct rec_sync). */
	void (*sync)(void *arg, uint64_t revision);
	/* An object that cannot be read or breaks a rule: it keeps its last good state and the
	 * others go on. May be NULL. */
	void (*bad)(void *arg, const struct err *e);
};

/* Tells all objects of `kind` (KIND_NONE: every kind) in `ns` (NULL: all) through put and bad
 * (either may be NULL), in no order, then sync (may be NULL). */
int store_list(struct store *s, unsigned kind, const char *ns, const struct store_events *ev,
	       void *arg, struct err *e);

/* Which object. */
struct store_key {
	const struct kind *k;
	const char *ns; /* NULL for cluster-scoped kinds */
	const char *name;
};

/* `json` (may be NULL) gets a new reference, `o` (may be NULL) is the caller's. -ENOENT when it
 * is not there. */
int store_get(struct store *s, const struct store_key *key, struct object **o, json_t **json,
	      struct err *e);

enum store_op {
	STORE_OP_CREATE, /* -EEXIST when it is there */
	STORE_OP_UPDATE, /* -ENOENT when it is not; -ESTALE when it is at another revision */
	STORE_OP_STATUS, /* only fields marked FF_STATUS; -ENOENT when it is not there */
	STORE_OP_APPLY,  /* create, or replace as a person means it: a status that the store has
			  * stays where the manifest says nothing of it, and more: store/keep.h */
};

/* A write by JSON (what a person wrote) or by struct (what a daemon holds: known fields are
 * replaced, unknown ones in the store kept). Validates, also against the other objects (pools
 * must not overlap). A write that changes nothing writes nothing. The write is on disk when the
 * call returns. -EAGAIN where another writer has the store, with its pid in the text.
 *
 * `rev` goes both ways and may be NULL: in, the revision that the object must be at, 0 for
 * any; out, the object's new one. */
int store_put_json(struct store *s, enum store_op op, const json_t *j, uint64_t *rev,
		   struct err *e);
int store_put(struct store *s, enum store_op op, const struct kind *k, const void *body,
	      uint64_t *rev, struct err *e);

/* `rev` as above; out, the revision of the deletion. */
int store_delete(struct store *s, const struct store_key *key, uint64_t *rev, struct err *e);

/* Around up to `writes` writes and deletions (more work too): the store is ours meanwhile, and
 * they share what it costs to have them on disk, which they are when store_end() returned 0;
 * where it fails, none may be taken for done. Each stands for itself all the same: what others
 * see, and what a crash leaves, are any of them. */
int store_begin(struct store *s, unsigned writes, struct err *e);
int store_end(struct store *s, struct err *e);

/* The write that a REC_WRITE asks for; the answer's code, rev and text (in `a`). */
void store_write(struct store *s, const struct rec_write *w, struct rec_written *answer,
		 struct arena *a);

/* Starts to watch: all objects are told, then sync, during the first store_process() calls.
 * One watch per handle; `ev` and `arg` stay until store_close(). Writes through the same
 * handle are told too. */
int store_watch(struct store *s, const struct store_events *ev, void *arg, struct err *e);
/* Readable when store_process() has something to do. */
int store_fd(const struct store *s);
/* Tells what changed. 1: call again in a moment, also where store_fd() is silent, because a
 * person's file has to get a revision and another writer has the lock. */
int store_process(struct store *s, struct err *e);
