// SPDX-License-Identifier: Apache-2.0
/* endpoint: see endpoint.h. Servers listen on one IPv6 socket for both families, and on an IPv4
 * one where the namespace has no IPv6. */
#include "lab/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096

socklen_t ep_addr(const struct ipaddr *a, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	out->ss_family = a->family;
	if (a->family == AF_INET) {
		struct sockaddr_in *in = (void *)out;

		memcpy(&in->sin_addr, a->b, 4);
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)out;

	memcpy(&in6->sin6_addr, a->b, 16);
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

struct ipaddr ep_ip(const struct sockaddr_storage *ss)
{
	struct ipaddr a = { .family = AF_INET };

	if (ss->ss_family == AF_INET) {
		memcpy(a.b, &((const struct sockaddr_in *)ss)->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)ss)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(in6)) {
			memcpy(a.b, in6->s6_addr + 12, 4);
		} else {
			a.family = AF_INET6;
			memcpy(a.b, in6, 16);
		}
	} else {
		a.family = 0;
	}
	return a;
}

const char *ep_str(const struct sockaddr_storage *ss, char buf[EP_TEXT])
{
	struct ipaddr a = ep_ip(ss);
	unsigned port = ntohs(((const struct sockaddr_in *)ss)->sin_port); /* same place in both */
	char text[ADDR_TEXT];

	snprintf(buf, EP_TEXT, a.family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr_str(&a, text),
		 port);
	return buf;
}

static int listen_on(int family, int type, uint16_t port)
{
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0, rc;
	struct sockaddr_storage ss;
	struct ipaddr any = { .family = (uint8_t)family };
	socklen_t len = ep_addr(&any, port, &ss);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (type == SOCK_DGRAM) {
		/* SO_REUSEADDR would let a second server share the port silently. */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		if (family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	}
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int ep_listen(int type, uint16_t port, int *fd, struct err *e)
{
	int got = listen_on(AF_INET6, type, port);

	if (got == -EAFNOSUPPORT || got == -EADDRNOTAVAIL)
		got = listen_on(AF_INET, type, port);
	if (got < 0)
		return err_sys(e, got, "port %u", port);
	*fd = got;
	return 0;
}

ssize_t ep_recv(int fd, void *data, size_t n, struct sockaddr_storage *from,
		struct sockaddr_storage *self)
{
	char control[256];
	struct iovec iov = { data, n };
	struct msghdr m = { .msg_name = from,
			    .msg_namelen = sizeof(*from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	socklen_t len = sizeof(*self);
	struct ipaddr to;
	ssize_t got;

	memset(self, 0, sizeof(*self));
	getsockname(fd, (struct sockaddr *)self, &len);
	got = recvmsg(fd, &m, 0);
	if (got < 0)
		return got;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		to = (struct ipaddr){ 0 };
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			to.family = AF_INET;
			memcpy(to.b, &((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			to.family = AF_INET6;
			memcpy(to.b, &((struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr, 16);
		} else {
			continue;
		}
		ep_addr(&to, ntohs(((struct sockaddr_in *)self)->sin_port), self);
		break;
	}
	return got;
}

ssize_t ep_send(int fd, const void *data, size_t n, const struct sockaddr_storage *to,
		const struct sockaddr_storage *self)
{
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct iovec iov = { (void *)data, n };
	struct msghdr m = { .msg_name = (void *)to,
			    .msg_namelen = sizeof(*to),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control };
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct ipaddr a = ep_ip(self);

	if (a.family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, a.b, 4);
		m.msg_controllen = CMSG_SPACE(sizeof(info));
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else if (a.family == AF_INET6) {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, a.b, 16);
		m.msg_controllen = CMSG_SPACE(sizeof(info));
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	m.msg_namelen =
		to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}
