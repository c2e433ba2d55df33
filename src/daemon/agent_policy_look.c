// SPDX-License-Identifier: Apache-2.0
/* policy_look: see agent_policy_look.h. */
#include "daemon/agent_policy_look.h"
#include "base/by_name.h"
#include "daemon/agent_kernel.h"
#include "daemon/agent_policy.h"
#include "daemon/agent_store.h"
#include "model/validate.h"
#include "sys/rtnl.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* A pod of this node, and in which directions it is to be judged. */
struct narrowed {
	struct by_name id; /* first */
	bool ways[POLICY_EGRESS + 1];
};

struct policy_look {
	struct agent *agent;
	struct by_name *pods;
	struct klist own;   /* addresses of this node */
	struct arena arena; /* of one judgement */
	bool short_of_memory;
};

/* ---- which pods */

static void note_narrowed(void *arg, const char *ns, const char *name, enum policy_type type)
{
	struct policy_look *l = arg;
	struct narrowed *x =
		(struct narrowed *)by_name_get(&l->pods, ns, name, sizeof(struct narrowed));

	if (x)
		x->ways[type] = true;
	else
		l->short_of_memory = true;
}

static void note_any(void *arg, const char *ns, const char *name, enum policy_type type)
{
	*(bool *)arg = true;
}

bool policy_look_due(const struct policy_look *l)
{
	bool any = l->pods != NULL;

	if (!agent_store_adopted(l->agent))
		return false;
	nft_policies_narrowed(agent_policy_rules(l->agent), note_any, &any);
	return any;
}

int policy_look_begin(struct policy_look *l, struct err *e)
{
	struct nft_policies *rules = agent_policy_rules(l->agent);

	klist_fini(&l->own);
	l->short_of_memory = false;
	nft_policies_narrowed(rules, note_narrowed, l);
	if (l->short_of_memory)
		return err_set(e, -ENOMEM, "no memory");
	nft_policies_looked(rules);
	return l->pods ? rtnl_dump(agent_kernel_nl(l->agent), RTNL(KOBJ_ADDR), &l->own, e) : 0;
}

void policy_look_done(struct policy_look *l)
{
	while (l->pods)
		by_name_drop(&l->pods, l->pods);
	klist_fini(&l->own);
}

/* ---- one connection */

static bool is_own(const struct policy_look *l, const struct ipaddr *ip)
{
	for (size_t i = 0; i < l->own.n; i++)
		if (l->own.v[i].type == KOBJ_ADDR && addr_eq(&l->own.v[i].addr.addr.addr, ip))
			return true;
	return false;
}

static uint8_t protocol_of(uint8_t proto)
{
	return proto == IPPROTO_TCP    ? PROTO_TCP
	       : proto == IPPROTO_UDP  ? PROTO_UDP
	       : proto == IPPROTO_SCTP ? PROTO_SCTP
				       : PROTO_NONE;
}

/* As the forward hook saw its first packet: behind the translation of where it goes, before that
 * of where it comes from. */
static struct policy_flow flow_of(const struct policy_look *l, const struct ct_entry *c)
{
	const struct policy_index *x = agent_policy_index(l->agent);

	return (struct policy_flow){ .src = c->orig.src,
				     .dst = c->reply.src,
				     .proto = protocol_of(c->proto),
				     .dport = c->reply.sport,
				     .from = policy_index_pod_at(x, &c->orig.src),
				     .to = policy_index_pod_at(x, &c->reply.src) };
}

static bool is_narrowed(struct policy_look *l, const struct pod *pod, enum policy_type type)
{
	struct narrowed *x = NULL;

	if (pod)
		x = (struct narrowed *)by_name_get(&l->pods, pod->meta.namespace, pod->meta.name,
						   0);
	return x && x->ways[type];
}

bool policy_look_spares(const struct agent *a, const struct network_policy *p)
{
	const char *says = strmap_get(&p->meta.annotations, ANNOTATION_ON_CHANGE);

	return says ? !strcmp(says, "grandfather") : a->role->cfg.policy_grandfather;
}

static bool is_cut_by(const struct policy_look *l, const struct policy_half *half)
{
	for (uint32_t i = 0; i < half->isolating.n; i++)
		if (!policy_look_spares(l->agent, half->isolating.v[i]))
			return true;
	return false;
}

static bool forbids(struct policy_look *l, const struct policy_flow *flow, enum policy_type type,
		    const char **why)
{
	const struct pod *pod = type == POLICY_EGRESS ? flow->from : flow->to;
	struct policy_half half;
	struct err none;

	if (!is_narrowed(l, pod, type) ||
	    policy_judge_half(agent_store_cluster(l->agent), flow, type, &l->arena, &half, &none) ||
	    half.state != POLICY_DENIED || !is_cut_by(l, &half))
		return false;
	*why = arena_printf(&l->arena, "Pod %s/%s, %s: %s", pod->meta.namespace, pod->meta.name,
			    name_of(&policy_way_names, type), policy_denial_text(&half, &l->arena));
	return *why != NULL;
}

bool policy_look_forbids(struct policy_look *l, const struct ct_entry *c, const char **why)
{
	struct policy_flow flow;

	if (!l->pods)
		return false;
	flow = flow_of(l, c);
	if ((!flow.from && !flow.to) || is_own(l, &flow.src) || is_own(l, &flow.dst))
		return false;
	arena_reset(&l->arena);
	return forbids(l, &flow, POLICY_EGRESS, why) || forbids(l, &flow, POLICY_INGRESS, why);
}

/* ---- life */

struct policy_look *policy_look_new(struct agent *a)
{
	struct policy_look *l = calloc(1, sizeof(*l));

	if (l) {
		l->agent = a;
		arena_init(&l->arena, 0);
	}
	return l;
}

void policy_look_free(struct policy_look *l)
{
	if (!l)
		return;
	policy_look_done(l);
	arena_fini(&l->arena);
	free(l);
}
