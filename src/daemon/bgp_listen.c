// SPDX-License-Identifier: Apache-2.0
/* Connections from peers: a listener of each family on the configured port, and BFD's sockets, two for one hop and two for several, all bound by the keeper, which
 * keeps them while the role starts anew.
 *
 * Passwords (RFC 2385) lie in the kernel on the listeners, by the peer's address, and so outlive this process: what a peer of the configuration
 * has, or has not, is said when it comes and when that changes, whatever was there. Who is no peer is closed without a word. */
#include "daemon/bgp.h"
#include "sys/inet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_S 3. /* the port is somebody else's, or descriptors are short */

enum { TCP4, TCP6, BFD4, BFD6, MULTIHOP4, MULTIHOP6, SOCKETS };

struct listen_socket {
	struct bgp_listeners *all;
	uint16_t port; /* as asked for; 0: not wanted */
	bool asked, absent;
	ev_io io;
};

struct bgp_listeners {
	struct bgp *bgp;
	struct listen_socket v[SOCKETS];
	ev_timer again;
	bool said;
};

static bool is_tcp(const struct listen_socket *s)
{
	return s - s->all->v <= TCP6;
}

static uint8_t family_of(const struct listen_socket *s)
{
	return (s - s->all->v) % 2 ? AF_INET6 : AF_INET;
}

static struct rec_bind wanted(const struct listen_socket *s)
{
	return (struct rec_bind){ .proto = is_tcp(s) ? "tcp" : "udp",
				  .addr = { .family = family_of(s) },
				  .port = s->port };
}

/* ---- passwords */

static void set_secret(const struct listen_socket *s, const struct bgp_peer_conf *c,
		       const struct bgp_transport *t)
{
	struct err e;

	if (s->io.fd < 0 || c->addr.family != family_of(s))
		return;
	if (inet_secret(s->io.fd, &c->addr, t->password, t->password_len, &e))
		log_error("peer %s: %s", c->name, e.text);
}

void bgp_listen_secret(struct bgp *b, const struct bgp_peer_conf *c, const struct bgp_transport *t)
{
	for (unsigned k = TCP4; k <= TCP6; k++)
		set_secret(&b->listeners->v[k], c, t);
}

static void on_each(void *arg, const struct bgp_peer_conf *c, const struct bgp_transport *t)
{
	set_secret(arg, c, t);
}

/* ---- accepting */

static void take(struct bgp *b, int fd, const struct ipaddr *from)
{
	struct bgp_peer *p = b->speaker ? bgp_speaker_find(b->speaker, from) : NULL;
	const struct bgp_transport *t = p ? bgp_store_transport(b, p) : NULL;
	struct err e;

	if (!p || (t && t->ttl_hops && inet_limit(fd, from->family, t->ttl_hops, &e))) {
		b->refused++;
		close(fd);
		return;
	}
	bgp_conn_offer(b, p, fd);
}

static void rest(struct bgp_listeners *l)
{
	if (!ev_is_active(&l->again))
		ev_timer_start(l->bgp->role->loop, &l->again);
}

static void on_tcp(struct ev_loop *loop, ev_io *w, int events)
{
	struct listen_socket *s = w->data;
	struct ipaddr from;
	struct err e;
	int fd = inet_accept(w->fd, &from, &e);

	(void)events;
	if (fd >= 0) {
		take(s->all->bgp, fd, &from);
	} else if (fd != -EAGAIN) {
		log_error("%s; peers wait until that is over", e.text);
		ev_io_stop(loop, w);
		rest(s->all);
	}
}

static void on_udp(struct ev_loop *loop, ev_io *w, int events)
{
	const struct listen_socket *s = w->data;

	(void)loop;
	(void)events;
	bgp_bfd_take(s->all->bgp, w->fd, s->port);
}

/* ---- sockets from the keeper */

static void on_bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct listen_socket *s = arg;
	struct bgp_listeners *l = s->all;
	struct err why;

	s->asked = false;
	if (fd < 0 && e->code == -EAFNOSUPPORT) {
		s->absent = true;
		return;
	}
	if (fd < 0) {
		if (!l->said)
			log_error("%s; it is tried again", e->text);
		l->said = true;
		rest(l);
		return;
	}
	ev_io_set(&s->io, fd, EV_READ);
	if (is_tcp(s) ? inet_prepare(fd, family_of(s), &why) : inet_watch(fd, family_of(s), &why))
		log_warn("port %u: %s", s->port, why.text);
	if (is_tcp(s))
		bgp_wants_each(bgp_store_wants(l->bgp), on_each, s);
	ev_io_start(r->loop, &s->io);
}

static void ask(struct listen_socket *s)
{
	struct rec_bind want = wanted(s);
	struct err e;

	if (!s->port || s->asked || s->absent || s->io.fd >= 0)
		return;
	s->asked = !role_bind(s->all->bgp->role, &want, on_bound, s, &e);
	if (!s->asked)
		log_error("%s", e.text);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	struct bgp_listeners *l = w->data;

	(void)events;
	for (unsigned i = 0; i < SOCKETS; i++) {
		ask(&l->v[i]);
		if (l->v[i].io.fd >= 0)
			ev_io_start(loop, &l->v[i].io);
	}
}

static void drop(struct listen_socket *s)
{
	struct rec_bind want = wanted(s);
	struct err e;

	if (s->io.fd < 0)
		return;
	ev_io_stop(s->all->bgp->role->loop, &s->io);
	close(s->io.fd);
	ev_io_set(&s->io, -1, EV_READ);
	if (role_unbind(s->all->bgp->role, &want, &e))
		log_error("%s", e.text);
}

/* One that is asked for still is looked at again when it came. */
static void set_port(struct listen_socket *s, uint16_t port)
{
	if (s->port == port)
		return;
	drop(s);
	if (!s->asked)
		s->port = port;
	ask(s);
}

void bgp_listen_update(struct bgp *b, uint16_t bgp_port, uint16_t bfd_port, uint16_t multihop_port)
{
	struct bgp_listeners *l = b->listeners;
	const uint16_t port[SOCKETS] = { bgp_port, bgp_port,      bfd_port,
					 bfd_port, multihop_port, multihop_port };

	for (unsigned i = 0; i < SOCKETS; i++)
		set_port(&l->v[i], port[i]);
}

/* ---- life */

int bgp_listen_open(struct bgp *b, struct err *e)
{
	struct bgp_listeners *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, -ENOMEM, "no memory");
	l->bgp = b;
	ev_timer_init(&l->again, on_again, AGAIN_S, 0.);
	l->again.data = l;
	for (unsigned i = 0; i < SOCKETS; i++) {
		l->v[i].all = l;
		ev_io_init(&l->v[i].io, i <= TCP6 ? on_tcp : on_udp, -1, EV_READ);
		l->v[i].io.data = &l->v[i];
	}
	b->listeners = l;
	return 0;
}

void bgp_listen_close(struct bgp *b)
{
	struct bgp_listeners *l = b->listeners;

	if (!l)
		return;
	ev_timer_stop(b->role->loop, &l->again);
	for (unsigned i = 0; i < SOCKETS; i++) {
		ev_io_stop(b->role->loop, &l->v[i].io);
		if (l->v[i].io.fd >= 0)
			close(l->v[i].io.fd);
	}
	free(l);
	b->listeners = NULL;
}
