/* SPDX-License-Identifier: Apache-2.0 */
/* A model of the kernel's nftables for tests of what says operations: it carries them out, fails
 * where the kernel would refuse one, and is compared with a whole table. One line of text for each set,
 * chain, rule and element. */
#pragma once
#include "core/nft/build.h"

struct nft_kernel {
	char **v;
	size_t n, cap;
};

void nft_kernel_fini(struct nft_kernel *k); /* may be used again */
/* Everything of a table, as if it had been loaded. */
void nft_kernel_load(struct nft_kernel *k, const struct nft_table *t);
void nft_kernel_run(struct nft_kernel *k, const struct nft_ops *ops);
/* `inet fairlead` as nft_build() makes it, in `a`. */
struct nft_table *nft_kernel_wanted(const struct nft_input *in, struct nft_ruleset *rs,
				    struct arena *a);
/* Fails with `what` and the first difference. */
void nft_kernel_same(struct nft_kernel *k, const struct nft_table *t, const char *what);
