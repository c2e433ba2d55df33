/* SPDX-License-Identifier: Apache-2.0 */
/* The chains in which an endpoint is chosen. numgen wants the number of endpoints in the rule, so
 * there is one chain for each number that a group of this node has, and none for a Service.
 *
 * With affinity a client's choice is kept as the id of an endpoint, a number that is no group's, as
 * without a choice the group's stays in its place:
 *   affinity4, affinity6      front . client ──► id of an endpoint, refreshed by each connection
 *   tcp4_kept …               id of an endpoint ──► address . port
 *   affinity_back             id of an endpoint that is gone ──► its group: the entry is deleted
 *                             (an update leaves the data of what is there) and a new one chosen
 *   affinity_slots            id of a group . slot ──► id of an endpoint
 * An entry whose group is gone too, for the Service was made anew, is deleted with the packet:
 * the next one chooses. Of an IPv6 front's address only the last 32 bits are in the key: nft
 * 1.0.6 aborts on reading an update with longer keys; services.c sees to it that no two
 * Services with affinity share them. */
#include "core/nft/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHOOSER "service-choose"

#define S(k)     NFT_SEL(NFK_##k)
#define K(...)   NFT_SELS(__VA_ARGS__)
#define PRIORITY K(S(META_PRIORITY))

bool nft_choice_eq(const struct nft_choice *a, const struct nft_choice *b)
{
	return a->family == b->family && a->proto == b->proto && a->count == b->count &&
	       a->affinity == b->affinity;
}

const char *nft_choice_name(const struct nft_choice *c, char out[NFT_CHOICE_NAME])
{
	int n;

	if (c->family == AF_UNSPEC) {
		snprintf(out, NFT_CHOICE_NAME, CHOOSER);
		return out;
	}
	n = snprintf(out, NFT_CHOICE_NAME, "%s%c-%u", nft_service_transports[c->proto].name,
		     c->family == AF_INET6 ? '6' : '4', c->count);
	if (c->affinity)
		snprintf(out + n, NFT_CHOICE_NAME - (size_t)n, "-%u", c->affinity);
	return out;
}

bool nft_choice_parse(const char *name, struct nft_choice *out)
{
	struct nft_choice c = { 0 };
	char again[NFT_CHOICE_NAME];

	for (unsigned i = PROTO_TCP; i <= PROTO_SCTP; i++) {
		size_t n = strlen(nft_service_transports[i].name);
		char *end;

		if (strncmp(name, nft_service_transports[i].name, n) != 0 || !name[n])
			continue;
		c.proto = (uint8_t)i;
		c.family = name[n] == '6' ? AF_INET6 : AF_INET;
		c.count = (uint32_t)strtoul(name[n + 1] ? name + n + 2 : "", &end, 10);
		if (*end == '-')
			c.affinity = (uint32_t)strtoul(end + 1, NULL, 10);
	}
	if (c.proto && (!c.count || c.count > NFT_SERVICE_SLOTS))
		return false;
	if (strcmp(nft_choice_name(&c, again), name) != 0)
		return false;
	*out = c;
	return true;
}

static void dnat_to(struct nft_chain *c, const struct nft_choice *ch, const char *tail,
		    const struct nft_sel *key)
{
	const struct nft_service_family *f = &nft_service_families[ch->family == AF_INET6];
	struct nft_rule *r = nft_rule_add(c, NULL);
	char map[NFT_SERVICE_NAME];

	nft_endpoints_name(map, ch->proto, f, tail);
	nft_match(r, S(META_L4PROTO), NFC_EQ, nft_u8(nft_service_transports[ch->proto].number));
	nft_nat_map(r, NFT_NAT_DNAT, f->nfproto, key, map, true);
}

/* Needs the id of a group in the priority. */
static void keep_client(struct nft_chain *c, const struct nft_choice *ch)
{
	const struct nft_service_family *f = &nft_service_families[ch->family == AF_INET6];
	const struct nft_sel *flow =
		K(S(META_L4PROTO), nft_affinity_address(f), S(TH_DPORT), NFT_SEL(f->saddr));
	const char *map = NFT_FAMILY_NAME("affinity", f);
	uint64_t ms = ch->affinity * 1000ULL;
	struct nft_rule *r = nft_rule_add(c, NULL);

	nft_set_map(r, NFTT_PRIORITY, flow, map);
	nft_dynset_map(r, NFT_DYNSET_OP_UPDATE, flow, PRIORITY, map, ms);
	dnat_to(c, ch, "kept", PRIORITY);
	r = nft_rule_add(c, NULL);
	nft_set_map(r, NFTT_PRIORITY, PRIORITY, "affinity_back");
	nft_dynset_map(r, NFT_DYNSET_OP_DELETE, flow, PRIORITY, map, 0);
	r = nft_rule_add(c, NULL);
	nft_set_map(r, NFTT_PRIORITY, K(S(META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, ch->count)),
		    "affinity_slots");
	nft_dynset_map(r, NFT_DYNSET_OP_UPDATE, flow, PRIORITY, map, ms);
	dnat_to(c, ch, "kept", PRIORITY);
	r = nft_rule_add(c, NULL);
	nft_dynset_map(r, NFT_DYNSET_OP_DELETE, flow, PRIORITY, map, 0);
	nft_drop(r);
}

struct nft_chain *nft_choice_chain(struct nft_table *t, const struct nft_choice *ch)
{
	char name[NFT_CHOICE_NAME];
	struct nft_chain *c = nft_chain_add(t, nft_choice_name(ch, name));

	if (!c || c->n)
		return c;
	nft_set_bits(nft_rule_add(c, NULL), NFTT_PRIORITY, S(META_PRIORITY), NFT_SERVICE_ID_MASK,
		     0);
	if (ch->family == AF_UNSPEC)
		return c; /* the frame says the rest */
	if (ch->affinity)
		keep_client(c, ch);
	else
		dnat_to(c, ch, "endpoints",
			K(S(META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, ch->count)));
	return c;
}
