// SPDX-License-Identifier: Apache-2.0
/* httpd: see httpd.h. A connection reads its request, writes its response, says that it wrote
 * all, and waits for the other side to close: closing first, with bytes unread, would make the
 * kernel throw away the response at the other side (RFC 9112, section 9.6). One timer bounds
 * each of these phases. Out of descriptors or memory nothing is accepted for a moment: the
 * listeners stay readable then. */
#include "daemon/httpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_S 1.
#define REST_S   0.1

enum phase { READING, WRITING, LINGERING };

struct httpd_conn {
	struct httpd *h;
	struct httpd_conn *next, **prev;
	enum phase phase;
	ev_io io;
	ev_timer limit;
	struct buf in, out;
	size_t sent;
};

static void set_accepting(struct httpd *h, bool on)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		if (on)
			ev_io_start(h->loop, &h->listeners[i]);
		else
			ev_io_stop(h->loop, &h->listeners[i]);
	}
}

static void conn_free(struct httpd_conn *c)
{
	struct httpd *h = c->h;

	ev_io_stop(h->loop, &c->io);
	ev_timer_stop(h->loop, &c->limit);
	close(c->io.fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
	h->n_conns--;
	if (!ev_is_active(&h->rest))
		set_accepting(h, true);
}

static void enter(struct httpd_conn *c, enum phase phase, int events, double seconds)
{
	c->phase = phase;
	ev_io_stop(c->h->loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	ev_io_start(c->h->loop, &c->io);
	ev_timer_stop(c->h->loop, &c->limit);
	ev_timer_set(&c->limit, seconds, 0.);
	ev_timer_start(c->h->loop, &c->limit);
}

static void answer(struct httpd_conn *c, int status, const struct http_request *r)
{
	struct http_answer a = { .status = status, .type = "text/plain; charset=utf-8" };

	if (!status)
		c->h->ops->page(c->h->arg, r->path, &a);
	else
		buf_printf(&a.body, "%s\n", http_reason(status));
	http_response(&c->out, &a, r->method != HTTP_HEAD);
	buf_fini(&a.body);
	enter(c, WRITING, EV_WRITE, HTTPD_RESPONSE_S);
}

/* Both give false when the connection is over. */
static bool on_readable(struct httpd_conn *c)
{
	struct http_request r;
	char chunk[2048];
	ssize_t n = recv(c->io.fd, chunk, sizeof(chunk), 0);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	if (c->phase == LINGERING)
		return true;
	buf_put(&c->in, chunk, (size_t)n);
	if (c->in.failed)
		return false;
	status = http_parse(c->in.v, c->in.n, &r);
	if (status != -EAGAIN)
		answer(c, status, &r);
	return true;
}

static bool on_writable(struct httpd_conn *c)
{
	ssize_t n;

	if (c->out.failed)
		return false;
	n = send(c->io.fd, c->out.v + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0)
		return false;
	c->sent += (size_t)n;
	if (c->sent < c->out.n)
		return true;
	if (shutdown(c->io.fd, SHUT_WR) < 0)
		return false;
	enter(c, LINGERING, EV_READ, LINGER_S);
	return true;
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
	struct httpd_conn *c = w->data;

	(void)loop;
	(void)events;
	if (!(c->phase == WRITING ? on_writable(c) : on_readable(c)))
		conn_free(c);
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	conn_free(w->data);
}

/* ---- accepting */

static void on_rest(struct ev_loop *loop, ev_timer *w, int events)
{
	struct httpd *h = w->data;

	(void)loop;
	(void)events;
	if (h->n_conns < h->most)
		set_accepting(h, true);
}

static bool is_served(const struct httpd *h, int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t n = sizeof(at);
	struct ipaddr to = { 0 };

	if (!h->ops->serves)
		return true;
	if (getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return false;
	to.family = (uint8_t)at.ss_family;
	if (at.ss_family == AF_INET)
		memcpy(to.b, &((struct sockaddr_in *)&at)->sin_addr, 4);
	else
		memcpy(to.b, &((struct sockaddr_in6 *)&at)->sin6_addr, 16);
	return h->ops->serves(h->arg, &to);
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct httpd *h = w->data;
	struct httpd_conn *c;
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		set_accepting(h, false);
		ev_timer_set(&h->rest, REST_S, 0.);
		ev_timer_start(loop, &h->rest);
	}
	if (fd < 0)
		return;
	c = is_served(h, fd) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		reset(fd);
		return;
	}
	c->h = h;
	c->prev = &h->conns;
	c->next = h->conns;
	if (c->next)
		c->next->prev = &c->next;
	h->conns = c;
	ev_io_init(&c->io, on_io, fd, EV_READ);
	ev_init(&c->limit, on_limit);
	c->io.data = c->limit.data = c;
	enter(c, READING, EV_READ, HTTPD_REQUEST_S);
	if (++h->n_conns == h->most)
		set_accepting(h, false);
}

void httpd_init(struct httpd *h, struct ev_loop *loop, const struct httpd_ops *ops, void *arg,
		size_t most)
{
	*h = (struct httpd){ .loop = loop, .ops = ops, .arg = arg, .most = most };
	ev_init(&h->rest, on_rest);
	h->rest.data = h;
}

void httpd_listen(struct httpd *h, int fd)
{
	ev_io *w;

	if (h->n_listeners == HTTPD_LISTENERS) {
		close(fd);
		return;
	}
	w = &h->listeners[h->n_listeners++];
	ev_io_init(w, on_accept, fd, EV_READ);
	w->data = h;
	ev_io_start(h->loop, w);
}

void httpd_fini(struct httpd *h)
{
	while (h->conns)
		conn_free(h->conns);
	ev_timer_stop(h->loop, &h->rest);
	set_accepting(h, false);
	for (size_t i = 0; i < h->n_listeners; i++)
		close(h->listeners[i].fd);
	h->n_listeners = 0;
}
