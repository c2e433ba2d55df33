/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of a node that lead into a pod on it (hostPort, CNI's portMappings), planned as if the pod
 * were a Service with one endpoint for each port, so that rules, conntrack's clean-up and `fairlead
 * why` treat both alike. Where the reference plugin portmap and node ports differ, it is as portmap:
 *
 *   fronts   the node's addresses that take node ports; with a hostIP just that one
 *   source   the client's own, but for a pod that reaches itself and for loopback, whose
 *            packets could not come back
 *
 * Of several addresses of a family the pod's first is the endpoint. The plan's namespace begins
 * with a character that no namespace has and that sorts before all that they may have: of a host
 * port and a node port that came later with the same number, the host port is served. */
#pragma once
#include "core/service/service.h"

#define SVC_HOST_PORTS "(hostPort)"

struct svc_host_ports {
	const char *ns, *name; /* the pod; ns NULL: a container's id */
	const char *node;
	LIST(struct port_mapping) ports;
	LIST(struct ipaddr) ips;
};

/* The plans' name: "ns/name", or "name" alone. */
#define SVC_HOST_PORTS_NAME (NS_MAX_LEN + NAME_MAX_LEN + 2)
const char *svc_host_ports_name(const char *ns, const char *name, char out[SVC_HOST_PORTS_NAME]);

/* As svc_plan(), of both families. */
int svc_plan_host_ports(const struct svc_host_ports *h, struct arena *a, struct svc_plan out[2],
			struct err *e);

/* Plans of both families of each pod of the node that has some, by its WorkloadEndpoints. */
int svc_plan_host_ports_cluster(const struct cluster *c, const struct svc_node *node,
				struct arena *a, struct svc_plan **out, size_t *n, struct err *e);
