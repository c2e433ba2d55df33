/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the address book, for the files of this room only.
 *
 *   book.c   attachments and slots, the tables
 *   apply.c  changes them: each change is a journal entry that is applied, so that a replay and
 *            the life before it take the same path
 *   view.c   what the store says, corrected by the writes whose outcome it does not show yet
 *   claim.c  where the next block and the next address lie
 *   take.c   decides a request, borrow.c its part in other nodes' blocks (pick.h between them)
 *   house.c  decides the background
 *   show.c   reports */
#pragma once
#include "core/ipam/ipam.h"
#include "core/ipam/journal.h"
#include "core/ipam/pool.h"

#define IPAM_BLOCK_MAX 4096 /* addresses of the largest block */
#define IPAM_RETRY_MS  1000 /* after a write of unknown outcome the store is left alone for */

/* An address that is in use, lent, or was used: others have no slot. */
struct slot {
	struct ipaddr addr;
	uint64_t owner;         /* id of a LIVE attachment; 0: none */
	char *lent_to, *handle; /* loan: node and its handle, one allocation; NULL: none */
	uint64_t freed_seq;     /* order of being freed; 0: never */
	int64_t freed_at;
};

struct view_pool {
	const struct ippool *p;
	uint8_t block_len;
	bool serves; /* this node, now */
};

struct view_block {
	struct ipblock b;
	uint64_t rev;
	bool own;
	bool owner_known; /* its Node exists: somebody may answer who wants to borrow */
};

/* A write to an IPBlock that was given out as an action and that the view does not show. */
enum write_state {
	WRITE_SENT,    /* no outcome yet */
	WRITE_DONE,    /* the block is now as in `block`, rev is the new revision */
	WRITE_LOST,    /* surely not done: our view of the block is behind */
	WRITE_UNKNOWN, /* may still happen as long as the block is at revision `expect` */
};

struct store_write {
	struct arena mem;
	uint8_t type, state; /* enum ipam_action_type, enum write_state */
	bool gives_up;       /* deletes our block or ends our loan: fatal to forget */
	uint64_t expect, rev;
	int64_t at; /* of the outcome */
	struct ipblock block;
};

/* A request in flight and the blocks it asked to borrow from. */
struct pending {
	char *handle;
	struct prefix *asked;
	size_t n_asked;
};

struct ipam {
	char *node, *boot;
	int64_t cooldown;
	bool surrender;

	/* book.c */
	struct ipam_attachment **atts; /* by id; each with its strings in one allocation */
	size_t n_atts;
	struct slot *slots; /* by address */
	size_t n_slots;
	uint64_t next_id, freed_seq;
	struct journal_end end;

	/* view.c */
	struct arena view;
	struct view_pool *pools;
	size_t n_pools;
	struct view_block *blocks; /* by address */
	size_t n_blocks, cap_blocks;
	struct prefix *reserved;
	size_t n_reserved;
	uint64_t revision;
	bool known, live;
	bool met; /* there was a live view in this life */
	/* A view that is older than `floor` may show blocks as ours that are ours no more; that it
	 * is noted in the journal up to `noted`; the last life's is what a stale view is held to. */
	uint64_t floor, noted, last_life;
	struct store_write **writes; /* at most one per block */
	size_t n_writes;

	/* take.c */
	struct pending *pending;
	size_t n_pending;
};

/* ---- apply.c */
int book_write(struct ipam *s, const struct journal_entry *j, struct buf *out, struct err *e);

/* ---- book.c */
int att_add(struct ipam *s, const struct ipam_attachment *at, struct err *e);
void att_remove(struct ipam *s, uint64_t id);
struct ipam_attachment *att_get(const struct ipam *s, uint64_t id);
/* Room for `n` more slots, so that what follows cannot fail half way. */
int slots_reserve(struct ipam *s, size_t n, struct err *e);
/* The address' slot, made where it is missing; slots_reserve() came before. */
struct slot *slot_make(struct ipam *s, const struct ipaddr *a);
void slot_freed(struct ipam *s, struct slot *k, int64_t now);
/* Forgets slots that say nothing any more: free, and in no block of ours. */
void slots_prune(struct ipam *s);
struct slot *slot_find(const struct ipam *s, const struct ipaddr *a);
/* The first slot at or after `a`; s->slots + n_slots when there is none. */
struct slot *slot_from(const struct ipam *s, const struct ipaddr *a);
bool slot_cooling(const struct ipam *s, const struct slot *k, int64_t now);

/* ---- view.c */
struct store_write *write_of(const struct ipam *s, const struct prefix *cidr);
void write_drop(struct ipam *s, size_t i);
/* Remembers that the action leaves for the store. */
int write_send(struct ipam *s, const struct ipam_action *a, bool gives_up, struct err *e);
struct view_block *block_at(const struct ipam *s, const struct ipaddr *a);
/* A block, or a write that may make one, that overlaps with `p`; its extent into `hit`. */
bool block_overlap(const struct ipam *s, const struct prefix *p, struct prefix *hit);
const struct view_pool *pool_of(const struct ipam *s, const struct ipaddr *a);
const struct view_pool *pool_of_block(const struct ipam *s, const struct view_block *b);
bool is_reserved(const struct ipam *s, const struct ipaddr *a);
int block_copy(struct arena *a, const struct ipblock *from, struct ipblock *to);
uint64_t block_size(const struct prefix *cidr);
/* May addresses be taken from it, as far as the pool and our own writes say? */
bool block_usable(const struct ipam *s, const struct view_block *b);
/* Is `a` this node's tunnel address, or about to become it? */
bool is_tunnel(const struct ipam *s, const struct ipaddr *a);

/* ---- claim.c */
/* A number that follows from the text, spread over the whole range. */
uint64_t name_spread(const char *text, uint64_t seed);
/* What a free address has to be. */
struct suitable {
	int64_t now;
	bool cooling; /* one that cools down will do */
	bool on_link; /* struct ipam_request */
};
/* The best free address of a block: one that never was used or the one freed longest ago. */
bool free_address(const struct ipam *s, const struct view_block *b, const struct suitable *want,
		  struct ipaddr *out);
/* The first address of a subnet of more than two, or the last of an IPv4 one. */
bool is_subnet_edge(const struct prefix *cidr, const struct ipaddr *a);
/* The next block of the pool that nobody has. false: none. */
bool free_block(const struct ipam *s, const struct view_pool *p, struct prefix *out);
size_t own_blocks(const struct ipam *s, const struct view_pool *p);
/* The action that makes `cidr` ours, with a tunnel address where the node lacks one. */
int claim_action(const struct ipam *s, const struct view_pool *p, const struct prefix *cidr,
		 struct arena *a, struct ipam_action *out, struct err *e);
/* A pool of this node encapsulates. */
bool tunnel_needed(const struct ipam *s, uint8_t family);
/* ... and there is no tunnel address, nor one on its way. */
bool tunnel_wanted(const struct ipam *s, uint8_t family);

/* ---- borrow.c */
/* How an attachment is named in the blocks of others. */
char *handle_of(struct arena *a, const struct ipam_attachment *at);
/* An attachment of this node lives on the address that this entry of ours was granted. */
bool loan_used(const struct ipam *s, struct arena *a, const struct block_borrow *w);
bool is_pending(const struct ipam *s, const char *handle);
/* The write that asked was not done: it may be asked again. */
void pending_unasked(struct ipam *s, const struct prefix *cidr);
