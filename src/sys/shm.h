/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that two processes share by a descriptor (memfd_create(2)): its maker says whether others may write, and the size is sealed, so
 * that neither side can be made to touch what is not there. */
#pragma once
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct shm {
	void *p; /* NULL: none */
	size_t size;
	int fd;
};

/* Zero, and without pages until shm_fill() or a first access. `name` is for /proc/PID/maps. `shared`: who has the descriptor may write, too;
 * else only this mapping can be written to. */
int shm_make(struct shm *m, const char *name, size_t size, bool shared, struct err *e);
/* Brings pages for the octets [from, to): -ENOMEM here is better than SIGBUS later. 0 or -errno. */
int shm_fill(const struct shm *m, size_t from, size_t to);
/* Maps what another process made; `fd` becomes its own, closed on failure too. -EBADMSG: of another size, or one that may shrink. */
int shm_take(struct shm *m, int fd, size_t size, bool write, struct err *e);
/* The same to be written by who takes it, and not mapped here: the descriptor, or -errno. */
int shm_for_others(const char *name, size_t size, struct err *e);
void shm_free(struct shm *m); /* of an empty one, too */
