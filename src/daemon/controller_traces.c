// SPDX-License-Identifier: Apache-2.0
/* What the leading controller does about PacketTraces whose asker did not take them back: a minute after
 * they expired nobody reads them any more. */
#include "daemon/controller.h"
#include "model/trace.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>

#define KEEP_S  60
#define LOOK_S  5.
#define AT_ONCE 64 /* deletions of one look */

struct traces {
	struct controller *c;
	ev_timer timer;
	uint64_t deleted, failed;
};

static void on_deleted(void *arg, const struct rec_written *a)
{
	struct traces *t = arg;

	if (!a->code)
		t->deleted++;
	else if (a->code != -ENOENT && a->code != -ESTALE && a->code != -EPIPE)
		t->failed++; /* the next look finds it again */
}

static void delete_trace(struct traces *t, const struct object *o)
{
	struct rec_write w = { .kind = KIND_PACKETTRACE,
			       .op = WRITE_DELETE,
			       .expect = (int64_t)o->rev,
			       .name = o->meta->name };
	struct err e;

	log_debug("trace %s: nobody took it back", w.name);
	if (mirror_write(t->c->mirror, &w, NULL, on_deleted, t, &e))
		log_debug("trace %s: %s", w.name, e.text);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct traces *t = w->data;
	const struct object *const *v;
	int64_t now = clock_wall();
	unsigned left = AT_ONCE;
	size_t n;

	(void)loop;
	(void)events;
	if (!controller_leads(t->c) || !mirror_current(t->c->mirror))
		return;
	v = cluster_all(mirror_cluster(t->c->mirror), KIND_PACKETTRACE, &n);
	for (size_t i = 0; i < n && left; i++) {
		const struct packet_trace *p = v[i]->body;

		if (p->spec.expires + KEEP_S > now)
			continue;
		delete_trace(t, v[i]);
		left--;
	}
}

void traces_report(struct controller *c)
{
	static const char name[] = "fairlead_controller_traces_deleted_total";
	static const char help[] = "Deletions of PacketTraces that nobody took back, by result.";

	report_value(&c->report, name, "counter", help, "result", "ok", c->traces->deleted);
	report_value(&c->report, name, "counter", help, "result", "failed", c->traces->failed);
}

int traces_open(struct controller *c, struct err *e)
{
	struct traces *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, -ENOMEM, "no memory");
	t->c = c;
	ev_timer_init(&t->timer, on_timer, LOOK_S, LOOK_S);
	t->timer.data = t;
	ev_timer_start(c->role->loop, &t->timer);
	c->traces = t;
	return 0;
}

void traces_close(struct controller *c)
{
	if (!c->traces)
		return;
	ev_timer_stop(c->role->loop, &c->traces->timer);
	free(c->traces);
	c->traces = NULL;
}
