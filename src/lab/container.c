// SPDX-License-Identifier: Apache-2.0
/* container: the processes of a pod. Init containers with a command run first, one after the
 * other; one without has nothing to do. Then all others run side by side. A container with a command runs it, from the machine's
 * files, in the pod's namespaces; all containers without one share a responder that serves
 * every declared port. Restart follows the pod's restartPolicy, with a delay that doubles. */
#include "base/log.h"
#include "base/names.h"
#include "lab/kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_MIN  0.2
#define BACKOFF_MAX  10.0
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void start(struct crun *r);

int pidfd_watch(struct ev_loop *loop, ev_io *w, pid_t pid,
		void (*cb)(struct ev_loop *, ev_io *, int), void *arg)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	ev_io_init(w, cb, fd, EV_READ);
	w->data = arg;
	ev_io_start(loop, w);
	return 0;
}

void pidfd_unwatch(struct ev_loop *loop, ev_io *w)
{
	if (!ev_is_active(w))
		return;
	ev_io_stop(loop, w);
	close(w->fd);
}

/* ---- after a process ended */

static bool wants_restart(const struct crun *r)
{
	const struct pod *pod = r->pod->obj ? r->pod->obj->body : NULL;
	const char *policy = pod ? pod->spec.restartPolicy : NULL;

	if (r->init)
		return r->code && (!policy || strcmp(policy, "Never") != 0);
	if (!policy || !strcmp(policy, "Always") || !r->c)
		return true;
	return !strcmp(policy, "OnFailure") && r->code;
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	ev_timer_stop(loop, w);
	start(w->data);
}

static void restart_later(struct crun *r)
{
	struct podrun *p = r->pod;

	r->backoff = r->backoff ? r->backoff * 2 : BACKOFF_MIN;
	r->backoff = r->backoff < BACKOFF_MAX ? r->backoff : BACKOFF_MAX;
	ev_timer_init(&r->again, on_again, r->backoff, 0);
	r->again.data = r;
	ev_timer_start(p->k->loop, &r->again);
	if (p->state == RUN_UP || p->state == RUN_STARTING)
		podstatus_write(p);
}

static void unready(struct crun *r)
{
	if (!ev_is_active(&r->ready))
		return;
	ev_io_stop(r->pod->k->loop, &r->ready);
	close(r->ready.fd);
}

/* The next init container, or all others. */
static void start_next(struct podrun *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		if (p->runs[i].init && !p->runs[i].ended) {
			start(&p->runs[i]);
			return;
		}
	for (size_t i = 0; i < p->n_runs; i++)
		if (!p->runs[i].init)
			start(&p->runs[i]);
	if (p->state == RUN_STARTING) {
		podrun_record(p, SANDBOX_RUNNING);
		if (containers_ready(p))
			podrun_ready(p);
	}
}

static void ended(struct crun *r, int code)
{
	struct podrun *p = r->pod;
	bool all = true;

	pidfd_unwatch(p->k->loop, &r->watch);
	unready(r);
	r->proc.pid = 0;
	r->code = code;
	if (p->state == RUN_ENDING) {
		if (!containers_alive(p))
			podrun_stopped(p);
		return;
	}
	if (r->c || !p->why[0]) /* a responder says why itself */
		snprintf(p->why, sizeof(p->why), "container %s ended with exit code %d",
			 *r->name ? r->name : "(responder)", code);
	if (wants_restart(r)) {
		log_warn("Pod %s: %s; it is started again", p->key, p->why);
		restart_later(r);
		return;
	}
	r->ended = true;
	if (r->init && !r->code) {
		p->why[0] = '\0';
		start_next(p);
		return;
	}
	for (size_t i = 0; i < p->n_runs; i++)
		all = all && (p->runs[i].ended || p->runs[i].init);
	if (all || r->init)
		podrun_finished(p);
	else
		podstatus_write(p);
}

static void on_adopted_end(struct ev_loop *loop, ev_io *w, int revents)
{
	ended(w->data, 128 + SIGKILL); /* whose child it was knows better; nobody asks */
}

bool containers_child(struct podrun *p, pid_t pid, int status)
{
	for (size_t i = 0; i < p->n_runs; i++) {
		if (p->runs[i].proc.pid != pid)
			continue;
		ended(&p->runs[i],
		      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		return true;
	}
	return false;
}

/* ---- starting one */

static char **strings(const char *const *v, uint32_t n, const char *const *more, uint32_t m)
{
	char **out = calloc(n + m + 1u, sizeof(*out));

	for (uint32_t i = 0; out && i < n; i++)
		out[i] = (char *)v[i];
	for (uint32_t i = 0; out && i < m; i++)
		out[n + i] = (char *)more[i];
	return out;
}

static char **environment(const struct container *c)
{
	char **env = calloc(c->env.n + 3u, sizeof(*env));
	size_t n = 0;
	bool path = false;

	for (uint32_t i = 0; env && i < c->env.n; i++) {
		path = path || !strcmp(c->env.v[i].name, "PATH");
		if (asprintf(&env[n], "%s=%s", c->env.v[i].name,
			     c->env.v[i].value ? c->env.v[i].value : "") >= 0)
			n++;
	}
	if (env && !path)
		env[n] = (char *)DEFAULT_PATH;
	return env;
}

static void open_log(const struct crun *r)
{
	char path[2 * LAB_PATH], dir[LAB_PATH];
	const struct podrun *p = r->pod;
	int fd, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	lab_path(dir, p->k->lab, "nodes/%s/log", p->k->self->name);
	snprintf(path, sizeof(path), "%s/%s_%s_%s.log", dir, p->ns, p->name,
		 *r->name ? r->name : "responder");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(fd >= 0 ? fd : null, 1);
	dup2(fd >= 0 ? fd : null, 2);
	dup2(null, 0);
}

static void enter(const struct crun *r)
{
	struct err e = { 0 };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (space_enter(r->pod->pause.pid, SPACE_ALL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		_exit(126);
	}
}

static void exec_command(const struct crun *r)
{
	char **argv = strings(r->c->command.v, r->c->command.n, r->c->args.v, r->c->args.n);
	char **env = environment(r->c);

	open_log(r);
	enter(r);
	if (argv && argv[0] && env) {
		environ = env;
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	}
	_exit(127);
}

static void exec_responder(const struct crun *r, int report)
{
	static const char *const protos[] = { [PROTO_NONE] = "tcp",
					      [PROTO_TCP] = "tcp",
					      [PROTO_UDP] = "udp",
					      [PROTO_SCTP] = "sctp" };
	const struct pod *pod = r->pod->obj->body;
	struct buf args = { 0 };
	char program[LAB_PATH + 32], *argv[512], *save = NULL;
	size_t n = 0;

	snprintf(program, sizeof(program), "%s/lab-responder", r->pod->k->libexec);
	argv[n++] = (char *)"lab-responder";
	argv[n++] = r->pod->key;
	buf_puts(&args, "sctp ");
	for (uint32_t i = 0; i < pod->spec.containers.n; i++) {
		const struct container *c = &pod->spec.containers.v[i];

		for (uint32_t k = 0; !c->command.n && k < c->ports.n; k++)
			buf_printf(&args, "%s:%lld ", protos[c->ports.v[k].protocol],
				   (long long)c->ports.v[k].containerPort);
	}
	for (char *w = strtok_r(args.v, " ", &save); w && n < 511; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	/* Standard input stays the lifeline that lab-node itself has. */
	dup2(report, 1);
	enter(r);
	execv(program, argv);
	_exit(127);
}

static void on_ready(struct ev_loop *loop, ev_io *w, int revents)
{
	struct crun *r = w->data;
	struct podrun *p = r->pod;
	char text[256];
	ssize_t n = read(w->fd, text, sizeof(text) - 1);

	unready(r);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "ready") != 0) {
		snprintf(p->why, sizeof(p->why), "responder: %s", *text ? text : "died");
		return; /* its end comes through the child watcher */
	}
	r->backoff = 0;
	if (containers_ready(p))
		podrun_ready(p);
}

static void start(struct crun *r)
{
	struct podrun *p = r->pod;
	int report[2] = { -1, -1 };
	pid_t pid;

	if (!r->c && pipe2(report, O_CLOEXEC) < 0)
		pid = -1;
	else
		pid = fork();
	if (!pid && r->c)
		exec_command(r);
	else if (!pid)
		exec_responder(r, report[1]);
	if (report[1] >= 0)
		close(report[1]);
	if (pid < 0) {
		log_error("Pod %s: starting a container: %s", p->key, strerror(errno));
		if (report[0] >= 0)
			close(report[0]);
		restart_later(r);
		return;
	}
	r->proc.pid = pid;
	if (space_start_time(pid, &r->proc.start))
		r->proc.start = 0;
	if (!r->c) {
		ev_io_init(&r->ready, on_ready, report[0], EV_READ);
		r->ready.data = r;
		ev_io_start(p->k->loop, &r->ready);
	}
	if (p->state == RUN_UP) {
		podrun_record(p, SANDBOX_RUNNING);
		if (containers_ready(p))
			podstatus_write(p);
	}
}

/* ---- all of a pod */

static int list(struct podrun *p)
{
	const struct pod *pod = p->obj->body;
	size_t n = 0;
	bool bare = false;

	p->runs =
		calloc(pod->spec.initContainers.n + pod->spec.containers.n + 1u, sizeof(*p->runs));
	if (!p->runs)
		return -ENOMEM;
	for (uint32_t i = 0; i < pod->spec.initContainers.n; i++) {
		const struct container *c = &pod->spec.initContainers.v[i];

		if (c->command.n)
			p->runs[n++] = (struct crun){
				.pod = p, .c = c, .name = strdup(c->name), .init = true
			};
	}
	for (uint32_t i = 0; i < pod->spec.containers.n; i++) {
		const struct container *c = &pod->spec.containers.v[i];

		if (c->command.n)
			p->runs[n++] = (struct crun){ .pod = p, .c = c, .name = strdup(c->name) };
		bare = bare || !c->command.n;
	}
	/* Without ports it refuses those of SCTP. */
	if (bare)
		p->runs[n++] = (struct crun){ .pod = p, .name = strdup("") };
	p->n_runs = n;
	return 0;
}

int containers_start(struct podrun *p, struct err *e)
{
	if (list(p))
		return err_set(e, -ENOMEM, "out of memory");
	start_next(p);
	return 0;
}

bool containers_begun(const struct podrun *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		if (p->runs[i].init && !p->runs[i].ended)
			return false;
	return true;
}

bool containers_ready(const struct podrun *p)
{
	if (!containers_begun(p))
		return false;
	for (size_t i = 0; i < p->n_runs; i++)
		if (!p->runs[i].init && (!p->runs[i].proc.pid || ev_is_active(&p->runs[i].ready)))
			return false;
	return true;
}

bool containers_alive(const struct podrun *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		if (p->runs[i].proc.pid)
			return true;
	return false;
}

void containers_stop(struct podrun *p, bool now)
{
	for (size_t i = 0; i < p->n_runs; i++) {
		struct crun *r = &p->runs[i];

		ev_timer_stop(p->k->loop, &r->again);
		if (r->proc.pid)
			kill(r->proc.pid, now || !r->c ? SIGKILL : SIGTERM);
	}
}

void containers_free(struct podrun *p)
{
	for (size_t i = 0; i < p->n_runs; i++) {
		ev_timer_stop(p->k->loop, &p->runs[i].again);
		pidfd_unwatch(p->k->loop, &p->runs[i].watch);
		unready(&p->runs[i]);
		free(p->runs[i].name);
	}
	free(p->runs);
	p->runs = NULL;
	p->n_runs = 0;
}

void containers_adopt(struct podrun *p, const struct sandbox *s)
{
	p->runs = calloc(s->containers.n + 1u, sizeof(*p->runs));
	for (uint32_t i = 0; p->runs && i < s->containers.n; i++) {
		struct crun *r = &p->runs[p->n_runs++];

		*r = (struct crun){ .pod = p, .name = strdup(s->containers.v[i].name) };
		if (!space_alive(&s->containers.v[i].proc))
			continue;
		r->proc = s->containers.v[i].proc;
		if (pidfd_watch(p->k->loop, &r->watch, r->proc.pid, on_adopted_end, r))
			r->proc.pid = 0;
	}
}

static const struct container *by_name(const struct pod *pod, const char *name)
{
	for (uint32_t i = 0; i < pod->spec.containers.n; i++)
		if (*name && !strcmp(pod->spec.containers.v[i].name, name))
			return &pod->spec.containers.v[i];
	for (uint32_t i = 0; i < pod->spec.initContainers.n; i++)
		if (*name && !strcmp(pod->spec.initContainers.v[i].name, name))
			return &pod->spec.initContainers.v[i];
	return NULL;
}

void containers_refer(struct podrun *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		p->runs[i].c = by_name(p->obj->body, p->runs[i].name);
}

void containers_resume(struct podrun *p)
{
	containers_refer(p);
	for (size_t i = 0; i < p->n_runs; i++)
		if (!p->runs[i].proc.pid)
			start(&p->runs[i]);
}
