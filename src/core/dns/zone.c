// SPDX-License-Identifier: Apache-2.0
/* From objects that change to a table that says the same. Objects are noted; what concerns a Service marks it, and at the commit each marked
 * one is built anew and written, first the names of its addresses and last itself; what fails in between is taken back.
 *
 * A namespace is there by its object or by a Service in it, for objects come in any order. Namespaces that are not exposed have nothing in the
 * table. Pods are in it only where their names must be verified. */
#include "core/dns/zone.h"

#include "base/by_name.h"
#include "core/dns/zone_build.h"

#include <errno.h>
#include <stdlib.h>

#define POD_IPS 4

struct zone_service {
	struct by_name key;
	const struct service *service; /* NULL: slices alone, or gone */
	const struct endpoint_slice **slices;
	size_t n, cap;
	struct zone_service *next; /* marked */
	bool marked;
	bool counted; /* its namespace knows of it */
};

struct zone_slice {
	struct by_name key;
	const struct endpoint_slice *slice;
	struct zone_service *of;
};

struct zone_namespace {
	struct by_name key;
	size_t services;
	bool object, written;
};

struct zone_pod {
	struct by_name key;
	struct ipaddr ip[POD_IPS];
	unsigned n;
};

struct dns_zone {
	struct dns_table *table;
	const struct dns_settings *settings;
	struct by_name *services, *slices, *namespaces, *pods;
	struct zone_service *marked, **last; /* in order */
	struct buf blob;
};

struct dns_zone *dns_zone_new(struct dns_table *t, const struct dns_settings *s)
{
	struct dns_zone *z = calloc(1, sizeof(*z));

	if (z) {
		z->table = t;
		z->settings = s;
		z->last = &z->marked;
	}
	return z;
}

static void drop_service(struct dns_zone *z, struct zone_service *s)
{
	free(s->slices);
	by_name_drop(&z->services, &s->key);
}

void dns_zone_free(struct dns_zone *z)
{
	if (!z)
		return;
	while (z->services)
		drop_service(z, (struct zone_service *)z->services);
	while (z->slices)
		by_name_drop(&z->slices, z->slices);
	while (z->namespaces)
		by_name_drop(&z->namespaces, z->namespaces);
	while (z->pods)
		by_name_drop(&z->pods, z->pods);
	buf_fini(&z->blob);
	free(z);
}

static void mark(struct dns_zone *z, struct zone_service *s)
{
	if (s->marked)
		return;
	s->marked = true;
	s->next = NULL;
	*z->last = s;
	z->last = &s->next;
}

/* ---- namespaces */

static int write_namespace(struct dns_zone *z, struct zone_namespace *n, struct err *e)
{
	uint8_t key[DNS_KEY_MAX];
	size_t n_key = 0;
	bool there = n->object || n->services;
	int r = 0;

	if (there != n->written && dns_zone_label(key, &n_key, n->key.name)) {
		if (there)
			r = dns_table_put(z->table, key, n_key, "", 0, e);
		else
			dns_table_del(z->table, key, n_key);
		if (r)
			return r;
		n->written = there;
	}
	if (!there)
		by_name_drop(&z->namespaces, &n->key);
	return 0;
}

static int namespace_of(struct dns_zone *z, const char *name, struct zone_namespace **out,
			struct err *e)
{
	*out = (struct zone_namespace *)by_name_get(&z->namespaces, "", name,
						    sizeof(struct zone_namespace));
	return *out ? 0 : err_set(e, -ENOMEM, "no memory for namespace %s", name);
}

int dns_zone_namespace(struct dns_zone *z, const char *name, bool there, struct err *e)
{
	struct zone_namespace *n;
	int r;

	if (!dns_settings_exposes(z->settings, name))
		return 0;
	r = namespace_of(z, name, &n, e);
	if (r)
		return r;
	n->object = there;
	return write_namespace(z, n, e);
}

/* ---- Services and their slices */

static int service_of(struct dns_zone *z, const char *ns, const char *name,
		      struct zone_service **out, struct err *e)
{
	*out = (struct zone_service *)by_name_get(&z->services, ns, name,
						  sizeof(struct zone_service));
	return *out ? 0 : err_set(e, -ENOMEM, "no memory for Service %s/%s", ns, name);
}

int dns_zone_service(struct dns_zone *z, const char *ns, const char *name, const struct service *s,
		     struct err *e)
{
	struct zone_service *x;
	int r;

	if (!dns_settings_exposes(z->settings, ns))
		return 0;
	r = service_of(z, ns, name, &x, e);
	if (r)
		return r;
	x->service = s;
	mark(z, x);
	return 0;
}

static void take_slice(struct dns_zone *z, struct zone_slice *sl)
{
	struct zone_service *of = sl->of;
	size_t i = 0;

	if (!of)
		return;
	while (i < of->n && of->slices[i] != sl->slice)
		i++;
	if (i < of->n)
		of->slices[i] = of->slices[--of->n];
	sl->of = NULL;
	mark(z, of);
}

static int give_slice(struct dns_zone *z, struct zone_service *of, struct zone_slice *sl,
		      struct err *e)
{
	if (of->n == of->cap) {
		size_t cap = of->cap ? of->cap * 2 : 2;
		void *v = reallocarray(of->slices, cap, sizeof(*of->slices));

		if (!v)
			return err_set(e, -ENOMEM, "no memory for EndpointSlices");
		of->slices = v;
		of->cap = cap;
	}
	of->slices[of->n++] = sl->slice;
	sl->of = of;
	mark(z, of);
	return 0;
}

static const char *service_name(const struct endpoint_slice *s)
{
	/* FQDN endpoints have no addresses. */
	if (!s || s->addressType == SLICE_FQDN)
		return NULL;
	return strmap_get(&s->meta.labels, LABEL_SERVICE_NAME);
}

int dns_zone_slice(struct dns_zone *z, const char *ns, const char *name,
		   const struct endpoint_slice *s, struct err *e)
{
	const char *of_name = service_name(s);
	struct zone_service *of;
	struct zone_slice *x;
	int r;

	if (!dns_settings_exposes(z->settings, ns))
		return 0;
	x = (struct zone_slice *)by_name_get(&z->slices, ns, name, of_name ? sizeof(*x) : 0);
	if (!x)
		return of_name ? err_set(e, -ENOMEM, "no memory for EndpointSlice %s/%s", ns, name)
			       : 0;
	take_slice(z, x);
	if (!of_name) {
		by_name_drop(&z->slices, &x->key);
		return 0;
	}
	x->slice = s;
	r = service_of(z, ns, of_name, &of, e);
	if (r == 0)
		r = give_slice(z, of, x, e);
	if (r)
		by_name_drop(&z->slices, &x->key);
	return r;
}

static int count_service(struct dns_zone *z, struct zone_service *s, struct err *e)
{
	struct zone_namespace *n;
	int r;

	if (s->counted == (s->service != NULL))
		return 0;
	r = namespace_of(z, s->key.ns, &n, e);
	if (r)
		return r;
	if (s->counted) {
		n->services--;
		s->counted = false;
		return write_namespace(z, n, e); /* only takes away, if anything: cannot fail */
	}
	n->services++;
	r = write_namespace(z, n, e);
	if (r)
		n->services--;
	s->counted = r == 0;
	return r;
}

static int write_service(struct dns_zone *z, struct zone_service *s, struct err *e)
{
	uint8_t key[DNS_KEY_MAX];
	size_t n_key = 0, n_old = 0;
	const struct dns_svc *old, *now = NULL;
	int r;

	if (!dns_zone_label(key, &n_key, s->key.name) || !dns_zone_label(key, &n_key, s->key.ns))
		return 0;
	r = count_service(z, s, e);
	if (r == 0 && s->service) {
		r = dns_zone_build(s->service, s->slices, s->n, &z->blob, e);
		now = (const void *)z->blob.v;
	}
	if (r)
		return r;
	old = dns_table_get(z->table, key, n_key, &n_old);
	if (old && now && n_old == z->blob.n && !memcmp(old, now, n_old))
		return 0;
	r = dns_zone_names(z->table, key, n_key, old, now, e);
	if (r == 0 && now)
		r = dns_table_put(z->table, key, n_key, now, z->blob.n, e);
	/* The table remembers by the old blob alone what the Service has named, so that is what stays. */
	if (r)
		dns_zone_names(z->table, key, n_key, now, old, NULL);
	else if (!now)
		dns_table_del(z->table, key, n_key);
	return r;
}

int dns_zone_commit(struct dns_zone *z, unsigned most, struct err *e)
{
	for (; z->marked && most; most--) {
		struct zone_service *s = z->marked;
		int r = write_service(z, s, e);

		if (r)
			return err_wrap(e, "Service %s", s->key.key), r;
		z->marked = s->next;
		if (!z->marked)
			z->last = &z->marked;
		s->marked = false;
		if (!s->service && !s->n)
			drop_service(z, s);
	}
	return 0;
}

bool dns_zone_is_written(const struct dns_zone *z)
{
	return !z->marked;
}

/* ---- pods */

static int count_pod(struct dns_zone *z, const char *ns, const struct ipaddr *ip, int by,
		     struct err *e)
{
	uint8_t label[DNS_LABEL_MAX + 1], key[DNS_KEY_MAX];
	const uint32_t *was;
	size_t n = 0, n_key;
	uint32_t now;

	if (!dns_zone_label(label, &n, ns))
		return 0;
	n_key = key_pod(label, ip, key);
	was = dns_table_get(z->table, key, n_key, &n);
	now = (was ? *was : 0) + (uint32_t)by;
	if (now)
		return dns_table_put(z->table, key, n_key, &now, sizeof(now), e);
	dns_table_del(z->table, key, n_key);
	return 0;
}

static unsigned pod_addresses(const struct pod *p, struct ipaddr out[POD_IPS])
{
	unsigned n = 0;

	if (!p || p->status.phase == POD_SUCCEEDED || p->status.phase == POD_FAILED)
		return 0;
	if (p->status.podIP.family)
		out[n++] = p->status.podIP;
	for (uint32_t i = 0; i < p->status.podIPs.n && n < POD_IPS; i++)
		if (p->status.podIPs.v[i].ip.family &&
		    (!n || !addr_eq(&out[0], &p->status.podIPs.v[i].ip)))
			out[n++] = p->status.podIPs.v[i].ip;
	return n;
}

int dns_zone_pod(struct dns_zone *z, const char *ns, const char *name, const struct pod *p,
		 struct err *e)
{
	struct ipaddr ip[POD_IPS] = { 0 };
	unsigned n = pod_addresses(p, ip);
	struct zone_pod *x;

	if (z->settings->pods != DNS_PODS_VERIFIED || !dns_settings_exposes(z->settings, ns))
		return 0;
	x = (struct zone_pod *)by_name_get(&z->pods, ns, name, n ? sizeof(*x) : 0);
	if (!x)
		return n ? err_set(e, -ENOMEM, "no memory for Pod %s/%s", ns, name) : 0;
	if (n == x->n && !memcmp(ip, x->ip, sizeof(ip)))
		return 0;
	/* The new ones first: what fails then is the old state. */
	for (unsigned i = 0; i < n; i++) {
		int r = count_pod(z, ns, &ip[i], 1, e);

		if (r) {
			while (i--)
				count_pod(z, ns, &ip[i], -1, NULL);
			return r;
		}
	}
	for (unsigned i = 0; i < x->n; i++)
		count_pod(z, ns, &x->ip[i], -1, NULL);
	memcpy(x->ip, ip, sizeof(ip));
	x->n = n;
	if (!n)
		by_name_drop(&z->pods, &x->key);
	return 0;
}

int dns_zone_move(struct dns_zone *z, struct dns_table *t, struct err *e)
{
	int r = 0;

	z->table = t;
	for (struct by_name *x = z->services; x; x = by_name_next(x))
		mark(z, (struct zone_service *)x);
	for (struct by_name *x = z->namespaces, *next; x && !r; x = next) {
		next = by_name_next(x);
		((struct zone_namespace *)x)->written = false;
		r = write_namespace(z, (struct zone_namespace *)x, e);
	}
	for (struct zone_pod *p = (void *)z->pods; p && !r; p = (void *)by_name_next(&p->key))
		for (unsigned i = 0; i < p->n && !r; i++)
			r = count_pod(z, p->key.ns, &p->ip[i], 1, e);
	return r;
}

void dns_zone_synced(struct dns_zone *z, uint32_t serial)
{
	dns_table_set_word(z->table, serial);
}
