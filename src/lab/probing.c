// SPDX-License-Identifier: Apache-2.0
/* probing: see probing.h. Targets go in through a memory file, so that no prober can block on
 * what it is told while we wait for what it says. */
#include "lab/probing.h"

#include "base/names.h"
#include "lab/space.h"
#include "lab/words.h"
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 16 /* probers; more would only wait for each other */

struct running {
	pid_t child;
	int out; /* -1: ended */
	struct buf text;
};

static int open_program(const char *name, struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	int fd, rc = proc_libexec(dir, sizeof(dir), e);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_sys(e, -errno, "%s", path);
}

/* Does not return. Errors go where the caller reads the program's own. */
static void exec_in(pid_t space, int program, const char *const *argv)
{
	struct err e = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (space_enter(space, SPACE_ALL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		_exit(2);
	}
	fexecve(program, (char *const *)argv, environ);
	perror(argv[0]);
	_exit(2);
}

static int memory_file(const struct buf *b, struct err *e)
{
	int fd = memfd_create("targets", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "memfd");
	for (size_t at = 0; at < b->n;) {
		ssize_t n = write(fd, b->v + at, b->n - at);

		if (n < 0) {
			int rc = err_sys(e, -errno, "memfd");

			close(fd);
			return rc;
		}
		at += (size_t)n;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int start(const struct probing_job *job, int program, struct running *r, struct err *e)
{
	const char *argv[PROBING_ARGS + 2] = { "lab-prober" };
	int in = job->targets.failed ? err_set(e, -ENOMEM, "out of memory")
				     : memory_file(&job->targets, e);
	int out[2];

	if (in < 0)
		return in;
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in);
		return err_sys(e, -errno, "pipe");
	}
	for (size_t i = 0; i < PROBING_ARGS && job->args[i]; i++)
		argv[i + 1] = job->args[i];
	r->child = fork();
	if (!r->child) {
		dup2(in, 0);
		dup2(out[1], 1);
		exec_in(job->pid, program, argv);
	}
	close(in);
	close(out[1]);
	r->out = out[0];
	if (r->child < 0) {
		close(out[0]);
		r->out = -1;
		return err_sys(e, -errno, "fork");
	}
	return 0;
}

/* ---- what they say */

static const char *word(char **rest)
{
	const char *w = words_next(rest);

	return !strcmp(w, "-") ? "" : w;
}

static uint64_t number(char **rest)
{
	uint64_t v;

	return words_number(words_next(rest), INT64_MAX, &v) ? 0 : v;
}

static void take_line(char *line, probing_fn fn, void *arg)
{
	struct probing_result r = { .id = (long)number(&line) };
	int v = name_find(&probe_result_names, word(&line));

	r.result = v > 0 ? (uint8_t)v : PROBE_TIMEOUT;
	r.server = word(&line);
	r.server_sees = word(&line);
	v = name_find(&refused_by_names, words_next(&line));
	r.refused = v > 0 ? (uint8_t)v : REFUSED_NOT;
	r.us = number(&line);
	r.detail = line && strcmp(line, "-") != 0 ? line : "";
	fn(arg, &r);
}

static void take_lines(struct running *r, probing_fn fn, void *arg)
{
	size_t used = 0;
	char *end;

	while (r->text.n > used && (end = memchr(r->text.v + used, '\n', r->text.n - used))) {
		*end = '\0';
		take_line(r->text.v + used, fn, arg);
		used = (size_t)(end + 1 - r->text.v);
	}
	buf_shift(&r->text, used);
}

static void receive(struct running *r, probing_fn fn, void *arg)
{
	char chunk[16384];
	ssize_t n = read(r->out, chunk, sizeof(chunk));

	if (n < 0 && errno == EINTR)
		return;
	if (n > 0) {
		buf_put(&r->text, chunk, (size_t)n);
		take_lines(r, fn, arg);
		return;
	}
	close(r->out);
	r->out = -1;
}

/* One round of waiting for those that run; how many still do. */
static size_t collect(struct running *v, size_t n, struct pollfd *fds, probing_fn fn, void *arg)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		fds[i] = (struct pollfd){ .fd = v[i].out, .events = POLLIN };
		left += v[i].out >= 0;
	}
	if (left && poll(fds, n, -1) > 0)
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents)
				receive(&v[i], fn, arg);
	left = 0;
	for (size_t i = 0; i < n; i++)
		left += v[i].out >= 0;
	return left;
}

static int reap(struct running *v, size_t n, struct err *e)
{
	int failed = 0, status;

	for (size_t i = 0; i < n; i++) {
		if (v[i].child > 0 && waitpid(v[i].child, &status, 0) == v[i].child && status)
			failed = 1;
		buf_fini(&v[i].text);
	}
	return failed ? err_set(e, -EIO, "a prober failed; its words are above") : 0;
}

int probing_run(const struct probing_job *jobs, size_t n, probing_fn fn, void *arg, struct err *e)
{
	struct running *v = calloc(n + 1, sizeof(*v));
	struct pollfd *fds = calloc(n + 1, sizeof(*fds));
	int program = open_program("lab-prober", e), rc = program < 0 ? program : 0, dead;
	size_t started = 0, active = 0;

	if (!rc && (!v || !fds))
		rc = err_set(e, -ENOMEM, "out of memory");
	while (active || (!rc && started < n)) {
		while (!rc && started < n && active < AT_ONCE) {
			rc = start(&jobs[started], program, &v[started], e);
			started += !rc;
			active += !rc;
		}
		active = collect(v, started, fds, fn, arg);
	}
	dead = started ? reap(v, started, rc ? NULL : e) : 0;
	if (program >= 0)
		close(program);
	free(v);
	free(fds);
	return rc ? rc : dead;
}

/* ---- servers */

int probing_serve(pid_t pid, const char *name, const char *ports, struct probing_server *out,
		  struct err *e)
{
	const char *argv[66] = { "lab-responder", "--skip-taken", name };
	char *copy = strdup(ports), *save = NULL, said[256];
	int life[2], report[2], program = open_program("lab-responder", e);
	size_t n = 3;
	ssize_t got;

	if (program < 0 || !copy) {
		free(copy);
		return program < 0 ? program : err_set(e, -ENOMEM, "out of memory");
	}
	for (char *w = strtok_r(copy, " ", &save); w && n < 65; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	if (pipe2(life, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0) {
		free(copy);
		close(program);
		return err_sys(e, -errno, "pipe");
	}
	out->child = fork();
	if (!out->child) {
		dup2(life[0], 0);
		dup2(report[1], 1);
		exec_in(pid, program, argv);
	}
	free(copy);
	close(program);
	close(life[0]);
	close(report[1]);
	out->life = life[1];
	got = out->child > 0 ? read(report[0], said, sizeof(said) - 1) : 0;
	close(report[0]);
	said[got > 0 ? got : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	if (!strcmp(said, "ready"))
		return 0;
	probing_serve_end(out);
	return err_set(e, -EIO, "responder on %s: %s", name, *said ? said : "died");
}

void probing_serve_end(struct probing_server *s)
{
	close(s->life);
	if (s->child > 0)
		waitpid(s->child, NULL, 0);
	s->child = 0;
}
