/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the folder store share: files and revisions (dir.c), and the watch
 * (dir_watch.c). Private to src/store. */
#pragma once
#include "base/buf.h"
#include "store/backend.h"

#include <dirent.h>
#include <limits.h>
#include <sys/types.h>

#define DIR_NO_NS     "_"         /* the folder of objects without a namespace */
#define DIR_COMMITTED "committed" /* "REVISION SPEC": see dir.c */
#define DIR_EXT       ".json"

#define DIR_OBJECT_MAX (4u << 20)

struct dir_watch;

struct dir_revs {
	uint64_t reserved;  /* no object has a higher one */
	uint64_t committed; /* everything up to here is in place */
	uint64_t spec;      /* the last one that was not of a derived kind */
};

#define DIR_FOLDERS 8 /* that a transaction keeps open until it syncs them */

/* An exclusive transaction: revisions as they are, recovered if the last writer died. */
struct dir_tx {
	int lock, root;
	struct dir_revs revs;
	uint64_t given;           /* the last revision that it used */
	unsigned ahead;           /* how many are reserved at once */
	bool yield;               /* to others who want the lock, after it */
	bool spec;                /* something that is not of a derived kind has changed */
	int folders[DIR_FOLDERS]; /* written to, not synced yet */
	unsigned n_folders;
};

struct dir_store {
	struct store base;
	char *root;
	unsigned lock_ms;     /* how long to wait for another writer */
	int wants;            /* file_lock_want() of who does not wait at all, or -1 */
	struct dir_tx *group; /* of store_begin(), or NULL */
	uid_t uid;            /* of the root folder: what root makes inside is given to them */
	gid_t gid;
	struct dir_watch *watch; /* NULL until store_watch() */
};

/* For up to `writes` changes, more are dearer; -EAGAIN when somebody still has the lock after
 * `wait_ms`. */
int dir_begin(struct dir_store *d, struct dir_tx *tx, unsigned writes, unsigned wait_ms,
	      struct err *e);
/* tx->given becomes the next revision, on disk before anything carries it. */
int dir_reserve(struct dir_tx *tx, struct err *e);
/* Before dir_end() the folder must be synced; `fd` becomes the transaction's. */
int dir_touched(struct dir_tx *tx, int fd);
/* Syncs the folders, publishes the revisions and lets the lock go. */
int dir_end(struct dir_tx *tx, struct err *e);

int dir_path(const struct dir_store *d, char path[PATH_MAX], const struct store_key *key,
	     struct err *e);
/* Folder of a kind (ns NULL) or of a namespace in it, as they are named on disk. */
int dir_folder(const struct dir_store *d, char path[PATH_MAX], const char *kind, const char *ns,
	       struct err *e);
/* The root, and a kind's (ns NULL) or namespace's folder below it, which is made if need be;
 * a descriptor. The folders below the root may be a daemon's that another user runs, so no link
 * is followed there: -ELOOP. Without `make` -ENOENT and -ENOTDIR say that there is none. */
int dir_open_root(const struct dir_store *d, struct err *e);
int dir_open_folder(const struct dir_store *d, const char *kind, const char *ns, bool make,
		    struct err *e);
/* Gives to the root folder's owner what root made: the store may be a daemon's. */
void dir_give(const struct dir_store *d, int fd);
/* Text of an object's file; -ENOENT when there is none. */
int dir_text(const struct dir_store *d, const struct store_key *key, struct buf *text,
	     struct err *e);
/* Text of an object's file to tree and struct; names must agree with the path. */
int dir_decode(const struct store_key *key, const char *path, const struct buf *text, json_t **json,
	       struct object **o, struct err *e);
/* -ENOENT when there is none. */
int dir_read(const struct dir_store *d, const struct store_key *key, json_t **json,
	     struct object **o, struct err *e);
/* Writes the object; its folder is made if need be. */
int dir_write(const struct dir_store *d, struct dir_tx *tx, const struct store_key *key,
	      const json_t *j, struct err *e);
/* -ENOENT counts as done. */
int dir_unlink(const struct dir_store *d, struct dir_tx *tx, const struct store_key *key,
	       struct err *e);
uint64_t dir_reserved(const struct dir_store *d);
void dir_committed(const struct dir_store *d, struct dir_revs *revs);

/* Calls `file` for each object file below a kind's folder; `ns` NULL for none. */
typedef int dir_file_fn(void *arg, const struct store_key *key, struct err *e);
int dir_walk(const struct dir_store *d, const struct kind *k, const char *ns, dir_file_fn *file,
	     void *arg, struct err *e);
/* NULL with errno 0 at the end: a folder that cannot be read to its end is no shorter list. */
struct dirent *dir_next(DIR *dir);
/* "web.json" to "web" in `name`; false for every other file. */
bool dir_object_name(const char *file, char name[NAME_MAX + 1]);

int dir_watch_start(struct store *s, const struct store_events *ev, void *arg, struct err *e);
int dir_watch_fd(const struct store *s);
int dir_watch_process(struct store *s, struct err *e);
void dir_watch_stop(struct dir_watch *w);
