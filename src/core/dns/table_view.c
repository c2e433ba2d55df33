// SPDX-License-Identifier: Apache-2.0
/* Readers of a table. What they follow was published with one store each, so they see it before or after a change; that it is not used
 * anew under them is the writer's care (table.c), for which they say when they began.
 *
 * All that readers and the writer tell each other is sequentially consistent: a reader says that it reads and then looks, the writer takes
 * out and then looks who reads, and one of both sees the other. */
#include "core/dns/table_region.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>

uint32_t dns_table_hash(const void *key, size_t n)
{
	uint64_t h = fnv64(FNV64_START, key, n);

	return (uint32_t)(h ^ h >> 32);
}

int dns_view_attach(struct dns_view *v, const void *region, size_t size, void *readers,
		    struct err *e)
{
	const struct dns_region_head *h = region;
	uint64_t w;

	if (size < DNS_TABLE_MIN || ((uintptr_t)region | (uintptr_t)readers) % LINE)
		return err_set(e, -EBADMSG, "no table: %zu octets at %p", size, region);
	if (atomic_load(&h->magic) != TABLE_MAGIC)
		return err_set(e, -EBADMSG, "no table");
	if (h->layout != TABLE_LAYOUT || h->readers != DNS_TABLE_READERS)
		return err_set(e, -EBADMSG, "a table of layout %u", h->layout);
	w = atomic_load(&h->buckets);
	if (h->size != size || !BUCKETS_AT(w) ||
	    (uint64_t)BUCKETS_AT(w) * UNIT + sizeof(struct dns_block) +
			    (sizeof(uint32_t) << BUCKETS_LOG2(w)) >
		    size)
		return err_set(e, -EBADMSG, "a table of another size than %zu octets", size);
	*v = (struct dns_view){
		.head = h, .readers = readers, .size = size, .place = DNS_TABLE_READERS
	};
	return 0;
}

int dns_view_claim(struct dns_view *v, uint32_t owner, struct err *e)
{
	for (unsigned i = 0; i < DNS_TABLE_READERS; i++) {
		uint32_t nobody = 0;

		if (atomic_compare_exchange_strong(&v->readers[i].owner, &nobody, owner)) {
			v->place = i;
			return 0;
		}
	}
	return err_set(e, -EUSERS, "the table has %d readers", DNS_TABLE_READERS);
}

void dns_view_release(struct dns_view *v)
{
	if (v->place >= DNS_TABLE_READERS)
		return;
	dns_view_leave(v);
	atomic_store(&v->readers[v->place].owner, 0);
	v->place = DNS_TABLE_READERS;
}

void dns_readers_only(void *readers, uint32_t owner)
{
	struct dns_reader *r = readers;

	for (unsigned i = 0; i < DNS_TABLE_READERS; i++) {
		if (atomic_load(&r[i].owner) == owner)
			continue;
		atomic_store(&r[i].epoch, 0);
		atomic_store(&r[i].owner, 0);
	}
}

void dns_view_enter(struct dns_view *v)
{
	v->epoch = atomic_load(&v->head->epoch);
	atomic_store(&v->readers[v->place].epoch, v->epoch);
}

bool dns_view_leave(struct dns_view *v)
{
	atomic_thread_fence(memory_order_acquire); /* what was got is read by now */
	atomic_store_explicit(&v->readers[v->place].epoch, 0, memory_order_release);
	return v->epoch >= atomic_load(&v->head->forced);
}

static const struct dns_block *block_of(const struct dns_view *v, uint32_t unit)
{
	size_t at = (size_t)unit * UNIT;

	return at + sizeof(struct dns_block) <= v->size ? (const void *)((const char *)v->head + at)
							: NULL;
}

const void *dns_view_get(const struct dns_view *v, const void *key, size_t n_key, size_t *n_blob)
{
	uint64_t w = atomic_load(&v->head->buckets);
	uint32_t hash = dns_table_hash(key, n_key);
	unsigned side = BUCKETS_SIDE(w);
	const _Atomic uint32_t *link =
		(const void *)((const char *)v->head + (size_t)BUCKETS_AT(w) * UNIT +
			       sizeof(struct dns_block));
	const struct dns_block *b;

	link += hash & ((1u << BUCKETS_LOG2(w)) - 1);
	for (uint32_t unit; (unit = atomic_load(link)); link = &b->next[side]) {
		const char *p;

		b = block_of(v, unit);
		if (!b)
			return NULL;
		if (b->hash != hash || b->n_key != n_key)
			continue;
		p = (const char *)b;
		if (memcmp(p + sizeof(*b), key, n_key) != 0)
			continue;
		if ((size_t)unit * UNIT + blob_at(n_key) + b->n_blob > v->size)
			return NULL;
		*n_blob = b->n_blob;
		return p + blob_at(n_key);
	}
	return NULL;
}

uint64_t dns_view_word(const struct dns_view *v)
{
	return atomic_load(&v->head->word);
}

uint64_t dns_view_generation(const struct dns_view *v)
{
	return atomic_load(&v->head->generation);
}
