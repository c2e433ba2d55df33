// SPDX-License-Identifier: Apache-2.0
/* agent_plan: see agent_plan.h. Owners are named "self", "node/NAME", "block/NAME", "pod/ID",
 * "bridge/NAME", "front/PREFIX", "bgp/PREFIX"; what a name stands for is looked up when it is planned, so a mark never goes
 * stale. What must be known of peers per change, their addresses and blocks, is in
 * agent_peers.h. */
#include "daemon/agent_plan.h"
#include "core/route/mtu.h"
#include "daemon/agent_bgp.h"
#include "daemon/agent_fronts.h"
#include "daemon/agent_ipip.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_mtu.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_owners.h"
#include "daemon/agent_peers.h"
#include "daemon/agent_report.h"
#include "daemon/agent_self.h"
#include "daemon/agent_store.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <errno.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COALESCE 0.005               /* seconds from the first mark to the plan */
#define SLICE_NS (2 * 1000 * 1000UL) /* of planning, before others get their turn */

/* Nodes hear of a change one after another. So that what they send each other arrives meanwhile,
 * who needs a tunnel anew takes from it before it sends by it, and who needs none any more takes
 * from it for a while yet. */
#define TUNNEL_SETTLES 0.2
#define TUNNEL_LINGERS 15.0
/* So with a pool whose routes become BGP's: the store's stay until the speakers have told each other. */
#define BLOCKS_LINGER 2.0

/* A tunnel that nobody needs any more. */
struct lingering {
	struct agent_plan *plan;
	ev_timer timer;
	bool over; /* it may go */
};

struct agent_plan {
	struct agent *agent;
	struct owners *owners;
	struct owner *own; /* "self" */
	struct owner **dirty;
	size_t first, n_dirty, cap_dirty;
	struct route_out out;
	struct route_hops
		*parked; /* nobody wants them any more, but what is sent may refer to them */
	struct route_self self;
	bool self_due, pools_due;
	bool settled;  /* the kernel held everything once */
	bool settling; /* a tunnel is new, nothing is sent by it yet */
	uint32_t mtu;  /* of pods, once settled */
	struct peers *peers;
	struct fronts *fronts;
	struct lingering vxlan, ipip;
	ev_timer timer, blocks;
	agent_plan_done_fn *done;
};

/* ---- marks */

static void mark(struct agent_plan *p, struct owner *o)
{
	if (!o || o->dirty)
		return;
	if (p->n_dirty == p->cap_dirty) {
		size_t cap = p->cap_dirty ? 2 * p->cap_dirty : 64;
		struct owner **v = realloc(p->dirty, cap * sizeof(*v));

		if (!v) {
			log_error("no memory to plan %s", o->key);
			return;
		}
		p->dirty = v;
		p->cap_dirty = cap;
	}
	p->dirty[p->n_dirty++] = o;
	o->dirty = true;
	if (!ev_is_active(&p->timer)) {
		ev_timer_set(&p->timer, COALESCE, 0.);
		ev_timer_start(p->agent->role->loop, &p->timer);
	}
}

static void mark_key(struct agent_plan *p, const char *kind, const char *name)
{
	char key[NAME_MAX_LEN + 16];

	snprintf(key, sizeof(key), "%s/%s", kind, name);
	mark(p, owners_get(p->owners, key));
}

static void mark_block(void *arg, const char *block)
{
	mark_key(arg, "block", block);
}

/* Routes with these next hops. */
static void mark_via(struct agent_plan *p, const struct ipaddr ips[ROUTE_FAMILIES])
{
	for (int f = 0; f < ROUTE_FAMILIES; f++)
		agent_bgp_via_moved(p->agent, &ips[f]);
}

static void mark_peer(struct agent_plan *p, const char *node)
{
	const struct route_peer *peer = peers_get(p->peers, node);

	mark_key(p, "node", node);
	peers_blocks(p->peers, node, mark_block, p);
	if (peer)
		mark_via(p, peer->ip);
}

static void mark_self(struct agent_plan *p)
{
	p->self_due = true;
	mark(p, p->own);
}

static void mark_node(void *arg, struct owner *o)
{
	if (!strncmp(o->key, "node/", 5))
		mark(arg, o);
}

static void mark_if_block(void *arg, struct owner *o)
{
	if (!strncmp(o->key, "block/", 6))
		mark(arg, o);
}

static void mark_if_front(void *arg, struct owner *o)
{
	if (!strncmp(o->key, "front/", 6))
		mark(arg, o);
}

static void mark_if_learned(void *arg, struct owner *o)
{
	if (!strncmp(o->key, "bgp/", 4))
		mark(arg, o);
}

/* What BGP told of this prefix, if anything, is to be judged anew. */
static void mark_learned(struct agent_plan *p, const struct prefix *to)
{
	char key[PREFIX_TEXT + 4] = "bgp/";
	struct owner *o;

	prefix_str(to, key + 4);
	o = owners_find(p->owners, key);
	if (o)
		mark(p, o);
}

static void mark_front(void *arg, const struct ipaddr *ip)
{
	struct prefix host = prefix_host(ip);
	char text[PREFIX_TEXT];

	mark_key(arg, "front", prefix_str(&host, text));
	mark_learned(arg, &host);
}

/* A block's route needs what its node has on the tunnel. Pods and bridges depend on nothing but
 * themselves. */
static void mark_all_but_blocks(struct agent_plan *p)
{
	owners_each(p->owners, mark_node, p);
	owners_each(p->owners, mark_if_front, p);
	owners_each(p->owners, mark_if_learned, p);
}

static void mark_cluster(struct agent_plan *p)
{
	mark_all_but_blocks(p);
	owners_each(p->owners, mark_if_block, p);
}

const char *agent_plan_owner(const struct agent *a, uint32_t owner)
{
	const struct owner *o = owners_by_id(a->plan->owners, owner);

	return o ? o->key : NULL;
}

/* ---- changes of the store */

static bool is_self(const struct agent_plan *p, const char *node)
{
	return node && !strcmp(node, p->agent->role->cfg.node);
}

static struct route_hop gateway_of(void *arg, const struct ipaddr *ip)
{
	return agent_kernel_gateway(arg, ip);
}

static void way_moved(void *arg, const char *node)
{
	mark_peer(arg, node);
}

static void node_changed(struct agent_plan *p, const char *name, const struct object *now)
{
	const struct route_peer *peer = peers_get(p->peers, name);
	struct ipaddr was[ROUTE_FAMILIES] = { 0 };

	if (is_self(p, name)) {
		agent_kernel_find_uplink(p->agent);
		mark_self(p);
		return;
	}
	if (peer)
		memcpy(was, peer->ip, sizeof(was));
	if (peers_set_node(p->peers, name, now ? now->body : NULL)) {
		mark_via(p, was);
		peers_find_gateways(p->peers, name, gateway_of, p->agent, way_moved, p);
		mark_peer(p, name);
	}
}

static void tunnels_changed(struct agent_plan *p, const char *node)
{
	if (node && !is_self(p, node) &&
	    peers_find_tunnels(p->peers, node, agent_store_cluster(p->agent)))
		mark_peer(p, node);
}

/* Whose an address is decides whether BGP may have a route to it. */
static void mark_learned_of(struct agent_plan *p, const struct ipblock *b)
{
	if (!b)
		return;
	mark_learned(p, &b->spec.cidr);
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		struct prefix host = prefix_host(&b->spec.borrowed.v[i].address);

		mark_learned(p, &host);
	}
}

static void block_changed(struct agent_plan *p, const struct ipblock *old,
			  const struct ipblock *now)
{
	if (old)
		peers_drop_block(p->peers, old);
	if (now)
		peers_add_block(p->peers, now);
	mark_block(p, (now ? now : old)->meta.name);
	mark_learned_of(p, old);
	mark_learned_of(p, now);
	tunnels_changed(p, old ? old->spec.node : NULL);
	tunnels_changed(p, now ? now->spec.node : NULL);
}

static void on_blocks(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_plan *p = w->data;

	owners_each(p->owners, mark_if_block, p);
}

static void pool_changed(struct agent_plan *p, const struct ippool *old, const struct ippool *now)
{
	if (!old || !now || old->spec.routes == ROUTES_BGP || now->spec.routes != ROUTES_BGP) {
		mark_cluster(p);
		return;
	}
	mark_all_but_blocks(p);
	ev_timer_stop(p->agent->role->loop, &p->blocks);
	ev_timer_set(&p->blocks, BLOCKS_LINGER, 0.);
	ev_timer_start(p->agent->role->loop, &p->blocks);
}

void agent_plan_changed(struct agent *a, const struct object *old, const struct object *now)
{
	struct agent_plan *p = a->plan;
	const struct object *any = now ? now : old;

	switch (any->kind->id) {
	case KIND_NODE:
		node_changed(p, any->meta->name, now);
		break;
	case KIND_IPBLOCK:
		block_changed(p, old ? old->body : NULL, now ? now->body : NULL);
		break;
	case KIND_SERVICE:
		if (!fronts_changed(p->fronts, old ? old->body : NULL, now ? now->body : NULL,
				    mark_front, p))
			log_error("Service %s/%s: no memory for its addresses",
				  any->meta->namespace, any->meta->name);
		break;
	case KIND_IPPOOL:
		p->pools_due = true;
		mark_self(p);
		pool_changed(p, old ? old->body : NULL, now ? now->body : NULL);
		break;
	}
}

void agent_plan_uplink_changed(struct agent *a)
{
	if (a->plan)
		mark_self(a->plan);
}

void agent_plan_tunnel_changed(struct agent *a)
{
	mark_self(a->plan);
}

void agent_plan_ways_changed(struct agent *a)
{
	if (!a->plan)
		return;
	peers_find_gateways(a->plan->peers, NULL, gateway_of, a, way_moved, a->plan);
	owners_each(a->plan->owners, mark_if_front, a->plan);
	owners_each(a->plan->owners, mark_if_learned, a->plan);
}

void agent_plan_learned(struct agent *a, const struct prefix *p)
{
	struct prefix to = prefix_mask(p);
	char text[PREFIX_TEXT];

	mark_key(a->plan, "bgp", prefix_str(&to, text));
}

/* ---- this node itself */

static bool wants_tunnel(struct lingering *l, bool had, bool needed)
{
	struct ev_loop *loop = l->plan->agent->role->loop;

	if (needed || !had || l->over) {
		ev_timer_stop(loop, &l->timer);
		l->over = false;
		return needed;
	}
	if (!ev_is_active(&l->timer)) {
		ev_timer_set(&l->timer, TUNNEL_LINGERS, 0.);
		ev_timer_start(loop, &l->timer);
	}
	return true;
}

static void on_linger(struct ev_loop *loop, ev_timer *w, int events)
{
	struct lingering *l = w->data;

	l->over = true;
	mark_self(l->plan);
}

static void linger_init(struct lingering *l, struct agent_plan *p)
{
	ev_timer_init(&l->timer, on_linger, TUNNEL_LINGERS, 0.);
	l->timer.data = l;
	l->plan = p;
}

static void find_self(struct agent_plan *p)
{
	struct route_self now;

	agent_self_find(p->agent, &now);
	now.vxlan = wants_tunnel(&p->vxlan, p->self.vxlan, now.vxlan);
	now.ipip = wants_tunnel(&p->ipip, p->self.ipip, now.ipip);
	if (now.ipip)
		now.ipip_kind = agent_ipip_kind(p->agent);
	p->self_due = false;
	if (agent_self_eq(&now, &p->self))
		return;
	p->settling = p->settled && ((now.vxlan && !p->self.vxlan) || (now.ipip && !p->self.ipip));
	p->self = now;
	peers_find_gateways(p->peers, NULL, gateway_of, p->agent, way_moved, p);
	mark_cluster(p);
	agent_report_state(p->agent);
}

/* ---- planning one owner */

static const struct route_peer *find_peer(void *arg, const char *node)
{
	return peers_get(arg, node);
}

static bool plan_block(struct agent_plan *p, const char *name)
{
	const struct cluster *c = agent_store_cluster(p->agent);
	const struct object *o = cluster_get(c, KIND_IPBLOCK, NULL, name), *pool;
	struct route_block b = { .peer = find_peer, .arg = p->peers };

	if (!o)
		return false;
	b.block = o->body;
	pool = b.block->spec.pool ? cluster_get(c, KIND_IPPOOL, NULL, b.block->spec.pool) : NULL;
	if (!pool) {
		snprintf(p->out.problem, sizeof(p->out.problem), "no IPPool %s",
			 b.block->spec.pool ? b.block->spec.pool : "is named");
		return true;
	}
	b.pool = pool->body;
	if (b.block->spec.node)
		b.owner = peers_get(p->peers, b.block->spec.node);
	route_plan_block(&p->self, &b, &p->out);
	return true;
}

static bool plan_node(struct agent_plan *p, const char *name)
{
	const struct route_peer *peer = peers_get(p->peers, name);
	const struct object *const *pools;
	size_t n;

	if (!peer)
		return false;
	pools = cluster_all(agent_store_cluster(p->agent), KIND_IPPOOL, &n);
	route_plan_peer(&p->self, peer, pools, n, &p->out);
	return true;
}

/* A range of Services, or an address that some have. */
static bool plan_front(struct agent_plan *p, const char *text)
{
	const struct config *cfg = &p->agent->role->cfg;
	struct prefix to;
	bool there;

	if (prefix_parse(text, &to))
		return false;
	there = fronts_have(p->fronts, &to.addr);
	for (uint32_t i = 0; i < cfg->service_cidrs.n; i++)
		there |= prefix_eq(&cfg->service_cidrs.v[i], &to);
	if (there && !agent_kernel_leads_to(p->agent, &to))
		route_plan_front(&p->self, &to, &p->out);
	return there;
}

/* Says a problem once, when it is new. */
static void say_problem(struct owner *o, const char *problem)
{
	if (!strcmp(o->problem, problem))
		return;
	snprintf(o->problem, sizeof(o->problem), "%s", problem);
	if (problem[0])
		log_warn("%s: %s", o->key, problem);
	else
		log_info("%s: has a way again", o->key);
}

static void keep_hops(struct agent_plan *p, struct owner *o)
{
	if (o->hops) {
		o->hops->next = p->parked;
		p->parked = o->hops;
	}
	o->hops = p->out.hops;
	p->out.hops = NULL;
}

static void free_parked(struct agent_plan *p)
{
	while (p->parked) {
		struct route_hops *h = p->parked;

		p->parked = h->next;
		free(h);
	}
}

static void plan_owner(struct agent_plan *p, struct owner *o)
{
	bool there = true;
	struct err e;

	route_out_reset(&p->out);
	if (o == p->own)
		route_plan_self(&p->self, &p->out);
	else if (!strncmp(o->key, "block/", 6))
		there = plan_block(p, o->key + 6);
	else if (!strncmp(o->key, "node/", 5))
		there = plan_node(p, o->key + 5);
	else if (!strncmp(o->key, "front/", 6))
		there = plan_front(p, o->key + 6);
	else if (!strncmp(o->key, "bgp/", 4))
		there = agent_bgp_plan(p->agent, o->key + 4, &p->out);
	o->dirty = false;
	if (p->out.failed) {
		log_error("%s: no memory to plan it", o->key);
		return;
	}
	if (agent_kernel_want(p->agent, o->id, p->out.v, p->out.n, &e)) {
		log_error("%s: %s", o->key, e.text);
		return;
	}
	keep_hops(p, o);
	say_problem(o, p->out.problem);
	if (!there)
		owners_drop(p->owners, o);
}

/* First of all: the others' routes go through its devices. */
static void plan_self(struct agent_plan *p)
{
	if (!p->self_due)
		return;
	find_self(p);
	plan_owner(p, p->own);
}

void agent_plan_start(struct agent *a)
{
	struct err e;

	plan_self(a->plan);
	if (agent_kernel_apply(a, false, &e))
		log_error("%s", e.text);
}

static void plan_marked(struct agent_plan *p)
{
	uint64_t until = clock_mono_ns() + SLICE_NS;

	while (p->first < p->n_dirty) {
		plan_owner(p, p->dirty[p->first++]);
		if (clock_mono_ns() > until)
			break;
	}
}

static void follow_mtu(struct agent_plan *p)
{
	uint32_t now = agent_plan_mtu(p->agent), was = p->mtu;

	p->mtu = now;
	if (p->settled && was != now)
		agent_mtu_changed(p->agent, was, now);
}

static void run_slice(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_plan *p = w->data;
	ev_tstamp again = 0.;
	struct err e;

	plan_self(p);
	if (p->settling)
		again = TUNNEL_SETTLES;
	else
		plan_marked(p);
	p->settling = false;
	follow_mtu(p);
	agent_kernel_hold(p->agent);
	if (agent_kernel_apply(p->agent, false, &e))
		log_error("%s", e.text);
	free_parked(p);
	agent_ipip_follow(p->agent, false);
	if (p->first < p->n_dirty) {
		ev_timer_stop(loop, &p->timer); /* a mark may have begun it */
		ev_timer_set(&p->timer, again, 0.);
		ev_timer_start(loop, &p->timer);
		return;
	}
	if (agent_kernel_let_go(p->agent, &e))
		log_error("%s", e.text);
	p->first = p->n_dirty = 0;
	if (p->pools_due) {
		p->pools_due = false;
		agent_nft_pools(p->agent);
	}
	if (p->done) {
		agent_plan_done_fn *done = p->done;

		p->settled = true;
		p->done = NULL;
		done(p->agent);
	}
}

void agent_plan_flush(struct agent *a, agent_plan_done_fn *done)
{
	struct agent_plan *p = a->plan;

	p->done = done;
	if (!ev_is_active(&p->timer)) {
		ev_timer_set(&p->timer, COALESCE, 0.);
		ev_timer_start(a->role->loop, &p->timer);
	}
}

/* ---- looking */

struct owners *agent_plan_owners(const struct agent *a)
{
	return a->plan->owners;
}

struct route_out *agent_plan_out(const struct agent *a)
{
	return &a->plan->out;
}

const struct route_self *agent_plan_self(const struct agent *a)
{
	return &a->plan->self;
}

const struct route_peer *agent_plan_peer_at(const struct agent *a, const struct ipaddr *ip)
{
	return peers_at(a->plan->peers, ip);
}

bool agent_plan_serves(const struct agent *a, const struct prefix *p)
{
	const struct config *cfg = &a->role->cfg;

	for (uint32_t i = 0; i < cfg->service_cidrs.n; i++)
		if (prefix_covers(&cfg->service_cidrs.v[i], p))
			return true;
	return p->len == addr_bits(&p->addr) && fronts_have(a->plan->fronts, &p->addr);
}

bool agent_plan_is_settled(const struct agent *a)
{
	return a->plan->settled;
}

uint32_t agent_plan_mtu(const struct agent *a)
{
	const struct route_self *self = &a->plan->self;
	const struct object *const *pools;
	size_t n;

	pools = cluster_all(agent_store_cluster(a), KIND_IPPOOL, &n);
	return mtu_pods(self->uplink_mtu ? self->uplink_mtu : ETHERMTU, route_underlay(self), pools,
			n);
}

void agent_plan_peers(const struct agent *a, void (*fn)(void *arg, const struct route_peer *p),
		      void *arg)
{
	peers_each(a->plan->peers, fn, arg);
}

/* ---- life */

int agent_plan_open(struct agent *a, struct err *e)
{
	struct agent_plan *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	p->agent = a;
	p->out.no_ipv6 = !sysctl_exists("net/ipv6/conf"); /* booted with ipv6.disable=1 */
	if (p->out.no_ipv6)
		log_info("this kernel runs without IPv6");
	p->peers = peers_new();
	p->owners = owners_new();
	p->fronts = fronts_new(a->role->cfg.service_cidrs.v, a->role->cfg.service_cidrs.n);
	ev_timer_init(&p->timer, run_slice, COALESCE, 0.);
	ev_timer_init(&p->blocks, on_blocks, BLOCKS_LINGER, 0.);
	p->timer.data = p->blocks.data = p;
	linger_init(&p->vxlan, p);
	linger_init(&p->ipip, p);
	a->plan = p;
	p->own = p->owners ? owners_get(p->owners, "self") : NULL;
	if (!p->own || !p->peers || !p->fronts)
		return err_set(e, -ENOMEM, "no memory");
	mark_self(p);
	for (uint32_t i = 0; i < a->role->cfg.service_cidrs.n; i++) {
		char text[PREFIX_TEXT];

		mark_key(p, "front", prefix_str(&a->role->cfg.service_cidrs.v[i], text));
	}
	return 0;
}

void agent_plan_close(struct agent *a)
{
	struct agent_plan *p = a->plan;

	if (!p)
		return;
	ev_timer_stop(a->role->loop, &p->timer);
	ev_timer_stop(a->role->loop, &p->blocks);
	ev_timer_stop(a->role->loop, &p->vxlan.timer);
	ev_timer_stop(a->role->loop, &p->ipip.timer);
	owners_free(p->owners);
	free_parked(p);
	peers_free(p->peers);
	fronts_free(p->fronts);
	route_out_fini(&p->out);
	free(p->dirty);
	free(p);
	a->plan = NULL;
}
