/* SPDX-License-Identifier: Apache-2.0 */
/* AS_PATH: segments of AS numbers, each of four octets (RFC 4271 4.3 b, RFC 6793). What is given here was checked when it was
 * read: no segment is empty, none reaches past the end. */
#pragma once
#include "base/arena.h"
#include "core/bgp/attr.h"

/* RFC 4271 9.1.2.2 a: an AS_SET counts one. */
uint32_t bgp_path_length(const struct bgp_attrs *a);
bool bgp_path_has(const struct bgp_attrs *a, uint32_t as);
/* Where the route came from: the first of a leading AS_SEQUENCE; 0 from within. */
uint32_t bgp_path_first(const struct bgp_attrs *a);
void bgp_path_str(const struct bgp_attrs *a, struct buf *out); /* "65001 65002 {65003,65004}" */

uint32_t bgp_segments_first(const uint8_t *path, uint16_t len);
/* `v` in front of a draft's path, the first one nearest. -ENOMEM; -EMSGSIZE. */
int bgp_path_prepend(struct bgp_draft *d, const uint32_t *v, uint32_t n, struct arena *ar);
/* RFC 6793 4.2.3: AS4_PATH, behind what the draft's path is longer. Where that is shorter it stays as it is. -ENOMEM. */
int bgp_as4_merge(struct bgp_draft *d, const uint8_t *as4, uint16_t len, struct arena *ar);
/* For an old speaker: numbers of two octets, with AS_TRANS for those that have more. True: it had to stand in once. */
bool bgp_path_put_as2(const struct bgp_draft *d, struct buf *out);
