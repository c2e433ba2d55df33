// SPDX-License-Identifier: Apache-2.0
/* The store's side of watch: opening, following, losing and finding it again.
 *
 * Whose files. watch is not root, yet it writes to the store. So a folder store belongs to a
 * user, and watch runs as that user: the one that its folder has, or, where that is root, the
 * role's (`user` in fairleadd.conf), to whom the folder is given first. Only a store, or an
 * empty folder, is given away; src/store gives what root adds later to the folder's owner.
 * A store that appears later or changes hands makes watch start anew, as that is decided while
 * it is still root.
 *
 * Never to nothing. While the store is out of reach, subscribers keep what they have and are
 * told that it is stale. A store that holds nothing and was never written to (a file system
 * that is not mounted), and one whose revision is older than what was seen, are not believed.
 * A watch that starts while the store is out of reach serves what the last one kept on disk.
 * A list with unreadable objects adds and changes, but what it misses stays until a later list
 * is whole; where it was the first of this process, subscribers are told that it is incomplete. */
#include "daemon/watch.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MIN_S 0.1
#define RETRY_MAX_S 0.5
#define AGAIN_S     0.5 /* after a round that found another writer with the store's lock */
#define RECHECK_S   5.  /* after a list from which nothing could be taken for deleted */

static const char *folder(const struct role *r)
{
	return r->cfg.store + strlen("dir:");
}

/* ---- ownership, as root */

/* Gives `name` in `dir` and, where it is a folder, the folders inside to the role's user.
 * Objects' files stay: they are replaced, never written to; but for Secrets, which their owner alone may read. */
static int give(int dir, const char *name, const struct role *r, int depth)
{
	const char *secrets = kind_by_id(KIND_SECRET)->name;
	struct dirent *de;
	DIR *d;
	int fd, rc = 0;

	if (fchownat(dir, name, r->uid, r->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!depth)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -errno;
	}
	while (!rc && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			rc = give(fd, de->d_name, r, depth - (strcmp(de->d_name, secrets) != 0));
	closedir(d);
	return rc;
}

/* A folder with the marks of a store, or with nothing in it. */
static bool is_store(const char *path)
{
	bool empty = true, marked = false;
	struct dirent *de;
	DIR *d = opendir(path);

	while (d && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		empty = false;
		marked |= strcmp(de->d_name, "committed") == 0 || strcmp(de->d_name, ".lock") == 0;
	}
	if (d)
		closedir(d);
	return d && (empty || marked);
}

int watch_store_prepare(struct role *r, struct err *e)
{
	const char *path;
	struct stat st;
	int rc;

	if (!r->cfg.store)
		return err_set(e, -EINVAL, "store: is not given");
	path = folder(r);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0; /* told again and again once the role runs */
	if (st.st_uid != 0) {
		r->uid = st.st_uid;
		r->gid = st.st_gid ? st.st_gid : r->gid;
		return 0;
	}
	if (!is_store(path))
		return err_set(e, -EPERM,
			       "store %s: belongs to root and is neither a store nor empty; give "
			       "the folder to the user of role watch (uid %u)",
			       r->cfg.store, (unsigned)r->uid);
	rc = give(AT_FDCWD, path, r, 2);
	if (rc)
		return err_sys(e, rc, "store %s: giving it to uid %u", r->cfg.store,
			       (unsigned)r->uid);
	log_info("store %s: given to uid %u", r->cfg.store, (unsigned)r->uid);
	return 0;
}

/* ---- events */

static void retry_in(struct watch *w, double seconds)
{
	ev_timer_stop(w->role->loop, &w->retry);
	ev_timer_set(&w->retry, seconds, 0.);
	ev_timer_start(w->role->loop, &w->retry);
}

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct watch *w = arg;
	struct err e;

	(void)json;
	if (watch_log_put(&w->log, o, &e) < 0) {
		w->doubtful = true; /* or the end of this list would take it for deleted */
		log_error("%s %s: %s", o->kind->name, o->meta->name, e.text);
	}
	object_free(o);
}

static void on_del(void *arg, const struct kind *k, const char *ns, const char *name, uint64_t rev)
{
	struct watch *w = arg;
	struct err e;

	if (watch_log_del(&w->log, k, ns, name, rev, &e) < 0)
		log_error("%s %s: %s", k->name, name, e.text);
}

static void on_bad(void *arg, const struct err *bad)
{
	struct watch *w = arg;

	w->n_bad++;
	w->doubtful = true;
	log_warn("%s", bad->text);
}

/* A whole list is through. */
static void listed(struct watch *w, uint64_t revision)
{
	size_t missing = watch_log_missing(&w->log);
	struct err e;

	log_info("store %s: %zu objects at revision %llu", w->role->cfg.store,
		 w->log.n_objects - missing, (unsigned long long)revision);
	w->listing = false;
	if (w->doubtful) {
		w->incomplete |= !w->in_sync;
		if (missing)
			log_warn("store %s: some objects cannot be read, so %zu that are missing "
				 "are not taken for deleted yet",
				 w->role->cfg.store, missing);
		if (missing || w->incomplete)
			retry_in(w, RECHECK_S);
		return;
	}
	if (watch_log_end(&w->log, &e))
		log_error("store: %s", e.text);
	if (w->incomplete)
		watch_relist(w);
	w->incomplete = false;
}

static void on_sync(void *arg, uint64_t revision)
{
	struct watch *w = arg;

	if (w->listing)
		listed(w, revision);
	w->in_sync = true;
	w->stale.code = 0;
	w->revision = revision;
	w->retry_s = 0;
	w->state++;
	watch_snapshot_due(w);
}

static const struct store_events events = {
	.put = on_put, .del = on_del, .sync = on_sync, .bad = on_bad
};

/* ---- losing and finding */

static void close_store(struct watch *w)
{
	if (!w->store)
		return;
	ev_io_stop(w->role->loop, &w->store_io);
	ev_timer_stop(w->role->loop, &w->again);
	store_close(w->store);
	w->store = NULL;
}

static void lost(struct watch *w, const struct err *e)
{
	bool news = strcmp(w->stale.text, e->text) != 0 || !w->stale.code;

	close_store(w);
	if (!w->in_sync)
		w->known |= watch_snapshot_load(w);
	if (news) {
		bool known = w->in_sync || w->known;

		/* A store that nobody has filled yet is where every cluster begins. */
		log_at(e->code == -ENODATA && !known ? LOG_INFO : LOG_ERROR, "%s; %s", e->text,
		       known ? "the last state stays" : "nothing is known yet");
		w->stale = *e;
		w->state++;
	}
	w->retry_s = w->retry_s ? w->retry_s * 2 : RETRY_MIN_S;
	if (w->retry_s > RETRY_MAX_S)
		w->retry_s = RETRY_MAX_S;
	retry_in(w, w->retry_s);
}

static void process(struct watch *w)
{
	struct err e;
	int rc = store_process(w->store, &e);

	if (rc < 0)
		lost(w, &e);
	else if (rc > 0 && !ev_is_active(&w->again)) {
		ev_timer_set(&w->again, AGAIN_S, 0.);
		ev_timer_start(w->role->loop, &w->again);
	}
	watch_pump(w);
}

static void on_store(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)loop;
	(void)revents;
	process(io->data);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	process(timer->data);
}

struct probe {
	uint64_t revision;
	size_t objects;
};

static void probe_put(void *arg, struct object *o, const json_t *json)
{
	struct probe *p = arg;

	(void)json;
	p->objects++;
	object_free(o);
}

static void probe_bad(void *arg, const struct err *e)
{
	struct probe *p = arg;

	(void)e;
	p->objects++;
}

static void probe_sync(void *arg, uint64_t revision)
{
	struct probe *p = arg;

	p->revision = revision;
}

/* Is it a store that we may believe? */
static int probe(struct watch *w, struct store *s, struct err *e)
{
	static const struct store_events look = { .put = probe_put,
						  .bad = probe_bad,
						  .sync = probe_sync };
	const char *url = w->role->cfg.store;
	struct probe p = { 0 };
	int rc;

	rc = store_list(s, KIND_NAMESPACE, NULL, &look, &p, e);
	if (!rc && !p.revision && !p.objects)
		rc = store_list(s, KIND_NONE, NULL, &look, &p, e);
	if (rc)
		return rc;
	if (!p.revision && !p.objects)
		return err_set(e, -ENODATA, "store %s: is empty, nothing was ever written to it",
			       url);
	if (p.revision < w->revision && !w->in_sync)
		log_warn("store %s: is older than the snapshot, at revision %llu after %llu", url,
			 (unsigned long long)p.revision, (unsigned long long)w->revision);
	if (p.revision < w->revision && w->in_sync)
		return err_set(e, -ESTALE,
			       "store %s: its revision went back from %llu to %llu; if that is "
			       "meant, restart role watch",
			       url, (unsigned long long)w->revision,
			       (unsigned long long)p.revision);
	return 0;
}

static int open_store(struct watch *w, struct err *e)
{
	struct store *s;
	int rc;

	rc = store_open(w->role->cfg.store, STORE_NOWAIT, &s, e);
	if (rc)
		return rc;
	rc = probe(w, s, e);
	if (!rc)
		rc = store_watch(s, &events, w, e);
	if (rc) {
		store_close(s);
		return rc;
	}
	w->store = s;
	w->listing = true;
	w->doubtful = false;
	watch_log_begin(&w->log);
	ev_io_set(&w->store_io, store_fd(s), EV_READ);
	ev_io_start(w->role->loop, &w->store_io);
	ev_feed_event(w->role->loop, &w->store_io, EV_READ);
	return 0;
}

/* Whose the folder is was decided as root; see above. */
static bool owner_changed(const struct watch *w)
{
	struct stat st;

	return stat(folder(w->role), &st) == 0 && st.st_uid != geteuid();
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct watch *w = timer->data;
	struct err e;

	(void)loop;
	(void)revents;
	if (owner_changed(w)) {
		log_info("store %s: is another user's than ours, starting anew",
			 w->role->cfg.store);
		role_exit(w->role, 0);
		return;
	}
	close_store(w); /* open where a doubtful list is taken anew */
	if (open_store(w, &e)) {
		lost(w, &e);
		watch_pump(w);
	}
}

void watch_store_start(struct watch *w)
{
	ev_io_init(&w->store_io, on_store, -1, EV_READ);
	ev_timer_init(&w->retry, on_retry, 0., 0.);
	ev_timer_init(&w->again, on_again, 0., 0.);
	w->store_io.data = w->retry.data = w->again.data = w;
	ev_timer_start(w->role->loop, &w->retry);
}

void watch_store_stop(struct watch *w)
{
	close_store(w);
	ev_timer_stop(w->role->loop, &w->retry);
}
