/* SPDX-License-Identifier: Apache-2.0 */
/* Filters: what is taken from a peer, and what it is told.
 *
 * A filter is a list of rules in order; the first whose conditions all hold decides, and its operations are done to the attributes
 * of what it accepts. Where none holds the next filter of the peer is asked, and after the last one the route is
 * accepted, but for an eBGP peer that RFC 8212 denies without a filter. What a BGPFilter object says (model's kinds) is
 * compiled to this once; a rule is evaluated without allocation. */
#pragma once
#include "base/arena.h"
#include "core/bgp/attr.h"
#include "core/bgp/rib.h"

enum bgp_match { BGP_M_ANY, BGP_M_IN, BGP_M_NOT_IN, BGP_M_EQUAL, BGP_M_NOT_EQUAL };

struct bgp_community { /* standard: large is false, v[0] is the whole */
	bool large;
	uint32_t v[3];
};

enum bgp_peer_type { BGP_PT_ANY, BGP_PT_EBGP, BGP_PT_IBGP };

struct bgp_rule {
	bool accept;
	/* Conditions. */
	uint8_t match; /* enum bgp_match, of `cidr` */
	struct prefix cidr;
	uint8_t min_len, max_len; /* 0, 0: any */
	uint8_t peer;             /* enum bgp_peer_type */
	uint32_t n_communities;   /* all of them */
	struct bgp_community *communities;
	uint32_t n_path; /* AS_PATH begins with these */
	uint32_t *path;
	/* Operations. */
	bool set_preference;
	uint32_t preference; /* LOCAL_PREF; in an import filter also for eBGP */
	uint32_t n_add;
	struct bgp_community *add;
	uint32_t n_prepend; /* the first is nearest */
	uint32_t *prepend;
};

struct bgp_rules {
	char name[254]; /* of the BGPFilter */
	uint32_t n;
	struct bgp_rule *v;
};

struct bgp_filter { /* of one direction, family and peer */
	const struct bgp_rules **v;
	uint32_t n;
	bool deny;       /* what no rule decides (RFC 8212) */
	uint64_t digest; /* of all that it says, so that two can be compared */
};

/* What decided; for `bgp routes`. */
struct bgp_decided {
	const struct bgp_rules *rules; /* NULL: none, the default */
	uint32_t rule;
	bool accept;
};

/* `d` is what the route has; what operations add lies in the arena. -ENOMEM, or 0 with `out`. */
int bgp_filter_run(const struct bgp_filter *f, const struct prefix *p, bool ebgp,
		   struct bgp_draft *d, struct arena *ar, struct bgp_decided *out);
