// SPDX-License-Identifier: Apache-2.0
/* agent_bgp_routes: what BGP told, and what it told an agent before this one, as routes; see agent_bgp.h. What is read of
 * the store, of other nodes and of links is looked up when a route is planned; agent_plan.c marks it when one changes. */
#include "core/ipam/pool.h"
#include "core/route/learned.h"
#include "daemon/agent_bgp.h"
#include "daemon/agent_bgp_state.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_store.h"
#include "sys/rtnl.h"

#include <stdlib.h>
#include <string.h>

/* ---- what an earlier agent left */

/* Of our routes BGP's are those with a next hop that the store says nothing of. */
static bool is_by_bgp(const struct agent *a, const struct kobj *o)
{
	const struct ippool *pool;

	if (o->type != KOBJ_ROUTE || o->foreign || o->route.type != KROUTE_UNICAST ||
	    !o->route.via.family)
		return false;
	pool = cluster_pool_of(agent_store_cluster(a), &o->route.dst);
	return !pool || pool->spec.routes == ROUTES_BGP;
}

void agent_bgp_adopt(struct agent *a)
{
	struct agent_bgp *b = a->bgp;
	struct klist have = { 0 };
	struct err e = { 0 };

	if (b->adopted)
		return;
	b->adopted = true;
	if (b->complete || !config_has_role(&a->role->cfg, "bgp"))
		return;
	if (rtnl_dump(agent_kernel_nl(a), RTNL(KOBJ_ROUTE), &have, &e))
		log_error("bgp: %s", e.text);
	for (size_t i = 0; i < have.n; i++) {
		if (!is_by_bgp(a, &have.v[i]))
			continue;
		if (learned_keep(b->table, &have.v[i].route))
			log_error("bgp: no memory to keep a route");
		agent_bgp_mark(b, &have.v[i].route.dst);
	}
	klist_fini(&have);
}

/* ---- planning */

static const struct ipblock *block_of(const struct agent *a, const struct ippool *pool,
				      const struct prefix *p)
{
	struct prefix block = { p->addr, pool ? ipam_pool_block_len(pool) : 0 };
	char name[IPAM_BLOCK_NAME];
	const struct object *o;

	if (!pool || p->len < block.len)
		return NULL;
	block = prefix_mask(&block);
	o = cluster_get(agent_store_cluster(a), KIND_IPBLOCK, NULL, ipam_block_name(&block, name));
	return o ? o->body : NULL;
}

static const struct route_peer *peer_at(void *arg, const struct ipaddr *ip)
{
	return agent_plan_peer_at(arg, ip);
}

static const char *link_of(void *arg, const struct ipaddr *ip)
{
	return agent_kernel_link(arg, ip);
}

static struct route_learned judged(struct agent *a, const struct learned *l)
{
	struct route_learned r = { .prefix = l->prefix,
				   .via = l->via,
				   .n_via = l->n_via,
				   .pool = cluster_pool_of(agent_store_cluster(a), &l->prefix),
				   .service = agent_plan_serves(a, &l->prefix),
				   .taken = agent_kernel_has_route(a, &l->prefix),
				   .peer = peer_at,
				   .link = link_of,
				   .arg = a };

	r.block = block_of(a, r.pool, &l->prefix);
	return r;
}

static void plan_kept(const struct kroute *r, struct route_out *out)
{
	struct route_hops *hops = NULL;
	struct kroute *k;

	if (r->n_more) {
		hops = malloc(sizeof(*hops) + r->n_more * sizeof(*r->more));
		if (!hops) {
			out->failed = true;
			return;
		}
		hops->next = NULL;
		memcpy(hops->v, r->more, r->n_more * sizeof(*r->more));
		out->hops = hops;
	}
	k = route_out_route(out, &r->dst);
	*k = *r;
	k->more = hops ? hops->v : NULL;
}

bool agent_bgp_plan(struct agent *a, const char *prefix, struct route_out *out)
{
	const struct learned *l;
	struct route_learned r;
	const char *left;
	struct prefix p;

	l = prefix_parse(prefix, &p) ? NULL : learned_find(a->bgp->table, &p);
	if (!l)
		return false;
	r = judged(a, l);
	left = route_learned_left(agent_plan_self(a), &r);
	if (left)
		log_debug("bgp: %s is left: %s", prefix, left);
	else if (l->kept)
		plan_kept(l->kept, out);
	else
		route_plan_learned(agent_plan_self(a), &r, out);
	return true;
}

void agent_bgp_via_moved(struct agent *a, const struct ipaddr *via)
{
	learned_by_via(a->bgp->table, via, agent_bgp_mark, a->bgp);
}

/* ---- words */

static struct agent_bgp_words words_of(struct agent *a, const struct learned *l)
{
	struct route_learned r = judged(a, l);

	return (struct agent_bgp_words){ .prefix = l->prefix,
					 .peer = l->peer,
					 .why = l->why,
					 .left = route_learned_left(agent_plan_self(a), &r),
					 .stale = l->stream != a->bgp->number };
}

bool agent_bgp_words(struct agent *a, const struct prefix *p, struct agent_bgp_words *out)
{
	const struct learned *l = learned_find(a->bgp->table, p);

	if (l)
		*out = words_of(a, l);
	return l;
}

struct each {
	struct agent *agent;
	void (*fn)(void *arg, const struct agent_bgp_words *w);
	void *arg;
};

static void say_one(void *arg, const struct learned *l)
{
	const struct each *e = arg;
	struct agent_bgp_words w = words_of(e->agent, l);

	e->fn(e->arg, &w);
}

void agent_bgp_each(struct agent *a, void (*fn)(void *arg, const struct agent_bgp_words *w),
		    void *arg)
{
	struct each e = { a, fn, arg };

	learned_each(a->bgp->table, say_one, &e);
}
