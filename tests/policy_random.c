/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_random.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NAMESPACES 3
#define POLICIES   8
#define SERVICES   4

static const char *const namespaces[NAMESPACES] = { "a", "b", "c" };
static const char *const keys[] = { "app", "tier" }, *const values[] = { "x", "y", "z" };
static const char *const port_names[] = { "http", "dns" };
static const char *const cidrs[] = { "10.0.0.0/8",  "10.0.0.0/29", "0.0.0.0/0", "192.0.2.0/24",
				     "fd00::/16",   "fd00::/125",  "::/0",      "2001:db8::/32",
				     "10.0.0.3/32", "10.0.0.9/28" };
static const char *const excepts[] = { "10.0.0.2/31", "10.0.0.0/30", "192.0.2.128/25", "0.0.0.0/1",
				       "128.0.0.0/1", "fd00::2/127", "2001:db8::/33",  "::/1" };

const struct ipaddr random_dns[2] = { { AF_INET, { 10, 96, 0, 10 } },
				      { AF_INET6, { 0xfd, 0, 0, 0x96, [15] = 10 } } };

uint32_t random_upto(struct random_cluster *r, uint32_t n)
{
	r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(r->seed >> 33) % n;
}

#define PICK(r, v) ((v)[random_upto((r), sizeof(v) / sizeof((v)[0]))])

void random_pod_name(unsigned i, const char **ns, char name[8])
{
	*ns = namespaces[i % NAMESPACES];
	snprintf(name, 8, "p%u", i);
}

struct ipaddr random_pod_addr(unsigned i, unsigned family)
{
	struct ipaddr a = { .family = family ? AF_INET6 : AF_INET };

	if (family)
		memcpy(a.b, (uint8_t[16]){ 0xfd, [15] = (uint8_t)(1 + i) }, 16);
	else
		memcpy(a.b, (uint8_t[]){ 10, 0, 0, (uint8_t)(1 + i) }, 4);
	return a;
}

/* ---- objects */

static void labels(struct random_cluster *r, struct strmap *m, struct arena *a)
{
	for (unsigned i = 0; i < 2; i++)
		if (random_upto(r, 3) && strmap_put(m, a, keys[i], PICK(r, values)))
			assert(!"memory");
}

static void requirement(struct random_cluster *r, struct label_requirement *q, struct arena *a)
{
	q->key = PICK(r, keys);
	q->op = (uint8_t)(SEL_IN + random_upto(r, 4));
	if (q->op == SEL_EXISTS || q->op == SEL_DOES_NOT_EXIST)
		return;
	q->values.n = 1 + random_upto(r, 2);
	q->values.v = arena_array(a, q->values.n, sizeof(*q->values.v));
	for (uint32_t i = 0; i < q->values.n; i++)
		q->values.v[i] = PICK(r, values);
}

static void selector(struct random_cluster *r, struct label_selector *s, struct arena *a)
{
	if (!random_upto(r, 3))
		return;
	if (random_upto(r, 2))
		labels(r, &s->matchLabels, a);
	s->matchExpressions.n = random_upto(r, 2);
	s->matchExpressions.v = arena_array(a, 1, sizeof(*s->matchExpressions.v));
	for (uint32_t i = 0; i < s->matchExpressions.n; i++)
		requirement(r, &s->matchExpressions.v[i], a);
}

static struct label_selector *selector_or_none(struct random_cluster *r, struct arena *a)
{
	struct label_selector *s = arena_alloc(a, sizeof(*s));

	if (!random_upto(r, 2))
		return NULL;
	selector(r, s, a);
	return s;
}

static void peer(struct random_cluster *r, struct policy_peer *p, struct arena *a)
{
	if (random_upto(r, 2)) {
		p->podSelector = selector_or_none(r, a);
		p->namespaceSelector = selector_or_none(r, a);
	}
	if (p->podSelector || p->namespaceSelector)
		return;
	p->ipBlock = arena_alloc(a, sizeof(*p->ipBlock));
	p->ipBlock->cidr = PICK(r, cidrs);
	p->ipBlock->except.n = random_upto(r, 3);
	p->ipBlock->except.v = arena_array(a, 3, sizeof(*p->ipBlock->except.v));
	for (uint32_t i = 0; i < p->ipBlock->except.n; i++)
		p->ipBlock->except.v[i] = PICK(r, excepts);
}

static int64_t port_number(struct random_cluster *r)
{
	return random_upto(r, 5) ? 79 + random_upto(r, 3) : 53;
}

static void port(struct random_cluster *r, struct policy_port *p)
{
	p->protocol = (uint8_t)random_upto(r, PROTO_SCTP + 1);
	switch (random_upto(r, 4)) {
	case 0:
		break;
	case 1:
		p->port = (struct intstr){ .type = INTSTR_STR, .s = PICK(r, port_names) };
		break;
	case 2:
		p->endPort = (struct opt_i64){ 1, 80 + random_upto(r, 3) };
		/* fall through */
	default:
		p->port = (struct intstr){ .type = INTSTR_INT, .i = port_number(r) };
		if (p->endPort.set && p->endPort.v < p->port.i)
			p->endPort.v = p->port.i;
	}
}

static void rule(struct random_cluster *r, struct policy_rule *v, struct arena *a)
{
	v->ports.n = random_upto(r, 4);
	v->ports.v = arena_array(a, 4, sizeof(*v->ports.v));
	for (uint32_t i = 0; i < v->ports.n; i++)
		port(r, &v->ports.v[i]);
	v->peers.n = random_upto(r, 4);
	v->peers.v = arena_array(a, 4, sizeof(*v->peers.v));
	for (uint32_t i = 0; i < v->peers.n; i++)
		peer(r, &v->peers.v[i], a);
}

static void fill_policy(struct random_cluster *r, struct network_policy *p, struct arena *a)
{
	static const uint8_t types[] = { POLICY_INGRESS, POLICY_EGRESS };
	uint32_t which = random_upto(r, 4);

	selector(r, &p->spec.podSelector, a);
	p->spec.policyTypes.n = which == 3 ? 0 : which == 2 ? 2 : 1;
	p->spec.policyTypes.v = arena_memdup(a, types + (which == 1), 1 + (which == 2));
	p->spec.ingress.n = random_upto(r, 3);
	p->spec.egress.n = random_upto(r, 3);
	p->spec.ingress.v = arena_array(a, 3, sizeof(*p->spec.ingress.v));
	p->spec.egress.v = arena_array(a, 3, sizeof(*p->spec.egress.v));
	for (uint32_t i = 0; i < p->spec.ingress.n; i++)
		rule(r, &p->spec.ingress.v[i], a);
	for (uint32_t i = 0; i < p->spec.egress.n; i++)
		rule(r, &p->spec.egress.v[i], a);
}

static void fill_pod(struct random_cluster *r, struct pod *p, unsigned i, struct arena *a)
{
	struct container *c = arena_array(a, 1, sizeof(*c));

	labels(r, &p->meta.labels, a);
	c->ports.v = arena_array(a, 3, sizeof(*c->ports.v));
	c->ports.n = random_upto(r, 4);
	for (uint32_t k = 0; k < c->ports.n; k++)
		c->ports.v[k] = (struct container_port){
			.name = PICK(r, port_names),
			.containerPort = port_number(r),
			.protocol = (uint8_t)random_upto(r, PROTO_SCTP + 1),
		};
	p->spec.containers.v = c;
	p->spec.containers.n = 1;
	p->spec.hostNetwork = !random_upto(r, 12);
	p->status.phase = (uint8_t)(random_upto(r, 12) ? POD_RUNNING : POD_SUCCEEDED);
	if (!random_upto(r, 8))
		return;
	p->status.podIPs.v = arena_array(a, 2, sizeof(*p->status.podIPs.v));
	for (unsigned f = 0; f < 2; f++)
		p->status.podIPs.v[p->status.podIPs.n++].ip = random_pod_addr(i, f);
}

/* ---- changes */

/* What it replaced, for the caller to free. */
static struct object *put(struct random_cluster *r, unsigned kind, const char *ns, const char *name,
			  struct object *o)
{
	struct object *old;
	struct err e;

	if (o) {
		o->meta->name = arena_strdup(&o->arena, name);
		o->meta->namespace = arena_strdup(&o->arena, ns);
		old = cluster_put(r->c, o);
	} else {
		old = cluster_take(r->c, kind, ns, name);
	}
	if (policy_index_changed(r->x, old, o, &e))
		assert(!"memory");
	return old;
}

static void change_pod(struct random_cluster *r)
{
	unsigned i = random_upto(r, RANDOM_PODS);
	struct object *o = random_upto(r, 4) ? object_new(kind_by_id(KIND_POD)) : NULL;
	const char *ns;
	char name[8];

	random_pod_name(i, &ns, name);
	if (o)
		fill_pod(r, o->body, i, &o->arena);
	object_free(put(r, KIND_POD, ns, name, o));
}

static void change_policy(struct random_cluster *r)
{
	struct object *o = random_upto(r, 4) ? object_new(kind_by_id(KIND_NETWORKPOLICY)) : NULL;
	uint32_t i = random_upto(r, POLICIES);
	char name[8];

	snprintf(name, sizeof(name), "n%u", i);
	if (o)
		fill_policy(r, o->body, &o->arena);
	object_free(put(r, KIND_NETWORKPOLICY, namespaces[i % NAMESPACES], name, o));
}

static void change_namespace(struct random_cluster *r)
{
	struct object *o = random_upto(r, 4) ? object_new(kind_by_id(KIND_NAMESPACE)) : NULL;

	if (o)
		labels(r, &o->meta->labels, &o->arena);
	object_free(put(r, KIND_NAMESPACE, NULL, PICK(r, namespaces), o));
}

/* Some have an address where the node answers DNS. */
static void change_service(struct random_cluster *r)
{
	static const char *const ips[] = { "10.96.0.10", "fd00:96::a", "10.96.0.11" };
	struct object *o = random_upto(r, 3) ? object_new(kind_by_id(KIND_SERVICE)) : NULL;
	uint32_t i = random_upto(r, SERVICES);
	char name[8];

	snprintf(name, sizeof(name), "s%u", i);
	if (o) {
		struct service *s = o->body;

		labels(r, &s->spec.selector, &o->arena);
		s->spec.clusterIPs.n = 1 + random_upto(r, 2);
		s->spec.clusterIPs.v = arena_array(&o->arena, 2, sizeof(*s->spec.clusterIPs.v));
		for (uint32_t k = 0; k < s->spec.clusterIPs.n; k++)
			s->spec.clusterIPs.v[k] = PICK(r, ips);
	}
	object_free(put(r, KIND_SERVICE, namespaces[i % NAMESPACES], name, o));
}

static void wire(struct policy_index *x, unsigned i, bool wired)
{
	const struct ipaddr addrs[] = { random_pod_addr(i, 0), random_pod_addr(i, 1) };
	const char *ns;
	char name[8];
	struct err e;

	random_pod_name(i, &ns, name);
	if (policy_index_wired(x, ns, name, addrs, wired ? 2 : 0, &e))
		assert(!"memory");
}

/* As a node tells the store. */
static void change_endpoint(struct random_cluster *r, unsigned i)
{
	struct object *o = r->wired[i] ? object_new(kind_by_id(KIND_WORKLOADENDPOINT)) : NULL;
	char name[8], endpoint[16];
	const char *ns;

	random_pod_name(i, &ns, name);
	snprintf(endpoint, sizeof(endpoint), "%s-eth0", name);
	if (o) {
		struct workload_endpoint *w = o->body;

		w->spec.pod = arena_strdup(&o->arena, name);
		w->spec.ips.v = arena_array(&o->arena, 2, sizeof(*w->spec.ips.v));
		for (unsigned f = 0; f < 2; f++)
			w->spec.ips.v[w->spec.ips.n++].addr = random_pod_addr(i, f);
	}
	object_free(put(r, KIND_WORKLOADENDPOINT, ns, endpoint, o));
}

void random_cluster_step(struct random_cluster *r)
{
	unsigned i = random_upto(r, RANDOM_PODS);

	switch (random_upto(r, 9)) {
	case 0:
		change_namespace(r);
		break;
	case 8:
		change_service(r);
		break;
	case 1:
		r->wired[i] = random_upto(r, 3);
		wire(r->x, i, r->wired[i]);
		change_endpoint(r, i);
		break;
	case 2:
	case 3:
	case 4:
		change_pod(r);
		break;
	default:
		change_policy(r);
	}
}

void random_cluster_tell(const struct random_cluster *r, struct policy_index *x)
{
	static const unsigned kinds[] = { KIND_NETWORKPOLICY, KIND_POD, KIND_NAMESPACE,
					  KIND_SERVICE };
	struct err e;

	if (policy_index_dns(x, RANDOM_NODE, random_dns, 2, &e))
		assert(!"memory");
	for (unsigned i = RANDOM_PODS; i-- > 0;)
		if (r->wired[i])
			wire(x, i, true);
	for (unsigned k = 0; k < 4; k++) {
		size_t n;
		const struct object *const *all = cluster_all(r->c, kinds[k], &n);

		for (size_t i = n; i-- > 0;)
			if (policy_index_changed(x, NULL, all[i], &e))
				assert(!"memory");
	}
}

void random_cluster_init(struct random_cluster *r, uint64_t seed)
{
	struct err e;

	*r = (struct random_cluster){ .c = cluster_new(), .x = policy_index_new(), .seed = seed };
	assert(r->c && r->x);
	if (policy_index_dns(r->x, RANDOM_NODE, random_dns, 2, &e))
		assert(!"memory");
}

void random_cluster_fini(struct random_cluster *r)
{
	policy_index_free(r->x);
	cluster_free(r->c);
}
