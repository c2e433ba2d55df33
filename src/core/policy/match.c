// SPDX-License-Identifier: Apache-2.0
/* What a NetworkPolicy's words mean: see match.h. Objects are as the store's doors let them in
 * (model/validate_policy.c); what could not have come through matches nothing. */
#include "core/policy/match.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const ways[] = { NULL, "ingress", "egress" };
const struct names policy_way_names = NAMES(ways);

struct policy_rules policy_rules(const struct network_policy *p, enum policy_type type)
{
	return type == POLICY_INGRESS
		       ? (struct policy_rules){ p->spec.ingress.v, p->spec.ingress.n }
		       : (struct policy_rules){ p->spec.egress.v, p->spec.egress.n };
}

const char *policy_rule_text(enum policy_type type, uint32_t rule, int64_t peer,
			     char buf[POLICY_RULE_TEXT])
{
	int n = snprintf(buf, POLICY_RULE_TEXT, "%s[%u]", name_of(&policy_way_names, type), rule);

	if (peer >= 0)
		snprintf(buf + n, POLICY_RULE_TEXT - (size_t)n, ".%s[%u]",
			 type == POLICY_INGRESS ? "from" : "to", (uint32_t)peer);
	return buf;
}

/* ---- pods and namespaces */

bool policy_knows_pod(const struct pod *p)
{
	return p && !p->spec.hostNetwork && p->status.phase != POD_SUCCEEDED &&
	       p->status.phase != POD_FAILED;
}

const struct strmap *policy_namespace_labels(const char *name, const struct namespace_obj *o,
					     struct arena *a)
{
	static const struct strmap none = { .n = 0 };
	const struct strmap *its = o ? &o->meta.labels : &none;
	struct strmap *all;

	if (text_eq(strmap_get(its, LABEL_NAMESPACE_NAME), name))
		return its;
	all = arena_alloc(a, sizeof(*all));
	if (!all)
		return NULL;
	/* strmap_put() changes the array in place where the label is there. */
	all->v = arena_array(a, its->n, sizeof(*all->v));
	if (!all->v)
		return NULL;
	if (its->n)
		memcpy(all->v, its->v, its->n * sizeof(*all->v));
	all->n = its->n;
	return strmap_put(all, a, LABEL_NAMESPACE_NAME, name) ? NULL : all;
}

bool policy_isolates(const struct network_policy *p, enum policy_type type, const struct pod *pod)
{
	return policy_knows_pod(pod) && text_eq(p->meta.namespace, pod->meta.namespace) &&
	       network_policy_has(p, type) &&
	       selector_match(&p->spec.podSelector, &pod->meta.labels);
}

bool policy_peer_selects(const struct policy_peer *peer, const char *ns, const struct pod *pod,
			 const struct strmap *labels)
{
	if (peer->ipBlock || !policy_knows_pod(pod))
		return false;
	if (peer->namespaceSelector ? !selector_match(peer->namespaceSelector, labels)
				    : !text_eq(ns, pod->meta.namespace))
		return false;
	return !peer->podSelector || selector_match(peer->podSelector, &pod->meta.labels);
}

bool policy_block_has(const struct ip_block *b, const struct ipaddr *a)
{
	struct prefix p;

	if (prefix_parse_lax(b->cidr, &p) || !prefix_has(&p, a))
		return false;
	for (uint32_t i = 0; i < b->except.n; i++)
		if (!prefix_parse_lax(b->except.v[i], &p) && prefix_has(&p, a))
			return false;
	return true;
}

/* ---- ports */

static bool goes_on(const struct container *c)
{
	return text_eq(c->restartPolicy, "Always");
}

const struct container_port *policy_pod_port(const struct pod *p, uint32_t i)
{
	const struct pod_spec *s = &p->spec;

	for (uint32_t k = 0; k < s->containers.n; i -= s->containers.v[k++].ports.n)
		if (i < s->containers.v[k].ports.n)
			return &s->containers.v[k].ports.v[i];
	for (uint32_t k = 0; k < s->initContainers.n; k++) {
		if (!goes_on(&s->initContainers.v[k]))
			continue;
		if (i < s->initContainers.v[k].ports.n)
			return &s->initContainers.v[k].ports.v[i];
		i -= s->initContainers.v[k].ports.n;
	}
	return NULL;
}

static bool has_named(const struct pod *to, const char *name, uint8_t proto, uint16_t port)
{
	const struct container_port *cp;

	for (uint32_t i = 0; policy_knows_pod(to) && (cp = policy_pod_port(to, i)); i++)
		if (text_eq(cp->name, name) && policy_protocol(cp->protocol) == proto &&
		    cp->containerPort == port)
			return true;
	return false;
}

bool policy_port_takes(const struct policy_port *p, uint8_t proto, uint16_t port,
		       const struct pod *to)
{
	if (policy_protocol(p->protocol) != proto)
		return false;
	switch (p->port.type) {
	case INTSTR_ABSENT:
		return true;
	case INTSTR_STR:
		return has_named(to, p->port.s, proto, port);
	default:
		return p->port.i <= port && port <= (p->endPort.set ? p->endPort.v : p->port.i);
	}
}

bool policy_rule_takes(const struct policy_rule *r, uint8_t proto, uint16_t port,
		       const struct pod *to)
{
	for (uint32_t i = 0; i < r->ports.n; i++)
		if (policy_port_takes(&r->ports.v[i], proto, port, to))
			return true;
	return !r->ports.n;
}
