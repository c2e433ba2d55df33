/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs by key in one region of memory that one writer fills while many others read, in other threads or other processes, without a
 * lock: what the DNS workers answer from.
 *
 * The region is the caller's, a mapping of the same length everywhere; it holds offsets, no pointers, so it may lie at another address in
 * each process. Readers need only read it; that they do they say in a second, small area. The writer takes nothing from there but how
 * long what it took out must wait to be used again, so a reader with evil in mind can at worst have memory wait until
 * dns_table_overdue(), and spoil what other readers of the area see. Readers trust the writer, but refuse what was never a table. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_TABLE_READERS 128
#define DNS_READERS_SIZE  (64UL * DNS_TABLE_READERS) /* octets of the readers' area, zero at first */
#define DNS_TABLE_MIN     (1UL << 16)
#define DNS_TABLE_MAX     (1UL << 35) /* 32 bits of units of 8 octets */
#define DNS_TABLE_KEY_MAX 512

struct dns_region_head;
struct dns_reader;

/* ---- the writer */

/* Makes the first `bytes` of the region usable (ftruncate(2) of a memfd). 0 or -errno. */
typedef int dns_table_more(void *ctx, size_t bytes);

struct dns_table {
	struct dns_region_head *head;
	struct dns_reader *readers;
	size_t size, ready, used; /* octets: of the region, usable, ever handed out */
	dns_table_more *more;
	void *ctx;
	size_t held;            /* octets in live entries and the buckets */
	uint32_t count;         /* entries */
	uint32_t *free;         /* per size class: the first free block */
	uint32_t limbo, newest; /* retired blocks, oldest first */
	uint32_t n_limbo;
	uint32_t old_buckets; /* retired and perhaps still read; 0: none */
	uint64_t due;         /* the epoch of the last dns_table_overdue() */
};

/* Makes an empty table of `region`, zero so far; both it and the readers' area are aligned to 64 octets. `more` may be NULL: all is usable. */
int dns_table_init(struct dns_table *t, void *region, size_t size, void *readers,
		   dns_table_more *more, void *ctx, struct err *e);
void dns_table_fini(struct dns_table *t); /* the writer's own memory; the region stays readable */

/* Readers see the old blob or the new one. -ENOSPC: the region is full, nothing changed; also what `more` says. */
int dns_table_put(struct dns_table *t, const void *key, size_t n_key, const void *blob,
		  size_t n_blob, struct err *e);
bool dns_table_del(struct dns_table *t, const void *key, size_t n_key); /* false: was not there */
/* The writer's own look, good until its next change. NULL: not there. */
const void *dns_table_get(const struct dns_table *t, const void *key, size_t n_key, size_t *n_blob);
/* A word of the caller's beside the entries; 0 at first. */
void dns_table_set_word(struct dns_table *t, uint64_t word);
/* Makes what nobody reads any more free; puts do it themselves when there is something to gain. */
void dns_table_reclaim(struct dns_table *t);
/* What waits for readers since before the last call waits no more: for a timer, so that one that died, or stands still, holds no more
 * than two of its rounds. A reader that does live hears of it from dns_view_leave(). True: there was such a reader. */
bool dns_table_overdue(struct dns_table *t);

/* ---- a reader: one per thread */

struct dns_view {
	const struct dns_region_head *head;
	struct dns_reader *readers;
	size_t size;
	unsigned place;
	uint64_t epoch; /* as entered */
};

/* -EBADMSG: this is no table of ours, or of another version or size. */
int dns_view_attach(struct dns_view *v, const void *region, size_t size, void *readers,
		    struct err *e);
/* Takes a reader's place for `owner`, any number but 0, the same for all of a process. -EUSERS: none is free. */
int dns_view_claim(struct dns_view *v, uint32_t owner, struct err *e);
void dns_view_release(struct dns_view *v);
/* Frees the places of all others: of processes that died. */
void dns_readers_only(void *readers, uint32_t owner);

/* What is got between the two stays as it is until dns_view_leave(). Not nested; hold it for a batch, not for a wait. False: it was held for
 * so long that it did not stay; what was got is worth nothing. */
void dns_view_enter(struct dns_view *v);
bool dns_view_leave(struct dns_view *v);
const void *dns_view_get(const struct dns_view *v, const void *key, size_t n_key, size_t *n_blob);
uint64_t dns_view_word(const struct dns_view *v);
uint64_t dns_view_generation(const struct dns_view *v); /* grows with each change */
