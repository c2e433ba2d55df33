// SPDX-License-Identifier: Apache-2.0
/* The keeper's run directory: locks, pid file, the configuration that roles read.
 *
 * Two locks guard it. fairleadd.lock is the keeper's own: a second keeper is refused at once. It
 * belongs to an open file description, which a takeover hands on, so that it is never free in
 * between. roles.lock is held by the keeper and, as an inherited descriptor, by every role: it is
 * free when the last of them ended. Whoever wants to start roles takes it first, after a keeper
 * that was killed and in a takeover alike, so that never two agents write to one kernel. */
#include "daemon/keeper.h"
#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OLD_ROLES_MS 10000 /* how long roles of another keeper may take to end */

static void in_run_dir(const struct keeper *k, const char *name, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", k->cfg.run_dir, name);
}

static long read_pid(const char *path)
{
	struct buf text = { 0 };
	long pid = 0;

	if (!file_read(path, 64, &text, NULL))
		pid = strtol(text.v ? text.v : "", NULL, 10);
	buf_fini(&text);
	return pid;
}

static int lock_own(struct keeper *k, struct err *e)
{
	char path[PATH_MAX];
	int fd;

	in_run_dir(k, "fairleadd.lock", path);
	fd = file_lock(path, 0, e);
	if (fd >= 0)
		k->lock = fd;
	if (fd != -EWOULDBLOCK)
		return fd < 0 ? fd : 0;
	in_run_dir(k, "fairleadd.pid", path);
	return err_set(e, -EBUSY, "run directory %s is that of a running fairleadd, pid %ld",
		       k->cfg.run_dir, read_pid(path));
}

int keeper_dir_lock_roles(struct keeper *k, struct err *e)
{
	char path[PATH_MAX];
	int fd;

	if (k->roles_lock >= 0)
		return 0;
	in_run_dir(k, "roles.lock", path);
	fd = file_lock(path, 0, e);
	if (fd < 0)
		return fd;
	k->roles_lock = fd;
	return 0;
}

void keeper_dir_unlock_roles(struct keeper *k)
{
	if (k->roles_lock >= 0)
		close(k->roles_lock);
	k->roles_lock = -1;
}

static int wait_for_roles(struct keeper *k, struct err *e)
{
	int64_t deadline = keeper_now_ms() + OLD_ROLES_MS;
	bool said = false;

	for (;;) {
		int rc = keeper_dir_lock_roles(k, e);

		if (rc != -EWOULDBLOCK)
			return rc;
		if (keeper_now_ms() >= deadline)
			return err_set(e, -EBUSY,
				       "roles of an earlier fairleadd in %s still run after %d s",
				       k->cfg.run_dir, OLD_ROLES_MS / 1000);
		if (!said)
			log_warn("waiting for the roles of an earlier fairleadd to end");
		said = true;
		usleep(20000);
	}
}

/* Pid files of roles that a killed keeper left. */
static void sweep_pidfiles(const struct keeper *k)
{
	static const char *const names[] = { "watch.pid", "agent.pid", "controller.pid",
					     "health.pid" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		in_run_dir(k, names[i], path);
		unlink(path);
	}
}

int keeper_dir_publish(struct keeper *k, struct err *e)
{
	buf_clear(&k->cfg_text);
	config_print(&k->cfg, &k->cfg_text);
	if (k->cfg_text.failed)
		return err_set(e, -ENOMEM, "out of memory");
	return file_write(k->effective, k->cfg_text.v, k->cfg_text.n, 0644, e);
}

int keeper_dir_pidfile(const struct keeper *k, struct err *e)
{
	char path[PATH_MAX];

	in_run_dir(k, "fairleadd.pid", path);
	return proc_pidfile(path, getpid(), e);
}

int keeper_dir_enter(struct keeper *k, struct err *e)
{
	int rc;

	in_run_dir(k, "fairleadd.conf", k->effective);
	rc = dir_make(k->cfg.run_dir, 0755, e);
	if (!rc)
		rc = dir_make(k->cfg.state_dir, 0755, e);
	if (!rc && k->takeover)
		rc = keeper_take(k, e);
	if (!rc && k->lock < 0)
		rc = lock_own(k, e);
	/* In a takeover the run directory is still that of the one before. */
	if (!rc && !keeper_taking(k))
		rc = keeper_dir_pidfile(k, e);
	if (!rc)
		rc = wait_for_roles(k, e);
	if (rc)
		return rc;
	sweep_pidfiles(k);
	return keeper_dir_publish(k, e);
}

/* The lock files stay: removing one that somebody has open would give two locks. */
void keeper_dir_leave(struct keeper *k)
{
	bool ours = k->lock >= 0 && !k->handed && !keeper_taking(k);
	char path[PATH_MAX];

	keeper_bind_close(k, ours);
	if (ours) {
		in_run_dir(k, "fairleadd.pid", path);
		unlink(path);
		unlink(k->effective);
	}
	if (k->lock >= 0)
		close(k->lock);
	keeper_dir_unlock_roles(k);
}
