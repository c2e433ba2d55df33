// SPDX-License-Identifier: Apache-2.0
/* inet: see inet.h; ip(7), ipv6(7), tcp(7). */
#include "sys/inet.h"
#include "sys/clock.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TTL_MOST 255
#define PORTS    8 /* tried for datagrams before it is given up */

union name {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_storage room;
};

static socklen_t set_name(union name *n, const struct ipaddr *a, uint16_t port)
{
	memset(n, 0, sizeof(*n));
	if (a->family == AF_INET6) {
		n->six.sin6_family = AF_INET6;
		n->six.sin6_port = htons(port);
		memcpy(&n->six.sin6_addr, a->b, 16);
		return sizeof(n->six);
	}
	n->four.sin_family = AF_INET;
	n->four.sin_port = htons(port);
	memcpy(&n->four.sin_addr, a->b, 4);
	return sizeof(n->four);
}

static struct ipaddr addr_of(const union name *n)
{
	struct ipaddr a = { .family = (uint8_t)n->any.sa_family };

	if (a.family == AF_INET6)
		memcpy(a.b, &n->six.sin6_addr, 16);
	else
		memcpy(a.b, &n->four.sin_addr, 4);
	return a;
}

static int set_int(int fd, int level, int name, int v, const char *what, struct err *e)
{
	return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? err_sys(e, -errno, "%s", what) : 0;
}

int inet_prepare(int fd, uint8_t family, struct err *e)
{
	bool six = family == AF_INET6;
	int rc = six ? set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, TTL_MOST, "hop limit", e)
		     : set_int(fd, IPPROTO_IP, IP_TTL, TTL_MOST, "TTL", e);

	if (rc)
		return rc;
	return six ? set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, IPTOS_CLASS_CS6, "traffic class", e)
		   : set_int(fd, IPPROTO_IP, IP_TOS, IPTOS_CLASS_CS6, "traffic class", e);
}

int inet_limit(int fd, uint8_t family, uint8_t hops, struct err *e)
{
	int least = hops ? TTL_MOST + 1 - hops : 0;

	return family == AF_INET6
		       ? set_int(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, least, "least hop limit", e)
		       : set_int(fd, IPPROTO_IP, IP_MINTTL, least, "least TTL", e);
}

int inet_secret(int fd, const struct ipaddr *addr, const char *secret, size_t n, struct err *e)
{
	struct tcp_md5sig key = { .tcpm_keylen = (uint16_t)n };
	union name name;
	int rc;

	if (n > INET_SECRET_MAX)
		return err_set(e, -EINVAL, "a password has at most %d octets", INET_SECRET_MAX);
	set_name(&name, addr, 0);
	memcpy(&key.tcpm_addr, &name.room, sizeof(key.tcpm_addr));
	if (n)
		memcpy(key.tcpm_key, secret, n);
	rc = setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) < 0 ? -errno : 0;
	explicit_bzero(&key, sizeof(key));
	/* None was there to be taken away, or the kernel has no such thing. */
	if (!n && (rc == -ENOENT || rc == -ENOPROTOOPT))
		return 0;
	return rc ? err_sys(e, rc, "TCP MD5 signature") : 0;
}

static int bind_source(int fd, const struct ipaddr *source, uint16_t port)
{
	union name name;
	socklen_t n = set_name(&name, source, port);

	return bind(fd, &name.any, n) < 0 ? -errno : 0;
}

static int prepare_connection(int fd, const struct inet_peer *p, struct err *e)
{
	char text[ADDR_TEXT];
	int rc = inet_prepare(fd, p->addr.family, e);

	if (!rc && p->hops)
		rc = inet_limit(fd, p->addr.family, p->hops, e);
	if (!rc)
		rc = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY", e);
	if (!rc && p->secret)
		rc = inet_secret(fd, &p->addr, p->secret, p->secret_len, e);
	if (!rc && p->source.family) {
		rc = bind_source(fd, &p->source, 0);
		if (rc)
			err_sys(e, rc, "source address %s", addr_str(&p->source, text));
	}
	return rc;
}

int inet_connect(const struct inet_peer *p, struct err *e)
{
	union name name;
	socklen_t n = set_name(&name, &p->addr, p->port);
	int fd = socket(p->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return err_sys(e, -errno, "socket");
	rc = prepare_connection(fd, p, e);
	if (!rc && connect(fd, &name.any, n) < 0 && errno != EINPROGRESS)
		rc = err_sys(e, -errno, "connect");
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int inet_error(int fd)
{
	socklen_t n = sizeof(int);
	int v = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &n) < 0 ? -errno : -v;
}

int inet_accept(int listener, struct ipaddr *from, struct err *e)
{
	union name name;
	socklen_t n = sizeof(name);
	int one = 1, fd = accept4(listener, &name.any, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* Who gave up while it queued is no error of ours. */
		int rc = errno == ECONNABORTED || errno == EINTR ? -EAGAIN : -errno;

		return err_sys(e, rc, "accept");
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*from = addr_of(&name);
	return fd;
}

/* ---- our own addresses */

static uint8_t length_of(const union name *mask)
{
	struct ipaddr m = addr_of(mask);
	uint8_t n = 0;

	while (n < addr_bits(&m) && m.b[n / 8] & 0x80 >> n % 8)
		n++;
	return n;
}

/* False: it is none that counts. */
static bool subnet_of(const struct ifaddrs *i, struct prefix *out)
{
	union name name = { 0 }, mask = { 0 };
	size_t n;

	if (!i->ifa_addr || !i->ifa_netmask ||
	    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
		return false;
	n = i->ifa_addr->sa_family == AF_INET6 ? sizeof(name.six) : sizeof(name.four);
	memcpy(&name, i->ifa_addr, n);
	memcpy(&mask, i->ifa_netmask, n);
	mask.any.sa_family = name.any.sa_family; /* of a mask it may be missing */
	*out = (struct prefix){ .addr = addr_of(&name), .len = length_of(&mask) };
	return !addr_is_loopback(&out->addr) && !addr_is_link_local(&out->addr);
}

static int in_order(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

int inet_subnets(struct arena *a, struct prefix **out, size_t *n, struct err *e)
{
	struct ifaddrs *all, *i;
	size_t most = 0, found = 0;
	struct prefix *v;

	if (getifaddrs(&all) < 0)
		return err_sys(e, -errno, "addresses of interfaces");
	for (i = all; i; i = i->ifa_next)
		most++;
	v = arena_array(a, most, sizeof(*v));
	for (i = all; i && v; i = i->ifa_next)
		found += subnet_of(i, &v[found]);
	freeifaddrs(all);
	if (!v)
		return err_set(e, -ENOMEM, "no memory");
	qsort(v, found, sizeof(*v), in_order);
	*out = v;
	*n = found;
	return 0;
}

/* ---- datagrams */

int inet_watch(int fd, uint8_t family, struct err *e)
{
	bool six = family == AF_INET6;
	int rc = six ? set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT", e)
		     : set_int(fd, IPPROTO_IP, IP_RECVTTL, 1, "IP_RECVTTL", e);

	if (rc)
		return rc;
	return six ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO", e)
		   : set_int(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO", e);
}

/* Any of them will do that is free. */
static int bind_some_port(int fd, const struct ipaddr *source, uint16_t first)
{
	int rc = -EADDRINUSE;

	for (unsigned i = 0; i < PORTS && rc == -EADDRINUSE; i++) {
		uint16_t r;

		random_bytes(&r, sizeof(r));
		rc = bind_source(fd, source, (uint16_t)(first + r % (65536u - first)));
	}
	return rc;
}

int inet_datagrams(const struct inet_peer *p, uint16_t first, struct err *e)
{
	struct ipaddr source =
		p->source.family ? p->source : (struct ipaddr){ .family = p->addr.family };
	union name name;
	socklen_t n = set_name(&name, &p->addr, p->port);
	int fd = socket(p->addr.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return err_sys(e, -errno, "socket");
	rc = inet_prepare(fd, p->addr.family, e);
	if (!rc) {
		rc = bind_some_port(fd, &source, first);
		if (!rc && connect(fd, &name.any, n) < 0)
			rc = -errno;
		if (rc)
			err_sys(e, rc, "datagrams");
	}
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static void set_origin(struct msghdr *m, struct inet_origin *o)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		bool six = c->cmsg_level == IPPROTO_IPV6;
		const void *v = CMSG_DATA(c);
		struct in_pktinfo four;

		if (!six && c->cmsg_level != IPPROTO_IP)
			continue;
		if (c->cmsg_type == (six ? IPV6_HOPLIMIT : IP_TTL)) {
			memcpy(&o->ttl, v, sizeof(o->ttl));
		} else if (six && c->cmsg_type == IPV6_PKTINFO) {
			o->to.family = AF_INET6;
			memcpy(o->to.b, v, 16); /* ipi6_addr is its first member (RFC 3542 6) */
		} else if (!six && c->cmsg_type == IP_PKTINFO) {
			memcpy(&four, v, sizeof(four));
			o->to.family = AF_INET;
			memcpy(o->to.b, &four.ipi_addr, 4);
		}
	}
}

int inet_receive(int fd, void *v, size_t n, struct inet_origin *o, struct err *e)
{
	_Alignas(struct cmsghdr) char control[128];
	struct iovec part = { v, n };
	union name name;
	struct msghdr m = { .msg_name = &name,
			    .msg_namelen = sizeof(name),
			    .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &m, 0);

	if (got < 0)
		return err_sys(e, errno == EINTR ? -EAGAIN : -errno, "receive");
	*o = (struct inet_origin){ .from = addr_of(&name), .ttl = -1 };
	set_origin(&m, o);
	return (int)got;
}
