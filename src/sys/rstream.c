// SPDX-License-Identifier: Apache-2.0
/* rstream: records over a unix socket; see sock.h.
 *
 * Which frame does a descriptor belong to? Sending: a frame with a descriptor begins its own
 * sendmsg(2), which holds nothing after it. Receiving: the kernel never reads past the bytes
 * that carry descriptors (unix(7): ancillary data is a barrier), so the last byte of a
 * recvmsg(2) lies in the frame that the descriptor belongs to. Each descriptor is remembered
 * with the stream offset of that byte and leaves with the frame that covers it.
 *
 * On SOCK_SEQPACKET a datagram is one frame and the same bookkeeping holds. */
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FILL_MAX  (32u << 10)  /* per rstream_fill(), so that one peer cannot hold the loop */
#define READ_SIZE (128u << 10) /* no datagram is longer */
#define SEND_MAX  (256u << 10)
#define TIDY_SIZE (64u << 10)

int rstream_init(struct rstream *s, int fd, struct err *e)
{
	socklen_t len = sizeof(int);
	int type = 0, flags;

	*s = (struct rstream){ .fd = -1 };
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    (flags = fcntl(fd, F_GETFL)) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int rc = err_sys(e, -errno, "record stream on descriptor %d", fd);

		close(fd);
		return rc;
	}
	s->fd = fd;
	s->packets = type == SOCK_SEQPACKET;
	s->out_limit = RSTREAM_QUEUE;
	return 0;
}

void rstream_fini(struct rstream *s)
{
	for (size_t i = 0; i < s->out_nfds; i++)
		close(s->out_fds[i].fd);
	for (size_t i = 0; i < s->in_nfds; i++)
		close(s->in_fds[i].fd);
	free(s->out_fds);
	buf_fini(&s->in);
	buf_fini(&s->out);
	/* A zeroed struct never held a descriptor; out_limit tells it from one that did. */
	if (s->out_limit && s->fd >= 0)
		close(s->fd);
	*s = (struct rstream){ .fd = -1 };
}

size_t rstream_queued(const struct rstream *s)
{
	return s->out.n - s->out_sent;
}

bool rstream_wants_write(const struct rstream *s)
{
	return rstream_queued(s) > 0;
}

/* ---- out */

/* A descriptor for the frame that begins at `at` in out.v. */
static int queue_fd(struct rstream *s, int fd, size_t at, struct err *e)
{
	if (s->out_nfds == s->out_capfds) {
		size_t cap = s->out_capfds ? 2 * s->out_capfds : 8;
		struct rstream_fd *v = reallocarray(s->out_fds, cap, sizeof(*v));

		if (!v)
			return err_sys(e, -ENOMEM, "record stream");
		s->out_fds = v;
		s->out_capfds = cap;
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(e, -errno, "record stream: descriptor to pass");
	s->out_fds[s->out_nfds++] = (struct rstream_fd){ s->out_at + (at - s->out_sent), fd };
	return 0;
}

static void tidy_out(struct rstream *s)
{
	if (s->out_sent == s->out.n) {
		s->out_sent = 0;
		buf_clear(&s->out);
	} else if (s->out_sent >= TIDY_SIZE && s->out_sent >= s->out.n / 2) {
		buf_shift(&s->out, s->out_sent);
		s->out_sent = 0;
	}
}

/* The frame that was appended at `start` stays if its descriptor and the limit allow it. */
static int commit(struct rstream *s, size_t start, int fd, struct err *e)
{
	int rc = 0;

	if (s->out.failed)
		return err_sys(e, -ENOMEM, "record stream");
	if (rstream_queued(s) > s->out_limit)
		rc = err_set(e, -ENOBUFS, "record stream: the peer does not read, %zu bytes wait",
			     rstream_queued(s));
	if (!rc && fd >= 0)
		rc = queue_fd(s, fd, start, e);
	if (rc)
		s->out.n = start;
	return rc;
}

/* Whole length of the queued frame that begins at p. Written by record_put(): trusted. */
static size_t frame_len(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return 4 + ((size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3]);
}

int rstream_put(struct rstream *s, unsigned type, const struct schema *schema, const void *body,
		int fd, struct err *e)
{
	size_t start;
	int rc;

	tidy_out(s);
	start = s->out.n;
	rc = record_put(&s->out, type, schema, body, e);
	if (rc) {
		s->out.n = start;
		return rc;
	}
	return commit(s, start, fd, e);
}

int rstream_put_frame(struct rstream *s, const void *frame, size_t n, int fd, struct err *e)
{
	size_t start;

	if (n < RECORD_HEADER || frame_len(frame) != n)
		return err_set(e, -EINVAL, "record stream: not one frame");
	tidy_out(s);
	start = s->out.n;
	buf_put(&s->out, frame, n);
	return commit(s, start, fd, e);
}

/* How much the next sendmsg may hold: a frame alone where it is a datagram or carries a
 * descriptor, else up to the next frame that carries one. */
static size_t chunk_len(const struct rstream *s, int *fd)
{
	const char *p = s->out.v + s->out_sent;
	size_t left = rstream_queued(s);

	*fd = s->out_nfds && s->out_fds[0].at == s->out_at ? s->out_fds[0].fd : -1;
	if (s->packets || *fd >= 0)
		return frame_len(p);
	if (s->out_nfds && s->out_fds[0].at - s->out_at < left)
		left = (size_t)(s->out_fds[0].at - s->out_at);
	return left < SEND_MAX ? left : SEND_MAX;
}

static ssize_t send_chunk(int sock, const char *p, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)p, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t put;

	if (fd >= 0) {
		msg.msg_control = ctl.room;
		msg.msg_controllen = sizeof(ctl.room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		put = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (put < 0 && errno == EINTR);
	return put;
}

int rstream_flush(struct rstream *s, struct err *e)
{
	while (rstream_queued(s)) {
		int fd;
		size_t n = chunk_len(s, &fd);
		ssize_t put = send_chunk(s->fd, s->out.v + s->out_sent, n, fd);

		if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (put < 0)
			return err_sys(e, -errno, "record stream: send");
		if (fd >= 0) {
			close(fd);
			memmove(s->out_fds, s->out_fds + 1, --s->out_nfds * sizeof(*s->out_fds));
		}
		s->out_sent += (size_t)put;
		s->out_at += (uint64_t)put;
	}
	tidy_out(s);
	return 0;
}

/* ---- in */

static void take_fds(struct rstream *s, struct msghdr *msg, uint64_t last, bool *overrun)
{
	*overrun = msg->msg_flags & MSG_CTRUNC;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (s->in_nfds < RSTREAM_FDS) {
				s->in_fds[s->in_nfds++] = (struct rstream_fd){ last, fd };
			} else {
				close(fd);
				*overrun = true;
			}
		}
	}
}

/* One recvmsg. 1: there may be more; 0: nothing now, or the end; negative: broken. */
static int fill_once(struct rstream *s, char *scratch, size_t room, size_t *got, struct err *e)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(RSTREAM_FDS * sizeof(int))];
	} ctl;
	struct iovec iov = { scratch, s->packets ? room : FILL_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = ctl.room,
			      .msg_controllen = sizeof(ctl.room) };
	bool overrun;
	ssize_t n;

	do
		n = recvmsg(s->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return err_sys(e, -errno, "record stream: receive");
	if (n <= 0) {
		s->eof = true;
		return 0;
	}
	take_fds(s, &msg, s->in_at + s->in.n + (uint64_t)n - 1, &overrun);
	if (overrun)
		return err_set(e, -EPROTO, "record stream: more descriptors than frames");
	if (msg.msg_flags & MSG_TRUNC)
		return err_set(e, -EPROTO, "record stream: datagram over %zu bytes", room);
	buf_put(&s->in, scratch, (size_t)n);
	if (s->in.failed)
		return err_sys(e, -ENOMEM, "record stream");
	*got += (size_t)n;
	return 1;
}

int rstream_fill(struct rstream *s, struct err *e)
{
	char scratch[READ_SIZE];
	size_t got = 0;
	int rc = 1;

	if (s->in_used) {
		buf_shift(&s->in, s->in_used);
		s->in_at += s->in_used;
		s->in_used = 0;
	}
	if (s->eof)
		return 0;
	/* No read brings more than one frame's descriptor: what has no room for another is given out first. */
	while (rc > 0 && got < FILL_MAX && s->in.n < RECORD_MAX + FILL_MAX &&
	       s->in_nfds < RSTREAM_FDS)
		rc = fill_once(s, scratch, sizeof(scratch), &got, e);
	return rc < 0 ? rc : 0;
}

/* The descriptor of the frame at stream offsets [from, to). */
static int claim_fd(struct rstream *s, uint64_t from, uint64_t to, int *fd, struct err *e)
{
	*fd = -1;
	if (!s->in_nfds || s->in_fds[0].at >= to)
		return 0;
	if (s->in_fds[0].at < from || (s->in_nfds > 1 && s->in_fds[1].at < to))
		return err_set(e, -EPROTO, "record stream: more than one descriptor in a frame");
	*fd = s->in_fds[0].fd;
	memmove(s->in_fds, s->in_fds + 1, --s->in_nfds * sizeof(*s->in_fds));
	return 0;
}

int rstream_next(struct rstream *s, struct rframe *f, struct err *e)
{
	const uint8_t *p = (const uint8_t *)s->in.v + s->in_used;
	uint64_t from = s->in_at + s->in_used;
	struct rframe got;
	int n, rc;

	if (s->in_used == s->in.n)
		return 0;
	n = record_next(p, s->in.n - s->in_used, &got.type, &got.body, e);
	if (n < 0)
		return n;
	if (n == 0 && s->packets)
		return err_set(e, -EPROTO, "record stream: datagram with part of a frame");
	if (n == 0)
		return 0;
	rc = claim_fd(s, from, from + (uint64_t)n, &got.fd, e);
	if (rc)
		return rc;
	s->in_used += (size_t)n;
	*f = got;
	return 1;
}

/* ---- blocking */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };
	int rc;

	do {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();

		rc = poll(&p, 1, deadline < 0 ? -1 : left > 0 ? (int)left : 0);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys(e, -errno, "record stream: poll");
	return rc ? 0 : err_set(e, -ETIMEDOUT, "record stream: no answer in time");
}

static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int rstream_drain(struct rstream *s, int timeout_ms, struct err *e)
{
	int64_t deadline = deadline_of(timeout_ms);
	int rc = rstream_flush(s, e);

	while (!rc && rstream_wants_write(s)) {
		rc = wait_for(s->fd, POLLOUT, deadline, e);
		if (!rc)
			rc = rstream_flush(s, e);
	}
	return rc;
}

int rstream_recv(struct rstream *s, struct rframe *f, int timeout_ms, struct err *e)
{
	int64_t deadline = deadline_of(timeout_ms);

	for (;;) {
		int rc = rstream_next(s, f, e);

		if (rc)
			return rc < 0 ? rc : 0;
		if (s->eof)
			return err_set(e, -ECONNRESET, "record stream: closed by the peer");
		rc = rstream_flush(s, e);
		/* What the peer said before it closed is still worth reading. */
		if (rc && rc != -EPIPE && rc != -ECONNRESET)
			return rc;
		if (rc) {
			s->out_sent = s->out.n;
			tidy_out(s);
		}
		rc = wait_for(s->fd, (short)(POLLIN | (rstream_wants_write(s) ? POLLOUT : 0)),
			      deadline, e);
		if (!rc)
			rc = rstream_fill(s, e);
		if (rc)
			return rc;
	}
}
