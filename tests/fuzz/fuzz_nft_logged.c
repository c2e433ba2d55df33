/* SPDX-License-Identifier: Apache-2.0 */
/* Packets as nfnetlink_log sends them: decoding never reads outside of them; the prefix ends, and what is
 * said of the packet holds together.
 * Parser: core/nft/logged.c */
#include "core/nft/logged.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

static void check(const struct nft_logged *p)
{
	const struct nft_trace_flow *f = &p->flow;

	assert(memchr(p->prefix, 0, sizeof(p->prefix)));
	assert(f->src.family == f->dst.family);
	assert(p->has_seq || !p->seq);
	if (!f->src.family)
		assert(!f->proto && !f->sport && !f->dport && !p->has_icmp && !p->fragment);
	if (p->fragment || !nft_trace_has_ports(f->proto))
		assert(!f->sport && !f->dport);
	if (p->has_icmp)
		assert(!p->fragment && (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6));
}

static void try_message(const struct nlmsghdr *nlh)
{
	struct nft_logged p;

	if (!nft_logged_decode(nlh, &p, NULL))
		check(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	each_message(data, size, try_message);
	return 0;
}
