/* SPDX-License-Identifier: Apache-2.0 */
/* Role health: healthCheckNodePort. A load balancer asks each node whether it has endpoints of a
 * Service with externalTrafficPolicy Local, and sends it connections only then: 200 with a ready
 * endpoint here and a proxy that works, else 503, whatever the path, with kube-proxy's body and
 * the number of endpoints as X-Load-Balancing-Endpoint-Weight.
 *
 * The agent says which Services have such a port (struct rec_health_port), as it plans them
 * anyhow; the keeper binds it, on every address, since those of a node come and go, and who
 * asks on one that takes no node ports (node-port-addresses) is reset. While the agent is away the
 * ports stay and answer what it said last: the kernel serves on.
 *
 * A port that somebody else has is reported once, and tried again every few seconds. */
#pragma once
#include "daemon/role.h"

struct health_ports;

/* `healthy`: does what serves Services work? */
struct health_ports *health_ports_new(struct role *r, bool (*healthy)(void *arg), void *arg);
void health_ports_free(struct health_ports *hp); /* NULL is fine */

/* The agent's word about one Service. */
void health_ports_put(struct health_ports *hp, const struct rec_health_port *p);
/* It named all since it said so the last time: others are gone. */
void health_ports_listed(struct health_ports *hp);
/* A list that was begun is not to be believed: another stream begins. */
void health_ports_anew(struct health_ports *hp);

struct health_ports_count {
	unsigned served, waiting;
};
struct health_ports_count health_ports_count(const struct health_ports *hp);
