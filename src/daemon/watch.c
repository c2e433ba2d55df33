// SPDX-License-Identifier: Apache-2.0
/* Role watch: the one process that speaks to the store. Objects go out to subscribers as
 * records (HELLO; PUT and DELETE, SYNC), writes of agent and controller come in.
 *
 * A subscriber is sent what lies behind its position in the log while its queue is short, and
 * more when that has drained. At the end of the log it gets a SYNC where the state changed. */
#include "daemon/watch.h"
#include "daemon/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW        (256u << 10) /* bytes queued for a subscriber before more is taken */
#define DELETIONS_MAX 100000       /* kept for the slowest subscriber, which is dropped then */

struct subscriber {
	struct subscriber *next;
	struct watch *w;
	struct stream *stream;
	struct watch_pos pos;
	char role[32];
	bool hello;      /* it said what it wants, `pos` is entered */
	uint64_t kinds;  /* bit of each enum kind_id */
	uint64_t synced; /* w->state of the last SYNC that it was sent */
};

/* ---- subscribers */

static void drop(struct subscriber *s)
{
	struct watch *w = s->w;

	if (s->hello)
		watch_log_leave(&w->log, &s->pos);
	for (struct subscriber **p = &w->subs; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	watch_write_forget(w, s);
	stream_free(s->stream);
	free(s);
}

static int send_sync(struct subscriber *s, struct err *e)
{
	const struct watch *w = s->w;
	struct rec_sync sync = { .revision = (int64_t)w->revision,
				 .in_sync = w->in_sync,
				 .stale = w->stale.code != 0,
				 .text = w->stale.code ? w->stale.text : NULL,
				 .incomplete = w->incomplete };

	s->synced = w->state;
	return stream_send(s->stream, REC_SYNC, NULL, &sync, -1, e);
}

/* A failure here is the stream's end, which on_closed() hears of. */
static void pump(struct subscriber *s)
{
	struct watch_log *l = &s->w->log;
	const struct watch_entry *n;
	struct err e;

	while (s->hello && stream_queued(s->stream) < WINDOW && (n = watch_log_next(l, &s->pos))) {
		if (s->kinds & 1ull << n->kind &&
		    stream_send_frame(s->stream, n->frame.v, n->frame.n, &e))
			return;
		watch_log_pass(l, &s->pos);
	}
	if (s->hello && !s->pos.next && s->synced != s->w->state && send_sync(s, &e))
		log_debug("%s: %s", s->role, e.text);
}

static void drop_laggards(struct watch *w)
{
	struct watch_pos *p;

	while ((p = watch_log_laggard(&w->log, DELETIONS_MAX))) {
		struct subscriber *s = w->subs;

		if (p == &w->snapshot.pos) {
			watch_snapshot_abandon(w);
			continue;
		}
		while (&s->pos != p)
			s = s->next;
		log_warn("%s: is dropped, it reads too slowly", s->role);
		w->n_dropped++;
		drop(s);
	}
}

void watch_pump(struct watch *w)
{
	for (struct subscriber *s = w->subs; s; s = s->next)
		pump(s);
	drop_laggards(w);
}

void watch_relist(struct watch *w)
{
	struct subscriber *next;

	for (struct subscriber *s = w->subs; s; s = next) {
		next = s->next;
		if (s->hello)
			drop(s);
	}
}

static int on_hello(struct subscriber *s, const struct rec_hello *h, struct err *e)
{
	if (s->hello)
		return err_set(e, -EPROTO, "a second HELLO");
	for (uint32_t i = 0; i < h->kinds.n; i++) {
		int64_t k = h->kinds.v[i];

		/* A newer subscriber may know kinds that we do not. */
		if (k > KIND_NONE && k < KIND_COUNT)
			s->kinds |= 1ull << k;
	}
	s->hello = true;
	watch_log_enter(&s->w->log, &s->pos);
	pump(s);
	return 0;
}

/* A failure here is the stream's end, which on_closed() hears of. */
void watch_answer(struct subscriber *s, const struct rec_written *answer)
{
	struct err e;

	if (stream_send(s->stream, REC_WRITTEN, NULL, answer, -1, &e))
		log_debug("%s: %s", s->role, e.text);
}

static int on_record(struct subscriber *s, unsigned type, struct wire *body, struct err *e)
{
	struct rec_hello hello = { 0 };
	struct arena a;
	int rc;

	if (type == REC_WRITE)
		return watch_write_ask(s->w, s, body, e);
	if (type != REC_HELLO)
		return 0;
	arena_init(&a, RECORD_MAX);
	rc = record_decode(body, record_schema(type), &hello, &a, e);
	if (!rc)
		rc = on_hello(s, &hello, e);
	arena_fini(&a);
	return rc;
}

static void on_frame(struct stream *st, unsigned type, struct wire *body, int fd)
{
	struct subscriber *s = stream_arg(st);
	struct err e;

	if (fd >= 0)
		close(fd);
	if (on_record(s, type, body, &e) == 0)
		return;
	log_warn("%s: is dropped: %s", s->role, e.text);
	s->w->n_dropped++;
	drop(s);
}

static void on_closed(struct stream *st, const struct err *e)
{
	struct subscriber *s = stream_arg(st);

	if (e->code) {
		log_warn("%s: %s", s->role, e->text);
		s->w->n_dropped++;
	}
	drop(s);
}

static void on_drained(struct stream *st)
{
	pump(stream_arg(st));
}

static const struct stream_ops ops = { .frame = on_frame,
				       .closed = on_closed,
				       .drained = on_drained };

static void on_join(struct role *r, const char *peer, int fd)
{
	struct watch *w = r->state;
	struct subscriber *s;
	struct err e;

	if (strcmp(peer, "health") == 0) {
		report_join(&w->report, fd);
		return;
	}
	for (s = w->subs; s; s = s->next)
		if (strcmp(s->role, peer) == 0) {
			drop(s);
			break;
		}
	s = calloc(1, sizeof(*s));
	if (!s || strlen(peer) >= sizeof(s->role)) {
		free(s);
		close(fd);
		return;
	}
	snprintf(s->role, sizeof(s->role), "%s", peer);
	s->w = w;
	s->stream = stream_new(r->loop, fd, &ops, s, &e);
	if (!s->stream) {
		log_error("%s: %s", peer, e.text);
		free(s);
		return;
	}
	s->next = w->subs;
	w->subs = s;
}

/* ---- metrics */

static void fill(struct report *r, void *arg)
{
	const struct watch *w = arg;
	uint64_t n = 0;

	for (const struct subscriber *s = w->subs; s; s = s->next)
		n += s->hello;
	for (unsigned k = 1; k < KIND_COUNT; k++)
		if (kind_by_id(k))
			report_value(r, "fairlead_store_objects", "gauge",
				     "Objects of the store as watch knows them.", "kind",
				     kind_by_id(k)->name, w->log.per_kind[k]);
	report_value(r, "fairlead_store_revision", "gauge",
		     "Revision of the store's last change that is not derived.", NULL, NULL,
		     w->revision);
	report_value(r, "fairlead_store_in_sync", "gauge",
		     "Was the whole of the store seen since watch started.", NULL, NULL,
		     w->in_sync);
	report_value(r, "fairlead_store_stale", "gauge", "Is the store out of reach.", NULL, NULL,
		     w->stale.code != 0);
	report_value(r, "fairlead_store_snapshot_revision", "gauge",
		     "Revision of the snapshot on disk that this process wrote.", NULL, NULL,
		     w->snapshot.written);
	report_value(r, "fairlead_store_snapshot_failures_total", "counter",
		     "Snapshots that could not be written.", NULL, NULL, w->snapshot.n_failed);
	report_value(r, "fairlead_store_bad_objects_total", "counter",
		     "Times that an object could not be read.", NULL, NULL, w->n_bad);
	report_value(r, "fairlead_store_writes_total", "counter",
		     "Writes that roles asked for, by result.", "result", "ok",
		     w->n_writes - w->n_refused);
	report_value(r, "fairlead_store_writes_total", "counter",
		     "Writes that roles asked for, by result.", "result", "refused", w->n_refused);
	report_value(r, "fairlead_watch_subscribers", "gauge", "Roles that follow the store.", NULL,
		     NULL, n);
	report_value(r, "fairlead_watch_dropped_total", "counter",
		     "Subscribers that were dropped because they read too slowly or wrongly.", NULL,
		     NULL, w->n_dropped);
}

/* ---- start and end */

static int prepare(struct role *r, struct err *e)
{
	int rc = watch_store_prepare(r, e);

	if (!rc)
		watch_snapshot_prepare(r->state, r);
	return rc;
}

static int start(struct role *r, struct err *e)
{
	struct watch *w = r->state;

	(void)e;
	w->role = r;
	w->state = 1;
	report_init(&w->report, r, fill, w);
	watch_snapshot_start(w);
	watch_write_init(w);
	watch_store_start(w);
	role_ready(r);
	return 0;
}

static void stop(struct role *r)
{
	struct watch *w = r->state;

	while (w->subs)
		drop(w->subs);
	report_fini(&w->report);
	watch_snapshot_stop(w);
	watch_store_stop(w);
	watch_log_fini(&w->log);
}

int main(int argc, char **argv)
{
	static const struct role_ops role_ops = { .name = "watch",
						  .calls = watch_calls,
						  .open = prepare,
						  .start = start,
						  .join = on_join,
						  .stop = stop };
	struct watch w = { 0 };

	return role_main(&role_ops, &w, argc, argv);
}
