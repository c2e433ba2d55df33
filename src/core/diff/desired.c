// SPDX-License-Identifier: Apache-2.0
/* desired: what is wanted, by owner; see diff.h.
 *
 * A slot is one key; its claims are the owners that want it, lowest number first, and the first
 * one has it. Slots and owners stand in two search trees (tsearch(3)). A change allocates all
 * that it needs before it touches anything, so that it happens whole or not at all. */
#include "core/diff/diff.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

struct claim {
	struct kobj obj;
	struct claim *next; /* of the slot, by owner */
	struct slot *slot;
};

struct slot {
	const struct kobj *key; /* of some claim, or what is being looked for */
	struct claim *first;
};

struct owner {
	uint32_t id;
	size_t n;
	struct claim **v; /* by key */
};

struct desired {
	void *slots, *owners; /* tsearch roots */
	size_t n;             /* slots */
};

static int slot_cmp(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return kobj_cmp(x->key, y->key);
}

static int owner_cmp(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

struct desired *desired_new(void)
{
	return calloc(1, sizeof(struct desired));
}

static void free_slot(void *p)
{
	struct slot *s = p;

	while (s->first) {
		struct claim *c = s->first;

		s->first = c->next;
		free(c);
	}
	free(s);
}

static void free_owner(void *p)
{
	struct owner *o = p;

	free(o->v);
	free(o);
}

void desired_free(struct desired *d)
{
	if (!d)
		return;
	tdestroy(d->slots, free_slot);
	tdestroy(d->owners, free_owner);
	free(d);
}

/* ---- one change */

enum step { STEP_DROP, STEP_ADD, STEP_REPLACE };

struct change {
	enum step step;
	struct claim *claim;    /* ADD: new, not linked yet; else the one that is there */
	const struct kobj *obj; /* ADD, REPLACE: the new content */
};

struct plan {
	struct desired *d;
	struct change *v;
	size_t n;
	struct owner *owner;
	bool new_owner;
	struct claim **claims; /* the owner's next array */
	size_t nclaims;
	struct diff out;
	struct kop *gone; /* deletions, in order; turned around at the end */
	size_t ngone;
};

static int by_key_then_place(const void *a, const void *b)
{
	const struct kobj *x = *(const struct kobj *const *)a, *y = *(const struct kobj *const *)b;
	int c = kobj_cmp(x, y);

	return c ? c : x < y ? -1 : x > y;
}

/* Sorted, each key once (the first given), owner set. */
static const struct kobj **sorted_copy(uint32_t owner, const struct kobj *objs, size_t *n,
				       struct arena *a)
{
	struct kobj *copy = arena_array(a, *n, sizeof(*copy));
	const struct kobj **v = arena_array(a, *n, sizeof(*v));
	size_t m = 0;

	if (!copy || !v)
		return NULL;
	for (size_t i = 0; i < *n; i++) {
		copy[i] = objs[i];
		copy[i].owner = owner;
		v[i] = &copy[i];
	}
	if (*n)
		qsort(v, *n, sizeof(*v), by_key_then_place);
	for (size_t i = 0; i < *n; i++)
		if (!m || kobj_cmp(v[m - 1], v[i]))
			v[m++] = v[i];
	*n = m;
	return v;
}

/* The slot of this key, made where missing; NULL: no memory. */
static struct slot *slot_for(struct desired *d, const struct kobj *key)
{
	struct slot look = { .key = key }, *made;
	struct slot **found = tfind(&look, &d->slots, slot_cmp);

	if (found)
		return *found;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->key = key;
	if (!tsearch(made, &d->slots, slot_cmp)) {
		free(made);
		return NULL;
	}
	d->n++;
	return made;
}

static void drop_if_empty(struct desired *d, struct slot *s)
{
	if (s->first)
		return;
	tdelete(s, &d->slots, slot_cmp);
	free(s);
	d->n--;
}

static int plan_add(struct plan *p, const struct kobj *obj)
{
	struct claim *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->obj = *obj;
	c->slot = slot_for(p->d, &c->obj);
	if (!c->slot) {
		free(c);
		return -ENOMEM;
	}
	p->v[p->n++] = (struct change){ STEP_ADD, c, obj };
	p->claims[p->nclaims++] = c;
	return 0;
}

/* Merge of the owner's claims with what it wants now. */
static int plan_changes(struct plan *p, const struct kobj **want, size_t nwant)
{
	struct owner *o = p->owner;
	size_t i = 0, j = 0;

	while (i < o->n || j < nwant) {
		int c = i == o->n ? 1 : j == nwant ? -1 : kobj_cmp(&o->v[i]->obj, want[j]);

		if (c < 0) {
			p->v[p->n++] = (struct change){ STEP_DROP, o->v[i++], NULL };
		} else if (c > 0) {
			if (plan_add(p, want[j++]))
				return -ENOMEM;
		} else {
			p->claims[p->nclaims++] = o->v[i];
			p->v[p->n++] = (struct change){ STEP_REPLACE, o->v[i++], want[j++] };
		}
	}
	return 0;
}

static struct owner *owner_for(struct desired *d, uint32_t id, bool *made)
{
	struct owner look = { .id = id }, *o;
	struct owner **found = tfind(&look, &d->owners, owner_cmp);

	*made = false;
	if (found)
		return *found;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->id = id;
	if (!tsearch(o, &d->owners, owner_cmp)) {
		free(o);
		return NULL;
	}
	*made = true;
	return o;
}

/* As if nothing had been tried. */
static void undo(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].step == STEP_ADD) {
			struct slot *s = p->v[i].claim->slot;

			drop_if_empty(p->d, s);
			free(p->v[i].claim);
		}
	free(p->claims);
	if (p->owner && p->new_owner) {
		tdelete(p->owner, &p->d->owners, owner_cmp);
		free_owner(p->owner);
	}
}

static void link_claim(struct claim *c)
{
	struct claim **at = &c->slot->first;

	while (*at && (*at)->obj.owner < c->obj.owner)
		at = &(*at)->next;
	c->next = *at;
	*at = c;
	c->slot->key = &c->slot->first->obj;
}

static void unlink_claim(struct claim *c)
{
	struct claim **at = &c->slot->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->slot->first)
		c->slot->key = &c->slot->first->obj;
}

/* What the kernel must do when the first claim of a slot went from `before` to `after`. */
static void emit(struct plan *p, const struct kobj *before, const struct kobj *after)
{
	struct diff *out = &p->out;

	if (!before) {
		out->counts[DIFF_MISSING]++;
		out->ops[out->n++] = (struct kop){ KOP_ADD, after };
	} else if (!after) {
		out->counts[DIFF_DELETE]++;
		p->gone[p->ngone++] = (struct kop){ KOP_DELETE, before };
	} else if (!kobj_same(after, before)) {
		out->counts[DIFF_UPDATE]++;
		out->ops[out->n++] = (struct kop){ KOP_CHANGE, after };
	} else {
		out->counts[DIFF_SEEN]++;
	}
}

static void note_conflict(struct diff *out, const struct claim *c, struct kobj *copy)
{
	const struct claim *first = c->slot->first, *other = c == first ? c->next : c;

	if (!other || kobj_same(&first->obj, &other->obj))
		return;
	copy[0] = first->obj;
	copy[1] = other->obj;
	out->counts[DIFF_CONFLICT]++;
	out->conflicts[out->nconflicts++] = (struct diff_conflict){ &copy[0], &copy[1] };
}

/* `copy`: room for four objects per change, so that what comes out outlives the table. */
static void commit_one(struct plan *p, const struct change *ch, struct kobj *copy)
{
	struct slot *s = ch->claim->slot;
	const struct kobj *before = NULL, *after = NULL;

	if (s->first) {
		copy[0] = s->first->obj;
		before = &copy[0];
	}
	switch (ch->step) {
	case STEP_DROP:
		unlink_claim(ch->claim);
		break;
	case STEP_ADD:
		link_claim(ch->claim);
		break;
	case STEP_REPLACE:
		ch->claim->obj = *ch->obj;
		break;
	}
	if (s->first) {
		copy[1] = s->first->obj;
		after = &copy[1];
	}
	emit(p, before, after);
	if (ch->step != STEP_DROP)
		note_conflict(&p->out, ch->claim, copy + 2);
}

static void commit(struct plan *p, struct kobj *copies)
{
	for (size_t i = 0; i < p->n; i++) {
		commit_one(p, &p->v[i], copies + 4 * i);
		if (p->v[i].step == STEP_DROP) {
			struct claim *c = p->v[i].claim;

			/* The slot's key may be this claim's: the slot goes first. */
			drop_if_empty(p->d, c->slot);
			free(c);
		}
	}
	while (p->ngone)
		p->out.ops[p->out.n++] = p->gone[--p->ngone];
	free(p->owner->v);
	p->owner->v = p->claims;
	p->owner->n = p->nclaims;
	if (!p->nclaims) {
		tdelete(p->owner, &p->d->owners, owner_cmp);
		free_owner(p->owner);
	}
}

int desired_set(struct desired *d, uint32_t owner, const struct kobj *objs, size_t n,
		struct arena *a, struct diff *out)
{
	struct plan p = { .d = d };
	const struct kobj **want = sorted_copy(owner, objs, &n, a);
	struct kobj *copies = NULL;
	size_t most;

	p.owner = want ? owner_for(d, owner, &p.new_owner) : NULL;
	if (!p.owner)
		return -ENOMEM;
	most = p.owner->n + n;
	p.v = arena_array(a, most, sizeof(*p.v));
	p.gone = arena_array(a, most, sizeof(*p.gone));
	p.out.ops = arena_array(a, most, sizeof(*p.out.ops));
	p.out.conflicts = arena_array(a, most, sizeof(*p.out.conflicts));
	p.claims = calloc(n ? n : 1, sizeof(struct claim *));
	if (p.v && p.gone && p.out.ops && p.out.conflicts && p.claims && !plan_changes(&p, want, n))
		copies = arena_array(a, 4 * p.n, sizeof(*copies));
	if (!copies) {
		undo(&p);
		return -ENOMEM;
	}
	commit(&p, copies);
	*out = p.out;
	return 0;
}

/* ---- looking */

struct listing {
	struct kobj *v;
	size_t n;
};

static void list_slot(const void *node, VISIT which, void *arg)
{
	struct listing *l = arg;

	if (which == postorder || which == leaf)
		l->v[l->n++] = (*(const struct slot *const *)node)->first->obj;
}

const struct kobj *desired_all(const struct desired *d, struct arena *a, size_t *n)
{
	struct listing l = { .v = arena_array(a, d->n, sizeof(*l.v)) };

	if (l.v) {
		twalk_r(d->slots, list_slot, &l);
		*n = l.n;
	}
	return l.v;
}

const struct kobj *desired_get(const struct desired *d, const struct kobj *key)
{
	struct slot look = { .key = key };
	struct slot *const *found = tfind(&look, &d->slots, slot_cmp);

	return found ? &(*found)->first->obj : NULL;
}

size_t desired_count(const struct desired *d)
{
	return d->n;
}
