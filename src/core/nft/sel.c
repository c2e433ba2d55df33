/* SPDX-License-Identifier: Apache-2.0 */
/* Types and selectors, and what they imply.
 *
 * nft lists `meta nfproto ipv4 ip saddr X` as `ip saddr X`, because the header says it all. The
 * rules for that are here, in one place for encode (adds the match), decode (drops it) and
 * check (refuses it where stated): struct pkt follows a rule and knows what earlier statements
 * have established of network and transport header. Numbers of types, headers and fields are
 * nft's (include/datatype.h, src/proto.c): they are kept by the kernel only for its listing. */
#include "core/nft/sel.h"

#include <assert.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

static const struct type_info types[] = {
	[NFTY_NONE] = { "invalid", 0, 0, 0, 0 },
	[NFTY_VERDICT] = { "verdict", 0, 1, 0, 0 },
	[NFTY_IPV4_ADDR] = { "ipv4_addr", 4, 7, 0, 0 },
	[NFTY_IPV6_ADDR] = { "ipv6_addr", 16, 8, 0, 0 },
	[NFTY_ETHER_ADDR] = { "ether_addr", 6, 9, 0, 0 },
	[NFTY_ETHER_TYPE] = { "ether_type", 2, 10, 0, 0 },
	[NFTY_INET_PROTO] = { "inet_proto", 1, 12, 0, 0 },
	[NFTY_INET_SERVICE] = { "inet_service", 2, 13, 0, 0 },
	[NFTY_ICMP_TYPE] = { "icmp_type", 1, 14, 0, 0 },
	[NFTY_ICMP_CODE] = { "icmp_code", 1, 32, 0, 0 },
	[NFTY_ICMPV6_TYPE] = { "icmpv6_type", 1, 29, 0, 0 },
	[NFTY_ICMPV6_CODE] = { "icmpv6_code", 1, 33, 0, 0 },
	[NFTY_TCP_FLAG] = { "tcp_flag", 1, 15, 0, 1 },
	[NFTY_MARK] = { "mark", 4, 19, 1, 0 },
	[NFTY_IFNAME] = { "ifname", 16, 41, 1, 0 },
	[NFTY_CT_STATE] = { "ct_state", 4, 26, 1, 1 },
	[NFTY_CT_STATUS] = { "ct_status", 4, 28, 1, 1 },
	[NFTY_CT_DIR] = { "ct_dir", 1, 27, 1, 0 },
	[NFTY_FIB_ADDRTYPE] = { "fib_addrtype", 4, 38, 1, 0 },
	[NFTY_PKT_TYPE] = { "pkt_type", 1, 31, 1, 0 },
	[NFTY_NFPROTO] = { "nf_proto", 1, 2, 1, 0 },
	[NFTY_UID] = { "uid", 4, 24, 1, 0 },
	[NFTY_GID] = { "gid", 4, 25, 1, 0 },
	[NFTY_ARP_OP] = { "arp_op", 2, 11, 0, 0 },
	[NFTY_CLASSID] = { "classid", 4, 23, 1, 0 },
	[NFTY_BOOLEAN] = { "boolean", 1, 39, 1, 0 },
	[NFTY_INTEGER] = { "integer", 0, 4, 0, 0 },
};
static_assert(sizeof(types) / sizeof(types[0]) == NFTY_COUNT,
	      "types[] doesn't match enum nft_type");

#define META(t, type, len, key)                                                                    \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_META, key, 0, 0, 0, 0, 0                                 \
	}
#define CT_OF(t, type, len, key, dir, l3) /* no header is read, but only that family has it */     \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_CT, key, dir, l3, 0, 0, 0                                \
	}
#define CT(t, type, len, key, dir)                                                                 \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_CT, key, dir, 0, 0, 0, 0                                 \
	}
#define LL(t, type, len, off, field)                                                               \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_PAYLOAD, NFT_PAYLOAD_LL_HEADER, off, L3_ETHER, 0, 17,    \
			field                                                                      \
	}
#define NH(t, type, len, off, l3, proto, field)                                                    \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_PAYLOAD, NFT_PAYLOAD_NETWORK_HEADER, off, l3, 0, proto,  \
			field                                                                      \
	}
#define TH(t, type, len, off, l3, l4, proto, field)                                                \
	{                                                                                          \
		t, NFTY_##type, len, LOAD_PAYLOAD, NFT_PAYLOAD_TRANSPORT_HEADER, off, l3, l4,      \
			proto, field                                                               \
	}

static const struct sel_info sels[] = {
	[NFK_NONE] = { "none", NFTY_NONE, 0, 0, 0, 0, 0, 0, 0, 0 },
	[NFK_META_IIFNAME] = META("iifname", IFNAME, 16, NFT_META_IIFNAME),
	[NFK_META_OIFNAME] = META("oifname", IFNAME, 16, NFT_META_OIFNAME),
	[NFK_META_L4PROTO] = META("meta l4proto", INET_PROTO, 1, NFT_META_L4PROTO),
	[NFK_META_NFPROTO] = META("meta nfproto", NFPROTO, 1, NFT_META_NFPROTO),
	[NFK_META_PROTOCOL] = META("meta protocol", ETHER_TYPE, 2, NFT_META_PROTOCOL),
	[NFK_META_MARK] = META("meta mark", MARK, 4, NFT_META_MARK),
	[NFK_META_PRIORITY] = META("meta priority", CLASSID, 4, NFT_META_PRIORITY),
	[NFK_META_SKUID] = META("meta skuid", UID, 4, NFT_META_SKUID),
	[NFK_META_SKGID] = META("meta skgid", GID, 4, NFT_META_SKGID),
	[NFK_META_PKTTYPE] = META("meta pkttype", PKT_TYPE, 1, NFT_META_PKTTYPE),
	[NFK_META_LENGTH] = META("meta length", INTEGER, 4, NFT_META_LEN),
	[NFK_ETHER_SADDR] = LL("ether saddr", ETHER_ADDR, 6, 6, 2),
	[NFK_ETHER_DADDR] = LL("ether daddr", ETHER_ADDR, 6, 0, 1),
	[NFK_ETHER_TYPE] = LL("ether type", ETHER_TYPE, 2, 12, 3),
	[NFK_ARP_OP] = NH("arp operation", ARP_OP, 2, 6, L3_ARP, 15, 5),
	[NFK_ARP_SADDR_ETHER] = NH("arp saddr ether", ETHER_ADDR, 6, 8, L3_ARP, 15, 6),
	[NFK_ARP_SADDR_IP] = NH("arp saddr ip", IPV4_ADDR, 4, 14, L3_ARP, 15, 7),
	[NFK_ARP_DADDR_ETHER] = NH("arp daddr ether", ETHER_ADDR, 6, 18, L3_ARP, 15, 8),
	[NFK_ARP_DADDR_IP] = NH("arp daddr ip", IPV4_ADDR, 4, 24, L3_ARP, 15, 9),
	[NFK_IP_SADDR] = NH("ip saddr", IPV4_ADDR, 4, 12, L3_IP, 12, 11),
	[NFK_IP_DADDR] = NH("ip daddr", IPV4_ADDR, 4, 16, L3_IP, 12, 12),
	[NFK_IP_PROTOCOL] = NH("ip protocol", INET_PROTO, 1, 9, L3_IP, 12, 9),
	[NFK_IP_TTL] = NH("ip ttl", INTEGER, 1, 8, L3_IP, 12, 8),
	[NFK_IP_LENGTH] = NH("ip length", INTEGER, 2, 2, L3_IP, 12, 5),
	[NFK_IP6_SADDR] = NH("ip6 saddr", IPV6_ADDR, 16, 8, L3_IP6, 13, 8),
	[NFK_IP6_DADDR] = NH("ip6 daddr", IPV6_ADDR, 16, 24, L3_IP6, 13, 9),
	[NFK_IP6_NEXTHDR] = NH("ip6 nexthdr", INET_PROTO, 1, 6, L3_IP6, 13, 6),
	[NFK_IP6_HOPLIMIT] = NH("ip6 hoplimit", INTEGER, 1, 7, L3_IP6, 13, 7),
	[NFK_TH_SPORT] = TH("th sport", INET_SERVICE, 2, 0, 0, 0, 11, 1),
	[NFK_TH_DPORT] = TH("th dport", INET_SERVICE, 2, 2, 0, 0, 11, 2),
	[NFK_TCP_SPORT] = TH("tcp sport", INET_SERVICE, 2, 0, 0, IPPROTO_TCP, 8, 1),
	[NFK_TCP_DPORT] = TH("tcp dport", INET_SERVICE, 2, 2, 0, IPPROTO_TCP, 8, 2),
	[NFK_TCP_FLAGS] = TH("tcp flags", TCP_FLAG, 1, 13, 0, IPPROTO_TCP, 8, 7),
	[NFK_UDP_SPORT] = TH("udp sport", INET_SERVICE, 2, 0, 0, IPPROTO_UDP, 6, 1),
	[NFK_UDP_DPORT] = TH("udp dport", INET_SERVICE, 2, 2, 0, IPPROTO_UDP, 6, 2),
	[NFK_SCTP_SPORT] = TH("sctp sport", INET_SERVICE, 2, 0, 0, IPPROTO_SCTP, 10, 1),
	[NFK_SCTP_DPORT] = TH("sctp dport", INET_SERVICE, 2, 2, 0, IPPROTO_SCTP, 10, 2),
	[NFK_ICMP_TYPE] = TH("icmp type", ICMP_TYPE, 1, 0, L3_IP, IPPROTO_ICMP, 4, 1),
	[NFK_ICMP_CODE] = TH("icmp code", ICMP_CODE, 1, 1, L3_IP, IPPROTO_ICMP, 4, 2),
	[NFK_ICMPV6_TYPE] = TH("icmpv6 type", ICMPV6_TYPE, 1, 0, L3_IP6, IPPROTO_ICMPV6, 14, 1),
	[NFK_ICMPV6_CODE] = TH("icmpv6 code", ICMPV6_CODE, 1, 1, L3_IP6, IPPROTO_ICMPV6, 14, 2),
	[NFK_PAYLOAD] = { "payload", NFTY_INTEGER, 0, LOAD_PAYLOAD, 0, 0, 0, 0, 0, 0 },
	[NFK_CT_STATE] = CT("ct state", CT_STATE, 4, NFT_CT_STATE, 255),
	[NFK_CT_STATUS] = CT("ct status", CT_STATUS, 4, NFT_CT_STATUS, 255),
	[NFK_CT_MARK] = CT("ct mark", MARK, 4, NFT_CT_MARK, 255),
	[NFK_CT_DIRECTION] = CT("ct direction", CT_DIR, 1, NFT_CT_DIRECTION, 255),
	[NFK_CT_ORIG_SADDR4] = CT_OF("ct original ip saddr", IPV4_ADDR, 4, NFT_CT_SRC_IP, 0, L3_IP),
	[NFK_CT_ORIG_DADDR4] = CT_OF("ct original ip daddr", IPV4_ADDR, 4, NFT_CT_DST_IP, 0, L3_IP),
	[NFK_CT_ORIG_SADDR6] =
		CT_OF("ct original ip6 saddr", IPV6_ADDR, 16, NFT_CT_SRC_IP6, 0, L3_IP6),
	[NFK_CT_ORIG_DADDR6] =
		CT_OF("ct original ip6 daddr", IPV6_ADDR, 16, NFT_CT_DST_IP6, 0, L3_IP6),
	[NFK_CT_REPLY_SADDR4] = CT_OF("ct reply ip saddr", IPV4_ADDR, 4, NFT_CT_SRC_IP, 1, L3_IP),
	[NFK_CT_REPLY_SADDR6] =
		CT_OF("ct reply ip6 saddr", IPV6_ADDR, 16, NFT_CT_SRC_IP6, 1, L3_IP6),
	[NFK_CT_ORIG_SPORT] = CT("ct original proto-src", INET_SERVICE, 2, NFT_CT_PROTO_SRC, 0),
	[NFK_CT_ORIG_DPORT] = CT("ct original proto-dst", INET_SERVICE, 2, NFT_CT_PROTO_DST, 0),
	[NFK_FIB_SADDR_TYPE] = { "fib saddr type", NFTY_FIB_ADDRTYPE, 4, LOAD_FIB,
				 NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_SADDR, 0, 0, 0, 0 },
	[NFK_FIB_DADDR_TYPE] = { "fib daddr type", NFTY_FIB_ADDRTYPE, 4, LOAD_FIB,
				 NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, 0, 0, 0, 0 },
	[NFK_FIB_SADDR_IIF_OIF] = { "fib saddr . iif oif", NFTY_BOOLEAN, 4, LOAD_FIB,
				    NFT_FIB_RESULT_OIF,
				    NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT, 0, 0, 0,
				    0 },
	[NFK_RT_TCPMSS] = { "rt mtu", NFTY_INTEGER, 2, LOAD_RT, NFT_RT_TCPMSS, 0, 0, 0, 0, 0 },
	[NFK_NUMGEN_INC] = { "numgen inc", NFTY_INTEGER, 4, LOAD_NUMGEN, NFT_NG_INCREMENTAL, 0, 0,
			     0, 0, 0 },
	[NFK_NUMGEN_RANDOM] = { "numgen random", NFTY_INTEGER, 4, LOAD_NUMGEN, NFT_NG_RANDOM, 0, 0,
				0, 0, 0 },
	[NFK_JHASH] = { "jhash", NFTY_INTEGER, 4, LOAD_HASH, 0, 0, 0, 0, 0, 0 },
};
static_assert(sizeof(sels) / sizeof(sels[0]) == NFK_COUNT, "sels[] doesn't match enum nft_key");

const struct type_info *type_info(unsigned type)
{
	return &types[type < NFTY_COUNT ? type : NFTY_NONE];
}

unsigned type_by_number(unsigned number)
{
	for (unsigned i = NFTY_VERDICT; i < NFTY_COUNT; i++)
		if (types[i].number == number)
			return i;
	return NFTY_NONE;
}

const struct sel_info *sel_info(const struct nft_sel *s)
{
	return &sels[s->key < NFK_COUNT ? s->key : NFK_NONE];
}

unsigned sel_type(const struct nft_sel *s)
{
	return sel_info(s)->type;
}

uint16_t nft_sel_len(const struct nft_sel *s)
{
	return s->key == NFK_PAYLOAD ? s->len : sel_info(s)->len;
}

uint16_t nft_keys_len(const struct nft_keys *k)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < k->n; i++)
		n += pad4(nft_sel_len(&k->v[i]));
	return n;
}

bool sel_host(const struct nft_sel *s)
{
	const struct sel_info *in = sel_info(s);

	return in->type == NFTY_INTEGER ? in->load != LOAD_PAYLOAD : types[in->type].host;
}

/* A port for nft only after the match that says so; before, bytes without a type. */
bool sel_ct_port(const struct nft_sel *s)
{
	return s->key == NFK_CT_ORIG_SPORT || s->key == NFK_CT_ORIG_DPORT;
}

/* nft 1.0.6 loses typeof of fib and rt in a concatenation, and crashes on jhash. */
bool sel_typeof(const struct nft_sel *s)
{
	unsigned load = sel_info(s)->load;

	return s->key != NFK_NONE && !sel_ct_port(s) &&
	       (load == LOAD_META || load == LOAD_PAYLOAD || load == LOAD_CT ||
		load == LOAD_NUMGEN);
}

bool sel_eq(const struct nft_sel *a, const struct nft_sel *b)
{
	if (a->key != b->key || a->n_of != b->n_of || a->base != b->base ||
	    a->offset != b->offset || a->len != b->len || a->modulus != b->modulus ||
	    a->add != b->add || a->seed != b->seed || a->mask != b->mask)
		return false;
	for (unsigned i = 0; i < a->n_of; i++)
		if (!sel_eq(&a->of[i], &b->of[i]))
			return false;
	return true;
}

struct nft_sel sel_from_payload(unsigned base, unsigned offset, unsigned len, unsigned l3,
				unsigned l4)
{
	for (unsigned k = NFK_ETHER_SADDR; k < NFK_PAYLOAD; k++) {
		const struct sel_info *in = &sels[k];

		if (in->arg != base || in->off != offset || in->len != len)
			continue;
		if (base == NFT_PAYLOAD_NETWORK_HEADER && in->l3 != l3)
			continue;
		if (base == NFT_PAYLOAD_TRANSPORT_HEADER && in->l4 != l4)
			continue;
		return NFT_SEL(k);
	}
	return NFT_RAW(base, offset, len);
}

struct nft_sel sel_from_load(unsigned load, unsigned arg, unsigned off)
{
	for (unsigned k = NFK_NONE + 1; k < NFK_COUNT; k++)
		if (sels[k].load == load && sels[k].arg == arg && sels[k].off == off)
			return NFT_SEL(k);
	return NFT_SEL(NFK_NONE);
}

struct nft_sel sel_from_field(unsigned proto, unsigned field)
{
	for (unsigned k = NFK_NONE + 1; proto && k < NFK_COUNT; k++)
		if (sels[k].proto == proto && sels[k].field == field)
			return NFT_SEL(k);
	return NFT_SEL(NFK_NONE);
}

/* ---- what a rule knows of the packet */

void pkt_init(struct pkt *k, uint8_t family)
{
	*k = (struct pkt){ .family = family };
	if (family == NFPROTO_IPV4)
		k->l3 = L3_IP;
	if (family == NFPROTO_IPV6)
		k->l3 = L3_IP6;
	if (family == NFPROTO_ARP)
		k->l3 = L3_ARP;
}

static uint8_t l3_of_ethertype(unsigned value)
{
	switch (value) {
	case ETHERTYPE_IP:
		return L3_IP;
	case ETHERTYPE_IPV6:
		return L3_IP6;
	case ETHERTYPE_ARP:
		return L3_ARP;
	}
	return L3_OTHER;
}

static void learn(struct pkt *k, unsigned key, unsigned value)
{
	switch (key) {
	case NFK_META_NFPROTO:
		k->l3 = value == NFPROTO_IPV4 ? L3_IP : value == NFPROTO_IPV6 ? L3_IP6 : L3_OTHER;
		break;
	case NFK_META_PROTOCOL:
	case NFK_ETHER_TYPE:
		k->l3 = l3_of_ethertype(value);
		break;
	case NFK_META_L4PROTO:
		k->l4 = value;
		break;
	}
}

/* Key and value of a statement that says a protocol; false for any other. */
static bool says_protocol(const struct nft_stmt *s, struct dep *d)
{
	if (s->kind != NFS_MATCH || s->match.op != NFC_EQ || s->match.mask.len)
		return false;
	d->key = s->match.sel.key;
	switch (d->key) {
	case NFK_META_NFPROTO:
	case NFK_META_L4PROTO:
		d->value = s->match.a.b[0];
		return true;
	case NFK_META_PROTOCOL:
	case NFK_ETHER_TYPE:
		d->value = s->match.a.b[0] << 8 | s->match.a.b[1];
		return true;
	}
	return false;
}

bool pkt_known(const struct pkt *k, const struct nft_stmt *s)
{
	struct pkt said = { 0 };
	struct dep d;

	if (!says_protocol(s, &d))
		return false;
	learn(&said, d.key, d.value);
	return (said.l3 && k->l3) || (said.l4 && k->l4);
}

void pkt_learn(struct pkt *k, const struct nft_stmt *s)
{
	struct dep d;

	if (says_protocol(s, &d))
		learn(k, d.key, d.value);
}

static uint32_t add_keys(const struct nft_keys *k, const struct nft_sel **out, uint32_t n,
			 uint32_t max)
{
	for (uint32_t i = 0; i < k->n; i++) {
		if (n < max)
			out[n] = &k->v[i];
		n++;
		for (uint32_t j = 0; j < k->v[i].n_of; j++, n++)
			if (n < max)
				out[n] = &k->v[i].of[j];
	}
	return n;
}

uint32_t stmt_sels(const struct nft_stmt *s, const struct nft_sel **out, uint32_t max)
{
	const struct nft_keys one = { s->kind == NFS_MATCH ? &s->match.sel : NULL, 1 };
	uint32_t n;

	switch ((enum nft_stmt_kind)s->kind) {
	case NFS_MATCH:
		return add_keys(&one, out, 0, max);
	case NFS_LOOKUP:
	case NFS_VMAP:
		return add_keys(&s->lookup.keys, out, 0, max);
	case NFS_NAT:
	case NFS_REDIRECT:
		return add_keys(&s->nat.keys, out, 0, max);
	case NFS_SET:
		return add_keys(&s->set.src.keys, out, 0, max);
	case NFS_DYNSET:
		n = add_keys(&s->dynset.keys, out, 0, max);
		return add_keys(&s->dynset.data, out, n, max);
	case NFS_OPAQUE:
	case NFS_VERDICT:
	case NFS_COUNTER:
	case NFS_LIMIT:
	case NFS_LOG:
	case NFS_REJECT:
	case NFS_MASQUERADE:
	case NFS_NOTRACK:
	case NFS_KIND_COUNT:
		break;
	}
	return 0;
}

/* The headers that a statement reads; -EINVAL where they contradict. `only`: the family that
 * parts without a header of their own (ct, rt) are of. */
static int stmt_headers(const struct nft_stmt *s, unsigned *l3, unsigned *l4, bool *ether,
			unsigned *only)
{
	const struct nft_sel *v[4 * NFT_PARTS_MAX * NFT_PARTS_MAX];
	uint32_t n = stmt_sels(s, v, sizeof(v) / sizeof(v[0]));

	*l3 = *l4 = *only = 0;
	*ether = false;
	if (n > sizeof(v) / sizeof(v[0]))
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		const struct sel_info *in = sel_info(v[i]);

		if (in->l3 == L3_ETHER) {
			*ether = true;
			continue;
		}
		if (in->load != LOAD_PAYLOAD && in->l3) {
			if (*only && *only != in->l3)
				return -EINVAL;
			*only = in->l3;
			continue;
		}
		if ((in->l3 && *l3 && *l3 != in->l3) || (in->l4 && *l4 && *l4 != in->l4))
			return -EINVAL;
		*l3 = in->l3 ? in->l3 : *l3;
		*l4 = in->l4 ? in->l4 : *l4;
	}
	if (s->kind == NFS_REJECT && s->reject.type == NFT_REJECT_ICMP_UNREACH)
		*l3 = s->reject.family == NFPROTO_IPV6 ? L3_IP6 : L3_IP;
	return *only && *l3 && *only != *l3 ? -EINVAL : 0;
}

int pkt_need(struct pkt *k, const struct nft_stmt *s, struct dep out[2])
{
	static const uint16_t ethertype[] = { 0, ETHERTYPE_IP, ETHERTYPE_IPV6, ETHERTYPE_ARP };
	static const uint8_t nfproto[] = { 0, NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_ARP };
	unsigned l3, l4, only;
	bool ether;
	int n = 0;

	if (stmt_headers(s, &l3, &l4, &ether, &only))
		return -EINVAL;
	if (only && k->l3 && only != k->l3)
		return -EINVAL;
	if (ether && k->family != NFPROTO_BRIDGE)
		return -EINVAL;
	if (l3 && k->l3 && l3 != k->l3)
		return -EINVAL;
	if (l4 && k->l4 && l4 != k->l4)
		return -EINVAL;
	if ((l4 && (l3 == L3_ARP || k->l3 == L3_ARP || k->l3 == L3_OTHER)) ||
	    (l3 == L3_ARP && k->l4))
		return -EINVAL;
	if (l3 && !k->l3) {
		if (k->family == NFPROTO_INET && l3 == L3_ARP)
			return -EINVAL;
		out[n++] = k->family == NFPROTO_INET
				   ? (struct dep){ NFK_META_NFPROTO, nfproto[l3] }
				   : (struct dep){ NFK_META_PROTOCOL, ethertype[l3] };
		k->l3 = l3;
	}
	if (l4 && !k->l4) {
		out[n++] = (struct dep){ NFK_META_L4PROTO, l4 };
		k->l4 = l4;
	}
	return n;
}

bool pkt_redundant(const struct nft_rule *r, uint8_t family, uint32_t i)
{
	struct pkt said = { 0 }, k;
	struct dep d, add[2];

	if (!says_protocol(&r->v[i], &d))
		return false;
	learn(&said, d.key, d.value);
	pkt_init(&k, family);
	for (uint32_t j = 0; j < r->n; j++) {
		int n = j == i ? 0 : pkt_need(&k, &r->v[j], add);

		for (int m = 0; m < n && j > i; m++) {
			struct pkt implied = { 0 };

			learn(&implied, add[m].key, add[m].value);
			if ((said.l3 && said.l3 == implied.l3) ||
			    (said.l4 && said.l4 == implied.l4))
				return true;
		}
		if (j != i)
			pkt_learn(&k, &r->v[j]);
	}
	return false;
}
