/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule's `log group` tells of one packet, as the kernel sends it (nfnetlink_log). Decided here,
 * carried by sys/nflog.
 *
 * The kernel copies the packet's first bytes as they stand at the hook: after Service DNAT where that has
 * happened. Which rule told is known by its prefix alone. */
#pragma once
#include "core/nft/trace.h"

#define NFT_LOG_PREFIX 128 /* of the kernel's prefixes, with the end (NF_LOG_PREFIXLEN) */

struct nft_logged {
	char prefix[NFT_LOG_PREFIX];
	uint16_t group;
	uint8_t family; /* the packet's: NFPROTO_IPV4 … */
	uint8_t hook;   /* NF_INET_* */
	bool has_seq;
	uint32_t seq;            /* counts the group's packets from 0 on: a gap is what was lost */
	uint32_t mark, iif, oif; /* 0: none */
	/* family 0: no IP packet that could be read. Ports are 0 for protocols without, in later fragments,
	 * and where they stand behind what was copied. */
	struct nft_trace_flow flow;
	bool fragment; /* not the first */
	bool has_icmp; /* ICMP and ICMPv6: the next two hold */
	uint8_t icmp_type, icmp_code;
};

/* *out is what the message says; 0, or -EBADMSG for what is no packet of nfnetlink_log. */
int nft_logged_decode(const struct nlmsghdr *nlh, struct nft_logged *out, struct err *e);
