/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: the endpoints of a Service's port, and which of them serve. */
#pragma once
#include "core/service/service.h"

/* Where they come from, and for whom. */
struct svc_slices {
	const struct endpoint_slice *const *v;
	size_t n;
	const struct svc_node *node;
	uint8_t family;
};

/* Fills endpoints and n of a port whose name and proto are set. 0 or -ENOMEM. */
int svc_port_fill(struct svc_port *port, const struct svc_slices *in, struct arena *a);
/* An absent `serving` says what `ready` says. */
bool svc_is_serving(const struct slice_endpoint *ep);
/* Ready endpoints on this node, an address once, whatever its port. */
uint32_t svc_local_ready(const struct svc_plan *plan);
/* Do node ports on this address of the node lead to Services? */
bool svc_takes_node_ports(const struct svc_node *node, const struct ipaddr *a);
