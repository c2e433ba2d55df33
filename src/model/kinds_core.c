// SPDX-License-Identifier: Apache-2.0
/* Tables of Kubernetes' kinds: metadata, selectors, Node, Namespace, Pod and the workloads
 * (Kubernetes API reference: meta/v1, core/v1, apps/v1, batch/v1). Only fields that fairlead
 * reads or writes; the store keeps the rest of an object as it was written. */
#include "model/cluster.h"
#include "model/table.h"

/* ---- meta/v1 */

static const struct field owner_ref_fields[] = {
	FIELD(struct owner_ref, kind, 1, F_STR, .flags = FF_REQUIRED),
	FIELD(struct owner_ref, name, 2, F_STR, .flags = FF_REQUIRED),
	FIELD(struct owner_ref, uid, 3, F_STR),
	FIELD(struct owner_ref, controller, 4, F_BOOL),
};
static const SCHEMA(owner_ref_schema, "OwnerReference", struct owner_ref, owner_ref_fields);

static const struct field meta_fields[] = {
	FIELD(struct meta, name, 1, F_STR),
	FIELD(struct meta, namespace, 2, F_STR),
	FIELD(struct meta, uid, 3, F_STR),
	FIELD(struct meta, labels, 4, F_MAP),
	FIELD(struct meta, annotations, 5, F_MAP),
	FIELD(struct meta, deletionTimestamp, 6, F_TIME),
	FIELD(struct meta, ownerReferences, 7, F_OBJ, .flags = FF_LIST, .sub = &owner_ref_schema),
};
const SCHEMA(meta_schema, "ObjectMeta", struct meta, meta_fields);

ENUM_NAMES(selector_op_names, SEL_DOES_NOT_EXIST, "In", "NotIn", "Exists", "DoesNotExist");

static const struct field requirement_fields[] = {
	FIELD(struct label_requirement, key, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "The label's key."),
	FIELD_KEY(struct label_requirement, op, "operator", 2, F_ENUM, .flags = FF_REQUIRED,
		  .names = &selector_op_names, .doc = "How the label relates to the values."),
	FIELD(struct label_requirement, values, 3, F_STR, .flags = FF_LIST,
	      .doc = "For In and NotIn: at least one value; otherwise none."),
};
static const SCHEMA(requirement_schema, "LabelSelectorRequirement", struct label_requirement,
		    requirement_fields);

static const struct field label_selector_fields[] = {
	FIELD(struct label_selector, matchLabels, 1, F_MAP,
	      .doc = "Labels that must be there with these values."),
	FIELD(struct label_selector, matchExpressions, 2, F_OBJ, .flags = FF_LIST,
	      .sub = &requirement_schema, .doc = "Requirements that must all hold."),
};
const SCHEMA(label_selector_schema, "LabelSelector", struct label_selector, label_selector_fields);

static const struct field condition_fields[] = {
	FIELD(struct pod_condition, type, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "What the condition is about."),
	FIELD(struct pod_condition, status, 2, F_STR, .doc = "True, False or Unknown."),
	FIELD(struct pod_condition, reason, 3, F_STR, .doc = "Why, in one word."),
	FIELD(struct pod_condition, message, 4, F_STR, .doc = "Why, for people."),
};
const SCHEMA(condition_schema, "Condition", struct pod_condition, condition_fields);

/* ---- Node, Namespace */

ENUM_NAMES(address_type_names, NODE_EXTERNAL_DNS, "InternalIP", "ExternalIP", "Hostname",
	   "InternalDNS", "ExternalDNS");

static const struct field taint_fields[] = {
	FIELD(struct taint, key, 1, F_STR, .flags = FF_REQUIRED),
	FIELD(struct taint, value, 2, F_STR),
	FIELD(struct taint, effect, 3, F_STR, .flags = FF_REQUIRED),
};
static const SCHEMA(taint_schema, "Taint", struct taint, taint_fields);

static const struct field node_address_fields[] = {
	FIELD(struct node_address, type, 1, F_ENUM, .flags = FF_REQUIRED,
	      .names = &address_type_names),
	FIELD(struct node_address, address, 2, F_STR, .flags = FF_REQUIRED),
};
static const SCHEMA(node_address_schema, "NodeAddress", struct node_address, node_address_fields);

typedef TYPE_OF(struct node, spec) node_spec;
static const struct field node_spec_fields[] = {
	FIELD(node_spec, podCIDR, 1, F_STR),
	FIELD(node_spec, unschedulable, 2, F_BOOL),
	FIELD(node_spec, taints, 3, F_OBJ, .flags = FF_LIST, .sub = &taint_schema),
};
static const SCHEMA(node_spec_schema, "NodeSpec", node_spec, node_spec_fields);

typedef TYPE_OF(struct node, status) node_status;
static const struct field node_status_fields[] = {
	FIELD(node_status, addresses, 1, F_OBJ, .flags = FF_LIST, .sub = &node_address_schema),
};
static const SCHEMA(node_status_schema, "NodeStatus", node_status, node_status_fields);

static const struct field node_fields[] = {
	FIELD_KEY(struct node, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct node, spec, 2, F_OBJ, .sub = &node_spec_schema),
	FIELD(struct node, status, 3, F_OBJ, .flags = FF_STATUS, .sub = &node_status_schema),
};
const SCHEMA(node_schema, "Node", struct node, node_fields);

static const struct field namespace_fields[] = {
	FIELD_KEY(struct namespace_obj, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
};
const SCHEMA(namespace_schema, "Namespace", struct namespace_obj, namespace_fields);

/* ---- Pod */

ENUM_ARRAY(protocol_names, PROTO_SCTP, "TCP", "UDP", "SCTP");
const struct names protocol_names = { protocol_names_array, PROTO_SCTP + 1 };

ENUM_NAMES(phase_names, POD_UNKNOWN, "Pending", "Running", "Succeeded", "Failed", "Unknown");

static const struct field container_port_fields[] = {
	FIELD(struct container_port, name, 1, F_STR),
	FIELD(struct container_port, containerPort, 2, F_I64, .flags = FF_REQUIRED, .min = 1,
	      .max = 65535),
	FIELD(struct container_port, hostPort, 3, F_I64, .min = 0, .max = 65535),
	FIELD(struct container_port, protocol, 4, F_ENUM, .names = &protocol_names),
	FIELD(struct container_port, hostIP, 5, F_STR),
};
static const SCHEMA(container_port_schema, "ContainerPort", struct container_port,
		    container_port_fields);

static const struct field env_var_fields[] = {
	FIELD(struct env_var, name, 1, F_STR, .flags = FF_REQUIRED),
	FIELD(struct env_var, value, 2, F_STR),
};
static const SCHEMA(env_var_schema, "EnvVar", struct env_var, env_var_fields);

static const struct field container_fields[] = {
	FIELD(struct container, name, 1, F_STR, .flags = FF_REQUIRED),
	FIELD(struct container, image, 2, F_STR),
	FIELD(struct container, command, 3, F_STR, .flags = FF_LIST),
	FIELD(struct container, args, 4, F_STR, .flags = FF_LIST),
	FIELD(struct container, env, 5, F_OBJ, .flags = FF_LIST, .sub = &env_var_schema),
	FIELD(struct container, ports, 6, F_OBJ, .flags = FF_LIST, .sub = &container_port_schema),
	FIELD(struct container, restartPolicy, 7, F_STR),
};
static const SCHEMA(container_schema, "Container", struct container, container_fields);

static const struct field toleration_fields[] = {
	FIELD(struct toleration, key, 1, F_STR),
	FIELD(struct toleration, operator, 2, F_STR),
	FIELD(struct toleration, value, 3, F_STR),
	FIELD(struct toleration, effect, 4, F_STR),
};
static const SCHEMA(toleration_schema, "Toleration", struct toleration, toleration_fields);

static const struct field pod_spec_fields[] = {
	FIELD(struct pod_spec, nodeName, 1, F_STR, .flags = FF_KEEP),
	FIELD(struct pod_spec, hostname, 2, F_STR),
	FIELD(struct pod_spec, subdomain, 3, F_STR),
	FIELD(struct pod_spec, restartPolicy, 4, F_STR),
	FIELD(struct pod_spec, serviceAccountName, 5, F_STR),
	FIELD(struct pod_spec, hostNetwork, 6, F_BOOL),
	FIELD(struct pod_spec, nodeSelector, 7, F_MAP),
	FIELD(struct pod_spec, containers, 8, F_OBJ, .flags = FF_LIST, .sub = &container_schema),
	FIELD(struct pod_spec, initContainers, 9, F_OBJ, .flags = FF_LIST,
	      .sub = &container_schema),
	FIELD(struct pod_spec, tolerations, 10, F_OBJ, .flags = FF_LIST, .sub = &toleration_schema),
	FIELD(struct pod_spec, dnsPolicy, 11, F_STR),
};
static const SCHEMA(pod_spec_schema, "PodSpec", struct pod_spec, pod_spec_fields);

static const struct field pod_ip_fields[] = {
	FIELD(struct pod_ip, ip, 1, F_ADDR, .flags = FF_REQUIRED),
};
static const SCHEMA(pod_ip_schema, "PodIP", struct pod_ip, pod_ip_fields);

typedef TYPE_OF(struct pod, status) pod_status;
static const struct field pod_status_fields[] = {
	FIELD(pod_status, phase, 1, F_ENUM, .names = &phase_names),
	FIELD(pod_status, podIP, 2, F_ADDR),
	FIELD(pod_status, hostIP, 3, F_ADDR),
	FIELD(pod_status, podIPs, 4, F_OBJ, .flags = FF_LIST, .sub = &pod_ip_schema),
	FIELD(pod_status, conditions, 5, F_OBJ, .flags = FF_LIST, .sub = &condition_schema),
};
static const SCHEMA(pod_status_schema, "PodStatus", pod_status, pod_status_fields);

static const struct field pod_fields[] = {
	FIELD_KEY(struct pod, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct pod, spec, 2, F_OBJ, .sub = &pod_spec_schema),
	FIELD(struct pod, status, 3, F_OBJ, .flags = FF_STATUS, .sub = &pod_status_schema),
};
const SCHEMA(pod_schema, "Pod", struct pod, pod_fields);

static const struct field pod_template_fields[] = {
	FIELD_KEY(struct pod_template, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct pod_template, spec, 2, F_OBJ, .sub = &pod_spec_schema),
};
const SCHEMA(pod_template_schema, "PodTemplateSpec", struct pod_template, pod_template_fields);

/* ---- Deployment, ReplicaSet, StatefulSet, DaemonSet, Job */

typedef TYPE_OF(struct workload, spec) workload_spec;
static const struct field workload_spec_fields[] = {
	FIELD(workload_spec, replicas, 1, F_OPT_I64, .min = 0, .max = 1000000),
	FIELD(workload_spec, parallelism, 2, F_OPT_I64, .min = 0, .max = 1000000),
	FIELD(workload_spec, completions, 3, F_OPT_I64, .min = 0, .max = 1000000),
	FIELD(workload_spec, serviceName, 4, F_STR),
	FIELD(workload_spec, selector, 5, F_PTR, .sub = &label_selector_schema),
	FIELD(workload_spec, template, 6, F_OBJ, .sub = &pod_template_schema),
};
static const SCHEMA(workload_spec_schema, "WorkloadSpec", workload_spec, workload_spec_fields);

static const struct field workload_fields[] = {
	FIELD_KEY(struct workload, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct workload, spec, 2, F_OBJ, .sub = &workload_spec_schema),
};
const SCHEMA(workload_schema, "Workload", struct workload, workload_fields);

/* ---- coordination.k8s.io/v1 */

typedef TYPE_OF(struct lease, spec) lease_spec;
static const struct field lease_spec_fields[] = {
	FIELD(lease_spec, holderIdentity, 1, F_STR),
	FIELD(lease_spec, leaseDurationSeconds, 2, F_I64),
	FIELD(lease_spec, leaseTransitions, 3, F_I64),
	FIELD(lease_spec, acquireTime, 4, F_TIME),
	FIELD(lease_spec, renewTime, 5, F_TIME),
};
static const SCHEMA(lease_spec_schema, "LeaseSpec", lease_spec, lease_spec_fields);

static const struct field lease_fields[] = {
	FIELD_KEY(struct lease, meta, "metadata", 1, F_OBJ, .sub = &meta_schema),
	FIELD(struct lease, spec, 2, F_OBJ, .sub = &lease_spec_schema),
};
const SCHEMA(lease_schema, "Lease", struct lease, lease_fields);
