/* SPDX-License-Identifier: Apache-2.0 */
/* IR → netlink messages of NFNL_SUBSYS_NFTABLES, written with libmnl's builders into memory;
 * no socket here. Batch begin and end belong to the transport (sys/nfnl.h). */
#pragma once
#include "core/nft/ops.h"

/* A message never exceeds this many bytes: element lists are cut into several. */
#define NFT_MSG_MAX 60000

/* Encodes an op, or the elements [*from, …) of it as far as they fit into `room` bytes, as whole
 * messages appended to `out`, each with NLM_F_REQUEST, sequence number seq, seq+1, …; *n_msgs is
 * how many. *from is advanced to the next element, or to op->n_elems (or 1 for other ops) when
 * the op is done. -EMSGSIZE when not even a first message fits; -EINVAL names what the IR cannot
 * say to the kernel. On failure `out` is as before. */
int nft_encode(const struct nft_op *op, uint32_t *from, struct buf *out, size_t room, uint32_t seq,
	       uint32_t *n_msgs, struct err *e);

/* The expressions of a rule as nested attributes, without rule header: equal bytes mean equal
 * rules (comment excluded). Used by the diff. */
int nft_encode_exprs(const struct nft_rule *r, uint8_t family, struct buf *out, struct err *e);
