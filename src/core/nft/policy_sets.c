/* SPDX-License-Identifier: Apache-2.0 */
/* What rules of policies look up: sets of the index, whose elements are its members, and sets that
 * say what a rule says and never change. Equal ones are one. */
#include "base/hash.h"
#include "core/nft/policies_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void queue(struct nft_policies *s, struct nft_policy_set *v)
{
	if (v->queued)
		return;
	v->queued = true;
	DL_APPEND(s->sets_queue, v);
}

static struct nft_policy_set *used(struct nft_policies *s, const char *key)
{
	struct nft_policy_set *v;

	HASH_FIND_STR(s->sets, key, v);
	if (v)
		v->users++;
	return v;
}

/* "pods4" and "pods of shop: app=web". */
static const char *key_of(struct nft_policies *s, const char *head, const char *text)
{
	arena_reset(&s->scratch);
	return arena_printf(&s->scratch, "%s %s", head, text);
}

static bool declare(struct nft_policies *s, struct nft_policy_set *v, const char *head,
		    const uint8_t *types, uint32_t flags)
{
	const char *text = v->key + strlen(head) + 1;
	char name[NFT_SERVICE_NAME + 20], comment[NFT_COMMENT_MAX + 1];
	struct nft_ruleset rs;
	struct nft_set *set;

	snprintf(name, sizeof(name), "%s-%016" PRIx64, head, fnv64_text(FNV64_START, text));
	nft_ruleset_init(&rs, &s->scratch);
	set = nft_set_add(nft_table_add(&rs, NFPROTO_INET, NFT_TABLE), name, flags, types);
	if (!set)
		return false;
	v->set = *set;
	v->set.table = s->table;
	v->set.name = nft_policy_name_take(s, name, NULL);
	v->set.comment = strdup(nft_policy_cut(text, NFT_COMMENT_MAX, '#', comment));
	return v->set.name && v->set.comment;
}

static void set_free(struct nft_policies *s, struct nft_policy_set *v)
{
	if (v->set.name)
		nft_policy_name_drop(s, v->set.name);
	free((char *)v->set.comment);
	free(v->fixed);
	free(v->key);
	free(v);
}

/* `key` is in the scratch arena. */
static struct nft_policy_set *make(struct nft_policies *s, const char *key, const char *head,
				   const uint8_t *types, uint32_t flags)
{
	struct nft_policy_set *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->key = key ? strdup(key) : NULL;
	if (v->key && declare(s, v, head, types, flags))
		HASH_ADD_KEYPTR(hh, s->sets, v->key, strlen(v->key), v);
	if (!v->hh.tbl) {
		set_free(s, v);
		return NULL;
	}
	v->users = 1;
	queue(s, v);
	return v;
}

/* Takes over the use of `of`. */
static struct nft_policy_set *set_of(struct nft_policies *s, const char *kind,
				     struct policy_set *of, unsigned family, const uint8_t *types)
{
	const struct nft_service_family *f = &nft_service_families[family];
	const char *head = NFT_FAMILY_NAME(kind, f), *key;
	struct nft_policy_set *v = NULL;

	if (!of)
		return NULL;
	key = key_of(s, head, of->text);
	if (key)
		v = used(s, key);
	if (!v && key)
		v = make(s, key, head, types, 0);
	if (!v || v->of) {
		policy_set_release(s->index, of);
		return v;
	}
	v->of = of;
	v->family = (uint8_t)family;
	of->reader[family] = v;
	return v;
}

struct nft_policy_set *nft_policy_set_peer(struct nft_policies *s, const char *ns,
					   const struct policy_peer *peer, unsigned family)
{
	return set_of(s, "pods", policy_set_use_peer(s->index, ns, peer), family,
		      NFT_TYPES(nft_service_families[family].type));
}

struct nft_policy_set *nft_policy_set_port(struct nft_policies *s, uint8_t proto, const char *name,
					   unsigned family)
{
	return set_of(
		s, "named", policy_set_use_port(s->index, proto, name), family,
		NFT_TYPES(nft_service_families[family].type, NFTY_INET_PROTO, NFTY_INET_SERVICE));
}

/* NOLINTNEXTLINE(readability-function-size): what and how many are one thing */
struct nft_policy_set *nft_policy_set_fixed(struct nft_policies *s, const char *kind,
					    unsigned family, const char *text,
					    const struct nft_policy_interval *v, uint32_t n)
{
	const struct nft_service_family *f = &nft_service_families[family];
	bool ports = !strcmp(kind, "ports");
	const char *head = ports ? kind : NFT_FAMILY_NAME(kind, f);
	struct nft_policy_interval *copy;
	struct nft_policy_set *set;
	char *key = malloc(strlen(head) + strlen(text) + 2);

	if (!key)
		return NULL;
	sprintf(key, "%s %s", head, text);
	set = used(s, key);
	copy = set ? NULL : malloc(n * sizeof(*v));
	if (copy)
		set = make(s, key, head,
			   ports ? NFT_TYPES(NFTY_INET_PROTO, NFTY_INET_SERVICE)
				 : NFT_TYPES(f->type),
			   NFT_SET_INTERVAL);
	free(key);
	if (!copy || !set) {
		free(copy);
		return set;
	}
	memcpy(copy, v, n * sizeof(*v));
	set->fixed = copy;
	set->n_fixed = n;
	return set;
}

void nft_policy_set_release(struct nft_policies *s, struct nft_policy_set *v)
{
	if (v && !--v->users)
		queue(s, v);
}

/* ---- elements */

struct key {
	uint8_t b[NFT_KEY_MAX];
	uint32_t n;
};

static struct key member_key(const struct policy_member *m)
{
	const uint8_t port[2] = { (uint8_t)(m->port >> 8), (uint8_t)m->port };
	struct key k = { 0 };

	k.n = nft_key_addr(k.b, 0, &m->addr);
	if (!m->proto)
		return k;
	k.n = nft_key_put(k.b, k.n, &nft_service_transports[m->proto].number, 1);
	k.n = nft_key_put(k.b, k.n, port, 2);
	return k;
}

static unsigned family_of(const struct policy_member *m)
{
	return m->addr.family == AF_INET6;
}

static void add_members(struct nft_ops *ops, struct nft_policy_set *v)
{
	for (struct policy_member *m = policy_set_next(v->of, NULL); m;
	     m = policy_set_next(v->of, m)) {
		struct key k = member_key(m);

		if (family_of(m) != v->family || !m->wanted)
			continue;
		nft_ops_elem(ops, NFTV_ADD_ELEMS, &v->set, &(struct nft_elem){ .key = k.b });
		m->told = true;
	}
}

static struct nft_elem fixed_elem(const struct nft_policy_set *v, uint32_t i)
{
	const struct nft_policy_interval *x = &v->fixed[i];
	bool one = !memcmp(x->first, x->last, v->set.key_len);

	return (struct nft_elem){ .key = x->first, .key_end = one ? NULL : x->last };
}

static void op(struct nft_ops *ops, uint8_t verb, const struct nft_policy_set *v)
{
	nft_op_add(ops, &(struct nft_op){ .verb = verb,
					  .family = NFPROTO_INET,
					  .table = NFT_TABLE,
					  .set = &v->set });
}

static void add(struct nft_ops *ops, struct nft_policy_set *v)
{
	op(ops, NFTV_ADD_SET, v);
	for (uint32_t i = 0; i < v->n_fixed; i++) {
		struct nft_elem e = fixed_elem(v, i);

		nft_ops_elem(ops, NFTV_ADD_ELEMS, &v->set, &e);
	}
	if (v->of)
		add_members(ops, v);
	v->sent = true;
}

void nft_policy_sets_add(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_set *v, *next;

	DL_FOREACH_SAFE(s->sets_queue, v, next)
	{
		if (!v->users)
			continue;
		DL_DELETE(s->sets_queue, v);
		v->queued = false;
		if (!v->sent)
			add(ops, v);
	}
}

void nft_policy_members(struct nft_policies *s, struct nft_ops *ops)
{
	struct policy_member *m;

	while ((m = policy_index_take_member(s->index))) {
		struct nft_policy_set *v = m->set->reader[family_of(m)];
		struct key k = member_key(m);

		if (!v || !v->sent || !v->users)
			continue;
		nft_ops_elem(ops, m->wanted ? NFTV_ADD_ELEMS : NFTV_DEL_ELEMS, &v->set,
			     &(struct nft_elem){ .key = k.b });
		v->narrowed |= !m->wanted;
		m->told = m->wanted;
	}
}

/* The index forgets what the kernel does. */
static void let_go(struct nft_policies *s, struct nft_policy_set *v)
{
	for (struct policy_member *m = policy_set_next(v->of, NULL); m;
	     m = policy_set_next(v->of, m))
		if (family_of(m) == v->family)
			m->told = false;
	v->of->reader[v->family] = NULL;
	policy_set_release(s->index, v->of);
	v->of = NULL;
}

void nft_policy_sets_end(struct nft_policies *s, struct nft_ops *ops)
{
	struct nft_policy_set *v, *next;

	DL_FOREACH_SAFE(s->sets_queue, v, next)
	{
		DL_DELETE(s->sets_queue, v);
		v->queued = false;
		HASH_DEL(s->sets, v);
		if (v->of)
			let_go(s, v);
		if (v->sent)
			op(ops, NFTV_DEL_SET, v);
		DL_APPEND(s->sets_dead, v);
	}
}

void nft_policy_set_render(const struct nft_policy_set *v, struct nft_table *t)
{
	const struct policy_member *m = v->of ? policy_set_next(v->of, NULL) : NULL;
	struct nft_set *set = nft_set_like(t, &v->set);

	for (uint32_t i = 0; i < v->n_fixed; i++) {
		struct nft_elem e = fixed_elem(v, i);

		nft_elem_add(set, &e);
	}
	for (; m; m = policy_set_next(v->of, m)) {
		struct key k = member_key(m);

		if (family_of(m) == v->family && m->told)
			nft_elem_add(set, &(struct nft_elem){ .key = k.b });
	}
}

void nft_policy_sets_bury(struct nft_policies *s)
{
	struct nft_policy_set *v, *next;

	DL_FOREACH_SAFE(s->sets_dead, v, next)
	{
		DL_DELETE(s->sets_dead, v);
		set_free(s, v);
	}
}
