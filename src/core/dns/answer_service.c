// SPDX-License-Identifier: Apache-2.0
/* Names of a Service, of its endpoints, of its ports. Endpoints are looked through one by one: 5000 of one Service cost some ten µs where one
 * is asked for by its host, and what does not fit into the response is not reached. */
#include "core/dns/answer_service.h"

#include "core/dns/reverse.h"
#include "model/cluster.h"

#define ZONE_NONE (-1) /* no endpoint is in it */

const struct dns_svc *look_blob(const struct look *l, const uint8_t *service)
{
	size_t n = service[0] + 1u;

	n += service[n] + 1u;
	return dns_view_get(l->view, service, n, &n);
}

/* ---- ports */

bool look_port_label(const uint8_t *label)
{
	return label[0] > 1 && label[1] == '_';
}

static unsigned proto_of(const uint8_t *label)
{
	return look_is(label, "_tcp")    ? PROTO_TCP
	       : look_is(label, "_udp")  ? PROTO_UDP
	       : look_is(label, "_sctp") ? PROTO_SCTP
					 : PROTO_NONE;
}

const struct dns_port *look_ports(const struct dns_svc *s, unsigned set)
{
	uint32_t at;

	if (set >= s->n_sets)
		return NULL;
	memcpy(&at, (const char *)s + s->sets + set * sizeof(at), sizeof(at));
	return (const void *)((const char *)s + at);
}

static const struct dns_port *port_next(const struct dns_port *p)
{
	return (const void *)((const uint8_t *)(p + 1) + p->n_name);
}

static bool port_matches(const struct dns_port *p, const struct pick *k)
{
	return (!k->proto || p->proto == proto_of(k->proto)) &&
	       (!k->port ||
		(p->n_name == k->port[0] - 1 && !memcmp(p + 1, k->port + 2, p->n_name)));
}

/* The first from `p` on that is picked; one whose number an earlier one had is no other record. NULL: no more. */
const struct dns_port *look_port(const struct dns_port *first, const struct dns_port *p,
				 const struct pick *k)
{
	for (; p && p->proto; p = port_next(p)) {
		const struct dns_port *x = first;

		if (!port_matches(p, k))
			continue;
		while (x < p && (blob16(x->number) != blob16(p->number) || !port_matches(x, k)))
			x = port_next(x);
		if (x == p)
			return p;
	}
	return NULL;
}

/* `_port._proto` or `_proto`. */
bool look_pick_port(struct pick *k, const uint8_t *port, const uint8_t *proto)
{
	k->port = port;
	k->proto = proto;
	return (!port || look_port_label(port)) && proto_of(proto) != PROTO_NONE;
}

void look_srv(const struct look *l, const struct dns_port *first, const struct pick *k,
	      unsigned weight, const struct dns_name *target)
{
	struct dns_srv srv = { .weight = (uint16_t)(weight ? weight : 1) };

	dns_name_copy(&srv.target, target);
	for (const struct dns_port *p = first; (p = look_port(first, p, k)); p = port_next(p)) {
		srv.port = blob16(p->number);
		if (!dns_out_srv(l->o, DNS_ANSWER, l->owner, l->s->ttl, &srv))
			return;
	}
}

unsigned look_count(const struct dns_port *first, const struct pick *k)
{
	unsigned n = 0;

	for (const struct dns_port *p = first; (p = look_port(first, p, k)); p = port_next(p))
		n++;
	return n;
}

/* ---- endpoints */

static bool picked(const struct dns_svc *s, const struct dns_ep *ep, bool v6, const struct pick *k)
{
	if (k->zone && ep->zone != k->zone)
		return false;
	if (k->host && ep->n_host)
		if (ep->n_host != k->host[0] ||
		    memcmp(ep_host(ep, v6), k->host + 1, ep->n_host) != 0)
			return false;
	if (k->host && !ep->n_host)
		if ((k->ip.family == AF_INET6) != v6 || !k->ip.family ||
		    memcmp(ep_addr(ep), k->ip.b, v6 ? 16 : 4) != 0)
			return false;
	if (!k->proto)
		return true;
	return look_count(look_ports(s, blob16(ep->set)), k) > 0;
}

static const struct dns_ep *eps(const struct dns_svc *s, bool v6)
{
	return (const void *)((const char *)s + s->eps[v6]);
}

static bool any_picked(const struct dns_svc *s, const struct pick *k)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const struct dns_ep *ep = eps(s, v6);

		for (uint32_t i = 0; i < s->n_eps[v6]; i++, ep = ep_next(ep, v6))
			if (picked(s, ep, v6, k))
				return true;
	}
	return false;
}

/* Two rounds: from where the turn is to the end, then up to there. */
static bool put_addresses(const struct look *l, const struct dns_svc *s, const struct pick *k,
			  bool v6)
{
	uint32_t n = s->n_eps[v6], from = n ? l->turn % n : 0;
	bool found = false;

	for (int round = 0; round < 2; round++) {
		const struct dns_ep *ep = eps(s, v6), *last = NULL;

		for (uint32_t i = 0; i < n; i++, ep = ep_next(ep, v6)) {
			bool again = last && !memcmp(ep_addr(last), ep_addr(ep), v6 ? 16 : 4);

			if (again || !picked(s, ep, v6, k))
				continue;
			last = ep;
			if ((i >= from) == !round)
				look_put(l, DNS_ANSWER, l->owner, ep_addr(ep), v6);
			found = true;
		}
	}
	return found;
}

static bool endpoint_name(const struct dns_ep *ep, bool v6, const struct dns_name *service,
			  struct dns_name *out)
{
	struct ipaddr ip = blob_addr(ep_addr(ep), v6);
	char dashed[DNS_DASHED];
	const void *host = ep_host(ep, v6);
	size_t n = ep->n_host;

	if (!n) {
		n = dns_dashed_write(&ip, dashed);
		host = dashed;
	}
	out->n = 1;
	out->v[0] = 0;
	return dns_name_put(out, host, n) && dns_name_join(out, service);
}

static void put_srvs(const struct look *l, const struct dns_svc *s, const uint8_t *service,
		     const struct pick *k)
{
	uint8_t again = k->zone ? DNS_AGAIN_IN_ZONE : DNS_AGAIN;
	struct dns_name tail, target;
	unsigned records = 0;

	look_tail(l, service, &tail);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct dns_ep *ep = eps(s, v6);

		for (uint32_t i = 0; i < s->n_eps[v6]; i++, ep = ep_next(ep, v6))
			if (picked(s, ep, v6, k))
				records += look_count(look_ports(s, blob16(ep->set)), k);
	}
	if (!records)
		return;
	for (int pass = 0; pass < 2; pass++)
		for (int v6 = 0; v6 < 2; v6++) {
			const struct dns_ep *ep = eps(s, v6);

			for (uint32_t i = 0; i < s->n_eps[v6]; i++, ep = ep_next(ep, v6)) {
				if (!picked(s, ep, v6, k) || (!pass && ep->again & again) ||
				    !endpoint_name(ep, v6, &tail, &target))
					continue;
				if (pass && l->o->additional_full)
					return;
				if (pass)
					look_put(l, DNS_ADDITIONAL, &target, ep_addr(ep), v6);
				else
					look_srv(l, look_ports(s, blob16(ep->set)), k,
						 100 / records, &target);
			}
			if (l->o->flags & DNS_TC)
				return;
		}
}

int look_endpoints(const struct look *l, const struct dns_svc *s, const uint8_t *service,
		   const struct pick *k)
{
	/* A port has SRV records only. */
	if (!k->proto && (look_wants(l, false) || look_wants(l, true))) {
		bool v6 = look_wants(l, true);

		if (put_addresses(l, s, k, v6))
			return NODATA;
	}
	if (!any_picked(s, k))
		return DNS_NXDOMAIN;
	if (l->type == DNS_SRV && (!k->proto || k->port))
		put_srvs(l, s, service, k);
	return NODATA;
}

void look_pick_host(struct pick *k, const uint8_t *label)
{
	char text[DNS_DASHED];
	size_t n;

	k->host = label;
	k->ip.family = 0;
	if (!dns_dashed_read(label + 1, label[0], &k->ip))
		return;
	/* In one spelling only. */
	n = dns_dashed_write(&k->ip, text);
	if (n != label[0] || memcmp(text, label + 1, n) != 0)
		k->ip.family = 0;
}

/* ---- zonal names: ZONE.pin._zone.SERVICE…, the zone may have dots */

static int zone_number(const struct dns_svc *s, const struct look *l, unsigned labels)
{
	const uint8_t *z = (const uint8_t *)s + s->zones;

	for (uint32_t i = 1; i <= s->n_zones; i++, z += z[0] + 1) {
		size_t at = 1;
		unsigned k = 0;

		for (; k < labels; k++) {
			const uint8_t *label = l->label[k];

			if (at + label[0] > z[0] + 1u || memcmp(z + at, label + 1, label[0]) != 0)
				break;
			at += label[0];
			if (k + 1 < labels && (at > z[0] || z[at++] != '.'))
				break;
		}
		if (k == labels && at == z[0] + 1u)
			return (int)i;
	}
	return ZONE_NONE;
}

/* `below`: labels left of the Service's. */
static int look_zonal(const struct look *l, const struct dns_svc *s, const uint8_t *service,
		      unsigned below)
{
	struct pick k = { 0 };
	bool prefer;

	if (!l->s->zonal || s->kind != DNS_SVC_HEADLESS || !any_picked(s, &k))
		return DNS_NXDOMAIN;
	if (below == 1)
		return NODATA;
	prefer = look_is(l->label[below - 2], "prefer");
	if (!prefer && !look_is(l->label[below - 2], "pin"))
		return DNS_NXDOMAIN;
	if (below == 2)
		return NODATA;
	k.zone = zone_number(s, l, below - 2);
	if (prefer && !any_picked(s, &k))
		k.zone = 0;
	look_endpoints(l, s, service, &k);
	return NODATA;
}

/* ---- Services */

static int look_cluster(const struct look *l, const struct dns_svc *s, const uint8_t *service,
			const struct pick *k)
{
	const struct dns_addr *a = (const void *)((const char *)s + s->cluster);
	const struct dns_port *ports = look_ports(s, 0);
	unsigned n = look_count(ports, k) * s->n_cluster;
	struct dns_name target;

	if (k->proto && !look_count(ports, k))
		return DNS_NXDOMAIN;
	if (!k->proto)
		for (unsigned i = 0; i < s->n_cluster; i++)
			if (look_wants(l, a[i].v6))
				look_put(l, DNS_ANSWER, l->owner, a[i].b, a[i].v6);
	if (l->type != DNS_SRV || !n || (k->proto && !k->port))
		return NODATA;
	look_tail(l, service, &target);
	look_srv(l, ports, k, 100 / n, &target);
	for (unsigned i = 0; i < s->n_cluster; i++)
		look_put(l, DNS_ADDITIONAL, &target, a[i].b, a[i].v6);
	return NODATA;
}

void look_cname(struct look *l, const struct dns_svc *s)
{
	const uint8_t *name = (const uint8_t *)s + s->names;

	l->target->n = name[0];
	memcpy(l->target->v, name + 1, name[0]);
	dns_out_cname(l->o, DNS_ANSWER, l->owner, l->s->ttl, l->target);
}

int look_service(struct look *l, const uint8_t *service, unsigned below)
{
	const struct dns_svc *s = look_blob(l, service);
	struct pick k = { 0 };

	if (!s)
		return DNS_NXDOMAIN;
	if (s->kind == DNS_SVC_NAME) {
		if (below || !s->n_names)
			return DNS_NXDOMAIN;
		look_cname(l, s);
		return NODATA;
	}
	if (s->kind == DNS_SVC_CLUSTER && l->s->ignore_empty && !s->n_eps[0] && !s->n_eps[1])
		return DNS_NXDOMAIN;
	if (below && look_is(l->label[below - 1], "_zone"))
		return look_zonal(l, s, service, below);
	if (below > 2 || (below == 2 && !look_pick_port(&k, l->label[0], l->label[1])))
		return DNS_NXDOMAIN;
	if (below == 1 &&
	    !(look_port_label(l->label[0]) && look_pick_port(&k, NULL, l->label[0]))) {
		k = (struct pick){ 0 };
		look_pick_host(&k, l->label[0]);
	}
	if (s->kind == DNS_SVC_HEADLESS || k.host)
		return look_endpoints(l, s, service, &k);
	return look_cluster(l, s, service, &k);
}
