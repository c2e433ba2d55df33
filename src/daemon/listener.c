// SPDX-License-Identifier: Apache-2.0
/* listener: see listener.h. */
#include "daemon/listener.h"
#include "base/log.h"
#include "sys/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Accepts while there is room and no rest to take. */
static void watch(struct listener *l)
{
	if (l->io.fd >= 0 && l->n < l->ops->max && !ev_is_active(&l->rest))
		ev_io_start(l->loop, &l->io);
	else
		ev_io_stop(l->loop, &l->io);
}

static void drop(struct client *c)
{
	struct listener *l = c->listener;

	l->ops->closed(c);
	ev_timer_stop(l->loop, &c->limit);
	stream_free(c->stream);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
	l->n--;
	watch(l);
}

/* ---- one client */

static void bound_time(struct client *c, ev_tstamp seconds)
{
	ev_timer_stop(c->listener->loop, &c->limit);
	ev_timer_set(&c->limit, seconds, 0.);
	ev_timer_start(c->listener->loop, &c->limit);
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	struct client *c = w->data;

	(void)loop;
	(void)events;
	log_info("%s: a client %s; dropped", c->listener->ops->name,
		 c->asked ? "did not take its answer" : "did not ask anything");
	drop(c);
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct client *c = stream_arg(s);

	if (c->asked || type != c->listener->ops->request) {
		if (fd >= 0)
			close(fd);
		/* What it asked before, it may still hear; who never asked says nothing to us. */
		if (!c->asked)
			stream_finish(s);
		return;
	}
	c->asked = true;
	ev_timer_stop(c->listener->loop, &c->limit);
	c->listener->ops->asked(c, body, fd);
}

static void on_closed(struct stream *s, const struct err *e)
{
	(void)e;
	drop(stream_arg(s));
}

void client_finish(struct client *c)
{
	bound_time(c, c->listener->answer_s);
	stream_finish(c->stream);
}

/* ---- accepting */

static void accept_one(struct listener *l, int fd)
{
	static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };
	struct client *c = calloc(1, l->ops->size);
	struct err e;

	if (!c) {
		close(fd);
		log_error("%s: no memory for a client", l->ops->name);
		return;
	}
	c->stream = stream_new(l->loop, fd, &ops, c, &e);
	if (!c->stream) {
		log_error("%s: %s", l->ops->name, e.text);
		free(c);
		return;
	}
	c->listener = l;
	ev_timer_init(&c->limit, on_limit, 0., 0.);
	/* After whatever came from the client in the same turn. */
	ev_set_priority(&c->limit, EV_MINPRI);
	c->limit.data = c;
	c->next = l->clients;
	c->prev = &l->clients;
	if (c->next)
		c->next->prev = &c->next;
	l->clients = c;
	l->n++;
	bound_time(c, l->request_s);
	l->ops->opened(c);
	stream_look(c->stream); /* else a busy loop takes another turn first */
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct listener *l = w->data;
	struct err e;
	int fd = sock_accept(w->fd, &e);

	(void)events;
	if (fd == -EAGAIN)
		return;
	if (fd < 0) {
		if (!l->short_of)
			log_error("%s: %s; clients wait until that is over", l->ops->name, e.text);
		l->short_of = true;
		ev_timer_set(&l->rest, LISTENER_REST_S, 0.);
		ev_timer_start(loop, &l->rest);
	} else {
		l->short_of = false;
		accept_one(l, fd);
	}
	watch(l);
}

static void on_rested(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	watch(w->data);
}

/* ---- life */

void listener_init(struct listener *l, struct ev_loop *loop, const struct listener_ops *ops,
		   void *arg)
{
	*l = (struct listener){ .ops = ops,
				.loop = loop,
				.arg = arg,
				.request_s = LISTENER_REQUEST_S,
				.answer_s = LISTENER_ANSWER_S };
	ev_io_init(&l->io, on_readable, -1, EV_READ);
	ev_timer_init(&l->rest, on_rested, 0., 0.);
	l->io.data = l->rest.data = l;
}

void listener_start(struct listener *l, int fd)
{
	ev_io_set(&l->io, fd, EV_READ);
	watch(l);
}

void listener_fini(struct listener *l)
{
	int fd = l->io.fd;

	ev_io_stop(l->loop, &l->io);
	ev_timer_stop(l->loop, &l->rest);
	l->io.fd = -1; /* accepts no more while the clients leave */
	while (l->clients)
		drop(l->clients);
	if (fd >= 0)
		close(fd);
}
