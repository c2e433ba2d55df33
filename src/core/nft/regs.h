/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of a rule while it is decoded: decode_expr.c fills them, decode_stmt.c makes
 * statements of them. Internal to core/nft. */
#pragma once
#include "core/nft/attr.h"
#include "core/nft/sel.h"

#define WORDS 16

enum fill { FILL_NONE, FILL_SEL, FILL_IMM, FILL_MAP };

struct word {
	uint8_t fill; /* enum fill */
	uint8_t masked, swapped;
	struct nft_sel sel;
	struct nft_val imm;
	struct nft_keys keys; /* FILL_MAP */
	const char *map;
	uint8_t mask[16], xor[16];
};

struct dec {
	struct nft_rule *r;
	const struct nft_table *t;
	struct arena *a;
	struct pkt k;
	struct word w[WORDS];
};

/* Word of a register, -1 for the verdict register and nonsense. */
int word_of(const struct nlattr *a);
/* Selectors from word `w` on that fill `len` bytes; n == 0 where they do not. */
struct nft_keys gather(struct dec *d, int w, unsigned len);
void emit(struct dec *d, const struct nft_stmt *s);

/* One expression that becomes a statement; false where it does not fit. */
bool dec_cmp(struct dec *d, const struct attrs *t);
bool dec_range(struct dec *d, const struct attrs *t);
bool dec_lookup(struct dec *d, const struct attrs *t);
bool dec_set(struct dec *d, const struct nlattr *key, const struct nlattr *sreg, bool ct);
bool dec_nat(struct dec *d, const struct attrs *t);
bool dec_redir(struct dec *d, const struct attrs *t);
bool dec_masq(struct dec *d, const struct attrs *t);
bool dec_dynset(struct dec *d, const struct attrs *t);
bool dec_counter(struct dec *d, const struct attrs *t);
bool dec_limit(struct dec *d, const struct attrs *t);
bool dec_log(struct dec *d, const struct attrs *t);
bool dec_reject(struct dec *d, const struct attrs *t);
bool dec_notrack(struct dec *d, const struct attrs *t);
