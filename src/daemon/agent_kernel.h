/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of the agent: what is wanted there by owner, the way it gets there, and the
 * audit that compares the two.
 *
 * Nothing is deleted that a change of plans did not take back until agent_kernel_adopt() was
 * called at the store's first in-sync mark: an agent that knows nothing yet takes nothing away.
 * The audit runs every 30 s and within 200 ms of a change by somebody else; it reads the kernel
 * back, counts and logs every finding by name, and repairs what is ours. */
#pragma once
#include "core/diff/diff.h"
#include "core/route/uplink.h"
#include "daemon/agent.h"

struct nl;

int agent_kernel_open(struct agent *a, struct err *e);
void agent_kernel_close(struct agent *a);

/* Learns what others made: the uplink, who lives by router advertisements. Changes nothing. */
void agent_kernel_look(struct agent *a);
/* Once everything that is known without the store is wanted: brings it, deletes nothing. */
void agent_kernel_start(struct agent *a);

/* Replaces what `owner` wants; takes effect with agent_kernel_apply(). */
int agent_kernel_want(struct agent *a, uint32_t owner, const struct kobj *v, size_t n,
		      struct err *e);
/* Sends everything collected in one batch. Without `strict`, what the kernel refuses is logged
 * and left to an audit soon after, and nothing is sent before agent_kernel_adopt(), which brings
 * it all; with it the first refusal is the error. */
int agent_kernel_apply(struct agent *a, bool strict, struct err *e);

/* Make before break: what was collected so far and deletes waits for agent_kernel_let_go(), by
 * when all that replaces it was applied. */
void agent_kernel_hold(struct agent *a);
int agent_kernel_let_go(struct agent *a, struct err *e);

/* From now on what is ours and unwanted goes, at once and at every audit. */
void agent_kernel_adopt(struct agent *a);
/* Compares now. */
void agent_kernel_audit(struct agent *a);

struct nl *agent_kernel_nl(struct agent *a);
/* Another, for the reaper's thread. What is done through either is no change by somebody else. */
struct nl *agent_kernel_reaper(struct agent *a);
const struct uplink *agent_kernel_uplink(const struct agent *a);
/* Looks for the uplink again, e.g. because the Node's addresses are known now. */
void agent_kernel_find_uplink(struct agent *a);
/* See uplink_gateway(). */
struct route_hop agent_kernel_gateway(const struct agent *a, const struct ipaddr *ip);
/* See uplink_link(), uplink_has_route(). */
const char *agent_kernel_link(const struct agent *a, const struct ipaddr *ip);
bool agent_kernel_has_route(const struct agent *a, const struct prefix *p);
/* See uplink_leads_to(). */
bool agent_kernel_leads_to(const struct agent *a, const struct prefix *p);
/* See others_have(). */
bool agent_kernel_is_others(const struct agent *a, const char *tunnel);
const struct desired *agent_kernel_desired(const struct agent *a);

struct agent_kernel_stats {
	uint64_t verdicts[DIFF_VERDICTS]; /* of all audits */
	uint64_t audits, repairs, failures;
};
const struct agent_kernel_stats *agent_kernel_stats(const struct agent *a);
