// SPDX-License-Identifier: Apache-2.0
/* sys/shm: both sides see the same octets; who is to read cannot write, nobody can change the size, and what is not so is refused. */
#include "sys/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (1UL << 20)

static void to_read(void **state)
{
	struct shm m, other;
	struct stat st;
	struct err e;

	(void)state;
	assert_int_equal(shm_make(&m, "test", SIZE, false, &e), 0);
	assert_int_equal(fstat(m.fd, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(shm_fill(&m, 0, SIZE / 2), 0);
	assert_int_equal(fstat(m.fd, &st), 0);
	assert_int_equal(st.st_blocks, SIZE / 2 / 512);
	assert_int_equal(shm_fill(&m, SIZE / 2, 2 * SIZE), -EPERM);
	strcpy(m.p, "hello");
	assert_int_equal(shm_take(&other, dup(m.fd), SIZE, false, &e), 0);
	assert_string_equal(other.p, "hello");
	strcpy((char *)m.p + SIZE - 10, "there");
	assert_string_equal((char *)other.p + SIZE - 10, "there");
	/* By none of the ways to it. */
	assert_int_equal(mprotect(other.p, SIZE, PROT_READ | PROT_WRITE), -1);
	assert_ptr_equal(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, other.fd, 0),
			 MAP_FAILED);
	assert_int_equal(pwrite(other.fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(other.fd, 0), -1);
	assert_int_equal(ftruncate(other.fd, 2 * SIZE), -1);
	assert_int_equal(fallocate(other.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
			 -1);
	assert_int_equal(shm_take(&(struct shm){ 0 }, dup(m.fd), SIZE, true, &e), -EPERM);
	/* It is there for as long as one has it. */
	shm_free(&m);
	shm_free(&m);
	assert_string_equal(other.p, "hello");
	shm_free(&other);
}

static void to_write(void **state)
{
	struct shm m, other;
	struct err e;

	(void)state;
	assert_int_equal(shm_make(&m, "test", 8192, true, &e), 0);
	assert_int_equal(shm_take(&other, dup(m.fd), 8192, true, &e), 0);
	strcpy(other.p, "back");
	assert_string_equal(m.p, "back");
	assert_int_equal(ftruncate(other.fd, 0), -1);
	shm_free(&other);
	shm_free(&m);
}

static void strangers(void **state)
{
	struct shm m, got = { 0 };
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(shm_make(&m, "test", 8192, true, &e), 0);
	fd = dup(m.fd);
	assert_int_equal(shm_take(&got, fd, 4096, true, &e), -EBADMSG);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was closed */
	fd = dup(m.fd);
	assert_int_equal(shm_take(&got, fd, 0, true, &e), -EBADMSG);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	shm_free(&m);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(shm_take(&got, fd, 8192, false, &e), -EBADMSG); /* it may shrink */
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(shm_take(&got, fd, 8192, false, &e), -EBADMSG);
	assert_null(got.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_read),
		cmocka_unit_test(to_write),
		cmocka_unit_test(strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
