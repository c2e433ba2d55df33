/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, chains and rules in nft's syntax; sets and elements are in text_set.c. */
#include "core/nft/text.h"

#include "core/nft/sel.h"

#include <inttypes.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter_arp.h>
#include <linux/netfilter_bridge.h>
#include <stdlib.h>
#include <string.h>

static void text_match(struct buf *out, const struct nft_stmt *s)
{
	static const char *const op[] = {
		[NFC_EQ] = "",    [NFC_NE] = "!= ",  [NFC_LT] = "< ",  [NFC_GT] = "> ",
		[NFC_LE] = "<= ", [NFC_GE] = ">= ",  [NFC_RANGE] = "", [NFC_NOT_RANGE] = "!= ",
		[NFC_ANY] = "",   [NFC_NONE] = "! ",
	};
	unsigned type = sel_type(&s->match.sel);
	bool host = sel_host(&s->match.sel);
	const struct nft_val *a = &s->match.a, *b = &s->match.b, *mask = &s->match.mask;
	/* Raw payload is hexadecimal at any length. */
	bool raw = s->match.sel.key == NFK_PAYLOAD;

	text_sel(out, &s->match.sel);
	buf_puts(out, " ");
	if (mask->len) {
		struct nft_val last = *a;

		for (unsigned i = 0; i < a->len; i++)
			last.b[i] |= ~mask->b[i];
		if (type_info(type)->flags) {
			buf_puts(out, op[s->match.op]);
			text_value(out, type, host, a->b, a->len);
			buf_puts(out, " / ");
			text_value(out, type, host, mask->b, mask->len);
			return;
		}
		if ((type == NFTY_IPV4_ADDR || type == NFTY_IPV6_ADDR) &&
		    text_prefix(a->b, last.b, a->len) >= 0) {
			buf_puts(out, op[s->match.op]);
			text_range(out, type, host, a->b, last.b, a->len);
			return;
		}
		buf_puts(out, "& ");
		text_value(out, type, host, mask->b, mask->len);
		buf_puts(out, s->match.op == NFC_EQ ? " == " : " != ");
		text_value(out, type, host, a->b, a->len);
		return;
	}
	if (s->match.op == NFC_EQ && type_info(type)->flags)
		buf_puts(out, "== ");
	buf_puts(out, op[s->match.op]);
	if (raw) {
		text_hex(out, a->b, a->len, false);
		if (s->match.op == NFC_RANGE || s->match.op == NFC_NOT_RANGE) {
			buf_puts(out, "-");
			text_hex(out, b->b, b->len, false);
		}
		return;
	}
	text_value(out, type, host, a->b, a->len);
	if (s->match.op == NFC_RANGE || s->match.op == NFC_NOT_RANGE) {
		buf_puts(out, "-");
		text_value(out, type, host, b->b, b->len);
	}
}

static void text_limit(struct buf *out, const struct nft_stmt *s)
{
	static const struct {
		uint64_t s;
		const char *name;
	} unit[] = { { 1, "second" },
		     { 60, "minute" },
		     { 3600, "hour" },
		     { 86400, "day" },
		     { 604800, "week" } };
	const char *name = "second";
	uint64_t rate = s->limit.rate, kilo = 0;

	for (unsigned i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (unit[i].s == s->limit.unit)
			name = unit[i].name;
	if (!s->limit.is_bytes) {
		buf_printf(out, "limit rate %s%" PRIu64 "/%s", s->limit.over ? "over " : "", rate,
			   name);
		if (s->limit.burst != NFT_BURST)
			buf_printf(out, " burst %" PRIu32 " packets", s->limit.burst);
		return;
	}
	for (; rate && rate % 1024 == 0 && kilo < 2; kilo++)
		rate /= 1024;
	buf_printf(out, "limit rate %s%" PRIu64 " %sbytes/%s", s->limit.over ? "over " : "", rate,
		   kilo == 2   ? "m"
		   : kilo == 1 ? "k"
			       : "",
		   name);
	if (s->limit.burst)
		buf_printf(out, " burst %" PRIu32 " bytes", s->limit.burst);
}

static void text_reject(struct buf *out, const struct nft_stmt *s, uint8_t family)
{
	static const char *const icmpx[] = { "no-route", "port-unreachable", "host-unreachable",
					     "admin-prohibited" };
	uint8_t code = s->reject.code;

	switch (s->reject.type) {
	case NFT_REJECT_TCP_RST:
		buf_puts(out, "reject with tcp reset");
		return;
	case NFT_REJECT_ICMPX_UNREACH:
		buf_puts(out, "reject");
		if (code != NFT_REJECT_ICMPX_PORT_UNREACH && code <= NFT_REJECT_ICMPX_MAX)
			buf_printf(out, " with icmpx %s", icmpx[code]);
		return;
	}
	/* The family's own default goes without saying. */
	if ((family == NFPROTO_IPV4 && code == 3) || (family == NFPROTO_IPV6 && code == 4)) {
		buf_puts(out, "reject");
		return;
	}
	buf_puts(out,
		 s->reject.family == NFPROTO_IPV6 ? "reject with icmpv6 " : "reject with icmp ");
	text_value(out, s->reject.family == NFPROTO_IPV6 ? NFTY_ICMPV6_CODE : NFTY_ICMP_CODE, false,
		   &code, 1);
}

static void text_nat_flags(struct buf *out, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *s;
	} words[] = { { NF_NAT_RANGE_PROTO_RANDOM, "random" },
		      { NF_NAT_RANGE_PROTO_RANDOM_FULLY, "fully-random" },
		      { NF_NAT_RANGE_PERSISTENT, "persistent" } };
	const char *sep = " ";

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (flags & words[i].flag) {
			buf_printf(out, "%s%s", sep, words[i].s);
			sep = ",";
		}
}

static void text_val_range(struct buf *out, unsigned type, const struct nft_val *a,
			   const struct nft_val *b)
{
	text_value(out, type, false, a->b, a->len);
	if (b->len) {
		buf_puts(out, "-");
		text_value(out, type, false, b->b, b->len);
	}
}

static void text_nat(struct buf *out, const struct nft_stmt *s, uint8_t family)
{
	const struct nft_nat *n = &s->nat;
	bool v6 = n->family == NFPROTO_IPV6;

	if (s->kind == NFS_MASQUERADE)
		buf_puts(out, "masquerade");
	else if (s->kind == NFS_REDIRECT)
		buf_puts(out, "redirect");
	else
		buf_puts(out, n->type == NFT_NAT_SNAT ? "snat" : "dnat");
	if (s->kind == NFS_NAT && family == NFPROTO_INET)
		buf_puts(out, v6 ? " ip6" : " ip");
	if (n->addr.len || n->port.len || n->map)
		buf_puts(out, " to ");
	if (n->map) {
		buf_puts(out, s->kind == NFS_REDIRECT ? ":" : "");
		text_keys(out, &n->keys);
		buf_printf(out, " map @%s", n->map);
	}
	if (n->addr.len) {
		bool bracket = v6 && n->port.len;

		buf_puts(out, bracket ? "[" : "");
		text_val_range(out, v6 ? NFTY_IPV6_ADDR : NFTY_IPV4_ADDR, &n->addr, &n->addr_max);
		buf_puts(out, bracket ? "]" : "");
	}
	if (n->port.len) {
		buf_puts(out, ":");
		text_val_range(out, NFTY_INET_SERVICE, &n->port, &n->port_max);
	}
	text_nat_flags(out, n->flags);
}

static void text_set_stmt(struct buf *out, const struct nft_stmt *s)
{
	static const struct {
		const char *name;
		uint8_t type;
	} target[] = { [NFTT_MARK] = { "meta mark", NFTY_MARK },
		       [NFTT_CTMARK] = { "ct mark", NFTY_MARK },
		       [NFTT_NFTRACE] = { "meta nftrace", NFTY_INTEGER },
		       [NFTT_PKTTYPE] = { "meta pkttype", NFTY_PKT_TYPE },
		       [NFTT_PRIORITY] = { "meta priority", NFTY_CLASSID } };
	const struct nft_src *src = &s->set.src;

	buf_printf(out, "%s set ", target[s->set.target].name);
	if (!src->keys.n) {
		text_value(out, target[s->set.target].type, true, src->imm.b, src->imm.len);
		return;
	}
	text_keys(out, &src->keys);
	if (src->map)
		buf_printf(out, " map @%s", src->map);
	if (!src->mask && !src->xor)
		return;
	/* (x & mask) ^ xor: bits that are set whatever they were are an "or", as nft shows it. */
	uint32_t or = src->xor &~src->mask, mask = src->mask | or, flip = src->xor &src->mask;

	const uint32_t v[] = { mask == UINT32_MAX ? 0 : mask, flip, or };

	for (unsigned i = 0; i < 3; i++)
		if (v[i] || (!i && !mask)) {
			buf_printf(out, " %c ", "&^|"[i]);
			text_value(out, target[s->set.target].type, true, (const uint8_t *)&v[i],
				   4);
		}
}

static void text_dynset(struct buf *out, const struct nft_stmt *s)
{
	const char *op = s->dynset.op == NFT_DYNSET_OP_ADD      ? "add"
			 : s->dynset.op == NFT_DYNSET_OP_UPDATE ? "update"
								: "delete";

	buf_printf(out, "%s @%s { ", op, s->dynset.set);
	text_keys(out, &s->dynset.keys);
	if (s->dynset.timeout_ms) {
		buf_puts(out, " timeout ");
		text_time(out, s->dynset.timeout_ms);
	}
	if (s->dynset.data.n) {
		buf_puts(out, " : ");
		text_keys(out, &s->dynset.data);
	}
	buf_puts(out, " }");
}

static void text_log(struct buf *out, const struct nft_stmt *s)
{
	buf_puts(out, "log");
	if (s->log.prefix) {
		buf_puts(out, " prefix ");
		text_quoted(out, s->log.prefix);
	}
	if (s->log.has_group)
		buf_printf(out, " group %u", s->log.group);
	if (s->log.snaplen)
		buf_printf(out, " snaplen %" PRIu32, s->log.snaplen);
}

static void text_stmt(struct buf *out, const struct nft_stmt *s, uint8_t family)
{
	switch ((enum nft_stmt_kind)s->kind) {
	case NFS_OPAQUE:
		buf_printf(out, "# unknown %s", s->opaque.name);
		return;
	case NFS_MATCH:
		text_match(out, s);
		return;
	case NFS_LOOKUP:
		text_keys(out, &s->lookup.keys);
		buf_printf(out, " %s@%s", s->lookup.neg ? "!= " : "", s->lookup.set);
		return;
	case NFS_VMAP:
		text_keys(out, &s->lookup.keys);
		buf_printf(out, " vmap @%s", s->lookup.set);
		return;
	case NFS_VERDICT:
		text_verdict(out, &s->verdict);
		return;
	case NFS_COUNTER:
		buf_puts(out, "counter");
		return;
	case NFS_LIMIT:
		text_limit(out, s);
		return;
	case NFS_LOG:
		text_log(out, s);
		return;
	case NFS_REJECT:
		text_reject(out, s, family);
		return;
	case NFS_NAT:
	case NFS_MASQUERADE:
	case NFS_REDIRECT:
		text_nat(out, s, family);
		return;
	case NFS_NOTRACK:
		buf_puts(out, "notrack");
		return;
	case NFS_SET:
		text_set_stmt(out, s);
		return;
	case NFS_DYNSET:
		text_dynset(out, s);
		return;
	case NFS_KIND_COUNT:
		return;
	}
}

void nft_text_rule(const struct nft_rule *r, uint8_t family, struct buf *out)
{
	for (uint32_t i = 0; i < r->n; i++) {
		buf_puts(out, i ? " " : "");
		text_stmt(out, &r->v[i], family);
	}
	if (r->comment) {
		buf_puts(out, r->n ? " comment " : "comment ");
		text_quoted(out, r->comment);
	}
}

/* ---- chains and tables */

struct prio_name {
	int32_t v;
	const char *s;
};

static const struct prio_name prio_inet[] = { { -300, "raw" },    { -150, "mangle" },
					      { -100, "dstnat" }, { 0, "filter" },
					      { 50, "security" }, { 100, "srcnat" } };
static const struct prio_name prio_bridge[] = {
	{ -300, "dstnat" }, { -200, "filter" }, { 100, "out" }, { 300, "srcnat" }
};
static const struct prio_name prio_other[] = { { 0, "filter" } };

/* dstnat, srcnat and out exist only at some hooks. */
static bool prio_fits(const char *name, uint8_t family, uint32_t hook)
{
	if (!strcmp(name, "dstnat"))
		return hook == NF_INET_PRE_ROUTING;
	if (!strcmp(name, "srcnat"))
		return hook == NF_INET_POST_ROUTING;
	if (!strcmp(name, "out"))
		return family == NFPROTO_BRIDGE && hook == NF_BR_LOCAL_OUT;
	return true;
}

static void text_priority(struct buf *out, uint8_t family, uint32_t hook, int32_t prio)
{
	const struct prio_name *v = prio_inet, *best = NULL;
	unsigned n = sizeof(prio_inet) / sizeof(prio_inet[0]);

	if (family == NFPROTO_BRIDGE) {
		v = prio_bridge;
		n = sizeof(prio_bridge) / sizeof(prio_bridge[0]);
	} else if (family == NFPROTO_ARP || family == NFPROTO_NETDEV) {
		v = prio_other;
		n = 1;
	}
	for (unsigned i = 0; i < n; i++)
		if (prio_fits(v[i].s, family, hook) && llabs((int64_t)prio - v[i].v) <= 10)
			best = &v[i];
	if (!best)
		buf_printf(out, "%" PRId32, prio);
	else if (best->v == prio)
		buf_puts(out, best->s);
	else
		buf_printf(out, "%s %c %lld", best->s, prio > best->v ? '+' : '-',
			   llabs((int64_t)prio - best->v));
}

static const char *hook_name(uint8_t family, uint32_t hook)
{
	static const char *const inet[] = { "prerouting", "input",       "forward",
					    "output",     "postrouting", "ingress" };
	static const char *const arp[] = { "input", "output", "forward" };
	static const char *const netdev[] = { "ingress", "egress" };

	if (family == NFPROTO_ARP)
		return hook < 3 ? arp[hook] : "?";
	if (family == NFPROTO_NETDEV)
		return hook < 2 ? netdev[hook] : "?";
	return hook < 6 ? inet[hook] : "?";
}

static void text_chain(const struct nft_chain *c, struct buf *out)
{
	uint8_t family = c->table->family;

	buf_printf(out, "\tchain %s {\n", c->name);
	if (c->base) {
		buf_printf(out, "\t\ttype %s hook %s ", c->type, hook_name(family, c->hook));
		if (c->n_devs == 1)
			buf_printf(out, "device \"%s\" ", c->devs[0]);
		if (c->n_devs > 1) {
			buf_puts(out, "devices = { ");
			for (uint32_t i = 0; i < c->n_devs; i++)
				buf_printf(out, i ? ", \"%s\"" : "\"%s\"", c->devs[i]);
			buf_puts(out, " } ");
		}
		buf_puts(out, "priority ");
		text_priority(out, family, c->hook, c->priority);
		buf_printf(out, "; policy %s;\n", c->policy == NF_DROP ? "drop" : "accept");
	}
	for (uint32_t i = 0; i < c->n; i++) {
		buf_puts(out, "\t\t");
		nft_text_rule(c->rules[i], family, out);
		buf_puts(out, "\n");
	}
	buf_puts(out, "\t}\n");
}

const char *text_family(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	}
	return "?";
}

void nft_text_table(const struct nft_table *t, struct buf *out)
{
	bool any = false;

	buf_printf(out, "table %s %s {\n", text_family(t->family), t->name);
	if (t->flags & (NFT_TABLE_F_DORMANT | NFT_TABLE_F_OWNER))
		buf_printf(out, "\tflags %s%s\n\n", t->flags & NFT_TABLE_F_DORMANT ? "dormant" : "",
			   t->flags & NFT_TABLE_F_OWNER
				   ? t->flags & NFT_TABLE_F_DORMANT ? ",owner" : "owner"
				   : "");
	if (t->comment) {
		buf_puts(out, "\tcomment ");
		text_quoted(out, t->comment);
		buf_puts(out, "\n");
	}
	for (uint32_t i = 0; i < t->n_sets; i++) {
		buf_puts(out, any ? "\n" : "");
		text_set(t->sets[i], out);
		any = true;
	}
	for (uint32_t i = 0; i < t->n_chains; i++) {
		buf_puts(out, any ? "\n" : "");
		text_chain(t->chains[i], out);
		any = true;
	}
	buf_puts(out, "}\n");
}

void nft_text(const struct nft_ruleset *rs, struct buf *out)
{
	for (uint32_t i = 0; i < rs->n; i++)
		nft_text_table(rs->tables[i], out);
}
