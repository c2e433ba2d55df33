// SPDX-License-Identifier: Apache-2.0
#include "core/route/learned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Nothing that a router forwards (RFC 6890): a peer that tells it is wrong. */
static bool is_no_destination(const struct prefix *p)
{
	const uint8_t *b = p->addr.b;

	if (!p->len)
		return false; /* the default route */
	if (addr_is_loopback(&p->addr) || addr_is_link_local(&p->addr))
		return true;
	return p->addr.family == AF_INET ? b[0] == 0 || b[0] >= 224 : b[0] == 0xff;
}

static bool is_self(const struct route_self *self, const char *node)
{
	return node && !strcmp(node, self->node.name);
}

static const struct block_borrow *borrow_of(const struct route_learned *l)
{
	struct prefix host;

	for (uint32_t i = 0; i < l->block->spec.borrowed.n; i++) {
		const struct block_borrow *b = &l->block->spec.borrowed.v[i];

		if (b->state != BORROW_GRANTED || !b->address.family)
			continue;
		host = prefix_host(&b->address);
		if (prefix_eq(&host, &l->prefix))
			return b;
	}
	return NULL;
}

const char *route_learned_left(const struct route_self *self, const struct route_learned *l)
{
	const struct block_borrow *b = l->block ? borrow_of(l) : NULL;

	if (is_no_destination(&l->prefix))
		return "nothing that is routed";
	if (l->pool && l->pool->spec.routes != ROUTES_BGP)
		return "in a pool whose routes are the store's";
	if (b && is_self(self, b->node))
		return "an address of this node";
	if (l->block && !b && is_self(self, l->block->spec.node))
		return "in a block of this node";
	if (l->service)
		return "of Services, which every node serves";
	if (l->taken)
		return "somebody else's route leads there";
	return NULL;
}

static const struct route_peer *peer_of(const struct route_learned *l)
{
	const struct route_peer *p = NULL;

	for (size_t i = 0; l->pool && !p && i < l->n_via; i++)
		p = l->peer(l->arg, &l->via[i]);
	return p;
}

static size_t find_hops(const struct route_self *self, const struct route_learned *l,
			struct khop *hops)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_via && n < KROUTE_HOPS; i++) {
		const char *dev = addr_eq(&l->via[i], &self->node.ip[route_family(&l->via[i])])
					  ? NULL
					  : l->link(l->arg, &l->via[i]);

		if (!dev)
			continue;
		hops[n] = (struct khop){ .via = l->via[i] };
		snprintf(hops[n++].oif, IFNAME_LEN, "%s", dev);
	}
	return n;
}

static void plan_hops(const struct route_self *self, const struct route_learned *l,
		      struct route_out *out)
{
	struct khop hops[KROUTE_HOPS];
	struct route_hops *kept = NULL;
	size_t n = find_hops(self, l, hops);
	char text[ADDR_TEXT];

	if (!n) {
		snprintf(out->problem, sizeof(out->problem),
			 "next hop %s is on no link of this node",
			 l->n_via ? addr_str(&l->via[0], text) : "(none)");
		return;
	}
	if (n > 1) {
		kept = malloc(sizeof(*kept) + n * sizeof(*hops));
		if (!kept) {
			out->failed = true;
			return;
		}
		kept->next = NULL;
		memcpy(kept->v, hops, n * sizeof(*hops));
		out->hops = kept;
	}
	kroute_set_hops(route_out_route(out, &l->prefix), kept ? kept->v : hops, n);
}

void route_plan_learned(const struct route_self *self, const struct route_learned *l,
			struct route_out *out)
{
	const struct route_peer *peer;

	if (route_learned_left(self, l))
		return;
	peer = peer_of(l);
	if (peer)
		route_plan_way(self, peer, l->pool, &l->prefix, out);
	else
		plan_hops(self, l, out);
}
