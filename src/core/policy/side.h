/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: one direction of a flow, seen by the pod whose policies judge it. */
#pragma once
#include "core/policy/judge.h"

struct policy_side {
	const struct cluster *cluster;
	const struct policy_flow *flow;
	enum policy_type type;
	const struct pod *pod, *other; /* of the node's DNS: its stand-in */
	struct policy_pods pods, others, receivers;
	const struct workload_endpoint *orphan; /* `pod` NULL: who has its address, without a Pod */
	const struct ipaddr *ip, *other_ip;
	const struct strmap
		*other_labels; /* of the other pod's namespace; NULL: it is no known pod */
};

/* 0 or -ENOMEM. */
int policy_side_of(const struct cluster *c, const struct policy_flow *flow, enum policy_type type,
		   struct arena *a, struct policy_side *out);
/* Does the rule take this port of one of the receivers? */
bool policy_side_takes(const struct policy_side *s, const struct policy_rule *r);

/* Those of a namespace, by name. */
struct policy_run {
	const struct object *const *v;
	size_t n;
};
struct policy_run policy_run_of(const struct cluster *c, unsigned kind, const char *ns);
