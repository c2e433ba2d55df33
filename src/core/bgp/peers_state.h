/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of peers.h share while a want is made. Memory comes from the arena; where there is none the arena knows, and
 * bgp_want() says so at its end. */
#pragma once
#include "core/bgp/peers.h"
#include "model/bgp.h"

struct want {
	const struct bgp_view *v;
	struct arena *a;
	struct bgp_want *out;
	const struct node *self;
	struct bgpconfiguration conf; /* default's, with what this node has otherwise */
	struct ipaddr ip[BGP_FAMILIES];
	uint32_t as, id;
	uint32_t *by_addr; /* peers by address: index + 1, in a hash of `slots` */
	size_t slots;
	const struct object *filtered; /* the BGPPeer whose filters these are */
	struct bgp_filter import[BGP_FAMILIES], export[BGP_FAMILIES];
};

void want_problem(struct want *w, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The first InternalIP of each family. */
void want_node_ips(const struct node *n, struct ipaddr ip[BGP_FAMILIES]);
/* The BGPConfiguration of this name; NULL. */
const struct bgpconfiguration *want_config(const struct want *w, const char *name);
/* What a Node has otherwise: BGPConfiguration node.NAME; NULL. */
const struct bgpconfiguration *want_config_of(const struct want *w, const char *node);

void want_peers(struct want *w);
/* Of these BGPFilters, in one direction and family. */
struct bgp_filter want_filter(struct want *w, const struct object *peer, bool import,
			      enum bgp_family family);
void want_missing_filters(struct want *w, const struct object *peer, const char *label);
