// SPDX-License-Identifier: Apache-2.0
/* origins: see origins.h. Addresses are counted by the Services that have them told. */
#include "daemon/origins.h"
#include "base/by_name.h"

#include <stdlib.h>
#include <string.h>

struct address {
	struct ipaddr ip;
	uint8_t kind; /* enum origin_kind */
	bool here;    /* this node may be sent its packets */
	bool counted;
};

struct entry {
	struct by_name id; /* first */
	struct address *v;
	uint32_t n;
};

struct origin {
	struct prefix prefix;
	uint32_t users;
	bool told, due;
	char *ns, *name; /* of the first user */
	struct origin *next_due;
	UT_hash_handle hh;
};

struct origins {
	struct by_name *entries;
	struct origin *v, *due;
	struct prefix *ranges[ORIGIN_KINDS];
	size_t n_ranges[ORIGIN_KINDS];
};

struct origins *origins_new(void)
{
	return calloc(1, sizeof(struct origins));
}

/* ---- what is told */

static void origin_free(struct origins *o, struct origin *x)
{
	HASH_DEL(o->v, x);
	free(x->ns);
	free(x->name);
	free(x);
}

static struct origin *origin_get(struct origins *o, const struct ipaddr *ip, const struct entry *of)
{
	struct prefix p = prefix_host(ip);
	struct origin *x;

	HASH_FIND(hh, o->v, &p, sizeof(p), x);
	if (x || !of)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->prefix = p;
	x->ns = strdup(of->id.ns);
	x->name = strdup(of->id.name);
	HASH_ADD(hh, o->v, prefix, sizeof(x->prefix), x);
	if (x->hh.tbl && x->ns && x->name)
		return x;
	if (x->hh.tbl)
		HASH_DEL(o->v, x);
	free(x->ns);
	free(x->name);
	free(x);
	return NULL;
}

static void note(struct origins *o, struct origin *x)
{
	if (x->due)
		return;
	x->due = true;
	x->next_due = o->due;
	o->due = x;
}

static bool count(struct origins *o, const struct entry *of, struct address *a)
{
	struct origin *x = origin_get(o, &a->ip, of);

	if (!x)
		return false;
	if (!x->users++)
		note(o, x);
	a->counted = true;
	return true;
}

static void uncount(struct origins *o, struct address *a)
{
	struct origin *x = a->counted ? origin_get(o, &a->ip, NULL) : NULL;

	a->counted = false;
	if (x && !--x->users)
		note(o, x);
}

static bool is_wanted(const struct origins *o, const struct address *a)
{
	for (size_t i = 0; a->here && i < o->n_ranges[a->kind]; i++)
		if (prefix_has(&o->ranges[a->kind][i], &a->ip))
			return true;
	return false;
}

/* ---- Services */

/* ORIGIN_KINDS: it is never told, as node ports are not. */
static enum origin_kind kind_of(const struct svc_front *f)
{
	switch ((enum svc_kind)f->kind) {
	case SVC_CLUSTER_IP:
		return ORIGIN_CLUSTER_IP;
	case SVC_EXTERNAL_IP:
		return ORIGIN_EXTERNAL_IP;
	case SVC_LOAD_BALANCER:
		return ORIGIN_LOAD_BALANCER;
	case SVC_NODE_PORT:
	case SVC_HOST_PORT:
		break;
	}
	return ORIGIN_KINDS;
}

/* With a policy Local a node without a ready endpoint drops what comes from outside. */
static bool serves_here(const struct svc_plan *p)
{
	for (uint32_t i = 0; i < p->fronts.n; i++)
		if (p->fronts.v[i].way != SVC_TO_ALL)
			return p->local_ready > 0;
	return true;
}

static void add(struct address *v, uint32_t *n, const struct svc_front *f, bool here)
{
	for (uint32_t i = 0; i < *n; i++)
		if (v[i].kind == kind_of(f) && addr_eq(&v[i].ip, &f->address))
			return; /* another port */
	v[(*n)++] = (struct address){ .ip = f->address, .kind = (uint8_t)kind_of(f), .here = here };
}

/* Each address once; NULL where there are none, or no memory. */
static struct address *find_addresses(const struct svc_plan *plans, size_t n_plans, uint32_t *n)
{
	struct address *v;
	size_t most = 0;

	for (size_t i = 0; i < n_plans; i++)
		most += plans[i].fronts.n;
	v = most ? calloc(most, sizeof(*v)) : NULL;
	for (size_t i = 0; v && i < n_plans; i++) {
		bool here = serves_here(&plans[i]);

		for (uint32_t k = 0; k < plans[i].fronts.n; k++) {
			const struct svc_front *f = &plans[i].fronts.v[k];

			if (kind_of(f) != ORIGIN_KINDS && f->address.family)
				add(v, n, f, here);
		}
	}
	return v;
}

static bool has_addresses(const struct svc_plan *plans, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (plans[i].fronts.n)
			return true;
	return false;
}

bool origins_service(struct origins *o, const char *ns, const char *name,
		     const struct svc_plan *plans, size_t n)
{
	bool any = has_addresses(plans, n);
	struct entry *x =
		(struct entry *)by_name_get(&o->entries, ns, name, any ? sizeof(struct entry) : 0);
	struct entry now = { .v = NULL };

	if (!x)
		return !any;
	now.v = find_addresses(plans, n, &now.n);
	if (any && !now.v)
		return false;
	for (uint32_t i = 0; i < now.n; i++)
		if (is_wanted(o, &now.v[i]) && !count(o, x, &now.v[i])) {
			while (i)
				uncount(o, &now.v[--i]);
			free(now.v);
			return false;
		}
	for (uint32_t i = 0; i < x->n; i++)
		uncount(o, &x->v[i]);
	free(x->v);
	x->v = now.v;
	x->n = now.n;
	if (!any)
		by_name_drop(&o->entries, &x->id);
	return true;
}

/* ---- which */

/* False: some address is not told for lack of memory. */
static bool judge_all(struct origins *o)
{
	bool done = true;

	for (struct by_name *b = o->entries; b; b = by_name_next(b)) {
		struct entry *x = (struct entry *)b;

		for (uint32_t i = 0; i < x->n; i++) {
			bool want = is_wanted(o, &x->v[i]);

			if (want && !x->v[i].counted)
				done &= count(o, x, &x->v[i]);
			else if (!want)
				uncount(o, &x->v[i]);
		}
	}
	return done;
}

bool origins_allow(struct origins *o, const struct origin_ranges *ranges)
{
	struct prefix *now[ORIGIN_KINDS] = { NULL };
	bool same = true, done = true;

	for (int k = 0; k < ORIGIN_KINDS; k++) {
		size_t n = ranges->of[k].n;

		same &= n == o->n_ranges[k] &&
			(!n || !memcmp(o->ranges[k], ranges->of[k].v, n * sizeof(**now)));
		now[k] = calloc(n ? n : 1, sizeof(**now));
		done &= now[k] != NULL;
		if (now[k] && n)
			memcpy(now[k], ranges->of[k].v, n * sizeof(**now));
	}
	for (int k = 0; k < ORIGIN_KINDS; k++) {
		if (!done || same) {
			free(now[k]);
			continue;
		}
		free(o->ranges[k]);
		o->ranges[k] = now[k];
		o->n_ranges[k] = ranges->of[k].n;
	}
	return done && (same || judge_all(o));
}

/* ---- telling */

static void tell(const struct origin *x, void (*fn)(void *arg, const struct rec_origin *r),
		 void *arg)
{
	struct rec_origin r = { .prefix = x->prefix };

	if (x->users) {
		r.kind = "Service";
		r.ns = x->ns;
		r.name = x->name;
	} else {
		r.withdrawn = 1;
	}
	fn(arg, &r);
}

bool origins_tell(struct origins *o, bool all, void (*fn)(void *arg, const struct rec_origin *r),
		  void *arg)
{
	struct origin *x, *next;
	bool any = false;

	for (x = o->due, o->due = NULL; x; x = next) {
		next = x->next_due;
		x->due = false;
		if (!all && (x->users > 0) != x->told) {
			tell(x, fn, arg);
			any = true;
		}
		x->told = x->users > 0;
		if (!x->users)
			origin_free(o, x);
	}
	for (x = all ? o->v : NULL; x; x = x->hh.next) {
		tell(x, fn, arg);
		any = true;
	}
	return any;
}

/* ---- life */

void origins_free(struct origins *o)
{
	struct origin *x, *next;

	if (!o)
		return;
	while (o->entries) {
		free(((struct entry *)o->entries)->v);
		by_name_drop(&o->entries, o->entries);
	}
	HASH_ITER(hh, o->v, x, next)
	origin_free(o, x);
	for (int k = 0; k < ORIGIN_KINDS; k++)
		free(o->ranges[k]);
	free(o);
}
