// SPDX-License-Identifier: Apache-2.0
/* Folder store, watch: from what a file says to what is told; files that people wrote. */
#include "base/hash.h"
#include "store/dir_watch.h"
#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADOPT_MS 50 /* for the lock, once a round: whoever watches has more to do than wait */

static uint64_t hash_of(const struct buf *text)
{
	return fnv64(FNV64_START, text->v, text->n);
}

void *dir_must(void *p)
{
	if (!p)
		abort();
	return p;
}

static struct dir_known *find_known(struct dir_watch *w, const struct store_key *of, bool add)
{
	char key[NAME_MAX * 2 + 8];
	int n = snprintf(key, sizeof(key), "%u/%s/%s", of->k->id, of->ns ? of->ns : DIR_NO_NS,
			 of->name);
	struct dir_known *e = NULL;

	HASH_FIND(hh, w->known, key, (size_t)n, e);
	if (e || !add)
		return e;
	e = dir_must(calloc(1, sizeof(*e) + (size_t)n + 1));
	memcpy(e->key, key, (size_t)n);
	e->of = (struct store_key){ of->k, of->ns ? dir_must(strdup(of->ns)) : NULL,
				    dir_must(strdup(of->name)) };
	HASH_ADD_KEYPTR(hh, w->known, e->key, (size_t)n, e);
	return e;
}

void dir_forget(struct dir_watch *w, struct dir_known *e)
{
	HASH_DEL(w->known, e);
	free((char *)e->of.ns);
	free((char *)e->of.name);
	free(e);
}

static void tell_gone(struct dir_watch *w, struct dir_known *e)
{
	/* Also for what was never good: whom we tell may know it from before we started. */
	if (w->ev->del) {
		w->ev->del(w->arg, e->of.k, e->of.ns, e->of.name, dir_reserved(w->d));
		w->told = true;
	}
	dir_forget(w, e);
}

static void tell_bad(struct dir_watch *w, const struct err *e)
{
	if (w->ev->bad)
		w->ev->bad(w->arg, e);
}

/* Has a person written this, so that it needs a revision? */
static bool is_foreign(const struct dir_watch *w, const struct dir_known *e, uint64_t rev)
{
	return !rev || (e->told && rev <= e->rev) || rev > dir_reserved(w->d);
}

/* Under the lock: the file, unless it is another one than we read, with its own revision. */
static int give_revision(struct dir_watch *w, struct dir_tx *tx, struct dir_known *e,
			 const char *path, json_t *j, struct err *err)
{
	struct buf text = { .v = NULL };
	int rc = dir_text(w->d, &e->of, &text, err);

	if (!rc && hash_of(&text) != e->hash)
		rc = err_set(err, -ECANCELED, "%s: changed meanwhile", path);
	if (!rc)
		rc = dir_reserve(tx, err);
	if (!rc && json_set_revision(j, tx->given))
		rc = err_set(err, -ENOMEM, "no memory");
	if (!rc)
		rc = dir_write(w->d, tx, &e->of, j, err);
	buf_clear(&text);
	if (!rc)
		rc = dir_text(w->d, &e->of, &text, err);
	if (!rc)
		e->hash = hash_of(&text);
	buf_fini(&text);
	return rc;
}

static int adopt(struct dir_watch *w, struct dir_known *e, const char *path, json_t *j,
		 struct object *o, struct err *err)
{
	struct dir_tx tx;
	int rc = w->locked ? -EAGAIN : dir_begin(w->d, &tx, 1, ADOPT_MS, err);

	if (rc)
		return rc;
	rc = give_revision(w, &tx, e, path, j, err);
	if (!rc)
		o->rev = tx.given;
	tx.spec = !rc && !e->of.k->derived;
	dir_end(&tx, NULL);
	return rc;
}

static void tell_put(struct dir_watch *w, struct dir_known *e, struct object *o, json_t *j)
{
	e->rev = o->rev;
	e->told = true;
	w->told = true;
	if (w->ev->put)
		w->ev->put(w->arg, o, j);
	else
		object_free(o);
}

static void refresh_text(struct dir_watch *w, struct dir_known *e, const char *path,
			 const struct buf *text)
{
	struct err err = { .code = 0 };
	uint64_t hash = hash_of(text);
	struct object *o;
	json_t *j;

	if (e->hash == hash) /* told, or reported as bad */
		return;
	e->hash = hash;
	if (dir_decode(&e->of, path, text, &j, &o, &err)) {
		tell_bad(w, &err);
		return;
	}
	if (is_foreign(w, e, o->rev)) {
		int rc = adopt(w, e, path, j, o, &err);

		if (rc == -EAGAIN)
			w->locked = e->waits = true;
		/* Else its event is on the way. */
		if (rc == -EAGAIN || rc == -ECANCELED || rc == -ENOENT) {
			e->hash = 0;
			object_free(o);
			json_decref(j);
			return;
		}
		if (rc) /* read-only for us: take it as it is */
			o->rev = dir_reserved(w->d);
	}
	tell_put(w, e, o, j);
	json_decref(j);
}

int dir_refresh(void *arg, const struct store_key *key, struct err *unused)
{
	struct dir_watch *w = arg;
	struct dir_known *e = find_known(w, key, false);
	struct buf text = { .v = NULL };
	struct err err = { .code = 0 };
	char path[PATH_MAX];
	int rc = dir_path(w->d, path, key, &err);

	if (!rc)
		rc = dir_text(w->d, key, &text, &err);
	if (rc == -ENOENT) {
		if (e)
			tell_gone(w, e);
	} else if (rc) {
		tell_bad(w, &err);
	} else {
		if (!e)
			e = find_known(w, key, true);
		e->seen = true;
		e->waits = false;
		refresh_text(w, e, path, &text);
	}
	buf_fini(&text);
	return 0;
}
