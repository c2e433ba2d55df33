// SPDX-License-Identifier: Apache-2.0
/* port: see port.h. */
#include "daemon/port.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define AGAIN_S 5.

static struct rec_bind socket_of(const struct port_half *h)
{
	return (struct rec_bind){ .proto = "tcp", .addr = h->addr, .port = h->of->number };
}

bool port_is_asked(const struct port *p)
{
	return p->due > 0;
}

bool port_is_open(const struct port *p)
{
	bool any = false, all = true;

	for (size_t i = 0; i < 2; i++) {
		const struct port_half *h = &p->halves[i];

		any |= h->bound;
		all &= h->bound || h->absent || !h->wanted;
	}
	return any && all;
}

static void settle(struct port *p)
{
	if (port_is_open(p)) {
		if (p->said)
			log_info("%s answers now", p->name);
		p->said = false;
	} else {
		if (!p->said)
			log_warn("%s: %s", p->name, p->problem);
		p->said = true;
		ev_timer_set(&p->again, AGAIN_S, 0.);
		ev_timer_start(p->role->loop, &p->again);
	}
	if (p->settled)
		p->settled(p->arg);
}

static void on_bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct port_half *h = arg;
	struct port *p = h->of;

	(void)r;
	h->bound = fd >= 0;
	h->absent = e && e->code == -EAFNOSUPPORT;
	if (fd >= 0)
		httpd_listen(p->httpd, fd);
	else if (!p->problem[0])
		snprintf(p->problem, sizeof(p->problem), "%s", e->text);
	if (!--p->due)
		settle(p);
}

static void ask(struct port *p)
{
	p->problem[0] = '\0';
	for (size_t i = 0; i < 2; i++) {
		struct port_half *h = &p->halves[i];
		struct rec_bind want = socket_of(h);
		struct err e;

		if (!h->wanted || h->bound || h->absent)
			continue;
		if (role_bind(p->role, &want, on_bound, h, &e))
			snprintf(p->problem, sizeof(p->problem), "%s", e.text);
		else
			p->due++;
	}
	if (!p->due)
		settle(p);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop;
	(void)events;
	ask(w->data);
}

void port_init(struct port *p, struct role *r, struct httpd *httpd)
{
	*p = (struct port){ .role = r, .httpd = httpd };
	ev_init(&p->again, on_again);
	p->again.data = p;
}

void port_open(struct port *p, const struct ipaddr *addr, uint16_t number, const char *name)
{
	p->number = number;
	p->said = false;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->halves[0] = (struct port_half){ .of = p, .addr = *addr, .wanted = true };
	p->halves[1] = (struct port_half){ .of = p, .addr = { .family = AF_INET6 } };
	if (!addr->family) {
		p->halves[0].addr.family = AF_INET;
		p->halves[1].wanted = true;
	}
	ask(p);
}

void port_close(struct port *p)
{
	struct err e;

	port_fini(p);
	for (size_t i = 0; i < 2; i++) {
		struct rec_bind want = socket_of(&p->halves[i]);

		if (p->halves[i].bound && role_unbind(p->role, &want, &e))
			log_warn("%s: %s", p->name, e.text);
		p->halves[i].bound = false;
	}
	p->number = 0;
}

void port_fini(struct port *p)
{
	ev_timer_stop(p->role->loop, &p->again);
	httpd_fini(p->httpd);
}
