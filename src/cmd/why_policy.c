// SPDX-License-Identifier: Apache-2.0
/* What policies say of a connection, after Services: for each endpoint that may get it.
 *
 * Nodes judge while they forward. What a pod sends is judged on its own node: where another node
 * translates (a node port there), as addressed to that node, else as addressed to the endpoint. What
 * arrives is judged on the endpoint's node, by the source that the packet has there. To another node's
 * address it leaves by natOutgoing, where its pool has that (why_ask.c). A masquerade comes
 * after forwarding: an endpoint on the node that masquerades still sees the client, one on another node
 * that node's address, which is its tunnel address where the pool is tunnelled, the same as for what
 * a node itself sends. With crossSubnet it may be either; both are judged, as one subnet cannot be told
 * from another by objects. A tunnel address that no IPBlock tells is some address of the pool: its first
 * stands for it. */
#include "cmd/why.h"

#include "core/route/plan.h"

#include <errno.h>
#include <string.h>

/* ---- the source that the target's node sees */

struct source {
	struct ipaddr ip;
	const char *because;
};

/* Out of the node's first block of the family. */
static struct ipaddr tunnel_of(const struct cluster *c, const char *node, const struct ippool *pool)
{
	size_t n;
	const struct object *const *blocks = cluster_all(c, KIND_IPBLOCK, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ipblock *b = blocks[i]->body;

		if (b->spec.node && !strcmp(b->spec.node, node) &&
		    b->spec.tunnelAddress.family == pool->spec.cidr.addr.family)
			return b->spec.tunnelAddress;
	}
	return prefix_mask(&pool->spec.cidr).addr;
}

static const struct ipaddr *own_address(const struct why *w, uint8_t family)
{
	for (uint32_t i = 0; i < w->node.addresses.n; i++)
		if (w->node.addresses.v[i].family == family)
			return &w->node.addresses.v[i];
	return NULL;
}

/* The addresses that the judging node may put on what it sends to another node's pod. Up to two. */
static uint32_t node_sources(const struct why *w, const struct ipaddr *to, const char *what,
			     struct source out[2], struct arena *a)
{
	const struct ippool *pool = why_pool_of(w->objects.cluster, to);
	const struct ipaddr *own = own_address(w, to->family);
	bool tunnelled = pool && route_pool_tunnelled(pool);
	uint32_t n = 0;

	if (tunnelled)
		out[n++] = (struct source){
			tunnel_of(w->objects.cluster, w->node.name, pool),
			arena_printf(a, "%s %s and pool %s is tunnelled%s: %s's tunnel address",
				     what, w->node.name, pool->meta.name,
				     pool->spec.crossSubnet ? " between subnets" : "", w->node.name)
		};
	if (own && (!tunnelled || pool->spec.crossSubnet))
		out[n++] =
			(struct source){ *own, arena_printf(a, "%s %s: that node's address%s", what,
							    w->node.name,
							    tunnelled ? " within a subnet" : "") };
	return n;
}

/* ---- targets */

/* Is what the pod sends judged on another node than the one that translates? */
static bool sent_elsewhere(const struct why *w)
{
	return w->from.node && strcmp(w->from.node, w->node.name) != 0;
}

static const char *node_of(const struct why_target *t, const struct svc_endpoint *ep)
{
	if (ep && ep->of->nodeName)
		return ep->of->nodeName;
	return t->pod ? t->pod->spec.nodeName : NULL;
}

static bool is_node_itself(const struct why *w)
{
	return !sent_elsewhere(w) && w->from.node && !policy_knows_pod(w->from.pod);
}

/* How the client may show: as itself, or as one of the node's addresses. */
static uint32_t find_sources(const struct why *w, const struct svc_verdict *v,
			     const struct svc_endpoint *ep, const struct why_target *t,
			     struct source out[2], struct arena *a)
{
	const char *node = node_of(t, ep);
	bool elsewhere = node && *node && strcmp(node, w->node.name) != 0;
	bool masquerade = ep && (v->masquerade || svc_is_hairpin(ep, &w->seen.src));
	uint32_t n = 0;

	if (elsewhere && masquerade)
		n = node_sources(w, &t->ip, "masqueraded on", out, a);
	else if (elsewhere && is_node_itself(w) && policy_knows_pod(t->pod))
		n = node_sources(w, &t->ip, "sent by", out, a);
	if (!n)
		out[n++] = (struct source){ w->seen.src, w->seen_because };
	return n;
}

static int judge_target(struct cmd_ctx *ctx, const struct why *w, struct why_target *t,
			const struct source *s)
{
	struct err e = { .code = 0 };
	bool same = addr_eq(&s->ip, &w->flow.src);

	t->sent = t->arrives = (struct policy_flow){ .src = w->flow.src,
						     .dst = t->ip,
						     .proto = w->flow.proto,
						     .dport = t->port,
						     .from = w->from.pod,
						     .to = t->pod,
						     .answerer = t->dns };
	if (sent_elsewhere(w)) {
		t->sent.dst = w->flow.dst;
		t->sent.dport = w->flow.dport;
		t->sent.to = w->to.pod;
	}
	t->arrives.src = s->ip;
	t->arrives.from = same ? w->from.pod : NULL;
	t->source_because = same ? NULL : s->because;
	if (policy_judge_half(w->objects.cluster, &t->sent, POLICY_EGRESS, ctx->arena, &t->egress,
			      &e) ||
	    policy_judge_half(w->objects.cluster, &t->arrives, POLICY_INGRESS, ctx->arena,
			      &t->ingress, &e))
		return cmd_fail(&e);
	t->allowed = t->egress.state != POLICY_DENIED && t->ingress.state != POLICY_DENIED;
	return 0;
}

static int name_target(struct cmd_ctx *ctx, const struct why *w, struct why_target *t)
{
	struct policy_answerer *dns;
	const struct meta *m = t->pod ? &t->pod->meta : NULL;
	char text[ADDR_TEXT];
	struct err e;

	if (svc_is_dns(&w->node, &t->ip, w->flow.proto, t->port)) {
		dns = arena_alloc(ctx->arena, sizeof(*dns));
		if (!dns)
			return cmd_error(CMD_NO, "no memory");
		if (policy_answerer_find(w->objects.cluster, w->node.name, w->node.dns.v,
					 w->node.dns.n, ctx->arena, dns, &e))
			return cmd_fail(&e);
		t->dns = dns;
		m = &dns->stand_in->meta;
	}
	t->name = m ? arena_printf(ctx->arena, "%s/%s", m->namespace, m->name)
		    : arena_strdup(ctx->arena, addr_str(&t->ip, text));
	return 0;
}

static int add_target(struct cmd_ctx *ctx, const struct why *w, const struct svc_verdict *v,
		      const struct svc_endpoint *ep, struct why_policy *out)
{
	struct why_target t = { .ip = ep ? ep->ip : w->flow.dst,
				.port = ep ? ep->port : w->flow.dport };
	struct source sources[2];
	uint32_t n;
	int rc;

	t.pod = ep ? objects_pod_at(w->objects.cluster, &t.ip) : w->to.pod;
	rc = name_target(ctx, w, &t);
	if (rc)
		return rc;
	n = find_sources(w, v, ep, &t, sources, ctx->arena);
	for (uint32_t i = 0; !rc && i < n; i++) {
		rc = judge_target(ctx, w, &t, &sources[i]);
		out->targets.v[out->targets.n++] = t;
		out->n_denied += !t.allowed;
	}
	return rc;
}

int why_policy(struct cmd_ctx *ctx, const struct why *w, const struct svc_verdict *v,
	       struct why_policy *out)
{
	const struct svc_port *port = v->action == SVC_DNAT ? v->front->port : NULL;
	uint32_t n = port ? port->endpoints.n : 1;
	int rc = 0;

	*out = (struct why_policy){ .n_denied = 0 };
	if (v->action == SVC_REJECT || v->action == SVC_DROP)
		return 0;
	out->targets.v = arena_array(ctx->arena, 2 * (size_t)n, sizeof(*out->targets.v));
	if (!out->targets.v)
		return cmd_error(CMD_NO, "no memory");
	if (!port)
		return add_target(ctx, w, v, NULL, out);
	for (uint32_t i = 0; !rc && i < n; i++)
		if (port->endpoints.v[i].out[v->group] == SVC_IN)
			rc = add_target(ctx, w, v, &port->endpoints.v[i], out);
	return rc;
}
