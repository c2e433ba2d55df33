// SPDX-License-Identifier: Apache-2.0
/* Tables of the messages between plugin and agent (message.h). */
#include "core/cni/message.h"
#include "model/table.h"

ENUM_NAMES(verb_names, CNI_VERSION, "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION");

static const char *const attach_names_array[] = { "routed", "bridge" };
static const struct names attach_names = { attach_names_array, CNI_BRIDGE + 1 };

static const struct field interface_fields[] = {
	FIELD(struct cni_interface, name, 1, F_STR),
	FIELD(struct cni_interface, mac, 2, F_MAC),
	FIELD(struct cni_interface, mtu, 3, F_I64),
	FIELD(struct cni_interface, sandbox, 4, F_STR),
};
static const SCHEMA(interface_schema, "CNI interface", struct cni_interface, interface_fields);

static const struct field ip_fields[] = {
	FIELD(struct cni_ip, address, 1, F_PREFIX),
	FIELD(struct cni_ip, gateway, 2, F_ADDR),
	FIELD(struct cni_ip, interface, 3, F_OPT_I64),
};
static const SCHEMA(ip_schema, "CNI ip", struct cni_ip, ip_fields);

static const struct field route_fields[] = {
	FIELD(struct cni_route, dst, 1, F_PREFIX),    FIELD(struct cni_route, gw, 2, F_ADDR),
	FIELD(struct cni_route, mtu, 3, F_I64),       FIELD(struct cni_route, advmss, 4, F_I64),
	FIELD(struct cni_route, priority, 5, F_I64),  FIELD(struct cni_route, table, 6, F_OPT_I64),
	FIELD(struct cni_route, scope, 7, F_OPT_I64),
};
static const SCHEMA(route_schema, "CNI route", struct cni_route, route_fields);

typedef TYPE_OF(struct cni_result, dns) cni_dns;
static const struct field dns_fields[] = {
	FIELD(cni_dns, nameservers, 1, F_STR, .flags = FF_LIST),
	FIELD(cni_dns, domain, 2, F_STR),
	FIELD(cni_dns, search, 3, F_STR, .flags = FF_LIST),
	FIELD(cni_dns, options, 4, F_STR, .flags = FF_LIST),
};
static const SCHEMA(dns_schema, "CNI dns", cni_dns, dns_fields);

static const struct field result_fields[] = {
	FIELD(struct cni_result, interfaces, 1, F_OBJ, .flags = FF_LIST, .sub = &interface_schema),
	FIELD(struct cni_result, ips, 2, F_OBJ, .flags = FF_LIST, .sub = &ip_schema),
	FIELD(struct cni_result, routes, 3, F_OBJ, .flags = FF_LIST, .sub = &route_schema),
	FIELD(struct cni_result, dns, 4, F_OBJ, .sub = &dns_schema),
};
const SCHEMA(cni_result_schema, "CNI result", struct cni_result, result_fields);

static const struct field attachment_fields[] = {
	FIELD(struct cni_attachment, containerID, 1, F_STR),
	FIELD(struct cni_attachment, ifname, 2, F_STR),
};
const SCHEMA(cni_attachment_schema, "CNI attachment", struct cni_attachment, attachment_fields);

static const struct field request_fields[] = {
	FIELD(struct cni_request, verb, 1, F_ENUM, .names = &verb_names),
	FIELD(struct cni_request, ipam_only, 2, F_BOOL),
	FIELD(struct cni_request, attach, 3, F_ENUM, .names = &attach_names),
	FIELD(struct cni_request, network, 4, F_STR),
	FIELD(struct cni_request, containerID, 5, F_STR),
	FIELD(struct cni_request, ifname, 6, F_STR),
	FIELD(struct cni_request, netns, 7, F_STR),
	FIELD(struct cni_request, pod_namespace, 8, F_STR),
	FIELD(struct cni_request, pod_name, 9, F_STR),
	FIELD(struct cni_request, pod_uid, 10, F_STR),
	FIELD(struct cni_request, bridge, 11, F_STR),
	FIELD(struct cni_request, mtu, 12, F_I64),
	FIELD(struct cni_request, mac, 13, F_MAC),
	FIELD(struct cni_request, ips, 14, F_ADDR, .flags = FF_LIST),
	FIELD(struct cni_request, pools, 15, F_STR, .flags = FF_LIST),
	FIELD(struct cni_request, valid, 16, F_OBJ, .flags = FF_LIST,
	      .sub = &cni_attachment_schema),
	FIELD(struct cni_request, prev, 17, F_PTR, .sub = &cni_result_schema),
	FIELD(struct cni_request, ports, 18, F_OBJ, .flags = FF_LIST, .sub = &port_mapping_schema),
};
const SCHEMA(cni_request_schema, "CNI request", struct cni_request, request_fields);

static const struct field reply_fields[] = {
	FIELD(struct cni_reply, code, 1, F_I64),
	FIELD(struct cni_reply, msg, 2, F_STR),
	FIELD(struct cni_reply, details, 3, F_STR),
	FIELD(struct cni_reply, result, 4, F_OBJ, .sub = &cni_result_schema),
};
const SCHEMA(cni_reply_schema, "CNI reply", struct cni_reply, reply_fields);
