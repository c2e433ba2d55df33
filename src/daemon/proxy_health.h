/* SPDX-License-Identifier: Apache-2.0 */
/* Does what serves Services work, as kube-proxy's health port says (its /healthz and /livez)?
 * Pure; times are milliseconds of CLOCK_MONOTONIC unless they say otherwise.
 *
 * Healthy: the kernel did once all that was known then, no change waits for longer than
 * PROXY_LATE_MS (kube-proxy's: two of its sync periods), and the agent was heard within
 * PROXY_SILENT_MS, as one that hangs or is gone cannot say that something waits. An agent that
 * starts has its predecessor's credit: the kernel goes on with what that one left.
 *
 * Load balancers ask /healthz, and are told no also while the Node is being deleted or the
 * cluster autoscaler is about to, so that new connections go elsewhere (KEP-3836); /livez leaves
 * that out, as restarting the proxy would not help. */
#pragma once
#include "base/err.h"
#include "daemon/http.h"
#include "model/record.h"

#define PROXY_LATE_MS   60000
#define PROXY_SILENT_MS 10000

struct proxy_health {
	int64_t heard;   /* of the agent; 0: never */
	int64_t updated; /* the kernel did all that was known; 0: never */
	int64_t queued;  /* since when a change waits; 0: none does */
	bool leaving;    /* the Node is */
};

void proxy_hear(struct proxy_health *p, const struct rec_proxy *r, int64_t now);
bool proxy_is_healthy(const struct proxy_health *p, int64_t now);
/* The page at `path`; `wall`: the same moment in milliseconds since 1970. */
void proxy_page(const struct proxy_health *p, int64_t now, int64_t wall, const char *path,
		struct http_answer *a);
