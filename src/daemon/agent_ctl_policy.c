// SPDX-License-Identifier: Apache-2.0
/* agent_ctl_policy: policy-show, of one namespace or one policy where the request says `namespace` and
 * `name`. Tables: policy, a row for each direction in which a NetworkPolicy of the store isolates; pod, for
 * each of those a pod of this node; rule and denial, what was counted. */
#include "core/ipam/ipam.h"
#include "core/policy/match.h"
#include "daemon/agent_ctl.h"
#include "daemon/agent_ipam.h"
#include "daemon/agent_policy_count.h"
#include "daemon/agent_store.h"

#include <stdio.h>
#include <string.h>

struct asked {
	const char *ns, *name; /* NULL: all */
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

static void show_pods(struct ctl_call *c, const struct network_policy *p, enum policy_type type)
{
	const struct ipam_attachment *const *v;
	size_t n;

	v = ipam_all(agent_ipam_book(c->agent), &n);
	for (size_t i = 0; i < n; i++) {
		const struct object *pod;

		if (v[i]->state != IPAM_LIVE || !v[i]->pod_name ||
		    strcmp(v[i]->pod_namespace, p->meta.namespace) != 0)
			continue;
		pod = cluster_get(agent_store_cluster(c->agent), KIND_POD, v[i]->pod_namespace,
				  v[i]->pod_name);
		if (!pod || !policy_isolates(p, type, pod->body))
			continue;
		start_row(c, "pod", type);
		put_policy(c, p->meta.namespace, p->meta.name);
		ctl_col(c, "pod", v[i]->pod_name);
		ctl_send(c);
	}
}

static void show_policies(struct ctl_call *c, const struct asked *q)
{
	const struct object *const *v;
	size_t n;

	v = cluster_all(agent_store_cluster(c->agent), KIND_NETWORKPOLICY, &n);
	for (size_t i = 0; i < n; i++) {
		const struct network_policy *p = v[i]->body;

		if (!is_asked(q, p->meta.namespace, p->meta.name))
			continue;
		for (enum policy_type t = POLICY_INGRESS; t <= POLICY_EGRESS; t++) {
			if (!network_policy_has(p, t))
				continue;
			start_row(c, "policy", t);
			put_policy(c, p->meta.namespace, p->meta.name);
			ctl_send(c);
			show_pods(c, p, t);
		}
	}
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

static int show(struct ctl_call *c, struct err *e)
{
	struct asked q = { strmap_get(&c->req.args, "namespace"),
			   strmap_get(&c->req.args, "name") };
	struct nft_policy_count *v;
	size_t n;
	int rc = agent_policy_counts(c->agent, &c->arena, &v, &n, e);

	if (rc)
		return rc;
	show_policies(c, &q);
	for (size_t i = 0; i < n; i++)
		if (is_asked_of(&q, v[i].policy ? v[i].policy : v[i].rule))
			show_count(c, &v[i]);
	return 0;
}

static void on_read(void *arg, int rc, const struct err *why)
{
	struct ctl_call *c = arg;
	struct err e;

	if (rc)
		ctl_end(c, rc, why);
	else
		ctl_end(c, show(c, &e), &e);
}

static void on_closed(struct ctl_call *c)
{
	agent_policy_count_unread(c->agent, &c->ask);
}

int ctl_policy_show(struct ctl_call *c, struct err *e)
{
	c->ask.done = on_read;
	c->ask.arg = c;
	c->closed = on_closed;
	agent_policy_count_read(c->agent, &c->ask);
	return CTL_LATER;
}
