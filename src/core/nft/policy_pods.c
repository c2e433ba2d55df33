/* SPDX-License-Identifier: Apache-2.0 */
/* Pods of this node that are isolated: which profile each of their addresses leads to. An address
 * belongs to the pod that claimed it last: where the agent hears of a new pod before it hears of the
 * end of the one that had the address, the end takes nothing away. */
#include "core/nft/policies_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void queue(struct nft_policies *s, struct nft_policy_address *a)
{
	if (a->queued)
		return;
	a->queued = true;
	DL_APPEND(s->addresses_queue, a);
}

static struct nft_policy_address *address(struct nft_policies *s, const struct ipaddr *addr,
					  bool make)
{
	struct nft_policy_address *a;

	HASH_FIND(hh, s->addresses, addr, sizeof(*addr), a);
	if (a || !make)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->addr = *addr;
	HASH_ADD(hh, s->addresses, addr, sizeof(a->addr), a);
	if (a->hh.tbl)
		return a;
	free(a);
	return NULL;
}

static unsigned family_of(const struct ipaddr *a)
{
	return a->family == AF_INET6;
}

/* ---- pods */

static void unclaim(struct nft_policies *s, struct nft_policy_pod *p)
{
	for (uint32_t i = 0; i < p->n_addrs; i++) {
		struct nft_policy_address *a = address(s, &p->addrs[i], false);

		if (!a || a->pod != p)
			continue;
		a->pod = NULL;
		memset(a->wanted, 0, sizeof(a->wanted));
		queue(s, a);
	}
}

static int claim(struct nft_policies *s, struct nft_policy_pod *p)
{
	for (uint32_t i = 0; i < p->n_addrs; i++) {
		struct nft_policy_address *a = address(s, &p->addrs[i], true);

		if (!a)
			return -ENOMEM;
		a->pod = p;
		for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
			a->wanted[t] = p->profiles[t][family_of(&a->addr)];
		queue(s, a);
	}
	return 0;
}

static void pod_free(struct nft_policies *s, struct nft_policy_pod *p)
{
	unclaim(s, p);
	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
		for (unsigned f = 0; f < 2; f++)
			nft_policy_chain_release(s, p->profiles[t][f]);
	DL_DELETE(s->pods, p);
	free(p->addrs);
	free(p->ns);
	free(p->name);
	free(p);
}

static struct nft_policy_pod *pod_new(struct nft_policies *s, const struct policy_subject *v)
{
	struct nft_policy_pod *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	DL_APPEND(s->pods, p);
	p->ns = strdup(v->ns);
	p->name = strdup(v->name);
	if (p->ns && p->name)
		return p;
	pod_free(s, p);
	return NULL;
}

static bool is_isolated(const struct policy_subject *v, enum policy_type type)
{
	return v->closed[type] || v->isolating[type].n;
}

static bool has_family(const struct policy_subject *v, unsigned family)
{
	for (uint32_t i = 0; i < v->n_addrs; i++)
		if (family_of(&v->addrs[i]) == family)
			return true;
	return false;
}

static bool jumps_to(const struct nft_policy_chain *profile, const struct nft_policy_chain *to)
{
	for (uint32_t i = 0; i < profile->n_jumps; i++)
		if (profile->jumps[i] == to)
			return true;
	return false;
}

/* Does the new profile lack a policy that the old one had? What came before a pod was closed, nobody judged. */
static bool narrows(const struct nft_policy_chain *old, const struct nft_policy_chain *now)
{
	if (!now || old == now)
		return false;
	if (old && !old->n_jumps)
		return true;
	for (uint32_t i = 0; old && i < old->n_jumps; i++)
		if (!jumps_to(now, old->jumps[i]))
			return true;
	return !old;
}

static int new_profile(struct nft_policies *s, struct nft_policy_pod *p,
		       const struct policy_subject *v, enum policy_type type, unsigned family)
{
	struct nft_policy_chain *old = p->profiles[type][family], *now = NULL;

	if (is_isolated(v, type) && has_family(v, family)) {
		now = nft_policy_profile(s, v, type, family);
		if (!now)
			return -ENOMEM;
	}
	p->narrowed[type] |= narrows(old, now);
	p->profiles[type][family] = now;
	nft_policy_chain_release(s, old);
	return 0;
}

static int new_addresses(struct nft_policies *s, struct nft_policy_pod *p,
			 const struct policy_subject *v)
{
	struct ipaddr *addrs = malloc((v->n_addrs + 1) * sizeof(*addrs));

	if (!addrs)
		return -ENOMEM;
	if (v->n_addrs)
		memcpy(addrs, v->addrs, v->n_addrs * sizeof(*addrs));
	unclaim(s, p);
	free(p->addrs);
	p->addrs = addrs;
	p->n_addrs = v->n_addrs;
	return claim(s, p);
}

int nft_policy_subject(struct nft_policies *s, struct policy_subject *v)
{
	bool isolated =
		v->n_addrs && (is_isolated(v, POLICY_INGRESS) || is_isolated(v, POLICY_EGRESS));
	struct nft_policy_pod *p = v->reader;
	int rc = 0;

	if (!isolated) {
		if (p)
			pod_free(s, p);
		v->reader = NULL;
		return 0;
	}
	if (!p)
		p = v->reader = pod_new(s, v);
	if (!p)
		return -ENOMEM;
	for (unsigned i = 0; i < 4 && !rc; i++)
		rc = new_profile(s, p, v, POLICY_INGRESS + i / 2, i % 2);
	return rc ? rc : new_addresses(s, p, v);
}

void nft_policy_pods_fini(struct nft_policies *s)
{
	struct nft_policy_address *a, *next_address;
	struct nft_policy_pod *p, *next;

	DL_FOREACH_SAFE(s->pods, p, next)
	{
		pod_free(s, p);
	}
	HASH_ITER(hh, s->addresses, a, next_address)
	{
		HASH_DEL(s->addresses, a);
		free(a);
	}
}

/* ---- elements */

static bool any(struct nft_policy_chain *const *v)
{
	return v[POLICY_INGRESS] || v[POLICY_EGRESS];
}

static void elem(struct nft_ops *ops, bool add, const struct nft_set *set, const uint8_t *key,
		 const struct nft_policy_chain *to)
{
	struct nft_elem e = { .key = key };

	if (to)
		e.verdict = (struct nft_verdict){ NFT_JUMP, to->chain.name };
	nft_ops_elem(ops, add ? NFTV_ADD_ELEMS : NFTV_DEL_ELEMS, set, &e);
}

static void self_key(uint8_t key[NFT_KEY_MAX], const struct ipaddr *a)
{
	memset(key, 0, NFT_KEY_MAX);
	nft_key_addr(key, nft_key_addr(key, 0, a), a);
}

/* What it leads to no longer, or what it leads to now. */
static void change(const struct nft_policies *s, struct nft_ops *ops,
		   const struct nft_policy_address *a, bool add)
{
	unsigned f = family_of(&a->addr);
	uint8_t self[NFT_KEY_MAX];

	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++) {
		const struct nft_policy_chain *has = add ? a->sent[t] : a->wanted[t],
					      *gets = add ? a->wanted[t] : a->sent[t];

		if (!gets || has == gets)
			continue;
		elem(ops, add, s->frame.verdicts[t][f], a->addr.b, gets);
		if (!has)
			elem(ops, add, s->frame.isolated[t][f], a->addr.b, NULL);
	}
	if (any(add ? a->sent : a->wanted) || !any(add ? a->wanted : a->sent))
		return;
	self_key(self, &a->addr);
	elem(ops, add, s->frame.self[f], self, NULL);
}

const struct nft_policy_chain *nft_policy_profile_at(const struct nft_policies *s,
						     const struct ipaddr *addr,
						     enum policy_type type)
{
	const struct nft_policy_address *a;

	HASH_FIND(hh, s->addresses, addr, sizeof(*addr), a);
	return a ? a->sent[type] : NULL;
}

void nft_policy_addresses(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_address *a, *next;

	DL_FOREACH(s->addresses_queue, a)
	{
		change(s, ops, a, false);
	}
	DL_FOREACH_SAFE(s->addresses_queue, a, next)
	{
		change(s, ops, a, true);
		memcpy(a->sent, a->wanted, sizeof(a->sent));
		DL_DELETE(s->addresses_queue, a);
		a->queued = false;
		if (a->pod)
			continue;
		HASH_DEL(s->addresses, a);
		free(a);
	}
}

void nft_policy_address_render(const struct nft_policies *s, const struct nft_policy_address *a,
			       struct nft_table *t)
{
	unsigned f = family_of(&a->addr);
	uint8_t self[NFT_KEY_MAX];

	for (unsigned i = POLICY_INGRESS; i <= POLICY_EGRESS; i++) {
		struct nft_elem e = { .key = a->addr.b };

		if (!a->sent[i])
			continue;
		nft_elem_add(nft_set_get(t, s->frame.isolated[i][f]->name), &e);
		e.verdict = (struct nft_verdict){ NFT_JUMP, a->sent[i]->chain.name };
		nft_elem_add(nft_set_get(t, s->frame.verdicts[i][f]->name), &e);
	}
	if (!any(a->sent))
		return;
	self_key(self, &a->addr);
	nft_elem_add(nft_set_get(t, s->frame.self[f]->name), &(struct nft_elem){ .key = self });
}
