/* SPDX-License-Identifier: Apache-2.0 */
/* One connection through a lab, and what its first packet met on the way: the hooks of every node that
 * it passed, in order, as the nodes' own kernels tell (sys/nftrace), and what each of them remembers of
 * the connection (sys/ctnl). Nodes trace by the source port, which is chosen for that, and by where the
 * connection may be sent to, as a node that translates the source takes another port. From node to
 * node the packet is followed by its header: as it left one, it came to the next. */
#pragma once
#include "core/nft/trace.h"
#include "lab/probing.h"
#include "lab/world.h"
#include "model/conntrack.h"

#define HOOKS_STOPS_MAX 8

/* One event. What is read from the node's rules is NULL where they changed meanwhile. */
struct hooks_step {
	const struct nft_trace *event;
	bool marker;   /* of the chains that only show the packet (nft_trace_table) */
	uint32_t hook; /* NF_INET_*; NF_INET_NUMHOOKS: not known */
	const struct nft_chain *base; /* where the hook's list of rules begins */
	const struct nft_rule *rule;
	const char *kube; /* kube-proxy's chain */
	bool has_packet;
	struct nft_trace_flow packet;
	char iif[16], oif[16]; /* "" none */
};

/* A node on the packet's way; the same one may come twice. */
struct hooks_stop {
	const char *node;
	LIST(struct hooks_step) steps;
	bool has_ct;
	struct ct_entry ct;
};

struct hooks_ask {
	const struct world *w;
	const struct world_member *from;
	uint8_t proto; /* enum probe_proto: tcp or udp */
	struct ipaddr dst;
	uint16_t dport;
	const struct nft_trace_flow *also; /* whom a node may send it to */
	size_t n_also;
};

struct hooks {
	struct hooks_stop stops[HOOKS_STOPS_MAX];
	size_t n_stops;
	uint32_t lost;                             /* events */
	uint8_t result, refused;                   /* enum probe_result, enum refused_by */
	const char *server, *server_sees, *detail; /* "" unknown */
	uint16_t sport;                            /* that it was sent from */
};

int hooks_run(const struct hooks_ask *ask, struct hooks *out, struct arena *a, struct err *e);
