// SPDX-License-Identifier: Apache-2.0
/* agent_store: see agent_store.h. */
#include "daemon/agent_store.h"
#include "daemon/agent_bgp.h"
#include "daemon/agent_cni.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_dns.h"
#include "daemon/agent_health.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_report.h"
#include "daemon/agent_service.h"
#include "daemon/agent_trace.h"
#include "daemon/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint8_t kinds[] = {
	KIND_NODE,          KIND_NAMESPACE,        KIND_POD,         KIND_IPPOOL,
	KIND_IPBLOCK,       KIND_IPRESERVATION,    KIND_SERVICE,     KIND_ENDPOINTSLICE,
	KIND_NETWORKPOLICY, KIND_WORKLOADENDPOINT, KIND_PACKETTRACE, KIND_BGPCONFIGURATION
};

/* Taking in the view of all blocks costs the address book what the cluster is large. What other
 * nodes do among themselves it may learn a little later, and of many changes at once. */
#define OTHERS_LATER 0.1 /* seconds */

enum ipam_due { IPAM_KNOWS, IPAM_LATER, IPAM_NOW };

struct agent_store {
	struct agent *agent;
	struct mirror *mirror;
	bool live, stale, adopted;
	uint8_t ipam_due; /* enum ipam_due: something that core/ipam reads changed */
	ev_timer later;
	int64_t revision; /* of the last sync */
	int64_t planned, observed;
};

/* A write under way. */
struct asked {
	struct agent *agent;
	agent_written_fn *fn;
	void *arg;
};

/* Ours, or lent to us. */
static bool is_our_block(const struct agent *a, const struct object *o)
{
	const char *self = a->role->cfg.node;
	const struct ipblock *b = o ? o->body : NULL;

	if (!b)
		return false;
	if (b->spec.node && !strcmp(b->spec.node, self))
		return true;
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++)
		if (b->spec.borrowed.v[i].node && !strcmp(b->spec.borrowed.v[i].node, self))
			return true;
	return false;
}

static enum ipam_due due_of(const struct agent *a, const struct object *old,
			    const struct object *now)
{
	const struct object *any = now ? now : old;

	switch (any->kind->id) {
	case KIND_NAMESPACE:
	case KIND_POD:
	case KIND_NETWORKPOLICY:
	case KIND_SERVICE:
	case KIND_ENDPOINTSLICE:
	case KIND_WORKLOADENDPOINT:
	case KIND_PACKETTRACE:
	case KIND_BGPCONFIGURATION:
		return IPAM_KNOWS;
	case KIND_NODE:
		return strcmp(any->meta->name, a->role->cfg.node) ? IPAM_LATER : IPAM_NOW;
	case KIND_IPBLOCK:
		return is_our_block(a, old) || is_our_block(a, now) ? IPAM_NOW : IPAM_LATER;
	}
	return IPAM_NOW;
}

/* Seen by the uid where it went and came while nobody told us. */
static bool is_our_node_anew(const struct agent *a, const struct object *old,
			     const struct object *now)
{
	if (!now || now->kind->id != KIND_NODE || strcmp(now->meta->name, a->role->cfg.node) != 0)
		return false;
	return !old ||
	       (old->meta->uid && now->meta->uid && strcmp(old->meta->uid, now->meta->uid) != 0);
}

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	struct agent *a = arg;
	enum ipam_due due = due_of(a, old, now);

	if (due > a->store->ipam_due)
		a->store->ipam_due = due;
	if (is_our_node_anew(a, old, now))
		agent_report_anew(a);
	agent_health_changed(a, old, now);
	agent_policy_changed(a, old, now);
	agent_plan_changed(a, old, now);
	agent_service_changed(a, old, now);
	agent_bgp_changed(a, old, now);
	agent_dns_changed(a, old, now);
	agent_trace_changed(a, old, now);
}

static void tell_ipam(struct agent *a)
{
	struct agent_store *s = a->store;
	struct err e;

	ev_timer_stop(a->role->loop, &s->later);
	s->ipam_due = IPAM_KNOWS;
	if (agent_ipam_sync(a, &e))
		log_error("address book: %s", e.text);
	agent_plan_tunnel_changed(a);
}

static void on_later(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_store *s = w->data;

	tell_ipam(s->agent);
	agent_wake(s->agent);
}

void agent_store_in_kernel(struct agent *a)
{
	struct agent_store *s = a->store;

	if (agent_nft_behind(a))
		return;
	s->observed = s->planned;
	agent_report_state(a);
}

/* Everything up to the last sync went to the kernel. */
static void in_kernel(struct agent *a)
{
	struct agent_store *s = a->store;

	agent_ipam_adopt(a); /* first: what is not in the book goes in what follows */
	if (!s->adopted && !s->live) {
		agent_kernel_start(a); /* adds, and deletes nothing */
	} else if (!s->adopted) {
		s->adopted = true;
		agent_policy_synced(a); /* the book may know more pods */
		agent_kernel_adopt(a);
		agent_nft_adopt(a);
	}
	if (s->adopted)
		agent_conntrack_look(a);
	agent_health_in_kernel(a, s->adopted);
	agent_bgp_in_kernel(a);
	s->planned = s->revision;
	agent_store_in_kernel(a);
	agent_wake(a);
}

static void is_planned(struct agent *a)
{
	agent_service_flush(a, in_kernel);
}

static void on_synced(void *arg, const struct rec_sync *y)
{
	struct agent *a = arg;
	struct agent_store *s = a->store;
	/* A list with gaps is no reason to take anything away. */
	bool live = y->in_sync && !y->stale && !mirror_incomplete(s->mirror);

	if (y->stale && !s->stale)
		log_warn("the store is out of reach (%s); going on with what was last seen",
			 y->text ? y->text : "no reason given");
	if (live && !s->live)
		log_info("in sync with the store at revision %lld", (long long)y->revision);
	if (live != s->live || agent_cni_waits(a))
		s->ipam_due = IPAM_NOW;
	s->stale = y->stale;
	s->live = live;
	s->revision = y->revision;
	if (s->ipam_due == IPAM_NOW) {
		tell_ipam(a);
	} else if (s->ipam_due == IPAM_LATER && !ev_is_active(&s->later)) {
		ev_timer_set(&s->later, OTHERS_LATER, 0.);
		ev_timer_start(a->role->loop, &s->later);
	}
	agent_policy_synced(a);
	agent_service_synced(a);
	agent_dns_synced(a);
	if (agent_store_known(a))
		agent_bgp_adopt(a); /* wants what agent_kernel_adopt() would delete */
	agent_plan_flush(a, is_planned);
}

static void on_written(void *arg, const struct rec_written *w)
{
	struct asked *q = arg;

	q->fn(q->agent, q->arg, (int)w->code, (uint64_t)w->rev, w->text ? w->text : "");
	free(q);
}

int agent_store_write(struct agent *a, const struct rec_write *w, const void *body,
		      agent_written_fn *fn, void *arg, struct err *e)
{
	struct asked *q = malloc(sizeof(*q));
	int rc;

	if (!q)
		return err_set(e, -ENOMEM, "no memory");
	*q = (struct asked){ a, fn, arg };
	rc = mirror_write(a->store->mirror, w, body, on_written, q, e);
	if (rc)
		free(q);
	return rc;
}

void agent_store_join(struct agent *a, int fd)
{
	mirror_join(a->store->mirror, fd);
}

int agent_store_open(struct agent *a, struct err *e)
{
	static const struct mirror_ops ops = { .changed = on_changed, .synced = on_synced };

	a->store = calloc(1, sizeof(*a->store));
	if (!a->store)
		return err_set(e, -ENOMEM, "no memory");
	a->store->agent = a;
	ev_timer_init(&a->store->later, on_later, OTHERS_LATER, 0.);
	a->store->later.data = a->store;
	a->store->mirror = mirror_new(a->role, kinds, sizeof(kinds), &ops, a, e);
	return a->store->mirror ? 0 : e->code;
}

void agent_store_close(struct agent *a)
{
	if (!a->store)
		return;
	ev_timer_stop(a->role->loop, &a->store->later);
	mirror_free(a->store->mirror);
	free(a->store);
	a->store = NULL;
}

const struct cluster *agent_store_cluster(const struct agent *a)
{
	return mirror_cluster(a->store->mirror);
}

bool agent_store_known(const struct agent *a)
{
	return mirror_known(a->store->mirror);
}

bool agent_store_live(const struct agent *a)
{
	return a->store->live;
}

bool agent_store_adopted(const struct agent *a)
{
	return a->store->adopted;
}

int64_t agent_store_revision(const struct agent *a)
{
	return a->store->revision;
}

int64_t agent_store_observed(const struct agent *a)
{
	return a->store->observed;
}
