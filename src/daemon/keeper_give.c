// SPDX-License-Identifier: Apache-2.0
/* The running keeper's side of a takeover: handing on to the next one, newer or older, and going
 * on where that fails. The next one's side is keeper_take.c.
 *
 * On RUN/takeover.sock (a stream, so that a refusal can be read though the question was not):
 *
 *   next -> running   TAKEOVER{version, pid, node, state-dir}
 *   running -> next   TAKEOVER with fairleadd.lock, a TAKEOVER_SOCKET with each socket
 *                     ... its roles end, it lets go of roles.lock ...
 *   running -> next   TAKEOVER_YOURS
 *                     ... next takes roles.lock, starts its roles, waits until they serve ...
 *   next -> running   TAKEOVER_DONE
 *                     ... running exits and leaves everything where it is ...
 *
 * Records and fields that one does not know it skips, so that a downgrade is a takeover as well.
 * What is handed on are copies: until DONE the running keeper keeps its own, and whatever way the
 * next one ends before that, it waits for roles.lock, which means that no role of the next one
 * lives any more, and starts its roles again. Where it dies itself, the next one has the lock and
 * the sockets already, or finds all free. Whoever connects to a socket meanwhile waits in its
 * queue. */
#include "daemon/keeper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ASK_MS    2000  /* from connecting to saying what it wants */
#define TRY_MS    30000 /* from YOURS to DONE */
#define FAILED_MS 2000  /* from NO, or the end of its stream, to SIGKILL */
#define RETRY_MS  20    /* between looks at roles.lock */

int keeper_give_open(struct keeper *k, struct err *e)
{
	const struct rec_bind want = { .proto = "unix", .path = TAKEOVER_SOCK };
	struct keeper_sock s;
	int rc = keeper_bind_named(k, "", &want, &s, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < k->n_socks; i++)
		if (strcmp(k->socks[i].path, s.path) == 0) {
			k->door = k->socks[i].fd; /* from the one before */
			return 0;
		}
	if (k->n_socks == KEEPER_SOCKS)
		return err_set(e, -ENOSPC, TAKEOVER_SOCK ": %d sockets are open already",
			       KEEPER_SOCKS);
	s.fd = sock_unix_listen(s.path, SOCK_STREAM, 0600, e);
	if (s.fd < 0)
		return s.fd;
	k->door = s.fd;
	k->socks[k->n_socks++] = s;
	return 0;
}

/* ---- speaking */

static int say(struct rstream *to, unsigned type, const char *text, int fd, struct err *e)
{
	const struct rec_takeover body = { .version = FAIRLEAD_VERSION,
					   .pid = getpid(),
					   .text = text };
	int rc = rstream_put(to, type, record_schema(type), &body, fd, e);

	return rc ? rc : rstream_flush(to, e);
}

static void forget(struct keeper_next *n)
{
	rstream_fini(&n->stream);
	if (n->peer.pidfd >= 0)
		close(n->peer.pidfd);
	*n = (struct keeper_next){ .state = NEXT_NONE, .stream.fd = -1, .peer.pidfd = -1 };
}

/* It shall end, and is waited for. */
static void fail(struct keeper_next *n, const char *why, bool tell)
{
	struct err e;

	log_error("takeover by pid %d: %s", n->peer.pid, why);
	if (tell && say(&n->stream, REC_TAKEOVER_NO, why, -1, &e))
		log_warn("takeover by pid %d: %s", n->peer.pid, e.text);
	n->state = NEXT_FAILED;
	n->deadline_ms = keeper_now_ms() + FAILED_MS;
}

static void refuse(struct keeper_next *n, const char *why)
{
	struct err e;

	log_warn("takeover by pid %d is refused: %s", n->peer.pid, why);
	if (say(&n->stream, REC_TAKEOVER_NO, why, -1, &e))
		log_warn("takeover by pid %d: %s", n->peer.pid, e.text);
	forget(n);
}

static int send_sockets(struct keeper *k, struct err *e)
{
	int rc = say(&k->next.stream, REC_TAKEOVER, NULL, k->lock, e);

	for (size_t i = 0; !rc && i < k->n_socks; i++) {
		const struct keeper_sock *s = &k->socks[i];
		struct rec_bind body = { .proto = s->proto,
					 .addr = s->addr,
					 .port = s->port,
					 .role = s->role,
					 .share = s->share };

		if (s->path[0])
			body.path = strrchr(s->path, '/') + 1;
		rc = rstream_put(&k->next.stream, REC_TAKEOVER_SOCKET,
				 record_schema(REC_TAKEOVER_SOCKET), &body, s->fd, e);
	}
	return rc ? rc : rstream_flush(&k->next.stream, e);
}

/* ---- hearing */

/* The socket's mode lets nobody but root in; who got the descriptor another way is no better. */
static int who_is(int fd, struct proc *peer, struct err *e)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return err_sys(e, -errno, "SO_PEERCRED");
	if (who.uid != 0)
		return err_set(e, -EPERM, "pid %d is user %u and not root", who.pid,
			       (unsigned)who.uid);
	peer->pid = who.pid;
	peer->pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
	return peer->pidfd < 0 ? err_sys(e, -errno, "pid %d", who.pid) : 0;
}

static void on_door(struct keeper *k)
{
	struct keeper_next n = { .state = NEXT_ASKS, .stream.fd = -1, .peer.pidfd = -1 };
	struct err e;
	int fd = sock_accept(k->door, &e), rc;

	if (fd == -EAGAIN)
		return;
	rc = fd < 0 ? fd : who_is(fd, &n.peer, &e);
	if (!rc)
		rc = rstream_init(&n.stream, fd, &e);
	else if (fd >= 0)
		close(fd);
	if (rc) {
		log_warn(TAKEOVER_SOCK ": %s", e.text);
		forget(&n);
		return;
	}
	if (k->ending || keeper_taking(k) || k->next.state != NEXT_NONE) {
		refuse(&n, k->ending ? "fairleadd ends" : "another takeover is under way");
		return;
	}
	n.deadline_ms = keeper_now_ms() + ASK_MS;
	k->next = n;
}

static void on_takeover(struct keeper *k, const struct rec_takeover *want)
{
	struct keeper_next *n = &k->next;
	struct err e;

	if (!want->node || strcmp(want->node, k->cfg.node) != 0 || !want->state_dir ||
	    strcmp(want->state_dir, k->cfg.state_dir) != 0) {
		refuse(n, "node, run-dir and state-dir change with a new start only");
		return;
	}
	log_info("fairleadd %s (pid %d) takes over; roles end", want->version ? want->version : "?",
		 n->peer.pid);
	keeper_notify("STATUS=pid %d takes over", n->peer.pid);
	n->state = NEXT_WAITS;
	if (send_sockets(k, &e))
		fail(n, e.text, false);
	else
		keeper_roles_stop(k);
}

/* From here on nothing of the run directory is ours. systemd must know the next one as the
 * service's main process before this one ends. */
static void on_done(struct keeper *k)
{
	log_info("pid %d has taken over", k->next.peer.pid);
	keeper_notify("MAINPID=%d", k->next.peer.pid);
	k->handed = true;
}

static int on_frame(struct keeper *k, struct rframe *f, struct err *e)
{
	struct rec_takeover body = { 0 };
	struct arena a;
	int rc;

	if (f->fd >= 0)
		close(f->fd);
	if (f->type == REC_TAKEOVER_DONE && k->next.state == NEXT_TRIES)
		on_done(k);
	if (f->type != REC_TAKEOVER || k->next.state != NEXT_ASKS)
		return 0;
	arena_init(&a, RECORD_MAX);
	rc = record_decode(&f->body, record_schema(f->type), &body, &a, e);
	if (!rc)
		on_takeover(k, &body);
	arena_fini(&a);
	return rc;
}

static void hear(struct keeper *k, short events)
{
	struct keeper_next *n = &k->next;
	struct err e = { 0 };
	struct rframe f;
	int rc = 0;

	if (events & POLLOUT)
		rc = rstream_flush(&n->stream, &e);
	if (!rc && events & (POLLIN | POLLHUP | POLLERR))
		rc = rstream_fill(&n->stream, &e);
	while (!rc && n->state != NEXT_NONE && !k->handed &&
	       (rc = rstream_next(&n->stream, &f, &e)) > 0)
		rc = on_frame(k, &f, &e);
	if (k->handed || n->state == NEXT_NONE || (rc >= 0 && !n->stream.eof))
		return;
	n->stream.eof = true; /* broken is as good as ended */
	if (n->state == NEXT_ASKS)
		refuse(n, rc < 0 ? e.text : "it hung up");
	else if (n->state != NEXT_FAILED)
		fail(n, rc < 0 ? e.text : "it ended before it was done", false);
}

/* ---- in the loop */

bool keeper_giving(const struct keeper *k)
{
	return k->next.state > NEXT_ASKS;
}

void keeper_give_poll(struct keeper *k, struct pollfd *fds)
{
	struct keeper_next *n = &k->next;
	short events = POLLIN;

	if (rstream_wants_write(&n->stream))
		events |= POLLOUT;
	fds[0] = (struct pollfd){ .fd = k->door, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = n->stream.eof ? -1 : n->stream.fd, .events = events };
	/* Before it failed its stream says whether it lives. */
	fds[2] = (struct pollfd){ .fd = n->state == NEXT_FAILED ? n->peer.pidfd : -1,
				  .events = POLLIN };
}

void keeper_give_events(struct keeper *k, const struct pollfd *fds)
{
	if (fds[1].revents)
		hear(k, fds[1].revents);
	if (fds[2].revents) {
		close(k->next.peer.pidfd);
		k->next.peer.pidfd = -1;
	}
	if (fds[0].revents)
		on_door(k);
}

/* Roles of a keeper that was killed end by themselves, unless they hang. */
static int wait_for_its_roles(struct keeper *k)
{
	struct keeper_next *n = &k->next;

	if (!n->outlived)
		log_warn("takeover by pid %d: it has ended, its roles have not yet", n->peer.pid);
	n->outlived = true;
	/* Who starts none need not wait for ever: the next start does. */
	if (k->ending && keeper_now_ms() >= n->deadline_ms)
		forget(n);
	return RETRY_MS;
}

/* The next one has ended: our roles start again once its own have, too. */
static int go_on(struct keeper *k)
{
	struct err e;
	int rc = keeper_dir_lock_roles(k, &e);

	if (rc == -EWOULDBLOCK)
		return wait_for_its_roles(k);
	if (!rc)
		rc = keeper_dir_publish(k, &e);
	if (!rc)
		rc = keeper_dir_pidfile(k, &e);
	if (rc) {
		log_error("%s", e.text);
		return 50 * RETRY_MS;
	}
	log_warn("takeover by pid %d failed%s", k->next.peer.pid,
		 k->ending ? "" : ", roles start again");
	forget(&k->next);
	keeper_unsettle(k);
	return 0;
}

static int give_up(struct keeper *k)
{
	struct keeper_next *n = &k->next;
	struct err e;

	switch (n->state) {
	case NEXT_ASKS:
		refuse(n, "it said nothing");
		break;
	case NEXT_TRIES:
		fail(n, "it took too long", true);
		break;
	case NEXT_FAILED:
		if (proc_signal(n->peer.pidfd, SIGKILL, &e))
			log_error("takeover by pid %d: %s", n->peer.pid, e.text);
		n->deadline_ms = keeper_now_ms() + FAILED_MS;
		break;
	case NEXT_NONE:
	case NEXT_WAITS:
		break;
	}
	return 0;
}

int keeper_give_tick(struct keeper *k)
{
	struct keeper_next *n = &k->next;
	struct err e;
	int64_t left;

	if (n->state == NEXT_FAILED && n->peer.pidfd < 0)
		return go_on(k);
	if (n->state == NEXT_WAITS && !keeper_roles_alive(k)) {
		keeper_dir_unlock_roles(k);
		n->state = NEXT_TRIES;
		n->deadline_ms = keeper_now_ms() + TRY_MS;
		if (say(&n->stream, REC_TAKEOVER_YOURS, NULL, -1, &e))
			fail(n, e.text, false);
	}
	if (n->state == NEXT_NONE || n->state == NEXT_WAITS)
		return -1; /* the roles' own deadlines count */
	left = n->deadline_ms - keeper_now_ms();
	return left > 0 ? (int)left : give_up(k);
}

void keeper_give_stop(struct keeper *k)
{
	if (k->next.state == NEXT_ASKS)
		refuse(&k->next, "fairleadd ends");
	if (k->next.state != NEXT_WAITS && k->next.state != NEXT_TRIES)
		return;
	k->handed = false; /* it may just have said DONE: this NO is what it hears of us */
	fail(&k->next, "fairleadd ends", true);
}
