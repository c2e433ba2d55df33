// SPDX-License-Identifier: Apache-2.0
/* SERVICE.NAMESPACE.ZONE in external zones: what a Service is outside, its externalIPs and what its load balancer says; and, where
 * it is wanted, endpoints of headless Services. A load balancer's name is a CNAME unless there are addresses too (RFC 1034 3.6.2). */
#include "core/dns/answer_service.h"

static int look_outside(struct look *l, const struct dns_svc *s, const uint8_t *service,
			const struct pick *k)
{
	const struct dns_addr *a = (const void *)((const char *)s + s->external);
	const uint8_t *name = (const uint8_t *)s + s->names;
	const struct dns_port *ports = look_ports(s, 0);
	unsigned n = look_count(ports, k) * (s->n_external + s->n_names),
		 weight = n ? 100 / n : 100;
	struct dns_name target;

	if (k->proto && !look_count(ports, k))
		return DNS_NXDOMAIN;
	if (l->type == DNS_SRV && (!k->proto || k->port)) {
		look_tail(l, service, &target);
		if (s->n_external)
			look_srv(l, ports, k, weight, &target);
		for (unsigned i = 0; i < s->n_names; i++, name += name[0] + 1) {
			struct dns_name other = { .n = name[0] };

			memcpy(other.v, name + 1, name[0]);
			look_srv(l, ports, k, weight, &other);
		}
		for (unsigned i = 0; l->o->count[DNS_ANSWER] && i < s->n_external; i++)
			look_put(l, DNS_ADDITIONAL, &target, a[i].b, a[i].v6);
		return NODATA;
	}
	if (k->proto)
		return NODATA;
	for (unsigned i = 0; i < s->n_external; i++)
		if (look_wants(l, a[i].v6))
			look_put(l, DNS_ANSWER, l->owner, a[i].b, a[i].v6);
	if (!s->n_external)
		look_cname(l, s);
	return NODATA;
}

int look_external(struct look *l)
{
	const uint8_t *ns = l->label[l->n - 1], *service;
	const struct dns_svc *s;
	struct pick k = { 0 };
	unsigned below;
	size_t n;

	if (l->n == 1)
		return dns_view_get(l->view, ns, ns[0] + 1u, &n) ? NODATA : DNS_NXDOMAIN;
	below = l->n - 2;
	service = l->label[below];
	s = look_blob(l, service);
	if (!s || s->kind == DNS_SVC_NAME || below > 2 ||
	    (below == 2 && !look_pick_port(&k, l->label[0], l->label[1])))
		return DNS_NXDOMAIN;
	if (below == 1 &&
	    !(look_port_label(l->label[0]) && look_pick_port(&k, NULL, l->label[0]))) {
		k = (struct pick){ 0 };
		look_pick_host(&k, l->label[0]);
	}
	if (s->n_external || s->n_names)
		return k.host ? DNS_NXDOMAIN : look_outside(l, s, service, &k);
	if (l->s->external_headless && (s->kind == DNS_SVC_HEADLESS || k.host))
		return look_endpoints(l, s, service, &k);
	return DNS_NXDOMAIN;
}
