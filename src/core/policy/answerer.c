// SPDX-License-Identifier: Apache-2.0
/* Who answers DNS on a node, to policies: see answerer.h. */
#include "core/policy/side.h"

#include "base/text.h"

#include <errno.h>

#define DNS_NAMESPACE "kube-system"
#define DNS_LABEL     "k8s-app"
#define DNS_LABEL_IS  "kube-dns"
#define DNS_PORT      53

/* ---- the Service */

static uint32_t place_among(const char *text, const struct ipaddr *addrs, uint32_t n)
{
	struct ipaddr ip;
	uint32_t i = 0;

	if (!text || addr_parse_lax(text, &ip))
		return n;
	while (i < n && !addr_eq(&addrs[i], &ip))
		i++;
	return i;
}

uint32_t policy_dns_place(const struct service *s, const struct ipaddr *addrs, uint32_t n)
{
	uint32_t first = place_among(s->spec.clusterIP, addrs, n);

	for (uint32_t i = 0; i < s->spec.clusterIPs.n; i++)
		first = place_among(s->spec.clusterIPs.v[i], addrs, first);
	return first;
}

static const struct service *find_service(const struct cluster *c, const struct ipaddr *addrs,
					  uint32_t n)
{
	size_t all;
	const struct object *const *v = cluster_all(c, KIND_SERVICE, &all);
	const struct service *first = NULL;

	for (size_t i = 0; i < all && n; i++) {
		uint32_t place = policy_dns_place(v[i]->body, addrs, n);

		if (place < n) {
			first = v[i]->body;
			n = place;
		}
	}
	return first;
}

/* ---- the stand-in */

static struct container *stand_in_ports(struct arena *a)
{
	struct container *c = arena_alloc(a, sizeof(*c));
	struct container_port *v = arena_array(a, 2, sizeof(*v));

	if (!c || !v)
		return NULL;
	v[0] = (struct container_port){ "dns", DNS_PORT, 0, PROTO_UDP, NULL };
	v[1] = (struct container_port){ "dns-tcp", DNS_PORT, 0, PROTO_TCP, NULL };
	c->ports.v = v;
	c->ports.n = 2;
	return c;
}

static void put_label(struct pod *p, const char *key, const char *value, struct arena *a)
{
	key = arena_strdup(a, key);
	value = arena_strdup(a, value);
	if (!a->failed && strmap_put(&p->meta.labels, a, key, value))
		a->failed = true;
}

struct pod *policy_stand_in(const char *node, const struct service *s, struct arena *a)
{
	const struct strmap *selector = s && s->spec.selector.n ? &s->spec.selector : NULL;
	struct pod *p = arena_alloc(a, sizeof(*p));

	if (!p)
		return NULL;
	p->meta.name = arena_printf(a, "dns@%s", node);
	p->meta.namespace = arena_strdup(a, selector ? s->meta.namespace : DNS_NAMESPACE);
	if (!selector)
		put_label(p, DNS_LABEL, DNS_LABEL_IS, a);
	for (uint32_t i = 0; selector && i < selector->n; i++)
		put_label(p, selector->v[i].key, selector->v[i].value, a);
	p->spec.nodeName = arena_strdup(a, node);
	p->spec.containers.v = stand_in_ports(a);
	p->spec.containers.n = 1;
	return a->failed ? NULL : p;
}

bool policy_stands_for(const struct pod *stand_in, const struct pod *p)
{
	const struct label_selector s = { .matchLabels = stand_in->meta.labels };

	return policy_knows_pod(p) && text_eq(p->meta.namespace, stand_in->meta.namespace) &&
	       selector_match(&s, &p->meta.labels);
}

/* ---- all */

static int find_pods(const struct cluster *c, struct policy_answerer *w, struct arena *a)
{
	const struct pod **v;
	uint32_t n = 0;
	struct policy_run all = { NULL, 0 };

	if (w->service && w->service->spec.selector.n)
		all = policy_run_of(c, KIND_POD, w->stand_in->meta.namespace);
	v = arena_array(a, all.n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < all.n; i++)
		if (policy_stands_for(w->stand_in, all.v[i]->body))
			v[n++] = all.v[i]->body;
	if (!n)
		v[n++] = w->stand_in;
	w->pods = (struct policy_pods){ v, n };
	return 0;
}

int policy_answerer_find(const struct cluster *c, const char *node, const struct ipaddr *addrs,
			 uint32_t n, struct arena *a, struct policy_answerer *out, struct err *e)
{
	struct policy_answerer w = { .service = find_service(c, addrs, n) };

	w.stand_in = policy_stand_in(node, w.service, a);
	if (!w.stand_in || find_pods(c, &w, a) || a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*out = w;
	return 0;
}

/* ---- runs: lists of the cluster are sorted by namespace and name */

struct policy_run policy_run_of(const struct cluster *c, unsigned kind, const char *ns)
{
	size_t n, from = 0, to;
	const struct object *const *all = cluster_all(c, kind, &n);

	to = n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (strcmp(all[mid]->meta->namespace, ns) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	while (to < n && !strcmp(all[to]->meta->namespace, ns))
		to++;
	return (struct policy_run){ all + from, to - from };
}
