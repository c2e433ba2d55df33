/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge of a network in bridge attachment: one Linux bridge per network, a gateway address
 * on it for each block that its pods' addresses are from. It comes with the first pod and goes
 * with the last. A bridge of that name that somebody else made is refused. */
#pragma once
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

/* A gateway address of `network` in the block of each grant. `bridge` NULL: only the addresses,
 * for fairlead-ipam. */
int agent_bridge_gateways(struct agent *a, const char *network, const char *bridge,
			  const struct ipam_answer *grants, struct err *e);
/* The bridge itself, with all gateways of its network. */
int agent_bridge_make(struct agent *a, const char *network, const char *bridge, struct err *e);
#define AGENT_GATEWAYS 64 /* of one bridge */
/* The gateways of a network's bridge; how many. */
size_t agent_bridge_addresses(struct agent *a, const char *network, const char *bridge,
			      struct ipaddr out[AGENT_GATEWAYS]);
/* Gives up the gateways and bridges of networks that have no attachment any more. */
void agent_bridge_prune(struct agent *a);
/* At start: plans the bridges that the book knows. Their MTU stays what it is. */
void agent_bridge_restore(struct agent *a);
/* Gives them another MTU. */
void agent_bridge_mtu(struct agent *a, uint32_t mtu);
