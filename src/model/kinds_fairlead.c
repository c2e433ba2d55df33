// SPDX-License-Identifier: Apache-2.0
/* Tables of fairlead's own kinds (fairlead.io/v1). The docs here become the CRDs and the
 * pages in docs/reference/. */
#include "model/cluster.h"
#include "model/table.h"

#define METADATA(ctype)                                                                            \
	FIELD_KEY(ctype, meta, "metadata", 1, F_OBJ, .sub = &meta_schema,                          \
		  .doc = "Kubernetes' object metadata; the name is a DNS subdomain (RFC 1123).")

/* ---- IPPool */

ENUM_NAMES(mode_names, POOL_IPIP, "Direct", "VXLAN", "IPIP");

ENUM_NAMES(route_source_names, ROUTES_BGP, "store", "bgp");

typedef TYPE_OF(struct ippool, spec) ippool_spec;
static const struct field ippool_spec_fields[] = {
	FIELD(ippool_spec, cidr, 1, F_PREFIX, .flags = FF_REQUIRED | FF_COLUMN,
	      .doc = "The addresses of the pool; host bits must be zero and pools must not "
		     "overlap."),
	FIELD(ippool_spec, blockSize, 2, F_I64, .min = 20, .max = 128,
	      .absent = "26 (IPv4), 122 (IPv6), or the whole of a smaller pool",
	      .doc = "Prefix length of the blocks that nodes claim: 20 to 32 for IPv4, 116 to "
		     "128 for IPv6, and no shorter than that of the pool."),
	FIELD(ippool_spec, mode, 3, F_ENUM, .names = &mode_names, .flags = FF_COLUMN,
	      .absent = "VXLAN",
	      .doc = "How packets travel between nodes: Direct, routed as they are; VXLAN; IPIP, "
		     "IPv4 only."),
	FIELD(ippool_spec, crossSubnet, 4, F_BOOL, .flags = FF_COLUMN,
	      .doc = "Encapsulate only between nodes of different subnets; not with mode "
		     "Direct."),
	FIELD(ippool_spec, natOutgoing, 5, F_BOOL, .flags = FF_COLUMN,
	      .doc = "Give packets to destinations outside of every pool the node's address."),
	FIELD(ippool_spec, disabled, 6, F_BOOL, .flags = FF_COLUMN,
	      .doc = "Hand out no new addresses from this pool; those in use go on."),
	FIELD(ippool_spec, strictAffinity, 7, F_BOOL,
	      .doc = "Refuse a requested address that lies in another node's block, and borrow "
		     "none when the node's own blocks are full."),
	FIELD(ippool_spec, maxBlocksPerNode, 8, F_I64, .min = 0, .max = 1000000,
	      .absent = "0, no limit", .doc = "How many blocks of this pool a node may own."),
	FIELD(ippool_spec, nodeSelector, 9, F_PTR, .sub = &label_selector_schema,
	      .absent = "every node", .doc = "Nodes that may take addresses from this pool."),
	FIELD(ippool_spec, routes, 10, F_ENUM, .names = &route_source_names, .absent = "store",
	      .doc = "Where routes to other nodes' blocks come from: the IPBlocks in the store; or "
		     "BGP, then nodes tell their peers of their blocks of this pool, and learn the "
		     "others (docs/bgp.md)."),
};
static const SCHEMA(ippool_spec_schema, "IPPoolSpec", ippool_spec, ippool_spec_fields);

static const struct field ippool_fields[] = {
	METADATA(struct ippool),
	FIELD(struct ippool, spec, 2, F_OBJ, .flags = FF_REQUIRED, .sub = &ippool_spec_schema,
	      .doc = "What the pool is."),
};
const SCHEMA(ippool_schema, "IPPool", struct ippool, ippool_fields,
	     .doc = "A range that pods get their addresses from, and how packets to them travel "
		    "between nodes. Nodes claim it block by block (IPBlock) and give out addresses "
		    "from their blocks. A cluster with both families has at least one pool of "
		    "each. Deleting a pool or setting `disabled` takes no address from a pod that "
		    "has it.");

/* ---- IPBlock */

ENUM_NAMES(borrow_names, BORROW_REFUSED, "Granted", "Refused");

static const struct field borrow_fields[] = {
	FIELD(struct block_borrow, address, 1, F_ADDR, .absent = "any that is free",
	      .doc = "The address; the block's owner fills it in where any will do."),
	FIELD(struct block_borrow, node, 2, F_STR, .flags = FF_REQUIRED,
	      .doc = "Name of the Node that wants or has it."),
	FIELD(struct block_borrow, handle, 3, F_STR,
	      .doc = "What uses it: network, container id and interface."),
	FIELD(struct block_borrow, state, 4, F_ENUM, .names = &borrow_names,
	      .absent = "not answered yet",
	      .doc = "The answer of the block's owner; the address is in use only while Granted."),
};
static const SCHEMA(borrow_schema, "BorrowedAddress", struct block_borrow, borrow_fields);

typedef TYPE_OF(struct ipblock, spec) ipblock_spec;
static const struct field ipblock_spec_fields[] = {
	FIELD(ipblock_spec, cidr, 1, F_PREFIX, .flags = FF_REQUIRED | FF_COLUMN,
	      .doc = "The addresses of the block; host bits must be zero."),
	FIELD(ipblock_spec, pool, 2, F_STR, .flags = FF_COLUMN,
	      .doc = "Name of the IPPool that it was cut from."),
	FIELD(ipblock_spec, node, 3, F_STR, .flags = FF_COLUMN,
	      .doc = "Name of the Node that owns it."),
	FIELD(ipblock_spec, tunnelAddress, 4, F_ADDR, .flags = FF_COLUMN,
	      .doc = "The node's own address on its tunnel device, in its first block of a "
		     "family."),
	FIELD(ipblock_spec, borrowed, 5, F_OBJ, .flags = FF_LIST, .sub = &borrow_schema,
	      .doc = "Loans of this block's addresses to other nodes, asked and granted."),
};
static const SCHEMA(ipblock_spec_schema, "IPBlockSpec", ipblock_spec, ipblock_spec_fields);

static const struct field ipblock_fields[] = {
	METADATA(struct ipblock),
	FIELD(struct ipblock, spec, 2, F_OBJ, .flags = FF_REQUIRED, .sub = &ipblock_spec_schema,
	      .doc = "Whose block it is."),
};
const SCHEMA(ipblock_schema, "IPBlock", struct ipblock, ipblock_fields,
	     .doc = "A part of an IPPool that one node owns: it alone gives out addresses from it, "
		    "and every other node routes the whole block to it. Nodes create, change and "
		    "delete IPBlocks by compare-and-swap; people only read them. The name is the "
		    "block's address and length with dashes: 10-244-1-0-26, fd00-10--40-122.");

/* ---- IPReservation */

typedef TYPE_OF(struct ipreservation, spec) reservation_spec;
static const struct field reservation_spec_fields[] = {
	FIELD(reservation_spec, reservedCIDRs, 1, F_PREFIX,
	      .flags = FF_LIST | FF_REQUIRED | FF_COLUMN,
	      .doc = "Addresses that are never given to a pod unless it asks for them; host bits "
		     "must be zero, a single address ends in /32 or /128."),
};
static const SCHEMA(reservation_spec_schema, "IPReservationSpec", reservation_spec,
		    reservation_spec_fields);

static const struct field reservation_fields[] = {
	METADATA(struct ipreservation),
	FIELD(struct ipreservation, spec, 2, F_OBJ, .flags = FF_REQUIRED,
	      .sub = &reservation_spec_schema, .doc = "What is reserved."),
};
const SCHEMA(ipreservation_schema, "IPReservation", struct ipreservation, reservation_fields,
	     .doc = "Addresses inside of the pools that fairlead does not hand out by itself: for "
		    "appliances, for migrations, for pods that ask for a fixed address by the "
		    "annotation `fairlead.io/ips`. A reservation takes nothing away from a pod "
		    "that already has such an address.");

/* ---- WorkloadEndpoint */

static const struct field port_mapping_fields[] = {
	FIELD(struct port_mapping, hostPort, 1, F_I64, .flags = FF_REQUIRED, .min = 1, .max = 65535,
	      .doc = "Port of the node."),
	FIELD(struct port_mapping, containerPort, 2, F_I64, .flags = FF_REQUIRED, .min = 1,
	      .max = 65535, .doc = "Port of the pod that it leads to."),
	FIELD(struct port_mapping, protocol, 3, F_ENUM, .flags = FF_REQUIRED,
	      .names = &protocol_names, .doc = "The transport."),
	FIELD(struct port_mapping, hostIP, 4, F_ADDR,
	      .doc = "The node's address that has the port; absent: each, and 0.0.0.0 or ::, each "
		     "of that family."),
};
const SCHEMA(port_mapping_schema, "PortMapping", struct port_mapping, port_mapping_fields);

typedef TYPE_OF(struct workload_endpoint, spec) endpoint_spec;
static const struct field endpoint_spec_fields[] = {
	FIELD(endpoint_spec, node, 1, F_STR, .flags = FF_REQUIRED | FF_COLUMN,
	      .doc = "Name of the Node that it is on."),
	FIELD(endpoint_spec, pod, 2, F_STR, .flags = FF_COLUMN,
	      .doc = "Name of the Pod; absent for a bare container."),
	FIELD(endpoint_spec, network, 3, F_STR, .doc = "Name of the CNI network."),
	FIELD(endpoint_spec, containerID, 4, F_STR, .doc = "The runtime's id of the sandbox."),
	FIELD(endpoint_spec, interface, 5, F_STR, .doc = "Name of the interface in the pod."),
	FIELD(endpoint_spec, hostInterface, 6, F_STR, .flags = FF_COLUMN,
	      .doc = "Name of its other end on the node."),
	FIELD(endpoint_spec, mac, 7, F_MAC, .doc = "MAC address of the interface in the pod."),
	FIELD(endpoint_spec, ips, 8, F_PREFIX, .flags = FF_LIST | FF_COLUMN,
	      .doc = "Addresses in the pod with their prefix lengths."),
	FIELD(endpoint_spec, ports, 9, F_OBJ, .flags = FF_LIST, .sub = &port_mapping_schema,
	      .doc = "Ports of the node that lead to it (hostPort), where fairlead serves them."),
	FIELD(endpoint_spec, gateways, 10, F_ADDR, .flags = FF_LIST,
	      .doc = "Addresses of the bridge that its other end is a port of; absent: it is "
		     "routed."),
};
static const SCHEMA(endpoint_spec_schema, "WorkloadEndpointSpec", endpoint_spec,
		    endpoint_spec_fields);

static const struct field endpoint_fields[] = {
	METADATA(struct workload_endpoint),
	FIELD(struct workload_endpoint, spec, 2, F_OBJ, .flags = FF_REQUIRED,
	      .sub = &endpoint_spec_schema, .doc = "What is attached where."),
};
const SCHEMA(workload_endpoint_schema, "WorkloadEndpoint", struct workload_endpoint,
	     endpoint_fields,
	     .doc = "One interface that fairlead-cni attached, written by the node's agent for "
		    "people and tools to read; nothing in fairlead is decided by it. It is in the "
		    "pod's namespace (a bare container's in `default`) and named after the pod, or "
		    "the container's id, and the interface.");

/* ---- NodeState */

typedef TYPE_OF(struct node_state, status) state_status;
static const struct field state_status_fields[] = {
	FIELD(state_status, observedRevision, 1, F_I64, .flags = FF_COLUMN,
	      .doc = "The node's kernel holds the store's state up to this revision."),
	FIELD(state_status, version, 2, F_STR, .flags = FF_COLUMN,
	      .doc = "Version of fairlead on the node."),
	FIELD(state_status, pods, 3, F_I64, .flags = FF_COLUMN,
	      .doc = "How many interfaces are attached."),
	FIELD(state_status, tunnel4, 4, F_ADDR, .doc = "IPv4 address of the tunnel device."),
	FIELD(state_status, tunnel6, 5, F_ADDR, .doc = "IPv6 address of the tunnel device."),
	FIELD(state_status, vxlanMAC, 6, F_MAC, .doc = "MAC address of the VXLAN device."),
	FIELD(state_status, conditions, 7, F_OBJ, .flags = FF_LIST, .sub = &condition_schema,
	      .doc = "What the node has to say about itself."),
	FIELD(state_status, uplink, 8, F_STR, .doc = "Interface that leads to the other nodes."),
	FIELD(state_status, subnets, 9, F_PREFIX, .flags = FF_LIST,
	      .doc = "Addresses of that interface, with the length of their subnet: other nodes in "
		     "it are neighbours, reached without a router or a tunnel."),
	FIELD(state_status, mtu, 10, F_I64, .doc = "MTU of that interface."),
	FIELD(state_status, serviceCIDRs, 11, F_PREFIX, .flags = FF_LIST,
	      .doc = "The ranges of Services that the node is configured with: addresses in them "
		     "that "
		     "no Service has lead nowhere."),
	FIELD(state_status, dnsAddresses, 12, F_ADDR, .flags = FF_LIST,
	      .doc = "Where the node answers its pods' DNS queries itself; absent: it does not."),
};
static const SCHEMA(state_status_schema, "NodeStateStatus", state_status, state_status_fields);

static const struct field state_fields[] = {
	METADATA(struct node_state),
	FIELD(struct node_state, status, 2, F_OBJ, .flags = FF_STATUS, .sub = &state_status_schema,
	      .doc = "What the node's agent reports."),
};
const SCHEMA(
	node_state_schema, "NodeState", struct node_state, state_fields,
	.doc = "What the agent of a node reports, under the Node's name: above all how far its "
	       "kernel has come, which `fairlead apply` waits for. No node decides anything by "
	       "it.");
