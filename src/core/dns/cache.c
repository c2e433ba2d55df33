// SPDX-License-Identifier: Apache-2.0
/* cache: see cache.h.
 *
 * A cell is 128 octets. The first one of an entry holds its head, then the question's name and the answer run on through the chain. The
 * cells that are free are a chain as well. Entries are in hash chains (SipHash with a secret seed, as strangers choose the names), and in
 * one list in order of use.
 *
 * Invariant: each cell below `touched` is either in the free chain or in exactly one entry; cells from there on were never written, so a
 * cache that is not full costs only the pages that it uses. */
#include "core/dns/cache.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CELL 128
#define NONE UINT32_MAX

struct head {
	uint32_t next; /* cell; the same place in every cell */
	uint32_t hash_next, newer, older;
	int64_t put_at, expires_at, stale_until, failed_until;
	uint32_t hash, life_s, uses;
	uint16_t type, class, len;
	uint8_t name_len;
	bool dnssec_ok, checking_disabled, negative;
};

#define ROOM_HEAD (CELL - sizeof(struct head))
#define ROOM      (CELL - sizeof(uint32_t))

union cell {
	struct head head;
	uint32_t next;
	uint8_t v[CELL];
};

struct dns_cache {
	struct dns_cache_conf conf;
	union cell *cells;
	uint32_t *buckets;
	uint32_t n_cells, n_buckets; /* of buckets a power of two */
	uint32_t touched, free, n_free;
	uint32_t newest, oldest;
	struct dns_cache_counts counts;
	uint8_t out[DNS_NAME_MAX + DNS_CACHE_ENTRY_MAX];
};

bool dns_question_equal(const struct dns_question *a, const struct dns_question *b)
{
	return a->type == b->type && a->class == b->class && a->dnssec_ok == b->dnssec_ok &&
	       a->checking_disabled == b->checking_disabled && a->name.n == b->name.n &&
	       !memcmp(a->name.v, b->name.v, a->name.n);
}

static void forget_all(struct dns_cache *c)
{
	c->touched = c->n_free = 0;
	c->free = c->newest = c->oldest = NONE;
	c->counts.positive = c->counts.negative = 0;
	memset(c->buckets, 0xff, c->n_buckets * sizeof(*c->buckets));
}

struct dns_cache *dns_cache_new(const struct dns_cache_conf *conf, struct err *e)
{
	struct dns_cache *c;
	size_t left;

	if (conf->bytes < DNS_CACHE_MIN || conf->bytes / CELL >= NONE) {
		err_set(e, -EINVAL, "a cache of %zu octets: at least %d", conf->bytes,
			DNS_CACHE_MIN);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		goto no_memory;
	c->conf = *conf;
	/* All of it counts: the buckets, for entries of about two cells, and what is read into. */
	left = conf->bytes - sizeof(*c);
	for (c->n_buckets = 64; (size_t)c->n_buckets * 4 * CELL <= left; c->n_buckets *= 2)
		;
	left -= c->n_buckets * sizeof(*c->buckets);
	c->n_cells = (uint32_t)(left / CELL);
	c->buckets = malloc(c->n_buckets * sizeof(*c->buckets));
	c->cells = malloc(c->n_cells * sizeof(*c->cells));
	if (!c->buckets || !c->cells)
		goto no_memory;
	forget_all(c);
	return c;
no_memory:
	dns_cache_free(c);
	err_set(e, -ENOMEM, "no memory for a cache of %zu octets", conf->bytes);
	return NULL;
}

void dns_cache_free(struct dns_cache *c)
{
	if (!c)
		return;
	free(c->buckets);
	free(c->cells);
	free(c);
}

void dns_cache_clear(struct dns_cache *c)
{
	forget_all(c);
}

void dns_cache_count(const struct dns_cache *c, struct dns_cache_counts *out)
{
	*out = c->counts;
	out->bytes = (uint64_t)(c->touched - c->n_free) * CELL;
}

/* ---- cells */

static struct head *head_of(struct dns_cache *c, uint32_t at)
{
	return &c->cells[at].head;
}

static uint32_t available(const struct dns_cache *c)
{
	return c->n_cells - c->touched + c->n_free;
}

static uint32_t take_cell(struct dns_cache *c)
{
	uint32_t at = c->free;

	if (at == NONE)
		return c->touched++;
	c->free = c->cells[at].next;
	c->n_free--;
	return at;
}

static void give_cells(struct dns_cache *c, uint32_t at)
{
	while (at != NONE) {
		uint32_t next = c->cells[at].next;

		c->cells[at].next = c->free;
		c->free = at;
		c->n_free++;
		at = next;
	}
}

static uint32_t cells_for(size_t n)
{
	return n <= ROOM_HEAD ? 1 : (uint32_t)(1 + (n - ROOM_HEAD + ROOM - 1) / ROOM);
}

/* The octets of an entry run through its cells, from `*used` of `*cell` on. */
static void write_on(struct dns_cache *c, uint32_t *cell, size_t *used, const uint8_t *v, size_t n)
{
	while (n) {
		size_t k = CELL - *used < n ? CELL - *used : n;

		if (!k) {
			*cell = c->cells[*cell].next;
			*used = sizeof(uint32_t);
			continue;
		}
		memcpy(c->cells[*cell].v + *used, v, k);
		*used += k;
		v += k;
		n -= k;
	}
}

/* All octets of the entry, name and answer, into c->out. */
static void read_all(struct dns_cache *c, uint32_t at)
{
	const struct head *h = head_of(c, at);
	size_t left = (size_t)h->name_len + h->len, used = sizeof(*h), n = 0;

	while (left) {
		size_t k = CELL - used < left ? CELL - used : left;

		memcpy(c->out + n, c->cells[at].v + used, k);
		n += k;
		left -= k;
		at = c->cells[at].next;
		used = sizeof(uint32_t);
	}
}

/* ---- lists */

static void use_list_remove(struct dns_cache *c, struct head *h)
{
	if (h->newer == NONE)
		c->newest = h->older;
	else
		head_of(c, h->newer)->older = h->older;
	if (h->older == NONE)
		c->oldest = h->newer;
	else
		head_of(c, h->older)->newer = h->newer;
}

static void use_list_add(struct dns_cache *c, uint32_t at)
{
	struct head *h = head_of(c, at);

	h->newer = NONE;
	h->older = c->newest;
	if (c->newest == NONE)
		c->oldest = at;
	else
		head_of(c, c->newest)->newer = at;
	c->newest = at;
}

static void drop(struct dns_cache *c, uint32_t at)
{
	struct head *h = head_of(c, at);
	uint32_t *p = &c->buckets[h->hash & (c->n_buckets - 1)];

	while (*p != at)
		p = &head_of(c, *p)->hash_next;
	*p = h->hash_next;
	use_list_remove(c, h);
	(*(h->negative ? &c->counts.negative : &c->counts.positive))--;
	give_cells(c, at);
}

static uint32_t hash_of(const struct dns_cache *c, const struct dns_question *q)
{
	uint8_t key[DNS_NAME_MAX + 5];
	size_t n = q->name.n;

	memcpy(key, q->name.v, n);
	key[n++] = (uint8_t)(q->type >> 8);
	key[n++] = (uint8_t)q->type;
	key[n++] = (uint8_t)(q->class >> 8);
	key[n++] = (uint8_t)q->class;
	key[n++] = (uint8_t)(q->dnssec_ok | q->checking_disabled << 1);
	return (uint32_t)siphash(c->conf.seed, key, n);
}

static bool is_of(const struct dns_cache *c, uint32_t at, const struct dns_question *q)
{
	const struct head *h = &c->cells[at].head;
	size_t first = q->name.n < ROOM_HEAD ? q->name.n : ROOM_HEAD, n = first;

	if (h->type != q->type || h->class != q->class || h->dnssec_ok != q->dnssec_ok ||
	    h->checking_disabled != q->checking_disabled || h->name_len != q->name.n ||
	    memcmp(c->cells[at].v + sizeof(*h), q->name.v, first) != 0)
		return false;
	while (n < q->name.n) {
		size_t k = q->name.n - n < ROOM ? q->name.n - n : ROOM;

		at = c->cells[at].next;
		if (memcmp(c->cells[at].v + sizeof(uint32_t), q->name.v + n, k) != 0)
			return false;
		n += k;
	}
	return true;
}

static uint32_t find(struct dns_cache *c, uint32_t hash, const struct dns_question *q)
{
	uint32_t at = c->buckets[hash & (c->n_buckets - 1)];

	while (at != NONE && !(head_of(c, at)->hash == hash && is_of(c, at, q)))
		at = head_of(c, at)->hash_next;
	return at;
}

/* ---- what others call */

enum dns_cached dns_cache_get(struct dns_cache *c, int64_t now_ms, const struct dns_question *q,
			      struct dns_hit *out)
{
	uint32_t at = find(c, hash_of(c, q), q);
	struct head *h;

	if (at == NONE)
		return DNS_MISS;
	h = head_of(c, at);
	if (now_ms >= h->stale_until) {
		drop(c, at);
		return DNS_MISS;
	}
	h->uses++;
	use_list_remove(c, h);
	use_list_add(c, at);
	read_all(c, at);
	*out = (struct dns_hit){ .v = c->out + h->name_len,
				 .n = h->len,
				 .age_s = (uint32_t)((now_ms - h->put_at) / 1000),
				 .life_s = h->life_s,
				 .uses = h->uses,
				 .failed = now_ms < h->failed_until,
				 .negative = h->negative };
	if (now_ms < h->expires_at)
		return DNS_FRESH;
	return now_ms < h->failed_until ? DNS_FAILED : DNS_STALE;
}

static bool make_room(struct dns_cache *c, uint32_t cells, int64_t now_ms)
{
	if (cells > c->n_cells)
		return false;
	while (available(c) < cells) {
		c->counts.evicted += now_ms < head_of(c, c->oldest)->expires_at;
		drop(c, c->oldest);
	}
	return true;
}

static uint32_t fill(struct dns_cache *c, const struct dns_question *q, uint32_t hash,
		     const uint8_t *v, size_t n)
{
	uint32_t cells = cells_for(q->name.n + n), at = take_cell(c), last = at;
	size_t used = sizeof(struct head);
	struct head *h = head_of(c, at);

	while (--cells) {
		uint32_t next = take_cell(c);

		c->cells[last].next = next;
		last = next;
	}
	c->cells[last].next = NONE;
	last = at;
	write_on(c, &last, &used, q->name.v, q->name.n);
	write_on(c, &last, &used, v, n);
	h->hash = hash;
	h->hash_next = c->buckets[hash & (c->n_buckets - 1)];
	c->buckets[hash & (c->n_buckets - 1)] = at;
	h->type = q->type;
	h->class = q->class;
	h->dnssec_ok = q->dnssec_ok;
	h->checking_disabled = q->checking_disabled;
	h->name_len = q->name.n;
	h->len = (uint16_t)n;
	h->uses = 0;
	use_list_add(c, at);
	return at;
}

/* NULL: it is not kept. */
static struct head *put(struct dns_cache *c, int64_t now_ms, const struct dns_question *q,
			const void *v, size_t n, uint32_t life_s, bool negative)
{
	uint32_t hash = hash_of(c, q), at = find(c, hash, q);
	struct head *h;

	if (at != NONE)
		drop(c, at);
	if (!life_s || n > DNS_CACHE_ENTRY_MAX || !make_room(c, cells_for(q->name.n + n), now_ms))
		return NULL;
	h = head_of(c, fill(c, q, hash, v, n));
	h->put_at = now_ms;
	h->expires_at = now_ms + (int64_t)life_s * 1000;
	h->stale_until = h->expires_at + (int64_t)c->conf.stale_s * 1000;
	h->failed_until = now_ms;
	h->life_s = life_s;
	h->negative = negative;
	(*(negative ? &c->counts.negative : &c->counts.positive))++;
	return h;
}

void dns_cache_put(struct dns_cache *c, int64_t now_ms, const struct dns_question *q, const void *v,
		   size_t n, uint32_t life_s, bool negative)
{
	put(c, now_ms, q, v, n, life_s, negative);
}

void dns_cache_put_failure(struct dns_cache *c, int64_t now_ms, const struct dns_question *q,
			   const void *v, size_t n, uint32_t life_s)
{
	uint32_t at = find(c, hash_of(c, q), q);
	struct head *h = at == NONE ? NULL : head_of(c, at);

	if (!h || now_ms >= h->stale_until) {
		h = put(c, now_ms, q, v, n, life_s, true);
		/* That nobody answered is no answer to fall back on. */
		if (h)
			h->stale_until = h->expires_at;
	} else {
		h->failed_until = now_ms + (int64_t)life_s * 1000;
	}
}
