/* SPDX-License-Identifier: Apache-2.0 */
/* fairlead's nftables rulesets (core/nft/build.h): loaded at start, pods' elements in the path of
 * ADD and DEL, pools' elements as the store changes, and the audit that reads everything back.
 *
 * At start a ruleset that is there stays as it is until agent_nft_adopt(): until then the pools
 * and Services are not known, and taking their elements away would cut flows. A
 * pod that starts by then has its own in the kernel before it is reached, policies by the list that is known. */
#pragma once
#include "core/ipam/ipam.h"
#include "core/nft/ops.h"
#include "daemon/agent.h"

int agent_nft_open(struct agent *a, struct err *e);
void agent_nft_close(struct agent *a);
/* After the book's pods are known: loads what is missing altogether, with its pods closed as long as no policy is known. */
int agent_nft_start(struct agent *a, struct err *e);
/* Had the kernel rules of ours by then? */
bool agent_nft_ran_before(const struct agent *a);
/* From now on everything of ours that is not wanted goes, at once and at every audit. */
void agent_nft_adopt(struct agent *a);

/* The pod is wired already: its elements are there, or are missed by the next audit. */
void agent_nft_expect(struct agent *a, const struct ipam_attachment *at);
/* Before ADD answers; nothing of the pod is in the kernel when it fails. */
int agent_nft_pod_add(struct agent *a, const struct ipam_attachment *at, struct err *e);
void agent_nft_pod_del(struct agent *a, const struct ipam_attachment *at);
/* The store's pools changed. */
void agent_nft_pools(struct agent *a);
/* May the kernel be touched? */
bool agent_nft_adopted(const struct agent *a);
/* What changes of Services (core/nft/services.h), of policies (core/nft/policies.h). What the
 * kernel refuses the audit brings right, at once; -errno where it could not. Before agent_nft_adopt() nothing
 * is sent but what policies say of the attachment `at` (NULL: none), which comes or goes. */
void agent_nft_services(struct agent *a, const struct nft_ops *ops);
int agent_nft_policies(struct agent *a, const struct nft_ops *ops, const struct ipam_attachment *at,
		       struct err *e);
/* Does the kernel hold our rules and the pod's elements? -EBADE with the first difference. Changes nothing. */
int agent_nft_check(struct agent *a, const struct ipam_attachment *at, struct err *e);
/* A chain of `inet fairlead` as the kernel has it, with its counters (nfnl_dump_chain()). In `ar`. */
int agent_nft_chain(struct agent *a, const char *name, struct nft_chain **out, struct arena *ar,
		    struct err *e);
/* Looks at the rules and at what is in doubt, now; at all elements a while later, if that is due. */
void agent_nft_audit(struct agent *a);
/* The kernel refused something, and no audit brought it right yet. */
bool agent_nft_behind(const struct agent *a);

struct agent_nft_stats {
	uint64_t audits, missing, changed, unwanted, failures;
	uint64_t refused; /* batches for Services */
};
const struct agent_nft_stats *agent_nft_stats(const struct agent *a);
