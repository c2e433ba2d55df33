// SPDX-License-Identifier: Apache-2.0
/* Endpoints of a port out of EndpointSlices, and the groups of those that serve: see
 * service.h for the rules. */
#include "core/service/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *const outs[] = {
	[SVC_IN] = NULL,
	[SVC_NOT_READY] = "not ready",
	[SVC_TERMINATING] = "terminating",
	[SVC_OTHER_NODE] = "on another node",
	[SVC_HINT_NODE] = "meant for another node",
	[SVC_HINT_ZONE] = "meant for another zone",
};
const struct names svc_out_names = NAMES(outs);

static bool is_ready(const struct slice_endpoint *ep)
{
	return ep->conditions.ready != TRI_FALSE;
}

static bool is_terminating(const struct slice_endpoint *ep)
{
	return ep->conditions.terminating == TRI_TRUE;
}

bool svc_is_serving(const struct slice_endpoint *ep)
{
	return ep->conditions.serving ? ep->conditions.serving == TRI_TRUE : is_ready(ep);
}

/* Serves while it terminates. */
static bool is_leaving(const struct slice_endpoint *ep)
{
	return svc_is_serving(ep) && is_terminating(ep);
}

/* ---- what the slices hold for a port */

static bool same_port(const struct slice_port *p, const struct svc_port *port)
{
	return p->port && (p->protocol ? p->protocol : PROTO_TCP) == port->proto &&
	       !strcmp(p->name ? p->name : "", port->name);
}

static int by_address(const void *pa, const void *pb)
{
	const struct svc_endpoint *a = pa, *b = pb;
	int c = addr_cmp(&a->ip, &b->ip);

	if (!c)
		c = (int)a->port - (int)b->port;
	return c;
}

/* For sorting: what is on this node comes before the same elsewhere, then the order of slices,
 * which `n` keeps until the sort has ended. */
struct candidate {
	struct svc_endpoint ep;
	size_t n;
};

static int by_preference(const void *pa, const void *pb)
{
	const struct candidate *a = pa, *b = pb;
	int c = by_address(&a->ep, &b->ep);

	if (!c)
		c = (int)b->ep.local - (int)a->ep.local;
	return c ? c : (a->n > b->n) - (a->n < b->n);
}

static void add_slice(const struct svc_slices *in, const struct endpoint_slice *slice,
		      const struct slice_port *port, struct candidate *v, size_t *n)
{
	for (uint32_t i = 0; i < slice->endpoints.n; i++) {
		const struct slice_endpoint *of = &slice->endpoints.v[i];
		struct svc_endpoint ep = { .port = (uint16_t)port->port, .of = of };

		/* Further addresses are the same endpoint's (KEP-752). */
		if (!of->addresses.n || addr_parse_lax(of->addresses.v[0], &ep.ip) ||
		    ep.ip.family != in->family)
			continue;
		ep.local = of->nodeName && !strcmp(of->nodeName, in->node->name);
		v[*n] = (struct candidate){ ep, *n };
		++*n;
	}
}

static bool is_for_nodes(const struct endpoint_slice *s)
{
	return !strmap_get(&s->meta.labels, LABEL_PROXY_NAME) &&
	       !strmap_get(&s->meta.labels, LABEL_HEADLESS);
}

/* Into `v`; with `v` NULL only counts what may come. */
static size_t collect(const struct svc_slices *in, const struct svc_port *port, struct candidate *v)
{
	unsigned type = in->family == AF_INET6 ? SLICE_IPV6 : SLICE_IPV4;
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++) {
		const struct endpoint_slice *slice = in->v[i];

		if (slice->addressType != type || !is_for_nodes(slice))
			continue;
		for (uint32_t k = 0; k < slice->ports.n; k++) {
			if (!same_port(&slice->ports.v[k], port))
				continue;
			if (v)
				add_slice(in, slice, &slice->ports.v[k], v, &n);
			else
				n += slice->endpoints.n;
		}
	}
	return n;
}

static int find_endpoints(const struct svc_slices *in, struct svc_port *port, struct arena *a)
{
	size_t n = collect(in, port, NULL);
	struct candidate *v = arena_array(a, n, sizeof(*v));

	port->endpoints.v = arena_array(a, n, sizeof(*port->endpoints.v));
	if (!v || !port->endpoints.v)
		return -ENOMEM;
	n = collect(in, port, v);
	qsort(v, n, sizeof(*v), by_preference);
	for (size_t i = 0; i < n; i++)
		if (!i || by_address(&v[i - 1].ep, &v[i].ep))
			port->endpoints.v[port->endpoints.n++] = v[i].ep;
	return 0;
}

/* ---- which of them serve */

enum topology { ANYWHERE, SAME_NODE, SAME_ZONE };

static bool has_hint(const struct endpoint_hint *v, uint32_t n, const char *name)
{
	for (uint32_t i = 0; name && i < n; i++)
		if (!strcmp(v[i].name, name))
			return true;
	return false;
}

static bool is_for_node(const struct slice_endpoint *ep, const struct svc_node *node)
{
	return ep->hints && has_hint(ep->hints->forNodes.v, ep->hints->forNodes.n, node->name);
}

static bool is_for_zone(const struct slice_endpoint *ep, const struct svc_node *node)
{
	return ep->hints && has_hint(ep->hints->forZones.v, ep->hints->forZones.n, node->zone);
}

static enum topology find_topology(const struct svc_port *port, const struct svc_node *node)
{
	bool all_nodes = true, all_zones = true, for_node = false, for_zone = false;

	for (uint32_t i = 0; i < port->endpoints.n; i++) {
		const struct slice_endpoint *ep = port->endpoints.v[i].of;

		if (!is_ready(ep))
			continue;
		all_nodes &= ep->hints && ep->hints->forNodes.n;
		all_zones &= ep->hints && ep->hints->forZones.n;
		for_node |= is_for_node(ep, node);
		for_zone |= is_for_zone(ep, node);
	}
	return all_nodes && for_node ? SAME_NODE : all_zones && for_zone ? SAME_ZONE : ANYWHERE;
}

static enum svc_out judge_endpoint(const struct svc_endpoint *ep, enum svc_group group,
				   enum topology topology, const struct svc_node *node)
{
	if (group == SVC_LOCAL && !ep->local)
		return SVC_OTHER_NODE;
	if (!is_ready(ep->of))
		return is_terminating(ep->of) ? SVC_TERMINATING : SVC_NOT_READY;
	if (topology == SAME_NODE && !is_for_node(ep->of, node))
		return SVC_HINT_NODE;
	if (topology == SAME_ZONE && !is_for_zone(ep->of, node))
		return SVC_HINT_ZONE;
	return SVC_IN;
}

static void fill_group(struct svc_port *port, enum svc_group group, const struct svc_node *node)
{
	enum topology topology = group == SVC_ALL ? find_topology(port, node) : ANYWHERE;

	for (uint32_t i = 0; i < port->endpoints.n; i++) {
		struct svc_endpoint *ep = &port->endpoints.v[i];

		ep->out[group] = (uint8_t)judge_endpoint(ep, group, topology, node);
		port->n[group] += ep->out[group] == SVC_IN;
	}
	if (port->n[group])
		return;
	for (uint32_t i = 0; i < port->endpoints.n; i++) {
		struct svc_endpoint *ep = &port->endpoints.v[i];

		if (ep->out[group] != SVC_TERMINATING || !is_leaving(ep->of))
			continue;
		ep->out[group] = SVC_IN;
		port->n[group]++;
	}
}

int svc_port_fill(struct svc_port *port, const struct svc_slices *in, struct arena *a)
{
	int rc = find_endpoints(in, port, a);

	if (rc)
		return rc;
	fill_group(port, SVC_ALL, in->node);
	fill_group(port, SVC_LOCAL, in->node);
	return 0;
}

/* ---- for health checks */

static bool is_here(const struct svc_endpoint *ep)
{
	return ep->local && is_ready(ep->of);
}

/* Endpoints are sorted by address: O(log n). */
static bool has_local_ready(const struct svc_port *port, const struct ipaddr *ip)
{
	uint32_t lo = 0, hi = port->endpoints.n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (addr_cmp(&port->endpoints.v[mid].ip, ip) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < port->endpoints.n && addr_eq(&port->endpoints.v[lo].ip, ip); lo++)
		if (is_here(&port->endpoints.v[lo]))
			return true;
	return false;
}

uint32_t svc_local_ready(const struct svc_plan *plan)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < plan->ports.n; i++) {
		const struct svc_port *port = &plan->ports.v[i];
		const struct ipaddr *last = NULL;

		for (uint32_t k = 0; k < port->endpoints.n; k++) {
			const struct svc_endpoint *ep = &port->endpoints.v[k];
			bool seen = last && addr_eq(last, &ep->ip);

			if (!is_here(ep))
				continue;
			last = &ep->ip;
			for (uint32_t j = 0; !seen && j < i; j++)
				seen = has_local_ready(&plan->ports.v[j], &ep->ip);
			n += !seen;
		}
	}
	return n;
}
