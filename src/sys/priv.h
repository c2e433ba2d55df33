/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privileges: user, groups, capabilities and system calls, in this order, once, at the
 * end of a role's start. */
#pragma once
#include "base/err.h"

#include <sys/types.h>

/* The user that roles run as: `name`, or where NULL `fairlead` if the account exists, else
 * nobody. */
int priv_user(const char *name, uid_t *uid, gid_t *gid, struct err *e);

/* Becomes that user for good: groups, gids and uids, no capability in any set (also bounding
 * and ambient), no_new_privs. Verifies that there is no way back. */
int priv_drop(uid_t uid, gid_t gid, struct err *e);

/* Kills the process on any system call outside of the base (event loop, descriptors that are
 * open, memory, log, exit) and the NULL-terminated list of names `calls` (may be NULL). mmap and
 * mprotect never with PROT_EXEC. "socket:netlink" is socket(2) for AF_NETLINK alone, so are "socket:inet", "socket:inet6" and
 * "socket:packet". A name that libseccomp does not know is -EINVAL; one that this
 * architecture does not have is skipped. Sets no_new_privs. */
int priv_seccomp(const char *const *calls, struct err *e);

/* The kernel sends `sig` when the parent dies; -ESRCH when it is gone already. */
int priv_die_with_parent(int sig, pid_t parent, struct err *e);
