/* SPDX-License-Identifier: Apache-2.0 */
/* What the lab asks of rtnetlink in its own spaces, as messages appended to a batch: the part
 * of the administrator, whose addresses and routes carry no mark of fairlead's. Indices are
 * chosen by the caller, which works because a new namespace has only lo, number 1. */
#pragma once
#include "base/addr.h"
#include "sys/nl.h"

#define CABLE_LO   1
#define CABLE_PODS 71 /* protocol of the router's routes to pods; others are "static" */

struct cable_end {
	const char *name;
	int index;
	struct macaddr mac;
};

struct cable {
	struct cable_end near; /* in the batch's namespace, up */
	struct cable_end far;  /* in `netns`, down */
	int netns;
	int master; /* index of a bridge that `near` joins, 0: none */
	uint32_t mtu;
};

void cable_put_veth(struct nl_batch *b, const struct cable *w);
void cable_put_bridge(struct nl_batch *b, const char *name, int index, uint32_t mtu);
void cable_put_up(struct nl_batch *b, int index);
void cable_put_addr(struct nl_batch *b, int index, const struct prefix *p);
void cable_del_addr(struct nl_batch *b, int index, const struct prefix *p);
/* `dst` NULL: the default route. With protocol CABLE_PODS in the place of one that is there. */
void cable_put_route(struct nl_batch *b, int index, const struct prefix *dst,
		     const struct ipaddr *via, uint8_t protocol);
void cable_del_route(struct nl_batch *b, const struct prefix *dst); /* of CABLE_PODS */
