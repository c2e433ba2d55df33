/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted of very many elements, in little memory: of each its key and a checksum of the rest, so
 * that a dump of the kernel can be held against it element by element, by somebody else and
 * meanwhile. What differs becomes a doubt (doubt.h), no more: what is wanted may have changed since.
 * Sets of intervals and what packets write are not in it, as doubts have none of them.
 *
 * Order: a build with the filter, sort, then per set begin, see for each element, end. */
#pragma once
#include "core/nft/doubt.h"

struct nft_summary_set {
	uint8_t family;
	uint16_t key_len;
	char name[64];
	uint32_t n, cap;
	uint8_t *v; /* keys, each with eight bytes of checksum */
};

struct nft_summary {
	struct nft_summary_set *v;
	uint32_t n;
	bool failed; /* no memory */
	/* While a set is looked at. */
	uint8_t *seen; /* a bit for each */
	struct nft_doubts *doubts;
};

void nft_summary_fini(struct nft_summary *m);
/* Takes elements in, and keeps none in the ruleset. */
void nft_summary_filter(struct nft_summary *m, struct nft_filter *out);
void nft_summary_sort(struct nft_summary *m);

/* Set `i` is looked at now; -ENOMEM. */
int nft_summary_begin(struct nft_summary *m, uint32_t i, struct nft_doubts *out);
/* The kernel has this element of it, maybe told twice. */
int nft_summary_see(struct nft_summary *m, uint32_t i, const struct nft_set *s,
		    const struct nft_elem *e);
/* It was told everything. */
int nft_summary_end(struct nft_summary *m, uint32_t i);
