/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarder: questions of clients in, queries to upstreams out, answers back in and to every client that waits. It has no sockets,
 * no clock and no randomness: its owner does what `struct dns_forward_io` asks for, without calling back into it, and says what happened.
 *
 * Forged answers (RFC 5452): each query has an id and a socket (whose port the owner drew) at random, and its name in letters of random
 * case. What comes back must have all of them right, and come from the upstream that was asked; the rest is counted by what was wrong and
 * otherwise has no effect. Questions that are alike are asked once, however many clients wait (RFC 5452 5: no birthdays). What an answer
 * says beyond the question is dropped (relay.h).
 *
 * Upstreams: as `policy` says. One that does not answer in `attempt_ms`, or says that it cannot, hands on to the next, but may still
 * answer; after `max_fails` such on end it is down and is asked only if all are. From its first failure on it is probed until it
 * answers. One that leads back to us is not asked.
 *
 * A truncated answer is asked for over TCP; so is one whose name has other letters than were sent, as an upstream that changes case and
 * somebody who guesses look the same. An upstream that does not understand EDNS (RFC 6891 7) is asked without.
 *
 * Every question that dns_forward_ask() took ends in exactly one io->end(), at `deadline_ms` at the latest; with `stale_ms`, once that
 * much time is over, with what the cache still has (RFC 8767), while the question goes on. Memory is taken when it is made. */
#pragma once
#include "core/dns/relay.h"

#define DNS_UPSTREAMS_MAX 15
#define DNS_SLOTS_MAX     4096
#define DNS_QUESTIONS_MAX 65536

enum dns_policy { DNS_SEQUENTIAL, DNS_ROUND_ROBIN, DNS_RANDOM };

/* Zeros are not defaults: dns_forward_defaults() sets those. */
struct dns_forward_conf {
	unsigned
		upstreams; /* up to DNS_UPSTREAMS_MAX, which are numbers from 0 to the owner; 0: everything is refused */
	unsigned
		slots; /* sockets per upstream that io->udp may be told to use, 1 to DNS_SLOTS_MAX */
	unsigned questions; /* that may be out at the same time, up to DNS_QUESTIONS_MAX */
	unsigned clients;   /* that may wait */
	enum dns_policy policy;
	unsigned attempt_ms, deadline_ms;
	unsigned stale_ms;  /* 0: stale answers only when all upstreams failed */
	unsigned max_fails; /* 0: no upstream is ever down, none is probed */
	unsigned probe_ms;  /* between probes, which wait for attempt_ms */
	unsigned loop_ms;   /* between looks at an upstream that leads back to us */
	unsigned failure_s; /* how long a failure is remembered, 1 to 5 (RFC 9520 3.2); 0: not */
	bool mix_case, prefetch;
	struct dns_ttls ttls;
	struct dns_name probe_name; /* what is asked to see whether an upstream lives */
	uint16_t probe_type;
	/* Random, and the same for all forwarders of one server, as the question of one may come back to another. */
	uint64_t loop_key;
};

struct dns_forward_io {
	/* Send from socket `slot` of the upstream. A failure to send may be told by dns_forward_unreachable() later. */
	void (*udp)(unsigned upstream, unsigned slot, const uint8_t *v, size_t n, void *arg);
	/* Send over a connection (which may serve others, too); the answer is told of with `stream`. */
	void (*tcp)(unsigned upstream, uint32_t stream, const uint8_t *v, size_t n, void *arg);
	void (*close)(uint32_t stream, void *arg); /* its answer is not wanted any more */
	void (*end)(uint64_t client, const struct dns_relay *answer, void *arg);
	/* For figures: an upstream's answer that was as asked, after how long. */
	void (*answered)(unsigned upstream, unsigned rcode, unsigned ms, void *arg);
	uint32_t (*random)(void *arg);
	void *arg;
};

enum dns_asked {
	DNS_ASKED, /* io->end() will be called, or was already */
	DNS_KNOWN, /* `out` has it, until the next call */
	DNS_DENIED, /* to be answered REFUSED: a zone transfer, no upstream, or not wanted recursively and not known */
	DNS_BUSY, /* to be answered SERVFAIL: too many questions are out, or too many clients wait */
	DNS_LOOP /* to be answered REFUSED: the forwarder's own look for a loop came back; *looped is the upstream that led here */
};

/* What was wrong with an answer that was not used. */
enum dns_odd {
	DNS_ODD_FORM,     /* no message, or no response */
	DNS_ODD_ID,       /* no query with its id is out: forged, or later than the deadline */
	DNS_ODD_UPSTREAM, /* from another upstream than was asked */
	DNS_ODD_SLOT,     /* to another port than the query's */
	DNS_ODD_QUESTION, /* to another question */
	DNS_ODD_CASE,     /* in other letters */
	DNS_ODD_RECORDS,  /* right in all this, but what it holds is malformed */
	DNS_ODDS
};

struct dns_forward_counts {
	uint64_t asked, hits, stale, joined, prefetched, busy, denied;
	uint64_t udp, tcp; /* queries sent, probes too */
	uint64_t odd[DNS_ODDS];
	uint64_t dropped_records;    /* out of bailiwick */
	uint64_t failed;             /* questions that ended without any answer */
	uint64_t all_down;           /* questions sent although no upstream was up */
	uint32_t questions, clients; /* now */
};

struct dns_upstream_state {
	bool down, looped;
	unsigned fails; /* on end */
	uint64_t sent, answered, timeouts, unreachable, probes_failed;
};

struct dns_forward;

void dns_forward_defaults(struct dns_forward_conf *c);
/* `cache` may be NULL, and is used by this forwarder alone. -EINVAL (`e` names the field), -ENOMEM as NULL. */
struct dns_forward *dns_forward_new(const struct dns_forward_conf *c,
				    const struct dns_forward_io *io, struct dns_cache *cache,
				    int64_t now_ms, struct err *e);
/* Ends all that waits (SERVFAIL) and closes all streams. */
void dns_forward_free(struct dns_forward *f);

/* `client` is the owner's, for io->end(). `recursive`: RD. */
enum dns_asked dns_forward_ask(struct dns_forward *f, int64_t now_ms, const struct dns_question *q,
			       bool recursive, uint64_t client, struct dns_relay *out,
			       unsigned *looped);
/* What a query asks. */
void dns_question_of(const struct dns_query *q, struct dns_question *out);

/* A datagram on a socket, from the address and port that it is connected to. */
void dns_forward_udp(struct dns_forward *f, int64_t now_ms, unsigned upstream, unsigned slot,
		     const uint8_t *v, size_t n);
/* A message (without its length) over a stream; what others are waiting for there is not disturbed. */
void dns_forward_tcp(struct dns_forward *f, int64_t now_ms, uint32_t stream, const uint8_t *v,
		     size_t n);
void dns_forward_tcp_failed(struct dns_forward *f, int64_t now_ms, uint32_t stream);
/* The kernel says of a socket that nobody is there (ECONNREFUSED, EHOSTUNREACH …). */
void dns_forward_unreachable(struct dns_forward *f, int64_t now_ms, unsigned upstream,
			     unsigned slot);
/* Another forwarder of this server was told DNS_LOOP with this upstream. */
void dns_forward_looped(struct dns_forward *f, int64_t now_ms, unsigned upstream);

void dns_forward_time(struct dns_forward *f, int64_t now_ms);
int64_t dns_forward_at(const struct dns_forward *f); /* when next; INT64_MAX: never */

void dns_forward_count(const struct dns_forward *f, struct dns_forward_counts *out);
void dns_forward_upstream(const struct dns_forward *f, unsigned upstream,
			  struct dns_upstream_state *out);
