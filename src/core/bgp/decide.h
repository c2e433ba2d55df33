/* SPDX-License-Identifier: Apache-2.0 */
/* Which of two paths to one prefix is the better one, in the steps and with the letters of RFC 4271 9.1.2.2, and why.
 *
 * Before those: a path that may be used at all, one that we originate, the degree of preference (9.1.1: LOCAL_PREF, or what
 * the import filter said; 100 without any). RFC 4456 9 has ORIGINATOR_ID stand for the identifier in f, and the shorter
 * CLUSTER_LIST decide before g. Step e, the cost to the next hop, is the same for all, as no IGP is asked. MED (c) counts between
 * paths of one neighbour AS only, which alone is no order (RFC 3345): the best of each neighbour AS is found first, then the best of
 * these, so that the outcome does not hang on who came first. */
#pragma once
#include "core/bgp/rib.h"

#define BGP_PREFERENCE 100 /* without LOCAL_PREF */

enum bgp_step {
	BGP_S_SAME, /* nothing decides */
	BGP_S_USABLE,
	BGP_S_LOCAL,
	BGP_S_PREFERENCE,
	BGP_S_A_LENGTH, /* AS_PATH */
	BGP_S_B_ORIGIN,
	BGP_S_C_MED,
	BGP_S_D_EBGP,
	BGP_S_F_ID, /* BGP identifier, or ORIGINATOR_ID */
	BGP_S_CLUSTERS,
	BGP_S_G_ADDRESS,
};

/* < 0: `a` is better. `step` says what decided; MED only where both are of one neighbour AS. */
int bgp_compare(const struct bgp_path *a, const struct bgp_path *b, enum bgp_step *step);
/* Good enough to share the traffic with the best: the same up to d, and by another next hop. */
bool bgp_shares(const struct bgp_path *best, const struct bgp_path *p);
/* Puts a list of paths in order, the best first, then those that share the traffic with it: `*multipath` together, at most
 * `most`, 0 where none can be used. Returns the new head. */
struct bgp_path *bgp_order(struct bgp_path *paths, uint32_t most, uint32_t *multipath);

const char *bgp_step_text(enum bgp_step s); /* "shorter AS path", of the one that won */
