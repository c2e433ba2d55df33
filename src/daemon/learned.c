// SPDX-License-Identifier: Apache-2.0
/* learned: see learned.h. An entry is one piece of memory: itself, its next hops and texts. */
#include "daemon/learned.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry;

/* One next hop of one entry, in the list of all that have it. */
struct use {
	struct entry *of;
	struct use *next, **at;
};

struct via {
	struct ipaddr ip;
	struct use *first;
	UT_hash_handle hh;
};

struct entry {
	struct learned l; /* first */
	struct kroute route;
	UT_hash_handle hh;
	struct use uses[]; /* of l.via; then those, and texts or further next hops */
};

struct learned_table {
	struct entry *v;
	struct via *vias;
};

struct learned_table *learned_new(void)
{
	return calloc(1, sizeof(struct learned_table));
}

static struct entry *find(const struct learned_table *t, const struct prefix *p)
{
	struct entry *x;

	HASH_FIND(hh, t->v, p, sizeof(*p), x);
	return x;
}

/* ---- by next hop */

static struct via *via_get(struct learned_table *t, const struct ipaddr *ip)
{
	struct via *v;

	HASH_FIND(hh, t->vias, ip, sizeof(*ip), v);
	if (v)
		return v;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->ip = *ip;
	HASH_ADD(hh, t->vias, ip, sizeof(v->ip), v);
	if (v->hh.tbl)
		return v;
	free(v);
	return NULL;
}

static void via_drop_unused(struct learned_table *t, const struct ipaddr *ip)
{
	struct via *v;

	HASH_FIND(hh, t->vias, ip, sizeof(*ip), v);
	if (!v || v->first)
		return;
	HASH_DEL(t->vias, v);
	free(v);
}

static void unuse(struct learned_table *t, struct entry *x)
{
	for (uint32_t i = 0; i < x->l.n_via; i++) {
		struct use *u = &x->uses[i];

		if (!u->at)
			continue;
		*u->at = u->next;
		if (u->next)
			u->next->at = u->at;
		via_drop_unused(t, &x->l.via[i]);
	}
}

static int use_vias(struct learned_table *t, struct entry *x)
{
	for (uint32_t i = 0; i < x->l.n_via; i++) {
		struct via *v = via_get(t, &x->l.via[i]);
		struct use *u = &x->uses[i];

		if (!v)
			return -ENOMEM;
		*u = (struct use){ .of = x, .next = v->first, .at = &v->first };
		if (v->first)
			v->first->at = &u->next;
		v->first = u;
	}
	return 0;
}

/* ---- entries */

static void entry_free(struct learned_table *t, struct entry *x)
{
	unuse(t, x);
	free(x);
}

static void drop(struct learned_table *t, struct entry *x)
{
	HASH_DEL(t->v, x);
	entry_free(t, x);
}

/* With room for so many octets behind its next hops. */
static struct entry *entry_new(const struct prefix *p, const struct ipaddr *via, uint32_t n,
			       size_t room, char **rest)
{
	struct entry *x = calloc(1, sizeof(*x) + n * (sizeof(*x->uses) + sizeof(*via)) + room);
	struct ipaddr *v;

	if (!x)
		return NULL;
	v = (struct ipaddr *)&x->uses[n];
	if (n)
		memcpy(v, via, n * sizeof(*via));
	x->l = (struct learned){
		.prefix = prefix_mask(p), .via = v, .n_via = n, .peer = "", .why = ""
	};
	*rest = (char *)&v[n];
	return x;
}

/* In the place of the one that is there, which stays on failure. */
static int enter(struct learned_table *t, struct entry *x)
{
	struct entry *old = find(t, &x->l.prefix);

	if (use_vias(t, x)) {
		entry_free(t, x);
		return -ENOMEM;
	}
	HASH_ADD(hh, t->v, l.prefix, sizeof(x->l.prefix), x);
	if (!x->hh.tbl) {
		entry_free(t, x);
		return -ENOMEM;
	}
	if (old)
		drop(t, old);
	return 0;
}

static bool is_same(const struct entry *x, const struct rec_route *r)
{
	if (x->l.kept || x->l.n_via != r->via.n)
		return false;
	return !r->via.n || !memcmp(x->l.via, r->via.v, r->via.n * sizeof(*r->via.v));
}

int learned_put(struct learned_table *t, const struct rec_route *r, uint32_t stream)
{
	const char *peer = r->peer ? r->peer : "", *why = r->why ? r->why : "";
	size_t n_peer = strlen(peer) + 1, n_why = strlen(why) + 1;
	struct prefix p = prefix_mask(&r->prefix);
	struct entry *old = find(t, &p), *x;
	bool same = old && is_same(old, r);
	char *rest;

	if (same && text_eq(old->l.peer, peer) && text_eq(old->l.why, why)) {
		old->l.stream = stream;
		return LEARNED_SAME;
	}
	x = entry_new(&p, r->via.v, r->via.n, n_peer + n_why, &rest);
	if (!x)
		return -ENOMEM;
	x->l.stream = stream;
	x->l.peer = memcpy(rest, peer, n_peer);
	x->l.why = memcpy(rest + n_peer, why, n_why);
	if (enter(t, x))
		return -ENOMEM;
	return same ? LEARNED_SAME : LEARNED_CHANGED;
}

int learned_keep(struct learned_table *t, const struct kroute *r)
{
	size_t room = r->n_more * sizeof(*r->more);
	struct entry *x;
	char *rest;

	if (find(t, &r->dst))
		return 0;
	x = entry_new(&r->dst, NULL, 0, room, &rest);
	if (!x)
		return -ENOMEM;
	x->route = *r;
	x->route.more = room ? memcpy(rest, r->more, room) : NULL;
	x->l.kept = &x->route;
	return enter(t, x);
}

bool learned_drop(struct learned_table *t, const struct prefix *p)
{
	struct prefix masked = prefix_mask(p);
	struct entry *x = find(t, &masked);

	if (x)
		drop(t, x);
	return x;
}

void learned_sweep(struct learned_table *t, uint32_t stream,
		   void (*gone)(void *arg, const struct prefix *p), void *arg)
{
	struct entry *x, *next;

	HASH_ITER(hh, t->v, x, next)
	{
		struct prefix p = x->l.prefix;

		if (x->l.stream == stream)
			continue;
		drop(t, x);
		gone(arg, &p);
	}
}

const struct learned *learned_find(const struct learned_table *t, const struct prefix *p)
{
	const struct entry *x = find(t, p);

	return x ? &x->l : NULL;
}

void learned_by_via(const struct learned_table *t, const struct ipaddr *via,
		    void (*fn)(void *arg, const struct prefix *p), void *arg)
{
	const struct via *v;

	HASH_FIND(hh, t->vias, via, sizeof(*via), v);
	for (const struct use *u = v ? v->first : NULL; u; u = u->next)
		fn(arg, &u->of->l.prefix);
}

void learned_each(const struct learned_table *t, void (*fn)(void *arg, const struct learned *l),
		  void *arg)
{
	for (const struct entry *x = t->v; x; x = x->hh.next)
		fn(arg, &x->l);
}

size_t learned_count(const struct learned_table *t)
{
	return HASH_COUNT(t->v);
}

void learned_free(struct learned_table *t)
{
	struct entry *x, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->v, x, next)
	drop(t, x);
	free(t);
}
