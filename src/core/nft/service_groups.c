/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of endpoints: ids, slots, and the choices that they end in.
 *
 * Which endpoint stands in which slot is nobody's business: one that goes leaves its slot to one
 * that comes, else to the last, so that a change touches few elements of a large group. Ids are
 * given in a circle, so that what clients still hold of a group that is gone meets no other
 * one for a long time.
 *
 * A choice has a chain, and making one costs the kernel a walk through all endpoints: it looks at each
 * element of a map that a rule begins to use (nf_tables_bind_set(); 20 ms at 250 000). So chains
 * are made ahead while that is cheap, for one endpoint more and one less, and stay when the
 * last group that had so many is gone. What an earlier run left is taken as it is. */
#include "core/nft/services_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPARES 256   /* choices without users that stay */
#define CHEAP  10000 /* endpoints, up to which chains are made ahead */

/* ---- ids */

static bool is_used(const struct nft_services *s, uint32_t id)
{
	return s->used[id / 8] >> id % 8 & 1;
}

void nft_id_use(struct nft_services *s, uint32_t id)
{
	s->used[id / 8] |= (uint8_t)(1u << id % 8);
	if (id >= s->next_id)
		s->next_id = id + 1;
}

uint32_t nft_id_take(struct nft_services *s)
{
	for (uint32_t i = 0; i < NFT_SERVICE_ID_MASK; i++) {
		uint32_t id = (s->next_id + i) & NFT_SERVICE_ID_MASK;

		if (!id || is_used(s, id))
			continue;
		s->used[id / 8] |= (uint8_t)(1u << id % 8);
		s->next_id = id + 1;
		return id;
	}
	return 0;
}

void nft_id_drop(struct nft_services *s, uint32_t id)
{
	s->used[id / 8] &= (uint8_t) ~(1u << id % 8);
}

/* ---- choices */

void nft_number_elem(const struct nft_services *s, const struct nft_sink *to, uint32_t number,
		     bool add)
{
	uint32_t key = number << NFT_SERVICE_ID_BITS;
	char name[NFT_CHOICE_NAME];
	const struct nft_elem e = { .key = (const uint8_t *)&key, .verdict = { NFT_GOTO, name } };

	nft_choice_name(&s->numbers[number].choice, name);
	nft_sink_elem(to, add, s->sets.choices, &e);
	nft_sink_elem(to, add, s->sets.front_choices, &e);
}

/* The chain in memory of its own, for its name outlives the choice. */
static struct nft_chain *chain_of(struct nft_ops *ops, const struct nft_choice *c)
{
	struct nft_ruleset *rs = arena_alloc(ops->arena, sizeof(*rs));

	if (!rs)
		return NULL;
	nft_ruleset_init(rs, ops->arena);
	return nft_choice_chain(nft_table_add(rs, NFPROTO_INET, NFT_TABLE), c);
}

static void chain_op(struct nft_ops *ops, uint8_t verb, const struct nft_chain *c,
		     const struct nft_rule *r)
{
	nft_op_add(ops, &(struct nft_op){ .verb = verb,
					  .family = NFPROTO_INET,
					  .table = NFT_TABLE,
					  .chain = c->name,
					  .c = c,
					  .rule = r });
}

static void add_choice(struct nft_services *s, struct nft_ops *ops, uint32_t number)
{
	struct nft_chain *c = chain_of(ops, &s->numbers[number].choice);

	if (!c)
		return;
	chain_op(ops, NFTV_ADD_CHAIN, c, NULL);
	for (uint32_t i = 0; i < c->n; i++)
		chain_op(ops, NFTV_ADD_RULE, c, c->rules[i]);
	nft_number_elem(s, &(struct nft_sink){ .ops = ops }, number, true);
}

static void drop_choice(struct nft_services *s, struct nft_ops *ops, uint32_t number)
{
	struct nft_number *n = &s->numbers[number];
	struct nft_chain *c = chain_of(ops, &n->choice);

	nft_number_elem(s, &(struct nft_sink){ .ops = ops }, number, false);
	n->choice.count = 0;
	if (!c)
		return;
	chain_op(ops, NFTV_FLUSH_CHAIN, c, NULL);
	chain_op(ops, NFTV_DEL_CHAIN, c, NULL);
}

static bool is_spare(const struct nft_number *n)
{
	return n->choice.count && !n->users && !n->adopted;
}

static void drop_spares(struct nft_services *s, struct nft_ops *ops)
{
	for (uint32_t i = NFT_CHOOSER + 1; i < s->n_numbers; i++)
		if (is_spare(&s->numbers[i]))
			drop_choice(s, ops, i);
	while (s->n_numbers > NFT_CHOOSER + 1 && !s->numbers[s->n_numbers - 1].choice.count)
		s->n_numbers--;
}

void nft_numbers_sweep(struct nft_services *s, struct nft_ops *ops)
{
	uint32_t spares = 0;

	for (uint32_t i = NFT_CHOOSER + 1; i < s->n_numbers; i++)
		spares += is_spare(&s->numbers[i]);
	if (spares > (s->adopting ? 0 : SPARES) || !s->n_slots)
		drop_spares(s, ops);
}

static uint32_t find_number(const struct nft_services *s, const struct nft_choice *c)
{
	uint32_t i = NFT_CHOOSER + 1;

	while (i < s->n_numbers && !nft_choice_eq(&s->numbers[i].choice, c))
		i++;
	return i < s->n_numbers ? i : 0;
}

/* A free number for a choice that has none, without users; 0: none is left. */
static uint32_t make_number(struct nft_services *s, struct nft_ops *ops, const struct nft_choice *c)
{
	uint32_t at = NFT_CHOOSER + 1;

	while (at < s->n_numbers && s->numbers[at].choice.count)
		at++;
	if (at > NFT_CHOICE_MAX)
		return 0;
	if (at == s->n_numbers)
		s->n_numbers++;
	s->numbers[at] = (struct nft_number){ *c, 0, false };
	add_choice(s, ops, at);
	return at;
}

/* What the group may have after its next change. */
static void make_neighbours(struct nft_services *s, struct nft_ops *ops, const struct nft_choice *c)
{
	struct nft_choice less = *c, more = *c;

	less.count--;
	more.count++;
	if (less.count && !find_number(s, &less))
		make_number(s, ops, &less);
	if (more.count <= NFT_SERVICE_SLOTS && !find_number(s, &more))
		make_number(s, ops, &more);
}

/* The number of a choice, which gets one more user; 0: none is left. */
static uint32_t take_number(struct nft_services *s, struct nft_ops *ops, const struct nft_choice *c)
{
	uint32_t at = find_number(s, c);

	if (!at)
		at = make_number(s, ops, c);
	if (!at) {
		drop_spares(s, ops);
		at = make_number(s, ops, c);
	}
	if (!at)
		return 0;
	if (!s->numbers[at].users++ && s->n_slots <= CHEAP && !s->adopting)
		make_neighbours(s, ops, c);
	return at;
}

/* ---- slots */

static int cmp_slots(const void *x, const void *y)
{
	const struct nft_slot *a = x, *b = y;
	int c = memcmp(a->ip, b->ip, sizeof(a->ip));

	return c ? c : (a->port > b->port) - (a->port < b->port);
}

/* The slots as they will be: `wanted` (sorted) in places that change as few as may be. */
static struct nft_slot *arrange(const struct nft_group *g, const struct nft_slot *wanted,
				uint32_t n, struct arena *mem)
{
	uint32_t old = g->choice.count, n_new = 0, next = 0, hole = 0;
	struct nft_slot *v = calloc(n + 1, sizeof(*v));
	uint8_t *has = arena_array(mem, n, 1), *filled = arena_array(mem, n, 1);
	uint32_t *moved = arena_array(mem, old, sizeof(*moved));

	if (!v || !has || !filled || !moved) {
		free(v);
		return NULL;
	}
	for (uint32_t i = 0; i < old; i++) {
		const struct nft_slot *w = bsearch(&g->slots[i], wanted, n, sizeof(*w), cmp_slots);

		if (!w || has[w - wanted])
			continue;
		has[w - wanted] = 1;
		if (i < n) {
			v[i] = g->slots[i];
			filled[i] = 1;
		} else {
			moved[n_new++] = i;
		}
	}
	while (n_new || next < n) {
		if (!n_new && has[next]) {
			next++;
			continue;
		}
		while (filled[hole])
			hole++;
		v[hole] = n_new ? g->slots[moved[--n_new]] : wanted[next++];
		filled[hole] = 1;
	}
	return v;
}

static bool slot_same(const struct nft_slot *a, const struct nft_slot *b)
{
	return a->kept == b->kept && !cmp_slots(a, b);
}

static void slot_changes(const struct nft_services *s, const struct nft_sink *to,
			 const struct nft_group *old, const struct nft_group *now)
{
	uint32_t a = old->choice.count, b = now->choice.count;

	for (uint32_t i = 0; i < a; i++)
		if (i >= b || !slot_same(&old->slots[i], &now->slots[i]))
			nft_slot_elem(s, to, old, i, &old->slots[i], false);
	for (uint32_t i = 0; i < b; i++)
		if (i >= a || !slot_same(&old->slots[i], &now->slots[i]))
			nft_slot_elem(s, to, now, i, &now->slots[i], true);
}

static int cmp_kept(const void *x, const void *y)
{
	const struct nft_slot *a = x, *b = y;

	return (a->kept > b->kept) - (a->kept < b->kept);
}

/* Endpoints that came and went, where clients keep theirs. */
static int kept_changes(const struct nft_services *s, struct nft_ops *ops,
			const struct nft_group *old, const struct nft_group *now)
{
	const struct nft_sink to = { .ops = ops };
	uint32_t a = old->choice.count, b = now->choice.count, i = 0, j = 0;
	struct nft_slot *x = arena_array(ops->arena, a, sizeof(*x));
	struct nft_slot *y = arena_array(ops->arena, b, sizeof(*y));

	if (!x || !y)
		return -ENOMEM;
	if (a)
		memcpy(x, old->slots, a * sizeof(*x));
	if (b)
		memcpy(y, now->slots, b * sizeof(*y));
	qsort(x, a, sizeof(*x), cmp_kept);
	qsort(y, b, sizeof(*y), cmp_kept);
	while (i < a || j < b) {
		int c = i == a ? 1 : j == b ? -1 : cmp_kept(&x[i], &y[j]);

		if (c < 0) {
			nft_kept_elem(s, &to, &old->choice, &x[i], false);
			if (b)
				nft_back_elem(s, &to, old, x[i].kept);
		}
		if (c > 0)
			nft_kept_elem(s, &to, &now->choice, &y[j], true);
		i += c <= 0;
		j += c >= 0;
	}
	return 0;
}

/* ---- groups */

static void drop_number(struct nft_services *s, struct nft_group *g)
{
	if (g->number)
		s->numbers[g->number].users--;
}

static int begin(struct nft_services *s, struct nft_ops *ops, struct nft_group *now, struct err *e)
{
	if (!now->id)
		now->id = nft_id_take(s);
	if (!now->id)
		return err_set(e, -ENOSPC, "more than %u groups of endpoints", NFT_SERVICE_ID_MASK);
	now->number = take_number(s, ops, &now->choice);
	if (!now->number)
		return err_set(e, -ENOSPC, "more than %u different numbers of endpoints",
			       NFT_CHOICE_MAX - 1);
	return 0;
}

static void give_ids(struct nft_services *s, struct nft_group *g)
{
	for (uint32_t i = 0; i < g->choice.count; i++)
		if (!g->slots[i].kept) {
			if (++s->next_kept <= NFT_SERVICE_ID_MASK)
				s->next_kept = NFT_SERVICE_ID_MASK + 1;
			g->slots[i].kept = s->next_kept;
		}
}

static void group_changes(const struct nft_services *s, struct nft_ops *ops,
			  const struct nft_group *old, const struct nft_group *now)
{
	const struct nft_sink to = { .ops = ops };

	slot_changes(s, &to, old, now);
	if (old->number == now->number)
		return;
	if (old->number)
		nft_size_elem(s, &to, old->id, old->number, false);
	if (now->number)
		nft_size_elem(s, &to, now->id, now->number, true);
}

void nft_group_fini(struct nft_group *g)
{
	free(g->slots);
	*g = (struct nft_group){ 0 };
}

int nft_group_set(struct nft_services *s, struct nft_ops *ops, struct nft_group *g,
		  const struct nft_choice *kind, struct nft_slot *wanted, uint32_t n, struct err *e)
{
	struct nft_group now = { .id = g->id, .choice = *kind };
	int rc = 0;

	if (n > NFT_SERVICE_SLOTS) {
		rc = err_set(e, -ENOSPC, "more than %u endpoints", NFT_SERVICE_SLOTS);
		n = NFT_SERVICE_SLOTS;
	}
	if (!g->id && !n)
		return rc;
	qsort(wanted, n, sizeof(*wanted), cmp_slots);
	now.choice.count = n;
	if (n) {
		int r = begin(s, ops, &now, e);

		if (r) {
			rc = r;
			if (!g->id && now.id)
				nft_id_drop(s, now.id);
			n = now.choice.count = 0;
		}
	}
	now.slots = arrange(g, wanted, n, ops->arena);
	if (!now.slots)
		return err_set(e, -ENOMEM, "no memory");
	if (kind->affinity)
		give_ids(s, &now);
	if (kind->affinity && kept_changes(s, ops, g, &now)) {
		free(now.slots);
		return err_set(e, -ENOMEM, "no memory");
	}
	group_changes(s, ops, g, &now);
	drop_number(s, g);
	if (!n && g->id)
		nft_id_drop(s, g->id);
	s->n_slots += n - g->choice.count;
	free(g->slots);
	*g = now;
	if (!n)
		nft_group_fini(g);
	return rc;
}
