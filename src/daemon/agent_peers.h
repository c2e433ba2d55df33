/* SPDX-License-Identifier: Apache-2.0 */
/* The other nodes, as the planner needs them: addresses by family, tunnel addresses out of
 * their blocks, and which blocks name them, so that a change of one node finds its own blocks
 * without looking at the cluster's. */
#pragma once
#include "core/route/plan.h"

struct peers;

struct peers *peers_new(void); /* NULL: no memory */
void peers_free(struct peers *p);

/* The Node as it is now, or NULL: gone. True when something that routes need changed. */
bool peers_set_node(struct peers *p, const char *name, const struct node *node);
/* Notes owner and borrowers of a block; drop takes the same struct that was added. */
void peers_add_block(struct peers *p, const struct ipblock *b);
void peers_drop_block(struct peers *p, const struct ipblock *b);
/* Reads the tunnel addresses of `name` out of its blocks; true when they changed. */
bool peers_find_tunnels(struct peers *p, const char *name, const struct cluster *c);

typedef struct route_hop peers_gateway_fn(void *arg, const struct ipaddr *ip);
/* Asks for the gateways of one peer (NULL: of all) anew; `moved` is told whose changed. */
void peers_find_gateways(struct peers *p, const char *name, peers_gateway_fn *gateway,
			 void *gateway_arg, void (*moved)(void *arg, const char *node), void *arg);

/* NULL when there is no such Node, or it has no address. */
const struct route_peer *peers_get(const struct peers *p, const char *name);
/* The one that has this address, or NULL. */
const struct route_peer *peers_at(const struct peers *p, const struct ipaddr *ip);
void peers_blocks(const struct peers *p, const char *name, void (*fn)(void *arg, const char *block),
		  void *arg);
void peers_each(const struct peers *p, void (*fn)(void *arg, const struct route_peer *p),
		void *arg);
