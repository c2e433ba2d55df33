// SPDX-License-Identifier: Apache-2.0
/* The judge of NetworkPolicies: see judge.h. */
#include "core/policy/side.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>

static const char *const states[] = { "exempt", "open", "allowed", "denied" };
const struct names policy_state_names = NAMES(states);

/* ---- one direction */

static int find_other_labels(struct policy_side *s, struct arena *a)
{
	const struct object *o;

	if (!policy_knows_pod(s->other))
		return 0;
	o = cluster_get(s->cluster, KIND_NAMESPACE, NULL, s->other->meta.namespace);
	s->other_labels = policy_namespace_labels(s->other->meta.namespace, o ? o->body : NULL, a);
	return s->other_labels ? 0 : -ENOMEM;
}

static bool is_orphan(const struct cluster *c, const struct workload_endpoint *w,
		      const struct ipaddr *ip)
{
	bool has = false;

	for (uint32_t i = 0; i < w->spec.ips.n; i++)
		has |= addr_eq(&w->spec.ips.v[i].addr, ip);
	return has && w->spec.pod && !cluster_get(c, KIND_POD, w->meta.namespace, w->spec.pod);
}

static const struct workload_endpoint *find_orphan(const struct cluster *c, const struct ipaddr *ip)
{
	size_t n;
	const struct object *const *v = cluster_all(c, KIND_WORKLOADENDPOINT, &n);

	for (size_t i = 0; i < n && ip->family; i++)
		if (is_orphan(c, v[i]->body, ip))
			return v[i]->body;
	return NULL;
}

int policy_side_of(const struct cluster *c, const struct policy_flow *flow, enum policy_type type,
		   struct arena *a, struct policy_side *out)
{
	const struct policy_answerer *dns = flow->answerer;
	const struct pod *to = dns ? dns->stand_in : flow->to;
	struct policy_pods sends = { &flow->from, 1 };
	struct policy_pods gets = dns ? dns->pods : (struct policy_pods){ &flow->to, 1 };
	bool in = type == POLICY_INGRESS;

	*out = (struct policy_side){ .cluster = c,
				     .flow = flow,
				     .type = type,
				     .pod = in ? to : flow->from,
				     .other = in ? flow->from : to,
				     .pods = in ? gets : sends,
				     .others = in ? sends : gets,
				     .receivers = gets,
				     .ip = in ? &flow->dst : &flow->src,
				     .other_ip = in ? &flow->src : &flow->dst };
	if (!out->pod)
		out->orphan = find_orphan(c, out->ip);
	return find_other_labels(out, a);
}

bool policy_side_takes(const struct policy_side *s, const struct policy_rule *r)
{
	for (uint32_t i = 0; i < s->receivers.n; i++)
		if (policy_rule_takes(r, s->flow->proto, s->flow->dport, s->receivers.v[i]))
			return true;
	return false;
}

/* ---- exemptions */

static bool is_itself(const struct policy_side *s)
{
	const struct pod *a = s->pod, *b = s->other;

	if (!a || s->flow->answerer)
		return addr_eq(s->ip, s->other_ip);
	return b && (a == b || (text_eq(a->meta.namespace, b->meta.namespace) &&
				text_eq(a->meta.name, b->meta.name)));
}

static bool node_has(const struct node *n, const struct ipaddr *a)
{
	struct ipaddr ip;

	for (uint32_t i = 0; i < n->status.addresses.n; i++)
		if (!addr_parse(n->status.addresses.v[i].address, &ip) && addr_eq(&ip, a))
			return true;
	return false;
}

static bool is_own_node(const struct policy_side *s)
{
	const char *name = s->pod ? s->pod->spec.nodeName : s->orphan->spec.node;
	const struct object *node;

	if (!name || !*name || policy_knows_pod(s->other))
		return false;
	if (s->other && s->other->spec.hostNetwork && text_eq(s->other->spec.nodeName, name))
		return true;
	node = cluster_get(s->cluster, KIND_NODE, NULL, name);
	return node && node_has(node->body, s->other_ip);
}

static enum policy_exempt find_exempt(const struct policy_side *s)
{
	if (!policy_knows_pod(s->pod) && !s->orphan)
		return POLICY_NO_POD;
	if (is_itself(s))
		return POLICY_ITSELF;
	return is_own_node(s) ? POLICY_OWN_NODE : POLICY_JUDGED;
}

/* ---- the policies of a namespace */

static bool may_isolate(const struct policy_side *s, const struct network_policy *p)
{
	if (s->orphan)
		return network_policy_has(p, s->type);
	for (uint32_t i = 0; i < s->pods.n; i++)
		if (policy_isolates(p, s->type, s->pods.v[i]))
			return true;
	return false;
}

static int find_isolating(const struct policy_side *s, struct arena *a, struct policy_half *half)
{
	const struct meta *subject = s->pod ? &s->pod->meta : &s->orphan->meta;
	struct policy_run c = policy_run_of(s->cluster, KIND_NETWORKPOLICY, subject->namespace);

	half->isolating.v = arena_array(a, c.n, sizeof(*half->isolating.v));
	if (!half->isolating.v)
		return -ENOMEM;
	for (size_t i = 0; i < c.n; i++)
		if (may_isolate(s, c.v[i]->body))
			half->isolating.v[half->isolating.n++] = c.v[i]->body;
	half->closed = s->orphan && half->isolating.n ? POLICY_NO_OBJECT : NULL;
	return 0;
}

/* ---- rules */

static bool peer_has(const struct policy_side *s, const struct network_policy *p,
		     const struct policy_peer *peer)
{
	if (peer->ipBlock)
		return policy_block_has(peer->ipBlock, s->other_ip);
	for (uint32_t i = 0; i < s->others.n; i++)
		if (policy_peer_selects(peer, p->meta.namespace, s->others.v[i], s->other_labels))
			return true;
	return false;
}

/* Sets the half's rule, where one of the policy's allows the flow. */
static bool try_policy(const struct policy_side *s, const struct network_policy *p,
		       struct policy_half *half)
{
	struct policy_rules rules = policy_rules(p, s->type);

	for (uint32_t i = 0; i < rules.n; i++) {
		const struct policy_rule *r = &rules.v[i];
		uint32_t k = 0;

		if (!policy_side_takes(s, r))
			continue;
		while (k < r->peers.n && !peer_has(s, p, &r->peers.v[k]))
			k++;
		if (r->peers.n && k == r->peers.n)
			continue;
		half->by = p;
		half->rule = i;
		half->peer = r->peers.n ? (int64_t)k : -1;
		return true;
	}
	return false;
}

int policy_judge_half(const struct cluster *c, const struct policy_flow *flow,
		      enum policy_type type, struct arena *a, struct policy_half *out,
		      struct err *e)
{
	struct policy_half half = { .state = POLICY_EXEMPT };
	struct policy_side s;

	if (policy_side_of(c, flow, type, a, &s))
		return err_set(e, -ENOMEM, "no memory");
	half.exempt = (uint8_t)find_exempt(&s);
	if (half.exempt == POLICY_JUDGED) {
		if (find_isolating(&s, a, &half))
			return err_set(e, -ENOMEM, "no memory");
		half.state = half.isolating.n ? POLICY_DENIED : POLICY_OPEN;
		for (uint32_t i = 0;
		     i < half.isolating.n && !half.closed && half.state == POLICY_DENIED; i++)
			if (try_policy(&s, half.isolating.v[i], &half))
				half.state = POLICY_ALLOWED;
	}
	*out = half;
	return 0;
}

int policy_judge(const struct cluster *c, const struct policy_flow *flow, struct arena *a,
		 struct policy_verdict *out, struct err *e)
{
	struct policy_verdict v = { 0 };
	int rc = policy_judge_half(c, flow, POLICY_EGRESS, a, &v.egress, e);

	if (!rc)
		rc = policy_judge_half(c, flow, POLICY_INGRESS, a, &v.ingress, e);
	if (rc)
		return rc;
	v.allowed = v.egress.state != POLICY_DENIED && v.ingress.state != POLICY_DENIED;
	*out = v;
	return 0;
}

/* `start` and "shop/a, shop/b". */
static const char *list_text(const char *start, const struct network_policy *const *v, uint32_t n,
			     struct arena *a)
{
	size_t len = strlen(start) + 1;
	char *text, *end;

	for (uint32_t i = 0; i < n; i++)
		len += strlen(v[i]->meta.namespace) + strlen(v[i]->meta.name) + 3;
	text = arena_alloc(a, len);
	if (!text)
		return NULL;
	end = stpcpy(text, start);
	for (uint32_t i = 0; i < n; i++) {
		end = stpcpy(stpcpy(end, i ? ", " : ""), v[i]->meta.namespace);
		end = stpcpy(stpcpy(end, "/"), v[i]->meta.name);
	}
	return text;
}

const char *policy_denial_text(const struct policy_half *half, struct arena *a)
{
	return half->closed ? half->closed
			    : list_text(POLICY_DENIAL, half->isolating.v, half->isolating.n, a);
}

const char *policy_midway_text(const struct network_policy *const *isolating, uint32_t n,
			       struct arena *a)
{
	return list_text(POLICY_MIDWAY ", by ", isolating, n, a);
}
