// SPDX-License-Identifier: Apache-2.0
/* health_ports: see health_ports.h.
 *
 * Each Service has the port that it wants and the one that it holds. step() leads from one to the
 * other and does nothing while the keeper's answer is due, so that no socket comes for a Service
 * that is gone. A port is held by one Service at a time; another that wants it waits for that. */
#include "daemon/health_ports.h"
#include "base/by_name.h"
#include "daemon/httpd.h"
#include "daemon/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 16 /* of one port at once */

/* One Service's; what it holds is port.number. */
struct check {
	struct by_name id;        /* first: a check is found by it */
	struct health_ports *all; /* NULL: new */
	uint16_t wants;
	uint64_t endpoints;
	bool named; /* in the list that the agent is telling */
	bool said;  /* that another Service has the port */
	struct httpd httpd;
	struct port port;
};

struct health_ports {
	struct role *role;
	bool (*healthy)(void *arg);
	void *arg;
	struct by_name *checks;
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
	buf_json_str(&a->body, s->id.ns);
	buf_puts(&a->body, ",\n\t\t\"name\": ");
	buf_json_str(&a->body, s->id.name);
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

	(void)loop;
	(void)events;
	for (struct by_name *x = hp->checks, *next; x; x = next) {
		next = by_name_next(x);
		step((struct check *)x);
	}
}

static const struct check *holder(const struct health_ports *hp, uint16_t port)
{
	for (const struct by_name *x = hp->checks; x; x = by_name_next(x)) {
		const struct check *s = (const struct check *)x;

		if (s->port.number == port)
			return s;
	}
	return NULL;
}

static void take(struct check *s)
{
	const struct check *other = holder(s->all, s->wants);
	const struct ipaddr every = { 0 };
	char name[384];

	snprintf(name, sizeof(name), "Service %.340s: health check port %u", s->id.key, s->wants);
	if (!other)
		port_open(&s->port, &every, s->wants, name);
	else if (!s->said)
		log_warn("%s: it is that of Service %s", name, other->id.key);
	s->said = other;
}

static void forget(struct check *s)
{
	by_name_drop(&s->all->checks, &s->id);
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
	struct check *s = (struct check *)by_name_get(&hp->checks, ns, name, sizeof(*s));

	if (!s || s->all)
		return s;
	s->all = hp;
	httpd_init(&s->httpd, hp->role->loop, &httpd_ops, s, CONNECTIONS);
	port_init(&s->port, hp->role, &s->httpd);
	s->port.settled = on_settled;
	s->port.arg = s;
	return s;
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
	struct err e;

	for (struct by_name *x = hp->checks, *next; x; x = next) {
		struct check *s = (struct check *)x;

		next = by_name_next(x);
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
	for (struct by_name *x = hp->checks; x; x = by_name_next(x))
		((struct check *)x)->named = false;
}

struct health_ports_count health_ports_count(const struct health_ports *hp)
{
	struct health_ports_count n = { 0 };

	for (const struct by_name *x = hp->checks; x; x = by_name_next(x)) {
		const struct check *s = (const struct check *)x;

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
	if (!hp)
		return;
	ev_timer_stop(hp->role->loop, &hp->freed);
	while (hp->checks) {
		port_fini(&((struct check *)hp->checks)->port);
		by_name_drop(&hp->checks, hp->checks);
	}
	free(hp);
}
