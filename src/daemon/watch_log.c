// SPDX-License-Identifier: Apache-2.0
/* watch_log: see watch_log.h. Invariants: entries are in the order of `seq`; a living entry is in
 * the hash; a deletion is in the list while `waiting` > 0. Positions are few (one a role), so
 * moving an entry looks at all of them. */
#include "daemon/watch_log.h"
#include "model/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- entries */

static void unlink_entry(struct watch_log *l, struct watch_entry *n)
{
	for (struct watch_pos *p = l->positions; p; p = p->link)
		if (p->next == n)
			p->next = n->next;
	if (n->prev)
		n->prev->next = n->next;
	else
		l->head = n->next;
	if (n->next)
		n->next->prev = n->prev;
	else
		l->tail = n->prev;
	n->prev = n->next = NULL;
}

static void append_entry(struct watch_log *l, struct watch_entry *n)
{
	n->seq = ++l->seq;
	n->prev = l->tail;
	n->next = NULL;
	if (l->tail)
		l->tail->next = n;
	else
		l->head = n;
	l->tail = n;
	for (struct watch_pos *p = l->positions; p; p = p->link)
		if (!p->next)
			p->next = n;
}

static void free_entry(struct watch_entry *n)
{
	buf_fini(&n->frame);
	free(n);
}

static void drop_deletion(struct watch_log *l, struct watch_entry *n)
{
	unlink_entry(l, n);
	l->n_deletions--;
	free_entry(n);
}

/* Fills `key` (where it is given); returns its length. */
static size_t make_key(char *key, unsigned kind, const char *ns, const char *name)
{
	size_t n_ns = ns ? strlen(ns) : 0, n_name = strlen(name);

	if (key) {
		key[0] = (char)kind;
		memcpy(key + 1, ns ? ns : "", n_ns + 1);
		memcpy(key + 2 + n_ns, name, n_name + 1);
	}
	return 3 + n_ns + n_name;
}

static struct watch_entry *find(struct watch_log *l, unsigned kind, const char *ns,
				const char *name)
{
	struct watch_entry *n = NULL;
	char key[1024];
	size_t len = make_key(NULL, kind, ns, name);

	if (len > sizeof(key))
		return NULL;
	make_key(key, kind, ns, name);
	HASH_FIND(hh, l->by_key, key, len, n);
	return n;
}

static struct watch_entry *new_entry(unsigned kind, const char *ns, const char *name)
{
	size_t len = make_key(NULL, kind, ns, name);
	struct watch_entry *n = calloc(1, sizeof(*n) + len);

	if (!n)
		return NULL;
	n->kind = kind;
	n->key_len = make_key(n->key, kind, ns, name);
	n->ns = ns ? n->key + 1 : NULL;
	n->name = n->key + 2 + strlen(n->key + 1);
	return n;
}

/* ---- frames */

static int put_frame(const struct object *o, struct buf *out, struct err *e)
{
	struct rec_put put = { .kind = o->kind->id, .rev = (int64_t)o->rev };
	struct buf body = { 0 };
	int rc;

	rc = record_body(&body, o->kind->schema, o->body, e);
	put.body = (struct blob){ (const uint8_t *)body.v, (uint32_t)body.n };
	if (!rc)
		rc = record_put(out, REC_PUT, record_schema(REC_PUT), &put, e);
	buf_fini(&body);
	return rc;
}

static int del_frame(const struct watch_entry *n, uint64_t rev, struct buf *out, struct err *e)
{
	struct rec_delete del = {
		.kind = n->kind, .rev = (int64_t)rev, .ns = n->ns, .name = n->name
	};

	return record_put(out, REC_DELETE, record_schema(REC_DELETE), &del, e);
}

static bool same_frame(const struct buf *a, const struct buf *b)
{
	return a->n == b->n && memcmp(a->v, b->v, a->n) == 0;
}

/* ---- changes */

int watch_log_put(struct watch_log *l, const struct object *o, struct err *e)
{
	const struct meta *m = o->meta;
	struct watch_entry *n = find(l, o->kind->id, m->namespace, m->name);
	struct buf frame = { 0 };
	int rc;

	rc = put_frame(o, &frame, e);
	if (rc) {
		buf_fini(&frame);
		return rc;
	}
	if (n && same_frame(&n->frame, &frame)) {
		n->round = l->round;
		buf_fini(&frame);
		return 0;
	}
	if (n) {
		unlink_entry(l, n);
		buf_fini(&n->frame);
	} else {
		n = new_entry(o->kind->id, m->namespace, m->name);
		if (!n) {
			buf_fini(&frame);
			return err_set(e, -ENOMEM, "no memory");
		}
		HASH_ADD_KEYPTR(hh, l->by_key, n->key, n->key_len, n);
		l->n_objects++;
		l->per_kind[n->kind]++;
	}
	n->frame = frame;
	n->rev = o->rev;
	n->round = l->round;
	append_entry(l, n);
	return 1;
}

/* `n`, which is in neither list nor hash, as a deletion for all positions; frees it where
 * there are none. */
static int append_deletion(struct watch_log *l, struct watch_entry *n, uint64_t rev, struct err *e)
{
	int rc;

	buf_clear(&n->frame);
	n->rev = rev;
	n->deleted = true;
	for (struct watch_pos *p = l->positions; p; p = p->link)
		n->waiting++;
	rc = n->waiting ? del_frame(n, rev, &n->frame, e) : 0;
	if (rc || !n->waiting) {
		free_entry(n);
		return rc;
	}
	append_entry(l, n);
	l->n_deletions++;
	return 0;
}

static int delete_entry(struct watch_log *l, struct watch_entry *n, uint64_t rev, struct err *e)
{
	HASH_DELETE(hh, l->by_key, n);
	l->n_objects--;
	l->per_kind[n->kind]--;
	unlink_entry(l, n);
	return append_deletion(l, n, rev, e);
}

int watch_log_del(struct watch_log *l, const struct kind *k, const char *ns, const char *name,
		  uint64_t rev, struct err *e)
{
	struct watch_entry *n = find(l, k->id, ns, name);

	if (n)
		return delete_entry(l, n, rev, e);
	n = new_entry(k->id, ns, name);
	return n ? append_deletion(l, n, rev, e) : err_set(e, -ENOMEM, "no memory");
}

void watch_log_begin(struct watch_log *l)
{
	l->round++;
}

int watch_log_end(struct watch_log *l, struct err *e)
{
	struct watch_entry *n, *next;

	HASH_ITER(hh, l->by_key, n, next)
	{
		/* cppcheck-suppress uninitvar ; set by HASH_ITER */
		int rc = n->round == l->round ? 0 : delete_entry(l, n, n->rev, e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

uint64_t watch_log_rev(struct watch_log *l, const struct object *o)
{
	const struct watch_entry *n = find(l, o->kind->id, o->meta->namespace, o->meta->name);

	return n ? n->rev : 0;
}

size_t watch_log_missing(const struct watch_log *l)
{
	size_t n = 0;

	for (const struct watch_entry *o = l->by_key; o; o = o->hh.next)
		n += o->round != l->round;
	return n;
}

/* ---- positions */

void watch_log_enter(struct watch_log *l, struct watch_pos *p)
{
	*p = (struct watch_pos){ .link = l->positions, .next = l->head, .since = l->seq };
	l->positions = p;
}

void watch_log_pass(struct watch_log *l, struct watch_pos *p)
{
	struct watch_entry *n = p->next;

	if (!n)
		return;
	p->next = n->next;
	if (n->deleted && n->seq > p->since && !--n->waiting)
		drop_deletion(l, n);
}

const struct watch_entry *watch_log_next(struct watch_log *l, struct watch_pos *p)
{
	while (p->next && p->next->deleted && p->next->seq <= p->since)
		watch_log_pass(l, p);
	return p->next;
}

void watch_log_leave(struct watch_log *l, struct watch_pos *p)
{
	while (p->next)
		watch_log_pass(l, p);
	for (struct watch_pos **link = &l->positions; *link; link = &(*link)->link)
		if (*link == p) {
			*link = p->link;
			break;
		}
	*p = (struct watch_pos){ 0 };
}

struct watch_pos *watch_log_laggard(struct watch_log *l, size_t max)
{
	struct watch_pos *last = NULL;

	if (l->n_deletions <= max)
		return NULL;
	for (struct watch_pos *p = l->positions; p; p = p->link)
		if (p->next && (!last || p->next->seq < last->next->seq))
			last = p;
	return last;
}

void watch_log_fini(struct watch_log *l)
{
	struct watch_entry *n, *next;

	HASH_CLEAR(hh, l->by_key);
	for (n = l->head; n; n = next) {
		next = n->next;
		free_entry(n);
	}
	*l = (struct watch_log){ 0 };
}
