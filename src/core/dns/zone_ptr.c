// SPDX-License-Identifier: Apache-2.0
/* Names of addresses. An address may have several, by several Services; what a Service adds is found from its blob, before and after,
 * and only addresses whose names differ are written. Nothing but the table remembers who named what. */
#include "core/dns/zone_build.h"

#include <errno.h>
#include <stdlib.h>

struct named {
	struct ipaddr ip;
	uint8_t kind, n_host;
	const uint8_t *host; /* into the blob */
};

struct list {
	struct named *v;
	size_t n;
};

static int compare(const struct named *a, const struct named *b)
{
	int r = addr_cmp(&a->ip, &b->ip);

	if (!r)
		r = a->kind - b->kind;
	if (!r)
		r = a->n_host - b->n_host;
	if (!r && a->n_host)
		r = memcmp(a->host, b->host, a->n_host);
	return r;
}

static int compare_v(const void *a, const void *b)
{
	return compare(a, b);
}

static int collect(const struct dns_svc *s, struct list *l, struct err *e)
{
	const char *p = (const char *)s;
	const struct dns_addr *a;
	size_t k = 0;

	l->n = 0;
	l->v = NULL;
	if (!s)
		return 0;
	l->v = calloc((size_t)s->n_cluster + s->n_external + s->n_eps[0] + s->n_eps[1] + 1,
		      sizeof(*l->v));
	if (!l->v)
		return err_set(e, -ENOMEM, "no memory for names of addresses");
	a = (const void *)(p + s->cluster);
	for (unsigned i = 0; i < s->n_cluster; i++, a++)
		l->v[l->n++] =
			(struct named){ .ip = blob_addr(a->b, a->v6), .kind = DNS_PTR_CLUSTER };
	a = (const void *)(p + s->external);
	for (unsigned i = 0; i < s->n_external; i++, a++)
		l->v[l->n++] =
			(struct named){ .ip = blob_addr(a->b, a->v6), .kind = DNS_PTR_EXTERNAL };
	for (int v6 = 0; v6 < 2; v6++) {
		const struct dns_ep *ep = (const void *)(p + s->eps[v6]);

		for (uint32_t i = 0; i < s->n_eps[v6]; i++, ep = ep_next(ep, v6))
			l->v[l->n++] = (struct named){ .ip = blob_addr(ep_addr(ep), v6),
						       .kind = DNS_PTR_ENDPOINT,
						       .n_host = ep->n_host,
						       .host = ep_host(ep, v6) };
	}
	qsort(l->v, l->n, sizeof(*l->v), compare_v);
	for (size_t i = 0; i < l->n; i++)
		if (!k || compare(&l->v[k - 1], &l->v[i]))
			l->v[k++] = l->v[i];
	l->n = k;
	return 0;
}

static void put_ptr(struct buf *b, const struct named *x, const uint8_t *key, size_t n_key)
{
	struct dns_ptr p = { .kind = x->kind, .n_host = x->n_host, .n_key = (uint8_t)n_key };

	buf_put(b, &p, sizeof(p));
	buf_put(b, x->host, x->n_host);
	buf_put(b, key, n_key);
}

static size_t ptr_length(const struct dns_ptr *p)
{
	return sizeof(*p) + p->n_host + p->n_key;
}

static int key_compare(const struct dns_ptr *p, const uint8_t *key, size_t n_key)
{
	int r = memcmp((const uint8_t *)(p + 1) + p->n_host, key,
		       p->n_key < n_key ? p->n_key : n_key);

	return r ? r : (int)p->n_key - (int)n_key;
}

/* The names `v` by this Service, and those of others, in the order of their keys: the table says the same whoever came first. */
static void merge_names(struct buf *b, const char *old, size_t n_old, const uint8_t *key,
			size_t n_key, const struct named *v, size_t n)
{
	size_t i = 0;

	buf_clear(b);
	for (; i < n_old && key_compare((const void *)(old + i), key, n_key) < 0;
	     i += ptr_length((const void *)(old + i)))
		buf_put(b, old + i, ptr_length((const void *)(old + i)));
	for (size_t k = 0; k < n; k++)
		put_ptr(b, &v[k], key, n_key);
	while (i < n_old && !key_compare((const void *)(old + i), key, n_key))
		i += ptr_length((const void *)(old + i));
	if (i < n_old)
		buf_put(b, old + i, n_old - i);
}

static int write_names(struct dns_table *t, const struct ipaddr *ip, const struct buf *names,
		       struct err *e)
{
	uint8_t key[DNS_KEY_MAX];
	size_t n_key = key_ptr(ip, key);

	if (names->failed)
		return err_set(e, -ENOMEM, "no memory for an address's names");
	if (names->n)
		return dns_table_put(t, key, n_key, names->v, names->n, e);
	dns_table_del(t, key, n_key);
	return 0;
}

/* How many at the front are of one address. */
static size_t same_address(const struct list *l, size_t at, const struct ipaddr *ip)
{
	size_t n = at;

	while (n < l->n && addr_eq(&l->v[n].ip, ip))
		n++;
	return n - at;
}

int dns_zone_names(struct dns_table *t, const uint8_t *key, size_t n_key, const struct dns_svc *old,
		   const struct dns_svc *now, struct err *e)
{
	struct list was, is = { 0 };
	struct buf b = { 0 };
	size_t i = 0, k = 0;
	int r = collect(old, &was, e);

	if (r == 0)
		r = collect(now, &is, e);
	while (r == 0 && (i < was.n || k < is.n)) {
		const struct ipaddr *ip = k == is.n ? &was.v[i].ip
					  : i == was.n || addr_cmp(&is.v[k].ip, &was.v[i].ip) < 0
						  ? &is.v[k].ip
						  : &was.v[i].ip;
		size_t n_was = same_address(&was, i, ip), n_is = same_address(&is, k, ip);
		bool same = n_was == n_is;

		for (size_t x = 0; same && x < n_is; x++)
			same = !compare(&was.v[i + x], &is.v[k + x]);
		if (!same) {
			uint8_t at[DNS_KEY_MAX];
			size_t n_names = 0;
			const char *names = dns_table_get(t, at, key_ptr(ip, at), &n_names);

			merge_names(&b, names, n_names, key, n_key, is.v + k, n_is);
			r = write_names(t, ip, &b, e);
		}
		i += n_was;
		k += n_is;
	}
	free(was.v);
	free(is.v);
	buf_fini(&b);
	return r;
}
