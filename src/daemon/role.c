// SPDX-License-Identifier: Apache-2.0
/* role: see role.h. The keeper's socket is handled here; what a role does is its own. */
#include "daemon/role.h"
#include "sys/priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEEPER_FD 3

/* A bind request that waits for its answer. */
struct role_wait {
	struct role_wait *next;
	int64_t id;
	role_bound_fn *fn;
	void *arg;
};

/* ---- the keeper's socket */

static void watch_keeper(struct role *r)
{
	int events = EV_READ | (rstream_wants_write(&r->keeper) ? EV_WRITE : 0);

	if (ev_is_active(&r->io) && (r->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(r->loop, &r->io);
	ev_io_set(&r->io, r->keeper.fd, events);
	ev_io_start(r->loop, &r->io);
}

static int tell_keeper(struct role *r, unsigned type, const void *body, struct err *e)
{
	int rc = rstream_put(&r->keeper, type, record_schema(type), body, -1, e);

	if (!rc)
		watch_keeper(r);
	return rc;
}

int role_bind(struct role *r, const struct rec_bind *want, role_bound_fn *fn, void *arg,
	      struct err *e)
{
	struct rec_bind ask = *want;
	struct role_wait *w;
	int rc;

	w = malloc(sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "no memory");
	ask.id = ++r->next_id;
	rc = tell_keeper(r, REC_BIND, &ask, e);
	if (rc) {
		free(w);
		return rc;
	}
	*w = (struct role_wait){ .next = r->waits, .id = ask.id, .fn = fn, .arg = arg };
	r->waits = w;
	return 0;
}

int role_unbind(struct role *r, const struct rec_bind *want, struct err *e)
{
	static const struct rec_bind rest = { 0 };

	return tell_keeper(r, REC_UNBIND, want ? want : &rest, e);
}

static void name_to_keeper(struct role *r, unsigned type, const char *name)
{
	struct rec_join body = { .role = name };
	struct err e;

	if (tell_keeper(r, type, &body, &e))
		log_error("keeper: %s", e.text);
}

void role_rejoin(struct role *r, const char *peer)
{
	name_to_keeper(r, REC_JOIN, peer);
}

void role_ready(struct role *r)
{
	name_to_keeper(r, REC_READY, r->ops->name);
}

void role_exit(struct role *r, int code)
{
	r->exit_code = code;
	ev_break(r->loop, EVBREAK_ALL);
}

static struct role_wait *take_wait(struct role *r, int64_t id)
{
	for (struct role_wait **p = &r->waits; *p; p = &(*p)->next)
		if ((*p)->id == id) {
			struct role_wait *w = *p;

			*p = w->next;
			return w;
		}
	return NULL;
}

/* The frame's descriptor is the callee's when it returns 0. */
static int on_bound(struct role *r, const struct rec_bound *b, int fd, struct err *e)
{
	struct role_wait *w;
	struct err why = { 0 };

	if (!b->code && fd < 0)
		return err_set(e, -EPROTO, "socket %lld came without a descriptor",
			       (long long)b->id);
	w = take_wait(r, b->id);
	if (!w)
		return err_set(e, -EPROTO, "an answer to request %lld that is not open",
			       (long long)b->id);
	if (b->code) {
		if (fd >= 0)
			close(fd);
		fd = -1;
		err_set(&why, b->code < 0 && b->code > -4096 ? (int)b->code : -EIO, "%s",
			b->text ? b->text : "refused");
	}
	w->fn(r, fd, b->code ? &why : NULL, w->arg);
	free(w);
	return 0;
}

static int on_join(struct role *r, const struct rec_join *j, int fd, struct err *e)
{
	if (fd < 0 || !j->role)
		return err_set(e, -EPROTO, "a join without role or descriptor");
	if (r->ops->join)
		r->ops->join(r, j->role, fd);
	else
		close(fd);
	return 0;
}

static int on_frame(struct role *r, struct rframe *f, struct err *e)
{
	const struct schema *s = record_schema(f->type);
	union {
		struct rec_bound bound;
		struct rec_join join;
	} body = { 0 };
	struct arena a;
	int rc;

	if (f->type != REC_BOUND && f->type != REC_JOIN) {
		/* A newer keeper may say more than we know. */
		if (f->fd >= 0)
			close(f->fd);
		if (r->ops->frame)
			r->ops->frame(r, f->type, &f->body);
		return 0;
	}
	arena_init(&a, RECORD_MAX);
	rc = record_decode(&f->body, s, &body, &a, e);
	if (!rc && f->type == REC_BOUND)
		rc = on_bound(r, &body.bound, f->fd, e);
	else if (!rc)
		rc = on_join(r, &body.join, f->fd, e);
	if (rc && f->fd >= 0)
		close(f->fd);
	arena_fini(&a);
	return rc;
}

static int talk(struct role *r, int events, struct err *e)
{
	struct rframe f;
	int rc = 0;

	if (events & EV_WRITE)
		rc = rstream_flush(&r->keeper, e);
	if (!rc && events & EV_READ)
		rc = rstream_fill(&r->keeper, e);
	while (!rc && (rc = rstream_next(&r->keeper, &f, e)) > 0)
		rc = on_frame(r, &f, e);
	return rc;
}

static void on_keeper(struct ev_loop *loop, ev_io *w, int events)
{
	struct role *r = w->data;
	struct err e;

	(void)loop;
	if (talk(r, events, &e)) {
		log_error("keeper: %s", e.text);
		role_exit(r, 1);
	} else if (r->keeper.eof) {
		log_info("the keeper is gone");
		role_exit(r, 0);
	} else {
		watch_keeper(r);
	}
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)loop;
	(void)events;
	role_exit(w->data, 0);
}

/* ---- start */

static int connect_keeper(struct role *r, struct err *e)
{
	socklen_t len = sizeof(int);
	int type = 0;

	if (getsockopt(KEEPER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return err_set(e, -EINVAL,
			       "descriptor 3 is no socket to the keeper: roles are "
			       "started by fairleadd");
	return rstream_init(&r->keeper, KEEPER_FD, e);
}

/* What the configuration file says, before the process becomes anybody else. */
static int prepare(struct role *r, const char *path, struct err *e)
{
	int rc = config_load(&r->cfg, path, e);

	if (rc)
		return rc;
	log_init(r->ops->name, r->cfg.log_level);
	if (!r->ops->privileged)
		rc = priv_user(r->cfg.user, &r->uid, &r->gid, e);
	if (!rc && r->ops->open)
		rc = r->ops->open(r, e);
	return rc;
}

static int confine(struct role *r, struct err *e)
{
	int rc = r->ops->privileged ? 0 : priv_drop(r->uid, r->gid, e);

	/* The first gmtime_r() would open /etc/localtime. */
	tzset();
	return rc ? rc : priv_seccomp(r->ops->calls, e);
}

static int start(struct role *r, const char *path, struct err *e)
{
	int rc = connect_keeper(r, e);

	if (!rc)
		rc = prepare(r, path, e);
	if (rc)
		return rc;
	r->loop = ev_default_loop(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!r->loop)
		return err_set(e, -ENOMEM, "no event loop");
	rc = confine(r, e);
	if (rc)
		return rc;
	ev_io_init(&r->io, on_keeper, KEEPER_FD, EV_READ);
	ev_signal_init(&r->term, on_signal, SIGTERM);
	ev_signal_init(&r->intr, on_signal, SIGINT);
	r->io.data = r->term.data = r->intr.data = r;
	ev_io_start(r->loop, &r->io);
	ev_signal_start(r->loop, &r->term);
	ev_signal_start(r->loop, &r->intr);
	return r->ops->start(r, e);
}

static void release(struct role *r)
{
	struct role_wait *w;

	while ((w = r->waits)) {
		r->waits = w->next;
		free(w);
	}
	rstream_fini(&r->keeper);
	if (r->loop) {
		ev_io_stop(r->loop, &r->io);
		ev_signal_stop(r->loop, &r->term);
		ev_signal_stop(r->loop, &r->intr);
		ev_loop_destroy(r->loop);
	}
	config_fini(&r->cfg);
}

int role_main(const struct role_ops *ops, void *state, int argc, char **argv)
{
	struct role r = { .ops = ops, .state = state };
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	log_init(ops->name, LOG_INFO);
	if (argc != 3 || strcmp(argv[1], "--config") != 0) {
		log_error("usage: %s --config FILE; roles are started by fairleadd", ops->name);
		return 2;
	}
	if (start(&r, argv[2], &e)) {
		log_error("%s", e.text);
		release(&r);
		return 1;
	}
	ev_run(r.loop, 0);
	if (ops->stop)
		ops->stop(&r);
	release(&r);
	return r.exit_code;
}
