/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of Services that this node has BGP tell of, as host routes. An address is told while some Service that
 * has it may be reached by this node, and BGPConfiguration names a range that it is in, for its kind. Changes are
 * noted when they happen and told by origins_tell(); what one costs does not depend on how many Services there are. */
#pragma once
#include "core/service/service.h"
#include "model/record.h"

struct origins;

/* Ranges per kind of address (spec.serviceClusterIPs, …). */
enum origin_kind { ORIGIN_CLUSTER_IP, ORIGIN_EXTERNAL_IP, ORIGIN_LOAD_BALANCER, ORIGIN_KINDS };
struct origin_ranges {
	LIST(const struct prefix) of[ORIGIN_KINDS];
};

struct origins *origins_new(void); /* NULL: no memory */
void origins_free(struct origins *o);

/* What the Service is by its plans, both families'; n = 0: it is gone. False: no memory, what was known of it stays. */
bool origins_service(struct origins *o, const char *ns, const char *name,
		     const struct svc_plan *plans, size_t n);
/* Which addresses are told from now on: looks at all Services. Copied. False: no memory, nothing changed. */
bool origins_allow(struct origins *o, const struct origin_ranges *ranges);

/* What changed since the last call, or with `all` everything that is told. False: there was nothing. */
bool origins_tell(struct origins *o, bool all, void (*fn)(void *arg, const struct rec_origin *r),
		  void *arg);
