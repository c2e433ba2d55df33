/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of a route reflector (RFC 4271, 4456), all in one process, and how long it takes until each knows everything.
 *
 *   bgp_load SERVER AS FIRST CLIENTS SENDERS ROUTES SHARED
 *
 * Client i has the address FIRST + i, which must be on this host, and an iBGP session with SERVER. When all are up, the first
 * SENDERS tell ROUTES routes each (host routes, SHARED of them with the same attributes) at once. A line on standard output
 * for each event: "up MS" (all sessions), "told MS" (from the first octet of an UPDATE until every client has every route of
 * the others), "withdrawn MS" (from the first withdrawal until nobody has any). After "up" and "told" it waits for a line on standard input,
 * so that its caller can look at the server; it ends with the sessions closed. What a client has is a bit per route: a route told twice counts once.
 *
 * It links nothing of the house, so that it judges every speaker alike: of what it receives it reads lengths, NLRI and withdrawn routes. */
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN = 1, UPDATE, NOTIFICATION, KEEPALIVE, HEADER = 19, MESSAGE = 4096, INBOX = 1 << 18 };

#define ROUTE_BASE 0x0b000000u /* 11.0.0.0: route n is this + n, /32 */

struct text {
	uint8_t *v;
	size_t n, at; /* written so far */
};

struct client {
	int fd;
	uint32_t addr, first, routes; /* host order; what it tells */
	bool up;
	struct text out;
	uint8_t in[INBOX];
	size_t n_in;
	uint64_t *has; /* a bit per route */
	uint32_t n_has;
};

static struct client *clients;
static uint32_t n_clients, total, asn;
static int poller;

static void *room(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die("calloc");
	return p;
}

static size_t put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return 2;
}

static size_t put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
	return 4;
}

/* Fills in the header of a message whose body ends at `n`. */
static void seal(uint8_t *m, size_t n, uint8_t type)
{
	memset(m, 0xff, 16);
	put16(m + 16, (uint32_t)n);
	m[18] = type;
}

/* ---- what a client says */

static void say(struct client *c, const uint8_t *v, size_t n)
{
	c->out.v = realloc(c->out.v, c->out.n + n);
	if (!c->out.v)
		die("realloc");
	memcpy(c->out.v + c->out.n, v, n);
	c->out.n += n;
}

static void say_open(struct client *c)
{
	uint8_t m[MESSAGE], *p = m + HEADER;
	static const uint8_t multiprotocol[] = { 2, 6, 1, 4, 0, 1, 0, 1 },
			     refresh[] = { 2, 2, 2, 0 };

	*p++ = 4;
	p += put16(p, asn > 65535 ? 23456 : asn);
	p += put16(p, 180);
	p += put32(p, c->addr);
	*p++ = sizeof(multiprotocol) + sizeof(refresh) + 8;
	memcpy(p, multiprotocol, sizeof(multiprotocol));
	p += sizeof(multiprotocol);
	memcpy(p, refresh, sizeof(refresh));
	p += sizeof(refresh);
	memcpy(p, (const uint8_t[]){ 2, 6, 65, 4 }, 4);
	p += 4;
	p += put32(p, asn);
	seal(m, (size_t)(p - m), OPEN);
	say(c, m, (size_t)(p - m));
}

static void say_keepalive(struct client *c)
{
	uint8_t m[HEADER];

	seal(m, HEADER, KEEPALIVE);
	say(c, m, HEADER);
}

/* One message with routes first to first + n - 1, all with one MED. */
static void say_routes(struct client *c, uint32_t first, uint32_t n, uint32_t med)
{
	uint8_t m[MESSAGE], *p = m + HEADER;

	p += put16(p, 0);
	p += put16(p, 4 + 3 + 7 + 7 + 7);
	memcpy(p, (const uint8_t[]){ 0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4 },
	       10); /* ORIGIN, AS_PATH, NEXT_HOP */
	p += 10;
	p += put32(p, c->addr);
	memcpy(p, (const uint8_t[]){ 0x80, 4, 4 }, 3); /* MULTI_EXIT_DISC */
	p += 3;
	p += put32(p, med);
	memcpy(p, (const uint8_t[]){ 0x40, 5, 4 }, 3); /* LOCAL_PREF */
	p += 3;
	p += put32(p, 100);
	for (uint32_t i = 0; i < n; i++) {
		*p++ = 32;
		p += put32(p, ROUTE_BASE + first + i);
	}
	seal(m, (size_t)(p - m), UPDATE);
	say(c, m, (size_t)(p - m));
}

static void say_withdrawals(struct client *c, uint32_t first, uint32_t n)
{
	uint8_t m[MESSAGE], *p = m + HEADER;

	p += put16(p, n * 5);
	for (uint32_t i = 0; i < n; i++) {
		*p++ = 32;
		p += put32(p, ROUTE_BASE + first + i);
	}
	p += put16(p, 0);
	seal(m, (size_t)(p - m), UPDATE);
	say(c, m, (size_t)(p - m));
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void say_all(struct client *c, uint32_t shared)
{
	for (uint32_t i = 0, n; i < c->routes; i += n) {
		n = least(least(c->routes - i, shared - i % shared), 700);
		say_routes(c, c->first + i, n, i / shared);
	}
}

static void say_none(struct client *c)
{
	for (uint32_t i = 0, n; i < c->routes; i += n) {
		n = least(c->routes - i, 700);
		say_withdrawals(c, c->first + i, n);
	}
}

/* ---- what it hears */

static void bad(const struct client *c, const char *what)
{
	fprintf(stderr, "client %u: %s\n", (unsigned)(c - clients), what);
	exit(1);
}

static void note(struct client *c, uint32_t addr, bool has)
{
	uint32_t i = addr - ROUTE_BASE;
	uint64_t bit = 1ull << (i % 64);

	if (i >= total)
		bad(c, "a route that nobody told");
	if (i - c->first < c->routes || !(c->has[i / 64] & bit) == !has)
		return;
	c->has[i / 64] ^= bit;
	c->n_has += has ? 1 : -1u;
}

static void hear_prefixes(struct client *c, const uint8_t *p, const uint8_t *end, bool has)
{
	while (p < end) {
		if (*p != 32 || end - p < 5)
			bad(c, "a prefix that nobody told");
		note(c, (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4],
		     has);
		p += 5;
	}
}

static void hear_update(struct client *c, const uint8_t *p, size_t n)
{
	size_t withdrawn, attributes;

	if (n < 4)
		bad(c, "a short UPDATE");
	withdrawn = (size_t)p[0] << 8 | p[1];
	if (withdrawn + 4 > n)
		bad(c, "a short UPDATE");
	attributes = (size_t)p[2 + withdrawn] << 8 | p[3 + withdrawn];
	if (withdrawn + attributes + 4 > n)
		bad(c, "a short UPDATE");
	hear_prefixes(c, p + 2, p + 2 + withdrawn, false);
	hear_prefixes(c, p + 4 + withdrawn + attributes, p + n, true);
}

static void hear_message(struct client *c, const uint8_t *m, size_t n)
{
	switch (m[18]) {
	case OPEN:
		say_keepalive(c);
		break;
	case KEEPALIVE:
		c->up = true;
		break;
	case UPDATE:
		hear_update(c, m + HEADER, n - HEADER);
		break;
	case NOTIFICATION:
		fprintf(stderr, "NOTIFICATION %u/%u: ", m[19], m[20]);
		bad(c, "the session ended");
	}
}

static void hear(struct client *c)
{
	ssize_t got = read(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in);
	size_t at = 0, n;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		bad(c, got ? strerror(errno) : "the connection ended");
	c->n_in += (size_t)got;
	for (; c->n_in - at >= HEADER; at += n) {
		n = (size_t)c->in[at + 16] << 8 | c->in[at + 17];
		if (n < HEADER || n > MESSAGE)
			bad(c, "no BGP message");
		if (c->n_in - at < n)
			break;
		hear_message(c, c->in + at, n);
	}
	memmove(c->in, c->in + at, c->n_in -= at);
}

static void flush(struct client *c)
{
	struct epoll_event want = { .events = EPOLLIN, .data.ptr = c };
	ssize_t n = 0;

	while (c->out.at < c->out.n &&
	       (n = write(c->fd, c->out.v + c->out.at, c->out.n - c->out.at)) > 0)
		c->out.at += (size_t)n;
	if (n < 0 && errno != EAGAIN)
		bad(c, strerror(errno));
	if (c->out.at < c->out.n)
		want.events |= EPOLLOUT;
	else
		c->out.at = c->out.n = 0;
	epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &want);
}

/* ---- the run */

static void join(struct client *c, struct in_addr server)
{
	struct sockaddr_in me = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(c->addr) };
	struct sockaddr_in it = { .sin_family = AF_INET,
				  .sin_addr = server,
				  .sin_port = htons(179) };
	struct epoll_event want = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&me, sizeof(me)))
		die("bind");
	for (uint64_t until = now_ns() + 20000000000ull;
	     connect(c->fd, (struct sockaddr *)&it, sizeof(it));) {
		if (errno != ECONNREFUSED || now_ns() > until)
			die("connect");
		usleep(10000);
	}
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &want))
		die("socket");
	say_open(c);
	flush(c);
}

static bool all_up(void)
{
	for (uint32_t i = 0; i < n_clients; i++)
		if (!clients[i].up)
			return false;
	return true;
}

static bool all_know(void)
{
	for (uint32_t i = 0; i < n_clients; i++)
		if (clients[i].n_has != total - clients[i].routes)
			return false;
	return true;
}

static bool none_knows(void)
{
	for (uint32_t i = 0; i < n_clients; i++)
		if (clients[i].n_has)
			return false;
	return true;
}

/* Serves the sessions until it is so, and says how long it took. */
static void serve_until(bool (*so)(void), const char *what)
{
	uint64_t begun = now_ns(), until = begun + 120000000000ull;
	struct epoll_event ev[64];

	for (uint32_t i = 0; i < n_clients; i++)
		flush(&clients[i]);
	while (!so()) {
		int n = epoll_wait(poller, ev, 64, 1000);

		for (int i = 0; i < n; i++) {
			if (ev[i].events & ~(unsigned)EPOLLOUT)
				hear(ev[i].data.ptr);
			flush(ev[i].data.ptr);
		}
		if (now_ns() > until) {
			fprintf(stderr, "%s: not within 120 s\n", what);
			exit(1);
		}
	}
	printf("%s %.3f\n", what, (double)(now_ns() - begun) / 1e6);
	fflush(stdout);
}

static void wait_line(void)
{
	for (int c = getchar(); c != '\n'; c = getchar())
		if (c == EOF)
			exit(0);
}

int main(int argc, char **argv)
{
	struct in_addr server, first;
	uint32_t senders, routes, shared;

	if (argc != 8 || !inet_aton(argv[1], &server) || !inet_aton(argv[3], &first)) {
		fprintf(stderr, "usage: bgp_load SERVER AS FIRST CLIENTS SENDERS ROUTES SHARED\n");
		return 2;
	}
	asn = (uint32_t)strtoul(argv[2], NULL, 10);
	n_clients = (uint32_t)strtoul(argv[4], NULL, 10);
	senders = least((uint32_t)strtoul(argv[5], NULL, 10), n_clients);
	routes = (uint32_t)strtoul(argv[6], NULL, 10);
	shared = (uint32_t)strtoul(argv[7], NULL, 10);
	total = senders * routes;
	clients = room(n_clients * sizeof(*clients));
	poller = epoll_create1(0);
	for (uint32_t i = 0; i < n_clients; i++) {
		struct client *c = &clients[i];

		c->addr = ntohl(first.s_addr) + i;
		c->routes = i < senders ? routes : 0;
		c->first = i < senders ? i * routes : total;
		c->has = room((total / 64 + 1) * sizeof(*c->has));
		join(c, server);
	}
	serve_until(all_up, "up");
	wait_line();
	for (uint32_t i = 0; i < senders; i++)
		say_all(&clients[i], shared ? shared : 1);
	serve_until(all_know, "told");
	wait_line();
	for (uint32_t i = 0; i < senders; i++)
		say_none(&clients[i]);
	serve_until(none_knows, "withdrawn");
	return 0;
}
