// SPDX-License-Identifier: Apache-2.0
/* ctl: see ctl.h. */
#include "daemon/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALLS 64 /* at once */

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

	if (stream_send(c->client.stream, REC_CTL_ROW, NULL, &c->row, -1, &e))
		log_debug("ctl: %s", e.text);
}

/* ---- calls */

static int answer(struct ctl_call *c, struct err *e)
{
	const struct ctl_server *s = c->client.listener->arg;

	for (const struct ctl_verb *v = s->verbs; v->name && c->req.verb; v++)
		if (!strcmp(c->req.verb, v->name))
			return v->fn(c, e);
	return err_set(e, -ENOTSUP, "%s: no verb \"%s\" is known", s->ops.name,
		       c->req.verb ? c->req.verb : "");
}

static void on_opened(struct client *client)
{
	struct ctl_call *c = (struct ctl_call *)client;
	const struct ctl_server *s = client->listener->arg;

	c->owner = s->owner;
	arena_init(&c->arena, 0);
}

void ctl_end(struct ctl_call *c, int rc, const struct err *e)
{
	const struct rec_written end = { .code = rc, .text = rc ? e->text : NULL };
	struct err gone;

	if (stream_send(c->client.stream, REC_CTL_END, NULL, &end, -1, &gone))
		log_debug("ctl: %s", gone.text);
	client_finish(&c->client);
}

static void on_asked(struct client *client, struct wire *body, int fd)
{
	struct ctl_call *c = (struct ctl_call *)client;
	struct err e = { 0 };
	int rc;

	if (fd >= 0)
		close(fd);
	rc = record_decode(body, record_schema(REC_CTL_REQUEST), &c->req, &c->arena, &e);
	if (!rc)
		rc = answer(c, &e);
	if (rc != CTL_LATER)
		ctl_end(c, rc, &e);
}

static void on_closed(struct client *client)
{
	struct ctl_call *c = (struct ctl_call *)client;

	if (c->closed)
		c->closed(c);
	arena_fini(&c->arena);
}

/* ---- life */

static void bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct ctl_server *s = arg;

	if (fd < 0) {
		log_error("%s: %s", s->ops.name, e->text);
		role_exit(r, 1);
		return;
	}
	listener_start(&s->listener, fd);
	role_ready(r);
}

int ctl_server_open(struct ctl_server *s, struct role *r, const char *socket,
		    const struct ctl_verb *verbs, void *owner, struct err *e)
{
	const struct rec_bind want = { .proto = "unix", .path = socket };

	s->ops = (struct listener_ops){ .name = socket,
					.size = sizeof(struct ctl_call),
					.max = CALLS,
					.request = REC_CTL_REQUEST,
					.opened = on_opened,
					.asked = on_asked,
					.closed = on_closed };
	s->verbs = verbs;
	s->owner = owner;
	listener_init(&s->listener, r->loop, &s->ops, s);
	return role_bind(r, &want, bound, s, e);
}

void ctl_server_close(struct ctl_server *s)
{
	if (s->listener.loop)
		listener_fini(&s->listener);
}
