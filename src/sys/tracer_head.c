// SPDX-License-Identifier: Apache-2.0
/* tracer_head_parse: headers as they stand on the wire; see tracer_state.h. IPv6 extension headers are not
 * walked: such a packet has its addresses and the first of them as its protocol. */
#include "sys/tracer_state.h"

#include "bpf/abi.h"

#include <linux/if_ether.h>
#include <string.h>

#define VXLAN_HEADER 8

/* Bytes that are left; reading behind them gives 0. */
struct bytes {
	const uint8_t *v;
	size_t n;
};

static uint8_t u8(const struct bytes *b, size_t at)
{
	return at < b->n ? b->v[at] : 0;
}

static uint16_t be16(const struct bytes *b, size_t at)
{
	return (uint16_t)(u8(b, at) << 8 | u8(b, at + 1));
}

static uint32_t be32(const struct bytes *b, size_t at)
{
	return (uint32_t)be16(b, at) << 16 | be16(b, at + 2);
}

static struct bytes behind(const struct bytes *b, size_t n)
{
	return n < b->n ? (struct bytes){ b->v + n, b->n - n } : (struct bytes){ NULL, 0 };
}

static struct ipaddr addr_at(const struct bytes *b, uint8_t family, size_t at)
{
	struct ipaddr a = { .family = family };

	for (size_t i = 0; i < (family == AF_INET ? 4u : 16u); i++)
		a.b[i] = u8(b, at + i);
	return a;
}

/* One network header: whom it is from and for, and what is behind it. */
struct ip {
	struct nft_trace_flow flow;
	uint16_t length, id;
	uint8_t ttl;
	bool later; /* a fragment that has no transport header */
	struct bytes l4;
};

static bool parse_ip(const struct bytes *b, struct ip *out)
{
	uint8_t version = u8(b, 0) >> 4;
	size_t ihl = (u8(b, 0) & 0xf) * 4u;

	memset(out, 0, sizeof(*out));
	if (version == 4 && ihl >= 20 && b->n >= 20) {
		out->flow.src = addr_at(b, AF_INET, 12);
		out->flow.dst = addr_at(b, AF_INET, 16);
		out->flow.proto = u8(b, 9);
		out->length = be16(b, 2);
		out->id = be16(b, 4);
		out->later = be16(b, 6) & 0x1fff;
		out->ttl = u8(b, 8);
		out->l4 = behind(b, ihl);
	} else if (version == 6 && b->n >= 40) {
		out->flow.src = addr_at(b, AF_INET6, 8);
		out->flow.dst = addr_at(b, AF_INET6, 24);
		out->flow.proto = u8(b, 6);
		out->length = (uint16_t)(be16(b, 4) + 40);
		out->ttl = u8(b, 7);
		out->l4 = behind(b, 40);
	} else {
		return false;
	}
	if (nft_trace_has_ports(out->flow.proto) && !out->later) {
		out->flow.sport = be16(&out->l4, 0);
		out->flow.dport = be16(&out->l4, 2);
	}
	return true;
}

/* Is there a packet in this one? */
static bool open_tunnel(const struct ip *outer, uint16_t vxlan_port, struct tracer_outer *out,
			struct bytes *inner)
{
	uint8_t proto = outer->flow.proto;
	uint16_t type;

	if (outer->later)
		return false;
	if (proto == IPPROTO_UDP && outer->flow.dport == vxlan_port) {
		type = be16(&outer->l4, 8 + VXLAN_HEADER + ETH_HLEN - 2);
		if (type != ETH_P_IP && type != ETH_P_IPV6)
			return false;
		out->vni = be32(&outer->l4, 8 + 4) >> 8;
		*inner = behind(&outer->l4, 8 + VXLAN_HEADER + ETH_HLEN);
	} else if (proto == IPPROTO_IPIP || proto == IPPROTO_IPV6) {
		*inner = outer->l4;
	} else {
		return false;
	}
	out->proto = proto;
	out->src = outer->flow.src;
	out->dst = outer->flow.dst;
	return true;
}

/* An error's header is followed by the packet that it is about; its MTU is at 4 of ICMPv6, at 6 of ICMP. */
static void parse_icmp(const struct ip *ip, struct tracer_head *h)
{
	struct bytes about = behind(&ip->l4, 8);
	bool v6 = ip->flow.proto == IPPROTO_ICMPV6;
	struct ip quoted;

	h->icmp_type = u8(&ip->l4, 0);
	h->icmp_code = u8(&ip->l4, 1);
	if (h->icmp_type < 32 &&
	    ((v6 ? TRACE_ICMP6_ERRORS : TRACE_ICMP4_ERRORS) >> h->icmp_type & 1)) {
		h->has_quoted = parse_ip(&about, &quoted);
		if (h->has_quoted)
			h->quoted = quoted.flow;
		if (v6 && h->icmp_type == 2)
			h->icmp_mtu = be32(&ip->l4, 4);
		if (!v6 && h->icmp_type == 3 && h->icmp_code == 4)
			h->icmp_mtu = be16(&ip->l4, 6);
	} else {
		h->icmp_id = be16(&ip->l4, 4);
	}
}

bool tracer_head_parse(const uint8_t *v, size_t n, uint16_t vxlan_port, struct tracer_head *out)
{
	struct bytes b = { v, n };
	struct tracer_head h = { 0 };
	struct ip ip, in;

	if (!parse_ip(&b, &ip))
		return false;
	if (open_tunnel(&ip, vxlan_port, &h.outer, &b)) {
		if (parse_ip(&b, &in))
			ip = in;
		else
			h.outer = (struct tracer_outer){ 0 };
	}
	h.flow = ip.flow;
	h.length = ip.length;
	h.ip_id = ip.id;
	h.ttl = ip.ttl;
	if (ip.flow.proto == IPPROTO_TCP && !ip.later) {
		h.seq = be32(&ip.l4, 4);
		h.ack = be32(&ip.l4, 8);
		h.tcp_flags = u8(&ip.l4, 13);
	} else if ((ip.flow.proto == IPPROTO_ICMP || ip.flow.proto == IPPROTO_ICMPV6) &&
		   !ip.later) {
		parse_icmp(&ip, &h);
	}
	*out = h;
	return true;
}
