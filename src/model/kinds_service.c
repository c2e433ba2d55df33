// SPDX-License-Identifier: Apache-2.0
/* Tables of Service (core/v1) and EndpointSlice (discovery.k8s.io/v1). Addresses stay text: an
 * API server keeps what was once written, also "None", "" and IPv4 with leading zeros, which
 * addr_parse_lax() reads. */
#include "model/cluster.h"
#include "model/table.h"

/* ---- Service */

ENUM_NAMES(service_type_names, SERVICE_EXTERNAL_NAME, "ClusterIP", "NodePort", "LoadBalancer",
	   "ExternalName");
ENUM_NAMES(affinity_names, AFFINITY_CLIENT_IP, "None", "ClientIP");
ENUM_NAMES(policy_names, POLICY_LOCAL, "Cluster", "Local");
ENUM_NAMES(ip_family_names, IP_FAMILY_6, "IPv4", "IPv6");
ENUM_NAMES(family_policy_names, REQUIRE_DUAL_STACK, "SingleStack", "PreferDualStack",
	   "RequireDualStack");
ENUM_NAMES(distribution_names, PREFER_SAME_NODE, "PreferClose", "PreferSameZone", "PreferSameNode");
ENUM_NAMES(ip_mode_names, IP_MODE_PROXY, "VIP", "Proxy");

static const struct field service_port_fields[] = {
	FIELD(struct service_port, name, 1, F_STR),
	FIELD(struct service_port, protocol, 2, F_ENUM, .names = &protocol_names),
	FIELD(struct service_port, port, 3, F_I64, .flags = FF_REQUIRED, .min = 1, .max = 65535),
	FIELD(struct service_port, targetPort, 4, F_INTSTR, .min = 0, .max = 65535),
	FIELD(struct service_port, nodePort, 5, F_I64, .min = 0, .max = 65535),
	FIELD(struct service_port, appProtocol, 6, F_STR),
};
static const SCHEMA(service_port_schema, "ServicePort", struct service_port, service_port_fields);

static const struct field client_ip_fields[] = {
	FIELD(struct client_ip_config, timeoutSeconds, 1, F_OPT_I64, .min = 1, .max = 86400),
};
static const SCHEMA(client_ip_schema, "ClientIPConfig", struct client_ip_config, client_ip_fields);

static const struct field affinity_config_fields[] = {
	FIELD(struct session_affinity_config, clientIP, 1, F_PTR, .sub = &client_ip_schema),
};
static const SCHEMA(affinity_config_schema, "SessionAffinityConfig", struct session_affinity_config,
		    affinity_config_fields);

typedef TYPE_OF(struct service, spec) service_spec;
static const struct field service_spec_fields[] = {
	FIELD(service_spec, type, 1, F_ENUM, .names = &service_type_names),
	FIELD(service_spec, clusterIP, 2, F_STR, .flags = FF_KEEP),
	FIELD(service_spec, clusterIPs, 3, F_STR, .flags = FF_LIST | FF_KEEP),
	FIELD(service_spec, ipFamilies, 4, F_ENUM, .flags = FF_LIST | FF_KEEP,
	      .names = &ip_family_names),
	FIELD(service_spec, ipFamilyPolicy, 5, F_ENUM, .flags = FF_KEEP,
	      .names = &family_policy_names),
	FIELD(service_spec, ports, 6, F_OBJ, .flags = FF_LIST, .sub = &service_port_schema),
	FIELD(service_spec, selector, 7, F_MAP),
	FIELD(service_spec, externalIPs, 8, F_STR, .flags = FF_LIST),
	FIELD(service_spec, externalName, 9, F_STR),
	FIELD(service_spec, sessionAffinity, 10, F_ENUM, .names = &affinity_names),
	FIELD(service_spec, sessionAffinityConfig, 11, F_PTR, .sub = &affinity_config_schema),
	FIELD(service_spec, externalTrafficPolicy, 12, F_ENUM, .names = &policy_names),
	FIELD(service_spec, internalTrafficPolicy, 13, F_ENUM, .names = &policy_names),
	FIELD(service_spec, trafficDistribution, 14, F_ENUM, .names = &distribution_names),
	FIELD(service_spec, publishNotReadyAddresses, 15, F_BOOL),
	FIELD(service_spec, loadBalancerIP, 16, F_STR),
	FIELD(service_spec, loadBalancerSourceRanges, 17, F_STR, .flags = FF_LIST),
	FIELD(service_spec, loadBalancerClass, 18, F_STR),
	FIELD(service_spec, allocateLoadBalancerNodePorts, 19, F_OPT_BOOL),
	FIELD(service_spec, healthCheckNodePort, 20, F_I64, .flags = FF_KEEP, .min = 0,
	      .max = 65535),
};
static const SCHEMA(service_spec_schema, "ServiceSpec", service_spec, service_spec_fields);

static const struct field port_status_fields[] = {
	FIELD(struct port_status, port, 1, F_I64, .flags = FF_REQUIRED, .min = 0, .max = 65535),
	FIELD(struct port_status, protocol, 2, F_ENUM, .names = &protocol_names),
	FIELD(struct port_status, error, 3, F_STR),
};
static const SCHEMA(port_status_schema, "PortStatus", struct port_status, port_status_fields);

static const struct field ingress_fields[] = {
	FIELD(struct lb_ingress, ip, 1, F_STR),
	FIELD(struct lb_ingress, hostname, 2, F_STR),
	FIELD(struct lb_ingress, ipMode, 3, F_ENUM, .names = &ip_mode_names),
	FIELD(struct lb_ingress, ports, 4, F_OBJ, .flags = FF_LIST, .sub = &port_status_schema),
};
static const SCHEMA(ingress_schema, "LoadBalancerIngress", struct lb_ingress, ingress_fields);

static const struct field lb_status_fields[] = {
	FIELD(struct lb_status, ingress, 1, F_OBJ, .flags = FF_LIST, .sub = &ingress_schema),
};
static const SCHEMA(lb_status_schema, "LoadBalancerStatus", struct lb_status, lb_status_fields);

typedef TYPE_OF(struct service, status) service_status;
static const struct field service_status_fields[] = {
	FIELD(service_status, loadBalancer, 1, F_OBJ, .sub = &lb_status_schema),
	FIELD(service_status, conditions, 2, F_OBJ, .flags = FF_LIST, .sub = &condition_schema),
};
static const SCHEMA(service_status_schema, "ServiceStatus", service_status, service_status_fields);

static const struct field service_fields[] = {
	FIELD_KEY(struct service, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct service, spec, 2, F_OBJ, .sub = &service_spec_schema),
	FIELD(struct service, status, 3, F_OBJ, .flags = FF_STATUS, .sub = &service_status_schema),
};
const SCHEMA(service_schema, "Service", struct service, service_fields);

/* ---- EndpointSlice */

ENUM_NAMES(slice_type_names, SLICE_FQDN, "IPv4", "IPv6", "FQDN");

static const struct field endpoint_conditions_fields[] = {
	FIELD(struct endpoint_conditions, ready, 1, F_OPT_BOOL),
	FIELD(struct endpoint_conditions, serving, 2, F_OPT_BOOL),
	FIELD(struct endpoint_conditions, terminating, 3, F_OPT_BOOL),
};
static const SCHEMA(endpoint_conditions_schema, "EndpointConditions", struct endpoint_conditions,
		    endpoint_conditions_fields);

static const struct field hint_fields[] = {
	FIELD(struct endpoint_hint, name, 1, F_STR, .flags = FF_REQUIRED),
};
static const SCHEMA(hint_schema, "ForZone", struct endpoint_hint, hint_fields);

static const struct field hints_fields[] = {
	FIELD(struct endpoint_hints, forZones, 1, F_OBJ, .flags = FF_LIST, .sub = &hint_schema),
	FIELD(struct endpoint_hints, forNodes, 2, F_OBJ, .flags = FF_LIST, .sub = &hint_schema),
};
static const SCHEMA(hints_schema, "EndpointHints", struct endpoint_hints, hints_fields);

static const struct field target_ref_fields[] = {
	FIELD(struct target_ref, kind, 1, F_STR),
	FIELD(struct target_ref, namespace, 2, F_STR),
	FIELD(struct target_ref, name, 3, F_STR),
};
static const SCHEMA(target_ref_schema, "ObjectReference", struct target_ref, target_ref_fields);

static const struct field endpoint_fields[] = {
	FIELD(struct slice_endpoint, addresses, 1, F_STR, .flags = FF_LIST | FF_REQUIRED),
	FIELD(struct slice_endpoint, conditions, 2, F_OBJ, .sub = &endpoint_conditions_schema),
	FIELD(struct slice_endpoint, hostname, 3, F_STR),
	FIELD(struct slice_endpoint, nodeName, 4, F_STR),
	FIELD(struct slice_endpoint, zone, 5, F_STR),
	FIELD(struct slice_endpoint, hints, 6, F_PTR, .sub = &hints_schema),
	FIELD(struct slice_endpoint, targetRef, 7, F_PTR, .sub = &target_ref_schema),
};
static const SCHEMA(endpoint_schema, "Endpoint", struct slice_endpoint, endpoint_fields);

static const struct field slice_port_fields[] = {
	FIELD(struct slice_port, name, 1, F_STR),
	FIELD(struct slice_port, protocol, 2, F_ENUM, .names = &protocol_names),
	FIELD(struct slice_port, port, 3, F_I64, .min = 0, .max = 65535),
	FIELD(struct slice_port, appProtocol, 4, F_STR),
};
static const SCHEMA(slice_port_schema, "EndpointPort", struct slice_port, slice_port_fields);

static const struct field slice_fields[] = {
	FIELD_KEY(struct endpoint_slice, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct endpoint_slice, addressType, 2, F_ENUM, .flags = FF_REQUIRED,
	      .names = &slice_type_names),
	FIELD(struct endpoint_slice, endpoints, 3, F_OBJ, .flags = FF_LIST,
	      .sub = &endpoint_schema),
	FIELD(struct endpoint_slice, ports, 4, F_OBJ, .flags = FF_LIST, .sub = &slice_port_schema),
};
const SCHEMA(endpoint_slice_schema, "EndpointSlice", struct endpoint_slice, slice_fields);
