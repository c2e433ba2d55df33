/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink attributes that are not trusted: sorted by type into a table, and each counts only if
 * its length is that of its type. Numbers are as the kernel's own machine has them; nla_be16() and
 * nla_be32() read those in network order. What is absent or malformed is 0. */
#pragma once
#include "base/addr.h"

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NLA_TYPES 80

struct nla {
	const struct nlattr *v[NLA_TYPES]; /* NULL: absent; of several of a type the last */
};

struct nla nla_from(const void *p, size_t n);
/* Those behind `head` bytes of family header; none where the message is shorter. */
struct nla nla_of(const struct nlmsghdr *nlh, size_t head);
/* Those inside of one. */
struct nla nla_in(const struct nla *t, unsigned type);

bool nla_bytes(const struct nla *t, unsigned type, void *out, size_t n);
uint8_t nla_u8(const struct nla *t, unsigned type);
uint32_t nla_u32(const struct nla *t, unsigned type);
uint16_t nla_be16(const struct nla *t, unsigned type);
uint32_t nla_be32(const struct nla *t, unsigned type);
const char *nla_str(const struct nla *t, unsigned type); /* "" */
bool nla_addr(const struct nla *t, unsigned type, uint8_t family, struct ipaddr *out);
