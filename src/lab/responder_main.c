// SPDX-License-Identifier: Apache-2.0
/* lab-responder: the built-in server of a lab pod, of `outside`, and of nodes while a matrix is
 * made. Serves every PROTO:PORT it is given in the network namespace it is started in.
 *
 *     lab-responder [--skip-taken] NAME [sctp] PROTO:PORT...
 *
 * Standard input is the lab's lifeline (see pause.c). When it serves, it writes one line to
 * standard output: "ready", or why it cannot. A port that another server holds is an error,
 * with --skip-taken it is left to that one. Ports of SCTP that nobody serves are refused as soon
 * as one is given, or the word `sctp`: the kernel does not, while somebody has a raw socket of SCTP
 * that matches the packet, as a prober has, and then silence would look like a policy. Pods on their
 * node's network are several in one namespace: who serves a port of SCTP has an abstract socket
 * there that is named after it. Clients are few and friendly; at the limit of open files the
 * kernel's queue makes new ones wait. */
#include "base/arena.h"
#include "base/sctp.h"
#include "lab/endpoint.h"
#include "lab/responder.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

enum source_kind { SRC_LIFELINE, SRC_LISTEN, SRC_UDP, SRC_SCTP, SRC_CLIENT };

struct source {
	uint8_t kind; /* enum source_kind */
	int fd;
	struct buf in, out;
	bool closing;
	struct responder_who who;
};

struct server {
	const char *name;
	int epoll;
	bool sctp;                     /* open */
	uint8_t sctp_ports[65536 / 8]; /* that we serve */
	char *datagram;                /* RESPONDER_BODY_MAX bytes */
};

static struct source *watch(struct server *s, enum source_kind kind, int fd)
{
	struct source *src = calloc(1, sizeof(*src));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = src };

	if (!src)
		return NULL;
	src->kind = kind;
	src->fd = fd;
	src->who.name = s->name;
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(src);
		return NULL;
	}
	return src;
}

static void drop(struct source *c)
{
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

/* ---- TCP */

static void accept_clients(struct server *s, struct source *listener)
{
	for (;;) {
		struct sockaddr_storage peer, self;
		socklen_t plen = sizeof(peer), slen = sizeof(self);
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &plen,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct source *c;

		if (fd < 0)
			return;
		c = watch(s, SRC_CLIENT, fd);
		if (!c) {
			close(fd);
			continue;
		}
		if (getsockname(fd, (struct sockaddr *)&self, &slen) < 0)
			self = peer;
		ep_str(&peer, c->who.client);
		ep_str(&self, c->who.self);
	}
}

/* False: the connection is over and was freed. */
static bool flush(struct server *s, struct source *c)
{
	struct epoll_event ev = { .data.ptr = c };

	while (c->out.n) {
		ssize_t n = send(c->fd, c->out.v, c->out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			drop(c);
			return false;
		}
		buf_shift(&c->out, (size_t)n);
	}
	if (c->closing && !c->out.n) {
		drop(c);
		return false;
	}
	/* A client that does not read its answers is not read either. */
	ev.events = c->out.n ? EPOLLOUT : EPOLLIN;
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
	return true;
}

static void serve_client(struct server *s, struct source *c)
{
	char chunk[16384];
	ssize_t n;

	if (c->out.n && !flush(s, c))
		return;
	n = recv(c->fd, chunk, sizeof(chunk), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		drop(c);
		return;
	}
	if (n > 0)
		buf_put(&c->in, chunk, (size_t)n);
	while (c->in.n && !c->closing) {
		long took = responder_tcp(&c->who, c->in.v, c->in.n, &c->out);

		if (took == 0)
			break;
		if (took < 0)
			c->closing = true;
		else
			buf_shift(&c->in, (size_t)took);
	}
	if (c->in.failed || c->out.failed)
		drop(c);
	else
		flush(s, c);
}

/* ---- ports of SCTP that somebody in this namespace serves */

static int port_socket(uint16_t port, struct sockaddr_un *a, socklen_t *len)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1);
	*len += (socklen_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "lab-sctp:%u", port);
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Until the process ends. */
static int claim(uint16_t port)
{
	struct sockaddr_un a;
	socklen_t len;
	int fd = port_socket(port, &a, &len), rc = -errno;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) == 0)
		return fd < 0 ? rc : 0;
	rc = -errno;
	close(fd);
	return rc;
}

static bool is_claimed(uint16_t port)
{
	struct sockaddr_un a;
	socklen_t len;
	int fd = port_socket(port, &a, &len);
	bool claimed = fd >= 0 && connect(fd, (struct sockaddr *)&a, len) == 0;

	if (fd >= 0)
		close(fd);
	return claimed;
}

/* ---- datagrams */

static void serve_udp(struct server *s, struct source *u)
{
	struct sockaddr_storage from, self;
	struct buf out = { 0 };
	ssize_t n;

	while ((n = ep_recv(u->fd, s->datagram, RESPONDER_BODY_MAX, &from, &self)) >= 0) {
		ep_str(&from, u->who.client);
		ep_str(&self, u->who.self);
		buf_clear(&out);
		responder_udp(&u->who, s->datagram, (size_t)n, &out);
		if (!out.failed)
			ep_send(u->fd, out.v, out.n, &from, &self);
	}
	buf_fini(&out);
}

static void answer_init(struct server *s, struct source *u, const struct sctp_packet *in,
			struct sockaddr_storage *from, struct sockaddr_storage *self)
{
	struct sctp_packet ack = { .src = in->dst, .dst = in->src, .vtag = in->init_tag };
	bool open = s->sctp_ports[in->dst / 8] & 1 << in->dst % 8;
	uint8_t packet[SCTP_PACKET_MAX];
	struct ipaddr client = ep_ip(from), me = ep_ip(self);
	struct sockaddr_storage ss;

	if (!open && is_claimed(in->dst))
		return;
	ack.type = open ? SCTP_INIT_ACK : SCTP_ABORT;
	if (open && getrandom(&ack.init_tag, sizeof(ack.init_tag), 0) == sizeof(ack.init_tag)) {
		ep_addr(&client, in->src, &ss);
		ep_str(&ss, u->who.client);
		ep_addr(&me, in->dst, &ss);
		ep_str(&ss, u->who.self);
		ack.cookie_len =
			(uint16_t)snprintf((char *)ack.cookie, sizeof(ack.cookie), "%.100s@%s %s",
					   u->who.name, u->who.self, u->who.client);
	}
	ep_send(u->fd, packet, sctp_build(&ack, packet), from, self);
}

static void serve_sctp(struct server *s, struct source *u)
{
	struct sockaddr_storage from, self;
	struct sctp_packet p;
	ssize_t n;

	while ((n = ep_recv(u->fd, s->datagram, RESPONDER_BODY_MAX, &from, &self)) >= 0) {
		const uint8_t *data = (const uint8_t *)s->datagram;
		size_t skip = from.ss_family == AF_INET && n > 0 ? (data[0] & 15u) * 4u : 0;

		if ((size_t)n < skip || !sctp_parse(data + skip, (size_t)n - skip, &p))
			continue;
		/* The peer's port is in the packet; a raw socket's address has none. */
		if (p.type == SCTP_INIT)
			answer_init(s, u, &p, &from, &self);
	}
}

static int open_sctp(struct server *s, struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int on = 1, opened = 0;

	if (s->sctp)
		return 0;
	for (int i = 0; i < 2; i++) {
		int fd = socket(families[i], SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		if (families[i] == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
		opened += watch(s, SRC_SCTP, fd) != NULL;
	}
	s->sctp = opened;
	return opened ? 0 : err_sys(e, -errno, "raw socket for SCTP");
}

/* ---- start and loop */

static int open_port(struct server *s, const char *spec, bool skip_taken, struct err *e)
{
	const char *colon = strchr(spec, ':');
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
	bool tcp = !strncmp(spec, "tcp:", 4), udp = !strncmp(spec, "udp:", 4);
	int fd, rc;

	if (!strcmp(spec, "sctp"))
		return open_sctp(s, e);
	if (port < 1 || port > 65535)
		return err_set(e, -EINVAL, "%s: must be PROTO:PORT", spec);
	if (!strncmp(spec, "sctp:", 5)) {
		rc = claim((uint16_t)port);
		if (rc)
			return rc == -EADDRINUSE && skip_taken ? 0 : err_sys(e, rc, "%s", spec);
		s->sctp_ports[port / 8] |= (uint8_t)(1 << port % 8);
		return open_sctp(s, e);
	}
	if (!tcp && !udp)
		return err_set(e, -EINVAL, "%s: must be tcp, udp or sctp", spec);
	rc = ep_listen(tcp ? SOCK_STREAM : SOCK_DGRAM, (uint16_t)port, &fd, e);
	if (rc == -EADDRINUSE && skip_taken)
		return 0;
	if (rc)
		return err_wrap(e, "%s", spec);
	return watch(s, tcp ? SRC_LISTEN : SRC_UDP, fd) ? 0 : err_sys(e, -errno, "%s", spec);
}

static void serve(struct server *s, struct source *src)
{
	switch ((enum source_kind)src->kind) {
	case SRC_LIFELINE:
		exit(0);
	case SRC_LISTEN:
		accept_clients(s, src);
		break;
	case SRC_UDP:
		serve_udp(s, src);
		break;
	case SRC_SCTP:
		serve_sctp(s, src);
		break;
	case SRC_CLIENT:
		serve_client(s, src);
		break;
	}
}

int main(int argc, char **argv)
{
	static struct server s;
	struct epoll_event events[64];
	struct err e = { 0 };
	bool skip = argc > 1 && !strcmp(argv[1], "--skip-taken");
	int at = skip ? 2 : 1, rc = 0;

	if (argc <= at) {
		fprintf(stderr, "usage: lab-responder [--skip-taken] NAME [sctp] PROTO:PORT...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	s.name = argv[at];
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	s.datagram = malloc(RESPONDER_BODY_MAX);
	if (s.epoll < 0 || !s.datagram || !watch(&s, SRC_LIFELINE, STDIN_FILENO))
		rc = err_sys(&e, -errno, "epoll");
	for (int i = at + 1; !rc && i < argc; i++)
		rc = open_port(&s, argv[i], skip, &e);
	dprintf(STDOUT_FILENO, "%s\n", rc ? e.text : "ready");
	if (rc)
		return 1;
	close(STDOUT_FILENO);
	for (;;) {
		int n = epoll_wait(s.epoll, events, 64, -1);

		for (int i = 0; i < n; i++)
			serve(&s, events[i].data.ptr);
	}
}
