/* SPDX-License-Identifier: Apache-2.0 */
/* Role dns: cluster DNS of this node. Threads answer from one table that the role's own thread keeps, and ask others for the rest.
 *
 *   dns.c         the role: start, end, settings
 *   dns_listen.c  sockets from the keeper
 *   dns_store.c   the mirror of the store → the table (core/dns/zone.h)
 *   dns_worker.c  a thread: its loop, and queries by UDP, many in one system call
 *   dns_tcp.c     connections of clients
 *   dns_serve.c   one query → one answer: hosts, table, cache, or somebody else's
 *   dns_upstream.c sockets and timers around core/dns/forward.h
 *   dns_files.c   resolv.conf and hosts, read again when they change
 *   dns_report.c  metrics by CoreDNS' names, and the log of queries
 *   dns_ctl.c     dns.sock: what `fairlead dns` asks
 *
 * Workers share nothing but the table, which they read without a lock: each has its sockets, cache, upstreams and counters. What the
 * role's thread wants of a worker goes through dns_worker_…() below; the counters of a worker are read by it as they stand. */
#pragma once
#include "core/dns/resolv.h"
#include "core/dns/table.h"
#include "daemon/ctl.h"
#include "daemon/mirror.h"
#include "daemon/report.h"
#include "daemon/role.h"

#include <pthread.h>

#define DNS_UDP_MAX 1232 /* octets of an answer by UDP: no fragments anywhere (DNS flag day 2020) */

struct dns_files;
struct dns_job;
struct dns_settings;
struct dns_listen;
struct dns_store;
struct dns_worker;

/* Whom to ask. */
struct dns_servers {
	struct dns_server v[DNS_SERVERS_MAX];
	unsigned n;
	bool rotate;
};

struct dns {
	struct role *role;
	struct dns_listen *listen;
	struct dns_store *store;
	struct dns_worker *workers;
	unsigned n_workers;
	bool listening, known; /* all sockets are there; the table is whole, or was waited for */
	ev_timer patience;
	struct dns_files *files;
	uint64_t loop_key; /* the workers' own, by which a query of one is known to another */
	struct ctl_server ctl;
	struct report report;
	/* Jobs that came back from workers, under the lock. */
	pthread_mutex_t lock;
	struct dns_job *done;
	ev_async wake;
};

/* All sockets of the configuration are there: workers begin to read once the table is known, too. */
void dns_listening(struct dns *d);
/* The table has the whole of the store. */
void dns_known(struct dns *d);

/* ---- dns_listen.c */

int dns_listen_open(struct dns *d, struct err *e);
void dns_listen_close(struct dns *d);

/* ---- dns_worker.c: called by the role's thread */

/* Starts the threads, none of which reads its sockets before dns_workers_serve(). */
int dns_workers_open(struct dns *d, struct err *e);
void dns_workers_close(struct dns *d);
void dns_workers_serve(struct dns *d);
/* Asks others from now on; what is out ends. */
void dns_workers_servers(struct dns *d, const struct dns_servers *s);
/* Answers from this file from now on: octets, which are copied; NULL: there is none. */
void dns_workers_hosts(struct dns *d, const char *text, size_t n, dns_ignored *ignored, void *arg);
/* Has a worker answer it: dns_job_done(). */
void dns_worker_ask(struct dns *d, struct dns_job *j);
/* By any worker: this upstream leads back to us. */
void dns_looped(struct dns *d, unsigned upstream);
/* One more socket for the worker of this number, from 0; `fd` becomes its own. */
void dns_worker_add(struct dns *d, unsigned worker, int fd, bool tcp);

/* ---- dns_store.c */

int dns_store_open(struct dns *d, struct err *e);
void dns_store_close(struct dns *d);
void dns_store_join(struct dns *d, int fd);
const struct dns_settings *dns_store_settings(const struct dns *d);
bool dns_store_synced(const struct dns *d);
/* The table, for one more reader. */
int dns_store_view(struct dns *d, struct dns_view *v, struct err *e);

/* ---- dns_report.c */

void dns_report(struct report *r, void *arg);

/* ---- dns_ctl.c */

extern const struct ctl_verb dns_verbs[];
void dns_jobs_wake(struct ev_loop *loop, ev_async *a, int events);
void dns_jobs_drop(struct dns *d); /* once no worker runs any more */

/* ---- dns_files.c */

int dns_files_open(struct dns *d, struct err *e);
void dns_files_close(struct dns *d);
void dns_files_show(const struct dns *d, struct ctl_call *c); /* rows: table upstream */
