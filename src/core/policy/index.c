// SPDX-License-Identifier: Apache-2.0
/* index: see index.h. Here: namespaces and policies, and what is due to be taken. Pods stand in index_pods.c, the
 * node's own DNS in index_dns.c, what pods bring into sets in index_sets.c and index_members.c.
 *
 * Something is kept for as long as there is its object, it is wired, or the reader was told of
 * it and not yet of its end. */
#include "core/policy/index_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- namespaces */

static int ns_set(struct policy_ns *ns, const struct namespace_obj *o)
{
	static const struct strmap none = { .n = 0 };

	arena_reset(&ns->mem);
	ns->object = o;
	ns->labels = policy_namespace_labels(ns->by.name, o, &ns->mem);
	if (ns->labels)
		return 0;
	ns->labels = &none;
	return -ENOMEM;
}

struct policy_ns *policy_ns_get(struct policy_index *x, const char *name, bool make)
{
	struct policy_ns *ns =
		(struct policy_ns *)by_name_get(&x->namespaces, "", name, make ? sizeof(*ns) : 0);

	if (!ns || ns->labels)
		return ns;
	arena_init(&ns->mem, 0);
	if (!ns_set(ns, NULL))
		return ns;
	arena_fini(&ns->mem);
	by_name_drop(&x->namespaces, &ns->by);
	return NULL;
}

void policy_ns_sweep(struct policy_index *x, struct policy_ns *ns)
{
	if (ns->object || ns->pods || ns->policies || ns->sels)
		return;
	arena_fini(&ns->mem);
	by_name_drop(&x->namespaces, &ns->by);
}

/* ---- namespaces that change */

/* Its pods see other labels of it. */
static int ns_changed(struct policy_index *x, const char *name, const struct namespace_obj *now)
{
	struct policy_ns *ns = policy_ns_get(x, name, now);
	int rc, failed;

	if (!ns)
		return now ? -ENOMEM : 0;
	for (struct policy_pod *p = ns->pods; p; p = p->next)
		policy_pod_withdraw(x, p);
	rc = ns_set(ns, now);
	for (struct policy_pod *p = ns->pods; p; p = p->next) {
		failed = policy_pod_bring(x, p);
		rc = rc ? rc : failed;
	}
	policy_ns_sweep(x, ns);
	return rc;
}

/* ---- policies */

static void policy_due(struct policy_index *x, struct policy_entry *p)
{
	if (p->due)
		return;
	p->due = true;
	DL_APPEND2(x->policies_due, p, prev_due, next_due);
}

static int by_text(struct policy_entry *a, struct policy_entry *b)
{
	return strcmp(a->by.name, b->by.name);
}

static int policy_changed(struct policy_index *x, const struct meta *m,
			  const struct network_policy *now)
{
	struct policy_ns *ns = policy_ns_get(x, m->namespace, now);
	struct policy_entry *p = NULL;

	if (ns)
		p = (struct policy_entry *)by_name_get(&x->policies, m->namespace, m->name,
						       now ? sizeof(*p) : 0);
	if (!p) {
		if (ns)
			policy_ns_sweep(x, ns);
		return now ? -ENOMEM : 0;
	}
	if (now && !p->policy)
		DL_INSERT_INORDER(ns->policies, p, by_text);
	if (!now && p->policy)
		DL_DELETE(ns->policies, p);
	x->stats.policies += (now != NULL) - (p->policy != NULL);
	p->policy = now;
	policy_due(x, p);
	for (struct policy_pod *pod = ns->here; pod; pod = pod->next_here)
		policy_pod_due(x, pod);
	policy_ns_sweep(x, ns);
	return 0;
}

const struct network_policy *policy_index_policy(const struct policy_index *x, const char *ns,
						 const char *name)
{
	struct by_name *head = x->policies;
	const struct policy_entry *p = (struct policy_entry *)by_name_get(&head, ns, name, 0);

	return p ? p->policy : NULL;
}

int policy_index_changed(struct policy_index *x, const struct object *old, const struct object *now,
			 struct err *e)
{
	const struct object *o = now ? now : old;
	const void *body = now ? now->body : NULL;
	int rc = 0;

	switch (o ? o->kind->id : KIND_NONE) {
	case KIND_NAMESPACE:
		rc = ns_changed(x, o->meta->name, body);
		break;
	case KIND_POD:
		rc = policy_pod_changed(x, o->meta, body);
		break;
	case KIND_NETWORKPOLICY:
		rc = policy_changed(x, o->meta, body);
		break;
	case KIND_SERVICE:
		rc = policy_dns_changed(x, o->meta, body);
		break;
	}
	return rc ? err_set(e, rc, "no memory for the policies of %s %s", o->kind->name,
			    o->meta->name)
		  : 0;
}

void policy_index_unknown(struct policy_index *x, bool unknown)
{
	if (x->unknown == unknown)
		return;
	x->unknown = unknown;
	for (struct by_name *b = x->pods; b; b = by_name_next(b))
		policy_pod_due(x, (struct policy_pod *)b);
}

/* ---- for the reader */

static const char *why_closed(const struct policy_index *x, const struct policy_pod *p,
			      enum policy_type type)
{
	if (x->unknown && (p != x->dns.itself || type == POLICY_INGRESS))
		return POLICY_UNKNOWN;
	for (const struct policy_entry *q = p->ns->policies; q && !p->pod; q = q->next)
		if (network_policy_has(q->policy, type))
			return POLICY_NO_OBJECT;
	return NULL;
}

static bool isolates(const struct policy_index *x, const struct policy_pod *p,
		     const struct network_policy *policy, enum policy_type type)
{
	if (p == x->dns.itself)
		return type == POLICY_INGRESS && policy_dns_isolates(x, policy);
	return policy_isolates(policy, type, p->pod);
}

static int isolate(const struct policy_index *x, struct policy_pod *p)
{
	struct policy_subject *s = &p->subject;
	uint32_t n = 0;

	for (const struct policy_entry *q = p->ns->policies; q; q = q->next)
		n++;
	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++) {
		const struct network_policy **v =
			realloc(s->isolating[t].v, (n + 1) * sizeof(*s->isolating[t].v));

		if (!v)
			return -ENOMEM;
		s->isolating[t].v = v;
		s->isolating[t].n = 0;
		s->closed[t] = s->n_addrs ? why_closed(x, p, t) : NULL;
		for (const struct policy_entry *q = p->ns->policies;
		     q && s->n_addrs && !s->closed[t]; q = q->next)
			if (isolates(x, p, q->policy, t))
				v[s->isolating[t].n++] = q->policy;
	}
	return 0;
}

int policy_index_take_subject(struct policy_index *x, struct policy_subject **out, struct err *e)
{
	struct policy_pod *p = x->pod_taken;

	x->pod_taken = NULL;
	if (p)
		policy_pod_sweep(x, p);
	p = x->pods_due;
	if (p && isolate(x, p))
		return err_set(e, -ENOMEM, "no memory for the policies of pod %s", p->by.key);
	if (p) {
		p->due = false;
		p->told = p->subject.n_addrs > 0;
		DL_DELETE2(x->pods_due, p, prev_due, next_due);
	}
	x->pod_taken = p;
	*out = p ? &p->subject : NULL;
	return 0;
}

static void policy_drop(struct policy_index *x, struct policy_entry *p)
{
	if (p && !p->policy && !p->due)
		by_name_drop(&x->policies, &p->by);
}

bool policy_index_take_policy(struct policy_index *x, struct policy_name *out)
{
	struct policy_entry *p = x->policy_taken;

	x->policy_taken = NULL;
	policy_drop(x, p);
	p = x->policies_due;
	if (!p)
		return false;
	p->due = false;
	DL_DELETE2(x->policies_due, p, prev_due, next_due);
	x->policy_taken = p;
	*out = (struct policy_name){ p->by.ns, p->by.name };
	return true;
}

void policy_index_again(struct policy_index *x)
{
	for (struct by_name *b = x->pods; b; b = by_name_next(b))
		policy_pod_due(x, (struct policy_pod *)b);
	for (struct by_name *b = x->policies; b; b = by_name_next(b))
		policy_due(x, (struct policy_entry *)b);
	policy_members_again(x);
}

void policy_index_count(const struct policy_index *x, struct policy_index_stats *out)
{
	*out = x->stats;
	out->pods -= x->dns.itself != NULL;
	out->wired -= x->dns.itself != NULL;
}

/* ---- life */

struct policy_index *policy_index_new(void)
{
	struct policy_index *x = calloc(1, sizeof(*x));

	if (x)
		arena_init(&x->scratch, 0);
	return x;
}

void policy_index_free(struct policy_index *x)
{
	if (!x)
		return;
	policy_sets_fini(x);
	policy_dns_fini(x);
	for (struct by_name *b = x->pods, *next; b; b = next) {
		next = by_name_next(b);
		policy_pod_free(x, (struct policy_pod *)b);
	}
	for (struct by_name *b = x->policies, *next; b; b = next) {
		next = by_name_next(b);
		by_name_drop(&x->policies, b);
	}
	for (struct by_name *b = x->namespaces, *next; b; b = next) {
		next = by_name_next(b);
		arena_fini(&((struct policy_ns *)b)->mem);
		by_name_drop(&x->namespaces, b);
	}
	arena_fini(&x->scratch);
	free(x);
}
