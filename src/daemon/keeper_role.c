// SPDX-License-Identifier: Apache-2.0
/* The keeper's roles: processes, their control sockets, joins, restarts.
 *
 * A role that ends is started again: at once, then with a delay that doubles from 100 ms to 5 s
 * as long as it dies young. Every start joins it anew with the roles it talks to; those see the
 * end of their old stream and a new one come. `health` is told over its control socket how the
 * others fare (REC_METRIC), since nobody else knows. */
#include "daemon/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define YOUNG_MS     10000
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 5000
#define STOP_MS      5000 /* from SIGTERM to SIGKILL */

#define EXIT_MS 1000 /* from the end of its control socket to SIGKILL */

#define KEEPER_FD 3 /* in the role: its control socket */
#define LOCK_FD   4 /* in the role: nothing but a sign of life, see keeper_dir.c */

static const struct {
	const char *a, *b;
} joins[] = {
	{ "agent", "watch" },  { "controller", "watch" },  { "health", "watch" },
	{ "health", "agent" }, { "health", "controller" }, { "bgp", "watch" },
	{ "bgp", "agent" },    { "health", "bgp" },        { "dns", "watch" },
	{ "dns", "agent" },    { "health", "dns" },
};

static struct keeper_role *find(struct keeper *k, const char *name)
{
	for (size_t i = 0; i < k->n_roles; i++)
		if (strcmp(k->roles[i].name, name) == 0)
			return &k->roles[i];
	return NULL;
}

static void pid_path(const struct keeper *k, const struct keeper_role *r, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s.pid", k->cfg.run_dir, r->name);
}

/* ---- speaking to a role */

static void tell(struct keeper_role *r, unsigned type, const void *body, int fd)
{
	struct err e;

	if (rstream_put(&r->ctl, type, record_schema(type), body, fd, &e) ||
	    rstream_flush(&r->ctl, &e))
		log_warn("role %s (pid %d): %s", r->name, r->proc.pid, e.text);
}

static void tell_metric(struct keeper_role *to, const struct keeper_role *r, const char *name,
			const char *help, const char *type, uint64_t value)
{
	struct strmap_entry label = { .key = "role", .value = r->name };
	char text[24];
	struct rec_metric m = { .name = name,
				.help = help,
				.type = type,
				.labels = { .v = &label, .n = 1 },
				.value = text };

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	tell(to, REC_METRIC, &m, -1);
}

/* How `r` fares, to health. */
static void report(struct keeper *k, const struct keeper_role *r)
{
	struct keeper_role *health = find(k, "health");

	if (!health || health->state != ROLE_UP)
		return;
	tell_metric(health, r, "fairlead_role_up", "Is the role's process running (keeper).",
		    "gauge", r->state != ROLE_DOWN);
	tell_metric(health, r, "fairlead_role_ready", "Did the role say that it serves (keeper).",
		    "gauge", r->state == ROLE_UP && r->ready);
	tell_metric(health, r, "fairlead_role_restarts_total",
		    "How often the role was started again after it ended (keeper).", "counter",
		    r->restarts);
}

static void join_pair(struct keeper_role *a, struct keeper_role *b)
{
	struct rec_join to_a = { .role = b->name }, to_b = { .role = a->name };
	struct err e;
	int pair[2];

	if (sock_pair(SOCK_STREAM, pair, &e)) {
		log_error("join %s with %s: %s", a->name, b->name, e.text);
		return;
	}
	tell(a, REC_JOIN, &to_a, pair[0]);
	tell(b, REC_JOIN, &to_b, pair[1]);
	close(pair[0]);
	close(pair[1]);
}

/* Joins `r` with all that it talks to, or only with `peer`. */
static void join(struct keeper *k, struct keeper_role *r, const char *peer)
{
	for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++) {
		struct keeper_role *a = find(k, joins[i].a), *b = find(k, joins[i].b);

		if (!a || !b || (a != r && b != r) || a->state != ROLE_UP || b->state != ROLE_UP)
			continue;
		if (!peer || strcmp((a == r ? b : a)->name, peer) == 0)
			join_pair(a, b);
	}
}

/* ---- starting and ending */

static void plan_restart(struct keeper_role *r)
{
	int64_t now = keeper_now_ms();

	if (now - r->started_ms >= YOUNG_MS)
		r->delay_ms = 0;
	r->start_at_ms = now + r->delay_ms;
	r->delay_ms = !r->delay_ms                     ? DELAY_MIN_MS
		      : r->delay_ms * 2 > DELAY_MAX_MS ? DELAY_MAX_MS
						       : r->delay_ms * 2;
}

static int spawn(struct keeper *k, struct keeper_role *r, struct err *e)
{
	const char *argv[] = { r->name, "--config", k->effective, NULL };
	char path[PATH_MAX + 40];
	struct proc_fd fds[2];
	struct proc_spec spec = { .path = path, .argv = argv, .fds = fds, .nfds = 2 };
	int pair[2], rc;

	rc = sock_pair(SOCK_SEQPACKET, pair, e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/%s", k->libexec, r->name);
	fds[0] = (struct proc_fd){ .from = pair[1], .to = KEEPER_FD };
	fds[1] = (struct proc_fd){ .from = k->roles_lock, .to = LOCK_FD };
	rc = rstream_init(&r->ctl, pair[0], e);
	if (!rc)
		rc = proc_spawn(&spec, &r->proc, e);
	if (rc)
		rstream_fini(&r->ctl);
	close(pair[1]);
	return rc;
}

/* A role that does not run in a new build ends the takeover by it. */
static void no_use(struct keeper *k, const struct keeper_role *r)
{
	char why[64];

	if (!keeper_taking(k) || k->ending)
		return;
	snprintf(why, sizeof(why), "role %s does not run", r->name);
	keeper_take_fail(k, why);
}

static void start(struct keeper *k, struct keeper_role *r)
{
	char path[PATH_MAX];
	struct err e;

	r->started_ms = keeper_now_ms();
	r->ready = false;
	keeper_bind_started(k, r->name);
	if (spawn(k, r, &e)) {
		log_error("role %s: %s", r->name, e.text);
		plan_restart(r);
		no_use(k, r);
		return;
	}
	r->state = ROLE_UP;
	log_info("role %s runs (pid %d)", r->name, r->proc.pid);
	pid_path(k, r, path);
	if (proc_pidfile(path, r->proc.pid, &e))
		log_warn("role %s: %s", r->name, e.text);
	join(k, r, NULL);
	if (strcmp(r->name, "health") == 0)
		for (size_t i = 0; i < k->n_roles; i++)
			report(k, &k->roles[i]);
	else
		report(k, r);
}

static void stop(struct keeper_role *r)
{
	struct err e;

	if (r->state != ROLE_UP)
		return;
	if (proc_signal(r->proc.pidfd, SIGTERM, &e))
		log_error("role %s: %s", r->name, e.text);
	r->state = ROLE_STOPPING;
	r->kill_at_ms = keeper_now_ms() + STOP_MS;
}

static void ended(struct keeper *k, struct keeper_role *r)
{
	char path[PATH_MAX], how[64];
	bool expected = r->asked;
	struct err e;
	int status;

	if (proc_wait(r->proc.pidfd, 0, &status, &e)) {
		log_error("role %s (pid %d): %s", r->name, r->proc.pid, e.text);
		return;
	}
	proc_status_str(status, how, sizeof(how));
	if (expected)
		log_info("role %s (pid %d) ended: %s", r->name, r->proc.pid, how);
	else
		log_warn("role %s (pid %d) ended: %s%s", r->name, r->proc.pid, how,
			 WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
				 ? "; it made a system call that its filter forbids"
				 : "");
	close(r->proc.pidfd);
	rstream_fini(&r->ctl);
	pid_path(k, r, path);
	unlink(path);
	r->state = ROLE_DOWN;
	r->ready = false;
	r->asked = false;
	if (expected)
		r->start_at_ms = keeper_now_ms();
	else
		plan_restart(r);
	r->restarts += r->wanted && !k->ending;
	report(k, r);
	if (!expected)
		no_use(k, r);
}

/* ---- hearing a role */

static void on_bind(struct keeper *k, struct keeper_role *r, const struct rec_bind *want)
{
	struct rec_bound answer = { .id = want->id };
	struct err e;
	int fd;

	fd = keeper_bind(k, r->name, want, &e);
	if (fd < 0) { /* the role says what that means, and may try again often */
		log_debug("role %s: %s", r->name, e.text);
		answer.code = fd;
		answer.text = e.text;
	}
	tell(r, REC_BOUND, &answer, fd);
}

static int on_frame(struct keeper *k, struct keeper_role *r, struct rframe *f, struct err *e)
{
	union {
		struct rec_bind bind;
		struct rec_join join;
	} body = { 0 };
	struct arena a;
	int rc = 0;

	if (f->fd >= 0)
		close(f->fd);
	if (f->type != REC_READY && f->type != REC_BIND && f->type != REC_UNBIND &&
	    f->type != REC_JOIN)
		return 0;
	arena_init(&a, RECORD_MAX);
	rc = record_decode(&f->body, record_schema(f->type), &body, &a, e);
	if (!rc && f->type == REC_BIND)
		on_bind(k, r, &body.bind);
	if (!rc && f->type == REC_UNBIND)
		keeper_unbind(k, r->name, &body.bind);
	if (!rc && f->type == REC_JOIN && body.join.role)
		join(k, r, body.join.role);
	if (!rc && f->type == REC_READY && !r->ready) {
		r->ready = true;
		log_info("role %s is ready after %lld ms", r->name,
			 (long long)(keeper_now_ms() - r->started_ms));
		report(k, r);
	}
	arena_fini(&a);
	return rc;
}

/* A role that speaks no records, or hung up, is of no use: it ends and starts anew. */
static void hear(struct keeper *k, struct keeper_role *r, short events)
{
	struct err e = { 0 };
	struct rframe f;
	int rc = 0;

	if (events & POLLOUT)
		rc = rstream_flush(&r->ctl, &e);
	if (!rc && events & (POLLIN | POLLHUP | POLLERR))
		rc = rstream_fill(&r->ctl, &e);
	while (!rc && (rc = rstream_next(&r->ctl, &f, &e)) > 0)
		rc = on_frame(k, r, &f, &e);
	if (rc < 0)
		log_error("role %s (pid %d): %s", r->name, r->proc.pid, e.text);
	if (rc < 0)
		stop(r);
	if (r->ctl.eof && r->state == ROLE_UP) {
		/* It is ending; how, its exit status says. */
		r->state = ROLE_STOPPING;
		r->kill_at_ms = keeper_now_ms() + EXIT_MS;
	}
}

/* ---- the whole set */

static struct keeper_role *add(struct keeper *k, const char *name, struct err *e)
{
	struct keeper_role *r;

	/* A role that was dropped by the configuration leaves its place once it ended. */
	for (size_t i = 0; i < k->n_roles; i++)
		if (!k->roles[i].wanted && k->roles[i].state == ROLE_DOWN) {
			r = &k->roles[i];
			goto use;
		}
	if (k->n_roles == KEEPER_ROLES) {
		err_set(e, -ENOSPC, "more than %d roles", KEEPER_ROLES);
		return NULL;
	}
	r = &k->roles[k->n_roles++];
use:
	*r = (struct keeper_role){ .start_at_ms = keeper_now_ms() };
	snprintf(r->name, sizeof(r->name), "%s", name);
	return r;
}

int keeper_roles_update(struct keeper *k, struct err *e)
{
	for (size_t i = 0; i < k->n_roles; i++)
		k->roles[i].wanted = config_has_role(&k->cfg, k->roles[i].name);
	for (uint32_t i = 0; i < k->cfg.roles.n; i++) {
		struct keeper_role *r = find(k, k->cfg.roles.v[i]);

		if (!r)
			r = add(k, k->cfg.roles.v[i], e);
		if (!r)
			return -ENOSPC;
		r->wanted = true;
	}
	return 0;
}

/* ms until `at`, at least 0; `so_far` where that is sooner. */
static int sooner(int so_far, int64_t at, int64_t now)
{
	int64_t ms = at > now ? at - now : 0;

	return so_far < 0 || ms < so_far ? (int)ms : so_far;
}

int keeper_roles_tick(struct keeper *k)
{
	bool held = k->ending || keeper_giving(k);
	int64_t now = keeper_now_ms();
	struct err e;
	int wait = -1;

	if (k->ending)
		keeper_roles_stop(k);
	for (size_t i = 0; i < k->n_roles; i++) {
		struct keeper_role *r = &k->roles[i];

		if (r->state == ROLE_DOWN && r->wanted && !held && r->start_at_ms <= now)
			start(k, r);
		if (r->state == ROLE_STOPPING && r->kill_at_ms <= now) {
			log_warn("role %s (pid %d) does not end, it is killed", r->name,
				 r->proc.pid);
			if (proc_signal(r->proc.pidfd, SIGKILL, &e))
				log_error("role %s: %s", r->name, e.text);
			r->kill_at_ms = now + STOP_MS;
		}
		if (r->state == ROLE_DOWN && r->wanted && !held)
			wait = sooner(wait, r->start_at_ms, now);
		if (r->state == ROLE_STOPPING)
			wait = sooner(wait, r->kill_at_ms, now);
	}
	return wait;
}

/* Two descriptors a role, in order; the process first. */
size_t keeper_roles_poll(struct keeper *k, struct pollfd *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_roles; i++) {
		struct keeper_role *r = &k->roles[i];
		bool runs = r->state != ROLE_DOWN;
		bool talks = runs && !r->ctl.eof;
		short events = POLLIN;

		if (talks && rstream_wants_write(&r->ctl))
			events |= POLLOUT;
		fds[n++] = (struct pollfd){ .fd = runs ? r->proc.pidfd : -1, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = talks ? r->ctl.fd : -1, .events = events };
	}
	return n;
}

void keeper_roles_events(struct keeper *k, const struct pollfd *fds, size_t n)
{
	for (size_t i = 0; 2 * i + 1 < n; i++) {
		/* First what it said last, then that it ended. */
		if (fds[2 * i + 1].revents)
			hear(k, &k->roles[i], fds[2 * i + 1].revents);
		if (fds[2 * i].revents)
			ended(k, &k->roles[i]);
	}
}

static bool others_alive(const struct keeper *k, const struct keeper_role *but)
{
	for (size_t i = 0; i < k->n_roles; i++)
		if (&k->roles[i] != but && k->roles[i].state != ROLE_DOWN)
			return true;
	return false;
}

void keeper_roles_stop(struct keeper *k)
{
	const struct keeper_role *last = k->ending ? find(k, "watch") : NULL;

	for (size_t i = 0; i < k->n_roles; i++) {
		struct keeper_role *r = &k->roles[i];

		if (r == last && others_alive(k, r))
			continue;
		r->asked = r->state != ROLE_DOWN;
		stop(r);
	}
}

bool keeper_roles_alive(const struct keeper *k)
{
	return others_alive(k, NULL);
}

bool keeper_roles_serve(const struct keeper *k)
{
	for (size_t i = 0; i < k->n_roles; i++)
		if (k->roles[i].wanted && (k->roles[i].state != ROLE_UP || !k->roles[i].ready))
			return false;
	return true;
}
