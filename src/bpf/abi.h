/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs in the kernel and the processes that share them say to each other: configuration before
 * they are loaded, then one record per event in a ring for each process. All sides are of one build. */
#pragma once
#include <linux/types.h>

#define TRACE_SPACES_MAX     256 /* network namespaces of one process */
#define TRACE_ALL_SPACES_MAX 4096
#define TRACE_TAKERS_MAX     64 /* processes that share the programs, in all their time */
#define TRACE_INUM_BITS      4096
#define TRACE_EVENTS_MAX     8192 /* of one process */
#define TRACE_FLOWS_MAX      64
#define TRACE_RING           (1 << 20)
#define TRACE_SEQS           64
#define TRACE_BYTES          224 /* two headers of IPv6, one of VXLAN, and an ICMP error's quotation */
#define TRACE_RULE_BYTES     1024 /* a larger message of nftables comes through its socket */

/* Also what tells who may share: whose is the same. */
struct trace_config {
	__u64 build;  /* of the programs */
	__u64 value;  /* UDP, ICMP: the eight bytes as they stand in memory */
	__u32 number; /* TCP, SCTP; UDP: where the value is, from the header on, beyond 8; or 0 */
	__u16 vxlan_port; /* as on the wire */
	__u8 proto;
	__u8 consume_has_place; /* the running kernel's tracepoint says it */
};

/* Whose a namespace is, and its place in that process's list. */
struct trace_space {
	__u32 taker, space;
};

/* Numbers of the kernel by which the others take what the one who loaded has; all 0 until all is there. */
struct trace_ids {
	__u32 links[4], rule, rings, spaces, listeners;
};

/* Mapped by all who share. */
struct trace_shared {
	__u64 packets; /* that were followed so far */
	/* Bit inum % TRACE_INUM_BITS is set for each namespace wanted: most others are told by one load. */
	__u64 inums[TRACE_INUM_BITS / 64];
	struct trace_told {
		__u32 events, lost;
	} told[TRACE_TAKERS_MAX];
	__u32 n_takers;
	struct trace_ids ids;
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
	__u64 packet;
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

/* ---- IP-in-IP: maps that the process writes while the programs run, and one that it reads */

#define IPIP_NODES_MAX 16384
#define IPIP_MTU_MIN   88 /* the least that every router takes (RFC 791: 68), and our header */

struct ipip_conf {
	__be32 node; /* this one's address, where packets of the tunnel come from and go to */
	__u32 uplink, tunnel; /* indices of devices */
	__u8 mac[6];          /* of the tunnel's */
	__u8 driver;          /* the kernel has one */
	__u8 unused;
};

enum ipip_counter {
	IPIP_SENT,
	IPIP_RECEIVED,
	IPIP_TOO_LONG,  /* errors of routers handed on */
	IPIP_STRANGER,  /* dropped: not from a node */
	IPIP_FRAGMENT,  /* dropped */
	IPIP_NO_ROUTE,  /* dropped: sent by tunl0 with no node as next hop */
	IPIP_MALFORMED, /* dropped: not IPv4, or ECN that may not be (RFC 6040, 4.2) */
	IPIP_COUNTERS
};

struct ipip_count {
	__u64 packets, bytes; /* segments, and bytes without Ethernet's */
};
