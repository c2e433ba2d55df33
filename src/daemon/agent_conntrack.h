/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the connection table that are to go are taken out, just those, and never all of them:
 * of UDP and SCTP those that lead where Services do not lead any more (core/service/stale.h
 * judges), of all protocols those that policies forbid by now (agent_policy_look.h judges), and those
 * of addresses whose pods are gone (agent_gone_look.h), so that no pod inherits them.
 *
 * A change that can leave some behind is followed by a look through the table, once the rules say
 * what is new; one look for all changes that came meanwhile, and the more it costs the rarer they
 * are. At start what an earlier run's rules led to is compared with the store's state: what went
 * while nobody looked is found, and what still holds stays, so that a restart cuts nothing off.
 * A look that fails is repeated. */
#pragma once
#include "core/service/service.h"
#include "core/service/stale.h"
#include "daemon/agent.h"
#include "daemon/histogram.h"

struct ipam_attachment;

int agent_conntrack_open(struct agent *a, struct err *e);
void agent_conntrack_close(struct agent *a);

/* What a Service's fronts lead to now, in plans of both families; n 0: it is gone. Nothing is
 * looked for before agent_conntrack_look(). */
void agent_conntrack_put(struct agent *a, const char *ns, const char *name,
			 const struct svc_plan *plans, size_t n);
/* The kernel's rules are up to what was put: looks through the table if something can have to go. */
void agent_conntrack_look(struct agent *a);

/* The attachment ended: nothing passes to its addresses or from them any more. What is left of them is
 * looked for soon; until then the book is to keep it (agent_conntrack_seeks()). */
int agent_conntrack_gone(struct agent *a, const struct ipam_attachment *at, struct err *e);
bool agent_conntrack_seeks(const struct agent *a, uint64_t id);
/* Before anything passes to the attachment's addresses: where one of them is still sought for, or nobody remembers who
 * had it, as the book was lost, it is cleared here, at the price of some walks through the table. */
int agent_conntrack_clear(struct agent *a, const struct ipam_attachment *at, struct err *e);

struct agent_conntrack_stats {
	uint64_t failures;
	struct histogram took;                    /* looks that came to their end */
	uint64_t deleted[SVC_STALE_NO_FRONT + 1]; /* by enum svc_fate */
	uint64_t forbidden;                       /* deleted, as policies forbid them */
	uint64_t gone;                            /* deleted, as an address's pod is gone */
};
const struct agent_conntrack_stats *agent_conntrack_stats(const struct agent *a);
