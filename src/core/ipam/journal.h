/* SPDX-License-Identifier: Apache-2.0 */
/* The file behind the address book: what a node may not forget when it is killed.
 *
 *   file  := "FLIPAM1\n" entry*
 *   entry := u32 mark | u32 length of the rest | u32 CRC-32 of the rest | rest
 *   rest  := u64 number | u64 durable | the fields of struct journal_entry (model/record.h)
 *
 * all big-endian. Entries are numbered from 1 without gaps. `durable` is the number of the last entry
 * that was known to be on disk when this one was written. That tells a torn tail from damage:
 * a machine that stops may lose or garble, in any order, entries that no fdatasync() covered,
 * but never one that a later entry calls durable. The fields skip unknown ids, so an older
 * fairlead reads a newer one's journal; an operation that it does not know stops it. */
#pragma once
#include "core/ipam/ipam.h"

#define JOURNAL_MAGIC "FLIPAM1\n"
#define JOURNAL_MAX   16384 /* bytes of one entry's rest */

enum journal_op {
	JOURNAL_NONE,
	JOURNAL_BOOT,   /* node, boot; id: the next attachment's; rev: struct ipam's floor */
	JOURNAL_TAKE,   /* at */
	JOURNAL_DYING,  /* id, ifindex */
	JOURNAL_FREE,   /* id */
	JOURNAL_COOL,   /* addr was freed at `time` */
	JOURNAL_LEND,   /* addr to handle of node */
	JOURNAL_UNLEND, /* addr */
	JOURNAL_INTENT, /* a write that gives something up was sent: block, cidr, the rev it expects */
	JOURNAL_OPS
};

struct journal_entry {
	int64_t op; /* enum journal_op */
	int64_t time;
	int64_t id, ifindex, rev;
	const char *node, *handle, *boot, *block;
	struct ipaddr addr;
	struct prefix cidr;
	uint8_t deletes; /* INTENT: the whole block, not only a loan */
	struct ipam_attachment at;
};

/* Where a file ends: numbers of its last entry and of the last one that is surely on disk. */
struct journal_end {
	uint64_t seq, durable;
};

/* Appends the entry to `out`, and before the first one the file's head; advances `end`. */
int journal_put(struct buf *out, struct journal_end *end, const struct journal_entry *j,
		struct err *e);

struct journal_reader {
	const uint8_t *p;
	size_t n, pos; /* pos: end of the intact part */
	struct journal_end end;
	bool begun;
};

void journal_open(struct journal_reader *r, const void *p, size_t n);
/* 1: `j` is the next entry (strings in `a`); 0: the end, or a torn tail from r->pos on;
 * -EBADMSG: damage, or an entry that this version cannot know. */
int journal_next(struct journal_reader *r, struct journal_entry *j, struct arena *a, struct err *e);
