// SPDX-License-Identifier: Apache-2.0
/* mirror: see mirror.h. While a stream lists, its objects collect in `fresh`; the in-sync mark
 * merges `fresh` into `seen`, kind by kind, both being sorted. From then on changes go straight
 * to `seen`. A list that watch had on disk is treated so where there is nothing to compare.
 *
 * A record that cannot be taken leaves the copy in doubt until another list: one that lacks an
 * object for this reason takes nothing away. */
#include "daemon/mirror.h"
#include "daemon/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REJOIN_S 0.5 /* after watch dropped a stream that it lives to serve */
#define RELIST_S 3.  /* after a record that could not be taken: perhaps there is memory then */

struct pending {
	struct pending *next;
	int64_t id;
	mirror_written_fn *fn;
	void *arg;
};

struct mirror {
	struct role *role;
	const struct mirror_ops *ops;
	void *arg;
	int64_t kinds[KIND_COUNT];
	uint32_t n_kinds;
	struct stream *stream;
	ev_timer rejoin;
	struct cluster *seen, *fresh; /* fresh: NULL unless a list is being taken */
	bool known, in_sync, incomplete;
	bool doubtful; /* a record of this stream could not be taken */
	struct pending *pending;
	int64_t next_id;
};

static const char *ns_of(const struct object *o)
{
	return o->meta->namespace;
}

/* ---- the copy */

static void tell(struct mirror *m, const struct object *old, const struct object *now)
{
	m->ops->changed(m->arg, old, now);
}

static void put(struct mirror *m, struct object *o)
{
	struct object *old = cluster_put(m->seen, o);

	tell(m, old, o);
	object_free(old);
}

static void take(struct mirror *m, unsigned kind, const char *ns, const char *name)
{
	struct object *old = cluster_take(m->seen, kind, ns, name);

	if (old)
		tell(m, old, NULL);
	object_free(old);
}

static int name_cmp(const struct object *a, const struct object *b)
{
	const char *x = ns_of(a) ? ns_of(a) : "", *y = ns_of(b) ? ns_of(b) : "";
	int c = strcmp(x, y);

	return c ? c : strcmp(a->meta->name, b->meta->name);
}

/* The merge works on copies of the two lists, as cluster_all()'s end with the next change. */
struct list {
	const struct object **v;
	size_t n;
};

static bool copy_all(const struct cluster *c, unsigned kind, struct list *l)
{
	const struct object *const *v = cluster_all(c, kind, &l->n);

	l->v = reallocarray(NULL, l->n + 1, sizeof(*l->v));
	if (l->v && l->n)
		memcpy(l->v, v, l->n * sizeof(*v));
	return l->v != NULL;
}

static bool is_empty(const struct mirror *m, const struct cluster *c)
{
	size_t all = 0;

	for (uint32_t i = 0; i < m->n_kinds; i++) {
		size_t n;

		cluster_all(c, (unsigned)m->kinds[i], &n);
		all += n;
	}
	return !all;
}

static void take_over(struct mirror *m, const struct object *o)
{
	struct object *mine = cluster_take(m->fresh, o->kind->id, ns_of(o), o->meta->name);

	if (mine)
		put(m, mine);
}

static void merge_lists(struct mirror *m, const struct list *old, const struct list *now, bool keep)
{
	size_t i = 0, k = 0;

	while (i < old->n || k < now->n) {
		int c = i == old->n ? 1 : k == now->n ? -1 : name_cmp(old->v[i], now->v[k]);

		if (c < 0) {
			const struct object *o = old->v[i++];

			if (!keep)
				take(m, o->kind->id, ns_of(o), o->meta->name);
			continue;
		}
		if (c > 0 || old->v[i]->rev != now->v[k]->rev)
			take_over(m, now->v[k]);
		if (c == 0)
			i++;
		k++;
	}
}

/* `keep`: that it is not in the list does not make an object gone. */
static bool merge(struct mirror *m, bool keep)
{
	bool done = true;

	for (uint32_t i = 0; i < m->n_kinds && done; i++) {
		struct list old = { 0 }, now = { 0 };

		done = copy_all(m->seen, (unsigned)m->kinds[i], &old) &&
		       copy_all(m->fresh, (unsigned)m->kinds[i], &now);
		if (done)
			merge_lists(m, &old, &now, keep);
		free(old.v);
		free(now.v);
	}
	cluster_free(m->fresh);
	m->fresh = NULL;
	return done;
}

/* ---- records */

static int on_put(struct mirror *m, const struct rec_put *p, struct err *e)
{
	struct object *o = record_object(p, e);

	if (!o)
		return e->code;
	if (m->fresh)
		object_free(cluster_put(m->fresh, o));
	else
		put(m, o);
	return 0;
}

static void on_delete(struct mirror *m, const struct rec_delete *d)
{
	if (!d->name || d->kind <= KIND_NONE || d->kind >= KIND_COUNT)
		return;
	if (m->fresh)
		object_free(cluster_take(m->fresh, (unsigned)d->kind, d->ns, d->name));
	else
		take(m, (unsigned)d->kind, d->ns, d->name);
}

static int on_sync(struct mirror *m, const struct rec_sync *s, struct err *e)
{
	/* What watch had on disk is of use where nothing is known; the store's list, when it comes,
	 * is then told as changes of it. */
	bool remembered = s->stale && !m->known && m->fresh && !is_empty(m, m->fresh);

	if (m->fresh && (s->in_sync || remembered)) {
		if (!merge(m, s->incomplete || m->doubtful))
			return err_set(e, -ENOMEM, "no memory");
		m->known = true;
	}
	if (s->in_sync) {
		m->incomplete = s->incomplete || m->doubtful;
		m->in_sync = true;
	}
	if (!m->fresh || s->stale)
		m->ops->synced(m->arg, s);
	return 0;
}

static void on_written(struct mirror *m, const struct rec_written *w)
{
	for (struct pending **p = &m->pending; *p; p = &(*p)->next) {
		struct pending *found = *p;

		if (found->id != w->id)
			continue;
		*p = found->next;
		found->fn(found->arg, w);
		free(found);
		return;
	}
}

union body {
	struct rec_put put;
	struct rec_delete del;
	struct rec_sync sync;
	struct rec_written written;
};

static int handle(struct mirror *m, unsigned type, const union body *b, struct err *e)
{
	switch (type) {
	case REC_PUT:
		return on_put(m, &b->put, e);
	case REC_DELETE:
		on_delete(m, &b->del);
		return 0;
	case REC_SYNC:
		return on_sync(m, &b->sync, e);
	case REC_WRITTEN:
		on_written(m, &b->written);
		return 0;
	}
	return 0;
}

static void rejoin_in(struct mirror *m, double seconds)
{
	ev_timer_stop(m->role->loop, &m->rejoin);
	ev_timer_set(&m->rejoin, seconds, 0.);
	ev_timer_start(m->role->loop, &m->rejoin);
}

/* One bad record does not stop the others. */
static void doubt(struct mirror *m, const struct err *e)
{
	log_error("watch: %s", e->text);
	if (!m->doubtful)
		rejoin_in(m, RELIST_S);
	m->doubtful = m->incomplete = true;
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct mirror *m = stream_arg(s);
	union body b = { 0 };
	struct arena a;
	struct err e;
	int rc;

	if (fd >= 0)
		close(fd);
	if (type != REC_PUT && type != REC_DELETE && type != REC_SYNC && type != REC_WRITTEN)
		return;
	arena_init(&a, 4 * RECORD_MAX);
	rc = record_decode(body, record_schema(type), &b, &a, &e);
	if (!rc)
		rc = handle(m, type, &b, &e);
	if (rc)
		doubt(m, &e);
	arena_fini(&a);
}

/* ---- the stream */

static void answer_pending(struct mirror *m)
{
	struct pending *p = m->pending, *next;

	for (m->pending = NULL; p; p = next) {
		struct rec_written w = { .id = p->id, .code = -EPIPE, .text = "watch went away" };

		next = p->next;
		p->fn(p->arg, &w);
		free(p);
	}
}

static void leave(struct mirror *m)
{
	stream_free(m->stream);
	m->stream = NULL;
	cluster_free(m->fresh);
	m->fresh = NULL;
	m->doubtful = false;
	ev_timer_stop(m->role->loop, &m->rejoin);
	answer_pending(m);
}

/* Where watch died, the keeper joins us when it runs again; where it dropped us, nobody would. */
static void on_closed(struct stream *s, const struct err *e)
{
	struct mirror *m = stream_arg(s);

	if (e->code)
		log_warn("watch: %s", e->text);
	leave(m);
	rejoin_in(m, REJOIN_S);
}

static void on_rejoin(struct ev_loop *loop, ev_timer *w, int events)
{
	struct mirror *m = w->data;

	(void)loop;
	(void)events;
	role_rejoin(m->role, "watch");
}

static const struct stream_ops stream_ops = { .frame = on_frame, .closed = on_closed };

void mirror_join(struct mirror *m, int fd)
{
	struct rec_hello hello = { .role = m->role->ops->name,
				   .kinds = { .v = m->kinds, .n = m->n_kinds } };
	struct err e;

	leave(m);
	m->stream = stream_new(m->role->loop, fd, &stream_ops, m, &e);
	if (!m->stream) {
		log_error("watch: %s", e.text);
		return;
	}
	m->fresh = cluster_new();
	if (!m->fresh)
		err_set(&e, -ENOMEM, "no memory");
	if (!m->fresh || stream_send(m->stream, REC_HELLO, NULL, &hello, -1, &e)) {
		log_error("watch: %s", e.text);
		role_exit(m->role, 1);
	}
}

/* ---- the rest */

struct mirror *mirror_new(struct role *r, const uint8_t *kinds, size_t n,
			  const struct mirror_ops *ops, void *arg, struct err *e)
{
	struct mirror *m = calloc(1, sizeof(*m));

	if (m)
		m->seen = cluster_new();
	if (!m || !m->seen || n > KIND_COUNT) {
		free(m);
		err_set(e, -ENOMEM, "mirror: no memory");
		return NULL;
	}
	m->role = r;
	m->ops = ops;
	m->arg = arg;
	for (size_t i = 0; i < n; i++)
		m->kinds[m->n_kinds++] = kinds[i];
	ev_init(&m->rejoin, on_rejoin);
	m->rejoin.data = m;
	return m;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	leave(m);
	cluster_free(m->seen);
	free(m);
}

const struct cluster *mirror_cluster(const struct mirror *m)
{
	return m->seen;
}

bool mirror_known(const struct mirror *m)
{
	return m->known;
}

bool mirror_current(const struct mirror *m)
{
	return m->in_sync && m->stream && !m->fresh;
}

bool mirror_incomplete(const struct mirror *m)
{
	return m->incomplete;
}

int mirror_write(struct mirror *m, const struct rec_write *w, const void *body,
		 mirror_written_fn *fn, void *arg, struct err *e)
{
	const struct kind *k = kind_by_id((unsigned)w->kind);
	struct rec_write ask = *w;
	struct buf bytes = { 0 };
	struct pending *p;
	int rc = 0;

	if (!m->stream)
		return err_set(e, -EPIPE, "watch is not there");
	p = malloc(sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	ask.id = ++m->next_id;
	if (body) {
		rc = record_body(&bytes, k->schema, body, e);
		ask.body = (struct blob){ (const uint8_t *)bytes.v, (uint32_t)bytes.n };
	}
	if (!rc)
		rc = stream_send(m->stream, REC_WRITE, NULL, &ask, -1, e);
	buf_fini(&bytes);
	if (rc) {
		free(p);
		return rc;
	}
	*p = (struct pending){ .next = m->pending, .id = ask.id, .fn = fn, .arg = arg };
	m->pending = p;
	return 0;
}
