// SPDX-License-Identifier: Apache-2.0
/* show: the book for people: how full the blocks are, and where book and store disagree. */
#include "core/ipam/state.h"

#include <errno.h>
#include <string.h>

static void count_own(const struct ipam *s, int64_t now, struct ipam_block_use *u)
{
	const struct slot *k = slot_from(s, &u->cidr.addr);

	for (; k < s->slots + s->n_slots && prefix_has(&u->cidr, &k->addr); k++) {
		u->used += k->owner != 0;
		u->lent += k->lent_to != NULL;
		u->cooling += !k->owner && !k->lent_to && slot_cooling(s, k, now);
	}
	for (uint64_t i = 0; s->n_reserved && i < u->size && u->size <= IPAM_BLOCK_MAX; i++) {
		struct ipaddr a = addr_add(&u->cidr.addr, i);

		u->reserved += is_reserved(s, &a);
	}
}

int ipam_usage(const struct ipam *s, int64_t now, struct arena *a, struct ipam_block_use **v,
	       size_t *n, struct err *e)
{
	struct ipam_block_use *rows = arena_array(a, s->n_blocks, sizeof(*rows));

	if (!rows)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < s->n_blocks; i++) {
		const struct view_block *b = &s->blocks[i];
		struct ipam_block_use *u = &rows[i];

		*u = (struct ipam_block_use){
			.name = arena_strdup(a, b->b.meta.name),
			.pool = arena_strdup(a, b->b.spec.pool),
			.node = arena_strdup(a, b->b.spec.node),
			.cidr = b->b.spec.cidr,
			.tunnel = b->b.spec.tunnelAddress,
			.size = block_size(&b->b.spec.cidr),
			.own = b->own,
		};
		if (b->own)
			count_own(s, now, u);
		for (uint32_t k = 0; !b->own && k < b->b.spec.borrowed.n; k++)
			u->lent += b->b.spec.borrowed.v[k].state == BORROW_GRANTED;
	}
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*v = rows;
	*n = s->n_blocks;
	return 0;
}

/* ---- */

struct finding {
	const struct ipam *s;
	struct arena *a;
	struct ipam_problem *v;
	size_t n, max;
};

static void found(struct finding *f, const char *what, const struct ipaddr *addr, uint64_t id,
		  const char *text)
{
	if (f->n < f->max)
		f->v[f->n++] = (struct ipam_problem){ what, *addr, id, text };
}

static bool granted_here(const struct ipam *s, const struct view_block *b, const struct ipaddr *a)
{
	for (uint32_t i = 0; i < b->b.spec.borrowed.n; i++) {
		const struct block_borrow *w = &b->b.spec.borrowed.v[i];

		if (w->state == BORROW_GRANTED && addr_eq(&w->address, a) &&
		    !strcmp(w->node, s->node))
			return true;
	}
	return false;
}

static void check_used(struct finding *f, const struct slot *k)
{
	const struct view_block *b = block_at(f->s, &k->addr);
	char text[ADDR_TEXT];

	addr_str(&k->addr, text);
	if (!b)
		found(f, "no-block", &k->addr, k->owner,
		      arena_printf(f->a, "%s is in use but lies in no block", text));
	else if (!b->own && !granted_here(f->s, b, &k->addr))
		found(f, "not-granted", &k->addr, k->owner,
		      arena_printf(f->a,
				   "%s is in use but lies in block %s of node %s, which did "
				   "not lend it",
				   text, b->b.meta.name, b->b.spec.node));
	else if (is_tunnel(f->s, &k->addr))
		found(f, "tunnel-in-use", &k->addr, k->owner,
		      arena_printf(f->a, "%s is in use and also a tunnel address", text));
}

static void check_lent(struct finding *f, const struct view_block *b)
{
	for (uint32_t i = 0; b->own && i < b->b.spec.borrowed.n; i++) {
		const struct block_borrow *w = &b->b.spec.borrowed.v[i];
		const struct slot *k = slot_find(f->s, &w->address);
		char text[ADDR_TEXT];

		if (w->state != BORROW_GRANTED || (k && k->lent_to))
			continue;
		found(f, "lost-loan", &w->address, k ? k->owner : 0,
		      arena_printf(f->a, "%s is granted to node %s but %s here",
				   addr_str(&w->address, text), w->node,
				   k && k->owner ? "in use" : "not noted as lent"));
	}
}

int ipam_check(const struct ipam *s, struct arena *a, struct ipam_problem **v, size_t *n,
	       struct err *e)
{
	struct finding f = { .s = s, .a = a, .max = s->n_slots };

	for (size_t i = 0; i < s->n_blocks; i++)
		f.max += s->blocks[i].b.spec.borrowed.n;
	f.v = arena_array(a, f.max, sizeof(*f.v));
	if (!f.v)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].owner)
			check_used(&f, &s->slots[i]);
	for (size_t i = 0; i < s->n_blocks; i++)
		check_lent(&f, &s->blocks[i]);
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*v = f.v;
	*n = f.n;
	return 0;
}
