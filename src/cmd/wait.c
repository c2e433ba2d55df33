// SPDX-License-Identifier: Apache-2.0
/* A watch of the store into a cluster of our own, asked again after every batch of changes
 * whether all is there. */
#include "cmd/wait.h"

#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "core/workload/workload.h"
#include "sys/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SECOND      1000000000u
#define NAMES_SHOWN 8

struct waiter {
	const struct wait *w;
	struct cluster *c;
	bool synced;
	/* What is missing, found by the last look. */
	size_t nodes, nodes_there, pods, pods_there, n_missing, n_no_address;
	struct buf missing; /* one line each, the first NAMES_SHOWN */
	uint64_t revision;  /* that nodes have to reach */
};

static void on_put(void *arg, struct object *o, const json_t *json)
{
	struct waiter *w = arg;

	object_free(cluster_put(w->c, o));
}

static void on_del(void *arg, const struct kind *k, const char *ns, const char *name, uint64_t rev)
{
	struct waiter *w = arg;

	object_free(cluster_take(w->c, k->id, ns, name));
}

static void on_sync(void *arg, uint64_t revision)
{
	((struct waiter *)arg)->synced = true;
}

static void missing(struct waiter *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void missing(struct waiter *w, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (w->n_missing++ >= NAMES_SHOWN)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_printf(&w->missing, "  %s\n", line);
}

/* ---- pods */

static bool is_workload(unsigned kind)
{
	return kind >= KIND_DEPLOYMENT && kind <= KIND_JOB;
}

static bool owned_by(const struct meta *pod, const struct wait_target *t)
{
	if (!t->ns || strcmp(pod->namespace, t->ns) != 0)
		return false;
	for (uint32_t i = 0; i < pod->ownerReferences.n; i++) {
		const struct owner_ref *r = &pod->ownerReferences.v[i];

		if (!strcmp(r->kind, t->k->name) && !strcmp(r->name, t->name))
			return true;
	}
	return false;
}

static const struct wait_target *target_of(const struct wait *w, const struct meta *pod)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct wait_target *t = &w->targets[i];

		if (t->k->id == KIND_POD
			    ? !strcmp(pod->name, t->name) && !strcmp(pod->namespace, t->ns)
			    : is_workload(t->k->id) && owned_by(pod, t))
			return t;
	}
	return NULL;
}

/* The condition Ready; an empty one where there is none. */
static const struct pod_condition *ready_condition(const struct pod *p)
{
	static const struct pod_condition none = { 0 };

	for (uint32_t i = 0; i < p->status.conditions.n; i++)
		if (!strcmp(p->status.conditions.v[i].type, "Ready"))
			return &p->status.conditions.v[i];
	return &none;
}

static bool is_ready(const struct pod *p)
{
	const char *status = ready_condition(p)->status;

	return p->status.phase == POD_SUCCEEDED || (status && !strcmp(status, "True"));
}

static void look_at_pod(struct waiter *w, const struct object *o)
{
	static const char *const phases[] = { "Pending",   "Pending", "Running, not Ready",
					      "Succeeded", "Failed",  "Unknown" };
	const struct wait_target *t = target_of(w->w, o->meta);
	const struct pod *p = o->body;
	const struct pod_condition *ready = ready_condition(p);

	if (!t)
		return;
	if (t->deleted) {
		missing(w, "pod %s/%s: is still there", o->meta->namespace, o->meta->name);
		return;
	}
	w->pods++;
	if (is_ready(p)) {
		w->pods_there++;
		if (o->rev > w->revision)
			w->revision = o->rev;
		return;
	}
	w->n_no_address += ready->reason && !strcmp(ready->reason, POD_REASON_NO_ADDRESS);
	missing(w, "pod %s/%s: %s%s%s%s%s%s", o->meta->namespace, o->meta->name,
		phases[p->status.phase <= POD_UNKNOWN ? p->status.phase : POD_UNKNOWN],
		p->spec.nodeName ? " on " : ", no node yet",
		p->spec.nodeName ? p->spec.nodeName : "",
		p->spec.nodeName && !cluster_get(w->c, KIND_NODE, NULL, p->spec.nodeName)
			? ", which is no Node"
			: "",
		ready->message ? ": " : "", ready->message ? ready->message : "");
}

/* Pods that a workload of ours still has to get, and those that it has to lose. */
static void look_at_plan(struct waiter *w)
{
	struct workload_plan plan = { .creates = { NULL, 0 } };
	struct arena a;

	arena_init(&a, 0);
	if (workload_plan(w->c, &a, &plan, NULL))
		plan = (struct workload_plan){ .creates = { NULL, 0 } };
	for (uint32_t i = 0; i < plan.creates.n; i++) {
		const struct meta *m = &plan.creates.v[i]->meta;

		if (!target_of(w->w, m))
			continue;
		w->pods++;
		missing(w, "pod %s/%s: is not created yet (is a controller running?)", m->namespace,
			m->name);
	}
	for (uint32_t i = 0; i < plan.deletes.n; i++) {
		const struct wait_target *t = target_of(w->w, plan.deletes.v[i]->meta);

		if (t && !t->deleted) /* the others were named already */
			missing(w, "pod %s/%s: is still there", plan.deletes.v[i]->meta->namespace,
				plan.deletes.v[i]->meta->name);
	}
	arena_fini(&a);
}

/* ---- nodes */

static void look_at_node(struct waiter *w, const char *name)
{
	const struct object *o = cluster_get(w->c, KIND_NODESTATE, NULL, name);
	const struct node_state *state = o ? o->body : NULL;

	w->nodes++;
	if (!state)
		missing(w, "node %s: no agent has reported", name);
	else if ((uint64_t)state->status.observedRevision < w->revision)
		missing(w, "node %s: is at revision %lld, not %llu", name,
			(long long)state->status.observedRevision, (unsigned long long)w->revision);
	else
		w->nodes_there++;
}

static bool all_there(struct waiter *w)
{
	const struct object *const *v;
	size_t n;

	w->nodes = w->nodes_there = w->pods = w->pods_there = w->n_missing = w->n_no_address = 0;
	w->revision = w->w->revision;
	buf_clear(&w->missing);
	v = cluster_all(w->c, KIND_POD, &n);
	for (size_t i = 0; i < n; i++)
		look_at_pod(w, v[i]);
	look_at_plan(w);
	v = cluster_all(w->c, KIND_NODE, &n);
	for (size_t i = 0; i < n; i++)
		look_at_node(w, v[i]->meta->name);
	return !w->n_missing;
}

/* ---- the loop */

static void progress(const struct waiter *w, bool *shown)
{
	*shown = true;
	fprintf(stderr, "\r\033[Kwaiting: %zu of %zu nodes at revision %llu, %zu of %zu pods ready",
		w->nodes_there, w->nodes, (unsigned long long)w->revision, w->pods_there, w->pods);
	fflush(stderr);
}

static int wait_loop(struct waiter *w, struct store *s, bool *shown, struct err *e)
{
	uint64_t start = clock_mono_ns(), end = start + (uint64_t)(w->w->seconds * SECOND);
	bool tty = out_is_tty(stderr);

	for (;;) {
		struct pollfd pfd = { .fd = store_fd(s), .events = POLLIN };
		uint64_t now;
		int rc = store_process(s, e);

		if (rc)
			return rc;
		if (w->synced && all_there(w))
			return 0;
		if (w->synced && w->w->addresses_final && w->n_no_address == w->n_missing)
			return -ENOSPC;
		now = clock_mono_ns();
		if (now >= end)
			return -ETIMEDOUT;
		if (tty && now - start > SECOND)
			progress(w, shown);
		/* The store says when something changed; the second is for the progress line. */
		rc = poll(&pfd, 1, (int)((end - now < SECOND ? end - now : SECOND) / 1000000 + 1));
		if (rc < 0 && errno != EINTR)
			return err_sys(e, -errno, "poll");
	}
}

int wait_for(struct store *s, const struct wait *target)
{
	static const struct store_events events = { .put = on_put, .del = on_del, .sync = on_sync };
	struct waiter w = { .w = target, .c = cluster_new() };
	struct err e = { .code = 0 };
	bool shown = false;
	int rc = store_watch(s, &events, &w, &e);

	if (!rc)
		rc = wait_loop(&w, s, &shown, &e);
	if (shown)
		fputs("\r\033[K", stderr);
	if (rc == -ENOSPC && !e.code)
		rc = cmd_error(CMD_PARTLY, "no address for %zu of %zu pods:\n%s%s", w.n_missing,
			       w.pods, w.missing.v ? w.missing.v : "",
			       w.n_missing > NAMES_SHOWN ? "  and more" : "");
	else if (rc == -ETIMEDOUT && !e.code)
		rc = cmd_error(CMD_PARTLY, "not everywhere after %g s:\n%s%s", target->seconds,
			       w.missing.v ? w.missing.v : "",
			       w.n_missing > NAMES_SHOWN ? "  and more" : "");
	else if (rc)
		rc = cmd_error(CMD_PARTLY, "%s", e.text);
	buf_fini(&w.missing);
	cluster_free(w.c);
	return rc;
}
