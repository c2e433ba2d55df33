/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel messages → IR. Input is hostile: every length is checked; what is not understood
 * becomes an opaque statement with the kernel's name for it, or is left out. */
#pragma once
#include "core/nft/ir.h"

/* Adds what the messages say into `rs`: p[0..n) are one or more netlink messages as recvmsg()
 * gave them (NFT_MSG_NEWTABLE, NEWCHAIN, NEWSET, NEWSETELEM, NEWRULE; others are skipped). Only
 * what belongs to `table` is taken, where it is not NULL. Sets must come before their elements
 * and the rules that use them, chains before their rules. Returns 0, -EBADMSG or -ENOMEM. Call
 * nft_decode_done() once everything is in. */
int nft_decode(struct nft_ruleset *rs, const char *table, const void *p, size_t n, struct err *e);
/* Sorts elements, joins the ends of intervals to their starts and drops what is there twice.
 * True where something was: a hash that grows while the kernel walks it lists elements twice,
 * and may leave others out. */
bool nft_decode_done(struct nft_ruleset *rs);

/* What a notification is about, for telling our changes from others'. */
struct nft_notice {
	uint16_t msg;    /* NFT_MSG_* */
	uint32_t portid; /* the socket that asked for the change; 0: the kernel itself */
	uint8_t family;
	char table[64];    /* "" for NFT_MSG_NEWGEN; longer names are cut */
	uint32_t genid;    /* NFT_MSG_NEWGEN */
	char comm[17];     /* NFT_MSG_NEWGEN: the program that did it */
	const void *attrs; /* the rest of the message, in what was read */
	size_t attrs_len;
};

/* Reads the notification at the start of p[0..n); returns its length, 0 for none, -EBADMSG. */
int nft_decode_notice(const void *p, size_t n, struct nft_notice *out, struct err *e);
