/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer is told: from the table's best path to the UPDATEs of one session.
 *
 * May it be told (RFC 4271 9.2.1; reflection RFC 4456 6; no-export and no-advertise RFC 1997), by which attributes (5.1: to another AS
 * the path with ours in front and without LOCAL_PREF and MED; our next hop to another AS, and where it is asked for; ORIGINATOR_ID
 * and CLUSTER_LIST where it is reflected), and in how few messages: destinations that follow one another in the
 * reader's order and go out with the same attributes share one, as far as a window of them reaches. */
#pragma once
#include "core/bgp/filter.h"
#include "core/bgp/update.h"

struct bgp_out {
	struct bgp_link link;
	enum bgp_family family;
	const struct bgp_rib *rib;
	const struct bgp_source *to; /* the peer: nobody is told his own */
	uint32_t local_as, cluster_id;
	bool next_hop_self;       /* also where it is not asked for by the RFC */
	struct ipaddr next_hop;   /* ours, of this family, as the peer reaches it; family 0: none */
	struct ipaddr link_local; /* IPv6 on one link: ours; family 0: none */
	struct prefix
		on_link; /* to another AS a next hop in here stays as it is (5.1.3); family 0: none does */
	const struct bgp_filter *filter;
	struct bgp_store *store; /* of the table's sets */
};

/* Why a destination is not told. */
enum bgp_silence {
	BGP_TOLD,
	BGP_NO_PATH,
	BGP_ITS_OWN,
	BGP_NOT_REFLECTED, /* from iBGP to iBGP, and neither is a client */
	BGP_COMMUNITY,     /* no-export, no-advertise */
	BGP_WOULD_LOOP,    /* the peer's AS or identifier is in it */
	BGP_FILTERED,
	BGP_NO_NEXT_HOP,
	BGP_TOO_LONG,
};

/* The attributes as they go out. Parts lie in the arena, or are those of the path. -ENOMEM; 0 with `why`. */
int bgp_out_attrs(const struct bgp_out *o, const struct bgp_dest *d, struct arena *ar,
		  struct bgp_draft *out, enum bgp_silence *why);

/* Goes on where the reader is: appends messages until `b` has `enough` octets or everything was seen (`*all`).
 * -ENOMEM: what was noted as told may not have been, and the session is to be ended. */
int bgp_out_walk(const struct bgp_out *o, struct bgp_reader *rd, struct buf *b, size_t enough,
		 bool *all);

const char *bgp_silence_text(enum bgp_silence s); /* "its own route" */
