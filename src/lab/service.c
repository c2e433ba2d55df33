// SPDX-License-Identifier: Apache-2.0
/* service: see service.h. */
#include "lab/service.h"
#include "base/log.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACKOFF_MIN    0.1
#define BACKOFF_MAX    5.0
#define STABLE_SECONDS 10.0

static void exec_service(struct lab_service *s)
{
	struct err e = { 0 };
	sigset_t none;
	int fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int in = s->input >= 0 ? s->input : open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || dup2(in, 0) < 0)
		_exit(126);
	if ((s->home && space_enter(s->home, SPACE_ALL, &e)) ||
	    (s->net && space_enter(s->net, SPACE_NET, &e))) {
		log_error("%s: %s", s->name, e.text);
		_exit(126);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	execv(s->path, (char *const *)s->argv);
	log_error("%s: %s: %s", s->name, s->path, strerror(errno));
	_exit(127);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	ev_timer_stop(loop, w);
	service_start(w->data);
}

static void retry(struct lab_service *s)
{
	bool stable = ev_now(EV_DEFAULT) - s->started > STABLE_SECONDS;

	s->backoff = stable || !s->backoff ? BACKOFF_MIN : s->backoff * 2;
	s->backoff = s->backoff < BACKOFF_MAX ? s->backoff : BACKOFF_MAX;
	ev_timer_init(&s->again, on_again, s->backoff, 0);
	s->again.data = s;
	ev_timer_start(EV_DEFAULT, &s->again);
}

void service_start(struct lab_service *s)
{
	s->started = ev_now(EV_DEFAULT);
	s->heir = -1;
	s->pid = fork();
	if (s->pid < 0) {
		log_error("%s: fork: %s", s->name, strerror(errno));
		retry(s);
	} else if (!s->pid) {
		exec_service(s);
	}
}

/* ---- one that took over */

/* Pid files outlive who wrote them, and pids come again: it must be of the service's space and
 * bear the program's name. */
static bool is_service(const struct lab_service *s, pid_t pid)
{
	char path[64], want[32];
	struct buf comm = { 0 };
	struct stat there, here;
	bool same;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	if (stat(path, &there) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", s->home);
	if (stat(path, &here) < 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	snprintf(want, sizeof(want), "%.15s\n", s->argv[0]);
	same = !file_read(path, sizeof(want), &comm, NULL) && comm.n && !strcmp(comm.v, want);
	buf_fini(&comm);
	return same;
}

static void leave_heir(struct lab_service *s)
{
	if (s->heir < 0)
		return;
	ev_io_stop(EV_DEFAULT, &s->heir_ended);
	close(s->heir);
	s->heir = -1;
}

static void ended(struct lab_service *s, const char *how);

static void on_heir_ended(struct ev_loop *loop, ev_io *w, int revents)
{
	ended(w->data, "it was none of our children");
}

/* Whether another one goes on in the place of `s->pid`. */
static bool follow_heir(struct lab_service *s)
{
	struct buf text = { 0 };
	pid_t pid = 0;
	int fd;

	if (!s->pidfile[0])
		return false;
	if (!file_read(s->pidfile, 32, &text, NULL) && text.n)
		pid = (pid_t)strtol(text.v, NULL, 10);
	buf_fini(&text);
	if (pid <= 0 || pid == s->pid)
		return false;
	/* First the descriptor: what is judged then is what is followed. */
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return false;
	if (!is_service(s, pid)) {
		close(fd);
		return false;
	}
	s->pid = pid;
	s->heir = fd;
	s->started = ev_now(EV_DEFAULT);
	ev_io_init(&s->heir_ended, on_heir_ended, fd, EV_READ);
	s->heir_ended.data = s;
	ev_io_start(EV_DEFAULT, &s->heir_ended);
	return true;
}

static void ended(struct lab_service *s, const char *how)
{
	pid_t last = s->pid;

	leave_heir(s);
	if (follow_heir(s)) {
		log_info("%s: process %d has taken over from %d", s->name, s->pid, last);
		return;
	}
	s->pid = 0;
	log_warn("%s (process %d) ended: %s; it is started again", s->name, last, how);
	retry(s);
}

void service_ended(struct lab_service *s, int status)
{
	char text[64];

	ended(s, proc_status_str(status, text, sizeof(text)));
}
