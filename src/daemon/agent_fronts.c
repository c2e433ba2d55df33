// SPDX-License-Identifier: Apache-2.0
/* agent_fronts: see agent_fronts.h. Addresses are counted: what a Service had is what it was counted
 * for, as its object was the same then. */
#include "daemon/agent_fronts.h"
#include "core/service/service.h"

#include <stdlib.h>
#include <sys/socket.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct front {
	struct ipaddr ip;
	uint32_t users;
	UT_hash_handle hh;
};

struct fronts {
	struct front *v;
	const struct prefix *ranges;
	size_t n_ranges;
};

struct change {
	struct fronts *fronts;
	int by;
	void (*changed)(void *arg, const struct ipaddr *ip);
	void *arg;
};

struct fronts *fronts_new(const struct prefix *ranges, size_t n)
{
	struct fronts *f = calloc(1, sizeof(*f));

	if (f)
		*f = (struct fronts){ .ranges = ranges, .n_ranges = n };
	return f;
}

static bool in_range(const struct fronts *f, const struct ipaddr *ip)
{
	for (size_t i = 0; i < f->n_ranges; i++)
		if (prefix_has(&f->ranges[i], ip))
			return true;
	return false;
}

static struct front *get(struct fronts *f, const struct ipaddr *ip, bool make)
{
	struct front *x;

	HASH_FIND(hh, f->v, ip, sizeof(*ip), x);
	if (x || !make)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->ip = *ip;
	HASH_ADD(hh, f->v, ip, sizeof(x->ip), x);
	if (x->hh.tbl)
		return x;
	free(x);
	return NULL;
}

bool fronts_have(const struct fronts *f, const struct ipaddr *ip)
{
	const struct front *x;

	HASH_FIND(hh, f->v, ip, sizeof(*ip), x);
	return x;
}

static bool count(const struct change *c, const struct ipaddr *ip)
{
	struct front *x = get(c->fronts, ip, c->by > 0);
	uint32_t users;

	if (!x)
		return c->by < 0;
	users = x->users;
	x->users += (uint32_t)c->by;
	if (!users || !x->users)
		c->changed(c->arg, ip);
	if (!x->users) {
		HASH_DEL(c->fronts->v, x);
		free(x);
	}
	return true;
}

/* Once per port, in both directions. */
static bool count_all(const struct change *c, const struct service *s)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static const struct svc_node nobody = { .name = "" };
	struct arena ar;
	bool done = true;

	arena_init(&ar, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct svc_plan p;
		struct err e;

		if (svc_plan(s, NULL, 0, &nobody, families[i], &ar, &p, &e)) {
			done = false;
			continue;
		}
		for (uint32_t k = 0; k < p.fronts.n; k++)
			if (p.fronts.v[k].address.family &&
			    !in_range(c->fronts, &p.fronts.v[k].address))
				done &= count(c, &p.fronts.v[k].address);
	}
	arena_fini(&ar);
	return done;
}

bool fronts_changed(struct fronts *f, const struct service *old, const struct service *now,
		    void (*changed)(void *arg, const struct ipaddr *ip), void *arg)
{
	struct change c = { f, 1, changed, arg };
	bool done = !now || count_all(&c, now);

	c.by = -1;
	if (old)
		count_all(&c, old);
	return done;
}

void fronts_free(struct fronts *f)
{
	struct front *x, *next;

	if (!f)
		return;
	HASH_ITER(hh, f->v, x, next)
	{
		HASH_DEL(f->v, x);
		free(x);
	}
	free(f);
}
