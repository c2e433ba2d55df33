// SPDX-License-Identifier: Apache-2.0
/* Table of PacketTrace (fairlead.io/v1): model/trace.h. */
#include "model/table.h"
#include "model/trace.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define EXPORT_NAMES(symbol, last, ...)                                                            \
	ENUM_ARRAY(symbol, last, __VA_ARGS__);                                                     \
	const struct names symbol = { symbol##_array, (last) + 1 }

EXPORT_NAMES(trace_protocol_names, TRACE_ICMP, "TCP", "UDP", "SCTP", "ICMP");
EXPORT_NAMES(packet_protocol_names, PACKET_ICMPV6, "tcp", "udp", "sctp", "icmp", "icmpv6");
EXPORT_NAMES(trace_result_names, TRACE_ERROR, "connected", "refused", "timeout", "error");
EXPORT_NAMES(trace_phase_names, TRACE_FAILED, "Armed", "Done", "Failed");
EXPORT_NAMES(trace_means_names, TRACE_BY_PACKET_SOCKET, "ebpf", "nftables", "packet-socket");
EXPORT_NAMES(trace_fact_names, FACT_SEND, "DevIn", "DevOut", "Chain", "Rule", "Verdict",
	     "Conntrack", "Route", "Drop", "Deliver", "Send");

#define PORTS .min = 0, .max = 65535

/* ---- spec */

typedef TYPE_OF(struct packet_trace, spec.source) trace_source;
static const struct field source_fields[] = {
	FIELD(trace_source, namespace, 1, F_STR, .doc = "Namespace of the Pod."),
	FIELD(trace_source, pod, 2, F_STR, .absent = "the node itself, or nobody of the cluster",
	      .doc = "Name of the Pod from whose network namespace the probe is sent."),
	FIELD(trace_source, node, 3, F_STR, .absent = "somewhere outside of all nodes",
	      .doc = "Name of the Node that it is on."),
	FIELD(trace_source, address, 4, F_ADDR, .flags = FF_REQUIRED,
	      .doc = "The address that it is sent from."),
};
static const SCHEMA(source_schema, "PacketTraceSource", trace_source, source_fields);

typedef TYPE_OF(struct packet_trace, spec.destination) trace_destination;
static const struct field destination_fields[] = {
	FIELD(trace_destination, address, 1, F_ADDR, .flags = FF_REQUIRED,
	      .doc = "The address that it is sent to: a pod's, a Service's, a node's, any other."),
	FIELD(trace_destination, port, 2, F_I64, PORTS,
	      .doc = "The port; absent for ICMP, else required."),
};
static const SCHEMA(destination_schema, "PacketTraceDestination", trace_destination,
		    destination_fields);

typedef TYPE_OF(struct packet_trace, spec.query) trace_query;
static const struct field query_fields[] = {
	FIELD(trace_query, name, 1, F_STR, .flags = FF_REQUIRED,
	      .doc = "The name in full (search lists are the client's), of 168 octets at most."),
	FIELD(trace_query, type, 2, F_STR, .flags = FF_REQUIRED,
	      .doc = "Type of the records: `A`, `AAAA`, `SRV`, `PTR`, `TYPE65` and others."),
};
static const SCHEMA(query_schema, "PacketTraceQuery", trace_query, query_fields);

typedef TYPE_OF(struct packet_trace, spec) trace_spec;
static const struct field spec_fields[] = {
	FIELD(trace_spec, source, 1, F_OBJ, .flags = FF_REQUIRED, .sub = &source_schema,
	      .doc = "Who sends."),
	FIELD(trace_spec, destination, 2, F_OBJ, .flags = FF_REQUIRED, .sub = &destination_schema,
	      .doc = "To whom."),
	FIELD(trace_spec, protocol, 3, F_ENUM, .flags = FF_REQUIRED | FF_COLUMN,
	      .names = &trace_protocol_names,
	      .doc = "A SYN, a datagram, an INIT, or an echo request (with IPv6 of ICMPv6)."),
	FIELD(trace_spec, nodes, 4, F_STR, .flags = FF_LIST,
	      .doc = "Names of the Nodes whose agents look, at most 64."),
	FIELD(trace_spec, sender, 5, F_STR, .flags = FF_COLUMN,
	      .absent = "who asks sends the probe",
	      .doc = "The one of these Nodes whose agent sends the probe: `source.node`."),
	FIELD(trace_spec, signature, 6, F_I64, .flags = FF_REQUIRED,
	      .doc = "Random 64 bits as a signed number, the low 32 not all zero. The probe "
		     "carries them: as initial sequence number or initiate tag the low 32, else "
		     "all, most significant byte first, where its payload begins."),
	FIELD(trace_spec, timeoutSeconds, 7, F_I64, .min = 1, .max = 60, .absent = "3",
	      .doc = "How long the probe's answer is waited for."),
	FIELD(trace_spec, size, 9, F_I64, .min = 0, .max = TRACE_SIZE_MAX,
	      .absent = "as short as can be, and it may be split on the way",
	      .doc = "Bytes of the probe, from its IP header on; it may not be split (IPv4: DF). "
		     "Of UDP and ICMP."),
	FIELD(trace_spec, query, 10, F_OBJ, .sub = &query_schema, .absent = "it carries no query",
	      .doc = "The probe is this DNS query, over UDP or TCP. Over UDP the signature is its "
		     "client cookie (RFC 7873); its id are the signature's high 16 bits."),
	FIELD(trace_spec, expires, 8, F_TIME, .flags = FF_REQUIRED,
	      .doc = "Nobody looks after this time, and a minute later the controller deletes the "
		     "object."),
};
static const SCHEMA(spec_schema, "PacketTraceSpec", trace_spec, spec_fields);

/* ---- observations */

static const struct field tuple_fields[] = {
	FIELD(struct trace_tuple, src, 1, F_ADDR, .doc = "Source address."),
	FIELD(struct trace_tuple, dst, 2, F_ADDR, .doc = "Destination address."),
	FIELD(struct trace_tuple, proto, 3, F_ENUM, .names = &packet_protocol_names,
	      .absent = "another", .doc = "Protocol."),
	FIELD(struct trace_tuple, sport, 4, F_I64, PORTS, .doc = "Source port; of an echo its id."),
	FIELD(struct trace_tuple, dport, 5, F_I64, PORTS, .doc = "Destination port."),
};
static const SCHEMA(tuple_schema, "PacketTuple", struct trace_tuple, tuple_fields);

static const struct field icmp_fields[] = {
	FIELD(struct trace_icmp, type, 1, F_I64, .min = 0, .max = 255, .doc = "Type."),
	FIELD(struct trace_icmp, code, 2, F_I64, .min = 0, .max = 255, .doc = "Code."),
	FIELD(struct trace_icmp, quoted, 3, F_PTR, .sub = &tuple_schema,
	      .doc = "Of an error: the packet that it is about."),
	FIELD(struct trace_icmp, mtu, 4, F_I64,
	      .doc = "Of an error that says \"too big\": how long the packet may be."),
};
static const SCHEMA(icmp_schema, "PacketICMP", struct trace_icmp, icmp_fields);

static const struct field packet_fields[] = {
	FIELD(struct trace_packet, src, 1, F_ADDR, .doc = "Source address."),
	FIELD(struct trace_packet, dst, 2, F_ADDR, .doc = "Destination address."),
	FIELD(struct trace_packet, proto, 3, F_ENUM, .names = &packet_protocol_names,
	      .absent = "another", .doc = "Protocol."),
	FIELD(struct trace_packet, sport, 4, F_I64, PORTS,
	      .doc = "Source port; of an echo its id."),
	FIELD(struct trace_packet, dport, 5, F_I64, PORTS, .doc = "Destination port."),
	FIELD(struct trace_packet, flags, 6, F_STR,
	      .doc = "TCP's flags: `S`, `SA`, `A`, `PA`, `FA`, `R`, `RA`."),
	FIELD(struct trace_packet, ttl, 7, F_I64, .doc = "Time to live, or hop limit."),
	FIELD(struct trace_packet, length, 8, F_I64, .doc = "Bytes from the IP header on."),
	FIELD(struct trace_packet, mark, 9, F_I64, .doc = "Mark (`meta mark`)."),
	FIELD(struct trace_packet, icmp, 10, F_PTR, .sub = &icmp_schema,
	      .doc = "Of ICMP and ICMPv6."),
};
static const SCHEMA(packet_schema, "PacketHeader", struct trace_packet, packet_fields);

static const struct field outer_fields[] = {
	FIELD(struct trace_outer, kind, 1, F_STR, .doc = "Kind of it: `vxlan` or `ipip`."),
	FIELD(struct trace_outer, src, 2, F_ADDR, .doc = "Outer source address."),
	FIELD(struct trace_outer, dst, 3, F_ADDR, .doc = "Outer destination address."),
	FIELD(struct trace_outer, vni, 4, F_I64, .doc = "VXLAN's network identifier."),
};
static const SCHEMA(outer_schema, "PacketOuter", struct trace_outer, outer_fields);

static const struct field conntrack_fields[] = {
	FIELD(struct trace_conntrack, orig, 1, F_OBJ, .sub = &tuple_schema,
	      .doc = "As the first packet came."),
	FIELD(struct trace_conntrack, reply, 2, F_OBJ, .sub = &tuple_schema,
	      .doc = "As answers come: what differs from orig turned round was translated."),
	FIELD(struct trace_conntrack, status, 3, F_STR, .flags = FF_LIST,
	      .doc = "The kernel's words: `CONFIRMED`, `SNAT`, `DNAT`, `SEEN_REPLY`, `ASSURED`."),
};
static const SCHEMA(conntrack_schema, "PacketConntrack", struct trace_conntrack, conntrack_fields);

static const struct field route_fields[] = {
	FIELD(struct trace_route, prefix, 1, F_PREFIX, .doc = "The route that was chosen."),
	FIELD(struct trace_route, via, 2, F_ADDR, .doc = "Gateway."),
	FIELD(struct trace_route, source, 3, F_ADDR, .doc = "Source address of local packets."),
	FIELD(struct trace_route, device, 4, F_STR, .doc = "Device that it leads out of."),
	FIELD(struct trace_route, type, 5, F_STR,
	      .doc = "Type of it: `unicast`, `local`, `blackhole`, `unreachable`, `prohibit`."),
	FIELD(struct trace_route, protocol, 6, F_STR,
	      .doc = "Who made it: `kernel`, `boot`, `static`, `fairlead`, or a number."),
	FIELD(struct trace_route, table, 7, F_I64, .doc = "Number of the table; 254 is main."),
	FIELD(struct trace_route, error, 8, F_STR, .doc = "There was none, and why."),
	FIELD(struct trace_route, mtu, 9, F_I64,
	      .doc = "How long a packet may be that goes this way: the route's own limit, else "
		     "its device's."),
	FIELD(struct trace_route, told, 10, F_STR,
	      .doc = "Who told of it by BGP, and why it is the best."),
};
static const SCHEMA(route_schema, "PacketRoute", struct trace_route, route_fields);

static const struct field observation_fields[] = {
	FIELD(struct trace_observation, at, 1, F_I64, .doc = "When, in ns since 1970."),
	FIELD(struct trace_observation, packet, 2, F_I64, .absent = "not known",
	      .doc = "Facts with the same number are of one packet, on this node."),
	FIELD(struct trace_observation, kind, 3, F_ENUM, .names = &trace_fact_names,
	      .doc = "What happened to it: a device took it in or queued it; a base chain began, a "
		     "rule matched, a base chain ended by its policy; its connection's entry; a "
		     "route was looked up; it was freed with a reason; a socket got it; the "
		     "probe's socket sent it."),
	FIELD(struct trace_observation, device, 4, F_STR, .doc = "The device, where there is one."),
	FIELD(struct trace_observation, in, 5, F_STR, .absent = "the node's",
	      .doc = "Whose network namespace: `NAMESPACE/POD`."),
	FIELD(struct trace_observation, head, 6, F_OBJ, .sub = &packet_schema,
	      .doc = "Its header as it was then."),
	FIELD(struct trace_observation, outer, 7, F_PTR, .sub = &outer_schema,
	      .doc = "What it was encapsulated in."),
	FIELD(struct trace_observation, hook, 8, F_STR, .doc = "Hook of the base chain."),
	FIELD(struct trace_observation, table, 9, F_STR, .doc = "Family and name of the table."),
	FIELD(struct trace_observation, chain, 10, F_STR, .doc = "Name of the chain."),
	FIELD(struct trace_observation, priority, 11, F_I64, .doc = "Priority of the base chain."),
	FIELD(struct trace_observation, handle, 12, F_I64, .doc = "The rule's handle."),
	FIELD(struct trace_observation, rule, 13, F_STR, .doc = "The rule, as nft writes it."),
	FIELD(struct trace_observation, comment, 14, F_STR, .doc = "Its comment."),
	FIELD(struct trace_observation, verdict, 15, F_STR,
	      .doc = "What the rule says: `accept`, `drop`, `continue`, `jump CHAIN`, `goto "
		     "CHAIN`."),
	FIELD(struct trace_observation, conntrack, 16, F_PTR, .sub = &conntrack_schema,
	      .doc = "The entry of its connection."),
	FIELD(struct trace_observation, route, 17, F_PTR, .sub = &route_schema,
	      .doc = "The route."),
	FIELD(struct trace_observation, reason, 18, F_STR,
	      .doc = "The kernel's reason to free it, such as `NETFILTER_DROP` or `NO_SOCKET`."),
	FIELD(struct trace_observation, place, 19, F_STR,
	      .doc = "Where in the kernel: `nft_do_chain+0x3e8`."),
};
static const SCHEMA(observation_schema, "PacketObservation", struct trace_observation,
		    observation_fields);

/* ---- status */

static const struct field answer_fields[] = {
	FIELD(struct trace_response, rcode, 1, F_STR,
	      .doc = "The response code: `NOERROR`, `NXDOMAIN` and others."),
	FIELD(struct trace_response, truncated, 2, F_BOOL,
	      .doc = "There is more, to be asked for by TCP."),
	FIELD(struct trace_response, records, 3, F_STR, .flags = FF_LIST,
	      .doc = "The answer section: `NAME TTL TYPE DATA`."),
};
static const SCHEMA(answer_schema, "PacketTraceAnswer", struct trace_response, answer_fields);

static const struct field dns_fields[] = {
	FIELD(struct trace_dns, node, 1, F_STR, .flags = FF_REQUIRED, .doc = "Name of the Node."),
	FIELD(struct trace_dns, from, 2, F_STR,
	      .doc = "Who had the answer: `hosts`, `cluster`, `cache`, `upstream`, `nobody`."),
	FIELD(struct trace_dns, upstream, 3, F_STR, .absent = "none answered",
	      .doc = "Address and port of the upstream that answered."),
	FIELD(struct trace_dns, zone, 4, F_STR,
	      .doc = "Of the cluster's zones the one that the name is in, else the cluster's "
		     "domain."),
	FIELD(struct trace_dns, rcode, 5, F_STR, .absent = "an upstream is waited for",
	      .doc = "Code of the answer."),
	FIELD(struct trace_dns, microseconds, 6, F_I64, .doc = "From the query to its answer."),
};
static const SCHEMA(dns_schema, "PacketTraceDNS", struct trace_dns, dns_fields);

typedef TYPE_OF(struct packet_trace, status.probe) trace_probe;
static const struct field probe_fields[] = {
	FIELD(trace_probe, result, 1, F_ENUM, .names = &trace_result_names, .flags = FF_COLUMN,
	      .absent = "not sent yet",
	      .doc = "What the sender saw; a lone datagram without answer is a timeout."),
	FIELD(trace_probe, by, 2, F_STR,
	      .doc = "What refused it: `rst`, `abort`, `icmp port-unreachable` and others."),
	FIELD(trace_probe, error, 3, F_STR,
	      .doc = "Why it could not be sent, in the kernel's words."),
	FIELD(trace_probe, microseconds, 4, F_I64, .doc = "Time until that result."),
	FIELD(trace_probe, localAddress, 5, F_ADDR, .doc = "The address that it was sent from."),
	FIELD(trace_probe, localPort, 6, F_I64, PORTS, .doc = "The port; of an echo its id."),
	FIELD(trace_probe, sentAt, 7, F_I64, .doc = "When, in ns since 1970."),
	FIELD(trace_probe, mtu, 8, F_I64, .absent = "nobody said",
	      .doc = "It was too big: how long it may be, as who says so says."),
	FIELD(trace_probe, answer, 9, F_PTR, .sub = &answer_schema, .absent = "none came",
	      .doc = "Of a DNS query: what came back."),
};
static const SCHEMA(probe_schema, "PacketTraceProbe", trace_probe, probe_fields);

static const struct field node_fields[] = {
	FIELD(struct trace_node, name, 1, F_STR, .flags = FF_REQUIRED, .doc = "Name of the Node."),
	FIELD(struct trace_node, phase, 2, F_ENUM, .names = &trace_phase_names,
	      .doc = "Armed: it looks; Done: these are all its observations; Failed: it does not "
		     "look, and the note says why."),
	FIELD(struct trace_node, means, 3, F_ENUM, .flags = FF_LIST, .names = &trace_means_names,
	      .doc = "By what it looks."),
	FIELD(struct trace_node, note, 4, F_STR, .doc = "What it cannot see, and why."),
	FIELD(struct trace_node, lost, 5, F_I64,
	      .doc = "How many events the kernel or the agent had no room for."),
	FIELD(struct trace_node, observations, 6, F_OBJ, .flags = FF_LIST,
	      .sub = &observation_schema, .doc = "What it saw, in order, at most 512."),
};
static const SCHEMA(looker_schema, "PacketTraceNode", struct trace_node, node_fields);

typedef TYPE_OF(struct packet_trace, status) trace_status;
static const struct field status_fields[] = {
	FIELD(trace_status, probe, 1, F_OBJ, .sub = &probe_schema,
	      .doc = "What became of the probe."),
	FIELD(trace_status, nodes, 2, F_OBJ, .flags = FF_LIST, .sub = &looker_schema,
	      .doc = "What each node saw."),
	FIELD(trace_status, dns, 3, F_OBJ, .flags = FF_LIST, .sub = &dns_schema,
	      .doc = "What role dns of a node made of the query."),
};
static const SCHEMA(status_schema, "PacketTraceStatus", trace_status, status_fields);

static const struct field trace_fields[] = {
	FIELD_KEY(struct packet_trace, meta, "metadata", 1, F_OBJ, .sub = &meta_schema,
		  .doc = "Kubernetes' object metadata; the name is a DNS subdomain (RFC 1123)."),
	FIELD(struct packet_trace, spec, 2, F_OBJ, .flags = FF_REQUIRED, .sub = &spec_schema,
	      .doc = "Which packet, and who looks."),
	FIELD(struct packet_trace, status, 3, F_OBJ, .flags = FF_STATUS, .sub = &status_schema,
	      .doc = "What was seen."),
};
const SCHEMA(packet_trace_schema, "PacketTrace", struct packet_trace, trace_fields,
	     .doc = "One packet to be followed through the nodes, made by `fairlead trace`, which "
		    "also deletes it. A probe is sent, which carries a signature, and every node "
		    "that is named writes what its kernel did with it and with the answer.");

/* The headers of UDP and of an echo are of one length. */
int64_t trace_size_min(uint8_t family)
{
	return (family == AF_INET6 ? 40 : 20) + 8 + 8;
}

uint8_t trace_ip_proto(uint8_t protocol, uint8_t family)
{
	switch ((enum trace_protocol)protocol) {
	case TRACE_UDP:
		return IPPROTO_UDP;
	case TRACE_SCTP:
		return IPPROTO_SCTP;
	case TRACE_ICMP:
		return family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	case TRACE_TCP:
	case TRACE_PROTO_NONE:
		break;
	}
	return IPPROTO_TCP;
}
