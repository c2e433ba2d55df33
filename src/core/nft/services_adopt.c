/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier run left in the kernel → ids, slots and numbers of choices, for the Services
 * that will be found to have been there. Everything here is a hint: what does not fit is not
 * taken, and the audit after it brings the kernel to what is wanted. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint16_t port16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint8_t nft_adopted_proto(uint8_t number)
{
	for (unsigned i = PROTO_TCP; i <= PROTO_SCTP; i++)
		if (nft_service_transports[i].number == number)
			return (uint8_t)i;
	return PROTO_NONE;
}

/* ---- groups */

static struct nft_adopted_group *group_of(struct nft_services *s, uint32_t id, bool make)
{
	struct nft_adopted_group *g;

	HASH_FIND(hh, s->adopted.groups, &id, sizeof(id), g);
	if (g || !make || !id || id > NFT_SERVICE_ID_MASK)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->id = id;
	nft_id_use(s, id); /* until it is known whose it is */
	HASH_ADD(hh, s->adopted.groups, id, sizeof(g->id), g);
	return g;
}

static int put_slot(struct nft_adopted_group *g, uint32_t slot, const struct nft_slot *v)
{
	if (slot >= NFT_SERVICE_SLOTS)
		return 0;
	if (slot >= g->cap) {
		uint32_t cap = g->cap ? g->cap : 8;
		struct nft_slot *w;

		while (cap <= slot)
			cap *= 2;
		w = realloc(g->slots, cap * sizeof(*w));
		if (!w)
			return -ENOMEM;
		memset(&w[g->cap], 0, (cap - g->cap) * sizeof(*w));
		g->slots = w;
		g->cap = cap;
	}
	if (slot >= g->n)
		g->n = slot + 1;
	g->slots[slot] = *v;
	return 0;
}

static void endpoint_from(const uint8_t *data, unsigned family, struct nft_slot *out)
{
	uint32_t len = family ? 16 : 4;

	memcpy(out->ip, data, len);
	out->port = port16(data + len);
}

static int adopt_endpoints(struct nft_services *s, const struct nft_set *have, unsigned family,
			   uint8_t proto)
{
	for (uint32_t i = 0; have && i < have->n; i++) {
		const struct nft_elem *e = &have->elems[i];
		struct nft_adopted_group *g = group_of(s, u32(e->key), true);
		struct nft_slot v = { .kept = 0 };

		if (!g || !e->data || have->data_len < (family ? 18 : 6))
			continue;
		endpoint_from(e->data, family, &v);
		g->family = family ? AF_INET6 : AF_INET;
		g->proto = proto;
		if (put_slot(g, u32(e->key + 4), &v))
			return -ENOMEM;
	}
	return 0;
}

struct kept {
	uint32_t id;
	uint8_t family, proto;
	struct nft_slot slot;
	UT_hash_handle hh;
};

static int read_kept(struct nft_services *s, const struct nft_set *have, unsigned family,
		     uint8_t proto, struct arena *mem, struct kept **all)
{
	for (uint32_t i = 0; have && i < have->n; i++) {
		const struct nft_elem *e = &have->elems[i];
		struct kept *k = arena_alloc(mem, sizeof(*k));

		if (!k)
			return -ENOMEM;
		if (!e->data || have->data_len < (family ? 18 : 6))
			continue;
		k->id = u32(e->key);
		if (k->id <= NFT_SERVICE_ID_MASK)
			continue;
		k->family = family ? AF_INET6 : AF_INET;
		k->proto = proto;
		endpoint_from(e->data, family, &k->slot);
		k->slot.kept = k->id;
		if (k->id > s->next_kept)
			s->next_kept = k->id;
		HASH_ADD(hh, *all, id, sizeof(k->id), k);
	}
	return 0;
}

static int adopt_kept(struct nft_services *s, const struct nft_set *have, const struct kept *all)
{
	for (uint32_t i = 0; have && i < have->n; i++) {
		const struct nft_elem *e = &have->elems[i];
		struct nft_adopted_group *g;
		const struct kept *k;
		uint32_t id;

		if (!e->data)
			continue;
		id = u32(e->data);
		HASH_FIND(hh, all, &id, sizeof(id), k);
		g = k ? group_of(s, u32(e->key), true) : NULL;
		if (!g)
			continue;
		g->family = k->family;
		g->proto = k->proto;
		if (put_slot(g, u32(e->key + 4), &k->slot))
			return -ENOMEM;
	}
	return 0;
}

/* ---- fronts, choosers, choices */

static int adopt_fronts(struct nft_services *s, const struct nft_set *have, unsigned family,
			bool at_node)
{
	uint32_t len = family ? 16 : 4;

	for (uint32_t i = 0; have && i < have->n; i++) {
		const struct nft_elem *e = &have->elems[i];
		struct nft_adopted_front *f = calloc(1, sizeof(*f));

		if (!f)
			return -ENOMEM;
		f->key.kind = at_node ? NFT_FACT_NODE_PORT : NFT_FACT_FRONT;
		f->key.family = family ? AF_INET6 : AF_INET;
		f->key.proto = nft_adopted_proto(e->key[0]);
		if (!at_node)
			memcpy(f->key.ip, e->key + 4, len);
		f->key.port = port16(e->key + 4 + (at_node ? 0 : len));
		f->id = e->data ? u32(e->data) : 0;
		HASH_ADD(hh, s->adopted.fronts, key, sizeof(f->key), f);
	}
	return 0;
}

static int adopt_ways(struct nft_services *s, const struct nft_set *have, unsigned group)
{
	for (uint32_t i = 0; have && i < have->n; i++) {
		uint32_t id = u32(have->elems[i].key);
		struct nft_adopted_chooser *c;

		if (!have->elems[i].data || !id || id > NFT_SERVICE_ID_MASK)
			continue;
		HASH_FIND(hh, s->adopted.choosers, &id, sizeof(id), c);
		if (!c) {
			c = calloc(1, sizeof(*c));
			if (!c)
				return -ENOMEM;
			c->id = id;
			nft_id_use(s, id);
			HASH_ADD(hh, s->adopted.choosers, id, sizeof(c->id), c);
		}
		c->groups[group] = u32(have->elems[i].data);
	}
	return 0;
}

static void adopt_numbers(struct nft_services *s, const struct nft_set *have)
{
	for (uint32_t i = 0; have && i < have->n; i++) {
		uint32_t number = u32(have->elems[i].key) >> NFT_SERVICE_ID_BITS;
		const char *chain = have->elems[i].verdict.chain;
		struct nft_choice c;

		if (number <= NFT_CHOOSER || !chain || !nft_choice_parse(chain, &c) || !c.count)
			continue;
		s->numbers[number] = (struct nft_number){ c, 0, true };
		if (number >= s->n_numbers)
			s->n_numbers = number + 1;
	}
}

/* Whatever the kernel has an id for stays taken until all Services are known. */
static void adopt_ids(struct nft_services *s, const struct nft_set *sizes)
{
	for (uint32_t i = 0; sizes && i < sizes->n; i++) {
		uint32_t id = u32(sizes->elems[i].key);

		if (id && id <= NFT_SERVICE_ID_MASK)
			nft_id_use(s, id);
	}
}

const struct nft_set *nft_adopted_set(const struct nft_table *t, const struct nft_set *like)
{
	const struct nft_set *s = nft_set_get(t, like->name);

	return s && s->key_len == like->key_len && s->data_len == like->data_len ? s : NULL;
}

static int adopt_all(struct nft_services *s, const struct nft_table *t, struct arena *mem)
{
	struct kept *kept = NULL;
	int rc = 0;

	for (unsigned f = 0; f < 2 && !rc; f++) {
		for (uint8_t p = PROTO_TCP; p <= PROTO_SCTP && !rc; p++) {
			rc = adopt_endpoints(s, nft_adopted_set(t, s->sets.endpoints[f][p]), f, p);
			if (!rc)
				rc = read_kept(s, nft_adopted_set(t, s->sets.kept[f][p]), f, p, mem,
					       &kept);
		}
		if (!rc)
			rc = adopt_fronts(s, nft_adopted_set(t, s->sets.vip[f]), f, false);
		if (!rc)
			rc = adopt_fronts(s, nft_adopted_set(t, s->sets.nodeport[f]), f, true);
	}
	if (!rc)
		rc = adopt_kept(s, nft_adopted_set(t, s->sets.affinity_slots), kept);
	HASH_CLEAR(hh, kept);
	if (!rc)
		rc = adopt_ways(s, nft_adopted_set(t, s->sets.to_all), SVC_ALL);
	if (!rc)
		rc = adopt_ways(s, nft_adopted_set(t, s->sets.to_local), SVC_LOCAL);
	adopt_numbers(s, nft_adopted_set(t, s->sets.choices));
	adopt_ids(s, nft_adopted_set(t, s->sets.sizes));
	return rc;
}

int nft_services_adopt(struct nft_services *s, const struct nft_table *observed, struct err *e)
{
	struct arena mem;
	int rc;

	s->adopting = true;
	arena_init(&mem, 0);
	rc = adopt_all(s, observed, &mem);
	arena_fini(&mem);
	return rc ? err_set(e, -ENOMEM, "no memory") : 0;
}

/* ---- into ports */

static void take_group(struct nft_services *s, uint32_t id, const struct nft_port *port,
		       struct nft_group *out)
{
	struct nft_adopted_group *g = group_of(s, id, false);

	if (!g || !g->n || out->id || g->family != port->family || g->proto != port->proto ||
	    !g->slots[0].kept != !port->affinity)
		return;
	out->id = id;
	out->choice = (struct nft_choice){ port->family, port->proto, g->n, port->affinity };
	out->slots = g->slots;
	s->n_slots += g->n;
	HASH_DEL(s->adopted.groups, g);
	free(g);
}

void nft_adopt_port(struct nft_services *s, const struct nft_fact_key *front, bool chooser,
		    unsigned group, struct nft_port *port)
{
	struct nft_adopted_front *f;
	struct nft_adopted_chooser *c;

	HASH_FIND(hh, s->adopted.fronts, front, sizeof(*front), f);
	if (!f)
		return;
	if (!chooser) {
		take_group(s, f->id, port, &port->groups[group]);
		return;
	}
	HASH_FIND(hh, s->adopted.choosers, &f->id, sizeof(f->id), c);
	if (!c || port->chooser)
		return;
	port->chooser = c->id;
	for (unsigned g = 0; g < SVC_GROUPS; g++)
		take_group(s, c->groups[g], port, &port->groups[g]);
	HASH_DEL(s->adopted.choosers, c);
	free(c);
}

void nft_adopted_fini(struct nft_services *s)
{
	struct nft_adopted_group *g, *next_g;
	struct nft_adopted_front *f, *next_f;
	struct nft_adopted_chooser *c, *next_c;

	HASH_ITER(hh, s->adopted.groups, g, next_g)
	{
		HASH_DEL(s->adopted.groups, g);
		nft_id_drop(s, g->id);
		free(g->slots);
		free(g);
	}
	HASH_ITER(hh, s->adopted.fronts, f, next_f)
	{
		HASH_DEL(s->adopted.fronts, f);
		free(f);
	}
	HASH_ITER(hh, s->adopted.choosers, c, next_c)
	{
		HASH_DEL(s->adopted.choosers, c);
		nft_id_drop(s, c->id);
		free(c);
	}
}

void nft_services_adopted(struct nft_services *s)
{
	nft_adopted_fini(s);
	s->adopting = false;
	for (uint32_t i = NFT_CHOOSER + 1; i < s->n_numbers; i++)
		s->numbers[i].adopted = false;
}
