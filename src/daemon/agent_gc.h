/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments whose container ended and nobody said so (docs/ipam.md). Two of the three kinds of
 * garbage collection; the third, CNI GC, is the runtime's word (agent_cni_verbs.c).
 *
 *   boot     the journal is of another boot: no container of before can be alive
 *   missing  the host link is gone; for addresses without a link of ours, their Pod. Released
 *            only when two looks `leak-grace` apart, and all between them, did not find it: one
 *            look may fall into somebody's repair.
 *
 * A container without a link of ours and without a Pod is nobody's to miss: for those there is
 * only DEL, CNI GC, and the boot. */
#pragma once
#include "daemon/agent.h"

int agent_gc_open(struct agent *a, struct err *e);
void agent_gc_close(struct agent *a);
/* At the start, before what the journal holds is restored. */
void agent_gc_boot(struct agent *a);
/* From now on looks. */
void agent_gc_start(struct agent *a);

struct agent_gc_stats {
	uint64_t boot, link, pod; /* attachments released, by why */
	uint64_t suspects;        /* missing at the last look */
};
struct agent_gc_stats agent_gc_stats(const struct agent *a);
