/* SPDX-License-Identifier: Apache-2.0 */
/* The address book's file, for agent_ipam.c alone: what the book says in a turn is on disk before
 * anybody hears of it. Where it cannot be written, the turn is undone and no address is given out
 * until the whole book could be written anew; a book that was lost is not written before it was
 * rebuilt. The format is core/ipam's. */
#pragma once
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

struct agent_ipam {
	struct agent *agent;
	struct ipam *book;
	char path[4096];
	int lock, fd;
	size_t size;
	struct buf pending; /* journal bytes of the call in progress */
	bool lost;          /* there was no journal, or it was damaged */
	bool rebuilt;       /* the kernel was asked for what a lost one held */
	bool heard;         /* … and may be, as the store was heard */
	bool torn;          /* the file does not go on where the book does: no append */
	struct err trouble; /* why it is */
	ev_timer house;
};

int agent_journal_open(struct agent_ipam *m, struct err *e);
void agent_journal_close(struct agent_ipam *m);

/* May pods of a lost journal live behind links? Their addresses look free until it is rebuilt. */
bool agent_journal_is_blank(const struct agent_ipam *m);
struct ipam_turn agent_journal_turn(struct agent_ipam *m, struct arena *ar);
/* The bytes of this turn are on disk when it returns 0; `id` is forgotten otherwise. */
int agent_journal_commit(struct agent_ipam *m, uint64_t id, struct err *e);
/* Of an end, which counts also where it cannot be written: see agent_ipam_dying(). */
void agent_journal_commit_end(struct agent_ipam *m);
/* Writes the whole state anew: after a failed append, and when the file grew. */
int agent_journal_rewrite(struct agent_ipam *m, struct err *e);
