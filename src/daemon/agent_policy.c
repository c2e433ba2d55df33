// SPDX-License-Identifier: Apache-2.0
/* agent_policy: see agent_policy.h. Which pods are wired is read from the book, as of one pod there
 * may be several attachments: more interfaces, or the sandbox before this one. Those of other
 * nodes are read from their WorkloadEndpoints, which are written when ADD answers; a Pod's status
 * comes when its runtime gets to it. */
#include "daemon/agent_policy.h"
#include "base/by_name.h"
#include "base/text.h"
#include "core/policy/match.h"
#include "daemon/agent_conntrack.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_policy_count.h"
#include "daemon/agent_policy_look.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct agent_policy {
	struct policy_index *index;
	struct nft_policies *rules;
	struct by_name *told; /* pods of which a WorkloadEndpoint changed */
};

/* ---- to the kernel */

/* -errno where the kernel does not hold what the index says. `at`, or NULL: whose coming or going it is. */
static int send_changes(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct nft_ops ops;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	nft_ops_init(&ops, &ar);
	rc = nft_policies_put(a->policy->rules, &ops, e);
	if (rc) {
		agent_nft_audit(a);
	} else {
		agent_policy_count_before(a, &ops);
		rc = agent_nft_policies(a, &ops, at, e);
	}
	arena_fini(&ar);
	return rc;
}

/* ---- pods of other nodes */

static bool is_elsewhere(const struct agent *a, const struct object *o)
{
	const struct workload_endpoint *w = o ? o->body : NULL;

	return w && w->spec.pod && !text_eq(w->spec.node, a->role->cfg.node);
}

static void note_told(struct agent *a, const struct object *o)
{
	const struct workload_endpoint *w;

	if (!is_elsewhere(a, o))
		return;
	w = o->body;
	if (!by_name_get(&a->policy->told, w->meta.namespace, w->spec.pod, sizeof(struct by_name)))
		log_error("Pod %s/%s: its policies: no memory", w->meta.namespace, w->spec.pod);
}

/* WorkloadEndpoints of a pod are named "POD-INTERFACE". */
static int compare(const struct object *o, const struct by_name *pod)
{
	size_t len = strlen(pod->name);
	int c = strcmp(o->meta->namespace, pod->ns);

	if (!c)
		c = strncmp(o->meta->name, pod->name, len);
	return c ? c : (unsigned char)o->meta->name[len] - '-';
}

static size_t first_endpoint(const struct object *const *v, size_t n, const struct by_name *pod)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare(v[mid], pod) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* All addresses of a pod that runs elsewhere. */
static int tell_elsewhere(struct agent *a, const struct by_name *pod, struct err *e)
{
	const struct object *const *v;
	struct ipaddr addrs[2 * IPAM_MAX_WANTED];
	size_t all, n = 0;

	v = cluster_all(agent_store_cluster(a), KIND_WORKLOADENDPOINT, &all);
	for (size_t i = first_endpoint(v, all, pod); i < all && !compare(v[i], pod); i++) {
		const struct workload_endpoint *w = v[i]->body;

		if (!is_elsewhere(a, v[i]) || strcmp(w->spec.pod, pod->name) != 0)
			continue;
		for (uint32_t k = 0; k < w->spec.ips.n && n < 2 * IPAM_MAX_WANTED; k++)
			addrs[n++] = w->spec.ips.v[k].addr;
	}
	return policy_index_elsewhere(a->policy->index, pod->ns, pod->name, addrs, (uint32_t)n, e);
}

/* ---- changes of the store */

void agent_policy_synced(struct agent *a)
{
	struct agent_policy *p = a->policy;
	struct err e;

	if (agent_store_known(a))
		policy_index_unknown(p->index, false);
	while (p->told) {
		if (tell_elsewhere(a, p->told, &e))
			log_error("%s", e.text);
		by_name_drop(&p->told, p->told);
	}
	if (send_changes(a, NULL, &e))
		log_error("NetworkPolicies: %s", e.text);
	if (agent_store_adopted(a))
		agent_conntrack_look(a);
}

/* It let connections live that it forbids, and does no longer. */
static void note_strict(struct agent *a, const struct object *old, const struct object *now)
{
	if (old && now && policy_look_spares(a, old->body) && !policy_look_spares(a, now->body) &&
	    nft_policies_narrow(a->policy->rules, now->meta->namespace, now->meta->name))
		log_error("NetworkPolicy %s/%s: connections that live: no memory",
			  now->meta->namespace, now->meta->name);
}

void agent_policy_changed(struct agent *a, const struct object *old, const struct object *now)
{
	const struct object *any = now ? now : old;
	struct err e;

	if (any->kind->id == KIND_WORKLOADENDPOINT) {
		note_told(a, old);
		note_told(a, now);
		return;
	}
	if (any->kind->id == KIND_NETWORKPOLICY)
		note_strict(a, old, now);
	if (policy_index_changed(a->policy->index, old, now, &e))
		log_error("%s %s: its policies: %s", any->kind->name, any->meta->name, e.text);
}

/* ---- pods of this node */

static bool is_policed(const struct ipam_attachment *at)
{
	return at->pod_name && at->pod_namespace && !at->ipam_only && at->state == IPAM_LIVE;
}

static bool is_same_pod(const struct ipam_attachment *a, const struct ipam_attachment *b)
{
	return !strcmp(a->pod_name, b->pod_name) && !strcmp(a->pod_namespace, b->pod_namespace);
}

/* All addresses of the pod whose attachment this is, which counts where `with`. */
static int tell_wired(struct agent *a, const struct ipam_attachment *at, bool with, struct err *e)
{
	const struct ipam_attachment *const *v;
	struct ipaddr *addrs = NULL;
	uint32_t n = 0;
	size_t all;
	int rc = 0;

	v = ipam_all(agent_ipam_book(a), &all);
	for (size_t i = 0; i < all && !rc; i++) {
		const struct ipam_attachment *x = v[i];
		struct ipaddr *more;

		if (!is_policed(x) || !is_same_pod(x, at) || (x->id == at->id && !with))
			continue;
		more = realloc(addrs, (n + x->addrs.n) * sizeof(*addrs));
		if (!more)
			rc = err_set(e, -ENOMEM, "no memory");
		else
			memcpy((addrs = more) + n, x->addrs.v, x->addrs.n * sizeof(*addrs));
		n += more ? x->addrs.n : 0;
	}
	if (!rc)
		rc = policy_index_wired(a->policy->index, at->pod_namespace, at->pod_name, addrs, n,
					e);
	free(addrs);
	return rc;
}

int agent_policy_pod_add(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	int rc = 0;

	if (is_policed(at))
		rc = tell_wired(a, at, true, e);
	if (!rc)
		rc = send_changes(a, at, e);
	if (rc)
		agent_policy_pod_del(a, at);
	return rc;
}

void agent_policy_expect(struct agent *a, const struct ipam_attachment *at)
{
	struct err e;

	if (is_policed(at) && tell_wired(a, at, true, &e))
		log_error("Pod %s/%s: its policies: %s", at->pod_namespace, at->pod_name, e.text);
}

void agent_policy_pod_del(struct agent *a, const struct ipam_attachment *at)
{
	struct err e;

	if (is_policed(at) && (tell_wired(a, at, false, &e) || send_changes(a, at, &e)))
		log_error("Pod %s/%s: its policies: %s", at->pod_namespace, at->pod_name, e.text);
}

int agent_policy_close_pods(struct agent *a, struct err *e)
{
	bool unknown = !agent_store_known(a);
	struct policy_index_stats n;
	struct nft_ops ops;
	struct arena ar;
	int rc;

	policy_index_unknown(a->policy->index, unknown);
	arena_init(&ar, 0);
	nft_ops_init(&ops, &ar);
	rc = nft_policies_put(a->policy->rules, &ops, e); /* not sent: everything is */
	arena_fini(&ar);
	policy_index_count(a->policy->index, &n);
	if (!rc && unknown && n.wired)
		log_warn("policy: the rules were gone: nothing new passes from or to %u pods: %s",
			 n.wired, POLICY_UNKNOWN);
	return rc;
}

/* ---- looking */

struct policy_index *agent_policy_index(const struct agent *a)
{
	return a->policy->index;
}

struct nft_policies *agent_policy_rules(const struct agent *a)
{
	return a->policy->rules;
}

/* ---- life */

int agent_policy_open(struct agent *a, struct err *e)
{
	const struct config *cfg = &a->role->cfg;
	struct agent_policy *p = calloc(1, sizeof(*p));
	struct ipaddr dns[CONFIG_DNS_SERVED];

	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	a->policy = p;
	p->index = policy_index_new();
	p->rules = p->index ? nft_policies_new(p->index) : NULL;
	if (!p->rules)
		return err_set(e, -ENOMEM, "no memory");
	return policy_index_dns(p->index, cfg->node, dns, config_dns_served(cfg, dns), e);
}

void agent_policy_close(struct agent *a)
{
	if (!a->policy)
		return;
	while (a->policy->told)
		by_name_drop(&a->policy->told, a->policy->told);
	nft_policies_free(a->policy->rules);
	policy_index_free(a->policy->index);
	free(a->policy);
	a->policy = NULL;
}
