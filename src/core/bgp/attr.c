// SPDX-License-Identifier: Apache-2.0
/* attr: see attr.h. The table grows by doubling and never shrinks; what nobody holds is freed at once. */
#include "core/bgp/attr.h"

#include "base/hash.h"
#include "base/wire.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64u
#define VALUE_AT      offsetof(struct bgp_attrs, len)

struct bgp_store {
	struct bgp_attrs **bucket;
	uint32_t n, n_buckets; /* a power of two */
};

/* ---- parts */

static size_t part_at(const uint16_t len[BGP_PARTS], enum bgp_part part)
{
	size_t at = 0;

	for (unsigned i = 0; i < part; i++)
		at += len[i];
	return at;
}

const uint8_t *bgp_attrs_part(const struct bgp_attrs *a, enum bgp_part part)
{
	return (const uint8_t *)(a + 1) + part_at(a->len, part);
}

struct bgp_draft bgp_draft_of(const struct bgp_attrs *a)
{
	struct bgp_draft d = { .fixed = *a };

	for (unsigned i = 0; i < BGP_PARTS; i++) {
		d.part[i] = bgp_attrs_part(a, i);
		d.len[i] = a->len[i];
	}
	return d;
}

/* ---- interning */

struct bgp_store *bgp_store_new(void)
{
	struct bgp_store *s = calloc(1, sizeof(*s));

	if (s)
		s->bucket = calloc(BUCKETS_FIRST, sizeof(struct bgp_attrs *));
	if (!s || !s->bucket) {
		free(s);
		return NULL;
	}
	s->n_buckets = BUCKETS_FIRST;
	return s;
}

void bgp_store_free(struct bgp_store *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_buckets; i++)
		while (s->bucket[i]) {
			struct bgp_attrs *a = s->bucket[i];

			s->bucket[i] = a->next;
			free(a);
		}
	free(s->bucket);
	free(s);
}

static int cmp_units(const void *a, const void *b, void *size)
{
	return memcmp(a, b, *(const size_t *)size);
}

/* Sorted, each once; the new length. */
static uint16_t sort_units(uint8_t *v, uint16_t len, size_t size)
{
	size_t n = len / size, kept = 0;

	if (n > 1)
		qsort_r(v, n, size, cmp_units, &size);
	for (size_t i = 0; i < n; i++)
		if (!kept || memcmp(v + (kept - 1) * size, v + i * size, size) != 0)
			memmove(v + kept++ * size, v + i * size, size);
	return (uint16_t)(kept * size);
}

static size_t value_len(const struct bgp_attrs *a)
{
	return sizeof(*a) - VALUE_AT + part_at(a->len, BGP_PARTS);
}

/* A set of the draft's value; padding is zero, so that bytes are compared. */
static struct bgp_attrs *make(const struct bgp_draft *d)
{
	struct bgp_attrs *a = calloc(1, sizeof(*a) + part_at(d->len, BGP_PARTS));
	uint8_t *at;

	if (!a)
		return NULL;
	a->has = d->fixed.has;
	a->origin = d->fixed.origin;
	a->med = a->has & BGP_HAS_MED ? d->fixed.med : 0;
	a->local_pref = a->has & BGP_HAS_LOCAL_PREF ? d->fixed.local_pref : 0;
	a->aggregator_as = a->has & BGP_HAS_AGGREGATOR ? d->fixed.aggregator_as : 0;
	a->aggregator_id = a->has & BGP_HAS_AGGREGATOR ? d->fixed.aggregator_id : 0;
	a->originator_id = a->has & BGP_HAS_ORIGINATOR ? d->fixed.originator_id : 0;
	a->next_hop = d->fixed.next_hop;
	a->link_local = d->fixed.link_local;
	at = (uint8_t *)(a + 1);
	for (unsigned i = 0; i < BGP_PARTS; i++) {
		a->len[i] = d->len[i];
		if (d->len[i])
			memcpy(at, d->part[i], d->len[i]);
		if (i == BGP_P_COMMUNITIES)
			a->len[i] = sort_units(at, d->len[i], 4);
		else if (i == BGP_P_LARGE)
			a->len[i] = sort_units(at, d->len[i], 12);
		at += a->len[i];
	}
	a->hash = fnv64(FNV64_START, (const uint8_t *)a + VALUE_AT, value_len(a));
	return a;
}

static struct bgp_attrs **slot_of(struct bgp_store *s, uint64_t hash)
{
	return &s->bucket[hash & (s->n_buckets - 1)];
}

/* Without memory for more the chains get longer. */
static void grow(struct bgp_store *s)
{
	uint32_t old = s->n_buckets;
	struct bgp_attrs **v = s->bucket;

	s->bucket = calloc(2 * (size_t)old, sizeof(struct bgp_attrs *));
	if (!s->bucket) {
		s->bucket = v;
		return;
	}
	s->n_buckets = 2 * old;
	for (uint32_t i = 0; i < old; i++)
		while (v[i]) {
			struct bgp_attrs *a = v[i], **to = slot_of(s, a->hash);

			v[i] = a->next;
			a->next = *to;
			*to = a;
		}
	free(v);
}

struct bgp_attrs *bgp_store_take(struct bgp_store *s, const struct bgp_draft *d)
{
	struct bgp_attrs *made = make(d), *a;

	if (!made)
		return NULL;
	for (a = *slot_of(s, made->hash); a; a = a->next)
		if (a->hash == made->hash && value_len(a) == value_len(made) &&
		    !memcmp((const uint8_t *)a + VALUE_AT, (const uint8_t *)made + VALUE_AT,
			    value_len(a))) {
			free(made);
			return bgp_attrs_hold(a);
		}
	if (s->n >= s->n_buckets)
		grow(s);
	made->refs = 1;
	made->next = *slot_of(s, made->hash);
	*slot_of(s, made->hash) = made;
	s->n++;
	return made;
}

struct bgp_attrs *bgp_attrs_hold(struct bgp_attrs *a)
{
	a->refs++;
	return a;
}

void bgp_store_drop(struct bgp_store *s, struct bgp_attrs *a)
{
	struct bgp_attrs **at;

	if (!a || --a->refs)
		return;
	for (at = slot_of(s, a->hash); *at != a; at = &(*at)->next)
		;
	*at = a->next;
	s->n--;
	free(a);
}

size_t bgp_store_count(const struct bgp_store *s)
{
	return s->n;
}

/* ---- reading a set */

static bool has_number(const struct bgp_attrs *a, enum bgp_part part, uint32_t v)
{
	struct wire w = wire_from(bgp_attrs_part(a, part), a->len[part]);

	while (wire_left(&w))
		if (wire_u32(&w) == v)
			return true;
	return false;
}

bool bgp_has_community(const struct bgp_attrs *a, uint32_t community)
{
	return has_number(a, BGP_P_COMMUNITIES, community);
}

bool bgp_has_cluster(const struct bgp_attrs *a, uint32_t id)
{
	return has_number(a, BGP_P_CLUSTER_LIST, id);
}

/* ---- for people */

static void put_space(struct buf *out, size_t begun)
{
	if (out->n > begun)
		buf_puts(out, " ");
}

static void put_community(uint32_t v, struct buf *out)
{
	switch (v) {
	case BGP_C_NO_EXPORT:
		buf_puts(out, "no-export");
		break;
	case BGP_C_NO_ADVERTISE:
		buf_puts(out, "no-advertise");
		break;
	case BGP_C_NO_EXPORT_SUBCONFED:
		buf_puts(out, "no-export-subconfed");
		break;
	case BGP_C_GRACEFUL_SHUTDOWN:
		buf_puts(out, "graceful-shutdown");
		break;
	default:
		buf_printf(out, "%u:%u", v >> 16, v & 0xffff);
	}
}

void bgp_communities_str(const struct bgp_attrs *a, struct buf *out)
{
	struct wire w = wire_from(bgp_attrs_part(a, BGP_P_COMMUNITIES), a->len[BGP_P_COMMUNITIES]);
	size_t begun = out->n;

	while (wire_left(&w)) {
		put_space(out, begun);
		put_community(wire_u32(&w), out);
	}
	w = wire_from(bgp_attrs_part(a, BGP_P_LARGE), a->len[BGP_P_LARGE]);
	while (wire_left(&w)) {
		uint32_t v[3] = { wire_u32(&w), 0, 0 };

		v[1] = wire_u32(&w);
		v[2] = wire_u32(&w);
		put_space(out, begun);
		buf_printf(out, "%u:%u:%u", v[0], v[1], v[2]);
	}
}
