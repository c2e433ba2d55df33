// SPDX-License-Identifier: Apache-2.0
/* fairlead why: what becomes of a new connection: what a node does with it for Services, by which
 * rule, and which endpoints share it; and whether network policies let it through. The judgements
 * are core/service's and core/policy's; docs/abi.md has the JSON. */
#include "cmd/why.h"
#include "cmd/out.h"
#include "cmd/outside.h"
#include "cmd/verbs.h"

#include <string.h>
#include <sys/socket.h>

static const char *const protos[] = { NULL, "tcp", "udp", "sctp", "icmp" };
const struct names why_proto_names = NAMES(protos);

static const struct opt why_table[] = {
	OPT(struct why_opts, proto, 0, "proto", OPT_ENUM, .names = &why_proto_names,
	    .doc = "Default tcp"),
	OPT(struct why_opts, node, 0, "node", OPT_STR, .arg = "NODE",
	    .doc = "The node that judges (default: FROM's, else TO's)"),
	OPT(struct why_opts, files, 'f', "filename", OPT_STR, .list = 1, .arg = "PATH",
	    .complete = "file", .doc = "Objects of these manifests, not of the store"),
	OPT(struct why_opts, pod_cidrs, 0, "pod-cidr", OPT_PREFIX, .list = 1, .arg = "CIDR",
	    .doc = "Who is a pod (default: who is in an IPPool, else known Pods)"),
	OPT(struct why_opts, service_cidrs, 0, "service-cidr", OPT_PREFIX, .list = 1, .arg = "CIDR",
	    .doc = "Where cluster IPs come from: others are dropped (default: NodeState's)"),
	OPT(struct why_opts, node_port_addresses, 0, "node-port-addresses", OPT_PREFIX, .list = 1,
	    .arg = "CIDR", .doc = "The node's addresses that take node ports (default: all)"),
	OPT(struct why_opts, masquerade_all, 0, "masquerade-all", OPT_FLAG,
	    .doc = "Sources of pods are translated too"),
	OPT(struct why_opts, localhost_node_ports, 0, "localhost-node-ports", OPT_FLAG,
	    .doc = "127.0.0.0/8 takes node ports too"),
	OPT(struct why_opts, hops, 0, "hops", OPT_FLAG,
	    .doc = "The whole path, hop by hop, there and back"),
	OPT(struct why_opts, format, 'o', "output", OPT_ENUM, .names = &out_formats_json,
	    .doc = "Output format"),
	{ 0 },
};

/* "NS/POD" of the endpoint's target, in `a`; NULL where it is no pod. */
static const char *pod_of(const struct svc_endpoint *ep, struct arena *a)
{
	const struct target_ref *t = ep->of->targetRef;

	if (!t || !t->name || !t->kind || strcmp(t->kind, "Pod") != 0)
		return NULL;
	return arena_printf(a, "%s/%s", t->namespace ? t->namespace : "default", t->name);
}

/* The Service, or whose host port it is. */
static const char *name_of_plan(const struct svc_verdict *v, struct arena *a)
{
	if (v->front && v->front->kind == SVC_HOST_PORT)
		return v->plan->name;
	return arena_printf(a, "%s/%s", v->plan->ns, v->plan->name);
}

static const char *left_out(const struct svc_verdict *v, const struct svc_endpoint *ep)
{
	unsigned out = ep->out[v->group];

	return out == SVC_IN ? NULL : name_of(&svc_out_names, out);
}

/* ---- JSON */

static json_t *endpoints_json(const struct why *w, const struct svc_verdict *v, struct arena *a)
{
	json_t *list = json_array();

	for (uint32_t i = 0; v->by_endpoints && i < v->front->port->endpoints.n; i++) {
		const struct svc_endpoint *ep = &v->front->port->endpoints.v[i];
		const char *because = left_out(v, ep);
		char text[ADDR_TEXT];

		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:s?, s:s?, s:s?, s:i, s:s?, s:b}",
						"ip", addr_str(&ep->ip, text), "port", ep->port,
						"pod", pod_of(ep, a), "node", ep->of->nodeName,
						"zone", ep->of->zone, "weight", because ? 0 : 1,
						"excluded_because", because, "hairpin",
						!because && svc_is_hairpin(ep, &w->seen.src)));
	}
	return list;
}

static json_t *service_json(const struct why *w, const struct svc_verdict *v, struct arena *a)
{
	const char *name = v->plan ? name_of_plan(v, a) : NULL;

	return json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:o, s:b, s:s?, s:i}", "action",
			 name_of(&svc_action_names, v->action), "name", name, "port",
			 v->front ? v->front->port->name : NULL, "kind",
			 v->front ? name_of(&svc_kind_names, v->front->kind) : NULL, "reason",
			 v->reason, "endpoints", endpoints_json(w, v, a), "masquerade",
			 v->masquerade, "masquerade_because", v->masq_reason, "affinity",
			 v->action == SVC_DNAT ? (int)v->plan->affinity : 0);
}

static void print_json(const struct why *w, const struct svc_verdict *v, const struct why_policy *p,
		       const struct stories *s, struct arena *a)
{
	json_t *j = json_pack("{s:{s:s, s:o}, s:{s:s, s:o, s:o}, s:s, s:s, s:o}", "from", "name",
			      w->from.text, "ip", out_address_json(&w->flow.src), "to", "name",
			      w->to.text, "ip", out_address_json(&w->flow.dst), "port",
			      out_port_json(w->flow.dport), "proto",
			      name_of(&why_proto_names, w->proto), "node", w->node.name, "service",
			      service_json(w, v, a));

	why_policy_json(w, v, p, j, a);
	why_hops_json(s, j);
	out_json(j, stdout);
	json_decref(j);
}

/* ---- text */

const char *why_address(const struct ipaddr *ip, unsigned port, struct arena *a)
{
	char text[ADDR_TEXT];

	if (!ip->family)
		return port ? arena_printf(a, "no address, port %u", port) : "no address";
	addr_str(ip, text);
	if (!port)
		return arena_strdup(a, text);
	return arena_printf(a, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void print_endpoints(const struct why *w, const struct svc_verdict *v, struct arena *a)
{
	const struct svc_port *port = v->front->port;
	struct table t;

	table_init(&t, "ENDPOINT", "SHARE", "POD", "NODE", "ZONE", "NOTE", NULL);
	for (uint32_t i = 0; i < port->endpoints.n; i++) {
		const struct svc_endpoint *ep = &port->endpoints.v[i];
		const char *because = left_out(v, ep), *pod = pod_of(ep, a);

		table_cell(&t, "%s", why_address(&ep->ip, ep->port, a));
		if (because)
			table_cell(&t, NULL);
		else
			table_cell(&t, "1/%u", port->n[v->group]);
		table_cell(&t, "%s", pod ? pod : "");
		table_cell(&t, "%s", ep->of->nodeName ? ep->of->nodeName : "");
		table_cell(&t, "%s", ep->of->zone ? ep->of->zone : "");
		table_cell(&t, "%s",
			   because                            ? because
			   : svc_is_hairpin(ep, &w->seen.src) ? "itself: its source is translated"
							      : "");
	}
	putchar('\n');
	table_print(&t, stdout);
	table_fini(&t);
}

/* The name, where it is no address, and the address with its port, where there is one. */
static void print_end(const struct why_end *end, const struct ipaddr *ip, unsigned port,
		      struct arena *a)
{
	const char *address = why_address(ip, port, a);
	struct ipaddr same;

	if (!addr_parse(end->text, &same))
		fputs(address, stdout);
	else
		printf("%s (%s)", end->text, address);
}

static void print_service(const struct why *w, const struct svc_verdict *v, struct arena *a)
{
	const struct svc_plan *p = v->plan;

	print_end(&w->from, &w->flow.src, 0, a);
	fputs(" -> ", stdout);
	print_end(&w->to, &w->flow.dst, w->flow.dport, a);
	printf(" by %s, judged on %s%s\n\n", name_of(&why_proto_names, w->proto),
	       *w->node.name ? "node " : "any node", w->node.name);
	printf("%-9s %s\n", name_of(&svc_action_names, v->action), v->reason);
	if (p)
		printf("%-9s %s\n", v->front && v->front->kind == SVC_HOST_PORT ? "pod" : "Service",
		       name_of_plan(v, a));
	if (v->front)
		printf("%-9s %s, port %u%s%s\n", "by", name_of(&svc_kind_names, v->front->kind),
		       v->front->port->port, *v->front->port->name ? " " : "",
		       v->front->port->name);
	if (v->action == SVC_DNAT)
		printf("%-9s %s: %s\n", "source", v->masquerade ? "becomes the node's" : "stays",
		       v->masq_reason);
	if (v->action == SVC_DNAT && p->affinity)
		printf("%-9s a client keeps its endpoint for %u s\n", "affinity", p->affinity);
	if (v->by_endpoints && v->front->port->endpoints.n)
		print_endpoints(w, v, a);
}

static int exit_of(const struct why *w, const struct svc_verdict *v, const struct why_policy *p)
{
	if (w->objects.left_out || (p->n_denied && p->n_denied < p->targets.n))
		return CMD_PARTLY;
	return v->action == SVC_REJECT || v->action == SVC_DROP || p->n_denied ? CMD_NO : CMD_OK;
}

static int run(struct cmd_ctx *ctx, const void *opts, int argc, char **argv)
{
	const struct why_opts *o = opts;
	const char *from, *to;
	struct outside outside;
	struct why_policy p;
	struct svc_verdict v;
	struct stories s;
	struct why w;
	int rc;

	if (argc != 2)
		return cmd_usage(ctx, "takes FROM and TO[:PORT]");
	from = argv[0];
	to = argv[1];
	rc = outside_name(ctx, &from, &to, &outside);
	if (rc)
		return rc;
	rc = why_ask(ctx, o, from, to, &w);
	if (!rc) {
		svc_judge(&w.node, w.plans, w.n_plans, &w.seen, &v);
		rc = why_policy(ctx, &w, &v, &p);
	}
	if (!rc)
		rc = why_hops(ctx, &w, &s);
	if (!rc && o->format == OUT_JSON) {
		print_json(&w, &v, &p, &s, ctx->arena);
	} else if (!rc) {
		print_service(&w, &v, ctx->arena);
		why_policy_print(&w, &p, ctx->arena);
		rc = why_hops_print(&s, o->hops, ctx->arena);
	}
	if (!rc)
		rc = exit_of(&w, &v, &p);
	why_forget(&w);
	return rc;
}

const struct cmd cmd_why = {
	.name = "why",
	.args = "FROM TO[:PORT]",
	.summary = "What becomes of a connection: Services, network policies, and why",
	.help = "FROM is NS/POD, NS/WORKLOAD (one of its pods), a node, an address, or `outside` "
		"of a\n"
		"lab. TO may be a Service too: NS/NAME, or its name in DNS; one with a single port "
		"needs no\n"
		"PORT, and ICMP (between IPv6 addresses ICMPv6) has none. IPv6 as [ADDR]:PORT.\n"
		"Says what Services do with the connection, and for each endpoint whether network\n"
		"policies let it through: the rule that allows it, or who isolates the pod and\n"
		"why none of their rules matched. A pod without an address is in no ipBlock.\n\n"
		"DNAT    one of the endpoints gets it    REJECT  refused at once    DROP  without "
		"an answer\nPASS    no Service's business           ACCEPT  the node answers "
		"(health check)\n"
		"ALLOWED, DENIED    by policies: dropped without an answer\n\n"
		"What a node masquerades arrives on other nodes with that node's address (in a "
		"tunnel, its\ntunnel address): there an ipBlock sees the node, and no podSelector "
		"the pod. Endpoints\non the node itself see the client.\n\n"
		"Exit code 0 it is let through, 1 refused or denied, 3 denied to some of the "
		"endpoints, or\nobjects were left out.\n\n"
		"Try:\n"
		"  fairlead why shop/web-0 shop/db:5432\n"
		"  fairlead why shop/web shop/db:5432 -f shop.yaml -f policies.yaml\n"
		"  fairlead why 203.0.113.9 192.0.2.11:30080 -f shop.yaml --pod-cidr "
		"10.244.0.0/16\n"
		"  fairlead why n1 db.shop.svc --node n1 -o json",
	.opts = why_table,
	.opts_size = sizeof(struct why_opts),
	.run = run,
};
