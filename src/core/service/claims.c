// SPDX-License-Identifier: Apache-2.0
/* claims: see claims.h. Two balanced trees (tsearch(3)), of keys and of holders; a hold links one
 * of each, in a list of the key's (by age) and one of the holder's. */
#include "core/service/claims.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct hold;

struct claimed {
	struct claim_key key;
	struct hold *holds; /* oldest first */
};

struct hold {
	struct claimed *of;
	struct holder *by;
	bool loose; /* goes with claims_settle() */
	struct hold *next_of_claim, *next_of_holder;
};

struct queue {
	struct holder *first, **last;
};

struct holder {
	char *ns, *name;
	struct hold *holds;
	struct queue *in;
	struct holder *next, **link;
	uint64_t reason; /* of the last refusal; 0: none since it was given what it wanted */
};

struct claims {
	void *keys, *holders;
	struct queue pending, refused;
};

static int by_key(const void *pa, const void *pb)
{
	const struct claim_key *a = &((const struct claimed *)pa)->key;
	const struct claim_key *b = &((const struct claimed *)pb)->key;
	int c = memcmp(&a->address, &b->address, sizeof(a->address));

	if (!c)
		c = a->proto - b->proto;
	return c ? c : a->port - b->port;
}

static int by_name(const void *pa, const void *pb)
{
	const struct holder *a = pa, *b = pb;
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->name, b->name);
}

/* ---- queues */

static void leave(struct holder *h)
{
	if (!h->in)
		return;
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	else
		h->in->last = h->link;
	h->in = NULL;
}

static void enter(struct queue *q, struct holder *h)
{
	leave(h);
	h->in = q;
	h->next = NULL;
	h->link = q->last;
	*q->last = h;
	q->last = &h->next;
}

void claims_pend(struct claims *c, struct holder *h)
{
	enter(&c->pending, h);
}

struct holder *claims_next(struct claims *c)
{
	struct holder *h = c->pending.first;

	if (h)
		leave(h);
	return h;
}

bool claims_pending(const struct claims *c)
{
	return c->pending.first;
}

bool claims_refuse(struct claims *c, struct holder *h, uint64_t reason)
{
	bool news = h->reason != reason;

	h->reason = reason;
	enter(&c->refused, h);
	return news;
}

void claims_wake(struct claims *c)
{
	while (c->refused.first)
		claims_pend(c, c->refused.first);
}

void claims_served(struct holder *h)
{
	h->reason = 0;
}

/* ---- the ledger */

const struct holder *claims_by(const struct claims *c, const struct claim_key *k)
{
	struct claimed want = { .key = *k };
	struct claimed *const *found = tfind(&want, &c->keys, by_key);

	return found ? (*found)->holds->by : NULL;
}

static struct claimed *claimed_of(struct claims *c, const struct claim_key *k)
{
	struct claimed want = { .key = *k }, *made;
	struct claimed *const *found = tfind(&want, &c->keys, by_key);

	if (found)
		return *found;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->key = *k;
	if (!tsearch(made, &c->keys, by_key)) {
		free(made);
		return NULL;
	}
	return made;
}

int claims_take(struct claims *c, struct holder *h, const struct claim_key *k)
{
	struct hold *made = calloc(1, sizeof(*made)), **at;

	if (!made)
		return -ENOMEM;
	made->of = claimed_of(c, k);
	if (!made->of) {
		free(made);
		return -ENOMEM;
	}
	made->by = h;
	for (at = &made->of->holds; *at; at = &(*at)->next_of_claim)
		if ((*at)->by == h) {
			(*at)->loose = false;
			free(made);
			return 0;
		}
	*at = made;
	made->next_of_holder = h->holds;
	h->holds = made;
	return 0;
}

static void end_hold(struct claims *c, struct hold *x)
{
	struct hold **at = &x->of->holds;

	while (*at != x)
		at = &(*at)->next_of_claim;
	*at = x->next_of_claim;
	if (!x->of->holds) {
		tdelete(x->of, &c->keys, by_key);
		free(x->of);
	}
	free(x);
}

void claims_loosen(struct holder *h)
{
	for (struct hold *x = h->holds; x; x = x->next_of_holder)
		x->loose = true;
}

bool claims_settle(struct claims *c, struct holder *h)
{
	struct hold **at = &h->holds;
	bool any = false;

	while (*at) {
		struct hold *x = *at;

		if (!x->loose) {
			at = &x->next_of_holder;
			continue;
		}
		any = true;
		*at = x->next_of_holder;
		end_hold(c, x);
	}
	return any;
}

/* ---- holders */

const char *holder_ns(const struct holder *h)
{
	return h->ns;
}

const char *holder_name(const struct holder *h)
{
	return h->name;
}

static void free_holder(void *p)
{
	struct holder *h = p;

	free(h->ns);
	free(h->name);
	free(h);
}

struct holder *claims_holder(struct claims *c, const char *ns, const char *name, bool make)
{
	struct holder want = { .ns = (char *)ns, .name = (char *)name }, *made;
	struct holder *const *found = tfind(&want, &c->holders, by_name);

	if (found || !make)
		return found ? *found : NULL;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->ns = strdup(ns);
	made->name = strdup(name);
	if (!made->ns || !made->name || !tsearch(made, &c->holders, by_name)) {
		free_holder(made);
		return NULL;
	}
	return made;
}

void claims_forget(struct claims *c, struct holder *h)
{
	leave(h);
	claims_loosen(h);
	claims_settle(c, h);
	tdelete(h, &c->holders, by_name);
	free_holder(h);
}

struct claims *claims_new(void)
{
	struct claims *c = calloc(1, sizeof(*c));

	if (c) {
		c->pending.last = &c->pending.first;
		c->refused.last = &c->refused.first;
	}
	return c;
}

void claims_free(struct claims *c)
{
	if (!c)
		return;
	while (c->holders)
		claims_forget(c, *(struct holder **)c->holders);
	free(c);
}
