// SPDX-License-Identifier: Apache-2.0
/* stream: see stream.h. A libev watcher around a struct rstream (sys/sock.h), plus the law of
 * ending: however a stream ends, its owner hears of it once, from the loop, and may free it
 * in any of its callbacks. */
#include "daemon/stream.h"
#include "sys/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct stream {
	struct ev_loop *loop;
	const struct stream_ops *ops;
	void *arg;
	struct rstream rs;
	ev_io io;
	ev_timer end; /* fires at once: reports the end from the loop */
	struct err why;
	bool dead; /* `closed` is due or done: nothing is read or written any more */
	bool mute; /* the other side takes nothing more; what it sent still counts */
	bool paused, finishing;
	bool busy, freed; /* inside a callback; freed when it returns */
};

static void watch_for(struct stream *s)
{
	int events = 0;

	if (!s->dead && !s->paused)
		events |= EV_READ;
	if (!s->dead && rstream_wants_write(&s->rs))
		events |= EV_WRITE;
	if (ev_is_active(&s->io) && (s->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(s->loop, &s->io);
	ev_io_set(&s->io, s->rs.fd, events);
	if (events)
		ev_io_start(s->loop, &s->io);
}

static void destroy(struct stream *s)
{
	ev_io_stop(s->loop, &s->io);
	ev_timer_stop(s->loop, &s->end);
	rstream_fini(&s->rs);
	free(s);
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	/* A process that ends has no loop to write what it said last. */
	if (!s->dead && !s->mute)
		rstream_flush(&s->rs, NULL);
	s->dead = true;
	if (s->busy)
		s->freed = true;
	else
		destroy(s);
}

static void die(struct stream *s, const struct err *why)
{
	if (s->dead)
		return;
	s->dead = true;
	s->why = *why;
	watch_for(s);
	ev_timer_start(s->loop, &s->end);
}

static void on_end(struct ev_loop *loop, ev_timer *w, int events)
{
	struct stream *s = w->data;

	(void)loop;
	(void)events;
	s->busy = true;
	s->ops->closed(s, &s->why);
	s->busy = false;
	if (s->freed)
		destroy(s);
}

/* Hands out all whole frames, then judges the end. */
static void read_frames(struct stream *s)
{
	struct err e = { 0 };
	struct rframe f;
	int rc = 0;

	while (!s->dead && !s->paused && (rc = rstream_next(&s->rs, &f, &e)) > 0)
		s->ops->frame(s, f.type, &f.body, f.fd);
	if (rc < 0)
		die(s, &e);
	if (rc == 0 && s->rs.eof && !s->dead && !s->paused)
		die(s, &e);
}

static void write_frames(struct stream *s)
{
	struct err e = { 0 };

	if (!rstream_wants_write(&s->rs))
		return;
	if (rstream_flush(&s->rs, &e)) {
		/* What it sent before it closed still counts; reading finds the end. */
		s->mute = true;
		if (s->paused || e.code != -EPIPE)
			die(s, &e);
		return;
	}
	if (rstream_wants_write(&s->rs))
		return;
	if (s->finishing)
		die(s, &e);
	else if (s->ops->drained)
		s->ops->drained(s);
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
	struct stream *s = w->data;
	struct err e = { 0 };

	(void)loop;
	s->busy = true;
	if (events & EV_WRITE && !s->mute)
		write_frames(s);
	if (events & EV_READ && !s->dead) {
		if (!s->paused && rstream_fill(&s->rs, &e))
			die(s, &e);
		read_frames(s);
	}
	s->busy = false;
	if (s->freed)
		destroy(s);
	else
		watch_for(s);
}

/* After a put: wakes the loop, or ends the stream whose reader does not read. */
static int queued(struct stream *s, int rc, const struct err *e)
{
	if (rc == -ENOBUFS)
		die(s, e);
	if (!rc)
		watch_for(s);
	return rc;
}

static int writable(const struct stream *s, struct err *e)
{
	if (s->dead || s->mute || s->finishing)
		return err_set(e, -EPIPE, "record stream: closed");
	return 0;
}

int stream_send(struct stream *s, unsigned type, const struct schema *schema, const void *body,
		int fd, struct err *e)
{
	struct err why = { 0 };
	int rc = writable(s, e);

	if (rc)
		return rc;
	rc = rstream_put(&s->rs, type, schema ? schema : record_schema(type), body, fd, &why);
	if (rc && e)
		*e = why;
	return queued(s, rc, &why);
}

int stream_send_frame(struct stream *s, const void *frame, size_t n, struct err *e)
{
	struct err why = { 0 };
	int rc = writable(s, e);

	if (rc)
		return rc;
	rc = rstream_put_frame(&s->rs, frame, n, -1, &why);
	if (rc && e)
		*e = why;
	return queued(s, rc, &why);
}

struct stream *stream_new(struct ev_loop *loop, int fd, const struct stream_ops *ops, void *arg,
			  struct err *e)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		err_set(e, -ENOMEM, "record stream: no memory");
		return NULL;
	}
	if (rstream_init(&s->rs, fd, e)) {
		free(s);
		return NULL;
	}
	s->rs.out_limit = STREAM_LIMIT;
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	ev_io_init(&s->io, on_io, s->rs.fd, EV_READ);
	ev_timer_init(&s->end, on_end, 0., 0.);
	s->io.data = s->end.data = s;
	ev_io_start(loop, &s->io);
	return s;
}

void *stream_arg(const struct stream *s)
{
	return s->arg;
}

int stream_fd(const struct stream *s)
{
	return s->rs.fd;
}

size_t stream_queued(const struct stream *s)
{
	return rstream_queued(&s->rs);
}

void stream_set_limit(struct stream *s, size_t bytes)
{
	s->rs.out_limit = bytes;
}

void stream_pause(struct stream *s, bool pause)
{
	s->paused = pause;
	watch_for(s);
	/* Frames that came before the pause are in our buffer, where no event finds them. */
	if (!pause && !s->dead)
		stream_look(s);
}

void stream_look(struct stream *s)
{
	ev_feed_event(s->loop, &s->io, EV_READ);
}

void stream_finish(struct stream *s)
{
	struct err e = { 0 };

	s->finishing = true;
	if (s->dead)
		return;
	if (!rstream_wants_write(&s->rs))
		die(s, &e);
	else if (!s->mute)
		write_frames(s); /* the last word waits for no other event */
}
