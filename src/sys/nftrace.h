/* SPDX-License-Identifier: Apache-2.0 */
/* nftables' own trace events of chosen flows in one network namespace, straight from netlink.
 *
 * What turns tracing on is a table of our own (core/nft/trace.h), named fairlead-trace- and the number
 * of the socket that made and owns it: no other socket can change it, several traces do not meet, and
 * when this process ends, in whatever way, the kernel takes it away. It asks for CAP_NET_ADMIN in the
 * namespace, and for Linux 5.12.
 *
 * Bounded: events queue in a socket of 2 MiB (some 3 000 of them; a packet that meets a Service makes
 * about 30); what comes while it is full is lost, and counted. */
#pragma once
#include "base/err.h"
#include "core/nft/trace.h"

struct nftrace;
struct nfnl;

/* Traces these flows in the namespace behind the descriptor until nftrace_close() (NULL is fine). */
int nftrace_open(int netns, const struct nft_trace_flow *v, size_t n, struct nftrace **out,
		 struct err *e);
/* The same, of what bears the signature. */
int nftrace_open_signature(int netns, const struct nft_trace_signature *s, struct nftrace **out,
			   struct err *e);
void nftrace_close(struct nftrace *t);
/* Readable: call nftrace_read(). */
int nftrace_fd(const struct nftrace *t);
const char *nftrace_table(const struct nftrace *t); /* its name, in family inet */
/* A transport in that namespace, for nfnl_dump() of the tables that events name. */
struct nfnl *nftrace_nfnl(struct nftrace *t);

typedef void (*nftrace_fn)(void *arg, const struct nft_trace *event);
/* Without blocking, at most some 1 000 events; how many there were, 0: none was left. */
int nftrace_read(struct nftrace *t, nftrace_fn fn, void *arg, struct err *e);
/* Events that the kernel could not queue, so far. */
uint32_t nftrace_lost(const struct nftrace *t);
