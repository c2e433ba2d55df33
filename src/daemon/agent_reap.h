/* SPDX-License-Identifier: Apache-2.0 */
/* The links of pods that are gone. DEL answers without waiting for the kernel's 35 ms per
 * removal; here all that are DYING in the book go together, within a second, by index, in a
 * thread, as the loop has ADDs to answer; and only then the book forgets them. So a crash in
 * between loses none. */
#pragma once
#include "daemon/agent.h"

int agent_reap_open(struct agent *a, struct err *e);
void agent_reap_close(struct agent *a);
void agent_reap_soon(struct agent *a);
/* Before it returns no DYING link is left (CNI GC). */
int agent_reap_now(struct agent *a, struct err *e);
