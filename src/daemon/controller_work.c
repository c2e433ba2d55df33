// SPDX-License-Identifier: Apache-2.0
/* What the leading controller does: core/workload says what, here is when, and how it gets into
 * the store.
 *
 * A plan is made a few milliseconds after a change and turned at once into encoded writes, which
 * need nothing of the mirror any more; they are sent a window at a time. The next plan waits
 * until all were answered and came back through the mirror, so no plan is made from what is
 * known to be old. Names of pods are deterministic and a binding carries the revision that it
 * was made from, so a plan of somebody who just lost the lease is refused or changes nothing. */
#include "core/workload/workload.h"
#include "daemon/controller.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW     32    /* writes in flight */
#define SETTLE_S   0.005 /* changes this close together make one plan */
#define RETRY_S    1.    /* after a write that failed for no reason that a new plan removes */
#define CATCH_UP_S 2.    /* how long to wait for our own writes to come back */

#define PLAN_MEMORY (512UL << 20)

struct work {
	struct controller *c;
	ev_timer timer; /* plan when it fires */
	struct arena arena;
	struct rec_write *writes; /* of the plan under way, in `arena` */
	uint32_t n, next;
	unsigned in_flight;
	bool running, dirty, failed, cut;
	uint64_t written, synced; /* revisions */
	uint64_t n_plans, n_ok, n_failed;
};

static void plan_in(struct work *w, double seconds)
{
	if (ev_is_active(&w->timer) && ev_timer_remaining(w->c->role->loop, &w->timer) <= seconds)
		return;
	ev_timer_stop(w->c->role->loop, &w->timer);
	ev_timer_set(&w->timer, seconds, 0.);
	ev_timer_start(w->c->role->loop, &w->timer);
}

void work_wake(struct controller *c)
{
	struct work *w = c->work;

	w->dirty = true;
	if (!w->running && w->synced >= w->written)
		plan_in(w, SETTLE_S);
}

/* ---- a plan as writes */

static int encode(struct work *w, struct rec_write *out, const void *body, struct err *e)
{
	struct buf b = { 0 };
	void *copy;
	int rc;

	rc = record_body(&b, kind_by_id((unsigned)out->kind)->schema, body, e);
	copy = rc ? NULL : arena_memdup(&w->arena, b.v, b.n);
	out->body = (struct blob){ copy, (uint32_t)b.n };
	buf_fini(&b);
	if (rc)
		return rc;
	return copy ? 0 : err_set(e, -ENOMEM, "no memory");
}

/* `body` NULL: none. Room was made by the caller. */
static int add(struct work *w, const struct rec_write *one, const void *body, struct err *e)
{
	struct rec_write *out = &w->writes[w->n];

	*out = *one;
	out->ns = arena_strdup(&w->arena, one->ns);
	out->name = arena_strdup(&w->arena, one->name);
	if (!out->name || (one->ns && !out->ns))
		return err_set(e, -ENOMEM, "no memory");
	w->n++;
	return body ? encode(w, out, body, e) : 0;
}

static int add_namespaces(struct work *w, struct err *e)
{
	static const char *const names[] = { "default", "kube-system" };
	const struct cluster *cl = mirror_cluster(w->c->mirror);
	int rc = 0;

	for (size_t i = 0; i < 2 && !rc; i++) {
		struct namespace_obj ns = { .meta = { .name = names[i] } };
		struct rec_write one = { .op = WRITE_CREATE,
					 .kind = KIND_NAMESPACE,
					 .name = names[i] };

		if (!cluster_get(cl, KIND_NAMESPACE, NULL, names[i]))
			rc = add(w, &one, &ns, e);
	}
	return rc;
}

static int add_pods(struct work *w, const struct workload_plan *p, struct err *e)
{
	struct rec_write one = { .kind = KIND_POD };
	int rc = 0;

	/* A workload that is missing may only be unreadable. */
	one.op = WRITE_DELETE;
	for (uint32_t i = 0; i < p->deletes.n && !rc && !mirror_incomplete(w->c->mirror); i++) {
		one.ns = p->deletes.v[i]->meta->namespace;
		one.name = p->deletes.v[i]->meta->name;
		rc = add(w, &one, NULL, e);
	}
	one.op = WRITE_CREATE;
	for (uint32_t i = 0; i < p->creates.n && !rc; i++) {
		one.ns = p->creates.v[i]->meta.namespace;
		one.name = p->creates.v[i]->meta.name;
		rc = add(w, &one, p->creates.v[i], e);
	}
	one.op = WRITE_UPDATE;
	for (uint32_t i = 0; i < p->binds.n && !rc; i++) {
		struct pod pod = *(const struct pod *)p->binds.v[i].pod->body;

		pod.spec.nodeName = p->binds.v[i].node;
		one.ns = pod.meta.namespace;
		one.name = pod.meta.name;
		one.expect = (int64_t)p->binds.v[i].pod->rev;
		rc = add(w, &one, &pod, e);
	}
	return rc;
}

static int make_plan(struct work *w, struct err *e)
{
	struct workload_plan p = { 0 };
	int rc;

	rc = workload_plan(mirror_cluster(w->c->mirror), &w->arena, &p, e);
	if (rc)
		return rc;
	w->writes = arena_array(&w->arena, (size_t)p.deletes.n + p.creates.n + p.binds.n + 2,
				sizeof(*w->writes));
	if (!w->writes)
		return err_set(e, -ENOMEM, "no memory");
	rc = add_namespaces(w, e);
	return rc ? rc : add_pods(w, &p, e);
}

/* ---- sending it */

static void finish(struct work *w)
{
	w->running = false;
	w->n = w->next = 0;
	w->writes = NULL;
	arena_reset(&w->arena);
	if (w->failed)
		plan_in(w, RETRY_S);
	else if (w->synced < w->written)
		plan_in(w, CATCH_UP_S); /* or as soon as work_synced() says */
	else if (w->dirty)
		plan_in(w, SETTLE_S);
}

static void note(const struct rec_write *one)
{
	static const char *const verbs[] = {
		[WRITE_CREATE] = "made", [WRITE_UPDATE] = "bound", [WRITE_DELETE] = "deleted"
	};

	log_debug("%s %s%s%s %s", kind_by_id((unsigned)one->kind)->name, one->ns ? one->ns : "",
		  one->ns ? "/" : "", one->name, verbs[one->op]);
}

static void send_writes(struct work *w);

static void on_written(void *arg, const struct rec_written *a)
{
	struct work *w = arg;

	w->in_flight--;
	if (a->rev > 0 && (uint64_t)a->rev > w->written)
		w->written = (uint64_t)a->rev;
	if (!a->code) {
		w->n_ok++;
	} else if (a->code == -EEXIST || a->code == -ENOENT || a->code == -ESTALE) {
		w->dirty = true; /* somebody was faster: plan again from what is there then */
	} else {
		w->n_failed++;
		w->failed = true;
		w->cut = a->code == -EPIPE || a->code == -EAGAIN;
		if (a->code != -EPIPE)
			log_warn("%s", a->text ? a->text : "a write was refused");
	}
	send_writes(w);
}

static void send_writes(struct work *w)
{
	struct err e;

	while (w->next < w->n && w->in_flight < WINDOW && !w->cut && controller_leads(w->c)) {
		const struct rec_write *one = &w->writes[w->next++];

		note(one);
		if (mirror_write(w->c->mirror, one, NULL, on_written, w, &e)) {
			log_warn("%s", e.text);
			w->failed = w->cut = true;
			break;
		}
		w->in_flight++;
	}
	if (w->running && !w->in_flight)
		finish(w);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct work *w = t->data;
	struct err e;

	(void)loop;
	(void)events;
	if (w->running || !mirror_current(w->c->mirror) || !controller_leads(w->c))
		return;
	w->dirty = w->failed = w->cut = false;
	w->running = true;
	w->n_plans++;
	if (make_plan(w, &e)) {
		log_error("%s", e.text);
		w->n = 0;
		w->failed = true;
	}
	if (w->n)
		log_info("%u changes of pods and namespaces", w->n);
	send_writes(w);
}

void work_synced(struct controller *c, uint64_t revision)
{
	struct work *w = c->work;

	w->synced = revision;
	/* The timer may have found that it could not plan yet, too. */
	if (!w->running && !w->failed && w->dirty && revision >= w->written)
		plan_in(w, SETTLE_S);
}

void work_report(struct controller *c)
{
	const struct work *w = c->work;

	report_value(&c->report, "fairlead_controller_plans_total", "counter",
		     "How often the leader planned.", NULL, NULL, w->n_plans);
	report_value(&c->report, "fairlead_controller_writes_total", "counter",
		     "Pods and namespaces that the leader wrote, by result.", "result", "ok",
		     w->n_ok);
	report_value(&c->report, "fairlead_controller_writes_total", "counter",
		     "Pods and namespaces that the leader wrote, by result.", "result", "failed",
		     w->n_failed);
}

int work_open(struct controller *c, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, -ENOMEM, "no memory");
	w->c = c;
	arena_init(&w->arena, PLAN_MEMORY);
	ev_timer_init(&w->timer, on_timer, 0., 0.);
	w->timer.data = w;
	c->work = w;
	return 0;
}

void work_close(struct controller *c)
{
	if (!c->work)
		return;
	ev_timer_stop(c->role->loop, &c->work->timer);
	arena_fini(&c->work->arena);
	free(c->work);
	c->work = NULL;
}
