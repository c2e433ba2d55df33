// SPDX-License-Identifier: Apache-2.0
/* One Service's blob from the Service and its EndpointSlices.
 *
 * Endpoints are ready ones (conditions.ready is not false; or publishNotReadyAddresses), of all slices, each once, sorted by address, so
 * that an address with two hosts or two sets of ports is one A record. Sets of ports are shared by the endpoints of alike slices. What
 * Kubernetes would not have taken (a name that is no label, an address that is none) has no record. More than 255 zones of
 * nodes under one Service: those beyond are in none; more than 65534 sets of ports: their slices have no SRV record. */
#include "core/dns/zone_build.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

#define SETS_MAX  65535
#define ZONES_MAX 255

struct ep {
	struct ipaddr ip;
	const char *host, *zone; /* host NULL: none */
	uint16_t set;
	uint8_t again;
};

struct build {
	struct ep *eps;
	size_t n, cap;
	struct buf sets; /* one after the other, each as it will stand */
	uint32_t *set_at;
	size_t n_sets, cap_sets;
};

bool dns_zone_label(uint8_t *to, size_t *n, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (!len || len > DNS_LABEL_MAX)
		return false;
	to[(*n)++] = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		to[(*n)++] = text[i] >= 'A' && text[i] <= 'Z' ? (uint8_t)(text[i] | 32)
							      : (uint8_t)text[i];
	return true;
}

static bool label_ok(const char *s)
{
	size_t n = s ? strlen(s) : 0;

	return n && n <= DNS_LABEL_MAX;
}

static void put_lower(struct buf *b, const char *s, size_t n)
{
	size_t at = b->n;

	buf_put(b, s, n);
	for (size_t i = at; !b->failed && i < b->n; i++)
		if (b->v[i] >= 'A' && b->v[i] <= 'Z')
			b->v[i] |= 32;
}

/* ---- sets of ports */

static void put_port(struct buf *b, const char *name, unsigned proto, int64_t number)
{
	struct dns_port p = { .proto = proto ? (uint8_t)proto : PROTO_TCP };

	if (number <= 0 || !label_ok(name)) /* an unnamed port has no record */
		return;
	p.n_name = (uint8_t)strlen(name);
	p.number[0] = (uint8_t)(number & 255);
	p.number[1] = (uint8_t)(number >> 8);
	buf_put(b, &p, sizeof(p));
	put_lower(b, name, p.n_name);
}

/* The set is what stands behind `at`; ends with a port of protocol 0. */
static int close_set(struct build *b, size_t at, uint16_t *out, struct err *e)
{
	size_t len;

	buf_put(&b->sets, &(struct dns_port){ .proto = 0 }, sizeof(struct dns_port));
	if (b->sets.failed)
		return err_set(e, -ENOMEM, "no memory for a Service's ports");
	len = b->sets.n - at;
	for (size_t i = 0; i < b->n_sets; i++) {
		size_t end = i + 1 < b->n_sets ? b->set_at[i + 1] : at;

		if (end - b->set_at[i] == len &&
		    !memcmp(b->sets.v + b->set_at[i], b->sets.v + at, len)) {
			b->sets.n = at;
			*out = (uint16_t)i;
			return 0;
		}
	}
	if (b->n_sets == b->cap_sets) {
		size_t cap = b->cap_sets ? b->cap_sets * 2 : 4;
		void *v = reallocarray(b->set_at, cap, sizeof(*b->set_at));

		if (!v)
			return err_set(e, -ENOMEM, "no memory for a Service's ports");
		b->set_at = v;
		b->cap_sets = cap;
	}
	*out = SETS_MAX;
	if (b->n_sets < SETS_MAX) {
		*out = (uint16_t)b->n_sets;
		b->set_at[b->n_sets++] = (uint32_t)at;
	}
	return 0;
}

/* ---- endpoints */

static int add_slice(struct build *b, const struct endpoint_slice *sl, bool all, struct err *e)
{
	size_t at = b->sets.n;
	uint16_t set;
	int r;

	for (uint32_t i = 0; i < sl->ports.n; i++)
		put_port(&b->sets, sl->ports.v[i].name, sl->ports.v[i].protocol,
			 sl->ports.v[i].port);
	r = close_set(b, at, &set, e);
	for (uint32_t i = 0; r == 0 && i < sl->endpoints.n; i++) {
		const struct slice_endpoint *ep = &sl->endpoints.v[i];

		if (ep->conditions.ready == TRI_FALSE && !all)
			continue;
		for (uint32_t k = 0; k < ep->addresses.n; k++) {
			struct ep x = { .set = set, .zone = ep->zone };

			if (addr_parse_lax(ep->addresses.v[k], &x.ip))
				continue;
			if (label_ok(ep->hostname))
				x.host = ep->hostname;
			if (b->n == b->cap) {
				size_t cap = b->cap ? b->cap * 2 : 16;
				void *v = reallocarray(b->eps, cap, sizeof(*b->eps));

				if (!v)
					return err_set(e, -ENOMEM, "no memory for endpoints");
				b->eps = v;
				b->cap = cap;
			}
			b->eps[b->n++] = x;
		}
	}
	return r;
}

static int text_cmp(const char *a, const char *b)
{
	return strcasecmp(a ? a : "", b ? b : "");
}

static int by_address(const void *x, const void *y)
{
	const struct ep *a = x, *b = y;
	int r = (a->ip.family == AF_INET6) - (b->ip.family == AF_INET6);

	if (!r)
		r = memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));
	if (!r)
		r = text_cmp(a->host, b->host);
	return r ? r : a->set - b->set;
}

static bool is_again(const struct ep *a, const struct ep *b)
{
	return !text_cmp(a->host, b->host) && a->set == b->set;
}

/* Those with one host and one set together, of these each zone's. */
static int by_host(const void *x, const void *y)
{
	const struct ep *a = *(const struct ep *const *)x, *b = *(const struct ep *const *)y;
	int r = text_cmp(a->host, b->host);

	if (!r)
		r = a->set - b->set;
	if (!r)
		r = text_cmp(a->zone, b->zone);
	return r ? r : (a > b) - (a < b);
}

static int sort_endpoints(struct build *b, struct err *e)
{
	struct ep **hosts;
	size_t n = 0;

	if (!b->n)
		return 0;
	qsort(b->eps, b->n, sizeof(*b->eps), by_address);
	for (size_t i = 1; i < b->n; i++)
		if (by_address(&b->eps[n], &b->eps[i]))
			b->eps[++n] = b->eps[i];
	b->n = n + 1;
	hosts = calloc(b->n, sizeof(*hosts));
	if (!hosts)
		return err_set(e, -ENOMEM, "no memory for endpoints");
	n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->eps[i].host)
			hosts[n++] = &b->eps[i];
	qsort(hosts, n, sizeof(struct ep *), by_host);
	for (size_t i = 1; i < n; i++)
		if (is_again(hosts[i], hosts[i - 1]))
			hosts[i]->again = DNS_AGAIN | (text_cmp(hosts[i]->zone, hosts[i - 1]->zone)
							       ? 0
							       : DNS_AGAIN_IN_ZONE);
	free(hosts);
	return 0;
}

/* ---- the blob */

static uint8_t zone_number(struct buf *zones, uint32_t *n, const char *zone)
{
	size_t len = zone ? strlen(zone) : 0, at = 0;
	uint8_t l = (uint8_t)len;

	if (!len || len > 255)
		return 0;
	for (uint32_t i = 1; i <= *n; i++) {
		if ((uint8_t)zones->v[at] == l && !strncasecmp(zones->v + at + 1, zone, len))
			return (uint8_t)i;
		at += (uint8_t)zones->v[at] + 1u;
	}
	if (*n == ZONES_MAX)
		return 0;
	buf_put(zones, &l, 1);
	put_lower(zones, zone, len);
	return zones->failed ? 0 : (uint8_t)++ * n;
}

static bool put_addr(struct buf *out, const char *text)
{
	struct ipaddr ip;
	struct dns_addr a = { 0 };

	if (!text || addr_parse_lax(text, &ip))
		return false;
	a.v6 = ip.family == AF_INET6;
	memcpy(a.b, ip.b, sizeof(a.b));
	buf_put(out, &a, sizeof(a));
	return true;
}

static uint16_t put_name(struct buf *out, const char *text)
{
	struct dns_name n;
	struct ipaddr ip;

	/* An address is no host's name: such a Service leads nowhere. */
	if (!text || !*text || !addr_parse_lax(text, &ip) || dns_name_parse(text, &n, NULL))
		return 0;
	buf_put(out, &n.n, 1);
	buf_put(out, n.v, n.n);
	return 1;
}

static void put_endpoints(const struct build *b, struct dns_svc *head, struct buf *out,
			  struct buf *zones)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct ep *x = &b->eps[i];
		bool v6 = x->ip.family == AF_INET6;
		struct dns_ep r = { .again = x->again,
				    .zone = zone_number(zones, &head->n_zones, x->zone),
				    .set = { (uint8_t)x->set, (uint8_t)(x->set >> 8) },
				    .n_host = x->host ? (uint8_t)strlen(x->host) : 0 };

		if (v6 && !head->n_eps[1])
			head->eps[1] = (uint32_t)out->n;
		head->n_eps[v6]++;
		buf_put(out, &r, sizeof(r));
		buf_put(out, x->ip.b, addr_len(&x->ip));
		put_lower(out, x->host ? x->host : "", r.n_host);
	}
}

/* An API server sets both; a manifest may have either. */
static bool is_headless(const struct service *s)
{
	const char *ip = s->spec.clusterIPs.n ? s->spec.clusterIPs.v[0] : s->spec.clusterIP;

	return ip && !strcmp(ip, CLUSTER_IP_NONE);
}

static void put_service(const struct service *s, const struct build *b, struct buf *out)
{
	struct dns_svc head = { .kind = DNS_SVC_CLUSTER };
	struct buf zones = { 0 };
	uint32_t at;

	buf_put(out, &head, sizeof(head));
	head.cluster = (uint32_t)out->n;
	if (s->spec.type == SERVICE_EXTERNAL_NAME)
		head.kind = DNS_SVC_NAME;
	else if (is_headless(s))
		head.kind = DNS_SVC_HEADLESS;
	else if (s->spec.clusterIPs.n)
		for (uint32_t i = 0; i < s->spec.clusterIPs.n && i < 8; i++)
			head.n_cluster += put_addr(out, s->spec.clusterIPs.v[i]);
	else
		head.n_cluster += put_addr(out, s->spec.clusterIP);
	head.external = (uint32_t)out->n;
	for (uint32_t i = 0; i < s->spec.externalIPs.n && i < 1000; i++)
		head.n_external += put_addr(out, s->spec.externalIPs.v[i]);
	for (uint32_t i = 0; i < s->status.loadBalancer.ingress.n && i < 1000; i++)
		head.n_external += put_addr(out, s->status.loadBalancer.ingress.v[i].ip);
	head.names = (uint32_t)out->n;
	if (head.kind == DNS_SVC_NAME)
		head.n_names = put_name(out, s->spec.externalName);
	else
		for (uint32_t i = 0; i < s->status.loadBalancer.ingress.n && i < 1000; i++)
			head.n_names += put_name(out, s->status.loadBalancer.ingress.v[i].hostname);
	head.sets = (uint32_t)out->n;
	head.n_sets = (uint16_t)b->n_sets;
	for (size_t i = 0; i < b->n_sets; i++) {
		at = head.sets + (uint32_t)(b->n_sets * sizeof(at)) + b->set_at[i];
		buf_put(out, &at, sizeof(at));
	}
	buf_put(out, b->sets.v, b->sets.n);
	head.eps[0] = head.eps[1] = (uint32_t)out->n;
	put_endpoints(b, &head, out, &zones);
	head.zones = (uint32_t)out->n;
	buf_put(out, zones.v, zones.n);
	out->failed |= zones.failed;
	buf_fini(&zones);
	if (!out->failed)
		memcpy(out->v, &head, sizeof(head));
}

int dns_zone_build(const struct service *s, const struct endpoint_slice *const *slices, size_t n,
		   struct buf *out, struct err *e)
{
	struct build b = { 0 };
	uint16_t own;
	int r;

	for (uint32_t i = 0; i < s->spec.ports.n; i++)
		put_port(&b.sets, s->spec.ports.v[i].name, s->spec.ports.v[i].protocol,
			 s->spec.ports.v[i].port);
	r = close_set(&b, 0, &own, e);
	/* What an ExternalName Service's name stands for has its own endpoints. */
	for (size_t i = 0; r == 0 && i < n && s->spec.type != SERVICE_EXTERNAL_NAME; i++)
		r = add_slice(&b, slices[i], s->spec.publishNotReadyAddresses, e);
	if (r == 0)
		r = sort_endpoints(&b, e);
	if (r == 0) {
		buf_clear(out);
		put_service(s, &b, out);
		if (out->failed)
			r = err_set(e, -ENOMEM, "no memory for a Service's names");
	}
	free(b.eps);
	free(b.set_at);
	buf_fini(&b.sets);
	return r;
}
