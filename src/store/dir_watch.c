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
#include "store/dir_watch.h"

#include "model/validate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_FOLDERS                                                                              \
	(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |     \
	 IN_ONLYDIR)
#define WATCH_FILES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

/* A watched folder: the root (kind NULL), a kind's, or a namespace's in it. */
struct folder {
	UT_hash_handle hh;
	int wd;
	const struct kind *k;
	char *ns; /* as on disk: DIR_NO_NS for none */
};

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
	wd = inotify_add_watch(w->fd, path,
			       (ns ? WATCH_FILES : WATCH_FOLDERS) | (k ? IN_DONT_FOLLOW : 0));
	if (wd < 0 && errno == ENOTDIR && k) {
		int fd = dir_open_folder(w->d, k->name, ns, false, e);

		if (fd >= 0)
			close(fd);
		return fd == -ELOOP ? fd : 0;
	}
	if (wd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (wd < 0)
		return err_sys(e, -errno, "%s: watch (fs.inotify.max_user_watches?)", path);
	HASH_FIND_INT(w->folders, &wd, f);
	if (f)
		return 1;
	f = dir_must(calloc(1, sizeof(*f)));
	f->wd = wd;
	f->k = k;
	f->ns = ns ? dir_must(strdup(ns)) : NULL;
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
	return dir_walk(w->d, k, strcmp(ns, DIR_NO_NS) ? ns : NULL, dir_refresh, w, e);
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
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, -errno, "%s", path);
	while (!rc && (de = dir_next(dir)))
		if (de->d_name[0] != '.')
			rc = enter_namespace(w, k, de->d_name, e);
	if (!rc && errno)
		rc = err_sys(e, -errno, "%s", path);
	closedir(dir);
	return rc;
}

static int walk_all(struct dir_watch *w, struct err *e)
{
	struct dir_known *entry, *next;
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
			dir_refresh(w, &entry->of, NULL);
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
			dir_refresh(w,
				    &(struct store_key){
					    f->k, strcmp(f->ns, DIR_NO_NS) ? f->ns : NULL, name },
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

/* What waits for a revision is not lost: whoever has the lock may be stopped for long. */
static void retry_waiting(struct dir_watch *w)
{
	struct dir_known *e, *next;

	w->locked = false;
	HASH_ITER(hh, w->known, e, next)
	{
		if (e->waits)
			dir_refresh(w, &e->of, NULL);
	}
}

/* A writer without pause must not keep us from saying how far we are. */
#define ROUNDS 8

int dir_watch_process(struct store *s, struct err *e)
{
	struct dir_watch *w = ((struct dir_store *)s)->watch;
	struct dir_revs revs = { .spec = w->spec };
	int rc = 0;

	if (w->locked)
		retry_waiting(w);
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
	/* Before the first sync what waits would be taken for deleted. */
	if (w->locked && !w->synced)
		return 1;
	w->synced = true;
	if (w->told || revs.spec != w->spec) {
		w->told = false;
		w->spec = revs.spec;
		if (w->ev->sync)
			w->ev->sync(w->arg, revs.spec);
	}
	return w->locked;
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
	struct dir_known *e, *next;

	if (!w)
		return;
	drop_folders(w);
	HASH_ITER(hh, w->known, e, next)
	{
		dir_forget(w, e);
	}
	close(w->fd);
	free(w);
}
