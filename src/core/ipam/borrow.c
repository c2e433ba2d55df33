// SPDX-License-Identifier: Apache-2.0
/* borrow: the borrower's side of a loan, and the requests in flight that one belongs to. An
 * entry in another node's block is ours by node and handle. While its request is in flight or
 * its attachment lives the entry stays; house.c takes out what is left. */
#include "core/ipam/pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests in flight */

char *handle_of(struct arena *a, const struct ipam_attachment *at)
{
	return arena_printf(a, "%s/%s/%s", at->network, at->container, at->ifname);
}

struct pending *pending_find(const struct ipam *s, const char *handle)
{
	for (size_t i = 0; i < s->n_pending; i++)
		if (!strcmp(s->pending[i].handle, handle))
			return &s->pending[i];
	return NULL;
}

bool is_pending(const struct ipam *s, const char *handle)
{
	return pending_find(s, handle) != NULL;
}

struct pending *pending_add(struct ipam *s, const char *handle)
{
	struct pending *v = realloc(s->pending, (s->n_pending + 1) * sizeof(*v));

	if (!v)
		return NULL;
	s->pending = v;
	v += s->n_pending;
	*v = (struct pending){ .handle = strdup(handle) };
	if (!v->handle)
		return NULL;
	s->n_pending++;
	return v;
}

void pending_end(struct ipam *s, const char *handle)
{
	struct pending *p = pending_find(s, handle);

	if (!p)
		return;
	free(p->handle);
	free(p->asked);
	*p = s->pending[--s->n_pending];
}

static bool has_asked(const struct pending *p, const struct prefix *cidr)
{
	for (size_t i = 0; p && i < p->n_asked; i++)
		if (prefix_eq(&p->asked[i], cidr))
			return true;
	return false;
}

int pending_asked(struct pending *p, const struct prefix *cidr)
{
	struct prefix *v = realloc(p->asked, (p->n_asked + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	p->asked = v;
	v[p->n_asked++] = *cidr;
	return 0;
}

void pending_unasked(struct ipam *s, const struct prefix *cidr)
{
	/* One write per block, so whoever asked there asked with this one, or was answered. */
	for (size_t i = 0; i < s->n_pending; i++) {
		struct pending *p = &s->pending[i];

		for (size_t n = 0; n < p->n_asked; n++)
			if (prefix_eq(&p->asked[n], cidr))
				p->asked[n--] = p->asked[--p->n_asked];
	}
}

void ipam_cancel(struct ipam *s, const char *network, const char *container, const char *ifname)
{
	const struct ipam_attachment at = { .network = network,
					    .container = container,
					    .ifname = ifname };
	struct arena a;
	char *handle;

	arena_init(&a, 0);
	handle = handle_of(&a, &at);
	if (handle)
		pending_end(s, handle);
	arena_fini(&a);
}

/* ---- borrowing */

bool loan_used(const struct ipam *s, struct arena *a, const struct block_borrow *w)
{
	const struct ipam_attachment *at =
		w->state == BORROW_GRANTED ? ipam_find_addr(s, &w->address) : NULL;
	const char *handle = at ? handle_of(a, at) : NULL;

	return handle && !strcmp(handle, w->handle);
}

/* Of an attachment of ours that ended, or never came to be: housekeeping takes it out. */
static bool is_left_over(const struct asking *k, const struct block_borrow *w)
{
	return !strcmp(w->node, k->s->node) && !is_pending(k->s, w->handle) &&
	       !loan_used(k->s, k->t->arena, w);
}

static const struct block_borrow *my_entry(const struct asking *k, const struct view_block *b,
					   const struct ipaddr *want)
{
	for (uint32_t i = 0; i < b->b.spec.borrowed.n; i++) {
		const struct block_borrow *w = &b->b.spec.borrowed.v[i];

		if (!strcmp(w->node, k->s->node) && !strcmp(w->handle, k->handle) &&
		    (!want || addr_eq(&w->address, want)))
			return w;
	}
	return NULL;
}

/* The action that appends our entry to somebody's block. `want` NULL: any address. */
static int ask_action(const struct asking *k, const struct view_block *b, const struct ipaddr *want,
		      struct choice *c)
{
	struct arena *a = k->t->arena;
	struct ipblock *o = &c->action.block;
	struct block_borrow *v;
	char text[PREFIX_TEXT];
	uint32_t n = 0;

	c->action = (struct ipam_action){ .type = IPAM_UPDATE, .rev = b->rev };
	if (block_copy(a, &b->b, o))
		return err_set(k->e, -ENOMEM, "no memory");
	v = arena_array(a, o->spec.borrowed.n + 1, sizeof(*v));
	if (!v)
		return err_set(k->e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < o->spec.borrowed.n; i++) {
		const struct block_borrow *w = &o->spec.borrowed.v[i];
		bool stale = w->state == BORROW_REFUSED && !strcmp(w->node, k->s->node) &&
			     !strcmp(w->handle, k->handle);

		if (!stale)
			v[n++] = *w;
	}
	v[n] = (struct block_borrow){ .node = k->s->node, .handle = k->handle };
	if (want)
		v[n].address = *want;
	o->spec.borrowed.v = v;
	o->spec.borrowed.n = n + 1;
	c->action.why = arena_printf(a, "borrow from block %s of node %s",
				     prefix_str(&b->b.spec.cidr, text), b->b.spec.node);
	return PICK_ACTION;
}

/* What became of our asking in this block, or ask. */
static int borrow_from(const struct asking *k, const struct view_block *b,
		       const struct ipaddr *want, struct choice *c)
{
	const struct store_write *busy = write_of(k->s, &b->b.spec.cidr);
	const struct block_borrow *w = my_entry(k, b, want);
	const struct slot *taken;

	if (busy && busy->state != WRITE_DONE)
		return PICK_WAIT;
	if (w && w->state == BORROW_GRANTED && w->address.family) {
		taken = slot_find(k->s, &w->address);
		if (taken && taken->owner)
			return PICK_NONE;
		choose(k, &w->address, b, c);
		return PICK_GOT;
	}
	if (w && w->state == BORROW_ASKED)
		return PICK_WAIT;
	if (has_asked(k->mine, &b->b.spec.cidr))
		return PICK_NONE; /* refused, or taken out by somebody */
	return ask_action(k, b, want, c);
}

static bool may_lend(const struct asking *k, const struct view_block *b, uint8_t family)
{
	const struct view_pool *p = pool_of_block(k->s, b);

	return !b->own && b->owner_known && p && p->serves && !p->p->spec.strictAffinity &&
	       p->p->spec.cidr.addr.family == family && pool_asked_for(k->q, p);
}

int borrow_any(const struct asking *k, uint8_t family, struct choice *c)
{
	const struct ipam *s = k->s;
	bool wait = false;
	size_t start = s->n_blocks ? name_spread(k->handle, 0) % s->n_blocks : 0;

	/* One that was asked comes first. */
	for (int asked = 1; asked >= 0; asked--)
		for (size_t i = 0; i < s->n_blocks; i++) {
			const struct view_block *b = &s->blocks[(start + i) % s->n_blocks];
			int r;

			if (!may_lend(k, b, family) ||
			    has_asked(k->mine, &b->b.spec.cidr) != (bool)asked)
				continue;
			r = borrow_from(k, b, NULL, c);
			wait = wait || r == PICK_WAIT;
			if (r != PICK_NONE && (asked || r != PICK_WAIT))
				return r;
		}
	return wait ? PICK_WAIT : PICK_NONE;
}

int borrow_fixed(const struct asking *k, const struct view_block *b, const struct ipaddr *a,
		 struct choice *c)
{
	const struct view_pool *p = pool_of_block(k->s, b);
	char text[ADDR_TEXT];
	int r;

	addr_str(a, text);
	if (!p || p->p->spec.strictAffinity)
		return err_set(k->e, -EPERM,
			       "%s lies in block %s of node %s, and strictAffinity of the IPPool "
			       "forbids to borrow it",
			       text, b->b.meta.name, b->b.spec.node);
	for (uint32_t i = 0; i < b->b.spec.borrowed.n; i++) {
		const struct block_borrow *w = &b->b.spec.borrowed.v[i];

		if (w->state != BORROW_GRANTED || !addr_eq(&w->address, a) ||
		    w == my_entry(k, b, a))
			continue;
		if (is_left_over(k, w))
			return PICK_WAIT;
		return err_set(k->e, -EADDRINUSE, "%s is in use on node %s by %s", text, w->node,
			       w->handle);
	}
	if (is_tunnel(k->s, a))
		return err_set(k->e, -EADDRINUSE, "%s is the tunnel address of node %s", text,
			       b->b.spec.node);
	r = borrow_from(k, b, a, c);
	if (r == PICK_NONE)
		return err_set(k->e, -EADDRINUSE, "%s is in use on node %s, which owns block %s",
			       text, b->b.spec.node, b->b.meta.name);
	return r;
}
