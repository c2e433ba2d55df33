// SPDX-License-Identifier: Apache-2.0
/* agent_nft: see agent_nft.h. What is wanted is never kept: it is built from the book and the
 * store when an audit needs it. Kept is which pods have their elements in the kernel, as the book
 * may hold an attachment that is not wired yet, and the pools as they were sent. */
#include "daemon/agent_nft.h"
#include "core/cni/message.h"
#include "core/nft/build.h"
#include "core/nft/diff.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_pace.h"
#include "daemon/agent_service.h"
#include "daemon/agent_store.h"
#include "sys/nfnl.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

static const uint8_t families[] = { NFPROTO_INET, NFPROTO_ARP, NFPROTO_BRIDGE };

struct wired {
	uint64_t id; /* of the attachment */
	UT_hash_handle hh;
};

struct agent_nft {
	struct agent *agent;
	struct nfnl *nl;
	struct nfnl_watch *watch;
	struct wired *wired;
	struct nft_pool *pools; /* as the kernel has them */
	uint32_t n_pools;
	bool adopted;
	bool behind; /* the kernel refused a batch, and no audit brought it right yet */
	ev_io notices;
	struct pace pace;
	struct agent_nft_stats stats;
};

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

static int build(struct agent *a, struct arena *ar, struct nft_ruleset *rs, struct err *e)
{
	struct nft_input in = { .services = agent_service_rules(a) };
	int rc = pods_of(a, ar, &in, e);

	if (!rc)
		rc = pools_of(a, ar, &in, e);
	nft_ruleset_init(rs, ar);
	return rc ? rc : nft_build(rs, &in, e);
}

static int observe(struct agent_nft *k, struct arena *ar, struct nft_ruleset *rs, struct err *e)
{
	int rc = 0;

	nft_ruleset_init(rs, ar);
	for (size_t i = 0; i < sizeof(families) && !rc; i++)
		rc = nfnl_dump(k->nl, families[i], NFT_TABLE, true, rs, e);
	return rc;
}

static int compare(struct agent *a, struct arena *ar, struct nft_diff *d, struct err *e)
{
	struct nft_ruleset want, have;
	int rc = build(a, ar, &want, e);

	if (!rc)
		rc = observe(a->nft, ar, &have, e);
	return rc ? rc : nft_diff(d, &want, &have, ar, e);
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

static int send_pod(struct agent_nft *k, const struct ipam_attachment *at, bool add, struct err *e)
{
	struct nft_pod pod = pod_of(at);
	struct nft_ops ops;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	nft_ops_init(&ops, &ar);
	rc = nft_pod_elems(&ops, &pod, add, e);
	if (!rc)
		rc = nfnl_commit(k->nl, &ops, NULL, e);
	arena_fini(&ar);
	return rc;
}

int agent_nft_pod_add(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct agent_nft *k = a->nft;
	struct err first;

	if (!note_wired(k, at->id))
		return err_set(e, -ENOMEM, "no memory");
	if (!send_pod(k, at, true, &first))
		return 0;
	/* Somebody flushed our tables, or left the pod's elements there: once more after a look. */
	log_warn("nftables, pod link %s: %s", at->hostif, first.text);
	agent_nft_audit(a);
	if (!agent_nft_check(a, e))
		return 0;
	forget_wired(k, at->id);
	pace_within(&k->pace, 0.);
	return e->code;
}

void agent_nft_pod_del(struct agent *a, const struct ipam_attachment *at)
{
	struct agent_nft *k = a->nft;
	struct err e;

	if (!find_wired(k, at->id))
		return;
	forget_wired(k, at->id);
	if (send_pod(k, at, false, &e)) {
		log_warn("nftables, pod link %s: %s", at->hostif, e.text);
		agent_nft_audit(a);
	}
}

/* ---- pools */

static int keep_pools(struct agent_nft *k, const struct nft_input *in)
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
	if (!rc && keep_pools(k, &now))
		rc = err_set(e, -ENOMEM, "no memory");
	return rc;
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

/* ---- Services */

void agent_nft_services(struct agent *a, const struct nft_ops *ops)
{
	struct err e;

	if (!a->nft->adopted || !ops->n)
		return;
	if (nfnl_commit(a->nft->nl, ops, NULL, &e)) {
		log_warn("nftables, Services: %s", e.text);
		a->nft->behind = true;
		a->nft->stats.refused++;
		agent_nft_audit(a);
	}
}

/* ---- the audit */

static void note_finding(struct agent_nft *k, const struct nft_finding *f)
{
	struct buf b = { 0 };

	nft_finding_str(f, &b);
	log_warn("audit: nftables: %s", b.n ? b.v : "a difference");
	buf_fini(&b);
	switch ((enum nft_finding_kind)f->kind) {
	case NFTF_MISSING:
		k->stats.missing++;
		break;
	case NFTF_CHANGED:
		k->stats.changed++;
		break;
	case NFTF_EXTRA:
		k->stats.unwanted++;
		break;
	}
}

static int repair(struct agent *a, struct arena *ar, bool quiet, struct err *e)
{
	struct nft_diff d = { 0 };
	int rc = compare(a, ar, &d, e);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < d.n_findings && !quiet; i++)
		note_finding(a->nft, &d.findings[i]);
	if (!quiet)
		pace_note(&a->nft->pace, d.n_findings);
	if (d.ops.n)
		rc = nfnl_commit(a->nft->nl, &d.ops, NULL, e);
	return rc;
}

static void run_audit(struct agent *a, bool quiet)
{
	struct agent_nft *k = a->nft;
	struct arena ar;
	struct err e;

	pace_begin(&k->pace);
	k->stats.audits++;
	arena_init(&ar, 0);
	k->behind = repair(a, &ar, quiet, &e) != 0;
	if (k->behind) {
		k->stats.failures++;
		log_error("audit: nftables: %s", e.text);
		pace_within(&k->pace, 1.0);
	} else {
		struct nft_input in = { 0 };

		if (pools_of(a, &ar, &in, &e) || keep_pools(k, &in))
			log_error("nftables: no memory");
	}
	arena_fini(&ar);
}

void agent_nft_audit(struct agent *a)
{
	if (a->nft->adopted)
		run_audit(a, false);
}

bool agent_nft_behind(const struct agent *a)
{
	return a->nft->behind;
}

int agent_nft_check(struct agent *a, struct err *e)
{
	struct nft_diff d = { 0 };
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = compare(a, &ar, &d, e);
	if (!rc && d.n_findings) {
		struct buf b = { 0 };

		nft_finding_str(&d.findings[0], &b);
		rc = err_set(e, -EBADE, "nftables: %s", b.n ? b.v : "a difference");
		buf_fini(&b);
	}
	arena_fini(&ar);
	return rc;
}

void agent_nft_adopt(struct agent *a)
{
	a->nft->adopted = true;
	nft_services_adopted(agent_service_rules(a));
	run_audit(a, true); /* what it finds is what the store brought */
}

/* ---- notices */

static void on_notice(const struct nft_notice *n, void *arg)
{
	if (n->comm[0])
		log_info("nftables: %s changed table %s", n->comm, NFT_TABLE);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_nft *k = w->data;
	struct err e;
	int n = nfnl_watch_read(k->watch, NFT_TABLE, on_notice, k, &e);

	if (n < 0 && n != -ENOBUFS)
		log_error("nftables notices: %s", e.text);
	if (n)
		pace_within(&k->pace, PACE_SOON);
}

/* ---- life */

int agent_nft_start(struct agent *a, struct err *e)
{
	struct nft_ruleset have;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = observe(a->nft, &ar, &have, e);
	if (!rc && nft_table_get(&have, NFPROTO_INET, NFT_TABLE))
		agent_service_found(a, nft_table_get(&have, NFPROTO_INET, NFT_TABLE));
	if (!rc && have.n < sizeof(families)) {
		rc = repair(a, &ar, true, e);
		a->nft->adopted = !rc; /* nobody's flows hang on what was not there */
	}
	arena_fini(&ar);
	return rc;
}

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
	ev_io_init(&k->notices, on_readable, nfnl_watch_fd(k->watch), EV_READ);
	k->notices.data = k;
	ev_io_start(a->role->loop, &k->notices);
	pace_start(&k->pace, a, "nftables", agent_nft_audit);
	return 0;
}

void agent_nft_close(struct agent *a)
{
	struct agent_nft *k = a->nft;
	struct wired *w, *next;

	if (!k)
		return;
	ev_io_stop(a->role->loop, &k->notices);
	pace_stop(&k->pace);
	nfnl_watch_close(k->watch);
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
