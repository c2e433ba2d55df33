// SPDX-License-Identifier: Apache-2.0
/* sock: opening sockets; see sock.h. The stream of records is in rstream.c. */
#include "sys/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int fill_sun(struct sockaddr_un *sun, const char *path, struct err *e)
{
	size_t n = strlen(path);

	if (!n || n >= sizeof(sun->sun_path))
		return err_set(e, n ? -ENAMETOOLONG : -EINVAL,
			       "socket \"%s\": path of %zu bytes, 1 to %zu are possible", path, n,
			       sizeof(sun->sun_path) - 1);
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sun->sun_path, path, n);
	return 0;
}

/* A socket file that refuses connections has no listener: what a killed process left. */
static int remove_stale(const struct sockaddr_un *sun, int type)
{
	struct stat st;
	int fd, rc;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return rc == ENOENT ? 0 : -EADDRINUSE;
	return unlink(sun->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *sun, int type)
{
	int rc;

	if (bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	rc = remove_stale(sun, type);
	if (rc)
		return rc;
	return bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? -errno : 0;
}

int sock_unix_listen(const char *path, int type, mode_t mode, struct err *e)
{
	struct sockaddr_un sun;
	int fd, rc = fill_sun(&sun, path, e);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket %s", path);
	rc = bind_unix(fd, &sun, type);
	/* Nobody can connect before listen(2), so the mode is never too wide. */
	if (!rc && (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0))
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return err_sys(e, rc, "socket %s", path);
}

int sock_unix_connect(const char *path, int type, int timeout_ms, struct err *e)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 }, none = { 0 };
	struct sockaddr_un sun;
	int fd, rc = fill_sun(&sun, path, e);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket %s", path);
	if (timeout_ms > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	do
		rc = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno : 0;
	while (rc == -EINTR);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	if (!rc)
		return fd;
	close(fd);
	return err_sys(e, rc == -EAGAIN ? -ETIMEDOUT : rc, "%s: connect", path);
}

int sock_pair(int type, int fds[2], struct err *e)
{
	int made[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, made) < 0)
		return err_sys(e, -errno, "socketpair");
	memcpy(fds, made, sizeof(made));
	return 0;
}

int sock_accept(int fd, struct err *e)
{
	int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (got >= 0)
		return got;
	/* A client that gave up while it queued is no error of ours. */
	if (errno == ECONNABORTED || errno == EINTR)
		errno = EAGAIN;
	return err_sys(e, -errno, "accept");
}

static int set_opt(int fd, int level, int name)
{
	int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one)) < 0 ? -errno : 0;
}

static int prepare_inet(int fd, const struct ipaddr *addr, bool tcp)
{
	int rc = tcp ? set_opt(fd, SOL_SOCKET, SO_REUSEADDR) : 0;

	if (!rc && addr->family == AF_INET6)
		rc = set_opt(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (!rc)
		rc = addr->family == AF_INET6 ? set_opt(fd, IPPROTO_IPV6, IPV6_FREEBIND)
					      : set_opt(fd, IPPROTO_IP, IP_FREEBIND);
	return rc;
}

static int bind_inet(int fd, const struct ipaddr *addr, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (addr->family == AF_INET6) {
		memcpy(&six.sin6_addr, addr->b, 16);
		return bind(fd, (struct sockaddr *)&six, sizeof(six)) < 0 ? -errno : 0;
	}
	memcpy(&four.sin_addr, addr->b, 4);
	return bind(fd, (struct sockaddr *)&four, sizeof(four)) < 0 ? -errno : 0;
}

int sock_bind(const char *proto, const struct ipaddr *addr, uint16_t port, bool shared,
	      struct err *e)
{
	bool tcp = !strcmp(proto, "tcp");
	char text[ADDR_TEXT];
	int fd, rc;

	if ((!tcp && strcmp(proto, "udp")) || (addr->family != AF_INET && addr->family != AF_INET6))
		return err_set(e, -EINVAL, "bind %s: not tcp or udp, or no address", proto);
	fd = socket(addr->family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return err_sys(e, -errno, "bind %s", proto);
	rc = prepare_inet(fd, addr, tcp);
	if (!rc && shared)
		rc = set_opt(fd, SOL_SOCKET, SO_REUSEPORT);
	if (!rc)
		rc = bind_inet(fd, addr, port);
	if (!rc && tcp && listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return err_sys(e, rc, "bind %s %s port %u", proto, addr_str(addr, text), port);
}
