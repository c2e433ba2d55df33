// SPDX-License-Identifier: Apache-2.0
/* agent_conntrack: see agent_conntrack.h. The table is read by a thread of sys/ctnl.h; what it found is
 * judged here, a bounded number at a time, and deleted over a socket of our own. */
#include "daemon/agent_conntrack.h"
#include "daemon/agent_policy_look.h"
#include "daemon/agent_service.h"
#include "sys/clock.h"
#include "sys/ctnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SETTLE     0.01 /* seconds after the rules: packets that met the old ones are in the table */
#define GAP        0.05 /* seconds between two looks, at least */
#define SHARE      10.  /* and so many times what the last one took */
#define RETRY      1.   /* seconds after the first failure; doubled, up to */
#define RETRY_MOST 60.
#define LOGGED     10 /* deletions of one look that are named one by one */
#define WHY        512

struct agent_conntrack {
	struct agent *agent;
	struct svc_stale *stale;
	struct policy_look *policies;
	struct nl *nl; /* for deleting; opened when it is first needed */
	struct ctnl_dump *dump;
	struct arena mem; /* of `node` */
	struct svc_node node;
	struct ct_entry found[CTNL_AT_ONCE];
	uint64_t *counters[CTNL_AT_ONCE]; /* which of them each counts for */
	size_t n_found;
	uint64_t begun_ns, deleted; /* of this look */
	ev_tstamp earliest, retry;
	ev_io readable;
	ev_timer timer;
	struct agent_conntrack_stats stats;
};

/* ---- one look */

/* Why it is to go; false: it stays. */
static bool judge(struct agent_conntrack *k, const struct ct_entry *c, uint64_t **counter,
		  char why[WHY])
{
	const char *of;
	enum svc_fate fate = svc_stale_judge(k->stale, &k->node, c, &of);

	if (svc_is_stale(fate)) {
		*counter = &k->stats.deleted[fate];
		snprintf(why, WHY, "Service %s: %s", of ? of : "?", name_of(&svc_fate_names, fate));
		return true;
	}
	if (!policy_look_forbids(k->policies, c, &of))
		return false;
	*counter = &k->stats.forbidden;
	snprintf(why, WHY, "%s", of);
	return true;
}

static void on_entry(void *arg, const struct ct_entry *c)
{
	struct agent_conntrack *k = arg;
	char text[CT_TEXT], why[WHY];

	if (!judge(k, c, &k->counters[k->n_found], why))
		return;
	if (k->deleted + k->n_found < LOGGED)
		log_info("conntrack: %s, %s: deleted", ct_str(c, text), why);
	k->found[k->n_found++] = *c;
}

static int delete_found(struct agent_conntrack *k, struct err *e)
{
	int rc = 0;

	if (!k->n_found)
		return 0;
	if (!k->nl) {
		k->nl = nl_open(NETLINK_NETFILTER, e);
		rc = k->nl ? 0 : e->code;
	}
	if (!rc)
		rc = ctnl_delete(k->nl, k->found, k->n_found, NULL, e);
	/* What the kernel had let go of by itself counts as well: we would have. */
	for (size_t i = 0; i < k->n_found && !rc; i++)
		++*k->counters[i];
	k->deleted += k->n_found;
	return rc;
}

static void end_look(struct agent_conntrack *k)
{
	ev_io_stop(k->agent->role->loop, &k->readable);
	ctnl_dump_end(k->dump);
	k->dump = NULL;
	arena_fini(&k->mem);
}

static void look_at(struct agent_conntrack *k, ev_tstamp at)
{
	struct ev_loop *loop = k->agent->role->loop;
	ev_tstamp now = ev_now(loop);

	if (ev_is_active(&k->timer))
		return;
	ev_timer_set(&k->timer, at > now ? at - now : 0., 0.);
	ev_timer_start(loop, &k->timer);
}

static void failed(struct agent_conntrack *k, const struct err *e)
{
	k->stats.failures++;
	log_warn("conntrack: what is to go is not taken out, again in %.0f s: %s", k->retry,
		 e->text);
	look_at(k, ev_now(k->agent->role->loop) + k->retry);
	k->retry = k->retry < RETRY_MOST / 2 ? 2 * k->retry : RETRY_MOST;
}

static void done(struct agent_conntrack *k)
{
	uint64_t took = clock_mono_ns() - k->begun_ns;
	double gap;

	svc_stale_done(k->stale);
	policy_look_done(k->policies);
	k->retry = RETRY;
	histogram_observe(&k->stats.took, took / 1000);
	gap = SHARE * (double)took / 1e9;
	k->earliest = ev_now(k->agent->role->loop) + (gap > GAP ? gap : GAP);
	if (k->deleted > LOGGED)
		log_info("conntrack: %llu entries deleted", (unsigned long long)k->deleted);
	agent_conntrack_look(k->agent);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_conntrack *k = w->data;
	struct err e;
	int more = ctnl_dump_read(k->dump, on_entry, k, &e);
	int rc = more < 0 ? more : delete_found(k, &e);

	k->n_found = 0;
	if (!rc && more)
		return;
	end_look(k);
	if (rc)
		failed(k, &e);
	else
		done(k);
}

static bool is_due(const struct agent_conntrack *k)
{
	return svc_stale_due(k->stale) || policy_look_due(k->policies);
}

static int begin(struct agent_conntrack *k, struct err *e)
{
	static const struct ctnl_which services[] = { { AF_INET, IPPROTO_UDP },
						      { AF_INET6, IPPROTO_UDP },
						      { AF_INET, IPPROTO_SCTP },
						      { AF_INET6, IPPROTO_SCTP } };
	static const struct ctnl_which all[] = { { AF_INET, 0 }, { AF_INET6, 0 } };
	bool policies = policy_look_due(k->policies);
	int rc = agent_service_node(k->agent, &k->mem, &k->node, e);

	if (!rc && policies)
		rc = policy_look_begin(k->policies, e);
	if (rc)
		return rc;
	svc_stale_begin(k->stale);
	k->begun_ns = clock_mono_ns();
	k->deleted = 0;
	k->dump = policies ? ctnl_dump_start(all, sizeof(all) / sizeof(all[0]), e)
			   : ctnl_dump_start(services, sizeof(services) / sizeof(services[0]), e);
	return k->dump ? 0 : e->code;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_conntrack *k = w->data;
	struct err e;

	if (k->dump || !is_due(k))
		return;
	arena_init(&k->mem, 0);
	if (begin(k, &e)) {
		arena_fini(&k->mem);
		failed(k, &e);
		return;
	}
	ev_io_set(&k->readable, ctnl_dump_fd(k->dump), EV_READ);
	ev_io_start(loop, &k->readable);
}

/* ---- what its callers do */

void agent_conntrack_put(struct agent *a, const char *ns, const char *name,
			 const struct svc_plan *plans, size_t n)
{
	struct err e;

	if (svc_stale_put(a->conntrack->stale, ns, name, plans, n, &e))
		log_error("conntrack: %s", e.text);
}

void agent_conntrack_look(struct agent *a)
{
	struct agent_conntrack *k = a->conntrack;
	ev_tstamp settled = ev_now(a->role->loop) + SETTLE;

	if (!k->dump && is_due(k))
		look_at(k, k->earliest > settled ? k->earliest : settled);
}

const struct agent_conntrack_stats *agent_conntrack_stats(const struct agent *a)
{
	return &a->conntrack->stats;
}

int agent_conntrack_open(struct agent *a, struct err *e)
{
	struct agent_conntrack *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, -ENOMEM, "no memory");
	a->conntrack = k;
	k->agent = a;
	k->retry = RETRY;
	k->stats.took.bounds = &histogram_quick;
	ev_init(&k->readable, on_readable);
	ev_init(&k->timer, on_timer);
	k->readable.data = k->timer.data = k;
	k->stale = svc_stale_new();
	k->policies = policy_look_new(a);
	return k->stale && k->policies ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_conntrack_close(struct agent *a)
{
	struct agent_conntrack *k = a->conntrack;

	if (!k)
		return;
	ev_timer_stop(a->role->loop, &k->timer);
	if (k->dump)
		end_look(k);
	nl_close(k->nl);
	svc_stale_free(k->stale);
	policy_look_free(k->policies);
	free(k);
	a->conntrack = NULL;
}
