// SPDX-License-Identifier: Apache-2.0
/* netns: see netns.h. setns(2) with a network namespace moves one thread and costs microseconds;
 * making one costs half a millisecond. */
#include "sys/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int netns_open(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "network namespace %s", path);
	if (ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET)
		return fd;
	close(fd);
	return err_set(e, -EINVAL, "%s is no network namespace", path);
}

int netns_self(struct err *e)
{
	return netns_open("/proc/thread-self/ns/net", e);
}

static void go_home(int self)
{
	if (setns(self, CLONE_NEWNET) < 0)
		abort();
	close(self);
}

int netns_new(struct err *e)
{
	int self = netns_self(e), made;

	if (self < 0)
		return self;
	if (unshare(CLONE_NEWNET) < 0) {
		close(self);
		return err_sys(e, -errno, "new network namespace");
	}
	made = netns_self(e);
	go_home(self);
	return made;
}

int netns_id(int netns, uint64_t *id, struct err *e)
{
	struct stat st;

	if (fstat(netns, &st) < 0)
		return err_sys(e, -errno, "network namespace");
	*id = st.st_ino;
	return 0;
}

int netns_do(int netns, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	int self = netns_self(e), rc;

	if (self < 0)
		return self;
	if (setns(netns, CLONE_NEWNET) < 0) {
		close(self);
		return err_sys(e, -errno, "enter a network namespace");
	}
	rc = fn(arg, e);
	go_home(self);
	return rc;
}

int netns_bind(int netns, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444), rc;
	char link[32];

	if (fd < 0)
		return err_sys(e, -errno, "network namespace %s", path);
	close(fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", netns);
	if (mount(link, path, NULL, MS_BIND, NULL) == 0)
		return 0;
	rc = err_sys(e, -errno, "network namespace %s: mount", path);
	unlink(path);
	return rc;
}

int netns_unbind(const char *path, struct err *e)
{
	/* EINVAL: a plain file, whose mount is gone already. */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return err_sys(e, -errno, "network namespace %s: unmount", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "network namespace %s: remove", path);
	return 0;
}
