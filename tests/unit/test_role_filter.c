// SPDX-License-Identifier: Apache-2.0
/* The seccomp filters of the roles, as role.c applies them: what each may do goes
 * through, anything else kills. health and controller have the base alone. */
#include "daemon/agent.h"
#include "daemon/watch.h"
#include "sys/priv.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int status_of(const char *const *calls, int (*act)(void))
{
	pid_t pid = fork();
	struct err e;
	int status;

	if (pid == 0) {
		if (priv_seccomp(calls, &e))
			_exit(99);
		_exit(act());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int act_socket_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int act_socket_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int act_socket_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static int act_execve(void)
{
	return execl("/bin/true", "true", NULL);
}

static int act_fork(void)
{
	return fork() < 0;
}

static int act_mount(void)
{
	return mount("none", "/", NULL, MS_REMOUNT, NULL) < 0;
}

static int act_kill(void)
{
	return kill(getppid(), 0) < 0;
}

static int act_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0;
}

static int act_setuid(void)
{
	return setuid(0) < 0;
}

static int act_bind(void)
{
	return bind(-1, NULL, 0) == 0;
}

static int act_unshare(void)
{
	return unshare(CLONE_NEWNET) < 0;
}

static int act_setns(void)
{
	return setns(-1, CLONE_NEWNET) == 0;
}

static void *allocate(void *arg)
{
	return malloc(1 << 20);
}

static int act_thread(void)
{
	pthread_t t;
	void *got = NULL;
	bool bad = pthread_create(&t, NULL, allocate, NULL) || pthread_join(t, &got);

	free(got);
	return bad || !got;
}

static int act_exec_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int act_open(void)
{
	return open("/dev/null", O_RDONLY) < 0;
}

/* What mkdir(2) is on arm64 and riscv64, whose kernels have no call of that name. */
static int act_mkdirat(void)
{
	return mkdirat(-1, "none", 0700) == 0;
}

static int act_chown(void)
{
	return chown("/dev/null", 0, 0) < 0;
}

static int int_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int act_life(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	int *p = calloc(1 << 18, sizeof(*p));

	bool bad = fd < 0 || !p || write(2, "", 0) < 0 || close(fd) < 0;

	if (!bad)
		qsort(p, 1 << 18, sizeof(*p), int_cmp); /* glibc looks at the machine's memory */
	free(p);
	return bad;
}

static int act_inotify(void)
{
	int fd = inotify_init1(IN_CLOEXEC);

	return fd < 0 || inotify_add_watch(fd, "/", IN_CREATE) < 0;
}

static void killed(const char *const *calls, int (*act)(void))
{
	int status = status_of(calls, act);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void passes(const char *const *calls, int (*act)(void))
{
	int status = status_of(calls, act);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void forbidden_to_all(const char *const *calls)
{
	killed(calls, act_socket_unix);
	killed(calls, act_execve);
	killed(calls, act_mount);
	killed(calls, act_setuid);
	killed(calls, act_exec_memory);
	killed(calls, act_chown);
	killed(calls, act_unshare);
#if !defined(__SANITIZE_ADDRESS__)
	/* The sanitizers' runtime needs these, see sys/priv.c. */
	killed(calls, act_kill);
	killed(calls, act_ptrace);
#endif
	passes(calls, act_life);
}

/* What only the agent may. */
static void forbidden_to_most(const char *const *calls)
{
	forbidden_to_all(calls);
	killed(calls, act_socket_inet);
	killed(calls, act_socket_netlink);
	killed(calls, act_bind);
	killed(calls, act_setns);
}

static void test_health_controller(void **state)
{
	forbidden_to_most(NULL);
#if !defined(__SANITIZE_ADDRESS__)
	killed(NULL, act_fork);
#endif
	killed(NULL, act_inotify);
#if !defined(__SANITIZE_ADDRESS__)
	killed(NULL, act_open);
#endif
}

static void test_watch(void **state)
{
	forbidden_to_most(watch_calls);
	passes(watch_calls, act_open);
	passes(watch_calls, act_inotify);
	passes(watch_calls, act_thread);
}

static void test_agent(void **state)
{
	forbidden_to_all(agent_calls);
	killed(agent_calls, act_inotify);
	passes(agent_calls, act_open);
	passes(agent_calls, act_mkdirat);
	passes(agent_calls, act_socket_inet);
	passes(agent_calls, act_socket_netlink);
	passes(agent_calls, act_bind);
	passes(agent_calls, act_setns);
	passes(agent_calls, act_thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_health_controller),
					    cmocka_unit_test(test_watch),
					    cmocka_unit_test(test_agent) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
