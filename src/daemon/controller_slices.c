// SPDX-License-Identifier: Apache-2.0
/* What the leading controller does about EndpointSlices: core/service/slices.h says what those of
 * one Service are, here is which Services are looked at, and how the writes get into the store.
 *
 * A Service is marked when it, a pod that it selects or selected, or one of its slices changed; all
 * are when a Node's zone changed, when we begin to lead and when the list was taken anew. Marked
 * ones are planned a few milliseconds later, while nothing is in flight and after what was
 * written came back, so no plan is made from what is known to be old; a write that was
 * refused marks its Service again. Nothing is written from a list that is not whole: a pod that
 * is missing may only be unreadable.
 *
 * What belongs to a Service is kept (core/service/belonging.h); where memory lacked for that, everything
 * is taken anew before the next look. */
#include "core/service/belonging.h"
#include "daemon/controller.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW     64    /* writes in flight after which no other Service is planned */
#define SETTLE_S   0.005 /* changes this close together make one look */
#define RETRY_S    1.    /* after a write that failed */
#define CATCH_UP_S 2.    /* how long to wait for our own writes to come back */

struct mark {
	char *ns, *name;
};

struct slices {
	struct controller *c;
	void *marks; /* tsearch(3) */
	bool mark_all;
	struct belonging *belonging;
	bool unsure; /* that lacks something */
	ev_timer timer;
	unsigned in_flight;
	uint64_t written, synced; /* revisions */
	uint64_t n_ok, n_failed;
};

/* ---- marks */

static int by_name(const void *pa, const void *pb)
{
	const struct mark *a = pa, *b = pb;
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->name, b->name);
}

static void free_mark(void *p)
{
	struct mark *m = p;

	free(m->ns);
	free(m->name);
	free(m);
}

static void mark(struct slices *v, const char *ns, const char *name)
{
	struct mark *m = calloc(1, sizeof(*m));
	void *found;

	if (m) {
		m->ns = strdup(ns);
		m->name = strdup(name);
	}
	found = m && m->ns && m->name ? tsearch(m, &v->marks, by_name) : NULL;
	if (!found)
		v->mark_all = true; /* and tried again */
	if (m && (!found || *(struct mark **)found != m))
		free_mark(m);
}

static void mark_owner(struct slices *v, const struct object *o)
{
	if (svc_slice_is_ours(o->body))
		mark(v, o->meta->namespace, strmap_get(&o->meta->labels, LABEL_SERVICE_NAME));
}

static void mark_everything(struct slices *v)
{
	const struct cluster *cl = mirror_cluster(v->c->mirror);
	size_t n;
	const struct object *const *all = cluster_all(cl, KIND_SERVICE, &n);

	v->mark_all = false;
	for (size_t i = 0; i < n; i++)
		mark(v, all[i]->meta->namespace, all[i]->meta->name);
	all = cluster_all(cl, KIND_ENDPOINTSLICE, &n);
	for (size_t i = 0; i < n; i++)
		mark_owner(v, all[i]);
}

static void mark_service(void *arg, const struct service *s)
{
	mark(arg, s->meta.namespace, s->meta.name);
}

/* NULL: there was none before, or is none now. */
static void mark_of_pod(struct slices *v, const struct object *pod)
{
	if (pod)
		belonging_services(v->belonging, pod, mark_service, v);
}

static const char *zone_of(const struct object *node)
{
	return (node ? strmap_get(&node->meta->labels, LABEL_ZONE) : NULL) ?: "";
}

void slices_changed(struct controller *c, const struct object *old, const struct object *now)
{
	struct slices *v = c->slices;
	const struct object *o = now ? now : old;

	if (!now)
		belonging_drop(v->belonging, old);
	else if (belonging_put(v->belonging, now))
		v->unsure = true;
	if (o->kind->id == KIND_SERVICE) {
		mark(v, o->meta->namespace, o->meta->name);
	} else if (o->kind->id == KIND_POD) {
		mark_of_pod(v, old);
		mark_of_pod(v, now);
	} else if (o->kind->id == KIND_NODE && strcmp(zone_of(old), zone_of(now)) != 0) {
		v->mark_all = true;
	}
	if (o->kind->id == KIND_ENDPOINTSLICE && old)
		mark_owner(v, old);
	if (o->kind->id == KIND_ENDPOINTSLICE && now)
		mark_owner(v, now);
}

void slices_wake(struct controller *c)
{
	if (c->slices->marks || c->slices->mark_all)
		controller_look_in(c, &c->slices->timer, SETTLE_S);
}

void slices_all(struct controller *c)
{
	c->slices->mark_all = true;
	slices_wake(c);
}

void slices_synced(struct controller *c, uint64_t revision)
{
	c->slices->synced = revision;
	slices_wake(c);
}

/* ---- writes */

struct asked {
	struct slices *v;
	char ns[NS_MAX_LEN + 1], name[NAME_MAX_LEN + 1];
};

static void on_written(void *arg, const struct rec_written *w)
{
	struct asked *q = arg;
	struct slices *v = q->v;
	bool raced = w->code == -ESTALE || w->code == -ENOENT || w->code == -EEXIST;

	v->in_flight--;
	v->n_ok += !w->code;
	if (w->rev > 0 && (uint64_t)w->rev > v->written)
		v->written = (uint64_t)w->rev;
	if (w->code)
		mark(v, q->ns, q->name);
	if (w->code && !raced) {
		v->n_failed++;
		if (w->code != -EPIPE)
			log_warn("slices of service %s/%s: %s", q->ns, q->name,
				 w->text ? w->text : "a write was refused");
		controller_look_in(v->c, &v->timer, RETRY_S);
	} else {
		slices_wake(v->c);
	}
	free(q);
}

static void write_one(struct slices *v, const struct mark *m, const struct svc_slice_write *x)
{
	struct rec_write w = { .kind = KIND_ENDPOINTSLICE,
			       .op = !x->old  ? WRITE_CREATE
				     : x->now ? WRITE_UPDATE
					      : WRITE_DELETE,
			       .expect = x->old ? (int64_t)x->old->rev : 0,
			       .ns = m->ns,
			       .name = x->old ? x->old->meta->name : x->now->meta.name };
	struct asked *q = calloc(1, sizeof(*q));
	struct err e = { .text = "no memory" };

	if (q) {
		q->v = v;
		memcpy(q->ns, m->ns, strlen(m->ns) + 1);
		memcpy(q->name, m->name, strlen(m->name) + 1);
	}
	if (!q || mirror_write(v->c->mirror, &w, x->now, on_written, q, &e)) {
		log_warn("slices of service %s/%s: %s", m->ns, m->name, e.text);
		free(q);
		v->mark_all = true;
		return;
	}
	v->in_flight++;
}

/* ---- looks */

/* What belongs together, from what the mirror has. */
static void look_anew(struct slices *v)
{
	struct belonging *b = belonging_new();

	v->mark_all = true; /* what was marked by less may not be all */
	if (!b || belonging_fill(b, mirror_cluster(v->c->mirror))) {
		belonging_free(b);
		log_error("slices: no memory");
		return;
	}
	belonging_free(v->belonging);
	v->belonging = b;
	v->unsure = false;
}

static void plan(struct slices *v, const struct mark *m)
{
	struct svc_slices_plan p;
	struct svc_pods in;
	struct arena a;
	struct err e = { .text = "no memory" };

	arena_init(&a, 0);
	if (belonging_gather(v->belonging, mirror_cluster(v->c->mirror), m->ns, m->name, &a, &in) ||
	    svc_slices_plan(&in, &a, &p, &e)) {
		log_error("slices of service %s/%s: %s", m->ns, m->name, e.text);
		v->mark_all = true;
	} else {
		for (uint32_t i = 0; i < p.writes.n; i++)
			write_one(v, m, &p.writes.v[i]);
	}
	arena_fini(&a);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
	struct slices *v = t->data;

	(void)loop;
	(void)events;
	if (v->in_flight || v->c->blind || !mirror_current(v->c->mirror) ||
	    mirror_incomplete(v->c->mirror) || !controller_leads(v->c))
		return; /* an answer, a sync or the lease brings us back */
	if (v->synced < v->written) {
		v->synced = v->written; /* the next time we go on without */
		controller_look_in(v->c, &v->timer, CATCH_UP_S);
		return;
	}
	if (v->unsure)
		look_anew(v);
	if (v->mark_all && !v->unsure)
		mark_everything(v);
	while (v->marks && !v->mark_all && v->in_flight < WINDOW) {
		struct mark *m = *(struct mark **)v->marks;

		tdelete(m, &v->marks, by_name);
		plan(v, m);
		free_mark(m);
	}
	if (v->mark_all)
		controller_look_in(v->c, &v->timer, RETRY_S);
	else if (!v->in_flight)
		slices_wake(v->c);
}

void slices_report(struct controller *c)
{
	static const char help[] = "Writes of EndpointSlices, by result.";
	const struct slices *v = c->slices;

	report_value(&c->report, "fairlead_controller_slices_total", "counter", help, "result",
		     "ok", v->n_ok);
	report_value(&c->report, "fairlead_controller_slices_total", "counter", help, "result",
		     "failed", v->n_failed);
}

int slices_open(struct controller *c, struct err *e)
{
	struct slices *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	v->c = c;
	ev_timer_init(&v->timer, on_timer, 0., 0.);
	v->timer.data = v;
	c->slices = v;
	v->belonging = belonging_new();
	return v->belonging ? 0 : err_set(e, -ENOMEM, "no memory");
}

void slices_close(struct controller *c)
{
	struct slices *v = c->slices;

	if (!v)
		return;
	ev_timer_stop(c->role->loop, &v->timer);
	while (v->marks) {
		struct mark *m = *(struct mark **)v->marks;

		tdelete(m, &v->marks, by_name);
		free_mark(m);
	}
	belonging_free(v->belonging);
	free(v);
	c->slices = NULL;
}
