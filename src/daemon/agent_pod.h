/* SPDX-License-Identifier: Apache-2.0 */
/* One attachment in the kernel: from addresses in the book to a pod that talks, and back.
 *
 * ADD, in this order: policies (agent_policy.h), bridge (where attached to one), veth with everything
 * inside the pod, host routes and neighbours, nftables elements, alias. Whatever fails undoes all before it. A pod
 * passes no packet before its elements are in: the ruleset drops what comes from a host link that
 * it does not know. DEL runs the other way and ends with the book's DYING record; the link itself
 * is left to agent_reap.h. */
#pragma once
#include "core/cni/message.h"
#include "core/ipam/ipam.h"
#include "daemon/agent.h"

struct pod_call {
	int netns;              /* the pod's, or -1 */
	const char *netns_path; /* as the runtime named it; for the result */
	const char *bridge;     /* bridge attachment: name asked for, or NULL */
	uint32_t mtu;           /* asked for, or 0 */
	struct arena *arena;    /* of the result */
};

/* Wires the attachment `at` that the book holds with `grants`. On failure everything but the
 * book's entry is undone; e->code: -EEXIST where a link's name is taken. */
int agent_pod_add(struct agent *a, const struct ipam_attachment *at,
		  const struct ipam_answer *grants, const struct pod_call *call,
		  struct cni_result *res, struct err *e);
/* The result for a caller that wires by itself (fairlead-ipam). */
int agent_pod_addresses(struct agent *a, const struct ipam_attachment *at,
			const struct ipam_answer *grants, struct arena *ar, struct cni_result *res,
			struct err *e);

/* Do packets pass its link, and the bridge where it is a port of one? Not yet, where the kernel has
 * not activated what agent_pod_add() made. */
bool agent_pod_carries(struct agent *a, const struct ipam_attachment *at);

/* Afterwards its addresses, routes and rules are dead, the pod has no interface of that name, and
 * the book says DYING. `netns` may be -1: then the path in the book is tried. */
int agent_pod_del(struct agent *a, const struct ipam_attachment *at, int netns, struct err *e);

/* CHECK: does the kernel hold what ADD made and `prev` says? -EBADE with the first difference. */
int agent_pod_check(struct agent *a, const struct ipam_attachment *at, int netns,
		    const struct cni_result *prev, struct err *e);

/* At start: pods that are finished are planned as they are in the book; what a crash cut short is
 * undone, also a DEL that did not get to its end. */
void agent_pod_restore(struct agent *a);
