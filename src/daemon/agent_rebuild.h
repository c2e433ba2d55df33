/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the address book anew out of what the kernel holds, after its journal was lost: host links
 * with the aliases that ADD gave them, the host routes of their addresses, and the store's Pods. */
#pragma once
#include "daemon/agent.h"

void agent_rebuild(struct agent *a);
