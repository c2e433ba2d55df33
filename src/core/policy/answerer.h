/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers DNS on a node, to policies. The node itself does, on addresses of its lo, where no pod is; policies
 * of the cluster mean the pods that did so before. So on these addresses it counts
 *
 *   as each pod that the cluster's DNS Service selects, wherever they run: the one with the first of the
 *   addresses, as the node lists them, that is anybody's cluster IP; of several by namespace and name. So who
 *   gets a second address of a cluster's DNS for a Service of his own does not become it. Of pods that policies know (match.h);
 *   as a stand-in where there are none: in the Service's namespace, with its selector as labels. Without such
 *   a Service, or where that has no selector: in kube-system, with k8s-app=kube-dns. It has the ports
 *   dns (UDP 53) and dns-tcp (TCP 53).
 *
 * A policy isolates it, a peer selects it, and a named port is one of its, where that holds for one of these.
 * For an ipBlock it has the address. Who is on the node, or on its network, may always ask. This is about port 53
 * of UDP and TCP; all others of the addresses are the node's as any. */
#pragma once
#include "base/err.h"
#include "core/policy/match.h"

struct policy_answerer {
	const struct service *service; /* NULL: none has one of its addresses */
	/* Named "dns@NODE", as no Pod can be, and on the node. */
	const struct pod *stand_in;
	struct policy_pods pods; /* as whom it counts: those selected, else the stand-in */
};

/* Of a node that answers on these addresses, port 53. In `a`, and points into the cluster. 0 or -ENOMEM. */
int policy_answerer_find(const struct cluster *c, const char *node, const struct ipaddr *addrs,
			 uint32_t n, struct arena *a, struct policy_answerer *out, struct err *e);

/* ---- within this room */

/* The place of the first of these addresses that it has as cluster IP; `n`: it has none. */
uint32_t policy_dns_place(const struct service *s, const struct ipaddr *addrs, uint32_t n);
/* The stand-in by the Service, or NULL, copied into `a`. NULL: no memory. */
struct pod *policy_stand_in(const char *node, const struct service *s, struct arena *a);
/* Would a Service with this stand-in select the pod? */
bool policy_stands_for(const struct pod *stand_in, const struct pod *p);
