// SPDX-License-Identifier: Apache-2.0
/* What a person wants to see of each kind. NAME comes first everywhere, LABELS last in wide. */
#include "cmd/columns.h"

#include "base/buf.h"
#include "core/ipam/pool.h"
#include "model/bgp.h"
#include "model/trace.h"

#include <string.h>

typedef void cells_fn(struct table *t, const struct object *o, bool wide);

static void cell_labels(struct table *t, const struct strmap *m)
{
	struct buf b = { .v = NULL };

	for (uint32_t i = 0; i < m->n; i++)
		buf_printf(&b, "%s%s=%s", i ? "," : "", m->v[i].key, m->v[i].value);
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
}

static void cell_addr(struct table *t, const struct ipaddr *a)
{
	char text[ADDR_TEXT];

	table_cell(t, "%s", a->family ? addr_str(a, text) : "");
}

static void cell_prefix(struct table *t, const struct prefix *p)
{
	char text[PREFIX_TEXT];

	table_cell(t, "%s", p->addr.family ? prefix_str(p, text) : "");
}

static void cell_prefixes(struct table *t, const struct prefix *v, uint32_t n)
{
	struct buf b = { .v = NULL };
	char text[PREFIX_TEXT];

	for (uint32_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "," : "", prefix_str(&v[i], text));
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
}

static void cell_str(struct table *t, const char *s)
{
	table_cell(t, "%s", s ? s : "");
}

static void cell_yes(struct table *t, bool yes)
{
	table_cell(t, "%s", yes ? "yes" : "no");
}

static void cell_mac(struct table *t, const struct macaddr *m)
{
	char text[MAC_TEXT];

	table_cell(t, "%s", mac_str(m, text));
}

static void node_cells(struct table *t, const struct object *o, bool wide)
{
	static const char *const types[] = { "", "", "external:", "hostname:", "dns:", "dns:" };
	const struct node *n = o->body;
	struct buf b = { .v = NULL };

	for (uint32_t i = 0; i < n->status.addresses.n; i++) {
		const struct node_address *a = &n->status.addresses.v[i];

		if (a->type == NODE_INTERNAL_IP || wide)
			buf_printf(&b, "%s%s%s", b.n ? "," : "",
				   types[a->type <= NODE_EXTERNAL_DNS ? a->type : 0], a->address);
	}
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
	cell_yes(t, !n->spec.unschedulable);
	cell_str(t, n->spec.podCIDR);
}

static void pod_cells(struct table *t, const struct object *o, bool wide)
{
	static const char *const phases[] = { "Pending",   "Pending", "Running",
					      "Succeeded", "Failed",  "Unknown" };
	const struct pod *p = o->body;
	struct buf b = { .v = NULL };
	const char *ready = "no";
	char text[ADDR_TEXT];

	for (uint32_t i = 0; i < p->status.podIPs.n; i++)
		buf_printf(&b, "%s%s", i ? "," : "", addr_str(&p->status.podIPs.v[i].ip, text));
	if (!b.n && p->status.podIP.family)
		buf_puts(&b, addr_str(&p->status.podIP, text));
	for (uint32_t i = 0; i < p->status.conditions.n; i++)
		if (!strcmp(p->status.conditions.v[i].type, "Ready") &&
		    p->status.conditions.v[i].status &&
		    !strcmp(p->status.conditions.v[i].status, "True"))
			ready = "yes";
	table_cell(t, "%s", ready);
	table_cell(t, "%s", phases[p->status.phase <= POD_UNKNOWN ? p->status.phase : POD_UNKNOWN]);
	table_cell(t, "%s", b.v ? b.v : "");
	cell_str(t, p->spec.nodeName);
	buf_fini(&b);
}

static void workload_cells(struct table *t, const struct object *o, bool wide)
{
	const struct workload *w = o->body;

	if (o->kind->id == KIND_JOB)
		table_cell(t, "%lld",
			   (long long)(w->spec.completions.set ? w->spec.completions.v : 1));
	else if (o->kind->id == KIND_DAEMONSET)
		table_cell(t, NULL);
	else
		table_cell(t, "%lld", (long long)(w->spec.replicas.set ? w->spec.replicas.v : 1));
	if (w->spec.selector)
		cell_labels(t, &w->spec.selector->matchLabels);
	else
		table_cell(t, NULL);
}

static void cell_strs(struct table *t, const char *const *v, uint32_t n)
{
	struct buf b = { .v = NULL };

	for (uint32_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "," : "", v[i]);
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
}

/* As kubectl: of a load balancer its own addresses first, then the external ones. */
static void cell_external(struct table *t, const struct service *s)
{
	struct buf b = { .v = NULL };

	if (s->spec.type == SERVICE_EXTERNAL_NAME) {
		cell_str(t, s->spec.externalName);
		return;
	}
	for (uint32_t i = 0; i < s->status.loadBalancer.ingress.n; i++) {
		const struct lb_ingress *in = &s->status.loadBalancer.ingress.v[i];
		const char *text = in->ip && *in->ip ? in->ip : in->hostname;

		if (text && *text)
			buf_printf(&b, "%s%s", b.n ? "," : "", text);
	}
	for (uint32_t i = 0; i < s->spec.externalIPs.n; i++)
		buf_printf(&b, "%s%s", b.n ? "," : "", s->spec.externalIPs.v[i]);
	if (!b.n && s->spec.type == SERVICE_LOAD_BALANCER)
		buf_puts(&b, "<pending>");
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
}

static void service_cells(struct table *t, const struct object *o, bool wide)
{
	static const char *const types[] = { "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer",
					     "ExternalName" };
	const struct service *s = o->body;
	struct buf b = { .v = NULL };

	table_cell(t, "%s", types[s->spec.type <= SERVICE_EXTERNAL_NAME ? s->spec.type : 0]);
	if (s->spec.clusterIPs.n)
		cell_strs(t, s->spec.clusterIPs.v, s->spec.clusterIPs.n);
	else
		cell_str(t, s->spec.clusterIP);
	cell_external(t, s);
	for (uint32_t i = 0; i < s->spec.ports.n; i++) {
		const struct service_port *p = &s->spec.ports.v[i];

		buf_printf(&b, "%s%lld", i ? "," : "", (long long)p->port);
		if (p->nodePort)
			buf_printf(&b, ":%lld", (long long)p->nodePort);
		buf_printf(&b, "/%s",
			   name_of(&protocol_names, p->protocol ? p->protocol : PROTO_TCP));
	}
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
	if (wide)
		cell_labels(t, &s->spec.selector);
}

#define SLICE_SHOWN 3 /* endpoints in a narrow table */

static void slice_cells(struct table *t, const struct object *o, bool wide)
{
	static const char *const types[] = { "", "IPv4", "IPv6", "FQDN" };
	const struct endpoint_slice *s = o->body;
	struct buf ports = { .v = NULL }, b = { .v = NULL };
	uint32_t shown = wide || s->endpoints.n <= SLICE_SHOWN ? s->endpoints.n : SLICE_SHOWN;

	for (uint32_t i = 0; i < s->ports.n; i++)
		buf_printf(&ports, "%s%lld", i ? "," : "", (long long)s->ports.v[i].port);
	for (uint32_t i = 0; i < shown; i++)
		for (uint32_t k = 0; k < s->endpoints.v[i].addresses.n; k++)
			buf_printf(&b, "%s%s", b.n ? "," : "", s->endpoints.v[i].addresses.v[k]);
	if (shown < s->endpoints.n)
		buf_printf(&b, " + %u more", s->endpoints.n - shown);
	table_cell(t, "%s", types[s->addressType <= SLICE_FQDN ? s->addressType : 0]);
	table_cell(t, "%s", ports.v ? ports.v : "");
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&ports);
	buf_fini(&b);
}

/* "" for none. */
static void cell_selector(struct table *t, const struct label_selector *s)
{
	struct arena a;
	const char *text;

	arena_init(&a, 0);
	text = s ? selector_text(s, &a) : "";
	table_cell(t, "%s", s && text && !*text ? "<all>" : text ? text : "");
	arena_fini(&a);
}

static void policy_cells(struct table *t, const struct object *o, bool wide)
{
	const struct network_policy *p = o->body;
	bool in = network_policy_has(p, POLICY_INGRESS), out = network_policy_has(p, POLICY_EGRESS);

	cell_selector(t, &p->spec.podSelector);
	table_cell(t, "%s%s%s", in ? "Ingress" : "", in && out ? "," : "", out ? "Egress" : "");
}

static void pool_cells(struct table *t, const struct object *o, bool wide)
{
	static const char *const modes[] = { "VXLAN", "Direct", "VXLAN", "IPIP" };
	const struct ippool *p = o->body;

	cell_prefix(t, &p->spec.cidr);
	table_cell(t, "%s%s", modes[p->spec.mode <= POOL_IPIP ? p->spec.mode : 0],
		   p->spec.crossSubnet ? " (cross-subnet)" : "");
	table_cell(t, "/%u", ipam_pool_block_len(p));
	cell_yes(t, p->spec.natOutgoing);
	cell_yes(t, p->spec.disabled);
	if (!wide)
		return;
	cell_str(t, p->spec.routes == ROUTES_BGP ? "bgp" : "store");
	cell_yes(t, p->spec.strictAffinity);
	if (p->spec.nodeSelector)
		cell_labels(t, &p->spec.nodeSelector->matchLabels);
	else
		table_cell(t, "all()");
}

static void block_cells(struct table *t, const struct object *o, bool wide)
{
	const struct ipblock *b = o->body;

	cell_prefix(t, &b->spec.cidr);
	cell_str(t, b->spec.pool);
	cell_str(t, b->spec.node);
	cell_addr(t, &b->spec.tunnelAddress);
	table_cell(t, "%u", b->spec.borrowed.n);
}

static void reservation_cells(struct table *t, const struct object *o, bool wide)
{
	const struct ipreservation *r = o->body;

	cell_prefixes(t, r->spec.reservedCIDRs.v, r->spec.reservedCIDRs.n);
}

static void endpoint_cells(struct table *t, const struct object *o, bool wide)
{
	const struct workload_endpoint *w = o->body;

	cell_str(t, w->spec.node);
	cell_str(t, w->spec.pod);
	cell_prefixes(t, w->spec.ips.v, w->spec.ips.n);
	cell_str(t, w->spec.hostInterface);
	/* Runtimes' ids have 64 digits; twelve name them, as docker and crictl print. */
	table_cell(t, "%.*s", wide ? 64 : 12, w->spec.containerID ? w->spec.containerID : "");
	if (!wide)
		return;
	cell_str(t, w->spec.network);
	cell_str(t, w->spec.interface);
	cell_mac(t, &w->spec.mac);
}

static void state_cells(struct table *t, const struct object *o, bool wide)
{
	const struct node_state *s = o->body;
	struct buf b = { .v = NULL };

	for (uint32_t i = 0; i < s->status.conditions.n; i++)
		buf_printf(&b, "%s%s=%s", i ? "," : "", s->status.conditions.v[i].type,
			   s->status.conditions.v[i].status ? s->status.conditions.v[i].status
							    : "Unknown");
	table_cell(t, "%lld", (long long)s->status.observedRevision);
	cell_str(t, s->status.version);
	table_cell(t, "%lld", (long long)s->status.pods);
	cell_addr(t, &s->status.tunnel4);
	cell_addr(t, &s->status.tunnel6);
	table_cell(t, "%s", b.v ? b.v : "");
	buf_fini(&b);
}

static void trace_cells(struct table *t, const struct object *o, bool wide)
{
	const struct packet_trace *p = o->body;
	uint32_t armed = 0, done = 0, failed = 0;
	char to[ADDR_TEXT];

	for (uint32_t i = 0; i < p->status.nodes.n; i++) {
		armed += p->status.nodes.v[i].phase == TRACE_ARMED;
		done += p->status.nodes.v[i].phase == TRACE_DONE;
		failed += p->status.nodes.v[i].phase == TRACE_FAILED;
	}
	if (p->spec.source.pod)
		table_cell(t, "%s/%s", p->spec.source.namespace, p->spec.source.pod);
	else
		cell_addr(t, &p->spec.source.address);
	addr_str(&p->spec.destination.address, to);
	if (p->spec.protocol == TRACE_ICMP)
		table_cell(t, "%s", to);
	else
		table_cell(t, strchr(to, ':') ? "[%s]:%lld" : "%s:%lld", to,
			   (long long)p->spec.destination.port);
	cell_str(t, name_of(&trace_protocol_names, p->spec.protocol));
	cell_str(t, p->status.probe.result ? name_of(&trace_result_names, p->status.probe.result)
					   : NULL);
	table_cell(t, "%u armed, %u done, %u failed of %u", armed, done, failed, p->spec.nodes.n);
}

static void config_cells(struct table *t, const struct object *o, bool wide)
{
	const struct bgpconfiguration *c = o->body;

	if (c->spec.asNumber)
		table_cell(t, "%lld", (long long)c->spec.asNumber);
	else
		cell_str(t, NULL);
	cell_str(t, c->spec.nodeToNodeMeshEnabled == TRI_TRUE    ? "yes"
		    : c->spec.nodeToNodeMeshEnabled == TRI_FALSE ? "no"
								 : NULL);
	if (c->spec.listenPort)
		table_cell(t, "%lld", (long long)c->spec.listenPort);
	else
		cell_str(t, NULL);
}

static void peer_cells(struct table *t, const struct object *o, bool wide)
{
	const struct bgppeer *p = o->body;

	if (p->spec.node)
		cell_str(t, p->spec.node);
	else if (p->spec.nodeSelector)
		cell_selector(t, p->spec.nodeSelector);
	else
		cell_str(t, "<all>");
	if (p->spec.peerIP)
		cell_str(t, p->spec.peerIP);
	else
		cell_selector(t, p->spec.peerSelector);
	if (p->spec.asNumber)
		table_cell(t, "%lld", (long long)p->spec.asNumber);
	else
		cell_str(t, NULL);
	cell_strs(t, p->spec.filters.v, p->spec.filters.n);
}

static void filter_cells(struct table *t, const struct object *o, bool wide)
{
	const struct bgpfilter *f = o->body;

	table_cell(t, "%u", f->spec.importV4.n);
	table_cell(t, "%u", f->spec.exportV4.n);
	table_cell(t, "%u", f->spec.importV6.n);
	table_cell(t, "%u", f->spec.exportV6.n);
}

static void secret_cells(struct table *t, const struct object *o, bool wide)
{
	const struct secret *s = o->body;
	uint32_t n = s->data.n;

	for (uint32_t i = 0; i < s->stringData.n; i++)
		n += !strmap_get(&s->data, s->stringData.v[i].key);
	cell_str(t, s->type);
	table_cell(t, "%u", n);
}

#define HEADS 8

static const struct columns {
	cells_fn *cells;
	const char *heads[HEADS], *wide[HEADS];
} columns[KIND_COUNT] = {
	[KIND_NODE] = { .cells = node_cells, .heads = { "ADDRESSES", "SCHEDULABLE", "POD-CIDR" } },
	[KIND_POD] = { .cells = pod_cells, .heads = { "READY", "STATUS", "IPS", "NODE" } },
	[KIND_SERVICE] = { .cells = service_cells,
			   .heads = { "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)" },
			   .wide = { "SELECTOR" } },
	[KIND_ENDPOINTSLICE] = { .cells = slice_cells,
				 .heads = { "ADDRESSTYPE", "PORTS", "ENDPOINTS" } },
	[KIND_NETWORKPOLICY] = { .cells = policy_cells, .heads = { "POD-SELECTOR", "TYPES" } },
	[KIND_DEPLOYMENT] = { .cells = workload_cells, .heads = { "REPLICAS", "SELECTOR" } },
	[KIND_REPLICASET] = { .cells = workload_cells, .heads = { "REPLICAS", "SELECTOR" } },
	[KIND_STATEFULSET] = { .cells = workload_cells, .heads = { "REPLICAS", "SELECTOR" } },
	[KIND_DAEMONSET] = { .cells = workload_cells, .heads = { "REPLICAS", "SELECTOR" } },
	[KIND_JOB] = { .cells = workload_cells, .heads = { "COMPLETIONS", "SELECTOR" } },
	[KIND_IPPOOL] = { .cells = pool_cells,
			  .heads = { "CIDR", "MODE", "BLOCKS", "NAT", "DISABLED" },
			  .wide = { "ROUTES", "STRICT", "NODES" } },
	[KIND_IPBLOCK] = { .cells = block_cells,
			   .heads = { "CIDR", "POOL", "NODE", "TUNNEL", "BORROWED" } },
	[KIND_IPRESERVATION] = { .cells = reservation_cells, .heads = { "CIDRS" } },
	[KIND_WORKLOADENDPOINT] = { .cells = endpoint_cells,
				    .heads = { "NODE", "POD", "IPS", "HOST-INTERFACE",
					       "CONTAINER" },
				    .wide = { "NETWORK", "INTERFACE", "MAC" } },
	[KIND_NODESTATE] = { .cells = state_cells,
			     .heads = { "REVISION", "VERSION", "PODS", "TUNNEL4", "TUNNEL6",
					"CONDITIONS" } },
	[KIND_BGPCONFIGURATION] = { .cells = config_cells, .heads = { "AS", "MESH", "PORT" } },
	[KIND_BGPPEER] = { .cells = peer_cells, .heads = { "NODES", "PEER", "AS", "FILTERS" } },
	[KIND_BGPFILTER] = { .cells = filter_cells,
			     .heads = { "IMPORT-V4", "EXPORT-V4", "IMPORT-V6", "EXPORT-V6" } },
	[KIND_SECRET] = { .cells = secret_cells, .heads = { "TYPE", "DATA" } },
	[KIND_PACKETTRACE] = { .cells = trace_cells,
			       .heads = { "FROM", "TO", "PROTOCOL", "RESULT", "NODES" } },
};

void columns_init(struct table *t, const struct kind *k, bool with_ns, bool wide)
{
	const struct columns *c = &columns[k->id];
	const char *heads[2 * HEADS + 4] = { NULL };
	size_t n = 0;

	if (with_ns)
		heads[n++] = "NAMESPACE";
	heads[n++] = "NAME";
	for (size_t i = 0; i < HEADS && c->heads[i]; i++)
		heads[n++] = c->heads[i];
	for (size_t i = 0; wide && i < HEADS && c->wide[i]; i++)
		heads[n++] = c->wide[i];
	if (wide)
		heads[n++] = "LABELS";
	table_initv(t, heads);
}

void columns_row(struct table *t, const struct object *o, bool with_ns, bool wide)
{
	const struct columns *c = &columns[o->kind->id];

	if (with_ns)
		cell_str(t, o->meta->namespace);
	table_cell(t, "%s", o->meta->name);
	if (c->cells)
		c->cells(t, o, wide);
	if (wide)
		cell_labels(t, &o->meta->labels);
}
