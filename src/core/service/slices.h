/* SPDX-License-Identifier: Apache-2.0 */
/* EndpointSlices of one Service from its pods, as kube-controller-manager writes them (KEP-752).
 *
 *   endpoints  a pod with an address of the family that has not ended. serving: its Ready condition;
 *              terminating: it is being deleted (KEP-1672); ready: serving and not
 *              terminating, or publishNotReadyAddresses. Its hostname where its subdomain
 *              is the Service.
 *   ports      named target ports are looked up in each pod, so pods that resolve
 *              them differently are in different slices; a port that a pod has not is left out.
 *              Init containers that go on (restartPolicy Always, KEP-753) have ports too.
 *   hints      trafficDistribution: PreferClose and PreferSameZone give ready endpoints their zone,
 *              PreferSameNode their node too (KEP-2433, KEP-4444, KEP-3015). Zones are the Nodes' labels.
 *   slices     at most 100 endpoints. An endpoint stays in its slice; a new one goes where something
 *              changes anyway, else into the fullest with room, else into a new slice: what
 *              comes or goes alone changes one slice. Empty slices go.
 *
 * A slice is ours by LABEL_MANAGED_BY; those of others are neither counted nor touched. The same
 * state gives the same plan, and a plan that was carried out leads to an empty one. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

#define LABEL_MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGED_BY_US    "controller.fairlead.io"
#define SLICE_ROOM       100

struct svc_pods {
	const struct service *service; /* NULL: gone, and its slices with it */
	/* Those that its selector matches, in the order of their names. */
	const struct pod *const *pods;
	size_t n_pods;
	/* Ours of this Service, in the order of their names. */
	const struct object *const *slices;
	size_t n_slices;
	const struct cluster *cluster; /* Nodes, and which names of slices are free */
};

/* `old` NULL: make it; `now` NULL: delete it. */
struct svc_slice_write {
	const struct object *old;
	const struct endpoint_slice *now;
};

struct svc_slices_plan {
	LIST(struct svc_slice_write) writes;
};

bool svc_slice_is_ours(const struct endpoint_slice *s);
/* Fails only for want of memory. The plan lives in `a` and points into `in`. */
int svc_slices_plan(const struct svc_pods *in, struct arena *a, struct svc_slices_plan *out,
		    struct err *e);
