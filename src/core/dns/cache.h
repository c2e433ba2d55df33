/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of what upstreams answered: by question, positive and negative (RFC 2308), failures too (RFC 9520), and past its time where
 * nobody answers (RFC 8767). What an answer is, is relay.h's business; here it is octets with a lifetime.
 *
 * Memory: one region of the configured size, taken when it is made and cut into cells of one size; an entry is a chain of cells. So the
 * cache can never be larger than its limit, and nothing fragments. What was used longest ago makes room.
 *
 * One thread. Times are milliseconds of a clock that does not go back. */
#pragma once
#include "core/dns/name.h"

/* What an answer belongs to. Two questions with these alike get the same answer. */
struct dns_question {
	struct dns_name name; /* in small letters */
	uint16_t type, class;
	bool dnssec_ok, checking_disabled; /* DO, CD */
};

bool dns_question_equal(const struct dns_question *a, const struct dns_question *b);

#define DNS_CACHE_MIN       65536 /* octets */
#define DNS_CACHE_ENTRY_MAX 16384 /* a larger answer is not kept */

struct dns_cache;

struct dns_cache_conf {
	size_t bytes;     /* at least DNS_CACHE_MIN; up to 2^32 cells */
	uint32_t stale_s; /* how long past its time an answer may be given in need; 0: never */
	uint64_t seed[2]; /* random, for the hash */
};

struct dns_cache_counts {
	uint64_t positive,
		negative; /* entries that are there, past their time or not; failures are negative */
	uint64_t bytes;   /* in use, of the limit */
	uint64_t evicted; /* before their time, to make room */
};

enum dns_cached {
	DNS_MISS,
	DNS_FRESH,
	DNS_STALE, /* past its time: to be asked for anew, and given only if nobody answers in time */
	DNS_FAILED /* past its time, and nobody answered a moment ago: to be given at once, without asking */
};

struct dns_hit {
	const uint8_t *v; /* until the next call */
	size_t n;
	uint32_t age_s;  /* since it was put */
	uint32_t life_s; /* that it was given */
	uint32_t uses;   /* this one too */
	bool negative;
	bool failed; /* nobody answered a moment ago */
};

struct dns_cache *dns_cache_new(const struct dns_cache_conf *c, struct err *e);
void dns_cache_free(struct dns_cache *c);

enum dns_cached dns_cache_get(struct dns_cache *c, int64_t now_ms, const struct dns_question *q,
			      struct dns_hit *out);
/* Replaces what was there. Nothing is kept for a life of 0, or if it is too large: what was there is gone then, too. */
void dns_cache_put(struct dns_cache *c, int64_t now_ms, const struct dns_question *q, const void *v,
		   size_t n, uint32_t life_s, bool negative);
/* Nobody had an answer: for `life_s` seconds this one (RFC 9520), or where a stale one is, that. What is fresh is given as before. */
void dns_cache_put_failure(struct dns_cache *c, int64_t now_ms, const struct dns_question *q,
			   const void *v, size_t n, uint32_t life_s);
void dns_cache_clear(struct dns_cache *c); /* the upstreams are others */
void dns_cache_count(const struct dns_cache *c, struct dns_cache_counts *out);
