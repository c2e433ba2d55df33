/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's parts and how they know each other. One process, one loop, and one thread but for
 * the reaper's, one while the connection table is read, one while all nftables elements are, and one while a
 * trace's collector is opened or closed; each part is a file pair and owns its state, which only its own
 * functions touch:
 *
 *   store    the stream from watch: objects in, writes out
 *   plan     which object of the cluster wants what (core/route), dirty marks, pace
 *   kernel   what is wanted in the kernel, applied and audited (core/diff, sys/rtnl)
 *   ipip     the programs of tunl0 and the nodes that it takes packets from (sys/ipip)
 *   nft      the rulesets, likewise (core/nft, sys/nfnl)
 *   service  which Services changed, planned (core/service) into elements of nft's
 *   policy   what NetworkPolicies say of this node's pods (core/policy), likewise
 *   conntrack  entries of the connection table that lead where Services do not lead any more, or
 *            that policies forbid by now, or of pods that are gone
 *   bgp      what role bgp told of routes, and what it is told of Services
 *   dns      the table of names that role dns reads
 *   health   what role health is told of Services
 *   policy_log    what NetworkPolicies denied, told
 *   policy_count  and counted
 *   ipam     the address book's journal and its writes (core/ipam)
 *   cni      requests of fairlead-cni
 *   trace    PacketTraces: looks at what the kernel does with a probe, and sends it
 *   reap     links of pods that are gone
 *   gc       attachments whose container ended without a word
 *   ctl      questions of fairlead
 *   report   NodeState, WorkloadEndpoints and metrics */
#pragma once
#include "core/route/plan.h"
#include "daemon/role.h"

struct agent {
	struct role *role;
	struct agent_store *store;
	struct agent_plan *plan;
	struct agent_kernel *kernel;
	struct agent_ipip *ipip;
	struct agent_nft *nft;
	struct agent_service *service;
	struct agent_policy *policy;
	struct agent_conntrack *conntrack;
	struct agent_health *health;
	struct agent_bgp *bgp;
	struct agent_dns *dns; /* NULL: there is no such role here */
	struct agent_policy_log *policy_log;
	struct agent_policy_count *policy_count;
	struct agent_ipam *ipam;
	struct agent_cni *cni;
	struct agent_reap *reap;
	struct agent_gc *gc;
	struct agent_ctl *ctl;
	struct agent_report *report;
	struct agent_trace *trace;
};

extern const char *const agent_calls[]; /* see priv_seccomp() */

/* Milliseconds of the real-time clock, as core/ipam counts. */
int64_t agent_now_ms(const struct agent *a);
/* Every part that waits for the store or for addresses looks again (a sync, a grant). */
void agent_wake(struct agent *a);
