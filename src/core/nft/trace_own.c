// SPDX-License-Identifier: Apache-2.0
/* nft_trace: which of the events that a listener hears are about its own packets; see trace.h. A packet's
 * buffer, and with it the id, is soon another packet's: so where a packet begins, its id is looked at anew.
 * That is in our own table, as no other but of our kind stands before it. */
#include "core/nft/trace.h"

#include <string.h>

static bool is_begin(const struct nft_trace *x)
{
	return x->n_network &&
	       (!strcmp(x->chain, NFT_TRACE_PREROUTING) || !strcmp(x->chain, NFT_TRACE_OUTPUT));
}

static uint32_t find(const struct nft_trace_own *o, uint32_t id)
{
	uint32_t i = 0;

	while (i < o->n && o->ids[i] != id)
		i++;
	return i;
}

static void add(struct nft_trace_own *o, uint32_t id)
{
	if (find(o, id) < o->n)
		return;
	if (o->n < NFT_TRACE_OWN)
		o->ids[o->n++] = id;
	else
		o->ids[o->oldest++ % NFT_TRACE_OWN] = id;
}

static void drop(struct nft_trace_own *o, uint32_t id)
{
	uint32_t i = find(o, id);

	if (i < o->n)
		o->ids[i] = o->ids[--o->n];
}

bool nft_trace_is_own(struct nft_trace_own *o, const char *table, const struct nft_trace *x)
{
	bool mine = x->family == NFPROTO_INET && !strcmp(x->table, table);

	if (!mine && !strncmp(x->table, NFT_TRACE_TABLE, strlen(NFT_TRACE_TABLE)))
		return false;
	if (mine && x->type == NFT_TRACETYPE_RULE && x->verdict == NFT_CONTINUE)
		add(o, x->id);
	else if (mine && is_begin(x))
		drop(o, x->id);
	return find(o, x->id) < o->n;
}
