// SPDX-License-Identifier: Apache-2.0
/* What becomes of a flow's first packet on a node: the same decisions, in the same order, that
 * the node's rules take. First the health check ports and fronts; then what is left of the
 * cluster's own addresses: a port that a cluster IP does not have is refused, an address of the
 * service ranges that nobody has is dropped (KEP-3866, as kube-proxy's nftables mode). */
#include "core/service/endpoints.h"

#include <string.h>
#include <sys/socket.h>

static const char *const actions[] = { "PASS", "ACCEPT", "DNAT", "REJECT", "DROP" };
const struct names svc_action_names = NAMES(actions);

static bool is_own(const struct svc_node *node, const struct ipaddr *a)
{
	for (uint32_t i = 0; i < node->addresses.n; i++)
		if (addr_eq(&node->addresses.v[i], a))
			return true;
	return false;
}

static bool is_inside(const struct prefix *v, uint32_t n, const struct ipaddr *a)
{
	for (uint32_t i = 0; i < n; i++)
		if (prefix_has(&v[i], a))
			return true;
	return false;
}

bool svc_is_dns(const struct svc_node *node, const struct ipaddr *dst, uint8_t proto, uint16_t port)
{
	bool is = false;

	for (uint32_t i = 0; port == SVC_DNS_PORT && i < node->dns.n; i++)
		is |= addr_eq(&node->dns.v[i], dst);
	return is && (proto == PROTO_TCP || proto == PROTO_UDP);
}

bool svc_takes_node_ports(const struct svc_node *node, const struct ipaddr *a)
{
	bool here = is_own(node, a) ||
		    (node->localhost_node_ports && a->family == AF_INET && addr_is_loopback(a));

	return here && (!node->nodePortAddresses.n ||
			is_inside(node->nodePortAddresses.v, node->nodePortAddresses.n, a));
}

enum from { FROM_OUTSIDE, FROM_POD, FROM_NODE };

static enum from find_from(const struct svc_node *node, const struct ipaddr *src)
{
	if (!src->family || is_inside(node->pods.v, node->pods.n, src))
		return FROM_POD;
	return is_own(node, src) || addr_is_loopback(src) ? FROM_NODE : FROM_OUTSIDE;
}

static bool is_front_of(const struct svc_node *node, const struct svc_plan *plan,
			const struct svc_front *f, const struct svc_flow *flow)
{
	if (f->port->proto != flow->proto || f->number != flow->dport ||
	    plan->family != flow->dst.family)
		return false;
	return f->address.family ? addr_eq(&f->address, &flow->dst)
				 : svc_takes_node_ports(node, &flow->dst);
}

static bool may_use(const struct svc_plan *plan, const struct svc_flow *flow)
{
	return !plan->sources.n || is_inside(plan->sources.v, plan->sources.n, &flow->src) ||
	       (plan->sources_node && addr_eq(&flow->src, &flow->dst));
}

bool svc_is_hairpin(const struct svc_endpoint *ep, const struct ipaddr *src)
{
	return addr_eq(&ep->ip, src);
}

static bool only_itself(const struct svc_port *port, enum svc_group group, const struct ipaddr *src)
{
	for (uint32_t i = 0; i < port->endpoints.n; i++)
		if (port->endpoints.v[i].out[group] == SVC_IN &&
		    !svc_is_hairpin(&port->endpoints.v[i], src))
			return false;
	return true;
}

static void judge_masquerade(const struct svc_node *node, const struct svc_flow *flow,
			     enum from from, struct svc_verdict *v)
{
	const struct svc_front *f = v->front;

	switch ((enum svc_masq)f->masq) {
	case SVC_MASQ_ALWAYS:
		v->masquerade = true;
		v->masq_reason = f->kind == SVC_CLUSTER_IP ? "masquerade-all"
							   : "externalTrafficPolicy Cluster";
		break;
	case SVC_MASQ_UNLESS_POD:
		v->masquerade = from != FROM_POD;
		v->masq_reason = from == FROM_POD ? "it is a pod" : "it is no pod";
		break;
	case SVC_MASQ_IF_NODE:
		v->masquerade = from == FROM_NODE;
		v->masq_reason =
			from == FROM_NODE ? "it is the node itself" : "externalTrafficPolicy Local";
		break;
	case SVC_MASQ_IF_LOOPBACK:
		v->masquerade = addr_is_loopback(&flow->src);
		v->masq_reason = v->masquerade ? "it is the node's loopback"
					       : "a host port shows its clients";
		break;
	}
	if (!v->masquerade && only_itself(f->port, v->group, &flow->src)) {
		v->masquerade = true;
		v->masq_reason = "it reaches itself";
	}
}

static void refuse(struct svc_verdict *v, enum svc_action action, const char *reason)
{
	v->action = (uint8_t)action;
	v->reason = reason;
}

static const char *way_reason(const struct svc_front *f, enum from from)
{
	if (f->kind == SVC_HOST_PORT)
		return "a pod has this port of the node";
	if (f->way == SVC_TO_ALL)
		return "one of its endpoints";
	if (f->way == SVC_TO_LOCAL)
		return "one of its endpoints on this node: internalTrafficPolicy Local";
	if (from == FROM_OUTSIDE)
		return "one of its endpoints on this node: externalTrafficPolicy Local";
	return from == FROM_POD
		       ? "one of its endpoints: externalTrafficPolicy Local does not bind pods"
		       : "one of its endpoints: externalTrafficPolicy Local does not bind the node";
}

static void judge_front(const struct svc_node *node, const struct svc_flow *flow,
			struct svc_verdict *v)
{
	const struct svc_front *f = v->front;
	enum from from = find_from(node, &flow->src);
	bool outside = f->way == SVC_TO_LOCAL_FROM_OUTSIDE && from == FROM_OUTSIDE;

	if (f->kind == SVC_LOAD_BALANCER && !may_use(v->plan, flow)) {
		refuse(v, SVC_DROP, "the source is in none of loadBalancerSourceRanges");
		return;
	}
	v->by_endpoints = true;
	v->group = f->refuse != SVC_REJECTED && (f->way == SVC_TO_LOCAL || outside) ? SVC_LOCAL
										    : SVC_ALL;
	if (f->refuse == SVC_REJECTED) {
		refuse(v, SVC_REJECT, "no endpoint can serve");
	} else if (f->refuse == SVC_DROPPED) {
		refuse(v, SVC_DROP, "internalTrafficPolicy Local, and no endpoint on this node");
	} else if (f->refuse == SVC_DROPPED_FROM_OUTSIDE && outside) {
		refuse(v, SVC_DROP, "externalTrafficPolicy Local, and no endpoint on this node");
	} else {
		v->action = SVC_DNAT;
		v->reason = way_reason(f, from);
		judge_masquerade(node, flow, from, v);
	}
}

static bool judge_plan(const struct svc_node *node, const struct svc_plan *plan,
		       const struct svc_flow *flow, struct svc_verdict *v)
{
	if (plan->health_port && plan->health_port == flow->dport && flow->proto == PROTO_TCP &&
	    plan->family == flow->dst.family && is_own(node, &flow->dst)) {
		v->plan = plan;
		refuse(v, SVC_ACCEPT, "healthCheckNodePort");
		return true;
	}
	for (uint32_t i = 0; i < plan->fronts.n; i++) {
		if (!is_front_of(node, plan, &plan->fronts.v[i], flow))
			continue;
		v->plan = plan;
		v->front = &plan->fronts.v[i];
		judge_front(node, flow, v);
		return true;
	}
	return false;
}

void svc_judge(const struct svc_node *node, const struct svc_plan *plans, size_t n,
	       const struct svc_flow *flow, struct svc_verdict *out)
{
	*out = (struct svc_verdict){ .action = SVC_PASS,
				     .reason = "no Service has this address and port" };
	if (!flow->dst.family)
		return;
	if (svc_is_dns(node, &flow->dst, flow->proto, flow->dport)) {
		refuse(out, SVC_ACCEPT, SVC_DNS);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (judge_plan(node, &plans[i], flow, out))
			return;
	for (size_t i = 0; i < n; i++)
		if (addr_eq(&plans[i].cluster_ip, &flow->dst)) {
			out->plan = &plans[i];
			if (plans[i].left) {
				out->reason = plans[i].absent;
				return;
			}
			refuse(out, SVC_REJECT,
			       flow->proto ? "the cluster IP has no such port"
					   : "a cluster IP answers by its ports alone");
			return;
		}
	if (is_inside(node->services.v, node->services.n, &flow->dst))
		refuse(out, SVC_DROP, "an address of the service range that no Service has");
}
