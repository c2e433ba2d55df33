// SPDX-License-Identifier: Apache-2.0
/* agent_peers: see agent_peers.h. */
#include "daemon/agent_peers.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct peer;

/* An address of a node. Of two nodes that claim one, the first has it. */
struct place {
	struct ipaddr ip; /* family 0: not in the table */
	struct peer *of;
	UT_hash_handle hh;
};

struct peer {
	char *name;
	struct route_peer rp;
	struct place places[ROUTE_FAMILIES];
	bool node;     /* its Node object is there */
	char **blocks; /* names, each once per block that names this node */
	size_t n_blocks, cap_blocks;
	UT_hash_handle hh;
};

struct peers {
	struct peer *v;
	struct place *places;
};

struct peers *peers_new(void)
{
	return calloc(1, sizeof(struct peers));
}

static void leave_place(struct peers *p, struct place *at)
{
	if (at->ip.family)
		HASH_DEL(p->places, at);
	at->ip.family = 0;
}

static void take_place(struct peers *p, struct peer *x, struct place *at, const struct ipaddr *ip)
{
	struct place *there;

	leave_place(p, at);
	HASH_FIND(hh, p->places, ip, sizeof(*ip), there);
	if (there || !ip->family)
		return;
	at->of = x;
	at->ip = *ip;
	HASH_ADD(hh, p->places, ip, sizeof(at->ip), at);
	if (!at->hh.tbl)
		at->ip.family = 0;
}

static void peer_free(struct peers *p, struct peer *x)
{
	for (int f = 0; f < ROUTE_FAMILIES; f++)
		leave_place(p, &x->places[f]);
	HASH_DEL(p->v, x);
	for (size_t i = 0; i < x->n_blocks; i++)
		free(x->blocks[i]);
	free(x->blocks);
	free(x->name);
	free(x);
}

void peers_free(struct peers *p)
{
	struct peer *x, *next;

	if (!p)
		return;
	HASH_ITER(hh, p->v, x, next)
	peer_free(p, x);
	free(p);
}

static struct peer *find(const struct peers *p, const char *name)
{
	struct peer *x;

	HASH_FIND_STR(p->v, name, x);
	return x;
}

static struct peer *find_or_make(struct peers *p, const char *name)
{
	struct peer *x = find(p, name);

	if (x)
		return x;
	x = calloc(1, sizeof(*x));
	if (x)
		x->name = strdup(name);
	if (!x || !x->name) {
		free(x);
		return NULL;
	}
	x->rp.name = x->name;
	HASH_ADD_KEYPTR(hh, p->v, x->name, strlen(x->name), x);
	return x;
}

static void free_if_unused(struct peers *p, struct peer *x)
{
	if (!x->node && !x->n_blocks)
		peer_free(p, x);
}

bool peers_set_node(struct peers *p, const char *name, const struct node *node)
{
	struct ipaddr ips[ROUTE_FAMILIES] = { 0 };
	struct peer *x = node ? find_or_make(p, name) : find(p, name);
	bool changed;

	if (!x)
		return false;
	if (node)
		route_node_ips(node, ips);
	changed = x->node != (node != NULL) || memcmp(ips, x->rp.ip, sizeof(ips)) != 0;
	if (memcmp(ips, x->rp.ip, sizeof(ips)) != 0)
		memset(x->rp.gateway, 0, sizeof(x->rp.gateway));
	memcpy(x->rp.ip, ips, sizeof(ips));
	for (int f = 0; f < ROUTE_FAMILIES; f++)
		take_place(p, x, &x->places[f], &ips[f]);
	x->node = node != NULL;
	free_if_unused(p, x);
	return changed;
}

static void ref_block(struct peers *p, const char *node, const char *block)
{
	struct peer *x = node ? find_or_make(p, node) : NULL;
	char *name;

	if (!x)
		return;
	name = strdup(block);
	if (name && x->n_blocks == x->cap_blocks) {
		size_t cap = x->cap_blocks ? 2 * x->cap_blocks : 4;
		char **v = realloc(x->blocks, cap * sizeof(*v));

		if (!v) {
			free(name);
			return;
		}
		x->blocks = v;
		x->cap_blocks = cap;
	}
	if (name)
		x->blocks[x->n_blocks++] = name;
}

static void unref_block(struct peers *p, const char *node, const char *block)
{
	struct peer *x = node ? find(p, node) : NULL;

	if (!x)
		return;
	for (size_t i = 0; i < x->n_blocks; i++)
		if (!strcmp(x->blocks[i], block)) {
			free(x->blocks[i]);
			x->blocks[i] = x->blocks[--x->n_blocks];
			break;
		}
	free_if_unused(p, x);
}

void peers_add_block(struct peers *p, const struct ipblock *b)
{
	ref_block(p, b->spec.node, b->meta.name);
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++)
		ref_block(p, b->spec.borrowed.v[i].node, b->meta.name);
}

void peers_drop_block(struct peers *p, const struct ipblock *b)
{
	unref_block(p, b->spec.node, b->meta.name);
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++)
		unref_block(p, b->spec.borrowed.v[i].node, b->meta.name);
}

bool peers_find_tunnels(struct peers *p, const char *name, const struct cluster *c)
{
	struct ipaddr tunnel[ROUTE_FAMILIES] = { 0 };
	struct peer *x = find(p, name);
	bool changed;

	if (!x)
		return false;
	for (size_t i = 0; i < x->n_blocks; i++) {
		const struct object *o = cluster_get(c, KIND_IPBLOCK, NULL, x->blocks[i]);
		const struct ipblock *b = o ? o->body : NULL;

		if (b && b->spec.node && !strcmp(b->spec.node, name) &&
		    b->spec.tunnelAddress.family)
			tunnel[route_family(&b->spec.tunnelAddress)] = b->spec.tunnelAddress;
	}
	changed = memcmp(tunnel, x->rp.tunnel, sizeof(tunnel)) != 0;
	memcpy(x->rp.tunnel, tunnel, sizeof(tunnel));
	return changed;
}

static bool ask_gateways(struct peer *x, peers_gateway_fn *gateway, void *arg)
{
	bool changed = false;

	for (int f = 0; f < ROUTE_FAMILIES; f++) {
		struct route_hop gw = { 0 };

		if (x->rp.ip[f].family)
			gw = gateway(arg, &x->rp.ip[f]);
		changed |= !addr_eq(&gw.ip, &x->rp.gateway[f].ip) ||
			   gw.by_default != x->rp.gateway[f].by_default;
		x->rp.gateway[f] = gw;
	}
	return changed;
}

void peers_find_gateways(struct peers *p, const char *name, peers_gateway_fn *gateway,
			 void *gateway_arg, void (*moved)(void *arg, const char *node), void *arg)
{
	struct peer *x = name ? find(p, name) : p->v;

	for (; x; x = name ? NULL : x->hh.next)
		if (ask_gateways(x, gateway, gateway_arg))
			moved(arg, x->name);
}

const struct route_peer *peers_get(const struct peers *p, const char *name)
{
	struct peer *x = find(p, name);

	return x && x->node ? &x->rp : NULL;
}

const struct route_peer *peers_at(const struct peers *p, const struct ipaddr *ip)
{
	struct place *at;

	HASH_FIND(hh, p->places, ip, sizeof(*ip), at);
	return at ? &at->of->rp : NULL;
}

void peers_blocks(const struct peers *p, const char *name, void (*fn)(void *arg, const char *block),
		  void *arg)
{
	struct peer *x = find(p, name);

	for (size_t i = 0; x && i < x->n_blocks; i++)
		fn(arg, x->blocks[i]);
}

void peers_each(const struct peers *p, void (*fn)(void *arg, const struct route_peer *p), void *arg)
{
	for (const struct peer *x = p->v; x; x = x->hh.next)
		if (x->node)
			fn(arg, &x->rp);
}
