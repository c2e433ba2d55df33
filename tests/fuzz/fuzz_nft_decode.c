/* SPDX-License-Identifier: Apache-2.0 */
/* nftables messages of any kind: decoding never reads outside of them, and what comes out can be
 * printed, sorted, encoded again and compared with itself.
 * Parser: core/nft/decode.c core/nft/decode_expr.c core/nft/decode_stmt.c core/nft/attr.c core/nft/doubt.c core/nft/udata.c */
#include "core/nft/decode.h"
#include "core/nft/diff.h"
#include "core/nft/doubt.h"
#include "core/nft/encode.h"
#include "core/nft/ops.h"
#include "core/nft/text.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool has_opaque(const struct nft_ruleset *rs)
{
	for (uint32_t i = 0; i < rs->n; i++)
		for (uint32_t j = 0; j < rs->tables[i]->n_chains; j++)
			for (uint32_t k = 0; k < rs->tables[i]->chains[j]->n; k++) {
				const struct nft_rule *r = rs->tables[i]->chains[j]->rules[k];
				struct buf out = { 0 };
				bool bad = nft_encode_exprs(r, rs->tables[i]->family, &out, NULL);

				buf_fini(&out);
				if (bad)
					return true;
			}
	return false;
}

/* What can be said to the kernel, in messages of two sizes, reads as a ruleset of as many tables. */
static void again(const struct nft_ruleset *rs, size_t room, struct arena *a)
{
	struct nft_ruleset back;
	struct buf out = { 0 };
	struct nft_ops ops;
	bool said = true;

	nft_ops_init(&ops, a);
	nft_ops_load(&ops, rs, false);
	for (uint32_t i = 0; i < ops.n && said; i++)
		for (uint32_t from = 0, n_msgs = 0, end = ops.v[i].n_elems ? ops.v[i].n_elems : 1;
		     from < end && said;)
			said = !nft_encode(&ops.v[i], &from, &out, room, 1, &n_msgs, NULL);
	nft_ruleset_init(&back, a);
	if (said && out.n && !out.failed && !a->failed) {
		assert(!nft_decode(&back, NULL, out.v, out.n, NULL) || a->failed);
		nft_decode_done(&back);
		assert(back.n == rs->n || a->failed);
	}
	buf_fini(&out);
}

static void notices(const char *p, size_t n)
{
	struct nft_doubts doubts = { 0 };
	struct nft_notice x;
	size_t at = 0;
	int len;

	while (at < n && (len = nft_decode_notice(p + at, n - at, &x, NULL)) > 0) {
		assert(memchr(x.table, 0, sizeof(x.table)) && memchr(x.comm, 0, sizeof(x.comm)));
		nft_doubts_notice(&doubts, x.table, &x);
		at += (size_t)len;
	}
	nft_doubts_sort(&doubts);
	nft_doubts_fini(&doubts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* aligned, and its end is guarded */
	struct nft_ruleset rs;
	struct buf text = { 0 };
	struct nft_diff d;
	struct arena a;

	if (size)
		memcpy(copy, data, size);
	arena_init(&a, 64 << 20);
	nft_ruleset_init(&rs, &a);
	nft_decode(&rs, NULL, copy, size, NULL);
	nft_decode_done(&rs);
	nft_text(&rs, &text);
	nft_check(&rs, NULL);
	if (!a.failed && !has_opaque(&rs) && !nft_diff(&d, &rs, &rs, &a, NULL))
		assert(!d.ops.n && !d.n_findings);
	again(&rs, 4096, &a);
	again(&rs, 1 << 16, &a);
	notices(copy, size);
	buf_fini(&text);
	arena_fini(&a);
	free(copy);
	return 0;
}
