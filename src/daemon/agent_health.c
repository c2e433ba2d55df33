// SPDX-License-Identifier: Apache-2.0
/* agent_health: see agent_health.h. */
#include "daemon/agent_health.h"
#include "base/by_name.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_report.h"
#include "daemon/agent_store.h"
#include "daemon/progress.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TAINT_AUTOSCALER "ToBeDeletedByClusterAutoscaler"

/* Ports without a local endpoint, where a policy wants one: by family and policy. */
enum { FAMILIES = 2 };
struct no_local {
	uint32_t n[FAMILIES][SVC_POLICIES];
};

/* A Service with a health check port, or with some of the above. */
struct check {
	struct by_name id; /* first: a check is found by it */
	uint16_t port;     /* 0: none, or none any more, to be told */
	uint32_t endpoints;
	struct no_local no_local;
	bool changed; /* port or endpoints, and not told yet */
};

struct agent_health {
	struct by_name *checks;
	struct no_local no_local; /* of all */
	bool changed;             /* one of them */
	bool started;             /* the kernel did all once */
	bool listed;              /* and the store was heard then */
	bool leaving;             /* the Node is, as told last */
	struct progress progress;
};

/* ---- what of Services is told */

static struct check *get(struct agent_health *h, const char *ns, const char *name, bool make)
{
	return (struct check *)by_name_get(&h->checks, ns, name, make ? sizeof(struct check) : 0);
}

static void forget(struct agent_health *h, struct check *c)
{
	by_name_drop(&h->checks, &c->id);
}

static bool is_none(const struct check *c)
{
	static const struct no_local none;

	return !c->port && !memcmp(&c->no_local, &none, sizeof(none));
}

/* A pod counts once, whichever families the Service has: with the larger of both. */
static struct check look_at(const struct svc_plan *plans, size_t n)
{
	struct check c = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (plans[i].health_port)
			c.port = plans[i].health_port;
		if (plans[i].local_ready > c.endpoints)
			c.endpoints = plans[i].local_ready;
		svc_count_no_local(&plans[i], c.no_local.n[plans[i].family == AF_INET6]);
	}
	return c;
}

static void take(struct agent_health *h, struct check *c, const struct check *now)
{
	for (int f = 0; f < FAMILIES; f++)
		for (int p = 0; p < SVC_POLICIES; p++)
			h->no_local.n[f][p] += now->no_local.n[f][p] - c->no_local.n[f][p];
	c->no_local = now->no_local;
	if (c->port != now->port || (now->port && c->endpoints != now->endpoints))
		c->changed = h->changed = true;
	c->port = now->port;
	c->endpoints = now->endpoints;
	if (is_none(c) && !c->changed)
		forget(h, c);
}

void agent_health_planned(struct agent *a, const char *ns, const char *name,
			  const struct svc_plan *plans, size_t n)
{
	struct check now = look_at(plans, n), *c = get(a->health, ns, name, !is_none(&now));

	if (c)
		take(a->health, c, &now);
	else if (!is_none(&now))
		log_error("Service %s/%s: no memory for its health check", ns, name);
}

static void tell(struct agent *a, struct report *m, bool all)
{
	struct agent_health *h = a->health;

	for (struct by_name *x = h->checks, *next; x; x = next) {
		struct check *c = (struct check *)x;
		struct rec_health_port told = {
			.ns = x->ns, .name = x->name, .port = c->port, .endpoints = c->endpoints
		};

		next = by_name_next(x);
		if ((all && c->port) || c->changed)
			report_send(m, REC_HEALTH_PORT, &told);
		c->changed = false;
		if (is_none(c))
			forget(h, c);
	}
	h->changed = false;
}

/* ---- does the kernel do what it should? */

static struct moment now(const struct agent *a)
{
	return (struct moment){ .mono_ms = (int64_t)(clock_mono_ns() / 1000000),
				.wall_us = (int64_t)(ev_now(a->role->loop) * 1e6) };
}

void agent_health_changed(struct agent *a, const struct object *old, const struct object *obj)
{
	const struct object *any = obj ? obj : old;
	const char *trigger = NULL, *before = NULL;

	if (any->kind->id == KIND_SERVICE)
		progress_change(&a->health->progress, PROGRESS_SERVICES, NULL);
	if (any->kind->id != KIND_ENDPOINTSLICE)
		return;
	if (obj)
		trigger = strmap_get(&obj->meta->annotations, TRIGGER_ANNOTATION);
	if (old)
		before = strmap_get(&old->meta->annotations, TRIGGER_ANNOTATION);
	if (trigger && before && !strcmp(trigger, before))
		trigger = NULL;
	progress_change(&a->health->progress, PROGRESS_SLICES, trigger);
}

void agent_health_queued(struct agent *a)
{
	struct moment t = now(a);

	progress_queued(&a->health->progress, &t);
}

/* An audit may have brought right what a batch did not, or found that it cannot. */
static void look(struct agent *a)
{
	struct agent_health *h = a->health;
	struct moment t = now(a);

	if (h->started && agent_nft_behind(a))
		progress_behind(&h->progress, &t);
	else if (h->started && h->progress.planned)
		progress_done(&h->progress, &t);
}

/* As kube-proxy judges it: being deleted, or about to be by the cluster autoscaler. */
static bool is_leaving(const struct agent *a)
{
	const struct object *o =
		cluster_get(agent_store_cluster(a), KIND_NODE, NULL, a->role->cfg.node);
	const struct node *n = o ? o->body : NULL;

	if (!n || n->meta.deletionTimestamp)
		return n != NULL;
	for (uint32_t i = 0; i < n->spec.taints.n; i++)
		if (!strcmp(n->spec.taints.v[i].key, TAINT_AUTOSCALER))
			return true;
	return false;
}

static void tell_proxy(struct agent *a, struct report *m, bool listed)
{
	struct agent_health *h = a->health;
	struct rec_proxy p = { .listed = listed };

	h->leaving = is_leaving(a);
	p.leaving = h->leaving;
	if (h->started) {
		p.updated = h->progress.updated;
		p.queued = h->progress.queued;
	}
	report_send(m, REC_PROXY, &p);
}

/* ---- kube-proxy's figures */

#define SYNC "kubeproxy_sync_proxy_rules_"

static void fill_changes(struct report *m, const struct progress *p)
{
	report_value(m, SYNC "service_changes_total", "counter", "changes of Services seen", NULL,
		     NULL, p->changes[PROGRESS_SERVICES]);
	report_value(m, SYNC "service_changes_pending", "gauge",
		     "changes of Services that the kernel does not have yet", NULL, NULL,
		     p->pending[PROGRESS_SERVICES]);
	report_value(m, SYNC "endpoint_changes_total", "counter", "changes of EndpointSlices seen",
		     NULL, NULL, p->changes[PROGRESS_SLICES]);
	report_value(m, SYNC "endpoint_changes_pending", "gauge",
		     "changes of EndpointSlices that the kernel does not have yet", NULL, NULL,
		     p->pending[PROGRESS_SLICES]);
}

static void fill_no_local(struct report *m, const struct no_local *n)
{
	static const char *const families[FAMILIES] = { "IPv4", "IPv6" };
	static const char *const policies[SVC_POLICIES] = {
		[SVC_INTERNAL] = "internal", [SVC_EXTERNAL] = "external"
	};

	for (int f = 0; f < FAMILIES; f++)
		for (int p = 0; p < SVC_POLICIES; p++)
			report_value(m, SYNC "no_local_endpoints_total", "gauge",
				     "ports of Services with a policy Local and no endpoint here",
				     "ip_family", families[f], n->n[f][p], "traffic_policy",
				     policies[p]);
}

static void fill_conntrack(struct report *m, const struct agent_conntrack_stats *s)
{
	uint64_t deleted = 0;

	for (int f = 0; f <= SVC_STALE_NO_FRONT; f++)
		deleted += s->deleted[f];
	report_histogram(m, "kubeproxy_conntrack_reconciler_sync_duration_seconds",
			 "time of looks through the connection table", &s->took);
	report_value(m, "kubeproxy_conntrack_reconciler_deleted_entries_total", "counter",
		     "stale entries taken out of the connection table", NULL, NULL, deleted);
}

static void fill_figures(struct agent *a, struct report *m)
{
	const struct progress *p = &a->health->progress;

	fill_changes(m, p);
	fill_no_local(m, &a->health->no_local);
	report_histogram(m, SYNC "duration_seconds",
			 "time to plan what changed and send it to the kernel", &p->rounds);
	report_histogram(m, "kubeproxy_network_programming_duration_seconds",
			 "from the change that an EndpointSlice tells of to the kernel",
			 &p->programming);
	report_value(m, SYNC "last_queued_timestamp_seconds", "gauge",
		     "when something was last to be planned", NULL, NULL,
		     (uint64_t)p->queued_wall_us, .is_us = true);
	report_value(m, SYNC "last_timestamp_seconds", "gauge",
		     "when the kernel last had all that was planned", NULL, NULL,
		     (uint64_t)p->done_wall_us, .is_us = true);
	report_value(m, SYNC "nftables_sync_failures_total", "counter",
		     "batches for Services that the kernel refused", NULL, NULL,
		     agent_nft_stats(a)->refused);
	fill_conntrack(m, agent_conntrack_stats(a));
}

/* ---- when */

void agent_health_sent(struct agent *a, uint64_t began_ns, bool all)
{
	struct agent_health *h = a->health;

	progress_slice(&h->progress, (clock_mono_ns() - began_ns) / 1000, all);
	if (h->started && h->changed)
		tell(a, agent_report_to_health(a), false);
	look(a);
}

void agent_health_in_kernel(struct agent *a, bool live)
{
	struct agent_health *h = a->health;
	bool first = !h->started || (live && !h->listed);

	h->started = true;
	h->listed |= live;
	look(a);
	if (first)
		agent_health_fill(a, agent_report_to_health(a));
	else if (is_leaving(a) != h->leaving)
		tell_proxy(a, agent_report_to_health(a), false);
}

void agent_health_fill(struct agent *a, struct report *m)
{
	if (a->health->started)
		tell(a, m, true);
	look(a);
	tell_proxy(a, m, a->health->listed);
	fill_figures(a, m);
}

/* ---- life */

int agent_health_open(struct agent *a, struct err *e)
{
	struct moment t = now(a);

	a->health = calloc(1, sizeof(*a->health));
	if (!a->health)
		return err_set(e, -ENOMEM, "no memory");
	progress_init(&a->health->progress, &t);
	return 0;
}

void agent_health_close(struct agent *a)
{
	if (!a->health)
		return;
	while (a->health->checks)
		by_name_drop(&a->health->checks, a->health->checks);
	free(a->health);
	a->health = NULL;
}
