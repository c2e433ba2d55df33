// SPDX-License-Identifier: Apache-2.0
/* agent_policy_count: see agent_policy_count.h. A pass reads chain by chain, each of which is one short dump
 * (about 20 µs); who asks during a pass waits for the one after it. What metrics series there are is decided in tally.c. */
#include "daemon/agent_policy_count.h"
#include "core/policy/match.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_policy_log.h"
#include "daemon/policy_sums.h"
#include "daemon/tally.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define EVERY  5.     /* seconds between two passes for metrics, at least */
#define SHARE  100.   /* and so many times what the last one took */
#define TURN   500000 /* nanoseconds */
#define REST   0.001  /* seconds between two turns */
#define BEFORE 100    /* chains that are read before a batch: one or two ms */

struct agent_policy_count {
	struct agent *agent;
	struct policy_sums sums;
	struct agent_policy_ask *asks;
	ev_timer turn;
	uint64_t pass;       /* the one under way, or the last */
	bool reading, first; /* first: of its chains none was read */
	uint64_t took;       /* ns, of this pass */
	struct err why;
	int rc;              /* of this pass */
	bool news;           /* that health has not */
	struct tallies told; /* that it has */
	ev_tstamp next;      /* pass for metrics */
};

/* ---- reading */

static int on_grown(void *arg, const struct nft_policy_count *grown)
{
	return policy_sums_add(arg, grown);
}

static int read_chain(struct agent *a, const char *name, struct err *e)
{
	struct nft_chain *c;
	struct arena ar;
	int rc;

	arena_init(&ar, 0);
	rc = agent_nft_chain(a, name, &c, &ar, e);
	if (!rc && nft_policies_grown(agent_policy_rules(a), c, on_grown, &a->policy_count->sums))
		rc = err_set(e, -ENOMEM, "no memory");
	arena_fini(&ar);
	return rc;
}

void agent_policy_count_before(struct agent *a, const struct nft_ops *ops)
{
	unsigned read = agent_nft_adopted(a) ? 0 : BEFORE;
	struct err e;

	for (uint32_t i = 0; i < ops->n && read < BEFORE; i++) {
		if (ops->v[i].verb != NFTV_FLUSH_CHAIN)
			continue;
		read++;
		if (read_chain(a, ops->v[i].chain, &e))
			log_debug("policy: counters: %s", e.text);
	}
}

const char *agent_policy_split(const char *policy, char ns[NS_MAX_LEN + 1])
{
	const char *slash = strchr(policy, '/');
	size_t n = slash ? (size_t)(slash - policy) : NS_MAX_LEN + 1;

	if (n > NS_MAX_LEN)
		return NULL;
	memcpy(ns, policy, n);
	ns[n] = 0;
	return slash + 1;
}

static bool is_there(void *arg, const char *policy)
{
	char ns[NS_MAX_LEN + 1];
	const char *name = agent_policy_split(policy, ns);

	return name && policy_index_policy(agent_policy_index(arg), ns, name);
}

/* ---- a pass */

static void begin(struct agent_policy_count *k)
{
	k->pass++;
	k->reading = true;
	k->took = 0;
	k->rc = 0;
	k->first = true;
	ev_timer_set(&k->turn, 0., 0.);
	ev_timer_start(k->agent->role->loop, &k->turn);
}

static void answer(struct agent_policy_count *k)
{
	struct agent_policy_ask *q, *next;

	DL_FOREACH_SAFE(k->asks, q, next)
	{
		if (q->pass > k->pass)
			continue;
		agent_policy_count_unread(k->agent, q);
		q->done(q->arg, k->rc, &k->why);
	}
}

static void end(struct agent_policy_count *k)
{
	double pause = SHARE * (double)k->took / 1e9;

	k->reading = false;
	k->news = true;
	k->next = ev_now(k->agent->role->loop) + (pause > EVERY ? pause : EVERY);
	if (policy_sums_forget(&k->sums, is_there, k->agent))
		k->rc = err_set(&k->why, -ENOMEM, "no memory");
	if (k->rc)
		log_debug("policy: counters: %s", k->why.text);
	answer(k);
	if (k->asks)
		begin(k);
}

static void on_turn(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_policy_count *k = w->data;
	struct nft_policies *rules = agent_policy_rules(k->agent);
	uint64_t begun = clock_mono_ns(), spent = 0;
	const char *chain = NULL;
	struct err e;

	while (spent < TURN && (chain = nft_policies_next(rules, k->first))) {
		k->first = false;
		if (read_chain(k->agent, chain, &e) && !k->rc) {
			k->rc = e.code;
			k->why = e;
		}
		spent = clock_mono_ns() - begun;
	}
	k->took += spent;
	if (!chain) {
		end(k);
		return;
	}
	ev_timer_set(w, REST, 0.);
	ev_timer_start(loop, w);
}

void agent_policy_count_read(struct agent *a, struct agent_policy_ask *q)
{
	struct agent_policy_count *k = a->policy_count;

	q->pass = k->pass + 1;
	DL_APPEND(k->asks, q);
	if (!k->reading)
		begin(k);
}

void agent_policy_count_unread(struct agent *a, struct agent_policy_ask *q)
{
	if (!q->pass)
		return;
	DL_DELETE(a->policy_count->asks, q);
	q->pass = 0;
}

int agent_policy_counts(struct agent *a, struct arena *ar, struct nft_policy_count **v, size_t *n,
			struct err *e)
{
	return policy_sums_list(&a->policy_count->sums, ar, v, n, e);
}

static int read_tallies(struct agent *a, struct tallies *t, struct err *e)
{
	struct nft_policy_count *v;
	struct arena ar;
	size_t n;
	int rc;

	arena_init(&ar, 0);
	rc = agent_policy_counts(a, &ar, &v, &n, e);
	if (!rc)
		rc = tallies_make(t, v, n, e);
	arena_fini(&ar);
	return rc;
}

/* ---- metrics */

/* `there` false: takes the series back. */
static void report_tally(struct report *m, const struct tally *t, bool there)
{
	const char *type = there ? "counter" : NULL, *way = name_of(&policy_way_names, t->type);

	report_value(m, "fairlead_policy_allowed_packets_total", type,
		     "packets that begin something and that rules of the policy allowed",
		     "direction", way, t->allowed, "policy", t->policy);
	report_value(
		m, "fairlead_policy_denied_packets_total", type,
		"packets denied by default of this policy and others that isolate the same pod",
		"direction", way, t->denied, "policy", t->policy);
}

static void take_back(void *arg, const struct tally *t)
{
	report_tally(arg, t, false);
}

static void report_tallies(struct report *m, const struct tallies *old, const struct tallies *now)
{
	tallies_gone(old, now, take_back, m);
	for (size_t i = 0; i < now->n; i++)
		report_tally(m, &now->v[i], true);
	for (enum policy_type t = POLICY_INGRESS; t <= POLICY_EGRESS; t++)
		report_value(m, "fairlead_policy_dropped_packets_total", "counter",
			     "packets that were denied by default", "direction",
			     name_of(&policy_way_names, t), now->dropped[t]);
}

static void report_gauges(struct agent *a, struct report *m)
{
	const struct agent_policy_log_stats *s = agent_policy_log_stats(a);
	static const char log_name[] = "fairlead_policy_log_packets_total";
	static const char log_help[] =
		"denied packets that the kernel told of, by what became of their line";
	struct nft_policies_stats n;

	nft_policies_count(agent_policy_rules(a), &n);
	report_value(m, "fairlead_policy_pods", "gauge", "pods of this node that policies isolate",
		     NULL, NULL, n.pods);
	report_value(m, "fairlead_policy_chains", "gauge",
		     "chains of policies, and of the lists of policies that isolate a pod", NULL,
		     NULL, n.chains);
	report_value(m, "fairlead_policy_rules", "gauge", "rules in those of policies", NULL, NULL,
		     n.rules);
	report_value(m, "fairlead_policy_sets", "gauge",
		     "sets of peers and ports that those look up", NULL, NULL, n.sets);
	report_value(m, log_name, "counter", log_help, "result", "written", s->written);
	report_value(m, log_name, "counter", log_help, "result", "left-out", s->left_out);
	report_value(m, log_name, "counter", log_help, "result", "lost", s->lost);
}

static void report_news(struct agent_policy_count *k, struct report *m)
{
	struct tallies t = { .n = 0 };
	struct err e;

	arena_init(&t.mem, 0);
	if (read_tallies(k->agent, &t, &e)) {
		log_debug("policy: counters: %s", e.text);
		arena_fini(&t.mem);
		return;
	}
	report_tallies(m, &k->told, &t);
	arena_fini(&k->told.mem);
	k->told = t;
	k->news = false;
}

void agent_policy_count_fill(struct agent *a, struct report *m)
{
	struct agent_policy_count *k = a->policy_count;

	report_gauges(a, m);
	if (!m->stream)
		return;
	if (k->news)
		report_news(k, m);
	if (!k->reading && ev_now(a->role->loop) >= k->next)
		begin(k);
}

void agent_policy_count_anew(struct agent *a)
{
	struct agent_policy_count *k = a->policy_count;

	arena_fini(&k->told.mem);
	k->told = (struct tallies){ .n = 0 };
	arena_init(&k->told.mem, 0);
	k->news = true;
}

/* ---- life */

int agent_policy_count_open(struct agent *a, struct err *e)
{
	a->policy_count = calloc(1, sizeof(*a->policy_count));
	if (!a->policy_count)
		return err_set(e, -ENOMEM, "no memory");
	a->policy_count->agent = a;
	ev_init(&a->policy_count->turn, on_turn);
	a->policy_count->turn.data = a->policy_count;
	agent_policy_count_anew(a);
	return 0;
}

void agent_policy_count_close(struct agent *a)
{
	if (!a->policy_count)
		return;
	ev_timer_stop(a->role->loop, &a->policy_count->turn);
	policy_sums_fini(&a->policy_count->sums);
	arena_fini(&a->policy_count->told.mem);
	free(a->policy_count);
	a->policy_count = NULL;
}
