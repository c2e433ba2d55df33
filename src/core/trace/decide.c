// SPDX-License-Identifier: Apache-2.0
/* Deciders are found by looking through the cluster once per question: a story asks a dozen. */
#include "core/trace/decide.h"

#include "core/policy/match.h"
#include "core/service/hostport.h"
#include "model/validate.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* ---- addresses */

static bool pod_has(const struct pod *p, const struct ipaddr *ip)
{
	bool has = addr_eq(&p->status.podIP, ip);
	struct ipaddr asked[2];
	int n;

	for (uint32_t i = 0; !has && i < p->status.podIPs.n; i++)
		has = addr_eq(&p->status.podIPs.v[i].ip, ip);
	/* What it asks for, until its status says what it has. */
	n = p->status.podIP.family || p->status.podIPs.n ? 0
							 : annotation_ips(&p->meta, asked, 2, NULL);
	for (int i = 0; !has && i < n; i++)
		has = addr_eq(&asked[i], ip);
	return has && policy_knows_pod(p);
}

/* Agents write endpoints seconds before a Pod's status has its addresses. */
static const struct pod *wired_pod(const struct cluster *c, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *all = cluster_all(c, KIND_WORKLOADENDPOINT, &n), *pod;

	for (size_t i = 0; i < n; i++) {
		const struct workload_endpoint *w = all[i]->body;

		for (uint32_t k = 0; w->spec.pod && k < w->spec.ips.n; k++) {
			if (!addr_eq(&w->spec.ips.v[k].addr, ip))
				continue;
			pod = cluster_get(c, KIND_POD, w->meta.namespace, w->spec.pod);
			if (pod)
				return pod->body;
		}
	}
	return NULL;
}

const struct pod *story_pod(const struct story_view *view, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *all = cluster_all(view->cluster, KIND_POD, &n);

	for (size_t i = 0; ip->family && i < n; i++)
		if (pod_has(all[i]->body, ip))
			return all[i]->body;
	return ip->family ? wired_pod(view->cluster, ip) : NULL;
}

/* Also by its tunnel address, which no object but its state names. */
static const char *node_at(const struct cluster *c, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *all = cluster_all(c, KIND_NODE, &n);

	for (size_t i = 0; i < n; i++) {
		const struct node *node = all[i]->body;

		for (uint32_t k = 0; k < node->status.addresses.n; k++) {
			struct ipaddr its;

			if (!addr_parse_lax(node->status.addresses.v[k].address, &its) &&
			    addr_eq(&its, ip))
				return node->meta.name;
		}
	}
	all = cluster_all(c, KIND_NODESTATE, &n);
	for (size_t i = 0; i < n; i++) {
		const struct node_state *s = all[i]->body;

		if (addr_eq(&s->status.tunnel4, ip) || addr_eq(&s->status.tunnel6, ip))
			return s->meta.name;
	}
	return NULL;
}

struct story_by story_owner(const struct story_view *view, const struct ipaddr *ip)
{
	const struct pod *pod = story_pod(view, ip);
	const char *node;

	if (pod)
		return (struct story_by){ STORY_BY_POD, pod->meta.namespace, pod->meta.name, NULL };
	node = ip->family ? node_at(view->cluster, ip) : NULL;
	return node ? (struct story_by){ STORY_BY_NODE, NULL, node, NULL }
		    : (struct story_by){ .kind = STORY_BY_NONE };
}

/* ---- Services */

static int node_addresses(const struct cluster *c, const char *name, struct arena *a,
			  struct svc_node *out)
{
	const struct object *o = cluster_get(c, KIND_NODE, NULL, name);
	const struct node *node;

	if (!o)
		return 0;
	node = o->body;
	out->zone = strmap_get(&node->meta.labels, LABEL_ZONE);
	out->addresses.v = arena_array(a, node->status.addresses.n, sizeof(*out->addresses.v));
	for (uint32_t i = 0; out->addresses.v && i < node->status.addresses.n; i++) {
		const struct node_address *at = &node->status.addresses.v[i];

		if ((at->type == NODE_INTERNAL_IP || at->type == NODE_EXTERNAL_IP) &&
		    !addr_parse_lax(at->address, &out->addresses.v[out->addresses.n]))
			out->addresses.n++;
	}
	return out->addresses.v ? 0 : -ENOMEM;
}

static int pod_ranges(const struct story_view *view, struct arena *a, struct svc_node *out)
{
	size_t n, n_pods;
	const struct object *const *pools = cluster_all(view->cluster, KIND_IPPOOL, &n);
	const struct object *const *pods = cluster_all(view->cluster, KIND_POD, &n_pods);

	out->pods.v = view->pods.v;
	out->pods.n = view->pods.n;
	if (out->pods.n)
		return 0;
	out->pods.v = arena_array(a, n ? n : n_pods, sizeof(*out->pods.v));
	if (!out->pods.v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		out->pods.v[out->pods.n++] = ((const struct ippool *)pools[i]->body)->spec.cidr;
	for (size_t i = 0; !n && i < n_pods; i++) {
		const struct pod *p = pods[i]->body;

		if (policy_knows_pod(p) && p->status.podIP.family)
			out->pods.v[out->pods.n++] = prefix_host(&p->status.podIP);
	}
	return 0;
}

static void find_dns(const struct cluster *c, const char *node, struct svc_node *out)
{
	const struct object *o = cluster_get(c, KIND_NODESTATE, NULL, node);
	const struct node_state *s = o ? o->body : NULL;

	if (!s)
		return;
	out->dns.v = s->status.dnsAddresses.v;
	out->dns.n = s->status.dnsAddresses.n;
}

int story_plans_make(const struct story_view *view, const char *node, struct arena *a,
		     struct story_plans *out, struct err *e)
{
	struct svc_plan *ports, *services;
	struct story_plans p = { .node = { .name = node } };
	size_t n_ports, n;
	int rc;

	find_dns(view->cluster, node, &p.node);
	p.node.services.v = view->services.v;
	p.node.services.n = view->services.n;
	p.node.nodePortAddresses.v = view->node_port_addresses.v;
	p.node.nodePortAddresses.n = view->node_port_addresses.n;
	p.node.masquerade_all = view->masquerade_all;
	p.node.localhost_node_ports = view->localhost_node_ports;
	if (node_addresses(view->cluster, node, a, &p.node) || pod_ranges(view, a, &p.node))
		return err_set(e, -ENOMEM, "no memory");
	rc = svc_plan_host_ports_cluster(view->cluster, &p.node, a, &ports, &n_ports, e);
	if (!rc)
		rc = svc_plan_cluster(view->cluster, &p.node, a, &services, &n, e);
	if (rc)
		return rc;
	p.v = arena_array(a, n_ports + n, sizeof(*p.v));
	if (!p.v)
		return err_set(e, -ENOMEM, "no memory");
	if (n_ports)
		memcpy(p.v, ports, n_ports * sizeof(*p.v));
	if (n)
		memcpy(p.v + n_ports, services, n * sizeof(*p.v));
	p.n = n_ports + n;
	*out = p;
	return 0;
}

uint8_t story_protocol(uint8_t ipproto)
{
	switch (ipproto) {
	case IPPROTO_TCP:
		return PROTO_TCP;
	case IPPROTO_UDP:
		return PROTO_UDP;
	case IPPROTO_SCTP:
		return PROTO_SCTP;
	default:
		return PROTO_NONE;
	}
}

static struct story_by service_by(const struct svc_verdict *v, struct arena *a)
{
	const struct svc_port *port = v->front ? v->front->port : NULL;

	if (v->front && v->front->kind == SVC_HOST_PORT)
		return (struct story_by){ STORY_BY_HOST_PORT, NULL, v->plan->name,
					  arena_printf(a, "%u", v->front->number) };
	return (struct story_by){ STORY_BY_SERVICE, v->plan->ns, v->plan->name,
				  !port         ? NULL
				  : *port->name ? port->name
						: arena_printf(a, "%u", port->port) };
}

static const struct svc_endpoint *endpoint_at(const struct svc_port *port,
					      const struct story_head *to)
{
	for (uint32_t i = 0; i < port->endpoints.n; i++)
		if (addr_eq(&port->endpoints.v[i].ip, &to->dst) &&
		    port->endpoints.v[i].port == to->dport)
			return &port->endpoints.v[i];
	return NULL;
}

/* Why this endpoint: chance among equals, and what made the others no equals. */
static const char *why_endpoint(const struct svc_verdict *v, const struct svc_endpoint *ep,
				struct arena *a)
{
	const struct svc_port *port = v->front->port;
	uint32_t n = port->n[v->group], others = port->endpoints.n - n;
	const char *where = v->group == SVC_LOCAL ? " on this node" : "";

	if (!ep)
		return "no object names this endpoint any more";
	if (ep->out[v->group] != SVC_IN)
		return arena_printf(a, "chosen before it was left out: %s",
				    name_of(&svc_out_names, ep->out[v->group]));
	if (v->plan->affinity && n > 1)
		return arena_printf(a, "1 of %u endpoints%s, which this client keeps for %u s", n,
				    where, v->plan->affinity);
	if (n > 1)
		return arena_printf(a, "1 of %u endpoints%s, by chance", n, where);
	return others ? arena_printf(a, "the only one of %u endpoints that serves%s",
				     port->endpoints.n, where)
		      : arena_printf(a, "the only endpoint%s", where);
}

void story_service(const struct story_plans *p, const struct story_head *head,
		   const struct story_head *to, struct arena *a, struct story_choice *out)
{
	const struct svc_flow flow = { head->src, head->dst, story_protocol(head->proto),
				       head->dport };
	const struct svc_endpoint *ep;
	const struct target_ref *t;

	*out = (struct story_choice){ .why = NULL };
	svc_judge(&p->node, p->v, p->n, &flow, &out->verdict);
	if (!out->verdict.plan)
		return;
	out->by = service_by(&out->verdict, a);
	out->why = out->verdict.reason;
	if (out->verdict.action != SVC_DNAT || !to)
		return;
	ep = endpoint_at(out->verdict.front->port, to);
	out->why = why_endpoint(&out->verdict, ep, a);
	t = ep ? ep->of->targetRef : NULL;
	if (t && t->name && t->kind && !strcmp(t->kind, "Pod"))
		out->behind =
			(struct story_by){ STORY_BY_POD, t->namespace ? t->namespace : out->by.ns,
					   t->name, NULL };
}

struct story_by story_masquerade(const struct story_view *view, const struct story_choice *choice,
				 const struct story_head *head, const char **why)
{
	size_t n;
	const struct object *const *pools = cluster_all(view->cluster, KIND_IPPOOL, &n);

	if (choice && choice->verdict.action == SVC_DNAT) {
		*why = choice->verdict.masquerade
			       ? choice->verdict.masq_reason
			       : "the endpoint reaches itself: without it, its own "
				 "answer would not come back this way";
		if (choice->verdict.masquerade || addr_eq(&head->src, &head->dst))
			return choice->by;
	}
	*why = "natOutgoing, and the destination is outside of every pool";
	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = pools[i]->body;

		if (pool->spec.natOutgoing && prefix_has(&pool->spec.cidr, &head->src))
			return (struct story_by){ STORY_BY_IPPOOL, NULL, pool->meta.name, NULL };
	}
	*why = NULL;
	return (struct story_by){ .kind = STORY_BY_NONE };
}

/* ---- routes */

struct story_by story_route_behind(const struct story_view *view, const struct prefix *route,
				   const struct ipaddr *dst, struct arena *a, const char **why)
{
	size_t n;
	const struct object *const *blocks = cluster_all(view->cluster, KIND_IPBLOCK, &n);
	struct story_by owner = story_owner(view, dst);

	*why = NULL;
	if (route->len == addr_bits(&route->addr) && owner.kind != STORY_BY_NONE)
		return owner;
	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (!prefix_eq(&b->spec.cidr, route))
			continue;
		*why = arena_printf(a, "of node %s", b->spec.node ? b->spec.node : "-");
		return (struct story_by){ STORY_BY_IPBLOCK, NULL, b->meta.name, NULL };
	}
	if (!route->len && route->addr.family)
		*why = "the default route: nothing more specific leads there";
	return owner.kind == STORY_BY_NODE ? owner : (struct story_by){ .kind = STORY_BY_NONE };
}

const char *story_block_of(const struct story_view *view, const struct ipaddr *ip, const char *node,
			   struct arena *a, struct story_by *block)
{
	size_t n;
	const struct object *const *blocks = cluster_all(view->cluster, KIND_IPBLOCK, &n);
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (!b->spec.node || strcmp(b->spec.node, node) != 0 ||
		    !prefix_has(&b->spec.cidr, ip))
			continue;
		*block = (struct story_by){ STORY_BY_IPBLOCK, NULL, b->meta.name, NULL };
		return arena_strdup(a, prefix_str(&b->spec.cidr, text));
	}
	return NULL;
}
