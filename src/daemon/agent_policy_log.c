// SPDX-License-Identifier: Apache-2.0
/* agent_policy_log: see agent_policy_log.h. What a packet met is known by the log's prefix, the name of a
 * chain; who its ends are is looked up here, as of now and not as of the drop: a pod that
 * has gone in that tenth of a second is told by its address. */
#include "daemon/agent_policy_log.h"
#include "core/nft/policies.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_plan.h"
#include "daemon/agent_policy.h"
#include "daemon/denial.h"
#include "sys/nflog.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY      1. /* seconds after the first failure; doubled, up to */
#define RETRY_MOST 60.
#define MORE_EVERY                                                                                 \
	10. /* seconds from the first packet without a line to the one that counts them */

struct agent_policy_log {
	struct agent *agent;
	struct nflog *log; /* NULL: off, or somebody else has it */
	uint64_t lost;     /* as of this socket's last look */
	ev_io readable;
	ev_timer again, more;
	ev_tstamp retry;
	bool told; /* of this failure */
	struct denial_rate rate;
	struct agent_policy_log_stats stats;
};

/* ---- who an address is */

struct node_search {
	const struct ipaddr *addr;
	const char *name;
};

static void on_peer(void *arg, const struct route_peer *p)
{
	struct node_search *s = arg;

	for (unsigned f = 0; f < ROUTE_FAMILIES; f++)
		if (addr_eq(&p->ip[f], s->addr) || addr_eq(&p->tunnel[f], s->addr))
			s->name = p->name;
}

static struct denial_end end_of(const struct agent *a, const struct ipaddr *addr)
{
	const struct pod *p = policy_index_pod_at(agent_policy_index(a), addr);
	const struct ipam_attachment *at = ipam_find_addr(agent_ipam_book(a), addr);
	struct node_search s = { .addr = addr };

	if (p)
		return (struct denial_end){ p->meta.namespace, p->meta.name };
	if (at && at->pod_name) /* its Pod is not in the store */
		return (struct denial_end){ at->pod_namespace, at->pod_name };
	on_peer(&s, &agent_plan_self(a)->node);
	if (!s.name)
		agent_plan_peers(a, on_peer, &s);
	return (struct denial_end){ NULL, s.name };
}

/* ---- one packet */

static void write_line(const struct agent *a, const struct nft_logged *p)
{
	const struct nft_policy_drop drop = nft_policies_drop(agent_policy_rules(a), p);
	struct denial d = {
		.packet = p, .type = drop.type, .midway = drop.midway, .policies = drop.policies
	};
	struct buf line = { 0 };

	if (p->flow.src.family) {
		d.from = end_of(a, &p->flow.src);
		d.to = end_of(a, &p->flow.dst);
	}
	denial_line(&d, &line);
	if (!line.failed)
		log_info("policy: %s", line.v);
	buf_fini(&line);
}

static void leave_out(struct agent_policy_log *k)
{
	if (ev_is_active(&k->more))
		return;
	ev_timer_set(&k->more, MORE_EVERY, 0.);
	ev_timer_start(k->agent->role->loop, &k->more);
}

static void on_packet(void *arg, const struct nft_logged *p)
{
	struct agent_policy_log *k = arg;

	if (denial_rate_take(&k->rate, ev_now(k->agent->role->loop))) {
		k->stats.written++;
		write_line(k->agent, p);
	} else {
		k->stats.left_out++;
		leave_out(k);
	}
}

static void on_more(struct ev_loop *loop, ev_timer *w, int events)
{
	struct agent_policy_log *k = w->data;

	log_info("policy: %llu more packets were denied", (unsigned long long)k->rate.more);
	k->rate.more = 0;
}

/* ---- the group */

static void close_group(struct agent_policy_log *k)
{
	ev_io_stop(k->agent->role->loop, &k->readable);
	nflog_close(k->log);
	k->log = NULL;
	k->lost = 0;
}

static void failed(struct agent_policy_log *k, const struct err *e)
{
	close_group(k);
	if (!k->told)
		log_warn("policy: denied packets are not logged, which is tried again: %s",
			 e->text);
	k->told = true;
	ev_timer_set(&k->again, k->retry, 0.);
	ev_timer_start(k->agent->role->loop, &k->again);
	k->retry = k->retry < RETRY_MOST / 2 ? 2 * k->retry : RETRY_MOST;
}

static void note_lost(struct agent_policy_log *k)
{
	uint64_t lost = nflog_lost(k->log) - k->lost;

	if (!lost)
		return;
	k->lost += lost;
	k->stats.lost += lost;
	k->rate.more += lost;
	leave_out(k);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct agent_policy_log *k = w->data;
	struct err e;

	if (nflog_read(k->log, on_packet, k, &e) < 0)
		failed(k, &e);
	else
		note_lost(k);
}

static void open_group(struct agent_policy_log *k)
{
	struct err e;

	if (nflog_open(NFT_POLICY_LOG_GROUP, &k->log, &e)) {
		failed(k, &e);
		return;
	}
	if (k->told)
		log_info("policy: denied packets are logged again");
	k->told = false;
	k->retry = RETRY;
	ev_io_set(&k->readable, nflog_fd(k->log), EV_READ);
	ev_io_start(k->agent->role->loop, &k->readable);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int events)
{
	open_group(w->data);
}

/* ---- life */

const struct agent_policy_log_stats *agent_policy_log_stats(const struct agent *a)
{
	return &a->policy_log->stats;
}

int agent_policy_log_open(struct agent *a, struct err *e)
{
	struct agent_policy_log *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(e, -ENOMEM, "no memory");
	a->policy_log = k;
	k->agent = a;
	k->retry = RETRY;
	k->rate.per_second = a->role->cfg.policy_log;
	ev_init(&k->readable, on_readable);
	ev_init(&k->again, on_again);
	ev_init(&k->more, on_more);
	k->readable.data = k->again.data = k->more.data = k;
	if (k->rate.per_second)
		open_group(k);
	return 0;
}

void agent_policy_log_close(struct agent *a)
{
	struct agent_policy_log *k = a->policy_log;

	if (!k)
		return;
	ev_timer_stop(a->role->loop, &k->again);
	ev_timer_stop(a->role->loop, &k->more);
	close_group(k);
	free(k);
	a->policy_log = NULL;
}
