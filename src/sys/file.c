// SPDX-License-Identifier: Apache-2.0
/* file: see file.h.
 *
 * Durability is the point: a rename is on disk only once the folder is synced, and an append
 * only after fdatasync(2). A temporary file is named ".NAME.tmp" in the target's folder; one
 * that a crash left behind is overwritten by the next write of the same file. Writers of one
 * file exclude each other by other means (the store's flock, one owner). */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* <sys/file.h> declares it, but that name leads to our own header. */
int flock(int fd, int operation);

static int read_all(int fd, size_t limit, struct buf *out)
{
	size_t start = out->n;
	char chunk[16384];
	ssize_t got;
	int rc = 0;

	while (!rc && (got = read(fd, chunk, sizeof(chunk))) != 0) {
		if (got < 0)
			rc = errno == EINTR ? 0 : -errno;
		else if (out->n - start + (size_t)got > limit)
			rc = -EFBIG;
		else
			buf_put(out, chunk, (size_t)got);
	}
	if (!rc && out->failed)
		rc = -ENOMEM;
	if (rc && !out->failed && out->v) {
		out->n = start;
		out->v[start] = 0;
	}
	return rc;
}

int file_read(const char *path, size_t limit, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	rc = read_all(fd, limit, out);
	close(fd);
	if (rc == -EFBIG)
		return err_set(e, rc, "%s: larger than %zu bytes", path, limit);
	return rc ? err_sys(e, rc, "%s: read", path) : 0;
}

int file_read_at(int dir, const char *name, size_t limit, struct buf *out)
{
	/* O_NONBLOCK: a pipe that nobody writes to would keep us in open(2). */
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else
		rc = S_ISREG(st.st_mode) ? read_all(fd, limit, out) : -EINVAL;
	close(fd);
	return rc;
}

/* Splits into folder and name; the folder's descriptor is what later calls are relative to. */
static int open_parent(const char *path, const char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t n = slash ? (size_t)(slash - path) : 0;
	int fd;

	*name = slash ? slash + 1 : path;
	if (n >= sizeof(dir) || strlen(*name) > NAME_MAX - 5)
		return err_set(e, -ENAMETOOLONG, "%s: path too long", path);
	if (!**name)
		return err_set(e, -EISDIR, "%s: names a folder", path);
	memcpy(dir, path, n);
	dir[n] = 0;
	fd = open(n ? dir : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "%s: folder", path) : fd;
}

static int write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = write(fd, at, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

static int write_synced(int dir, const char *tmp, const void *p, size_t n,
			const struct file_attrs *a)
{
	int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, a->mode);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, p, n);
	if (!rc && (fchmod(fd, a->mode) < 0 || (a->given && fchown(fd, a->uid, a->gid) < 0) ||
		    fsync(fd) < 0))
		rc = -errno;
	if (close(fd) < 0 && !rc)
		rc = -errno;
	return rc;
}

int file_write_at(int dir, const char *name, const void *p, size_t n, const struct file_attrs *a)
{
	char tmp[NAME_MAX + 1];
	int rc;

	if ((size_t)snprintf(tmp, sizeof(tmp), ".%s.tmp", name) >= sizeof(tmp))
		return -ENAMETOOLONG;
	rc = write_synced(dir, tmp, p, n, a);
	if (!rc && renameat(dir, tmp, dir, name) < 0)
		rc = -errno;
	if (rc)
		unlinkat(dir, tmp, 0);
	return rc;
}

int file_write(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	const struct file_attrs a = { .mode = mode };
	const char *name;
	int dir = open_parent(path, &name, e), rc;

	if (dir < 0)
		return dir;
	rc = file_write_at(dir, name, p, n, &a);
	if (!rc && fsync(dir) < 0)
		rc = -errno;
	close(dir);
	return rc ? err_sys(e, rc, "%s: write", path) : 0;
}

int file_remove(const char *path, struct err *e)
{
	const char *name;
	int dir = open_parent(path, &name, e), rc = 0;

	if (dir == -ENOENT)
		return 0;
	if (dir < 0)
		return dir;
	if (unlinkat(dir, name, 0) == 0)
		rc = fsync(dir) < 0 ? -errno : 0;
	else if (errno != ENOENT)
		rc = -errno;
	close(dir);
	return rc ? err_sys(e, rc, "%s: remove", path) : 0;
}

int file_open_append(const char *path, mode_t mode, struct err *e)
{
	const char *name;
	int dir = open_parent(path, &name, e), fd, rc;

	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, mode);
	rc = fd < 0 || fsync(dir) < 0 ? -errno : 0;
	close(dir);
	if (!rc)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_sys(e, rc, "%s: open for append", path);
}

int file_append(int fd, const void *p, size_t n, struct err *e)
{
	off_t end = lseek(fd, 0, SEEK_END);
	int rc;

	if (end < 0)
		return err_sys(e, -errno, "append: find the end");
	rc = write_all(fd, p, n);
	if (!rc && fdatasync(fd) < 0)
		rc = -errno;
	if (!rc)
		return 0;
	/* A torn tail would end the journal for whoever replays it. */
	if (ftruncate(fd, end) < 0)
		return err_sys(e, rc, "append (and cannot cut the torn tail)");
	return err_sys(e, rc, "append");
}

/* Who has the flock of `fd`; 0 where that cannot be seen. A line of proc(5)'s locks is
 * "1: FLOCK  ADVISORY  WRITE 4711 fe:00:523 0 EOF"; the device there is not always stat(2)'s. */
static int lock_holder(int fd)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256], pid[16], inode[32];
	struct stat st;
	int found = 0;

	if (f && fstat(fd, &st) == 0)
		while (!found && fgets(line, sizeof(line), f))
			if (sscanf(line, "%*s FLOCK ADVISORY WRITE %15s %*[^:]:%*[^:]:%31s", pid,
				   inode) == 2 &&
			    strtoull(inode, NULL, 10) == st.st_ino)
				found = (int)strtol(pid, NULL, 10);
	if (f)
		fclose(f);
	return found;
}

static int lock_refused(int fd, int rc, const char *path, struct err *e)
{
	int holder = rc == -EWOULDBLOCK ? lock_holder(fd) : 0;

	close(fd);
	if (holder)
		return err_set(e, rc, "%s: is locked by pid %d", path, holder);
	return rc == -EWOULDBLOCK ? err_set(e, rc, "%s: is locked by another process", path)
				  : err_sys(e, rc, "%s: lock", path);
}

/* Whoever waits for the flock has a read lock of the other sort on the file. */
static void want(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &l); /* without it we are only less lucky */
}

bool file_lock_wanted(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

int file_lock_want(const char *path)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	want(fd, F_RDLCK);
	return fd;
}

/* Asks again and again, as flock(2) itself knows no time limit. */
int file_lock_fd(int fd, unsigned wait_ms)
{
	unsigned pause = 1;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || !wait_ms)
			return -errno;
		want(fd, F_RDLCK);
		pause = pause < wait_ms ? pause : wait_ms;
		poll(NULL, 0, (int)pause);
		wait_ms -= pause;
		pause = pause < 8 ? pause * 2 : pause;
	}
	want(fd, F_UNLCK);
	return 0;
}

int file_lock(const char *path, unsigned wait_ms, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), rc;

	if (fd < 0 && errno == EROFS)
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "%s: lock", path);
	rc = file_lock_fd(fd, wait_ms);
	return rc ? lock_refused(fd, rc, path, e) : fd;
}

int dir_make(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;

	if (n == 0 || n >= sizeof(part))
		return err_set(e, n ? -ENAMETOOLONG : -ENOENT, "mkdir: bad path \"%s\"", path);
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != 0)
			continue;
		part[i] = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_sys(e, -errno, "%s: mkdir", part);
		part[i] = path[i];
	}
	if (stat(path, &st) < 0)
		return err_sys(e, -errno, "%s", path);
	return S_ISDIR(st.st_mode) ? 0 : err_sys(e, -ENOTDIR, "%s", path);
}

#define TREE_DEPTH 64 /* one descriptor per level is open */

static int remove_below(int dir, dev_t dev, unsigned depth);

static int remove_entry(int dir, const char *name, dev_t dev, unsigned depth)
{
	struct stat st;
	int fd, rc;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (st.st_dev != dev)
		return -EXDEV;
	if (depth == TREE_DEPTH)
		return -ELOOP;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = remove_below(fd, dev, depth + 1);
	if (!rc && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

/* Takes over `dir`. */
static int remove_below(int dir, dev_t dev, unsigned depth)
{
	DIR *d = fdopendir(dir);
	struct dirent *de;
	int rc = 0;

	if (!d) {
		rc = -errno;
		close(dir);
		return rc;
	}
	while (!rc && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			rc = remove_entry(dirfd(d), de->d_name, dev, depth);
	closedir(d);
	return rc;
}

int dir_remove(const char *path, struct err *e)
{
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	rc = remove_entry(AT_FDCWD, path, st.st_dev, 0);
	return rc ? err_sys(e, rc, "%s: remove", path) : 0;
}

static int sysctl_open(const char *path, int flags, struct err *e)
{
	char full[PATH_MAX];
	int fd;

	if (path[0] == '/' || strstr(path, ".."))
		return err_set(e, -EINVAL, "sysctl %s: not a path below /proc/sys", path);
	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/%s", path) >= sizeof(full))
		return err_set(e, -ENAMETOOLONG, "sysctl %s: too long", path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "sysctl %s", path) : fd;
}

int sysctl_read(const char *path, char *value, size_t n, struct err *e)
{
	char text[4096];
	int fd = sysctl_open(path, O_RDONLY, e);
	ssize_t got;

	if (fd < 0)
		return fd;
	got = read(fd, text, sizeof(text));
	if (got < 0) {
		got = -errno;
		close(fd);
		return err_sys(e, (int)got, "sysctl %s: read", path);
	}
	close(fd);
	while (got > 0 && text[got - 1] == '\n')
		got--;
	if ((size_t)got >= n)
		return err_set(e, -E2BIG, "sysctl %s: value of %zd bytes", path, got);
	memcpy(value, text, (size_t)got);
	value[got] = 0;
	return 0;
}

int sysctl_write(const char *path, const char *value, struct err *e)
{
	int fd = sysctl_open(path, O_WRONLY, e), rc = 0;

	if (fd < 0)
		return fd;
	if (write(fd, value, strlen(value)) < 0)
		rc = err_sys(e, -errno, "sysctl %s = %s", path, value);
	close(fd);
	return rc;
}

bool sysctl_exists(const char *path)
{
	int fd = sysctl_open(path, O_PATH, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}
