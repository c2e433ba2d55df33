/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counted and logged, back to policies and their rules. A chain tells the policy or the list, as its
 * name may be cut; a rule's comment ends with the rule. A counter lives as long as the kernel's rule, which its
 * handle tells from one that took its place, so what is told is growth: of each chain is kept what its rules
 * had when they were read last. */
#include "core/nft/policies_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct nft_policy_drop nft_policies_drop(const struct nft_policies *s, const struct nft_logged *p)
{
	const struct nft_policy_chain *c;
	enum policy_type type;

	if (nft_policy_is_midway(p->prefix, &type)) {
		c = nft_policy_profile_at(s, type == POLICY_EGRESS ? &p->flow.dst : &p->flow.src,
					  type);
		return (struct nft_policy_drop){ type, true, c ? c->text : NULL };
	}
	c = nft_policy_chain_named(s, p->prefix);
	if (c && !c->of_policy)
		return (struct nft_policy_drop){ c->type, false, c->text };
	/* A list that is gone; the name began with its direction. */
	type = p->prefix[0] == 'e' ? POLICY_EGRESS : POLICY_INGRESS;
	return (struct nft_policy_drop){ type, false, NULL };
}

const char *nft_policies_next(struct nft_policies *s, bool first)
{
	const struct nft_policy_chain *c = first ? s->chains : s->next;

	s->next = c ? c->hh.next : NULL;
	return c ? c->chain.name : NULL;
}

static const struct nft_stmt *counter_of(const struct nft_rule *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->v[i].kind == NFS_COUNTER)
			return &r->v[i];
	return NULL;
}

static const char *rule_of(const struct nft_policy_chain *c, const struct nft_rule *r)
{
	const char *space = strrchr(r->comment, ' ');

	if (!c->of_policy)
		return c->text;
	return space ? space + 1 : r->comment;
}

/* What the rule had. Rules keep their order, so that it most often stands where it stood. */
static struct nft_policy_read last_of(const struct nft_policy_chain *c, uint64_t handle,
				      uint32_t place)
{
	for (uint32_t i = 0; i < c->n_read; i++) {
		const struct nft_policy_read *v = &c->read[(place + i) % c->n_read];

		if (v->handle == handle)
			return *v;
	}
	return (struct nft_policy_read){ .handle = handle };
}

static int tell(const struct nft_policy_chain *c, const struct nft_rule *r,
		struct nft_policy_read *last, nft_policies_grown_fn *fn, void *arg)
{
	const struct nft_stmt *counter = counter_of(r);
	struct nft_policy_read now = { r->handle, counter->counter.packets,
				       counter->counter.bytes };
	struct nft_policy_count grown = { .type = c->type,
					  .policy = c->of_policy ? c->text : NULL,
					  .rule = rule_of(c, r),
					  .packets = now.packets,
					  .bytes = now.bytes };
	int rc;

	if (now.packets >= last->packets && now.bytes >= last->bytes) {
		grown.packets -= last->packets;
		grown.bytes -= last->bytes;
	} /* else its table was made anew, and its handle is another's */
	rc = fn(arg, &grown);
	if (!rc)
		*last = now;
	return rc;
}

int nft_policies_grown(struct nft_policies *s, const struct nft_chain *c, nft_policies_grown_fn *fn,
		       void *arg)
{
	struct nft_policy_chain *known = nft_policy_chain_named(s, c->name);
	struct nft_policy_read *read;
	uint32_t n = 0;
	int rc = 0;

	if (!known)
		return 0;
	read = calloc(c->n + 1, sizeof(*read));
	if (!read)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct nft_rule *r = c->rules[i];

		if (!counter_of(r) || !r->comment)
			continue;
		read[n] = last_of(known, r->handle, n);
		if (!rc)
			rc = tell(known, r, &read[n], fn, arg);
		n++;
	}
	free(known->read);
	known->read = read;
	known->n_read = n;
	return rc;
}
