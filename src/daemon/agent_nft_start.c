// SPDX-License-Identifier: Apache-2.0
/* Our tables before the store was heard: one that is there stays as it is, and one that is gone comes back.
 *
 * Gone is also a table that is there with a base chain without a rule, as ours all have some (nft flush table), and one whose
 * pods were closed by an agent that ended before it could open them. It is loaded
 * whole, in one transaction, with what is known by then; the others are not touched.
 * Where it is `inet fairlead` no flow hangs on what was not there, so that changes are sent from then on; and as no policy may be
 * known yet, its pods are closed in that same transaction (agent_policy.h).
 *
 * Where it is whole, only of a pod that comes or goes by then all becomes as a list of policies says that may be old, as
 * watch kept it (core/nft/policy_merge.c). */
#include "base/text.h"
#include "core/nft/build.h"
#include "core/policy/match.h"
#include "daemon/agent_nft_state.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_service.h"

#include <errno.h>

/* Dropped by an agent that ended before it knew any policy? */
static bool is_closed(const struct nft_chain *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (text_eq(c->rules[i]->comment, POLICY_UNKNOWN))
			return true;
	return false;
}

static bool is_whole(const struct nft_table *t)
{
	for (uint32_t i = 0; i < t->n_chains; i++)
		if ((t->chains[i]->base && !t->chains[i]->n) || is_closed(t->chains[i]))
			return false;
	return true;
}

static const struct nft_table *found(const struct nft_ruleset *have, uint8_t family)
{
	const struct nft_table *t = nft_table_get(have, family, NFT_TABLE);

	return t && is_whole(t) ? t : NULL;
}

/* What is wanted but not there. */
static void keep_missing(struct nft_ruleset *want, const struct nft_ruleset *have)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < want->n; i++)
		if (!found(have, want->tables[i]->family))
			want->tables[n++] = want->tables[i];
	want->n = n;
}

int agent_nft_restore(struct agent *a, const struct nft_ruleset *have, struct err *e)
{
	bool lost = !found(have, NFPROTO_INET);
	struct nft_ruleset want;
	struct nft_ops ops;
	struct arena ar;
	int rc = lost ? agent_policy_close_pods(a, e) : 0;

	arena_init(&ar, 0);
	nft_ops_init(&ops, &ar);
	if (!rc)
		rc = agent_nft_build(a, NULL, &ar, &want, e);
	if (!rc) {
		keep_missing(&want, have);
		nft_ops_load(&ops, &want, true);
		rc = ar.failed ? err_set(e, -ENOMEM, "no memory for the ruleset") : 0;
	}
	if (!rc && want.n)
		rc = nfnl_commit(a->nft->nl, &ops, NULL, e);
	if (!rc && lost && agent_nft_keep_pools(a, &ar))
		rc = err_set(e, -ENOMEM, "no memory for the pools");
	if (!rc)
		rc = (int)want.n;
	a->nft->adopted |= rc >= 0 && lost;
	arena_fini(&ar);
	return rc;
}

/* ---- a pod that comes or goes, by a list of policies that may be old */

/* `have` has the elements in doubt. */
static int send_merged(struct agent *a, const struct nft_ruleset *have,
		       const struct nft_doubts *doubts, const struct ipam_attachment *at,
		       struct arena *ar, struct err *e)
{
	struct nft_wish w = { doubts, have };
	struct nft_filter filter;
	struct nft_ruleset want;
	struct nft_table *t;
	struct nft_ops ops;

	nft_wish_filter(&w, &filter);
	nft_ruleset_init(&want, ar);
	want.filter = &filter;
	t = nft_table_add(&want, NFPROTO_INET, NFT_TABLE);
	nft_ops_init(&ops, ar);
	if (t)
		nft_policies_render(agent_policy_rules(a), t);
	if (t && !w.failed && !ar->failed)
		nft_policies_merge(t, nft_table_get(have, NFPROTO_INET, NFT_TABLE), at->addrs.v,
				   at->addrs.n, &ops);
	if (w.failed || ar->failed)
		return err_set(e, -ENOMEM, "no memory for the rules of policies");
	return ops.n ? nfnl_commit(a->nft->nl, &ops, NULL, e) : 0;
}

static int merge(struct agent *a, const struct nft_table *inet, const struct nft_ops *ops,
		 const struct ipam_attachment *at, struct arena *ar, struct err *e)
{
	struct nft_doubts doubts = { 0 };
	struct nft_ruleset have;
	int rc = nft_doubts_ops(&doubts, ops);

	if (!rc)
		rc = nft_policies_own_doubts(inet, at->addrs.v, at->addrs.n, &doubts);
	if (rc)
		err_set(e, rc, "no memory");
	nft_doubts_sort(&doubts);
	if (!rc)
		rc = agent_nft_observe(a->nft, &doubts, ar, &have, e);
	if (!rc)
		rc = send_merged(a, &have, &doubts, at, ar, e);
	nft_doubts_fini(&doubts);
	return rc;
}

int agent_nft_merge(struct agent *a, const struct nft_ops *ops, const struct ipam_attachment *at,
		    struct err *e)
{
	const struct nft_doubts none = { 0 };
	const struct nft_table *inet;
	struct nft_ruleset have;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = agent_nft_observe(a->nft, &none, &ar, &have, e);
	inet = rc ? NULL : found(&have, NFPROTO_INET);
	if (inet)
		rc = merge(a, inet, ops, at, &ar, e);
	else if (!rc)
		rc = agent_nft_restore(a, &have, e);
	arena_fini(&ar);
	return rc < 0 ? rc : 0;
}

/* ---- at start */

bool agent_nft_ran_before(const struct agent *a)
{
	return a->nft->earlier;
}

int agent_nft_start(struct agent *a, struct err *e)
{
	const struct nft_table *inet;
	struct nft_ruleset have;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = agent_nft_observe(a->nft, NULL, &ar, &have, e);
	inet = rc ? NULL : found(&have, NFPROTO_INET);
	a->nft->earlier = !rc && nft_table_get(&have, NFPROTO_INET, NFT_TABLE);
	if (inet)
		agent_service_found(a, inet);
	if (!rc)
		rc = agent_nft_restore(a, &have, e);
	arena_fini(&ar);
	return rc < 0 ? rc : 0;
}
