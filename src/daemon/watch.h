/* SPDX-License-Identifier: Apache-2.0 */
/* Role watch in five parts: the store's side (watch_store.c), what is known (watch_log.c) and was
 * known (watch_snapshot.c), the subscribers' side (watch.c), what they write (watch_write.c). One
 * process, one loop; beside it a thread while a snapshot goes to disk. */
#pragma once
#include "daemon/report.h"
#include "daemon/role.h"
#include "daemon/watch_log.h"
#include "daemon/watch_snapshot.h"
#include "store/store.h"

struct subscriber;
struct watch_asked;

struct watch {
	struct role *role;
	struct watch_log log;
	struct watch_snapshot snapshot;

	struct store *store; /* NULL while it is out of reach */
	ev_io store_io;
	ev_timer retry, again;
	double retry_s;
	bool listing;      /* opened, its first sync has not come */
	bool doubtful;     /* the list had unreadable objects: nothing counts as deleted by it */
	uint64_t revision; /* of the last sync, or of the snapshot until the first */
	bool in_sync;      /* one whole list was seen in this process */
	bool known;        /* …or was read from the snapshot */
	bool incomplete;   /* …in which unreadable objects are missing */
	struct err stale;  /* why the store is out of reach; code 0: it is not */
	uint64_t state;    /* counts changes of the four above: a subscriber is due a REC_SYNC */

	struct watch_asked *asked, **asked_end; /* writes, in the order that they came */
	unsigned n_asked;
	ev_timer write;

	struct subscriber *subs;
	struct report report;
	uint64_t n_writes, n_refused, n_bad, n_dropped;
};

/* System calls of the store's folder, for priv_seccomp(); watch_calls.c. */
extern const char *const watch_calls[];

/* ---- watch_store.c */

/* Still root: the user that the store's folder belongs to becomes the role's; a folder of
 * root's is given to the role's user first. */
int watch_store_prepare(struct role *r, struct err *e);
void watch_store_start(struct watch *w);
void watch_store_stop(struct watch *w);

/* ---- watch_write.c */

void watch_write_init(struct watch *w);
/* Takes a REC_WRITE; watch_answer() follows, unless it was forgotten. */
int watch_write_ask(struct watch *w, struct subscriber *by, const struct wire *body, struct err *e);
void watch_write_forget(struct watch *w, const struct subscriber *by);

/* ---- watch.c */

void watch_answer(struct subscriber *s, const struct rec_written *answer);

/* Sends every subscriber what lies behind its position. */
void watch_pump(struct watch *w);
/* Drops those that took a list which was incomplete: they join again for a whole one. */
void watch_relist(struct watch *w);
