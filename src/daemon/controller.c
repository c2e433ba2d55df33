// SPDX-License-Identifier: Apache-2.0
/* Role controller: workloads become pods, pods get nodes and Services their addresses and ports,
 * where no Kubernetes does it.
 *
 * One controller of the cluster leads; the others follow the store and wait for its lease to
 * run out. The lease is a Lease kube-system/fairlead-controller, held by the name of a Node. A
 * leader that is ended gives it up, so that another one leads at once. */
#include "daemon/controller.h"
#include "sys/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LEASE_NAMESPACE "kube-system"
#define LEASE_NAME      "fairlead-controller"
#define TICK_S          0.5
#define GIVE_UP_S       1. /* that an end waits for the lease to be given up */

static int64_t now_ms(void)
{
	return (int64_t)(clock_boot_ns() / 1000000);
}

bool controller_leads(const struct controller *c)
{
	return lease_leads(&c->lease, now_ms());
}

/* All that a new leader has to do begins here, whoever learned first that it leads. */
static void note_lead(struct controller *c)
{
	bool now = controller_leads(c);

	if (now == c->led)
		return;
	c->led = now;
	log_info("%s", now ? "leads the cluster" : "no longer leads the cluster");
	if (!now)
		return;
	work_wake(c);
	services_wake(c);
	slices_all(c);
}

/* ---- lease */

static const struct object *lease_object_of(const struct controller *c)
{
	return cluster_get(mirror_cluster(c->mirror), KIND_LEASE, LEASE_NAMESPACE, LEASE_NAME);
}

static void give_up(struct controller *c);

static void on_written(void *arg, const struct rec_written *w)
{
	struct controller *c = arg;

	lease_answered(&c->lease, w->code == 0);
	if ((c->giving_up && !w->code) || (c->lease.leaving && w->code && w->code != -ESTALE))
		ev_break(c->role->loop, EVBREAK_ONE);
	else if (c->lease.leaving && c->lease.rev != c->asked_rev)
		give_up(c); /* else what the answer speaks of has to be seen first */
	if (w->code && w->code != -EEXIST && w->code != -ESTALE && w->code != -EPIPE)
		log_warn("lease: %s", w->text ? w->text : "refused");
	if (!c->lease.leaving)
		note_lead(c);
}

static void write_lease(struct controller *c, enum lease_action action)
{
	const struct object *o = lease_object_of(c);
	struct rec_write w = { .op = action == LEASE_CREATE ? WRITE_CREATE : WRITE_UPDATE,
			       .expect = o ? (int64_t)o->rev : 0,
			       .kind = KIND_LEASE,
			       .ns = LEASE_NAMESPACE,
			       .name = LEASE_NAME };
	struct lease l;
	struct err e;

	lease_object(&c->lease, o ? o->body : NULL, clock_wall(), &l);
	l.meta.name = LEASE_NAME;
	l.meta.namespace = LEASE_NAMESPACE;
	lease_asked(&c->lease, now_ms());
	c->asked_rev = c->lease.rev;
	c->giving_up = action == LEASE_GIVE_UP;
	if (mirror_write(c->mirror, &w, &l, on_written, c, &e)) {
		lease_answered(&c->lease, false);
		log_debug("lease: %s", e.text);
	}
}

static void mind_lease(struct controller *c)
{
	enum lease_action action;

	if (c->lease.leaving)
		return;
	note_lead(c);
	if (!mirror_current(c->mirror))
		return;
	action = lease_step(&c->lease, now_ms());
	if (action != LEASE_NOTHING)
		write_lease(c, action);
}

/* Called again until nothing is left to give up: a renewal may be under way. */
static void give_up(struct controller *c)
{
	if (lease_step(&c->lease, now_ms()) == LEASE_GIVE_UP)
		write_lease(c, LEASE_GIVE_UP);
	if (!c->lease.held || !c->lease.asked_ms)
		ev_break(c->role->loop, EVBREAK_ONE);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)t;
	(void)events;
	log_warn("lease: nobody answered, it has to run out");
	ev_break(loop, EVBREAK_ONE);
}

/* The loop was left; it runs once more for the answer. */
static void leave(struct controller *c)
{
	ev_timer patience;

	lease_leave(&c->lease);
	ev_timer_init(&patience, on_patience, GIVE_UP_S, 0.);
	ev_timer_start(c->role->loop, &patience);
	give_up(c);
	if (c->lease.asked_ms)
		ev_run(c->role->loop, 0);
	ev_timer_stop(c->role->loop, &patience);
}

static void on_tick(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)loop;
	(void)events;
	mind_lease(t->data);
}

/* ---- the mirror */

static void on_changed(void *arg, const struct object *old, const struct object *now)
{
	struct controller *c = arg;
	const struct object *o = now ? now : old;

	if (o->kind->id == KIND_LEASE) {
		o = lease_object_of(c);
		lease_seen(&c->lease, o ? o->body : NULL, o ? o->rev : 0, now_ms());
		if (c->lease.leaving)
			give_up(c);
		return;
	}
	slices_changed(c, old, now);
	if (o->kind->id == KIND_SERVICE)
		services_changed(c, old, now);
	else if (o->kind->id != KIND_ENDPOINTSLICE && o->kind->id != KIND_IPBLOCK &&
		 !o->kind->derived)
		work_wake(c);
}

static void on_synced(void *arg, const struct rec_sync *s)
{
	struct controller *c = arg;

	/* What was spared because it might only have been unreadable is looked at again. */
	if (c->incomplete && !mirror_incomplete(c->mirror))
		work_wake(c);
	if (c->blind && mirror_current(c->mirror)) {
		c->blind = false;
		work_wake(c);
		slices_all(c);
	}
	c->incomplete = mirror_incomplete(c->mirror);
	mind_lease(c);
	work_synced(c, (uint64_t)s->revision);
	blocks_synced(c, s);
	services_wake(c);
	slices_synced(c, (uint64_t)s->revision);
}

static const struct mirror_ops mirror_ops = { .changed = on_changed, .synced = on_synced };

/* ---- role */

static void on_join(struct role *r, const char *peer, int fd)
{
	struct controller *c = r->state;

	if (strcmp(peer, "watch") == 0) {
		c->blind = true;
		blocks_blind(c);
		mirror_join(c->mirror, fd);
	} else if (strcmp(peer, "health") == 0) {
		report_join(&c->report, fd);
	} else {
		close(fd);
	}
}

static void fill(struct report *r, void *arg)
{
	struct controller *c = arg;

	report_value(r, "fairlead_controller_leads", "gauge",
		     "Does this node's controller lead the cluster.", NULL, NULL, c->led);
	work_report(c);
	blocks_report(c);
	services_report(c);
	slices_report(c);
	traces_report(c);
}

void controller_look_in(struct controller *c, ev_timer *timer, double seconds)
{
	struct ev_loop *loop = c->role->loop;

	if (ev_is_active(timer) && ev_timer_remaining(loop, timer) <= seconds)
		return;
	ev_timer_stop(loop, timer);
	ev_timer_set(timer, seconds, 0.);
	ev_timer_start(loop, timer);
}

static int start(struct role *r, struct err *e)
{
	static const uint8_t kinds[] = {
		KIND_LEASE,      KIND_NAMESPACE,        KIND_NODE,          KIND_DEPLOYMENT,
		KIND_REPLICASET, KIND_STATEFULSET,      KIND_DAEMONSET,     KIND_JOB,
		KIND_POD,        KIND_SERVICE,          KIND_ENDPOINTSLICE, KIND_IPBLOCK,
		KIND_NODESTATE,  KIND_WORKLOADENDPOINT, KIND_PACKETTRACE
	};
	struct controller *c = r->state;
	int rc;

	c->role = r;
	lease_init(&c->lease, r->cfg.node);
	rc = work_open(c, e);
	if (!rc)
		rc = blocks_open(c, e);
	if (!rc)
		rc = services_open(c, e);
	if (!rc)
		rc = slices_open(c, e);
	if (!rc)
		rc = traces_open(c, e);
	if (rc)
		return rc;
	c->mirror = mirror_new(r, kinds, sizeof(kinds), &mirror_ops, c, e);
	if (!c->mirror)
		return -ENOMEM;
	ev_timer_init(&c->tick, on_tick, TICK_S, TICK_S);
	c->tick.data = c;
	ev_timer_start(r->loop, &c->tick);
	report_init(&c->report, r, fill, c);
	role_ready(r);
	return 0;
}

static void stop(struct role *r)
{
	struct controller *c = r->state;

	report_fini(&c->report);
	ev_timer_stop(r->loop, &c->tick);
	if (controller_leads(c))
		leave(c);
	mirror_free(c->mirror);
	traces_close(c);
	slices_close(c);
	services_close(c);
	blocks_close(c);
	work_close(c);
}

int main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.name = "controller", .start = start, .join = on_join, .stop = stop
	};
	struct controller c = { 0 };

	return role_main(&ops, &c, argc, argv);
}
