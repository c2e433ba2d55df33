// SPDX-License-Identifier: Apache-2.0
/* agent_report: see agent_report.h. */
#include "daemon/agent_report.h"
#include "base/text.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_dns.h"
#include "daemon/agent_gc.h"
#include "daemon/agent_health.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_ipip.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_policy_count.h"
#include "daemon/agent_reap.h"
#include "daemon/agent_service.h"
#include "daemon/agent_store.h"
#include "daemon/agent_trace.h"
#include "daemon/report.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum endpoint_state { EP_DUE, EP_CREATING, EP_UPDATING, EP_THERE, EP_DELETING, EP_GONE };

struct endpoint {
	uint64_t id; /* of the attachment */
	uint8_t state;
	UT_hash_handle hh;
};

struct verb_stats {
	uint64_t calls, errors, us;
};

struct agent_report {
	struct agent *agent;
	struct report metrics;
	struct verb_stats verbs[CNI_VERSION + 1];
	struct endpoint *endpoints;
	struct node_state published;
	struct prefix subnets[ROUTE_SUBNETS]; /* of published */
	char uplink[IFNAME_LEN];
	bool writing, again, created;
};

/* ---- NodeState */

static struct node_state present_state(struct agent *a)
{
	struct node_state s = { .meta = { .name = a->role->cfg.node } };
	const struct route_self *self = agent_plan_self(a);
	const struct ipam_attachment *const *v;
	size_t n;

	s.status.observedRevision = agent_store_observed(a);
	s.status.version = FAIRLEAD_VERSION;
	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		s.status.pods += v[i]->state == IPAM_LIVE && !agent_ipam_is_gateway(v[i]);
	s.status.tunnel4 = agent_ipam_tunnel(a, AF_INET);
	s.status.tunnel6 = agent_ipam_tunnel(a, AF_INET6);
	if (self->vxlan)
		s.status.vxlanMAC = route_vxlan_mac(a->role->cfg.node);
	if (self->uplink[0])
		s.status.uplink = self->uplink;
	s.status.mtu = self->uplink_mtu;
	s.status.subnets.v = (struct prefix *)self->subnets;
	s.status.subnets.n = (uint32_t)self->n_subnets;
	s.status.serviceCIDRs.v = a->role->cfg.service_cidrs.v;
	s.status.serviceCIDRs.n = a->role->cfg.service_cidrs.n;
	s.status.dnsAddresses.v = (struct ipaddr *)self->dns;
	s.status.dnsAddresses.n = (uint32_t)self->n_dns;
	return s;
}

static bool same_uplink(const struct node_state *x, const struct node_state *y)
{
	if (!text_eq(x->status.uplink, y->status.uplink) || x->status.mtu != y->status.mtu ||
	    x->status.subnets.n != y->status.subnets.n)
		return false;
	for (uint32_t i = 0; i < x->status.subnets.n; i++)
		if (!prefix_eq(&x->status.subnets.v[i], &y->status.subnets.v[i]))
			return false;
	return true;
}

static bool same_state(const struct node_state *x, const struct node_state *y)
{
	return x->status.observedRevision == y->status.observedRevision &&
	       x->status.pods == y->status.pods &&
	       addr_eq(&x->status.tunnel4, &y->status.tunnel4) &&
	       addr_eq(&x->status.tunnel6, &y->status.tunnel6) && same_uplink(x, y) &&
	       !memcmp(&x->status.vxlanMAC, &y->status.vxlanMAC, sizeof(x->status.vxlanMAC));
}

static void write_state(struct agent *a, uint8_t op);

static void state_written(struct agent *a, void *arg, int code, uint64_t rev, const char *text)
{
	struct agent_report *r = a->report;

	r->writing = false;
	if (code == -ENOENT) {
		write_state(a, WRITE_CREATE);
		return;
	}
	if (code && code != -EEXIST) {
		log_warn("NodeState: %s", text);
		r->published = (struct node_state){ 0 };
		return;
	}
	if (code == -EEXIST) {
		write_state(a, WRITE_STATUS);
		return;
	}
	if (r->again) {
		r->again = false;
		agent_report_state(a);
	}
}

static void write_state(struct agent *a, uint8_t op)
{
	struct agent_report *r = a->report;
	struct node_state now = present_state(a);
	struct rec_write w = { .op = op, .kind = KIND_NODESTATE, .name = now.meta.name };
	struct err e;

	if (agent_store_write(a, &w, &now, state_written, NULL, &e)) {
		log_debug("NodeState: %s", e.text);
		return;
	}
	r->writing = true;
	r->published = now;
	memcpy(r->subnets, now.status.subnets.v, now.status.subnets.n * sizeof(*r->subnets));
	r->published.status.subnets.v = r->subnets;
	snprintf(r->uplink, sizeof(r->uplink), "%s", now.status.uplink ? now.status.uplink : "");
	r->published.status.uplink = r->uplink[0] ? r->uplink : NULL;
}

/* ---- WorkloadEndpoints */

static struct endpoint *endpoint_get(struct agent_report *r, uint64_t id, bool make)
{
	struct endpoint *ep;

	HASH_FIND(hh, r->endpoints, &id, sizeof(id), ep);
	if (ep || !make)
		return ep;
	ep = calloc(1, sizeof(*ep));
	if (ep) {
		ep->id = id;
		HASH_ADD(hh, r->endpoints, id, sizeof(ep->id), ep);
	}
	return ep;
}

static void endpoint_forget(struct agent_report *r, struct endpoint *ep)
{
	HASH_DEL(r->endpoints, ep);
	free(ep);
}

/* Pod and interface, or container and interface in the letters that object names have. */
static void endpoint_name(const struct ipam_attachment *at, char *out, size_t n)
{
	snprintf(out, n, "%s-%s", at->pod_name ? at->pod_name : at->container, at->ifname);
	for (char *c = out; *c; c++)
		*c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c)
		     : *c == '.'                ? '.'
						: '-';
}

static const char *endpoint_namespace(const struct ipam_attachment *at)
{
	return at->pod_namespace ? at->pod_namespace : "default";
}

static void write_endpoint(struct agent *a, const struct ipam_attachment *at, struct endpoint *ep,
			   uint8_t op, uint8_t state);

static void endpoint_written(struct agent *a, void *arg, int code, uint64_t rev, const char *text)
{
	uint64_t id = *(uint64_t *)arg;
	const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(a), id);
	struct endpoint *ep = endpoint_get(a->report, id, false);

	free(arg);
	if (!ep)
		return;
	if (ep->state == EP_DELETING) {
		ep->state = code && code != -ENOENT && code != -EINVAL ? EP_DUE : EP_GONE;
		agent_reap_soon(a);
	} else if (ep->state == EP_CREATING && code == -EEXIST && at && at->state == IPAM_LIVE) {
		write_endpoint(a, at, ep, WRITE_UPDATE, EP_UPDATING);
		return;
	} else {
		ep->state = code && code != -EINVAL ? EP_DUE : EP_THERE;
	}
	if (code && code != -ENOENT)
		log_warn("WorkloadEndpoint of container %s: %s", at ? at->container : "?", text);
}

static void write_endpoint(struct agent *a, const struct ipam_attachment *at, struct endpoint *ep,
			   uint8_t op, uint8_t state)
{
	char name[NAME_MAX_LEN + IFNAME_LEN + 2], bridge[IFNAME_LEN];
	struct prefix ips[IPAM_MAX_WANTED];
	struct ipaddr gateways[AGENT_GATEWAYS];
	struct workload_endpoint w = {
		.meta = { .name = name, .namespace = endpoint_namespace(at) },
		.spec = { .node = a->role->cfg.node,
			  .pod = at->pod_name,
			  .network = at->network,
			  .containerID = at->container,
			  .interface = at->ifname,
			  .hostInterface = at->hostif,
			  .mac = at->mac,
			  .ips = { ips, 0 },
			  .ports = { at->ports.v, at->ports.n },
			  .gateways = { gateways, 0 } },
	};
	struct rec_write ask = {
		.op = op, .kind = KIND_WORKLOADENDPOINT, .ns = w.meta.namespace, .name = name
	};
	uint64_t *id = malloc(sizeof(*id)); /* the attachment may be gone when the answer comes */
	struct err e;

	endpoint_name(at, name, sizeof(name));
	for (uint32_t i = 0; i < at->addrs.n && i < IPAM_MAX_WANTED; i++)
		ips[w.spec.ips.n++] = prefix_host(&at->addrs.v[i]);
	if (at->attach == CNI_BRIDGE && agent_ipam_bridge(a, at->network, bridge))
		w.spec.gateways.n =
			(uint32_t)agent_bridge_addresses(a, at->network, bridge, gateways);
	ep->state = state;
	if (id)
		*id = at->id;
	else
		err_set(&e, -ENOMEM, "no memory");
	if (!id ||
	    agent_store_write(a, &ask, op == WRITE_DELETE ? NULL : &w, endpoint_written, id, &e)) {
		free(id);
		ep->state = EP_DUE;
		log_debug("WorkloadEndpoint %s/%s: %s", w.meta.namespace, name, e.text);
	}
}

void agent_report_endpoint(struct agent *a, const struct ipam_attachment *at)
{
	struct endpoint *ep = endpoint_get(a->report, at->id, true);

	if (ep && ep->state == EP_DUE)
		write_endpoint(a, at, ep, WRITE_CREATE, EP_CREATING);
}

/* A new sandbox of the same pod has the same object name: then it is that one's already. */
static bool has_heir(struct agent *a, const struct ipam_attachment *at)
{
	const struct ipam_attachment *const *v;
	char mine[NAME_MAX_LEN + IFNAME_LEN + 2], theirs[sizeof(mine)];
	size_t n;

	endpoint_name(at, mine, sizeof(mine));
	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++) {
		if (v[i]->state != IPAM_LIVE || v[i]->ipam_only || agent_ipam_is_gateway(v[i]) ||
		    strcmp(endpoint_namespace(v[i]), endpoint_namespace(at)) != 0)
			continue;
		endpoint_name(v[i], theirs, sizeof(theirs));
		if (!strcmp(mine, theirs))
			return true;
	}
	return false;
}

bool agent_report_endpoint_gone(struct agent *a, const struct ipam_attachment *at)
{
	struct agent_report *r = a->report;
	struct endpoint *ep;

	if (at->ipam_only || agent_ipam_is_gateway(at))
		return true;
	ep = endpoint_get(r, at->id, true);
	if (!ep || ep->state == EP_GONE || has_heir(a, at)) {
		if (ep)
			endpoint_forget(r, ep);
		return true;
	}
	if (ep->state != EP_DELETING)
		write_endpoint(a, at, ep, WRITE_DELETE, EP_DELETING);
	return false;
}

static void write_due_endpoints(struct agent *a)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_LIVE && !v[i]->ipam_only && !agent_ipam_is_gateway(v[i]))
			agent_report_endpoint(a, v[i]);
}

/* What is not answered yet was not taken: its answer would have come before the news. */
void agent_report_anew(struct agent *a)
{
	struct endpoint *ep, *next;

	HASH_ITER(hh, a->report->endpoints, ep, next)
	if (ep->state == EP_THERE)
		ep->state = EP_DUE;
	a->report->published = (struct node_state){ 0 };
}

void agent_report_state(struct agent *a)
{
	struct agent_report *r = a->report;
	struct node_state now = present_state(a);

	if (!agent_store_live(a))
		return;
	write_due_endpoints(a);
	if (r->writing) {
		r->again = true;
		return;
	}
	if (!same_state(&now, &r->published))
		write_state(a, WRITE_STATUS);
}

/* ---- metrics */

static void put(struct report *m, const char *name, const char *help, const char *label,
		const char *value, uint64_t n)
{
	report_value(m, name, "counter", help, label, value, n);
}

static void fill_cni(struct report *m, const struct agent_report *r)
{
	static const char *const verbs[] = { [CNI_ADD] = "ADD",
					     [CNI_DEL] = "DEL",
					     [CNI_CHECK] = "CHECK",
					     [CNI_GC] = "GC",
					     [CNI_STATUS] = "STATUS" };

	for (int i = CNI_ADD; i <= CNI_STATUS; i++) {
		put(m, "fairlead_cni_requests_total", "CNI calls that came to an end", "verb",
		    verbs[i], r->verbs[i].calls);
		put(m, "fairlead_cni_errors_total", "CNI calls that were answered with an error",
		    "verb", verbs[i], r->verbs[i].errors);
		put(m, "fairlead_cni_microseconds_total", "time from request to answer", "verb",
		    verbs[i], r->verbs[i].us);
	}
}

static void fill_kernel(struct report *m, const struct agent *a)
{
	const struct agent_kernel_stats *k = agent_kernel_stats(a);
	const struct agent_nft_stats *n = agent_nft_stats(a);

	put(m, "fairlead_audits_total", "comparisons with the kernel", "of", "rtnetlink",
	    k->audits);
	put(m, "fairlead_audits_total", "comparisons with the kernel", "of", "nftables", n->audits);
	for (int v = 0; v < DIFF_VERDICTS; v++)
		put(m, "fairlead_audit_verdicts_total", "objects by what the audit found",
		    "verdict", diff_verdict_name((enum diff_verdict)v), k->verdicts[v]);
	put(m, "fairlead_kernel_repairs_total", "operations that audits led to", NULL, NULL,
	    k->repairs);
	put(m, "fairlead_kernel_failures_total", "operations that the kernel refused", NULL, NULL,
	    k->failures);
	put(m, "fairlead_nft_findings_total", "differences of the rulesets", "kind", "missing",
	    n->missing);
	put(m, "fairlead_nft_findings_total", "differences of the rulesets", "kind", "changed",
	    n->changed);
	put(m, "fairlead_nft_findings_total", "differences of the rulesets", "kind", "unwanted",
	    n->unwanted);
}

static void fill_ipam(struct report *m, struct agent *a)
{
	struct ipam_block_use *v;
	uint64_t size = 0, used = 0, blocks = 0;
	struct arena ar;
	struct err e;
	size_t n;

	arena_init(&ar, 0);
	if (!ipam_usage(agent_ipam_book(a), agent_now_ms(a), &ar, &v, &n, &e))
		for (size_t i = 0; i < n; i++)
			if (v[i].own) {
				blocks++;
				size += v[i].size;
				used += v[i].used;
			}
	arena_fini(&ar);
	report_value(m, "fairlead_ipam_blocks", "gauge", "blocks of this node", NULL, NULL, blocks);
	report_value(m, "fairlead_ipam_addresses", "gauge", "addresses in them", "state", "all",
		     size);
	report_value(m, "fairlead_ipam_addresses", "gauge", "addresses in them", "state", "used",
		     used);
}

static void fill_ipip(struct report *m, const struct agent *a)
{
	struct ipip_sum v[IPIP_SUMS];

	if (!agent_ipip_sums(a, v))
		return;
	for (size_t i = 0; i < IPIP_SUMS; i++) {
		put(m, "fairlead_ipip_packets_total",
		    "packets that the programs of IP-in-IP saw, segments of aggregates each",
		    "what", v[i].name, v[i].packets);
		put(m, "fairlead_ipip_bytes_total", "bytes of them, without Ethernet's", "what",
		    v[i].name, v[i].bytes);
	}
}

static void fill_gc(struct report *m, const struct agent *a)
{
	static const char name[] = "fairlead_gc_released_total";
	static const char help[] = "attachments released without a DEL, by why";
	struct agent_gc_stats s = agent_gc_stats(a);

	put(m, name, help, "reason", "boot", s.boot);
	put(m, name, help, "reason", "link", s.link);
	put(m, name, help, "reason", "pod", s.pod);
	report_value(m, "fairlead_gc_suspects", "gauge", "attachments missing at the last look",
		     NULL, NULL, s.suspects);
}

static void fill_services(struct report *m, struct agent *a)
{
	struct nft_services_stats s;

	nft_services_count(agent_service_rules(a), &s);
	report_value(m, "fairlead_services", "gauge", "Services that the node knows", NULL, NULL,
		     s.services);
	report_value(m, "fairlead_service_fronts", "gauge",
		     "protocol, address and port of Services, or their node ports", NULL, NULL,
		     s.fronts);
	report_value(m, "fairlead_service_endpoints", "gauge",
		     "endpoints that connections are spread over, each group's", NULL, NULL,
		     s.endpoints);
}

static void fill_conntrack(struct report *m, const struct agent *a)
{
	const struct agent_conntrack_stats *s = agent_conntrack_stats(a);

	put(m, "fairlead_conntrack_looks_total", "looks through the connection table", NULL, NULL,
	    s->took.n);
	put(m, "fairlead_conntrack_failures_total", "looks that failed", NULL, NULL, s->failures);
	for (enum svc_fate f = SVC_STALE_UNTRANSLATED; f <= SVC_STALE_NO_FRONT; f++)
		put(m, "fairlead_conntrack_deleted_total",
		    "entries taken out of the connection table", "because",
		    name_of(&svc_fate_names, f), s->deleted[f]);
	put(m, "fairlead_conntrack_deleted_total", "entries taken out of the connection table",
	    "because", "policies forbid it", s->forbidden);
	put(m, "fairlead_conntrack_deleted_total", "entries taken out of the connection table",
	    "because", "the pod is gone", s->gone);
}

static void fill_traces(struct report *m, const struct agent *a)
{
	static const char name[] = "fairlead_traces_total";
	static const char help[] = "PacketTraces that named this node, by what became of them";
	struct agent_trace_stats s = agent_trace_stats(a);

	put(m, name, help, "result", "done", s.done);
	put(m, name, help, "result", "failed", s.failed);
	put(m, name, help, "result", "refused", s.refused);
	put(m, "fairlead_trace_observations_total", "facts that traces told", NULL, NULL,
	    s.observations);
	put(m, "fairlead_trace_lost_total", "events that there was no room for", NULL, NULL,
	    s.lost);
	report_value(m, "fairlead_traces_active", "gauge", "traces that look now", NULL, NULL,
		     s.active);
}

static void fill(struct report *m, void *arg)
{
	struct agent *a = arg;

	fill_cni(m, a->report);
	fill_kernel(m, a);
	fill_ipip(m, a);
	fill_ipam(m, a);
	fill_gc(m, a);
	fill_services(m, a);
	fill_conntrack(m, a);
	agent_policy_count_fill(a, m);
	agent_dns_fill(a, m);
	fill_traces(m, a);
	report_value(m, "fairlead_observed_revision", "gauge",
		     "the kernel holds the store's state up to here", NULL, NULL,
		     (uint64_t)agent_store_observed(a));
	agent_health_fill(a, m);
}

void agent_report_cni(struct agent *a, enum cni_verb verb, enum cni_code code, double seconds)
{
	struct verb_stats *v;

	if (verb > CNI_VERSION)
		return;
	v = &a->report->verbs[verb];
	v->calls++;
	v->errors += code != CNI_OK;
	v->us += (uint64_t)(seconds * 1e6);
}

/* ---- life */

void agent_report_join(struct agent *a, int fd)
{
	agent_policy_count_anew(a);
	report_join(&a->report->metrics, fd);
}

struct report *agent_report_to_health(struct agent *a)
{
	return &a->report->metrics;
}

int agent_report_open(struct agent *a, struct err *e)
{
	a->report = calloc(1, sizeof(*a->report));
	if (!a->report)
		return err_set(e, -ENOMEM, "no memory");
	a->report->agent = a;
	report_init(&a->report->metrics, a->role, fill, a);
	return 0;
}

void agent_report_close(struct agent *a)
{
	struct endpoint *ep, *next;

	if (!a->report)
		return;
	report_fini(&a->report->metrics);
	HASH_ITER(hh, a->report->endpoints, ep, next)
	endpoint_forget(a->report, ep);
	free(a->report);
	a->report = NULL;
}
