/* SPDX-License-Identifier: Apache-2.0 */
/* Files that survive a crash, and the kernel's knobs below /proc/sys. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Appends the whole file to `out`. -EFBIG past `limit` bytes, -ENOENT where there is none. */
int file_read(const char *path, size_t limit, struct buf *out, struct err *e);

/* The same in the folder `dir`, which somebody else may write to: what is no regular file, a
 * symbolic link too, is not opened. Answers 0 or -errno, as only the caller knows the path. */
int file_read_at(int dir, const char *name, size_t limit, struct buf *out);

/* The file holds either the old or the new bytes, also after a power failure: temporary file
 * in the same folder, fsync, rename, fsync of the folder. */
int file_write(const char *path, const void *p, size_t n, mode_t mode, struct err *e);

struct file_attrs {
	mode_t mode;
	bool given; /* to this user and group */
	uid_t uid;
	gid_t gid;
};

/* The same in the folder `dir`, which the caller syncs; 0 or -errno. */
int file_write_at(int dir, const char *name, const void *p, size_t n, const struct file_attrs *a);

/* Removes a file durably; -ENOENT counts as done. */
int file_remove(const char *path, struct err *e);

/* Append-only files (journals). open returns the descriptor. append returns when the bytes are
 * on disk; when it fails the file has its former length again. */
int file_open_append(const char *path, mode_t mode, struct err *e);
int file_append(int fd, const void *p, size_t n, struct err *e);

/* Takes the exclusive flock of `path` (made if missing; on a read-only disk it must be there) and
 * returns the descriptor that holds it; -EWOULDBLOCK, with the holder's pid in the text, when somebody else still does after
 * `wait_ms`. close() lets go. Waiting is asking again every few milliseconds, which a holder that
 * takes the lock again at once would never let succeed: it should pause for FILE_LOCK_YIELD_MS
 * after close() where somebody waits. */
int file_lock(const char *path, unsigned wait_ms, struct err *e);
/* The same of a file that is open; 0 or -errno. */
int file_lock_fd(int fd, unsigned wait_ms);
bool file_lock_wanted(int fd);
/* Counts as somebody who waits until the descriptor that this returns is closed; -errno. For
 * those who ask with `wait_ms` 0 again and again. */
int file_lock_want(const char *path);
#define FILE_LOCK_YIELD_MS 20

/* mkdir -p: missing parents get `mode` too. */
int dir_make(const char *path, mode_t mode, struct err *e);
/* Removes a folder and all below it without leaving its file system or following symbolic
 * links; a missing one counts as done. */
int dir_remove(const char *path, struct err *e);

/* `path` is relative to /proc/sys ("net/ipv4/ip_forward"; slashes, so that a dot in a device's
 * name stays itself). What lies below net/ is that of the calling thread's network namespace.
 * Read trims the newline; a value that does not fit is -E2BIG. */
int sysctl_read(const char *path, char *value, size_t n, struct err *e);
int sysctl_write(const char *path, const char *value, struct err *e);
bool sysctl_exists(const char *path); /* or a folder of them: "net/ipv6/conf" */
