// SPDX-License-Identifier: Apache-2.0
/* nft_trace: see trace.h. The bytes are not trusted: what is short counts as absent, what is long is
 * cut. */
#include "core/nft/trace.h"

#include "core/nft/attr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define HEADERS (MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct nfgenmsg)))

/* Since Linux 6.16; Debian 12's headers are older. */
enum { TRACE_CT_ID = 18, TRACE_CT_DIRECTION, TRACE_CT_STATUS, TRACE_CT_STATE };

/* ---- what the kernel tells */

static uint8_t get_bytes(uint8_t *out, size_t size, const struct nlattr *a)
{
	size_t n = a ? mnl_attr_get_payload_len(a) : 0;

	if (n > size)
		n = size;
	if (n)
		memcpy(out, mnl_attr_get_payload(a), n);
	return (uint8_t)n;
}

static void get_verdict(const struct nlattr *a, struct nft_trace *x)
{
	struct attrs v;

	attrs_nest(&v, a);
	x->verdict = (int32_t)attr_be32(v.v[NFTA_VERDICT_CODE]);
	if (x->verdict == NFT_JUMP || x->verdict == NFT_GOTO)
		attr_text(x->to, sizeof(x->to), v.v[NFTA_VERDICT_CHAIN]);
}

static void get_ct(const struct attrs *t, struct nft_trace *x)
{
	x->has_ct = t->v[TRACE_CT_STATE] != NULL;
	x->ct_id = attr_be32(t->v[TRACE_CT_ID]);
	x->ct_reply = attr_u8(t->v[TRACE_CT_DIRECTION]);
	x->ct_status = attr_be32(t->v[TRACE_CT_STATUS]);
	x->ct_state = attr_be32(t->v[TRACE_CT_STATE]);
}

int nft_trace_decode(const struct nlmsghdr *nlh, struct nft_trace *out, struct err *e)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct nft_trace x = { 0 };
	struct attrs t;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE) ||
	    nlh->nlmsg_len < HEADERS)
		return err_set(e, -EBADMSG, "not a trace of nftables");
	attrs_parse(&t, (const char *)nlh + HEADERS, nlh->nlmsg_len - HEADERS);
	x.type = (uint8_t)attr_be32(t.v[NFTA_TRACE_TYPE]);
	if (x.type != NFT_TRACETYPE_RULE && x.type != NFT_TRACETYPE_RETURN &&
	    x.type != NFT_TRACETYPE_POLICY)
		return err_set(e, -EBADMSG, "a trace of nftables of an unknown type");
	x.id = attr_be32(t.v[NFTA_TRACE_ID]);
	x.family = g->nfgen_family;
	x.nfproto = (uint8_t)attr_be32(t.v[NFTA_TRACE_NFPROTO]);
	attr_text(x.table, sizeof(x.table), t.v[NFTA_TRACE_TABLE]);
	attr_text(x.chain, sizeof(x.chain), t.v[NFTA_TRACE_CHAIN]);
	if (x.type == NFT_TRACETYPE_RULE)
		x.rule = attr_be64(t.v[NFTA_TRACE_RULE_HANDLE]);
	if (x.type == NFT_TRACETYPE_RULE && !x.rule) /* a chain's end, as Linux 6 says it */
		x.type = NFT_TRACETYPE_RETURN;
	if (x.type == NFT_TRACETYPE_POLICY)
		x.policy = attr_be32(t.v[NFTA_TRACE_POLICY]);
	else
		get_verdict(t.v[NFTA_TRACE_VERDICT], &x);
	x.mark = attr_be32(t.v[NFTA_TRACE_MARK]);
	x.iif = attr_be32(t.v[NFTA_TRACE_IIF]);
	x.oif = attr_be32(t.v[NFTA_TRACE_OIF]);
	x.iiftype = attr_be16(t.v[NFTA_TRACE_IIFTYPE]);
	x.oiftype = attr_be16(t.v[NFTA_TRACE_OIFTYPE]);
	x.n_link = get_bytes(x.link, sizeof(x.link), t.v[NFTA_TRACE_LL_HEADER]);
	x.n_network = get_bytes(x.network, sizeof(x.network), t.v[NFTA_TRACE_NETWORK_HEADER]);
	x.n_transport =
		get_bytes(x.transport, sizeof(x.transport), t.v[NFTA_TRACE_TRANSPORT_HEADER]);
	get_ct(&t, &x);
	*out = x;
	return 0;
}

/* ---- packets */

bool nft_trace_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

bool nft_trace_packet(const struct nft_trace *t, struct nft_trace_flow *out)
{
	/* Of the network header: its length, where the protocol stands, and the addresses. */
	static const struct {
		uint8_t nfproto, family, len, proto, src, n;
	} layouts[] = { { NFPROTO_IPV4, AF_INET, 20, 9, 12, 4 },
			{ NFPROTO_IPV6, AF_INET6, 40, 6, 8, 16 } };

	for (unsigned i = 0; i < 2; i++) {
		struct nft_trace_flow x = { .src.family = layouts[i].family,
					    .dst.family = layouts[i].family };

		if (t->nfproto != layouts[i].nfproto || t->n_network < layouts[i].len)
			continue;
		x.proto = t->network[layouts[i].proto];
		memcpy(x.src.b, t->network + layouts[i].src, layouts[i].n);
		memcpy(x.dst.b, t->network + layouts[i].src + layouts[i].n, layouts[i].n);
		if (nft_trace_has_ports(x.proto) && t->n_transport >= 4) {
			x.sport = (uint16_t)(t->transport[0] << 8 | t->transport[1]);
			x.dport = (uint16_t)(t->transport[2] << 8 | t->transport[3]);
		}
		*out = x;
		return true;
	}
	return false;
}

static bool addr_matches(const struct ipaddr *wanted, const struct ipaddr *a)
{
	return !wanted->family || addr_eq(wanted, a);
}

bool nft_trace_matches(const struct nft_trace_flow *wanted, const struct nft_trace_flow *packet)
{
	return addr_matches(&wanted->src, &packet->src) &&
	       addr_matches(&wanted->dst, &packet->dst) &&
	       (!wanted->proto || wanted->proto == packet->proto) &&
	       (!wanted->sport || wanted->sport == packet->sport) &&
	       (!wanted->dport || wanted->dport == packet->dport);
}
