/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile netlink attributes: parsed by type into a table, read with length checks. Internal to
 * core/nft. */
#pragma once
#include "core/nft/ir.h"

#include <libmnl/libmnl.h>

#define ATTRS_MAX 32

struct attrs {
	const struct nlattr *v[ATTRS_MAX + 1]; /* NULL: absent */
};

void attrs_parse(struct attrs *t, const void *p, size_t n);
void attrs_nest(struct attrs *t, const struct nlattr *nest); /* NULL: no attributes */
uint8_t attr_u8(const struct nlattr *a);                     /* 0 where absent or short */
uint16_t attr_be16(const struct nlattr *a);
uint32_t attr_be32(const struct nlattr *a);
uint64_t attr_be64(const struct nlattr *a);
bool attr_is(const struct nlattr *a, const char *s);
/* The text, cut to size - 1 bytes; "" where absent. */
void attr_text(char *out, size_t size, const struct nlattr *a);
char *attr_str(struct arena *a, const struct nlattr *attr); /* NULL where absent */
/* The bytes of NFTA_DATA_VALUE inside, if there are n of them; else NULL. */
const uint8_t *attr_value(const struct nlattr *a, size_t n);
size_t attr_value_len(const struct nlattr *a);
/* NFTA_DATA_VERDICT inside; false if there is none. */
bool attr_verdict(struct arena *mem, const struct nlattr *a, struct nft_verdict *out);

/* Appends the statements of NFTA_RULE_EXPRESSIONS to `r`. */
void decode_exprs(struct nft_rule *r, const struct nft_table *t, const struct nlattr *exprs);
/* User data: the value with this tag; NULL if none. */
const uint8_t *udata_find(const uint8_t *p, size_t n, unsigned tag, size_t *len);
char *udata_comment_get(struct arena *a, const struct nlattr *attr, unsigned tag);
/* Fills v[0..NFT_PARTS_MAX) from a typeof declaration; number of parts, 0 for none. */
unsigned udata_typeof(const struct nlattr *attr, bool data, struct nft_part *v);
