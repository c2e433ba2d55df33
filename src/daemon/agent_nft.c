// SPDX-License-Identifier: Apache-2.0
/* agent_nft: see agent_nft.h; the start is in agent_nft_start.c, the audit in agent_nft_audit.c. What is wanted is never kept: it is
 * built from the book and the store when somebody needs it, and only as much of it. Kept is which pods have their elements in the kernel, as the book
 * may hold an attachment that is not wired yet, and the pools as they were sent. */
#include "core/cni/message.h"
#include "core/nft/build.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_nft_state.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_service.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is wanted */

static struct nft_pod pod_of(const struct ipam_attachment *at)
{
	return (struct nft_pod){ .ifname = at->hostif,
				 .attachment = at->attach == CNI_BRIDGE ? NFT_BRIDGED : NFT_ROUTED,
				 .mac = at->mac,
				 .addrs = at->addrs.v,
				 .n_addrs = at->addrs.n };
}

static int pools_of(struct agent *a, struct arena *ar, struct nft_input *in, struct err *e)
{
	const struct object *const *v;
	struct nft_pool *pools;
	size_t n;

	v = cluster_all(agent_store_cluster(a), KIND_IPPOOL, &n);
	pools = arena_array(ar, n, sizeof(*pools));
	if (!pools)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i < n; i++) {
		const struct ippool *p = v[i]->body;

		pools[i] = (struct nft_pool){ p->spec.cidr, p->spec.natOutgoing };
	}
	in->pools = pools;
	in->n_pools = (uint32_t)n;
	return 0;
}

static int pods_of(struct agent *a, struct arena *ar, struct nft_input *in, struct err *e)
{
	struct nft_pod *pods = arena_array(ar, HASH_COUNT(a->nft->wired), sizeof(*pods));
	uint32_t n = 0;

	if (!pods)
		return err_set(e, -ENOMEM, "no memory");
	for (const struct wired *w = a->nft->wired; w; w = w->hh.next) {
		const struct ipam_attachment *at = ipam_by_id(agent_ipam_book(a), w->id);

		if (at)
			pods[n++] = pod_of(at);
	}
	in->pods = pods;
	in->n_pods = n;
	return 0;
}

int agent_nft_build(struct agent *a, const struct nft_filter *filter, struct arena *ar,
		    struct nft_ruleset *rs, struct err *e)
{
	struct ipaddr dns[CONFIG_DNS_SERVED];
	struct nft_input in = { .services = agent_service_rules(a),
				.policies = agent_policy_rules(a),
				.dns = dns,
				.n_dns = config_dns_served(&a->role->cfg, dns) };
	int rc = pods_of(a, ar, &in, e);

	if (!rc)
		rc = pools_of(a, ar, &in, e);
	nft_ruleset_init(rs, ar);
	rs->filter = filter;
	return rc ? rc : nft_build(rs, &in, e);
}

int agent_nft_chain(struct agent *a, const char *name, struct nft_chain **out, struct arena *ar,
		    struct err *e)
{
	return nfnl_dump_chain(a->nft->nl, NFPROTO_INET, NFT_TABLE, name, out, ar, e);
}

/* ---- pods */

static struct wired *find_wired(const struct agent_nft *k, uint64_t id)
{
	struct wired *w;

	HASH_FIND(hh, k->wired, &id, sizeof(id), w);
	return w;
}

static bool note_wired(struct agent_nft *k, uint64_t id)
{
	struct wired *w = find_wired(k, id);

	if (w)
		return true;
	w = calloc(1, sizeof(*w));
	if (!w)
		return false;
	w->id = id;
	HASH_ADD(hh, k->wired, id, sizeof(w->id), w);
	return true;
}

void agent_nft_expect(struct agent *a, const struct ipam_attachment *at)
{
	if (!note_wired(a->nft, at->id))
		log_error("nftables, pod link %s: no memory", at->hostif);
}

static void forget_wired(struct agent_nft *k, uint64_t id)
{
	struct wired *w = find_wired(k, id);

	if (w) {
		HASH_DEL(k->wired, w);
		free(w);
	}
}

/* What is sent of a pod, or looked at. */
static int pod_ops(const struct ipam_attachment *at, bool add, struct arena *ar,
		   struct nft_ops *ops, struct err *e)
{
	struct nft_pod pod = pod_of(at);

	nft_ops_init(ops, ar);
	return nft_pod_elems(ops, &pod, add, e);
}

int agent_nft_pod_add(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct agent_nft *k = a->nft;
	struct nft_ops ops;
	struct arena ar;
	struct err first;
	int rc;

	if (!note_wired(k, at->id))
		return err_set(e, -ENOMEM, "no memory");
	arena_init(&ar, 0);
	rc = pod_ops(at, true, &ar, &ops, &first);
	if (!rc)
		rc = nfnl_commit(k->nl, &ops, NULL, &first);
	if (rc) {
		/* Somebody flushed our tables, or left the pod's elements there: once more after a look. */
		log_warn("nftables, pod link %s: %s", at->hostif, first.text);
		agent_nft_doubt(a, &ops);
		agent_nft_audit(a);
		rc = agent_nft_check(a, at, e);
	}
	arena_fini(&ar);
	if (!rc)
		return 0;
	forget_wired(k, at->id);
	pace_within(&k->pace, 0.);
	return rc;
}

void agent_nft_pod_del(struct agent *a, const struct ipam_attachment *at)
{
	struct agent_nft *k = a->nft;
	struct nft_ops ops;
	struct arena ar;
	struct err e;
	int rc;

	if (!find_wired(k, at->id))
		return;
	forget_wired(k, at->id);
	arena_init(&ar, 0);
	rc = pod_ops(at, false, &ar, &ops, &e);
	if (!rc)
		rc = nfnl_commit(k->nl, &ops, NULL, &e);
	if (rc) {
		log_warn("nftables, pod link %s: %s", at->hostif, e.text);
		agent_nft_doubt(a, &ops);
		agent_nft_audit(a);
	}
	arena_fini(&ar);
}

int agent_nft_check(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct nft_ops ops;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = pod_ops(at, true, &ar, &ops, e);
	if (!rc)
		rc = agent_nft_check_ops(a, &ops, &ar, e);
	arena_fini(&ar);
	return rc;
}

/* ---- pools */

static int keep(struct agent_nft *k, const struct nft_input *in)
{
	struct nft_pool *v = malloc((in->n_pools + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	if (in->n_pools)
		memcpy(v, in->pools, in->n_pools * sizeof(*v));
	free(k->pools);
	k->pools = v;
	k->n_pools = in->n_pools;
	return 0;
}

static int send_pools(struct agent *a, struct arena *ar, struct err *e)
{
	struct agent_nft *k = a->nft;
	struct nft_input old = { .pools = k->pools, .n_pools = k->n_pools }, now = { 0 };
	struct nft_ops ops;
	int rc = pools_of(a, ar, &now, e);

	nft_ops_init(&ops, ar);
	if (!rc)
		rc = nft_pool_elems(&ops, &old, &now, e);
	if (!rc && ops.n)
		rc = nfnl_commit(k->nl, &ops, NULL, e);
	if (!rc && keep(k, &now))
		rc = err_set(e, -ENOMEM, "no memory");
	return rc;
}

int agent_nft_keep_pools(struct agent *a, struct arena *ar)
{
	struct nft_input in = { 0 };
	struct err e;

	return pools_of(a, ar, &in, &e) ? e.code : keep(a->nft, &in);
}

void agent_nft_pools(struct agent *a)
{
	struct arena ar;
	struct err e;

	if (!a->nft->adopted)
		return;
	arena_init(&ar, 0);
	if (send_pools(a, &ar, &e)) {
		log_warn("nftables, pools: %s", e.text);
		agent_nft_audit(a);
	}
	arena_fini(&ar);
}

/* ---- Services and policies */

bool agent_nft_adopted(const struct agent *a)
{
	return a->nft->adopted;
}

/* Whether the kernel took it as it was. */
static bool commit(struct agent *a, const struct nft_ops *ops, const char *what, struct err *e)
{
	if (!a->nft->adopted || !ops->n || !nfnl_commit(a->nft->nl, ops, NULL, e))
		return true;
	log_warn("nftables, %s: %s", what, e->text);
	a->nft->behind = true;
	agent_nft_doubt(a, ops);
	agent_nft_audit(a);
	return false;
}

void agent_nft_services(struct agent *a, const struct nft_ops *ops)
{
	struct err e;

	a->nft->stats.refused += !commit(a, ops, "Services", &e);
}

int agent_nft_policies(struct agent *a, const struct nft_ops *ops, const struct ipam_attachment *at,
		       struct err *e)
{
	if (!a->nft->adopted)
		return at ? agent_nft_merge(a, ops, at, e) : 0;
	return commit(a, ops, "policies", e) || !a->nft->behind ? 0 : e->code;
}

/* ---- life */

int agent_nft_open(struct agent *a, struct err *e)
{
	struct agent_nft *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return err_set(e, -ENOMEM, "no memory");
	a->nft = k;
	k->agent = a;
	rc = nfnl_open(&k->nl, e);
	if (!rc)
		rc = nfnl_watch_open(&k->watch, k->nl, e);
	if (rc)
		return rc;
	agent_nft_audit_open(a);
	return 0;
}

void agent_nft_close(struct agent *a)
{
	struct agent_nft *k = a->nft;
	struct wired *w, *next;

	if (!k)
		return;
	agent_nft_audit_close(a);
	nfnl_watch_close(k->watch);
	nfnl_close(k->spare);
	nfnl_close(k->nl);
	HASH_ITER(hh, k->wired, w, next)
	forget_wired(k, w->id);
	free(k->pools);
	free(k);
	a->nft = NULL;
}

const struct agent_nft_stats *agent_nft_stats(const struct agent *a)
{
	return &a->nft->stats;
}
