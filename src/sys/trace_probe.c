// SPDX-License-Identifier: Apache-2.0
/* trace_probe: see trace_probe.h; tcp(7), icmp(7), raw(7). A socket of a family and protocol that the
 * kernel gives errors of its own through the error queue (IP_RECVERR), which also says who sent them. */
#include "sys/trace_probe.h"

#include "base/sctp.h"
#include "sys/clock.h"
#include "sys/netns.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS          1000000ull
#define FIN_WAIT_NS (200 * MS)
#define NONCE       8
#define ECHO_NUMBER 1

struct trace_probe {
	struct trace_probe_ask ask;
	struct trace_probe_result r;
	int fd;
	bool closing;               /* TCP: it was connected, and the peer's FIN is waited for */
	uint64_t started, deadline; /* ns, monotonic */
};

static void end(struct trace_probe *p, enum trace_result result)
{
	p->r.result = (uint8_t)result;
	p->r.microseconds = (int64_t)((clock_mono_ns() - p->started) / 1000);
}

static void refused(struct trace_probe *p, const char *by)
{
	snprintf(p->r.by, sizeof(p->r.by), "%s", by);
	end(p, TRACE_REFUSED);
}

static void failed(struct trace_probe *p, int err)
{
	snprintf(p->r.error, sizeof(p->r.error), "%s", strerror(err));
	end(p, TRACE_ERROR);
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

/* The port. */
static uint16_t from_sockaddr(const void *sa, struct ipaddr *a)
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

/* ---- ICMP errors, as nftables names their codes */

static const char *const unreach4[] = {
	[ICMP_NET_UNREACH] = "net-unreachable",   [ICMP_HOST_UNREACH] = "host-unreachable",
	[ICMP_PROT_UNREACH] = "prot-unreachable", [ICMP_PORT_UNREACH] = "port-unreachable",
	[ICMP_FRAG_NEEDED] = "frag-needed",       [ICMP_NET_ANO] = "net-prohibited",
	[ICMP_HOST_ANO] = "host-prohibited",      [ICMP_PKT_FILTERED] = "admin-prohibited",
};
static const char *const unreach6[] = {
	[ICMPV6_NOROUTE] = "no-route",
	[ICMPV6_ADM_PROHIBITED] = "admin-prohibited",
	[ICMPV6_ADDR_UNREACH] = "addr-unreachable",
	[ICMPV6_PORT_UNREACH] = "port-unreachable",
	[ICMPV6_POLICY_FAIL] = "policy-fail",
	[ICMPV6_REJECT_ROUTE] = "reject-route",
};

static const char *icmp_word(bool v6, unsigned type, unsigned code)
{
	if (!v6 && type == ICMP_DEST_UNREACH && code < sizeof(unreach4) / sizeof(unreach4[0]))
		return unreach4[code];
	if (v6 && type == ICMPV6_DEST_UNREACH && code < sizeof(unreach6) / sizeof(unreach6[0]))
		return unreach6[code];
	if (type == (v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED))
		return "time-exceeded";
	if (v6 && type == ICMPV6_PKT_TOOBIG)
		return "packet-too-big";
	return NULL;
}

static void note_icmp(struct trace_probe *p, const struct sock_extended_err *ee)
{
	struct sockaddr_in6 from; /* room for either family */
	bool v6 = ee->ee_origin == SO_EE_ORIGIN_ICMP6;
	const char *word = icmp_word(v6, ee->ee_type, ee->ee_code);
	struct ipaddr a;
	char text[ADDR_TEXT];

	if (word)
		snprintf(p->r.by, sizeof(p->r.by), "%s %s", v6 ? "icmpv6" : "icmp", word);
	else
		snprintf(p->r.by, sizeof(p->r.by), "%s type %u code %u", v6 ? "icmpv6" : "icmp",
			 ee->ee_type, ee->ee_code);
	if (v6 ? ee->ee_type == ICMPV6_PKT_TOOBIG
	       : ee->ee_type == ICMP_DEST_UNREACH && ee->ee_code == ICMP_FRAG_NEEDED)
		p->r.mtu = ee->ee_info;
	memcpy(&from, SO_EE_OFFENDER(ee), sizeof(from));
	from_sockaddr(&from, &a);
	if (a.family == AF_INET || a.family == AF_INET6)
		snprintf(p->r.error, sizeof(p->r.error), "told by %s", addr_str(&a, text));
}

/* Is this what the probe has behind its IP header, of which an ICMP error quotes 8 bytes at least? A raw socket hears
 * of errors of all that its namespace sends to the address, answers to somebody else's requests too; others
 * of what they sent themselves. */
static bool is_ours(const struct trace_probe *p, const uint8_t *quoted, size_t n)
{
	const uint16_t ports[] = { htons(p->r.port), htons(p->ask.port) };
	const uint16_t echo[] = { htons(p->r.port), htons(ECHO_NUMBER) };

	if (p->ask.protocol == TRACE_SCTP)
		return n >= 4 && !memcmp(quoted, ports, 4);
	if (p->ask.protocol == TRACE_ICMP)
		return n >= 8 && !memcmp(quoted + 4, echo, 4);
	return true;
}

enum told { TOLD_NOTHING, TOLD_OF_OTHERS, TOLD_REFUSED };

/* What the own kernel says, who called it is told as well; but for the MTU. */
static enum told judge_error(struct trace_probe *p, const struct sock_extended_err *ee,
			     const uint8_t *quoted, size_t n)
{
	if (ee->ee_origin == SO_EE_ORIGIN_LOCAL && ee->ee_errno == EMSGSIZE)
		p->r.mtu = ee->ee_info;
	if (ee->ee_origin != SO_EE_ORIGIN_ICMP && ee->ee_origin != SO_EE_ORIGIN_ICMP6)
		return TOLD_NOTHING;
	if (!is_ours(p, quoted, n))
		return TOLD_OF_OTHERS;
	note_icmp(p, ee);
	return TOLD_REFUSED;
}

/* Empties the error queue. An ICMP error of ours is the result. */
static enum told read_errors(struct trace_probe *p)
{
	enum told told = TOLD_NOTHING;

	for (;;) {
		char control[512] __attribute__((aligned(8)));
		uint8_t quoted[8];
		struct iovec iov = { quoted, sizeof(quoted) };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(p->fd, &m, MSG_ERRQUEUE);

		if (n < 0)
			break;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			enum told now;

			if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
			    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				continue;
			now = judge_error(p, (const void *)CMSG_DATA(c), quoted, (size_t)n);
			told = now > told ? now : told;
		}
	}
	if (told == TOLD_REFUSED)
		end(p, TRACE_REFUSED);
	return told;
}

static void on_error(struct trace_probe *p, int err)
{
	if (read_errors(p) == TOLD_REFUSED)
		return;
	if (p->ask.protocol == TRACE_TCP && (err == ECONNREFUSED || err == ECONNRESET))
		refused(p, "rst");
	else if (err == ETIMEDOUT)
		end(p, TRACE_TIMEOUT);
	else
		failed(p, err);
}

/* ---- sending */

static bool is_v6(const struct trace_probe *p)
{
	return p->ask.dst.family == AF_INET6;
}

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
	bool v6 = is_v6(p);
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

static uint16_t checksum(const uint8_t *v, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? v[i] : (uint32_t)v[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_nonce(const struct trace_probe *p, uint8_t *out)
{
	uint64_t nonce = htobe64(p->ask.signature);

	memcpy(out, &nonce, NONCE);
}

/* How much is sent behind the signature, all of it zeros. */
static size_t padding(const struct trace_probe *p)
{
	int64_t min = trace_size_min(p->ask.dst.family);

	return p->ask.size > min ? (size_t)(p->ask.size - min) : 0;
}

static size_t build_echo(const struct trace_probe *p, uint8_t *out)
{
	struct icmphdr h = { .type = is_v6(p) ? ICMPV6_ECHO_REQUEST : ICMP_ECHO };
	size_t n = sizeof(h) + NONCE; /* zeros behind it change no sum */

	h.un.echo.id = htons(p->r.port);
	h.un.echo.sequence = htons(ECHO_NUMBER);
	memcpy(out, &h, sizeof(h));
	put_nonce(p, out + sizeof(h));
	h.checksum = htons(checksum(out, n)); /* of ICMPv6 the kernel makes its own */
	memcpy(out, &h, sizeof(h));
	return n;
}

static int send_datagram(struct trace_probe *p)
{
	uint8_t packet[TRACE_SIZE_MAX] = { 0 };
	struct sctp_packet init = { .type = SCTP_INIT,
				    .src = p->r.port,
				    .dst = p->ask.port,
				    .init_tag = (uint32_t)p->ask.signature };
	size_t n = NONCE;

	if (p->ask.protocol == TRACE_UDP)
		put_nonce(p, packet);
	else if (p->ask.protocol == TRACE_ICMP)
		n = build_echo(p, packet);
	else
		n = sctp_build(&init, packet);
	n += padding(p);
	/* A socket says first what it was told of, others' packets too, and sends nothing. */
	while (send(p->fd, packet, n, MSG_NOSIGNAL) < 0) {
		int err = errno;

		if (read_errors(p) != TOLD_OF_OTHERS)
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
	port = from_sockaddr(&ss, &p->r.address);
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

static bool is_echo_reply(const struct trace_probe *p, const uint8_t *v, size_t n)
{
	struct icmphdr h;
	uint8_t nonce[NONCE];

	if (n < sizeof(h) + NONCE)
		return false;
	memcpy(&h, v, sizeof(h));
	put_nonce(p, nonce);
	return h.type == (is_v6(p) ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY) &&
	       h.un.echo.id == htons(p->r.port) && !memcmp(v + sizeof(h), nonce, NONCE);
}

static void on_sctp(struct trace_probe *p, const uint8_t *v, size_t n)
{
	struct sctp_packet got;

	if (!sctp_parse(v, n, &got) || got.src != p->ask.port || got.dst != p->r.port ||
	    got.vtag != (uint32_t)p->ask.signature)
		return;
	if (got.type == SCTP_ABORT)
		refused(p, "abort");
	else if (got.type == SCTP_INIT_ACK)
		end(p, TRACE_CONNECTED);
}

static void on_datagram(struct trace_probe *p, const uint8_t *v, size_t n)
{
	/* Raw sockets of IPv4 see the header. */
	size_t skip = p->ask.protocol != TRACE_UDP && !is_v6(p) && n ? (v[0] & 15u) * 4u : 0;

	if (skip > n)
		return;
	if (p->ask.protocol == TRACE_SCTP)
		on_sctp(p, v + skip, n - skip);
	else if (p->ask.protocol == TRACE_UDP || is_echo_reply(p, v + skip, n - skip))
		end(p, TRACE_CONNECTED);
}

static void receive(struct trace_probe *p)
{
	uint8_t packet[2048]; /* the rest does not matter */

	while (!p->r.result) {
		ssize_t n = recv(p->fd, packet, sizeof(packet), 0);

		if (n < 0) {
			int err = errno;

			if (read_errors(p) == TOLD_NOTHING && err != EAGAIN)
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

static void handshake(struct trace_probe *p)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		on_error(p, err);
		return;
	}
	end(p, TRACE_CONNECTED);
	shutdown(p->fd, SHUT_WR);
	p->closing = true;
	p->deadline = clock_mono_ns() + FIN_WAIT_NS;
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
		else if (p->ask.protocol == TRACE_TCP)
			handshake(p);
		else
			receive(p);
	}
	if (trace_probe_ended(p) || clock_mono_ns() < p->deadline)
		return;
	if (p->closing)
		shut(p);
	else
		end(p, TRACE_TIMEOUT);
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
	return p->ask.protocol == TRACE_TCP && !p->closing ? POLLOUT : POLLIN;
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
