/* SPDX-License-Identifier: Apache-2.0 */
/* A netlink message under construction in memory that may not grow: after the first attribute
 * that does not fit it is `full`, and one check at the end suffices. Internal to core/nft. */
#pragma once
#include "core/nft/ir.h"

#include <libmnl/libmnl.h>

struct msg {
	struct nlmsghdr *nlh;
	size_t cap;
	bool full;
};

void msg_init(struct msg *m, void *mem, size_t cap);
void msg_start(struct msg *m, void *mem, size_t cap, unsigned type, unsigned flags, unsigned family,
	       uint32_t seq);
void msg_put(struct msg *m, uint16_t type, const void *p, size_t n);
void msg_str(struct msg *m, uint16_t type, const char *s);
void msg_u8(struct msg *m, uint16_t type, uint8_t v);
void msg_be16(struct msg *m, uint16_t type, uint16_t v);
void msg_be32(struct msg *m, uint16_t type, uint32_t v);
void msg_be64(struct msg *m, uint16_t type, uint64_t v);
struct nlattr *msg_nest(struct msg *m, uint16_t type);
void msg_end(struct msg *m, struct nlattr *nest);
/* Takes the message back to what it was, e.g. before an element that did not fit. */
void msg_cut(struct msg *m, uint32_t len);

/* The expressions of a rule into `m`, each as NFTA_LIST_ELEM. 0, or -EINVAL with `e` set. */
int encode_exprs(struct msg *m, const struct nft_rule *r, uint8_t family, struct err *e);
enum { UDATA_COMMENT = 0 }; /* of tables, rules and elements; sets have another */

/* User data as nft writes it. Return the length, at most `cap`, or 0. */
unsigned udata_comment(uint8_t *p, unsigned cap, unsigned tag, const char *comment);
unsigned udata_set(uint8_t *p, unsigned cap, const struct nft_set *s);
