// SPDX-License-Identifier: Apache-2.0
/* proc: see proc.h.
 *
 * Between fork and exec the child only makes system calls (no allocation, no locks). It reports
 * a failure through a close-on-exec pipe, so that an exec that worked shows as end of file and
 * the parent knows before it goes on. The child's descriptors are first moved above every
 * number that anybody asked for and then put in place, so that no order of `to` numbers can
 * overwrite one that is still needed. */
#include "sys/proc.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 64

static int child_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &dfl, NULL); /* EINVAL for libc's own */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_fds(const struct proc_spec *s, int report)
{
	int top = report, moved[MAX_FDS];

	for (size_t i = 0; i < s->nfds; i++)
		top = s->fds[i].to > top ? s->fds[i].to : top;
	report = fcntl(report, F_DUPFD_CLOEXEC, top + 1);
	for (size_t i = 0; i < s->nfds; i++)
		if ((moved[i] = fcntl(s->fds[i].from, F_DUPFD_CLOEXEC, top + 1)) < 0)
			return -1;
	for (size_t i = 0; i < s->nfds; i++)
		if (dup2(moved[i], s->fds[i].to) < 0)
			return -1;
	return report;
}

/* Everything above 2 that nobody asked for goes at exec. */
static int mark_others(const struct proc_spec *s)
{
	unsigned from = 3;

	if (syscall(SYS_close_range, from, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
		return -1;
	for (size_t i = 0; i < s->nfds; i++)
		if (fcntl(s->fds[i].to, F_SETFD, 0) < 0)
			return -1;
	return 0;
}

static void __attribute__((noreturn)) child(const struct proc_spec *s, pid_t parent, int report)
{
	char *const *envp = s->envp ? (char *const *)s->envp : environ;
	int up = child_fds(s, report), code;

	if (up >= 0)
		report = up;
	if (up < 0 || child_signals() < 0 || mark_others(s) < 0)
		goto fail;
	if (s->new_session && setsid() < 0)
		goto fail;
	if (s->netns > 0 && setns(s->netns, CLONE_NEWNET) < 0)
		goto fail;
	if (s->death_signal && prctl(PR_SET_PDEATHSIG, s->death_signal) < 0)
		goto fail;
	if (s->death_signal && getppid() != parent)
		_exit(127); /* it died before we asked to be told */
	execve(s->path, (char *const *)s->argv, envp);
fail:
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

int proc_spawn(const struct proc_spec *s, struct proc *out, struct err *e)
{
	pid_t parent = getpid(), pid;
	int report[2], code = 0, pidfd;
	ssize_t got;

	if (s->nfds > MAX_FDS)
		return err_set(e, -EINVAL, "%s: more than %d descriptors to pass", s->path,
			       MAX_FDS);
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "%s: pipe", s->path);
	pid = fork();
	if (pid == 0)
		child(s, parent, report[1]);
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return err_sys(e, -errno, "%s: fork", s->path);
	}
	do
		got = read(report[0], &code, sizeof(code));
	while (got < 0 && errno == EINTR);
	close(report[0]);
	/* Not waited for yet, so the number still is this child's. */
	pidfd = got == 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd >= 0) {
		*out = (struct proc){ pid, pidfd };
		return 0;
	}
	if (got != (ssize_t)sizeof(code))
		code = got ? EIO : errno;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err_sys(e, -code, "%s: start", s->path);
}

int proc_signal(int pidfd, int sig, struct err *e)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(e, -errno, "signal %d to a process", sig);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int proc_wait(int pidfd, int timeout_ms, int *status, struct err *e)
{
	int64_t end = now_ms() + timeout_ms;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	siginfo_t si = { 0 };
	int rc;

	do {
		int64_t left = timeout_ms < 0 ? -1 : end - now_ms();

		rc = poll(&p, 1, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return err_set(e, -ETIMEDOUT, "process runs on after %d ms", timeout_ms);
	if (rc < 0 || waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0)
		return err_sys(e, -errno, "wait for a process");
	*status = si.si_code == CLD_EXITED ? W_EXITCODE(si.si_status & 0xff, 0)
					   : W_EXITCODE(0, si.si_status);
	return 0;
}

const char *proc_status_str(int status, char *buf, size_t n)
{
	if (WIFSIGNALED(status))
		snprintf(buf, n, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(buf, n, "exit %d", WEXITSTATUS(status));
	return buf;
}

int proc_pidfile(const char *path, pid_t pid, struct err *e)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)pid);

	return file_write(path, text, (size_t)n, 0644, e);
}

int proc_exe_dir(char *buf, size_t n, struct err *e)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (len < 0)
		return err_sys(e, -errno, "/proc/self/exe");
	path[len] = 0;
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) >= n)
		return err_set(e, -ENAMETOOLONG, "folder of %s", path);
	*slash = 0;
	memcpy(buf, path, (size_t)(slash - path) + 1);
	return 0;
}

int proc_libexec(char *buf, size_t n, struct err *e)
{
	char dir[PATH_MAX], beside[PATH_MAX + 32];
	const char *use = beside;
	int rc = proc_exe_dir(dir, sizeof(dir), e);

	if (rc)
		return rc;
	snprintf(beside, sizeof(beside), "%s/../libexec/fairlead", dir);
	if (access(beside, X_OK) < 0)
		use = dir;
	if (strlen(use) >= n)
		return err_set(e, -ENAMETOOLONG, "%s", use);
	memcpy(buf, use, strlen(use) + 1);
	return 0;
}
