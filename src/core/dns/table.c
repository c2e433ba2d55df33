// SPDX-License-Identifier: Apache-2.0
/* The writer of a table: a hash of chained entries whose memory is reused once nobody can read it (epoch-based reclamation, Fraser 2004).
 *
 *   change   An entry is never changed. A new one is written beside the old and takes its place in the chain with one store; wherever the
 *            writer dies, readers have the table as before or after. What it knows of free memory is its own, so that the next
 *            writer begins a new region.
 *   reuse    What is taken out bears the epoch, and then the epoch grows. A reader notes the epoch before it looks; what was taken out
 *            earlier than the oldest noted one is free. For a reader that died nothing waits longer than until it is overdue.
 *   growth   At one entry per bucket the buckets double. Entries have two links, one for the old chains and one for the new, so that those
 *            who read the old go on; the next doubling waits until these are gone, and chains are longer meanwhile.
 *   memory   Blocks have classes of size, each unit up to 32 and then four per doubling (at most a fifth is lost), with a list
 *            of free ones each; where the region is full, larger ones serve. Bounded by the sum of each class's peak. */
#include "core/dns/table_region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES      160
#define FIRST_LOG2   8
#define LAST_LOG2    26
#define STEP         (1UL << 20) /* octets that are made usable at once */
#define LIMBO_ENOUGH 64

static struct dns_block *block(const struct dns_table *t, uint32_t unit)
{
	return (void *)((char *)t->head + (size_t)unit * UNIT);
}

static uint32_t unit_of(const struct dns_table *t, const struct dns_block *b)
{
	return (uint32_t)((size_t)((const char *)b - (const char *)t->head) / UNIT);
}

/* `*units` grows to what the class has. */
static unsigned class_of(uint32_t *units)
{
	unsigned e, shift;
	uint32_t q;

	if (*units <= 32)
		return *units;
	e = 31 - (unsigned)__builtin_clz(*units - 1);
	shift = e - 2;
	q = (*units - 1) >> shift;
	*units = (q + 1) << shift;
	return 33 + (e - 5) * 4 + (q - 4);
}

static uint32_t units_of_class(unsigned class)
{
	return class <= 32 ? class : ((class - 33) % 4 + 5) << ((class - 33) / 4 + 3);
}

static void give_back(struct dns_table *t, struct dns_block *b)
{
	b->after = t->free[b->class];
	t->free[b->class] = unit_of(t, b);
}

/* ---- epochs */

static uint64_t oldest_reader(const struct dns_table *t)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < DNS_TABLE_READERS; i++) {
		uint64_t at = atomic_load(&t->readers[i].epoch);

		if (at && at < oldest)
			oldest = at;
	}
	return oldest;
}

/* Half an epoch suffices: a reader that is 2^31 changes behind would hold more than any region has. */
static bool older(uint32_t retired, uint64_t reader)
{
	return reader == UINT64_MAX || (int32_t)(retired - (uint32_t)reader) < 0;
}

static void reclaim_before(struct dns_table *t, uint64_t oldest)
{
	while (t->limbo && older(block(t, t->limbo)->retired, oldest)) {
		struct dns_block *b = block(t, t->limbo);

		if (t->limbo == t->old_buckets)
			t->old_buckets = 0;
		t->limbo = b->after;
		t->n_limbo--;
		give_back(t, b);
	}
}

void dns_table_reclaim(struct dns_table *t)
{
	if (t->limbo)
		reclaim_before(t, oldest_reader(t));
}

bool dns_table_overdue(struct dns_table *t)
{
	uint64_t due = t->due;
	bool found;

	dns_table_reclaim(t);
	found = t->limbo && older(block(t, t->limbo)->retired, due);
	if (found) {
		atomic_store(&t->head->forced, due); /* before anything is overwritten */
		reclaim_before(t, due);
	}
	t->due = atomic_load(&t->head->epoch);
	return found;
}

static void retire(struct dns_table *t, struct dns_block *b)
{
	uint32_t unit = unit_of(t, b);

	t->held -= (size_t)units_of_class(b->class) * UNIT;
	b->after = 0;
	b->retired = (uint32_t)atomic_fetch_add(&t->head->epoch, 1);
	if (t->limbo)
		block(t, t->newest)->after = unit;
	else
		t->limbo = unit;
	t->newest = unit;
	if (++t->n_limbo >= LIMBO_ENOUGH)
		dns_table_reclaim(t);
}

/* ---- memory */

static struct dns_block *take_free(struct dns_table *t, unsigned class)
{
	struct dns_block *b = block(t, t->free[class]);

	t->free[class] = b->after;
	return b;
}

static int make_ready(struct dns_table *t, size_t end, struct err *e)
{
	size_t want = (end + STEP - 1) / STEP * STEP;
	int r;

	if (end <= t->ready)
		return 0;
	if (want > t->size)
		want = t->size;
	r = t->more(t->ctx, want);
	if (r)
		return err_sys(e, r, "make %zu octets of the table usable", want);
	t->ready = want;
	return 0;
}

static int take(struct dns_table *t, size_t octets, struct dns_block **out, struct err *e)
{
	uint32_t units;
	unsigned class;
	size_t end;
	int r;

	if (octets > t->size)
		return err_set(e, -ENOSPC, "%zu octets do not fit into the table", octets);
	units = (uint32_t)((octets + UNIT - 1) / UNIT);
	class = class_of(&units);
	if (!t->free[class])
		dns_table_reclaim(t);
	end = t->used + (size_t)units * UNIT;
	if (!t->free[class] && end <= t->size) {
		r = make_ready(t, end, e);
		if (r)
			return r;
		*out = block(t, (uint32_t)(t->used / UNIT));
		(*out)->class = (uint8_t) class;
		t->used = end;
	} else {
		while (class < CLASSES && !t->free[class])
			class ++;
		if (class == CLASSES)
			return err_set(e, -ENOSPC, "the table's %zu octets are full", t->size);
		*out = take_free(t, class);
	}
	t->held += (size_t)units_of_class((*out)->class) * UNIT;
	return 0;
}

/* ---- buckets */

static _Atomic uint32_t *bucket(const struct dns_table *t, uint64_t buckets, uint32_t hash)
{
	_Atomic uint32_t *v = (void *)(block(t, BUCKETS_AT(buckets)) + 1);

	return &v[hash & ((1u << BUCKETS_LOG2(buckets)) - 1)];
}

static int new_buckets(struct dns_table *t, unsigned log2, unsigned side, uint64_t *out,
		       struct err *e)
{
	size_t n = sizeof(uint32_t) << log2;
	struct dns_block *b = NULL;
	int r = take(t, sizeof(*b) + n, &b, e);

	if (!b)
		return r;
	memset((void *)(b + 1), 0, n);
	*out = unit_of(t, b) | (uint64_t)log2 << 32 | (uint64_t)side << 40;
	return 0;
}

static void grow(struct dns_table *t)
{
	uint64_t old = atomic_load(&t->head->buckets), new;
	unsigned log2 = BUCKETS_LOG2(old), side = !BUCKETS_SIDE(old);

	if (t->count < 1u << log2 || log2 == LAST_LOG2)
		return;
	dns_table_reclaim(t);
	/* Without memory for them chains get longer; an entry may still fit. */
	if (t->old_buckets || new_buckets(t, log2 + 1, side, &new, NULL))
		return;
	for (uint32_t i = 0; i < 1u << log2; i++) {
		uint32_t unit = atomic_load(bucket(t, old, i));

		while (unit) {
			struct dns_block *b = block(t, unit);
			_Atomic uint32_t *head = bucket(t, new, b->hash);

			atomic_store_explicit(&b->next[side],
					      atomic_load_explicit(head, memory_order_relaxed),
					      memory_order_relaxed);
			atomic_store_explicit(head, unit, memory_order_relaxed);
			unit = atomic_load(&b->next[!side]);
		}
	}
	atomic_store(&t->head->buckets, new);
	t->old_buckets = BUCKETS_AT(old);
	retire(t, block(t, BUCKETS_AT(old)));
}

/* The link that leads to the entry; to 0 where there is none. */
static _Atomic uint32_t *find(const struct dns_table *t, const void *key, size_t n_key,
			      uint32_t hash)
{
	uint64_t w = atomic_load(&t->head->buckets);
	_Atomic uint32_t *link = bucket(t, w, hash);

	for (uint32_t unit; (unit = atomic_load(link));) {
		struct dns_block *b = block(t, unit);

		if (b->hash == hash && b->n_key == n_key && !memcmp(b + 1, key, n_key))
			break;
		link = &b->next[BUCKETS_SIDE(w)];
	}
	return link;
}

/* ---- the interface */

int dns_table_init(struct dns_table *t, void *region, size_t size, void *readers,
		   dns_table_more *more, void *ctx, struct err *e)
{
	struct dns_region_head *h = region;
	uint64_t buckets;
	int r;

	if (size < DNS_TABLE_MIN || size > DNS_TABLE_MAX ||
	    ((uintptr_t)region | (uintptr_t)readers) % LINE)
		return err_set(e, -EINVAL, "no region for a table: %zu octets at %p", size, region);
	*t = (struct dns_table){
		.head = h, .readers = readers, .size = size, .more = more, .ctx = ctx
	};
	t->ready = more ? 0 : size;
	t->used = (sizeof(*h) + LINE - 1) / LINE * LINE;
	t->free = calloc(CLASSES, sizeof(*t->free));
	if (!t->free)
		return err_set(e, -ENOMEM, "no memory for a table");
	r = make_ready(t, t->used, e);
	if (r == 0)
		r = new_buckets(t, FIRST_LOG2, 0, &buckets, e);
	if (r) {
		dns_table_fini(t);
		return r;
	}
	h->layout = TABLE_LAYOUT;
	h->readers = DNS_TABLE_READERS;
	h->size = size;
	atomic_store(&h->buckets, buckets);
	atomic_store(&h->epoch, 1);
	atomic_store(&h->magic, TABLE_MAGIC);
	return 0;
}

void dns_table_fini(struct dns_table *t)
{
	free(t->free);
	t->free = NULL;
}

int dns_table_put(struct dns_table *t, const void *key, size_t n_key, const void *blob,
		  size_t n_blob, struct err *e)
{
	_Atomic uint32_t *link;
	struct dns_block *b;
	uint32_t hash, old;
	unsigned side;
	int r;

	if (n_key > DNS_TABLE_KEY_MAX || n_blob > UINT32_MAX)
		return err_set(e, -EINVAL, "a key of %zu octets with %zu", n_key, n_blob);
	r = take(t, blob_at(n_key) + n_blob, &b, e);
	if (r)
		return r;
	grow(t);
	hash = dns_table_hash(key, n_key);
	b->hash = hash;
	b->n_key = (uint16_t)n_key;
	b->n_blob = (uint32_t)n_blob;
	memcpy(b + 1, key, n_key);
	memcpy((char *)b + blob_at(n_key), blob, n_blob);
	side = BUCKETS_SIDE(atomic_load(&t->head->buckets));
	link = find(t, key, n_key, hash);
	old = atomic_load(link);
	atomic_store(&b->next[side], old ? atomic_load(&block(t, old)->next[side]) : 0);
	atomic_store(link, unit_of(t, b));
	if (old)
		retire(t, block(t, old));
	else
		t->count++;
	atomic_fetch_add(&t->head->generation, 1);
	return 0;
}

bool dns_table_del(struct dns_table *t, const void *key, size_t n_key)
{
	_Atomic uint32_t *link = find(t, key, n_key, dns_table_hash(key, n_key));
	unsigned side = BUCKETS_SIDE(atomic_load(&t->head->buckets));
	uint32_t old = atomic_load(link);

	if (!old)
		return false;
	atomic_store(link, atomic_load(&block(t, old)->next[side]));
	retire(t, block(t, old));
	t->count--;
	atomic_fetch_add(&t->head->generation, 1);
	return true;
}

const void *dns_table_get(const struct dns_table *t, const void *key, size_t n_key, size_t *n_blob)
{
	struct dns_view v = { .head = t->head, .size = t->size };

	return dns_view_get(&v, key, n_key, n_blob);
}

void dns_table_set_word(struct dns_table *t, uint64_t word)
{
	atomic_store(&t->head->word, word);
	atomic_fetch_add(&t->head->generation, 1);
}
