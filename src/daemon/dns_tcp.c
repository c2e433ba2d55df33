// SPDX-License-Identifier: Apache-2.0
/* DNS by TCP (RFC 7766): messages with their length before them, several on a connection, each answered when its answer is there, in any
 * order. A client holds nobody up: its connection is read no further while answers wait in it that it does not take or that are still
 * sought, and ends after IDLE_S without a query, sooner while there are many. Past CONNECTIONS of them the rest wait in the kernel. */
#include "base/buf.h"
#include "daemon/dns_worker.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS 256
#define IDLE_S      10. /* RFC 7766 6.2.3: some seconds */
#define IDLE_BUSY_S 1.  /* while more than half of them are taken */
#define REST_S      0.1
#define SOUGHT      64 /* answers that one connection may wait for */
#define UNREAD      (256u << 10)

struct dns_tcp {
	struct dns_worker *worker;
	struct dns_tcp *next, **prev;
	ev_io io;
	ev_timer idle;
	struct buf in, out;
	size_t sent;     /* octets of `out` */
	unsigned sought; /* queries without an answer yet */
	bool serving;    /* within dns_serve(): an answer at once comes as its result */
	bool ended;      /* nothing follows from the client */
	uint8_t family;
};

uint8_t dns_tcp_family(const struct dns_tcp *c)
{
	return c->family;
}

static void set_accepting(struct dns_worker *w, bool on)
{
	for (struct dns_socket *s = w->sockets; s; s = s->next) {
		if (s->tcp && on)
			ev_io_start(w->loop, &s->io);
		else if (s->tcp)
			ev_io_stop(w->loop, &s->io);
	}
}

static void drop(struct dns_tcp *c)
{
	struct dns_worker *w = c->worker;

	if (c->sought)
		dns_serve_forget(w, c);
	ev_io_stop(w->loop, &c->io);
	ev_timer_stop(w->loop, &c->idle);
	close(c->io.fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
	w->n_connections--;
	if (!ev_is_active(&w->rest))
		set_accepting(w, true);
}

static size_t unsent(const struct dns_tcp *c)
{
	return c->out.n - c->sent;
}

static void watch(struct dns_tcp *c)
{
	int events = 0;

	if (unsent(c))
		events |= EV_WRITE;
	if (!c->ended && c->sought < SOUGHT && unsent(c) < UNREAD)
		events |= EV_READ;
	if ((c->io.events & (EV_READ | EV_WRITE)) == events && ev_is_active(&c->io))
		return;
	ev_io_stop(c->worker->loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	if (events)
		ev_io_start(c->worker->loop, &c->io);
}

static void rewind_idle(struct dns_tcp *c)
{
	c->idle.repeat = c->worker->n_connections > CONNECTIONS / 2 ? IDLE_BUSY_S : IDLE_S;
	ev_timer_again(c->worker->loop, &c->idle);
}

/* False: the client takes nothing any more. */
static bool flush(struct dns_tcp *c)
{
	while (unsent(c)) {
		ssize_t n = send(c->io.fd, c->out.v + c->sent, unsent(c), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return false;
		c->sent += (size_t)n;
	}
	if (!unsent(c)) {
		buf_clear(&c->out);
		c->sent = 0;
	}
	return true;
}

static void put(struct dns_tcp *c, const uint8_t *p, size_t n)
{
	uint8_t length[DNS_FRAME];

	dns_frame_put(length, n);
	buf_put(&c->out, length, DNS_FRAME);
	buf_put(&c->out, p, n);
}

static void serve(struct dns_tcp *c, const uint8_t *query, size_t n)
{
	static _Thread_local uint8_t answer[DNS_TCP_MAX];
	struct dns_asker from = { .tcp = c, .fd = -1, .asked_us = clock_mono_ns() / 1000 };
	size_t len;

	c->serving = true;
	c->sought++;
	len = dns_serve(c->worker, query, n, &from, answer, sizeof(answer));
	c->serving = false;
	if (len) {
		c->sought--;
		put(c, answer, len);
	}
}

/* Whole messages that have come, false: none, or not now. */
static bool take(struct dns_tcp *c)
{
	size_t at = 0;

	while (c->in.n - at >= 2 && c->sought < SOUGHT && unsent(c) < UNREAD) {
		const uint8_t *p = (const uint8_t *)c->in.v + at;
		size_t n = (size_t)p[0] << 8 | p[1];

		if (c->in.n - at - 2 < n)
			break;
		serve(c, p + 2, n);
		at += 2 + n;
	}
	if (at) {
		buf_shift(&c->in, at);
		rewind_idle(c);
	}
	return at > 0;
}

/* What is sent makes room for more answers, whose queries may be here already: nothing else would tell of them. */
static void go_on(struct dns_tcp *c)
{
	do {
		if (c->in.failed || c->out.failed || !flush(c)) {
			drop(c);
			return;
		}
	} while (take(c));
	if (c->ended && !c->sought && !unsent(c))
		drop(c);
	else
		watch(c);
}

void dns_tcp_send(struct dns_tcp *c, const uint8_t *p, size_t n)
{
	c->sought--;
	if (n)
		put(c, p, n);
	if (!c->serving)
		go_on(c);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct dns_tcp *c = io->data;
	char room[16384];
	ssize_t n = 0;

	(void)loop;
	if (events & EV_READ) {
		n = recv(io->fd, room, sizeof(room), 0);
		if (n > 0)
			buf_put(&c->in, room, (size_t)n);
		else if (n == 0)
			c->ended = true;
		else if (errno != EAGAIN && errno != EINTR) {
			drop(c);
			return;
		}
	}
	go_on(c);
}

/* A client that is still owed an answer waits for it, but no longer than any is sought. */
static void on_idle(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_tcp *c = t->data;

	(void)events;
	if (!c->sought || t->repeat >= IDLE_S) {
		drop(c);
		return;
	}
	t->repeat = IDLE_S;
	ev_timer_again(loop, t);
}

void dns_tcp_accept(struct dns_socket *s)
{
	struct dns_worker *w = s->worker;
	struct dns_tcp *c;
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(s->io.fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		set_accepting(w, false);
		ev_timer_start(w->loop, &w->rest);
	}
	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->worker = w;
	c->family = (uint8_t)from.ss_family;
	c->next = w->connections;
	c->prev = &w->connections;
	if (c->next)
		c->next->prev = &c->next;
	w->connections = c;
	ev_io_init(&c->io, on_ready, fd, EV_READ);
	ev_init(&c->idle, on_idle);
	c->io.data = c->idle.data = c;
	ev_io_start(w->loop, &c->io);
	if (++w->n_connections == CONNECTIONS)
		set_accepting(w, false);
	rewind_idle(c);
}

static void on_rest(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_worker *w = t->data;

	(void)loop;
	(void)events;
	if (w->n_connections < CONNECTIONS)
		set_accepting(w, true);
}

void dns_tcp_open(struct dns_worker *w)
{
	ev_timer_init(&w->rest, on_rest, REST_S, 0.);
	w->rest.data = w;
}

void dns_tcp_close(struct dns_worker *w)
{
	while (w->connections)
		drop(w->connections);
	if (w->loop)
		ev_timer_stop(w->loop, &w->rest);
}
