/* SPDX-License-Identifier: Apache-2.0 */
/* Values, selectors and times in nft's words. Names that nft takes from the machine's files
 * (protocols, users, interface indices) are printed from a fixed table or as numbers, so that
 * the same IR gives the same text everywhere. */
#include "core/nft/sel.h"
#include "core/nft/text.h"

#include <inttypes.h>
#include <string.h>

struct word {
	uint32_t v;
	const char *s;
};

static const struct word words_proto[] = { { 1, "icmp" },       { 2, "igmp" },     { 4, "ipencap" },
					   { 6, "tcp" },        { 17, "udp" },     { 33, "dccp" },
					   { 47, "gre" },       { 50, "esp" },     { 51, "ah" },
					   { 58, "ipv6-icmp" }, { 108, "ipcomp" }, { 132, "sctp" },
					   { 136, "udplite" },  { 0, NULL } };
static const struct word words_ethertype[] = { { 0x0800, "ip" },     { 0x0806, "arp" },
					       { 0x86dd, "ip6" },    { 0x8100, "8021q" },
					       { 0x88a8, "8021ad" }, { 0, NULL } };
static const struct word words_icmp[] = {
	{ 0, "echo-reply" },           { 3, "destination-unreachable" },
	{ 4, "source-quench" },        { 5, "redirect" },
	{ 8, "echo-request" },         { 9, "router-advertisement" },
	{ 10, "router-solicitation" }, { 11, "time-exceeded" },
	{ 12, "parameter-problem" },   { 13, "timestamp-request" },
	{ 14, "timestamp-reply" },     { 15, "info-request" },
	{ 16, "info-reply" },          { 17, "address-mask-request" },
	{ 18, "address-mask-reply" },  { 0, NULL }
};
static const struct word words_icmp_code[] = {
	{ 0, "net-unreachable" },  { 1, "host-unreachable" },  { 2, "prot-unreachable" },
	{ 3, "port-unreachable" }, { 4, "frag-needed" },       { 9, "net-prohibited" },
	{ 10, "host-prohibited" }, { 13, "admin-prohibited" }, { 0, NULL }
};
static const struct word words_icmpv6[] = { { 1, "destination-unreachable" },
					    { 2, "packet-too-big" },
					    { 3, "time-exceeded" },
					    { 4, "parameter-problem" },
					    { 128, "echo-request" },
					    { 129, "echo-reply" },
					    { 130, "mld-listener-query" },
					    { 131, "mld-listener-report" },
					    { 132, "mld-listener-done" },
					    { 133, "nd-router-solicit" },
					    { 134, "nd-router-advert" },
					    { 135, "nd-neighbor-solicit" },
					    { 136, "nd-neighbor-advert" },
					    { 137, "nd-redirect" },
					    { 138, "router-renumbering" },
					    { 141, "ind-neighbor-solicit" },
					    { 142, "ind-neighbor-advert" },
					    { 143, "mld2-listener-report" },
					    { 0, NULL } };
static const struct word words_icmpv6_code[] = { { 0, "no-route" },
						 { 1, "admin-prohibited" },
						 { 3, "addr-unreachable" },
						 { 4, "port-unreachable" },
						 { 5, "policy-fail" },
						 { 6, "reject-route" },
						 { 0, NULL } };
static const struct word words_nfproto[] = { { NFPROTO_IPV4, "ipv4" },
					     { NFPROTO_IPV6, "ipv6" },
					     { 0, NULL } };
static const struct word words_ct_dir[] = { { 0, "original" }, { 1, "reply" }, { 0, NULL } };
static const struct word words_fib[] = { { 0, "unspec" },    { 1, "unicast" },
					 { 2, "local" },     { 3, "broadcast" },
					 { 4, "anycast" },   { 5, "multicast" },
					 { 6, "blackhole" }, { 7, "unreachable" },
					 { 8, "prohibit" },  { 0, NULL } };
static const struct word words_pkt[] = {
	{ 0, "host" }, { 1, "broadcast" }, { 2, "multicast" }, { 3, "other" }, { 0, NULL }
};
static const struct word words_arp[] = { { 1, "request" }, { 2, "reply" },     { 3, "rrequest" },
					 { 4, "rreply" },  { 8, "inrequest" }, { 9, "inreply" },
					 { 10, "nak" },    { 0, NULL } };
static const struct word words_bool[] = { { 0, "missing" }, { 1, "exists" }, { 0, NULL } };
/* Bits, in the order of the kernel's numbers. */
static const struct word words_state[] = { { 1, "invalid" }, { 2, "established" }, { 4, "related" },
					   { 8, "new" },     { 64, "untracked" },  { 0, NULL } };
static const struct word words_status[] = { { 1, "expected" }, { 2, "seen-reply" },
					    { 4, "assured" },  { 8, "confirmed" },
					    { 16, "snat" },    { 32, "dnat" },
					    { 512, "dying" },  { 0, NULL } };
static const struct word words_tcp[] = { { 1, "fin" },  { 2, "syn" },   { 4, "rst" },
					 { 8, "psh" },  { 16, "ack" },  { 32, "urg" },
					 { 64, "ecn" }, { 128, "cwr" }, { 0, NULL } };

static const struct word *words_of(unsigned type)
{
	switch ((enum nft_type)type) {
	case NFTY_INET_PROTO:
		return words_proto;
	case NFTY_ETHER_TYPE:
		return words_ethertype;
	case NFTY_ICMP_TYPE:
		return words_icmp;
	case NFTY_ICMP_CODE:
		return words_icmp_code;
	case NFTY_ICMPV6_TYPE:
		return words_icmpv6;
	case NFTY_ICMPV6_CODE:
		return words_icmpv6_code;
	case NFTY_NFPROTO:
		return words_nfproto;
	case NFTY_CT_DIR:
		return words_ct_dir;
	case NFTY_FIB_ADDRTYPE:
		return words_fib;
	case NFTY_PKT_TYPE:
		return words_pkt;
	case NFTY_ARP_OP:
		return words_arp;
	case NFTY_BOOLEAN:
		return words_bool;
	case NFTY_CT_STATE:
		return words_state;
	case NFTY_CT_STATUS:
		return words_status;
	case NFTY_TCP_FLAG:
		return words_tcp;
	case NFTY_NONE:
	case NFTY_VERDICT:
	case NFTY_IPV4_ADDR:
	case NFTY_IPV6_ADDR:
	case NFTY_ETHER_ADDR:
	case NFTY_INET_SERVICE:
	case NFTY_MARK:
	case NFTY_IFNAME:
	case NFTY_UID:
	case NFTY_GID:
	case NFTY_INTEGER:
	case NFTY_CLASSID:
	case NFTY_COUNT:
		break;
	}
	return NULL;
}

static uint64_t number(const uint8_t *v, unsigned len, bool host)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < len && i < 8; i++)
		n = n << 8 | v[host ? len - 1 - i : i];
	return n;
}

void text_hex(struct buf *out, const uint8_t *v, unsigned len, bool host)
{
	bool lead = true;

	buf_puts(out, "0x");
	for (unsigned i = 0; i < len; i++) {
		uint8_t b = v[host ? len - 1 - i : i];

		if (lead && !b && i + 1 < len)
			continue;
		buf_printf(out, lead ? "%x" : "%02x", b);
		lead = false;
	}
}

static void text_bits(struct buf *out, const struct word *w, uint64_t n)
{
	const char *sep = "";

	for (; w->s; w++)
		if (n & w->v) {
			buf_printf(out, "%s%s", sep, w->s);
			sep = ",";
			n &= ~(uint64_t)w->v;
		}
	if (n || !*sep)
		buf_printf(out, "%s0x%" PRIx64, sep, n);
}

static void text_addr(struct buf *out, const uint8_t *v, unsigned len)
{
	struct ipaddr a = { .family = len == 16 ? AF_INET6 : AF_INET };
	char text[ADDR_TEXT];

	memcpy(a.b, v, len);
	buf_puts(out, addr_str(&a, text));
}

static void text_classid(struct buf *out, uint32_t v)
{
	if (!v)
		buf_puts(out, "none");
	else if (v == UINT32_MAX)
		buf_puts(out, "root");
	else
		buf_printf(out, "%x:%x", v >> 16, v & 0xffff);
}

void text_value(struct buf *out, unsigned type, bool host, const uint8_t *v, unsigned len)
{
	const struct word *w = words_of(type);
	uint64_t n = number(v, len, host);

	switch ((enum nft_type)type) {
	case NFTY_IPV4_ADDR:
	case NFTY_IPV6_ADDR:
		text_addr(out, v, len);
		return;
	case NFTY_ETHER_ADDR:
		for (unsigned i = 0; i < len; i++)
			buf_printf(out, i ? ":%02x" : "%02x", v[i]);
		return;
	case NFTY_MARK:
		buf_printf(out, "0x%08" PRIx64, n);
		return;
	case NFTY_CLASSID:
		text_classid(out, n);
		return;
	case NFTY_IFNAME:
		buf_printf(out, "\"%.*s%s\"", (int)strnlen((const char *)v, len), (const char *)v,
			   len < 16 ? "*" : "");
		return;
	case NFTY_CT_STATE:
	case NFTY_CT_STATUS:
	case NFTY_TCP_FLAG:
		text_bits(out, w, n);
		return;
	case NFTY_INTEGER:
		if (len > 4) {
			text_hex(out, v, len, host);
			return;
		}
		break;
	case NFTY_NONE:
	case NFTY_VERDICT:
	case NFTY_ETHER_TYPE:
	case NFTY_INET_PROTO:
	case NFTY_INET_SERVICE:
	case NFTY_ICMP_TYPE:
	case NFTY_ICMP_CODE:
	case NFTY_ICMPV6_TYPE:
	case NFTY_ICMPV6_CODE:
	case NFTY_CT_DIR:
	case NFTY_FIB_ADDRTYPE:
	case NFTY_PKT_TYPE:
	case NFTY_NFPROTO:
	case NFTY_UID:
	case NFTY_GID:
	case NFTY_ARP_OP:
	case NFTY_BOOLEAN:
	case NFTY_COUNT:
		break;
	}
	for (; w && w->s; w++)
		if (w->v == n) {
			buf_puts(out, w->s);
			return;
		}
	if (type == NFTY_ETHER_TYPE)
		buf_printf(out, "0x%04" PRIx64, n);
	else
		buf_printf(out, "%" PRIu64, n);
}

int text_prefix(const uint8_t *lo, const uint8_t *hi, unsigned len)
{
	unsigned n = 0;

	while (n < len * 8 && !((lo[n / 8] ^ hi[n / 8]) & 0x80 >> n % 8))
		n++;
	for (unsigned i = n; i < len * 8; i++)
		if ((lo[i / 8] & 0x80 >> i % 8) || !(hi[i / 8] & 0x80 >> i % 8))
			return -1;
	return n;
}

void text_range(struct buf *out, unsigned type, bool host, const uint8_t *lo, const uint8_t *hi,
		unsigned len)
{
	int bits = -1;

	text_value(out, type, host, lo, len);
	if (!memcmp(lo, hi, len))
		return;
	if (type == NFTY_IPV4_ADDR || type == NFTY_IPV6_ADDR)
		bits = text_prefix(lo, hi, len);
	if (bits >= 0) {
		buf_printf(out, "/%d", bits);
		return;
	}
	buf_puts(out, "-");
	text_value(out, type, host, hi, len);
}

void text_sel(struct buf *out, const struct nft_sel *s)
{
	static const char *const base[] = { "ll", "nh", "th", "ih" };
	const struct sel_info *in = sel_info(s);

	if (s->key == NFK_PAYLOAD) {
		buf_printf(out, "@%s,%u,%u", base[s->base & 3], s->offset * 8, s->len * 8);
		return;
	}
	buf_puts(out, in->text);
	if (in->load == LOAD_HASH) {
		buf_puts(out, " ");
		text_keys(out, &(struct nft_keys){ s->of, s->n_of });
	}
	if (in->load != LOAD_HASH && in->load != LOAD_NUMGEN)
		return;
	buf_printf(out, " mod %" PRIu32, s->modulus);
	if (s->seed)
		buf_printf(out, " seed 0x%" PRIx32, s->seed);
	if (s->add)
		buf_printf(out, " offset %" PRIu32, s->add);
}

void text_keys(struct buf *out, const struct nft_keys *k)
{
	for (uint32_t i = 0; i < k->n; i++) {
		buf_puts(out, i ? " . " : "");
		text_sel(out, &k->v[i]);
		if (!k->v[i].mask)
			continue;
		buf_puts(out, " & ");
		text_value(out, sel_type(&k->v[i]), true, (const uint8_t *)&k->v[i].mask, 4);
	}
}

void text_time(struct buf *out, uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *s;
	} unit[] = {
		{ 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" }
	};

	if (!ms)
		buf_puts(out, "0s");
	for (unsigned i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
		if (ms / unit[i].ms)
			buf_printf(out, "%" PRIu64 "%s", ms / unit[i].ms, unit[i].s);
		ms %= unit[i].ms;
	}
}

void text_quoted(struct buf *out, const char *s)
{
	buf_printf(out, "\"%s\"", s);
}

void text_verdict(struct buf *out, const struct nft_verdict *v)
{
	switch (v->code) {
	case NF_ACCEPT:
		buf_puts(out, "accept");
		return;
	case NF_DROP:
		buf_puts(out, "drop");
		return;
	case NFT_RETURN:
		buf_puts(out, "return");
		return;
	case NFT_CONTINUE:
		buf_puts(out, "continue");
		return;
	case NFT_BREAK:
		buf_puts(out, "break");
		return;
	case NFT_JUMP:
		buf_printf(out, "jump %s", v->chain);
		return;
	case NFT_GOTO:
		buf_printf(out, "goto %s", v->chain);
		return;
	}
	buf_printf(out, "verdict %d", v->code);
}
