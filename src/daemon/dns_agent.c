// SPDX-License-Identifier: Apache-2.0
/* The stream with the agent of this node, which fills the table of names from its own mirror of the cluster and gives it to us as memory that
 * we can only read (agent_dns.c). An agent that ends leaves it to us as it was last; the next one gives another.
 *
 * Where the agent is not there, or gives nothing, for some seconds, the role takes a mirror of its own (dns_store.c), and drops it again when the
 * agent is back. */
#include "core/dns/settings.h"
#include "daemon/dns.h"
#include "daemon/stream.h"
#include "sys/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_S 2.  /* until the agent's table is missed, after a start */
#define AWAY_S  10. /* and after it went: names change rarely, and it comes back */

struct agent_table {
	struct dns_feed feed; /* first */
	struct shm region, readers;
};

struct dns_agent {
	struct dns *dns;
	struct stream *stream;
	bool given;         /* a table, by this stream */
	struct shm readers; /* of the table that comes next */
	ev_timer missed;
	struct arena arena;
};

bool dns_agent_gives(const struct dns *d)
{
	return d->agent && d->agent->given;
}

/* ---- the table */

static void on_unused(struct dns_feed *f)
{
	struct agent_table *t = (struct agent_table *)f;

	shm_free(&t->region);
	shm_free(&t->readers);
	free(t);
}

static int take_table(struct dns_agent *a, const struct rec_dns_table *r, int fd, struct err *e)
{
	struct agent_table *t = calloc(1, sizeof(*t));
	struct dns *d = a->dns;
	int rc = 0;

	if (!t)
		rc = err_set(e, -ENOMEM, "no memory");
	else if (!a->readers.p || r->size <= 0)
		rc = err_set(e, -EBADMSG, "a table without its readers' area, or without a size");
	else if ((uint64_t)r->settings != dns_settings_sum(&d->settings))
		rc = err_set(e, -EBADMSG, "a table of other zones");
	if (rc) {
		close(fd);
		free(t);
		return rc;
	}
	rc = shm_take(&t->region, fd, (size_t)r->size, false, e);
	t->readers = a->readers;
	a->readers = (struct shm){ 0 };
	t->feed = (struct dns_feed){ .name = "agent",
				     .region = t->region.p,
				     .size = t->region.size,
				     .readers = t->readers.p,
				     .known = true,
				     .unused = on_unused };
	if (!rc) {
		/* Whoever else has a place there is a process before this one: the keeper starts one when the other has ended. */
		dns_readers_only(t->readers.p, d->reader);
		rc = dns_feed_use(d, &t->feed, e);
	}
	if (rc)
		on_unused(&t->feed);
	return rc;
}

static void miss(struct dns_agent *a, double seconds)
{
	struct ev_loop *loop = a->dns->role->loop;

	ev_timer_stop(loop, &a->missed);
	ev_timer_set(&a->missed, seconds, 0.);
	ev_timer_start(loop, &a->missed);
}

/* The table that there is, if any, is not kept any more. */
static void lose(struct dns_agent *a)
{
	if (a->given)
		miss(a, AWAY_S);
	a->given = false;
}

static void use_table(struct dns_agent *a, const struct rec_dns_table *r, int fd)
{
	struct err e;

	if (take_table(a, r, fd, &e)) {
		log_warn("agent: %s; names stay as they are", e.text);
		lose(a);
		return;
	}
	log_info("names of the cluster are the agent's");
	a->given = true;
	ev_timer_stop(a->dns->role->loop, &a->missed);
	dns_store_end(a->dns);
	dns_known(a->dns);
}

static void use_readers(struct dns_agent *a, const struct rec_dns_table *r, int fd)
{
	struct err e;

	shm_free(&a->readers);
	if (r->size != (int64_t)DNS_READERS_SIZE) {
		close(fd);
		log_error("agent: a readers' area of %lld octets", (long long)r->size);
	} else if (shm_take(&a->readers, fd, DNS_READERS_SIZE, true, &e)) {
		log_error("agent: %s", e.text);
	}
}

/* ---- the stream */

static void follow(struct dns_agent *a, struct wire *body)
{
	struct rec_dns_follow r = { 0 };
	struct err e;

	if (record_decode(body, record_schema(REC_DNS_FOLLOW), &r, &a->arena, &e))
		log_warn("agent: %s", e.text);
	else
		dns_trace_follow(a->dns, &r);
	arena_reset(&a->arena);
}

void dns_agent_tell(struct dns *d, const struct rec_dns_made *r)
{
	struct err e;

	if (d->agent && d->agent->stream &&
	    stream_send(d->agent->stream, REC_DNS_MADE, NULL, r, -1, &e))
		log_warn("agent: %s", e.text);
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct dns_agent *a = stream_arg(s);
	struct rec_dns_table r = { 0 };
	struct err e;

	if (type == REC_DNS_FOLLOW && fd < 0) {
		follow(a, body);
		return;
	}
	if ((type != REC_DNS_READERS && type != REC_DNS_TABLE) || fd < 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (record_decode(body, record_schema(type), &r, &a->arena, &e)) {
		log_warn("agent: %s", e.text);
		close(fd);
	} else if (type == REC_DNS_READERS) {
		use_readers(a, &r, fd);
	} else {
		use_table(a, &r, fd);
	}
	arena_reset(&a->arena);
}

static void on_missed(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_agent *a = t->data;
	struct err e;

	(void)loop;
	(void)events;
	log_warn("the agent gives no names: they are taken from the store");
	if (!dns_store_begin(a->dns, &e))
		return;
	log_error("%s; it is tried again", e.text);
	miss(a, AWAY_S);
}

static void leave(struct dns_agent *a)
{
	stream_free(a->stream);
	a->stream = NULL;
	lose(a);
	shm_free(&a->readers);
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct dns_agent *a = stream_arg(s);

	if (e->code)
		log_warn("agent: %s", e->text);
	leave(a);
	if (e->code)
		role_rejoin(a->dns->role, "agent");
}

void dns_agent_join(struct dns *d, int fd)
{
	static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };
	struct dns_agent *a = d->agent;
	struct err e;

	if (!a) {
		close(fd);
		return;
	}
	leave(a);
	a->stream = stream_new(d->role->loop, fd, &ops, a, &e);
	if (!a->stream)
		log_error("agent: %s", e.text);
}

/* ---- life */

int dns_agent_open(struct dns *d, struct err *e)
{
	struct dns_agent *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(e, -ENOMEM, "no memory");
	d->agent = a;
	a->dns = d;
	arena_init(&a->arena, RECORD_MAX);
	ev_timer_init(&a->missed, on_missed, 0., 0.);
	a->missed.data = a;
	miss(a, FIRST_S);
	return 0;
}

void dns_agent_close(struct dns *d)
{
	struct dns_agent *a = d->agent;

	if (!a)
		return;
	leave(a);
	ev_timer_stop(d->role->loop, &a->missed);
	arena_fini(&a->arena);
	free(a);
	d->agent = NULL;
}
