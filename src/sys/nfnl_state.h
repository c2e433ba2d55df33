/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: a socket of nftables and its buffers. */
#pragma once
#include "base/buf.h"
#include "sys/nfnl.h"

#include <stdatomic.h>

#define NFNL_RECV_SIZE (64 << 10)

struct span {
	uint32_t seq, op; /* messages from `seq` on belong to `op` */
};

/* One set, its declaration and then its elements, while the ruleset may change; -ENOENT quietly. */
int nfnl_set(struct nfnl *n, uint8_t family, const char *table, const char *set,
	     struct nft_ruleset *rs, struct err *e);

struct nfnl {
	int fd;
	const atomic_bool
		*stop; /* NULL, or set when nobody waits for what is being read any more */
	uint32_t portid, seq;
	size_t sndbuf;
	struct buf out;
	struct span *spans;
	size_t n_spans, cap_spans;
	char in[NFNL_RECV_SIZE] __attribute__((aligned(8)));
};
