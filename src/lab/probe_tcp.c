// SPDX-License-Identifier: Apache-2.0
/* probe_tcp: a connection, and on it one HTTP request after the other (`opts->repeat`, or until
 * `opts->hold_ms` is over). HTTP, so that the answer also comes through an ingress. Silence or
 * an answer in another language leaves the probe connected without a server's name; a reset or
 * silence after the first answer was there is a connection that broke. */
#include "base/buf.h"
#include "lab/prober.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#define MS 1000000ull

static void ask(struct probe *p, uint64_t now)
{
	struct buf b = { 0 };
	char to[EP_TEXT];
	struct sockaddr_storage ss;
	ssize_t n;

	ep_addr(&p->addr, p->port, &ss);
	buf_printf(&b, "%s /probe HTTP/1.1\r\nHost: %s\r\n", p->opts->size ? "POST" : "GET",
		   ep_str(&ss, to));
	if (p->opts->size)
		buf_printf(&b, "Content-Length: %zu\r\n", p->opts->size);
	buf_puts(&b, "\r\n");
	for (size_t i = 0; i < p->opts->size; i++)
		buf_put(&b, ".", 1);
	n = b.failed ? -1 : send(p->fd, b.v, b.n, MSG_NOSIGNAL);
	/* A body longer than the socket's buffer is cut there: sizes are limited (options). */
	if (n != (ssize_t)b.n)
		probe_fail(p, n < 0 ? errno : ENOBUFS, now);
	buf_fini(&b);
	p->sent++;
	p->asking = true;
	p->asked = now;
	p->got = 0;
	p->body_len = -1;
	p->deadline = now + (uint64_t)p->opts->timeout_ms * MS;
	p->wake = 0;
}

/* Whole: the head says how long the body is, and that much has come. */
static bool answer_whole(struct probe *p)
{
	size_t kept = p->got < sizeof(p->answer) ? p->got : sizeof(p->answer);
	const char *end, *len;

	if (p->body_len < 0) {
		end = memmem(p->answer, kept, "\r\n\r\n", 4);
		if (!end)
			return false;
		p->body_at = end + 4 - p->answer;
		p->body_len = 0;
		for (len = p->answer; len < end; len++)
			if (!strncasecmp(len, "\ncontent-length:", 16))
				p->body_len = strtol(len + 16, NULL, 10);
	}
	return (long)p->got >= p->body_at + p->body_len;
}

static void answered(struct probe *p, uint64_t now)
{
	size_t kept = p->got < sizeof(p->answer) ? p->got : sizeof(p->answer);

	p->asking = false;
	p->heard = true;
	if ((size_t)p->body_at < kept)
		probe_learn(p, p->answer + p->body_at, kept - (size_t)p->body_at);
	if (p->hold_until && now < p->hold_until) {
		p->wake = now + (uint64_t)p->opts->hold_every_ms * MS;
	} else if (p->done + 1 < p->opts->repeat) {
		probe_report(p, PROBE_CONNECTED, now);
		ask(p, now);
	} else {
		probe_end(p, PROBE_CONNECTED, now);
	}
}

static void receive(struct probe *p, uint32_t events, uint64_t now)
{
	char chunk[16384];
	ssize_t n = recv(p->fd, chunk, sizeof(chunk), 0);

	if (n < 0 && errno == EAGAIN) {
		if (events & EPOLLERR)
			probe_refused(p, now);
		return;
	}
	if (n <= 0 && p->heard) {
		probe_fail(p, n < 0 ? errno : ECONNRESET, now);
		return;
	}
	if (n <= 0) {
		probe_end(p, PROBE_CONNECTED, now);
		return;
	}
	if (p->got < sizeof(p->answer)) {
		size_t room = sizeof(p->answer) - p->got;

		memcpy(p->answer + p->got, chunk, (size_t)n < room ? (size_t)n : room);
	}
	p->got += (size_t)n;
	if (p->asking && answer_whole(p))
		answered(p, now);
}

static void handshake(struct probe *p, uint64_t now)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		probe_fail(p, err, now);
		return;
	}
	p->connected = true;
	p->took = now - p->started;
	if (p->opts->hold_ms)
		p->hold_until = now + (uint64_t)p->opts->hold_ms * MS;
	ask(p, now);
}

void probe_tcp_step(struct probe *p, uint32_t events, uint64_t now)
{
	if (events && !p->connected)
		handshake(p, now);
	else if (events)
		receive(p, events, now);
	else if (p->wake && now >= p->wake)
		ask(p, now);
	else if (!p->wake && now >= p->deadline && p->connected && !p->heard)
		probe_end(p, PROBE_CONNECTED, now);
	else if (!p->wake && now >= p->deadline)
		probe_end(p, PROBE_TIMEOUT, now);
}
