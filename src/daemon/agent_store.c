// SPDX-License-Identifier: Apache-2.0
/* agent_store: see agent_store.h. */
#include "daemon/agent_store.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_report.h"
#include "daemon/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint8_t kinds[] = { KIND_NODE, KIND_POD, KIND_IPPOOL, KIND_IPBLOCK,
				 KIND_IPRESERVATION };

struct agent_store {
	struct mirror *mirror;
	bool live, stale, adopted;
	bool ipam_due; /* something that core/ipam reads changed */
	int64_t revision, observed;
};

/* A write under way. */
struct asked {
	struct agent *agent;
	agent_written_fn *fn;
	void *arg;
};

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	struct agent *a = arg;

	if ((now ? now : old)->kind->id != KIND_POD)
		a->store->ipam_due = true;
	agent_plan_changed(a, old, now);
}

/* The kernel holds everything up to the last sync. */
static void in_kernel(struct agent *a)
{
	struct agent_store *s = a->store;

	agent_ipam_adopt(a); /* first: what is not in the book goes in what follows */
	if (!s->adopted && !s->live) {
		agent_kernel_start(a); /* adds, and deletes nothing */
	} else if (!s->adopted) {
		s->adopted = true;
		agent_kernel_adopt(a);
		agent_nft_adopt(a);
	}
	s->observed = s->revision;
	agent_report_state(a);
	agent_wake(a);
}

static void on_synced(void *arg, const struct rec_sync *y)
{
	struct agent *a = arg;
	struct agent_store *s = a->store;
	/* A list with gaps is no reason to take anything away. */
	bool live = y->in_sync && !y->stale && !mirror_incomplete(s->mirror);
	struct err e;

	if (y->stale && !s->stale)
		log_warn("the store is out of reach (%s); going on with what was last seen",
			 y->text ? y->text : "no reason given");
	if (live && !s->live)
		log_info("in sync with the store at revision %lld", (long long)y->revision);
	s->ipam_due |= live != s->live;
	s->stale = y->stale;
	s->live = live;
	s->revision = y->revision;
	if (s->ipam_due && agent_ipam_sync(a, &e))
		log_error("address book: %s", e.text);
	s->ipam_due = false;
	agent_plan_tunnel_changed(a);
	agent_plan_flush(a, in_kernel);
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
	a->store->mirror = mirror_new(a->role, kinds, sizeof(kinds), &ops, a, e);
	return a->store->mirror ? 0 : e->code;
}

void agent_store_close(struct agent *a)
{
	if (!a->store)
		return;
	mirror_free(a->store->mirror);
	free(a->store);
	a->store = NULL;
}

const struct cluster *agent_store_cluster(const struct agent *a)
{
	return mirror_cluster(a->store->mirror);
}

bool agent_store_was_synced(const struct agent *a)
{
	return mirror_in_sync(a->store->mirror);
}

bool agent_store_live(const struct agent *a)
{
	return a->store->live;
}

int64_t agent_store_revision(const struct agent *a)
{
	return a->store->revision;
}

int64_t agent_store_observed(const struct agent *a)
{
	return a->store->observed;
}
