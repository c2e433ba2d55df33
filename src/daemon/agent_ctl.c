// SPDX-License-Identifier: Apache-2.0
/* agent_ctl: see agent_ctl.h. */
#include "daemon/agent_ctl.h"
#include "sys/sock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct agent_ctl {
	struct agent *agent;
	int fd;
	ev_io listener;
	struct ctl_call *calls;
};

static const struct {
	const char *verb;
	int (*fn)(struct ctl_call *c, struct err *e);
} verbs[] = {
	{ "node-status", ctl_node_status },   { "routes", ctl_routes },
	{ "ipam-show", ctl_ipam_show },       { "ipam-check", ctl_ipam_check },
	{ "ipam-release", ctl_ipam_release },
};

/* ---- rows */

void ctl_row(struct ctl_call *c, const char *table)
{
	c->row = (struct rec_ctl_row){ .table = table, .cols = { c->cols, 0 } };
}

void ctl_col(struct ctl_call *c, const char *key, const char *value)
{
	uint32_t i = c->row.cols.n;

	if (!value || !value[0] || i == CTL_COLS)
		return;
	/* Maps are sorted by key. */
	for (; i > 0 && strcmp(c->cols[i - 1].key, key) > 0; i--)
		c->cols[i] = c->cols[i - 1];
	c->cols[i] = (struct strmap_entry){ key, arena_strdup(&c->arena, value) };
	c->row.cols.n++;
}

void ctl_num(struct ctl_call *c, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	ctl_col(c, key, text);
}

void ctl_flag(struct ctl_call *c, const char *key, bool on)
{
	ctl_col(c, key, on ? "true" : "false");
}

void ctl_addr(struct ctl_call *c, const char *key, const struct ipaddr *a)
{
	char text[ADDR_TEXT];

	if (a->family)
		ctl_col(c, key, addr_str(a, text));
}

void ctl_prefix(struct ctl_call *c, const char *key, const struct prefix *p)
{
	char text[PREFIX_TEXT];

	if (p->addr.family)
		ctl_col(c, key, prefix_str(p, text));
}

void ctl_send(struct ctl_call *c)
{
	struct err e;

	if (stream_send(c->stream, REC_CTL_ROW, NULL, &c->row, -1, &e))
		log_debug("ctl: %s", e.text);
}

/* ---- calls */

static void forget(struct ctl_call *c)
{
	for (struct ctl_call **p = &c->agent->ctl->calls; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	stream_free(c->stream);
	arena_fini(&c->arena);
	free(c);
}

static int answer(struct ctl_call *c, struct err *e)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (c->req.verb && !strcmp(c->req.verb, verbs[i].verb))
			return verbs[i].fn(c, e);
	return err_set(e, -ENOTSUP, "the agent does not know \"%s\"",
		       c->req.verb ? c->req.verb : "");
}

static void on_frame(struct stream *s, unsigned type, struct wire *body, int fd)
{
	struct ctl_call *c = stream_arg(s);
	struct rec_written end = { 0 };
	struct err e = { 0 };
	int rc;

	if (fd >= 0)
		close(fd);
	if (type != REC_CTL_REQUEST || c->req.verb)
		return;
	rc = record_decode(body, record_schema(type), &c->req, &c->arena, &e);
	if (!rc)
		rc = answer(c, &e);
	end.code = rc;
	end.text = rc ? e.text : NULL;
	if (stream_send(s, REC_CTL_END, NULL, &end, -1, &e))
		log_debug("ctl: %s", e.text);
	stream_finish(s);
}

static void on_closed(struct stream *s, const struct err *e)
{
	forget(stream_arg(s));
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	static const struct stream_ops ops = { .frame = on_frame, .closed = on_closed };
	struct agent_ctl *s = w->data;
	struct ctl_call *c;
	struct err e;
	int fd = sock_accept(s->fd, &e);

	if (fd < 0) {
		if (fd != -EAGAIN)
			log_error("ctl.sock: %s", e.text);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->agent = s->agent;
	arena_init(&c->arena, 0);
	c->stream = stream_new(loop, fd, &ops, c, &e);
	if (!c->stream) {
		log_error("ctl.sock: %s", e.text);
		free(c);
		return;
	}
	c->next = s->calls;
	s->calls = c;
}

/* ---- life */

static void bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct agent_ctl *s = arg;

	if (fd < 0) {
		log_error("ctl.sock: %s", e->text);
		role_exit(r, 1);
		return;
	}
	s->fd = fd;
	ev_io_init(&s->listener, on_accept, fd, EV_READ);
	s->listener.data = s;
	ev_io_start(r->loop, &s->listener);
	role_ready(r);
}

int agent_ctl_open(struct agent *a, struct err *e)
{
	const struct rec_bind want = { .proto = "unix", .path = "ctl.sock" };

	a->ctl = calloc(1, sizeof(*a->ctl));
	if (!a->ctl)
		return err_set(e, -ENOMEM, "no memory");
	a->ctl->agent = a;
	a->ctl->fd = -1;
	return role_bind(a->role, &want, bound, a->ctl, e);
}

void agent_ctl_close(struct agent *a)
{
	struct agent_ctl *s = a->ctl;

	if (!s)
		return;
	while (s->calls)
		forget(s->calls);
	if (s->fd >= 0) {
		ev_io_stop(a->role->loop, &s->listener);
		close(s->fd);
	}
	free(s);
	a->ctl = NULL;
}
