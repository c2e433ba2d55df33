/* SPDX-License-Identifier: Apache-2.0 */
/* A running lab as its commands see it: who runs where, with which addresses and ports. A
 * snapshot; everything lives in the arena that it was loaded into. */
#pragma once
#include "lab/place.h"
#include "lab/sandbox.h"

struct world_port {
	uint16_t port;
	uint8_t proto; /* enum probe_proto */
};

/* What can send and be sent to. */
struct world_member {
	const char *name;            /* "NS/POD", a node's, "outside", or an external's */
	const char *node;            /* pods: theirs */
	pid_t pid;                   /* whose namespaces it lives in */
	const struct strmap *labels; /* pods */
	LIST(struct ipaddr) addrs;
	LIST(struct world_port) ports; /* pods: declared */
	enum { WORLD_POD, WORLD_NODE, WORLD_OUTSIDE, WORLD_EXTERNAL } kind;
};

struct world {
	const char *name, *url;
	struct lab_spec spec;
	struct lab_state state;
	LIST(struct world_member) pods, nodes;
	struct world_member outside;
};

/* -ENOENT: no such lab. */
int world_load(const char *name, struct world *w, struct arena *a, struct err *e);

/* A pod ("NS/POD", or "POD" in default), a node or "outside" by name; NULL when unknown. */
const struct world_member *world_find(const struct world *w, const char *name);

/* The member's first address of this family (AF_INET, AF_INET6; 0: any), or NULL. */
const struct ipaddr *world_addr(const struct world_member *m, int family);

/* "TARGET", "TARGET:PORT", "[ADDR]:PORT", "ADDR". `host` gets what stands before the port, in
 * `a`; port 0 where none is given. */
int world_split(const char *text, const char **host, uint16_t *port, struct arena *a,
		struct err *e);
