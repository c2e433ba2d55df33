/* SPDX-License-Identifier: Apache-2.0 */
/* Names of chains and sets that follow from texts. A hash is no secret, and names of objects may be
 * as long as two hashes have room for: whoever may write objects could make two texts of one name.
 * So a name that is taken gets a number; which of the two depends on who came first, and where another
 * process sees it the other way round its first audit makes both anew. */
#include "base/crc.h"
#include "core/nft/policies_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *nft_policy_cut(const char *text, size_t max, char mark, char *out)
{
	size_t n = strlen(text);

	snprintf(out, max + 1, "%s", text);
	if (n > max)
		snprintf(out + max - 9, 10, "%c%08x", mark, crc32_add(0, text, n));
	return out;
}

static struct nft_policy_named *find(const struct nft_policies *s, const char *name)
{
	struct nft_policy_named *v;

	HASH_FIND_STR(s->names, name, v);
	return v;
}

const char *nft_policy_name_take(struct nft_policies *s, const char *name,
				 struct nft_policy_chain *chain)
{
	char tried[NFT_POLICY_NAME + 16];
	struct nft_policy_named *v;

	snprintf(tried, sizeof(tried), "%s", name);
	for (unsigned i = 2; find(s, tried); i++)
		snprintf(tried, sizeof(tried), "%s-%u", name, i);
	v = calloc(1, sizeof(*v) + strlen(tried) + 1);
	if (!v)
		return NULL;
	v->chain = chain;
	memcpy(v->name, tried, strlen(tried) + 1);
	HASH_ADD_STR(s->names, name, v);
	if (v->hh.tbl)
		return v->name;
	free(v);
	return NULL;
}

void nft_policy_name_drop(struct nft_policies *s, const char *name)
{
	struct nft_policy_named *v = find(s, name);

	if (!v)
		return;
	HASH_DEL(s->names, v);
	free(v);
}

struct nft_policy_chain *nft_policy_chain_named(const struct nft_policies *s, const char *name)
{
	const struct nft_policy_named *v = find(s, name);

	return v ? v->chain : NULL;
}
