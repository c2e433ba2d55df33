// SPDX-License-Identifier: Apache-2.0
/* Whom a worker asks what it does not know: the sockets and timers that core/dns/forward.h wants.
 *
 * By UDP each upstream has SLOTS sockets, connected, so that the kernel drops what comes from elsewhere and tells of an upstream that is
 * not there. The kernel draws their ports at random; a socket is opened when it is first wanted, and anew once it was used USES times and
 * has been quiet for longer than any question lives, so that a port that somebody found out is soon another's. By TCP each question has
 * its connection.
 *
 * Who waits is kept in a list of places, whose number is the forwarder's `client`. Without a server there is a forwarder, too, which
 * refuses. */
#include "core/dns/forward.h"
#include "daemon/dns_worker.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS     64
#define USES      64
#define CLIENTS   4096
#define QUESTIONS 2048
#define QUIET_MS  15000
#define BURST     64 /* datagrams of one socket in a turn */
#define UDP_MAX   4096
#define STALE_S                                                                                    \
	3600 /* RFC 8767 5 lets it be days; an hour spans an outage and forgets what is old */

struct slot {
	struct dns_upstreams *all;
	uint16_t upstream, number;
	uint32_t uses;
	int64_t used_ms;
	ev_io io; /* fd -1: not open */
};

struct waiting {
	struct dns_asker asker;
	struct dns_query q;
	bool alias;         /* it is its end that is sought */
	uint32_t next_free; /* places beyond the next one, so that zero memory is a chain of all */
};

/* An answer by TCP that is sent once the forwarder was left: a client that is answered may ask on. */
struct late {
	struct late *next;
	struct dns_tcp *to; /* NULL: it ended */
	size_t n;
	uint8_t v[];
};

struct dns_upstreams {
	struct dns_worker *worker;
	struct dns_forward *forward;
	struct dns_cache *cache;
	struct dns_server server[DNS_UPSTREAMS_MAX];
	unsigned n;
	struct slot *slots; /* n × SLOTS */
	struct dns_streams streams;
	struct waiting *waiting; /* CLIENTS */
	uint32_t free;           /* CLIENTS: none is */
	ev_timer timer;
	struct late *late, **late_end;
	bool sending;
	const struct dns_server
		*answered; /* whose answer the forwarder was given; NULL: nobody's */
};

static int64_t now_ms(void)
{
	return (int64_t)(clock_mono_ns() / 1000000);
}

/* ---- after each call of the forwarder */

static void arm(struct dns_upstreams *u)
{
	int64_t at = dns_forward_at(u->forward), left = at - now_ms();
	struct ev_loop *loop = u->worker->loop;

	ev_timer_stop(loop, &u->timer);
	if (at == INT64_MAX)
		return;
	ev_now_update(loop);
	ev_timer_set(&u->timer, left > 0 ? (double)left / 1e3 : 0., 0.);
	ev_timer_start(loop, &u->timer);
}

static void send_late(struct dns_upstreams *u)
{
	if (u->sending)
		return;
	u->sending = true;
	while (u->late) {
		struct late *l = u->late;

		u->late = l->next;
		if (!u->late)
			u->late_end = &u->late;
		if (l->to)
			dns_tcp_send(l->to, l->v, l->n);
		free(l);
	}
	u->sending = false;
}

static void settle(struct dns_upstreams *u)
{
	u->answered = NULL;
	send_late(u);
	arm(u);
}

static void on_time(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_upstreams *u = t->data;

	(void)loop;
	(void)events;
	dns_forward_time(u->forward, now_ms());
	settle(u);
}

/* ---- UDP */

static void on_datagram(struct ev_loop *loop, ev_io *io, int events)
{
	static _Thread_local uint8_t room[UDP_MAX];
	struct slot *s = io->data;
	struct dns_upstreams *u = s->all;

	(void)loop;
	(void)events;
	for (unsigned i = 0; i < BURST; i++) {
		ssize_t n = recv(io->fd, room, sizeof(room), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			dns_forward_unreachable(u->forward, now_ms(), s->upstream, s->number);
		if (n < 0)
			break;
		u->answered = NULL;
		if ((size_t)n <= sizeof(room))
			dns_forward_udp(u->forward, now_ms(), s->upstream, s->number, room,
					(size_t)n);
	}
	settle(u);
}

static void close_slot(struct slot *s)
{
	if (s->io.fd < 0)
		return;
	ev_io_stop(s->all->worker->loop, &s->io);
	close(s->io.fd);
	ev_io_set(&s->io, -1, EV_READ);
	s->uses = 0;
}

static void send_udp(unsigned upstream, unsigned slot, const uint8_t *v, size_t n, void *arg)
{
	struct dns_upstreams *u = arg;
	struct slot *s = &u->slots[upstream * SLOTS + slot];
	int64_t now = now_ms();

	if (s->uses >= USES && now - s->used_ms > QUIET_MS)
		close_slot(s);
	if (s->io.fd < 0) {
		int fd = dns_upstream_socket(&u->server[upstream], SOCK_DGRAM);

		if (fd < 0)
			return; /* its time runs out, and the next is asked */
		ev_io_set(&s->io, fd, EV_READ);
		ev_io_start(u->worker->loop, &s->io);
	}
	s->uses++;
	s->used_ms = now;
	/* What is lost here is as what is lost on the way. */
	if (send(s->io.fd, v, n, MSG_NOSIGNAL) < 0)
		log_debug("dns: upstream %u: %s", upstream, strerror(errno));
}

/* ---- TCP */

static void on_stream(uint32_t id, const uint8_t *v, size_t n, void *arg)
{
	struct dns_upstreams *u = arg;

	if (v)
		dns_forward_tcp(u->forward, now_ms(), id, v, n);
	/* Was it not what was asked for, nothing else comes. */
	dns_forward_tcp_failed(u->forward, now_ms(), id);
	settle(u);
}

static void send_tcp(unsigned upstream, uint32_t id, const uint8_t *v, size_t n, void *arg)
{
	struct dns_upstreams *u = arg;

	dns_stream_send(&u->streams, &u->server[upstream], id, v, n);
}

static void end_stream(uint32_t id, void *arg)
{
	struct dns_upstreams *u = arg;

	dns_stream_end(&u->streams, id);
}

/* ---- who waits */

static void release(struct dns_upstreams *u, uint32_t place)
{
	u->waiting[place].next_free = u->free - (place + 1);
	u->free = place;
}

static void add_late(struct dns_upstreams *u, struct dns_tcp *to, const uint8_t *v, size_t n)
{
	struct late *l = malloc(sizeof(*l) + n);

	if (!l)
		return; /* the client asks again */
	l->next = NULL;
	l->to = to;
	l->n = n;
	memcpy(l->v, v, n);
	*u->late_end = l;
	u->late_end = &l->next;
}

static void on_end(uint64_t client, const struct dns_relay *answer, void *arg)
{
	static _Thread_local uint8_t room[DNS_TCP_MAX];
	struct dns_upstreams *u = arg;
	struct waiting *w = &u->waiting[client];
	struct dns_asker asker = w->asker;
	size_t n;

	asker.waited = true;
	asker.by = u->answered;
	release(u, (uint32_t)client);
	if (!asker.tcp && !asker.job && asker.fd < 0)
		return; /* its connection ended */
	n = dns_query_limit(&w->q, asker.fd < 0, DNS_UDP_MAX);
	n = w->alias ? dns_serve_behind(u->worker, &w->q, answer, room, n)
		     : dns_relay_write(answer, &w->q, room, n);
	dns_serve_answered(u->worker, &w->q, &asker, DNS_FROM_UPSTREAM, room, n);
	if (asker.job)
		dns_job_done(u->worker, asker.job, room, n);
	else if (asker.tcp)
		add_late(u, asker.tcp, room, n);
	else
		dns_udp_send(&asker, room, n);
}

void dns_upstreams_forget(struct dns_upstreams *u, const struct dns_tcp *c)
{
	for (uint32_t i = 0; u->waiting && i < CLIENTS; i++)
		if (u->waiting[i].asker.tcp == c)
			u->waiting[i].asker = (struct dns_asker){ .fd = -1 };
	for (struct late *l = u->late; l; l = l->next)
		if (l->to == c)
			l->to = NULL;
}

size_t dns_upstreams_ask(struct dns_upstreams *u, const struct dns_query *q,
			 const struct dns_name *target, const struct dns_asker *from, uint8_t *out,
			 size_t cap)
{
	struct dns_question what;
	struct dns_relay relay;
	struct dns_out refusal;
	unsigned looped = 0;
	uint32_t place = u->free;
	enum dns_asked asked = DNS_BUSY;

	dns_question_of(q, &what);
	if (target->n) {
		dns_name_copy(&what.name, target);
		dns_name_lower(&what.name);
	}
	if (place != CLIENTS) {
		struct waiting *w = &u->waiting[place];

		w->asker = *from;
		w->q = *q;
		w->alias = target->n > 0;
		u->free = place + 1 + w->next_free;
		asked = dns_forward_ask(u->forward, now_ms(), &what, q->flags & DNS_RD, place,
					&relay, &looped);
		if (asked == DNS_ASKED) {
			settle(u);
			return 0;
		}
		w->asker = (struct dns_asker){ .fd = -1 };
		release(u, place);
		arm(u); /* what is known may be asked for anew */
	}
	if (asked == DNS_KNOWN)
		return target->n ? dns_serve_behind(u->worker, q, &relay, out, cap)
				 : dns_relay_write(&relay, q, out, cap);
	if (asked == DNS_LOOP)
		dns_looped(u->worker->dns, looped, &u->server[looped]);
	else if (asked == DNS_DENIED && target->n)
		return dns_serve_behind(u->worker, q, NULL, out, cap);
	dns_out_begin(&refusal, out, cap, q, DNS_RA);
	return dns_out_end(&refusal, asked == DNS_BUSY ? DNS_SERVFAIL : DNS_REFUSED);
}

/* ---- life */

static void on_answered(unsigned upstream, unsigned rcode, unsigned ms, void *arg)
{
	struct dns_upstreams *u = arg;

	(void)rcode;
	u->answered = &u->server[upstream];
	dns_count_time(&u->worker->counts.upstream, (uint64_t)ms * 1000);
}

static uint32_t draw(void *arg)
{
	uint32_t v;

	(void)arg;
	random_bytes(&v, sizeof(v));
	return v;
}

static int make_cache(struct dns_upstreams *u, struct err *e)
{
	const struct dns *d = u->worker->dns;
	struct dns_cache_conf conf = { .bytes = ((size_t)d->role->cfg.dns.cache_mib << 20) /
						d->n_workers,
				       .stale_s = STALE_S };

	if (!d->role->cfg.dns.cache_mib)
		return 0;
	if (conf.bytes < DNS_CACHE_MIN)
		conf.bytes = DNS_CACHE_MIN;
	random_bytes(conf.seed, sizeof(conf.seed));
	u->cache = dns_cache_new(&conf, e);
	return u->cache ? 0 : e->code;
}

static int make_forward(struct dns_upstreams *u, const struct dns_servers *s, struct err *e)
{
	struct dns_forward_io io = { .udp = send_udp,
				     .tcp = send_tcp,
				     .close = end_stream,
				     .end = on_end,
				     .answered = on_answered,
				     .random = draw,
				     .arg = u };
	struct dns_forward_conf conf;

	dns_forward_defaults(&conf);
	conf.upstreams = s->n;
	conf.slots = SLOTS;
	conf.questions = QUESTIONS;
	conf.clients = CLIENTS;
	conf.policy = s->rotate ? DNS_ROUND_ROBIN : DNS_SEQUENTIAL;
	conf.loop_key = u->worker->dns->loop_key;
	u->n = s->n;
	memcpy(u->server, s->v, s->n * sizeof(*s->v));
	u->slots = calloc((size_t)(s->n ? s->n : 1) * SLOTS, sizeof(*u->slots));
	if (!u->slots)
		return err_set(e, -ENOMEM, "no memory");
	for (unsigned i = 0; i < s->n * SLOTS; i++) {
		struct slot *slot = &u->slots[i];

		slot->all = u;
		slot->upstream = (uint16_t)(i / SLOTS);
		slot->number = (uint16_t)(i % SLOTS);
		ev_io_init(&slot->io, on_datagram, -1, EV_READ);
		slot->io.data = slot;
	}
	u->forward = dns_forward_new(&conf, &io, u->cache, now_ms(), e);
	return u->forward ? 0 : e->code;
}

struct dns_upstreams *dns_upstreams_new(struct dns_worker *w, const struct dns_servers *s,
					struct err *e)
{
	struct dns_upstreams *u = calloc(1, sizeof(*u));

	if (!u) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	u->worker = w;
	u->late_end = &u->late;
	u->streams = (struct dns_streams){ .loop = w->loop, .got = on_stream, .arg = u };
	ev_timer_init(&u->timer, on_time, 0., 0.);
	u->timer.data = u;
	u->waiting = calloc(CLIENTS, sizeof(*u->waiting));
	if (!u->waiting)
		err_set(e, -ENOMEM, "no memory");
	if (u->waiting && !make_cache(u, e) && !make_forward(u, s, e)) {
		settle(u);
		return u;
	}
	dns_upstreams_free(u);
	return NULL;
}

void dns_upstreams_free(struct dns_upstreams *u)
{
	if (!u)
		return;
	if (u->forward)
		dns_forward_free(u->forward);
	send_late(u);
	ev_timer_stop(u->worker->loop, &u->timer);
	dns_streams_close(&u->streams);
	for (unsigned i = 0; u->slots && i < u->n * SLOTS; i++)
		close_slot(&u->slots[i]);
	dns_cache_free(u->cache);
	free(u->slots);
	free(u->waiting);
	free(u);
}

void dns_upstreams_looped(struct dns_upstreams *u, unsigned upstream)
{
	if (upstream < u->n)
		dns_forward_looped(u->forward, now_ms(), upstream);
	settle(u);
}

void dns_upstreams_count(const struct dns_upstreams *u, struct dns_forward_counts *f,
			 struct dns_cache_counts *c)
{
	dns_forward_count(u->forward, f);
	*c = (struct dns_cache_counts){ 0 };
	if (u->cache)
		dns_cache_count(u->cache, c);
}
