// SPDX-License-Identifier: Apache-2.0
/* The set of all objects: one hash table per kind, and per kind an ordered view that is made
 * only when somebody asks for it. Changes between two views cost O(log) each plus one merge,
 * so loading and small updates are both cheap.
 *
 * Out of memory ends the process: there is no sensible half of a cluster. */
#include "model/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct entry {
	struct object *obj; /* NULL: taken out; freed when the view is made anew */
	UT_hash_handle hh;
	char key[]; /* "namespace/name" */
};

struct kind_set {
	struct entry *table;
	/* Entries in order, then `fresh` ones at the end that are not in order yet. */
	struct entry **order;
	size_t n, fresh, cap;
	const struct object **view;
	bool valid;
};

struct cluster {
	struct kind_set *kinds; /* [KIND_COUNT]; behind a pointer: a view may be made of a const
				 * cluster */
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct cluster *cluster_new(void)
{
	struct cluster *c = must(calloc(1, sizeof(*c)));

	c->kinds = must(calloc(KIND_COUNT, sizeof(*c->kinds)));
	return c;
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	for (size_t k = 0; k < KIND_COUNT; k++) {
		struct kind_set *s = &c->kinds[k];

		HASH_CLEAR(hh, s->table);
		for (size_t i = 0; i < s->n + s->fresh; i++) {
			object_free(s->order[i]->obj);
			free(s->order[i]);
		}
		free(s->order);
		free(s->view);
	}
	free(c->kinds);
	free(c);
}

#define KEY_MAX (NS_MAX_LEN + 1 + NAME_MAX_LEN + 1)

/* Names within Kubernetes' limits only: the codecs refuse longer ones. 0 when too long. */
static size_t make_key(char key[KEY_MAX], const char *ns, const char *name)
{
	int n = snprintf(key, KEY_MAX, "%s/%s", ns ? ns : "", name);

	return n > 0 && n < KEY_MAX ? (size_t)n : 0;
}

static struct entry *find(const struct cluster *c, unsigned kind, const char *ns, const char *name)
{
	char key[KEY_MAX];
	struct entry *entry = NULL;
	size_t len = make_key(key, ns, name);

	if (kind < KIND_COUNT && len)
		HASH_FIND(hh, c->kinds[kind].table, key, len, entry);
	return entry;
}

struct object *cluster_put(struct cluster *c, struct object *o)
{
	struct kind_set *s = &c->kinds[o->kind->id];
	struct entry *entry = find(c, o->kind->id, o->meta->namespace, o->meta->name);
	char key[KEY_MAX];
	size_t len;

	s->valid = false;
	if (entry) {
		struct object *old = entry->obj;

		entry->obj = o;
		return old;
	}
	len = make_key(key, o->meta->namespace, o->meta->name);
	if (!len)
		abort();
	entry = must(calloc(1, sizeof(*entry) + len + 1));
	entry->obj = o;
	memcpy(entry->key, key, len);
	HASH_ADD_KEYPTR(hh, s->table, entry->key, len, entry);
	if (s->n + s->fresh == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->order = must(reallocarray(s->order, s->cap, sizeof(struct entry *)));
	}
	s->order[s->n + s->fresh++] = entry;
	return NULL;
}

struct object *cluster_take(struct cluster *c, unsigned kind, const char *ns, const char *name)
{
	struct entry *entry = find(c, kind, ns, name);
	struct object *o;

	if (!entry)
		return NULL;
	HASH_DEL(c->kinds[kind].table, entry);
	c->kinds[kind].valid = false;
	o = entry->obj;
	entry->obj = NULL;
	return o;
}

const struct object *cluster_get(const struct cluster *c, unsigned kind, const char *ns,
				 const char *name)
{
	struct entry *entry = find(c, kind, ns, name);

	return entry ? entry->obj : NULL;
}

static int by_name(const void *pa, const void *pb)
{
	const struct entry *a = *(struct entry *const *)pa, *b = *(struct entry *const *)pb;
	const char *na = strchr(a->key, '/'), *nb = strchr(b->key, '/');
	size_t la = (size_t)(na - a->key), lb = (size_t)(nb - b->key);
	int d = memcmp(a->key, b->key, la < lb ? la : lb);

	if (d)
		return d;
	if (la != lb)
		return la < lb ? -1 : 1;
	return strcmp(na + 1, nb + 1);
}

static size_t drop_taken(struct entry **v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (v[i]->obj)
			v[kept++] = v[i];
		else
			free(v[i]);
	}
	return kept;
}

/* Sorts the fresh entries and merges them from the back into the ordered ones. */
static void restore_order(struct kind_set *s)
{
	struct entry **fresh;
	size_t old = drop_taken(s->order, s->n);
	size_t add = drop_taken(s->order + s->n, s->fresh);
	size_t to = old + add;

	fresh = must(malloc((add + 1) * sizeof(struct entry *)));
	memcpy(fresh, s->order + s->n, add * sizeof(struct entry *));
	qsort(fresh, add, sizeof(struct entry *), by_name);
	s->n = to;
	s->fresh = 0;
	while (add) {
		if (old && by_name(&s->order[old - 1], &fresh[add - 1]) > 0)
			s->order[--to] = s->order[--old];
		else
			s->order[--to] = fresh[--add];
	}
	free(fresh);
}

const struct object *const *cluster_all(const struct cluster *c, unsigned kind, size_t *n)
{
	struct kind_set *s = &c->kinds[kind];

	if (!s->valid) {
		if (s->n + s->fresh) /* also drops what was taken */
			restore_order(s);
		free(s->view);
		s->view = must(calloc(s->n + 1, sizeof(*s->view)));
		for (size_t i = 0; i < s->n; i++)
			s->view[i] = s->order[i]->obj;
		s->valid = true;
	}
	*n = s->n;
	return s->view;
}

const struct ippool *cluster_pool_of(const struct cluster *c, const struct prefix *p)
{
	size_t n;
	const struct object *const *pools = cluster_all(c, KIND_IPPOOL, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = pools[i]->body;

		if (prefix_covers(&pool->spec.cidr, p))
			return pool;
	}
	return NULL;
}
