// SPDX-License-Identifier: Apache-2.0
/* health_ports: see health_ports.h.
 *
 * Each Service has the port that it wants and the one that it holds. step() leads from one to the
 * other and does nothing while the keeper's answer is due, so that no socket comes for a Service
 * that is gone. A port is held by one Service at a time; another that wants it waits for that. */
#include "daemon/health_ports.h"
#include "daemon/httpd.h"
#include "daemon/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define CONNECTIONS 16 /* of one port at once */

/* One Service's; what it holds is port.number. */
struct check {
	struct health_ports *all;
	char *ns, *name; /* both in `key` */
	uint16_t wants;
	uint64_t endpoints;
	bool named; /* in the list that the agent is telling */
	bool said;  /* that another Service has the port */
	struct httpd httpd;
	struct port port;
	UT_hash_handle hh;
	char key[]; /* namespace/name */
};

struct health_ports {
	struct role *role;
	bool (*healthy)(void *arg);
	void *arg;
	struct check *checks;
	ev_timer freed; /* a port: somebody may wait for it */
	bool swept;     /* what an earlier process had bound was given up */
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

/* ---- ports */

static void step(struct check *s);

static void on_freed(struct ev_loop *loop, ev_timer *w, int events)
{
	struct health_ports *hp = w->data;
	struct check *s, *next;

	(void)loop;
	(void)events;
	HASH_ITER(hh, hp->checks, s, next)
	step(s);
}

static const struct check *holder(const struct health_ports *hp, uint16_t port)
{
	for (const struct check *s = hp->checks; s; s = s->hh.next)
		if (s->port.number == port)
			return s;
	return NULL;
}

static void take(struct check *s)
{
	const struct check *other = holder(s->all, s->wants);
	const struct ipaddr every = { 0 };
	char name[384];

	snprintf(name, sizeof(name), "Service %.340s: health check port %u", s->key, s->wants);
	if (!other)
		port_open(&s->port, &every, s->wants, name);
	else if (!s->said)
		log_warn("%s: it is that of Service %s", name, other->key);
	s->said = other;
}

static void forget(struct check *s)
{
	HASH_DEL(s->all->checks, s);
	free(s);
}

/* One step on the way from what it holds to what it wants; forgets it where that is nothing. */
static void step(struct check *s)
{
	if (port_is_asked(&s->port))
		return;
	if (s->port.number && s->port.number != s->wants) {
		port_close(&s->port);
		ev_timer_start(s->all->role->loop, &s->all->freed);
	}
	if (!s->wants)
		forget(s);
	else if (!s->port.number)
		take(s);
}

static void on_settled(void *arg)
{
	struct check *s = arg;

	if (s->wants != s->port.number)
		ev_timer_start(s->all->role->loop, &s->all->freed);
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
	httpd_init(&s->httpd, hp->role->loop, &httpd_ops, s, CONNECTIONS);
	port_init(&s->port, hp->role, &s->httpd);
	s->port.settled = on_settled;
	s->port.arg = s;
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
		if (s->wants && s->wants == s->port.number && port_is_open(&s->port))
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
	ev_timer_init(&hp->freed, on_freed, 0., 0.);
	hp->freed.data = hp;
	return hp;
}

void health_ports_free(struct health_ports *hp)
{
	struct check *s, *next;

	if (!hp)
		return;
	ev_timer_stop(hp->role->loop, &hp->freed);
	HASH_ITER(hh, hp->checks, s, next)
	{
		port_fini(&s->port);
		forget(s);
	}
	free(hp);
}
