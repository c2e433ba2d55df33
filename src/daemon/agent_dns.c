// SPDX-License-Identifier: Apache-2.0
/* agent_dns: see agent_dns.h, dns_names.h for how it is filled, core/dns/table.h for what a reader may do.
 *
 *   told     A role that joins is given the table once that is complete, the next process of it the same one at once. What changes
 *            it sees there; on the stream it is told of queries that are followed, and says what it made of them.
 *   trust    The role is no more than any user. It cannot write to the table, and in the area where it says that it reads it can at worst keep
 *            memory from being used again, until that is overdue.
 *   room     The table's memory has an end, as a reader that touches all of it has pages made for it. Where it is reached everything is
 *            written into twice as much; the role goes on with the old one, as it was last, until the new one is complete.
 *   the end  The memory is the role's, too: an agent that ends leaves it a table that nobody changes any more. */
#include "daemon/agent_dns.h"
#include "core/dns/settings.h"
#include "core/dns/table.h"
#include "daemon/agent_trace.h"
#include "daemon/dns_names.h"
#include "daemon/stream.h"
#include "sys/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE      (128UL << 20) /* some 40 000 Services with ten endpoints each */
#define SIZE_MOST (8UL << 30)
#define ROUND_S   15. /* of dns_table_overdue() */
#define MADE_MAX  (64UL << 10)

struct shared {
	struct shm region, readers;
	size_t filled;
	struct dns_table table;
};

struct agent_dns {
	struct agent *agent;
	struct shared *shared;
	struct dns_names *names;
	int64_t settings; /* their sum */
	bool complete;
	struct stream *stream;
	ev_timer round;
	uint64_t overdue;
};

/* ---- memory */

/* -ENOSPC is the table's own word. */
static int fill_more(void *ctx, size_t bytes)
{
	struct shared *s = ctx;
	int rc = shm_fill(&s->region, s->filled, bytes);

	if (!rc)
		s->filled = bytes;
	return rc == -ENOSPC ? -ENOMEM : rc;
}

static void shared_free(struct shared *s)
{
	if (!s)
		return;
	dns_table_fini(&s->table);
	shm_free(&s->region);
	shm_free(&s->readers);
	free(s);
}

static int shared_new(size_t size, struct shared **out, struct err *e)
{
	struct shared *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	rc = shm_make(&s->region, "fairlead-dns", size, false, e);
	if (!rc)
		rc = shm_make(&s->readers, "fairlead-dns-readers", DNS_READERS_SIZE, true, e);
	if (!rc)
		rc = dns_table_init(&s->table, s->region.p, size, s->readers.p, fill_more, s, e);
	if (rc)
		shared_free(s);
	else
		*out = s;
	return rc;
}

/* ---- what the role is told */

static void send_memory(struct agent_dns *d, unsigned type, const struct shm *m)
{
	struct rec_dns_table r = { .size = (int64_t)m->size, .settings = d->settings };
	struct err e;

	if (stream_send(d->stream, type, NULL, &r, m->fd, &e))
		log_warn("dns: %s", e.text);
}

static void tell(struct agent_dns *d)
{
	if (!d->stream || !d->complete)
		return;
	send_memory(d, REC_DNS_READERS, &d->shared->readers);
	send_memory(d, REC_DNS_TABLE, &d->shared->region);
}

static void on_complete(void *arg)
{
	struct agent_dns *d = arg;

	d->complete = true;
	log_info("dns: %u names and addresses of the cluster", d->shared->table.count);
	tell(d);
}

static int on_full(void *arg, struct err *e)
{
	struct agent_dns *d = arg;
	size_t size = 2 * d->shared->region.size;
	struct shared *s = NULL;
	int rc;

	if (size > SIZE_MOST)
		return err_set(e, -EFBIG, "the table of names cannot grow any more");
	rc = shared_new(size, &s, e);
	if (rc)
		return rc;
	log_info("dns: the table of names is full, and is written anew into %zu MiB", size >> 20);
	rc = dns_names_move(d->names, &s->table, e);
	shared_free(d->shared);
	d->shared = s;
	d->complete = false;
	return rc;
}

/* ---- the store */

void agent_dns_changed(struct agent *a, const struct object *old, const struct object *now)
{
	if (a->dns)
		dns_names_changed(a->dns->names, old, now);
}

void agent_dns_synced(struct agent *a)
{
	if (a->dns)
		dns_names_synced(a->dns->names);
}

/* ---- the stream */

static void leave(struct agent_dns *d)
{
	stream_free(d->stream);
	d->stream = NULL;
}

/* All that the role has to say is of queries that are followed. */
static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct agent_dns *d = stream_arg(s);
	struct rec_dns_made r = { 0 };
	struct arena ar;
	struct err e;

	if (fd >= 0)
		close(fd);
	if (type != REC_DNS_MADE)
		return;
	arena_init(&ar, MADE_MAX);
	if (record_decode(body, record_schema(type), &r, &ar, &e))
		log_warn("dns: %s", e.text);
	else
		agent_trace_dns(d->agent, &r);
	arena_fini(&ar);
}

void agent_dns_follow(struct agent *a, const struct rec_dns_follow *r)
{
	struct err e;

	if (a->dns && a->dns->stream &&
	    stream_send(a->dns->stream, REC_DNS_FOLLOW, NULL, r, -1, &e))
		log_warn("dns: %s", e.text);
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct agent_dns *d = stream_arg(s);

	if (e->code)
		log_warn("dns: %s", e->text);
	leave(d);
	if (e->code)
		role_rejoin(d->agent->role, "dns");
}

void agent_dns_join(struct agent *a, int fd)
{
	static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };
	struct agent_dns *d = a->dns;
	struct err e;

	if (!d) {
		close(fd);
		return;
	}
	leave(d);
	d->stream = stream_new(a->role->loop, fd, &ops, d, &e);
	if (!d->stream)
		log_error("dns: %s", e.text);
	tell(d);
}

static void on_round(struct ev_loop *loop, ev_timer *t, int events)
{
	struct agent_dns *d = t->data;

	if (!dns_table_overdue(&d->shared->table))
		return;
	if (!d->overdue++)
		log_warn("dns: somebody reads the table without an end: it is not waited for");
}

/* ---- figures */

void agent_dns_fill(const struct agent *a, struct report *m)
{
	const struct dns_table *t;

	if (!a->dns)
		return;
	t = &a->dns->shared->table;
	report_value(m, "fairlead_dns_names", "gauge",
		     "names and addresses in the table of role dns", NULL, NULL, t->count);
	report_value(m, "fairlead_dns_table_bytes", "gauge", "memory of that table", NULL, NULL,
		     t->used);
	report_value(m, "fairlead_dns_overdue_total", "counter",
		     "times that a reader of that table was not waited for any more", NULL, NULL,
		     a->dns->overdue);
}

/* ---- life */

static int make(struct agent_dns *d, struct err *e)
{
	static const struct dns_names_ops ops = { .complete = on_complete, .full = on_full };
	const struct config *cfg = &d->agent->role->cfg;
	struct dns_settings s;
	int rc = dns_names_settings(&s, cfg, e);

	if (!rc)
		rc = shared_new(SIZE, &d->shared, e);
	if (rc)
		return rc;
	d->settings = (int64_t)dns_settings_sum(&s);
	d->names = dns_names_new(d->agent->role->loop, cfg, &d->shared->table, &ops, d, e);
	return d->names ? 0 : e->code;
}

/* Without one the role does as it does alone: no reason to have no agent. */
int agent_dns_open(struct agent *a, struct err *e)
{
	struct agent_dns *d;

	if (!config_has_role(&a->role->cfg, "dns"))
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "no memory");
	a->dns = d;
	d->agent = a;
	ev_timer_init(&d->round, on_round, ROUND_S, ROUND_S);
	d->round.data = d;
	ev_timer_start(a->role->loop, &d->round);
	if (!make(d, e))
		return 0;
	log_error("dns: %s; the role has no table from here", e->text);
	agent_dns_close(a);
	return 0;
}

void agent_dns_close(struct agent *a)
{
	struct agent_dns *d = a->dns;

	if (!d)
		return;
	ev_timer_stop(a->role->loop, &d->round);
	leave(d);
	dns_names_free(d->names);
	shared_free(d->shared);
	free(d);
	a->dns = NULL;
}
