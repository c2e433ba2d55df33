// SPDX-License-Identifier: Apache-2.0
/* What the leading controller does about Services: core/service/allocate.h says what one gets,
 * here is when, and how that gets into the store.
 *
 * Every controller keeps the ledger, only the leader gives: a window of writes at a time, by
 * compare-and-swap. What is in flight is held in the ledger already; where a write was
 * refused, the Service is what the mirror says. A refusal stands in the Service's status until
 * it is over. Where nobody knows whether it was done (watch went
 * away), the whole ledger is made again once the mirror is in sync: until then nothing is given.
 *
 * Limits: somebody who lost the lease between his last look and his write may give what the next
 * leader gives to another Service; both then say so. Without a service-cidr nothing is done. */
#include "core/service/allocate.h"
#include "core/service/condition.h"
#include "daemon/controller.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW   32    /* writes in flight */
#define SETTLE_S 0.005 /* changes this close together make one look */
#define RETRY_S  1.    /* after a write that failed */

struct services {
	struct controller *c;
	struct svc_ranges ranges;
	struct svc_alloc *alloc; /* NULL: no service-cidr */
	ev_timer timer;
	unsigned in_flight;
	bool doubt; /* the ledger may be wrong */
	uint64_t n_ok, n_failed, n_refused;
};

static void set(struct services *v, const struct service *s)
{
	if (!svc_alloc_set(v->alloc, s))
		return;
	v->doubt = true;
	log_error("service %s/%s: no memory", s->meta.namespace, s->meta.name);
}

void services_changed(struct controller *c, const struct object *old, const struct object *now)
{
	struct services *v = c->services;

	if (!v->alloc)
		return;
	if (now)
		set(v, now->body);
	else
		svc_alloc_drop(v->alloc, old->meta->namespace, old->meta->name);
}

void services_wake(struct controller *c)
{
	struct services *v = c->services;

	if (v->alloc && !v->in_flight && (v->doubt || svc_alloc_pending(v->alloc)))
		controller_look_in(v->c, &v->timer, SETTLE_S);
}

/* ---- writes */

struct asked {
	struct services *v;
	const char *ns, *name;
	uint8_t op;
	struct arena mem;
};

static void end_asked(struct asked *q)
{
	struct arena mem = q->mem;

	arena_fini(&mem);
}

static void on_written(void *arg, const struct rec_written *w)
{
	struct asked *q = arg;
	struct services *v = q->v;
	const struct object *o =
		cluster_get(mirror_cluster(v->c->mirror), KIND_SERVICE, q->ns, q->name);
	bool raced = w->code == -ESTALE || w->code == -ENOENT;

	v->in_flight--;
	v->n_ok += !w->code && q->op == WRITE_UPDATE;
	if (raced && o) {
		set(v, o->body);
	} else if (w->code && !raced) {
		v->n_failed++;
		v->doubt = true;
		if (w->code != -EPIPE)
			log_warn("service %s/%s: %s", q->ns, q->name,
				 w->text ? w->text : "a write was refused");
	}
	end_asked(q);
	if (v->doubt)
		controller_look_in(v->c, &v->timer, RETRY_S);
	else
		services_wake(v->c);
}

static void write_one(struct asked *q, const struct object *o, const struct service *s)
{
	struct services *v = q->v;
	struct rec_write w = { .kind = KIND_SERVICE,
			       .op = q->op,
			       .expect = (int64_t)o->rev,
			       .ns = q->ns,
			       .name = q->name };
	struct err e;

	if (mirror_write(v->c->mirror, &w, s, on_written, q, &e)) {
		log_warn("service %s/%s: %s", q->ns, q->name, e.text);
		v->doubt = true;
		end_asked(q);
		return;
	}
	v->in_flight++;
	log_debug("service %s/%s: cluster IP %s", q->ns, q->name,
		  s->spec.clusterIP ? s->spec.clusterIP : "none");
}

static void refuse(struct services *v, const struct service *s, const struct err *e)
{
	if (!svc_alloc_refused(v->alloc, s, e->text))
		return;
	v->n_refused++;
	log_warn("service %s/%s: %s", s->meta.namespace, s->meta.name, e->text);
}

/* What is to be written: WRITE_UPDATE, WRITE_STATUS, or WRITE_NONE. What was filled in comes back
 * to be looked at again; the status can wait until then. */
static int judge(struct services *v, const struct service *s, struct arena *mem,
		 struct service *out, uint8_t *op, struct err *e)
{
	struct err why;
	bool changed = false;
	int refused = svc_alloc_fill(v->alloc, s, mem, out, &changed, &why), rc;

	*op = changed ? WRITE_UPDATE : WRITE_NONE;
	if (refused == -ENOMEM)
		return err_set(e, refused, "%s", why.text);
	if (changed)
		return 0;
	if (refused)
		refuse(v, s, &why);
	rc = svc_condition(s, refused ? &why : NULL, mem, out, &changed, e);
	if (!rc && changed)
		*op = WRITE_STATUS;
	return rc;
}

static int give(struct services *v, const struct object *o, struct err *e)
{
	struct arena mem;
	struct service s;
	struct asked *q;
	int rc;

	arena_init(&mem, 0);
	q = arena_alloc(&mem, sizeof(*q));
	rc = q ? judge(v, o->body, &mem, &s, &q->op, e) : err_set(e, -ENOMEM, "no memory");
	if (rc || q->op == WRITE_NONE) {
		arena_fini(&mem);
		return rc;
	}
	q->v = v;
	q->ns = arena_strdup(&mem, o->meta->namespace);
	q->name = arena_strdup(&mem, o->meta->name);
	q->mem = mem;
	write_one(q, o, &s);
	return 0;
}

/* ---- looks */

static void count_again(struct services *v)
{
	size_t n;
	const struct object *const *all =
		cluster_all(mirror_cluster(v->c->mirror), KIND_SERVICE, &n);

	v->doubt = false;
	for (size_t i = 0; i < n; i++)
		set(v, all[i]->body);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct services *v = t->data;
	const struct cluster *cl = mirror_cluster(v->c->mirror);
	const char *ns, *name;

	(void)loop;
	(void)events;
	if (v->in_flight || v->c->blind || !mirror_current(v->c->mirror) ||
	    mirror_incomplete(v->c->mirror) || !controller_leads(v->c))
		return; /* an answer, a sync or the lease brings us back */
	if (v->doubt)
		count_again(v);
	while (!v->doubt && v->in_flight < WINDOW && svc_alloc_next(v->alloc, &ns, &name)) {
		const struct object *o = cluster_get(cl, KIND_SERVICE, ns, name);
		struct err e;

		if (o && give(v, o, &e)) {
			log_error("service %s/%s: %s", ns, name, e.text);
			v->doubt = true;
		}
	}
	if (v->doubt)
		controller_look_in(v->c, &v->timer, RETRY_S);
}

void services_report(struct controller *c)
{
	static const char help[] = "Writes that gave Services addresses and ports, by result.";
	const struct services *v = c->services;

	report_value(&c->report, "fairlead_controller_services_total", "counter", help, "result",
		     "ok", v->n_ok);
	report_value(&c->report, "fairlead_controller_services_total", "counter", help, "result",
		     "failed", v->n_failed);
	report_value(&c->report, "fairlead_controller_services_total", "counter", help, "result",
		     "refused", v->n_refused);
}

int services_open(struct controller *c, struct err *e)
{
	const struct config *cfg = &c->role->cfg;
	struct services *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	v->c = c;
	v->ranges.addresses.v = cfg->service_cidrs.v;
	v->ranges.addresses.n = cfg->service_cidrs.n;
	v->ranges.port_first = cfg->node_port_first;
	v->ranges.port_last = cfg->node_port_last;
	ev_timer_init(&v->timer, on_timer, 0., 0.);
	v->timer.data = v;
	c->services = v;
	if (!cfg->service_cidrs.n)
		return 0;
	v->alloc = svc_alloc_new(&v->ranges);
	return v->alloc ? 0 : err_set(e, -ENOMEM, "no memory");
}

void services_close(struct controller *c)
{
	if (!c->services)
		return;
	ev_timer_stop(c->role->loop, &c->services->timer);
	svc_alloc_free(c->services->alloc);
	free(c->services);
	c->services = NULL;
}
