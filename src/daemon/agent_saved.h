/* SPDX-License-Identifier: Apache-2.0 */
/* STATE/sysctl.saved: what the node's own sysctls were before the agent changed them, lines of
 * "PATH VALUE", so that `fairlead node cleanup` can put them back. Only the first value counts;
 * sysctls of links that the agent made go with those. */
#pragma once
#include "core/diff/diff.h"
#include "daemon/agent.h"

#define AGENT_SAVED "sysctl.saved"

/* Notes those that these are about to change; not for repairs, which change what others did. */
void agent_saved_note(struct agent *a, const struct kop *ops, size_t n);
