/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads become pods, and pods get nodes: what kube-controller-manager and kube-scheduler
 * do, as far as a network needs it. One pure function, used by the controller (dir and etcd
 * stores) and by commands that read manifests without a cluster.
 *
 * Pods are named as Kubernetes names them, but predictably: Deployment NAME-<template>-<5>,
 * ReplicaSet, DaemonSet and Job NAME-<5>, StatefulSet NAME-<ordinal>. The label
 * "fairlead.io/template" holds the template's hash: a pod with another one is replaced, in two
 * plans where the name stays. So the same cluster always gives the same plan, and a plan that
 * was carried out leads to an empty one.
 *
 * Not done: rolling updates (all pods are replaced at once), Succeeded and Failed pods of
 * anything but Jobs, resources, affinity, host ports. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "model/cluster.h"

#define LABEL_TEMPLATE "fairlead.io/template"

struct workload_binding {
	const struct object *pod;
	const char *node;
};

struct workload_plan {
	/* New pods, bound where a node was found; body for KIND_POD. In the arena. */
	LIST(struct pod *) creates;
	/* Pods of the cluster that have to go: made by a plan (LABEL_TEMPLATE) and not wanted now. */
	LIST(const struct object *) deletes;
	/* Pods of the cluster without a node, and the node they get. */
	LIST(struct workload_binding) binds;
};

/* Fails only for want of memory. Everything leads into `a` or into `c`. */
int workload_plan(const struct cluster *c, struct arena *a, struct workload_plan *out,
		  struct err *e);

/* For offline use: applies the plan to `c` itself. */
int workload_settle(struct cluster *c, struct err *e);
