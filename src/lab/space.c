// SPDX-License-Identifier: Apache-2.0
/* space: see space.h. The child reports over a pipe that closes by itself when the exec of the
 * pause program succeeds, so success needs no message and a child that dies is not waited for
 * in vain. */
#include "lab/space.h"

#include "lab/words.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	enum space_part part;
	const char *name;
	int flag;
} parts_table[] = {
	{ SPACE_NET, "net", CLONE_NEWNET },
	{ SPACE_UTS, "uts", CLONE_NEWUTS },
	{ SPACE_IPC, "ipc", CLONE_NEWIPC },
	{ SPACE_MNT, "mnt", CLONE_NEWNS }, /* last: it takes our /proc away */
};

static int unshare_parts(unsigned parts, struct err *e)
{
	int flags = 0;

	for (size_t i = 0; i < sizeof(parts_table) / sizeof(*parts_table); i++)
		if (!parts || parts & parts_table[i].part)
			flags |= parts_table[i].flag;
	if (unshare(flags) < 0)
		return err_sys(e, -errno, "new namespaces");
	if (flags & CLONE_NEWNS && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, -errno, "private mounts");
	return 0;
}

static int become(const struct space_new *n, struct err *e)
{
	static char *const argv[] = { (char *)"lab-pause", NULL };
	static char *const envp[] = { NULL };
	sigset_t none;

	if (unshare_parts(n->parts, e))
		return e->code;
	if (n->hostname && sethostname(n->hostname, strlen(n->hostname)) < 0)
		return err_sys(e, -errno, "host name %s", n->hostname);
	if (n->setup && n->setup(n->arg, e))
		return e->code;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (setsid() < 0 || chdir("/") < 0 || dup2(n->lifeline, 0) < 0 || dup2(2, 1) < 0)
		return err_sys(e, -errno, "lab-pause");
	fexecve(n->pause, argv, envp);
	return err_sys(e, -errno, "lab-pause");
}

int space_begin(const struct space_new *n, struct space_birth *b, struct err *e)
{
	int pipefd[2];
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	pid = fork();
	if (pid < 0) {
		int rc = -errno;

		close(pipefd[0]);
		close(pipefd[1]);
		return err_sys(e, rc, "fork");
	}
	if (!pid) {
		struct err mine = { 0 };
		int rc = become(n, &mine);

		dprintf(pipefd[1], "%d %s", -rc, mine.text);
		_exit(1);
	}
	close(pipefd[1]);
	*b = (struct space_birth){ .pid = pid, .report = pipefd[0] };
	return 0;
}

int space_finish(struct space_birth *b, struct space *out, struct err *e)
{
	char text[ERR_TEXT];
	size_t n = 0;
	ssize_t got;
	uint64_t start;
	int rc;

	while ((got = read(b->report, text + n, sizeof(text) - 1 - n)) > 0 ||
	       (got < 0 && errno == EINTR))
		n += got > 0 ? (size_t)got : 0;
	close(b->report);
	text[n] = '\0';
	if (n) {
		char *rest = text;
		uint64_t code;

		waitpid(b->pid, NULL, 0);
		rc = words_number(words_next(&rest), 4095, &code) ? -EIO : -(int)code;
		return err_set(e, rc, "%s", rest ? rest : text);
	}
	rc = space_start_time(b->pid, &start);
	if (rc)
		return err_set(e, rc, "lab-pause died at its start");
	*out = (struct space){ .pid = b->pid, .start = start };
	return 0;
}

/* proc(5): the name in parentheses may hold anything; the state is field 3, the start field 22. */
int space_start_time(pid_t pid, uint64_t *start)
{
	char path[32], text[1024], *rest;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	rest = strrchr(text, ')');
	if (!rest || rest[1] != ' ' || rest[2] == 'Z')
		return -ESRCH;
	rest += 2;
	for (int field = 3; field < 22; field++)
		words_next(&rest);
	return words_number(words_next(&rest), UINT64_MAX, start) ? -ESRCH : 0;
}

int space_parse(char *text, struct space *out)
{
	uint64_t pid, start;

	if (words_number(words_next(&text), INT32_MAX, &pid) ||
	    words_number(words_next(&text), UINT64_MAX, &start))
		return -EINVAL;
	*out = (struct space){ .pid = (pid_t)pid, .start = start };
	return 0;
}

bool space_alive(const struct space *s)
{
	uint64_t start;

	return s->pid > 0 && !space_start_time(s->pid, &start) && start == s->start;
}

int space_open(pid_t pid, enum space_part part, struct err *e)
{
	char path[40];
	int fd;

	for (size_t i = 0; i < sizeof(parts_table) / sizeof(*parts_table); i++) {
		if (parts_table[i].part != part)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, parts_table[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd >= 0 ? fd : err_sys(e, -errno, "%s", path);
	}
	return err_set(e, -EINVAL, "no such namespace");
}

int space_enter(pid_t pid, unsigned parts, struct err *e)
{
	int fds[sizeof(parts_table) / sizeof(*parts_table)], rc = 0;

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		fds[i] = -1;
		if (!rc && parts & parts_table[i].part)
			fds[i] = space_open(pid, parts_table[i].part, e);
		if (fds[i] < -1)
			rc = fds[i];
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (!rc && fds[i] >= 0 && setns(fds[i], parts_table[i].flag) < 0)
			rc = err_sys(e, -errno, "entering %s of process %d", parts_table[i].name,
				     pid);
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (!rc && chdir("/") < 0)
		rc = err_sys(e, -errno, "/");
	return rc;
}
