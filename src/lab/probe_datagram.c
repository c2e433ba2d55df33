// SPDX-License-Identifier: Apache-2.0
/* probe_datagram: one packet out, one back, for UDP, ICMP echo and a raw SCTP INIT. Lost packets
 * are sent again a few times where the caller wants to know whether there is a path, not how
 * many packets pass. A nonce ties the answer to its question. */
#include "base/buf.h"
#include "base/sctp.h"
#include "lab/prober.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmpv6.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define MS 1000000ull

static uint16_t nonce_port(const struct probe *p)
{
	return p->opts->source_port ? p->opts->source_port : (uint16_t)(49152 + p->nonce % 16384);
}

static size_t build_icmp(const struct probe *p, uint8_t *out, size_t max)
{
	struct icmphdr h = { .type = p->addr.family == AF_INET6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO };
	size_t n = sizeof(h) + p->opts->size;
	uint32_t sum = 0;

	n = n < max ? n : max;
	h.un.echo.id = htons((uint16_t)(p->nonce >> 16));
	h.un.echo.sequence = htons((uint16_t)p->nonce);
	memset(out, '.', n);
	memcpy(out, &h, sizeof(h));
	if (p->addr.family == AF_INET6) /* the kernel fills in the checksum */
		return n;
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? out[i] : (uint32_t)out[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	h.checksum = htons((uint16_t)~sum);
	memcpy(out, &h, sizeof(h));
	return n;
}

static size_t build_udp(const struct probe *p, uint8_t *out, size_t max)
{
	int n = snprintf((char *)out, max, "probe %08x ", p->nonce);
	size_t size = p->opts->size < max ? p->opts->size : max;

	if (size <= (size_t)n)
		return (size_t)n - 1;
	memset(out + n, '.', size - (size_t)n);
	return size;
}

bool probe_sent(const struct probe *p, const uint8_t *head, size_t n)
{
	const uint16_t ports[] = { htons(nonce_port(p)), htons(p->port) };
	const uint16_t echo[] = { htons((uint16_t)(p->nonce >> 16)), htons((uint16_t)p->nonce) };

	if (p->proto == PROBE_SCTP)
		return n >= 4 && !memcmp(head, ports, 4);
	if (p->proto == PROBE_ICMP)
		return n >= 8 && !memcmp(head + 4, echo, 4);
	return true;
}

void probe_datagram_send(struct probe *p, uint64_t now)
{
	static uint8_t packet[65536];
	struct sctp_packet init = { .type = SCTP_INIT, .dst = p->port };
	size_t n;

	if (!p->nonce)
		p->nonce = (uint32_t)random() << 1 | 1;
	if (p->proto == PROBE_SCTP) {
		init.src = nonce_port(p);
		init.init_tag = p->nonce;
		n = sctp_build(&init, packet);
	} else if (p->proto == PROBE_ICMP) {
		n = build_icmp(p, packet, sizeof(packet));
	} else {
		n = build_udp(p, packet, sizeof(packet));
	}
	p->wake = now + (uint64_t)p->opts->timeout_ms * MS / (unsigned)(p->opts->resends + 1);
	p->sent++;
	if (send(p->fd, packet, n, MSG_NOSIGNAL) < 0)
		probe_fail(p, errno, now);
}

/* True: an answer to our INIT; ABORT ends the probe as refused. */
static bool match_sctp(struct probe *p, const uint8_t *data, size_t n, uint64_t now)
{
	struct sctp_packet got;

	if (!sctp_parse(data, n, &got) || got.src != p->port || got.dst != nonce_port(p) ||
	    got.vtag != p->nonce)
		return false;
	if (got.type == SCTP_ABORT) {
		p->refused = REFUSED_RST;
		probe_end(p, PROBE_REFUSED, now);
		return false;
	}
	if (got.type == SCTP_INIT_ACK)
		probe_learn(p, (const char *)got.cookie, got.cookie_len);
	return got.type == SCTP_INIT_ACK;
}

static bool match_icmp(const struct probe *p, const uint8_t *data, size_t n)
{
	struct icmphdr h;

	if (n < sizeof(h))
		return false;
	memcpy(&h, data, sizeof(h));
	return h.type == (p->addr.family == AF_INET6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY) &&
	       h.un.echo.id == htons((uint16_t)(p->nonce >> 16)) &&
	       h.un.echo.sequence == htons((uint16_t)p->nonce);
}

static bool match_udp(struct probe *p, const uint8_t *data, size_t n)
{
	char want[32];
	size_t len = (size_t)snprintf(want, sizeof(want), "probe %08x", p->nonce);

	if (n >= 6 && !memcmp(data, "probe ", 6) && (n < len || memcmp(data, want, len) != 0))
		return false; /* the answer to an earlier question */
	if (n > len)
		probe_learn(p, (const char *)data + len + 1, n - len - 1);
	return true;
}

static bool match(struct probe *p, const uint8_t *data, size_t n, uint64_t now)
{
	size_t skip = 0;

	if (p->proto == PROBE_UDP)
		return match_udp(p, data, n);
	if (p->addr.family == AF_INET && n) /* raw IPv4 sockets see the header */
		skip = (data[0] & 15u) * 4u;
	if (skip > n)
		return false;
	return p->proto == PROBE_SCTP ? match_sctp(p, data + skip, n - skip, now)
				      : match_icmp(p, data + skip, n - skip);
}

static void next(struct probe *p, enum probe_result result, uint64_t now)
{
	if (p->done + 1 >= p->opts->repeat) {
		probe_end(p, result, now);
		return;
	}
	probe_report(p, result, now);
	p->nonce = 0;
	p->sent = 0;
	p->asked = now;
	p->deadline = now + (uint64_t)p->opts->timeout_ms * MS;
	probe_datagram_send(p, now);
}

static void receive(struct probe *p, uint32_t events, uint64_t now)
{
	static uint8_t packet[65536];

	while (p->fd >= 0) {
		ssize_t n = recv(p->fd, packet, sizeof(packet), 0);

		if (n < 0 && errno == EAGAIN) {
			if (events & EPOLLERR)
				probe_refused(p, now);
			return;
		}
		if (n < 0) {
			probe_fail(p, errno, now);
			return;
		}
		if (match(p, packet, (size_t)n, now))
			next(p, PROBE_CONNECTED, now);
	}
}

void probe_datagram_step(struct probe *p, uint32_t events, uint64_t now)
{
	if (events)
		receive(p, events, now);
	else if (now >= p->deadline)
		next(p, PROBE_TIMEOUT, now);
	else if (p->wake && now >= p->wake && p->sent <= p->opts->resends)
		probe_datagram_send(p, now);
	else if (p->wake && now >= p->wake)
		p->wake = 0;
}
