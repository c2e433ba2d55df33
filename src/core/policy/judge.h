/* SPDX-License-Identifier: Apache-2.0 */
/* What NetworkPolicies say of a connection's first packet, after a Service translated where it
 * goes. Replies and what is related to a connection that lives are nobody's business here.
 *
 * Both ends must allow it: the source's pod by its egress, the destination's by its ingress. One
 * direction is decided in this order:
 *
 *   exempt   the end is no pod that policies know (match.h); or it talks to itself; or with its own
 *            node, by one of the Node's addresses or a pod of the host's network there, which is
 *            always allowed, as Kubernetes promises. The node's DNS is an end like a pod (answerer.h)
 *   open     no policy of the pod's namespace isolates it in this direction
 *   allowed  by the first rule that matches: policies by name, rules and peers by their place. The
 *            order names a rule; what is allowed does not depend on it
 *   denied   by default: policies isolate it, and none of their rules matches
 *   closed   denied likewise: a WorkloadEndpoint says that a pod of this name has the address, but there is no such
 *            Pod, and a policy of its namespace is about this direction
 *
 * Only policies of the pod's own namespace are looked at. Nothing is allocated but in the caller's
 * arena: the list of isolating policies, and the labels of a namespace whose object lacks its name.
 * ClusterNetworkPolicy's tiers will come around `struct policy_half`, each with an action. */
#pragma once
#include "base/err.h"
#include "core/policy/answerer.h"

struct policy_flow {
	struct ipaddr src, dst; /* family 0: not known; no ipBlock has it */
	uint8_t proto;          /* enum protocol; PROTO_NONE: ICMP and all else */
	uint16_t dport;
	const struct pod *from, *to; /* NULL: no pod */
	/* That of the source's node, where that answers this itself, whatever `to` is; NULL: it does not. */
	const struct policy_answerer *answerer;
};

enum policy_state { POLICY_EXEMPT, POLICY_OPEN, POLICY_ALLOWED, POLICY_DENIED };
extern const struct names policy_state_names; /* "exempt", "open", "allowed", "denied" */
enum policy_exempt { POLICY_JUDGED, POLICY_NO_POD, POLICY_ITSELF, POLICY_OWN_NODE };

/* What one direction says. */
struct policy_half {
	uint8_t state;  /* enum policy_state */
	uint8_t exempt; /* enum policy_exempt: why, of POLICY_EXEMPT */
	/* Of ALLOWED and DENIED: by name. */
	LIST(const struct network_policy *) isolating;
	const char
		*closed; /* of DENIED: POLICY_NO_OBJECT, and those above may isolate it; or NULL */
	/* Of ALLOWED: the rule. */
	const struct network_policy *by;
	uint32_t rule;
	int64_t peer; /* below 0: the rule has no peers */
};

struct policy_verdict {
	bool allowed; /* by both */
	struct policy_half egress, ingress;
};

/* The pods of `flow` need not be the cluster's; where it has none at an end, WorkloadEndpoints of its address are
 * looked for. 0 or -ENOMEM. */
int policy_judge(const struct cluster *c, const struct policy_flow *flow, struct arena *a,
		 struct policy_verdict *out, struct err *e);
/* One direction alone: all that the node of one end knows. */
int policy_judge_half(const struct cluster *c, const struct policy_flow *flow,
		      enum policy_type type, struct arena *a, struct policy_half *out,
		      struct err *e);

/* Of a denied half: "default deny by shop/a, shop/b", in `a`, or why it is closed; NULL: no memory. */
const char *policy_denial_text(const struct policy_half *half, struct arena *a);
/* "in the middle of a connection that no longer is, by shop/a, shop/b", likewise. No first packet is. */
const char *policy_midway_text(const struct network_policy *const *isolating, uint32_t n,
			       struct arena *a);

/* Why a rule, or one of its peers, did not match. */
struct policy_miss {
	const struct network_policy *policy;
	int64_t rule, peer; /* below 0: the policy has no rule; the whole rule */
	const char *why;    /* in words */
};

struct policy_misses {
	LIST(struct policy_miss) list;
};

/* Of a denied half, in the order of judgement: each rule of each isolating policy, where its ports
 * match each of its peers. In `a`. 0 or -ENOMEM. */
int policy_explain(const struct cluster *c, const struct policy_flow *flow, enum policy_type type,
		   const struct policy_half *half, struct arena *a, struct policy_misses *out,
		   struct err *e);
