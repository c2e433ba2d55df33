// SPDX-License-Identifier: Apache-2.0
/* Folder store: the watch.
 *
 * inotify says which file to read again; what a file said last time (revision and hash of its
 * text) says whether that is a change. Renames happen before `committed` is renamed, and events
 * come in order: once `committed` was read and then all events are drained, every object up to
 * that revision was told. Lost events (IN_Q_OVERFLOW) and folders that come, go or move lead to
 * a new walk, whose cost is that of reading all files; an ordinary change costs one file.
 *
 * A file whose revision does not fit (none, one that the store never gave out, or the same as
 * before with other text) was put there or edited by a person. The first watcher to take the
 * lock gives it a revision and writes it anew; the others then see that. Edits that are made
 * while nobody watches keep their revision. */
#include "store/dir.h"

#include "model/validate.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#define WATCH_FOLDERS                                                                              \
	(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |     \
	 IN_ONLYDIR)
#define WATCH_FILES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

/* What is known of one file. */
struct known {
	UT_hash_handle hh;
	struct store_key of; /* its strings are ours */
	uint64_t rev, hash;
	bool told; /* false: it was never good */
	bool seen; /* by the current walk */
	char key[];
};

/* A watched folder: the root (kind NULL), a kind's, or a namespace's in it. */
struct folder {
	UT_hash_handle hh;
	int wd;
	const struct kind *k;
	char *ns; /* as on disk: DIR_NO_NS for none */
};

struct dir_watch {
	struct dir_store *d;
	const struct store_events *ev;
	void *arg;
	int fd;
	struct known *known;
	struct folder *folders;
	uint64_t spec;  /* what the last sync said */
	bool walk;      /* everything has to be read again */
	bool committed; /* `committed` has changed */
	bool told;      /* something since the last sync */
	bool gone;      /* the root folder was removed */
};

static uint64_t hash_of(const struct buf *text)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < text->n; i++)
		h = (h ^ (unsigned char)text->v[i]) * 1099511628211u;
	return h;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- what is known */

static struct known *find_known(struct dir_watch *w, const struct store_key *of, bool add)
{
	char key[NAME_MAX * 2 + 8];
	int n = snprintf(key, sizeof(key), "%u/%s/%s", of->k->id, of->ns ? of->ns : DIR_NO_NS,
			 of->name);
	struct known *e = NULL;

	HASH_FIND(hh, w->known, key, (size_t)n, e);
	if (e || !add)
		return e;
	e = must(calloc(1, sizeof(*e) + (size_t)n + 1));
	memcpy(e->key, key, (size_t)n);
	e->of = (struct store_key){ of->k, of->ns ? must(strdup(of->ns)) : NULL,
				    must(strdup(of->name)) };
	HASH_ADD_KEYPTR(hh, w->known, e->key, (size_t)n, e);
	return e;
}

static void drop_known(struct dir_watch *w, struct known *e)
{
	HASH_DEL(w->known, e);
	free((char *)e->of.ns);
	free((char *)e->of.name);
	free(e);
}

static void tell_gone(struct dir_watch *w, struct known *e)
{
	if (e->told && w->ev->del) {
		w->ev->del(w->arg, e->of.k, e->of.ns, e->of.name, dir_reserved(w->d));
		w->told = true;
	}
	drop_known(w, e);
}

static void tell_bad(struct dir_watch *w, const struct err *e)
{
	if (w->ev->bad)
		w->ev->bad(w->arg, e);
}

/* ---- one file */

/* Has a person written this, so that it needs a revision? */
static bool is_foreign(const struct dir_watch *w, const struct known *e, uint64_t rev)
{
	return !rev || (e->told && rev <= e->rev) || rev > dir_reserved(w->d);
}

/* Under the lock: the file, unless it is another one than we read, with its own revision. */
static int give_revision(struct dir_watch *w, struct dir_tx *tx, struct known *e, const char *path,
			 json_t *j, struct err *err)
{
	struct buf text = { .v = NULL };
	int rc = file_read(path, DIR_OBJECT_MAX, &text, err);

	if (!rc && hash_of(&text) != e->hash)
		rc = err_set(err, -EAGAIN, "%s: changed meanwhile", path);
	if (!rc)
		rc = dir_reserve(w->d, tx, err);
	if (!rc && json_set_revision(j, tx->revs.reserved))
		rc = err_set(err, -ENOMEM, "no memory");
	if (!rc)
		rc = dir_write(w->d, &e->of, j, err);
	buf_clear(&text);
	if (!rc)
		rc = file_read(path, DIR_OBJECT_MAX, &text, err);
	if (!rc)
		e->hash = hash_of(&text);
	buf_fini(&text);
	return rc;
}

static int adopt(struct dir_watch *w, struct known *e, const char *path, json_t *j,
		 struct object *o, struct err *err)
{
	struct dir_tx tx;
	int rc = dir_begin(w->d, &tx, err);

	if (rc)
		return rc;
	rc = give_revision(w, &tx, e, path, j, err);
	if (!rc)
		o->rev = tx.revs.reserved;
	dir_end(w->d, &tx, !rc && !e->of.k->derived);
	return rc;
}

static void tell_put(struct dir_watch *w, struct known *e, struct object *o, json_t *j)
{
	e->rev = o->rev;
	e->told = true;
	w->told = true;
	if (w->ev->put)
		w->ev->put(w->arg, o, j);
	else
		object_free(o);
}

static void refresh_text(struct dir_watch *w, struct known *e, const char *path,
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

		if (rc == -EAGAIN || rc == -ENOENT) { /* its event is on the way */
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

static int refresh(void *arg, const struct store_key *key, struct err *unused)
{
	struct dir_watch *w = arg;
	struct known *e = find_known(w, key, false);
	struct buf text = { .v = NULL };
	struct err err = { .code = 0 };
	char path[PATH_MAX];
	int rc = dir_path(w->d, path, key, &err);

	if (!rc)
		rc = file_read(path, DIR_OBJECT_MAX, &text, &err);
	if (rc == -ENOENT) {
		if (e)
			tell_gone(w, e);
	} else if (rc) {
		tell_bad(w, &err);
	} else {
		if (!e)
			e = find_known(w, key, true);
		e->seen = true;
		refresh_text(w, e, path, &text);
	}
	buf_fini(&text);
	return 0;
}

/* ---- folders */

static const struct kind *kind_of_folder(const char *name)
{
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (kind_by_id(i) && !strcmp(kind_by_id(i)->name, name))
			return kind_by_id(i);
	return NULL;
}

/* Starts to watch a folder. Returns 1, or 0 when it is not there. */
static int add_folder(struct dir_watch *w, const struct kind *k, const char *ns, struct err *e)
{
	char path[PATH_MAX];
	struct folder *f = NULL;
	int wd, rc;

	if (!k)
		snprintf(path, sizeof(path), "%s", w->d->root);
	else if ((rc = dir_folder(w->d, path, k->name, ns, e)))
		return rc;
	wd = inotify_add_watch(w->fd, path, ns ? WATCH_FILES : WATCH_FOLDERS);
	if (wd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (wd < 0)
		return err_sys(e, -errno, "%s: watch (fs.inotify.max_user_watches?)", path);
	HASH_FIND_INT(w->folders, &wd, f);
	if (f)
		return 1;
	f = must(calloc(1, sizeof(*f)));
	f->wd = wd;
	f->k = k;
	f->ns = ns ? must(strdup(ns)) : NULL;
	HASH_ADD_INT(w->folders, wd, f);
	return 1;
}

static void drop_folder(struct dir_watch *w, struct folder *f)
{
	HASH_DEL(w->folders, f);
	free(f->ns);
	free(f);
}

static void drop_folders(struct dir_watch *w)
{
	struct folder *f, *next;

	HASH_ITER(hh, w->folders, f, next)
	{
		inotify_rm_watch(w->fd, f->wd);
		drop_folder(w, f);
	}
}

/* Watches first, reads then: what comes in between is read twice, never missed. */
static int enter_namespace(struct dir_watch *w, const struct kind *k, const char *ns, struct err *e)
{
	int rc;

	if (strcmp(ns, DIR_NO_NS) != 0 ? !k->namespaced || !is_dns_label(ns) : k->namespaced)
		return 0;
	rc = add_folder(w, k, ns, e);
	if (rc <= 0)
		return rc;
	return dir_walk(w->d, k, strcmp(ns, DIR_NO_NS) ? ns : NULL, refresh, w, e);
}

static int enter_kind(struct dir_watch *w, const struct kind *k, struct err *e)
{
	char path[PATH_MAX];
	struct dirent *de;
	DIR *dir;
	int rc = add_folder(w, k, NULL, e);

	if (rc <= 0)
		return rc;
	rc = 0;
	if (dir_folder(w->d, path, k->name, NULL, e))
		return -ENAMETOOLONG;
	dir = opendir(path);
	while (!rc && dir && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			rc = enter_namespace(w, k, de->d_name, e);
	if (dir)
		closedir(dir);
	return rc;
}

static int walk_all(struct dir_watch *w, struct err *e)
{
	struct known *entry, *next;
	int rc;

	w->walk = false;
	drop_folders(w);
	rc = add_folder(w, NULL, NULL, e);
	w->gone = !rc;
	if (rc <= 0)
		return rc;
	rc = 0;
	for (entry = w->known; entry; entry = entry->hh.next)
		entry->seen = false;
	for (unsigned i = 0; !rc && i < KIND_COUNT; i++)
		if (kind_by_id(i))
			rc = enter_kind(w, kind_by_id(i), e);
	if (rc)
		return rc;
	HASH_ITER(hh, w->known, entry, next)
	{
		if (!entry->seen)
			refresh(w, &entry->of, NULL);
	}
	return 0;
}

/* ---- events */

static int root_event(struct dir_watch *w, const struct inotify_event *ev, struct err *e)
{
	const struct kind *k = ev->len ? kind_of_folder(ev->name) : NULL;

	if (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
		w->gone = true;
		return 0;
	}
	if (ev->len && !strcmp(ev->name, DIR_COMMITTED)) {
		w->committed = true;
		return 0;
	}
	if (!k || !(ev->mask & IN_ISDIR))
		return 0;
	if (ev->mask & (IN_CREATE | IN_MOVED_TO))
		return enter_kind(w, k, e);
	w->walk = true;
	return 0;
}

static int folder_event(struct dir_watch *w, struct folder *f, const struct inotify_event *ev,
			struct err *e)
{
	char name[NAME_MAX + 1];

	if (!f->k)
		return root_event(w, ev, e);
	if (f->ns) {
		if (ev->len && dir_object_name(ev->name, name))
			refresh(w,
				&(struct store_key){ f->k, strcmp(f->ns, DIR_NO_NS) ? f->ns : NULL,
						     name },
				NULL);
		return 0;
	}
	if (!ev->len || !(ev->mask & IN_ISDIR))
		return 0;
	if (ev->mask & (IN_CREATE | IN_MOVED_TO))
		return enter_namespace(w, f->k, ev->name, e);
	w->walk = true;
	return 0;
}

static int one_event(struct dir_watch *w, const struct inotify_event *ev, struct err *e)
{
	struct folder *f = NULL;

	if (ev->mask & IN_Q_OVERFLOW) {
		w->walk = true;
		w->committed = true;
		return 0;
	}
	HASH_FIND_INT(w->folders, &ev->wd, f);
	if (!f) /* of a folder that we let go */
		return 0;
	if (ev->mask & IN_IGNORED) {
		if (!f->k)
			w->gone = true;
		drop_folder(w, f);
		return 0;
	}
	return folder_event(w, f, ev, e);
}

static int drain(struct dir_watch *w, struct err *e)
{
	_Alignas(struct inotify_event) char room[16384];

	for (;;) {
		ssize_t n = read(w->fd, room, sizeof(room));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return w->walk ? walk_all(w, e) : 0;
		if (n <= 0)
			return err_sys(e, n < 0 ? -errno : -EIO, "inotify");
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(room + at);
			int rc = one_event(w, ev, e);

			if (rc)
				return rc;
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
}

/* A writer without pause must not keep us from saying how far we are. */
#define ROUNDS 8

int dir_watch_process(struct store *s, struct err *e)
{
	struct dir_watch *w = ((struct dir_store *)s)->watch;
	struct dir_revs revs = { .spec = w->spec };
	int rc = 0;

	for (unsigned i = 0; i < ROUNDS && !rc; i++) {
		if (i && !w->committed)
			break;
		if (w->committed || w->walk)
			dir_committed(w->d, &revs);
		w->committed = false;
		rc = drain(w, e);
	}
	if (!rc && w->gone)
		rc = err_set(e, -ENOENT, "store dir:%s: was removed", w->d->root);
	if (rc)
		return rc;
	if (w->told || revs.spec != w->spec) {
		w->told = false;
		w->spec = revs.spec;
		if (w->ev->sync)
			w->ev->sync(w->arg, revs.spec);
	}
	return 0;
}

int dir_watch_start(struct store *s, const struct store_events *ev, void *arg, struct err *e)
{
	struct dir_store *d = (struct dir_store *)s;
	struct dir_watch *w;

	if (d->watch)
		return err_set(e, -EBUSY, "store dir:%s: is watched already", d->root);
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "no memory");
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		int rc = err_sys(e, -errno, "inotify (fs.inotify.max_user_instances?)");

		free(w);
		return rc;
	}
	w->d = d;
	w->ev = ev;
	w->arg = arg;
	w->walk = true;
	w->told = true; /* the first sync comes also when the store is empty */
	d->watch = w;
	return 0;
}

int dir_watch_fd(const struct store *s)
{
	const struct dir_watch *w = ((const struct dir_store *)s)->watch;

	return w ? w->fd : -1;
}

void dir_watch_stop(struct dir_watch *w)
{
	struct known *e, *next;

	if (!w)
		return;
	drop_folders(w);
	HASH_ITER(hh, w->known, e, next)
	{
		drop_known(w, e);
	}
	close(w->fd);
	free(w);
}
