/* SPDX-License-Identifier: Apache-2.0 */
/* What the API server fills in where there is one: families, cluster IPs, node ports and the
 * health check's port of Services (Kubernetes' Service docs; core/v1 of the API reference).
 *
 *   families   ipFamilies as asked for, else those of the given clusterIPs, else the first range's;
 *              PreferDualStack adds the other family where there is a range of it, RequireDualStack
 *              must have one. Headless ones without a selector have both.
 *   addresses  from the ranges of the family; "None" and ExternalName get none. From a range's
 *              low end people take theirs (KEP-3070): of its size a sixteenth, 16 to 256,
 *              is given out last, the first address, by habit the API server's, never.
 *   ports      for NodePort, and for LoadBalancer unless allocateLoadBalancerNodePorts is false;
 *              the low end of the range, a thirty-second, 16 to 128, last (KEP-3668). Each
 *              protocol has ports of its own. healthCheckNodePort is a TCP port of the same range.
 *   given      what a Service already carries is its, also outside of every range. Where
 *              two carry the same, the one seen later is refused, and gets nothing else.
 *
 * The search begins where a hash of namespace and name says: the same Services get the same
 * numbers, in whatever order they come, as long as no two want the same; and a Service that is made
 * anew gets those that it had. It ends at the first that is free: about one look in a range that is
 * not full, one per number in a full one.
 *
 * Limits: of a range only the first 2^20 addresses are given out. */
#pragma once
#include "base/err.h"
#include "model/cluster.h"

struct svc_ranges {
	LIST(struct prefix) addresses; /* the first one's family is the cluster's first */
	uint16_t port_first, port_last;
};

struct svc_alloc;

/* The lists of `r` must outlive it. NULL: no memory. */
struct svc_alloc *svc_alloc_new(const struct svc_ranges *r);
void svc_alloc_free(struct svc_alloc *a); /* NULL is fine */

/* The Service is now this: holds what it carries, and is to be looked at. 0 or -ENOMEM. */
int svc_alloc_set(struct svc_alloc *a, const struct service *s);
void svc_alloc_drop(struct svc_alloc *a, const char *ns, const char *name);

/* The next Service to be looked at, each once after it was set, and those that were refused again
 * after something was given back. Valid until it is dropped. */
bool svc_alloc_next(struct svc_alloc *a, const char **ns, const char **name);
bool svc_alloc_pending(const struct svc_alloc *a);

/* Makes `out` of `s`, which was set, with all that it lacks, holds that at once, and says whether
 * anything was lacking. `out` points into `mem` and `s`. Refusals: -EEXIST somebody else's,
 * -ENOSPC nothing is free, -EINVAL a family without a range; nothing is held in that case that
 * was not before. */
int svc_alloc_fill(struct svc_alloc *a, const struct service *s, struct arena *mem,
		   struct service *out, bool *changed, struct err *e);
/* It was refused with these words: are they news? */
bool svc_alloc_refused(struct svc_alloc *a, const struct service *s, const char *why);
