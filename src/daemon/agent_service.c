// SPDX-License-Identifier: Apache-2.0
/* agent_service: see agent_service.h. Kept is which EndpointSlices each Service has; a plan lives
 * no longer than its slice of the loop. */
#include "daemon/agent_service.h"
#include "base/by_name.h"
#include "base/text.h"
#include "daemon/agent_bgp.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_health.h"
#include "daemon/agent_hostport.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_store.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COALESCE 0.002 /* seconds from a mark to the plan, at most */
#define AGAIN    1.    /* after a lack of memory */
/* Of planning, before others get their turn; the kernel takes four times as much. */
#define SLICE_NS (300 * 1000UL)

struct entry {
	struct by_name id;                    /* first: an entry is found by it */
	const struct endpoint_slice **slices; /* the mirror's, by name */
	uint32_t n_slices;
	bool dirty;
	char problem[160]; /* said last */
};

struct agent_service {
	struct agent *agent;
	struct nft_services *rules;
	struct by_name *entries;
	struct entry **dirty;
	size_t first, n_dirty, cap_dirty;
	bool found;   /* entries of an earlier run may be of Services that are gone */
	bool planned; /* once, so that what the store does not say is known too */
	ev_timer timer;
	agent_service_done_fn *done;
};

/* ---- marks */

static struct entry *entry_get(struct agent_service *s, const char *ns, const char *name, bool make)
{
	return (struct entry *)by_name_get(&s->entries, ns, name, make ? sizeof(struct entry) : 0);
}

static void wait_for(struct agent_service *s, ev_tstamp seconds)
{
	if (ev_is_active(&s->timer))
		return;
	ev_timer_set(&s->timer, seconds, 0.);
	ev_timer_start(s->agent->role->loop, &s->timer);
}

static void mark(struct agent_service *s, struct entry *x)
{
	if (!x) {
		log_error("Services: no memory");
		return;
	}
	if (x->dirty)
		return;
	if (s->n_dirty == s->cap_dirty) {
		size_t cap = s->cap_dirty ? 2 * s->cap_dirty : 64;
		struct entry **v = realloc(s->dirty, cap * sizeof(*v));

		if (!v) {
			log_error("Service %s: no memory to plan it", x->id.key);
			return;
		}
		s->dirty = v;
		s->cap_dirty = cap;
	}
	s->dirty[s->n_dirty++] = x;
	x->dirty = true;
	agent_health_queued(s->agent);
	wait_for(s, COALESCE);
}

static void mark_all(struct agent_service *s)
{
	for (struct by_name *x = s->entries; x; x = by_name_next(x))
		mark(s, (struct entry *)x);
}

/* ---- changes of the store */

static const char *owner(const struct endpoint_slice *s)
{
	return s ? strmap_get(&s->meta.labels, LABEL_SERVICE_NAME) : NULL;
}

static void drop_slice(struct entry *x, const char *name)
{
	for (uint32_t i = 0; i < x->n_slices; i++)
		if (!strcmp(x->slices[i]->meta.name, name)) {
			memmove(&x->slices[i], &x->slices[i + 1],
				(--x->n_slices - i) * sizeof(*x->slices));
			return;
		}
}

static bool keep_slice(struct entry *x, const struct endpoint_slice *slice)
{
	const struct endpoint_slice **v =
		realloc(x->slices, (x->n_slices + 1) * sizeof(*x->slices));
	uint32_t i = x->n_slices;

	if (!v)
		return false;
	x->slices = v;
	while (i && strcmp(v[i - 1]->meta.name, slice->meta.name) > 0) {
		v[i] = v[i - 1];
		i--;
	}
	v[i] = slice;
	x->n_slices++;
	return true;
}

static void slice_changed(struct agent_service *s, const struct endpoint_slice *old,
			  const struct endpoint_slice *now)
{
	struct entry *x;

	if (owner(old)) {
		x = entry_get(s, old->meta.namespace, owner(old), false);
		if (x) {
			drop_slice(x, old->meta.name);
			mark(s, x);
		}
	}
	if (owner(now)) {
		x = entry_get(s, now->meta.namespace, owner(now), true);
		if (x && !keep_slice(x, now))
			x = NULL;
		mark(s, x);
	}
}

/* What a plan reads of its own node. */
static bool node_same(const struct node *a, const struct node *b)
{
	if (!a || !b || a->status.addresses.n != b->status.addresses.n ||
	    !text_eq(strmap_get(&a->meta.labels, LABEL_ZONE),
		     strmap_get(&b->meta.labels, LABEL_ZONE)))
		return false;
	for (uint32_t i = 0; i < a->status.addresses.n; i++)
		if (!text_eq(a->status.addresses.v[i].address, b->status.addresses.v[i].address))
			return false;
	return true;
}

void agent_service_changed(struct agent *a, const struct object *old, const struct object *now)
{
	struct agent_service *s = a->service;
	const struct object *any = now ? now : old;

	switch (any->kind->id) {
	case KIND_SERVICE:
		mark(s, entry_get(s, any->meta->namespace, any->meta->name, true));
		return;
	case KIND_ENDPOINTSLICE:
		slice_changed(s, old ? old->body : NULL, now ? now->body : NULL);
		return;
	case KIND_NODE:
		if (strcmp(any->meta->name, a->role->cfg.node) != 0 ||
		    node_same(old ? old->body : NULL, now ? now->body : NULL))
			return;
		mark_all(s);
		return;
	}
}

/* ---- planning */

int agent_service_node(const struct agent *a, struct arena *ar, struct svc_node *out, struct err *e)
{
	const struct config *cfg = &a->role->cfg;
	const struct object *o = cluster_get(agent_store_cluster(a), KIND_NODE, NULL, cfg->node);
	const struct node *n = o ? o->body : NULL;
	uint32_t most = cfg->node_ips.n + (n ? n->status.addresses.n : 0);
	struct ipaddr *v = arena_array(ar, most, sizeof(*v));
	struct ipaddr *dns = arena_array(ar, CONFIG_DNS_SERVED, sizeof(*dns));

	if (!v || !dns)
		return err_set(e, -ENOMEM, "no memory");
	*out = (struct svc_node){ .name = cfg->node,
				  .zone = n ? strmap_get(&n->meta.labels, LABEL_ZONE) : NULL,
				  .masquerade_all = cfg->masquerade_all,
				  .localhost_node_ports = cfg->localhost_node_ports };
	for (uint32_t i = 0; i < cfg->node_ips.n; i++)
		v[out->addresses.n++] = cfg->node_ips.v[i];
	for (uint32_t i = 0; n && i < n->status.addresses.n; i++)
		if (n->status.addresses.v[i].address &&
		    !addr_parse(n->status.addresses.v[i].address, &v[out->addresses.n]))
			out->addresses.n++;
	out->addresses.v = v;
	out->services.v = cfg->service_cidrs.v;
	out->services.n = cfg->service_cidrs.n;
	out->dns.v = dns;
	out->dns.n = config_dns_served(cfg, dns);
	out->nodePortAddresses.v = cfg->node_port_addresses.v;
	out->nodePortAddresses.n = cfg->node_port_addresses.n;
	return 0;
}

/* Says a problem once, when it is new. */
static void say_problem(struct entry *x, const char *problem)
{
	if (!strncmp(x->problem, problem, sizeof(x->problem) - 1))
		return;
	snprintf(x->problem, sizeof(x->problem), "%.*s", (int)sizeof(x->problem) - 1, problem);
	if (problem[0])
		log_warn("Service %s: %s", x->id.key, problem);
	else
		log_info("Service %s: is served in full again", x->id.key);
}

/* How many of the two families' plans there are: none when it is gone; or -errno. */
static int make_plans(struct agent_service *s, const struct entry *x, const struct svc_node *node,
		      struct arena *ar, struct svc_plan out[2], struct err *e)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	const struct object *o;
	int rc = 0;

	if (!strcmp(x->id.ns, SVC_HOST_PORTS))
		return agent_hostport_plan(s->agent, x->id.name, ar, out, e);
	o = cluster_get(agent_store_cluster(s->agent), KIND_SERVICE, x->id.ns, x->id.name);
	if (!o)
		return 0;
	for (size_t i = 0; i < 2 && !rc; i++)
		rc = svc_plan(o->body, x->slices, x->n_slices, node, families[i], ar, &out[i], e);
	return rc ? rc : 2;
}

static void plan(struct agent_service *s, struct entry *x, const struct svc_node *node,
		 struct nft_ops *ops)
{
	struct svc_plan plans[2];
	struct err e = { 0 };
	int n = make_plans(s, x, node, ops->arena, plans, &e), rc = n < 0 ? n : 0;

	if (!rc) {
		agent_conntrack_put(s->agent, x->id.ns, x->id.name, plans, (size_t)n);
		rc = nft_services_put(s->rules, x->id.ns, x->id.name, plans, (size_t)n, ops, &e);
	}
	if (!rc) {
		agent_health_planned(s->agent, x->id.ns, x->id.name, plans, (size_t)n);
		agent_bgp_planned(s->agent, x->id.ns, x->id.name, plans, (size_t)n);
	}
	say_problem(x, rc ? e.text : "");
	x->dirty = false;
}

static void forget(struct agent_service *s, struct entry *x)
{
	if (x->dirty || x->n_slices ||
	    cluster_get(agent_store_cluster(s->agent), KIND_SERVICE, x->id.ns, x->id.name))
		return;
	free(x->slices);
	by_name_drop(&s->entries, &x->id);
}

/* As many as fit into the slice, in one go to the kernel; false: not now. */
static bool plan_some(struct agent_service *s, struct arena *ar)
{
	uint64_t began = clock_mono_ns();
	struct svc_node node;
	struct nft_ops ops;
	struct err e;

	nft_ops_init(&ops, ar);
	if (agent_service_node(s->agent, ar, &node, &e)) {
		log_error("Services: %s", e.text);
		return false;
	}
	while (s->first < s->n_dirty) {
		struct entry *x = s->dirty[s->first++];

		plan(s, x, &node, &ops);
		forget(s, x);
		if (clock_mono_ns() - began > SLICE_NS)
			break;
	}
	agent_nft_services(s->agent, &ops);
	agent_health_sent(s->agent, began, s->first == s->n_dirty);
	agent_bgp_sent(s->agent);
	return true;
}

void agent_service_mark(struct agent *a, const char *ns, const char *name)
{
	mark(a->service, entry_get(a->service, ns, name, true));
}

void agent_service_now(struct agent *a, const char *ns, const char *name)
{
	struct agent_service *s = a->service;
	struct entry *x = entry_get(s, ns, name, true);
	struct svc_node node;
	struct nft_ops ops;
	struct arena ar;
	struct err e;
	bool dirty;

	if (!s->planned) {
		mark(s, x);
		return;
	}
	arena_init(&ar, 0);
	nft_ops_init(&ops, &ar);
	if (!x || agent_service_node(a, &ar, &node, &e)) {
		log_error("%s/%s: no memory", ns, name);
		arena_fini(&ar);
		return;
	}
	dirty = x->dirty;
	plan(s, x, &node, &ops);
	x->dirty = dirty; /* it is in the list */
	forget(s, x);
	agent_nft_services(a, &ops);
	if (agent_store_adopted(a))
		agent_conntrack_look(a);
	arena_fini(&ar);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_service *s = w->data;
	struct arena ar;
	bool can;

	arena_init(&ar, 0);
	can = plan_some(s, &ar);
	arena_fini(&ar);
	if (s->first < s->n_dirty) {
		wait_for(s, can ? 0. : AGAIN);
		return;
	}
	s->first = s->n_dirty = 0;
	if (s->done) {
		agent_service_done_fn *done = s->done;

		s->done = NULL;
		done(s->agent);
	}
}

void agent_service_synced(struct agent *a)
{
	struct agent_service *s = a->service;

	if (s->first == s->n_dirty)
		return;
	ev_timer_stop(a->role->loop, &s->timer);
	wait_for(s, 0.);
}

void agent_service_flush(struct agent *a, agent_service_done_fn *done)
{
	struct agent_service *s = a->service;

	if (!s->planned || s->found)
		agent_hostport_mark(a);
	if (s->found)
		mark_all(s);
	s->found = false;
	s->planned = true;
	s->done = done;
	wait_for(s, 0.);
}

/* What its fronts of UDP and SCTP lead to: entries of the connection table may, too. */
static int found_plans(struct agent_service *s, const struct nft_table *observed, struct arena *ar,
		       struct err *e)
{
	struct svc_plan *v;
	size_t n, k;
	int rc = nft_services_found(s->rules, observed, ar, &v, &n, e);

	for (size_t i = 0; !rc && i < n; i = k) {
		k = i + 1;
		if (k < n && !strcmp(v[i].name, v[k].name) && !strcmp(v[i].ns, v[k].ns))
			k++;
		agent_conntrack_put(s->agent, v[i].ns, v[i].name, &v[i], k - i);
		s->found = true;
		if (!entry_get(s, v[i].ns, v[i].name, true))
			rc = err_set(e, -ENOMEM, "no memory");
	}
	return rc;
}

void agent_service_found(struct agent *a, const struct nft_table *observed)
{
	struct agent_service *s = a->service;
	struct arena ar;
	struct err e;
	int rc = nft_services_adopt(s->rules, observed, &e);

	arena_init(&ar, 0);
	if (!rc)
		rc = found_plans(s, observed, &ar, &e);
	arena_fini(&ar);
	if (rc)
		log_warn("Services: %s", e.text);
}

/* ---- looking */

struct nft_services *agent_service_rules(const struct agent *a)
{
	return a->service->rules;
}

/* ---- life */

int agent_service_open(struct agent *a, struct err *e)
{
	struct agent_service *s = calloc(1, sizeof(*s));
	const struct config *cfg = &a->role->cfg;
	const struct svc_node node = {
		.services = { cfg->service_cidrs.v, cfg->service_cidrs.n },
		.nodePortAddresses = { cfg->node_port_addresses.v, cfg->node_port_addresses.n },
		.localhost_node_ports = cfg->localhost_node_ports,
	};

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	a->service = s;
	s->agent = a;
	ev_timer_init(&s->timer, on_timer, COALESCE, 0.);
	s->timer.data = s;
	s->rules = nft_services_new(&node);
	return s->rules ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_service_close(struct agent *a)
{
	struct agent_service *s = a->service;

	if (!s)
		return;
	ev_timer_stop(a->role->loop, &s->timer);
	while (s->entries) {
		free(((struct entry *)s->entries)->slices);
		by_name_drop(&s->entries, s->entries);
	}
	nft_services_free(s->rules);
	free(s->dirty);
	free(s);
	a->service = NULL;
}
