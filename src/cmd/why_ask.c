// SPDX-License-Identifier: Apache-2.0
/* Who asks whom, and what the node that judges knows: from manifests, or from the store. */
#include "cmd/why.h"

#include "core/service/hostport.h"
#include "lab/world.h"
#include "model/validate.h"
#include "store/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_IPS (sizeof(((struct why_end *)0)->ips) / sizeof(struct ipaddr))

/* ---- objects */

static void on_put(void *arg, struct object *o, const json_t *json)
{
	object_free(cluster_put(((struct why *)arg)->cluster, o));
}

static void on_bad(void *arg, const struct err *e)
{
	((struct why *)arg)->left_out = true;
	cmd_error(CMD_PARTLY, "%s", e->text);
}

static int load_store(struct cmd_ctx *ctx, struct why *w)
{
	static const struct store_events events = { .put = on_put, .bad = on_bad };
	static const uint8_t kinds[] = { KIND_NODE,          KIND_POD,    KIND_SERVICE,
					 KIND_ENDPOINTSLICE, KIND_IPPOOL, KIND_WORKLOADENDPOINT };
	struct err e = { .code = 0 };
	struct store *s;
	int rc = cmd_store_open(ctx, 0, &s);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < sizeof(kinds); i++)
		if (store_list(s, kinds[i], NULL, &events, w, &e))
			rc = cmd_error(CMD_PARTLY, "%s", e.text);
	store_close(s);
	return rc;
}

static int load_files(const struct why_opts *o, struct why *w)
{
	struct manifest m = { .n_items = 0 };
	struct err e = { .code = 0 };
	int rc = CMD_OK;

	for (uint32_t i = 0; !rc && i < o->files.n; i++)
		if (manifest_load(&m, o->files.v[i], &e))
			rc = cmd_fail(&e);
	for (size_t i = 0; i < m.n_errors; i++)
		cmd_error(CMD_PARTLY, "%s", m.errors[i]);
	w->left_out = m.n_errors;
	manifest_into_cluster(&m, w->cluster);
	manifest_fini(&m);
	return rc;
}

/* ---- names */

static void add_ip(struct why_end *end, const struct ipaddr *ip)
{
	if (end->n < MAX_IPS)
		end->ips[end->n++] = *ip;
}

static bool has_ip(const struct why_end *end, const struct ipaddr *ip)
{
	for (uint32_t i = 0; i < end->n; i++)
		if (addr_eq(&end->ips[i], ip))
			return true;
	return false;
}

static void take_pod(struct why_end *end, const struct pod *p)
{
	struct ipaddr asked[2];
	int n = annotation_ips(&p->meta, asked, 2, NULL);

	end->node = p->spec.nodeName && *p->spec.nodeName ? p->spec.nodeName : NULL;
	end->ns = p->meta.namespace;
	for (uint32_t i = 0; i < p->status.podIPs.n; i++)
		add_ip(end, &p->status.podIPs.v[i].ip);
	if (!end->n && p->status.podIP.family)
		add_ip(end, &p->status.podIP);
	for (int i = 0; !p->status.podIPs.n && !p->status.podIP.family && i < n; i++)
		add_ip(end, &asked[i]);
}

/* The addresses of a node that its own kernel takes for local. */
static void take_node(struct why_end *end, const struct node *n)
{
	struct ipaddr ip;

	end->node = n->meta.name;
	for (uint32_t i = 0; i < n->status.addresses.n; i++) {
		const struct node_address *a = &n->status.addresses.v[i];

		if ((a->type == NODE_INTERNAL_IP || a->type == NODE_EXTERNAL_IP) &&
		    !addr_parse(a->address, &ip))
			add_ip(end, &ip);
	}
}

static void take_service(struct why_end *end, const struct service *s)
{
	struct ipaddr ip;

	end->service = s;
	for (uint32_t i = 0; i < s->spec.clusterIPs.n; i++)
		if (!addr_parse_lax(s->spec.clusterIPs.v[i], &ip))
			add_ip(end, &ip);
	if (!s->spec.clusterIPs.n && s->spec.clusterIP && !addr_parse_lax(s->spec.clusterIP, &ip))
		add_ip(end, &ip);
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
	static const uint8_t kinds[] = { KIND_POD, KIND_NODE };

	add_ip(end, ip);
	for (size_t k = 0; k < sizeof(kinds); k++) {
		size_t n;
		const struct object *const *all = cluster_all(c, kinds[k], &n);

		for (size_t i = 0; i < n; i++) {
			struct why_end its = { .n = 0 };

			if (kinds[k] == KIND_POD)
				take_pod(&its, all[i]->body);
			else
				take_node(&its, all[i]->body);
			if (!has_ip(&its, ip))
				continue;
			end->node = its.node;
			end->ns = its.ns;
			return;
		}
	}
}

/* `ns`: where a name without one is looked for. */
static int resolve(struct cmd_ctx *ctx, const struct cluster *c, const char *ns,
		   struct why_end *end)
{
	const struct object *o = NULL;
	const char *name = end->text;
	struct err e = { .code = 0 };
	struct ipaddr ip;

	if (!addr_parse(name, &ip)) {
		take_address(c, end, &ip);
		return CMD_OK;
	}
	if (strchr(name, '/')) {
		if (cmd_split_name(ctx, end->text, NULL, &ns, &name, &e))
			return cmd_usage(ctx, "%s", e.text);
		o = cluster_get(c, KIND_POD, ns, name);
	} else {
		o = cluster_get(c, KIND_NODE, NULL, name);
		if (!o && !split_dns(ctx, end->text, &name, &ns))
			name = end->text;
	}
	if (!o)
		o = cluster_get(c, KIND_SERVICE, ns, name);
	if (!o)
		return cmd_error(CMD_NO, "%s is no pod, node, Service or address", end->text);
	if (o->kind->id == KIND_POD)
		take_pod(end, o->body);
	else if (o->kind->id == KIND_NODE)
		take_node(end, o->body);
	else
		take_service(end, o->body);
	if (!end->n)
		return cmd_error(CMD_NO, "%s %s has no %s", o->kind->name, end->text,
				 end->service ? "cluster IP" : "address");
	return CMD_OK;
}

/* Of one family, IPv4 where both sides have it. */
static bool choose_addresses(struct why *w)
{
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

/* ---- the node that judges */

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
	all = cluster_all(w->cluster, KIND_NODE, &n);
	return n == 1 ? all[0]->meta->name : NULL;
}

static int set_pods(struct cmd_ctx *ctx, const struct why_opts *o, struct why *w)
{
	size_t n;
	const struct object *const *pools = cluster_all(w->cluster, KIND_IPPOOL, &n);

	w->node.pods.v = o->pod_cidrs.v;
	w->node.pods.n = o->pod_cidrs.n;
	if (o->pod_cidrs.n)
		return CMD_OK;
	w->node.pods.v = arena_array(ctx->arena, n, sizeof(*w->node.pods.v));
	if (!w->node.pods.v)
		return cmd_error(CMD_NO, "no memory");
	for (; w->node.pods.n < n; w->node.pods.n++)
		w->node.pods.v[w->node.pods.n] =
			((const struct ippool *)pools[w->node.pods.n]->body)->spec.cidr;
	return n ? CMD_OK
		 : cmd_usage(ctx, "where do pods live? There is no IPPool: give --pod-cidr");
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
	node = cluster_get(w->cluster, KIND_NODE, NULL, name);
	if (!node)
		return cmd_error(CMD_NO, "Node %s: does not exist", name);
	take_node(end, node->body);
	w->node.name = node->meta->name;
	w->node.zone = strmap_get(&node->meta->labels, LABEL_ZONE);
	w->node.addresses.v = end->ips;
	w->node.addresses.n = end->n;
	w->node.services.v = o->service_cidrs.v;
	w->node.services.n = o->service_cidrs.n;
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

	if (svc_plan_host_ports_cluster(w->cluster, &w->node, ctx->arena, &ports, &n_ports, &e) ||
	    svc_plan_cluster(w->cluster, &w->node, ctx->arena, &services, &n, &e))
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
	struct err e = { .code = 0 };
	int rc;

	*w = (struct why){ .cluster = cluster_new() };
	w->from.text = from;
	w->flow.proto = o->proto ? o->proto : PROTO_TCP;
	if (world_split(to, &w->to.text, &w->to.port, ctx->arena, &e))
		return cmd_usage(ctx, "%s", e.text);
	rc = o->files.n ? load_files(o, w) : load_store(ctx, w);
	if (!rc)
		rc = resolve(ctx, w->cluster, "default", &w->from);
	if (!rc && w->from.service)
		rc = cmd_usage(ctx, "%s: a Service sends nothing", from);
	if (!rc)
		rc = resolve(ctx, w->cluster, w->from.ns ? w->from.ns : "default", &w->to);
	if (!rc)
		rc = set_node(ctx, o, w);
	if (rc)
		return rc;
	if (!choose_addresses(w))
		return cmd_error(CMD_NO, "%s and %s have no address family in common", from,
				 w->to.text);
	choose_port(w);
	if (!w->flow.dport)
		return cmd_usage(ctx, "%s: which port? Give TO:PORT", w->to.text);
	return make_plans(ctx, w);
}

void why_forget(struct why *w)
{
	cluster_free(w->cluster);
}
