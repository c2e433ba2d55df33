/* SPDX-License-Identifier: Apache-2.0 */
/* doubt: see doubt.h. */
#include "core/nft/doubt.h"

#include "core/nft/attr.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

void nft_doubts_fini(struct nft_doubts *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		free(d->v[i].keys);
	free(d->v);
	*d = (struct nft_doubts){ 0 };
}

static struct nft_doubt *find(const struct nft_doubts *d, uint8_t family, const char *set)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->v[i].family == family && !strcmp(d->v[i].set, set))
			return &d->v[i];
	return NULL;
}

static struct nft_doubt *make(struct nft_doubts *d, uint8_t family, const char *set,
			      uint32_t key_len)
{
	struct nft_doubt *x = find(d, family, set), *v;

	if (x)
		return x;
	v = realloc(d->v, (d->n + 1) * sizeof(*v));
	if (!v)
		return NULL;
	d->v = v;
	x = &v[d->n++];
	*x = (struct nft_doubt){ .family = family, .key_len = (uint8_t)key_len };
	memcpy(x->set, set, strlen(set) + 1);
	return x;
}

int nft_doubts_add(struct nft_doubts *d, uint8_t family, const char *set, const uint8_t *key,
		   uint32_t key_len)
{
	struct nft_doubt *x;

	if (!key_len || key_len > NFT_KEY_MAX || strlen(set) >= sizeof(x->set))
		return 0;
	x = make(d, family, set, key_len);
	if (!x)
		return -ENOMEM;
	if (x->key_len != key_len)
		return 0;
	if (x->n == x->cap) {
		uint32_t cap = x->cap ? 2 * x->cap : 16;
		uint8_t *v = realloc(x->keys, (size_t)cap * key_len);

		if (!v)
			return -ENOMEM;
		x->keys = v;
		x->cap = cap;
	}
	memcpy(x->keys + (size_t)x->n++ * key_len, key, key_len);
	d->total++;
	return 0;
}

int nft_doubts_ops(struct nft_doubts *d, const struct nft_ops *ops)
{
	int rc = 0;

	for (uint32_t i = 0; i < ops->n; i++)
		for (uint32_t k = 0; k < ops->v[i].n_elems && !rc; k++)
			rc = nft_doubts_add(d, ops->v[i].family, ops->v[i].set->name,
					    ops->v[i].elems[k].key, ops->v[i].set->key_len);
	return rc;
}

static int add_elem(struct nft_doubts *d, uint8_t family, const char *set,
		    const struct nlattr *attr)
{
	struct attrs elem;
	size_t len;

	attrs_nest(&elem, attr);
	len = attr_value_len(elem.v[NFTA_SET_ELEM_KEY]);
	if (!len || len > NFT_KEY_MAX)
		return 0;
	return nft_doubts_add(d, family, set, attr_value(elem.v[NFTA_SET_ELEM_KEY], len),
			      (uint32_t)len);
}

int nft_doubts_notice(struct nft_doubts *d, const char *table, const struct nft_notice *n)
{
	const struct nlattr *attr, *list;
	struct attrs t;
	char set[64];
	int rc = 0;

	if ((n->msg != NFT_MSG_NEWSETELEM && n->msg != NFT_MSG_DELSETELEM) ||
	    strcmp(n->table, table) != 0)
		return 0;
	attrs_parse(&t, n->attrs, n->attrs_len);
	attr_text(set, sizeof(set), t.v[NFTA_SET_ELEM_LIST_SET]);
	list = t.v[NFTA_SET_ELEM_LIST_ELEMENTS];
	if (list)
		mnl_attr_for_each_nested(attr, list) rc =
			rc ? rc : add_elem(d, n->family, set, attr);
	return rc;
}

int nft_doubts_move(struct nft_doubts *d, size_t most, struct nft_doubts *to)
{
	for (; d->n && most; d->n--) {
		struct nft_doubt *x = &d->v[d->n - 1];

		for (; x->n && most; most--) {
			if (nft_doubts_add(to, x->family, x->set,
					   x->keys + (size_t)(x->n - 1) * x->key_len, x->key_len))
				return -ENOMEM;
			x->n--;
			d->total--;
		}
		if (x->n)
			return 0;
		free(x->keys);
	}
	if (!d->n)
		nft_doubts_fini(d);
	return 0;
}

static int cmp_keys(const void *a, const void *b, void *len)
{
	return memcmp(a, b, *(const uint8_t *)len);
}

static bool has_key(const struct nft_doubt *x, const uint8_t *key)
{
	uint32_t from = 0, to = x->n;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = memcmp(key, x->keys + (size_t)mid * x->key_len, x->key_len);

		if (!c)
			return true;
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return false;
}

void nft_doubts_sort(struct nft_doubts *d)
{
	d->total = 0;
	for (uint32_t i = 0; i < d->n; i++) {
		struct nft_doubt *x = &d->v[i];
		size_t len = x->key_len, n = 0;

		if (x->n)
			qsort_r(x->keys, x->n, len, cmp_keys, &x->key_len);
		for (uint32_t k = 0; k < x->n; k++)
			if (!n || memcmp(x->keys + (n - 1) * len, x->keys + k * len, len) != 0)
				memmove(x->keys + n++ * len, x->keys + k * len, len);
		x->n = (uint32_t)n;
		d->total += n;
	}
}

const struct nft_doubt *nft_doubts_of(const struct nft_doubts *d, const struct nft_set *s)
{
	const struct nft_doubt *x = find(d, s->table->family, s->name);

	return x && x->n ? x : NULL;
}

/* What `wanted` of a set is besides the number of a doubt. */
#define WHOLE   UINT32_MAX
#define MISSING (UINT32_MAX - 1)

static bool is_missing(const struct nft_wish *w, const struct nft_set *s)
{
	const struct nft_table *t;

	if (!w->have)
		return false;
	t = nft_table_get(w->have, s->table->family, s->table->name);
	return !t || w->anew >> s->table->family & 1 || !nft_set_get(t, s->name);
}

static uint32_t wants(void *arg, const struct nft_set *s)
{
	const struct nft_wish *w = arg;
	const struct nft_doubt *x = nft_doubts_of(w->doubts, s);

	if (s->flags & NFT_SET_EVAL)
		return 0;
	if (s->flags & NFT_SET_INTERVAL)
		return WHOLE;
	if (is_missing(w, s))
		return MISSING;
	return x ? (uint32_t)(x - w->doubts->v) + 1 : 0;
}

static bool keeps(void *arg, const struct nft_set *s, const struct nft_elem *e)
{
	struct nft_wish *w = arg;
	const struct nft_doubt *x;

	if (s->wanted == WHOLE || (s->wanted == MISSING && (!w->later || s->n < w->large)))
		return true;
	if (s->wanted == MISSING) {
		w->failed |= nft_doubts_add(w->later, s->table->family, s->name, e->key,
					    s->key_len) != 0;
		return false;
	}
	x = &w->doubts->v[s->wanted - 1];
	return x->key_len == s->key_len && has_key(x, e->key);
}

void nft_wish_filter(struct nft_wish *w, struct nft_filter *out)
{
	*out = (struct nft_filter){ wants, keeps, w };
}
