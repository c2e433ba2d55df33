// SPDX-License-Identifier: Apache-2.0
/* agent_owners: see agent_owners.h. */
#include "daemon/agent_owners.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
	struct owner o; /* first: an owner is its entry */
	UT_hash_handle hh, by_id;
};

struct owners {
	struct entry *v, *by_id;
	uint32_t last;
};

struct owners *owners_new(void)
{
	return calloc(1, sizeof(struct owners));
}

struct owner *owners_find(const struct owners *v, const char *key)
{
	struct entry *x;

	HASH_FIND_STR(v->v, key, x);
	return x ? &x->o : NULL;
}

struct owner *owners_get(struct owners *v, const char *key)
{
	struct owner *o = owners_find(v, key);
	struct entry *x;

	if (o)
		return o;
	x = calloc(1, sizeof(*x));
	if (x)
		x->o.key = strdup(key);
	if (!x || !x->o.key) {
		free(x);
		return NULL;
	}
	x->o.id = ++v->last;
	HASH_ADD_KEYPTR(hh, v->v, x->o.key, strlen(x->o.key), x);
	HASH_ADD(by_id, v->by_id, o.id, sizeof(x->o.id), x);
	return &x->o;
}

const struct owner *owners_by_id(const struct owners *v, uint32_t id)
{
	struct entry *x;

	HASH_FIND(by_id, v->by_id, &id, sizeof(id), x);
	return x ? &x->o : NULL;
}

void owners_drop(struct owners *v, struct owner *o)
{
	struct entry *x = (struct entry *)o;

	HASH_DEL(v->v, x);
	HASH_DELETE(by_id, v->by_id, x);
	free(x->o.hops);
	free(x->o.key);
	free(x);
}

void owners_each(const struct owners *v, void (*fn)(void *arg, struct owner *o), void *arg)
{
	for (struct entry *x = v->v; x; x = x->hh.next)
		fn(arg, &x->o);
}

void owners_free(struct owners *v)
{
	while (v && v->v)
		owners_drop(v, &v->v->o);
	free(v);
}
