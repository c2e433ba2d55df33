/* SPDX-License-Identifier: Apache-2.0 */
/* summary: see summary.h. The checksum is no secret: whoever may write our tables gains nothing by an
 * element that passes for another. */
#include "core/nft/summary.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUM 8 /* bytes */

void nft_summary_fini(struct nft_summary *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		free(m->v[i].v);
	free(m->v);
	free(m->seen);
	*m = (struct nft_summary){ 0 };
}

/* ---- one element */

/* Of what the diff compares: everything but the key. */
static uint64_t checksum(const struct nft_set *s, const struct nft_elem *e)
{
	uint64_t h = fnv64_text(FNV64_START, e->comment);

	h = fnv64(h, &e->timeout_ms, sizeof(e->timeout_ms));
	if (nft_set_is_vmap(s)) {
		h = fnv64(h, &e->verdict.code, sizeof(e->verdict.code));
		h = fnv64_text(h, e->verdict.chain);
	} else if (s->n_data && e->data) {
		h = fnv64(h, e->data, s->data_len);
	}
	return h;
}

static size_t stride(const struct nft_summary_set *x)
{
	return x->key_len + SUM;
}

static uint8_t *record(const struct nft_summary_set *x, uint32_t i)
{
	return x->v + i * stride(x);
}

/* ---- what is wanted */

/* Also of a set of which nothing is wanted: others may put something in. */
static uint32_t wants(void *arg, const struct nft_set *s)
{
	struct nft_summary *m = arg;
	struct nft_summary_set *v;

	if (s->flags & (NFT_SET_EVAL | NFT_SET_INTERVAL) || strlen(s->name) >= sizeof(v->name))
		return 0;
	v = realloc(m->v, (m->n + 1) * sizeof(*v));
	if (!v) {
		m->failed = true;
		return 0;
	}
	m->v = v;
	v[m->n] = (struct nft_summary_set){ .family = s->table->family };
	memcpy(v[m->n++].name, s->name, strlen(s->name) + 1);
	return m->n;
}

static bool keep(struct nft_summary *m, const struct nft_set *s, const struct nft_elem *e)
{
	struct nft_summary_set *x = &m->v[s->wanted - 1];
	uint64_t sum = checksum(s, e);

	x->key_len = s->key_len;
	if (x->n == x->cap) {
		uint32_t cap = x->cap ? 2 * x->cap : 16;
		uint8_t *v = realloc(x->v, cap * stride(x));

		if (!v)
			return false;
		x->v = v;
		x->cap = cap;
	}
	memcpy(record(x, x->n), e->key, x->key_len);
	memcpy(record(x, x->n++) + x->key_len, &sum, SUM);
	return true;
}

static bool keeps(void *arg, const struct nft_set *s, const struct nft_elem *e)
{
	struct nft_summary *m = arg;

	m->failed |= !keep(m, s, e);
	return false;
}

void nft_summary_filter(struct nft_summary *m, struct nft_filter *out)
{
	*out = (struct nft_filter){ wants, keeps, m };
}

static int cmp_records(const void *a, const void *b, void *len)
{
	return memcmp(a, b, *(const uint16_t *)len);
}

void nft_summary_sort(struct nft_summary *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->v[i].n)
			qsort_r(m->v[i].v, m->v[i].n, stride(&m->v[i]), cmp_records,
				&m->v[i].key_len);
}

/* ---- what is there */

int nft_summary_begin(struct nft_summary *m, uint32_t i, struct nft_doubts *out)
{
	free(m->seen);
	m->seen = calloc(m->v[i].n / 8 + 1, 1);
	m->doubts = out;
	return m->seen ? 0 : -ENOMEM;
}

/* Its number, or -1. */
static int64_t find(const struct nft_summary_set *x, const uint8_t *key)
{
	uint32_t from = 0, to = x->n;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		int c = memcmp(key, record(x, mid), x->key_len);

		if (!c)
			return mid;
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return -1;
}

static int doubt(struct nft_summary *m, const struct nft_summary_set *x, const uint8_t *key,
		 uint32_t key_len)
{
	return nft_doubts_add(m->doubts, x->family, x->name, key, key_len);
}

int nft_summary_see(struct nft_summary *m, uint32_t i, const struct nft_set *s,
		    const struct nft_elem *e)
{
	const struct nft_summary_set *x = &m->v[i];
	int64_t at = x->key_len == s->key_len ? find(x, e->key) : -1;
	uint64_t sum = checksum(s, e);

	if (at < 0)
		return doubt(m, x, e->key, s->key_len);
	m->seen[at / 8] |= (uint8_t)(1u << at % 8);
	return memcmp(record(x, (uint32_t)at) + x->key_len, &sum, SUM)
		       ? doubt(m, x, e->key, s->key_len)
		       : 0;
}

int nft_summary_end(struct nft_summary *m, uint32_t i)
{
	const struct nft_summary_set *x = &m->v[i];
	int rc = 0;

	for (uint32_t k = 0; k < x->n && !rc; k++)
		if (!(m->seen[k / 8] >> k % 8 & 1))
			rc = doubt(m, x, record(x, k), x->key_len);
	return rc;
}
