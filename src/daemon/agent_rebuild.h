/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the address book anew out of what the kernel holds, after its journal was lost: host links
 * with the aliases that ADD gave them and the host routes of their addresses. What the kernel does
 * not show, and the store's Pods of this node say they have, is held until the Pod is gone: what
 * fairlead-ipam gave to another plugin, bridged pods whose MAC was not ours to choose. A bare
 * container of those two kinds is forgotten. */
#pragma once
#include "daemon/agent.h"

int agent_rebuild(struct agent *a, struct err *e);
