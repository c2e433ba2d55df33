/* SPDX-License-Identifier: Apache-2.0 */
/* Private to a worker's thread: dns_worker.c, dns_udp.c, dns_tcp.c, dns_serve.c, dns_stream.c, dns_upstream.c, and dns_ctl.c for jobs. What is not marked belongs to the thread alone. */
#pragma once
#include "core/dns/forward.h"
#include "core/dns/table.h"
#include "daemon/denial.h"
#include "daemon/dns.h"
#include "sys/shm.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define DNS_BATCH     64
#define DNS_QUERY_MAX 1500 /* octets by UDP */
#define DNS_TCP_MAX   65535

struct dns_tcp;
struct dns_upstreams;

/* ---- counters: written by the worker, read by the role's thread as they stand */

typedef _Atomic uint64_t dns_counter;

static inline void dns_count(dns_counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint64_t dns_counted(const dns_counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#define DNS_TIMES 17 /* CoreDNS' buckets: 0.25 ms, doubled 15 times; and what is beyond */

struct dns_times {
	dns_counter bucket[DNS_TIMES], sum_us;
};

static inline void dns_count_time(struct dns_times *t, uint64_t us)
{
	unsigned i = 0;

	while (i < DNS_TIMES - 1 && us > UINT64_C(250) << i)
		i++;
	dns_count(&t->bucket[i], 1);
	dns_count(&t->sum_us, us);
}

enum { DNS_BY_UDP, DNS_BY_TCP, DNS_PROTOS };
enum { DNS_FAMILY_4, DNS_FAMILY_6, DNS_FAMILIES };
#define DNS_TYPES_COUNTED 11 /* dns_type_counted()'s */
#define DNS_RCODES        6  /* NOERROR to REFUSED; the last one: any other */

/* Who had the answer. */
enum dns_source { DNS_FROM_NONE, DNS_FROM_HOSTS, DNS_FROM_CLUSTER, DNS_FROM_UPSTREAM, DNS_SOURCES };

struct dns_counts {
	dns_counter requests[DNS_PROTOS][DNS_FAMILIES][DNS_TYPES_COUNTED];
	dns_counter responses[DNS_SOURCES][DNS_RCODES + 1];
	dns_counter dnssec_ok, malformed;
	struct dns_times took, upstream;
};

/* A query of the role's own (dns_ctl.c). */
struct dns_job {
	struct dns_job *next;
	struct ctl_call *call; /* NULL: it left; the role's thread's */
	uint8_t query[DNS_UDP_MIN];
	size_t n_query;
	uint8_t *answer;
	size_t n_answer;
	enum dns_source source;
	uint64_t us;
};

/* Control data that says which address a datagram came to. */
struct dns_asked_addr {
	_Alignas(struct cmsghdr) uint8_t v[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Who waits for an answer. */
struct dns_asker {
	struct dns_tcp *tcp; /* NULL: by UDP */
	int fd;              /* of UDP: the socket it came to; -1: nobody waits */
	struct sockaddr_storage from;
	socklen_t from_len;
	struct dns_asked_addr asked;
	socklen_t asked_len; /* 0: the socket has the address */
	struct dns_job *job; /* NULL: a client of the network */
	uint64_t asked_us;   /* of the monotonic clock */
	/* When it is answered: upstreams were waited for; the one whose answer it is, NULL: none's. */
	bool waited;
	const struct dns_server *by;
};

struct dns_socket {
	struct dns_worker *worker;
	struct dns_socket *next;
	bool tcp;
	struct sockaddr_storage at; /* its own address */
	ev_io io;
};

/* Room for one turn of recvmmsg() and sendmmsg(). The keeper keeps this memory (dns_batch.c), so that the next process answers what one that was
 * killed had read; pointers in it are of the process that wrote them. */
struct dns_batch {
	uint32_t busy;              /* it was read, perhaps, and not answered yet */
	struct sockaddr_storage at; /* the socket's own address */
	struct mmsghdr in[DNS_BATCH], out[DNS_BATCH];
	struct iovec in_iov[DNS_BATCH], out_iov[DNS_BATCH];
	struct sockaddr_storage from[DNS_BATCH];
	struct dns_asked_addr asked[DNS_BATCH];
	uint8_t query[DNS_BATCH][DNS_QUERY_MAX];
	uint8_t answer[DNS_BATCH][DNS_UDP_MAX];
};

struct dns_worker {
	struct dns *dns;
	unsigned number; /* from 0 */
	pthread_t thread;
	bool started; /* the role's thread's */
	struct ev_loop *loop;
	ev_async wake;
	/* Between the threads, under the lock. */
	pthread_mutex_t lock;
	struct dns_socket *added;
	struct dns_job *jobs;
	bool stop, serve;
	struct dns_servers servers;
	struct dns_hosts *hosts_new;
	struct dns_feed *feed_new; /* NULL: none that it did not hear of */
	struct dns_view view_new;
	bool servers_changed, hosts_changed;
	struct dns_forward_counts forward_counts;
	struct dns_cache_counts cache_counts;
	uint32_t looped; /* a bit for each upstream that leads back to us */

	struct dns_socket *sockets;
	struct dns_batch *batch;
	struct shm kept; /* the keeper's memory, in which it is; none: its own */
	bool reading;
	struct dns_upstreams *upstreams,
		*leaving;        /* leaving: while it ends, others are asked already */
	struct dns_hosts *hosts; /* NULL: no such file */
	struct dns_feed *feed;   /* NULL: none yet, then it reads no sockets */
	struct dns_view view;
	uint32_t turn; /* of headless Services' addresses */
	struct dns_counts counts;
	struct denial_rate failures; /* lines of the log */
	struct dns_tcp *connections;
	unsigned n_connections;
	ev_timer rest; /* out of descriptors: nothing is accepted for a moment */
};

/* ---- dns_worker.c */

/* By the role's thread: what the worker said when it was last asked, by which it is asked anew. */
void dns_worker_count(struct dns_worker *w, struct dns_forward_counts *f,
		      struct dns_cache_counts *c);

/* ---- dns_udp.c */

void dns_udp_read(struct dns_socket *s);
/* Answers what a process before this one had read of a socket with this address, and not answered. */
void dns_udp_resume(struct dns_socket *s);

/* ---- dns_batch.c */

int dns_batch_make(struct dns_worker *w); /* of its own; 0 or -ENOMEM */
void dns_batch_free(struct dns_worker *w);
/* An answer to who asked by UDP, later than in the turn of its query. */
void dns_udp_send(const struct dns_asker *to, const uint8_t *p, size_t n);

/* ---- dns_tcp.c */

void dns_tcp_open(struct dns_worker *w);
void dns_tcp_accept(struct dns_socket *s);
/* The answer to a query that came by this connection, n = 0: there is none; the connection may be gone afterwards. */
void dns_tcp_send(struct dns_tcp *c, const uint8_t *p, size_t n);
uint8_t dns_tcp_family(const struct dns_tcp *c);
void dns_tcp_close(struct dns_worker *w);

/* ---- dns_serve.c */

const char *dns_type_counted(unsigned i, char buf[16]);
const char *dns_source_text(enum dns_source s);
/* The octets of the answer in `out`, of `cap` at most; 0: none, or it follows by dns_udp_send() or dns_tcp_send(). */
size_t dns_serve(struct dns_worker *w, const uint8_t *query, size_t n, const struct dns_asker *from,
		 uint8_t *out, size_t cap);
/* Counts and logs an answer that was given. */
void dns_serve_answered(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *to,
			enum dns_source source, const uint8_t *answer, size_t n);
/* What is at the end of an alias of the cluster's, behind it: the alias is looked up once more, as it is now. `answer` NULL: nobody is
 * asked, so that the alias is all. */
size_t dns_serve_behind(struct dns_worker *w, const struct dns_query *q,
			const struct dns_relay *answer, uint8_t *out, size_t cap);
/* A connection ends: who waits for an answer by it waits no more. */
void dns_serve_forget(struct dns_worker *w, const struct dns_tcp *c);

/* ---- dns_ctl.c */

/* By a worker: there is its answer, n = 0: none. */
void dns_job_done(struct dns_worker *w, struct dns_job *j, const uint8_t *answer, size_t n);

/* ---- dns_trace.c */

/* While queries are followed: this one is answered; or waits for an upstream (`answer` NULL). */
void dns_trace_met(struct dns_worker *w, const struct dns_query *q, const struct dns_asker *to,
		   enum dns_source source, const uint8_t *answer);

static inline bool dns_traces(const struct dns_worker *w)
{
	return atomic_load_explicit(&w->dns->n_traces, memory_order_relaxed) > 0;
}

/* ---- dns_stream.c */

struct dns_stream;

struct dns_streams {
	struct ev_loop *loop;
	struct dns_stream *first;
	/* The message that came back, NULL: none will; the connection is closed already. */
	void (*got)(uint32_t id, const uint8_t *v, size_t n, void *arg);
	void *arg;
};

/* A socket that is, or by TCP will be, connected: its descriptor or -errno. */
int dns_upstream_socket(const struct dns_server *s, int type);
/* `id` is the owner's, none of one that is open. What cannot be sent is as what has no answer. */
void dns_stream_send(struct dns_streams *all, const struct dns_server *to, uint32_t id,
		     const uint8_t *v, size_t n);
/* Without a word. */
void dns_stream_end(struct dns_streams *all, uint32_t id);
void dns_streams_close(struct dns_streams *all);

/* ---- dns_upstream.c */

struct dns_upstreams *dns_upstreams_new(struct dns_worker *w, const struct dns_servers *s,
					struct err *e);
/* Who waits is told SERVFAIL; a connection may be asked on by that, of what the worker has then. */
void dns_upstreams_free(struct dns_upstreams *u); /* NULL is fine */
/* As dns_serve(). `target`: where an alias of the cluster's leads, which is what is asked for; its answer goes behind the alias. n = 0: there is
 * none. */
size_t dns_upstreams_ask(struct dns_upstreams *u, const struct dns_query *q,
			 const struct dns_name *target, const struct dns_asker *from, uint8_t *out,
			 size_t cap);
void dns_upstreams_forget(struct dns_upstreams *u, const struct dns_tcp *c);
/* This upstream was seen to lead back to us, by another worker. */
void dns_upstreams_looped(struct dns_upstreams *u, unsigned upstream);
/* Figures of now. */
void dns_upstreams_count(const struct dns_upstreams *u, struct dns_forward_counts *f,
			 struct dns_cache_counts *c);
