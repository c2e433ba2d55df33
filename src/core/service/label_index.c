// SPDX-License-Identifier: Apache-2.0
/* label_index: see label_index.h. Two hashes, of objects by name and of pairs; a member links one of
 * each, in the list of its pair. */
#include "core/service/label_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define KEY_MAX                                                                                    \
	640 /* namespace, and a label's key and value; what is longer is cut, and finds too much */

struct member;

struct bucket {
	struct member *first;
	size_t n;
	UT_hash_handle hh;
	char key[];
};

struct member {
	const struct object *o;
	struct bucket *in; /* NULL: in none */
	struct member *next, **link;
};

struct entry {
	UT_hash_handle hh;
	char *key; /* behind the members */
	uint32_t n;
	struct member members[];
};

struct label_index {
	struct entry *entries;
	struct bucket *buckets;
};

static void pair_key(char out[KEY_MAX], const char *ns, const struct strmap_entry *pair)
{
	snprintf(out, KEY_MAX, "%s\n%s\n%s", ns ? ns : "", pair->key, pair->value);
}

static void object_key(char out[KEY_MAX], const char *ns, const char *name)
{
	snprintf(out, KEY_MAX, "%s/%s", ns ? ns : "", name);
}

static struct bucket *bucket_of(const struct label_index *x, const char *ns,
				const struct strmap_entry *pair)
{
	char key[KEY_MAX];
	struct bucket *b;

	pair_key(key, ns, pair);
	HASH_FIND_STR(x->buckets, key, b);
	return b;
}

static struct bucket *make_bucket(struct label_index *x, const char *ns,
				  const struct strmap_entry *pair)
{
	struct bucket *b = bucket_of(x, ns, pair);
	char key[KEY_MAX];
	size_t n;

	if (b)
		return b;
	pair_key(key, ns, pair);
	n = strlen(key);
	b = calloc(1, sizeof(*b) + n + 1);
	if (!b)
		return NULL;
	memcpy(b->key, key, n + 1);
	HASH_ADD_STR(x->buckets, key, b);
	if (b->hh.tbl)
		return b;
	free(b);
	return NULL;
}

static void enter(struct bucket *b, struct member *m)
{
	m->in = b;
	m->next = b->first;
	m->link = &b->first;
	if (m->next)
		m->next->link = &m->next;
	b->first = m;
	b->n++;
}

static void leave(struct label_index *x, struct member *m)
{
	struct bucket *b = m->in;

	if (!b)
		return;
	*m->link = m->next;
	if (m->next)
		m->next->link = m->link;
	if (--b->n)
		return;
	HASH_DEL(x->buckets, b);
	free(b);
}

static void drop_entry(struct label_index *x, struct entry *e)
{
	for (uint32_t i = 0; i < e->n; i++)
		leave(x, &e->members[i]);
	HASH_DEL(x->entries, e);
	free(e);
}

void label_index_drop(struct label_index *x, const char *ns, const char *name)
{
	char key[KEY_MAX];
	struct entry *e;

	object_key(key, ns, name);
	HASH_FIND_STR(x->entries, key, e);
	if (e)
		drop_entry(x, e);
}

static struct entry *make_entry(struct label_index *x, const struct object *o, uint32_t n)
{
	size_t members = n * sizeof(struct member);
	char key[KEY_MAX];
	struct entry *e;

	object_key(key, o->meta->namespace, o->meta->name);
	e = calloc(1, sizeof(*e) + members + strlen(key) + 1);
	if (!e)
		return NULL;
	e->key = (char *)e->members + members;
	memcpy(e->key, key, strlen(key) + 1);
	e->n = n;
	HASH_ADD_KEYPTR(hh, x->entries, e->key, strlen(e->key), e);
	if (e->hh.tbl)
		return e;
	free(e);
	return NULL;
}

int label_index_put(struct label_index *x, const struct object *o, const struct strmap *pairs)
{
	struct entry *e;

	label_index_drop(x, o->meta->namespace, o->meta->name);
	if (!pairs->n)
		return 0;
	e = make_entry(x, o, pairs->n);
	if (!e)
		return -ENOMEM;
	for (uint32_t i = 0; i < pairs->n; i++) {
		struct bucket *b = make_bucket(x, o->meta->namespace, &pairs->v[i]);

		if (!b) {
			drop_entry(x, e);
			return -ENOMEM;
		}
		e->members[i].o = o;
		enter(b, &e->members[i]);
	}
	return 0;
}

size_t label_index_count(const struct label_index *x, const char *ns,
			 const struct strmap_entry *pair)
{
	const struct bucket *b = bucket_of(x, ns, pair);

	return b ? b->n : 0;
}

void label_index_each(const struct label_index *x, const char *ns, const struct strmap_entry *pair,
		      label_index_fn *fn, void *arg)
{
	const struct bucket *b = bucket_of(x, ns, pair);

	for (const struct member *m = b ? b->first : NULL; m; m = m->next)
		fn(arg, m->o);
}

struct label_index *label_index_new(void)
{
	return calloc(1, sizeof(struct label_index));
}

void label_index_free(struct label_index *x)
{
	struct entry *e, *next;

	if (!x)
		return;
	HASH_ITER(hh, x->entries, e, next)
	{
		drop_entry(x, e);
	}
	free(x);
}
