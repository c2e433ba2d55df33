// SPDX-License-Identifier: Apache-2.0
/* Table of NetworkPolicy (networking.k8s.io/v1). An absent peer selector and an empty one differ,
 * so do an absent list of policyTypes and an empty one; an absent list of peers or ports and an
 * empty one do not. CIDRs stay text, for prefix_parse_lax(): an API server keeps what was once
 * written (KEP-4858). */
#include "model/cluster.h"
#include "model/table.h"

static const struct field ip_block_fields[] = {
	FIELD(struct ip_block, cidr, 1, F_STR, .flags = FF_REQUIRED),
	FIELD(struct ip_block, except, 2, F_STR, .flags = FF_LIST),
};
static const SCHEMA(ip_block_schema, "IPBlock", struct ip_block, ip_block_fields);

static const struct field peer_fields[] = {
	FIELD(struct policy_peer, podSelector, 1, F_PTR, .sub = &label_selector_schema),
	FIELD(struct policy_peer, namespaceSelector, 2, F_PTR, .sub = &label_selector_schema),
	FIELD(struct policy_peer, ipBlock, 3, F_PTR, .sub = &ip_block_schema),
};
static const SCHEMA(peer_schema, "NetworkPolicyPeer", struct policy_peer, peer_fields);

static const struct field port_fields[] = {
	FIELD(struct policy_port, protocol, 1, F_ENUM, .names = &protocol_names),
	FIELD(struct policy_port, port, 2, F_INTSTR, .min = 1, .max = 65535),
	FIELD(struct policy_port, endPort, 3, F_OPT_I64, .min = 1, .max = 65535),
};
static const SCHEMA(port_schema, "NetworkPolicyPort", struct policy_port, port_fields);

static const struct field ingress_fields[] = {
	FIELD(struct policy_rule, ports, 1, F_OBJ, .flags = FF_LIST, .sub = &port_schema),
	FIELD_KEY(struct policy_rule, peers, "from", 2, F_OBJ, .flags = FF_LIST,
		  .sub = &peer_schema),
};
static const SCHEMA(ingress_schema, "NetworkPolicyIngressRule", struct policy_rule, ingress_fields);

static const struct field egress_fields[] = {
	FIELD(struct policy_rule, ports, 1, F_OBJ, .flags = FF_LIST, .sub = &port_schema),
	FIELD_KEY(struct policy_rule, peers, "to", 2, F_OBJ, .flags = FF_LIST, .sub = &peer_schema),
};
static const SCHEMA(egress_schema, "NetworkPolicyEgressRule", struct policy_rule, egress_fields);

ENUM_NAMES(policy_type_names, POLICY_EGRESS, "Ingress", "Egress");

typedef TYPE_OF(struct network_policy, spec) policy_spec;
static const struct field policy_spec_fields[] = {
	FIELD(policy_spec, podSelector, 1, F_OBJ, .sub = &label_selector_schema),
	FIELD(policy_spec, policyTypes, 2, F_ENUM, .flags = FF_LIST, .names = &policy_type_names),
	FIELD(policy_spec, ingress, 3, F_OBJ, .flags = FF_LIST, .sub = &ingress_schema),
	FIELD(policy_spec, egress, 4, F_OBJ, .flags = FF_LIST, .sub = &egress_schema),
};
static const SCHEMA(policy_spec_schema, "NetworkPolicySpec", policy_spec, policy_spec_fields);

static const struct field policy_fields[] = {
	FIELD_KEY(struct network_policy, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct network_policy, spec, 2, F_OBJ, .sub = &policy_spec_schema),
};
const SCHEMA(network_policy_schema, "NetworkPolicy", struct network_policy, policy_fields);

bool network_policy_has(const struct network_policy *p, enum policy_type type)
{
	if (!p->spec.policyTypes.n)
		return type == POLICY_INGRESS || p->spec.egress.n;
	for (uint32_t i = 0; i < p->spec.policyTypes.n; i++)
		if (p->spec.policyTypes.v[i] == type)
			return true;
	return false;
}
