/* SPDX-License-Identifier: Apache-2.0 */
/* IR → nft syntax, as `nft -s list table` (1.0.6) prints it and `nft -f` reads it. */
#pragma once
#include "core/nft/ir.h"

void nft_text(const struct nft_ruleset *rs, struct buf *out);
void nft_text_table(const struct nft_table *t, struct buf *out);
void nft_text_rule(const struct nft_rule *r, uint8_t family, struct buf *out); /* one line */
void text_set(const struct nft_set *s, struct buf *out);
/* One element: `"fl1" . 10.0.0.1 comment "x" : drop`. */
void nft_text_elem(const struct nft_set *s, const struct nft_elem *e, struct buf *out);

/* Words for single values; internal to core/nft. `host`: a number in host order. */
void text_value(struct buf *out, unsigned type, bool host, const uint8_t *v, unsigned len);
/* What `nft` shows of lo…hi of one part: a value, a prefix, a range. */
void text_range(struct buf *out, unsigned type, bool host, const uint8_t *lo, const uint8_t *hi,
		unsigned len);
const char *text_family(uint8_t family);
void text_hex(struct buf *out, const uint8_t *v, unsigned len, bool host);
/* Length of the prefix whose first and last addresses these are, or -1. */
int text_prefix(const uint8_t *lo, const uint8_t *hi, unsigned len);
void text_sel(struct buf *out, const struct nft_sel *s);
void text_keys(struct buf *out, const struct nft_keys *k);
void text_time(struct buf *out, uint64_t ms);
void text_quoted(struct buf *out, const char *s);
void text_verdict(struct buf *out, const struct nft_verdict *v);
