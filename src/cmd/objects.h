/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that a verb judges by, from manifests or from the store, and the addresses that pods
 * and nodes have by them. */
#pragma once
#include "cmd/cmd.h"
#include "model/cluster.h"

struct objects {
	struct cluster *cluster;
	bool left_out; /* an object could not be read, and was reported */
};

struct objects_from {
	const char *const *files; /* none: the store */
	uint32_t n_files;
	const uint8_t *kinds; /* read from the store */
	size_t n_kinds;
	bool workloads; /* make the pods of workloads that manifests have */
};

/* On failure reports and returns the exit code. objects_fini() after either. */
int objects_load(struct cmd_ctx *ctx, const struct objects_from *from, struct objects *out);
void objects_fini(struct objects *o);

#define OBJECT_IPS 8
/* What the status says, else what the annotation asks for; up to OBJECT_IPS. Return how many. */
uint32_t objects_pod_ips(const struct pod *p, struct ipaddr v[OBJECT_IPS]);
/* The addresses of a node that its own kernel takes for local. */
uint32_t objects_node_ips(const struct node *n, struct ipaddr v[OBJECT_IPS]);
/* The pod that has this address for itself: not its node's, and not one that has ended; or NULL. */
const struct pod *objects_pod_at(const struct cluster *c, const struct ipaddr *ip);
/* The node that has it among its addresses; or NULL. */
const struct node *objects_node_at(const struct cluster *c, const struct ipaddr *ip);
