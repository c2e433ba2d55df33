// SPDX-License-Identifier: Apache-2.0
/* A thread that answers: its loop and sockets, and what the role's thread wants of it, which it says under a lock and wakes the loop. */
#include "daemon/dns_worker.h"

#include "sys/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILURES 10 /* that a thread logs in a second: a client makes as many as it likes */

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct dns_socket *s = io->data;

	(void)loop;
	(void)events;
	if (s->tcp)
		dns_tcp_accept(s);
	else
		dns_udp_read(s);
}

/* ---- what the role's thread wants */

static void close_socket(struct dns_worker *w, struct dns_socket *s)
{
	ev_io_stop(w->loop, &s->io);
	close(s->io.fd);
	free(s);
}

/* What was said since, in one piece. */
struct said {
	struct dns_socket *added;
	struct dns_job *jobs;
	bool stop, serve, servers_changed, hosts_changed;
	struct dns_servers servers;
	struct dns_hosts *hosts;
	struct dns_feed *feed;
	struct dns_view view;
	uint32_t looped;
};

static void listen_to(struct dns_worker *w, struct said *s)
{
	pthread_mutex_lock(&w->lock);
	*s = (struct said){ .added = w->added,
			    .jobs = w->jobs,
			    .stop = w->stop,
			    .serve = w->serve,
			    .servers_changed = w->servers_changed,
			    .hosts_changed = w->hosts_changed,
			    .servers = w->servers,
			    .hosts = w->hosts_new,
			    .feed = w->feed_new,
			    .view = w->view_new,
			    .looped = w->looped };
	w->added = NULL;
	w->jobs = NULL;
	w->hosts_new = NULL;
	w->feed_new = NULL;
	w->servers_changed = w->hosts_changed = false;
	w->looped = 0;
	pthread_mutex_unlock(&w->lock);
}

static void take_sockets(struct dns_worker *w, struct dns_socket *added, bool serve)
{
	bool begins = serve && !w->reading;

	while (added) {
		struct dns_socket *s = added;

		added = s->next;
		s->next = w->sockets;
		w->sockets = s;
		if (w->reading)
			ev_io_start(w->loop, &s->io);
	}
	w->reading |= serve;
	for (struct dns_socket *s = w->sockets; begins && s; s = s->next) {
		if (!s->tcp)
			dns_udp_resume(s);
		ev_io_start(w->loop, &s->io);
	}
	if (begins)
		w->batch->busy = false; /* of a socket that is no more */
}

static void take_feed(struct dns_worker *w, const struct said *s)
{
	struct dns_feed *old = w->feed;

	if (old)
		dns_view_release(&w->view);
	w->view = s->view;
	w->feed = s->feed;
	if (old)
		dns_feed_leave(w->dns, old);
}

static void take_servers(struct dns_worker *w, const struct dns_servers *s)
{
	struct dns_upstreams *now;
	struct err e;

	now = dns_upstreams_new(w, s, &e);
	if (!now) {
		log_error("other upstreams: %s", e.text);
		return;
	}
	w->leaving = w->upstreams;
	w->upstreams = now; /* what the old one answers may have a client ask on */
	dns_upstreams_free(w->leaving);
	w->leaving = NULL;
}

static void take_jobs(struct dns_worker *w, struct dns_job *j)
{
	static _Thread_local uint8_t answer[DNS_TCP_MAX];

	while (j) {
		struct dns_asker from = { .fd = -1, .job = j, .asked_us = clock_mono_ns() / 1000 };
		struct dns_job *next = j->next;
		size_t n = dns_serve(w, j->query, j->n_query, &from, answer, sizeof(answer));

		if (n)
			dns_job_done(w, j, answer, n);
		j = next;
	}
}

static void on_wake(struct ev_loop *loop, ev_async *a, int events)
{
	struct dns_worker *w = a->data;
	struct said said;

	(void)events;
	listen_to(w, &said);
	if (said.feed)
		take_feed(w, &said);
	if (said.servers_changed)
		take_servers(w, &said.servers);
	if (said.hosts_changed) {
		dns_hosts_free(w->hosts);
		w->hosts = said.hosts;
	}
	for (unsigned i = 0; said.looped && w->upstreams && i < DNS_UPSTREAMS_MAX; i++)
		if (said.looped & 1u << i)
			dns_upstreams_looped(w->upstreams, i);
	take_sockets(w, said.added, said.serve);
	take_jobs(w, said.jobs);
	if (w->upstreams) {
		pthread_mutex_lock(&w->lock);
		dns_upstreams_count(w->upstreams, &w->forward_counts, &w->cache_counts);
		pthread_mutex_unlock(&w->lock);
	}
	if (said.stop)
		ev_break(loop, EVBREAK_ALL);
}

void dns_worker_add(struct dns *d, unsigned worker, int fd, bool tcp)
{
	struct dns_worker *w = &d->workers[worker];
	struct dns_socket *s = calloc(1, sizeof(*s));
	socklen_t len = sizeof(s->at);

	if (!s) {
		log_error("no memory for a socket");
		close(fd);
		return;
	}
	s->worker = w;
	s->tcp = tcp;
	getsockname(fd, (struct sockaddr *)&s->at, &len);
	ev_io_init(&s->io, on_readable, fd, EV_READ);
	s->io.data = s;
	pthread_mutex_lock(&w->lock);
	s->next = w->added;
	w->added = s;
	pthread_mutex_unlock(&w->lock);
	ev_async_send(w->loop, &w->wake);
}

void dns_worker_view(struct dns_worker *w, struct dns_feed *f, const struct dns_view *v)
{
	struct dns_feed *unseen;

	pthread_mutex_lock(&w->lock);
	unseen = w->feed_new;
	if (unseen)
		dns_view_release(&w->view_new);
	w->feed_new = f;
	w->view_new = *v;
	pthread_mutex_unlock(&w->lock);
	if (unseen)
		dns_feed_leave(w->dns, unseen);
	ev_async_send(w->loop, &w->wake);
}

void dns_workers_serve(struct dns *d)
{
	for (unsigned i = 0; i < d->n_workers; i++) {
		struct dns_worker *w = &d->workers[i];

		pthread_mutex_lock(&w->lock);
		w->serve = true;
		pthread_mutex_unlock(&w->lock);
		ev_async_send(w->loop, &w->wake);
	}
}

void dns_workers_servers(struct dns *d, const struct dns_servers *s)
{
	atomic_store(&d->looped, 0);
	for (unsigned i = 0; i < d->n_workers; i++) {
		struct dns_worker *w = &d->workers[i];

		pthread_mutex_lock(&w->lock);
		w->servers = *s;
		w->servers_changed = true;
		pthread_mutex_unlock(&w->lock);
		ev_async_send(w->loop, &w->wake);
	}
}

static void nothing(unsigned line, const char *why, void *arg)
{
	(void)line;
	(void)why;
	(void)arg;
}

void dns_workers_hosts(struct dns *d, const char *text, size_t n, dns_ignored *ignored, void *arg)
{
	for (unsigned i = 0; i < d->n_workers; i++) {
		struct dns_worker *w = &d->workers[i];
		struct dns_hosts *h = NULL, *unused;

		if (text)
			h = dns_hosts_parse(text, n, i ? nothing : ignored, arg);
		if (text && !h) {
			log_error("hosts: no memory");
			continue;
		}
		pthread_mutex_lock(&w->lock);
		unused = w->hosts_new;
		w->hosts_new = h;
		w->hosts_changed = true;
		pthread_mutex_unlock(&w->lock);
		dns_hosts_free(unused);
		ev_async_send(w->loop, &w->wake);
	}
}

void dns_worker_ask(struct dns *d, struct dns_job *j)
{
	struct dns_worker *w = d->workers;

	pthread_mutex_lock(&w->lock);
	j->next = w->jobs;
	w->jobs = j;
	pthread_mutex_unlock(&w->lock);
	ev_async_send(w->loop, &w->wake);
}

void dns_looped(struct dns *d, unsigned upstream, const struct dns_server *s)
{
	char text[ADDR_TEXT];

	if (!(atomic_fetch_or(&d->looped, 1u << upstream) & 1u << upstream))
		log_warn("upstream %s port %u leads back to this server, and is not asked",
			 addr_str(&s->addr, text), s->port);
	for (unsigned i = 0; i < d->n_workers; i++) {
		struct dns_worker *w = &d->workers[i];

		pthread_mutex_lock(&w->lock);
		w->looped |= 1u << upstream;
		pthread_mutex_unlock(&w->lock);
		ev_async_send(w->loop, &w->wake);
	}
}

void dns_worker_count(struct dns_worker *w, struct dns_forward_counts *f,
		      struct dns_cache_counts *c)
{
	pthread_mutex_lock(&w->lock);
	*f = w->forward_counts;
	*c = w->cache_counts;
	pthread_mutex_unlock(&w->lock);
	ev_async_send(w->loop, &w->wake);
}

/* ---- life */

static void *run(void *arg)
{
	struct dns_worker *w = arg;

	ev_run(w->loop, 0);
	return NULL;
}

static int open_one(struct dns_worker *w, struct err *e)
{
	int rc;

	pthread_mutex_init(&w->lock, NULL);
	ev_async_init(&w->wake, on_wake);
	w->wake.data = w;
	w->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!w->loop || dns_batch_make(w))
		return err_set(e, -ENOMEM, "no memory");
	ev_async_start(w->loop, &w->wake);
	dns_tcp_open(w);
	rc = pthread_create(&w->thread, NULL, run, w);
	w->started = !rc;
	return rc ? err_sys(e, -rc, "a thread") : 0;
}

int dns_workers_open(struct dns *d, struct err *e)
{
	sigset_t all, before;
	int rc = 0;

	d->workers = calloc(d->n_workers, sizeof(*d->workers));
	if (!d->workers)
		return err_set(e, -ENOMEM, "no memory");
	sigfillset(&all); /* signals are the role's thread's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < d->n_workers && !rc; i++) {
		d->workers[i].dns = d;
		d->workers[i].number = i;
		d->workers[i].failures.per_second = FAILURES;
		rc = open_one(&d->workers[i], e);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static void close_one(struct dns_worker *w)
{
	if (w->started) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_mutex_unlock(&w->lock);
		ev_async_send(w->loop, &w->wake);
		pthread_join(w->thread, NULL);
	}
	while (w->jobs) {
		struct dns_job *j = w->jobs;

		w->jobs = j->next;
		dns_job_done(w, j, NULL, 0);
	}
	dns_tcp_close(w);
	dns_upstreams_free(w->upstreams);
	dns_hosts_free(w->hosts);
	dns_hosts_free(w->hosts_new);
	if (w->feed)
		dns_view_release(&w->view);
	if (w->feed_new)
		dns_view_release(&w->view_new);
	for (struct dns_socket *s = w->sockets, *next; s; s = next) {
		next = s->next;
		close_socket(w, s);
	}
	for (struct dns_socket *s = w->added, *next; s; s = next) {
		next = s->next;
		close_socket(w, s);
	}
	if (w->loop)
		ev_loop_destroy(w->loop);
	dns_batch_free(w);
	pthread_mutex_destroy(&w->lock);
}

void dns_workers_close(struct dns *d)
{
	for (unsigned i = 0; d->workers && i < d->n_workers; i++)
		if (d->workers[i].dns)
			close_one(&d->workers[i]);
	free(d->workers);
	d->workers = NULL;
}
