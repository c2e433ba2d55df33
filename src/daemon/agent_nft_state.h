/* SPDX-License-Identifier: Apache-2.0 */
/* Within agent_nft: what is sent (agent_nft.c), what comes back before the store was heard
 * (agent_nft_start.c), and the audit (agent_nft_audit.c). */
#pragma once
#include "core/nft/summary.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_pace.h"
#include "sys/nfnl.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct wired {
	uint64_t id; /* of the attachment */
	UT_hash_handle hh;
};

struct agent_nft {
	struct agent *agent;
	struct nfnl *nl;
	struct nfnl *spare; /* for comparisons */
	struct nfnl_watch *watch;
	struct wired *wired;
	struct nft_pool *pools; /* as the kernel has them */
	uint32_t n_pools;
	bool earlier; /* our table was there as this process began */
	bool adopted;
	bool behind; /* the kernel refused a batch, and no audit brought it right yet */
	ev_io notices;
	struct pace pace;
	struct nft_doubts doubts; /* for the next audit */
	bool lost;                /* what else is in doubt: everything is */
	struct nfnl_comparison *comparison;
	ev_tstamp compared; /* when the last one began */
	ev_io ended;
	ev_timer rest; /* of doubts, in a later turn of the loop */
	struct agent_nft_stats stats;
};

/* ---- agent_nft.c */

/* All that is wanted, as far as the filter (NULL: no filter) wants it. */
int agent_nft_build(struct agent *a, const struct nft_filter *filter, struct arena *ar,
		    struct nft_ruleset *rs, struct err *e);
/* The kernel has the store's pools. */
int agent_nft_keep_pools(struct agent *a, struct arena *ar);

/* ---- agent_nft_start.c */

/* Of `have` only declarations and rules count. How many tables were gone and are there again, or -errno. */
int agent_nft_restore(struct agent *a, const struct nft_ruleset *have, struct err *e);

/* Before the store was heard: `at` comes or goes, and that changes `ops` of policies, by a list that may be old. The
 * kernel gets what is the attachment's own; or everything, where its rules are gone. */
int agent_nft_merge(struct agent *a, const struct nft_ops *ops, const struct ipam_attachment *at,
		    struct err *e);

/* ---- agent_nft_audit.c */

/* Our tables with the elements in doubt (sorted), or with all (NULL). */
int agent_nft_observe(struct agent_nft *k, const struct nft_doubts *doubts, struct arena *ar,
		      struct nft_ruleset *rs, struct err *e);

void agent_nft_audit_open(struct agent *a);
void agent_nft_audit_close(struct agent *a);
/* The elements that they name may be anything now. */
void agent_nft_doubt(struct agent *a, const struct nft_ops *ops);
/* Does the kernel hold our rules, and of these elements what is wanted? -EBADE with the first difference. */
int agent_nft_check_ops(struct agent *a, const struct nft_ops *ops, struct arena *ar,
			struct err *e);
