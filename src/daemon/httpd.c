// SPDX-License-Identifier: Apache-2.0
/* httpd: see httpd.h. A connection reads its request, writes its response, says that it wrote
 * all, and waits for the other side to close: closing first, with bytes unread, would make the
 * kernel throw away the response at the other side (RFC 9112, section 9.6). One timer bounds
 * each of these phases. */
#include "daemon/httpd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_S 1.

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
	const char *type = "text/plain; charset=utf-8";
	struct buf body = { 0 };

	buf_puts(&body, "");
	if (!status)
		status = c->h->page(c->h->arg, r->path, &body, &type);
	else
		buf_printf(&body, "%s\n", http_reason(status));
	http_response(&c->out, status, type, r->method == HTTP_HEAD ? NULL : body.v, body.n);
	c->out.failed |= body.failed;
	buf_fini(&body);
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

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct httpd *h = w->data;
	struct httpd_conn *c;
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)loop;
	(void)events;
	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
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
	if (++h->n_conns == HTTPD_CONNECTIONS)
		set_accepting(h, false);
}

void httpd_init(struct httpd *h, struct ev_loop *loop, httpd_page_fn *page, void *arg)
{
	*h = (struct httpd){ .loop = loop, .page = page, .arg = arg };
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
	set_accepting(h, false);
	for (size_t i = 0; i < h->n_listeners; i++)
		close(h->listeners[i].fd);
	h->n_listeners = 0;
}
