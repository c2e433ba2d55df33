/* SPDX-License-Identifier: Apache-2.0 */
/* What role bgp told of routes: the last word on each prefix, and which prefixes name a next hop, so that a node
 * that moves finds its routes without looking at all of them.
 *
 * Streams are counted: what an earlier one told is stale, and stays until learned_sweep(). So does a route that an
 * agent before this one left in the kernel, as it is (RFC 4724 4.1: forwarding goes on while the speaker restarts). */
#pragma once
#include "model/kernel.h"
#include "model/record.h"

struct learned {
	struct prefix prefix;
	const char *peer, *why; /* "" where it was found */
	const struct ipaddr *via;
	uint32_t n_via;
	uint32_t stream;           /* the one that told it last; 0: found in the kernel */
	const struct kroute *kept; /* as it was found; NULL: it was told */
};

struct learned_table;

struct learned_table *learned_new(void); /* NULL: no memory */
void learned_free(struct learned_table *t);

enum learned_change { LEARNED_SAME, LEARNED_CHANGED };

/* The prefix's host bits are ignored. enum learned_change, or -ENOMEM. */
int learned_put(struct learned_table *t, const struct rec_route *r, uint32_t stream);
/* A route found in the kernel, unless something is known of its prefix. 0 or -ENOMEM. */
int learned_keep(struct learned_table *t, const struct kroute *r);
bool learned_drop(struct learned_table *t, const struct prefix *p); /* false: it was not there */
/* Drops what this stream did not tell; `gone` hears of each. */
void learned_sweep(struct learned_table *t, uint32_t stream,
		   void (*gone)(void *arg, const struct prefix *p), void *arg);

const struct learned *learned_find(const struct learned_table *t, const struct prefix *p);
/* Those that have this next hop; none may be put or dropped meanwhile. */
void learned_by_via(const struct learned_table *t, const struct ipaddr *via,
		    void (*fn)(void *arg, const struct prefix *p), void *arg);
void learned_each(const struct learned_table *t, void (*fn)(void *arg, const struct learned *l),
		  void *arg);
size_t learned_count(const struct learned_table *t);
