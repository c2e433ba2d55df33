// SPDX-License-Identifier: Apache-2.0
/* watch_snapshot: see watch_snapshot.h. All files are reached by the folder's descriptor, so the
 * folders above need not let the role's user through; the old one is opened while we are root, as
 * it may be another user's where the store has changed hands, and read when we no longer are. */
#include "daemon/watch_snapshot.h"
#include "base/crc.h"
#include "daemon/snapshot.h"
#include "daemon/watch.h"
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME       "snapshot"
#define NAME_NEW   "snapshot.new"
#define SLICE      (1u << 20) /* bytes that the thread gets at a time */
#define SETTLE_S   0.2        /* after a change */
#define PAUSE_S    1.         /* between two of them, or */
#define PAUSE_MANY 20.        /* … this many times what the last one took */
#define RETRY_S    10.        /* after a failure */
#define FILE_MAX   (2ll << 30)

/* ---- opening, as root */

void watch_snapshot_prepare(struct watch *w, const struct role *r)
{
	struct watch_snapshot *s = &w->snapshot;
	char path[PATH_MAX];
	struct err e;

	s->dir = s->old = s->fd = -1;
	if ((size_t)snprintf(path, sizeof(path), "%s/watch", r->cfg.state_dir) >= sizeof(path))
		return;
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		s->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir >= 0)
		s->old = openat(s->dir, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (s->dir >= 0 && fchown(s->dir, r->uid, r->gid) == 0)
		return;
	err_sys(&e, -errno, "%s", path);
	log_warn("%s; no snapshot is kept", e.text);
	if (s->dir >= 0)
		close(s->dir);
	s->dir = -1;
}

/* ---- writing: the thread */

static int write_chunk(struct watch_snapshot *s)
{
	const char *at = s->chunk.v;
	size_t left = s->chunk.n;

	s->crc = crc32_add(s->crc, at, left);
	while (left) {
		ssize_t n = write(s->fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

static int put_in_place(struct watch_snapshot *s)
{
	if (fsync(s->fd) < 0 || renameat(s->dir, NAME_NEW, s->dir, NAME) < 0 || fsync(s->dir) < 0)
		return -errno;
	return 0;
}

static int write_slice(struct watch_snapshot *s)
{
	int rc;

	if (s->whole)
		snapshot_end(&s->chunk, s->crc, s->revision);
	if (s->chunk.failed)
		return -ENOMEM;
	if (s->fd < 0)
		s->fd = openat(s->dir, NAME_NEW,
			       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	rc = write_chunk(s);
	if (rc || s->whole)
		return rc ? rc : put_in_place(s);
	/* One sync of all at the end would hold up the store's own for that long. */
	return fdatasync(s->fd) < 0 ? -errno : 0;
}

static void *run(void *arg)
{
	struct watch *w = arg;

	w->snapshot.rc = write_slice(&w->snapshot);
	ev_async_send(w->role->loop, &w->snapshot.flushed);
	return NULL;
}

/* ---- writing: the loop */

static void wait_for(struct watch *w, double seconds)
{
	ev_timer_stop(w->role->loop, &w->snapshot.timer);
	ev_timer_set(&w->snapshot.timer, seconds, 0.);
	ev_timer_start(w->role->loop, &w->snapshot.timer);
}

static void end_writing(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;

	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->ended = ev_time();
	buf_fini(&s->chunk);
	watch_log_leave(&w->log, &s->pos);
}

static void fail(struct watch *w, int rc)
{
	struct watch_snapshot *s = &w->snapshot;

	if (!s->failing)
		log_error("snapshot: %s; the last one stays", strerror(-rc));
	s->failing = true;
	s->n_failed++;
	end_writing(w);
	unlinkat(s->dir, NAME_NEW, 0);
	wait_for(w, RETRY_S);
}

static int begin(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;
	struct snapshot_head head = { .store = w->role->cfg.store,
				      .node = w->role->cfg.node,
				      .time = clock_wall() };
	struct err e;

	s->begun = ev_time();
	s->crc = 0;
	s->whole = s->abandoned = false;
	watch_log_enter(&w->log, &s->pos);
	return snapshot_begin(&s->chunk, &head, &e);
}

/* The next part of the log, up to its end, for the thread to write. */
static int take_slice(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;
	const struct watch_entry *n;
	int rc;

	while (s->chunk.n < SLICE && (n = watch_log_next(&w->log, &s->pos))) {
		if (!kind_by_id(n->kind)->derived)
			buf_put(&s->chunk, n->frame.v, n->frame.n);
		watch_log_pass(&w->log, &s->pos);
	}
	s->whole = !watch_log_next(&w->log, &s->pos);
	s->revision = w->revision;
	if (s->whole)
		watch_log_leave(&w->log, &s->pos);
	rc = pthread_create(&s->thread, NULL, run, w);
	s->running = !rc;
	return -rc;
}

static bool worth_keeping(const struct watch *w)
{
	return w->in_sync && !w->incomplete && !w->stale.code;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct watch *w = timer->data;
	int rc;

	if (!worth_keeping(w))
		return; /* the next sync brings us back */
	rc = begin(w);
	if (!rc)
		rc = take_slice(w);
	if (rc)
		fail(w, rc);
}

static void written(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;

	if (s->failing)
		log_info("snapshot: is written again");
	s->failing = false;
	s->written = s->revision;
	end_writing(w);
	watch_snapshot_due(w); /* what came meanwhile */
}

static void on_flushed(struct ev_loop *loop, ev_async *async, int events)
{
	struct watch *w = async->data;
	struct watch_snapshot *s = &w->snapshot;
	int rc;

	pthread_join(s->thread, NULL);
	s->running = false;
	buf_clear(&s->chunk);
	rc = s->rc;
	if (!rc && s->whole) {
		written(w);
	} else if (!rc && s->abandoned) {
		end_writing(w);
		wait_for(w, RETRY_S);
	} else {
		rc = rc ? rc : take_slice(w);
		if (rc)
			fail(w, rc);
	}
}

void watch_snapshot_due(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;
	double pause = PAUSE_MANY * (s->ended - s->begun), since = ev_time() - s->ended;

	if (s->dir < 0 || s->running || ev_is_active(&s->timer) || !worth_keeping(w) ||
	    w->revision == s->written)
		return;
	pause = (pause > PAUSE_S ? pause : PAUSE_S) - since;
	wait_for(w, pause > SETTLE_S ? pause : SETTLE_S);
}

void watch_snapshot_abandon(struct watch *w)
{
	log_info("snapshot: too much is deleted meanwhile; begun anew later");
	w->snapshot.abandoned = true;
	watch_log_leave(&w->log, &w->snapshot.pos);
}

/* ---- reading */

static int read_old(struct watch_snapshot *s, struct buf *out, struct err *e)
{
	struct stat st;
	char chunk[65536];
	ssize_t n;

	if (fstat(s->old, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return err_set(e, -EBADMSG, "it is no file of a snapshot's size");
	while ((n = read(s->old, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "read");
		if (n > 0)
			buf_put(out, chunk, (size_t)n);
	}
	return out->failed ? err_set(e, -ENOMEM, "no memory") : 0;
}

/* What a list of the store that broke off has told already is newer. */
static int take_put(struct watch *w, const struct rec_put *put, struct err *e)
{
	struct object *o = record_object(put, e);
	int rc = o ? 0 : e->code;

	if (o && watch_log_rev(&w->log, o) < o->rev)
		rc = watch_log_put(&w->log, o, e);
	object_free(o);
	return rc < 0 ? rc : 0;
}

static int take_delete(struct watch *w, const struct rec_delete *del, struct err *e)
{
	const struct kind *k = kind_by_id((unsigned)del->kind);

	if (!k || !del->name)
		return err_set(e, -EBADMSG, "a deletion of nothing");
	return watch_log_del(&w->log, k, del->ns, del->name, (uint64_t)del->rev, e);
}

static int take_frame(struct watch *w, unsigned type, struct wire *body, struct err *e)
{
	union {
		struct rec_put put;
		struct rec_delete del;
	} b = { 0 };
	struct arena a;
	int rc;

	if (type != REC_PUT && type != REC_DELETE)
		return 0;
	arena_init(&a, 4 * RECORD_MAX);
	rc = record_decode(body, record_schema(type), &b, &a, e);
	if (!rc)
		rc = type == REC_PUT ? take_put(w, &b.put, e) : take_delete(w, &b.del, e);
	arena_fini(&a);
	return rc;
}

static int load(struct watch *w, const struct buf *file, struct arena *a, struct err *e)
{
	const struct config *c = &w->role->cfg;
	struct snapshot snap;
	struct wire body;
	unsigned type, bad = 0;
	int rc = snapshot_open(&snap, file->v, file->n, a, e);

	if (rc)
		return rc;
	if (!snap.head.store || strcmp(snap.head.store, c->store) != 0 || !snap.head.node ||
	    strcmp(snap.head.node, c->node) != 0)
		return err_set(e, -ESTALE, "it is of node %s and store %s",
			       snap.head.node ? snap.head.node : "?",
			       snap.head.store ? snap.head.store : "?");
	while ((rc = snapshot_next(&snap, &type, &body, e)) > 0)
		bad += take_frame(w, type, &body, e) != 0;
	if (rc)
		return rc;
	if (bad)
		log_warn("snapshot: %u objects are not understood, the last: %s", bad, e->text);
	w->revision = snap.revision;
	log_warn("the store is out of reach: going on with the snapshot of %lld s ago, %zu objects "
		 "at revision %llu",
		 (long long)(clock_wall() - snap.head.time), w->log.n_objects,
		 (unsigned long long)snap.revision);
	return 0;
}

bool watch_snapshot_load(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;
	struct buf file = { 0 };
	struct arena a;
	struct err e;
	int rc;

	if (s->old < 0)
		return false;
	arena_init(&a, 0);
	rc = read_old(s, &file, &e);
	if (!rc)
		rc = load(w, &file, &a, &e);
	if (rc)
		log_error("snapshot: %s; it is not used", e.text);
	arena_fini(&a);
	buf_fini(&file);
	close(s->old);
	s->old = -1;
	return !rc;
}

/* ---- start and end */

void watch_snapshot_start(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;

	ev_timer_init(&s->timer, on_timer, 0., 0.);
	ev_async_init(&s->flushed, on_flushed);
	s->timer.data = s->flushed.data = w;
	ev_async_start(w->role->loop, &s->flushed);
}

void watch_snapshot_stop(struct watch *w)
{
	struct watch_snapshot *s = &w->snapshot;

	if (s->running)
		pthread_join(s->thread, NULL);
	ev_timer_stop(w->role->loop, &s->timer);
	ev_async_stop(w->role->loop, &s->flushed);
	end_writing(w);
	if (s->old >= 0)
		close(s->old);
	if (s->dir >= 0)
		close(s->dir);
}
