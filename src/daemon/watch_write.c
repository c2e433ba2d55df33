// SPDX-License-Identifier: Apache-2.0
/* Writes that roles ask for: queued, then done in groups, because what a write costs is mostly
 * the syncs that a group shares (store_begin()). Everything that came in one turn of the loop is
 * one group, up to GROUP.
 *
 * Another process may hold the store's lock for long (a stopped `fairlead apply`). Heartbeats and
 * other subscribers must not wait for it: we only ask for the lock, again every few milliseconds,
 * and who waited PATIENCE_S is answered -EAGAIN with the holder's pid. Writes are done in the
 * order in which they came. */
#include "daemon/watch.h"
#include "sys/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GROUP      32   /* a few objects' syncs, during which nobody else is served */
#define WAITING    4096 /* asked for and not done; more are refused */
#define PATIENCE_S 3.
#define AGAIN_S    0.005
#define YIELD_S    (FILE_LOCK_YIELD_MS / 1000.) /* between groups, to other writers */

struct watch_asked {
	struct watch_asked *next;
	struct subscriber *by;
	ev_tstamp since;
	struct rec_write ask; /* in `arena` and `bytes` */
	struct rec_written answer;
	struct arena arena;
	unsigned char bytes[];
};

static void free_asked(struct watch_asked *a)
{
	arena_fini(&a->arena);
	free(a);
}

/* Answers the first in the queue and takes it out. */
static void answer_first(struct watch *w)
{
	struct watch_asked *a = w->asked;

	w->asked = a->next;
	if (!w->asked)
		w->asked_end = &w->asked;
	w->n_asked--;
	w->n_writes++;
	w->n_refused += a->answer.code != 0;
	a->answer.id = a->ask.id;
	watch_answer(a->by, &a->answer);
	free_asked(a);
}

static void refuse_first(struct watch *w, int code, const char *why)
{
	w->asked->answer = (struct rec_written){ .code = code, .text = why };
	answer_first(w);
}

static void next_turn(struct watch *w, double seconds)
{
	if (!w->asked || ev_is_active(&w->write))
		return;
	ev_timer_set(&w->write, seconds, 0.);
	ev_timer_start(w->role->loop, &w->write);
}

static void do_group(struct watch *w, unsigned n)
{
	struct watch_asked *a = w->asked;
	struct err e;
	int rc;

	for (unsigned i = 0; i < n; i++, a = a->next)
		store_write(w->store, &a->ask, &a->answer, &a->arena);
	rc = store_end(w->store, &e);
	for (unsigned i = 0; i < n; i++)
		if (rc)
			refuse_first(w, rc, e.text);
		else
			answer_first(w);
}

static void on_turn(struct ev_loop *loop, ev_timer *t, int events)
{
	struct watch *w = t->data;
	unsigned n = w->n_asked < GROUP ? w->n_asked : GROUP;
	struct err e;
	int rc;

	(void)events;
	if (w->store)
		rc = store_begin(w->store, n, &e);
	else
		rc = err_set(&e, -ENOTCONN, "%s",
			     w->stale.code ? w->stale.text : "the store is being opened");
	if (!rc)
		do_group(w, n);
	else if (rc == -EAGAIN)
		while (w->asked && ev_now(loop) - w->asked->since >= PATIENCE_S)
			refuse_first(w, rc, e.text);
	else
		for (; n; n--)
			refuse_first(w, w->store ? rc : -EAGAIN, e.text);
	next_turn(w, rc == -EAGAIN ? AGAIN_S : YIELD_S);
}

int watch_write_ask(struct watch *w, struct subscriber *by, const struct wire *body, struct err *e)
{
	size_t n = wire_left(body);
	struct watch_asked *a = malloc(sizeof(*a) + n);
	struct wire in;
	int rc;

	if (!a)
		return err_set(e, -ENOMEM, "no memory");
	*a = (struct watch_asked){ .by = by, .since = ev_now(w->role->loop) };
	memcpy(a->bytes, body->p, n);
	in = wire_from(a->bytes, n);
	arena_init(&a->arena, 8 * RECORD_MAX);
	rc = record_decode(&in, record_schema(REC_WRITE), &a->ask, &a->arena, e);
	if (rc) {
		free_asked(a);
		return rc;
	}
	if (w->n_asked >= WAITING) {
		watch_answer(by, &(struct rec_written){ .id = a->ask.id,
							.code = -EAGAIN,
							.text = "too many writes wait" });
		free_asked(a);
		return 0;
	}
	*w->asked_end = a;
	w->asked_end = &a->next;
	w->n_asked++;
	next_turn(w, 0.);
	return 0;
}

void watch_write_forget(struct watch *w, const struct subscriber *by)
{
	struct watch_asked **p = &w->asked, *a;

	while ((a = *p)) {
		if (a->by != by) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		w->n_asked--;
		free_asked(a);
	}
	w->asked_end = p;
	if (!w->asked)
		ev_timer_stop(w->role->loop, &w->write);
}

void watch_write_init(struct watch *w)
{
	w->asked_end = &w->asked;
	ev_timer_init(&w->write, on_turn, 0., 0.);
	w->write.data = w;
}
