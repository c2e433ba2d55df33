// SPDX-License-Identifier: Apache-2.0
/* shm: see shm.h, memfd_create(2), fcntl(2). F_SEAL_FUTURE_WRITE (Linux 5.1) leaves the maker's mapping as it is and refuses each later one
 * that could write, also by mprotect(2). */
#include "sys/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

static int make_fd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

static int map(struct shm *m, bool write, struct err *e)
{
	void *p = mmap(NULL, m->size, write ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_SHARED | MAP_NORESERVE, m->fd, 0);

	if (p == MAP_FAILED)
		return err_sys(e, -errno, "map %zu octets of shared memory", m->size);
	m->p = p;
	return 0;
}

int shm_make(struct shm *m, const char *name, size_t size, bool shared, struct err *e)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (shared ? 0 : F_SEAL_FUTURE_WRITE);
	struct shm made = { .size = size, .fd = make_fd(name) };
	int rc;

	if (made.fd < 0)
		return err_sys(e, -errno, "shared memory");
	if (ftruncate(made.fd, (off_t)size) < 0)
		rc = err_sys(e, -errno, "%zu octets of shared memory", size);
	else
		rc = map(&made, true, e);
	if (!rc && fcntl(made.fd, F_ADD_SEALS, seals) < 0)
		rc = err_sys(e, -errno, "seal shared memory");
	if (rc)
		shm_free(&made);
	else
		*m = made;
	return rc;
}

int shm_for_others(const char *name, size_t size, struct err *e)
{
	struct shm m;
	int rc = shm_make(&m, name, size, true, e);

	if (rc)
		return rc;
	munmap(m.p, m.size);
	return m.fd;
}

int shm_fill(const struct shm *m, size_t from, size_t to)
{
	int rc;

	do
		rc = fallocate(m->fd, 0, (off_t)from, (off_t)(to - from));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

int shm_take(struct shm *m, int fd, size_t size, bool write, struct err *e)
{
	struct shm got = { .size = size, .fd = fd };
	int seals = fcntl(fd, F_GET_SEALS), rc;
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size != size || !size)
		rc = err_set(e, -EBADMSG, "no shared memory of %zu octets", size);
	else
		rc = map(&got, write, e);
	if (rc)
		close(fd);
	else
		*m = got;
	return rc;
}

void shm_free(struct shm *m)
{
	if (m->p)
		munmap(m->p, m->size);
	if (m->size)
		close(m->fd);
	*m = (struct shm){ .fd = -1 };
}
