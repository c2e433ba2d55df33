// SPDX-License-Identifier: Apache-2.0
/* notify: see notify.h. The socket is a path, or an abstract name that begins with `@`; both end
 * with the length of the address and not with a NUL. */
#include "sys/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int notify_send(const char *lines, struct err *e)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const struct timeval patience = { .tv_sec = 1 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = name ? strlen(name) : 0;
	ssize_t put;
	int fd;

	if (!n)
		return 0;
	if ((name[0] != '/' && name[0] != '@') || n >= sizeof(sun.sun_path))
		return err_set(e, -EINVAL, "NOTIFY_SOCKET \"%s\" is no path of a socket", name);
	memcpy(sun.sun_path, name, n);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -errno, "NOTIFY_SOCKET");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	put = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	n = put < 0 ? (size_t)errno : 0;
	close(fd);
	return n ? err_sys(e, -(int)n, "NOTIFY_SOCKET %s", name) : 0;
}
