/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs in the kernel and the process that loaded them say to each other: configuration before
 * they are loaded, then one record per event in a ring. Both sides are of one build. */
#pragma once
#include <linux/types.h>

#define TRACE_SPACES_MAX 256 /* network namespaces */
#define TRACE_INUM_BITS  4096
#define TRACE_EVENTS_MAX 8192
#define TRACE_FLOWS_MAX  64
#define TRACE_RING       (1 << 20)
#define TRACE_SEQS       64
#define TRACE_BYTES      224  /* two headers of IPv6, one of VXLAN, and an ICMP error's quotation */
#define TRACE_RULE_BYTES 1024 /* a larger message of nftables comes through its socket */

struct trace_config {
	__u64 value;      /* UDP, ICMP: the eight bytes as they stand in memory */
	__u32 number;     /* TCP, SCTP */
	__u16 vxlan_port; /* as on the wire */
	__u8 proto;
	__u8 consume_has_place; /* the running kernel's tracepoint says it */
	/* Bit inum % TRACE_INUM_BITS is set for each namespace wanted: most others are told by one load. */
	__u64 inums[TRACE_INUM_BITS / 64];
};

/* What counts as ICMP's errors, which quote a packet. */
#define TRACE_ICMP4_ERRORS (1u << 3 | 1u << 4 | 1u << 5 | 1u << 11 | 1u << 12)
#define TRACE_ICMP6_ERRORS (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4)

enum trace_kind { TRACE_IN, TRACE_OUT, TRACE_ROUTE, TRACE_RULE, TRACE_DROP, TRACE_CONSUME };

struct trace_route {
	__u8 family; /* AF_INET, AF_INET6 */
	__u8 proto, gateway_family;
	__u8 src[16], dst[16], gateway[16];
	__u16 sport, dport; /* as on the wire */
	__u32 iif, oif, mark;
	__s32 error;
};

struct trace_event {
	__u64 at; /* of the monotonic clock */
	__u32 kind, cpu;
	union {
		__u64 packet;
		__u64 cookie; /* RULE: the socket's */
	};
	__u32 space, ifindex, mark, reason;
	char device[16];
	char place[64];
	__u32 n;
	union {
		struct trace_route route;
		__u8 bytes[TRACE_BYTES];
	};
};

/* RULE: the whole message as the kernel wrote it. */
struct trace_rule_event {
	struct trace_event head; /* n: bytes of the message */
	__u8 message[TRACE_RULE_BYTES];
};
