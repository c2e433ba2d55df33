/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: one direction of a flow, seen by the pod whose policies judge it. */
#pragma once
#include "core/policy/judge.h"

struct policy_side {
	const struct cluster *cluster;
	const struct policy_flow *flow;
	enum policy_type type;
	const struct pod *pod, *other;
	const struct workload_endpoint *orphan; /* `pod` NULL: who has its address, without a Pod */
	const struct ipaddr *ip, *other_ip;
	const struct strmap
		*other_labels; /* of the other pod's namespace; NULL: it is no known pod */
};

/* 0 or -ENOMEM. */
int policy_side_of(const struct cluster *c, const struct policy_flow *flow, enum policy_type type,
		   struct arena *a, struct policy_side *out);
