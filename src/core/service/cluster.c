// SPDX-License-Identifier: Apache-2.0
/* Plans of a whole cluster at once, for commands. Slices are sorted by their Service once, so
 * that the whole costs O(n log n). */
#include "core/service/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Where a slice belongs. */
static int cmp_owner(const char *ns_a, const char *a, const char *ns_b, const char *b)
{
	int c = strcmp(ns_a, ns_b);

	return c ? c : strcmp(a, b);
}

static const char *owner(const struct endpoint_slice *s)
{
	return strmap_get(&s->meta.labels, LABEL_SERVICE_NAME);
}

static int by_owner(const void *pa, const void *pb)
{
	const struct endpoint_slice *a = *(const struct endpoint_slice *const *)pa;
	const struct endpoint_slice *b = *(const struct endpoint_slice *const *)pb;
	int c = cmp_owner(a->meta.namespace, owner(a), b->meta.namespace, owner(b));

	return c ? c : strcmp(a->meta.name, b->meta.name);
}

struct slices {
	const struct endpoint_slice **v;
	size_t n;
};

static int collect(const struct cluster *c, struct arena *a, struct slices *out)
{
	size_t n;
	const struct object *const *all = cluster_all(c, KIND_ENDPOINTSLICE, &n);

	out->n = 0;
	out->v = arena_array(a, n, sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (owner(all[i]->body))
			out->v[out->n++] = all[i]->body;
	qsort(out->v, out->n, sizeof(*out->v), by_owner);
	return 0;
}

static struct slices slices_of(const struct slices *all, const struct service *s)
{
	size_t lo = 0, hi = all->n, end;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp_owner(all->v[mid]->meta.namespace, owner(all->v[mid]), s->meta.namespace,
			      s->meta.name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < all->n; end++)
		if (cmp_owner(all->v[end]->meta.namespace, owner(all->v[end]), s->meta.namespace,
			      s->meta.name))
			break;
	return (struct slices){ all->v + lo, end - lo };
}

int svc_plan_cluster(const struct cluster *c, const struct svc_node *node, struct arena *a,
		     struct svc_plan **out, size_t *n, struct err *e)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	size_t n_services, k = 0;
	const struct object *const *services = cluster_all(c, KIND_SERVICE, &n_services);
	struct svc_plan *plans = arena_array(a, 2 * n_services, sizeof(*plans));
	struct slices all;

	if (!plans || collect(c, a, &all))
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < 2 * n_services; i++) {
		const struct service *s = services[i / 2]->body;
		struct slices own = slices_of(&all, s);
		int rc = svc_plan(s, own.v, own.n, node, families[i % 2], a, &plans[k++], e);

		if (rc)
			return rc;
	}
	*out = plans;
	*n = k;
	return 0;
}
