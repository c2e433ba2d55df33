// SPDX-License-Identifier: Apache-2.0
/* The keeper's loop: run directory, locks, signals.
 *
 * Two locks guard the run directory. fairleadd.lock is the keeper's own: a second keeper is
 * refused at once. roles.lock is held by the keeper and, as an inherited descriptor, by every
 * role: it is free when the last of them ended. A keeper that follows one that was killed waits
 * for it, so that never two agents write to one kernel. */
#include "daemon/keeper.h"
#include "daemon/confine.h"
#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define OLD_ROLES_MS 10000 /* how long roles of a killed keeper may take to end */

int64_t keeper_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- configuration */

/* The host's name in the form that Kubernetes gives to Nodes. */
static const char *node_name(char buf[HOST_NAME_MAX + 1])
{
	if (gethostname(buf, HOST_NAME_MAX + 1) < 0)
		return NULL;
	buf[HOST_NAME_MAX] = '\0';
	for (char *p = buf; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return buf;
}

int keeper_config(const struct keeper *k, struct config *c, struct err *e)
{
	char host[HOST_NAME_MAX + 1], flag[64];
	int rc;

	if (!k->conf_required && access(k->conf_path, F_OK) < 0 && errno == ENOENT)
		rc = config_parse(c, k->conf_path, "", 0, e);
	else
		rc = config_load(c, k->conf_path, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < k->n_flags && !rc; i++) {
		snprintf(flag, sizeof(flag), "--%.60s", k->flags[i].key);
		rc = config_set(c, flag, k->flags[i].key, k->flags[i].value, e);
	}
	if (!rc) {
		rc = config_finish(c, node_name(host), e);
		if (rc)
			err_wrap(e, "%s", k->conf_path);
	}
	if (rc)
		config_fini(c);
	return rc;
}

/* What roles read: RUN/fairleadd.conf. */
static int publish(struct keeper *k, struct err *e)
{
	buf_clear(&k->cfg_text);
	config_print(&k->cfg, &k->cfg_text);
	if (k->cfg_text.failed)
		return err_set(e, -ENOMEM, "out of memory");
	return file_write(k->effective, k->cfg_text.v, k->cfg_text.n, 0644, e);
}

static int libexec_dir(struct keeper *k, struct err *e)
{
	if (!k->cfg.libexec_dir)
		return proc_libexec(k->libexec, sizeof(k->libexec), e);
	snprintf(k->libexec, sizeof(k->libexec), "%s", k->cfg.libexec_dir);
	return 0;
}

/* Takes `c` over; on failure the old one stays. */
static int adopt(struct keeper *k, struct config *c, struct err *e)
{
	struct config old = k->cfg;
	int rc;

	k->cfg = *c;
	rc = publish(k, e);
	if (!rc)
		rc = libexec_dir(k, e);
	if (!rc)
		rc = keeper_roles_update(k, e);
	if (rc) {
		k->cfg = old;
		return rc;
	}
	config_fini(&old);
	log_init("fairleadd", k->cfg.log_level);
	keeper_bind_recheck(k);
	return 0;
}

/* Who this node is, and whose files it holds, is for the life of a keeper. */
static int same_node(const struct keeper *k, const struct config *c, struct err *e)
{
	const struct config *o = &k->cfg;

	if (strcmp(c->node, o->node) != 0 || strcmp(c->run_dir, o->run_dir) != 0 ||
	    strcmp(c->state_dir, o->state_dir) != 0)
		return err_set(e, -EINVAL,
			       "%s: node, run-dir and state-dir change with a new start only",
			       k->conf_path);
	return 0;
}

static bool same_text(const struct keeper *k, const struct config *c)
{
	struct buf text = { 0 };
	bool same;

	config_print(c, &text);
	same = !text.failed && strcmp(text.v, k->cfg_text.v) == 0;
	buf_fini(&text);
	return same;
}

/* SIGHUP. All roles start anew, on the sockets that stay open. */
static void reload(struct keeper *k)
{
	struct config c;
	struct err e;
	int rc;

	if (keeper_config(k, &c, &e)) {
		log_error("%s; the old configuration stays", e.text);
		return;
	}
	if (same_text(k, &c)) {
		log_info("%s: nothing changed", k->conf_path);
		config_fini(&c);
		return;
	}
	rc = same_node(k, &c, &e);
	if (!rc)
		rc = adopt(k, &c, &e);
	if (rc) {
		log_error("%s; the old configuration stays", e.text);
		config_fini(&c);
		return;
	}
	log_info("%s: read again, roles start anew", k->conf_path);
	keeper_roles_stop(k);
}

/* ---- run directory */

static long read_pid(const char *path)
{
	struct buf text = { 0 };
	long pid = 0;

	if (!file_read(path, 64, &text, NULL))
		pid = strtol(text.v ? text.v : "", NULL, 10);
	buf_fini(&text);
	return pid;
}

static int lock_own(struct keeper *k, const char *run, struct err *e)
{
	char path[PATH_MAX], pid[PATH_MAX];

	snprintf(path, sizeof(path), "%s/fairleadd.lock", run);
	snprintf(pid, sizeof(pid), "%s/fairleadd.pid", run);
	k->lock = file_lock(path, 0, e);
	if (k->lock == -EWOULDBLOCK)
		return err_set(e, -EBUSY,
			       "run directory %s is that of a running fairleadd, pid %ld", run,
			       read_pid(pid));
	return k->lock < 0 ? k->lock : 0;
}

static int lock_roles(struct keeper *k, const char *run, struct err *e)
{
	int64_t deadline = keeper_now_ms() + OLD_ROLES_MS;
	char path[PATH_MAX];
	bool said = false;

	snprintf(path, sizeof(path), "%s/roles.lock", run);
	for (;;) {
		k->roles_lock = file_lock(path, 0, e);
		if (k->roles_lock != -EWOULDBLOCK)
			return k->roles_lock < 0 ? k->roles_lock : 0;
		if (keeper_now_ms() >= deadline)
			return err_set(e, -EBUSY,
				       "roles of an earlier fairleadd in %s still run after %d s",
				       run, OLD_ROLES_MS / 1000);
		if (!said)
			log_warn("waiting for the roles of an earlier fairleadd to end");
		said = true;
		usleep(20000);
	}
}

/* Pid files of roles that a killed keeper left. */
static void sweep_pidfiles(const char *run)
{
	static const char *const names[] = { "watch", "agent", "controller", "health" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s.pid", run, names[i]);
		unlink(path);
	}
}

static int enter_run_dir(struct keeper *k, struct err *e)
{
	const char *run = k->cfg.run_dir;
	char path[PATH_MAX];
	int rc;

	rc = dir_make(run, 0755, e);
	if (!rc)
		rc = dir_make(k->cfg.state_dir, 0755, e);
	if (!rc)
		rc = lock_own(k, run, e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/fairleadd.pid", run);
	rc = proc_pidfile(path, getpid(), e);
	if (!rc)
		rc = lock_roles(k, run, e);
	sweep_pidfiles(run);
	return rc;
}

/* The lock files stay: removing one that somebody has open would give two locks. */
static void leave_run_dir(struct keeper *k)
{
	char path[PATH_MAX];

	keeper_bind_close(k);
	if (k->lock >= 0) {
		snprintf(path, sizeof(path), "%s/fairleadd.pid", k->cfg.run_dir);
		unlink(path);
		unlink(k->effective);
		close(k->lock);
	}
	if (k->roles_lock >= 0)
		close(k->roles_lock);
}

/* ---- loop */

static void on_signals(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			if (!k->ending)
				reload(k);
			continue;
		}
		if (!k->ending)
			log_info("%s: roles end", strsignal((int)si.ssi_signo));
		k->ending = true;
		keeper_roles_stop(k);
	}
}

static int open_signals(struct keeper *k, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return k->signals < 0 ? err_sys(e, -errno, "signalfd") : 0;
}

static void loop(struct keeper *k)
{
	struct pollfd fds[KEEPER_POLL];

	for (;;) {
		int timeout = keeper_roles_tick(k);
		size_t n;

		if (k->ending && !keeper_roles_alive(k))
			return;
		fds[0] = (struct pollfd){ .fd = k->signals, .events = POLLIN };
		n = keeper_roles_poll(k, fds + 1);
		if (poll(fds, n + 1, timeout) < 0) {
			if (errno != EINTR)
				log_error("poll: %s", strerror(errno));
			continue;
		}
		keeper_roles_events(k, fds + 1, n);
		if (fds[0].revents)
			on_signals(k);
	}
}

static int start(struct keeper *k, struct err *e)
{
	int rc;

	log_init("fairleadd", k->cfg.log_level);
	rc = libexec_dir(k, e);
	if (!rc)
		rc = open_signals(k, e);
	if (!rc)
		rc = enter_run_dir(k, e);
	if (rc)
		return rc;
	snprintf(k->effective, sizeof(k->effective), "%s/fairleadd.conf", k->cfg.run_dir);
	rc = publish(k, e);
	if (!rc)
		rc = keeper_roles_update(k, e);
	return rc ? rc : confine_keeper(e);
}

int keeper_run(struct keeper *k)
{
	struct err e;
	int rc;

	k->lock = k->roles_lock = k->signals = -1;
	log_init("fairleadd", LOG_INFO);
	if (keeper_config(k, &k->cfg, &e)) {
		log_error("%s", e.text);
		return 2;
	}
	rc = start(k, &e);
	if (rc)
		log_error("%s", e.text);
	else
		loop(k);
	leave_run_dir(k);
	if (k->signals >= 0)
		close(k->signals);
	buf_fini(&k->cfg_text);
	config_fini(&k->cfg);
	return rc ? 1 : 0;
}
