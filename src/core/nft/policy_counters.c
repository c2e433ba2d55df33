/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counted, back to the rules of policies. A chain tells the policy or the list, as its
 * name may be cut; a rule's comment ends with the rule. */
#include "core/nft/policies_state.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *nft_policies_denial(const struct nft_policies *s, const char *chain,
				enum policy_type *type)
{
	const struct nft_policy_chain *c = nft_policy_chain_named(s, chain);

	if (!c || c->of_policy)
		return NULL;
	*type = c->type;
	return c->text;
}

static const struct nft_stmt *counter_of(const struct nft_rule *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->v[i].kind == NFS_COUNTER)
			return &r->v[i];
	return NULL;
}

/* false: it counts nothing. */
static bool count_of(const struct nft_policy_chain *c, const struct nft_rule *r, struct arena *a,
		     struct nft_policy_count *out)
{
	const struct nft_stmt *counter = counter_of(r);
	const char *slash = strchr(c->text, '/'), *rule = c->text;

	if (!counter || !r->comment || !slash)
		return false;
	*out = (struct nft_policy_count){ .type = c->type,
					  .packets = counter->counter.packets,
					  .bytes = counter->counter.bytes };
	if (c->of_policy) {
		rule = strrchr(r->comment, ' ');
		rule = rule ? rule + 1 : r->comment;
		out->ns = arena_strndup(a, c->text, (size_t)(slash - c->text));
		out->name = arena_strdup(a, slash + 1);
	}
	out->rule = arena_strdup(a, rule);
	return true;
}

static int cmp_text(const char *a, const char *b)
{
	return strverscmp(a ? a : "", b ? b : "");
}

static int by_rule(const void *x, const void *y)
{
	const struct nft_policy_count *a = x, *b = y;
	int c = cmp_text(a->ns, b->ns);

	if (!c)
		c = cmp_text(a->name, b->name);
	if (!c)
		c = a->type - b->type;
	return c ? c : cmp_text(a->rule, b->rule);
}

static size_t add_up(struct nft_policy_count *v, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(v, n, sizeof(*v), by_rule);
	for (size_t i = 0; i < n; i++) {
		if (!kept || by_rule(&v[kept - 1], &v[i])) {
			v[kept++] = v[i];
			continue;
		}
		v[kept - 1].packets += v[i].packets;
		v[kept - 1].bytes += v[i].bytes;
	}
	return kept;
}

int nft_policies_counters(const struct nft_policies *s, const struct nft_table *t, struct arena *a,
			  struct nft_policy_count **out, size_t *n, struct err *e)
{
	struct nft_policy_count *v;
	size_t m = 0;

	for (uint32_t i = 0; i < t->n_chains; i++)
		m += t->chains[i]->n;
	v = arena_array(a, m, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "no memory for the counters of policies");
	m = 0;
	for (uint32_t i = 0; i < t->n_chains; i++) {
		const struct nft_policy_chain *c = nft_policy_chain_named(s, t->chains[i]->name);

		for (uint32_t k = 0; c && k < t->chains[i]->n; k++)
			m += count_of(c, t->chains[i]->rules[k], a, &v[m]);
	}
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory for the counters of policies");
	*n = add_up(v, m);
	*out = v;
	return 0;
}
