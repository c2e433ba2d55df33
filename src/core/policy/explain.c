// SPDX-License-Identifier: Apache-2.0
/* Why none of the rules of the policies that isolate a pod let a flow through, in words: of each
 * rule its ports, and where those match, of each peer the first requirement that does not hold. It
 * asks match.h about single requirements, and so cannot disagree with the judge. */
#include "core/policy/side.h"

#include "base/text.h"

#include <errno.h>

static const char *const protos[] = { "another protocol", "tcp", "udp", "sctp" };

static const char *proto_text(uint8_t proto)
{
	return proto <= PROTO_SCTP ? protos[proto] : protos[0];
}

/* ---- ports */

/* The number that the receiving pod has under this name, or 0. */
static int64_t number_of(const struct policy_pods *to, const char *name, uint8_t proto)
{
	const struct container_port *cp;

	for (uint32_t k = 0; k < to->n; k++)
		for (uint32_t i = 0;
		     policy_knows_pod(to->v[k]) && (cp = policy_pod_port(to->v[k], i)); i++)
			if (text_eq(cp->name, name) && policy_protocol(cp->protocol) == proto)
				return cp->containerPort;
	return 0;
}

static const char *port_text(const struct policy_port *p, const struct policy_pods *to,
			     struct arena *a)
{
	uint8_t proto = policy_protocol(p->protocol);
	const char *name = proto_text(proto);
	int64_t number;

	switch (p->port.type) {
	case INTSTR_ABSENT:
		return arena_printf(a, "every %s port", name);
	case INTSTR_STR:
		number = number_of(to, p->port.s, proto);
		return number ? arena_printf(a, "%s/%s (%lld)", p->port.s, name, (long long)number)
			      : arena_printf(a, "%s/%s (which the target has not)", p->port.s,
					     name);
	default:
		return p->endPort.set ? arena_printf(a, "%lld-%lld/%s", (long long)p->port.i,
						     (long long)p->endPort.v, name)
				      : arena_printf(a, "%lld/%s", (long long)p->port.i, name);
	}
}

static const char *ports_miss(const struct policy_side *s, const struct policy_rule *r,
			      struct arena *a)
{
	const struct policy_flow *flow = s->flow;
	const char *text =
		flow->proto ? arena_printf(a, "%u/%s is not ", flow->dport, proto_text(flow->proto))
			    : arena_printf(a, "the protocol has no ports: not ");

	for (uint32_t i = 0; i < r->ports.n; i++)
		text = arena_printf(a, "%s%s%s", text,
				    !i                    ? ""
				    : i + 1 == r->ports.n ? " or "
							  : ", ",
				    port_text(&r->ports.v[i], &s->receivers, a));
	return text;
}

/* ---- selectors */

/* A requirement that the labels do not meet, as a selector of its own, and its key; NULL: none. */
static const char *find_unmet(const struct label_selector *s, const struct strmap *labels,
			      struct label_selector *out)
{
	for (uint32_t i = 0; i < s->matchLabels.n; i++) {
		*out = (struct label_selector){ .matchLabels = { &s->matchLabels.v[i], 1 } };
		if (!selector_match(out, labels))
			return s->matchLabels.v[i].key;
	}
	for (uint32_t i = 0; i < s->matchExpressions.n; i++) {
		*out = (struct label_selector){ .matchLabels = { .n = 0 } };
		out->matchExpressions.v = &s->matchExpressions.v[i];
		out->matchExpressions.n = 1;
		if (!selector_match(out, labels))
			return s->matchExpressions.v[i].key;
	}
	return NULL;
}

/* "podSelector wants app=api, shop/web has app=web"; NULL where the selector matches. */
static const char *selector_miss(const char *field, const struct label_selector *s, const char *who,
				 const struct strmap *labels, struct arena *a)
{
	struct label_selector unmet;
	const char *key = find_unmet(s, labels, &unmet), *value, *wants;

	if (!key)
		return NULL;
	value = strmap_get(labels, key);
	wants = selector_text(&unmet, a);
	return value ? arena_printf(a, "%s wants %s, %s has %s=%s", field, wants, who, key, value)
		     : arena_printf(a, "%s wants %s, %s has no %s", field, wants, who, key);
}

static const char *pod_name(const struct pod *p, struct arena *a)
{
	return arena_printf(a, "%s/%s", p->meta.namespace, p->meta.name);
}

/* The other end; of the node's DNS, one of those as which it counts. */
static const char *other_name(const struct policy_side *s, const struct pod *p, struct arena *a)
{
	const char *name = pod_name(p, a);

	if (!s->flow->answerer || s->type != POLICY_EGRESS)
		return name;
	return arena_printf(a, "the node's DNS, as %s,", name);
}

static const char *no_pod_text(const struct policy_side *s, struct arena *a)
{
	char text[ADDR_TEXT];

	if (!s->other)
		return s->other_ip->family
			       ? arena_printf(a, "selects pods, %s is the address of none",
					      addr_str(s->other_ip, text))
			       : "selects pods, and the other end is none";
	return arena_printf(a,
			    s->other->spec.hostNetwork ? "selects pods, %s is on its node's network"
						       : "selects pods, %s has ended",
			    pod_name(s->other, a));
}

static const char *pods_miss(const struct policy_side *s, const struct network_policy *p,
			     const struct policy_peer *peer, struct arena *a)
{
	const struct pod *other = s->others.v[0];
	const char *why = NULL;

	if (!policy_knows_pod(other))
		return no_pod_text(s, a);
	if (peer->namespaceSelector)
		why = selector_miss("namespaceSelector", peer->namespaceSelector,
				    arena_printf(a, "namespace %s", other->meta.namespace),
				    s->other_labels, a);
	else if (!text_eq(p->meta.namespace, other->meta.namespace))
		why = arena_printf(a, "selects pods of namespace %s, %s is in another",
				   p->meta.namespace, other_name(s, other, a));
	if (!why && peer->podSelector)
		why = selector_miss("podSelector", peer->podSelector, other_name(s, other, a),
				    &other->meta.labels, a);
	return why;
}

/* ---- blocks */

static const char *block_miss(const struct policy_side *s, const struct ip_block *b,
			      struct arena *a)
{
	char text[ADDR_TEXT];
	const struct ip_block whole = { .cidr = b->cidr };
	struct prefix p;

	if (!s->other_ip->family)
		return arena_printf(a, "ipBlock %s, and no address is known", b->cidr);
	addr_str(s->other_ip, text);
	if (!policy_block_has(&whole, s->other_ip))
		return arena_printf(a, "ipBlock %s has not %s", b->cidr, text);
	for (uint32_t i = 0; i < b->except.n; i++)
		if (!prefix_parse_lax(b->except.v[i], &p) && prefix_has(&p, s->other_ip))
			return arena_printf(a, "ipBlock %s has not %s, as except has %s", b->cidr,
					    text, b->except.v[i]);
	return NULL;
}

/* ---- all */

static void add_policy(const struct policy_side *s, const struct network_policy *p, struct arena *a,
		       struct policy_misses *out)
{
	struct policy_rules rules = policy_rules(p, s->type);
	struct policy_miss *v = out->list.v;
	uint32_t *n = &out->list.n;

	if (!rules.n)
		v[(*n)++] = (struct policy_miss){ p, -1, -1, "has no rule" };
	for (uint32_t i = 0; i < rules.n; i++) {
		const struct policy_rule *r = &rules.v[i];

		if (!policy_side_takes(s, r)) {
			v[(*n)++] = (struct policy_miss){ p, i, -1, ports_miss(s, r, a) };
			continue;
		}
		for (uint32_t k = 0; k < r->peers.n; k++) {
			const struct policy_peer *peer = &r->peers.v[k];
			const char *why = peer->ipBlock ? block_miss(s, peer->ipBlock, a)
							: pods_miss(s, p, peer, a);

			v[(*n)++] = (struct policy_miss){ p, i, k, why };
		}
	}
}

int policy_explain(const struct cluster *c, const struct policy_flow *flow, enum policy_type type,
		   const struct policy_half *half, struct arena *a, struct policy_misses *out,
		   struct err *e)
{
	struct policy_misses got = { .list = { NULL, 0 } };
	struct policy_side s;
	size_t room = half->isolating.n; /* at least; one without rules needs one */

	if (policy_side_of(c, flow, type, a, &s))
		return err_set(e, -ENOMEM, "no memory");
	for (uint32_t i = 0; i < half->isolating.n; i++) {
		struct policy_rules rules = policy_rules(half->isolating.v[i], type);

		for (uint32_t k = 0; k < rules.n; k++)
			room += rules.v[k].peers.n + 1;
	}
	got.list.v = arena_array(a, room, sizeof(*got.list.v));
	for (uint32_t i = 0; got.list.v && i < half->isolating.n; i++)
		add_policy(&s, half->isolating.v[i], a, &got);
	if (a->failed)
		return err_set(e, -ENOMEM, "no memory");
	*out = got;
	return 0;
}
