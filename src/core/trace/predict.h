/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a packet by the cluster's objects alone: what each node on its way will do with it, and with
 * its answer.
 *
 * A walk from node to node. On each: what Services say of it (svc_judge), where it goes (ways.h), what
 * policies say of its first packet (policy_judge_half: of what leaves a pod on the pod's node, of
 * what enters one on that pod's, by the source that it has there), whose address it gets; then into
 * the pod, or on to the next node. What a node translated it undoes for the answer, which finds its
 * own way back by the same rules.
 *
 * Where a Service has several endpoints, or objects leave open whether two nodes are neighbours, there
 * are as many stories, each with its weight. That a receiver listens and answers is taken for granted:
 * no object says it; for UDP, and of who is outside of the cluster, the answer is only likely. */
#pragma once
#include "core/trace/decide.h"

struct story_question {
	const char *node;       /* where it is sent, or, from outside, comes in */
	bool outside;           /* who sends is outside of the cluster */
	const struct pod *from; /* NULL: the node itself, or who is outside */
	struct story_head
		head; /* as it is sent; a node's own source is found. Ports 0: not known */
	/* The endpoint that gets it, where that is known; NULL: any. */
	const struct story_head *chosen;
};

struct stories {
	LIST(struct story) list; /* at least one; in the order of endpoints */
};

/* The stories live in `a` and point into the view and the question. 0 or -errno. */
int story_predict(const struct story_view *view, const struct story_question *q, struct arena *a,
		  struct stories *out, struct err *e);
