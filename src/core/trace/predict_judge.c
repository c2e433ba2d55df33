// SPDX-License-Identifier: Apache-2.0
/* What a node decides of a packet that it forwards: do policies let its first one pass, and whose address
 * does it get. The decisions are core/policy's and core/service's; natOutgoing is nat_rules() of
 * core/nft/build.c in words: from a pool with it to where no pool is, and not into a pod. */
#include "core/trace/predict_state.h"

#include "core/policy/judge.h"
#include "core/service/service.h"
#include "core/trace/words.h"

#include <errno.h>
#include <string.h>

/* ---- what all of a prediction do */

bool predict_fail(struct predictor *p, int rc)
{
	if (rc && !p->rc)
		p->rc = rc;
	return p->rc;
}

static uint32_t room_for(uint32_t n)
{
	return n < 8 ? 8 : 2 * n;
}

void predict_tell(struct predictor *p, const struct path *w)
{
	struct story *v = p->out.list.v;

	if (p->out.list.n == p->cap) {
		v = arena_array(p->a, room_for(p->cap), sizeof(*v));
		if (!v) {
			predict_fail(p, err_set(p->e, -ENOMEM, "no memory"));
			return;
		}
		if (p->cap)
			memcpy(v, p->out.list.v, p->out.list.n * sizeof(*v));
		p->cap = room_for(p->cap);
		p->out.list.v = v;
	}
	v[p->out.list.n++] = w->story;
}

void predict_end(struct predictor *p, struct path *w, enum story_step step, const char *node,
		 struct story_by by, const char *why)
{
	path_end(w, step, node, by, why, p->a);
	predict_tell(p, w);
}

/* ---- lengths */

#define TOO_LONG "Message too long" /* EMSGSIZE in words */

bool predict_too_big(struct predictor *p, struct path *w, const char *node, uint32_t mtu,
		     const char *device, bool own)
{
	const struct story_by by = { STORY_BY_KERNEL, NULL, own ? TOO_LONG : "PKT_TOO_BIG", NULL };
	uint32_t length = p->q->head.length;

	if (!mtu || length <= mtu || w->direction == STORY_REPLY)
		return false;
	predict_end(p, w, own ? STORY_REFUSE : STORY_DROP, node, by,
		    story_too_big(length, mtu, device, p->a));
	if (w->story.hops.n)
		w->story.hops.v[w->story.hops.n - 1].mtu = mtu;
	return true;
}

/* ---- policies */

const struct pod *predict_pod(const struct predictor *p, const struct ipaddr *ip)
{
	if (p->q->from && addr_eq(ip, &p->q->head.src))
		return p->q->from;
	return story_pod(p->view, ip);
}

static struct story_by policy_by(const struct policy_half *h, enum policy_type type,
				 struct arena *a)
{
	const struct network_policy *by = h->state == POLICY_DENIED ? h->isolating.v[0] : h->by;
	struct story_by out = { STORY_BY_POLICY, by->meta.namespace, by->meta.name, NULL };
	char text[POLICY_RULE_TEXT];

	out.rule = h->state == POLICY_DENIED
			   ? policy_denial_text(h, a)
			   : arena_strdup(a, policy_rule_text(type, h->rule, h->peer, text));
	return out;
}

/* False: it ends here. */
static bool judge(struct predictor *p, struct path *w, const char *node, enum policy_type type,
		  const struct policy_answerer *answerer)
{
	const bool out = type == POLICY_EGRESS;
	const struct policy_flow flow = { .src = w->head.src,
					  .dst = w->head.dst,
					  .proto = story_protocol(w->head.proto),
					  .dport = w->head.dport,
					  .from = predict_pod(p, &w->head.src),
					  .to = predict_pod(p, &w->head.dst),
					  .answerer = answerer };
	struct policy_half half;
	struct story_by by;
	struct story_hop *h;

	if (predict_fail(p, policy_judge_half(p->view->cluster, &flow, type, p->a, &half, p->e)))
		return false;
	if (half.state != POLICY_DENIED && half.state != POLICY_ALLOWED)
		return true;
	by = policy_by(&half, type, p->a);
	if (half.state == POLICY_DENIED) {
		predict_end(p, w, STORY_DROP, node, by, story_denied_why(out, answerer));
		return false;
	}
	h = path_hop(w, out ? STORY_POLICY_EGRESS : STORY_POLICY_INGRESS, node, p->a);
	if (h)
		h->by = by;
	return true;
}

/* One that no object puts anywhere is wherever it is looked for. */
static bool lives_at(const struct predictor *p, const struct pod *pod, const char *node)
{
	const char *its = pod == p->q->from ? p->q->node : pod->spec.nodeName;

	return !its || !*its || !strcmp(its, node);
}

bool predict_passes(struct predictor *p, struct path *w, const struct place *at,
		    const struct way *way)
{
	const struct pod *from = predict_pod(p, &w->head.src);

	if (from && lives_at(p, from, at->name) && !judge(p, w, at->name, POLICY_EGRESS, NULL))
		return false;
	return way->kind != WAY_POD || judge(p, w, at->name, POLICY_INGRESS, NULL);
}

bool predict_passes_dns(struct predictor *p, struct path *w, const struct place *at)
{
	const struct svc_node *n = &at->plans.node;
	const struct pod *from = predict_pod(p, &w->head.src);
	struct policy_answerer answerer;

	if (!svc_is_dns(n, &w->head.dst, story_protocol(w->head.proto), w->head.dport))
		return true;
	if (predict_fail(p, policy_answerer_find(p->view->cluster, at->name, n->dns.v, n->dns.n,
						 p->a, &answerer, p->e)))
		return false;
	if (from && lives_at(p, from, at->name) && !judge(p, w, at->name, POLICY_EGRESS, &answerer))
		return false;
	return judge(p, w, at->name, POLICY_INGRESS, &answerer);
}

/* ---- the source */

static bool in_pool(const struct predictor *p, const struct ipaddr *ip, bool nat)
{
	size_t n;
	const struct object *const *pools = cluster_all(p->view->cluster, KIND_IPPOOL, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ippool *pool = pools[i]->body;

		if ((!nat || pool->spec.natOutgoing) && prefix_has(&pool->spec.cidr, ip))
			return true;
	}
	return false;
}

static bool is_masqueraded(const struct predictor *p, const struct path *w, const struct way *way,
			   const struct story_choice *choice)
{
	if (choice && (choice->verdict.masquerade || addr_eq(&w->head.src, &w->head.dst)))
		return true;
	return way->kind != WAY_POD && in_pool(p, &w->head.src, true) &&
	       !in_pool(p, &w->head.dst, false);
}

void predict_masquerade(struct predictor *p, struct path *w, const struct place *at,
			const struct way *way, const struct story_choice *choice)
{
	struct story_head to = w->head;
	struct story_hop *h;

	if (!is_masqueraded(p, w, way, choice))
		return;
	h = path_hop(w, STORY_SNAT, at->name, p->a);
	if (h)
		h->by = story_masquerade(p->view, choice, &w->head, &h->why);
	to.src = way->nat;
	to.sport = 0; /* a random one */
	path_become(w, h, &to);
}
