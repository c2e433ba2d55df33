// SPDX-License-Identifier: Apache-2.0
/* The stream with the agent, which has the kernel's routes and knows Services: its REC_ORIGINs are told to peers (bgp_origin.c), and
 * what peers tell goes to it as REC_ROUTEs. docs/architecture.md has the protocol.
 *
 * The agent is one more reader of the tables: a place in each, so that it takes as much as its stream has room for, and hears of a
 * prefix that changed ten times meanwhile once. A batch ends, with REC_ROUTES, when it has seen everything. When the tables
 * end with their speaker so does the stream; the agent keeps what the kernel has until the next one is complete. */
#include "core/bgp/decide.h"
#include "daemon/bgp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE  (256u << 10) /* octets that wait for the agent */
#define PIECE  512          /* destinations in one turn */
#define WAIT_S 2.           /* for its first list */

struct bgp_agent_state {
	struct stream *stream;
	struct bgp_reader *reader[BGP_FAMILIES];
	ev_timer wait;
	bool heard, kept;
	bool batch;          /* routes were sent that no REC_ROUTES closed */
	bool said, complete; /* a REC_ROUTES was sent; what it said */
	struct arena arena;
};

bool bgp_agent_is_heard(const struct bgp *b)
{
	return b->agent->heard;
}

bool bgp_agent_kept(const struct bgp *b)
{
	return b->agent->kept;
}

static void heard(struct bgp *b)
{
	ev_timer_stop(b->role->loop, &b->agent->wait);
	if (b->agent->heard)
		return;
	b->agent->heard = true;
	bgp_store_wake(b);
}

static void on_wait(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	log_info("the agent was not heard yet: begins without it");
	heard(w->data);
}

/* ---- in */

static void take_origin(struct bgp *b, const struct rec_origin *o)
{
	char text[PREFIX_TEXT];

	if (o->prefix.addr.family && bgp_origin_put(b, o))
		log_error("%s is not told: no memory", prefix_str(&o->prefix, text));
}

static void take_origins(struct bgp *b, const struct rec_origins *o)
{
	bgp_origins_listed(b);
	if (!b->agent->heard)
		b->agent->kept = o->kept;
	heard(b);
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct bgp *b = stream_arg(s);
	union {
		struct rec_origin origin;
		struct rec_origins origins;
	} u = { 0 };
	struct err e;

	if (fd >= 0)
		close(fd);
	if (type != REC_ORIGIN && type != REC_ORIGINS)
		return;
	if (record_decode(body, record_schema(type), &u, &b->agent->arena, &e))
		log_warn("agent: %s", e.text);
	else if (type == REC_ORIGIN)
		take_origin(b, &u.origin);
	else
		take_origins(b, &u.origins);
	arena_reset(&b->agent->arena);
}

/* ---- out */

static void free_readers(struct bgp_agent_state *s)
{
	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		bgp_reader_free(s->reader[i]);
		s->reader[i] = NULL;
	}
}

static bool make_readers(struct bgp *b)
{
	struct bgp_agent_state *s = b->agent;

	for (unsigned i = 0; i < BGP_FAMILIES; i++) {
		if (!s->reader[i])
			s->reader[i] = bgp_reader_new(bgp_speaker_rib(b->speaker, i));
		if (!s->reader[i])
			return false;
	}
	return true;
}

static void send_record(struct bgp_agent_state *s, unsigned type, const void *body)
{
	struct err e;

	if (stream_send(s->stream, type, NULL, body, -1, &e))
		log_debug("agent: %s", e.text);
}

/* Those of the paths that share the traffic, each once, in order. */
static uint32_t next_hops(const struct bgp_dest *d, struct ipaddr *v, uint32_t most)
{
	const struct bgp_path *p = bgp_dest_paths(d);
	uint32_t n = 0;

	for (uint32_t i = bgp_dest_multipath(d); i > 0 && p && n < most; i--, p = p->next) {
		const struct ipaddr *a = &p->attrs->next_hop;
		uint32_t at = n;

		while (at > 0 && addr_cmp(&v[at - 1], a) > 0)
			at--;
		if (at > 0 && addr_eq(&v[at - 1], a))
			continue;
		memmove(v + at + 1, v + at, (n - at) * sizeof(*v));
		v[at] = *a;
		n++;
	}
	return n;
}

static bool tell(struct bgp *b, enum bgp_family family, struct bgp_dest *d)
{
	struct bgp_agent_state *s = b->agent;
	const struct bgp_path *best = bgp_dest_best(d);
	bool told = bgp_reader_told(s->reader[family], d), use = best && !best->from->local;
	struct rec_route r = { .prefix = bgp_rib_prefix(bgp_speaker_rib(b->speaker, family), d) };
	struct ipaddr via[256];
	char why[96];

	if (!use && !told)
		return true;
	if (bgp_reader_note(s->reader[family], d, use))
		return false;
	r.withdrawn = !use;
	if (use) {
		r.via.v = via;
		r.via.n = next_hops(d, via, sizeof(via) / sizeof(via[0]) - 1);
		r.peer = best->from->name;
		r.why = bgp_why(d, why);
	}
	send_record(s, REC_ROUTE, &r);
	s->batch = true;
	return true;
}

/* False: there is more, or no room. */
static bool tell_family(struct bgp *b, enum bgp_family family, unsigned *left)
{
	struct bgp_agent_state *s = b->agent;
	struct bgp_dest *d;

	while (*left && stream_queued(s->stream) < QUEUE) {
		d = bgp_reader_next(s->reader[family]);
		if (!d)
			return true;
		(*left)--;
		if (!tell(b, family, d))
			return false;
	}
	return false;
}

/* What was sent so far is a whole: the tables, or what changed. */
static void close_batch(struct bgp *b, bool complete)
{
	struct bgp_agent_state *s = b->agent;
	const struct rec_routes r = { .complete = complete };

	if (s->said && !s->batch && s->complete == complete)
		return;
	send_record(s, REC_ROUTES, &r);
	s->said = true;
	s->batch = false;
	s->complete = complete;
}

static bool is_complete(const struct bgp *b)
{
	bool through = bgp_speaker_is_complete(b->speaker);

	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		through &= bgp_reader_is_through(b->agent->reader[i]);
	return through;
}

bool bgp_agent_turn(struct bgp *b)
{
	struct bgp_agent_state *s = b->agent;
	unsigned left = PIECE;

	if (!s->stream)
		return false;
	if (!b->speaker) {
		/* That nobody is to be spoken to is known, and all that there is. */
		if (bgp_store_want(b))
			close_batch(b, true);
		return false;
	}
	if (!make_readers(b))
		return true;
	for (unsigned i = 0; i < BGP_FAMILIES; i++)
		if (!tell_family(b, i, &left))
			return stream_queued(s->stream) < QUEUE; /* else when that has drained */
	close_batch(b, is_complete(b));
	return false;
}

/* ---- the stream's life */

static void on_drained(struct stream *s)
{
	bgp_wake(stream_arg(s));
}

static void leave(struct bgp *b)
{
	struct bgp_agent_state *s = b->agent;

	free_readers(s);
	stream_free(s->stream);
	s->stream = NULL;
	s->said = s->batch = s->complete = false;
}

static void on_closed(struct stream *s, const struct err *e)
{
	struct bgp *b = stream_arg(s);

	if (e->code)
		log_warn("agent: %s", e->text);
	leave(b);
	if (e->code)
		role_rejoin(b->role, "agent");
}

void bgp_agent_join(struct bgp *b, int fd)
{
	static const struct stream_ops ops = { .frame = on_frame,
					       .closed = on_closed,
					       .drained = on_drained };
	struct err e;

	leave(b);
	b->agent->stream = stream_new(b->role->loop, fd, &ops, b, &e);
	if (!b->agent->stream)
		log_error("agent: %s", e.text);
	bgp_origins_begin(b);
	bgp_wake(b);
}

void bgp_agent_forget(struct bgp *b)
{
	if (!b->agent || !b->agent->stream)
		return;
	leave(b);
	role_rejoin(b->role, "agent");
}

int bgp_agent_open(struct bgp *b, struct err *e)
{
	struct bgp_agent_state *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	b->agent = s;
	arena_init(&s->arena, RECORD_MAX);
	ev_timer_init(&s->wait, on_wait, WAIT_S, 0.);
	s->wait.data = b;
	s->heard = !config_has_role(&b->role->cfg, "agent");
	if (!s->heard)
		ev_timer_start(b->role->loop, &s->wait);
	return 0;
}

void bgp_agent_close(struct bgp *b)
{
	if (!b->agent)
		return;
	ev_timer_stop(b->role->loop, &b->agent->wait);
	leave(b);
	arena_fini(&b->agent->arena);
	free(b->agent);
	b->agent = NULL;
}
