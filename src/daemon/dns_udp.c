// SPDX-License-Identifier: Apache-2.0
/* Queries by UDP: they are taken, and answers given, as many as there are up to DNS_BATCH in one system call, from room that was made at
 * the start: an answer out of the table or the cache allocates nothing. One that the kernel does not take at once is lost as one on the
 * way would be: who asked by UDP asks again, and a thread that waited would hold up all others.
 *
 * A process that is killed has perhaps read queries that it did not answer: the kernel writes down how long each one is (msg_len) as
 * it comes, in memory that outlives the process, so the next one knows them and answers. One that was answered just before
 * is answered twice then, which clients take for once.
 *
 * A socket without an address (dns-listen 0.0.0.0) has the kernel say which one was asked (IP_PKTINFO, RFC 3542 6.1), as clients
 * take no answer of another: the same control message goes with the answer. */
#include "daemon/dns_worker.h"
#include "sys/clock.h"

#include <errno.h>
#include <string.h>

#define ROUNDS 8 /* batches of one socket in a turn: others have theirs, too */
#define QUEUE                                                                                      \
	(4 << 20) /* octets that wait while the role starts anew, as far as the system allows */

void dns_udp_prepare(int fd, const struct ipaddr *addr)
{
	const int queue = QUEUE, on = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
	if (!addr_is_unspecified(addr))
		return;
	if (addr->family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

static void prepare(struct dns_batch *b)
{
	for (unsigned i = 0; i < DNS_BATCH; i++) {
		b->in_iov[i] = (struct iovec){ b->query[i], DNS_QUERY_MAX };
		b->in[i].msg_len = 0;
		b->in[i].msg_hdr = (struct msghdr){ .msg_name = &b->from[i],
						    .msg_namelen = sizeof(b->from[i]),
						    .msg_iov = &b->in_iov[i],
						    .msg_iovlen = 1,
						    .msg_control = &b->asked[i],
						    .msg_controllen = sizeof(b->asked[i]) };
	}
}

/* The routes choose the answer's link, unless the address says nothing without it. */
static void forget_link(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct in_pktinfo four;
	struct in6_pktinfo six;

	if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&four, CMSG_DATA(c), sizeof(four));
		four.ipi_ifindex = 0;
		memcpy(CMSG_DATA(c), &four, sizeof(four));
	} else if (c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&six, CMSG_DATA(c), sizeof(six));
		if (!IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
			six.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(c), &six, sizeof(six));
	}
}

/* Those before one that is refused are sent; the refused one is left out. */
static void send_all(int fd, struct mmsghdr *v, unsigned n)
{
	for (unsigned sent = 0; sent < n;) {
		int got = sendmmsg(fd, v + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return;
		sent += got > 0 ? (unsigned)got : 1;
	}
}

/* To the first `got` of the batch. */
static void answer(struct dns_socket *s, unsigned got)
{
	struct dns_worker *w = s->worker;
	struct dns_batch *b = w->batch;
	uint64_t now = clock_mono_ns() / 1000;
	unsigned n = 0;

	for (unsigned i = 0; i < got; i++) {
		struct msghdr *from = &b->in[i].msg_hdr;
		struct dns_asker asker = { .fd = s->io.fd,
					   .from_len = from->msg_namelen,
					   .asked_len = (socklen_t)from->msg_controllen,
					   .asked_us = now };
		size_t len;

		if (from->msg_flags & MSG_TRUNC)
			continue; /* no query is that long */
		if (from->msg_controllen)
			forget_link(from);
		memcpy(&asker.from, from->msg_name, from->msg_namelen);
		memcpy(&asker.asked, from->msg_control, from->msg_controllen);
		len = dns_serve(w, b->query[i], b->in[i].msg_len, &asker, b->answer[n],
				DNS_UDP_MAX);
		if (!len)
			continue;
		b->out_iov[n] = (struct iovec){ b->answer[n], len };
		b->out[n].msg_hdr = *from;
		b->out[n].msg_hdr.msg_iov = &b->out_iov[n];
		n++;
	}
	if (n)
		send_all(s->io.fd, b->out, n);
}

static int take(struct dns_socket *s)
{
	struct dns_batch *b = s->worker->batch;
	int got;

	prepare(b);
	b->at = s->at;
	b->busy = true;
	got = recvmmsg(s->io.fd, b->in, DNS_BATCH, MSG_DONTWAIT, NULL);
	if (got > 0)
		answer(s, (unsigned)got);
	b->busy = false;
	return got;
}

void dns_udp_resume(struct dns_socket *s)
{
	struct dns_batch *b = s->worker->batch;
	struct {
		unsigned len;
		socklen_t from;
		size_t asked;
		int flags;
	} had[DNS_BATCH];
	unsigned n = 0;

	if (!b->busy || memcmp(&b->at, &s->at, sizeof(s->at)) != 0)
		return;
	for (; n < DNS_BATCH && b->in[n].msg_len; n++) {
		const struct msghdr *m = &b->in[n].msg_hdr;

		if (b->in[n].msg_len > DNS_QUERY_MAX || m->msg_namelen > sizeof(b->from[n]) ||
		    m->msg_controllen > sizeof(b->asked[n]))
			break;
		had[n].len = b->in[n].msg_len;
		had[n].from = m->msg_namelen;
		had[n].asked = m->msg_controllen;
		had[n].flags = m->msg_flags;
	}
	prepare(b);
	for (unsigned i = 0; i < n; i++) {
		b->in[i].msg_len = had[i].len;
		b->in[i].msg_hdr.msg_namelen = had[i].from;
		b->in[i].msg_hdr.msg_controllen = had[i].asked;
		b->in[i].msg_hdr.msg_flags = had[i].flags;
	}
	answer(s, n);
	b->busy = false;
	if (n)
		log_info("%u queries answered that a process before this one had read", n);
}

void dns_udp_read(struct dns_socket *s)
{
	for (unsigned i = 0; i < ROUNDS && take(s) == DNS_BATCH; i++)
		;
}

void dns_udp_send(const struct dns_asker *to, const uint8_t *p, size_t n)
{
	struct iovec part = { (void *)p, n };
	struct msghdr m = { .msg_name = (void *)&to->from,
			    .msg_namelen = to->from_len,
			    .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = (void *)&to->asked,
			    .msg_controllen = to->asked_len };

	while (sendmsg(to->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}
