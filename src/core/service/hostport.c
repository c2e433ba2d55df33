// SPDX-License-Identifier: Apache-2.0
/* hostport: see hostport.h. */
#include "core/service/hostport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const struct ipaddr *first_ip(const struct svc_host_ports *h, uint8_t family)
{
	for (uint32_t i = 0; i < h->ips.n; i++)
		if (h->ips.v[i].family == family)
			return &h->ips.v[i];
	return NULL;
}

/* The endpoint as a slice would have it. */
static struct slice_endpoint *make_of(const struct svc_host_ports *h, struct arena *a)
{
	struct slice_endpoint *of = arena_alloc(a, sizeof(*of));
	struct target_ref *target = h->ns ? arena_alloc(a, sizeof(*target)) : NULL;

	if (!of || (h->ns && !target))
		return NULL;
	of->nodeName = h->node;
	of->targetRef = target;
	if (target)
		*target = (struct target_ref){ .kind = "Pod", .namespace = h->ns, .name = h->name };
	return of;
}

/* "80", "192.0.2.1:80": what tells it from the pod's other ones of the protocol. */
static const char *port_name(const struct port_mapping *m, struct arena *a)
{
	char ip[ADDR_TEXT];

	if (!m->hostIP.family)
		return arena_printf(a, "%u", (uint16_t)m->hostPort);
	return arena_printf(a, m->hostIP.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
			    addr_str(&m->hostIP, ip), (uint16_t)m->hostPort);
}

static int plan_one(const struct port_mapping *m, const struct ipaddr *ip,
		    const struct slice_endpoint *of, struct svc_plan *plan, struct arena *a)
{
	struct svc_port *port = &plan->ports.v[plan->ports.n++];
	struct svc_endpoint *ep = arena_alloc(a, sizeof(*ep));
	struct svc_front *front;

	*port = (struct svc_port){ .name = port_name(m, a),
				   .proto = m->protocol,
				   .port = (uint16_t)m->hostPort,
				   .endpoints = { ep, 1 },
				   .n = { [SVC_ALL] = 1, [SVC_LOCAL] = 1 },
				   .uses = { [SVC_ALL] = true } };
	if (!ep || !port->name)
		return -ENOMEM;
	*ep = (struct svc_endpoint){
		.ip = *ip, .port = (uint16_t)m->containerPort, .local = true, .of = of
	};
	front = &plan->fronts.v[plan->fronts.n++];
	*front = (struct svc_front){ .kind = SVC_HOST_PORT,
				     .way = SVC_TO_ALL,
				     .masq = SVC_MASQ_IF_LOOPBACK,
				     .number = (uint16_t)m->hostPort,
				     .port = port };
	if (!addr_is_unspecified(&m->hostIP))
		front->address = m->hostIP;
	return 0;
}

static int plan_family(const struct svc_host_ports *h, uint8_t family, const char *name,
		       const struct slice_endpoint *of, struct arena *a, struct svc_plan *out)
{
	struct svc_plan plan = { .ns = SVC_HOST_PORTS, .name = name, .family = family };
	const struct ipaddr *ip = first_ip(h, family);

	plan.ports.v = arena_array(a, h->ports.n, sizeof(*plan.ports.v));
	plan.fronts.v = arena_array(a, h->ports.n, sizeof(*plan.fronts.v));
	if (!plan.ports.v || !plan.fronts.v)
		return -ENOMEM;
	if (!ip)
		plan.absent = family == AF_INET6 ? "the pod has no IPv6 address"
						 : "the pod has no IPv4 address";
	for (uint32_t i = 0; ip && i < h->ports.n; i++) {
		const struct port_mapping *m = &h->ports.v[i];

		if (m->hostIP.family && m->hostIP.family != family)
			continue;
		if (plan_one(m, ip, of, &plan, a))
			return -ENOMEM;
	}
	*out = plan;
	return 0;
}

const char *svc_host_ports_name(const char *ns, const char *name, char out[SVC_HOST_PORTS_NAME])
{
	snprintf(out, SVC_HOST_PORTS_NAME, "%s%s%s", ns ? ns : "", ns ? "/" : "", name);
	return out;
}

int svc_plan_host_ports(const struct svc_host_ports *h, struct arena *a, struct svc_plan out[2],
			struct err *e)
{
	const struct slice_endpoint *of = make_of(h, a);
	char text[SVC_HOST_PORTS_NAME];
	const char *name = arena_strdup(a, svc_host_ports_name(h->ns, h->name, text));

	if (!of || !name || plan_family(h, AF_INET, name, of, a, &out[0]) ||
	    plan_family(h, AF_INET6, name, of, a, &out[1]))
		return err_set(e, -ENOMEM, "no memory");
	return 0;
}

static int of_endpoint(const struct workload_endpoint *w, struct arena *a,
		       struct svc_host_ports *out)
{
	*out = (struct svc_host_ports){ .ns = w->spec.pod ? w->meta.namespace : NULL,
					.name = w->spec.pod ? w->spec.pod : w->spec.containerID,
					.node = w->spec.node,
					.ports = { w->spec.ports.v, w->spec.ports.n } };
	if (!out->name)
		out->name = w->meta.name;
	out->ips.v = arena_array(a, w->spec.ips.n, sizeof(*out->ips.v));
	if (!out->ips.v)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->spec.ips.n; i++)
		out->ips.v[out->ips.n++] = w->spec.ips.v[i].addr;
	return 0;
}

int svc_plan_host_ports_cluster(const struct cluster *c, const struct svc_node *node,
				struct arena *a, struct svc_plan **out, size_t *n, struct err *e)
{
	size_t all, n_plans = 0;
	const struct object *const *v = cluster_all(c, KIND_WORKLOADENDPOINT, &all);
	struct svc_plan *plans = arena_array(a, 2 * all, sizeof(*plans));

	if (!plans)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < all; i++) {
		const struct workload_endpoint *w = v[i]->body;
		struct svc_host_ports h;

		if (!w->spec.ports.n || !w->spec.node || strcmp(w->spec.node, node->name) != 0)
			continue;
		if (of_endpoint(w, a, &h))
			return err_set(e, -ENOMEM, "no memory");
		if (svc_plan_host_ports(&h, a, &plans[n_plans], e))
			return -ENOMEM;
		n_plans += 2;
	}
	*out = plans;
	*n = n_plans;
	return 0;
}
