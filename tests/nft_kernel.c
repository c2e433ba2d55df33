/* SPDX-License-Identifier: Apache-2.0 */
#include "nft_kernel.h"

#include "core/nft/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE 512

void nft_kernel_fini(struct nft_kernel *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->v[i]);
	free(k->v);
	*k = (struct nft_kernel){ 0 };
}

static void line_add(struct nft_kernel *k, const char *s)
{
	if (k->n == k->cap) {
		k->cap = k->cap ? 2 * k->cap : 256;
		k->v = realloc(k->v, k->cap * sizeof(*k->v));
		assert_non_null(k->v);
	}
	k->v[k->n++] = strdup(s);
}

static size_t line_find(const struct nft_kernel *k, const char *head)
{
	size_t i = 0;

	while (i < k->n && strncmp(k->v[i], head, strlen(head)) != 0)
		i++;
	return i;
}

static void line_del(struct nft_kernel *k, size_t i)
{
	free(k->v[i]);
	k->v[i] = k->v[--k->n];
}

static void lines_del(struct nft_kernel *k, const char *head)
{
	for (size_t i = k->n; i-- > 0;)
		if (!strncmp(k->v[i], head, strlen(head)))
			line_del(k, i);
}

/* Does a line with this head have the word, and after it a space or its end? */
static bool mentions(const struct nft_kernel *k, const char *head, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < k->n; i++)
		for (const char *p = k->v[i];
		     !strncmp(k->v[i], head, strlen(head)) && (p = strstr(p, word)); p += len)
			if (!p[len] || p[len] == ' ')
				return true;
	return false;
}

/* ---- elements: "element SET key-end:" and what belongs to the key */

static void hex(struct buf *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; p && i < n; i++)
		buf_printf(b, "%02x", p[i]);
}

static void elem_line(struct buf *b, const struct nft_set *s, const struct nft_elem *e, bool whole)
{
	buf_printf(b, "element %s ", s->name);
	hex(b, e->key, s->key_len);
	buf_puts(b, "-");
	hex(b, e->key_end ? e->key_end : e->key, s->key_len);
	buf_puts(b, ":");
	if (!whole)
		return;
	hex(b, e->data, s->data_len);
	buf_printf(b, " %d to %s \"%s\"", e->verdict.code, e->verdict.chain ? e->verdict.chain : "",
		   e->comment ? e->comment : "");
}

static void run_elem(struct nft_kernel *k, const struct nft_op *op, const struct nft_elem *e)
{
	struct buf key = { 0 }, all = { 0 };
	char text[LINE];
	size_t i;

	snprintf(text, sizeof(text), "set %s.", op->set->name);
	if (line_find(k, text) == k->n)
		fail_msg("%s is not there", text);
	if (e->verdict.chain) {
		snprintf(text, sizeof(text), "chain %s.", e->verdict.chain);
		if (line_find(k, text) == k->n)
			fail_msg("%s is not there", text);
	}
	elem_line(&key, op->set, e, false);
	elem_line(&all, op->set, e, true);
	i = line_find(k, key.v);
	if (op->verb == NFTV_ADD_ELEMS) {
		if (i < k->n)
			fail_msg("%s is there: %s", all.v, k->v[i]);
		line_add(k, all.v);
	} else {
		if (i == k->n)
			fail_msg("%s is not there", all.v);
		line_del(k, i);
	}
	buf_fini(&key);
	buf_fini(&all);
}

/* ---- sets, chains, rules */

static void must_be(const struct nft_kernel *k, const char *text, bool there)
{
	if ((line_find(k, text) < k->n) != there)
		fail_msg("%s is%s there", text, there ? " not" : "");
}

static void run_set(struct nft_kernel *k, const struct nft_op *op)
{
	char text[LINE], word[LINE];

	snprintf(text, sizeof(text), "set %s.", op->set->name);
	snprintf(word, sizeof(word), "@%s", op->set->name);
	must_be(k, text, op->verb != NFTV_ADD_SET);
	if (op->verb == NFTV_ADD_SET) {
		line_add(k, text);
		return;
	}
	if (mentions(k, "rule ", word))
		fail_msg("%s is in use", text);
	lines_del(k, text);
	snprintf(text, sizeof(text), "element %s ", op->set->name);
	lines_del(k, text);
}

static void run_chain(struct nft_kernel *k, const struct nft_op *op)
{
	char text[LINE], rules[LINE], word[LINE];

	snprintf(text, sizeof(text), "chain %s.", op->chain);
	snprintf(rules, sizeof(rules), "rule %s.", op->chain);
	must_be(k, text, op->verb != NFTV_ADD_CHAIN);
	if (op->verb == NFTV_ADD_CHAIN) {
		line_add(k, text);
	} else if (op->verb == NFTV_FLUSH_CHAIN) {
		lines_del(k, rules);
	} else {
		snprintf(word, sizeof(word), "jump %s", op->chain);
		if (mentions(k, "rule ", word))
			fail_msg("%s is jumped to", text);
		snprintf(word, sizeof(word), "goto %s", op->chain);
		if (mentions(k, "rule ", word))
			fail_msg("%s is gone to", text);
		snprintf(word, sizeof(word), "to %s", op->chain);
		if (mentions(k, "element ", word))
			fail_msg("%s is in use", text);
		must_be(k, rules, false);
		lines_del(k, text);
	}
}

/* "rule CHAIN.0003 …", in their order. */
static void rule_add(struct nft_kernel *k, const char *chain, const struct nft_rule *r,
		     uint8_t family)
{
	char head[LINE];
	struct buf b = { 0 };
	unsigned n = 0;

	snprintf(head, sizeof(head), "rule %s.", chain);
	for (size_t i = 0; i < k->n; i++)
		n += !strncmp(k->v[i], head, strlen(head));
	buf_printf(&b, "%s%04u ", head, n);
	nft_text_rule(r, family, &b);
	line_add(k, b.v);
	buf_fini(&b);
}

static void run_rule(struct nft_kernel *k, const struct nft_op *op)
{
	char text[LINE];

	snprintf(text, sizeof(text), "chain %s.", op->chain);
	must_be(k, text, true);
	for (uint32_t i = 0; i < op->rule->n; i++) {
		const struct nft_stmt *s = &op->rule->v[i];

		if (s->kind == NFS_LOOKUP || s->kind == NFS_VMAP) {
			snprintf(text, sizeof(text), "set %s.", s->lookup.set);
			must_be(k, text, true);
		}
		if (s->kind == NFS_VERDICT && s->verdict.chain) {
			snprintf(text, sizeof(text), "chain %s.", s->verdict.chain);
			must_be(k, text, true);
		}
	}
	rule_add(k, op->chain, op->rule, op->family);
}

void nft_kernel_run(struct nft_kernel *k, const struct nft_ops *ops)
{
	for (uint32_t i = 0; i < ops->n; i++) {
		const struct nft_op *op = &ops->v[i];

		switch ((enum nft_verb)op->verb) {
		case NFTV_ADD_ELEMS:
		case NFTV_DEL_ELEMS:
			for (uint32_t j = 0; j < op->n_elems; j++)
				if (!(op->set->flags & NFT_SET_EVAL))
					run_elem(k, op, &op->elems[j]);
			break;
		case NFTV_ADD_SET:
		case NFTV_DEL_SET:
			run_set(k, op);
			break;
		case NFTV_ADD_CHAIN:
		case NFTV_FLUSH_CHAIN:
		case NFTV_DEL_CHAIN:
			run_chain(k, op);
			break;
		case NFTV_ADD_RULE:
			run_rule(k, op);
			break;
		default:
			fail_msg("verb %u", op->verb);
		}
	}
}

/* ---- tables */

void nft_kernel_load(struct nft_kernel *k, const struct nft_table *t)
{
	char text[LINE];

	for (uint32_t i = 0; i < t->n_chains; i++) {
		snprintf(text, sizeof(text), "chain %s.", t->chains[i]->name);
		line_add(k, text);
		for (uint32_t j = 0; j < t->chains[i]->n; j++)
			rule_add(k, t->chains[i]->name, t->chains[i]->rules[j], t->family);
	}
	for (uint32_t i = 0; i < t->n_sets; i++) {
		snprintf(text, sizeof(text), "set %s.", t->sets[i]->name);
		line_add(k, text);
		for (uint32_t j = 0; j < t->sets[i]->n; j++) {
			struct buf b = { 0 };

			elem_line(&b, t->sets[i], &t->sets[i]->elems[j], true);
			line_add(k, b.v);
			buf_fini(&b);
		}
	}
}

static int cmp_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct nft_table *nft_kernel_wanted(const struct nft_input *in, struct nft_ruleset *rs,
				    struct arena *a)
{
	struct err e = { 0 };

	nft_ruleset_init(rs, a);
	if (nft_build(rs, in, &e))
		fail_msg("%s", e.text);
	return nft_table_get(rs, NFPROTO_INET, NFT_TABLE);
}

void nft_kernel_same(struct nft_kernel *k, const struct nft_table *t, const char *what)
{
	struct nft_kernel want = { 0 };

	nft_kernel_load(&want, t);
	if (k->n)
		qsort(k->v, k->n, sizeof(*k->v), cmp_lines);
	if (want.n)
		qsort(want.v, want.n, sizeof(*want.v), cmp_lines);
	for (size_t i = 0; i < k->n || i < want.n; i++)
		if (i >= k->n || i >= want.n || strcmp(k->v[i], want.v[i]) != 0)
			fail_msg("%s: %s instead of %s", what, i < k->n ? k->v[i] : "nothing",
				 i < want.n ? want.v[i] : "nothing");
	nft_kernel_fini(&want);
}
