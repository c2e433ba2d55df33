// SPDX-License-Identifier: Apache-2.0
/* What watch calls beyond every role's base: the store's files, their locks, and notice of
 * changes. No sockets: those it has were handed to it. */
#include "daemon/watch.h"

const char *const watch_calls[] = {
	"openat", "open", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
	"getdents64", "readlink", "readlinkat", "mkdir", "mkdirat", "rename", "renameat",
	"renameat2", "unlink", "unlinkat", "fsync", "fdatasync", "ftruncate", "fchmod", "flock",
	"inotify_init1", "inotify_add_watch", "inotify_rm_watch",
	/* the snapshot's thread; its first malloc() counts processors */
	"clone", "clone3", "sched_getaffinity", NULL
};
