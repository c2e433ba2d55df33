/* SPDX-License-Identifier: Apache-2.0 */
/* A small cluster with policies that changes at random, told to an index as the mirror tells an
 * agent; the same for the same seed. */
#pragma once
#include "core/policy/index.h"

#define RANDOM_PODS 8
#define RANDOM_NODE "n"                   /* the index's own, which answers DNS */
extern const struct ipaddr random_dns[2]; /* by family */

struct random_cluster {
	struct cluster *c;
	struct policy_index *x;
	uint64_t seed;
	bool wired
		[RANDOM_PODS]; /* of which the cluster has a WorkloadEndpoint, with or without a Pod */
};

void random_cluster_init(struct random_cluster *r, uint64_t seed);
void random_cluster_fini(struct random_cluster *r);
/* One object comes, changes or goes; or a pod is wired, or no longer. */
void random_cluster_step(struct random_cluster *r);
/* What the index was told, to another one and in another order. */
void random_cluster_tell(const struct random_cluster *r, struct policy_index *x);
uint32_t random_upto(struct random_cluster *r, uint32_t n); /* 0 … n-1 */

/* Pod `i` has these two addresses, whether or not its object says so. */
void random_pod_name(unsigned i, const char **ns, char name[8]);
struct ipaddr random_pod_addr(unsigned i, unsigned family);
