/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of this node that lead into its pods: which attachments of the book have some, who may have
 * more, and their plans (core/service/hostport.h), which agent_service serves as a Service's.
 *
 * The book is the whole truth, so a restart and a downgrade keep what an older agent's journal
 * says. Of two sandboxes of one pod the newer one's are served. Whether a hostIP is the node's is
 * asked once, at ADD: an address that comes later is refused, one that goes is not noticed.
 * A kernel with rules of an earlier run is not touched before the store was heard (agent_nft.h):
 * until then a new pod's host ports wait. */
#pragma once
#include "core/service/hostport.h"
#include "daemon/agent.h"

struct ipam_attachment;

/* May `at`, which is not taken yet, have its ports? -EADDRINUSE names who has one; -EADDRNOTAVAIL:
 * its hostIP is none of the node's, or of loopback where that takes none. */
int agent_hostport_check(struct agent *a, const struct ipam_attachment *at, struct err *e);
/* Its ports lead to it from now on, or no longer; the kernel is told before this returns. */
void agent_hostport_changed(struct agent *a, const struct ipam_attachment *at);
/* All of them are to be planned again. */
void agent_hostport_mark(struct agent *a);

/* The two families' plans of the pod that has this name in them: 2; 0: it has no ports (any more). */
int agent_hostport_plan(struct agent *a, const char *name, struct arena *ar, struct svc_plan out[2],
			struct err *e);
