// SPDX-License-Identifier: Apache-2.0
/* trace_probe: the course of a probe, see trace_probe.h; tcp(7), raw(7). A connected socket of the probe's
 * protocol, so that the kernel leaves out most of what is not meant for it. */
#include "sys/trace_probe_state.h"

#include "sys/clock.h"
#include "sys/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS          1000000ull
#define FIN_WAIT_NS (200 * MS)

void trace_probe_end(struct trace_probe *p, enum trace_result result)
{
	p->r.result = (uint8_t)result;
	p->r.microseconds = (int64_t)((clock_mono_ns() - p->started) / 1000);
}

static void refused(struct trace_probe *p, const char *by)
{
	snprintf(p->r.by, sizeof(p->r.by), "%s", by);
	trace_probe_end(p, TRACE_REFUSED);
}

static void failed(struct trace_probe *p, int err)
{
	snprintf(p->r.error, sizeof(p->r.error), "%s", strerror(err));
	trace_probe_end(p, TRACE_ERROR);
}

/* ---- addresses */

static socklen_t to_sockaddr(const struct ipaddr *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *six = (void *)ss;
	struct sockaddr_in *four = (void *)ss;

	*ss = (struct sockaddr_storage){ .ss_family = a->family };
	if (a->family == AF_INET6) {
		six->sin6_port = htons(port);
		memcpy(&six->sin6_addr, a->b, sizeof(six->sin6_addr));
		return sizeof(*six);
	}
	four->sin_port = htons(port);
	memcpy(&four->sin_addr, a->b, sizeof(four->sin_addr));
	return sizeof(*four);
}

uint16_t trace_probe_peer(const void *sa, struct ipaddr *a)
{
	const struct sockaddr_in6 *six = sa;
	const struct sockaddr_in *four = sa;

	*a = (struct ipaddr){ .family = (uint8_t)four->sin_family };
	if (a->family == AF_INET6) {
		memcpy(a->b, &six->sin6_addr, sizeof(six->sin6_addr));
		return ntohs(six->sin6_port);
	}
	memcpy(a->b, &four->sin_addr, sizeof(four->sin_addr));
	return ntohs(four->sin_port);
}

/* ---- errors */

static void on_error(struct trace_probe *p, int err)
{
	if (trace_probe_errors(p) == TRACE_TOLD_REFUSED)
		return;
	if (p->ask.protocol == TRACE_TCP && (err == ECONNREFUSED || err == ECONNRESET))
		refused(p, "rst");
	else if (err == ETIMEDOUT)
		trace_probe_end(p, TRACE_TIMEOUT);
	else
		failed(p, err);
}

/* ---- sending */

/* The kernel takes the number only while the socket is under repair, and keeps it afterwards. */
static int set_sequence(int fd, uint32_t seq)
{
	int on = 1, off = 0, once = 1, queue = TCP_SEND_QUEUE;
	struct linger rst = { .l_onoff = 1 };

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &once, sizeof(once)) ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst)))
		return -errno;
	return 0;
}

static int forbid_splitting(int fd, bool v6)
{
	int on = 1, how = v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;

	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
		       &how, sizeof(how)))
		return -1;
	return v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on)) : 0;
}

/* In the namespace. */
static int open_socket(void *arg, struct err *e)
{
	static const int types[] = { [TRACE_TCP] = SOCK_STREAM,
				     [TRACE_UDP] = SOCK_DGRAM,
				     [TRACE_SCTP] = SOCK_RAW,
				     [TRACE_ICMP] = SOCK_RAW };
	struct trace_probe *p = arg;
	uint8_t what = p->ask.protocol;
	bool v6 = trace_probe_is_v6(p);
	int on = 1, proto = 0;

	if (what == TRACE_SCTP)
		proto = IPPROTO_SCTP;
	else if (what == TRACE_ICMP)
		proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	p->fd = socket(p->ask.dst.family, types[what] | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	if (p->fd < 0)
		return err_sys(e, -errno, "probe");
	setsockopt(p->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on,
		   sizeof(on));
	if (p->ask.size && forbid_splitting(p->fd, v6))
		return err_sys(e, -errno, "probe: not to be split");
	if (what == TRACE_TCP && set_sequence(p->fd, (uint32_t)p->ask.signature))
		return err_sys(e, -errno, "probe: sequence number");
	return 0;
}

static int join_ends(struct trace_probe *p)
{
	bool raw = p->ask.protocol == TRACE_SCTP || p->ask.protocol == TRACE_ICMP;
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(&p->ask.source, 0, &ss);

	if (bind(p->fd, (struct sockaddr *)&ss, len))
		return -errno;
	len = to_sockaddr(&p->ask.dst, raw ? 0 : p->ask.port, &ss);
	return connect(p->fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS ? -errno : 0;
}

static int send_datagram(struct trace_probe *p)
{
	uint8_t packet[TRACE_SIZE_MAX];
	size_t n = trace_probe_build(p, packet);

	/* A socket says first what it was told of, others' packets too, and sends nothing. */
	while (send(p->fd, packet, n, MSG_NOSIGNAL) < 0) {
		int err = errno;

		if (trace_probe_errors(p) != TRACE_TOLD_OF_OTHERS)
			return -err;
	}
	return 0;
}

/* Where the ask left the address to the kernel, connect(2) chose it by the route. */
static void learn_ends(struct trace_probe *p)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint16_t port;

	p->r.address = p->ask.source;
	if (getsockname(p->fd, (struct sockaddr *)&ss, &len))
		return;
	port = trace_probe_peer(&ss, &p->r.address);
	if (!p->r.port)
		p->r.port = port;
}

int trace_probe_send(const struct trace_probe_ask *ask, struct trace_probe **out, struct err *e)
{
	struct trace_probe *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(e, -ENOMEM, "probe: no memory");
	p->ask = *ask;
	p->fd = -1;
	if (ask->n_query > TRACE_QUERY_MAX) {
		trace_probe_close(p);
		return err_set(e, -EMSGSIZE, "probe: a query of %u octets", ask->n_query);
	}
	if (ask->n_query)
		memcpy(p->query, ask->query, ask->n_query);
	rc = netns_do(ask->netns, open_socket, p, e);
	if (rc) {
		trace_probe_close(p);
		return rc;
	}
	/* Raw sockets have no ports of their own; these are above what Linux gives by itself. */
	if (ask->protocol == TRACE_SCTP || ask->protocol == TRACE_ICMP)
		p->r.port = (uint16_t)(61000 + (ask->signature >> 32) % 4535);
	p->started = clock_mono_ns();
	p->deadline = p->started + (uint64_t)ask->timeout_ms * MS;
	p->r.sent_at = clock_wall_ns();
	rc = join_ends(p);
	learn_ends(p);
	if (!rc && ask->protocol != TRACE_TCP)
		rc = send_datagram(p);
	if (rc)
		on_error(p, -rc);
	*out = p;
	return 0;
}

/* ---- what comes back */

static void on_datagram(struct trace_probe *p, const uint8_t *v, size_t n)
{
	switch (trace_probe_answer(p, v, n)) {
	case TRACE_ANSWER_GIVEN:
		if (p->ask.n_query)
			memcpy(p->answer, v, p->n_answer = n);
		trace_probe_end(p, TRACE_CONNECTED);
		break;
	case TRACE_ANSWER_ABORT:
		refused(p, "abort");
		break;
	case TRACE_ANSWER_NONE:
		break;
	}
}

static void receive(struct trace_probe *p)
{
	uint8_t packet[4096]; /* the rest does not matter */

	while (!p->r.result) {
		ssize_t n = recv(p->fd, packet, sizeof(packet), 0);

		if (n < 0) {
			int err = errno;

			if (trace_probe_errors(p) == TRACE_TOLD_NOTHING && err != EAGAIN)
				on_error(p, err);
			return;
		}
		on_datagram(p, packet, (size_t)n);
	}
}

static void shut(struct trace_probe *p)
{
	close(p->fd);
	p->fd = -1;
	p->closing = false;
}

void trace_probe_connected(struct trace_probe *p)
{
	trace_probe_end(p, TRACE_CONNECTED);
	shutdown(p->fd, SHUT_WR);
	p->asking = false;
	p->closing = true;
	p->deadline = clock_mono_ns() + FIN_WAIT_NS;
}

static void handshake(struct trace_probe *p)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		on_error(p, err);
		return;
	}
	if (p->ask.n_query)
		trace_probe_query(p);
	else
		trace_probe_connected(p);
}

static void drain(struct trace_probe *p)
{
	uint8_t bytes[2048];
	ssize_t n;

	do
		n = recv(p->fd, bytes, sizeof(bytes), 0);
	while (n > 0);
	if (n == 0 || errno != EAGAIN)
		shut(p);
}

void trace_probe_step(struct trace_probe *p)
{
	struct pollfd ready = { .fd = p->fd, .events = trace_probe_events(p) };

	if (trace_probe_ended(p))
		return;
	if (poll(&ready, 1, 0) > 0) {
		if (p->closing)
			drain(p);
		else if (p->asking)
			trace_probe_hear(p);
		else if (p->ask.protocol == TRACE_TCP)
			handshake(p);
		else
			receive(p);
	}
	if (trace_probe_ended(p) || clock_mono_ns() < p->deadline)
		return;
	if (p->closing)
		shut(p);
	else if (p->asking)
		trace_probe_connected(p);
	else
		trace_probe_end(p, TRACE_TIMEOUT);
}

bool trace_probe_ended(const struct trace_probe *p)
{
	return p->r.result && !p->closing;
}

int trace_probe_fd(const struct trace_probe *p)
{
	return p->fd;
}

short trace_probe_events(const struct trace_probe *p)
{
	return p->ask.protocol == TRACE_TCP && !p->closing && !p->asking ? POLLOUT : POLLIN;
}

int trace_probe_wait_ms(const struct trace_probe *p)
{
	uint64_t now = clock_mono_ns();

	return now < p->deadline ? (int)((p->deadline - now + MS - 1) / MS) : 0;
}

const struct trace_probe_result *trace_probe_result(const struct trace_probe *p)
{
	return &p->r;
}

void trace_probe_close(struct trace_probe *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

struct trace_probe_ask trace_probe_asked(const struct packet_trace *t, int netns)
{
	int64_t seconds = t->spec.timeoutSeconds ? t->spec.timeoutSeconds : TRACE_SECONDS;

	return (struct trace_probe_ask){ .netns = netns,
					 .source = t->spec.source.address,
					 .dst = t->spec.destination.address,
					 .protocol = t->spec.protocol,
					 .port = (uint16_t)t->spec.destination.port,
					 .signature = (uint64_t)t->spec.signature,
					 .size = (uint16_t)t->spec.size,
					 .timeout_ms = 1000 * (int)seconds };
}

void trace_probe_note(const struct trace_probe_result *r, struct packet_trace *t)
{
	t->status.probe.result = r->result;
	t->status.probe.by = *r->by ? r->by : NULL;
	t->status.probe.error = *r->error ? r->error : NULL;
	t->status.probe.microseconds = r->microseconds;
	t->status.probe.localAddress = r->address;
	t->status.probe.localPort = r->port;
	t->status.probe.sentAt = r->sent_at;
	t->status.probe.mtu = r->mtu;
}
