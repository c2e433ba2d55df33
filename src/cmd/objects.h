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
	bool workloads; /* those too; where manifests have them, their pods are made */
};

/* On failure reports and returns the exit code. objects_fini() after either. */
int objects_load(struct cmd_ctx *ctx, const struct objects_from *from, struct objects *out);
void objects_fini(struct objects *o);

/* The Deployment, StatefulSet, DaemonSet, ReplicaSet or Job of this name; or NULL. */
const struct object *objects_workload(const struct cluster *c, const char *ns, const char *name);
/* Is it a pod of this workload? */
bool objects_is_of(const struct pod *p, const struct object *workload);

#define OBJECT_IPS 8
/* What the status says, else what the annotation asks for; up to OBJECT_IPS. Return how many. */
uint32_t objects_pod_ips(const struct pod *p, struct ipaddr v[OBJECT_IPS]);
/* The same, or of a pod on its node's network that has none, the node's. */
uint32_t objects_end_ips(const struct cluster *c, const struct pod *p, struct ipaddr v[OBJECT_IPS]);
/* The addresses of a node that its own kernel takes for local. */
uint32_t objects_node_ips(const struct node *n, struct ipaddr v[OBJECT_IPS]);
/* The pod that has this address for itself: not its node's, and not one that has ended; or NULL. */
const struct pod *objects_pod_at(const struct cluster *c, const struct ipaddr *ip);
/* The node that has it among its addresses; or NULL. */
const struct node *objects_node_at(const struct cluster *c, const struct ipaddr *ip);
