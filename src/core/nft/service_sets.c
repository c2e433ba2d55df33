/* SPDX-License-Identifier: Apache-2.0 */
/* The sets of the frame of Services: what each is for stands in service_frame.c. */
#include "core/nft/service.h"

#include <stdio.h>
#include <string.h>

#define AFFINITY_SIZE (1u << 18) /* clients; more than that start anew */

const struct nft_service_family nft_service_families[] = {
	{ '4', NFPROTO_IPV4, NFTY_IPV4_ADDR, NFK_IP_SADDR, NFK_IP_DADDR, NFK_CT_ORIG_DADDR4,
	  "pools4" },
	{ '6', NFPROTO_IPV6, NFTY_IPV6_ADDR, NFK_IP6_SADDR, NFK_IP6_DADDR, NFK_CT_ORIG_DADDR6,
	  "pools6" },
};

const struct nft_service_transport nft_service_transports[] = {
	[PROTO_TCP] = { "tcp", IPPROTO_TCP, NFK_TCP_DPORT },
	[PROTO_UDP] = { "udp", IPPROTO_UDP, NFK_UDP_DPORT },
	[PROTO_SCTP] = { "sctp", IPPROTO_SCTP, NFK_SCTP_DPORT }
};

#define S(k)     NFT_SEL(NFK_##k)
#define K(...)   NFT_SELS(__VA_ARGS__)
#define FRONT(f) S(META_L4PROTO), NFT_SEL((f)->daddr), S(TH_DPORT)
#define PRIORITY K(S(META_PRIORITY))

const char *nft_family_name(char out[NFT_SERVICE_NAME], const char *head,
			    const struct nft_service_family *f)
{
	snprintf(out, NFT_SERVICE_NAME, "%s%c", head, f->digit);
	return out;
}

const char *nft_endpoints_name(char out[NFT_SERVICE_NAME], unsigned proto,
			       const struct nft_service_family *f, const char *tail)
{
	snprintf(out, NFT_SERVICE_NAME, "%s%c_%s", nft_service_transports[proto].name, f->digit,
		 tail);
	return out;
}

struct nft_sel nft_affinity_address(const struct nft_service_family *f)
{
	return f->digit == '6' ? NFT_RAW(NFT_PAYLOAD_NETWORK_HEADER, 36, 4) : NFT_SEL(f->daddr);
}

static struct nft_set *make_map(struct nft_table *t, const char *name, const struct nft_sel *key,
				const struct nft_sel *data)
{
	struct nft_set *s = nft_set_typeof(t, name, 0, key);

	nft_set_data_typeof(s, data);
	return s;
}

/* Codes and their verdicts: see service.h. */
static struct nft_set *make_codes(struct nft_table *t, const char *name, const uint8_t *types)
{
	struct nft_set *s = nft_set_add(t, name, 0, types);

	nft_set_data(s, NFT_TYPES(NFTY_CLASSID));
	return s;
}

static struct nft_set *make_verdicts(struct nft_table *t, const char *name)
{
	struct nft_set *s = nft_set_typeof(t, name, 0, PRIORITY);

	nft_set_data(s, NFT_TYPES(NFTY_VERDICT));
	return s;
}

static void verdict_of(struct nft_set *s, uint32_t code, int32_t verdict, const char *chain)
{
	nft_elem_add(s,
		     &(struct nft_elem){ .key = nft_u32(code).b, .verdict = { verdict, chain } });
}

static void make_ways(struct nft_table *t)
{
	struct nft_set *s = make_verdicts(t, "refuse_way");

	verdict_of(s, nft_refuse_code(SVC_REJECTED), NFT_GOTO, "service-reject");
	verdict_of(s, nft_refuse_code(SVC_DROPPED), NF_DROP, NULL);
	verdict_of(s, nft_refuse_code(SVC_DROPPED_FROM_OUTSIDE), NFT_GOTO, "service-drop-outside");
	s = make_verdicts(t, "masq_way");
	verdict_of(s, nft_masq_code(SVC_MASQ_ALWAYS), NFT_GOTO, "service-masq-always");
	verdict_of(s, nft_masq_code(SVC_MASQ_UNLESS_POD), NFT_GOTO, "service-masq-unless-pod");
	verdict_of(s, nft_masq_code(SVC_MASQ_IF_NODE), NFT_GOTO, "service-masq-if-node");
	verdict_of(s, nft_masq_code(SVC_MASQ_IF_LOOPBACK), NFT_GOTO, "service-masq-if-loopback");
}

static void count(struct nft_set *s)
{
	if (s)
		s->counter = 1;
}

static void make_fronts(struct nft_table *t, const struct nft_service_family *f)
{
	const uint8_t *front = NFT_TYPES(NFTY_INET_PROTO, f->type, NFTY_INET_SERVICE);
	const uint8_t *port = NFT_TYPES(NFTY_INET_PROTO, NFTY_INET_SERVICE);

	count(make_map(t, NFT_FAMILY_NAME("vip", f), K(FRONT(f)), PRIORITY));
	count(make_map(t, NFT_FAMILY_NAME("nodeport", f), K(S(META_L4PROTO), S(TH_DPORT)),
		       PRIORITY));
	nft_set_add(t, NFT_FAMILY_NAME("restricted", f), 0, front);
	nft_set_add(t, NFT_FAMILY_NAME("sources", f), NFT_SET_INTERVAL,
		    NFT_TYPES(NFTY_INET_PROTO, f->type, NFTY_INET_SERVICE, f->type));
	count(make_codes(t, NFT_FAMILY_NAME("refused", f), front));
	count(make_codes(t, NFT_FAMILY_NAME("refused_nodeport", f), port));
	make_codes(t, NFT_FAMILY_NAME("masq", f), front);
	make_codes(t, NFT_FAMILY_NAME("masq_nodeport", f), port);
	nft_set_add(t, NFT_FAMILY_NAME("cluster_ips", f), 0, NFT_TYPES(f->type));
	nft_set_add(t, NFT_FAMILY_NAME("left_ips", f), 0, NFT_TYPES(f->type));
	nft_set_add(t, NFT_FAMILY_NAME("hairpin", f), 0, NFT_TYPES(f->type, f->type));
}

static void fill_nets(struct nft_set *s, const struct nft_service_family *f, const struct prefix *v,
		      uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct prefix p = prefix_mask(&v[i]);
		struct ipaddr last = prefix_last(&p);

		if ((p.addr.family == AF_INET6) != (f->digit == '6'))
			continue;
		nft_elem_add(s, &(struct nft_elem){ .key = p.addr.b,
						    .key_end = p.len < addr_bits(&p.addr) ? last.b
											  : NULL });
	}
}

static void make_endpoints(struct nft_table *t, const struct nft_service_family *f)
{
	for (unsigned i = PROTO_TCP; i <= PROTO_SCTP; i++) {
		const struct nft_service_transport *p = &nft_service_transports[i];
		char name[NFT_SERVICE_NAME];

		make_map(t, nft_endpoints_name(name, i, f, "endpoints"),
			 K(S(META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, NFT_SERVICE_SLOTS)),
			 K(NFT_SEL(f->daddr), NFT_SEL(p->dport)));
		make_map(t, nft_endpoints_name(name, i, f, "kept"), PRIORITY,
			 K(NFT_SEL(f->daddr), NFT_SEL(p->dport)));
	}
}

/* Clients' own entries: the packets write them. */
static void make_affinity(struct nft_table *t, const struct nft_service_family *f)
{
	struct nft_set *s = nft_set_typeof(
		t, NFT_FAMILY_NAME("affinity", f), NFT_SET_EVAL | NFT_SET_TIMEOUT,
		K(S(META_L4PROTO), nft_affinity_address(f), S(TH_DPORT), NFT_SEL(f->saddr)));

	nft_set_data_typeof(s, PRIORITY);
	if (s)
		s->size = AFFINITY_SIZE;
}

void nft_service_sets_add(struct nft_table *t, const struct svc_node *node)
{
	struct nft_set *s;

	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];

		make_fronts(t, f);
		make_endpoints(t, f);
		make_affinity(t, f);
		s = nft_set_add(t, NFT_FAMILY_NAME("service_nets", f), NFT_SET_INTERVAL,
				NFT_TYPES(f->type));
		fill_nets(s, f, node->services.v, node->services.n);
		s = nft_set_add(t, NFT_FAMILY_NAME("nodeport_nets", f), NFT_SET_INTERVAL,
				NFT_TYPES(f->type));
		fill_nets(s, f, node->nodePortAddresses.v, node->nodePortAddresses.n);
	}
	make_map(t, "sizes", PRIORITY, PRIORITY);
	make_verdicts(t, "choices");
	verdict_of(make_verdicts(t, "front_choices"), NFT_CHOOSER << NFT_SERVICE_ID_BITS, NFT_GOTO,
		   "service-choose");
	make_map(t, "to_all", PRIORITY, PRIORITY);
	make_map(t, "to_local", PRIORITY, PRIORITY);
	make_map(t, "affinity_slots",
		 K(S(META_PRIORITY), NFT_NUMGEN(NFK_NUMGEN_RANDOM, NFT_SERVICE_SLOTS)), PRIORITY);
	s = nft_set_typeof(t, "affinity_back", NFT_SET_EVAL | NFT_SET_TIMEOUT, PRIORITY);
	nft_set_data_typeof(s, PRIORITY);
	if (s)
		s->size = AFFINITY_SIZE;
	make_ways(t);
}

bool nft_service_find_sets(const struct nft_table *t, struct nft_service_sets *out)
{
	struct nft_service_sets s = { 0 };
	bool all = true;

	for (unsigned i = 0; i < 2; i++) {
		const struct nft_service_family *f = &nft_service_families[i];
		const struct {
			const struct nft_set **set;
			const char *head;
		} by_family[] = { { &s.vip[i], "vip" },
				  { &s.nodeport[i], "nodeport" },
				  { &s.refused[i], "refused" },
				  { &s.refused_nodeport[i], "refused_nodeport" },
				  { &s.masq[i], "masq" },
				  { &s.masq_nodeport[i], "masq_nodeport" },
				  { &s.restricted[i], "restricted" },
				  { &s.sources[i], "sources" },
				  { &s.cluster_ips[i], "cluster_ips" },
				  { &s.left_ips[i], "left_ips" },
				  { &s.hairpin[i], "hairpin" } };

		for (unsigned j = 0; j < sizeof(by_family) / sizeof(by_family[0]); j++) {
			*by_family[j].set = nft_set_get(t, NFT_FAMILY_NAME(by_family[j].head, f));
			all &= *by_family[j].set != NULL;
		}
		for (unsigned p = PROTO_TCP; p <= PROTO_SCTP; p++) {
			char name[NFT_SERVICE_NAME];

			s.endpoints[i][p] =
				nft_set_get(t, nft_endpoints_name(name, p, f, "endpoints"));
			s.kept[i][p] = nft_set_get(t, nft_endpoints_name(name, p, f, "kept"));
			all &= s.endpoints[i][p] && s.kept[i][p];
		}
	}
	s.sizes = nft_set_get(t, "sizes");
	s.choices = nft_set_get(t, "choices");
	s.front_choices = nft_set_get(t, "front_choices");
	s.to_all = nft_set_get(t, "to_all");
	s.to_local = nft_set_get(t, "to_local");
	s.affinity_back = nft_set_get(t, "affinity_back");
	s.affinity_slots = nft_set_get(t, "affinity_slots");
	if (!all || !s.sizes || !s.choices || !s.front_choices || !s.to_all || !s.to_local ||
	    !s.affinity_back || !s.affinity_slots)
		return false;
	*out = s;
	return true;
}
