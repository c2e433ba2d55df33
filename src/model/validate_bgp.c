// SPDX-License-Identifier: Apache-2.0
/* Rules of BGPConfiguration, BGPPeer, BGPFilter, of Secrets with passwords, and of Nodes' annotations for BGP. Of a Secret no
 * error shows a value. */
#include "model/bgp.h"
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Paths by depth: "spec.importV4[0]", ".operations[1]", ".addCommunity.value". */
#define RULE_PATH 32
#define ITEM_PATH 64
#define PATH_LEN  96

/* ---- Node, Secret */

static int check_node(const struct meta *m, struct err *e)
{
	if (strmap_get(&m->annotations, ANNOTATION_AS_NUMBER) && !annotation_as_number(m))
		return err_set(e, -EINVAL,
			       "metadata.annotations." ANNOTATION_AS_NUMBER
			       ": must be 1 to 4294967295");
	if (strmap_get(&m->annotations, ANNOTATION_CLUSTER_ID) && !annotation_cluster_id(m))
		return err_set(e, -EINVAL,
			       "metadata.annotations." ANNOTATION_CLUSTER_ID
			       ": must be like an IPv4 address, such as 244.0.0.1");
	return 0;
}

static int check_passwords(const struct secret *s, const char *at, const struct strmap *m,
			   struct err *e)
{
	uint8_t v[PASSWORD_MAX];

	for (uint32_t i = 0; i < m->n; i++)
		if (!secret_password(s, m->v[i].key, v))
			return err_set(e, -EINVAL,
				       "%s.%s: must be 1 to %d octets without control "
				       "characters, such as a line's end%s",
				       at, m->v[i].key, PASSWORD_MAX,
				       m == &s->data ? ", in base64" : "");
	return 0;
}

static int check_secret(const struct secret *s, struct err *e)
{
	int rc = check_passwords(s, "stringData", &s->stringData, e);

	return rc ? rc : check_passwords(s, "data", &s->data, e);
}

/* ---- parts */

static int check_net(const char *at, const struct prefix *p, struct err *e)
{
	struct prefix masked = prefix_mask(p);
	char text[PREFIX_TEXT];

	if (prefix_eq(&masked, p))
		return 0;
	return err_set(e, -EINVAL, "%s: host bits must be zero: %s", at, prefix_str(&masked, text));
}

static int check_password(const char *at, const struct bgp_password *p, struct err *e)
{
	if (!p)
		return 0;
	if (!p->secretKeyRef == !p->file)
		return err_set(e, -EINVAL, "%s: must have secretKeyRef or file", at);
	if (p->file && p->file[0] != '/')
		return err_set(e, -EINVAL, "%s.file: must be an absolute path", at);
	if (p->secretKeyRef && !is_dns_subdomain(p->secretKeyRef->name))
		return err_set(e, -EINVAL, "%s.secretKeyRef.name: must be the name of a Secret",
			       at);
	return 0;
}

static int check_timers(const struct bgp_timers *t, struct err *e)
{
	const struct opt_i64 *hold = &t->holdTimeSeconds, *keep = &t->keepAliveTimeSeconds;

	if (hold->set && hold->v && hold->v < 3)
		return err_set(e, -EINVAL,
			       "spec.timers.holdTimeSeconds: must be 0 or at least 3 (RFC 4271 "
			       "4.2)");
	if (hold->set && keep->set && hold->v && keep->v > hold->v / 3)
		return err_set(e, -EINVAL,
			       "spec.timers.keepAliveTimeSeconds: must be at most a third of "
			       "holdTimeSeconds");
	return 0;
}

static int check_community(const char *at, const char *s, struct err *e)
{
	uint32_t v[3];

	if (community_parse(s, v) > 0)
		return 0;
	return err_set(e, -EINVAL,
		       "%s: must be a community such as 65000:100, or 65000:1:2, not \"%.64s\"", at,
		       s);
}

/* ---- BGPConfiguration */

typedef __typeof__(((struct bgpconfiguration *)0)->spec) config_spec;

static bool is_named(const config_spec *s, const char *name)
{
	for (uint32_t i = 0; i < s->communities.n; i++)
		if (!strcmp(s->communities.v[i].name, name))
			return true;
	return false;
}

static int check_communities(const config_spec *s, struct err *e)
{
	char at[PATH_LEN];
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->communities.n; i++) {
		snprintf(at, sizeof(at), "spec.communities[%u].value", i);
		rc = check_community(at, s->communities.v[i].value, e);
	}
	for (uint32_t i = 0; !rc && i < s->prefixAdvertisements.n; i++) {
		const struct bgp_advertisement *a = &s->prefixAdvertisements.v[i];

		snprintf(at, sizeof(at), "spec.prefixAdvertisements[%u].cidr", i);
		rc = check_net(at, &a->cidr, e);
		for (uint32_t k = 0; !rc && k < a->communities.n; k++) {
			snprintf(at, sizeof(at), "spec.prefixAdvertisements[%u].communities[%u]", i,
				 k);
			if (!is_named(s, a->communities.v[k]))
				rc = check_community(at, a->communities.v[k], e);
		}
	}
	return rc;
}

static int check_ranges(const config_spec *s, struct err *e)
{
	const struct {
		const char *name;
		const struct bgp_cidr *v;
		uint32_t n;
	} ranges[] = {
		{ "serviceClusterIPs", s->serviceClusterIPs.v, s->serviceClusterIPs.n },
		{ "serviceExternalIPs", s->serviceExternalIPs.v, s->serviceExternalIPs.n },
		{ "serviceLoadBalancerIPs", s->serviceLoadBalancerIPs.v,
		  s->serviceLoadBalancerIPs.n },
	};
	char at[PATH_LEN];
	int rc = 0;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint32_t k = 0; !rc && k < ranges[i].n; k++) {
			snprintf(at, sizeof(at), "spec.%s[%u].cidr", ranges[i].name, k);
			rc = check_net(at, &ranges[i].v[k].cidr, e);
		}
	for (uint32_t i = 0; !rc && i < s->networks.n; i++) {
		snprintf(at, sizeof(at), "spec.networks[%u]", i);
		rc = check_net(at, &s->networks.v[i], e);
	}
	return rc;
}

static int check_config(const struct bgpconfiguration *c, struct err *e)
{
	static const size_t prefix = sizeof(BGP_CONFIG_NODE) - 1;
	const char *name = c->meta.name;
	int rc;

	if (strcmp(name, BGP_CONFIG_DEFAULT) != 0 && strncmp(name, BGP_CONFIG_NODE, prefix) != 0)
		return err_set(e, -EINVAL,
			       "metadata.name: must be \"" BGP_CONFIG_DEFAULT
			       "\", or \"" BGP_CONFIG_NODE
			       "\" and a node's name for what it has otherwise");
	rc = check_password("spec.nodeMeshPassword", c->spec.nodeMeshPassword, e);
	if (!rc)
		rc = check_timers(&c->spec.timers, e);
	if (!rc)
		rc = check_ranges(&c->spec, e);
	return rc ? rc : check_communities(&c->spec, e);
}

/* ---- BGPPeer */

typedef __typeof__(((struct bgppeer *)0)->spec) peer_spec;

static int check_whom(const peer_spec *s, struct err *e)
{
	struct ipaddr a;
	uint16_t port;

	if (!s->peerIP == !s->peerSelector)
		return err_set(e, -EINVAL, "spec: must have peerIP or peerSelector");
	if (s->peerSelector && s->asNumber)
		return err_set(e, -EINVAL,
			       "spec.asNumber: may not stand beside peerSelector; a Node's AS is "
			       "the configuration's, or its annotation " ANNOTATION_AS_NUMBER);
	if (s->peerSelector)
		return validate_selector("spec.peerSelector", s->peerSelector, e);
	if (peer_ip_parse(s->peerIP, &a, &port))
		return err_set(e, -EINVAL,
			       "spec.peerIP: must be an address such as 192.0.2.1, or with its "
			       "port 192.0.2.1:1179 or [2001:db8::1]:1179, not \"%.64s\"",
			       s->peerIP);
	if (addr_is_unspecified(&a) || addr_is_link_local(&a))
		return err_set(e, -EINVAL, "spec.peerIP: must not be %s",
			       addr_is_link_local(&a) ? "link-local, which names no link"
						      : "the unspecified address");
	return s->asNumber ? 0 : err_set(e, -EINVAL, "spec.asNumber: is required beside peerIP");
}

static int check_filters(const peer_spec *s, struct err *e)
{
	for (uint32_t i = 0; i < s->filters.n; i++) {
		if (!is_dns_subdomain(s->filters.v[i]))
			return err_set(e, -EINVAL,
				       "spec.filters[%u]: must be the name of a BGPFilter", i);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(s->filters.v[i], s->filters.v[k]))
				return err_set(e, -EINVAL,
					       "spec.filters[%u]: \"%s\" is there twice", i,
					       s->filters.v[i]);
	}
	return 0;
}

static int check_peer(const struct bgppeer *p, struct err *e)
{
	const peer_spec *s = &p->spec;
	int rc;

	if (s->node && s->nodeSelector)
		return err_set(e, -EINVAL, "spec.nodeSelector: may not stand beside node");
	if (s->node && !is_dns_subdomain(s->node))
		return err_set(e, -EINVAL, "spec.node: must be the name of a Node");
	if (s->families.v && !s->families.n)
		return err_set(e, -EINVAL, "spec.families: must have one, or be absent");
	rc = s->nodeSelector ? validate_selector("spec.nodeSelector", s->nodeSelector, e) : 0;
	if (!rc)
		rc = check_whom(s, e);
	if (!rc)
		rc = check_password("spec.password", s->password, e);
	if (!rc)
		rc = check_timers(&s->timers, e);
	return rc ? rc : check_filters(s, e);
}

/* ---- BGPFilter */

static int check_operation(const char *at, const struct filter_operation *o, struct err *e)
{
	char path[PATH_LEN];

	if (!!o->addCommunity + !!o->prependASPath + !!o->setLocalPreference != 1)
		return err_set(e, -EINVAL,
			       "%s: must have one of addCommunity, prependASPath, "
			       "setLocalPreference",
			       at);
	if (o->prependASPath && !o->prependASPath->prefix.n)
		return err_set(e, -EINVAL, "%s.prependASPath.prefix: must have a number", at);
	snprintf(path, sizeof(path), "%s.addCommunity.value", at);
	return o->addCommunity ? check_community(path, o->addCommunity->value, e) : 0;
}

static int check_length(const char *at, const struct filter_rule *r, uint8_t family, struct err *e)
{
	int max = family == AF_INET ? 32 : 128;
	const struct filter_length *l = r->prefixLength;

	if (!l)
		return 0;
	if (!l->min.set && !l->max.set)
		return err_set(e, -EINVAL, "%s.prefixLength: must have min or max", at);
	if ((l->min.set && l->min.v > max) || (l->max.set && l->max.v > max))
		return err_set(e, -EINVAL, "%s.prefixLength: must be at most %d", at, max);
	if (l->min.set && l->max.set && l->min.v > l->max.v)
		return err_set(e, -EINVAL, "%s.prefixLength.min: must be at most max", at);
	return 0;
}

static int check_rule(const char *at, const struct filter_rule *r, uint8_t family, struct err *e)
{
	char path[ITEM_PATH];
	int rc;

	if (r->cidr.addr.family && r->cidr.addr.family != family)
		return err_set(e, -EINVAL, "%s.cidr: must be IPv%d", at, family == AF_INET ? 4 : 6);
	snprintf(path, sizeof(path), "%s.cidr", at);
	rc = r->cidr.addr.family ? check_net(path, &r->cidr, e) : 0;
	if (rc)
		return rc;
	if (r->matchOperator && !r->cidr.addr.family)
		return err_set(e, -EINVAL, "%s.matchOperator: needs a cidr to compare with", at);
	if (r->operations.n && r->action == FILTER_REJECT)
		return err_set(e, -EINVAL, "%s.operations: only of a route that is accepted", at);
	rc = check_length(at, r, family, e);
	for (uint32_t i = 0; !rc && r->communities && i < r->communities->values.n; i++) {
		snprintf(path, sizeof(path), "%s.communities.values[%u]", at, i);
		rc = check_community(path, r->communities->values.v[i], e);
	}
	for (uint32_t i = 0; !rc && i < r->operations.n; i++) {
		snprintf(path, sizeof(path), "%s.operations[%u]", at, i);
		rc = check_operation(path, &r->operations.v[i], e);
	}
	return rc;
}

static int check_filter(const struct bgpfilter *f, struct err *e)
{
	const struct {
		const char *name;
		const struct filter_rule *v;
		uint32_t n;
		uint8_t family;
	} lists[] = {
		{ "importV4", f->spec.importV4.v, f->spec.importV4.n, AF_INET },
		{ "exportV4", f->spec.exportV4.v, f->spec.exportV4.n, AF_INET },
		{ "importV6", f->spec.importV6.v, f->spec.importV6.n, AF_INET6 },
		{ "exportV6", f->spec.exportV6.v, f->spec.exportV6.n, AF_INET6 },
	};
	char at[RULE_PATH];
	int rc = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (uint32_t k = 0; !rc && k < lists[i].n; k++) {
			snprintf(at, sizeof(at), "spec.%s[%u]", lists[i].name, k);
			rc = check_rule(at, &lists[i].v[k], lists[i].family, e);
		}
	return rc;
}

int validate_bgp(const struct object *o, struct err *e)
{
	switch ((enum kind_id)o->kind->id) {
	case KIND_NODE:
		return check_node(o->meta, e);
	case KIND_SECRET:
		return check_secret(o->body, e);
	case KIND_BGPCONFIGURATION:
		return check_config(o->body, e);
	case KIND_BGPPEER:
		return check_peer(o->body, e);
	case KIND_BGPFILTER:
		return check_filter(o->body, e);
	default:
		return 0;
	}
}
