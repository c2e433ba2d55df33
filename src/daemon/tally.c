// SPDX-License-Identifier: Apache-2.0
/* tally: see tally.h. */
#include "daemon/tally.h"
#include "core/policy/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_policy(const void *pa, const void *pb)
{
	const struct tally *a = pa, *b = pb;
	int c = strcmp(a->policy, b->policy);

	return c ? c : (a->type > b->type) - (a->type < b->type);
}

/* Each policy of "shop/a, shop/b". */
static void add_denied(struct tallies *t, const struct nft_policy_count *c)
{
	const char *s = c->rule;

	t->dropped[c->type] += c->packets;
	if (!policy_names_some(c->rule))
		return;
	while (*s) {
		size_t n = strcspn(s, ",");
		const char *policy = arena_strndup(&t->mem, s, n);

		t->v[t->n++] = (struct tally){ policy, c->type, 0, c->packets };
		s += n;
		s += strspn(s, ", ");
	}
}

/* At least as many as will be added. */
static size_t count_names(const struct nft_policy_count *v, size_t n)
{
	size_t names = n;

	for (size_t i = 0; i < n; i++)
		for (const char *s = v[i].policy ? NULL : v[i].rule; s && (s = strchr(s, ',')); s++)
			names++;
	return names;
}

/* Sorts, and makes one of those that are the same. */
static void merge(struct tallies *t)
{
	size_t kept = 0;

	qsort(t->v, t->n, sizeof(*t->v), by_policy);
	for (size_t i = 0; i < t->n; i++) {
		struct tally *last = kept ? &t->v[kept - 1] : NULL;

		if (!last || by_policy(last, &t->v[i])) {
			t->v[kept++] = t->v[i];
		} else {
			last->allowed += t->v[i].allowed;
			last->denied += t->v[i].denied;
		}
	}
	t->n = kept < TALLIES_MAX ? kept : TALLIES_MAX;
}

int tallies_make(struct tallies *t, const struct nft_policy_count *v, size_t n, struct err *e)
{
	t->n = 0;
	memset(t->dropped, 0, sizeof(t->dropped));
	t->v = arena_array(&t->mem, count_names(v, n), sizeof(*t->v));
	for (size_t i = 0; t->v && i < n; i++) {
		if (!v[i].policy)
			add_denied(t, &v[i]);
		else
			t->v[t->n++] = (struct tally){ arena_strdup(&t->mem, v[i].policy),
						       v[i].type, v[i].packets, 0 };
	}
	if (!t->v || t->mem.failed)
		return err_set(e, -ENOMEM, "no memory");
	merge(t);
	return 0;
}

void tallies_gone(const struct tallies *old, const struct tallies *now,
		  void (*fn)(void *arg, const struct tally *t), void *arg)
{
	size_t k = 0;

	for (size_t i = 0; i < old->n; i++) {
		while (k < now->n && by_policy(&now->v[k], &old->v[i]) < 0)
			k++;
		if (k == now->n || by_policy(&now->v[k], &old->v[i]))
			fn(arg, &old->v[i]);
	}
}
