/* SPDX-License-Identifier: Apache-2.0 */
/* The watch of a folder store, in two parts: what each file said last time (dir_known.c), and
 * which files to read again (dir_watch.c, which has the theory). Private to these two. */
#pragma once
#include "store/dir.h"

#include <uthash.h>

/* What is known of one file. */
struct dir_known {
	UT_hash_handle hh;
	struct store_key of; /* its strings are ours */
	uint64_t rev, hash;
	bool told;  /* false: it was never good */
	bool seen;  /* by the current walk */
	bool waits; /* it needs a revision, but somebody had the lock */
	char key[];
};

struct folder;

struct dir_watch {
	struct dir_store *d;
	const struct store_events *ev;
	void *arg;
	int fd;
	struct dir_known *known;
	struct folder *folders;
	uint64_t spec;  /* what the last sync said */
	bool walk;      /* everything has to be read again */
	bool committed; /* `committed` has changed */
	bool told;      /* something since the last sync */
	bool synced;    /* the first sync was told */
	bool gone;      /* the root folder was removed */
	bool locked;    /* this round found the lock taken: files wait for a revision */
};

/* Reads a file again and tells what is new about it; a dir_file_fn, `arg` is the watch. */
int dir_refresh(void *arg, const struct store_key *key, struct err *unused);
void dir_forget(struct dir_watch *w, struct dir_known *e);
void *dir_must(void *p); /* ends the process when memory is out */
