/* SPDX-License-Identifier: Apache-2.0 */
/* The annotation fairlead.io/ips of a Pod: a JSON list of addresses, ["10.0.0.5", "fd00::5"].
 * Pure, and fuzzed: its text is a user's, and the agent links no JSON library. */
#pragma once
#include "base/addr.h"
#include "base/err.h"

#define AGENT_IPS_ANNOTATION "fairlead.io/ips"

/* At most `max` addresses into v; *n is how many. -EINVAL says what is wrong where. */
int agent_ips_parse(const char *text, struct ipaddr *v, uint32_t max, uint32_t *n, struct err *e);
