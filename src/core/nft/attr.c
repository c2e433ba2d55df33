/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nft/attr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

void attrs_parse(struct attrs *t, const void *p, size_t n)
{
	const struct nlattr *attr;

	memset(t, 0, sizeof(*t));
	mnl_attr_for_each_payload((void *)p, n) if (mnl_attr_get_type(attr) <= ATTRS_MAX)
		t->v[mnl_attr_get_type(attr)] = attr;
}

void attrs_nest(struct attrs *t, const struct nlattr *nest)
{
	if (nest)
		attrs_parse(t, mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest));
	else
		memset(t, 0, sizeof(*t));
}

static bool read_attr(const struct nlattr *a, void *out, size_t n)
{
	if (!a || mnl_attr_get_payload_len(a) < n)
		return false;
	memcpy(out, mnl_attr_get_payload(a), n);
	return true;
}

uint8_t attr_u8(const struct nlattr *a)
{
	uint8_t v;

	return read_attr(a, &v, sizeof(v)) ? v : 0;
}

uint16_t attr_be16(const struct nlattr *a)
{
	uint16_t v;

	return read_attr(a, &v, sizeof(v)) ? ntohs(v) : 0;
}

uint32_t attr_be32(const struct nlattr *a)
{
	uint32_t v;

	return read_attr(a, &v, sizeof(v)) ? ntohl(v) : 0;
}

uint64_t attr_be64(const struct nlattr *a)
{
	uint64_t v;

	return read_attr(a, &v, sizeof(v)) ? be64toh(v) : 0;
}

bool attr_is(const struct nlattr *a, const char *s)
{
	size_t n = strlen(s), len = a ? mnl_attr_get_payload_len(a) : 0;

	return len >= n && (len == n || !((const char *)mnl_attr_get_payload(a))[n]) &&
	       !memcmp(mnl_attr_get_payload(a), s, n);
}

void attr_text(char *out, size_t size, const struct nlattr *a)
{
	size_t n = a ? strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) : 0;

	if (n > size - 1)
		n = size - 1;
	if (n)
		memcpy(out, mnl_attr_get_payload(a), n);
	out[n] = 0;
}

char *attr_str(struct arena *a, const struct nlattr *attr)
{
	const char *s;

	if (!attr)
		return NULL;
	s = mnl_attr_get_payload(attr);
	return arena_strndup(a, s, strnlen(s, mnl_attr_get_payload_len(attr)));
}

size_t attr_value_len(const struct nlattr *a)
{
	struct attrs t;

	attrs_nest(&t, a);
	return t.v[NFTA_DATA_VALUE] ? mnl_attr_get_payload_len(t.v[NFTA_DATA_VALUE]) : 0;
}

const uint8_t *attr_value(const struct nlattr *a, size_t n)
{
	struct attrs t;

	attrs_nest(&t, a);
	if (!t.v[NFTA_DATA_VALUE] || mnl_attr_get_payload_len(t.v[NFTA_DATA_VALUE]) != n)
		return NULL;
	return mnl_attr_get_payload(t.v[NFTA_DATA_VALUE]);
}

bool attr_verdict(struct arena *mem, const struct nlattr *a, struct nft_verdict *out)
{
	struct attrs t, v;

	attrs_nest(&t, a);
	if (!t.v[NFTA_DATA_VERDICT])
		return false;
	attrs_nest(&v, t.v[NFTA_DATA_VERDICT]);
	out->code = (int32_t)attr_be32(v.v[NFTA_VERDICT_CODE]);
	out->chain = attr_str(mem, v.v[NFTA_VERDICT_CHAIN]);
	if ((out->code == NFT_JUMP || out->code == NFT_GOTO) && !out->chain)
		out->chain = ""; /* a binding without a name */
	return true;
}
