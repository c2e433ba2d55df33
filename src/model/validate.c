// SPDX-License-Identifier: Apache-2.0
/* Rules of objects. Those of Kubernetes' kinds are the API server's (pkg/apis/core/validation),
 * less what only a container runtime needs; those of fairlead's own kinds are in
 * docs/reference/. */
#include "model/validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PATH_LEN 128

/* "KIND NS/NAME: " and the text. */
static int bad(const struct object *o, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(const struct object *o, struct err *e, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, -EINVAL, "%s %s%s%s: %s", o->kind->name,
		       o->meta->namespace ? o->meta->namespace : "", o->meta->namespace ? "/" : "",
		       o->meta->name ? o->meta->name : "?", text);
}

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

/* ---- metadata */

static int check_labels(const struct object *o, const char *at, const struct strmap *labels,
			struct err *e)
{
	struct err inner = { .code = 0 };

	return validate_labels(at, labels, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

static int check_annotation_keys(const struct object *o, struct err *e)
{
	const struct strmap *m = &o->meta->annotations;

	for (uint32_t i = 0; i < m->n; i++)
		if (!is_qualified_name(m->v[i].key))
			return bad(o, e, "metadata.annotations: \"%s\" is no key ([prefix/]name)",
				   m->v[i].key);
	return 0;
}

static int check_meta(const struct object *o, struct err *e)
{
	const struct meta *m = o->meta;
	int rc;

	if (!m->name || !*m->name)
		return bad(o, e, "metadata.name: is required");
	if (o->kind->id == KIND_NAMESPACE ? !is_dns_label(m->name) : !is_dns_subdomain(m->name))
		return bad(o, e,
			   "metadata.name: must be lower case letters, digits, '-'%s, with a "
			   "letter or digit at both ends (RFC 1123)",
			   o->kind->id == KIND_NAMESPACE ? "" : " and '.'");
	if (m->namespace && !o->kind->namespaced)
		return bad(o, e, "metadata.namespace: must be absent, %s has none", o->kind->name);
	if (m->namespace && !is_dns_label(m->namespace))
		return bad(o, e, "metadata.namespace: must be lower case letters, digits and '-'");
	rc = check_labels(o, "metadata.labels", &m->labels, e);
	return rc ? rc : check_annotation_keys(o, e);
}

static int check_selector(const struct object *o, const char *at, const struct label_selector *s,
			  struct err *e)
{
	struct err inner = { .code = 0 };

	return s && validate_selector(at, s, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

static int check_bgp(const struct object *o, struct err *e)
{
	struct err inner = { .code = 0 };

	return validate_bgp(o, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

/* ---- Node, Pod, workloads */

static const char *const taint_effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };

static int check_node(const struct object *o, struct err *e)
{
	const struct node *n = o->body;
	struct prefix p;
	struct ipaddr a;
	int rc = check_bgp(o, e);

	if (rc)
		return rc;
	if (n->spec.podCIDR && *n->spec.podCIDR && prefix_parse(n->spec.podCIDR, &p))
		return bad(o, e, "spec.podCIDR: must be a CIDR such as 10.244.0.0/24");
	for (uint32_t i = 0; i < n->spec.taints.n; i++)
		if (!one_of(n->spec.taints.v[i].effect, taint_effects))
			return bad(o, e,
				   "spec.taints[%u].effect: must be one of NoSchedule, "
				   "PreferNoSchedule, NoExecute",
				   i);
	for (uint32_t i = 0; i < n->status.addresses.n; i++) {
		const struct node_address *na = &n->status.addresses.v[i];

		if ((na->type == NODE_INTERNAL_IP || na->type == NODE_EXTERNAL_IP) &&
		    addr_parse(na->address, &a))
			return bad(o, e, "status.addresses[%u].address: must be an IP address", i);
	}
	return 0;
}

static int check_containers(const struct object *o, const char *at, const struct container *v,
			    uint32_t n, struct err *e)
{
	struct ipaddr ip;

	for (uint32_t i = 0; i < n; i++) {
		if (!is_dns_label(v[i].name))
			return bad(o, e, "%s[%u].name: must be a DNS label (RFC 1123)", at, i);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(v[i].name, v[k].name))
				return bad(o, e, "%s[%u].name: \"%s\" is there twice", at, i,
					   v[i].name);
		for (uint32_t k = 0; k < v[i].ports.n; k++) {
			const struct container_port *port = &v[i].ports.v[k];

			if (port->name && (!is_dns_label(port->name) || strlen(port->name) > 15))
				return bad(o, e,
					   "%s[%u].ports[%u].name: must be up to 15 lower case "
					   "letters, digits or '-'",
					   at, i, k);
			if (port->hostIP && *port->hostIP && addr_parse(port->hostIP, &ip))
				return bad(o, e, "%s[%u].ports[%u].hostIP: must be an IP address",
					   at, i, k);
		}
	}
	return 0;
}

static int check_tolerations(const struct object *o, const char *at, const struct pod_spec *s,
			     struct err *e)
{
	for (uint32_t i = 0; i < s->tolerations.n; i++) {
		const struct toleration *t = &s->tolerations.v[i];

		if (t->operator&& strcmp(t->operator, "Exists") != 0 &&
		    strcmp(t->operator, "Equal") != 0 && *t->operator)
			return bad(o, e, "%s.tolerations[%u].operator: must be Exists or Equal", at,
				   i);
		if (t->effect && *t->effect && !one_of(t->effect, taint_effects))
			return bad(o, e,
				   "%s.tolerations[%u].effect: must be one of NoSchedule, "
				   "PreferNoSchedule, NoExecute",
				   at, i);
	}
	return 0;
}

static int check_pod_spec(const struct object *o, const char *at, const struct pod_spec *s,
			  struct err *e)
{
	static const char *const restart[] = { "Always", "OnFailure", "Never", NULL };
	static const char *const dns[] = { "ClusterFirst", "ClusterFirstWithHostNet", "Default",
					   "None", NULL };
	char path[PATH_LEN];
	int rc;

	if (s->nodeName && *s->nodeName && !is_dns_subdomain(s->nodeName))
		return bad(o, e, "%s.nodeName: must be the name of a node", at);
	if (s->hostname && *s->hostname && !is_dns_label(s->hostname))
		return bad(o, e, "%s.hostname: must be a DNS label (RFC 1123)", at);
	if (s->subdomain && *s->subdomain && !is_dns_label(s->subdomain))
		return bad(o, e, "%s.subdomain: must be a DNS label (RFC 1123)", at);
	if (s->restartPolicy && !one_of(s->restartPolicy, restart))
		return bad(o, e, "%s.restartPolicy: must be one of Always, OnFailure, Never", at);
	if (s->dnsPolicy && !one_of(s->dnsPolicy, dns))
		return bad(o, e,
			   "%s.dnsPolicy: must be one of ClusterFirst, ClusterFirstWithHostNet, "
			   "Default, None",
			   at);
	snprintf(path, sizeof(path), "%s.nodeSelector", at);
	rc = check_labels(o, path, &s->nodeSelector, e);
	snprintf(path, sizeof(path), "%s.containers", at);
	if (!rc)
		rc = check_containers(o, path, s->containers.v, s->containers.n, e);
	snprintf(path, sizeof(path), "%s.initContainers", at);
	if (!rc)
		rc = check_containers(o, path, s->initContainers.v, s->initContainers.n, e);
	return rc ? rc : check_tolerations(o, at, s, e);
}

static int check_pod(const struct object *o, struct err *e)
{
	const struct pod *p = o->body;
	int rc = check_pod_spec(o, "spec", &p->spec, e);
	struct ipaddr ips[2];
	struct err inner = { .code = 0 };

	if (rc)
		return rc;
	if (p->status.podIPs.n > 2 ||
	    (p->status.podIPs.n == 2 &&
	     p->status.podIPs.v[0].ip.family == p->status.podIPs.v[1].ip.family))
		return bad(o, e, "status.podIPs: at most one address of each family");
	if (annotation_ips(o->meta, ips, 2, &inner) < 0)
		return bad(o, e, "%s", inner.text);
	return 0;
}

static int check_workload(const struct object *o, struct err *e)
{
	const struct workload *w = o->body;
	const struct label_selector *s = w->spec.selector;
	const char *policy = w->spec.template.spec.restartPolicy;
	int rc;

	rc = check_labels(o, "spec.template.metadata.labels", &w->spec.template.meta.labels, e);
	if (!rc)
		rc = check_pod_spec(o, "spec.template.spec", &w->spec.template.spec, e);
	if (!rc)
		rc = check_selector(o, "spec.selector", s, e);
	if (rc)
		return rc;
	if (o->kind->id == KIND_JOB) {
		if (!policy || !strcmp(policy, "Always"))
			return bad(o, e,
				   "spec.template.spec.restartPolicy: must be OnFailure or Never");
		return 0;
	}
	if (policy && strcmp(policy, "Always") != 0)
		return bad(o, e, "spec.template.spec.restartPolicy: must be Always");
	if (!s || (!s->matchLabels.n && !s->matchExpressions.n))
		return bad(o, e, "spec.selector: is required and must not be empty");
	if (!selector_match(s, &w->spec.template.meta.labels))
		return bad(o, e, "spec.selector: does not match spec.template.metadata.labels");
	return 0;
}

/* ---- fairlead.io/v1 */

/* Ranges that no pod can live in (RFC 6890, RFC 4291). */
static bool is_unusable(const struct prefix *p)
{
	static const char *const ranges[] = { "0.0.0.0/8",      "127.0.0.0/8", "224.0.0.0/3",
					      "169.254.0.0/16", "::/127",      "fe80::/10",
					      "ff00::/8" };
	struct prefix range;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (!prefix_parse(ranges[i], &range) && prefix_overlaps(&range, p))
			return true;
	return false;
}

static int check_net(const struct object *o, const char *at, const struct prefix *p, struct err *e)
{
	struct prefix masked = prefix_mask(p);
	char text[PREFIX_TEXT];

	if (prefix_eq(&masked, p))
		return 0;
	return bad(o, e, "%s: host bits must be zero: %s", at, prefix_str(&masked, text));
}

static int check_pool(const struct object *o, struct err *e)
{
	const struct ippool *p = o->body;
	bool v6 = p->spec.cidr.addr.family == AF_INET6;
	int lo = v6 ? 116 : 20, hi = v6 ? 128 : 32;
	char text[PREFIX_TEXT];
	int rc = check_net(o, "spec.cidr", &p->spec.cidr, e);

	if (rc)
		return rc;
	if (is_unusable(&p->spec.cidr))
		return bad(o, e,
			   "spec.cidr: %s holds loopback, link-local, multicast or reserved "
			   "addresses",
			   prefix_str(&p->spec.cidr, text));
	if (p->spec.blockSize && (p->spec.blockSize < lo || p->spec.blockSize > hi))
		return bad(o, e, "spec.blockSize: must be between %d and %d", lo, hi);
	if (p->spec.blockSize && p->spec.blockSize < p->spec.cidr.len)
		return bad(o, e, "spec.blockSize: a /%lld block is larger than the pool %s",
			   (long long)p->spec.blockSize, prefix_str(&p->spec.cidr, text));
	if (v6 && p->spec.mode == POOL_IPIP)
		return bad(o, e, "spec.mode: IPIP carries IPv4 only; use VXLAN or Direct");
	if (p->spec.crossSubnet && p->spec.mode == POOL_DIRECT)
		return bad(o, e, "spec.crossSubnet: has no meaning with mode Direct");
	return check_selector(o, "spec.nodeSelector", p->spec.nodeSelector, e);
}

static int check_block(const struct object *o, struct err *e)
{
	const struct ipblock *b = o->body;
	int rc = check_net(o, "spec.cidr", &b->spec.cidr, e);

	if (rc)
		return rc;
	if (b->spec.tunnelAddress.family && !prefix_has(&b->spec.cidr, &b->spec.tunnelAddress))
		return bad(o, e, "spec.tunnelAddress: must be inside of spec.cidr");
	for (uint32_t i = 0; i < b->spec.borrowed.n; i++) {
		const struct ipaddr *a = &b->spec.borrowed.v[i].address;

		if (a->family && !prefix_has(&b->spec.cidr, a))
			return bad(o, e, "spec.borrowed[%u].address: must be inside of spec.cidr",
				   i);
	}
	return 0;
}

static int check_reservation(const struct object *o, struct err *e)
{
	const struct ipreservation *r = o->body;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < r->spec.reservedCIDRs.n; i++) {
		char at[PATH_LEN];

		snprintf(at, sizeof(at), "spec.reservedCIDRs[%u]", i);
		rc = check_net(o, at, &r->spec.reservedCIDRs.v[i], e);
	}
	return rc;
}

static int check_service(const struct object *o, struct err *e)
{
	const struct service *s = o->body;
	struct err inner = { .code = 0 };
	int rc;

	if (!is_dns_label(o->meta->name)) /* KEP-5311: may begin with a digit */
		return bad(o, e, "metadata.name: must be a DNS label (RFC 1123)");
	rc = check_labels(o, "spec.selector", &s->spec.selector, e);
	if (!rc && validate_service(s, &inner))
		rc = bad(o, e, "%s", inner.text);
	return rc;
}

static int check_slice(const struct object *o, struct err *e)
{
	struct err inner = { .code = 0 };

	return validate_endpoint_slice(o->body, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

static int check_policy(const struct object *o, struct err *e)
{
	struct err inner = { .code = 0 };

	return validate_network_policy(o->body, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

static int check_trace(const struct object *o, struct err *e)
{
	struct err inner = { .code = 0 };

	return validate_packet_trace(o->body, &inner) ? bad(o, e, "%s", inner.text) : 0;
}

int validate_object(const struct object *o, struct err *e)
{
	int rc = check_meta(o, e);

	if (rc)
		return rc;
	switch ((enum kind_id)o->kind->id) {
	case KIND_NODE:
		return check_node(o, e);
	case KIND_POD:
		return check_pod(o, e);
	case KIND_SERVICE:
		return check_service(o, e);
	case KIND_ENDPOINTSLICE:
		return check_slice(o, e);
	case KIND_NETWORKPOLICY:
		return check_policy(o, e);
	case KIND_DEPLOYMENT:
	case KIND_REPLICASET:
	case KIND_STATEFULSET:
	case KIND_DAEMONSET:
	case KIND_JOB:
		return check_workload(o, e);
	case KIND_IPPOOL:
		return check_pool(o, e);
	case KIND_IPBLOCK:
		return check_block(o, e);
	case KIND_IPRESERVATION:
		return check_reservation(o, e);
	case KIND_PACKETTRACE:
		return check_trace(o, e);
	case KIND_BGPCONFIGURATION:
	case KIND_BGPPEER:
	case KIND_BGPFILTER:
	case KIND_SECRET:
		return check_bgp(o, e);
	case KIND_NAMESPACE:
	case KIND_LEASE:
	case KIND_WORKLOADENDPOINT:
	case KIND_NODESTATE:
	case KIND_NONE:
	case KIND_INGRESS:
	case KIND_COUNT:
		return 0;
	}
	return 0;
}

int validate_among(const struct object *o, const struct object *other, struct err *e)
{
	const struct ippool *a = o->body, *b = other->body;
	char text[PREFIX_TEXT];

	if (o->kind->id != KIND_IPPOOL || other->kind->id != KIND_IPPOOL ||
	    !strcmp(o->meta->name, other->meta->name) ||
	    !prefix_overlaps(&a->spec.cidr, &b->spec.cidr))
		return 0;
	return bad(o, e, "spec.cidr: overlaps with IPPool %s (%s)", other->meta->name,
		   prefix_str(&b->spec.cidr, text));
}
