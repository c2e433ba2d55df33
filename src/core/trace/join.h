/* SPDX-License-Identifier: Apache-2.0 */
/* What all nodes saw of one probe (PacketTrace's status) and the cluster's objects, joined into a story.
 *
 * Three steps, each a file:
 *   join_sights.c  which direction an observation is of, and which of a node's belong to one visit of
 *                  the packet to it: a leg
 *   join_order.c   legs in the order of causes: a leg follows the one that sent what it begins with
 *   join_walk.c    a leg's facts become hops: who did that, and what it did
 * and join.c puts an end to it: what became of the packet, from the probe's own result and the last
 * hop, and which known mistake it looks like (advice.c).
 *
 * The story is the life of the first packet and of the first answer: retransmissions and what else
 * the connection sent are left out. So are drops that are no loss: what the kernel frees with a reason
 * after it was used.
 *
 * Limits: clocks of nodes are compared only where nothing else tells an order. A packet that comes back to a
 * node and looks as it did before (a router's loop) is taken for one that was sent again, and ends there. */
#pragma once
#include "core/trace/decide.h"
#include "model/trace.h"

/* The story lives in `a` and points into view and trace. 0 or -ENOMEM. */
int story_join(const struct story_view *view, const struct packet_trace *trace, struct arena *a,
	       struct story *out, struct err *e);
