/* SPDX-License-Identifier: Apache-2.0 */
/* How a table's region and its readers' area are laid out, for its writer (table.c) and its readers (table_view.c).
 *
 * Everything is a block of whole units, named by the number of its first; 0 names none. The buckets are a block too. An entry's key follows
 * its header, its blob begins at the next unit. Integers are the machine's own: a region never leaves it. */
#pragma once
#include "core/dns/table.h"

#include <stdatomic.h>

#define UNIT         8
#define TABLE_MAGIC  0x31656c6261546c66u
#define TABLE_LAYOUT 2
#define LINE         64

struct dns_reader {
	_Alignas(LINE) _Atomic uint64_t epoch; /* when it began to read; 0: it does not */
	_Atomic uint32_t owner;
};

struct dns_region_head {
	_Atomic uint64_t magic; /* last of all written */
	uint32_t layout, readers;
	uint64_t size;
	/* Where the buckets are: unit in the low 32 bits, then log2 of their number, then which of an entry's two links they chain. */
	_Alignas(LINE) _Atomic uint64_t buckets;
	_Atomic uint64_t epoch, generation, word;
	_Atomic uint64_t
		forced; /* what was taken out in an earlier epoch than this may be overwritten */
};

_Static_assert(sizeof(struct dns_reader) * DNS_TABLE_READERS == DNS_READERS_SIZE,
	       "the readers' area");

struct dns_block {
	_Atomic uint32_t next[2];
	uint32_t hash;
	uint32_t n_blob;
	uint32_t after;   /* free, or waiting to be: the next such block */
	uint32_t retired; /* low half of the epoch in which it was taken out */
	uint16_t n_key;
	uint8_t class;
	uint8_t unused;
};

#define BUCKETS_AT(w)   ((uint32_t)(w))
#define BUCKETS_LOG2(w) ((unsigned)((w) >> 32 & 31))
#define BUCKETS_SIDE(w) ((unsigned)((w) >> 40 & 1))

static inline size_t blob_at(size_t n_key)
{
	return (sizeof(struct dns_block) + n_key + UNIT - 1) / UNIT * UNIT;
}

uint32_t dns_table_hash(const void *key, size_t n);
