/* SPDX-License-Identifier: Apache-2.0 */
/* What a lab is made of: the options of `lab up` and what follows from them, as one value that
 * is written to RUN/lab.conf, so that every process of the lab and every later command reads
 * the same. Pure but for reading and writing that file.
 *
 * Addresses of the fabric, both families side by side:
 *   rack R     172.18.R.0/24   fd00:18:R::/64   router .1/::1, nodes from .11/::11 on
 *   outside    203.0.113.0/24  2001:db8:113::/64  router .1/::1, outside .10/::10 */
#pragma once
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/cluster.h"

#include <stdbool.h>

#define LAB_NODES_MAX 200
#define LAB_RACKS_MAX 100
#define LAB_NAME_MAX  32

enum lab_family { LAB_DUAL, LAB_IPV4, LAB_IPV6 };
enum lab_attachment { LAB_ROUTED, LAB_BRIDGE };
enum lab_routes { LAB_ROUTES_STORE, LAB_ROUTES_BGP, LAB_ROUTES_REFLECTED };

#define LAB_ZONE_LABEL      "topology.kubernetes.io/zone"
#define LAB_REFLECTOR_LABEL "route-reflector"

struct lab_node {
	const char *name;
	unsigned rack;             /* from 1 */
	LIST(struct prefix) addrs; /* in the rack's subnet, with its length */
	LIST(struct ipaddr) extra; /* further addresses of its Node object: /32, /128 */
};

struct lab_spec {
	const char *name;
	unsigned racks;
	uint8_t mode; /* enum pool_mode */
	bool cross_subnet;
	uint8_t attachment; /* enum lab_attachment */
	uint8_t family;     /* enum lab_family */
	uint8_t routes;     /* enum lab_routes */
	bool bird;          /* the router runs it (lab/bgp.h) */
	uint32_t mtu;       /* of the fabric; 0: 1500 */
	const char *cluster_domain;
	bool own_pools; /* the manifests bring IPPools: none is made */
	LIST(struct prefix) pod_cidrs;
	LIST(struct prefix) service_cidrs;
	LIST(struct lab_node) nodes;
};

extern const struct names lab_family_names, lab_attachment_names, lab_mode_names, lab_routes_names;

/* True when labs of this family have addresses of `af` (AF_INET, AF_INET6). */
bool lab_has_family(const struct lab_spec *s, int af);

/* Address number `host` in rack R's subnet (R = 0: the outside's) with the subnet's length. */
struct prefix lab_address(int af, unsigned rack, unsigned host);

/* Letters, digits and inner hyphens, at most LAB_NAME_MAX: it becomes a path and link names. */
bool lab_name_ok(const char *name);

/* Fills in what was left open: default CIDRs, and `n` nodes n1…, or the given Node objects
 * (their names, InternalIPs, and label topology.kubernetes.io/zone=rackR), spread over the
 * racks in order. Everything new is allocated in `a`. */
int lab_spec_finish(struct lab_spec *s, unsigned n, const struct object *const *nodes,
		    size_t n_objects, struct arena *a, struct err *e);

/* spec_ranges.c: the pods' and services' ranges, as lab_spec_finish() asks for them, and a pool of
 * the manifests: -EINVAL where they overlap with each other or with the fabric. */
int lab_spec_ranges(const struct lab_spec *s, struct err *e);
int lab_spec_pool(const struct lab_spec *s, const struct object *pool, struct err *e);

void lab_spec_print(const struct lab_spec *s, struct buf *out);
int lab_spec_parse(struct lab_spec *s, const char *text, struct arena *a, struct err *e);
int lab_spec_load(struct lab_spec *s, const char *path, struct arena *a, struct err *e);
