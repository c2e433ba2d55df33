/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of our tables that somebody has a reason to look at again: another program touched them, a
 * batch that names them was refused, a comparison says that they differ. A doubt is only a key; what is
 * wanted of it and what is there is asked when it is looked at, both at one moment. So a wrong
 * doubt costs a look and is never a finding, and a look costs what is in doubt, not what there is.
 *
 * Sets of intervals have no keys to ask for and few elements: they are looked at whole, each time.
 * What packets write (dynamic sets) is never in doubt. */
#pragma once
#include "core/nft/decode.h"
#include "core/nft/ops.h"

struct nft_doubt {
	uint8_t family, key_len;
	char set[64];
	uint32_t n, cap; /* keys */
	uint8_t *keys;   /* one after the other */
};

struct nft_doubts {
	struct nft_doubt *v;
	uint32_t n;   /* sets */
	size_t total; /* keys; one may be there several times until it is sorted */
};

void nft_doubts_fini(struct nft_doubts *d); /* and it is empty again */
/* -ENOMEM: `d` is as before. A key that no set of ours can have is left out. */
int nft_doubts_add(struct nft_doubts *d, uint8_t family, const char *set, const uint8_t *key,
		   uint32_t key_len);
/* All elements that the operations name. */
int nft_doubts_ops(struct nft_doubts *d, const struct nft_ops *ops);
/* All that a notice of elements in a table of this name tells of. */
int nft_doubts_notice(struct nft_doubts *d, const char *table, const struct nft_notice *n);
/* Moves up to `most` keys to `to`, or all. */
int nft_doubts_move(struct nft_doubts *d, size_t most, struct nft_doubts *to);

/* Each key once, in order; before the functions below. */
void nft_doubts_sort(struct nft_doubts *d);
const struct nft_doubt *nft_doubts_of(const struct nft_doubts *d, const struct nft_set *s);

/* What a look asks of what is wanted: what is in doubt, whole sets of intervals, and all of a set that is
 * not there. */
struct nft_wish {
	const struct nft_doubts *doubts;
	const struct nft_ruleset *have; /* their declarations; NULL: everything is there */
	uint32_t anew;                  /* bits of families whose table is made anew (nft_diff) */
	/* Where not NULL: of a set that is not there no more than `large`; the rest is in doubt. */
	struct nft_doubts *later;
	uint32_t large;
	bool failed; /* no memory */
};
void nft_wish_filter(struct nft_wish *w, struct nft_filter *out);
