// SPDX-License-Identifier: Apache-2.0
/* agent_conntrack: see agent_conntrack.h. The table is read by a thread of sys/ctnl.h; what it found is
 * judged here, a bounded number at a time, and deleted over a socket of our own. */
#include "daemon/agent_conntrack.h"
#include "daemon/agent_gone_look.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_nft.h"
#include "daemon/agent_policy_look.h"
#include "daemon/agent_reap.h"
#include "daemon/agent_service.h"
#include "sys/clock.h"
#include "sys/ctnl.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SETTLE     0.01 /* seconds after the rules: packets that met the old ones are in the table */
#define GAP        0.05 /* seconds between two looks, at least */
#define SHARE      10.  /* and so many times what the last one took */
#define RETRY      1.   /* seconds after the first failure; doubled, up to */
#define RETRY_MOST 60.
#define LOGGED     10 /* deletions of one look that are named one by one */
#define WHY        512
#define CLEAR_MS   1000 /* for what an ADD cannot wait for */

struct agent_conntrack {
	struct agent *agent;
	struct svc_stale *stale;
	struct policy_look *policies;
	struct gone_look *gone;
	struct nl *nl;    /* for deleting; opened when it is first needed */
	struct nl *spare; /* for dumps */
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
	const struct ipaddr *gone = gone_look_finds(k->gone, agent_ipam_book(k->agent), c);
	enum svc_fate fate;
	char addr[ADDR_TEXT];
	const char *of;

	if (gone) {
		*counter = &k->stats.gone;
		snprintf(why, WHY, "the pod of %s is gone", addr_str(gone, addr));
		return true;
	}
	fate = svc_stale_judge(k->stale, &k->node, c, &of);
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
	if (gone_look_done(k->gone))
		agent_reap_soon(k->agent);
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
	return svc_stale_due(k->stale) || policy_look_due(k->policies) || gone_look_due(k->gone);
}

static bool is_of_node_ports(const struct kobj *o)
{
	return o->type == KOBJ_ADDR && !addr_is_loopback(&o->addr.addr.addr);
}

/* Rules take node ports on whatever address is local, be it in the Node object or not. */
static int find_node(struct agent_conntrack *k, struct err *e)
{
	struct klist have = { 0 };
	struct ipaddr *v = NULL;
	uint32_t n;
	int rc = agent_service_node(k->agent, &k->mem, &k->node, e);

	if (!rc)
		rc = rtnl_dump(agent_kernel_nl(k->agent), RTNL(KOBJ_ADDR), &have, e);
	n = k->node.addresses.n;
	if (!rc) {
		v = arena_array(&k->mem, n + have.n, sizeof(*v));
		rc = v ? 0 : err_set(e, -ENOMEM, "no memory");
	}
	if (v && n)
		memcpy(v, k->node.addresses.v, n * sizeof(*v));
	for (size_t i = 0; v && i < have.n; i++)
		if (is_of_node_ports(&have.v[i]))
			v[n++] = have.v[i].addr.addr.addr;
	if (v) {
		k->node.addresses.v = v;
		k->node.addresses.n = n;
	}
	klist_fini(&have);
	return rc;
}

static int begin(struct agent_conntrack *k, struct err *e)
{
	static const struct ctnl_which services[] = { { AF_INET, IPPROTO_UDP },
						      { AF_INET6, IPPROTO_UDP },
						      { AF_INET, IPPROTO_SCTP },
						      { AF_INET6, IPPROTO_SCTP } };
	static const struct ctnl_which all[] = { { AF_INET, 0 }, { AF_INET6, 0 } };
	bool policies = policy_look_due(k->policies);
	bool whole = policies || gone_look_due(k->gone);
	int rc = find_node(k, e);

	if (!rc && policies)
		rc = policy_look_begin(k->policies, e);
	if (rc)
		return rc;
	svc_stale_begin(k->stale);
	gone_look_begin(k->gone);
	k->begun_ns = clock_mono_ns();
	k->deleted = 0;
	k->dump = whole ? ctnl_dump_start(all, sizeof(all) / sizeof(all[0]), &k->spare, e)
			: ctnl_dump_start(services, sizeof(services) / sizeof(services[0]),
					  &k->spare, e);
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

/* ---- an address that comes back before the look did */

static void on_left(void *arg, const struct ct_entry *c)
{
	struct agent_conntrack *k = arg;

	k->counters[k->n_found] = &k->stats.gone;
	k->found[k->n_found++] = *c;
}

static int wait_for(const struct ctnl_dump *d, uint64_t until_ns, struct err *e)
{
	struct pollfd p = { .fd = ctnl_dump_fd(d), .events = POLLIN };
	uint64_t now = clock_mono_ns();

	if (now >= until_ns)
		return err_set(e, -EAGAIN, "the connection table is too large to be read in time");
	if (poll(&p, 1, (int)((until_ns - now) / 1000000) + 1) < 0 && errno != EINTR)
		return err_sys(e, -errno, "conntrack: dump");
	return 0;
}

/* All entries of the address, whoever left them. */
static int clear_address(struct agent_conntrack *k, const struct ipaddr *addr, uint64_t until_ns,
			 struct err *e)
{
	const struct ctnl_which which = { addr->family, 0, *addr };
	struct ctnl_dump *d = ctnl_dump_start(&which, 1, &k->spare, e);
	int rc = d ? 0 : e->code, more = 1;

	while (!rc && more > 0) {
		rc = wait_for(d, until_ns, e);
		if (rc)
			break;
		more = ctnl_dump_read(d, on_left, k, e);
		rc = more < 0 ? more : delete_found(k, e);
		k->n_found = 0;
	}
	ctnl_dump_end(d);
	return rc;
}

int agent_conntrack_clear(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	uint64_t until_ns = clock_mono_ns() + CLEAR_MS * 1000000ULL;
	/* On a fresh node there is no book and nothing to clear. */
	bool all = !agent_ipam_remembers(a) && agent_nft_ran_before(a);
	int rc = 0;

	for (uint32_t i = 0; i < at->addrs.n && !rc; i++)
		if (all || gone_look_seeks_addr(a->conntrack->gone, &at->addrs.v[i]))
			rc = clear_address(a->conntrack, &at->addrs.v[i], until_ns, e);
	return rc;
}

/* ---- what its callers do */

int agent_conntrack_gone(struct agent *a, const struct ipam_attachment *at, struct err *e)
{
	int rc = gone_look_add(a->conntrack->gone, at, e);

	if (!rc)
		agent_conntrack_look(a);
	return rc;
}

bool agent_conntrack_seeks(const struct agent *a, uint64_t id)
{
	return gone_look_seeks(a->conntrack->gone, id);
}

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
	k->gone = gone_look_new();
	return k->stale && k->policies && k->gone ? 0 : err_set(e, -ENOMEM, "no memory");
}

void agent_conntrack_close(struct agent *a)
{
	struct agent_conntrack *k = a->conntrack;

	if (!k)
		return;
	ev_timer_stop(a->role->loop, &k->timer);
	if (k->dump)
		end_look(k);
	nl_close(k->spare);
	nl_close(k->nl);
	svc_stale_free(k->stale);
	policy_look_free(k->policies);
	gone_look_free(k->gone);
	free(k);
	a->conntrack = NULL;
}
