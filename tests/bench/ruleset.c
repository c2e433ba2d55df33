// SPDX-License-Identifier: Apache-2.0
/* ruleset: see ruleset.h. */
#include "ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void check(int rc, const struct err *e)
{
	if (!rc)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, e->text);
	exit(1);
}

void load_frame(struct nfnl *nl, const struct nft_input *in)
{
	struct nft_ruleset rs;
	struct nft_ops ops;
	struct arena a;
	struct err e;

	arena_init(&a, 0);
	nft_ruleset_init(&rs, &a);
	check(nft_build(&rs, in, &e), &e);
	nft_ops_init(&ops, &a);
	nft_ops_load(&ops, &rs, true);
	check(nfnl_commit(nl, &ops, NULL, &e), &e);
	arena_fini(&a);
}
