// SPDX-License-Identifier: Apache-2.0
/* ctnl_decode: ctnetlink messages → model/conntrack.h; see ctnl.h. No sockets here. The bytes are
 * not trusted: an attribute counts only if its length is that of its type. */
#include "sys/ctnl.h"
#include "sys/nlattr.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

bool ctnl_knows(uint8_t proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_TCP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP || proto == IPPROTO_ICMP ||
	       proto == IPPROTO_ICMPV6;
}

static void decode_icmp(const struct nla *l4, unsigned id, unsigned type, unsigned code,
			struct ct_tuple *out)
{
	out->icmp_id = nla_be16(l4, id);
	out->icmp_type = nla_u8(l4, type);
	out->icmp_code = nla_u8(l4, code);
}

static bool decode_tuple(const struct nla *t, unsigned type, uint8_t family, struct ct_tuple *out,
			 uint8_t *proto)
{
	struct nla tuple = nla_in(t, type), ip = nla_in(&tuple, CTA_TUPLE_IP),
		   l4 = nla_in(&tuple, CTA_TUPLE_PROTO);
	bool v4 = family == AF_INET;

	*proto = nla_u8(&l4, CTA_PROTO_NUM);
	switch (*proto) {
	case IPPROTO_ICMP:
		decode_icmp(&l4, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE, out);
		break;
	case IPPROTO_ICMPV6:
		decode_icmp(&l4, CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE,
			    out);
		break;
	default:
		out->sport = nla_be16(&l4, CTA_PROTO_SRC_PORT);
		out->dport = nla_be16(&l4, CTA_PROTO_DST_PORT);
	}
	return ctnl_knows(*proto) &&
	       nla_addr(&ip, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, family, &out->src) &&
	       nla_addr(&ip, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, family, &out->dst);
}

static uint16_t decode_zone(const struct nla *t, unsigned type)
{
	struct nla tuple = nla_in(t, type);

	return t->v[CTA_ZONE] ? nla_be16(t, CTA_ZONE) : nla_be16(&tuple, CTA_TUPLE_ZONE);
}

static uint8_t decode_sctp(const struct nla *t)
{
	struct nla info = nla_in(t, CTA_PROTOINFO), sctp = nla_in(&info, CTA_PROTOINFO_SCTP);
	uint8_t state = nla_u8(&sctp, CTA_PROTOINFO_SCTP_STATE);

	return state < ct_sctp_names.n ? state : CT_SCTP_NONE;
}

int ctnl_decode(const struct nlmsghdr *nlh, struct ct_entry *c)
{
	struct nla t = nla_of(nlh, sizeof(struct nfgenmsg));
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct ct_entry got = { 0 };
	uint8_t back;

	if (nlh->nlmsg_type != CTNL_TYPE(IPCTNL_MSG_CT_NEW) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*g) ||
	    !decode_tuple(&t, CTA_TUPLE_ORIG, g->nfgen_family, &got.orig, &got.proto) ||
	    !decode_tuple(&t, CTA_TUPLE_REPLY, g->nfgen_family, &got.reply, &back) ||
	    back != got.proto)
		return 0;
	got.id = nla_be32(&t, CTA_ID);
	got.status = nla_be32(&t, CTA_STATUS);
	got.zone[0] = decode_zone(&t, CTA_TUPLE_ORIG);
	got.zone[1] = decode_zone(&t, CTA_TUPLE_REPLY);
	got.sctp_state = got.proto == IPPROTO_SCTP ? decode_sctp(&t) : CT_SCTP_NONE;
	*c = got;
	return 1;
}
