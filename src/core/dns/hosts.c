// SPDX-License-Identifier: Apache-2.0
/* hosts: see resolv.h. The entries are two sorted arrays, one by name and one by address, over one blob of names in wire form: a list of
 * a hundred thousand blocked hosts is small and read in one go. Entries that are equal keep the file's order, and repetitions are dropped. What is
 * blocked (0.0.0.0, ::) has no way back from its address. */
#include "core/dns/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint32_t name; /* where its length octet is in the blob */
	uint32_t order;
	struct ipaddr addr;
};

struct entries {
	struct entry *v;
	size_t n, cap;
};

struct dns_hosts {
	struct entries by_name, by_addr;
	uint8_t *blob; /* length, octets; NULL when there are none */
	size_t n, cap;
};

static bool grow(void **v, size_t *cap, size_t need, size_t size)
{
	size_t to = *cap ? *cap * 2 : 64;
	void *p;

	if (need <= *cap)
		return true;
	while (to < need)
		to *= 2;
	p = realloc(*v, to * size);
	if (!p)
		return false;
	*v = p;
	*cap = to;
	return true;
}

static bool keep_name(struct dns_hosts *h, const struct dns_name *n, uint32_t *at)
{
	if (h->n + 1 + n->n > UINT32_MAX || !grow((void **)&h->blob, &h->cap, h->n + 1 + n->n, 1))
		return false;
	*at = (uint32_t)h->n;
	h->blob[h->n++] = n->n;
	memcpy(h->blob + h->n, n->v, n->n);
	h->n += n->n;
	return true;
}

static bool add(struct entries *e, uint32_t name, const struct ipaddr *a)
{
	if (!grow((void **)&e->v, &e->cap, e->n + 1, sizeof(*e->v)))
		return false;
	e->v[e->n] = (struct entry){ name, (uint32_t)e->n, *a };
	e->n++;
	return true;
}

/* False: no memory. */
static bool line(struct dns_hosts *h, struct dns_lines *l)
{
	char *word = dns_lines_word(l);
	bool first = true;
	struct ipaddr a;

	if (!word)
		return true;
	/* "fe80::1%lo0" is an address on this host alone: nothing that may be told. */
	if (addr_parse(word, &a)) {
		dns_lines_ignore(l, "%.46s: no IP address", word);
		return true;
	}
	while ((word = dns_lines_word(l))) {
		struct dns_name name;
		struct err e;
		uint32_t at;

		if (dns_name_parse(word, &name, &e)) {
			dns_lines_ignore(l, "%.40s: no name", word);
			continue;
		}
		dns_name_lower(&name);
		if (!keep_name(h, &name, &at) || !add(&h->by_name, at, &a) ||
		    (first && !addr_is_unspecified(&a) && !add(&h->by_addr, at, &a)))
			return false;
		first = false;
	}
	if (first)
		dns_lines_ignore(l, "an address without a name");
	return true;
}

/* ---- order */

static int compare_names(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, *a < *b ? 1 + (size_t)*a : 1 + (size_t)*b);
}

static int by_name(const void *x, const void *y, void *arg)
{
	const struct dns_hosts *h = arg;
	const struct entry *a = x, *b = y;
	int c = compare_names(h->blob + a->name, h->blob + b->name);

	return c ? c : (a->order > b->order) - (a->order < b->order);
}

static int by_addr(const void *x, const void *y, void *arg)
{
	const struct entry *a = x, *b = y;
	int c = addr_cmp(&a->addr, &b->addr);

	(void)arg;
	return c ? c : (a->order > b->order) - (a->order < b->order);
}

static bool same(const struct dns_hosts *h, const struct entry *a, const struct entry *b)
{
	return addr_eq(&a->addr, &b->addr) && !compare_names(h->blob + a->name, h->blob + b->name);
}

#define LOOK_BACK 16

/* Of entries that say the same the first stays. A name with more addresses than are looked back on may keep some twice. */
static void drop_repeated(const struct dns_hosts *h, struct entries *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->n; i++) {
		size_t k = kept > LOOK_BACK ? kept - LOOK_BACK : 0;

		while (k < kept && !same(h, &e->v[k], &e->v[i]))
			k++;
		if (k == kept)
			e->v[kept++] = e->v[i];
	}
	e->n = kept;
}

struct dns_hosts *dns_hosts_parse(const char *text, size_t n, dns_ignored *ignored, void *arg)
{
	struct dns_hosts *h = calloc(1, sizeof(*h));
	struct dns_lines l;

	if (!h)
		return NULL;
	dns_lines_init(&l, text, n, ignored, arg);
	while (dns_lines_next(&l))
		if (!line(h, &l)) {
			dns_hosts_free(h);
			return NULL;
		}
	if (h->by_name.n)
		qsort_r(h->by_name.v, h->by_name.n, sizeof(struct entry), by_name, h);
	if (h->by_addr.n)
		qsort_r(h->by_addr.v, h->by_addr.n, sizeof(struct entry), by_addr, h);
	drop_repeated(h, &h->by_name);
	drop_repeated(h, &h->by_addr);
	return h;
}

void dns_hosts_free(struct dns_hosts *h)
{
	if (!h)
		return;
	free(h->by_name.v);
	free(h->by_addr.v);
	free(h->blob);
	free(h);
}

/* ---- looking up */

static int name_against(const struct dns_hosts *h, const struct entry *e, const void *key)
{
	return compare_names(h->blob + e->name, key);
}

static int addr_against(const struct dns_hosts *h, const struct entry *e, const void *key)
{
	(void)h;
	return addr_cmp(&e->addr, key);
}

static size_t find(const struct dns_hosts *h, const struct entries *e,
		   int (*against)(const struct dns_hosts *, const struct entry *, const void *),
		   const void *key, size_t *first)
{
	size_t lo = 0, hi = e->n, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (against(h, &e->v[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = lo;
	while (lo + n < e->n && !against(h, &e->v[lo + n], key))
		n++;
	return n;
}

size_t dns_hosts_find(const struct dns_hosts *h, const struct dns_name *lower, size_t *first)
{
	uint8_t key[1 + DNS_NAME_MAX];

	key[0] = lower->n;
	memcpy(key + 1, lower->v, lower->n);
	return find(h, &h->by_name, name_against, key, first);
}

const struct ipaddr *dns_hosts_addr(const struct dns_hosts *h, size_t entry)
{
	return &h->by_name.v[entry].addr;
}

size_t dns_hosts_find_addr(const struct dns_hosts *h, const struct ipaddr *a, size_t *first)
{
	return find(h, &h->by_addr, addr_against, a, first);
}

void dns_hosts_name(const struct dns_hosts *h, size_t entry, struct dns_name *out)
{
	const uint8_t *at = h->blob + h->by_addr.v[entry].name;

	out->n = *at;
	memcpy(out->v, at + 1, *at);
}
