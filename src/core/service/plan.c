// SPDX-License-Identifier: Apache-2.0
/* From a Service and its EndpointSlices to a plan: see service.h. Costs what the endpoints of
 * the one Service cost, O(n log n). */
#include "core/service/endpoints.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *const kinds[] = { "ClusterIP", "ExternalIP", "LoadBalancer", "NodePort",
				     "HostPort" };
const struct names svc_kind_names = NAMES(kinds);

/* One call of svc_plan(). */
struct planning {
	const struct service *s;
	struct svc_slices slices;
	struct arena *a;
	struct svc_plan *plan;
	LIST(struct ipaddr) external, balancers; /* of the family */
};

/* ---- fronts */

static bool is_local(uint8_t policy)
{
	return policy == POLICY_LOCAL;
}

static enum svc_refuse find_refusal(const struct svc_port *port, enum svc_way way)
{
	if (!port->n[SVC_ALL])
		return SVC_REJECTED;
	if (way == SVC_TO_ALL || port->n[SVC_LOCAL])
		return SVC_SERVED;
	return way == SVC_TO_LOCAL ? SVC_DROPPED : SVC_DROPPED_FROM_OUTSIDE;
}

static void add_front(const struct planning *p, const struct svc_port *port, enum svc_kind kind,
		      const struct ipaddr *address, uint16_t number)
{
	struct svc_front f = { .kind = (uint8_t)kind, .number = number, .port = port };

	if (address && svc_is_dns(p->slices.node, address, port->proto, number))
		return;
	if (address)
		f.address = *address;
	if (kind == SVC_CLUSTER_IP) {
		f.way = is_local(p->s->spec.internalTrafficPolicy) ? SVC_TO_LOCAL : SVC_TO_ALL;
		f.masq = p->slices.node->masquerade_all ? SVC_MASQ_ALWAYS : SVC_MASQ_UNLESS_POD;
	} else if (is_local(p->s->spec.externalTrafficPolicy)) {
		f.way = SVC_TO_LOCAL_FROM_OUTSIDE;
		f.masq = SVC_MASQ_IF_NODE;
	} else {
		f.way = SVC_TO_ALL;
		f.masq = SVC_MASQ_ALWAYS;
	}
	f.refuse = (uint8_t)find_refusal(port, f.way);
	p->plan->fronts.v[p->plan->fronts.n++] = f;
}

static bool has_node_port(const struct service *s, uint32_t i)
{
	return s->spec.ports.v[i].nodePort &&
	       (s->spec.type == SERVICE_NODE_PORT || s->spec.type == SERVICE_LOAD_BALANCER);
}

static int plan_port(const struct planning *p, uint32_t i)
{
	const struct service_port *of = &p->s->spec.ports.v[i];
	struct svc_port *port = &p->plan->ports.v[i];
	bool external = has_node_port(p->s, i) || p->external.n || p->balancers.n;
	bool itp_local = is_local(p->s->spec.internalTrafficPolicy);

	*port = (struct svc_port){
		.name = of->name ? of->name : "",
		.proto = of->protocol ? of->protocol : PROTO_TCP,
		.port = (uint16_t)of->port,
		/* The short circuit of externalTrafficPolicy Local needs all of them too. */
		.uses = { [SVC_ALL] = !itp_local || external,
			  [SVC_LOCAL] = itp_local ||
					(external && is_local(p->s->spec.externalTrafficPolicy)) },
	};
	if (svc_port_fill(port, &p->slices, p->a))
		return -ENOMEM;
	add_front(p, port, SVC_CLUSTER_IP, &p->plan->cluster_ip, port->port);
	/* What is both has its ranges of sources: the first front of an address is the one. */
	for (uint32_t k = 0; k < p->balancers.n; k++)
		add_front(p, port, SVC_LOAD_BALANCER, &p->balancers.v[k], port->port);
	for (uint32_t k = 0; k < p->external.n; k++)
		add_front(p, port, SVC_EXTERNAL_IP, &p->external.v[k], port->port);
	if (has_node_port(p->s, i))
		add_front(p, port, SVC_NODE_PORT, NULL, (uint16_t)of->nodePort);
	return 0;
}

static int plan_ports(const struct planning *p)
{
	uint32_t n = p->s->spec.ports.n;
	size_t fronts = (size_t)n * (2 + p->external.n + p->balancers.n);
	int rc = 0;

	p->plan->ports.v = arena_array(p->a, n, sizeof(*p->plan->ports.v));
	p->plan->fronts.v = arena_array(p->a, fronts, sizeof(*p->plan->fronts.v));
	if (!p->plan->ports.v || !p->plan->fronts.v)
		return -ENOMEM;
	p->plan->ports.n = n;
	for (uint32_t i = 0; !rc && i < n; i++)
		rc = plan_port(p, i);
	return rc;
}

/* ---- addresses */

/* What is neither an address nor of the family is left out: validation has complained. */
static bool address_of(const char *text, uint8_t family, struct ipaddr *out)
{
	return text && !addr_parse_lax(text, out) && out->family == family;
}

static int find_addresses(struct planning *p)
{
	uint8_t family = p->plan->family;
	uint32_t n_ingress = p->s->status.loadBalancer.ingress.n;

	p->external.v = arena_array(p->a, p->s->spec.externalIPs.n, sizeof(*p->external.v));
	p->balancers.v = arena_array(p->a, n_ingress, sizeof(*p->balancers.v));
	if (!p->external.v || !p->balancers.v)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->s->spec.externalIPs.n; i++)
		p->external.n += address_of(p->s->spec.externalIPs.v[i], family,
					    &p->external.v[p->external.n]);
	for (uint32_t i = 0; i < n_ingress; i++) {
		const struct lb_ingress *in = &p->s->status.loadBalancer.ingress.v[i];

		if (in->ipMode != IP_MODE_PROXY)
			p->balancers.n +=
				address_of(in->ip, family, &p->balancers.v[p->balancers.n]);
	}
	return 0;
}

static int find_sources(const struct planning *p)
{
	struct svc_plan *plan = p->plan;
	uint32_t n = p->s->spec.loadBalancerSourceRanges.n;

	plan->sources.v = arena_array(p->a, n, sizeof(*plan->sources.v));
	if (!plan->sources.v)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct prefix *at = &plan->sources.v[plan->sources.n];

		if (prefix_parse_lax(p->s->spec.loadBalancerSourceRanges.v[i], at) ||
		    at->addr.family != plan->family)
			continue;
		plan->sources.n++;
		for (uint32_t k = 0; k < p->slices.node->addresses.n; k++)
			plan->sources_node |= prefix_has(at, &p->slices.node->addresses.v[k]);
	}
	return 0;
}

/* Sets the cluster IP; otherwise returns why there is none of this family. */
static const char *find_cluster_ip(const struct service *s, struct svc_plan *plan)
{
	const char *first = s->spec.clusterIPs.n ? s->spec.clusterIPs.v[0] : s->spec.clusterIP;

	if (strmap_get(&s->meta.labels, LABEL_HEADLESS))
		return "headless by its label " LABEL_HEADLESS;
	if (s->spec.type == SERVICE_EXTERNAL_NAME)
		return "type ExternalName: a name, no address";
	if (!first || !*first)
		return "has no cluster IP yet";
	if (!strcmp(first, CLUSTER_IP_NONE))
		return "headless: its name leads to the endpoints themselves";
	if (!s->spec.clusterIPs.n && address_of(first, plan->family, &plan->cluster_ip))
		return NULL;
	for (uint32_t i = 0; i < s->spec.clusterIPs.n; i++)
		if (address_of(s->spec.clusterIPs.v[i], plan->family, &plan->cluster_ip))
			return NULL;
	plan->cluster_ip = (struct ipaddr){ 0 };
	return plan->family == AF_INET6 ? "has no IPv6 cluster IP" : "has no IPv4 cluster IP";
}

static uint32_t find_affinity(const struct service *s)
{
	const struct session_affinity_config *c = s->spec.sessionAffinityConfig;

	if (s->spec.sessionAffinity != AFFINITY_CLIENT_IP)
		return 0;
	return c && c->clientIP && c->clientIP->timeoutSeconds.set
		       ? (uint32_t)c->clientIP->timeoutSeconds.v
		       : AFFINITY_TIMEOUT;
}

/* NOLINTNEXTLINE(readability-function-size): its inputs are eight, and no two are one thing */
int svc_plan(const struct service *s, const struct endpoint_slice *const *slices, size_t n_slices,
	     const struct svc_node *node, uint8_t family, struct arena *a, struct svc_plan *out,
	     struct err *e)
{
	struct svc_plan plan = { .ns = s->meta.namespace, .name = s->meta.name, .family = family };
	struct planning p = {
		.s = s, .slices = { slices, n_slices, node, family }, .a = a, .plan = &plan
	};

	plan.absent = find_cluster_ip(s, &plan);
	if (strmap_get(&s->meta.labels, LABEL_PROXY_NAME)) {
		plan.left = plan.cluster_ip.family;
		plan.absent = "left to another proxy by its label " LABEL_PROXY_NAME;
	}
	if (!plan.absent && (find_addresses(&p) || find_sources(&p) || plan_ports(&p)))
		return err_set(e, -ENOMEM, "no memory");
	if (!plan.absent) {
		plan.affinity = find_affinity(s);
		plan.local_ready = svc_local_ready(&plan);
		if (s->spec.type == SERVICE_LOAD_BALANCER &&
		    is_local(s->spec.externalTrafficPolicy))
			plan.health_port = (uint16_t)s->spec.healthCheckNodePort;
	}
	*out = plan;
	return 0;
}

void svc_count_no_local(const struct svc_plan *plan, uint32_t n[SVC_POLICIES])
{
	for (uint32_t i = 0; i < plan->ports.n; i++) {
		bool without[SVC_POLICIES] = { 0 };

		for (uint32_t k = 0; k < plan->fronts.n; k++) {
			const struct svc_front *f = &plan->fronts.v[k];

			if (f->port == &plan->ports.v[i] &&
			    (f->refuse == SVC_DROPPED || f->refuse == SVC_DROPPED_FROM_OUTSIDE))
				without[f->kind == SVC_CLUSTER_IP ? SVC_INTERNAL : SVC_EXTERNAL] =
					true;
		}
		for (int p = 0; p < SVC_POLICIES; p++)
			n[p] += without[p];
	}
}
