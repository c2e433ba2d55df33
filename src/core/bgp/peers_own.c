// SPDX-License-Identifier: Apache-2.0
/* What this node originates by itself: networks of the configuration, blocks of its own, and addresses that it borrowed of others' blocks, in
 * pools that BGP tells. Only blocks with a part for this node have a row, so that a change costs no more than what the node tells. */
#include "core/bgp/peers_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY (NAME_MAX_LEN + 32)

struct holding {           /* an IPBlock with a part for this node */
	struct by_name id; /* first */
	const struct object *object;
};

struct route { /* by the networks where `of` is NULL */
	struct prefix prefix;
	const struct object *of;
	bool borrowed;
};

/* ---- blocks */

static bool is_ours(const struct bgp_wants *w, const char *node)
{
	return node && !strcmp(node, w->node);
}

/* The next loan to this node, from the i-th on; NULL: none. */
static const struct block_borrow *next_loan(const struct bgp_wants *w, const struct ipblock *b,
					    uint32_t *i)
{
	while (*i < b->spec.borrowed.n) {
		const struct block_borrow *l = &b->spec.borrowed.v[(*i)++];

		if (l->state == BORROW_GRANTED && l->address.family && is_ours(w, l->node))
			return l;
	}
	return NULL;
}

static bool has_part(const struct bgp_wants *w, const struct object *o)
{
	const struct ipblock *b = o ? o->body : NULL;
	uint32_t i = 0;

	return b && (is_ours(w, b->spec.node) || next_loan(w, b, &i));
}

static bool same_loans(const struct bgp_wants *w, const struct ipblock *a, const struct ipblock *b)
{
	const struct block_borrow *of_a, *of_b;
	uint32_t i = 0, k = 0;

	do {
		of_a = next_loan(w, a, &i);
		of_b = next_loan(w, b, &k);
		if (!of_a || !of_b)
			return of_a == of_b;
	} while (addr_eq(&of_a->address, &of_b->address));
	return false;
}

static bool same_part(const struct bgp_wants *w, const struct object *old, const struct object *now)
{
	const struct ipblock *a = old->body, *b = now->body;

	return is_ours(w, a->spec.node) == is_ours(w, b->spec.node) &&
	       prefix_eq(&a->spec.cidr, &b->spec.cidr) &&
	       !strcmp(a->spec.pool ? a->spec.pool : "", b->spec.pool ? b->spec.pool : "") &&
	       same_loans(w, a, b);
}

static bool is_told(const struct object *pool)
{
	const struct ippool *p = pool ? pool->body : NULL;

	return p && p->spec.routes == ROUTES_BGP;
}

static void drop(struct bgp_wants *w, const char *name)
{
	struct by_name *x = by_name_get(&w->blocks, "", name, 0);

	if (x)
		by_name_drop(&w->blocks, x);
}

bool wants_pool(struct bgp_wants *w, const struct object *old, const struct object *now)
{
	w->own_due |= is_told(old) != is_told(now);
	return w->own_due;
}

bool wants_block(struct bgp_wants *w, const struct object *old, const struct object *now)
{
	bool had = has_part(w, old), has = has_part(w, now), same = had && has;
	struct holding *h;

	if (!had && !has)
		return false;
	same = same && same_part(w, old, now);
	w->own_due |= !same;
	if (!has) {
		drop(w, old->meta->name);
		return true;
	}
	h = (struct holding *)by_name_get(&w->blocks, "", now->meta->name, sizeof(*h));
	w->learned = h;
	if (h)
		h->object = now;
	return !same || !h;
}

void wants_drop_blocks(struct bgp_wants *w)
{
	while (w->blocks)
		by_name_drop(&w->blocks, w->blocks);
}

/* ---- routes */

static bool is_used(const struct want *f, const struct ipblock *b)
{
	return b->spec.pool && is_told(cluster_get(f->v->cluster, KIND_IPPOOL, NULL, b->spec.pool));
}

/* Appends to `v` where there is one; how many there are. */
static size_t put_block(const struct bgp_wants *w, const struct object *o, struct route *v)
{
	const struct ipblock *b = o->body;
	const struct block_borrow *l;
	uint32_t i = 0;
	size_t n = 0;

	if (is_ours(w, b->spec.node)) {
		if (v)
			v[n] = (struct route){ .prefix = b->spec.cidr, .of = o };
		n++;
	}
	while ((l = next_loan(w, b, &i))) {
		if (v)
			v[n] = (struct route){ prefix_host(&l->address), o, true };
		n++;
	}
	return n;
}

static size_t put_all(struct bgp_wants *w, struct route *v)
{
	const struct want *f = wants_frame(w);
	size_t n = 0;

	for (uint32_t i = 0; i < f->conf.spec.networks.n; i++, n++)
		if (v)
			v[n] = (struct route){ .prefix = f->conf.spec.networks.v[i] };
	for (const struct by_name *x = w->blocks; x; x = by_name_next(x)) {
		const struct object *o = ((const struct holding *)x)->object;

		if (is_used(f, o->body))
			n += put_block(w, o, v ? v + n : NULL);
	}
	return n;
}

/* Of one prefix the networks', then the block's that is first by name. */
static int in_order(const void *pa, const void *pb)
{
	const struct route *a = pa, *b = pb;
	int c = prefix_cmp(&a->prefix, &b->prefix);

	if (c || a->of == b->of)
		return c;
	if (!a->of || !b->of)
		return a->of ? 1 : -1;
	return strcmp(a->of->meta->name, b->of->meta->name);
}

/* Each prefix once, in order; NULL: no memory. */
static struct route *find_routes(struct bgp_wants *w, size_t *n)
{
	size_t all = wants_frame(w)->out.on ? put_all(w, NULL) : 0, kept = 0;
	struct route *v = calloc(all ? all : 1, sizeof(*v));

	if (!v)
		return NULL;
	if (all) {
		put_all(w, v);
		qsort(v, all, sizeof(*v), in_order);
	}
	for (size_t i = 0; i < all; i++)
		if (!kept || !prefix_eq(&v[kept - 1].prefix, &v[i].prefix))
			v[kept++] = v[i];
	*n = kept;
	return v;
}

static void tell(const struct bgp_wants *w, const struct route *r, const struct bgp_wants_ops *ops,
		 void *arg)
{
	const struct bgp_want *all = bgp_wants_all(w);
	struct bgp_own own = { .prefix = r->prefix, .attrs = bgp_want_attrs(all, &r->prefix) };
	char why[WHY];

	if (r->of)
		snprintf(why, sizeof(why), "%sIPBlock %s", r->borrowed ? "borrowed of " : "",
			 r->of->meta->name);
	else
		snprintf(why, sizeof(why), "BGPConfiguration: spec.networks");
	own.why = why;
	ops->own(arg, &own);
}

/* Both are in order. */
static void tell_gone(const struct bgp_wants *w, const struct route *v, size_t n,
		      const struct bgp_wants_ops *ops, void *arg)
{
	size_t at = 0;

	for (size_t i = 0; i < w->n_own; i++) {
		while (at < n && prefix_cmp(&v[at].prefix, &w->own[i]) < 0)
			at++;
		if (at == n || !prefix_eq(&v[at].prefix, &w->own[i]))
			ops->no_own(arg, &w->own[i]);
	}
}

int wants_tell_own(struct bgp_wants *w, const struct bgp_wants_ops *ops, void *arg)
{
	struct route *v;
	struct prefix *now;
	size_t n = 0;

	if (!w->own_due)
		return 0;
	v = find_routes(w, &n);
	now = v ? calloc(n ? n : 1, sizeof(*now)) : NULL;
	if (!now) {
		free(v);
		return -ENOMEM;
	}
	tell_gone(w, v, n, ops, arg);
	for (size_t i = 0; i < n; i++) {
		now[i] = v[i].prefix;
		tell(w, &v[i], ops, arg);
	}
	free(w->own);
	w->own = now;
	w->n_own = n;
	w->own_due = false;
	free(v);
	return 0;
}

/* ---- attributes of what else is told, too */

struct bgp_draft bgp_want_attrs(const struct bgp_want *w, const struct prefix *p)
{
	const struct bgp_draft plain = { .fixed.origin = BGP_ORIGIN_IGP };
	const struct bgp_advert *best = NULL;

	for (size_t i = 0; i < w->n_adverts; i++)
		if (prefix_covers(&w->adverts[i].cidr, p) &&
		    (!best || w->adverts[i].cidr.len > best->cidr.len))
			best = &w->adverts[i];
	return best ? best->attrs : plain;
}
