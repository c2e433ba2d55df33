/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces. Whoever enters one comes back: where that is impossible the process
 * aborts, since all it did next would hit the wrong namespace. */
#pragma once
#include "base/err.h"

#include <stdint.h>

/* Opens a namespace by path; -EINVAL when the file is no network namespace. */
int netns_open(const char *path, struct err *e);
int netns_self(struct err *e); /* the calling thread's own */
/* A new, empty one, as a descriptor; the caller stays where it is. */
int netns_new(struct err *e);

/* Inode number: equal for two descriptors exactly when they are the same namespace. */
int netns_id(int netns, uint64_t *id, struct err *e);

/* Runs fn inside and returns what it returns. */
int netns_do(int netns, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);

/* Keeps a namespace alive under a path (made, mode 0444), as `ip netns` does below /run/netns;
 * the folder must be a shared or private mount of the caller's. unbind also removes the file; a
 * missing one is success. */
int netns_bind(int netns, const char *path, struct err *e);
int netns_unbind(const char *path, struct err *e);
