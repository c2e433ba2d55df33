// SPDX-License-Identifier: Apache-2.0
/* rib: see rib.h; readers are in rib_reader.c. */
#include "core/bgp/rib_state.h"

#include "base/hash.h"
#include "core/bgp/decide.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64u

/* ---- the hash */

static size_t addr_size(const struct bgp_rib *r)
{
	return r->family == BGP_IPV6 ? 16 : 4;
}

static struct bgp_dest **slot_of(const struct bgp_rib *r, const uint8_t *addr, uint8_t len)
{
	uint64_t h = fnv64(fnv64(FNV64_START, addr, addr_size(r)), &len, 1);

	return &r->bucket[h & (r->n_buckets - 1)];
}

static struct bgp_dest **find(const struct bgp_rib *r, const struct prefix *p)
{
	struct bgp_dest **at = slot_of(r, p->addr.b, p->len);

	while (*at &&
	       ((*at)->node.len != p->len || memcmp((*at)->addr, p->addr.b, addr_size(r)) != 0))
		at = &(*at)->chain;
	return at;
}

/* Without memory for more the chains get longer. */
static void grow(struct bgp_rib *r)
{
	struct bgp_dest **old = r->bucket, **at;
	uint32_t n = r->n_buckets;

	r->bucket = calloc(2 * (size_t)n, sizeof(struct bgp_dest *));
	if (!r->bucket) {
		r->bucket = old;
		return;
	}
	r->n_buckets = 2 * n;
	for (uint32_t i = 0; i < n; i++)
		while (old[i]) {
			struct bgp_dest *d = old[i];

			old[i] = d->chain;
			at = slot_of(r, d->addr, d->node.len);
			d->chain = *at;
			*at = d;
		}
	free(old);
}

/* ---- destinations */

/* A number that comes back without room to keep it is lost, and does no harm. */
static void give_back(struct bgp_rib *r, uint32_t number)
{
	if (r->n_spare == r->cap_spare) {
		uint32_t cap = r->cap_spare ? 2 * r->cap_spare : 64;
		uint32_t *v = realloc(r->spare, cap * sizeof(*v));

		if (!v)
			return;
		r->spare = v;
		r->cap_spare = cap;
	}
	r->spare[r->n_spare++] = number;
}

static struct bgp_dest *make(struct bgp_rib *r, const struct prefix *p)
{
	struct bgp_dest *d = calloc(1, offsetof(struct bgp_dest, addr) + addr_size(r)), **at;

	if (!d)
		return NULL;
	if (r->n >= r->n_buckets)
		grow(r);
	d->node.len = p->len;
	d->node.number = r->n_spare ? r->spare[--r->n_spare] : r->numbers++;
	memcpy(d->addr, p->addr.b, addr_size(r));
	at = slot_of(r, d->addr, p->len);
	d->chain = *at;
	*at = d;
	bgp_node_behind(r->head.prev, &d->node);
	r->n++;
	return d;
}

void bgp_forget_dest(struct bgp_rib *r, struct bgp_dest *d)
{
	struct bgp_dest **at = slot_of(r, d->addr, d->node.len);

	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	bgp_node_out(&d->node);
	give_back(r, d->node.number);
	r->n--;
	free(d);
}

/* ---- paths */

static int count_path(struct bgp_rib *r, const struct bgp_source *from)
{
	if (from->index >= r->n_sources) {
		uint32_t n = from->index + 8;
		uint32_t *v = realloc(r->paths_of, n * sizeof(*v));

		if (!v)
			return -ENOMEM;
		memset(v + r->n_sources, 0, (n - r->n_sources) * sizeof(*v));
		r->paths_of = v;
		r->n_sources = n;
	}
	r->paths_of[from->index]++;
	return 0;
}

static struct bgp_path **path_of(struct bgp_dest *d, const struct bgp_source *from)
{
	struct bgp_path **at = &d->paths;

	while (*at && (*at)->from != from)
		at = &(*at)->next;
	return at;
}

/* What readers are told of it: two destinations of one summary have the same best paths. */
static uint64_t summary(const struct bgp_dest *d)
{
	const struct bgp_path *p = bgp_dest_best(d);
	uint64_t h = FNV64_START;

	for (uint32_t i = 0; p && i < d->node.multipath; i++, p = p->next) {
		h = fnv64(h, &p->attrs, sizeof(p->attrs));
		h = fnv64(h, &p->from, sizeof(p->from));
	}
	return h;
}

/* Its paths are others now: in order again, and to the end of the list where what is told of it is another. */
static void settle(struct bgp_rib *r, struct bgp_dest *d, uint64_t before)
{
	uint32_t multipath = 0;

	d->paths = bgp_order(d->paths, r->multipath, &multipath);
	d->node.multipath = (uint8_t)multipath;
	if (summary(d) == before)
		return;
	bgp_node_out(&d->node);
	bgp_node_behind(r->head.prev, &d->node);
}

static void free_path(struct bgp_rib *r, struct bgp_path *p)
{
	r->paths_of[p->from->index]--;
	bgp_store_drop(r->store, p->attrs);
	free(p);
}

static void remove_path(struct bgp_rib *r, struct bgp_dest *d, struct bgp_path **at)
{
	uint64_t before = summary(d);
	struct bgp_path *p = *at;

	*at = p->next;
	free_path(r, p);
	r->n_known -= !d->paths;
	settle(r, d, before);
	if (!bgp_is_needed(d))
		bgp_forget_dest(r, d);
}

static int add_path(struct bgp_rib *r, struct bgp_dest *d, const struct bgp_path *made)
{
	struct bgp_path *p = malloc(sizeof(*p));
	uint64_t before = summary(d);

	if (!p || count_path(r, made->from)) {
		free(p);
		return -ENOMEM;
	}
	*p = *made;
	p->next = d->paths;
	bgp_attrs_hold(p->attrs);
	r->n_known += !d->paths;
	d->paths = p;
	settle(r, d, before);
	return 0;
}

static void change_path(struct bgp_rib *r, struct bgp_dest *d, struct bgp_path *p,
			struct bgp_path *now)
{
	uint64_t before = summary(d);

	p->stale = false;
	if (p->attrs == now->attrs && p->filtered == now->filtered)
		return;
	bgp_attrs_hold(now->attrs);
	bgp_store_drop(r->store, p->attrs);
	now->next = p->next;
	*p = *now;
	settle(r, d, before);
}

int bgp_rib_put(struct bgp_rib *r, const struct prefix *p, const struct bgp_source *from,
		struct bgp_attrs *attrs, bool filtered, uint32_t now_s)
{
	struct bgp_path made = { .attrs = attrs,
				 .from = from,
				 .learned = now_s,
				 .filtered = filtered },
			**at;
	struct bgp_dest *d = *find(r, p);
	int rc;

	if (!d)
		d = make(r, p);
	if (!d)
		return -ENOMEM;
	at = path_of(d, from);
	if (*at) {
		change_path(r, d, *at, &made);
		return 0;
	}
	rc = add_path(r, d, &made);
	if (!bgp_is_needed(d))
		bgp_forget_dest(r, d);
	return rc;
}

bool bgp_rib_withdraw(struct bgp_rib *r, const struct prefix *p, const struct bgp_source *from)
{
	struct bgp_dest *d = *find(r, p);
	struct bgp_path **at = d ? path_of(d, from) : NULL;

	if (!at || !*at)
		return false;
	remove_path(r, d, at);
	return true;
}

/* ---- a whole source */

enum sweep { ALL, STALE, MARK };

static void each_of(struct bgp_rib *r, const struct bgp_source *from, enum sweep what)
{
	uint32_t left = bgp_rib_count_of(r, from);
	struct bgp_dest *next;

	for (uint32_t i = 0; i < r->n_buckets && left; i++)
		for (struct bgp_dest *d = r->bucket[i]; d && left; d = next) {
			struct bgp_path **at = path_of(d, from);

			next = d->chain;
			if (!*at)
				continue;
			left--;
			if (what == MARK)
				(*at)->stale = true;
			else if (what == ALL || (*at)->stale)
				remove_path(r, d, at);
		}
}

void bgp_rib_forget(struct bgp_rib *r, const struct bgp_source *from)
{
	each_of(r, from, ALL);
}

void bgp_rib_mark_stale(struct bgp_rib *r, const struct bgp_source *from)
{
	each_of(r, from, MARK);
}

void bgp_rib_sweep(struct bgp_rib *r, const struct bgp_source *from)
{
	each_of(r, from, STALE);
}

/* ---- looking */

uint32_t bgp_rib_count(const struct bgp_rib *r)
{
	return r->n_known;
}

uint32_t bgp_rib_count_of(const struct bgp_rib *r, const struct bgp_source *from)
{
	return from->index < r->n_sources ? r->paths_of[from->index] : 0;
}

const struct bgp_dest *bgp_rib_find(const struct bgp_rib *r, const struct prefix *p)
{
	const struct bgp_dest *d = *find(r, p);

	return d && d->paths ? d : NULL;
}

void bgp_rib_each(const struct bgp_rib *r, bool (*fn)(const struct bgp_dest *d, void *arg),
		  void *arg)
{
	for (uint32_t i = 0; i < r->n_buckets; i++)
		for (const struct bgp_dest *d = r->bucket[i]; d; d = d->chain)
			if (d->paths && !fn(d, arg))
				return;
}

struct prefix bgp_rib_prefix(const struct bgp_rib *r, const struct bgp_dest *d)
{
	struct prefix p = { .addr.family = r->family == BGP_IPV6 ? AF_INET6 : AF_INET,
			    .len = d->node.len };

	memcpy(p.addr.b, d->addr, addr_size(r));
	return p;
}

const struct bgp_path *bgp_dest_paths(const struct bgp_dest *d)
{
	return d->paths;
}

const struct bgp_path *bgp_dest_best(const struct bgp_dest *d)
{
	return d->paths && !d->paths->filtered ? d->paths : NULL;
}

uint32_t bgp_dest_multipath(const struct bgp_dest *d)
{
	return d->node.multipath;
}

/* ---- life */

struct bgp_rib *bgp_rib_new(enum bgp_family family, struct bgp_store *store, uint32_t multipath)
{
	struct bgp_rib *r = calloc(1, sizeof(*r));

	if (r)
		r->bucket = calloc(BUCKETS_FIRST, sizeof(struct bgp_dest *));
	if (!r || !r->bucket) {
		free(r);
		return NULL;
	}
	r->n_buckets = BUCKETS_FIRST;
	r->family = family;
	r->store = store;
	r->multipath = multipath;
	r->head = (struct bgp_node){ &r->head, &r->head, BGP_N_PLACE, 0, 0, 0 };
	return r;
}

void bgp_rib_free(struct bgp_rib *r)
{
	if (!r)
		return;
	while (r->head.next != &r->head) {
		struct bgp_dest *d = bgp_dest_of(r->head.next);

		while (d->paths) {
			struct bgp_path *p = d->paths;

			d->paths = p->next;
			free_path(r, p);
		}
		bgp_node_out(&d->node);
		free(d);
	}
	free(r->bucket);
	free(r->spare);
	free(r->paths_of);
	free(r);
}
