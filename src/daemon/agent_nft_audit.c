// SPDX-License-Identifier: Apache-2.0
/* The audit of the rulesets: what others changed is found and undone.
 *
 * A look takes what it may cost whatever there is: declarations, rules, sets of intervals, and of all other
 * sets the elements in doubt (core/nft/doubt.h): what a notice or a refused batch names. Wanted and
 * observed are those of one moment, and so is what is found. Doubts beyond PIECE wait for the
 * loop's next turn.
 *
 * What no notice told, or was lost, a comparison finds: every 30 s a thread holds all elements against a summary
 * (sys/nfnl.h), and what seems to differ is in doubt. Own changes meanwhile make doubts that turn
 * out to be none; changes of others have their notice. So none is missed, and nothing is
 * reported that is not so.
 *
 * Where a table or set is gone its elements come with it, in one step with its rules; from
 * LARGE on in pieces afterwards, so that the agent is not away for long, or large. */
#include "core/nft/build.h"
#include "core/nft/diff.h"
#include "daemon/agent_nft_state.h"
#include "daemon/agent_service.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <linux/netfilter.h>

#define PIECE 2000  /* elements: some ms */
#define LARGE 2000  /* of one set */
#define MANY  50000 /* doubts; from here on everything is in doubt */
#define EVERY 29.   /* seconds: every regular audit compares, whatever the clock's grain */
#define AGAIN 1.    /* after a failure */

static const uint8_t families[] = { NFPROTO_INET, NFPROTO_ARP, NFPROTO_BRIDGE };

static void doubt_all(struct agent_nft *k)
{
	k->lost = true;
	nft_doubts_fini(&k->doubts);
}

void agent_nft_doubt(struct agent *a, const struct nft_ops *ops)
{
	struct agent_nft *k = a->nft;

	if (nft_doubts_ops(&k->doubts, ops) || k->doubts.total > MANY)
		doubt_all(k);
}

/* ---- one look */

int agent_nft_observe(struct agent_nft *k, const struct nft_doubts *doubts, struct arena *ar,
		      struct nft_ruleset *rs, struct err *e)
{
	int rc = 0;

	nft_ruleset_init(rs, ar);
	for (size_t i = 0; i < sizeof(families) && !rc; i++)
		rc = doubts ? nfnl_look(k->nl, families[i], NFT_TABLE, doubts, rs, e)
			    : nfnl_dump(k->nl, families[i], NFT_TABLE, true, rs, e);
	return rc;
}

/* `doubts` are sorted; `later`: what else is missing, but not in `d` yet. */
static int compare(struct agent *a, const struct nft_doubts *doubts, struct nft_doubts *later,
		   struct arena *ar, struct nft_diff *d, struct err *e)
{
	struct nft_ruleset want, have;
	struct nft_wish w = { doubts, &have, .later = later, .large = LARGE };
	struct nft_filter filter;
	int rc = agent_nft_observe(a->nft, doubts, ar, &have, e);

	nft_wish_filter(&w, &filter);
	if (!rc)
		rc = agent_nft_build(a, &filter, ar, &want, e);
	if (!rc)
		rc = nft_diff(d, &want, &have, ar, e);
	w.anew = rc ? 0 : d->anew;
	if (w.anew)
		rc = agent_nft_build(a, &filter, ar, &want, e);
	if (w.anew && !rc)
		rc = nft_diff(d, &want, &have, ar, e);
	return w.failed && !rc ? err_set(e, -ENOMEM, "no memory") : rc;
}

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

/* How many findings there were, all repaired; or -errno. */
static int repair(struct agent *a, const struct nft_doubts *doubts, bool quiet, struct err *e)
{
	struct agent_nft *k = a->nft;
	struct nft_diff d = { 0 };
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = compare(a, doubts, &k->doubts, &ar, &d, e);
	for (uint32_t i = 0; !rc && i < d.n_findings && !quiet; i++)
		note_finding(k, &d.findings[i]);
	if (!rc && d.ops.n)
		rc = nfnl_commit(k->nl, &d.ops, NULL, e);
	if (!rc && agent_nft_keep_pools(a, &ar))
		log_error("nftables: no memory");
	if (!rc)
		rc = (int)d.n_findings;
	arena_fini(&ar);
	return rc;
}

/* Looks at a piece of the doubts. As above; -errno is said, and tried again. */
static int look(struct agent *a, bool quiet)
{
	struct agent_nft *k = a->nft;
	struct nft_doubts piece = { 0 };
	bool was_behind = k->behind;
	struct err e;
	int rc = 0;

	if (nft_doubts_move(&k->doubts, PIECE, &piece))
		rc = err_set(&e, -ENOMEM, "no memory");
	nft_doubts_sort(&piece);
	if (!rc)
		rc = repair(a, &piece, quiet, &e);
	k->behind = rc < 0 || k->doubts.total;
	if (rc < 0) {
		k->stats.failures++;
		log_error("audit: nftables: %s", e.text);
		if (nft_doubts_move(&piece, SIZE_MAX, &k->doubts))
			doubt_all(k);
		pace_within(&k->pace, AGAIN);
	}
	nft_doubts_fini(&piece);
	if (was_behind && !k->behind)
		agent_store_in_kernel(a);
	return rc;
}

int agent_nft_check_ops(struct agent *a, const struct nft_ops *ops, struct arena *ar, struct err *e)
{
	struct nft_doubts doubts = { 0 }, later = { 0 };
	struct nft_diff d = { 0 };
	int rc = nft_doubts_ops(&doubts, ops) ? err_set(e, -ENOMEM, "no memory") : 0;

	nft_doubts_sort(&doubts);
	if (!rc)
		rc = compare(a, &doubts, &later, ar, &d, e);
	if (!rc && d.n_findings) {
		struct buf b = { 0 };

		nft_finding_str(&d.findings[0], &b);
		rc = err_set(e, -EBADE, "nftables: %s", b.n ? b.v : "a difference");
		buf_fini(&b);
	}
	nft_doubts_fini(&doubts);
	nft_doubts_fini(&later);
	return rc;
}

/* ---- all elements */

static int summarize(struct agent *a, struct nft_summary *out, struct err *e)
{
	struct nft_filter filter;
	struct nft_ruleset rs;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	nft_summary_filter(out, &filter);
	rc = agent_nft_build(a, &filter, &ar, &rs, e);
	if (!rc && out->failed)
		rc = err_set(e, -ENOMEM, "no memory");
	arena_fini(&ar);
	return rc;
}

static void comparison_failed(struct agent_nft *k, const struct err *e)
{
	k->stats.failures++;
	k->lost = true;
	log_error("audit: nftables: %s", e->text);
	pace_within(&k->pace, AGAIN);
}

static void compare_all(struct agent_nft *k)
{
	struct nft_summary want = { 0 };
	struct err e;

	k->compared = ev_now(k->agent->role->loop);
	k->lost = false;
	if (!summarize(k->agent, &want, &e))
		k->comparison = nfnl_comparison_start(NFT_TABLE, &want, &k->spare, &e);
	nft_summary_fini(&want);
	if (!k->comparison) {
		comparison_failed(k, &e);
		return;
	}
	ev_io_set(&k->ended, nfnl_comparison_fd(k->comparison), EV_READ);
	ev_io_start(k->agent->role->loop, &k->ended);
}

/* What is to be done after a look. */
static void go_on(struct agent_nft *k)
{
	if (k->doubts.total)
		ev_timer_start(k->agent->role->loop, &k->rest);
	else if (!k->comparison && (k->lost || ev_now(k->agent->role->loop) - k->compared > EVERY))
		compare_all(k);
}

static void on_rest(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_nft *k = w->data;

	if (look(k->agent, false) >= 0)
		go_on(k);
}

static void on_ended(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_nft *k = w->data;
	struct err e;
	int rc;

	ev_io_stop(loop, w);
	rc = nfnl_comparison_end(k->comparison, &k->doubts, &e);
	k->comparison = NULL;
	if (rc)
		comparison_failed(k, &e);
	else if (k->doubts.total)
		on_rest(loop, &k->rest, 0);
}

/* What is there is left as it is; what is gone comes back. As look(). */
static int look_for_tables(struct agent *a)
{
	const struct nft_doubts none = { 0 };
	struct agent_nft *k = a->nft;
	struct nft_ruleset have;
	struct arena ar;
	struct err e;
	int rc;

	arena_init(&ar, 0);
	rc = agent_nft_observe(k, &none, &ar, &have, &e);
	if (!rc)
		rc = agent_nft_restore(a, &have, &e);
	arena_fini(&ar);
	if (rc > 0)
		log_warn("audit: nftables: missing: %d tables", rc);
	if (rc >= 0) {
		k->stats.missing += (unsigned)rc;
		return rc;
	}
	k->stats.failures++;
	log_error("audit: nftables: %s", e.text);
	pace_within(&k->pace, AGAIN);
	return rc;
}

void agent_nft_audit(struct agent *a)
{
	struct agent_nft *k = a->nft;
	int found;

	pace_begin(&k->pace);
	k->stats.audits++;
	if (!k->adopted) {
		found = look_for_tables(a);
		if (found >= 0)
			pace_note(&k->pace, found);
		return;
	}
	found = look(a, false);
	if (found < 0)
		return;
	pace_note(&k->pace, found);
	go_on(k);
}

bool agent_nft_behind(const struct agent *a)
{
	return a->nft->behind;
}

/* What it finds is what the store brought. Everything is in order before anything else is sent. */
void agent_nft_adopt(struct agent *a)
{
	struct agent_nft *k = a->nft;
	struct nft_summary want = { 0 };
	struct err e;
	int rc;

	k->adopted = true;
	nft_services_adopted(agent_service_rules(a));
	k->stats.audits++;
	k->compared = ev_now(a->role->loop);
	rc = summarize(a, &want, &e);
	if (!rc)
		rc = nfnl_compare(k->nl, NFT_TABLE, &want, &k->doubts, &e);
	nft_summary_fini(&want);
	if (rc)
		comparison_failed(k, &e);
	do
		rc = look(a, true);
	while (rc >= 0 && k->doubts.total);
}

/* ---- notices */

static void on_notice(const struct nft_notice *n, void *arg)
{
	struct agent_nft *k = arg;

	if (n->comm[0])
		log_info("nftables: %s changed table %s", n->comm, NFT_TABLE);
	if (nft_doubts_notice(&k->doubts, NFT_TABLE, n) || k->doubts.total > MANY)
		doubt_all(k);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_nft *k = w->data;
	struct err e;
	int n = nfnl_watch_read(k->watch, NFT_TABLE, on_notice, k, &e);

	if (n < 0 && n != -ENOBUFS)
		log_error("nftables notices: %s", e.text);
	k->lost |= n < 0;
	if (n)
		pace_within(&k->pace, PACE_SOON);
}

/* ---- life */

void agent_nft_audit_open(struct agent *a)
{
	struct agent_nft *k = a->nft;

	ev_io_init(&k->notices, on_readable, nfnl_watch_fd(k->watch), EV_READ);
	ev_init(&k->ended, on_ended);
	ev_timer_init(&k->rest, on_rest, 0., 0.);
	k->notices.data = k->ended.data = k->rest.data = k;
	ev_io_start(a->role->loop, &k->notices);
	pace_start(&k->pace, a, "nftables", agent_nft_audit);
}

void agent_nft_audit_close(struct agent *a)
{
	struct agent_nft *k = a->nft;
	struct err e;

	ev_io_stop(a->role->loop, &k->notices);
	ev_io_stop(a->role->loop, &k->ended);
	ev_timer_stop(a->role->loop, &k->rest);
	nfnl_comparison_end(k->comparison, NULL, &e);
	nft_doubts_fini(&k->doubts);
	pace_stop(&k->pace);
}
