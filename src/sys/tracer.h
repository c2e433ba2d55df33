/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine's kernel does with the packets of one traced flow, in chosen network namespaces:
 * where they come in and go out, which route and which rule of nftables they meet, where they end. One
 * stream of facts; what they mean core/trace says.
 *
 * A packet is followed if it bears the signature (core/nft/trace.h), itself, quoted in an ICMP error or
 * inside of a tunnel; then its buffer is followed, whatever becomes of its header, and its addresses and
 * ports and their reverse are learned, so that answers without the signature are followed as well.
 *
 * By eBPF (Linux 5.17, BTF, CAP_SYS_ADMIN, a build with clang and bpftool) all kinds are told, with the
 * time at which they happened, in that order. Otherwise sockets of AF_PACKET tell of IN and OUT, without
 * ids and without what has not the signature itself, and netlink of RULE, as late as it is read:
 * tracer_means() says which, and tracer_note() why.
 *
 * Processes of one kernel that follow one signature, as the agents of a lab do, share what looks at packets
 * (sys/tracer_set.h), and each is told of its own namespaces.
 *
 * Bounded: TRACER_EVENTS_MAX events of a trace are told, TRACER_FLOWS_MAX flows learned; what goes
 * beyond, and what is not read in time, is counted as lost. Nothing stays in the kernel when it is closed
 * or the process ends, in whatever way: all of it hangs on descriptors. Others' packets are looked at, not
 * delayed: see `./dev bench trace`. */
#pragma once
#include "base/err.h"
#include "core/nft/trace.h"
#include "model/conntrack.h"

#define TRACER_SPACES_MAX 256  /* namespaces */
#define TRACER_EVENTS_MAX 8192 /* a TCP connection through a Service and a tunnel makes about 300 */
#define TRACER_FLOWS_MAX  64

struct tracer;

struct tracer_space {
	int netns; /* needed until tracer_open() returns, and remains the caller's */
	bool rules; /* tell of nftables' rules there: puts a table of its own there (sys/nftrace.h) */
};

struct tracer_opts {
	struct nft_trace_signature signature;
	const struct tracer_space *spaces;
	uint32_t n_spaces;
	uint16_t vxlan_port; /* of UDP; 0: the usual 4789 */
	bool no_bpf;         /* do without, as where the kernel cannot */
};

enum tracer_means { TRACER_BPF = 1, TRACER_SOCKETS = 2, TRACER_RULES = 4 };

/* Everything is there when it returns: what is sent from then on is told. */
int tracer_open(const struct tracer_opts *o, struct tracer **out, struct err *e);
void tracer_close(struct tracer *t);             /* NULL is fine */
int tracer_fd(const struct tracer *t);           /* readable: call tracer_read() */
unsigned tracer_means(const struct tracer *t);   /* enum tracer_means, or-ed */
const char *tracer_note(const struct tracer *t); /* what is not seen, and why; "" all is */

enum tracer_kind {
	TRACER_IN,     /* a device gave it to the network stack */
	TRACER_OUT,    /* it was given to a device */
	TRACER_ROUTE,  /* it came in, and this is the route that it was given */
	TRACER_RULE,   /* nftables told of what is followed: a rule, a chain's end */
	TRACER_DROP,   /* freed, with a reason; an answered ping ends so as well */
	TRACER_CONSUME /* freed after use: where it came in last, something took it */
};

/* What a tunnel put around it. */
struct tracer_outer {
	uint8_t proto; /* IPPROTO_UDP: VXLAN; IPPROTO_IPIP, IPPROTO_IPV6; 0: nothing */
	struct ipaddr src, dst;
	uint32_t vni;
};

/* Of the packet, as it was then; inside of the tunnel, where it is in one. */
struct tracer_head {
	struct nft_trace_flow flow; /* ICMP: no ports */
	uint16_t length;            /* of all, by the network header */
	uint8_t ttl, tcp_flags, icmp_type, icmp_code;
	uint16_t ip_id, icmp_id;
	uint32_t seq, ack;            /* TCP */
	bool has_quoted;              /* an ICMP error: */
	struct nft_trace_flow quoted; /* the packet that it is about */
	uint32_t icmp_mtu;            /* of "too big" */
	struct tracer_outer outer;
};

/* Told where the packet is met next that has it still: by a forward chain, in a space with `rules`. */
struct tracer_route {
	uint32_t iif, oif;          /* oif 0: to this machine itself, or none */
	struct ipaddr gateway;      /* AF_UNSPEC: the destination is on the link */
	struct nft_trace_flow flow; /* the packet's by then */
	uint32_t mark;
	int32_t error; /* 0, or why there is none */
};

struct tracer_event {
	uint64_t at; /* ns of CLOCK_REALTIME */
	uint8_t kind;
	uint16_t cpu;
	uint32_t space;  /* index in tracer_opts.spaces */
	uint64_t packet; /* the same in all spaces, as long as the kernel has it; 0 not known */
	uint32_t
		ifindex; /* IN, OUT: the device. DROP, CONSUME: where it was seen last; 0: not known */
	char device[16];
	uint32_t mark;
	bool has_head; /* not of RULE, whose own headers nft_trace_packet() reads */
	struct tracer_head head;
	char reason
		[48]; /* DROP: "NETFILTER_DROP", as the running kernel calls it; "" it says none */
	char place[64]; /* DROP, CONSUME: "nft_do_chain+0x3e8"; "" not known */
	struct tracer_route route;
	const struct nft_trace *rule; /* only until the callback returns */
};

typedef void (*tracer_fn)(void *arg, const struct tracer_event *event);
/* Without blocking, a bounded number in the order in which they happened; how many, 0: none was left. */
int tracer_read(struct tracer *t, tracer_fn fn, void *arg, struct err *e);
uint32_t tracer_lost(const struct tracer *t); /* events, so far */

/* Connections, in each namespace, that the flows seen so far belong to: asked for by their tuples, as a
 * subscription would have the kernel write a message for each connection of everybody. Ask when the flow
 * has ended: the kernel knows a connection from the moment its first packet got through. */
typedef void (*tracer_ct_fn)(void *arg, uint32_t space, const struct ct_entry *c);
int tracer_connections(struct tracer *t, tracer_ct_fn fn, void *arg, struct err *e);

/* The transport for nfnl_dump() of the tables that RULE names there; NULL without `rules`. */
struct nfnl *tracer_nfnl(struct tracer *t, uint32_t space);
/* Name of the table that a RULE of ours is in, in family inet; NULL without `rules`. */
const char *tracer_table(const struct tracer *t, uint32_t space);
