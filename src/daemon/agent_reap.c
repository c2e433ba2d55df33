// SPDX-License-Identifier: Apache-2.0
/* agent_reap: see agent_reap.h.
 *
 * The thread gets a list of indices and a socket of its own, gives back the outcome, and touches
 * nothing else: the book, the log and the loop are the main thread's. One runs at a time; what
 * dies meanwhile is the next one's. Where it is needed at once (agent_reap_now) the main thread
 * does the same, also beside it: a link that is gone already counts as removed.
 *
 * The kernel is told an index, as a name may be the heir's by now. Whoever asks for an index by
 * number can have one that was ours, so each is looked at again right before it goes, a few at a
 * time; what is neither called nor described as it was at ADD stays. */
#include "daemon/agent_reap.h"
#include "daemon/agent_bridge.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_report.h"
#include "sys/pod.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY 0.3 /* seconds: collects a burst of DELs, and stays well below one */
#define RETRY 5.0

struct dying {
	int index;
	char name[IFNAME_LEN], alias[LINK_ALIAS];
};

/* Attachments that are DYING, and the links that they still have. */
struct batch {
	uint64_t *ids;
	struct dying *link;
	size_t n, links;
	int rc;
	struct err e;
};

struct agent_reap {
	struct agent *agent;
	ev_timer timer;
	ev_async removed;
	struct batch *running; /* the thread's; NULL: none runs */
	pthread_t thread;
	bool again; /* some wait for the store */
	atomic_bool ending;
};

static bool has_heir(struct agent *a, const char *hostif)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->state == IPAM_LIVE && v[i]->hostif && !strcmp(v[i]->hostif, hostif))
			return true;
	return false;
}

/* The link that it still has: the index is 0 where there is none. */
static struct dying dying_link(struct agent *a, const struct ipam_attachment *at)
{
	struct nl *nl = agent_kernel_nl(a);
	struct dying d = { 0 };
	struct err none;

	if (at->ipam_only || !at->hostif)
		return d;
	snprintf(d.name, sizeof(d.name), "%s", at->hostif);
	link_alias(at, d.alias);
	/* None was noted where the link had gone before: one of that name now is its heir's. */
	if (!at->ifindex && has_heir(a, at->hostif))
		return d;
	if (!at->ifindex)
		d.index = rtnl_ifindex(nl, at->hostif, &none);
	else if (link_is_still(nl, (int)at->ifindex, d.name, d.alias))
		d.index = (int)at->ifindex;
	if (d.index < 0)
		d.index = 0;
	return d;
}

/* Until `ending` where that is given. */
static int remove_batch(struct nl *nl, const struct batch *b, const atomic_bool *ending,
			struct err *e)
{
	int rc = 0, index[RTNL_LINKS_AT_ONCE];

	for (size_t i = 0; !rc && i < b->links && !(ending && atomic_load(ending));
	     i += RTNL_LINKS_AT_ONCE) {
		size_t n = 0;

		for (size_t k = i; k < b->links && k < i + RTNL_LINKS_AT_ONCE; k++)
			if (link_is_still(nl, b->link[k].index, b->link[k].name, b->link[k].alias))
				index[n++] = b->link[k].index;
		if (n)
			rc = pod_reap(nl, index, n, e);
	}
	return rc;
}

static void batch_free(struct batch *b)
{
	if (!b)
		return;
	free(b->ids);
	free(b->link);
	free(b);
}

static struct batch *collect(struct agent *a, struct err *e)
{
	const struct ipam_attachment *const *v;
	struct batch *b = calloc(1, sizeof(*b));
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	if (b) {
		b->ids = calloc(n + 1, sizeof(*b->ids));
		b->link = calloc(n + 1, sizeof(*b->link));
	}
	if (!b || !b->ids || !b->link) {
		batch_free(b);
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (v[i]->state != IPAM_DYING)
			continue;
		b->ids[b->n++] = v[i]->id;
		b->link[b->links] = dying_link(a, v[i]);
		b->links += b->link[b->links].index != 0;
	}
	return b;
}

/* Their links are gone: the book forgets those of whom nothing is left in the connection table; a look
 * that comes to its end calls again. */
static int forget(struct agent *a, const struct batch *b, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < b->n; i++) {
		const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(a), b->ids[i]);

		if (!at || at->state != IPAM_DYING || agent_conntrack_seeks(a, at->id))
			continue;
		/* The object first: once the book forgets, nobody would take it back. */
		if (agent_report_endpoint_gone(a, at))
			rc = agent_ipam_release(a, at->id, e);
		else
			a->reap->again = true;
	}
	if (!rc)
		agent_bridge_prune(a);
	return rc;
}

int agent_reap_now(struct agent *a, struct err *e)
{
	struct batch *b = collect(a, e);
	int rc = b ? 0 : -ENOMEM;

	if (!rc)
		rc = remove_batch(agent_kernel_nl(a), b, NULL, e);
	if (!rc)
		rc = forget(a, b, e);
	batch_free(b);
	return rc;
}

/* ---- in the background */

static void *remove_links(void *arg)
{
	struct agent_reap *r = arg;
	struct batch *b = r->running;

	b->rc = remove_batch(agent_kernel_reaper(r->agent), b, &r->ending, &b->e);
	ev_async_send(r->agent->role->loop, &r->removed);
	return NULL;
}

static void look_again(struct agent_reap *r, ev_tstamp delay)
{
	if (ev_is_active(&r->timer)) {
		if (ev_timer_remaining(r->agent->role->loop, &r->timer) <= delay)
			return;
		ev_timer_stop(r->agent->role->loop, &r->timer);
	}
	ev_timer_set(&r->timer, delay, 0.);
	ev_timer_start(r->agent->role->loop, &r->timer);
}

static void conclude(struct agent_reap *r, int rc, struct err *e)
{
	struct batch *b = r->running;

	r->running = NULL;
	r->again = false;
	if (!rc)
		rc = forget(r->agent, b, e);
	batch_free(b);
	if (rc)
		log_error("reaper: %s", e->text);
	if (rc || r->again)
		look_again(r, RETRY);
}

static void on_removed(struct ev_loop *loop, ev_async *w, int events)
{
	struct agent_reap *r = w->data;
	struct err e;

	pthread_join(r->thread, NULL);
	e = r->running->e;
	conclude(r, r->running->rc, &e);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_reap *r = w->data;
	struct err e;
	int rc;

	if (r->running) {
		look_again(r, DELAY);
		return;
	}
	r->running = collect(r->agent, &e);
	if (!r->running) {
		log_error("reaper: %s", e.text);
		look_again(r, RETRY);
		return;
	}
	if (!r->running->links) {
		conclude(r, 0, &e);
		return;
	}
	rc = pthread_create(&r->thread, NULL, remove_links, r);
	if (rc)
		conclude(r, err_sys(&e, -rc, "no thread"), &e);
}

void agent_reap_soon(struct agent *a)
{
	look_again(a->reap, DELAY); /* sooner than one that waits for a retry */
}

int agent_reap_open(struct agent *a, struct err *e)
{
	struct agent_reap *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, -ENOMEM, "no memory");
	a->reap = r;
	r->agent = a;
	ev_timer_init(&r->timer, on_timer, DELAY, 0.);
	ev_async_init(&r->removed, on_removed);
	r->timer.data = r->removed.data = r;
	ev_async_start(a->role->loop, &r->removed);
	return 0;
}

void agent_reap_close(struct agent *a)
{
	struct agent_reap *r = a->reap;

	if (!r)
		return;
	if (r->running) {
		/* Not for hundreds of links: who takes over waits for this agent's end. */
		atomic_store(&r->ending, true);
		pthread_join(r->thread, NULL);
		batch_free(r->running); /* the next agent finds the book's DYING entries */
	}
	ev_timer_stop(a->role->loop, &r->timer);
	ev_async_stop(a->role->loop, &r->removed);
	free(r);
	a->reap = NULL;
}
