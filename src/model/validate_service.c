// SPDX-License-Identifier: Apache-2.0
/* Rules of Service and EndpointSlice: those of the API server (pkg/apis/core/validation,
 * pkg/apis/discovery/validation) on what its defaults would have filled in, so that what
 * Kubernetes took is never refused here. Fields that it wants but a controller fills in later
 * (clusterIP, nodePort, healthCheckNodePort) may be absent. What has no meaning for the type
 * (externalTrafficPolicy, healthCheckNodePort) or is empty (an entry of
 * loadBalancerSourceRanges) is ignored, as kube-proxy does. */
#include "model/validate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static bool is_set(const char *s)
{
	return s && *s;
}

/* Of what is refused, a rule in words; NULL: any other address. */
static const char *special_address(const struct ipaddr *a)
{
	static const struct {
		const char *net, *rule;
	} special[] = {
		{ "0.0.0.0/32", "must not be unspecified (0.0.0.0)" },
		{ "127.0.0.0/8", "must not be in the loopback range (127.0.0.0/8)" },
		{ "169.254.0.0/16", "must not be in the link-local range (169.254.0.0/16)" },
		{ "224.0.0.0/24", "must not be in the link-local multicast range (224.0.0.0/24)" },
		{ "::/128", "must not be unspecified (::)" },
		{ "::1/128", "must not be the loopback address (::1)" },
		{ "fe80::/10", "must not be in the link-local range (fe80::/10)" },
		{ "ff02::/16", "must not be in the link-local multicast range (ff02::/16)" },
	};
	struct prefix p;

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (!prefix_parse(special[i].net, &p) && prefix_has(&p, a))
			return special[i].rule;
	return NULL;
}

static bool same_name(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static unsigned protocol_of(uint8_t protocol)
{
	return protocol ? protocol : PROTO_TCP;
}

/* ---- Service: ports */

static int check_port(const struct service *s, uint32_t i, struct err *e)
{
	const struct service_port *p = &s->spec.ports.v[i];
	const struct intstr *target = &p->targetPort;

	if (!is_set(p->name) && s->spec.ports.n > 1)
		return err_set(e, -EINVAL, "spec.ports[%u].name: is required with several ports",
			       i);
	if (is_set(p->name) && !is_dns_label(p->name))
		return err_set(e, -EINVAL, "spec.ports[%u].name: must be a DNS label (RFC 1123)",
			       i);
	if (target->type == INTSTR_INT && target->i < 0)
		return err_set(e, -EINVAL, "spec.ports[%u].targetPort: must be a port", i);
	if (target->type == INTSTR_STR && *target->s && !is_port_name(target->s))
		return err_set(e, -EINVAL,
			       "spec.ports[%u].targetPort: must be a port or up to 15 lower case "
			       "letters, digits or '-', with a letter",
			       i);
	if (is_set(p->appProtocol) && !is_qualified_name(p->appProtocol))
		return err_set(e, -EINVAL, "spec.ports[%u].appProtocol: must be [prefix/]name", i);
	if (p->nodePort && s->spec.type != SERVICE_NODE_PORT &&
	    s->spec.type != SERVICE_LOAD_BALANCER)
		return err_set(e, -EINVAL,
			       "spec.ports[%u].nodePort: may only be set with type NodePort or "
			       "LoadBalancer",
			       i);
	return 0;
}

static int check_two_ports(const struct service *s, uint32_t i, uint32_t k, struct err *e)
{
	const struct service_port *a = &s->spec.ports.v[k], *b = &s->spec.ports.v[i];

	if (same_name(a->name, b->name))
		return err_set(e, -EINVAL, "spec.ports[%u].name: \"%s\" is there twice", i,
			       b->name);
	if (protocol_of(a->protocol) != protocol_of(b->protocol))
		return 0;
	if (a->port == b->port)
		return err_set(e, -EINVAL, "spec.ports[%u].port: %lld/%s is there twice", i,
			       (long long)b->port,
			       name_of(&protocol_names, protocol_of(b->protocol)));
	if (b->nodePort && a->nodePort == b->nodePort)
		return err_set(e, -EINVAL, "spec.ports[%u].nodePort: %lld/%s is there twice", i,
			       (long long)b->nodePort,
			       name_of(&protocol_names, protocol_of(b->protocol)));
	return 0;
}

static bool is_headless(const struct service *s)
{
	return s->spec.clusterIP && !strcmp(s->spec.clusterIP, CLUSTER_IP_NONE);
}

static int check_ports(const struct service *s, struct err *e)
{
	int rc = 0;

	if (!s->spec.ports.n && s->spec.type != SERVICE_EXTERNAL_NAME && !is_headless(s))
		return err_set(e, -EINVAL, "spec.ports: is required");
	for (uint32_t i = 0; !rc && i < s->spec.ports.n; i++) {
		rc = check_port(s, i, e);
		for (uint32_t k = 0; !rc && k < i; k++)
			rc = check_two_ports(s, i, k, e);
	}
	return rc;
}

/* ---- Service: addresses */

static int check_cluster_ip(const char *text, const char *at, uint8_t *family, struct err *e)
{
	struct ipaddr a;

	if (addr_parse_lax(text, &a))
		return err_set(e, -EINVAL, "%s: must be None or an IP address, not \"%.64s\"", at,
			       text);
	*family = a.family;
	return 0;
}

static int check_cluster_ips(const struct service *s, struct err *e)
{
	uint8_t family[2] = { 0 };
	int rc = 0;

	if (s->spec.clusterIPs.n > 2)
		return err_set(e, -EINVAL, "spec.clusterIPs: at most one address of each family");
	if (is_set(s->spec.clusterIP) && !is_headless(s))
		rc = check_cluster_ip(s->spec.clusterIP, "spec.clusterIP", family, e);
	if (!rc && s->spec.clusterIPs.n && s->spec.clusterIP &&
	    strcmp(s->spec.clusterIP, s->spec.clusterIPs.v[0]) != 0)
		return err_set(e, -EINVAL,
			       "spec.clusterIP: must be the first of spec.clusterIPs (%s)",
			       s->spec.clusterIPs.v[0]);
	for (uint32_t i = 0; !rc && i < s->spec.clusterIPs.n; i++) {
		if (strcmp(s->spec.clusterIPs.v[i], CLUSTER_IP_NONE) != 0)
			rc = check_cluster_ip(s->spec.clusterIPs.v[i], "spec.clusterIPs",
					      &family[i], e);
		else if (s->spec.clusterIPs.n > 1)
			return err_set(e, -EINVAL, "spec.clusterIPs: None must stand alone");
	}
	if (!rc && family[1] && family[0] == family[1])
		return err_set(e, -EINVAL, "spec.clusterIPs: at most one address of each family");
	for (uint32_t i = 0; !rc && i < 2 && i < s->spec.ipFamilies.n; i++)
		if (family[i] &&
		    (family[i] == AF_INET6) != (s->spec.ipFamilies.v[i] == IP_FAMILY_6))
			return err_set(e, -EINVAL,
				       "spec.ipFamilies[%u]: differs from the cluster IP's", i);
	return rc;
}

static int check_families(const struct service *s, struct err *e)
{
	uint32_t n = s->spec.ipFamilies.n;

	if (n > 2 || (n == 2 && s->spec.ipFamilies.v[0] == s->spec.ipFamilies.v[1]))
		return err_set(e, -EINVAL, "spec.ipFamilies: IPv4 and IPv6 at most once each");
	if (s->spec.ipFamilyPolicy == SINGLE_STACK && (n == 2 || s->spec.clusterIPs.n == 2))
		return err_set(e, -EINVAL,
			       "spec.ipFamilyPolicy: must be PreferDualStack or RequireDualStack "
			       "with two families");
	return check_cluster_ips(s, e);
}

static int check_external_ips(const struct service *s, struct err *e)
{
	for (uint32_t i = 0; i < s->spec.externalIPs.n; i++) {
		const char *rule;
		struct ipaddr a;

		if (addr_parse_lax(s->spec.externalIPs.v[i], &a))
			return err_set(e, -EINVAL,
				       "spec.externalIPs[%u]: must be an IP address, not \"%.64s\"",
				       i, s->spec.externalIPs.v[i]);
		rule = special_address(&a);
		if (rule)
			return err_set(e, -EINVAL, "spec.externalIPs[%u]: %s", i, rule);
	}
	return 0;
}

/* ---- Service: the rest */

static int check_external_name(const struct service *s, struct err *e)
{
	char name[NAME_MAX_LEN + 2];
	size_t n;

	if (is_set(s->spec.clusterIP) || s->spec.clusterIPs.n)
		return err_set(e, -EINVAL,
			       "spec.clusterIP: must not be set with type ExternalName");
	if (s->spec.ipFamilies.n || s->spec.ipFamilyPolicy)
		return err_set(e, -EINVAL,
			       "spec.ipFamilies: must not be set with type ExternalName");
	if (!is_set(s->spec.externalName))
		return err_set(e, -EINVAL, "spec.externalName: is required");
	n = strlen(s->spec.externalName);
	if (n < sizeof(name)) {
		memcpy(name, s->spec.externalName, n + 1);
		if (name[n - 1] == '.') /* fully qualified */
			name[n - 1] = '\0';
	}
	if (n >= sizeof(name) || !is_dns_subdomain(name))
		return err_set(e, -EINVAL, "spec.externalName: must be a DNS name (RFC 1123)");
	return 0;
}

static int check_load_balancer(const struct service *s, struct err *e)
{
	bool is_lb = s->spec.type == SERVICE_LOAD_BALANCER;

	if (s->spec.loadBalancerSourceRanges.n && !is_lb)
		return err_set(e, -EINVAL,
			       "spec.loadBalancerSourceRanges: may only be set with type "
			       "LoadBalancer");
	for (uint32_t i = 0; i < s->spec.loadBalancerSourceRanges.n; i++) {
		const char *text = s->spec.loadBalancerSourceRanges.v[i];
		struct prefix p;

		if (text[strspn(text, " \t\r\n")] && prefix_parse_lax(text, &p))
			return err_set(e, -EINVAL,
				       "spec.loadBalancerSourceRanges[%u]: must be a CIDR such as "
				       "10.0.0.0/8, not \"%.64s\"",
				       i, text);
	}
	if (s->spec.allocateLoadBalancerNodePorts && !is_lb)
		return err_set(e, -EINVAL,
			       "spec.allocateLoadBalancerNodePorts: may only be set with type "
			       "LoadBalancer");
	if (is_set(s->spec.loadBalancerClass) && !is_lb)
		return err_set(e, -EINVAL,
			       "spec.loadBalancerClass: may only be set with type LoadBalancer");
	if (is_set(s->spec.loadBalancerClass) && !is_qualified_name(s->spec.loadBalancerClass))
		return err_set(e, -EINVAL, "spec.loadBalancerClass: must be [prefix/]name");
	for (uint32_t i = 0; i < s->status.loadBalancer.ingress.n; i++) {
		const struct lb_ingress *in = &s->status.loadBalancer.ingress.v[i];
		struct ipaddr a;

		if (is_set(in->ip) && addr_parse_lax(in->ip, &a))
			return err_set(e, -EINVAL,
				       "status.loadBalancer.ingress[%u].ip: must be an IP address, "
				       "not \"%.64s\"",
				       i, in->ip);
	}
	return 0;
}

int validate_service(const struct service *s, struct err *e)
{
	int rc = check_ports(s, e);

	if (!rc && s->spec.type == SERVICE_EXTERNAL_NAME)
		rc = check_external_name(s, e);
	else if (!rc && is_headless(s) &&
		 (s->spec.type == SERVICE_NODE_PORT || s->spec.type == SERVICE_LOAD_BALANCER))
		rc = err_set(e, -EINVAL,
			     "spec.clusterIP: must not be None with type NodePort or LoadBalancer");
	if (!rc)
		rc = check_families(s, e);
	if (!rc)
		rc = check_external_ips(s, e);
	if (!rc)
		rc = check_load_balancer(s, e);
	if (!rc && s->spec.sessionAffinityConfig && s->spec.sessionAffinity != AFFINITY_CLIENT_IP)
		rc = err_set(e, -EINVAL,
			     "spec.sessionAffinityConfig: may only be set with sessionAffinity "
			     "ClientIP");
	return rc;
}

/* ---- EndpointSlice */

#define MAX_ENDPOINTS   1000
#define MAX_ADDRESSES   100
#define MAX_SLICE_PORTS 20000

static int check_address(const struct endpoint_slice *s, uint32_t i, uint32_t k, struct err *e)
{
	const char *text = s->endpoints.v[i].addresses.v[k], *rule;
	unsigned family = s->addressType == SLICE_IPV6 ? AF_INET6 : AF_INET;
	struct ipaddr a;

	if (s->addressType == SLICE_FQDN) {
		if (is_dns_subdomain(text))
			return 0;
		return err_set(e, -EINVAL,
			       "endpoints[%u].addresses[%u]: must be a DNS name (RFC 1123)", i, k);
	}
	if (addr_parse_lax(text, &a) || a.family != family)
		return err_set(e, -EINVAL,
			       "endpoints[%u].addresses[%u]: must be an %s address, not \"%.64s\"",
			       i, k, family == AF_INET6 ? "IPv6" : "IPv4", text);
	rule = special_address(&a);
	return rule ? err_set(e, -EINVAL, "endpoints[%u].addresses[%u]: %s", i, k, rule) : 0;
}

static int check_endpoint(const struct endpoint_slice *s, uint32_t i, struct err *e)
{
	const struct slice_endpoint *ep = &s->endpoints.v[i];
	int rc = 0;

	if (!ep->addresses.n || ep->addresses.n > MAX_ADDRESSES)
		return err_set(e, -EINVAL, "endpoints[%u].addresses: must hold 1 to %d", i,
			       MAX_ADDRESSES);
	for (uint32_t k = 0; !rc && k < ep->addresses.n; k++)
		rc = check_address(s, i, k, e);
	if (!rc && is_set(ep->hostname) && !is_dns_label(ep->hostname))
		rc = err_set(e, -EINVAL, "endpoints[%u].hostname: must be a DNS label (RFC 1123)",
			     i);
	if (!rc && is_set(ep->nodeName) && !is_dns_subdomain(ep->nodeName))
		rc = err_set(e, -EINVAL, "endpoints[%u].nodeName: must be the name of a node", i);
	return rc;
}

static int check_slice_port(const struct endpoint_slice *s, uint32_t i, struct err *e)
{
	const struct slice_port *p = &s->ports.v[i];

	if (is_set(p->name) && !is_dns_label(p->name))
		return err_set(e, -EINVAL, "ports[%u].name: must be a DNS label (RFC 1123)", i);
	if (is_set(p->appProtocol) && !is_qualified_name(p->appProtocol))
		return err_set(e, -EINVAL, "ports[%u].appProtocol: must be [prefix/]name", i);
	for (uint32_t k = 0; k < i; k++)
		if (same_name(s->ports.v[k].name, p->name))
			return err_set(e, -EINVAL, "ports[%u].name: \"%s\" is there twice", i,
				       p->name ? p->name : "");
	return 0;
}

int validate_endpoint_slice(const struct endpoint_slice *s, struct err *e)
{
	int rc = 0;

	if (s->endpoints.n > MAX_ENDPOINTS)
		return err_set(e, -EINVAL, "endpoints: at most %d", MAX_ENDPOINTS);
	if (s->ports.n > MAX_SLICE_PORTS)
		return err_set(e, -EINVAL, "ports: at most %d", MAX_SLICE_PORTS);
	for (uint32_t i = 0; !rc && i < s->endpoints.n; i++)
		rc = check_endpoint(s, i, e);
	for (uint32_t i = 0; !rc && i < s->ports.n; i++)
		rc = check_slice_port(s, i, e);
	return rc;
}
