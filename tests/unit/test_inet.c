// SPDX-License-Identifier: Apache-2.0
/* Sockets of routing protocols over loopback: what a secret and a distance let through, and what not. */
#include "sys/inet.h"
#include "sys/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SOON_MS 2000
#define WAIT_MS 150 /* for what must not come */

static const char *const locals[] = { "127.0.0.1", "::1" };

static struct ipaddr addr(const char *text)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t n = sizeof(name);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &n), 0);
	return ntohs(name.sin6_port); /* at the same place in both families */
}

static int listener(const char *proto, const struct ipaddr *a)
{
	struct err e;
	int fd = sock_bind(proto, a, 0, false, &e);

	assert_true(fd >= 0);
	return fd;
}

static bool is_ready(int fd, short events, int ms)
{
	struct pollfd p = { fd, events, 0 };

	return poll(&p, 1, ms) == 1;
}

/* Does a connection come about? */
static bool connects(int server, const struct inet_peer *p, bool expected)
{
	struct ipaddr from;
	struct err e;
	int fd = inet_connect(p, &e), got = -1;
	bool is = false;

	assert_true(fd >= 0);
	if (is_ready(server, POLLIN, expected ? SOON_MS : WAIT_MS))
		got = inet_accept(server, &from, &e);
	if (got >= 0) {
		is = is_ready(fd, POLLOUT, SOON_MS) && !inet_error(fd);
		assert_true(addr_eq(&from, &p->addr));
		close(got);
	}
	close(fd);
	return is;
}

static void test_secret(void **state)
{
	char longest[INET_SECRET_MAX + 1];
	struct err e;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < 2; i++) {
		struct ipaddr a = addr(locals[i]);
		int server = listener("tcp", &a);
		struct inet_peer with = { .addr = a, .port = port_of(server) }, other, without;

		without = other = with;
		with.secret = "open sesame";
		with.secret_len = strlen(with.secret);
		other.secret = "open barley";
		other.secret_len = strlen(other.secret);
		assert_int_equal(inet_secret(server, &a, with.secret, with.secret_len, &e), 0);
		assert_true(connects(server, &with, true));
		assert_false(connects(server, &other, false));
		assert_false(connects(server, &without, false));
		assert_int_equal(inet_secret(server, &a, NULL, 0, &e), 0);
		assert_true(connects(server, &without, true));
		assert_int_equal(inet_secret(server, &a, NULL, 0, &e),
				 0); /* none is left: no error */
		assert_int_equal(inet_secret(server, &a, longest, INET_SECRET_MAX, &e), 0);
		assert_int_equal(inet_secret(server, &a, longest, sizeof(longest), &e), -EINVAL);
		close(server);
	}
}

/* Loopback takes nothing off a TTL: 255 is as near as can be, the system's 64 is too far. */
static void test_distance(void **state)
{
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ipaddr a = addr(locals[i]);
		int server = listener("tcp", &a), fd;
		struct inet_peer near = { .addr = a, .port = port_of(server), .hops = 1 };
		struct sockaddr_in6 name;
		socklen_t n = sizeof(name);

		assert_int_equal(inet_prepare(server, a.family, &e), 0);
		assert_int_equal(inet_limit(server, a.family, 1, &e), 0);
		assert_true(connects(server, &near, true));
		assert_int_equal(getsockname(server, (struct sockaddr *)&name, &n), 0);
		fd = socket(a.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(fd >= 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&name, n), -1);
		assert_int_equal(errno, EINPROGRESS);
		assert_false(is_ready(server, POLLIN, WAIT_MS));
		close(fd);
		close(server);
	}
}

static void test_source(void **state)
{
	struct ipaddr a = addr("127.0.0.1"), from;
	int server = listener("tcp", &a), fd, got;
	struct inet_peer p = { .addr = a, .port = port_of(server), .source = addr("127.0.0.9") };
	struct err e;

	(void)state;
	fd = inet_connect(&p, &e);
	assert_true(fd >= 0 && is_ready(server, POLLIN, SOON_MS));
	got = inet_accept(server, &from, &e);
	assert_true(got >= 0 && addr_eq(&from, &p.source));
	close(got);
	close(fd);
	p.source = addr("192.0.2.1");
	assert_int_equal(inet_connect(&p, &e), -EADDRNOTAVAIL);
	assert_string_equal(e.text, "source address 192.0.2.1: Cannot assign requested address");
	assert_int_equal(inet_accept(server, &from, &e), -EAGAIN);
	close(server);
	p.source = (struct ipaddr){ 0 };
	fd = inet_connect(&p, &e);
	assert_true(fd < 0 || (is_ready(fd, POLLOUT, SOON_MS) && inet_error(fd) == -ECONNREFUSED));
	if (fd >= 0)
		close(fd);
}

static void test_datagrams(void **state)
{
	char text[8];
	struct inet_origin o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ipaddr a = addr(locals[i]);
		int in = listener("udp", &a), out;
		struct inet_peer p = { .addr = a, .port = port_of(in) };

		assert_int_equal(inet_watch(in, a.family, &e), 0);
		out = inet_datagrams(&p, 49152, &e);
		assert_true(out >= 0 && port_of(out) >= 49152);
		assert_int_equal(inet_receive(in, text, sizeof(text), &o, &e), -EAGAIN);
		assert_int_equal(send(out, "hello", 5, 0), 5);
		assert_true(is_ready(in, POLLIN, SOON_MS));
		assert_int_equal(inet_receive(in, text, sizeof(text), &o, &e), 5);
		assert_memory_equal(text, "hello", 5);
		assert_int_equal(o.ttl, 255);
		assert_true(addr_eq(&o.from, &a) && addr_eq(&o.to, &a));
		close(out);
		close(in);
	}
}

static void test_subnets(void **state)
{
	struct arena a;
	struct prefix *v;
	struct err e;
	size_t n;

	(void)state;
	arena_init(&a, 0);
	assert_int_equal(inet_subnets(&a, &v, &n, &e), 0);
	for (size_t i = 0; i < n; i++) {
		assert_false(addr_is_loopback(&v[i].addr));
		assert_true(v[i].len > 0 && v[i].len <= addr_bits(&v[i].addr));
		assert_true(i == 0 || prefix_cmp(&v[i - 1], &v[i]) <= 0);
	}
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret),  cmocka_unit_test(test_distance),
		cmocka_unit_test(test_source),  cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_subnets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
