/* SPDX-License-Identifier: Apache-2.0 */
/* policies: see policies.h. A put takes what changed in the index, and says it in an order in which
 * each operation finds what it refers to: sets and chains that are new, members, rules, which address leads
 * where; then what nobody uses any more, chains before the sets that they looked up. */
#include "core/nft/policies_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- put */

static int take(struct nft_policies *s, struct err *e)
{
	struct policy_subject *subject;
	struct policy_name policy;
	int rc = 0;

	if (s->again)
		policy_index_again(s->index);
	while (!rc && policy_index_take_policy(s->index, &policy))
		if (nft_policy_changed(s, &policy))
			rc = err_set(e, -ENOMEM, "no memory for policy %s/%s", policy.ns,
				     policy.name);
	while (!rc && !(rc = policy_index_take_subject(s->index, &subject, e)) && subject)
		if (nft_policy_subject(s, subject))
			rc = err_set(e, -ENOMEM, "no memory for the policies of pod %s/%s",
				     subject->ns, subject->name);
	return rc;
}

int nft_policies_put(struct nft_policies *s, struct nft_ops *ops, struct err *e)
{
	uint32_t before = ops->n;
	int rc;

	nft_policy_chains_bury(s);
	nft_policy_sets_bury(s);
	rc = take(s, e);
	nft_policy_chains_settle(s);
	nft_policy_sets_add(s, ops);
	nft_policy_members(s, ops);
	nft_policy_chains_add(s, ops);
	nft_policy_chains_fill(s, ops);
	nft_policy_addresses(s, ops);
	nft_policy_chains_end(s, ops);
	nft_policy_sets_end(s, ops);
	if (ops->n > before)
		nft_ops_step(ops);
	if (!rc && ops->arena->failed)
		rc = err_set(e, -ENOMEM, "no memory for operations of policies");
	s->again = rc != 0;
	return rc;
}

/* ---- everything */

void nft_policies_render(const struct nft_policies *s, struct nft_table *t)
{
	nft_policy_frame(t);
	for (const struct nft_policy_set *v = s->sets; v; v = v->hh.next)
		if (v->sent)
			nft_policy_set_render(v, t);
	for (const struct nft_policy_chain *c = s->chains; c; c = c->hh.next)
		if (c->sent)
			nft_policy_chain_rules(s, c, nft_chain_add(t, c->chain.name));
	for (const struct nft_policy_address *a = s->addresses; a; a = a->hh.next)
		nft_policy_address_render(s, a, t);
}

void nft_policies_count(const struct nft_policies *s, struct nft_policies_stats *out)
{
	const struct nft_policy_pod *p;

	*out = (struct nft_policies_stats){ .sets = HASH_COUNT(s->sets) };
	DL_COUNT(s->pods, p, out->pods);
	for (const struct nft_policy_chain *c = s->chains; c; c = c->hh.next) {
		out->chains++;
		out->rules += c->rules.n;
	}
}

/* ---- what a put narrowed */

/* NOLINTNEXTLINE(misc-no-recursion): policies have no jumps */
static bool chain_narrowed(const struct nft_policy_chain *c)
{
	bool narrowed = c->narrowed;

	for (uint32_t i = 0; i < c->n_jumps && !narrowed; i++)
		narrowed = chain_narrowed(c->jumps[i]);
	for (uint32_t i = 0; i < c->rules.n && !narrowed; i++) {
		const struct nft_policy_rule *r = &c->rules.v[i];

		narrowed = (r->set && r->set->narrowed) || (r->ports.set && r->ports.set->narrowed);
	}
	return narrowed;
}

void nft_policies_narrowed(struct nft_policies *s, nft_policies_narrowed_fn *fn, void *arg)
{
	struct nft_policy_pod *p;

	DL_FOREACH(s->pods, p)
	{
		for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++) {
			bool narrowed = p->narrowed[t];

			for (unsigned f = 0; f < 2 && !narrowed; f++)
				narrowed = p->profiles[t][f] && chain_narrowed(p->profiles[t][f]);
			if (narrowed)
				fn(arg, p->ns, p->name, t);
		}
	}
}

void nft_policies_looked(struct nft_policies *s)
{
	struct nft_policy_pod *p;

	DL_FOREACH(s->pods, p)
	{
		memset(p->narrowed, 0, sizeof(p->narrowed));
	}
	for (struct nft_policy_chain *c = s->chains; c; c = c->hh.next)
		c->narrowed = false;
	for (struct nft_policy_set *v = s->sets; v; v = v->hh.next)
		v->narrowed = false;
}

/* ---- life */

struct nft_policies *nft_policies_new(struct policy_index *x)
{
	struct nft_policies *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->index = x;
	arena_init(&s->mem, 0);
	arena_init(&s->scratch, 0);
	nft_ruleset_init(&s->rs, &s->mem);
	s->table = nft_table_add(&s->rs, NFPROTO_INET, NFT_TABLE);
	if (s->table)
		nft_policy_frame(s->table);
	if (s->table && !s->mem.failed) {
		nft_policy_find_sets(s->table, &s->frame);
		return s;
	}
	nft_policies_free(s);
	return NULL;
}

/* All that is left has no user then. */
void nft_policies_free(struct nft_policies *s)
{
	struct nft_ops none;

	if (!s)
		return;
	nft_policy_pods_fini(s);
	arena_reset(&s->scratch);
	nft_ops_init(&none, &s->scratch);
	nft_policy_chains_settle(s);
	nft_policy_chains_end(s, &none);
	nft_policy_sets_end(s, &none);
	nft_policy_chains_bury(s);
	nft_policy_sets_bury(s);
	arena_fini(&s->scratch);
	arena_fini(&s->mem);
	free(s);
}
