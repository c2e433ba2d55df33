/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes that are gone for good leave in the store: their blocks, their loans in the blocks of
 * others, and what their agents reported (NodeState, WorkloadEndpoints). Decided by the leading
 * controller, as nobody else sees every node.
 *
 * A node is gone for good when its Node object was missing in every look of a grace period. A
 * block of it goes once no living node holds a loan in it: the borrower's pod has that address,
 * and whoever got the block next could give it out again. Every write expects the revision that
 * was looked at, so a node that comes back and changes its block meanwhile keeps it. Whoever deletes a Node
 * while the machine runs on says that its pods are gone: their addresses become others'. */
#pragma once
#include "core/ipam/absence.h"
#include "core/ipam/ipam.h"

struct reclaim_plan {
	LIST(struct ipam_action) writes;     /* IPAM_DELETE or IPAM_UPDATE, in the arena */
	LIST(const struct object *) reports; /* to be deleted */
	int64_t next;                        /* look again then; 0: when something changes */
};

/* One look at a store that is in sync; `gone` is of Nodes, and absence_forget() is due when the
 * store is out of sight. */
int reclaim_look(struct absence *gone, const struct cluster *c, int64_t now, struct arena *a,
		 struct reclaim_plan *out, struct err *e);
