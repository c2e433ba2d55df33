// SPDX-License-Identifier: Apache-2.0
/* probe_names: the words that prober and commands say to each other. */
#include "base/names.h"
#include "lab/prober.h"

static const char *const proto_text[] = { "tcp", "udp", "sctp", "icmp" };
static const char *const result_text[] = { "pending", "connected", "refused", "timeout" };
static const char *const refused_text[] = { "-", "rst", "icmp-port", "icmp-admin" };
const struct names probe_proto_names = NAMES(proto_text);
const struct names probe_result_names = NAMES(result_text);
const struct names refused_by_names = NAMES(refused_text);
