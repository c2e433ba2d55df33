/* SPDX-License-Identifier: Apache-2.0 */
/* Role dns: cluster DNS of this node. Threads answer from one table, which the agent keeps or the role's own thread, and ask others for the
 * rest.
 *
 *   dns.c         the role: start, end, settings
 *   dns_listen.c  sockets from the keeper
 *   dns_feed.c    which table workers answer from
 *   dns_agent.c   the agent's table
 *   dns_store.c   an own mirror of the store → an own table (dns_names.h)
 *   dns_worker.c  a thread: its loop, and what the role's thread wants of it
 *   dns_udp.c     queries by UDP, many in one system call
 *   dns_batch.c   memory in which they outlive the process
 *   dns_tcp.c     connections of clients
 *   dns_serve.c   one query → one answer: hosts, table, cache, or somebody else's
 *   dns_upstream.c sockets and timers around core/dns/forward.h, and who waits
 *   dns_stream.c  questions to upstreams by TCP
 *   dns_files.c   resolv.conf and hosts, read again when they change
 *   dns_report.c  metrics by CoreDNS' names, and the log of queries
 *   dns_ctl.c     dns.sock: what `fairlead dns` asks
 *   dns_trace.c   what was made of a query that `fairlead trace` follows
 *
 * Workers share nothing but the table, which they read without a lock: each has its sockets, cache, upstreams and counters. What the
 * role's thread wants of a worker goes through dns_worker_…() below; the counters of a worker are read by it as they stand. */
#pragma once
#include "core/dns/resolv.h"
#include "core/dns/settings.h"
#include "core/dns/table.h"
#include "daemon/ctl.h"
#include "daemon/mirror.h"
#include "daemon/report.h"
#include "daemon/role.h"

#include <pthread.h>
#include <stdatomic.h>

#define DNS_BATCH_KIB                                                                              \
	208 /* of another size in another layout, so that none is taken for what it is not */
#define DNS_UDP_MAX 1232 /* octets of an answer by UDP: no fragments anywhere (DNS flag day 2020) */

struct dns_agent;
struct dns_files;
struct dns_job;
struct dns_listen;
struct dns_store;
struct dns_worker;
struct traced;

/* Whom to ask. */
struct dns_servers {
	struct dns_server v[DNS_SERVERS_MAX];
	unsigned n;
	bool rotate;
};

/* A table that workers answer from. */
struct dns_feed {
	const char *name; /* whose it is: "agent", "store" */
	const void *region;
	void *readers;
	size_t size;
	bool known;        /* all names are there */
	uint64_t since_ns; /* of the monotonic clock: workers were told to use it */
	/* No worker reads it any more; by the role's thread. */
	void (*unused)(struct dns_feed *f);
	_Atomic unsigned users;
	struct dns_feed *next; /* the one before */
};

struct dns {
	struct role *role;
	struct dns_settings settings;
	struct dns_listen *listen;
	struct dns_agent *agent; /* NULL: the node has none */
	struct dns_store *store; /* NULL: not needed */
	struct dns_feed *feed; /* the current one, then those that are being left; NULL: none yet */
	uint32_t reader;       /* by which our places in a readers' area are known */
	ev_async left;         /* the last worker left one */
	struct dns_worker *workers;
	unsigned n_workers;
	bool listening, known; /* all sockets are there; the table is whole, or was waited for */
	ev_timer patience;
	struct dns_files *files;
	_Atomic uint32_t looped; /* a bit for each upstream that was said to lead back to us */
	uint64_t loop_key;       /* the workers' own, by which a query of one is known to another */
	struct ctl_server ctl;
	struct report report;
	/* Jobs that came back from workers, under the lock. */
	pthread_mutex_t lock;
	struct dns_job *done;
	ev_async wake;
	/* Queries that are followed, changed under the lock by the role's thread alone; how many. */
	struct traced *traces;
	atomic_uint n_traces;
	ev_async traced_wake;
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
/* By any worker: this upstream leads back to us, which is logged once for each list of servers. */
void dns_looped(struct dns *d, unsigned upstream, const struct dns_server *s);
/* One more socket for the worker of this number, from 0; `fd` becomes its own. */
void dns_worker_add(struct dns *d, unsigned worker, int fd, bool tcp);
/* Memory of DNS_BATCH_KIB for the queries that it has in hand, before dns_workers_serve(); `fd` becomes its own. */
void dns_worker_keep(struct dns *d, unsigned worker, int fd);

/* The table from now on, of which it has a reader's place. */
void dns_worker_view(struct dns_worker *w, struct dns_feed *f, const struct dns_view *v);

/* ---- dns_feed.c */

void dns_feed_open(struct dns *d);
void dns_feed_close(struct dns *d); /* once no worker runs any more; all are unused then */
/* Has all workers answer from it. It stays until `unused`; on failure all is as it was. */
int dns_feed_use(struct dns *d, struct dns_feed *f, struct err *e);
/* By any thread: one reader less. */
void dns_feed_leave(struct dns *d, struct dns_feed *f);

/* ---- dns_agent.c */

int dns_agent_open(struct dns *d, struct err *e);
void dns_agent_close(struct dns *d);
void dns_agent_join(struct dns *d, int fd);
bool dns_agent_gives(const struct dns *d); /* the table is the agent's, who keeps it */
void dns_agent_tell(struct dns *d, const struct rec_dns_made *r); /* while there is one */

/* ---- dns_udp.c */

/* A socket of this address, before a worker has it. */
void dns_udp_prepare(int fd, const struct ipaddr *addr);

/* ---- dns_store.c */

/* Takes a mirror of the store, and has workers use its table once that is complete, or at once where they have none. */
int dns_store_begin(struct dns *d, struct err *e);
void dns_store_end(struct dns *d); /* of one that did not begin, too */
void dns_store_join(struct dns *d, int fd);

/* ---- dns_report.c */

void dns_report(struct report *r, void *arg);

/* ---- dns_ctl.c */

extern const struct ctl_verb dns_verbs[];
void dns_jobs_wake(struct ev_loop *loop, ev_async *a, int events);
void dns_jobs_drop(struct dns *d); /* once no worker runs any more */

/* ---- dns_trace.c */

void dns_trace_open(struct dns *d);
void dns_trace_close(struct dns *d); /* once no worker runs any more */
/* The agent follows this query. */
void dns_trace_follow(struct dns *d, const struct rec_dns_follow *r);

/* ---- dns_files.c */

int dns_files_open(struct dns *d, struct err *e);
void dns_files_close(struct dns *d);
void dns_files_show(const struct dns *d, struct ctl_call *c); /* rows: table upstream */
