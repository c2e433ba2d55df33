/* SPDX-License-Identifier: Apache-2.0 */
/* nftables' trace events as the kernel sends them: decoding never reads outside of them; names end, and
 * what is said of a packet is what its own flow matches.
 * Parser: core/nft/trace.c */
#include "core/nft/trace.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"

#include <assert.h>
#include <string.h>

static void check(const struct nft_trace *t)
{
	struct nft_trace_flow p, other, any = { .proto = 0 };
	char text[ADDR_TEXT];

	assert(memchr(t->table, 0, sizeof(t->table)) && memchr(t->chain, 0, sizeof(t->chain)) &&
	       memchr(t->to, 0, sizeof(t->to)));
	assert(t->n_link <= sizeof(t->link) && t->n_network <= sizeof(t->network) &&
	       t->n_transport <= sizeof(t->transport));
	assert(t->type == NFT_TRACETYPE_RULE || !t->rule);
	if (!nft_trace_packet(t, &p))
		return;
	assert(p.src.family == p.dst.family && *addr_str(&p.src, text));
	assert(nft_trace_matches(&p, &p) && nft_trace_matches(&any, &p));
	other = p;
	other.dst.b[3] ^= 1;
	assert(!nft_trace_matches(&p, &other));
}

static void try_message(const struct nlmsghdr *nlh)
{
	struct nft_trace t;

	if (!nft_trace_decode(nlh, &t, NULL))
		check(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	each_message(data, size, try_message);
	return 0;
}
