/* SPDX-License-Identifier: Apache-2.0 */
/* This node as the plan sees it, put together from its Node object, the configuration, the uplink
 * and the address book. */
#pragma once
#include "daemon/agent.h"

/* Its addresses by family: its Node object's, else the configuration's. */
void agent_self_ips(const struct agent *a, struct ipaddr ips[ROUTE_FAMILIES]);
/* As of now; `vxlan`, `ipip` where a pool needs that tunnel. */
void agent_self_find(const struct agent *a, struct route_self *self);
bool agent_self_eq(const struct route_self *x, const struct route_self *y);
