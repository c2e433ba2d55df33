// SPDX-License-Identifier: Apache-2.0
/* agent_policy_count: see agent_policy_count.h. What series there are is decided in tally.c. */
#include "daemon/agent_policy_count.h"
#include "core/policy/match.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_policy_log.h"
#include "daemon/tally.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>

#define EVERY 5.   /* seconds between two readings for metrics, at least */
#define SHARE 100. /* and so many times what the last one took */

struct agent_policy_count {
	struct agent *agent;
	struct tallies told; /* that health has */
	ev_tstamp next;
};

int agent_policy_counts(struct agent *a, struct arena *ar, struct nft_policy_count **v, size_t *n,
			struct err *e)
{
	const struct nft_table *t;
	struct nft_ruleset rs;
	int rc;

	nft_ruleset_init(&rs, ar);
	rc = agent_nft_rules(a, &rs, e);
	t = rc ? NULL : nft_table_get(&rs, NFPROTO_INET, NFT_TABLE);
	if (!rc && !t)
		return err_set(e, -ENOENT, "table inet %s is not there", NFT_TABLE);
	return rc ? rc : nft_policies_counters(agent_policy_rules(a), t, ar, v, n, e);
}

static int read_tallies(struct agent *a, struct tallies *t, struct err *e)
{
	struct nft_policy_count *v = NULL;
	struct nft_policies_stats s;
	struct arena ar;
	size_t n = 0;
	int rc = 0;

	nft_policies_count(agent_policy_rules(a), &s);
	arena_init(&ar, 0);
	if (s.chains) /* else no rule counts, and all others need not be read */
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

void agent_policy_count_fill(struct agent *a, struct report *m)
{
	struct agent_policy_count *k = a->policy_count;
	ev_tstamp now = ev_now(a->role->loop), pause;
	uint64_t begun = clock_mono_ns();
	struct tallies t = { .n = 0 };
	struct err e;

	report_gauges(a, m);
	if (!m->stream || now < k->next)
		return;
	arena_init(&t.mem, 0);
	if (read_tallies(a, &t, &e)) {
		log_debug("policy: counters: %s", e.text);
		arena_fini(&t.mem);
	} else {
		report_tallies(m, &k->told, &t);
		arena_fini(&k->told.mem);
		k->told = t;
	}
	pause = SHARE * (double)(clock_mono_ns() - begun) / 1e9;
	k->next = now + (pause > EVERY ? pause : EVERY);
}

void agent_policy_count_anew(struct agent *a)
{
	struct agent_policy_count *k = a->policy_count;

	arena_fini(&k->told.mem);
	k->told = (struct tallies){ .n = 0 };
	arena_init(&k->told.mem, 0);
	k->next = 0.;
}

/* ---- life */

int agent_policy_count_open(struct agent *a, struct err *e)
{
	a->policy_count = calloc(1, sizeof(*a->policy_count));
	if (!a->policy_count)
		return err_set(e, -ENOMEM, "no memory");
	a->policy_count->agent = a;
	agent_policy_count_anew(a);
	return 0;
}

void agent_policy_count_close(struct agent *a)
{
	if (!a->policy_count)
		return;
	arena_fini(&a->policy_count->told.mem);
	free(a->policy_count);
	a->policy_count = NULL;
}
