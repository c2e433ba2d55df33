/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nft/msg.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

void msg_init(struct msg *m, void *mem, size_t cap)
{
	*m = (struct msg){ .nlh = mnl_nlmsg_put_header(mem), .cap = cap };
}

void msg_start(struct msg *m, void *mem, size_t cap, unsigned type, unsigned flags, unsigned family,
	       uint32_t seq)
{
	struct nfgenmsg *g;

	msg_init(m, mem, cap);
	m->nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | type;
	m->nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	m->nlh->nlmsg_seq = seq;
	g = mnl_nlmsg_put_extra_header(m->nlh, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = 0;
}

void msg_put(struct msg *m, uint16_t type, const void *p, size_t n)
{
	size_t pad = MNL_ALIGN(n) - n;

	if (m->full || !mnl_attr_put_check(m->nlh, m->cap, type, n, p)) {
		m->full = true;
		return;
	}
	/* libmnl before 1.0.5 leaves it as it was: equal rules would not be equal bytes. */
	memset((char *)m->nlh + m->nlh->nlmsg_len - pad, 0, pad);
}

void msg_str(struct msg *m, uint16_t type, const char *s)
{
	msg_put(m, type, s, strlen(s) + 1);
}

void msg_u8(struct msg *m, uint16_t type, uint8_t v)
{
	msg_put(m, type, &v, sizeof(v));
}

void msg_be16(struct msg *m, uint16_t type, uint16_t v)
{
	v = htons(v);
	msg_put(m, type, &v, sizeof(v));
}

void msg_be32(struct msg *m, uint16_t type, uint32_t v)
{
	v = htonl(v);
	msg_put(m, type, &v, sizeof(v));
}

void msg_be64(struct msg *m, uint16_t type, uint64_t v)
{
	v = htobe64(v);
	msg_put(m, type, &v, sizeof(v));
}

struct nlattr *msg_nest(struct msg *m, uint16_t type)
{
	struct nlattr *nest = m->full ? NULL : mnl_attr_nest_start_check(m->nlh, m->cap, type);

	if (!nest)
		m->full = true;
	return nest;
}

void msg_end(struct msg *m, struct nlattr *nest)
{
	if (nest)
		mnl_attr_nest_end(m->nlh, nest);
}

void msg_cut(struct msg *m, uint32_t len)
{
	m->nlh->nlmsg_len = len;
	m->full = false;
}
