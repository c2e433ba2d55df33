// SPDX-License-Identifier: Apache-2.0
/* slice_endpoint: see slice_endpoint.h; the rules are in slices.h. */
#include "core/service/slice_endpoint.h"
#include "base/text.h"

#include <string.h>
#include <sys/socket.h>

static uint8_t protocol_of(uint8_t proto)
{
	return proto ? proto : PROTO_TCP;
}

static const struct ipaddr *address_of(const struct pod *p, uint8_t family)
{
	uint8_t af = family == IP_FAMILY_6 ? AF_INET6 : AF_INET;

	for (uint32_t i = 0; i < p->status.podIPs.n; i++)
		if (p->status.podIPs.v[i].ip.family == af)
			return &p->status.podIPs.v[i].ip;
	return p->status.podIP.family == af ? &p->status.podIP : NULL;
}

static bool pod_is_ready(const struct pod *p)
{
	for (uint32_t i = 0; i < p->status.conditions.n; i++)
		if (text_eq_or_empty(p->status.conditions.v[i].type, "Ready"))
			return text_eq_or_empty(p->status.conditions.v[i].status, "True");
	return false;
}

/* ---- ports */

static int64_t port_of(const struct container *c, const char *name, uint8_t proto)
{
	for (uint32_t i = 0; i < c->ports.n; i++)
		if (text_eq_or_empty(c->ports.v[i].name, name) &&
		    protocol_of(c->ports.v[i].protocol) == proto)
			return c->ports.v[i].containerPort;
	return 0;
}

static int64_t named_port(const struct pod *p, const char *name, uint8_t proto)
{
	int64_t port = 0;

	for (uint32_t i = 0; !port && i < p->spec.containers.n; i++)
		port = port_of(&p->spec.containers.v[i], name, proto);
	for (uint32_t i = 0; !port && i < p->spec.initContainers.n; i++)
		if (text_eq_or_empty(p->spec.initContainers.v[i].restartPolicy, "Always"))
			port = port_of(&p->spec.initContainers.v[i], name, proto);
	return port;
}

/* 0: the pod has no port of that name. */
static int64_t target_of(const struct service_port *s, const struct pod *p)
{
	if (s->targetPort.type == INTSTR_STR && *s->targetPort.s)
		return named_port(p, s->targetPort.s, protocol_of(s->protocol));
	return s->targetPort.type == INTSTR_INT && s->targetPort.i ? s->targetPort.i : s->port;
}

static void find_ports(const struct service *s, const struct pod *p, struct arena *a,
		       struct slice_ports *out)
{
	out->list.n = 0;
	out->list.v = arena_array(a, s->spec.ports.n, sizeof(*out->list.v));
	for (uint32_t i = 0; out->list.v && i < s->spec.ports.n; i++) {
		const struct service_port *sp = &s->spec.ports.v[i];
		int64_t number = target_of(sp, p);

		if (number)
			out->list.v[out->list.n++] =
				(struct slice_port){ .name = sp->name ? sp->name : "",
						     .protocol = protocol_of(sp->protocol),
						     .port = number,
						     .appProtocol = sp->appProtocol };
	}
}

bool slice_same_ports(const struct slice_ports *ports, const struct endpoint_slice *s)
{
	if (ports->list.n != s->ports.n)
		return false;
	for (uint32_t i = 0; i < s->ports.n; i++) {
		const struct slice_port *a = &ports->list.v[i], *b = &s->ports.v[i];

		if (!text_eq_or_empty(a->name, b->name) ||
		    a->protocol != protocol_of(b->protocol) || a->port != b->port ||
		    !text_eq_or_empty(a->appProtocol, b->appProtocol))
			return false;
	}
	return true;
}

/* ---- hints */

static struct endpoint_hint *one_hint(struct arena *a, const char *name)
{
	struct endpoint_hint *h = arena_alloc(a, sizeof(*h));

	if (h)
		h->name = name;
	return h;
}

static void add_hints(const struct service *s, struct slice_endpoint *ep, struct arena *a)
{
	bool by_node = s->spec.trafficDistribution == PREFER_SAME_NODE && ep->nodeName;
	struct endpoint_hints *h;

	if (!s->spec.trafficDistribution || ep->conditions.ready != TRI_TRUE ||
	    !(ep->zone || by_node))
		return;
	h = arena_alloc(a, sizeof(*h));
	if (!h)
		return;
	if (ep->zone) {
		h->forZones.v = one_hint(a, ep->zone);
		h->forZones.n = h->forZones.v != NULL;
	}
	if (by_node) {
		h->forNodes.v = one_hint(a, ep->nodeName);
		h->forNodes.n = h->forNodes.v != NULL;
	}
	ep->hints = h;
}

/* ---- the endpoint */

static const char *zone_of(const struct cluster *c, const char *node)
{
	const struct object *o = node ? cluster_get(c, KIND_NODE, NULL, node) : NULL;
	const char *zone = o ? strmap_get(&o->meta->labels, LABEL_ZONE) : NULL;

	return zone && *zone ? zone : NULL;
}

static uint8_t tri(bool v)
{
	return v ? TRI_TRUE : TRI_FALSE;
}

bool slice_want(const struct svc_pods *in, const struct pod *p, uint8_t family, struct arena *a,
		struct wanted *out)
{
	const struct service *s = in->service;
	const struct ipaddr *ip = address_of(p, family);
	bool serving = pod_is_ready(p), terminating = p->meta.deletionTimestamp;
	struct slice_endpoint *ep = &out->endpoint;
	char text[ADDR_TEXT];

	if (!ip || p->status.phase == POD_SUCCEEDED || p->status.phase == POD_FAILED)
		return false;
	*out = (struct wanted){ .pod = p->meta.name };
	ep->addresses.v = arena_array(a, 1, sizeof(*ep->addresses.v));
	ep->targetRef = arena_alloc(a, sizeof(*ep->targetRef));
	if (!ep->addresses.v || !ep->targetRef)
		return false;
	ep->addresses.v[0] = arena_strdup(a, addr_str(ip, text));
	ep->addresses.n = 1;
	*ep->targetRef = (struct target_ref){ "Pod", p->meta.namespace, p->meta.name };
	ep->conditions.serving = tri(serving);
	ep->conditions.terminating = tri(terminating);
	ep->conditions.ready = tri(s->spec.publishNotReadyAddresses || (serving && !terminating));
	ep->nodeName = p->spec.nodeName;
	ep->zone = zone_of(in->cluster, p->spec.nodeName);
	if (p->spec.hostname && *p->spec.hostname &&
	    text_eq_or_empty(p->spec.subdomain, s->meta.name))
		ep->hostname = p->spec.hostname;
	add_hints(s, ep, a);
	find_ports(s, p, a, &out->ports);
	return true;
}
