/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each prefix, and what was told to whom: one table per family for everything.
 *
 * A destination is a prefix with the paths that peers (and we) have to it, the best first as decide.h orders them. All
 * destinations lie in a hash by prefix, and in one list in the order of their last change: of the best path, or of
 * those that share the traffic with it. A change moves a destination to the list's end. Who is told of routes (each peer
 * that is up, the kernel) is a reader: a place in that list. So a slow reader costs no queue, several changes of
 * one prefix become one, and a whole table (a new peer, a refresh, another filter) is the place put back to the
 * start. A destination without paths stays until every reader that was told of it has taken it back.
 *
 * Cost: a change is one lookup, the paths of that prefix and a move; a reader's step is one destination; what
 * concerns a whole source walks the table. Memory: of IPv4 48 octets for a destination, 32 for a path, besides malloc's.
 *
 * Sources have small numbers of their own, from 0 on, which index counters. */
#pragma once
#include "core/bgp/attr.h"

struct bgp_rib;
struct bgp_dest;
struct bgp_reader;

/* Who a path is from, as decisions see it; outlives its paths. */
struct bgp_source {
	uint32_t index;
	struct ipaddr addr;
	uint32_t as, id;
	bool local; /* we originate it */
	bool ebgp;
	bool client; /* ours, as route reflector */
	const char *name;
};

struct bgp_path {
	struct bgp_path *next; /* the next best */
	struct bgp_attrs *attrs;
	const struct bgp_source *from;
	uint32_t learned; /* seconds of the caller's clock */
	bool stale; /* its peer restarts (RFC 4724), and has not told it again; as good as any other */
	bool filtered; /* an import filter, or a loop, keeps it from being used */
};

/* NULL: no memory. `multipath`: how many equal paths may share the traffic, 1 for none beside the best. */
struct bgp_rib *bgp_rib_new(enum bgp_family family, struct bgp_store *store, uint32_t multipath);
void bgp_rib_free(struct bgp_rib *r); /* readers first */

/* ---- what is known */

/* The path of this source to the prefix is now this one. `attrs` is held once more. -ENOMEM: as before. */
int bgp_rib_put(struct bgp_rib *r, const struct prefix *p, const struct bgp_source *from,
		struct bgp_attrs *attrs, bool filtered, uint32_t now_s);
/* False: there was none. */
bool bgp_rib_withdraw(struct bgp_rib *r, const struct prefix *p, const struct bgp_source *from);
/* All paths of a source are away; are stale until told again; are away where they still are stale. */
void bgp_rib_forget(struct bgp_rib *r, const struct bgp_source *from);
void bgp_rib_mark_stale(struct bgp_rib *r, const struct bgp_source *from);
void bgp_rib_sweep(struct bgp_rib *r, const struct bgp_source *from);

uint32_t bgp_rib_count(const struct bgp_rib *r); /* destinations with a path */
uint32_t bgp_rib_count_of(const struct bgp_rib *r,
			  const struct bgp_source *from); /* paths, filtered ones too */

const struct bgp_dest *bgp_rib_find(const struct bgp_rib *r, const struct prefix *p);
/* All destinations with a path, in no order that means anything. False ends it. */
void bgp_rib_each(const struct bgp_rib *r, bool (*fn)(const struct bgp_dest *d, void *arg),
		  void *arg);
struct prefix bgp_rib_prefix(const struct bgp_rib *r, const struct bgp_dest *d);
const struct bgp_path *bgp_dest_paths(const struct bgp_dest *d); /* best first, then the others */
const struct bgp_path *bgp_dest_best(const struct bgp_dest *d);  /* NULL: none that can be used */
uint32_t bgp_dest_multipath(const struct bgp_dest *d); /* how many of the first share the traffic */

/* ---- who is told */

struct bgp_reader *bgp_reader_new(struct bgp_rib *r); /* at the start; NULL: no memory */
void bgp_reader_free(struct bgp_reader *rd);          /* and it was told of nothing */
void bgp_reader_rewind(struct bgp_reader *rd);
/* The next destination that it has not seen as it is now; NULL: it has seen all. */
struct bgp_dest *bgp_reader_next(struct bgp_reader *rd);
/* It has seen all that was there when it began, or was put back to the start: time for an End-of-RIB. */
bool bgp_reader_is_through(const struct bgp_reader *rd);
/* Was it told of this one? Whoever tells it, or takes it back, notes it. -ENOMEM. */
bool bgp_reader_told(const struct bgp_reader *rd, const struct bgp_dest *d);
int bgp_reader_note(struct bgp_reader *rd, struct bgp_dest *d, bool told);
uint32_t bgp_reader_count(const struct bgp_reader *rd); /* destinations that it was told of */
