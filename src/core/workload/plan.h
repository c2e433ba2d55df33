/* SPDX-License-Identifier: Apache-2.0 */
/* Private to core/workload: one planning run. */
#pragma once
#include "core/workload/workload.h"

/* A pod that a plan made, found by its owner. */
struct owned {
	const struct object *pod;
	const struct owner_ref *owner;
	bool keep;
};

/* A growing list in the arena; room doubles. */
struct vec {
	void **v;
	uint32_t n, cap;
};

struct run {
	const struct cluster *c;
	struct arena *a;
	struct owned *owned; /* sorted by kind, namespace, name of the owner, name of the pod */
	size_t n_owned;
	struct vec creates, deletes;
};

/* The pods of one workload. */
struct group {
	const struct object *owner;
	const struct workload *w;
	struct owned *v;
	size_t n;
	char hash[16]; /* of the template, as text */
	uint64_t seed; /* of names: workload and template */
};

/* The pods of a workload that has any. */
struct owned *owned_range(const struct run *r, const char *kind, const char *ns, const char *name,
			  size_t *n);
void vec_push(struct vec *l, struct arena *a, void *p);

/* workload.c: plans one workload's pods, except DaemonSets: those. */
void plan_daemonset(struct run *r, struct group *g);
/* A new pod of the group, not yet in any list. */
struct pod *group_pod(struct run *r, const struct group *g, const char *name);
/* NAME-<5>: `index` below 27^5 gives a name of its own for each. */
char *group_name(struct run *r, const struct group *g, uint64_t index);
bool name_is_free(const struct run *r, const struct group *g, const char *name);

/* bind.c */
/* Do selector and taints let the pod run there? A DaemonSet's pods run on cordoned nodes too. */
bool node_takes(const struct object *node, const struct pod_spec *spec, bool daemonset);
/* Gives nodes to the creates, and to pods of the cluster into out->binds. */
int bind_pods(struct run *r, struct workload_plan *out);
