// SPDX-License-Identifier: Apache-2.0
/* prober: see prober.h. Here are the parts that all protocols share: the socket, the clock and
 * the judgement of errors. IP_RECVERR keeps the ICMP message behind an errno, which alone does
 * not tell a policy's "administratively prohibited" from a router's "host unreachable". */
#include "lab/prober.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS 1000000ull

void probe_report(struct probe *p, enum probe_result result, uint64_t now)
{
	if (!p->took)
		p->took = now - p->asked;
	p->result = (uint8_t)result;
	p->done++;
	p->opts->report(p);
	p->result = PROBE_PENDING;
	p->took = 0;
	p->server[0] = p->sees[0] = p->detail[0] = '\0';
	p->refused = REFUSED_NOT;
}

void probe_end(struct probe *p, enum probe_result result, uint64_t now)
{
	uint8_t refused = p->refused;
	char detail[sizeof(p->detail)];

	memcpy(detail, p->detail, sizeof(detail));
	do {
		p->refused = refused;
		memcpy(p->detail, detail, sizeof(detail));
		probe_report(p, result, now);
	} while (p->done < p->opts->repeat);
	p->result = (uint8_t)result;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

void probe_learn(struct probe *p, const char *text, size_t n)
{
	const char *at = memchr(text, '@', n), *space = memchr(text, ' ', n);
	size_t server, sees = 0;

	if (!at || !space || at > space)
		return;
	server = (size_t)(space - text);
	for (const char *c = space + 1; c < text + n && *c != ' ' && *c != '\n'; c++)
		sees++;
	if (server < sizeof(p->server) && sees && sees < sizeof(p->sees)) {
		snprintf(p->server, sizeof(p->server), "%.*s", (int)server, text);
		snprintf(p->sees, sizeof(p->sees), "%.*s", (int)sees, space + 1);
	}
}

static int open_socket(struct probe *p)
{
	static const int types[] = { [PROBE_TCP] = SOCK_STREAM,
				     [PROBE_UDP] = SOCK_DGRAM,
				     [PROBE_SCTP] = SOCK_RAW,
				     [PROBE_ICMP] = SOCK_RAW };
	bool v6 = p->addr.family == AF_INET6;
	int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP, on = 1, proto = 0;
	struct sockaddr_storage ss;
	socklen_t len;

	if (p->proto == PROBE_SCTP)
		proto = IPPROTO_SCTP;
	else if (p->proto == PROBE_ICMP)
		proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	p->fd = socket(p->addr.family, types[p->proto] | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
	if (p->fd < 0)
		return -errno;
	setsockopt(p->fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof(on));
	if (p->opts->source.family) {
		/* An address that is not ours is what an anti-spoofing test needs. */
		setsockopt(p->fd, level, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on));
		setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		len = ep_addr(&p->opts->source, p->proto >= PROBE_SCTP ? 0 : p->opts->source_port,
			      &ss);
		if (bind(p->fd, (struct sockaddr *)&ss, len) < 0)
			return -errno;
	}
	len = ep_addr(&p->addr, p->proto >= PROBE_SCTP ? 0 : p->port, &ss);
	if (connect(p->fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return 0;
}

void probe_start(struct probe *p, uint64_t now)
{
	int rc;

	p->started = p->asked = now;
	p->deadline = now + (uint64_t)p->opts->timeout_ms * MS;
	p->body_len = -1;
	rc = open_socket(p);
	if (rc)
		probe_fail(p, -rc, now);
	else if (p->proto != PROBE_TCP)
		probe_datagram_send(p, now);
}

uint32_t probe_events(const struct probe *p)
{
	return p->proto == PROBE_TCP && !p->connected ? EPOLLOUT : EPOLLIN;
}

/* True when the message means that somebody refused; sets who. */
static bool is_refusal(struct probe *p, const struct sock_extended_err *ee)
{
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP && ee->ee_type == ICMP_DEST_UNREACH) {
		if (ee->ee_code == ICMP_PORT_UNREACH || ee->ee_code == ICMP_PROT_UNREACH)
			p->refused = REFUSED_ICMP_PORT;
		else if (ee->ee_code == ICMP_NET_ANO || ee->ee_code == ICMP_HOST_ANO ||
			 ee->ee_code == ICMP_PKT_FILTERED)
			p->refused = REFUSED_ICMP_ADMIN;
	} else if (ee->ee_origin == SO_EE_ORIGIN_ICMP6 && ee->ee_type == ICMPV6_DEST_UNREACH) {
		if (ee->ee_code == ICMPV6_PORT_UNREACH)
			p->refused = REFUSED_ICMP_PORT;
		else if (ee->ee_code == ICMPV6_ADM_PROHIBITED ||
			 ee->ee_code == ICMPV6_POLICY_FAIL || ee->ee_code == ICMPV6_REJECT_ROUTE)
			p->refused = REFUSED_ICMP_ADMIN;
	} else if (ee->ee_origin == SO_EE_ORIGIN_ICMP6 && ee->ee_type == ICMPV6_PARAMPROB &&
		   ee->ee_code == ICMPV6_UNK_NEXTHDR) {
		p->refused = REFUSED_ICMP_PORT;
	}
	return p->refused != REFUSED_NOT;
}

enum told { TOLD_NOTHING, TOLD_OF_OTHERS, TOLD_REFUSED };

/* `head`: what the message quotes, but for the IP header. */
static enum told judge_error(struct probe *p, const struct sock_extended_err *ee,
			     const uint8_t *head, size_t n)
{
	bool icmp = ee->ee_origin == SO_EE_ORIGIN_ICMP || ee->ee_origin == SO_EE_ORIGIN_ICMP6;

	if (icmp && !probe_sent(p, head, n))
		return TOLD_OF_OTHERS;
	return is_refusal(p, ee) ? TOLD_REFUSED : TOLD_NOTHING;
}

static enum told read_error_queue(struct probe *p)
{
	char control[512];
	uint8_t head[8];
	enum told told = TOLD_NOTHING;

	for (;;) {
		struct iovec iov = { head, sizeof(head) };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = p->fd < 0 ? -1 : recvmsg(p->fd, &m, MSG_ERRQUEUE);

		if (n < 0)
			return told;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			enum told now = TOLD_NOTHING;

			if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
			    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				now = judge_error(p, (const void *)CMSG_DATA(c), head, (size_t)n);
			told = now > told ? now : told;
		}
	}
}

bool probe_refused(struct probe *p, uint64_t now)
{
	if (read_error_queue(p) != TOLD_REFUSED)
		return false;
	probe_end(p, PROBE_REFUSED, now);
	return true;
}

void probe_fail(struct probe *p, int err, uint64_t now)
{
	enum told told = read_error_queue(p);

	if (told == TOLD_OF_OTHERS)
		return;
	if (told == TOLD_REFUSED) {
		probe_end(p, PROBE_REFUSED, now);
		return;
	}
	/* The path is narrower than thought: the kernel knows now, the next packet fits. */
	if (err == EMSGSIZE && p->proto != PROBE_TCP && p->fd >= 0 && p->sent < 3) {
		probe_datagram_send(p, now);
		return;
	}
	if (p->proto == PROBE_TCP && (err == ECONNREFUSED || err == ECONNRESET)) {
		p->refused = REFUSED_RST;
		probe_end(p, PROBE_REFUSED, now);
		return;
	}
	snprintf(p->detail, sizeof(p->detail), "%s", strerror(err));
	probe_end(p, PROBE_TIMEOUT, now);
}

void probe_step(struct probe *p, uint32_t events, uint64_t now)
{
	if (p->result != PROBE_PENDING)
		return;
	if (p->proto == PROBE_TCP)
		probe_tcp_step(p, events, now);
	else
		probe_datagram_step(p, events, now);
}
