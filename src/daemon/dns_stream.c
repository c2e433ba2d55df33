// SPDX-License-Identifier: Apache-2.0
/* Questions to upstreams by TCP (RFC 7766): each has its connection, on which one message goes out, and one comes back or none does. */
#include "base/buf.h"
#include "daemon/dns_worker.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct dns_stream {
	struct dns_streams *all;
	struct dns_stream *next, **prev;
	uint32_t id;
	ev_io io;
	struct buf in, out;
	size_t sent;
};

/* rtnetlink would be the other way to ask; one number needs no more than this. */
static uint32_t scope_of(int fd, const char *name)
{
	struct ifreq r = { 0 };
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	if (*name && !*end)
		return (uint32_t)n;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	return ioctl(fd, SIOCGIFINDEX, &r) < 0 ? 0 : (uint32_t)r.ifr_ifindex;
}

int dns_upstream_socket(const struct dns_server *s, int type)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(s->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(s->port) };
	bool is_six = s->addr.family == AF_INET6;
	int fd = socket(s->addr.family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (is_six) {
		memcpy(&six.sin6_addr, s->addr.b, 16);
		six.sin6_scope_id = s->scope[0] ? scope_of(fd, s->scope) : 0;
	} else {
		memcpy(&four.sin_addr, s->addr.b, 4);
	}
	if (connect(fd, is_six ? (void *)&six : (void *)&four,
		    is_six ? sizeof(six) : sizeof(four)) < 0 &&
	    errno != EINPROGRESS) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static void close_stream(struct dns_stream *s)
{
	ev_io_stop(s->all->loop, &s->io);
	close(s->io.fd);
	buf_fini(&s->in);
	buf_fini(&s->out);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	free(s);
}

static bool write_stream(struct dns_stream *s)
{
	while (s->sent < s->out.n) {
		ssize_t n = send(s->io.fd, s->out.v + s->sent, s->out.n - s->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		s->sent += (size_t)n;
	}
	ev_io_stop(s->all->loop, &s->io);
	ev_io_set(&s->io, s->io.fd, EV_READ);
	ev_io_start(s->all->loop, &s->io);
	return true;
}

/* The length of the message that is there, and its own two octets; 0: not yet; negative: none will come. */
static int read_stream(struct dns_stream *s)
{
	char room[8192];
	ssize_t n = recv(s->io.fd, room, sizeof(room), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	buf_put(&s->in, room, (size_t)n);
	if (s->in.failed)
		return -ENOMEM;
	return dns_frame_next((const uint8_t *)s->in.v, s->in.n);
}

static void on_stream(struct ev_loop *loop, ev_io *io, int events)
{
	struct dns_stream *s = io->data;
	struct dns_streams *all = s->all;
	uint32_t id = s->id;
	struct buf in;
	int got = 0;

	(void)loop;
	if (events & EV_WRITE && !write_stream(s))
		got = -ECONNRESET;
	else if (events & EV_READ)
		got = read_stream(s);
	if (!got)
		return;
	in = s->in;
	s->in = (struct buf){ 0 };
	close_stream(s);
	if (got > 0)
		all->got(id, (const uint8_t *)in.v + DNS_FRAME, (size_t)got - DNS_FRAME, all->arg);
	else
		all->got(id, NULL, 0, all->arg);
	buf_fini(&in);
}

void dns_stream_send(struct dns_streams *all, const struct dns_server *to, uint32_t id,
		     const uint8_t *v, size_t n)
{
	int fd = dns_upstream_socket(to, SOCK_STREAM);
	struct dns_stream *s = fd < 0 ? NULL : calloc(1, sizeof(*s));
	uint8_t length[DNS_FRAME];

	if (!s) { /* its time runs out */
		if (fd >= 0)
			close(fd);
		return;
	}
	s->all = all;
	s->id = id;
	s->next = all->first;
	s->prev = &all->first;
	if (s->next)
		s->next->prev = &s->next;
	all->first = s;
	dns_frame_put(length, n);
	buf_put(&s->out, length, DNS_FRAME);
	buf_put(&s->out, v, n);
	ev_io_init(&s->io, on_stream, fd, EV_READ | EV_WRITE);
	s->io.data = s;
	ev_io_start(all->loop, &s->io);
}

void dns_stream_end(struct dns_streams *all, uint32_t id)
{
	struct dns_stream *s = all->first;

	while (s && s->id != id)
		s = s->next;
	if (s)
		close_stream(s);
}

void dns_streams_close(struct dns_streams *all)
{
	while (all->first)
		close_stream(all->first);
}
