// SPDX-License-Identifier: Apache-2.0
/* The next keeper's side of a takeover, `fairleadd --takeover`; keeper_give.c has the conversation.
 *
 * The process that was called stays in the foreground until the takeover is done or has failed,
 * so that its exit status tells; a child of it becomes the keeper. Until DONE that child owns
 * nothing: a role that does not start, a signal, or any other end of it leaves the run directory
 * to the keeper that runs. When that one ends first, the child goes on as after a killed keeper. */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 15000 /* for any next word, over the time that roles may take to end */
#define LEAVE_MS  2000  /* for the other keeper to leave after DONE */

int keeper_take_fork(struct keeper *k)
{
	int report[2], status = 0;
	ssize_t n;
	pid_t pid;
	char ok;

	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "fairleadd: fork: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		close(report[0]);
		k->report = report[1];
		return -1;
	}
	close(report[1]);
	do
		n = read(report[0], &ok, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

static int say(struct keeper *k, unsigned type, struct err *e)
{
	const struct rec_takeover body = { .version = FAIRLEAD_VERSION,
					   .pid = getpid(),
					   .node = k->cfg.node,
					   .state_dir = k->cfg.state_dir };

	return rstream_put(&k->last, type, record_schema(type), &body, -1, e);
}

/* What can be known before anything is disturbed. */
static int programs_exist(const struct keeper *k, struct err *e)
{
	char path[PATH_MAX + 40];

	for (uint32_t i = 0; i < k->cfg.roles.n; i++) {
		snprintf(path, sizeof(path), "%s/%s", k->libexec, k->cfg.roles.v[i]);
		if (access(path, X_OK) < 0)
			return err_sys(e, -errno, "role %s: %s", k->cfg.roles.v[i], path);
	}
	return 0;
}

/* What the running keeper says. 1: all is ours. The frame's descriptor is the callee's. */
static int on_frame(struct keeper *k, struct rframe *f, struct err *e)
{
	union {
		struct rec_takeover takeover;
		struct rec_bind socket;
	} body = { 0 };
	struct arena a;
	int rc;

	if (f->type < REC_TAKEOVER || f->type > REC_TAKEOVER_NO) {
		if (f->fd >= 0)
			close(f->fd); /* a newer one may hand on more than we know */
		return 0;
	}
	arena_init(&a, RECORD_MAX);
	rc = record_decode(&f->body, record_schema(f->type), &body, &a, e);
	if (!rc && f->type == REC_TAKEOVER_NO)
		rc = err_set(e, -EBUSY, "the running fairleadd refuses: %s",
			     body.takeover.text ? body.takeover.text : "no reason given");
	if (!rc && f->type == REC_TAKEOVER && k->lock < 0 && f->fd >= 0) {
		log_info("taking over from fairleadd %s (pid %lld)",
			 body.takeover.version ? body.takeover.version : "?",
			 (long long)body.takeover.pid);
		k->lock = f->fd;
		f->fd = -1;
	}
	if (!rc && f->type == REC_TAKEOVER_SOCKET && f->fd >= 0) {
		keeper_bind_take(k, &body.socket, f->fd);
		f->fd = -1;
	}
	if (f->fd >= 0)
		close(f->fd);
	arena_fini(&a);
	return rc ? rc : f->type == REC_TAKEOVER_YOURS;
}

int keeper_take(struct keeper *k, struct err *e)
{
	char path[PATH_MAX];
	struct rframe f;
	int fd, rc = programs_exist(k, e);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/" TAKEOVER_SOCK, k->cfg.run_dir);
	fd = sock_unix_connect(path, SOCK_STREAM, ANSWER_MS, e);
	if (fd < 0)
		return err_wrap(e, "no fairleadd runs that could be taken over from");
	rc = rstream_init(&k->last, fd, e);
	if (!rc)
		rc = say(k, REC_TAKEOVER, e);
	while (!rc) {
		rc = rstream_recv(&k->last, &f, ANSWER_MS, e);
		if (!rc)
			rc = on_frame(k, &f, e);
	}
	if (rc > 0)
		return 0;
	if (rc != -ECONNRESET)
		return err_wrap(e, "takeover");
	log_warn("the fairleadd before has ended before it handed over");
	rstream_fini(&k->last);
	return 0;
}

bool keeper_taking(const struct keeper *k)
{
	return k->last.fd >= 0;
}

void keeper_take_fail(struct keeper *k, const char *why)
{
	log_error("takeover: %s; the fairleadd before goes on", why);
	k->failed = k->ending = k->handed = true;
	keeper_roles_stop(k);
}

void keeper_take_events(struct keeper *k, short revents)
{
	struct err e = { 0 };
	struct rframe f;
	int rc;

	if (!revents)
		return;
	rc = rstream_fill(&k->last, &e);
	while (!rc && (rc = rstream_next(&k->last, &f, &e)) > 0)
		rc = on_frame(k, &f, &e);
	if (rc == -EBUSY && !k->ending) {
		keeper_take_fail(k, e.text);
	} else if (rc < 0 || k->last.eof) {
		log_warn("the fairleadd before has ended before this one was done");
		rstream_fini(&k->last);
	}
}

/* The other keeper leaves: then this one is systemd's main process. Returns -errno where it says
 * NO after all. */
static int leave_or_no(struct keeper *k, struct err *e)
{
	struct rframe f;
	int rc = say(k, REC_TAKEOVER_DONE, e);

	while (!rc) {
		rc = rstream_recv(&k->last, &f, LEAVE_MS, e);
		if (!rc)
			rc = on_frame(k, &f, e);
	}
	return rc == -EBUSY ? rc : 0;
}

void keeper_take_done(struct keeper *k)
{
	struct err e;

	if (!k->takeover)
		return;
	k->takeover = false;
	if (keeper_dir_pidfile(k, &e))
		log_warn("%s", e.text);
	if (keeper_taking(k) && leave_or_no(k, &e)) {
		keeper_take_fail(k, e.text);
		return;
	}
	rstream_fini(&k->last);
	keeper_bind_recheck(k);
	setsid();
	if (write(k->report, "", 1) < 0)
		log_warn("takeover: %s", strerror(errno));
	close(k->report);
}
