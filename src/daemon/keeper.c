// SPDX-License-Identifier: Apache-2.0
/* The keeper's loop: configuration, signals, and when a start is over.
 *
 * A start, a reload and a takeover are over when every role said that it serves, or SETTLE_MS
 * later: what a role waits for may be away for hours, and the node goes on without. Only then
 * does systemd hear READY (and what waits for this unit start), and the keeper that was before go. */
#include "daemon/keeper.h"
#include "daemon/confine.h"
#include "sys/clock.h"
#include "sys/notify.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS   5000
#define DESCRIPTORS (4 * KEEPER_SOCKS)

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
	rc = keeper_dir_publish(k, e);
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

/* All roles start anew, on the sockets that stay open. */
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

/* ---- loop */

void keeper_notify(const char *fmt, ...)
{
	char lines[256];
	struct err e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(lines, sizeof(lines), fmt, ap);
	va_end(ap);
	if (notify_send(lines, &e))
		log_warn("%s", e.text);
}

void keeper_unsettle(struct keeper *k)
{
	k->settle_by = keeper_now_ms() + SETTLE_MS;
}

/* Says when a start is over, and afterwards whether all is well. Returns ms until it must be
 * called again, or -1. */
static int settle(struct keeper *k)
{
	int64_t left = k->settle_by - keeper_now_ms();
	bool serve = keeper_roles_serve(k);

	if (k->ending || keeper_giving(k) || (!k->settle_by && serve == k->serve))
		return -1;
	if (k->settle_by && !serve && left > 0)
		return (int)left;
	if (k->settle_by)
		keeper_take_done(k);
	if (!k->ending)
		keeper_notify("%sSTATUS=%s", k->settle_by ? "READY=1\n" : "",
			      serve ? "all roles serve" : "not all roles serve");
	k->settle_by = 0;
	k->serve = serve;
	return -1;
}

static void on_hangup(struct keeper *k)
{
	if (keeper_giving(k) || keeper_taking(k)) {
		log_warn("the configuration is not read during a takeover");
		return;
	}
	keeper_notify("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reads its configuration",
		      (unsigned long long)(clock_mono_ns() / 1000));
	reload(k);
	keeper_unsettle(k);
}

static void on_end(struct keeper *k, int sig)
{
	if (!k->ending) {
		log_info("%s: roles end", strsignal(sig));
		keeper_notify("STOPPING=1");
	}
	if (keeper_taking(k) && !k->ending)
		keeper_take_fail(k, strsignal(sig));
	k->ending = true;
	keeper_give_stop(k);
	keeper_roles_stop(k);
}

static void on_signals(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGHUP)
			on_end(k, (int)si.ssi_signo);
		else if (!k->ending)
			on_hangup(k);
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

/* Times in ms, -1: never. */
static int earlier(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void loop(struct keeper *k)
{
	struct pollfd fds[KEEPER_POLL], *last = fds + 1, *give = fds + 2;
	struct pollfd *roles = give + KEEPER_GIVE_POLL;

	for (;;) {
		int timeout = keeper_roles_tick(k);
		size_t n;

		timeout = earlier(timeout, settle(k));
		timeout = earlier(timeout, keeper_give_tick(k));
		if (k->handed && !k->ending)
			return;
		if (k->ending && !keeper_roles_alive(k) && !keeper_giving(k))
			return;
		fds[0] = (struct pollfd){ .fd = k->signals, .events = POLLIN };
		*last = (struct pollfd){ .fd = k->last.fd, .events = POLLIN };
		keeper_give_poll(k, give);
		n = keeper_roles_poll(k, roles);
		if (poll(fds, (nfds_t)(roles - fds) + n, timeout) < 0) {
			if (errno != EINTR)
				log_error("poll: %s", strerror(errno));
			continue;
		}
		keeper_roles_events(k, roles, n);
		keeper_take_events(k, last->revents);
		keeper_give_events(k, give);
		if (fds[0].revents)
			on_signals(k);
	}
}

/* Each socket of a role is open here too, in a takeover twice. Where it may not rise, fewer do. */
static void raise_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= DESCRIPTORS)
		return;
	l.rlim_cur = l.rlim_max < DESCRIPTORS ? l.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &l);
}

static int start(struct keeper *k, struct err *e)
{
	int rc;

	raise_descriptors();
	rc = libexec_dir(k, e);
	/* Until everything is handed on, a signal may simply end this process. */
	if (!rc && !k->takeover)
		rc = open_signals(k, e);
	if (!rc)
		rc = keeper_dir_enter(k, e);
	if (!rc && k->takeover)
		rc = open_signals(k, e);
	if (!rc)
		rc = keeper_give_open(k, e);
	if (!rc)
		rc = keeper_roles_update(k, e);
	keeper_unsettle(k);
	return rc ? rc : confine_keeper(e);
}

int keeper_run(struct keeper *k)
{
	struct err e;
	int rc;

	k->lock = k->roles_lock = k->signals = k->door = k->last.fd = -1;
	k->next.stream.fd = k->next.peer.pidfd = -1;
	log_init("fairleadd", LOG_INFO);
	if (keeper_config(k, &k->cfg, &e)) {
		log_error("%s", e.text);
		return 2;
	}
	log_init("fairleadd", k->cfg.log_level);
	rc = start(k, &e);
	if (rc)
		log_error("%s", e.text);
	else
		loop(k);
	keeper_dir_leave(k);
	rstream_fini(&k->last);
	rstream_fini(&k->next.stream);
	if (k->signals >= 0)
		close(k->signals);
	buf_fini(&k->cfg_text);
	config_fini(&k->cfg);
	return rc || k->failed ? 1 : 0;
}
