// SPDX-License-Identifier: Apache-2.0
/* policy_sums: see policy_sums.h. */
#include "daemon/policy_sums.h"
#include "core/policy/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct policy_sum {
	struct nft_policy_count c; /* its texts are in `key` */
	UT_hash_handle hh;
	char key[];
};

/* ---- one sum */

/* "1 shop/a ingress[0]"; without a policy "1  shop/a, shop/b". No name has a space. */
static int make_key(struct buf *key, const struct nft_policy_count *c)
{
	buf_clear(key);
	buf_printf(key, "%u %s %s", c->type, c->policy ? c->policy : "", c->rule);
	return key->failed ? -ENOMEM : 0;
}

static struct policy_sum *make_sum(struct policy_sums *s, const struct nft_policy_count *c)
{
	struct policy_sum *v = calloc(1, sizeof(*v) + 2 * (s->key.n + 1));
	char *policy, *rule;

	if (!v)
		return NULL;
	memcpy(v->key, s->key.v, s->key.n);
	policy = memcpy(v->key + s->key.n + 1, s->key.v + 2, s->key.n - 1);
	rule = policy + (c->policy ? strlen(c->policy) : 0) + 1;
	rule[-1] = 0;
	v->c = (struct nft_policy_count){ .type = c->type,
					  .policy = c->policy ? policy : NULL,
					  .rule = rule };
	HASH_ADD_KEYPTR(hh, s->all, v->key, s->key.n, v);
	if (v->hh.tbl)
		return v;
	free(v);
	return NULL;
}

static void drop(struct policy_sums *s, struct policy_sum *v)
{
	HASH_DEL(s->all, v);
	free(v);
}

int policy_sums_add(struct policy_sums *s, const struct nft_policy_count *grown)
{
	struct policy_sum *v = NULL;

	if (make_key(&s->key, grown))
		return -ENOMEM;
	HASH_FIND(hh, s->all, s->key.v, s->key.n, v);
	if (!v)
		v = make_sum(s, grown);
	if (!v)
		return -ENOMEM;
	v->c.packets += grown->packets;
	v->c.bytes += grown->bytes;
	return 0;
}

void policy_sums_fini(struct policy_sums *s)
{
	struct policy_sum *v, *next;

	HASH_ITER(hh, s->all, v, next)
	drop(s, v);
	buf_fini(&s->key);
}

/* ---- policies that are gone */

struct asking {
	bool (*is_there)(void *arg, const char *policy);
	void *arg;
};

/* Those of "shop/a, shop/b" that are there. False: all of them. */
static bool left_of(const struct asking *q, const char *list, struct buf *left)
{
	struct buf name = { 0 };
	bool gone = false;

	while (*list) {
		size_t n = strcspn(list, ",");

		buf_clear(&name);
		buf_put(&name, list, n);
		if (name.failed || q->is_there(q->arg, name.v))
			buf_printf(left, "%s%.*s", left->n ? ", " : "", (int)n, list);
		else
			gone = true;
		list += n;
		list += strspn(list, ", ");
	}
	buf_fini(&name);
	return gone;
}

/* To the list of those that are left. */
static int hand_over(struct policy_sums *s, const struct policy_sum *v, struct buf *left)
{
	struct nft_policy_count heir = v->c;

	heir.rule = left->n ? left->v : "";
	return left->failed ? -ENOMEM : policy_sums_add(s, &heir);
}

int policy_sums_forget(struct policy_sums *s, bool (*is_there)(void *arg, const char *policy),
		       void *arg)
{
	const struct asking q = { is_there, arg };
	struct policy_sum *v, *next;
	int rc = 0;

	HASH_ITER(hh, s->all, v, next)
	{
		struct buf left = { 0 };
		bool gone;

		if (v->c.policy)
			gone = !is_there(arg, v->c.policy);
		else
			gone = policy_names_some(v->c.rule) && left_of(&q, v->c.rule, &left) &&
			       !(rc = hand_over(s, v, &left));
		if (gone)
			drop(s, v);
		buf_fini(&left);
	}
	return rc;
}

/* ---- all of them */

static int by_rule(const void *x, const void *y)
{
	const struct nft_policy_count *a = x, *b = y;
	int c = strverscmp(a->policy ? a->policy : "", b->policy ? b->policy : "");

	if (!c)
		c = a->type - b->type;
	return c ? c : strverscmp(a->rule, b->rule);
}

int policy_sums_list(const struct policy_sums *s, struct arena *a, struct nft_policy_count **out,
		     size_t *n, struct err *e)
{
	struct nft_policy_count *v = arena_array(a, HASH_COUNT(s->all), sizeof(*v));
	size_t k = 0;

	if (!v)
		return err_set(e, -ENOMEM, "no memory for the counters of policies");
	for (const struct policy_sum *x = s->all; x; x = x->hh.next)
		v[k++] = x->c;
	if (k)
		qsort(v, k, sizeof(*v), by_rule);
	*out = v;
	*n = k;
	return 0;
}
