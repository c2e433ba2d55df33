/* SPDX-License-Identifier: Apache-2.0 */
/* PacketTrace (fairlead.io/v1): the question "what happens to this one packet?", and what every
 * node saw of it. Whoever asks creates the object; the nodes that it names look, one of them (or
 * the asker) sends one probe, and each node writes into the status, by compare-and-swap, the
 * facts that its kernel showed. Nothing here is an interpretation: that is core/trace.
 *
 * The probe carries a signature by which every node knows it, whatever was done to its addresses:
 *   TCP           the initial sequence number is the signature's low 32 bits
 *   UDP           the payload begins with the signature's 8 bytes, most significant first
 *   ICMP, ICMPv6  so does what stands behind identifier and sequence number of the echo
 *   SCTP          the initiate tag of INIT is the low 32 bits, which are not zero
 * A DNS query's datagram begins with what a server reads: there the 8 bytes are the cookie of a client (RFC 7873 4),
 * which stands where the question's name says (core/dns/traced.h); its id are the signature's high 16 bits. */
#pragma once
#include "model/cluster.h"

#define TRACE_NODES_MAX        64    /* of spec.nodes */
#define TRACE_OBSERVATIONS_MAX 512   /* of one node */
#define TRACE_SECONDS          3     /* timeoutSeconds where absent */
#define TRACE_SIZE_MAX         65535 /* what a length field of IPv4 holds; IPv6's is of the payload */

enum trace_protocol { TRACE_PROTO_NONE, TRACE_TCP, TRACE_UDP, TRACE_SCTP, TRACE_ICMP };
enum packet_protocol {                    /* as a header says it */
		       PACKET_PROTO_NONE, /* any other */
		       PACKET_TCP,
		       PACKET_UDP,
		       PACKET_SCTP,
		       PACKET_ICMP,
		       PACKET_ICMPV6
};
enum trace_result { TRACE_NO_RESULT, TRACE_CONNECTED, TRACE_REFUSED, TRACE_TIMEOUT, TRACE_ERROR };
enum trace_phase { TRACE_PHASE_NONE, TRACE_ARMED, TRACE_DONE, TRACE_FAILED };
enum trace_means { TRACE_MEANS_NONE, TRACE_BY_EBPF, TRACE_BY_NFTABLES, TRACE_BY_PACKET_SOCKET };
enum trace_fact {
	FACT_NONE,
	FACT_DEV_IN,    /* a device took it in (netif_receive_skb) */
	FACT_DEV_OUT,   /* it was queued at a device (net_dev_queue) */
	FACT_CHAIN,     /* a base chain of nftables began */
	FACT_RULE,      /* a rule matched */
	FACT_VERDICT,   /* a base chain ended by its policy */
	FACT_CONNTRACK, /* the connection's entry at that moment */
	FACT_ROUTE,     /* a lookup's result */
	FACT_DROP,      /* freed with a reason (kfree_skb) */
	FACT_DELIVER,   /* a socket of this namespace got it */
	FACT_SEND       /* the probe's own socket sent it */
};
extern const struct names trace_protocol_names, packet_protocol_names, trace_result_names,
	trace_phase_names, trace_means_names, trace_fact_names;

struct trace_tuple {
	struct ipaddr src, dst;
	uint8_t proto; /* enum packet_protocol */
	int64_t sport, dport;
};

struct trace_icmp {
	int64_t type, code;
	int64_t mtu;                /* of "too big": what would have passed; 0: not said */
	struct trace_tuple *quoted; /* of an error: the packet it is about */
};

/* The header as it was at that moment. */
struct trace_packet {
	struct ipaddr src, dst;
	uint8_t proto; /* enum packet_protocol */
	int64_t sport, dport;
	const char *flags; /* TCP: of "FSRPAU", in the order "SA", "RA", "FA" */
	int64_t ttl, length, mark;
	struct trace_icmp *icmp;
};

/* What it was inside of. */
struct trace_outer {
	const char *kind; /* "vxlan", "ipip" */
	struct ipaddr src, dst;
	int64_t vni;
};

struct trace_conntrack {
	struct trace_tuple orig, reply;
	LIST(const char *) status; /* "CONFIRMED", "SNAT", "DNAT", "SEEN_REPLY", "ASSURED" … */
};

struct trace_route {
	struct prefix prefix;
	struct ipaddr via, source;
	const char *device, *type; /* "unicast", "local", "blackhole", "unreachable" … */
	const char *protocol;      /* "kernel", "boot", "static", "fairlead", or a number */
	int64_t table;
	const char *error; /* there was none, and what the kernel said */
	int64_t mtu;       /* the longest packet that goes this way; 0: not known */
	const char *told;  /* "by BGP from tor: shorter AS path"; NULL: by nobody */
};

/* One fact. What does not belong to its kind is absent. */
struct trace_observation {
	int64_t at;         /* ns of CLOCK_REALTIME */
	int64_t packet;     /* same number: the same packet, on this node; 0: not known */
	uint8_t kind;       /* enum trace_fact */
	const char *device; /* name, in its namespace */
	const char *in;     /* whose namespace: NULL the node's, "NS/POD" */
	struct trace_packet head;
	struct trace_outer *outer;
	const char *hook, *table, *chain; /* "forward"; "inet fairlead" */
	int64_t priority, handle;
	const char *rule, *comment; /* as nft writes them */
	const char *verdict;        /* "accept", "drop", "jump X", "goto X", "continue" */
	struct trace_conntrack *conntrack;
	struct trace_route *route;
	const char *reason, *place; /* "NETFILTER_DROP", "nft_do_chain+0x3e8" */
};

struct trace_node {
	const char *name;
	uint8_t phase;       /* enum trace_phase */
	LIST(uint8_t) means; /* enum trace_means */
	const char *note;    /* what is missing, and why */
	int64_t lost;        /* events that the kernel could not tell */
	LIST(struct trace_observation) observations;
};

/* Of a DNS query, as who asked got it. */
struct trace_response {
	const char *rcode; /* "NOERROR", "NXDOMAIN" … */
	bool truncated;
	LIST(const char *) records; /* of the answer section: "NAME TTL TYPE DATA" */
};

/* What role dns of a node says of the query: it is this very one, known by its id, question and sender. */
struct trace_dns {
	const char *node;
	const char *from;     /* "hosts", "cluster", "cache", "upstream"; "nobody" */
	const char *upstream; /* from it: address and port of who answered; NULL: nobody has yet */
	const char *zone;  /* of the cluster's the one with the name; else the cluster's domain */
	const char *rcode; /* NULL: there was no answer yet */
	int64_t microseconds; /* until it */
};

struct packet_trace {
	struct meta meta;
	struct {
		struct {
			const char *namespace, *pod; /* absent: the node itself, or nobody's */
			const char *node;
			struct ipaddr address;
		} source;
		struct {
			struct ipaddr address;
			int64_t port; /* 0 for ICMP */
		} destination;
		struct {
			const char *name, *type; /* NULL, NULL: the probe is no DNS query */
		} query;
		uint8_t protocol;         /* enum trace_protocol */
		LIST(const char *) nodes; /* who looks */
		const char *sender;       /* of them; absent: who asks sends the probe */
		int64_t signature;        /* a bit pattern: not zero */
		int64_t size; /* bytes of the whole packet, which may not be split; 0: no matter */
		int64_t timeoutSeconds;
		int64_t expires; /* then nodes forget it; a minute later it is deleted */
	} spec;
	struct {
		struct {
			uint8_t result; /* enum trace_result */
			const char *by; /* refused: "rst", "icmp port-unreachable", … */
			const char *error;
			int64_t microseconds; /* until the result */
			struct ipaddr localAddress;
			int64_t localPort;
			int64_t sentAt; /* ns of CLOCK_REALTIME */
			int64_t mtu;    /* too big: what would have passed; 0: nobody said */
			struct trace_response *answer; /* NULL: none, or it was no DNS query */
		} probe;
		LIST(struct trace_node) nodes;
		LIST(struct trace_dns) dns;
	} status;
};

/* IPPROTO_* of an enum trace_protocol (TCP where it is not said) between addresses of this family. */
uint8_t trace_ip_proto(uint8_t protocol, uint8_t family);
/* The shortest packet with a signature, of UDP and ICMP; `family`: AF_*. */
int64_t trace_size_min(uint8_t family);
