/* SPDX-License-Identifier: Apache-2.0 */
/* What `apply` leaves as it is: a manifest says what a person wants, and the object in the store has
 * beside that what daemons gave. Private to src/store.
 *
 *   any kind   fields with FF_KEEP that the manifest does not set, and what the status has more
 *   Service    of those not what its new type rules out (ExternalName has no addresses, only
 *              LoadBalancer with policy Local a health check's port), and of a dual-stack
 *              one that is SingleStack now not the second family: that address is free then;
 *              and node ports, each where the port of its number and protocol is still there
 *
 * as the API server does it with an update (Kubernetes' Service docs: a Service's address and ports stay
 * its own until it is deleted or has no use for them). */
#pragma once
#include "model/cluster.h"

#include <jansson.h>

/* Completes `now`, a manifest, by what is stored. 0 or -ENOMEM. */
int keep_daemons_fields(const struct kind *k, json_t *now, const json_t *old);
