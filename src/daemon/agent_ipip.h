/* SPDX-License-Identifier: Apache-2.0 */
/* IP-in-IP of this node beside its device and routes, which the plan has: the programs on tunl0 and the uplink
 * (sys/ipip.h), and the nodes from which packets are taken.
 *
 * An agent finds what the last one left on the devices and goes on with it until it has seen the whole store,
 * as until then it may not know a node that the other one knew; then its own programs take the place. Where it
 * finds none, nothing can be lost, and it does not wait. */
#pragma once
#include "daemon/agent.h"
#include "sys/ipip.h"

int agent_ipip_open(struct agent *a, struct err *e);
void agent_ipip_close(struct agent *a); /* what is on the devices stays */

/* What tunl0 is on this kernel: KLINK_IPIP, the driver's, or KLINK_IFB. Asked once. */
uint8_t agent_ipip_kind(struct agent *a);
/* Has programs and nodes follow the plan; `look`: also where somebody else may have changed something. */
void agent_ipip_follow(struct agent *a, bool look);
/* false: there are none. */
bool agent_ipip_sums(const struct agent *a, struct ipip_sum out[IPIP_SUMS]);
