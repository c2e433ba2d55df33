// SPDX-License-Identifier: Apache-2.0
/* Connections to peers.
 *
 * What a peer is told is taken out of the tables when its connection has taken all from before, so a connection never holds more
 * than one piece of that, and a peer that does not read waits alone; what the session itself says (a KEEPALIVE every few seconds)
 * is bounded by its hold time. What came and is no whole message yet is less than one.
 *
 * A connection that the session is done with (bgp_io's close) says what it has left and then that this was all, and waits a moment
 * for the other end to close: a socket closed with something unread would take the NOTIFICATION back with a reset. */
#include "daemon/bgp.h"
#include "sys/inet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE    32768u /* octets told at once */
#define LINGER_S 2.

struct bgp_conn {
	struct bgp *bgp;
	struct bgp_peer *peer; /* NULL: the session is done with it */
	enum bgp_side side;
	bool connecting, shut;
	int failed; /* -errno of one that never was */
	ev_io io;
	ev_timer linger;
	struct buf in, out;
	struct bgp_conn *next, **prev;
};

/* ---- life */

static void destroy(struct bgp_conn *c)
{
	struct ev_loop *loop = c->bgp->role->loop;

	ev_io_stop(loop, &c->io);
	ev_timer_stop(loop, &c->linger);
	if (c->io.fd >= 0)
		close(c->io.fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
}

static void watch(struct bgp_conn *c)
{
	struct ev_loop *loop = c->bgp->role->loop;
	int events = c->connecting ? EV_WRITE : EV_READ | (c->out.n ? EV_WRITE : 0);

	if (c->io.fd < 0 ||
	    (ev_is_active(&c->io) && (c->io.events & (EV_READ | EV_WRITE)) == events))
		return;
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	ev_io_start(loop, &c->io);
}

/* The speaker does not know of it any more. */
static void detach(struct bgp_conn *c)
{
	struct bgp_end *end = bgp_peer_data(c->peer);

	end->conn[c->side] = NULL;
	c->peer = NULL;
	buf_fini(&c->in);
	ev_timer_start(c->bgp->role->loop, &c->linger);
	bgp_wake(c->bgp);
}

/* The other end is gone; nothing more can be said. */
static void broken(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	enum bgp_side side = c->side;

	if (p) {
		detach(c);
		bgp_peer_failed(p, side, bgp_now_ms());
	}
	bgp_wake(c->bgp);
	destroy(c);
}

/* ---- bytes */

/* 0: all is written, or no more can be now; else the connection is no more. */
static int flush(struct bgp_conn *c)
{
	ssize_t n;

	if (!c->out.n || c->connecting)
		return 0;
	n = send(c->io.fd, c->out.v, c->out.n, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	buf_shift(&c->out, (size_t)n);
	if (!c->out.n)
		buf_fini(&c->out);
	return 0;
}

static void take(struct bgp_conn *c, size_t n)
{
	struct bgp *b = c->bgp;
	size_t done = bgp_peer_received(c->peer, c->side, b->room, n, bgp_now_ms());

	buf_clear(&c->in);
	if (c->peer && done < n)
		buf_put(&c->in, b->room + done, n - done);
	bgp_wake(b);
}

static void readable(struct bgp_conn *c)
{
	struct bgp *b = c->bgp;
	size_t kept = c->in.n;
	ssize_t n;

	if (kept)
		memcpy(b->room, c->in.v, kept);
	n = recv(c->io.fd, b->room + kept, BGP_ROOM - kept, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		broken(c);
	else if (c->peer)
		take(c, kept + (size_t)n);
}

static void writable(struct bgp_conn *c)
{
	if (c->connecting) {
		c->connecting = false;
		c->failed = inet_error(c->io.fd);
		if (!c->failed && c->peer)
			bgp_peer_connected(c->peer, bgp_now_ms());
	}
	if (c->failed || flush(c))
		broken(c);
	else
		bgp_wake(c->bgp);
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
	struct bgp_conn *c = w->data;

	(void)loop;
	if (events & EV_WRITE)
		writable(c); /* which may be its end */
	else
		readable(c);
}

/* A peer that took our last words in time has closed, too. Of one whose acknowledgements do not come (its TTL is too low, say) the kernel
 * would go on sending what was before them, while it waits in a session that is none: it is told by a reset. */
static void on_linger(struct ev_loop *loop, ev_timer *w, int events)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct bgp_conn *c = w->data;

	(void)loop;
	(void)events;
	if (c->io.fd >= 0)
		setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	destroy(c);
}

static struct bgp_conn *make(struct bgp *b, struct bgp_peer *p, enum bgp_side side, int fd)
{
	struct bgp_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->bgp = b;
	c->peer = p;
	c->side = side;
	ev_io_init(&c->io, on_io, fd, EV_READ);
	ev_timer_init(&c->linger, on_linger, LINGER_S, 0.);
	c->io.data = c->linger.data = c;
	c->next = b->conns;
	c->prev = &b->conns;
	if (c->next)
		c->next->prev = &c->next;
	b->conns = c;
	return c;
}

/* ---- what the speaker asks for */

/* One that cannot even begin fails a little later, as this must not call back. Without memory the session's own timer tries again. */
static void on_connect(struct bgp_peer *p, void *arg)
{
	struct bgp *b = arg;
	const struct bgp_peer_conf *conf = bgp_peer_conf(p);
	const struct bgp_transport *t = bgp_store_transport(b, p);
	struct inet_peer to = { .addr = conf->addr, .port = conf->port };
	struct bgp_end *end = bgp_end_of(b, p);
	struct bgp_conn *c = end ? make(b, p, BGP_OURS, -1) : NULL;
	struct err e;
	int fd;

	if (!c)
		return;
	if (t) {
		to.source = t->source;
		to.secret = t->password;
		to.secret_len = t->password_len;
		to.hops = t->ttl_hops;
	}
	end->conn[BGP_OURS] = c;
	fd = inet_connect(&to, &e);
	if (fd < 0) {
		log_debug("peer %s: %s", bgp_peer_name(p), e.text);
		c->failed = fd;
		ev_feed_event(b->role->loop, &c->io, EV_WRITE);
		return;
	}
	ev_io_set(&c->io, fd, EV_WRITE);
	c->connecting = true;
	watch(c);
}

static void on_take(struct bgp_peer *p, void *arg)
{
	struct bgp *b = arg;
	struct bgp_end *end = bgp_peer_data(p);

	end->conn[BGP_THEIRS] = b->offered;
	watch(b->offered);
	b->offered = NULL;
}

static struct bgp_conn *conn_of(struct bgp_peer *p, enum bgp_side side)
{
	struct bgp_end *end = bgp_peer_data(p);

	return end ? end->conn[side] : NULL;
}

static void on_send(struct bgp_peer *p, enum bgp_side side, const void *v, size_t n, void *arg)
{
	struct bgp_conn *c = conn_of(p, side);

	if (c)
		buf_put(&c->out, v, n);
	bgp_wake(arg);
}

static void on_close(struct bgp_peer *p, enum bgp_side side, void *arg)
{
	struct bgp_conn *c = conn_of(p, side);

	(void)arg;
	if (c)
		detach(c);
}

void bgp_conn_io(struct bgp *b, struct bgp_io *io)
{
	io->connect = on_connect;
	io->take = on_take;
	io->send = on_send;
	io->close = on_close;
	io->arg = b;
}

void bgp_conn_offer(struct bgp *b, struct bgp_peer *p, int fd)
{
	struct bgp_conn *c = bgp_end_of(b, p) ? make(b, p, BGP_THEIRS, fd) : NULL;

	if (!c) {
		close(fd);
		return;
	}
	b->offered = c;
	bgp_peer_accepted(p, bgp_now_ms());
	if (b->offered) /* nobody took it */
		destroy(c);
	b->offered = NULL;
	bgp_wake(b);
}

/* ---- turns */

/* One piece for a session that is up, and has taken all from before. */
static bool fill(struct bgp_conn *c)
{
	struct bgp *b = c->bgp;
	ssize_t n = 0;
	bool more;

	buf_clear(&b->fill);
	more = bgp_peer_fill(c->peer, &b->fill, PIECE, bgp_now_ms());
	if (c->out.n || !b->fill.n) /* it had to end, or there was nothing */
		return more;
	n = send(c->io.fd, b->fill.v, b->fill.n, MSG_NOSIGNAL);
	if (n < 0)
		n = 0; /* why, the next write or read finds */
	if ((size_t)n < b->fill.n)
		buf_put(&c->out, b->fill.v + n, b->fill.n - (size_t)n);
	return more && !c->out.n;
}

/* It has said everything that it had to. */
static void end_saying(struct bgp_conn *c)
{
	if (c->shut)
		return;
	c->shut = true;
	if (c->io.fd < 0 || c->connecting || shutdown(c->io.fd, SHUT_WR) < 0)
		ev_feed_event(c->bgp->role->loop, &c->linger, EV_TIMER);
}

static bool turn(struct bgp_conn *c)
{
	bool more = false;

	if (c->failed) /* its event is due */
		return false;
	if (c->out.failed || flush(c)) {
		broken(c);
		return false;
	}
	if (!c->out.n && c->peer && bgp_fsm_side(bgp_peer_fsm(c->peer)) == (int)c->side)
		more = fill(c);
	if (!c->out.n && !c->peer)
		end_saying(c);
	watch(c);
	return more;
}

bool bgp_conns_turn(struct bgp *b)
{
	struct bgp_conn *c, *next;
	bool more = false;

	for (c = b->conns; c; c = next) {
		next = c->next;
		more |= turn(c);
	}
	return more;
}

void bgp_conns_close(struct bgp *b)
{
	while (b->conns) {
		struct bgp_conn *c = b->conns;

		if (c->peer)
			detach(c);
		if (!c->failed)
			flush(c);
		destroy(c);
	}
}
