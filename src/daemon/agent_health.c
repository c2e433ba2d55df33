// SPDX-License-Identifier: Apache-2.0
/* agent_health: see agent_health.h. */
#include "daemon/agent_health.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_report.h"
#include "daemon/agent_store.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define TAINT_AUTOSCALER "ToBeDeletedByClusterAutoscaler"

/* ---- health check ports */

/* A Service with one. */
struct check {
	char *ns, *name; /* both in `key` */
	uint16_t port;   /* 0: none any more, to be told */
	uint32_t endpoints;
	bool changed; /* and not told yet */
	UT_hash_handle hh;
	char key[]; /* namespace/name */
};

struct agent_health {
	struct check *checks;
	bool changed;            /* one of them */
	bool started;            /* the kernel did all once */
	bool listed;             /* and the store was heard then */
	bool planned;            /* nothing is to be planned */
	bool leaving;            /* the Node is, as told last */
	int64_t updated, queued; /* see struct rec_proxy */
};

static struct check *get(struct agent_health *h, const char *ns, const char *name, bool make)
{
	size_t n = strlen(ns), len = n + strlen(name) + 2;
	struct check *c = calloc(1, sizeof(*c) + len + n + 1), *found;

	if (!c)
		return NULL;
	snprintf(c->key, len, "%s/%s", ns, name);
	HASH_FIND_STR(h->checks, c->key, found);
	if (found || !make) {
		free(c);
		return found;
	}
	c->name = c->key + n + 1;
	c->ns = c->key + len;
	memcpy(c->ns, ns, n + 1);
	HASH_ADD_KEYPTR(hh, h->checks, c->key, len - 1, c);
	if (c->hh.tbl)
		return c;
	free(c);
	return NULL;
}

static void forget(struct agent_health *h, struct check *c)
{
	HASH_DEL(h->checks, c);
	free(c);
}

/* A pod counts once, whichever families the Service has: with the larger of both. */
void agent_health_planned(struct agent *a, const char *ns, const char *name,
			  const struct svc_plan *plans, size_t n)
{
	struct agent_health *h = a->health;
	uint32_t endpoints = 0;
	uint16_t port = 0;
	struct check *c;

	for (size_t i = 0; i < n; i++) {
		if (plans[i].health_port)
			port = plans[i].health_port;
		if (plans[i].local_ready > endpoints)
			endpoints = plans[i].local_ready;
	}
	c = get(h, ns, name, port != 0);
	if (!c && port)
		log_error("Service %s/%s: no memory for its health check", ns, name);
	if (!c || (c->port == port && c->endpoints == endpoints))
		return;
	c->port = port;
	c->endpoints = endpoints;
	c->changed = h->changed = true;
}

static void tell(struct agent *a, struct report *m, bool all)
{
	struct agent_health *h = a->health;
	struct check *c, *next;

	HASH_ITER(hh, h->checks, c, next)
	{
		struct rec_health_port told = {
			.ns = c->ns, .name = c->name, .port = c->port, .endpoints = c->endpoints
		};

		if (all || c->changed)
			report_send(m, REC_HEALTH_PORT, &told);
		c->changed = false;
		if (!c->port)
			forget(h, c);
	}
	h->changed = false;
}

/* ---- does the kernel do what it should? */

static int64_t now_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}

void agent_health_queued(struct agent *a)
{
	struct agent_health *h = a->health;

	h->planned = false;
	if (!h->queued)
		h->queued = now_ms();
}

/* An audit may have brought right what a batch did not. */
static void look(struct agent *a)
{
	struct agent_health *h = a->health;

	if (!h->started || !h->planned || agent_nft_behind(a))
		return;
	if (h->queued || !h->updated)
		h->updated = now_ms();
	h->queued = 0;
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
		p.updated = h->updated;
		p.queued = h->queued;
	}
	report_send(m, REC_PROXY, &p);
}

/* ---- when */

void agent_health_sent(struct agent *a, bool all)
{
	struct agent_health *h = a->health;

	h->planned |= all;
	if (h->started && h->changed)
		tell(a, agent_report_to_health(a), false);
	look(a);
}

void agent_health_in_kernel(struct agent *a, bool live)
{
	struct agent_health *h = a->health;
	bool first = !h->started || (live && !h->listed);

	h->started = h->planned = true;
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
}

/* ---- life */

int agent_health_open(struct agent *a, struct err *e)
{
	a->health = calloc(1, sizeof(*a->health));
	return a->health ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_health_close(struct agent *a)
{
	struct check *c, *next;

	if (!a->health)
		return;
	HASH_ITER(hh, a->health->checks, c, next)
	forget(a->health, c);
	free(a->health);
	a->health = NULL;
}
