// SPDX-License-Identifier: Apache-2.0
/* Who asks whom, and what the node that judges knows: from manifests, or from the store. */
#include "cmd/why.h"

#include "core/dns/resolv.h"
#include "core/service/hostport.h"
#include "lab/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static_assert((int)TRACE_TCP == (int)PROTO_TCP && (int)TRACE_UDP == (int)PROTO_UDP &&
		      (int)TRACE_SCTP == (int)PROTO_SCTP,
	      "--proto names what Services and policies know, and ICMP");

/* ---- names */

static void take_pod(const struct cluster *c, struct why_end *end, const struct pod *p)
{
	end->pod = p;
	end->node = p->spec.nodeName && *p->spec.nodeName ? p->spec.nodeName : NULL;
	end->ns = p->meta.namespace;
	end->n = objects_end_ips(c, p, end->ips);
}

static void take_node(struct why_end *end, const struct node *n)
{
	end->node = n->meta.name;
	end->n = objects_node_ips(n, end->ips);
}

static void add_ip(struct why_end *end, const char *text)
{
	if (end->n < OBJECT_IPS && !addr_parse_lax(text, &end->ips[end->n]))
		end->n++;
}

static void take_service(struct why_end *end, const struct service *s)
{
	end->service = s;
	for (uint32_t i = 0; i < s->spec.clusterIPs.n; i++)
		add_ip(end, s->spec.clusterIPs.v[i]);
	if (!s->spec.clusterIPs.n && s->spec.clusterIP)
		add_ip(end, s->spec.clusterIP);
}

/* "NAME", "NAME.NS", "NAME.NS.svc", "NAME.NS.svc.DOMAIN": NAME and NS, or false. */
static bool split_dns(struct cmd_ctx *ctx, const char *text, const char **name, const char **ns)
{
	size_t n = strcspn(text, "."), m;
	const char *rest = text + n;

	*name = arena_strndup(ctx->arena, text, n);
	if (!*rest)
		return *name;
	m = strcspn(++rest, ".");
	*ns = arena_strndup(ctx->arena, rest, m);
	rest += m;
	return *name && *ns && (!*rest || !strcmp(rest, ".svc") || !strncmp(rest, ".svc.", 5));
}

/* A bare address may be a pod's or a node's; it says where it lives. */
static void take_address(const struct cluster *c, struct why_end *end, const struct ipaddr *ip)
{
	const struct pod *p = objects_pod_at(c, ip);
	const struct node *n = p ? NULL : objects_node_at(c, ip);

	if (p)
		take_pod(c, end, p);
	else if (n)
		take_node(end, n);
	end->ips[0] = *ip;
	end->n = 1;
}

/* ---- names of workloads: one of their pods stands for all */

/* One that is not the `asker`, where there is one: a pod may always reach itself. NULL: it has none. */
static const struct pod *pod_of_workload(const struct cluster *c, const struct object *workload,
					 const struct pod *asker)
{
	size_t n;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n);
	const struct pod *found = NULL;

	for (size_t i = 0; i < n && (!found || found == asker); i++) {
		const struct pod *p = pods[i]->body;

		if (p->status.phase != POD_SUCCEEDED && p->status.phase != POD_FAILED &&
		    objects_is_of(p, workload))
			found = p;
	}
	return found;
}

static int take_workload(struct cmd_ctx *ctx, const struct cluster *c, const struct object *o,
			 const struct pod *asker, struct why_end *end)
{
	const struct pod *p = pod_of_workload(c, o, asker);

	if (!p)
		return cmd_error(CMD_NO, "%s %s has no pods", o->kind->name, end->text);
	end->text = arena_printf(ctx->arena, "%s/%s", p->meta.namespace, p->meta.name);
	take_pod(c, end, p);
	return end->text ? CMD_OK : cmd_error(CMD_NO, "no memory");
}

/* ---- who has the name */

/* A workload often has its Service's name: a Service that has an address is meant by who sends there. */
static const struct object *find_service_or_workload(const struct cluster *c, const char *ns,
						     const char *name, bool sends)
{
	const struct object *service = cluster_get(c, KIND_SERVICE, ns, name), *workload;
	struct why_end its = { .n = 0 };

	if (service)
		take_service(&its, service->body);
	workload = !sends && its.n ? NULL : objects_workload(c, ns, name);
	return workload ? workload : service;
}

/* `from`: who sends to it, and in whose namespace a name without one is looked for; NULL: it sends itself. */
static int find_object(struct cmd_ctx *ctx, const struct cluster *c, const struct why_end *from,
		       const char *text, const struct object **out)
{
	const char *ns = from && from->ns ? from->ns : "default", *name = text;
	struct err e = { .code = 0 };

	if (strchr(text, '/')) {
		if (cmd_split_name(ctx, text, NULL, &ns, &name, &e))
			return cmd_usage(ctx, "%s", e.text);
		*out = cluster_get(c, KIND_POD, ns, name);
		if (!*out)
			*out = find_service_or_workload(c, ns, name, !from);
	} else {
		*out = cluster_get(c, KIND_NODE, NULL, text);
		if (!*out && !split_dns(ctx, text, &name, &ns))
			name = text;
		if (!*out)
			*out = cluster_get(c, KIND_SERVICE, ns, name);
	}
	return *out ? CMD_OK
		    : cmd_error(CMD_NO, "%s is no pod, workload, node, Service or address%s", text,
				strchr(text, '/') ? "" : " (pods and workloads are NS/NAME)");
}

static int resolve(struct cmd_ctx *ctx, const struct cluster *c, const struct why_end *from,
		   struct why_end *end)
{
	const struct object *o;
	struct ipaddr ip;
	int rc = CMD_OK;

	if (!addr_parse(end->text, &ip)) {
		take_address(c, end, &ip);
		return CMD_OK;
	}
	rc = find_object(ctx, c, from, end->text, &o);
	if (rc)
		return rc;
	if (o->kind->id == KIND_POD)
		take_pod(c, end, o->body);
	else if (o->kind->id == KIND_NODE)
		take_node(end, o->body);
	else if (o->kind->id == KIND_SERVICE)
		take_service(end, o->body);
	else
		rc = take_workload(ctx, c, o, from ? from->pod : NULL, end);
	if (!rc && !end->n && !policy_knows_pod(end->pod))
		rc = cmd_error(CMD_NO, "%s %s has no %s", o->kind->name, end->text,
			       end->service
				       ? "cluster IP (spec.clusterIP): ask of what is behind it"
				       : "address");
	return rc;
}

/* IPv4 where it has that; family 0 where it has none. */
static struct ipaddr first_address(const struct why_end *end)
{
	for (uint32_t i = 0; i < end->n; i++)
		if (end->ips[i].family == AF_INET)
			return end->ips[i];
	return end->n ? end->ips[0] : (struct ipaddr){ .family = 0 };
}

/* What kubelets write into resolv.conf is no object. Number 10 of the Services' range is the usual address, which role dns takes
 * on each node; without it a Service of the usual name has one. */
static int take_nameserver(struct why *w)
{
	const struct cluster *c = w->objects.cluster;
	const struct object *o = cluster_get(c, KIND_NODESTATE, NULL, w->from.node);
	const struct node_state *s = o ? o->body : NULL;

	w->to.text = "the DNS server";
	for (int others = 0; s && others < 2; others++)
		for (uint32_t i = 0; i < s->status.dnsAddresses.n && w->to.n < OBJECT_IPS; i++) {
			const struct ipaddr *ip = &s->status.dnsAddresses.v[i];
			bool is_service = false;

			for (uint32_t k = 0; k < s->status.serviceCIDRs.n; k++)
				is_service |= prefix_has(&s->status.serviceCIDRs.v[k], ip);
			if (is_service != others)
				w->to.ips[w->to.n++] = *ip;
		}
	o = w->to.n ? NULL : cluster_get(c, KIND_SERVICE, "kube-system", "kube-dns");
	if (o)
		take_service(&w->to, o->body);
	return w->to.n ? CMD_OK
		       : cmd_error(CMD_USAGE,
				   "who is asked? Node %s has no role dns, and there is no Service "
				   "kube-system/kube-dns: give TO",
				   w->from.node ? w->from.node : "-");
}

/* Of one family, IPv4 where both sides have it; a pod without an address has any. */
static bool choose_addresses(struct why *w)
{
	if (!w->from.n || !w->to.n) {
		w->flow.src = first_address(&w->from);
		w->flow.dst = first_address(&w->to);
		return true;
	}
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < w->from.n; i++)
			for (uint32_t k = 0; k < w->to.n; k++) {
				uint8_t family = w->from.ips[i].family;

				if (family != w->to.ips[k].family ||
				    (family == AF_INET6) != (pass == 1))
					continue;
				w->flow.src = w->from.ips[i];
				w->flow.dst = w->to.ips[k];
				return true;
			}
	return false;
}

/* A Service with one port of the protocol needs none named. */
static void choose_port(struct why *w)
{
	const struct service *s = w->to.service;
	uint32_t n = 0;

	for (uint32_t i = 0; !w->to.port && s && i < s->spec.ports.n; i++) {
		const struct service_port *p = &s->spec.ports.v[i];

		if ((p->protocol ? p->protocol : PROTO_TCP) != w->flow.proto)
			continue;
		w->flow.dport = (uint16_t)p->port;
		n++;
	}
	if (n != 1)
		w->flow.dport = w->to.port;
}

/* ---- the source that it judges by */

const struct ippool *why_pool_of(const struct cluster *c, const struct ipaddr *ip)
{
	struct prefix host = prefix_host(ip);

	return cluster_pool_of(c, &host);
}

/* What a pod sends to another node leaves its own one by natOutgoing. */
static void see(struct why *w, struct arena *a)
{
	const struct cluster *c = w->objects.cluster;
	const struct ippool *pool = why_pool_of(c, &w->flow.src);
	const struct object *node;
	struct why_end sender = { 0 };

	w->seen = w->flow;
	if (!w->from.node || !strcmp(w->from.node, w->node.name) ||
	    !policy_knows_pod(w->from.pod) || !pool || !pool->spec.natOutgoing ||
	    why_pool_of(c, &w->flow.dst))
		return;
	node = cluster_get(c, KIND_NODE, NULL, w->from.node);
	if (node)
		take_node(&sender, node->body);
	for (uint32_t i = 0; i < sender.n; i++) {
		if (sender.ips[i].family != w->flow.src.family)
			continue;
		w->seen.src = sender.ips[i];
		w->seen_because =
			arena_printf(a, "natOutgoing of pool %s on %s: that node's address",
				     pool->meta.name, w->from.node);
		return;
	}
}

/* ---- the node that judges
 *
 * Manifests of people without a cluster have no Nodes: then any node judges, which knows none of its
 * own addresses. */

static const char *choose_node(const struct why_opts *o, const struct why *w)
{
	const struct object *const *all;
	size_t n;

	if (o->node)
		return o->node;
	if (w->from.node)
		return w->from.node;
	if (w->to.node)
		return w->to.node;
	all = cluster_all(w->objects.cluster, KIND_NODE, &n);
	if (!n)
		return "";
	return n == 1 ? all[0]->meta->name : NULL;
}

/* Without pools, those whose addresses are known. */
static uint32_t pods_themselves(const struct cluster *c, struct prefix *out)
{
	size_t n_pods;
	const struct object *const *pods = cluster_all(c, KIND_POD, &n_pods);
	struct ipaddr its[OBJECT_IPS];
	uint32_t n = 0;

	for (size_t i = 0; i < n_pods; i++) {
		const struct pod *p = pods[i]->body;
		uint32_t k = policy_knows_pod(p) ? objects_pod_ips(p, its) : 0;

		for (uint32_t j = 0; j < k; j++)
			out[n++] = prefix_host(&its[j]);
	}
	return n;
}

static int set_pods(struct cmd_ctx *ctx, const struct why_opts *o, struct why *w)
{
	size_t n, n_pods;
	const struct object *const *pools = cluster_all(w->objects.cluster, KIND_IPPOOL, &n);

	w->node.pods.v = o->pod_cidrs.v;
	w->node.pods.n = o->pod_cidrs.n;
	if (o->pod_cidrs.n)
		return CMD_OK;
	cluster_all(w->objects.cluster, KIND_POD, &n_pods);
	w->node.pods.v = arena_array(ctx->arena, n + OBJECT_IPS * n_pods, sizeof(*w->node.pods.v));
	if (!w->node.pods.v)
		return cmd_error(CMD_NO, "no memory");
	for (; w->node.pods.n < n; w->node.pods.n++)
		w->node.pods.v[w->node.pods.n] =
			((const struct ippool *)pools[w->node.pods.n]->body)->spec.cidr;
	if (!n)
		w->node.pods.n = pods_themselves(w->objects.cluster, w->node.pods.v);
	/* Who has no address is a pod in any case, and of nobody else it matters. */
	return w->node.pods.n || !w->from.n || !w->to.n
		       ? CMD_OK
		       : cmd_usage(ctx, "where do pods live? There is no IPPool: give --pod-cidr");
}

/* As asked, else as the node is configured. */
static void set_services(const struct why_opts *o, struct why *w)
{
	const struct object *state =
		cluster_get(w->objects.cluster, KIND_NODESTATE, NULL, w->node.name);
	const struct node_state *s = state ? state->body : NULL;

	w->node.services.v = o->service_cidrs.v;
	w->node.services.n = o->service_cidrs.n;
	if (s) {
		w->node.dns.v = s->status.dnsAddresses.v;
		w->node.dns.n = s->status.dnsAddresses.n;
	}
	if (o->service_cidrs.n || !s)
		return;
	w->node.services.v = s->status.serviceCIDRs.v;
	w->node.services.n = s->status.serviceCIDRs.n;
}

static int set_node(struct cmd_ctx *ctx, const struct why_opts *o, struct why *w)
{
	const char *name = choose_node(o, w);
	struct why_end *end = arena_alloc(ctx->arena, sizeof(*end));
	const struct object *node;

	if (!end)
		return cmd_error(CMD_NO, "no memory");
	if (!name)
		return cmd_usage(ctx, "which node judges? Give --node");
	node = cluster_get(w->objects.cluster, KIND_NODE, NULL, name);
	if (!node && o->node)
		return cmd_error(CMD_NO, "Node %s: does not exist", name);
	if (node) {
		take_node(end, node->body);
		w->node.zone = strmap_get(&node->meta->labels, LABEL_ZONE);
	}
	w->node.name = name;
	w->node.addresses.v = end->ips;
	w->node.addresses.n = end->n;
	set_services(o, w);
	w->node.nodePortAddresses.v = o->node_port_addresses.v;
	w->node.nodePortAddresses.n = o->node_port_addresses.n;
	w->node.masquerade_all = o->masquerade_all;
	w->node.localhost_node_ports = o->localhost_node_ports;
	return set_pods(ctx, o, w);
}

/* Host ports before Services, as the node's rules have them. */
static int make_plans(struct cmd_ctx *ctx, struct why *w)
{
	struct svc_plan *ports, *services, *all;
	size_t n_ports, n;
	struct err e;

	if (svc_plan_host_ports_cluster(w->objects.cluster, &w->node, ctx->arena, &ports, &n_ports,
					&e) ||
	    svc_plan_cluster(w->objects.cluster, &w->node, ctx->arena, &services, &n, &e))
		return cmd_fail(&e);
	all = arena_array(ctx->arena, n_ports + n, sizeof(*all));
	if (!all)
		return cmd_error(CMD_NO, "no memory");
	if (n_ports)
		memcpy(all, ports, n_ports * sizeof(*all));
	if (n)
		memcpy(all + n_ports, services, n * sizeof(*all));
	w->plans = all;
	w->n_plans = n_ports + n;
	return CMD_OK;
}

int why_ask(struct cmd_ctx *ctx, const struct why_opts *o, const char *from, const char *to,
	    struct why *w)
{
	static const uint8_t kinds[] = { KIND_NODE,     KIND_NAMESPACE,     KIND_POD,
					 KIND_SERVICE,  KIND_ENDPOINTSLICE, KIND_NETWORKPOLICY,
					 KIND_IPPOOL,   KIND_IPBLOCK,       KIND_WORKLOADENDPOINT,
					 KIND_NODESTATE };
	const struct objects_from where = { .files = o->files.v,
					    .n_files = o->files.n,
					    .kinds = kinds,
					    .n_kinds = sizeof(kinds),
					    .workloads = true };
	struct err e = { .code = 0 };
	int rc;

	*w = (struct why){ .from = { .text = from } };
	w->proto = o->proto ? o->proto : TRACE_TCP;
	w->flow.proto = w->proto == TRACE_ICMP ? PROTO_NONE : w->proto;
	if (to && world_split(to, &w->to.text, &w->to.port, ctx->arena, &e))
		return cmd_usage(ctx, "%s", e.text);
	if (w->to.port && w->proto == TRACE_ICMP)
		return cmd_usage(ctx, "%s: ICMP has no ports", to);
	rc = objects_load(ctx, &where, &w->objects);
	if (!rc)
		rc = resolve(ctx, w->objects.cluster, NULL, &w->from);
	if (!rc && w->from.service)
		rc = cmd_usage(ctx, "%s: a Service sends nothing", from);
	if (!rc)
		rc = to ? resolve(ctx, w->objects.cluster, &w->from, &w->to) : take_nameserver(w);
	if (o->dns && !w->to.port)
		w->to.port = DNS_PORT;
	if (!rc)
		rc = set_node(ctx, o, w);
	if (rc)
		return rc;
	if (!choose_addresses(w))
		return cmd_error(CMD_NO, "%s and %s have no address family in common", from,
				 w->to.text);
	choose_port(w);
	see(w, ctx->arena);
	if (!w->flow.dport && w->proto != TRACE_ICMP)
		return cmd_usage(ctx, "%s: which port? Give TO:PORT", w->to.text);
	return make_plans(ctx, w);
}

void why_forget(struct why *w)
{
	objects_fini(&w->objects);
}
