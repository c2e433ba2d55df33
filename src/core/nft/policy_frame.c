/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of NetworkPolicy.
 *
 *   policy-egress, policy-ingress   forward, one behind the other, so that accept in one means that
 *                                   this direction allows and the other is asked too
 *     established, related          pass: only the first packet is judged
 *     policy-midway-egress, …       TCP and SCTP that begin in their middle: log, counter, drop
 *       policy_isolated_out4, …     addresses of isolated pods: see below
 *     policy_egress4                source (policy_ingress4: destination) ──► its profile
 *   egress4-HASH                    a profile: a list of policies that isolate some pods here
 *     egress4-NS/NAME               the rules of one of them: the first that matches accepts
 *     policy_self4                  a pod may talk to itself (by a Service)
 *     log, counter, drop            default deny by the list
 *
 * And the same with 6. A pod that no policy selects costs a first packet two look-ups that find
 * nothing in each chain. Traffic between a pod and its own node passes input and output, never
 * forward, and is allowed, but for queries to its DNS (dns_frame.c). Packets that conntrack does not track are judged each.
 *
 * Why TCP must begin with a SYN: conntrack takes up a connection in its middle, and calls original
 * whichever way the next packet goes. Of a connection that was cut as a policy forbids it now, that may be
 * an answer of the isolated end, which nothing forbids to send; and the other's packets would be
 * replies. So such a packet from a pod isolated for ingress, or to one isolated for egress, is
 * dropped: only the side that opened the connection can take it up again, and is judged. The same with
 * SCTP, whose idle associations send HEARTBEATs, for which conntrack makes an entry; INIT is always the
 * only chunk of its packet (RFC 9260, section 3). */
#include "core/nft/policies_state.h"

#include <string.h>

#define S(k)   NFT_SEL(NFK_##k)
#define K(...) NFT_SELS(__VA_ARGS__)

#define CT_ESTABLISHED_RELATED 6
#define CT_NEW                 8

#define TCP_SYN             0x02
#define TCP_FIN_SYN_RST_ACK 0x17
#define SCTP_CHUNK          NFT_RAW(NFT_PAYLOAD_TRANSPORT_HEADER, 12, 1) /* the first one's type */
#define SCTP_INIT           1

static const struct direction {
	uint8_t type;
	int32_t priority;
	const char *base, *midway, *verdicts, *isolated;
} directions[] = {
	{ POLICY_EGRESS, 0, "policy-egress", "policy-midway-egress", "policy_egress",
	  "policy_isolated_out" },
	{ POLICY_INGRESS, 1, "policy-ingress", "policy-midway-ingress", "policy_ingress",
	  "policy_isolated_in" },
};

#define EACH_DIRECTION(d) for (const struct direction *d = directions; d < directions + 2; d++)

/* The address by which the pod is known that this direction judges, and the other end's. */
static struct nft_sel subject_of(const struct direction *d, const struct nft_service_family *f)
{
	return NFT_SEL(d->type == POLICY_EGRESS ? f->saddr : f->daddr);
}

static struct nft_sel other_of(const struct direction *d, const struct nft_service_family *f)
{
	return NFT_SEL(d->type == POLICY_EGRESS ? f->daddr : f->saddr);
}

static void make_sets(struct nft_table *t)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		EACH_DIRECTION(d)
		{
			nft_set_data(nft_set_add(t, NFT_FAMILY_NAME(d->verdicts, f), 0,
						 NFT_TYPES(f->type)),
				     NFT_TYPES(NFTY_VERDICT));
			nft_set_add(t, NFT_FAMILY_NAME(d->isolated, f), 0, NFT_TYPES(f->type));
		}
		nft_set_add(t, NFT_FAMILY_NAME("policy_self", f), 0, NFT_TYPES(f->type, f->type));
	}
}

void nft_policy_find_sets(const struct nft_table *t, struct nft_policy_frame *out)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		EACH_DIRECTION(d)
		{
			out->verdicts[d->type][i] = nft_set_get(t, NFT_FAMILY_NAME(d->verdicts, f));
			out->isolated[d->type][i] = nft_set_get(t, NFT_FAMILY_NAME(d->isolated, f));
		}
		out->self[i] = nft_set_get(t, NFT_FAMILY_NAME("policy_self", f));
	}
}

static void make_midway(struct nft_table *t, const struct direction *d)
{
	struct nft_chain *c = nft_chain_add(t, d->midway);

	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];
		struct nft_rule *r = nft_rule_add(c, NULL);

		nft_match_set(r, K(other_of(d, f)), NFT_FAMILY_NAME(d->isolated, f));
		nft_policy_log(r, d->midway);
		r = nft_rule_add(c, POLICY_MIDWAY);
		nft_match_set(r, K(other_of(d, f)), NFT_FAMILY_NAME(d->isolated, f));
		nft_counter(r);
		nft_drop(r);
	}
}

bool nft_policy_is_midway(const char *chain, enum policy_type *type)
{
	EACH_DIRECTION(d)
	{
		if (strcmp(d->midway, chain) != 0)
			continue;
		*type = d->type;
		return true;
	}
	return false;
}

static void make_base(struct nft_table *t, const struct direction *d)
{
	struct nft_chain *c = nft_base_add(t, d->base, "filter", NF_INET_FORWARD, d->priority);
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_match(r, S(CT_STATE), NFC_ANY, nft_u32(CT_ESTABLISHED_RELATED));
	nft_accept(r);
	r = nft_rule_add(c, NULL);
	nft_match_mask(r, S(TCP_FLAGS), nft_u8(TCP_FIN_SYN_RST_ACK), NFC_NE, nft_u8(TCP_SYN));
	nft_match(r, S(CT_STATE), NFC_ANY, nft_u32(CT_NEW));
	nft_jump(r, d->midway);
	r = nft_rule_add(c, NULL);
	/* In this order, as nft reads raw bytes of a header that it knows as the fields there. */
	nft_match(r, SCTP_CHUNK, NFC_NE, nft_u8(SCTP_INIT));
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(IPPROTO_SCTP));
	nft_match(r, S(CT_STATE), NFC_ANY, nft_u32(CT_NEW));
	nft_jump(r, d->midway);
	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		nft_vmap(nft_rule_add(c, NULL), K(subject_of(d, f)),
			 NFT_FAMILY_NAME(d->verdicts, f));
	}
}

void nft_policy_frame(struct nft_table *t)
{
	make_sets(t);
	EACH_DIRECTION(d)
	{
		make_midway(t, d);
		make_base(t, d);
	}
}
