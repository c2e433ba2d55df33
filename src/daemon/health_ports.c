// SPDX-License-Identifier: Apache-2.0
/* health_ports: see health_ports.h.
 *
 * Each Service has the port that it wants and the one that it holds: asked the keeper for, or
 * bound. step() leads from one to the other and does nothing while an answer is due, so that no
 * socket comes for a Service that is gone. A port is held by one Service at a time; another that
 * wants it waits, as it would for a foreign process. */
#include "daemon/health_ports.h"
#include "daemon/httpd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define AGAIN_S     5.
#define CONNECTIONS 16 /* of one port at once */

struct check;

struct port_socket {
	struct check *of;
	uint8_t family;
	bool bound, absent; /* absent: the kernel has not the family */
};

/* One Service's. */
struct check {
	struct health_ports *all;
	char *ns, *name; /* both in `key` */
	uint16_t wants, holds;
	uint64_t endpoints;
	bool named;   /* in the list that the agent is telling */
	bool said;    /* that its port is not there */
	unsigned due; /* answers of the keeper */
	struct port_socket sockets[2];
	struct httpd httpd;
	char problem[ERR_TEXT];
	UT_hash_handle hh;
	char key[]; /* namespace/name */
};

struct health_ports {
	struct role *role;
	bool (*healthy)(void *arg);
	void *arg;
	struct check *checks;
	ev_timer again;
	bool swept; /* what an earlier process had bound was given up */
};

/* ---- answers */

static void page(void *arg, const char *path, struct http_answer *a)
{
	const struct check *s = arg;
	bool healthy = s->all->healthy(s->all->arg);

	(void)path;
	a->status = s->endpoints && healthy ? 200 : 503;
	a->type = "application/json";
	snprintf(a->extra, sizeof(a->extra), "X-Load-Balancing-Endpoint-Weight: %llu\r\n",
		 (unsigned long long)s->endpoints);
	buf_puts(&a->body, "{\n\t\"service\": {\n\t\t\"namespace\": ");
	buf_json_str(&a->body, s->ns);
	buf_puts(&a->body, ",\n\t\t\"name\": ");
	buf_json_str(&a->body, s->name);
	buf_printf(&a->body,
		   "\n\t},\n\t\"localEndpoints\": %llu,\n\t\"serviceProxyHealthy\": %s\n}",
		   (unsigned long long)s->endpoints, healthy ? "true" : "false");
}

static bool serves(void *arg, const struct ipaddr *address)
{
	const struct check *s = arg;
	const struct config *c = &s->all->role->cfg;

	for (uint32_t i = 0; i < c->node_port_addresses.n; i++)
		if (prefix_has(&c->node_port_addresses.v[i], address))
			return true;
	return !c->node_port_addresses.n;
}

static const struct httpd_ops httpd_ops = { .page = page, .serves = serves };

/* ---- sockets */

static void step(struct check *s);

static void try_again(struct health_ports *hp, double seconds)
{
	if (ev_is_active(&hp->again) && seconds > 0.)
		return;
	ev_timer_stop(hp->role->loop, &hp->again);
	ev_timer_set(&hp->again, seconds, 0.);
	ev_timer_start(hp->role->loop, &hp->again);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	struct health_ports *hp = w->data;
	struct check *s, *next;

	(void)loop;
	(void)events;
	HASH_ITER(hh, hp->checks, s, next)
	step(s);
}

static struct rec_bind socket_of(const struct check *s, const struct port_socket *which)
{
	return (struct rec_bind){ .proto = "tcp",
				  .addr = { .family = which->family },
				  .port = s->holds };
}

static bool is_whole(const struct check *s)
{
	bool any = false, all = true;

	for (size_t i = 0; i < 2; i++) {
		any |= s->sockets[i].bound;
		all &= s->sockets[i].bound || s->sockets[i].absent;
	}
	return any && all;
}

static void say(struct check *s)
{
	if (s->wants && !is_whole(s)) {
		if (!s->said)
			log_warn("Service %s: health check port %u: %s", s->key, s->wants,
				 s->problem);
		s->said = true;
		try_again(s->all, AGAIN_S);
	} else if (s->said) {
		if (s->wants)
			log_info("Service %s: health check port %u answers now", s->key, s->wants);
		s->said = false;
	}
}

static void on_bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct port_socket *which = arg;
	struct check *s = which->of;

	(void)r;
	which->bound = fd >= 0;
	which->absent = e && e->code == -EAFNOSUPPORT;
	if (fd >= 0)
		httpd_listen(&s->httpd, fd);
	else if (!s->problem[0])
		snprintf(s->problem, sizeof(s->problem), "%s", e->text);
	if (--s->due)
		return;
	if (s->wants == s->holds)
		say(s);
	else
		step(s);
}

static void ask(struct check *s)
{
	s->problem[0] = '\0';
	for (size_t i = 0; i < 2; i++) {
		struct port_socket *which = &s->sockets[i];
		struct rec_bind want = socket_of(s, which);
		struct err e;

		if (which->bound || which->absent)
			continue;
		if (role_bind(s->all->role, &want, on_bound, which, &e))
			snprintf(s->problem, sizeof(s->problem), "%s", e.text);
		else
			s->due++;
	}
	if (!s->due)
		say(s);
}

static void let_go(struct check *s)
{
	struct err e;

	httpd_fini(&s->httpd);
	for (size_t i = 0; i < 2; i++) {
		struct rec_bind want = socket_of(s, &s->sockets[i]);

		if (s->sockets[i].bound && role_unbind(s->all->role, &want, &e))
			log_warn("Service %s: health check port %u: %s", s->key, s->holds, e.text);
		s->sockets[i].bound = s->sockets[i].absent = false;
	}
	s->holds = 0;
	try_again(s->all, 0.); /* somebody may wait for it */
}

static const struct check *holder(const struct health_ports *hp, uint16_t port)
{
	for (const struct check *s = hp->checks; s; s = s->hh.next)
		if (s->holds == port)
			return s;
	return NULL;
}

static void forget(struct check *s)
{
	HASH_DEL(s->all->checks, s);
	free(s);
}

/* One step on the way from what it holds to what it wants; forgets it where that is nothing. */
static void step(struct check *s)
{
	const struct check *other;

	if (s->due || (s->holds == s->wants && is_whole(s)))
		return;
	if (s->holds && s->holds != s->wants)
		let_go(s);
	if (!s->wants) {
		forget(s);
		return;
	}
	other = s->holds ? NULL : holder(s->all, s->wants);
	if (other) {
		snprintf(s->problem, sizeof(s->problem), "it is that of Service %.300s",
			 other->key);
		say(s);
		return;
	}
	s->holds = s->wants;
	ask(s);
}

/* ---- what the agent says */

static struct check *get(struct health_ports *hp, const char *ns, const char *name)
{
	size_t n = strlen(ns), len = n + strlen(name) + 2;
	struct check *s, *found;

	s = calloc(1, sizeof(*s) + len + n + 1);
	if (!s)
		return NULL;
	snprintf(s->key, len, "%s/%s", ns, name);
	HASH_FIND_STR(hp->checks, s->key, found);
	if (found) {
		free(s);
		return found;
	}
	s->all = hp;
	s->name = s->key + n + 1;
	s->ns = s->key + len;
	memcpy(s->ns, ns, n + 1);
	s->sockets[0] = (struct port_socket){ .of = s, .family = AF_INET };
	s->sockets[1] = (struct port_socket){ .of = s, .family = AF_INET6 };
	httpd_init(&s->httpd, hp->role->loop, &httpd_ops, s, CONNECTIONS);
	HASH_ADD_KEYPTR(hh, hp->checks, s->key, len - 1, s);
	if (s->hh.tbl)
		return s;
	free(s);
	return NULL;
}

void health_ports_put(struct health_ports *hp, const struct rec_health_port *p)
{
	struct check *s;

	if (!p->ns || !p->name || p->port < 0 || p->port > 65535 || p->endpoints < 0)
		return;
	s = get(hp, p->ns, p->name);
	if (!s) {
		log_error("health check ports: no memory");
		return;
	}
	s->named = true;
	s->said &= s->wants == p->port;
	s->wants = (uint16_t)p->port;
	s->endpoints = (uint64_t)p->endpoints;
	if (!s->wants || s->wants != s->holds)
		step(s);
}

void health_ports_listed(struct health_ports *hp)
{
	struct check *s, *next;
	struct err e;

	HASH_ITER(hh, hp->checks, s, next)
	{
		if (!s->named)
			s->wants = 0;
		s->named = false;
		if (!s->wants)
			step(s);
	}
	if (!hp->swept && role_unbind(hp->role, NULL, &e))
		log_warn("health check ports: %s", e.text);
	hp->swept = true;
}

void health_ports_anew(struct health_ports *hp)
{
	for (struct check *s = hp->checks; s; s = s->hh.next)
		s->named = false;
}

struct health_ports_count health_ports_count(const struct health_ports *hp)
{
	struct health_ports_count n = { 0 };

	for (const struct check *s = hp->checks; s; s = s->hh.next) {
		if (s->wants && s->wants == s->holds && is_whole(s))
			n.served++;
		else
			n.waiting++;
	}
	return n;
}

/* ---- life */

struct health_ports *health_ports_new(struct role *r, bool (*healthy)(void *arg), void *arg)
{
	struct health_ports *hp = calloc(1, sizeof(*hp));

	if (!hp)
		return NULL;
	*hp = (struct health_ports){ .role = r, .healthy = healthy, .arg = arg };
	ev_init(&hp->again, on_again);
	hp->again.data = hp;
	return hp;
}

void health_ports_free(struct health_ports *hp)
{
	struct check *s, *next;

	if (!hp)
		return;
	ev_timer_stop(hp->role->loop, &hp->again);
	HASH_ITER(hh, hp->checks, s, next)
	{
		httpd_fini(&s->httpd);
		forget(s);
	}
	free(hp);
}
