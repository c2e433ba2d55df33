/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of policies: which there are, who uses them, and what of them the kernel has. A chain whose
 * rules changed is flushed and filled in the transaction of the change: no packet sees it empty. */
#include "base/hash.h"
#include "core/nft/policies_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void queue(struct nft_policies *s, struct nft_policy_chain *c)
{
	if (c->queued)
		return;
	c->queued = true;
	DL_APPEND(s->chains_queue, c);
}

void nft_policy_chain_release(struct nft_policies *s, struct nft_policy_chain *c)
{
	if (c && !--c->users)
		queue(s, c);
}

/* ---- making one */

#define HEAD 16

/* "egress4" */
static const char *head_of(enum policy_type type, unsigned family, char out[HEAD])
{
	snprintf(out, HEAD, "%s%c", name_of(&policy_way_names, type),
		 nft_service_families[family].digit);
	return out;
}

static void chain_free(struct nft_policies *s, struct nft_policy_chain *c)
{
	if (c->chain.name)
		nft_policy_name_drop(s, c->chain.name);
	nft_policy_rules_fini(s, &c->rules);
	free(c->jumps);
	free(c->read);
	free(c->text);
	free(c->key);
	free(c);
}

static const char *take_name(struct nft_policies *s, struct nft_policy_chain *c, bool profile)
{
	char head[HEAD], name[NFT_POLICY_NAME + 1], *long_name;
	const char *taken;

	head_of(c->type, c->family, head);
	if (profile) {
		snprintf(name, sizeof(name), "%s-%016" PRIx64, head,
			 fnv64_text(FNV64_START, c->text));
		return nft_policy_name_take(s, name, c);
	}
	long_name = malloc(strlen(head) + strlen(c->text) + 2);
	if (!long_name)
		return NULL;
	sprintf(long_name, "%s-%s", head, c->text);
	taken = nft_policy_name_take(s, nft_policy_cut(long_name, NFT_POLICY_NAME, '-', name), c);
	free(long_name);
	return taken;
}

/* A key tells a profile of one policy from that policy's own chain. */
static char *key_of(enum policy_type type, unsigned family, bool profile, const char *text)
{
	size_t n = strlen(text) + 4;
	char *key = malloc(n);

	if (key)
		snprintf(key, n, "%c%u%c%s", profile ? 'P' : 'p', type * 2 + family, ' ', text);
	return key;
}

static struct nft_policy_chain *find(const struct nft_policies *s, const char *key)
{
	struct nft_policy_chain *c;

	HASH_FIND_STR(s->chains, key, c);
	return c;
}

/* Without rules yet; `key` goes over to it, also where it fails. */
static struct nft_policy_chain *make(struct nft_policies *s, char *key, enum policy_type type,
				     unsigned family)
{
	struct nft_policy_chain *c = calloc(1, sizeof(*c));

	if (!c) {
		free(key);
		return NULL;
	}
	c->key = key;
	c->type = (uint8_t)type;
	c->family = (uint8_t)family;
	c->text = strdup(key + 3);
	c->chain.table = s->table;
	c->chain.name = c->text ? take_name(s, c, *key == 'P') : NULL;
	if (c->chain.name)
		HASH_ADD_KEYPTR(hh, s->chains, c->key, strlen(c->key), c);
	if (c->hh.tbl)
		return c;
	chain_free(s, c);
	return NULL;
}

static void unlist(struct nft_policies *s, struct nft_policy_chain *c)
{
	if (s->next == c)
		s->next = c->hh.next;
	HASH_DEL(s->chains, c);
}

static void drop(struct nft_policies *s, struct nft_policy_chain *c)
{
	unlist(s, c);
	chain_free(s, c);
}

/* ---- of a policy */

static int compile(struct nft_policies *s, struct nft_policy_chain *c,
		   const struct network_policy *p)
{
	struct nft_policy_rules rules = { .n = 0 };

	if (nft_policy_compile(s, p, c->type, c->family, &rules))
		return -ENOMEM;
	if (nft_policy_rules_same(&rules, &c->rules)) {
		nft_policy_rules_fini(s, &rules);
		return 0;
	}
	c->narrowed |= !nft_policy_rules_cover(&rules, &c->rules);
	c->stale = true;
	nft_policy_rules_fini(s, &c->rules);
	c->rules = rules;
	queue(s, c);
	return 0;
}

static struct nft_policy_chain *policy_chain(struct nft_policies *s, const struct network_policy *p,
					     enum policy_type type, unsigned family)
{
	const struct meta *m = &p->meta;
	char text[NS_MAX_LEN + NAME_MAX_LEN + 2], *key;
	struct nft_policy_chain *c;

	snprintf(text, sizeof(text), "%s/%s", m->namespace, m->name);
	key = key_of(type, family, false, text);
	c = key ? find(s, key) : NULL;
	if (c || !key) {
		free(key);
	} else {
		c = make(s, key, type, family);
		if (c && compile(s, c, p)) {
			drop(s, c);
			return NULL;
		}
	}
	if (!c)
		return NULL;
	c->of_policy = true;
	c->users++;
	queue(s, c);
	return c;
}

#define CHAINS_OF_ONE 4

/* Those that a policy has: none, or one for a direction and family. 0 or -ENOMEM. */
static int chains_of(const struct nft_policies *s, const char *ns, const char *name,
		     struct nft_policy_chain *out[CHAINS_OF_ONE], unsigned *n)
{
	char text[NS_MAX_LEN + NAME_MAX_LEN + 2];

	*n = 0;
	snprintf(text, sizeof(text), "%s/%s", ns, name);
	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
		for (unsigned f = 0; f < 2; f++) {
			char *key = key_of(t, f, false, text);

			if (!key)
				return -ENOMEM;
			out[*n] = find(s, key);
			*n += out[*n] != NULL;
			free(key);
		}
	return 0;
}

int nft_policy_changed(struct nft_policies *s, const struct policy_name *policy)
{
	const struct network_policy *p = policy_index_policy(s->index, policy->ns, policy->name);
	struct nft_policy_chain *v[CHAINS_OF_ONE];
	unsigned n;
	int rc;

	if (!p)
		return 0; /* whom it isolated changes too, and nobody will use it */
	rc = chains_of(s, policy->ns, policy->name, v, &n);
	for (unsigned i = 0; i < n && !rc; i++)
		rc = compile(s, v[i], p);
	return rc;
}

int nft_policies_narrow(struct nft_policies *s, const char *ns, const char *name)
{
	struct nft_policy_chain *v[CHAINS_OF_ONE];
	unsigned n;
	int rc = chains_of(s, ns, name, v, &n);

	for (unsigned i = 0; i < n && !rc; i++)
		v[i]->narrowed = true;
	return rc;
}

/* ---- profiles */

static char *list_text(const struct policy_subject *v, enum policy_type type)
{
	struct buf b = { 0 };

	if (v->closed[type])
		return strdup(v->closed[type]);
	for (uint32_t i = 0; i < v->isolating[type].n; i++) {
		const struct meta *m = &v->isolating[type].v[i]->meta;

		buf_printf(&b, "%s%s/%s", i ? ", " : "", m->namespace, m->name);
	}
	if (!b.failed)
		return b.v;
	buf_fini(&b);
	return NULL;
}

static int fill_profile(struct nft_policies *s, struct nft_policy_chain *c,
			const struct policy_subject *v)
{
	uint32_t n = v->isolating[c->type].n;

	c->jumps = calloc(n + 1, sizeof(struct nft_policy_chain *));
	if (!c->jumps)
		return -ENOMEM;
	for (; c->n_jumps < n; c->n_jumps++) {
		c->jumps[c->n_jumps] =
			policy_chain(s, v->isolating[c->type].v[c->n_jumps], c->type, c->family);
		if (!c->jumps[c->n_jumps])
			return -ENOMEM;
	}
	return 0;
}

static void let_go(struct nft_policies *s, struct nft_policy_chain *c)
{
	for (uint32_t i = 0; i < c->n_jumps; i++)
		nft_policy_chain_release(s, c->jumps[i]);
	c->n_jumps = 0;
}

struct nft_policy_chain *nft_policy_profile(struct nft_policies *s,
					    const struct policy_subject *subject,
					    enum policy_type type, unsigned family)
{
	char *text = list_text(subject, type);
	char *key = text ? key_of(type, family, true, text) : NULL;
	struct nft_policy_chain *c = key ? find(s, key) : NULL;

	free(text);
	if (c || !key) {
		free(key);
	} else {
		c = make(s, key, type, family);
		if (c && fill_profile(s, c, subject)) {
			let_go(s, c);
			drop(s, c);
			return NULL;
		}
	}
	if (!c)
		return NULL;
	c->users++;
	queue(s, c);
	return c;
}

/* ---- operations */

void nft_policy_chains_settle(struct nft_policies *s)
{
	struct nft_policy_chain *c;

	DL_FOREACH(s->chains_queue, c)
	{
		if (!c->of_policy && !c->users)
			let_go(s, c);
	}
	DL_FOREACH(s->chains_queue, c)
	{
		if (c->of_policy && !c->users)
			nft_policy_rules_fini(s, &c->rules);
	}
}

static struct nft_op op_of(uint8_t verb, const struct nft_policy_chain *c)
{
	return (struct nft_op){ .verb = verb,
				.family = NFPROTO_INET,
				.table = NFT_TABLE,
				.chain = c->chain.name,
				.c = &c->chain };
}

static void op(struct nft_ops *ops, uint8_t verb, const struct nft_policy_chain *c)
{
	struct nft_op v = op_of(verb, c);

	nft_op_add(ops, &v);
}

void nft_policy_chains_add(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_chain *c;

	DL_FOREACH(s->chains_queue, c)
	{
		if (c->users && !c->sent)
			op(ops, NFTV_ADD_CHAIN, c);
	}
}

static void fill(struct nft_policies *s, struct nft_ops *ops, struct nft_policy_chain *c)
{
	struct nft_op v = op_of(NFTV_ADD_RULE, c);
	struct nft_chain *made;
	struct nft_ruleset rs;

	nft_ruleset_init(&rs, ops->arena);
	made = nft_chain_add(nft_table_add(&rs, NFPROTO_INET, NFT_TABLE), c->chain.name);
	if (!made)
		return;
	nft_policy_chain_rules(s, c, made);
	for (uint32_t i = 0; i < made->n; i++) {
		v.rule = made->rules[i];
		nft_op_add(ops, &v);
	}
}

void nft_policy_chains_fill(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_chain *c, *next;

	DL_FOREACH_SAFE(s->chains_queue, c, next)
	{
		if (!c->users)
			continue;
		DL_DELETE(s->chains_queue, c);
		c->queued = false;
		if (c->sent && c->stale)
			op(ops, NFTV_FLUSH_CHAIN, c);
		if (!c->sent || c->stale)
			fill(s, ops, c);
		c->sent = true;
		c->stale = false;
	}
}

/* Profiles jump to policies: all are emptied before one goes. */
void nft_policy_chains_end(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_chain *c, *next;

	DL_FOREACH(s->chains_queue, c)
	{
		if (c->sent)
			op(ops, NFTV_FLUSH_CHAIN, c);
	}
	DL_FOREACH_SAFE(s->chains_queue, c, next)
	{
		if (c->sent)
			op(ops, NFTV_DEL_CHAIN, c);
		DL_DELETE(s->chains_queue, c);
		unlist(s, c);
		DL_APPEND(s->chains_dead, c);
	}
}

void nft_policy_chains_bury(struct nft_policies *s)
{
	struct nft_policy_chain *c, *next;

	DL_FOREACH_SAFE(s->chains_dead, c, next)
	{
		DL_DELETE(s->chains_dead, c);
		chain_free(s, c);
	}
}
