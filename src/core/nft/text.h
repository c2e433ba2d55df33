/* SPDX-License-Identifier: Apache-2.0 */
/* IR → nft syntax, as `nft -s list table` (1.0.6) prints it and `nft -f` reads it. */
#pragma once
#include "core/nft/ir.h"

void nft_text(const struct nft_ruleset *rs, struct buf *out);
void nft_text_table(const struct nft_table *t, struct buf *out);
void nft_text_rule(const struct nft_rule *r, uint8_t family, struct buf *out); /* one line */
void nft_text_elem(const struct nft_set *s, const struct nft_elem *e, struct buf *out);
