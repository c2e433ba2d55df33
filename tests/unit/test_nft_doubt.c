/* SPDX-License-Identifier: Apache-2.0 */
/* Doubts and summaries: which elements somebody looks at again, and that nothing else is. With a
 * kernel: tests/integration/test_nft.py and test_agent_audit.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/nft/encode.h"
#include "core/nft/summary.h"

#include <string.h>

#define N 300 /* of the set `many` */

static struct nft_elem elem(const uint32_t *key, const char *comment)
{
	return (struct nft_elem){ .key = (const uint8_t *)key, .comment = comment };
}

/* What is wanted: a set, a map, a verdict map, an empty set, intervals, and what packets write. */
static void make(struct nft_ruleset *rs)
{
	static const uint32_t first = 1, last = 9;
	struct nft_table *t = nft_table_add(rs, NFPROTO_INET, "t");
	struct nft_set *many = nft_set_add(t, "many", 0, NFT_TYPES(NFTY_MARK));
	struct nft_set *map = nft_set_add(t, "map", 0, NFT_TYPES(NFTY_MARK));
	struct nft_set *ways = nft_set_add(t, "ways", 0, NFT_TYPES(NFTY_MARK));
	struct nft_set *nets = nft_set_add(t, "nets", NFT_SET_INTERVAL, NFT_TYPES(NFTY_IPV4_ADDR));
	struct nft_set *dyn = nft_set_add(t, "dyn", NFT_SET_EVAL, NFT_TYPES(NFTY_MARK));
	struct nft_elem e;

	nft_set_add(t, "empty", 0, NFT_TYPES(NFTY_IPV6_ADDR));
	nft_set_data(map, NFT_TYPES(NFTY_MARK));
	nft_set_data(ways, NFT_TYPES(NFTY_VERDICT));
	for (uint32_t i = 0; i < N; i++) {
		uint32_t key = i * 7919 % N;

		e = elem(&key, NULL);
		nft_elem_add(many, &e);
		e.data = (const uint8_t *)&i;
		e.comment = "a/b";
		nft_elem_add(map, &e);
	}
	e = elem(&first, NULL);
	e.verdict = (struct nft_verdict){ NFT_GOTO, "one" };
	nft_elem_add(ways, &e);
	nft_elem_add(dyn, &(struct nft_elem){ .key = (const uint8_t *)&first });
	nft_elem_add(nets, &(struct nft_elem){ .key = (const uint8_t *)&first,
					       .key_end = (const uint8_t *)&last });
}

static struct nft_set *set_of(const struct nft_ruleset *rs, const char *name)
{
	return nft_set_get(nft_table_get(rs, NFPROTO_INET, "t"), name);
}

struct world {
	struct arena a;
	struct nft_ruleset have;
	struct nft_summary want;
	struct nft_doubts found;
};

static void world_init(struct world *w)
{
	struct nft_filter filter;
	struct nft_ruleset rs;

	*w = (struct world){ 0 };
	arena_init(&w->a, 0);
	nft_ruleset_init(&w->have, &w->a);
	make(&w->have);
	nft_summary_filter(&w->want, &filter);
	nft_ruleset_init(&rs, &w->a);
	rs.filter = &filter;
	make(&rs);
	assert_false(w->want.failed);
	assert_int_equal(set_of(&rs, "many")->n, 0); /* it keeps nothing */
	nft_summary_sort(&w->want);
}

/* Every set of the summary as it is in `have`, each element `times` times. */
static void compare(struct world *w, unsigned times)
{
	for (uint32_t i = 0; i < w->want.n; i++) {
		const struct nft_set *s = set_of(&w->have, w->want.v[i].name);

		assert_int_equal(nft_summary_begin(&w->want, i, &w->found), 0);
		for (uint32_t k = 0; k < s->n * times; k++)
			assert_int_equal(nft_summary_see(&w->want, i, s, &s->elems[k % s->n]), 0);
		assert_int_equal(nft_summary_end(&w->want, i), 0);
	}
	nft_doubts_sort(&w->found);
}

static void world_fini(struct world *w)
{
	nft_summary_fini(&w->want);
	nft_doubts_fini(&w->found);
	arena_fini(&w->a);
}

static void test_equal(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(w.want.n, 4); /* not the intervals, nor what packets write */
	compare(&w, 1);
	assert_int_equal(w.found.total, 0);
	compare(&w, 2); /* a walk through a hash that grows tells some twice */
	assert_int_equal(w.found.total, 0);
	world_fini(&w);
}

static void is_doubt(const struct world *w, const char *set, uint32_t key)
{
	const struct nft_doubt *d = nft_doubts_of(&w->found, set_of(&w->have, set));

	assert_non_null(d);
	assert_int_equal(d->n, 1);
	assert_memory_equal(d->keys, &key, sizeof(key));
}

/* Each kind of difference is one doubt, and the only one. */
static void test_differences(void **state)
{
	static const uint32_t more = 5000, other = 77;
	struct world w;
	struct nft_set *s;
	uint32_t gone;
	struct nft_elem e;

	world_init(&w); /* one that is missing */
	s = set_of(&w.have, "many");
	memcpy(&gone, s->elems[N - 1].key, sizeof(gone));
	s->n--;
	compare(&w, 1);
	assert_int_equal(w.found.total, 1);
	is_doubt(&w, "many", gone);
	world_fini(&w);

	world_init(&w); /* one too many, twice */
	e = elem(&more, NULL);
	nft_elem_add(set_of(&w.have, "many"), &e);
	compare(&w, 2);
	assert_int_equal(w.found.total, 1);
	is_doubt(&w, "many", more);
	world_fini(&w);

	world_init(&w); /* data, comment, verdict, chain, timeout */
	for (unsigned i = 0; i < 5; i++) {
		struct nft_elem *x = &set_of(&w.have, i == 2 || i == 3 ? "ways" : "map")->elems[0],
				was = *x;

		nft_doubts_fini(&w.found);
		if (i == 0)
			x->data = (const uint8_t *)&other;
		if (i == 1)
			x->comment = "a/c";
		if (i == 2)
			x->verdict.code = NFT_JUMP;
		if (i == 3)
			x->verdict.chain = "two";
		if (i == 4)
			x->timeout_ms = 5;
		compare(&w, 1);
		assert_int_equal(w.found.total, 1);
		*x = was;
	}
	world_fini(&w);

	world_init(&w); /* in a set that should be empty, with keys of another length */
	e = elem((const uint32_t[4]){ 1, 2, 3, 4 }, NULL);
	nft_elem_add(set_of(&w.have, "empty"), &e);
	compare(&w, 1);
	assert_int_equal(w.found.total, 1);
	assert_int_equal(w.found.v[0].key_len, 16);
	world_fini(&w);
}

/* A build keeps what is in doubt, and whole sets of intervals. */
static void test_filter(void **state)
{
	static const uint32_t keys[] = { 8, 3, 8, 4711 };
	struct nft_doubts d = { 0 };
	struct nft_wish w = { &d };
	struct nft_filter filter;
	struct nft_ruleset rs;
	struct arena a;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			nft_doubts_add(&d, NFPROTO_INET, "many", (const uint8_t *)&keys[i], 4), 0);
	nft_doubts_add(&d, NFPROTO_ARP, "map", (const uint8_t *)keys, 4);  /* another table */
	nft_doubts_add(&d, NFPROTO_INET, "map", (const uint8_t *)keys, 2); /* no key of it */
	nft_doubts_add(&d, NFPROTO_INET, "dyn", (const uint8_t *)keys, 4);
	assert_int_equal(d.total, 7);
	nft_doubts_sort(&d);
	assert_int_equal(d.total, 6);
	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	nft_wish_filter(&w, &filter);
	rs.filter = &filter;
	make(&rs);
	assert_int_equal(set_of(&rs, "many")->n, 2);
	assert_int_equal(set_of(&rs, "map")->n, 0);
	assert_int_equal(set_of(&rs, "ways")->n, 0);
	assert_int_equal(set_of(&rs, "dyn")->n, 0);
	assert_int_equal(set_of(&rs, "nets")->n, 1);
	nft_doubts_fini(&d);
	arena_fini(&a);
}

/* Of a set that is not there everything is wanted, and of a large one the rest is in doubt. */
static void test_missing_sets(void **state)
{
	struct nft_doubts none = { 0 }, later = { 0 };
	struct nft_ruleset rs, have;
	struct nft_wish w = { &none, &have, .later = &later, .large = 100 };
	struct nft_filter filter;
	struct arena a;

	arena_init(&a, 0);
	nft_ruleset_init(&have, &a);
	make(&have);
	have.tables[0]->sets[0]->name = "theirs"; /* instead of `many` */
	nft_ruleset_init(&rs, &a);
	nft_wish_filter(&w, &filter);
	rs.filter = &filter;
	make(&rs);
	assert_int_equal(set_of(&rs, "many")->n, 100);
	assert_int_equal(set_of(&rs, "map")->n, 0);
	assert_int_equal(later.total, N - 100);
	assert_string_equal(later.v[0].set, "many");
	w.anew = 1u << NFPROTO_INET;
	w.later = NULL;
	nft_ruleset_init(&rs, &a);
	rs.filter = &filter;
	make(&rs);
	assert_int_equal(set_of(&rs, "many")->n, N);
	assert_int_equal(set_of(&rs, "map")->n, N);
	nft_doubts_fini(&later);
	arena_fini(&a);
}

static void test_pieces(void **state)
{
	struct nft_doubts d = { 0 }, piece = { 0 };
	uint32_t seen = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		const char *set = i % 3 ? "a" : "b";

		assert_int_equal(
			nft_doubts_add(&d, NFPROTO_INET, set, (const uint8_t *)&i, sizeof(i)), 0);
	}
	while (d.total) {
		assert_int_equal(nft_doubts_move(&d, 64, &piece), 0);
		assert_true(piece.total <= 64 && piece.total);
		nft_doubts_sort(&piece);
		seen += (uint32_t)piece.total;
		nft_doubts_fini(&piece);
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(d.n, 0);
	assert_null(d.v);
}

/* Messages of elements, as notices and as batches have them, name what they are about. */
static void test_named(void **state)
{
	struct nft_doubts by_ops = { 0 }, by_notice = { 0 };
	struct buf bytes = { 0 };
	struct nft_ruleset rs;
	struct nft_notice x;
	struct nft_ops ops;
	struct arena a;
	size_t at = 0;
	int len;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	make(&rs);
	nft_ops_init(&ops, &a);
	nft_ops_load(&ops, &rs, false);
	for (uint32_t i = 0; i < ops.n; i++) {
		uint32_t from = 0, n;

		assert_int_equal(nft_encode(&ops.v[i], &from, &bytes, NFT_MSG_MAX, 1, &n, NULL), 0);
	}
	assert_int_equal(nft_doubts_ops(&by_ops, &ops), 0);
	while ((len = nft_decode_notice(bytes.v + at, bytes.n - at, &x, NULL)) > 0) {
		assert_int_equal(nft_doubts_notice(&by_notice, "t", &x), 0);
		assert_int_equal(nft_doubts_notice(&by_notice, "other", &x), 0);
		at += (size_t)len;
	}
	assert_int_equal(by_ops.total, 2 * N + 3);
	nft_doubts_sort(&by_ops);
	nft_doubts_sort(&by_notice);
	for (uint32_t i = 0; i < by_ops.n; i++) {
		const struct nft_doubt *d = &by_ops.v[i],
				       *n = nft_doubts_of(&by_notice, set_of(&rs, d->set));

		if (!strcmp(d->set, "nets"))
			continue; /* its ends are messages' elements, too */
		assert_non_null(n);
		assert_int_equal(n->n, d->n);
		assert_memory_equal(n->keys, d->keys, (size_t)d->n * d->key_len);
	}
	nft_doubts_fini(&by_ops);
	nft_doubts_fini(&by_notice);
	buf_fini(&bytes);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),  cmocka_unit_test(test_differences),
		cmocka_unit_test(test_filter), cmocka_unit_test(test_missing_sets),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
