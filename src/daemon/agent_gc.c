// SPDX-License-Identifier: Apache-2.0
/* agent_gc: see agent_gc.h. */
#include "daemon/agent_gc.h"
#include "core/ipam/absence.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_link.h"
#include "daemon/agent_pod.h"
#include "daemon/agent_store.h"
#include "sys/clock.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX_S 15. /* between two looks; a quarter of the grace period where that is less */

struct agent_gc {
	struct agent *agent;
	struct absence lost; /* attachments, by id */
	ev_timer timer;
	struct agent_gc_stats stats;
};

struct agent_gc_stats agent_gc_stats(const struct agent *a)
{
	return a->gc->stats;
}

/* The links of the node as one look sees them, read only where a name is missing. */
struct look {
	struct agent *a;
	struct buf links;
	bool read, failed;
};

static bool concerns_us(const struct ipam_attachment *at)
{
	return at->state == IPAM_LIVE && !agent_ipam_is_gateway(at);
}

/* Somebody may have given the link another name: it still carries the alias of its ADD. */
static bool is_renamed(struct look *l, const struct ipam_attachment *at)
{
	char alias[LINK_ALIAS];
	struct err e;

	if (!l->read)
		l->failed = link_look(agent_kernel_nl(l->a), &l->links, &e) != 0;
	l->read = true;
	link_alias(at, alias);
	/* What cannot be read is not missing. */
	return l->failed || link_by_alias(&l->links, alias);
}

static bool link_is_gone(struct look *l, const struct ipam_attachment *at)
{
	struct err e;

	return rtnl_ifindex(agent_kernel_nl(l->a), at->hostif, &e) == -ENODEV && !is_renamed(l, at);
}

static bool pod_is_gone(const struct agent *a, const struct ipam_attachment *at)
{
	const struct object *o;

	if (!at->pod_name || !agent_store_live(a))
		return false;
	o = cluster_get(agent_store_cluster(a), KIND_POD, at->pod_namespace, at->pod_name);
	return !o || (at->pod_uid && o->meta->uid && strcmp(o->meta->uid, at->pod_uid) != 0);
}

static bool is_missing(struct look *l, const struct ipam_attachment *at)
{
	if (at->ipam_only || !at->hostif)
		return pod_is_gone(l->a, at);
	return link_is_gone(l, at);
}

static const char *key_of(uint64_t id, char out[24])
{
	snprintf(out, 24, "%llu", (unsigned long long)id);
	return out;
}

/* Ids, as releasing changes the book; 0 for those that are none of our business. */
static uint64_t *all_ids(struct agent *a, size_t *n)
{
	const struct ipam_attachment *const *v = ipam_all(agent_ipam_book(a), n);
	uint64_t *ids = calloc(*n + 1, sizeof(*ids));

	for (size_t i = 0; ids && i < *n; i++)
		ids[i] = concerns_us(v[i]) ? v[i]->id : 0;
	if (!ids)
		log_error("no memory to look at %zu pods", *n);
	return ids;
}

static void release(struct agent *a, uint64_t id, uint64_t *counter, const char *why)
{
	const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(a), id);
	struct err e;

	log_warn("container %s, %s (%s/%s): %s; released", at->container, at->ifname,
		 at->pod_namespace ? at->pod_namespace : "-", at->pod_name ? at->pod_name : "-",
		 why);
	++*counter;
	if (agent_pod_del(a, at, -1, &e))
		log_error("container %llu: %s", (unsigned long long)id, e.text);
}

static void look(struct agent *a)
{
	struct agent_gc *g = a->gc;
	int64_t now = (int64_t)(clock_mono_ns() / 1000000);
	struct look l = { .a = a };
	uint64_t *ids;
	char key[24];
	struct err e;
	size_t n;

	ids = all_ids(a, &n);
	if (!ids)
		return;
	for (size_t i = 0; i < n; i++)
		if (ids[i] && is_missing(&l, ipam_by_id(agent_ipam_book(a), ids[i])) &&
		    absence_note(&g->lost, key_of(ids[i], key), now, &e))
			log_error("%s", e.text);
	absence_end(&g->lost);
	g->stats.suspects = g->lost.n;
	for (size_t i = 0; i < n; i++) {
		const struct ipam_attachment *at;

		if (!ids[i] || !absence_lasts(&g->lost, key_of(ids[i], key), now))
			continue;
		at = ipam_by_id(agent_ipam_book(a), ids[i]);
		if (at->ipam_only)
			release(a, ids[i], &g->stats.pod, "its Pod is gone, without a DEL");
		else
			release(a, ids[i], &g->stats.link, "its link is gone, without a DEL");
	}
	buf_fini(&l.links);
	free(ids);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_gc *g = w->data;

	(void)loop;
	(void)events;
	look(g->agent);
}

/* A link of the journal that is there says that it is no other boot, whatever the id says: a
 * machine that was restored from a checkpoint, or a /proc that is not the kernel's. */
static bool any_link_lives(struct agent *a)
{
	const struct ipam_attachment *const *v;
	struct err e;
	size_t n;

	v = ipam_all(agent_ipam_book(a), &n);
	for (size_t i = 0; i < n; i++)
		if (concerns_us(v[i]) && !v[i]->ipam_only && v[i]->hostif &&
		    rtnl_ifindex(agent_kernel_nl(a), v[i]->hostif, &e) != -ENODEV)
			return true;
	return false;
}

void agent_gc_boot(struct agent *a)
{
	uint64_t *ids;
	size_t n;

	if (!agent_ipam_other_boot(a))
		return;
	if (any_link_lives(a)) {
		log_warn("the journal is of another boot, yet links of it are there: all is kept");
		return;
	}
	ids = all_ids(a, &n);
	for (size_t i = 0; ids && i < n; i++)
		if (ids[i])
			release(a, ids[i], &a->gc->stats.boot, "it was before this boot");
	free(ids);
}

void agent_gc_start(struct agent *a)
{
	double every = a->role->cfg.leak_grace / 4.;

	every = every < LOOK_MAX_S ? every : LOOK_MAX_S;
	ev_timer_set(&a->gc->timer, 0., every);
	ev_timer_start(a->role->loop, &a->gc->timer);
}

int agent_gc_open(struct agent *a, struct err *e)
{
	a->gc = calloc(1, sizeof(*a->gc));
	if (!a->gc)
		return err_set(e, -ENOMEM, "no memory");
	a->gc->agent = a;
	a->gc->lost.grace = 1000 * (int64_t)a->role->cfg.leak_grace;
	ev_timer_init(&a->gc->timer, on_timer, 0., 0.);
	a->gc->timer.data = a->gc;
	return 0;
}

void agent_gc_close(struct agent *a)
{
	if (!a->gc)
		return;
	ev_timer_stop(a->role->loop, &a->gc->timer);
	absence_forget(&a->gc->lost);
	free(a->gc);
	a->gc = NULL;
}
