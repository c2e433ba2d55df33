// SPDX-License-Identifier: Apache-2.0
/* Pods of the index: by their objects, by what this node wired, and by what others say. What they bring
 * into sets stands in index_sets.c. */
#include "core/policy/index_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void policy_pod_due(struct policy_index *x, struct policy_pod *p)
{
	if (p->due || (!p->subject.n_addrs && !p->told))
		return;
	p->due = true;
	DL_APPEND2(x->pods_due, p, prev_due, next_due);
}

void policy_pod_free(struct policy_index *x, struct policy_pod *p)
{
	struct policy_ns *ns = p->ns;

	policy_pod_withdraw(x, p);
	if (p->subject.n_addrs)
		DL_DELETE2(ns->here, p, prev_here, next_here);
	if (p->due)
		DL_DELETE2(x->pods_due, p, prev_due, next_due);
	if (x->pod_taken == p)
		x->pod_taken = NULL;
	DL_DELETE(ns->pods, p);
	for (unsigned t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
		free(p->subject.isolating[t].v);
	free(p->wired);
	free(p->elsewhere);
	by_name_drop(&x->pods, &p->by);
	policy_ns_sweep(x, ns);
}

void policy_pod_sweep(struct policy_index *x, struct policy_pod *p)
{
	if (!p->pod && !p->subject.n_addrs && !p->n_elsewhere && !p->told && !p->due &&
	    x->pod_taken != p)
		policy_pod_free(x, p);
}

struct policy_pod *policy_pod_get(struct policy_index *x, const char *ns, const char *name,
				  bool make)
{
	struct policy_pod *p =
		(struct policy_pod *)by_name_get(&x->pods, ns, name, make ? sizeof(*p) : 0);

	if (!p || p->ns)
		return p;
	p->ns = policy_ns_get(x, ns, true);
	if (!p->ns) {
		by_name_drop(&x->pods, &p->by);
		return NULL;
	}
	p->subject.ns = p->by.ns;
	p->subject.name = p->by.name;
	DL_APPEND(p->ns->pods, p);
	return p;
}

int policy_pod_changed(struct policy_index *x, const struct meta *m, const struct pod *now)
{
	struct policy_pod *p = policy_pod_get(x, m->namespace, m->name, now);
	int rc;

	if (!p)
		return now ? -ENOMEM : 0;
	policy_pod_withdraw(x, p);
	x->stats.pods += (now != NULL) - (p->pod != NULL);
	p->pod = now;
	rc = policy_pod_bring(x, p);
	policy_pod_due(x, p);
	policy_pod_sweep(x, p);
	return rc;
}

static int copy_addresses(const struct ipaddr *addrs, uint32_t n, struct ipaddr **out)
{
	struct ipaddr *v = n ? malloc(n * sizeof(*v)) : NULL;

	if (n && !v)
		return -ENOMEM;
	if (n)
		memcpy(v, addrs, n * sizeof(*v));
	*out = v;
	return 0;
}

int policy_pod_wire(struct policy_index *x, struct policy_pod *p, const struct ipaddr *addrs,
		    uint32_t n)
{
	struct policy_subject *s = &p->subject;
	struct ipaddr *v;
	int rc = copy_addresses(addrs, n, &v);

	if (rc)
		return rc;
	policy_pod_withdraw(x, p);
	if (s->n_addrs)
		DL_DELETE2(p->ns->here, p, prev_here, next_here);
	x->stats.wired += (n > 0) - (s->n_addrs > 0);
	free(p->wired);
	s->addrs = p->wired = v;
	s->n_addrs = n;
	if (n)
		DL_APPEND2(p->ns->here, p, prev_here, next_here);
	rc = policy_pod_bring(x, p);
	policy_pod_due(x, p);
	policy_pod_sweep(x, p);
	return rc;
}

static int pod_elsewhere(struct policy_index *x, struct policy_pod *p, const struct ipaddr *addrs,
			 uint32_t n)
{
	struct ipaddr *v;
	int rc = copy_addresses(addrs, n, &v);

	if (rc)
		return rc;
	policy_pod_withdraw(x, p);
	free(p->elsewhere);
	p->elsewhere = v;
	p->n_elsewhere = n;
	rc = policy_pod_bring(x, p);
	policy_pod_sweep(x, p);
	return rc;
}

/* These are its addresses from now on. */
typedef int pod_has(struct policy_index *x, struct policy_pod *p, const struct ipaddr *addrs,
		    uint32_t n);

static int told(struct policy_index *x, const char *ns, const char *name, pod_has *has,
		const struct ipaddr *addrs, uint32_t n, struct err *e)
{
	struct policy_pod *p = policy_pod_get(x, ns, name, n > 0);

	if (!p && !n)
		return 0;
	if (!p || has(x, p, addrs, n))
		return err_set(e, -ENOMEM, "no memory for the policies of pod %s/%s", ns, name);
	return 0;
}

int policy_index_wired(struct policy_index *x, const char *ns, const char *name,
		       const struct ipaddr *addrs, uint32_t n, struct err *e)
{
	return told(x, ns, name, policy_pod_wire, addrs, n, e);
}

int policy_index_elsewhere(struct policy_index *x, const char *ns, const char *name,
			   const struct ipaddr *addrs, uint32_t n, struct err *e)
{
	return told(x, ns, name, pod_elsewhere, addrs, n, e);
}
