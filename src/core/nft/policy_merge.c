// SPDX-License-Identifier: Apache-2.0
/* A pod comes or goes while only a list of policies is there that may be older than the kernel's rules.
 *
 * All of the pod's own addresses becomes as the list says, in sets too that the list does not know, as the kernel
 * can know nothing newer of it. Chains and sets that the list needs and the kernel lacks come whole: nothing but that pod
 * leads to them. Everything else stays as it is, whatever the list says of it, so that what was closed to
 * others, and for others, stays closed. */
#include "core/nft/policies_state.h"

#include "base/text.h"

struct merge {
	const struct nft_table *want, *have;
	const struct ipaddr *own;
	uint32_t n_own;
	struct nft_ops *del, *add; /* elements */
};

/* Has it addresses of pods? By a name of policy_frame.c or policy_sets.c. */
static bool has_pods(const struct nft_set *s)
{
	static const char *const heads[] = { "policy_", "pods4-", "pods6-", "named4-", "named6-" };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (!strncmp(s->name, heads[i], strlen(heads[i])))
			return true;
	return false;
}

static uint8_t type_of(const struct ipaddr *a)
{
	return a->family == AF_INET6 ? NFTY_IPV6_ADDR : NFTY_IPV4_ADDR;
}

static bool begins_with(const struct nft_set *s, const uint8_t *key, const struct ipaddr *a)
{
	uint8_t begin[NFT_KEY_MAX] = { 0 };
	uint32_t len = nft_key_addr(begin, 0, a);

	return s->key[0].type == type_of(a) && !memcmp(key, begin, len);
}

static bool is_own(const struct merge *m, const struct nft_set *s, const uint8_t *key)
{
	for (uint32_t i = 0; i < m->n_own; i++)
		if (begins_with(s, key, &m->own[i]))
			return true;
	return false;
}

static const struct nft_elem *find(const struct nft_set *s, const uint8_t *key)
{
	for (uint32_t i = 0; s && i < s->n; i++)
		if (!memcmp(s->elems[i].key, key, s->key_len))
			return &s->elems[i];
	return NULL;
}

static bool same(const struct nft_elem *a, const struct nft_elem *b)
{
	return b && a->verdict.code == b->verdict.code &&
	       text_eq_or_empty(a->verdict.chain, b->verdict.chain);
}

/* Of a set that is there; `want` NULL: the list does not know it. */
static void merge_set(struct merge *m, const struct nft_set *want, const struct nft_set *have)
{
	if (!has_pods(have))
		return;
	for (uint32_t i = 0; i < have->n; i++) {
		const struct nft_elem *e = &have->elems[i];

		if (is_own(m, have, e->key) && !same(e, find(want, e->key)))
			nft_ops_elem(m->del, NFTV_DEL_ELEMS, have, e);
	}
	for (uint32_t i = 0; want && i < want->n; i++) {
		const struct nft_elem *e = &want->elems[i];

		if (is_own(m, want, e->key) && !same(e, find(have, e->key)))
			nft_ops_elem(m->add, NFTV_ADD_ELEMS, want, e);
	}
}

/* A key of nothing but this address, as often as it has parts; 0: the set's keys have more. */
static uint32_t key_of(const struct nft_set *s, const struct ipaddr *a, uint8_t key[NFT_KEY_MAX])
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < s->n_key; i++) {
		if (s->key[i].type != type_of(a))
			return 0;
		len = nft_key_addr(key, len, a);
	}
	return len;
}

int nft_policies_own_doubts(const struct nft_table *have, const struct ipaddr *own, uint32_t n_own,
			    struct nft_doubts *out)
{
	uint8_t key[NFT_KEY_MAX] = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < have->n_sets; i++) {
		const struct nft_set *s = have->sets[i];

		for (uint32_t k = 0; has_pods(s) && k < n_own && !rc; k++)
			rc = nft_doubts_add(out, have->family, s->name, key,
					    key_of(s, &own[k], key));
	}
	return rc;
}

static void op(const struct merge *m, struct nft_ops *ops, struct nft_op v)
{
	v.family = m->want->family;
	v.table = m->want->name;
	nft_op_add(ops, &v);
}

static void new_sets(const struct merge *m, struct nft_ops *ops)
{
	for (uint32_t i = 0; i < m->want->n_sets; i++) {
		const struct nft_set *s = m->want->sets[i];

		if (nft_set_get(m->have, s->name))
			continue;
		op(m, ops, (struct nft_op){ .verb = NFTV_ADD_SET, .set = s });
		for (uint32_t k = 0; k < s->n; k++)
			nft_ops_elem(m->add, NFTV_ADD_ELEMS, s, &s->elems[k]);
	}
}

/* Chains, or the rules of these chains. */
static void new_chains(const struct merge *m, struct nft_ops *ops, bool rules)
{
	for (uint32_t i = 0; i < m->want->n_chains; i++) {
		const struct nft_chain *c = m->want->chains[i];

		if (nft_chain_get(m->have, c->name))
			continue;
		if (!rules)
			op(m, ops,
			   (struct nft_op){ .verb = NFTV_ADD_CHAIN, .chain = c->name, .c = c });
		for (uint32_t k = 0; rules && k < c->n; k++)
			op(m, ops,
			   (struct nft_op){
				   .verb = NFTV_ADD_RULE, .chain = c->name, .rule = c->rules[k] });
	}
}

static void append(struct nft_ops *to, const struct nft_ops *ops)
{
	for (uint32_t i = 0; i < ops->n; i++)
		nft_op_add(to, &ops->v[i]);
}

void nft_policies_merge(const struct nft_table *want, const struct nft_table *have,
			const struct ipaddr *own, uint32_t n_own, struct nft_ops *ops)
{
	struct nft_ops del, add;
	struct merge m = { want, have, own, n_own, &del, &add };

	nft_ops_init(&del, ops->arena);
	nft_ops_init(&add, ops->arena);
	new_sets(&m, ops);
	new_chains(&m, ops, false);
	for (uint32_t i = 0; i < have->n_sets; i++)
		merge_set(&m, nft_set_get(want, have->sets[i]->name), have->sets[i]);
	append(ops, &del);
	append(ops, &add);
	new_chains(&m, ops, true);
	if (ops->n)
		nft_ops_step(ops);
}
