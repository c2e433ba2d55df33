/* SPDX-License-Identifier: Apache-2.0 */
/* What a lab has beside where its nodes learn routes by BGP (`lab up --routes bgp|bgp-rr`): objects that say so
 * (lab/bgp_objects.h), and in mode direct the racks' router, the top of each rack, as their neighbour of another AS. Pure but
 * for finding BIRD.
 *
 * bgp: every node has a session with every other one. bgp-rr: only with reflectors, one in each of the first two
 * racks, or two in the only one. Where the router takes part each rack is an AS of its own, with a mesh, or two reflectors, in
 * it; what is in other racks its nodes learn from the router. */
#pragma once
#include "lab/spec.h"

#define LAB_AS        64512 /* of all nodes; that of rack R is R more */
#define LAB_ROUTER_AS 65000

/* A lost node's routes are gone in less than a second, also where a router is in between; the rest is for where BFD is switched off. */
#define LAB_BFD_MS         200
#define LAB_BFD_MULTIPLIER 3
#define LAB_HOLD           9 /* seconds */
#define LAB_RESTART        5

bool lab_has_bgp(const struct lab_spec *s);
/* The node's AS. */
unsigned lab_as(const struct lab_spec *s, const struct lab_node *node);
bool lab_is_reflector(const struct lab_spec *s, const struct lab_node *node);

/* Where BIRD is installed; NULL: nowhere. */
const char *lab_bird(void);
/* Its configuration in the router: it learns the pods' routes from each rack's nodes, and tells the
 * others' of them. */
void lab_bird_conf(const struct lab_spec *s, struct buf *out);
