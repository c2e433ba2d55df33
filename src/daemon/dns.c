// SPDX-License-Identifier: Apache-2.0
/* Role dns: see dns.h. Queries are answered once every socket is there and the table is whole, so that after a start nothing is said not
 * to exist which only was not heard of yet: until then queries wait in the sockets, which the keeper holds. A store that does not come
 * is waited for KNOWN_S; then names of others are answered, and the cluster's are SERVFAIL. */
#include "daemon/dns.h"
#include "daemon/dns_names.h"
#include "sys/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_S 5.
#define WORKERS 16 /* at most, where the configuration does not say */

/* Beyond every role's base: upstreams' sockets, the files that name them, threads. */
static const char *const calls[] = { "socket:inet", "socket:inet6", "bind", "connect", "openat",
				     "open", "stat",
				     /* threads; their first malloc() counts processors */
				     "clone", "clone3", "sched_getaffinity", NULL };

static void serve(struct dns *d)
{
	struct err e;

	if (!d->listening || !d->known)
		return;
	/* Not sooner: whether an upstream leads back to us is asked once, and comes to our sockets. */
	if (!d->files && dns_files_open(d, &e))
		log_error("%s", e.text);
	dns_workers_serve(d);
	if (!d->ctl.owner && ctl_server_open(&d->ctl, d->role, "dns.sock", dns_verbs, d, &e))
		log_error("%s", e.text);
}

void dns_listening(struct dns *d)
{
	d->listening = true;
	serve(d);
}

void dns_known(struct dns *d)
{
	if (d->known)
		return;
	d->known = true;
	ev_timer_stop(d->role->loop, &d->patience);
	serve(d);
}

static void on_patience(struct ev_loop *loop, ev_timer *t, int events)
{
	struct dns *d = t->data;
	struct err e;

	(void)events;
	if (!d->feed && dns_store_begin(d, &e)) {
		log_error("%s; it is tried again", e.text);
		ev_timer_set(t, KNOWN_S, 0.);
		ev_timer_start(loop, t);
		return;
	}
	log_warn("the store is not known after %.0f s: names of the cluster are answered with "
		 "SERVFAIL until it is",
		 KNOWN_S);
	dns_known(d);
}

static void on_join(struct role *r, const char *peer, int fd)
{
	struct dns *d = r->state;

	if (strcmp(peer, "watch") == 0)
		dns_store_join(d, fd);
	else if (strcmp(peer, "agent") == 0)
		dns_agent_join(d, fd);
	else if (strcmp(peer, "health") == 0)
		report_join(&d->report, fd);
	else
		close(fd);
}

static unsigned workers(const struct config *c)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->dns.workers)
		return c->dns.workers;
	return n < 1 ? 1 : n > WORKERS ? WORKERS : (unsigned)n;
}

/* As root: the number of processors is a file's. */
static int open_role(struct role *r, struct err *e)
{
	struct dns *d = r->state;

	(void)e;
	d->role = r;
	d->n_workers = workers(&r->cfg);
	return 0;
}

static int start(struct role *r, struct err *e)
{
	struct dns *d = r->state;
	int rc;

	pthread_mutex_init(&d->lock, NULL);
	random_bytes(&d->loop_key, sizeof(d->loop_key));
	ev_async_init(&d->wake, dns_jobs_wake);
	d->wake.data = d;
	ev_async_start(r->loop, &d->wake);
	ev_timer_init(&d->patience, on_patience, KNOWN_S, 0.);
	d->patience.data = d;
	ev_timer_start(r->loop, &d->patience);
	dns_trace_open(d);
	dns_feed_open(d);
	rc = dns_names_settings(&d->settings, &r->cfg, e);
	if (!rc)
		rc = dns_workers_open(d, e);
	if (!rc)
		rc = config_has_role(&r->cfg, "agent") ? dns_agent_open(d, e)
						       : dns_store_begin(d, e);
	if (!rc)
		rc = dns_listen_open(d, e);
	if (!rc)
		report_init(&d->report, r, dns_report, d);
	return rc;
}

/* The sockets stay the keeper's: what comes now waits for the next process. */
static void stop(struct role *r)
{
	struct dns *d = r->state;

	if (d->ctl.owner)
		ctl_server_close(&d->ctl);
	report_fini(&d->report);
	ev_timer_stop(r->loop, &d->patience);
	dns_listen_close(d);
	dns_files_close(d);
	dns_workers_close(d);
	dns_jobs_drop(d);
	ev_async_stop(r->loop, &d->wake);
	dns_agent_close(d);
	dns_store_end(d);
	dns_feed_close(d);
	dns_trace_close(d);
}

int main(int argc, char **argv)
{
	static const struct role_ops ops = { .name = "dns",
					     .calls = calls,
					     .open = open_role,
					     .start = start,
					     .join = on_join,
					     .stop = stop };
	struct dns d = { 0 };

	return role_main(&ops, &d, argc, argv);
}
