// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nft_packet.h"

#include "core/nft/service.h"

#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <string.h>

static uint8_t l4_number(const struct nft_packet *p)
{
	static const uint8_t icmp[] = { IPPROTO_ICMP, IPPROTO_ICMPV6 };

	return p->proto ? nft_service_transports[p->proto].number : icmp[p->src.family == AF_INET6];
}

/* 0: the packet has no such thing. */
static uint32_t load(const struct nft_packet *p, const struct nft_sel *s, uint8_t *to)
{
	bool v6 = p->src.family == AF_INET6;

	switch ((enum nft_key)s->key) {
	case NFK_IP_SADDR:
	case NFK_IP6_SADDR:
		memcpy(to, p->src.b, v6 ? 16 : 4);
		return (s->key == NFK_IP6_SADDR) == v6 ? v6 ? 16 : 4 : 0;
	case NFK_IP_DADDR:
	case NFK_IP6_DADDR:
		memcpy(to, p->dst.b, v6 ? 16 : 4);
		return (s->key == NFK_IP6_DADDR) == v6 ? v6 ? 16 : 4 : 0;
	case NFK_META_L4PROTO:
		to[0] = l4_number(p);
		return 1;
	case NFK_TH_DPORT:
	case NFK_TCP_DPORT:
	case NFK_UDP_DPORT:
	case NFK_SCTP_DPORT:
		to[0] = (uint8_t)(p->dport >> 8);
		to[1] = (uint8_t)p->dport;
		return s->key == NFK_TH_DPORT || (p->proto &&
						  s->key == nft_service_transports[p->proto].dport)
			       ? 2
			       : 0;
	case NFK_TCP_FLAGS:
		to[0] = p->tcp_flags;
		return p->proto == PROTO_TCP;
	case NFK_PAYLOAD:
		assert_int_equal(s->base, NFT_PAYLOAD_TRANSPORT_HEADER);
		assert_int_equal(s->offset, 12);
		to[0] = p->sctp_chunk;
		return p->proto == PROTO_SCTP;
	case NFK_META_IIFNAME:
		strncpy((char *)to, p->iif ? p->iif : "flpod", 16);
		return 16;
	case NFK_CT_STATE:
		memcpy(to, &p->state, 4);
		return 4;
	default:
		fail_msg("selector %u", s->key);
		return 0;
	}
}

static bool match(const struct nft_packet *p, const struct nft_stmt *s)
{
	uint8_t v[16] = { 0 };
	uint32_t len = load(p, &s->match.sel, v);

	if (!len)
		return false;
	for (uint32_t i = 0; i < s->match.mask.len; i++)
		v[i] &= s->match.mask.b[i];
	switch ((enum nft_cmp)s->match.op) {
	case NFC_EQ:
		return !memcmp(v, s->match.a.b, len);
	case NFC_NE:
		return memcmp(v, s->match.a.b, len) != 0;
	case NFC_RANGE:
		return memcmp(v, s->match.a.b, len) >= 0 && memcmp(v, s->match.b.b, len) <= 0;
	case NFC_ANY:
		return v[0] & s->match.a.b[0];
	default:
		fail_msg("comparison %u", s->match.op);
		return false;
	}
}

static bool within(const struct nft_set *set, const struct nft_elem *e, const uint8_t *key)
{
	const uint8_t *last = e->key_end ? e->key_end : e->key;
	uint32_t at = 0;

	for (unsigned i = 0; i < set->n_key; i++) {
		uint32_t len = set->key[i].type == NFTY_IPV4_ADDR      ? 4
			       : set->key[i].type == NFTY_IPV6_ADDR    ? 16
			       : set->key[i].type == NFTY_INET_SERVICE ? 2
								       : 1;

		if (memcmp(key + at, e->key + at, len) < 0 || memcmp(key + at, last + at, len) > 0)
			return false;
		at += (len + 3) & ~3u;
	}
	return true;
}

static const struct nft_elem *look_up(const struct nft_table *t, const struct nft_packet *p,
				      const struct nft_stmt *s)
{
	const struct nft_set *set = nft_set_get(t, s->lookup.set);
	uint8_t key[NFT_KEY_MAX] = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->lookup.keys.n; i++) {
		uint8_t v[16] = { 0 };
		uint32_t len = load(p, &s->lookup.keys.v[i], v);

		if (!len)
			return NULL;
		n = nft_key_put(key, n, v, len);
	}
	for (uint32_t i = 0; i < set->n; i++)
		if (within(set, &set->elems[i], key))
			return &set->elems[i];
	return NULL;
}

static bool through(const struct nft_table *t, const char *chain, const struct nft_packet *p,
		    struct nft_outcome *out);

/* Is that the end? */
static bool follow(const struct nft_table *t, const struct nft_verdict *v, const char *comment,
		   const struct nft_packet *p, struct nft_outcome *out)
{
	if (v->code == NFT_JUMP)
		return through(t, v->chain, p, out);
	*out = (struct nft_outcome){ v->code, comment };
	return true;
}

static bool run_rule(const struct nft_table *t, const struct nft_rule *r,
		     const struct nft_packet *p, struct nft_outcome *out)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct nft_stmt *s = &r->v[i];
		const struct nft_elem *e;

		switch ((enum nft_stmt_kind)s->kind) {
		case NFS_MATCH:
			if (!match(p, s))
				return false;
			break;
		case NFS_LOOKUP:
			if (!look_up(t, p, s))
				return false;
			break;
		case NFS_VMAP:
			e = look_up(t, p, s);
			return e && follow(t, &e->verdict, NULL, p, out);
		case NFS_VERDICT:
			return follow(t, &s->verdict, r->comment, p, out);
		case NFS_COUNTER:
		case NFS_LIMIT:
		case NFS_LOG:
			break;
		default:
			fail_msg("statement %u", s->kind);
		}
	}
	return false;
}

static bool through(const struct nft_table *t, const char *chain, const struct nft_packet *p,
		    struct nft_outcome *out)
{
	const struct nft_chain *c = nft_chain_get(t, chain);

	assert_non_null(c);
	for (uint32_t i = 0; i < c->n; i++)
		if (run_rule(t, c->rules[i], p, out))
			return true;
	return false;
}

struct nft_outcome nft_packet_pass(const struct nft_table *t, const char *chain,
				   const struct nft_packet *p)
{
	struct nft_outcome out = { NF_ACCEPT, NULL };

	through(t, chain, p, &out);
	return out;
}
