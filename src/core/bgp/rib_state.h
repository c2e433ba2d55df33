/* SPDX-License-Identifier: Apache-2.0 */
/* Within rib: the table (rib.c) and who reads it (rib_reader.c).
 *
 * Readers, and the mark behind what was there when one began, lie in the list between the destinations; so a place stays right
 * whatever moves. Each destination has a number, which is used again when it is gone: what a reader was told is a bit
 * of its own by that number. */
#pragma once
#include "core/bgp/rib.h"

enum bgp_node_kind { BGP_N_DEST, BGP_N_PLACE };

struct bgp_node {
	struct bgp_node *prev, *next;
	uint8_t kind;
	uint8_t len, multipath; /* of a destination, whose number is */
	uint32_t number;
};

struct bgp_dest {
	struct bgp_node node;
	struct bgp_dest *chain;
	struct bgp_path *paths;
	uint32_t n_told; /* readers that were told of it */
	uint8_t addr[];  /* 4 or 16 octets */
};

struct bgp_reader {
	struct bgp_node node, mark; /* the mark is out of the list once it was passed */
	struct bgp_rib *rib;
	uint64_t *told;
	uint32_t n_words, count;
};

struct bgp_rib {
	enum bgp_family family;
	struct bgp_store *store;
	uint32_t multipath;
	struct bgp_node head;
	struct bgp_dest **bucket;
	uint32_t n, n_buckets; /* all destinations; a power of two */
	uint32_t n_known;      /* those with a path */
	uint32_t numbers;      /* given out so far, but for those in `spare` */
	uint32_t *spare, n_spare, cap_spare;
	uint32_t *paths_of, n_sources; /* by the index of the source */
};

static inline void bgp_node_out(struct bgp_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = NULL;
}

static inline void bgp_node_behind(struct bgp_node *at, struct bgp_node *n)
{
	n->prev = at;
	n->next = at->next;
	at->next->prev = n;
	at->next = n;
}

static inline struct bgp_dest *bgp_dest_of(struct bgp_node *n)
{
	return (struct bgp_dest *)n;
}

static inline bool bgp_is_needed(const struct bgp_dest *d)
{
	return d->paths || d->n_told;
}

/* ---- rib.c */
void bgp_forget_dest(struct bgp_rib *r, struct bgp_dest *d); /* that nobody needs */
