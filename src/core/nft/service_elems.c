/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a Service → elements of the frame's sets, one function for each kind, so that
 * a change, a deletion and a whole rendering say them alike. */
#include "base/crc.h"
#include "core/nft/services_state.h"

#include <stdio.h>
#include <string.h>

struct key {
	uint8_t b[NFT_KEY_MAX];
	uint32_t n;
};

static void put(struct key *k, const void *p, uint32_t n)
{
	k->n = nft_key_put(k->b, k->n, p, n);
}

static void put_u32(struct key *k, uint32_t v) /* a number of the kernel's own */
{
	put(k, &v, sizeof(v));
}

static void put_port(struct key *k, uint16_t port)
{
	uint8_t v[2] = { (uint8_t)(port >> 8), (uint8_t)port };

	put(k, v, sizeof(v));
}

static unsigned v6(uint8_t family)
{
	return family == AF_INET6;
}

static uint32_t ip_len(uint8_t family)
{
	return v6(family) ? 16 : 4;
}

void nft_sink_elem(const struct nft_sink *to, bool add, const struct nft_set *set,
		   const struct nft_elem *e)
{
	if (to->ops)
		nft_ops_elem(to->ops, add ? NFTV_ADD_ELEMS : NFTV_DEL_ELEMS, set, e);
	else
		nft_elem_add(to->sets[set->at], e);
}

/* ---- fronts */

static struct key front_key(const struct nft_fact_key *f)
{
	struct key k = { 0 };

	put(&k, &nft_service_transports[f->proto].number, 1);
	if (f->kind == NFT_FACT_FRONT)
		put(&k, f->ip, ip_len(f->family));
	put_port(&k, f->port);
	return k;
}

/* "namespace/name:port", at most what nft takes: a longer one ends in a checksum of itself. */
static const char *comment(const struct nft_holder *h, char out[NFT_COMMENT_MAX + 64])
{
	int n = snprintf(out, NFT_COMMENT_MAX + 64, "%s%s%s", h->service->key,
			 *h->value.port ? ":" : "", h->value.port);

	if (n > NFT_COMMENT_MAX)
		snprintf(out + NFT_COMMENT_MAX - 9, 10, "#%08x", crc32_add(0, out, (size_t)n));
	return out;
}

static void code_elem(const struct nft_sink *to, bool add, const struct nft_set *set,
		      const struct nft_fact_key *f, uint32_t code, const char *text)
{
	struct key k = front_key(f);

	nft_sink_elem(
		to, add, set,
		&(struct nft_elem){ .key = k.b, .data = (const uint8_t *)&code, .comment = text });
}

/* One of a front's codes, which is 0 where it has none. */
static void code_change(const struct nft_sink *to, const struct nft_set *set,
			const struct nft_fact_key *f, uint32_t old, uint32_t now,
			const char *old_text, const char *text)
{
	bool same = old == now && (!text || !old_text || !strcmp(text, old_text));

	if (same)
		return;
	if (old)
		code_elem(to, false, set, f, old, old_text);
	if (now)
		code_elem(to, true, set, f, now, text);
}

static void source_elem(const struct nft_services *s, const struct nft_sink *to, bool add,
			const struct nft_fact_key *f, const struct prefix *source)
{
	struct prefix net = prefix_mask(source);
	struct ipaddr last = prefix_last(&net);
	struct key k = front_key(f), end = k;
	uint32_t n = ip_len(f->family);

	put(&k, net.addr.b, n);
	put(&end, last.b, n);
	nft_sink_elem(to, add, s->sets.sources[v6(f->family)],
		      &(struct nft_elem){ .key = k.b, .key_end = end.b });
}

static bool has_source(const struct nft_sources *v, const struct prefix *p)
{
	for (uint32_t i = 0; v && i < v->n; i++)
		if (prefix_eq(&v->v[i], p))
			return true;
	return false;
}

/* The front's own address, unless a range has it: intervals must not overlap. */
static bool own_source(const struct nft_fact_key *f, const struct nft_sources *v,
		       struct prefix *out)
{
	struct ipaddr self = { .family = f->family };

	if (!v || !v->node)
		return false;
	memcpy(self.b, f->ip, sizeof(self.b));
	for (uint32_t i = 0; i < v->n; i++)
		if (prefix_has(&v->v[i], &self))
			return false;
	*out = prefix_host(&self);
	return true;
}

static void source_changes(const struct nft_services *s, const struct nft_sink *to,
			   const struct nft_fact_key *f, const struct nft_sources *old,
			   const struct nft_sources *now)
{
	const struct nft_set *restricted = s->sets.restricted[v6(f->family)];
	struct key k = front_key(f);
	struct prefix was, is;
	bool had = own_source(f, old, &was), has = own_source(f, now, &is);

	if (old && !now)
		nft_sink_elem(to, false, restricted, &(struct nft_elem){ .key = k.b });
	for (uint32_t i = 0; old && i < old->n; i++)
		if (!has_source(now, &old->v[i]))
			source_elem(s, to, false, f, &old->v[i]);
	if (had && !has)
		source_elem(s, to, false, f, &was);
	for (uint32_t i = 0; now && i < now->n; i++)
		if (!has_source(old, &now->v[i]))
			source_elem(s, to, true, f, &now->v[i]);
	if (has && !had)
		source_elem(s, to, true, f, &is);
	if (now && !old)
		nft_sink_elem(to, true, restricted, &(struct nft_elem){ .key = k.b });
}

void nft_front_elems(const struct nft_services *s, const struct nft_sink *to,
		     const struct nft_fact_key *f, const struct nft_holder *old,
		     const struct nft_holder *now)
{
	static const struct nft_front_value none;
	const struct nft_front_value *a = old ? &old->value : &none, *b = now ? &now->value : &none;
	bool at_node = f->kind == NFT_FACT_NODE_PORT;
	unsigned i = v6(f->family);
	char was[NFT_COMMENT_MAX + 64], is[NFT_COMMENT_MAX + 64];
	const char *old_text = old ? comment(old, was) : NULL,
		   *text = now ? comment(now, is) : NULL;

	code_change(to, at_node ? s->sets.nodeport[i] : s->sets.vip[i], f, a->id, b->id, old_text,
		    text);
	code_change(to, at_node ? s->sets.refused_nodeport[i] : s->sets.refused[i], f,
		    a->refuse ? nft_refuse_code(a->refuse) : 0,
		    b->refuse ? nft_refuse_code(b->refuse) : 0, old_text, text);
	code_change(to, at_node ? s->sets.masq_nodeport[i] : s->sets.masq[i], f,
		    a->id ? nft_masq_code(a->masq) : 0, b->id ? nft_masq_code(b->masq) : 0, NULL,
		    NULL);
	source_changes(s, to, f, a->sources, b->sources);
}

void nft_address_elem(const struct nft_services *s, const struct nft_sink *to,
		      const struct nft_fact_key *f, bool add)
{
	bool twice = f->kind == NFT_FACT_HAIRPIN;
	const struct nft_set *const *sets = twice                         ? s->sets.hairpin
					    : f->kind == NFT_FACT_LEFT_IP ? s->sets.left_ips
									  : s->sets.cluster_ips;
	struct key k = { 0 };

	for (unsigned i = 0; i < (twice ? 2 : 1); i++)
		put(&k, f->ip, ip_len(f->family));
	nft_sink_elem(to, add, sets[v6(f->family)], &(struct nft_elem){ .key = k.b });
}

/* ---- endpoints */

static struct key endpoint(uint8_t family, const struct nft_slot *v)
{
	struct key k = { 0 };

	put(&k, v->ip, ip_len(family));
	put_port(&k, v->port);
	return k;
}

void nft_slot_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_group *g, uint32_t slot, const struct nft_slot *v, bool add)
{
	struct key k = { 0 }, data = { 0 };

	put_u32(&k, g->id);
	put_u32(&k, slot);
	if (v->kept)
		put_u32(&data, v->kept);
	else
		data = endpoint(g->choice.family, v);
	nft_sink_elem(to, add,
		      v->kept ? s->sets.affinity_slots
			      : s->sets.endpoints[v6(g->choice.family)][g->choice.proto],
		      &(struct nft_elem){ .key = k.b, .data = data.b });
}

void nft_kept_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_choice *c, const struct nft_slot *v, bool add)
{
	struct key data = endpoint(c->family, v);

	nft_sink_elem(to, add, s->sets.kept[v6(c->family)][c->proto],
		      &(struct nft_elem){ .key = (const uint8_t *)&v->kept, .data = data.b });
}

static void pair(const struct nft_sink *to, const struct nft_set *set, uint32_t from, uint32_t data,
		 uint64_t timeout_ms, bool add)
{
	nft_sink_elem(to, add, set,
		      &(struct nft_elem){ .key = (const uint8_t *)&from,
					  .data = (const uint8_t *)&data,
					  .timeout_ms = timeout_ms });
}

void nft_size_elem(const struct nft_services *s, const struct nft_sink *to, uint32_t id,
		   uint32_t number, bool add)
{
	pair(to, s->sets.sizes, id, number << NFT_SERVICE_ID_BITS | id, 0, add);
}

void nft_way_elem(const struct nft_services *s, const struct nft_sink *to, unsigned group,
		  uint32_t chooser, uint32_t id, bool add)
{
	pair(to, group == SVC_ALL ? s->sets.to_all : s->sets.to_local, chooser, id, 0, add);
}

void nft_back_elem(const struct nft_services *s, const struct nft_sink *to,
		   const struct nft_group *g, uint32_t kept)
{
	pair(to, s->sets.affinity_back, kept, g->id, g->choice.affinity * 1000ULL, true);
}
