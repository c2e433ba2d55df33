// SPDX-License-Identifier: Apache-2.0
/* The kinds that fairlead knows. Ids of the enum that have no row yet (ingresses)
 * are unknown everywhere, so that nothing is accepted that would then not be obeyed. */
#include "model/cluster.h"
#include "model/table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CORE(id_, name_, plural_, short_, ns, schema_)                                             \
	[id_] = { id_, "v1", name_, plural_, short_, ns, 0, &(schema_) }
#define APPS(id_, name_, plural_, short_)                                                          \
	[id_] = { id_, "apps/v1", name_, plural_, short_, 1, 0, &workload_schema }
#define FAIRLEAD(id_, name_, plural_, short_, ns, derived_, schema_)                               \
	[id_] = { id_, "fairlead.io/v1", name_, plural_, short_, ns, derived_, &(schema_) }

static const struct kind kinds[KIND_COUNT] = {
	CORE(KIND_NODE, "Node", "nodes", "no", 0, node_schema),
	CORE(KIND_NAMESPACE, "Namespace", "namespaces", "ns", 0, namespace_schema),
	CORE(KIND_POD, "Pod", "pods", "po", 1, pod_schema),
	CORE(KIND_SERVICE, "Service", "services", "svc", 1, service_schema),
	APPS(KIND_DEPLOYMENT, "Deployment", "deployments", "deploy"),
	APPS(KIND_REPLICASET, "ReplicaSet", "replicasets", "rs"),
	APPS(KIND_STATEFULSET, "StatefulSet", "statefulsets", "sts"),
	APPS(KIND_DAEMONSET, "DaemonSet", "daemonsets", "ds"),
	[KIND_JOB] = { KIND_JOB, "batch/v1", "Job", "jobs", NULL, 1, 0, &workload_schema },
	[KIND_ENDPOINTSLICE] = { KIND_ENDPOINTSLICE, "discovery.k8s.io/v1", "EndpointSlice",
				 "endpointslices", NULL, 1, 0, &endpoint_slice_schema },
	[KIND_NETWORKPOLICY] = { KIND_NETWORKPOLICY, "networking.k8s.io/v1", "NetworkPolicy",
				 "networkpolicies", "netpol", 1, 0, &network_policy_schema },
	[KIND_LEASE] = { KIND_LEASE, "coordination.k8s.io/v1", "Lease", "leases", NULL, 1, 1,
			 &lease_schema },
	FAIRLEAD(KIND_IPPOOL, "IPPool", "ippools", NULL, 0, 0, ippool_schema),
	FAIRLEAD(KIND_IPBLOCK, "IPBlock", "ipblocks", NULL, 0, 0, ipblock_schema),
	FAIRLEAD(KIND_IPRESERVATION, "IPReservation", "ipreservations", NULL, 0, 0,
		 ipreservation_schema),
	FAIRLEAD(KIND_WORKLOADENDPOINT, "WorkloadEndpoint", "workloadendpoints", "wep", 1, 1,
		 workload_endpoint_schema),
	FAIRLEAD(KIND_NODESTATE, "NodeState", "nodestates", NULL, 0, 1, node_state_schema),
	FAIRLEAD(KIND_PACKETTRACE, "PacketTrace", "packettraces", NULL, 0, 1, packet_trace_schema),
	FAIRLEAD(KIND_BGPCONFIGURATION, "BGPConfiguration", "bgpconfigurations", NULL, 0, 0,
		 bgpconfiguration_schema),
	FAIRLEAD(KIND_BGPPEER, "BGPPeer", "bgppeers", NULL, 0, 0, bgppeer_schema),
	FAIRLEAD(KIND_BGPFILTER, "BGPFilter", "bgpfilters", NULL, 0, 0, bgpfilter_schema),
	CORE(KIND_SECRET, "Secret", "secrets", NULL, 1, secret_schema),
};

const struct kind *kind_by_id(unsigned id)
{
	return id < KIND_COUNT && kinds[id].id ? &kinds[id] : NULL;
}

const struct kind *kind_by_name(const char *api_version, const char *kind)
{
	for (unsigned i = 0; i < KIND_COUNT; i++)
		if (kinds[i].id && !strcmp(kinds[i].name, kind) &&
		    !strcmp(kinds[i].api_version, api_version))
			return &kinds[i];
	return NULL;
}

const struct kind *kind_by_word(const char *word)
{
	for (unsigned i = 0; i < KIND_COUNT; i++) {
		const struct kind *k = &kinds[i];

		if (k->id && (!strcasecmp(k->name, word) || !strcasecmp(k->plural, word) ||
			      (k->short_name && !strcasecmp(k->short_name, word))))
			return k;
	}
	return NULL;
}

/* One object's decoded form; a manifest's text is far smaller than this. */
#define OBJECT_MEMORY (64UL << 20)

struct object *object_new(const struct kind *k)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	arena_init(&o->arena, OBJECT_MEMORY);
	o->kind = k;
	o->body = arena_alloc(&o->arena, k->schema->size);
	o->meta = o->body;
	if (!o->body) {
		object_free(o);
		return NULL;
	}
	return o;
}

void object_free(struct object *o)
{
	if (!o)
		return;
	arena_fini(&o->arena);
	free(o);
}
