/* SPDX-License-Identifier: Apache-2.0 */
/* Building rtnetlink requests out of model/kernel.h, for rtnl_apply.c and pod.c: one message each,
 * for a device whose index the caller knows. 0 or -ENOMEM. */
#pragma once
#include "model/kernel.h"
#include "sys/nl.h"

#include <stdbool.h>

int rtnl_put_addr(struct nl_batch *b, enum kop_verb verb, const struct kaddr *a, int ifindex);
/* `more`: the indices of its further next hops' devices. A deletion needs none. */
int rtnl_put_route(struct nl_batch *b, enum kop_verb verb, const struct kroute *r, int ifindex,
		   const int *more);
int rtnl_put_neigh(struct nl_batch *b, enum kop_verb verb, const struct kneigh *g, int ifindex);
int rtnl_put_fdb(struct nl_batch *b, enum kop_verb verb, const struct kfdb *f, int ifindex);

/* A new bridge, vxlan, ifb or ipip; up at once where it says so. */
int rtnl_put_link_new(struct nl_batch *b, const struct klink *l);
/* What `l` sets and `have` lacks; master is the bridge's index or 0 to leave it. */
int rtnl_put_link_set(struct nl_batch *b, const struct klink *l, const struct klink *have,
		      int ifindex, int master);
int rtnl_put_link_down(struct nl_batch *b, int ifindex);
/* A bridge port's flags; only once it is one. */
int rtnl_put_port(struct nl_batch *b, int ifindex, bool isolated);
int rtnl_put_link_del(struct nl_batch *b, int ifindex);

/* Reads one link by name or, where name is NULL, by index. -ENODEV. The master's name is not
 * read (see rtnl_dump()). In rtnl.c. */
int rtnl_get_link(struct nl *nl, const char *name, int ifindex, struct klink *out, int *index,
		  struct err *e);
/* The same, as the kernel's own message in `reply`: for what struct klink has no room for. */
int rtnl_ask_link(struct nl *nl, const char *name, int ifindex, struct buf *reply, struct err *e);
