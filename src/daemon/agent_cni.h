/* SPDX-License-Identifier: Apache-2.0 */
/* cni.sock: fairlead-cni asks, the agent does (CNI 1.1.0, section 4). One request and one answer
 * per connection. Everything runs to its end in one turn of the loop, but for an ADD that waits:
 * up to a second for its Pod to arrive from the store, a few for a block to be claimed there. */
#pragma once
#include "daemon/agent.h"

int agent_cni_open(struct agent *a, struct err *e); /* asks the keeper for the socket */
void agent_cni_close(struct agent *a);
/* Something that a waiting ADD may wait for has changed. */
void agent_cni_wake(struct agent *a);
/* Does an ADD wait for anything? */
bool agent_cni_waits(const struct agent *a);
