// SPDX-License-Identifier: Apache-2.0
/* nlattr: reading attributes; see nlattr.h. */
#include "sys/nlattr.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

static int collect(const struct nlattr *a, void *arg)
{
	struct nla *t = arg;

	if (mnl_attr_get_type(a) < NLA_TYPES)
		t->v[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

struct nla nla_from(const void *p, size_t n)
{
	struct nla t = { 0 };

	mnl_attr_parse_payload(p, n, collect, &t);
	return t;
}

struct nla nla_of(const struct nlmsghdr *nlh, size_t head)
{
	size_t n = mnl_nlmsg_get_payload_len(nlh), skip = MNL_ALIGN(head);

	return nla_from(mnl_nlmsg_get_payload_offset(nlh, head), n > skip ? n - skip : 0);
}

struct nla nla_in(const struct nla *t, unsigned type)
{
	const struct nlattr *a = t->v[type];

	return a ? nla_from(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a))
		 : (struct nla){ 0 };
}

bool nla_bytes(const struct nla *t, unsigned type, void *out, size_t n)
{
	if (!t->v[type] || mnl_attr_get_payload_len(t->v[type]) != n)
		return false;
	memcpy(out, mnl_attr_get_payload(t->v[type]), n);
	return true;
}

uint8_t nla_u8(const struct nla *t, unsigned type)
{
	uint8_t v = 0;

	nla_bytes(t, type, &v, sizeof(v));
	return v;
}

uint32_t nla_u32(const struct nla *t, unsigned type)
{
	uint32_t v = 0;

	nla_bytes(t, type, &v, sizeof(v));
	return v;
}

uint16_t nla_be16(const struct nla *t, unsigned type)
{
	uint16_t v = 0;

	nla_bytes(t, type, &v, sizeof(v));
	return ntohs(v);
}

uint32_t nla_be32(const struct nla *t, unsigned type)
{
	return ntohl(nla_u32(t, type));
}

const char *nla_str(const struct nla *t, unsigned type)
{
	return t->v[type] && mnl_attr_validate(t->v[type], MNL_TYPE_NUL_STRING) >= 0
		       ? mnl_attr_get_str(t->v[type])
		       : "";
}

bool nla_addr(const struct nla *t, unsigned type, uint8_t family, struct ipaddr *out)
{
	struct ipaddr a = { .family = family };

	if ((family != AF_INET && family != AF_INET6) || !nla_bytes(t, type, a.b, addr_len(&a)))
		return false;
	*out = a;
	return true;
}
