/* SPDX-License-Identifier: Apache-2.0 */
/* Pods follow the MTU that the uplink and the pools' modes leave them (core/route/mtu.h), while
 * they run. One that got another by its network's `mtu` keeps it, told by having it: so a change
 * that no agent saw (its node was down, and so were the pods) is not made up for later. Paths stay
 * correct even so: the node answers what is too long for the tunnel (RFC 1191, RFC 8201). */
#pragma once
#include "daemon/agent.h"

void agent_mtu_changed(struct agent *a, uint32_t from, uint32_t to);
