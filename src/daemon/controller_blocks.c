// SPDX-License-Identifier: Apache-2.0
/* What the leading controller does about what Nodes that are gone left in the store, their blocks
 * above all (core/ipam/reclaim.h).
 *
 * Every controller looks, so that a new leader need not begin to count; only the leader writes. A
 * look is made after each sync that changed something and when somebody's grace period ends, and
 * not while writes of the last one are unanswered. What was seen is forgotten whenever watch or the
 * store was out of reach, or not whole: a Node may have come and gone meanwhile. */
#include "core/ipam/reclaim.h"
#include "daemon/controller.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_AFTER_S 0.1 /* changes this close together make one look */
#define RETRY_S      1.
#define WINDOW       64 /* reports whose deletion is under way at once */

struct blocks {
	struct controller *c;
	struct absence gone;
	ev_timer timer;
	unsigned in_flight;
	uint64_t n_taken, n_failed;
};

/* Was it refused, so that it is to be tried again? */
static bool answered(struct blocks *b, const struct rec_written *a)
{
	b->in_flight--;
	if (!a->code || a->code == -ESTALE || a->code == -ENOENT) {
		if (!b->in_flight)
			controller_look_in(b->c, &b->timer,
					   LOOK_AFTER_S); /* at what is left, or what was faster */
		return false;
	}
	if (a->code != -EPIPE)
		log_warn("%s", a->text ? a->text : "what a node left could not be taken");
	controller_look_in(b->c, &b->timer, RETRY_S);
	return true;
}

static void on_written(void *arg, const struct rec_written *a)
{
	struct blocks *b = arg;

	b->n_taken += !a->code;
	b->n_failed += answered(b, a);
}

static void on_deleted(void *arg, const struct rec_written *a)
{
	answered(arg, a);
}

static void delete_report(struct blocks *b, const struct object *o)
{
	struct rec_write w = { .kind = o->kind->id,
			       .op = WRITE_DELETE,
			       .expect = (int64_t)o->rev,
			       .ns = o->meta->namespace,
			       .name = o->meta->name };
	struct err e;

	log_debug("%s %s: its node is gone", o->kind->name, w.name);
	if (mirror_write(b->c->mirror, &w, NULL, on_deleted, b, &e)) {
		log_warn("%s %s: %s", o->kind->name, w.name, e.text);
		controller_look_in(b->c, &b->timer, RETRY_S);
		return;
	}
	b->in_flight++;
}

static void write_one(struct blocks *b, const struct ipam_action *x)
{
	struct rec_write w = { .kind = KIND_IPBLOCK,
			       .op = x->type == IPAM_DELETE ? WRITE_DELETE : WRITE_UPDATE,
			       .expect = (int64_t)x->rev,
			       .name = x->block.meta.name };
	struct err e;

	log_info("block %s of node %s: %s", w.name, x->block.spec.node, x->why);
	if (mirror_write(b->c->mirror, &w, x->type == IPAM_DELETE ? NULL : &x->block, on_written, b,
			 &e)) {
		log_warn("block %s: %s", w.name, e.text);
		controller_look_in(b->c, &b->timer, RETRY_S);
		return;
	}
	b->in_flight++;
}

static int look(struct blocks *b, struct arena *a, struct err *e)
{
	int64_t now = (int64_t)(clock_boot_ns() / 1000000);
	struct reclaim_plan plan;
	int rc = reclaim_look(&b->gone, mirror_cluster(b->c->mirror), now, a, &plan, e);

	if (rc)
		return rc;
	if (controller_leads(b->c)) {
		for (uint32_t i = 0; i < plan.writes.n; i++)
			write_one(b, &plan.writes.v[i]);
		for (uint32_t i = 0; i < plan.reports.n && b->in_flight < WINDOW; i++)
			delete_report(b, plan.reports.v[i]);
	} else if (plan.writes.n || plan.reports.n) {
		controller_look_in(b->c, &b->timer, RETRY_S); /* the leader may be gone */
	}
	if (plan.next)
		controller_look_in(b->c, &b->timer, (double)(plan.next - now) / 1000. + 0.001);
	return 0;
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct blocks *b = t->data;
	struct arena a;
	struct err e;

	(void)loop;
	(void)events;
	if (b->in_flight || !mirror_current(b->c->mirror) || mirror_incomplete(b->c->mirror))
		return; /* an answer or a sync brings us back */
	arena_init(&a, 0);
	if (look(b, &a, &e)) {
		log_error("blocks of nodes that are gone: %s", e.text);
		controller_look_in(b->c, &b->timer, RETRY_S);
	}
	arena_fini(&a);
}

void blocks_blind(struct controller *c)
{
	absence_forget(&c->blocks->gone);
	ev_timer_stop(c->role->loop, &c->blocks->timer);
}

void blocks_synced(struct controller *c, const struct rec_sync *s)
{
	if (!s->in_sync || s->stale || s->incomplete)
		blocks_blind(c);
	else
		controller_look_in(c, &c->blocks->timer, LOOK_AFTER_S);
}

void blocks_report(struct controller *c)
{
	report_value(&c->report, "fairlead_controller_blocks_reclaimed_total", "counter",
		     "Writes that took blocks or loans from Nodes that are gone, by result.",
		     "result", "ok", c->blocks->n_taken);
	report_value(&c->report, "fairlead_controller_blocks_reclaimed_total", "counter",
		     "Writes that took blocks or loans from Nodes that are gone, by result.",
		     "result", "failed", c->blocks->n_failed);
}

int blocks_open(struct controller *c, struct err *e)
{
	struct blocks *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(e, -ENOMEM, "no memory");
	b->c = c;
	b->gone.grace = 1000 * (int64_t)c->role->cfg.reclaim_grace;
	ev_timer_init(&b->timer, on_timer, 0., 0.);
	b->timer.data = b;
	c->blocks = b;
	return 0;
}

void blocks_close(struct controller *c)
{
	if (!c->blocks)
		return;
	ev_timer_stop(c->role->loop, &c->blocks->timer);
	absence_forget(&c->blocks->gone);
	free(c->blocks);
	c->blocks = NULL;
}
