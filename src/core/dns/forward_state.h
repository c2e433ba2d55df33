/* SPDX-License-Identifier: Apache-2.0 */
/* What forward*.c share: questions that are out, their tries, upstreams.
 *
 * Invariants: a question in use is in the heap, and in a hash chain if clients may join it. A try that is open is in the chain of its id.
 * A waiter in use hangs on one question. What is not in use is in a free chain, whose links are distances: 0 is the next place, so that zero memory
 * is a chain, and places that were never needed are never touched. */
#pragma once
#include "core/dns/forward.h"

#define NONE UINT32_MAX

/* The place behind `at` in a free chain, and the link that leads to `to`. */
#define FREE_NEXT(at, link) ((uint32_t)((at) + 1 + (link)))
#define FREE_LINK(at, to)   ((uint32_t)((to) - ((at) + 1)))

/* Queries of one question that may be open at the same time, and that are sent for it in all. */
#define TRIES      4
#define STARTS_MAX 8

enum try_state { TRY_FREE, TRY_UDP, TRY_TCP };

struct
try {
	uint8_t state, upstream;
	bool plain;     /* without EDNS */
	bool timed_out; /* was counted as such, but may still be answered */
	uint16_t slot, id;
	uint32_t serial; /* part of the stream's number: a try's place is used again */
	uint32_t hash_next;
	int64_t sent_at;
	uint8_t mixed[DNS_NAME_MAX / 8 + 1]; /* which octets of the name are in the other case */
};

enum question_kind { FOR_CLIENTS, PROBE, LOOP_PROBE };

struct question {
	struct dns_question q;
	bool used, stale_given; /* stale_given: clients were, or are, answered from the cache */
	uint8_t kind, only;     /* a probe's upstream */
	uint8_t starts, last_rcode;
	uint8_t tried[DNS_UPSTREAMS_MAX];
	uint32_t hash_next;   /* also the free chain */
	uint32_t first, last; /* waiters */
	uint32_t heap_at;
	int64_t at;                           /* the earliest of: */
	int64_t deadline, next_try, stale_at; /* INT64_MAX: none */
	struct try t[TRIES];
};

struct waiter {
	uint64_t client;
	uint32_t next;
};

struct upstream {
	struct dns_upstream_state s;
	bool probing,
		looking; /* a probe of the kind is out: one at a time, as places for them are counted */
	bool seen;       /* the look for a loop that is out came back */
	int64_t probe_at, loop_at;
};

struct dns_forward {
	struct dns_forward_conf conf;
	struct dns_forward_io io;
	struct dns_cache *cache;
	struct question *questions;
	struct waiter *waiters;
	uint32_t *by_question, *by_id, *heap;
	uint32_t n_questions, n_heap, mask; /* of both hashes */
	uint32_t free_question, free_waiter;
	struct upstream up[DNS_UPSTREAMS_MAX];
	unsigned turn; /* round robin's */
	uint32_t serial;
	uint64_t seed[2];
	struct dns_forward_counts counts;
	uint8_t relay[DNS_RELAY_MAX];
};

/* ---- forward.c */
struct question *forward_begin(struct dns_forward *f, int64_t now, const struct dns_question *q,
			       enum question_kind kind,
			       unsigned only); /* NULL: too many, of clients */
/* Clients get `answer`, which the question needs no longer; nothing of it stays. */
void forward_end(struct dns_forward *f, int64_t now, struct question *q,
		 const struct dns_relay *answer);
void forward_answer_waiters(struct dns_forward *f, struct question *q,
			    const struct dns_relay *answer);
/* Nobody answered: SERVFAIL, or what the upstreams said last, or what is stale. */
void forward_fail(struct dns_forward *f, int64_t now, struct question *q);

/* ---- forward_heap.c */
void forward_heap_add(struct dns_forward *f, struct question *q);
void forward_heap_remove(struct dns_forward *f, const struct question *q);
void forward_heap_moved(struct dns_forward *f, struct question *q); /* its times changed */

/* ---- forward_try.c */
/* Asks the next upstream. False: there is none to ask, or enough were asked. */
bool forward_try_next(struct dns_forward *f, int64_t now, struct question *q);
bool forward_try(struct dns_forward *f, int64_t now, struct question *q, unsigned upstream,
		 bool tcp, bool plain);
void forward_try_close(struct dns_forward *f, struct question *q, struct try *t, bool stream_too);
bool forward_any_open(const struct question *q);
/* This one failed: the next, and if there is none and nobody may answer, the end. */
void forward_try_failed(struct dns_forward *f, int64_t now, struct question *q);
struct try *forward_try_at(struct dns_forward *f, uint32_t at, struct question **q);
/* The name as this try sent it. */
void forward_mixed_name(const struct question *q, const struct try *t, struct dns_name *out);

/* ---- forward_up.c */
void forward_up_answered(struct dns_forward *f, int64_t now, unsigned upstream);
void forward_up_failed(struct dns_forward *f, int64_t now, unsigned upstream);
void forward_probe_ended(struct dns_forward *f, int64_t now, unsigned upstream,
			 enum question_kind kind);
void forward_up_time(struct dns_forward *f, int64_t now);
int64_t forward_up_at(const struct dns_forward *f);
/* Is this the forwarder's own look for a loop? Then *upstream is where it was sent. */
bool forward_is_loop(const struct dns_forward *f, const struct dns_question *q, unsigned *upstream);
