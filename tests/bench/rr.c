/* SPDX-License-Identifier: Apache-2.0 */
/* Request and response, one byte each, timed one by one.
 *
 *   rr serve PORT                       TCP and UDP, both families, until killed; says "ready"
 *   rr tcp|udp|connect ADDR PORT COUNT  prints p50 and p99 in nanoseconds
 *
 * tcp and udp keep one socket; connect opens a connection for each request. The client resets
 * what it opened (SO_LINGER 0), so that no port waits in TIME_WAIT. Pin both ends to one CPU when
 * comparing: otherwise the wake-up of an idle one is most of what is seen. */
#include "measure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_MAX 1000000
#define WARM_UP   200
#define PEERS_MAX 8

/* ---- server */

static int listener(int type, uint16_t port)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), off = 0, on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) ||
	    (type == SOCK_STREAM && listen(fd, 64)))
		die("bind");
	return fd;
}

static void echo_datagram(int fd)
{
	struct sockaddr_in6 peer;
	socklen_t len = sizeof(peer);
	char b;

	if (recvfrom(fd, &b, 1, 0, (struct sockaddr *)&peer, &len) == 1)
		sendto(fd, &b, 1, 0, (struct sockaddr *)&peer, len);
}

static void take_peer(int fd, struct pollfd *p, nfds_t *n)
{
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC), on = 1;

	if (peer < 0)
		return;
	if (*n == 2 + PEERS_MAX) {
		close(peer);
		return;
	}
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p[(*n)++] = (struct pollfd){ .fd = peer, .events = POLLIN };
}

static void serve(uint16_t port)
{
	struct pollfd p[2 + PEERS_MAX] = { { .fd = listener(SOCK_STREAM, port), .events = POLLIN },
					   { .fd = listener(SOCK_DGRAM, port), .events = POLLIN } };
	nfds_t n = 2;
	char b;

	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(p, n, -1) < 0)
			die("poll");
		for (nfds_t i = n; i-- > 2;)
			if (p[i].revents &&
			    (read(p[i].fd, &b, 1) != 1 || write(p[i].fd, &b, 1) != 1)) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (p[1].revents)
			echo_datagram(p[1].fd);
		if (p[0].revents)
			take_peer(p[0].fd, p, &n);
	}
}

/* ---- client */

struct target {
	struct sockaddr_storage addr;
	socklen_t len;
	int type;
};

static void parse(struct target *t, const char *addr, const char *port)
{
	struct sockaddr_in *v4 = (void *)&t->addr;
	struct sockaddr_in6 *v6 = (void *)&t->addr;
	in_port_t p = htons((uint16_t)atoi(port));

	if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = p;
		t->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, addr, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = p;
		t->len = sizeof(*v6);
	} else {
		fprintf(stderr, "rr: no address: %s\n", addr);
		exit(2);
	}
}

static int dial(const struct target *t)
{
	struct linger reset = { .l_onoff = 1 };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(t->addr.ss_family, t->type | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (t->type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&t->addr, t->len))
		die("connect");
	return fd;
}

static void ask(int fd)
{
	char b = 'x';

	if (write(fd, &b, 1) != 1 || read(fd, &b, 1) != 1)
		die("request");
}

static uint64_t once(const struct target *t, int fd)
{
	uint64_t begun = now_ns(), took;

	if (fd >= 0) {
		ask(fd);
		return now_ns() - begun;
	}
	fd = dial(t);
	ask(fd);
	took = now_ns() - begun;
	close(fd);
	return took;
}

static int smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int measure(const char *kind, const char *addr, const char *port, int count)
{
	struct target t = { .type = strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM };
	uint64_t *took = calloc((size_t)count, sizeof(*took));
	int fd;

	if (!took)
		die("memory");
	parse(&t, addr, port);
	fd = strcmp(kind, "connect") ? dial(&t) : -1;
	for (int i = 0; i < WARM_UP; i++)
		once(&t, fd);
	for (int i = 0; i < count; i++)
		took[i] = once(&t, fd);
	qsort(took, (size_t)count, sizeof(*took), smaller);
	printf("%llu %llu\n", (unsigned long long)took[count / 2],
	       (unsigned long long)took[(size_t)count * 99 / 100]);
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	int count = argc == 5 ? atoi(argv[4]) : 0;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve((uint16_t)atoi(argv[2]));
	if (count > 0 && count <= COUNT_MAX)
		return measure(argv[1], argv[2], argv[3], count);
	fprintf(stderr, "usage: rr serve PORT | rr tcp|udp|connect ADDR PORT COUNT\n");
	return 2;
}
