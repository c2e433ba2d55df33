// SPDX-License-Identifier: Apache-2.0
/* nft_logged: see logged.h. Neither the message nor the packet in it is trusted, and the packet is a
 * pod's: what is short counts as absent, a header that lies about its length ends the reading.
 *
 * IPv6 extension headers are walked as RFC 8200, section 4 orders them (hop-by-hop, routing, fragment,
 * destination options) and RFC 4302 (AH); at most EXTENSIONS of them, as nobody sends more and each of
 * an attacker's costs a turn. What stands behind an unknown one is not looked for. */
#include "core/nft/logged.h"

#include "base/wire.h"
#include "core/nft/attr.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <netinet/in.h>
#include <string.h>

#define HEADERS    (MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct nfgenmsg)))
#define EXTENSIONS 8

/* ---- the packet */

static void get_transport(struct wire *w, struct nft_logged *x)
{
	struct nft_trace_flow *f = &x->flow;

	x->has_icmp = (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6) && wire_left(w) >= 2;
	if (x->has_icmp) {
		x->icmp_type = wire_u8(w);
		x->icmp_code = wire_u8(w);
	} else if (nft_trace_has_ports(f->proto) && wire_left(w) >= 4) {
		f->sport = wire_u16(w);
		f->dport = wire_u16(w);
	}
}

static void get_addr(struct wire *w, struct ipaddr *a, uint8_t family, size_t n)
{
	const uint8_t *b = wire_bytes(w, n);

	if (!b)
		return;
	a->family = family;
	memcpy(a->b, b, n);
}

static void get_ipv4(struct wire w, struct nft_logged *x)
{
	struct nft_trace_flow f = { 0 };
	uint8_t head = wire_u8(&w) & 15;
	uint16_t offset;

	wire_bytes(&w, 5); /* TOS, length, id */
	offset = wire_u16(&w) & 0x1fff;
	wire_u8(&w); /* TTL */
	f.proto = wire_u8(&w);
	wire_u16(&w); /* checksum */
	get_addr(&w, &f.src, AF_INET, 4);
	get_addr(&w, &f.dst, AF_INET, 4);
	if (w.bad || head < 5)
		return;
	x->flow = f;
	x->fragment = offset != 0;
	if (!x->fragment && (head == 5 || wire_bytes(&w, 4 * (head - 5U))))
		get_transport(&w, x);
}

/* Over one extension header of this kind; false where it is none. */
static bool skip_extension(struct wire *w, uint8_t kind, uint8_t *next, bool *later)
{
	size_t n;

	if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_FRAGMENT &&
	    kind != IPPROTO_DSTOPTS && kind != IPPROTO_AH)
		return false;
	*next = wire_u8(w);
	n = wire_u8(w);
	if (kind == IPPROTO_FRAGMENT) {
		*later = (wire_u16(w) & 0xfff8) != 0;
		wire_u32(w);
	} else {
		wire_bytes(w, (kind == IPPROTO_AH ? 4 * (n + 2) : 8 * (n + 1)) - 2);
	}
	return !w->bad;
}

static void get_ipv6(struct wire w, struct nft_logged *x)
{
	struct nft_trace_flow f = { 0 };
	bool later = false;

	wire_bytes(&w, 6); /* version, class, label, length */
	f.proto = wire_u8(&w);
	wire_u8(&w); /* hop limit */
	get_addr(&w, &f.src, AF_INET6, 16);
	get_addr(&w, &f.dst, AF_INET6, 16);
	if (w.bad)
		return;
	for (unsigned i = 0; i < EXTENSIONS && !later; i++) {
		uint8_t next;

		if (!skip_extension(&w, f.proto, &next, &later))
			break;
		f.proto = next;
	}
	x->flow = f;
	x->fragment = later;
	if (!later && !w.bad)
		get_transport(&w, x);
}

static void get_packet(const struct nlattr *a, struct nft_logged *x)
{
	struct wire w;
	uint8_t version;

	if (!a || !mnl_attr_get_payload_len(a))
		return;
	w = wire_from(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	version = *w.p >> 4;
	if (x->family == NFPROTO_IPV4 && version == 4)
		get_ipv4(w, x);
	else if (x->family == NFPROTO_IPV6 && version == 6)
		get_ipv6(w, x);
}

/* ---- the message */

static uint8_t get_hook(const struct nlattr *a)
{
	struct nfulnl_msg_packet_hdr head;

	if (!a || mnl_attr_get_payload_len(a) < sizeof(head))
		return 0;
	memcpy(&head, mnl_attr_get_payload(a), sizeof(head));
	return head.hook;
}

int nft_logged_decode(const struct nlmsghdr *nlh, struct nft_logged *out, struct err *e)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct nft_logged x = { 0 };
	struct attrs t;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
	    nlh->nlmsg_len < HEADERS)
		return err_set(e, -EBADMSG, "not a packet that was logged");
	attrs_parse(&t, (const char *)nlh + HEADERS, nlh->nlmsg_len - HEADERS);
	x.family = g->nfgen_family;
	x.group = be16toh(g->res_id);
	attr_text(x.prefix, sizeof(x.prefix), t.v[NFULA_PREFIX]);
	x.hook = get_hook(t.v[NFULA_PACKET_HDR]);
	x.has_seq = t.v[NFULA_SEQ] != NULL;
	x.seq = attr_be32(t.v[NFULA_SEQ]);
	x.mark = attr_be32(t.v[NFULA_MARK]);
	x.iif = attr_be32(t.v[NFULA_IFINDEX_INDEV]);
	x.oif = attr_be32(t.v[NFULA_IFINDEX_OUTDEV]);
	get_packet(t.v[NFULA_PAYLOAD], &x);
	*out = x;
	return 0;
}
