/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the cluster: from the objects of a mirror to a table (core/dns/zone.h), which role dns fills for itself where it runs alone,
 * and the agent for it where there is one. */
#pragma once
#include "core/dns/settings.h"
#include "core/dns/table.h"
#include "daemon/config.h"
#include "model/cluster.h"

#include <ev.h>

struct dns_names;

struct dns_names_ops {
	/* Everything that was told up to dns_names_synced() is in the table: once, and once more after each dns_names_move(). */
	void (*complete)(void *arg);
	/* The table is full; dns_names_move() helps. 0, or -errno and why not. NULL: there is no help. */
	int (*full)(void *arg, struct err *e);
};

/* What the configuration says of the cluster's zones. */
int dns_names_settings(struct dns_settings *s, const struct config *c, struct err *e);
/* The kinds that are read, and how many. */
size_t dns_names_kinds(const struct config *c, const uint8_t **kinds);

/* All but the configuration must outlive it. */
struct dns_names *dns_names_new(struct ev_loop *loop, const struct config *c, struct dns_table *t,
				const struct dns_names_ops *ops, void *arg, struct err *e);
void dns_names_free(struct dns_names *n); /* NULL is fine */
/* As of struct mirror_ops; other kinds are none of its business. */
void dns_names_changed(struct dns_names *n, const struct object *old, const struct object *now);
/* What was told up to here is a whole. */
void dns_names_synced(struct dns_names *n);
/* Goes on in this table, empty so far, where everything is written anew. */
int dns_names_move(struct dns_names *n, struct dns_table *t, struct err *e);
