// SPDX-License-Identifier: Apache-2.0
/* The keeper's seccomp filter: a forbidden call kills, what roles live on goes through, and the
 * filter outlives exec. */
#include "daemon/confine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int status_of(void (*act)(void))
{
	pid_t pid = fork();
	struct err e;
	int status;

	if (pid == 0) {
		if (confine_keeper_filter(&e))
			_exit(99);
		act();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#ifndef __SANITIZE_ADDRESS__
static void act_ptrace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
#endif

static void act_module(void)
{
	syscall(SYS_init_module, NULL, 0UL, "");
}

static void act_keyctl(void)
{
	syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

#ifdef __x86_64__
/* The 32-bit calls have other numbers: 20 is getpid there. */
static void act_int80(void)
{
	long rc;

	signal(SIGSEGV, SIG_DFL); /* cmocka's handler would make an exit out of it */
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
}

/* The x32 numbers: getpid with the bit set. */
static void act_x32(void)
{
	syscall(0x40000000 + SYS_getpid);
}
#endif

static void act_life(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, 0), pair[2];

	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || close(fd) < 0)
		_exit(1);
	execl("/bin/sh", "sh", "-c", "exit $(/bin/echo 7)", NULL);
	_exit(2);
}

/* Another program is under the filter still: roles are. */
static void act_exec(void)
{
	execl("/usr/bin/python3", "python3", "-c",
	      "import ctypes; ctypes.CDLL(None).acct(b\"/nonexistent\")", NULL);
	_exit(98);
}

static void expect_killed(void (*act)(void))
{
	int status = status_of(act);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

#ifdef __x86_64__
/* A kernel that runs without 32-bit calls faults on the instruction before any filter sees it. */
static bool has_int80(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		act_int80();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status);
}
#endif

static void test_forbidden(void **state)
{
#ifndef __SANITIZE_ADDRESS__
	expect_killed(act_ptrace);
#endif
	expect_killed(act_module);
	expect_killed(act_keyctl);
#ifdef __x86_64__
	if (has_int80())
		expect_killed(act_int80);
	expect_killed(act_x32);
#endif
}

static void test_allowed(void **state)
{
	int status = status_of(act_life);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void test_after_exec(void **state)
{
	if (access("/usr/bin/python3", X_OK) < 0)
		skip();
	expect_killed(act_exec);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_forbidden),
					    cmocka_unit_test(test_allowed),
					    cmocka_unit_test(test_after_exec) };

	if (geteuid() != 0)
		return 77; /* a filter without no_new_privs needs CAP_SYS_ADMIN */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
