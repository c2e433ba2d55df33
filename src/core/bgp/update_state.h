/* SPDX-License-Identifier: Apache-2.0 */
/* Within update: a message while it is read (update.c), attribute by attribute (update_attrs.c). */
#pragma once
#include "base/wire.h"
#include "core/bgp/update.h"

struct bgp_decoding {
	const struct bgp_link *link;
	struct arena *ar;
	struct bgp_update *u;   /* the first fault is the one that is told */
	struct bgp_draft draft; /* of all families, but for the next hop */
	uint64_t seen[4];       /* a bit for each type */
	struct wire reach, unreach;
	bool has_reach, has_unreach, only_unreach;
	bool routes; /* it says that something is reachable, ignored families too */
	uint32_t n_attrs, first_as;
	const uint8_t *as4_path; /* of old speakers (RFC 6793); NULL: none */
	uint16_t as4_len;
	uint32_t as4_aggregator; /* 0: none */
};

bool bgp_decoding_saw(const struct bgp_decoding *d, uint8_t type);

/* ---- update_attrs.c */

/* The message has this fault, of the attribute `name` where it is one's. The first for which routes are withdrawn is the one that is
 * told, and one that resets is told always. -EBADMSG. */
int bgp_decoding_fail(struct bgp_decoding *d, enum bgp_verdict v, uint8_t sub, const char *name,
		      const char *what);

/* -ENOMEM; -EBADMSG: the session is to be reset; 0, with the verdict so far. */
int bgp_attrs_decode(struct bgp_decoding *d, struct wire attrs);
