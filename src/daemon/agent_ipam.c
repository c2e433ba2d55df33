// SPDX-License-Identifier: Apache-2.0
/* agent_ipam: see agent_ipam.h. What is asked of the book, and what it does by itself; its file is
 * agent_journal.c's. */
#include "daemon/agent_ipam.h"
#include "daemon/agent_journal.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_rebuild.h"
#include "daemon/agent_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HOUSE_EVERY 5.0 /* seconds */
#define HOUSE_MAX   64  /* writes under way in the background at once */

/* A write of a block under way: what core/ipam wants to hear about it. */
struct flight {
	struct arena arena;
	struct ipam_action action;
};

/* ---- writes of blocks */

static void outcome(struct agent *a, void *arg, int code, uint64_t rev, const char *text)
{
	struct flight *f = arg;
	struct err e;

	if (code && code != -EEXIST && code != -ENOENT && code != -ESTALE)
		log_warn("block %s: %s", f->action.block.meta.name, text);
	if (ipam_outcome(a->ipam->book, &f->action, code, rev, agent_now_ms(a), &e))
		log_error("block %s: %s", f->action.block.meta.name, e.text);
	arena_fini(&f->arena);
	free(f);
	agent_plan_tunnel_changed(a);
	agent_wake(a);
}

/* `ar` holds the action; it is taken over and left empty. */
static void send_action(struct agent *a, const struct ipam_action *action, struct arena *ar)
{
	static const uint8_t ops[] = { [IPAM_CREATE] = WRITE_CREATE,
				       [IPAM_UPDATE] = WRITE_UPDATE,
				       [IPAM_DELETE] = WRITE_DELETE };
	struct flight *f = calloc(1, sizeof(*f));
	struct rec_write w = { .kind = KIND_IPBLOCK,
			       .op = ops[action->type],
			       .expect = (int64_t)action->rev,
			       .name = action->block.meta.name };
	struct err e;

	if (!f) {
		log_error("block %s: no memory", action->block.meta.name);
		ipam_outcome(a->ipam->book, action, -EPIPE, 0, agent_now_ms(a), &e);
		return;
	}
	f->action = *action;
	f->arena = *ar;
	arena_init(ar, 0);
	log_debug("block %s: %s", w.name, action->why ? action->why : "");
	if (agent_store_write(a, &w, action->type == IPAM_DELETE ? NULL : &f->action.block, outcome,
			      f, &e)) {
		log_warn("block %s: %s", w.name, e.text);
		ipam_outcome(a->ipam->book, &f->action, -EPIPE, 0, agent_now_ms(a), &e);
		arena_fini(&f->arena);
		free(f);
	}
}

/* Its journal entry could not be written: the book must not wait for an outcome. */
static void never_sent(struct agent_ipam *m, const struct ipam_action *action)
{
	struct err e;

	if (ipam_outcome(m->book, action, -EIO, 0, agent_now_ms(m->agent), &e))
		log_error("block %s: %s", action->block.meta.name, e.text);
}

/* ---- requests */

static int take_turn(struct agent *a, const struct ipam_request *q, struct arena *ar,
		     struct ipam_answer *out, struct err *e)
{
	struct agent_ipam *m = a->ipam;
	struct ipam_answer got = { 0 };
	struct ipam_turn t = agent_journal_turn(m, ar);
	int rc = ipam_take(m->book, q, &t, &got, e);

	if (rc) {
		struct err drop;

		agent_journal_commit(m, 0, &drop);
		return rc;
	}
	rc = agent_journal_commit(m, got.verdict == IPAM_TAKEN ? got.at->id : 0, e);
	if (rc && got.verdict == IPAM_ACTION)
		never_sent(m, &got.action);
	if (!rc)
		*out = got;
	return rc;
}

/* What a grant says, in the caller's arena. */
static int keep_grants(struct ipam_answer *out, struct arena *ar, struct err *e)
{
	struct ipam_grant *v = arena_memdup(ar, out->grants.v, out->grants.n * sizeof(*v));

	for (uint32_t i = 0; v && i < out->grants.n; i++)
		v[i].pool = arena_strdup(ar, v[i].pool);
	out->grants.v = v;
	return ar->failed ? err_set(e, -ENOMEM, "no memory") : 0;
}

int agent_ipam_take(struct agent *a, const struct ipam_request *q, struct arena *ar,
		    struct ipam_answer *out, struct err *e)
{
	struct arena mine; /* an action outlives the call, a grant does not */
	int rc;

	if (agent_journal_is_blank(a->ipam))
		return err_set(e, -EAGAIN,
			       "there was no address book: it is made from the kernel once the "
			       "store was heard");
	arena_init(&mine, 0);
	rc = take_turn(a, q, &mine, out, e);
	if (!rc && out->verdict == IPAM_TAKEN)
		rc = keep_grants(out, ar, e);
	if (!rc && out->verdict == IPAM_ACTION) {
		send_action(a, &out->action, &mine);
		out->verdict = IPAM_WAIT;
	}
	arena_fini(&mine);
	return rc;
}

void agent_ipam_cancel(struct agent *a, const struct ipam_request *q)
{
	ipam_cancel(a->ipam->book, q->at.network, q->at.container, q->at.ifname);
}

int agent_ipam_dying(struct agent *a, uint64_t id, int64_t ifindex, struct err *e)
{
	struct agent_ipam *m = a->ipam;
	struct ipam_turn t = agent_journal_turn(m, NULL);
	int rc = ipam_dying(m->book, id, ifindex, &t, e);

	if (!rc)
		agent_journal_commit_end(m);
	return rc;
}

int agent_ipam_release(struct agent *a, uint64_t id, struct err *e)
{
	struct agent_ipam *m = a->ipam;
	struct ipam_turn t = agent_journal_turn(m, NULL);
	int rc = ipam_release(m->book, id, &t, e);

	if (!rc)
		agent_journal_commit_end(m);
	ev_feed_event(a->role->loop, &m->house, EV_TIMER);
	return rc;
}

int agent_ipam_adopt_one(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	struct agent_ipam *m = a->ipam;
	struct arena ar;
	struct ipam_turn t;
	int rc;

	arena_init(&ar, 0);
	t = agent_journal_turn(m, &ar);
	rc = ipam_adopt(m->book, at, &t, e);
	if (!rc)
		rc = agent_journal_commit(m, 0, e);
	arena_fini(&ar);
	return rc;
}

/* ---- background */

/* Until the kernel could be asked, nothing is given out. */
static void rebuild(struct agent_ipam *m)
{
	struct err e;

	if (agent_rebuild(m->agent, &e)) {
		log_error("the lost journal is not rebuilt yet: %s", e.text);
		return;
	}
	m->rebuilt = true;
	agent_journal_rewrite(m, &e);
	agent_wake(m->agent);
}

static void keep_house(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_ipam *m = w->data;
	struct agent *a = m->agent;
	struct err why;

	if (agent_journal_is_blank(m) && m->heard)
		rebuild(m);
	if (m->torn && !agent_journal_is_blank(m) && agent_journal_rewrite(m, &why))
		return;
	if (agent_journal_is_blank(m))
		return; /* its blocks only look empty */
	for (int i = 0; i < HOUSE_MAX && agent_store_live(a); i++) {
		struct ipam_answer out = { 0 };
		struct ipam_turn t;
		struct arena ar;
		struct err e;
		int rc;

		arena_init(&ar, 0);
		t = agent_journal_turn(m, &ar);
		rc = ipam_housekeep(m->book, &t, &out, &e);
		if (!rc) {
			rc = agent_journal_commit(m, 0, &e);
			if (rc && out.verdict == IPAM_ACTION)
				never_sent(m, &out.action);
		}
		if (rc)
			log_error("address book: %s", e.text);
		if (!rc && out.verdict == IPAM_ACTION)
			send_action(a, &out.action, &ar);
		arena_fini(&ar);
		if (rc || out.verdict != IPAM_ACTION)
			break;
	}
}

int agent_ipam_sync(struct agent *a, struct err *e)
{
	struct agent_ipam *m = a->ipam;
	int rc = ipam_sync(m->book, agent_store_cluster(a), (uint64_t)agent_store_revision(a),
			   agent_store_live(a), e);

	ev_feed_event(a->role->loop, &m->house, EV_TIMER);
	return rc;
}

void agent_ipam_adopt(struct agent *a)
{
	if (a->ipam->heard)
		return;
	a->ipam->heard = true;
	if (agent_journal_is_blank(a->ipam))
		rebuild(a->ipam);
	ev_feed_event(a->role->loop, &a->ipam->house, EV_TIMER);
}

bool agent_ipam_has_link(const struct agent *a, const char *hostif)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(a->ipam->book, &n);
	for (size_t i = 0; i < n; i++)
		if (v[i]->hostif && !strcmp(v[i]->hostif, hostif))
			return true;
	return false;
}

bool agent_ipam_keeps_link(const struct agent *a, const char *hostif)
{
	return agent_ipam_has_link(a, hostif) || a->ipam->lost;
}

void agent_ipam_surrender(struct agent *a)
{
	ipam_surrender(a->ipam->book, true);
	keep_house(a->role->loop, &a->ipam->house, 0);
}

/* ---- opening */

int agent_ipam_open(struct agent *a, struct err *e)
{
	struct agent_ipam *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(e, -ENOMEM, "no memory");
	a->ipam = m;
	m->agent = a;
	m->lock = m->fd = -1;
	ev_timer_init(&m->house, keep_house, HOUSE_EVERY, HOUSE_EVERY);
	m->house.data = m;
	m->book = ipam_new(a->role->cfg.node, IPAM_COOLDOWN_MS);
	if (!m->book)
		return err_set(e, -ENOMEM, "no memory");
	rc = agent_journal_open(m, e);
	if (rc)
		return rc;
	ev_timer_start(a->role->loop, &m->house);
	return 0;
}

void agent_ipam_close(struct agent *a)
{
	struct agent_ipam *m = a->ipam;

	if (!m)
		return;
	ev_timer_stop(a->role->loop, &m->house);
	ipam_free(m->book);
	agent_journal_close(m);
	free(m);
	a->ipam = NULL;
}

/* ---- looking */

const struct ipam *agent_ipam_book(const struct agent *a)
{
	return a->ipam->book;
}

struct ipaddr agent_ipam_tunnel(const struct agent *a, uint8_t family)
{
	return ipam_tunnel(a->ipam->book, family);
}

static const struct ipam_attachment *gateway_of(const struct agent *a, const char *network,
						const struct prefix *block, bool exact)
{
	const struct ipam_attachment *const *v, *any = NULL;
	size_t n;

	v = ipam_all(a->ipam->book, &n);
	for (size_t i = 0; i < n; i++) {
		const struct ipam_attachment *at = v[i];

		if (!agent_ipam_is_gateway(at) || at->state != IPAM_LIVE || !at->addrs.n ||
		    strcmp(at->network, network) != 0)
			continue;
		if (!block || prefix_has(block, &at->addrs.v[0]))
			return at;
		if (!exact && at->addrs.v[0].family == block->addr.family)
			any = at;
	}
	return any;
}

bool agent_ipam_bridge(const struct agent *a, const char *network, char out[IFNAME_LEN])
{
	const struct ipam_attachment *gw = gateway_of(a, network, NULL, false);

	if (!gw || !gw->hostif)
		return false;
	snprintf(out, IFNAME_LEN, "%s", gw->hostif);
	return true;
}

struct ipaddr agent_ipam_gateway(const struct agent *a, const char *network,
				 const struct prefix *block, bool exact)
{
	const struct ipam_attachment *gw = gateway_of(a, network, block, exact);

	return gw ? gw->addrs.v[0] : (struct ipaddr){ 0 };
}
