// SPDX-License-Identifier: Apache-2.0
/* gone_look: see agent_gone_look.h. By address, as each entry of the table is held against all of
 * them; an address that ended twice before a look came is there twice. */
#include "daemon/agent_gone_look.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

/* An address, and in order of their ends the attachments that had it. */
struct gone_addr {
	UT_hash_handle hh;
	struct ipaddr addr; /* the key */
	struct gone *who;
};

struct gone {
	struct gone *next; /* of the same address */
	uint64_t id;
	bool taken; /* by the look that is under way */
};

struct gone_look {
	struct gone_addr *addrs;
};

static struct gone_addr *find(const struct gone_look *l, const struct ipaddr *addr)
{
	struct gone_addr *g;

	HASH_FIND(hh, l->addrs, addr, sizeof(*addr), g);
	return g;
}

static struct gone *find_id(const struct gone_addr *g, uint64_t id)
{
	struct gone *x;

	LL_SEARCH_SCALAR(g->who, x, id, id);
	return x;
}

static struct gone_addr *get(struct gone_look *l, const struct ipaddr *addr)
{
	struct gone_addr *g = find(l, addr);

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->addr = *addr;
	HASH_ADD(hh, l->addrs, addr, sizeof(g->addr), g);
	return g;
}

/* Those of the address that were taken, or all. */
static unsigned drop(struct gone_look *l, struct gone_addr *g, bool all)
{
	struct gone *x, *next;
	unsigned n = 0;

	LL_FOREACH_SAFE(g->who, x, next)
	{
		if (!all && !x->taken)
			continue;
		LL_DELETE(g->who, x);
		free(x);
		n++;
	}
	if (!g->who) {
		HASH_DEL(l->addrs, g);
		free(g);
	}
	return n;
}

int gone_look_add(struct gone_look *l, const struct ipam_attachment *at, struct err *e)
{
	for (uint32_t i = 0; i < at->addrs.n; i++) {
		struct gone_addr *g = get(l, &at->addrs.v[i]);
		struct gone *x = g ? find_id(g, at->id) : NULL;

		if (g && !x) {
			x = calloc(1, sizeof(*x));
			if (x)
				LL_PREPEND(g->who, x);
			else
				drop(l, g, false);
		}
		if (!x)
			return err_set(e, -ENOMEM, "no memory");
		x->id = at->id;
		x->taken = false;
	}
	return 0;
}

bool gone_look_seeks(const struct gone_look *l, uint64_t id)
{
	for (const struct gone_addr *g = l->addrs; g; g = g->hh.next)
		if (find_id(g, id))
			return true;
	return false;
}

bool gone_look_seeks_addr(const struct gone_look *l, const struct ipaddr *addr)
{
	return find(l, addr) != NULL;
}

bool gone_look_due(const struct gone_look *l)
{
	return l->addrs != NULL;
}

void gone_look_begin(struct gone_look *l)
{
	for (struct gone_addr *g = l->addrs; g; g = g->hh.next)
		for (struct gone *x = g->who; x; x = x->next)
			x->taken = true;
}

unsigned gone_look_done(struct gone_look *l)
{
	struct gone_addr *g, *next;
	unsigned n = 0;

	HASH_ITER(hh, l->addrs, g, next)
	n += drop(l, g, false);
	return n;
}

const struct ipaddr *gone_look_finds(const struct gone_look *l, const struct ipam *book,
				     const struct ct_entry *c)
{
	const struct ipaddr *const ends[] = { &c->orig.src, &c->orig.dst, &c->reply.src,
					      &c->reply.dst };

	for (size_t i = 0; l->addrs && i < sizeof(ends) / sizeof(ends[0]); i++)
		if (find(l, ends[i]) && !ipam_find_addr(book, ends[i]))
			return ends[i];
	return NULL;
}

struct gone_look *gone_look_new(void)
{
	return calloc(1, sizeof(struct gone_look));
}

void gone_look_free(struct gone_look *l)
{
	struct gone_addr *g, *next;

	if (!l)
		return;
	HASH_ITER(hh, l->addrs, g, next)
	drop(l, g, true);
	free(l);
}
