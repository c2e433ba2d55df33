// SPDX-License-Identifier: Apache-2.0
/* lab-router: what the lab's router and switches must know of pods, which is as little as
 * possible; one per lab, in the router's network namespace.
 *
 *     lab-router NAME
 *
 * It follows the store. For pools of mode Direct the router has a static route per IPBlock (and
 * per borrowed address) to the node, as an administrator would enter it, unless BIRD runs there and
 * learns them (lab/bgp.h). For encapsulated pools
 * it has none, and drops every packet with a pod's address that is not inside of a tunnel; the
 * switches drop it too, unless the pool is encapsulated only between subnets. Both follow every
 * change of pools and blocks. What was sent to the kernel is compared with what is wanted, and
 * only the difference is sent. */
#include "base/log.h"
#include "core/nft/ops.h"
#include "lab/cable.h"
#include "lab/place.h"
#include "store/store.h"
#include "sys/file.h"
#include "sys/netns.h"
#include "sys/nfnl.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <ev.h>
#include <linux/netfilter_bridge.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE       "lab"
#define RAW_PRIO    (-300)
#define BRIDGE_PRIO (-200)

struct route {
	struct prefix dst;
	struct ipaddr via;
};

struct drop {
	struct prefix cidr;
	bool at_switch;
};

struct routes {
	struct route *v;
	size_t n, cap;
};

struct drops {
	struct drop *v;
	size_t n, cap;
};

struct router {
	const char *lab;
	struct arena arena;
	struct lab_spec spec;
	struct lab_state state;
	struct store *store;
	struct cluster *cluster;
	struct nl *nl;
	struct routes routes; /* in the kernel */
	struct drops drops;
	bool dropped; /* the tables were loaded */
	ev_io io;
};

/* ---- what the store asks for */

static int add_route(struct routes *r, const struct prefix *dst, const struct ipaddr *via)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 32;
		struct route *v = realloc(r->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct route){ *dst, *via };
	return 0;
}

static int add_drop(struct drops *d, const struct prefix *cidr, bool at_switch)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 8;
		struct drop *v = realloc(d->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->v = v;
		d->cap = cap;
	}
	d->v[d->n++] = (struct drop){ *cidr, at_switch };
	return 0;
}

static struct ipaddr node_ip(const struct router *r, const char *name, int family)
{
	for (uint32_t i = 0; name && i < r->spec.nodes.n; i++) {
		const struct lab_node *node = &r->spec.nodes.v[i];

		for (uint32_t k = 0; !strcmp(node->name, name) && k < node->addrs.n; k++)
			if (node->addrs.v[k].addr.family == family)
				return node->addrs.v[k].addr;
	}
	return (struct ipaddr){ 0 };
}

/* Of the others BIRD knows, or nobody. */
static bool is_ours(const struct router *r, const struct prefix *block)
{
	const struct ippool *pool = cluster_pool_of(r->cluster, block);

	return pool && pool->spec.mode == POOL_DIRECT &&
	       !(r->spec.bird && pool->spec.routes == ROUTES_BGP);
}

static int block_routes(const struct router *r, const struct ipblock *b, struct routes *out)
{
	int family = b->spec.cidr.addr.family;
	struct ipaddr via = node_ip(r, b->spec.node, family);

	if (!is_ours(r, &b->spec.cidr))
		return 0;
	if (via.family && add_route(out, &b->spec.cidr, &via))
		return -ENOMEM;
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		const struct block_borrow *loan = &b->spec.borrowed.v[i];
		struct prefix host = prefix_host(&loan->address);

		via = node_ip(r, loan->node, family);
		if (loan->address.family && loan->state == BORROW_GRANTED && via.family &&
		    add_route(out, &host, &via))
			return -ENOMEM;
	}
	return 0;
}

static int by_dst(const void *a, const void *b)
{
	return prefix_cmp(&((const struct route *)a)->dst, &((const struct route *)b)->dst);
}

static int want_routes(const struct router *r, struct routes *out)
{
	size_t n;
	const struct object *const *v = cluster_all(r->cluster, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++)
		if (block_routes(r, v[i]->body, out))
			return -ENOMEM;
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_dst);
	return 0;
}

static int want_drops(const struct router *r, struct drops *out)
{
	size_t n;
	const struct object *const *v = cluster_all(r->cluster, KIND_IPPOOL, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = v[i]->body;

		if (pool->spec.mode != POOL_DIRECT &&
		    add_drop(out, &pool->spec.cidr, !pool->spec.crossSubnet))
			return -ENOMEM;
	}
	return 0;
}

/* ---- into the kernel */

static int set_routes(struct router *r, struct routes *want, struct err *e)
{
	struct nl_batch b;
	size_t i = 0, k = 0, changes = 0;
	int rc;

	nl_batch_init(&b);
	while (i < want->n || k < r->routes.n) {
		int c = i == want->n       ? 1
			: k == r->routes.n ? -1
					   : by_dst(&want->v[i], &r->routes.v[k]);

		if (c > 0) {
			cable_del_route(&b, &r->routes.v[k].dst);
			changes++;
		} else if (c < 0 || !addr_eq(&want->v[i].via, &r->routes.v[k].via)) {
			cable_put_route(&b, 0, &want->v[i].dst, &want->v[i].via, CABLE_PODS);
			changes++;
		}
		i += c <= 0;
		k += c >= 0;
	}
	rc = changes ? nl_batch_run(r->nl, &b, NULL, NULL, e) : 0;
	nl_batch_fini(&b);
	if (rc)
		return rc;
	free(r->routes.v);
	r->routes = *want;
	*want = (struct routes){ 0 };
	return 0;
}

static void drop_ip(struct nft_chain *c, const struct prefix *p)
{
	bool v4 = p->addr.family == AF_INET;
	static const uint8_t keys[2][2] = { { NFK_IP6_SADDR, NFK_IP6_DADDR },
					    { NFK_IP_SADDR, NFK_IP_DADDR } };

	for (int i = 0; i < 2; i++) {
		struct nft_rule *rule = nft_rule_add(c, NULL);

		nft_match_prefix(rule, NFT_SEL(keys[v4][i]), NFC_EQ, p);
		nft_counter(rule);
		nft_drop(rule);
	}
}

static void drop_arp(struct nft_chain *c, const struct prefix *p)
{
	static const uint8_t keys[] = { NFK_ARP_SADDR_IP, NFK_ARP_DADDR_IP };

	for (int i = 0; i < 2; i++) {
		struct nft_rule *rule = nft_rule_add(c, NULL);

		nft_match_prefix(rule, NFT_SEL(keys[i]), NFC_EQ, p);
		nft_counter(rule);
		nft_drop(rule);
	}
}

struct load {
	const struct drops *drops;
	bool at_switch;
};

static void build(struct nft_ruleset *rs, const struct load *l)
{
	struct nft_table *t =
		nft_table_add(rs, l->at_switch ? NFPROTO_BRIDGE : NFPROTO_INET, TABLE);
	struct nft_chain *c =
		l->at_switch ? nft_base_add(t, "strict", "filter", NF_BR_FORWARD, BRIDGE_PRIO)
			     : nft_base_add(t, "strict", "filter", NF_INET_PRE_ROUTING, RAW_PRIO);

	for (size_t i = 0; i < l->drops->n; i++) {
		const struct drop *d = &l->drops->v[i];

		if (l->at_switch && !d->at_switch)
			continue;
		drop_ip(c, &d->cidr);
		if (l->at_switch && d->cidr.addr.family == AF_INET)
			drop_arp(c, &d->cidr);
	}
}

static int load(void *arg, struct err *e)
{
	struct arena a;
	struct nft_ruleset rs;
	struct nft_ops ops;
	struct nfnl *nfnl = NULL;
	int rc;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	build(&rs, arg);
	nft_ops_init(&ops, &a);
	rc = nft_check(&rs, e);
	if (!rc) {
		nft_ops_load(&ops, &rs, true);
		rc = nfnl_open(&nfnl, e);
	}
	if (!rc)
		rc = nfnl_commit(nfnl, &ops, NULL, e);
	nfnl_close(nfnl);
	arena_fini(&a);
	return rc;
}

static int load_switches(struct router *r, const struct drops *want, struct err *e)
{
	struct load l = { want, true };
	int rc = 0;

	for (uint32_t i = 0; !rc && i < r->state.members.n; i++) {
		const struct member *m = &r->state.members.v[i];
		int fd;

		if (m->kind != MEMBER_RACK)
			continue;
		fd = space_open(m->space.pid, SPACE_NET, e);
		if (fd < 0)
			return fd;
		rc = netns_do(fd, load, &l, e);
		close(fd);
	}
	return rc;
}

static int set_drops(struct router *r, struct drops *want, struct err *e)
{
	struct load l = { want, false };
	bool same = r->dropped && want->n == r->drops.n;
	int rc;

	for (size_t i = 0; same && i < want->n; i++)
		same = prefix_eq(&want->v[i].cidr, &r->drops.v[i].cidr) &&
		       want->v[i].at_switch == r->drops.v[i].at_switch;
	if (same)
		return 0;
	rc = load(&l, e);
	if (!rc)
		rc = load_switches(r, want, e);
	if (rc)
		return rc;
	free(r->drops.v);
	r->drops = *want;
	r->dropped = true;
	*want = (struct drops){ 0 };
	return 0;
}

/* What an earlier lab-router left. */
static int read_routes(struct router *r, struct err *e)
{
	struct klist l = { 0 };
	int rc = rtnl_dump(r->nl, RTNL(KOBJ_ROUTE), &l, e);

	for (size_t i = 0; !rc && i < l.n; i++)
		if (l.v[i].route.protocol == CABLE_PODS &&
		    add_route(&r->routes, &l.v[i].route.dst, &l.v[i].route.via))
			rc = err_set(e, -ENOMEM, "out of memory");
	if (!rc && r->routes.n)
		qsort(r->routes.v, r->routes.n, sizeof(*r->routes.v), by_dst);
	klist_fini(&l);
	return rc;
}

static void settle(struct router *r)
{
	struct routes routes = { 0 };
	struct drops drops = { 0 };
	struct err e = { 0 };
	int rc = want_routes(r, &routes) || want_drops(r, &drops)
			 ? err_set(&e, -ENOMEM, "out of memory")
			 : 0;

	if (!rc)
		rc = set_drops(r, &drops, &e);
	if (!rc)
		rc = set_routes(r, &routes, &e);
	if (rc) {
		/* The supervisor starts this program again, which reads what is there. */
		log_error("%s", e.text);
		exit(1);
	}
	free(routes.v);
	free(drops.v);
}

/* ---- the store */

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct router *r = arg;

	if (o->kind->id == KIND_IPPOOL || o->kind->id == KIND_IPBLOCK)
		object_free(cluster_put(r->cluster, o));
	else
		object_free(o);
}

static void on_del(void *arg, const struct kind *k, const char *ns, const char *name, uint64_t rev)
{
	struct router *r = arg;

	object_free(cluster_take(r->cluster, k->id, ns, name));
}

static void on_sync(void *arg, uint64_t revision)
{
	settle(arg);
}

static const struct store_events events = { on_put, on_del, on_sync, NULL };

static void on_store(struct ev_loop *loop, ev_io *w, int revents)
{
	struct router *r = w->data;
	struct err e = { 0 };

	if (store_process(r->store, &e)) {
		log_error("store: %s", e.text);
		exit(1);
	}
}

static int prepare(struct router *r, struct err *e)
{
	char path[LAB_PATH];
	struct buf url = { 0 };
	int rc = lab_spec_load(&r->spec, lab_path(path, r->lab, "lab.conf"), &r->arena, e);

	if (!rc)
		rc = lab_state_read(r->lab, &r->state, &r->arena, e);
	if (!rc)
		rc = file_read(lab_path(path, r->lab, "store"), LAB_PATH, &url, e);
	if (!rc) {
		url.v[strcspn(url.v, "\n")] = '\0';
		rc = store_open(url.v, 0, &r->store, e);
	}
	buf_fini(&url);
	if (rc)
		return rc;
	r->cluster = cluster_new();
	r->nl = nl_open(NETLINK_ROUTE, e);
	if (!r->cluster || !r->nl)
		return r->nl ? err_set(e, -ENOMEM, "out of memory") : e->code;
	rc = read_routes(r, e);
	return rc ? rc : store_watch(r->store, &events, r, e);
}

int main(int argc, char **argv)
{
	static struct router r;
	struct err e = { 0 };

	log_init("lab-router", LOG_INFO);
	if (argc != 2) {
		fprintf(stderr, "usage: lab-router LAB\n");
		return 2;
	}
	r.lab = argv[1];
	arena_init(&r.arena, 0);
	if (prepare(&r, &e)) {
		log_error("%s", e.text);
		return 1;
	}
	ev_io_init(&r.io, on_store, store_fd(r.store), EV_READ);
	r.io.data = &r;
	ev_io_start(EV_DEFAULT, &r.io);
	ev_feed_event(EV_DEFAULT, &r.io, EV_READ);
	ev_run(EV_DEFAULT, 0);
	return 0;
}
