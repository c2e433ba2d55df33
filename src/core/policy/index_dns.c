// SPDX-License-Identifier: Apache-2.0
/* The node's own DNS in the index: see answerer.h for as whom it counts.
 *
 * Of Services only those are kept that have one of its addresses. One that comes, goes or changes its
 * selector costs the pods of its namespace and of the one before it, a pod one test of the selector. Who
 * begins or ends to be one as which it counts brings its addresses beside its own, and makes the stand-in
 * due: its policies are theirs, and the last of them lets it bring for itself. */
#include "core/policy/index_state.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void policy_dns_joins(struct policy_index *x, struct policy_pod *p)
{
	struct policy_dns *d = &x->dns;

	if (!d->selects || p == d->itself || !policy_stands_for(d->stand_in, p->pod))
		return;
	p->answers = true;
	DL_APPEND2(d->pods, p, prev_answers, next_answers);
	d->stale = true;
}

void policy_dns_leaves(struct policy_index *x, struct policy_pod *p)
{
	if (!p->answers)
		return;
	p->answers = false;
	DL_DELETE2(x->dns.pods, p, prev_answers, next_answers);
	x->dns.stale = true;
}

int policy_dns_settle(struct policy_index *x)
{
	struct policy_pod *p = x->dns.itself;

	if (!x->dns.stale || !p)
		return 0;
	x->dns.stale = false;
	policy_pod_due(x, p);
	return policy_pod_bring(x, p);
}

bool policy_dns_isolates(const struct policy_index *x, const struct network_policy *policy)
{
	if (!x->dns.pods)
		return policy_isolates(policy, POLICY_INGRESS, x->dns.stand_in);
	for (const struct policy_pod *p = x->dns.pods; p; p = p->next_answers)
		if (policy_isolates(policy, POLICY_INGRESS, p->pod))
			return true;
	return false;
}

const struct pod *policy_index_isolated_dns(const struct policy_index *x,
					    const struct network_policy *p)
{
	return x->dns.itself && policy_dns_isolates(x, p) ? x->dns.stand_in : NULL;
}

/* ---- the stand-in */

static bool is_before(const struct policy_dns_service *a, const struct policy_dns_service *b)
{
	int c = strcmp(a->by.ns, b->by.ns);

	if (a->place != b->place)
		return a->place < b->place;
	return c ? c < 0 : strcmp(a->by.name, b->by.name) < 0;
}

static const struct service *first_service(const struct policy_dns *d)
{
	const struct policy_dns_service *first = NULL;

	for (struct by_name *b = d->services; b; b = by_name_next(b)) {
		const struct policy_dns_service *s = (const struct policy_dns_service *)b;

		if (!first || is_before(s, first))
			first = s;
	}
	return first ? first->service : NULL;
}

static bool is_same(const struct pod *a, const struct pod *b)
{
	const struct strmap *of = &a->meta.labels, *to = &b->meta.labels;
	bool same = text_eq(a->meta.namespace, b->meta.namespace) && of->n == to->n;

	for (uint32_t i = 0; same && i < of->n; i++)
		same = text_eq(of->v[i].value, strmap_get(to, of->v[i].key));
	return same;
}

static void withdraw_all(struct policy_index *x, const char *name)
{
	struct policy_ns *ns = policy_ns_get(x, name, false);

	for (struct policy_pod *p = ns ? ns->pods : NULL; p; p = p->next)
		policy_pod_withdraw(x, p);
}

static int bring_all(struct policy_index *x, const char *name)
{
	struct policy_ns *ns = policy_ns_get(x, name, false);
	int rc = 0, failed;

	for (struct policy_pod *p = ns ? ns->pods : NULL; p; p = p->next) {
		failed = policy_pod_bring(x, p);
		rc = rc ? rc : failed;
	}
	return rc;
}

/* Its subject ends, and the reader is told. */
static int leave(struct policy_index *x)
{
	struct policy_pod *p = x->dns.itself;
	int rc, failed;

	x->dns.itself = NULL;
	if (!p)
		return 0;
	rc = policy_pod_wire(x, p, NULL, 0);
	failed = policy_pod_changed(x, &x->dns.stand_in->meta, NULL);
	return rc ? rc : failed;
}

static int enter(struct policy_index *x)
{
	struct policy_dns *d = &x->dns;
	const struct meta *m = &d->stand_in->meta;
	int rc;

	d->itself = policy_pod_get(x, m->namespace, m->name, true);
	if (!d->itself)
		return -ENOMEM;
	rc = policy_pod_changed(x, m, d->stand_in);
	return rc ? rc : policy_pod_wire(x, d->itself, d->addrs, d->n_addrs);
}

static int become(struct policy_index *x, struct pod *now, const struct arena *mem, bool selects)
{
	struct policy_dns *d = &x->dns;
	struct pod *old = d->stand_in ? d->stand_in : now;
	struct arena old_mem = d->mem;
	int rc, failed;

	withdraw_all(x, old->meta.namespace);
	withdraw_all(x, now->meta.namespace);
	rc = leave(x);
	d->mem = *mem;
	d->stand_in = now;
	d->selects = selects;
	failed = bring_all(x, old->meta.namespace);
	rc = rc ? rc : failed;
	if (strcmp(old->meta.namespace, now->meta.namespace) != 0) {
		failed = bring_all(x, now->meta.namespace);
		rc = rc ? rc : failed;
	}
	arena_fini(&old_mem);
	failed = enter(x);
	return rc ? rc : failed;
}

/* Who it is by the Services as they are. */
static int choose(struct policy_index *x)
{
	struct policy_dns *d = &x->dns;
	const struct service *s = first_service(d);
	bool selects = s && s->spec.selector.n;
	struct arena mem;
	struct pod *now;

	arena_init(&mem, 0);
	now = policy_stand_in(d->node, s, &mem);
	if (now && (!d->itself || d->selects != selects || !is_same(now, d->stand_in)))
		return become(x, now, &mem, selects);
	arena_fini(&mem);
	return now ? 0 : -ENOMEM;
}

/* ---- what is told */

int policy_dns_changed(struct policy_index *x, const struct meta *m, const struct service *now)
{
	struct policy_dns *d = &x->dns;
	uint32_t place = now ? policy_dns_place(now, d->addrs, d->n_addrs) : d->n_addrs;
	bool serves = place < d->n_addrs;
	struct policy_dns_service *s;

	if (!d->n_addrs)
		return 0;
	s = (struct policy_dns_service *)by_name_get(&d->services, m->namespace, m->name,
						     serves ? sizeof(*s) : 0);
	if (!s)
		return serves ? -ENOMEM : 0;
	s->service = now;
	s->place = place;
	if (!serves)
		by_name_drop(&d->services, &s->by);
	return choose(x);
}

int policy_index_dns(struct policy_index *x, const char *node, const struct ipaddr *addrs,
		     uint32_t n, struct err *e)
{
	struct policy_dns *d = &x->dns;

	if (!n)
		return 0;
	d->node = strdup(node);
	d->addrs = malloc(n * sizeof(*addrs));
	if (!d->node || !d->addrs)
		return err_set(e, -ENOMEM, "no memory");
	memcpy(d->addrs, addrs, n * sizeof(*addrs));
	d->n_addrs = n;
	return choose(x) ? err_set(e, -ENOMEM, "no memory") : 0;
}

void policy_dns_fini(struct policy_index *x)
{
	struct policy_dns *d = &x->dns;

	while (d->services)
		by_name_drop(&d->services, d->services);
	arena_fini(&d->mem);
	free(d->addrs);
	free(d->node);
}
