/* SPDX-License-Identifier: Apache-2.0 */
/* One probe out of a network namespace, which bears a signature (model/trace.h), and what came back.
 *
 *   TCP   a SYN whose sequence number is the signature's low half, set with TCP_REPAIR, which asks for
 *         CAP_NET_ADMIN in that namespace. Unanswered, the kernel sends it once more, a second later.
 *         A connection is closed at once: FIN, for the peer's 200 ms, then RST.
 *   UDP   one datagram with the signature as payload; any datagram back is an answer.
 *   ICMP, ICMPv6  one echo request with the signature as data. CAP_NET_RAW.
 *   SCTP  one INIT with the signature's low half as initiate tag, over a raw socket, as kernels without
 *         SCTP can. An INIT ACK is an answer, and is not acknowledged. CAP_NET_RAW.
 *
 * With a query it asks a DNS server: over UDP the query, which bears the signature itself (core/dns/traced.h), is the datagram, and
 * what comes back with its id is an answer; over TCP it is sent once there is a connection, which is what `result` tells of, and
 * waited for until the deadline.
 *
 * With a size, UDP and ICMP are as long as it says and may not be split, and what the kernel learned before
 * of the path's MTU does not matter (IP_PMTUDISC_PROBE): only the device's.
 *
 * Refused: RST, ABORT, or any ICMP error about what was sent. Nothing blocks; who waits polls
 * the descriptor until the deadline. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "model/trace.h"

struct trace_probe;

#define TRACE_QUERY_MAX 512

struct trace_probe_ask {
	int netns;            /* needed until trace_probe_send() returns */
	struct ipaddr source; /* an address there */
	struct ipaddr dst;
	uint8_t protocol; /* enum trace_protocol */
	uint16_t port;    /* 0 for ICMP */
	uint64_t signature;
	uint16_t size; /* of the whole packet, trace_size_min() at least; 0: as short as can be */
	int timeout_ms;
	const uint8_t *query; /* UDP, TCP; needed until trace_probe_send() returns; NULL: none */
	uint16_t n_query;     /* TRACE_QUERY_MAX at most */
};

struct trace_probe_result {
	uint8_t result; /* enum trace_result; TRACE_NO_RESULT: it is still waited for */
	char by[40];    /* refused: "rst", "abort", "icmp port-unreachable" … */
	char error[80]; /* TRACE_ERROR: why nothing was sent; refused: who says so, where known */
	int64_t microseconds;
	struct ipaddr address; /* that it was sent from */
	uint16_t port;         /* of an echo its id */
	int64_t sent_at;       /* ns of CLOCK_REALTIME */
	uint32_t mtu;          /* too big: what would have passed; 0: nobody said */
};

/* What a trace asks for. `netns` stays the caller's. */
struct trace_probe_ask trace_probe_asked(const struct packet_trace *t, int netns);

/* It was sent, or the kernel refused, which is a result too. Negative: not even that could be tried. */
int trace_probe_send(const struct trace_probe_ask *ask, struct trace_probe **out, struct err *e);
void trace_probe_close(struct trace_probe *p); /* NULL is fine */
/* While trace_probe_ended() says no: wait for these events of poll(2), no longer than that many ms,
 * then step. */
int trace_probe_fd(const struct trace_probe *p);
short trace_probe_events(const struct trace_probe *p);
int trace_probe_wait_ms(const struct trace_probe *p);
void trace_probe_step(struct trace_probe *p);
/* There is a result, and the connection, if one was made, is closed. */
bool trace_probe_ended(const struct trace_probe *p);
const struct trace_probe_result *trace_probe_result(const struct trace_probe *p);
/* The answer to its query, until the probe is closed; NULL: there is none. */
const uint8_t *trace_probe_message(const struct trace_probe *p, size_t *n);
/* Into the status; texts stay the result's. */
void trace_probe_note(const struct trace_probe_result *r, struct packet_trace *t);
