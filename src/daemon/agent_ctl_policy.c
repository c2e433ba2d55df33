// SPDX-License-Identifier: Apache-2.0
/* agent_ctl_policy: policy-show, of one namespace or one policy where the request says `namespace` and
 * `name`. Tables: policy, a row for each direction in which a NetworkPolicy of the store isolates; pod, for
 * each of those a pod of this node, or its own DNS; rule and denial, what was counted. Written in turns of the loop, each of which goes
 * on behind the policy that the one before told last: what comes or goes meanwhile is told or not. */
#include "core/ipam/ipam.h"
#include "core/policy/match.h"
#include "daemon/agent_ctl.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_policy_count.h"
#include "daemon/agent_store.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TURN 500000 /* nanoseconds */
#define REST 0.001  /* seconds between two turns */

struct asked {
	const char *ns, *name; /* NULL: all */
};

/* How far an answer is. */
struct showing {
	struct agent_policy_ask ask;
	struct asked asked;
	ev_timer turn;
	char ns[NS_MAX_LEN + 1], name[NAME_MAX_LEN + 1]; /* of the policy that was told last */
	bool policies_told;
	struct nft_policy_count *counts; /* NULL: not taken yet */
	size_t n, at;
};

static bool is_asked(const struct asked *q, const char *ns, const char *name)
{
	return (!q->ns || !strcmp(q->ns, ns)) && (!q->name || !strcmp(q->name, name));
}

/* Is one of "shop/a, shop/b"? */
static bool is_asked_of(const struct asked *q, const char *list)
{
	char ns[256], name[256]; /* names of Kubernetes have 253 at most */
	int n;

	if (*list && !policy_names_some(list))
		return true; /* whatever is asked for: it is why nothing passes */
	while (sscanf(list, "%255[^/]/%255[^,]%n", ns, name, &n) == 2) {
		if (is_asked(q, ns, name))
			return true;
		list += n;
		list += strspn(list, ", ");
	}
	return false;
}

static void start_row(struct ctl_call *c, const char *table, uint8_t type)
{
	ctl_row(c, table);
	ctl_col(c, "direction", name_of(&policy_way_names, type));
}

static void put_policy(struct ctl_call *c, const char *ns, const char *name)
{
	ctl_col(c, "namespace", ns);
	ctl_col(c, "name", name);
}

/* ---- the store's policies, and whom they isolate here */

static void show_pod(struct ctl_call *c, const struct network_policy *p, enum policy_type type,
		     const char *name)
{
	start_row(c, "pod", type);
	put_policy(c, p->meta.namespace, p->meta.name);
	ctl_col(c, "pod", name);
	ctl_send(c);
}

static void show_pods(struct ctl_call *c, const struct network_policy *p, enum policy_type type)
{
	const struct policy_index *x = agent_policy_index(c->owner);
	const struct pod *dns = type == POLICY_INGRESS ? policy_index_isolated_dns(x, p) : NULL;
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(c->owner), &n);
	for (size_t i = 0; i < n; i++) {
		const struct object *pod;

		if (v[i]->state != IPAM_LIVE || !v[i]->pod_name ||
		    strcmp(v[i]->pod_namespace, p->meta.namespace) != 0)
			continue;
		pod = cluster_get(agent_store_cluster(c->owner), KIND_POD, v[i]->pod_namespace,
				  v[i]->pod_name);
		if (!pod || !policy_isolates(p, type, pod->body))
			continue;
		show_pod(c, p, type, v[i]->pod_name);
	}
	if (dns)
		show_pod(c, p, type, dns->meta.name);
}

static void show_policy(struct ctl_call *c, const struct network_policy *p)
{
	for (enum policy_type t = POLICY_INGRESS; t <= POLICY_EGRESS; t++) {
		if (!network_policy_has(p, t))
			continue;
		start_row(c, "policy", t);
		put_policy(c, p->meta.namespace, p->meta.name);
		ctl_send(c);
		show_pods(c, p, t);
	}
}

static size_t first_behind(const struct object *const *v, size_t n, const struct showing *s)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int r = strcmp(v[mid]->meta->namespace, s->ns);

		if ((r ? r : strcmp(v[mid]->meta->name, s->name)) <= 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* The next one that is asked for. */
static void show_next_policy(struct ctl_call *c, struct showing *s)
{
	const struct object *const *v;
	size_t n, i;

	v = cluster_all(agent_store_cluster(c->owner), KIND_NETWORKPOLICY, &n);
	for (i = first_behind(v, n, s); i < n; i++)
		if (is_asked(&s->asked, v[i]->meta->namespace, v[i]->meta->name))
			break;
	s->policies_told = i == n;
	if (i == n)
		return;
	snprintf(s->ns, sizeof(s->ns), "%s", v[i]->meta->namespace);
	snprintf(s->name, sizeof(s->name), "%s", v[i]->meta->name);
	show_policy(c, v[i]->body);
}

/* ---- what was counted */

static void show_count(struct ctl_call *c, const struct nft_policy_count *n)
{
	char ns[NS_MAX_LEN + 1];
	const char *name = n->policy ? agent_policy_split(n->policy, ns) : NULL;

	start_row(c, n->policy ? "rule" : "denial", n->type);
	if (name)
		put_policy(c, ns, name);
	ctl_col(c, n->policy ? "rule" : "policies", n->rule);
	ctl_num(c, "packets", n->packets);
	ctl_num(c, "bytes", n->bytes);
	ctl_send(c);
}

/* The sums may change before all is written. */
static int keep_counts(struct ctl_call *c, struct showing *s, struct err *e)
{
	int rc = agent_policy_counts(c->owner, &c->arena, &s->counts, &s->n, e);

	for (size_t i = 0; i < s->n && !rc; i++) {
		struct nft_policy_count *v = &s->counts[i];

		v->policy = arena_strdup(&c->arena, v->policy);
		v->rule = arena_strdup(&c->arena, v->rule);
		if (c->arena.failed)
			rc = err_set(e, -ENOMEM, "no memory");
	}
	return rc;
}

static void show_next_count(struct ctl_call *c, struct showing *s)
{
	const struct nft_policy_count *n = &s->counts[s->at++];

	if (is_asked_of(&s->asked, n->policy ? n->policy : n->rule))
		show_count(c, n);
}

/* ---- in turns */

static void on_turn(struct ev_loop *loop, ev_timer *w, int events)
{
	struct ctl_call *c = w->data;
	struct showing *s = c->state;
	uint64_t until = clock_mono_ns() + TURN;
	bool more = true;
	struct err e = { 0 };
	int rc = 0;

	if (!s->counts)
		rc = keep_counts(c, s, &e);
	while (!rc && more && clock_mono_ns() < until) {
		if (!s->policies_told)
			show_next_policy(c, s);
		else if (s->at < s->n)
			show_next_count(c, s);
		more = !s->policies_told || s->at < s->n;
	}
	if (rc || !more) {
		ctl_end(c, rc, &e);
		return;
	}
	ev_timer_set(w, REST, 0.);
	ev_timer_start(loop, w);
}

static void on_read(void *arg, int rc, const struct err *why)
{
	struct ctl_call *c = arg;
	struct showing *s = c->state;

	if (rc)
		ctl_end(c, rc, why);
	else
		ev_timer_start(c->client.listener->loop, &s->turn);
}

static void on_closed(struct ctl_call *c)
{
	struct showing *s = c->state;

	agent_policy_count_unread(c->owner, &s->ask);
	ev_timer_stop(c->client.listener->loop, &s->turn);
}

int ctl_policy_show(struct ctl_call *c, struct err *e)
{
	struct showing *s = arena_array(&c->arena, 1, sizeof(*s));

	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	s->asked = (struct asked){ strmap_get(&c->req.args, "namespace"),
				   strmap_get(&c->req.args, "name") };
	s->ask.done = on_read;
	s->ask.arg = c;
	ev_timer_init(&s->turn, on_turn, 0., 0.);
	s->turn.data = c;
	c->state = s;
	c->closed = on_closed;
	agent_policy_count_read(c->owner, &s->ask);
	return CTL_LATER;
}
