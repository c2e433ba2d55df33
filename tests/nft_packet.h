/* SPDX-License-Identifier: Apache-2.0 */
/* A packet through the chains of a table, as the kernel takes it: which rule decides, and what. It knows the
 * selectors and statements that rules of policies are made of; others fail the test. */
#pragma once
#include "core/nft/ir.h"

struct nft_packet {
	struct ipaddr src, dst;
	uint8_t proto; /* enum protocol; PROTO_NONE: ICMP */
	uint16_t dport;
	uint8_t tcp_flags, sctp_chunk;
	uint32_t state;
	const char *iif; /* NULL: of a pod */
};

struct nft_outcome {
	int32_t code;
	const char *comment; /* of the rule that decided; NULL: none did */
};

/* From the chain on, and back to it; who is decided nowhere is accepted. */
struct nft_outcome nft_packet_pass(const struct nft_table *t, const char *chain,
				   const struct nft_packet *p);
