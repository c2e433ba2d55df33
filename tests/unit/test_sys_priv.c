// SPDX-License-Identifier: Apache-2.0
/* sys/priv: each case runs in a child, which gives up what it has; judged by /proc/PID/status, by
 * what the child can still do, and by the signal that ends it. Needs root. */
#include "sys/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77 /* meson's code */

#ifdef __SANITIZE_ADDRESS__
#define RUNTIME_OPENS_FILES 1
#else
#define RUNTIME_OPENS_FILES 0
#endif

/* Runs fn in a child, gives its wait status. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool status_has(const char *line)
{
	char text[4096] = "", want[128];
	FILE *f = fopen("/proc/self/status", "re");
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	fclose(f);
	text[n] = 0;
	snprintf(want, sizeof(want), "\n%s\n", line);
	if (strstr(text, want))
		return true;
	fprintf(stderr, "no line \"%s\" in\n%s", line, text);
	return false;
}

static int drops(void)
{
	static const char *const lines[] = { "Uid:\t65534\t65534\t65534\t65534",
					     "Gid:\t65534\t65534\t65534\t65534",
					     "Groups:\t ",
					     "CapInh:\t0000000000000000",
					     "CapPrm:\t0000000000000000",
					     "CapEff:\t0000000000000000",
					     "CapBnd:\t0000000000000000",
					     "CapAmb:\t0000000000000000",
					     "NoNewPrivs:\t1" };
	struct err e;

	if (priv_drop(65534, 65534, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!status_has(lines[i]))
			return 2;
	if (open("/etc/shadow", O_RDONLY) >= 0 || socket(AF_INET, SOCK_RAW, 1) >= 0)
		return 3;
	return seteuid(0) == 0 ? 4 : 0;
}

static void test_drop(void **state)
{
	struct err e;

	assert_int_equal(in_child(drops), 0);
	assert_int_equal(priv_drop(0, 65534, &e), -EINVAL);
	assert_int_equal(priv_drop(65534, 0, &e), -EINVAL);
}

static void test_user(void **state)
{
	uid_t uid = 1;
	gid_t gid = 1;
	struct err e;

	assert_int_equal(priv_user("root", &uid, &gid, &e), 0);
	assert_int_equal(uid, 0);
	assert_int_equal(priv_user("no-such-account", &uid, &gid, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no-such-account"));
	assert_int_equal(priv_user(NULL, &uid, &gid, &e), 0);
	assert_int_not_equal(uid, 0);
}

/* ---- system calls */

static int jail(const char *const *calls)
{
	struct err e;

	if (!priv_seccomp(calls, &e))
		return 0;
	fprintf(stderr, "%s\n", e.text);
	return 9;
}

static int base_works(void)
{
	char *p;

	if (jail(NULL))
		return 9;
	p = malloc(4 << 20); /* a mapping of its own */
	memset(p, 1, 4 << 20);
	free(p);
	if (write(STDERR_FILENO, "", 0) < 0 || getpid() <= 0)
		return 1;
	return 0;
}

static int opens_file(void)
{
	return jail(NULL) ? 9 : open("/etc/passwd", O_RDONLY) >= 0 ? 1 : 2;
}

static int opens_file_allowed(void)
{
	static const char *const calls[] = { "openat", "open", NULL };

	return jail(calls) ? 9 : open("/etc/passwd", O_RDONLY) >= 0 ? 0 : 2;
}

static int makes_socket(void)
{
	return jail(NULL) ? 9 : socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 1 : 2;
}

static int executes(void)
{
	char *argv[] = { "true", NULL };

	if (jail(NULL))
		return 9;
	execv("/bin/true", argv);
	return 1;
}

static int maps_code(void)
{
	if (jail(NULL))
		return 9;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED;
}

static int protects_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return jail(NULL) ? 9 : mprotect(p, 4096, PROT_READ | PROT_EXEC) + 10;
}

static int unknown_name(void)
{
	static const char *const calls[] = { "frobnicate", NULL };
	struct err e;

	return priv_seccomp(calls, &e) == -EINVAL && strstr(e.text, "frobnicate") ? 0 : 1;
}

static void expect_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_allowed(void **state)
{
	assert_int_equal(in_child(base_works), 0);
	assert_int_equal(in_child(opens_file_allowed), 0);
	assert_int_equal(in_child(unknown_name), 0);
}

static void test_forbidden(void **state)
{
	if (!RUNTIME_OPENS_FILES)
		expect_killed(in_child(opens_file));
	expect_killed(in_child(makes_socket));
	expect_killed(in_child(executes));
	expect_killed(in_child(maps_code));
	expect_killed(in_child(protects_code));
}

/* The middle process dies; the inner one must follow, and closes the pipe by it. */
static void test_die_with_parent(void **state)
{
	int p[2], status;
	pid_t pid;
	char c;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		pid_t me = getpid(), inner = fork();
		struct err e;

		if (inner < 0)
			_exit(1);
		if (inner == 0) {
			if (priv_die_with_parent(SIGKILL, me, &e) || write(p[1], "r", 1) != 1)
				_exit(1);
			pause();
		}
		close(p[1]);
		_exit(read(p[0], &c, 1) != 1);
	}
	close(p[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_die_with_parent),
	};

	if (getuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		return SKIPPED;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
