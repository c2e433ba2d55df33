/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that `log group N` rules tell of, in the network namespace in which the socket was opened.
 *
 * A group has one reader: while another program has it, opening fails with -EPERM (which the kernel also
 * says without CAP_NET_ADMIN). It is free again when its socket is closed, in whatever way. Without a
 * reader the kernel tells nobody and keeps nothing.
 *
 * The kernel gathers some packets before it sends them, for a tenth of a second at most. Bounded: what
 * comes while the socket of 2 MiB is full is lost, and counted with the packet that follows. */
#pragma once
#include "base/err.h"
#include "core/nft/logged.h"

struct nflog;

int nflog_open(uint16_t group, struct nflog **out, struct err *e);
void nflog_close(struct nflog *l); /* NULL is fine */
/* Readable: call nflog_read(). */
int nflog_fd(const struct nflog *l);

typedef void (*nflog_fn)(void *arg, const struct nft_logged *p);
/* Without blocking, a bounded number; how many there were, 0: none was left. On an error the socket is
 * of no more use. */
int nflog_read(struct nflog *l, nflog_fn fn, void *arg, struct err *e);
/* Packets of the group that did not come through, so far. */
uint64_t nflog_lost(const struct nflog *l);
