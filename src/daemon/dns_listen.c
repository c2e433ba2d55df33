// SPDX-License-Identifier: Apache-2.0
/* The sockets of role dns: for each address of the configuration, protocol and worker one, as the kernel spreads what comes among those
 * that share a port by the sender (SO_REUSEPORT). The keeper binds and keeps them, so that queries wait in them while the role starts
 * anew; what an earlier process with more workers had is given up once all of ours are there, or its share would wait for ever. */
#include "daemon/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The port is somebody else's, or descriptors are short; or role agent has not brought the address yet, which takes
 * a moment and is not worth a word. */
#define AGAIN_FIRST_S 0.05
#define AGAIN_S       3.2
#define SAID_S        1.

struct listen_want {
	struct dns_listen *all;
	struct ipaddr addr;
	uint16_t port;
	unsigned worker; /* from 0 */
	bool memory, tcp, asked, there, absent;
};

struct dns_listen {
	struct dns *dns;
	struct listen_want *v;
	size_t n;
	ev_timer again;
	double pause;
	bool said, swept;
};

static void ask(struct listen_want *w);

static void rest(struct dns_listen *l)
{
	if (ev_is_active(&l->again))
		return;
	ev_timer_set(&l->again, l->pause, 0.);
	ev_timer_start(l->dns->role->loop, &l->again);
	l->pause = l->pause < AGAIN_S ? 2 * l->pause : AGAIN_S;
}

/* What nobody asked for is an earlier process's. */
static void settle(struct dns_listen *l)
{
	struct err e;

	for (size_t i = 0; i < l->n; i++)
		if (!l->v[i].there && !l->v[i].absent)
			return;
	if (!l->swept && role_unbind(l->dns->role, NULL, &e))
		log_error("%s", e.text);
	if (!l->swept)
		dns_listening(l->dns);
	l->swept = true;
}

static void take(const struct listen_want *w, int fd)
{
	struct dns *d = w->all->dns;

	if (w->memory) {
		dns_worker_keep(d, w->worker, fd);
		return;
	}
	if (!w->tcp)
		dns_udp_prepare(fd, &w->addr);
	dns_worker_add(d, w->worker, fd, w->tcp);
}

static void on_bound(struct role *r, int fd, const struct err *e, void *arg)
{
	struct listen_want *w = arg;
	struct dns_listen *l = w->all;

	(void)r;
	w->asked = false;
	if (fd < 0 && w->memory) {
		log_warn("%s: what is in hand is lost with the process", e->text);
	} else if (fd < 0 && e->code != -EAFNOSUPPORT) {
		if (!l->said && l->pause > SAID_S)
			log_error("%s; it is tried again", e->text);
		l->said |= l->pause > SAID_S;
		rest(l);
		return;
	}
	w->absent = fd < 0;
	w->there = fd >= 0;
	if (fd >= 0)
		take(w, fd);
	settle(l);
}

static void ask(struct listen_want *w)
{
	struct rec_bind want = { .proto = w->memory ? "memory"
					  : w->tcp  ? "tcp"
						    : "udp",
				 .addr = w->addr,
				 .port = w->memory ? DNS_BATCH_KIB : w->port,
				 .share = w->worker + 1 };
	struct err e;

	if (w->asked || w->there || w->absent)
		return;
	w->asked = !role_bind(w->all->dns->role, &want, on_bound, w, &e);
	if (w->asked)
		return;
	log_error("%s; it is tried again", e.text);
	rest(w->all);
}

static void on_again(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns_listen *l = t->data;

	(void)loop;
	(void)events;
	for (size_t i = 0; i < l->n; i++)
		ask(&l->v[i]);
}

static void add(struct dns_listen *l, const struct ipaddr *addr, uint16_t port)
{
	for (unsigned worker = 0; worker < l->dns->n_workers; worker++)
		for (int tcp = 0; tcp < 2; tcp++)
			l->v[l->n++] = (struct listen_want){
				.all = l, .addr = *addr, .port = port, .worker = worker, .tcp = tcp
			};
}

int dns_listen_open(struct dns *d, struct err *e)
{
	const struct config_servers *at = &d->role->cfg.dns.listen;
	struct dns_listen *l = calloc(1, sizeof(*l));

	if (l)
		l->v = calloc(((size_t)at->n * 2 + 1) * d->n_workers, sizeof(*l->v));
	if (!l || !l->v) {
		free(l);
		return err_set(e, -ENOMEM, "no memory");
	}
	l->dns = d;
	d->listen = l;
	ev_timer_init(&l->again, on_again, AGAIN_FIRST_S, 0.);
	l->pause = AGAIN_FIRST_S;
	l->again.data = l;
	for (uint32_t i = 0; i < at->n; i++)
		add(l, &at->v[i].addr, at->v[i].port);
	for (unsigned worker = 0; worker < d->n_workers; worker++)
		l->v[l->n++] = (struct listen_want){ .all = l, .worker = worker, .memory = true };
	for (size_t i = 0; i < l->n; i++)
		ask(&l->v[i]);
	return 0;
}

void dns_listen_close(struct dns *d)
{
	if (!d->listen)
		return;
	ev_timer_stop(d->role->loop, &d->listen->again);
	free(d->listen->v);
	free(d->listen);
	d->listen = NULL;
}
