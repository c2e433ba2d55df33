// SPDX-License-Identifier: Apache-2.0
/* Rules of NetworkPolicy: those of the API server (pkg/apis/networking/validation), and of the
 * annotation that says what
 * becomes of connections which a new policy forbids. */
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Paths by depth: "spec.egress[0]", ".ports[1]", ".namespaceSelector". */
#define RULE_PATH 32
#define ITEM_PATH 64
#define PART_PATH 96

static int check_on_change(const struct meta *m, struct err *e)
{
	const char *value = strmap_get(&m->annotations, ANNOTATION_ON_CHANGE);

	if (!value || !strcmp(value, "enforce") || !strcmp(value, "grandfather"))
		return 0;
	return err_set(e, -EINVAL,
		       "metadata.annotations." ANNOTATION_ON_CHANGE
		       ": must be enforce or grandfather, not \"%.64s\"",
		       value);
}

/* `at`: the path of what is checked, "spec.ingress[0].ports[1]". */
static int check_port(const char *at, const struct policy_port *p, struct err *e)
{
	if (p->port.type == INTSTR_STR && !is_port_name(p->port.s))
		return err_set(e, -EINVAL,
			       "%s.port: must be a port or up to 15 lower case letters, digits or "
			       "'-', with a letter",
			       at);
	if (!p->endPort.set)
		return 0;
	if (p->port.type == INTSTR_ABSENT)
		return err_set(e, -EINVAL, "%s.endPort: may only be set with port", at);
	if (p->port.type == INTSTR_STR)
		return err_set(e, -EINVAL, "%s.endPort: may not be set where port is a name", at);
	if (p->endPort.v < p->port.i)
		return err_set(e, -EINVAL, "%s.endPort: must be ≥ port (%lld)", at,
			       (long long)p->port.i);
	return 0;
}

static int check_block(const char *at, const struct ip_block *b, struct err *e)
{
	struct prefix cidr, except;

	if (prefix_parse_lax(b->cidr, &cidr))
		return err_set(e, -EINVAL,
			       "%s.cidr: must be a CIDR such as 10.0.0.0/8, not \"%.64s\"", at,
			       b->cidr);
	for (uint32_t i = 0; i < b->except.n; i++) {
		if (prefix_parse_lax(b->except.v[i], &except))
			return err_set(e, -EINVAL,
				       "%s.except[%u]: must be a CIDR such as 10.1.0.0/16, not "
				       "\"%.64s\"",
				       at, i, b->except.v[i]);
		if (!prefix_has(&cidr, &except.addr) || except.len <= cidr.len)
			return err_set(e, -EINVAL,
				       "%s.except[%u]: must be a strict part of cidr (%s)", at, i,
				       b->cidr);
	}
	return 0;
}

static int check_peer(const char *at, const struct policy_peer *p, struct err *e)
{
	bool selects = p->podSelector || p->namespaceSelector;
	char path[PART_PATH];
	int rc = 0;

	if (!p->ipBlock && !selects)
		return err_set(e, -EINVAL,
			       "%s: must have a podSelector, a namespaceSelector or an ipBlock",
			       at);
	if (p->ipBlock && selects)
		return err_set(e, -EINVAL, "%s.ipBlock: may not stand beside a selector", at);
	snprintf(path, sizeof(path), "%s.ipBlock", at);
	if (p->ipBlock)
		return check_block(path, p->ipBlock, e);
	snprintf(path, sizeof(path), "%s.podSelector", at);
	if (p->podSelector)
		rc = validate_selector(path, p->podSelector, e);
	snprintf(path, sizeof(path), "%s.namespaceSelector", at);
	if (!rc && p->namespaceSelector)
		rc = validate_selector(path, p->namespaceSelector, e);
	return rc;
}

static int check_rule(const char *at, const char *peers, const struct policy_rule *r, struct err *e)
{
	char path[ITEM_PATH];
	int rc = 0;

	for (uint32_t i = 0; !rc && i < r->ports.n; i++) {
		snprintf(path, sizeof(path), "%s.ports[%u]", at, i);
		rc = check_port(path, &r->ports.v[i], e);
	}
	for (uint32_t i = 0; !rc && i < r->peers.n; i++) {
		snprintf(path, sizeof(path), "%s.%s[%u]", at, peers, i);
		rc = check_peer(path, &r->peers.v[i], e);
	}
	return rc;
}

int validate_network_policy(const struct network_policy *p, struct err *e)
{
	char path[RULE_PATH];
	int rc = check_on_change(&p->meta, e);

	if (!rc)
		rc = validate_selector("spec.podSelector", &p->spec.podSelector, e);
	if (!rc && p->spec.policyTypes.n > 2)
		rc = err_set(e, -EINVAL, "spec.policyTypes: at most Ingress and Egress");
	for (uint32_t i = 0; !rc && i < p->spec.ingress.n; i++) {
		snprintf(path, sizeof(path), "spec.ingress[%u]", i);
		rc = check_rule(path, "from", &p->spec.ingress.v[i], e);
	}
	for (uint32_t i = 0; !rc && i < p->spec.egress.n; i++) {
		snprintf(path, sizeof(path), "spec.egress[%u]", i);
		rc = check_rule(path, "to", &p->spec.egress.v[i], e);
	}
	return rc;
}
