/* SPDX-License-Identifier: Apache-2.0 */
/* What Services claim of the world, and whose claim the kernel has: see services_state.h. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a fact's elements say before and after its holders change. */
const struct nft_holder *nft_fact_first(const struct nft_fact *f)
{
	return f && f->n ? &f->holders[0] : NULL;
}

struct nft_fact *nft_fact_get(const struct nft_services *s, const struct nft_fact_key *key)
{
	struct nft_fact *f;

	HASH_FIND(hh, s->facts, key, sizeof(*key), f);
	return f;
}

static bool is_front(const struct nft_fact_key *key)
{
	return key->kind == NFT_FACT_FRONT || key->kind == NFT_FACT_NODE_PORT;
}

static struct nft_fact *fact_make(struct nft_services *s, const struct nft_fact_key *key)
{
	struct nft_fact *f = nft_fact_get(s, key);

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *key;
	HASH_ADD(hh, s->facts, key, sizeof(f->key), f);
	if (!f->hh.tbl) {
		free(f);
		return NULL;
	}
	s->n_fronts += is_front(key);
	return f;
}

static uint32_t holder_at(const struct nft_fact *f, const char *key)
{
	uint32_t i = 0;

	while (i < f->n && strcmp(f->holders[i].service->key, key) < 0)
		i++;
	return i;
}

/* Of `service`, NULL: it holds nothing here. */
static struct nft_holder *holder_of(const struct nft_fact *f, const struct nft_service *service)
{
	uint32_t i = holder_at(f, service->key);

	return i < f->n && f->holders[i].service == service ? &f->holders[i] : NULL;
}

static void say(struct nft_services *s, struct nft_ops *ops, const struct nft_fact_key *key,
		const struct nft_holder *old, const struct nft_holder *now)
{
	const struct nft_sink to = { .ops = ops };

	switch ((enum nft_fact_kind)key->kind) {
	case NFT_FACT_FRONT:
	case NFT_FACT_NODE_PORT:
		nft_front_elems(s, &to, key, old, now);
		return;
	case NFT_FACT_CLUSTER_IP:
	case NFT_FACT_LEFT_IP:
	case NFT_FACT_HAIRPIN:
		if (!old != !now)
			nft_address_elem(s, &to, key, now);
		return;
	case NFT_FACT_AFFINITY6:
		return;
	}
}

/* The service holds the fact from now on, with this value. */
int nft_fact_hold(struct nft_putting *p, const struct nft_fact_key *key,
		  const struct nft_front_value *value)
{
	const struct nft_holder now = { p->service, *value };
	struct nft_fact *f = fact_make(p->s, key);
	struct nft_holder *mine, *v;
	struct nft_holder old;
	bool had;
	uint32_t i;

	if (!f)
		return -ENOMEM;
	if (value->id || value->refuse)
		for (i = 0; i < p->n_facts; i++)
			if (p->facts[i] == f)
				return 0; /* two of the Service's own: the first is it */
	had = f->n;
	old = had ? f->holders[0] : now;
	mine = holder_of(f, p->service);
	if (mine) {
		*mine = now;
	} else {
		i = holder_at(f, p->service->key);
		v = realloc(f->holders, (f->n + 1) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		memmove(&v[i + 1], &v[i], (f->n - i) * sizeof(*v));
		v[i] = now;
		f->holders = v;
		f->n++;
	}
	say(p->s, p->ops, key, had ? &old : NULL, nft_fact_first(f));
	if (p->n_facts == p->cap_facts) {
		uint32_t cap = p->cap_facts ? 2 * p->cap_facts : 8;
		struct nft_fact **w = realloc(p->facts, cap * sizeof(*w));

		if (!w)
			return -ENOMEM;
		p->facts = w;
		p->cap_facts = cap;
	}
	p->facts[p->n_facts++] = f;
	return 0;
}

void nft_fact_release(struct nft_services *s, struct nft_ops *ops, struct nft_fact *f,
		      const struct nft_service *service)
{
	struct nft_holder *mine = holder_of(f, service);
	struct nft_holder old;

	if (!mine)
		return;
	old = f->holders[0];
	memmove(mine, mine + 1, (size_t)(&f->holders[--f->n] - mine) * sizeof(*mine));
	say(s, ops, &f->key, &old, nft_fact_first(f));
	if (f->n)
		return;
	s->n_fronts -= is_front(&f->key);
	HASH_DEL(s->facts, f);
	free(f->holders);
	free(f);
}

/* ---- keys */

struct nft_fact_key nft_fact_key(uint8_t kind, const struct ipaddr *ip, uint8_t family)
{
	struct nft_fact_key k = { .kind = kind, .family = family };

	if (ip)
		memcpy(k.ip, ip->b, sizeof(k.ip));
	return k;
}

struct nft_fact_key nft_front_fact(const struct svc_plan *plan, const struct svc_front *f)
{
	bool at_node = !f->address.family;
	struct nft_fact_key k = nft_fact_key(at_node ? NFT_FACT_NODE_PORT : NFT_FACT_FRONT,
					     at_node ? NULL : &f->address, plan->family);

	k.proto = f->port->proto;
	k.port = f->number;
	return k;
}

const char *nft_services_holder(const struct nft_services *s, const struct svc_plan *plan,
				const struct svc_front *f)
{
	struct nft_fact_key key = nft_front_fact(plan, f);
	const struct nft_holder *first = nft_fact_first(nft_fact_get(s, &key));

	return first ? first->service->key : NULL;
}
