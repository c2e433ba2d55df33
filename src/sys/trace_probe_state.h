/* SPDX-License-Identifier: Apache-2.0 */
/* Within this room: a probe's state, which trace_probe.c has the course of, its datagrams (trace_probe_packet.c)
 * and the errors that its socket hears of (trace_probe_errors.c). */
#pragma once
#include "sys/trace_probe.h"

#include <stdbool.h>
#include <sys/socket.h>

#define TRACE_FRAME 2 /* the length before each message (RFC 1035 4.2.2) */

struct trace_probe {
	struct trace_probe_ask ask;
	struct trace_probe_result r;
	int fd;
	bool closing; /* TCP: it was connected, and the peer's FIN is waited for */
	bool asking;  /* TCP: it was connected, and the answer to the query is waited for */
	uint64_t started, deadline; /* ns, monotonic */
	uint8_t query[TRACE_QUERY_MAX];
	/* To the query, over TCP behind its length. */
	uint8_t answer[TRACE_FRAME + UINT16_MAX];
	size_t n_answer; /* octets there */
};

static inline bool trace_probe_is_v6(const struct trace_probe *p)
{
	return p->ask.dst.family == AF_INET6;
}

/* trace_probe.c. There is a result. */
void trace_probe_end(struct trace_probe *p, enum trace_result result);
/* The port. */
uint16_t trace_probe_peer(const void *sockaddr, struct ipaddr *a);

/* TCP: there is a connection, and nothing more is wanted of it. */
void trace_probe_connected(struct trace_probe *p);

/* trace_probe_query.c. Is it a response with the query's id? */
bool trace_probe_is_response(const struct trace_probe *p, const uint8_t *v, size_t n);
/* TCP: asks, and takes what has come of the answer. */
void trace_probe_query(struct trace_probe *p);
void trace_probe_hear(struct trace_probe *p);

/* trace_probe_packet.c: of UDP, ICMP and SCTP. How long it is. */
size_t trace_probe_build(const struct trace_probe *p, uint8_t out[TRACE_SIZE_MAX]);

enum trace_answer { TRACE_ANSWER_NONE, TRACE_ANSWER_GIVEN, TRACE_ANSWER_ABORT };
/* Does a packet that came answer it? `v`: as the socket gives it. */
enum trace_answer trace_probe_answer(const struct trace_probe *p, const uint8_t *v, size_t n);
/* Is this what it has behind its IP header, of which an ICMP error quotes 8 bytes at least? A raw socket hears of
 * errors of all that its namespace sends to the address, answers to somebody else's requests too; others of
 * what they sent themselves. */
bool trace_probe_is_quoted(const struct trace_probe *p, const uint8_t *v, size_t n);

/* trace_probe_errors.c */
enum trace_told { TRACE_TOLD_NOTHING, TRACE_TOLD_OF_OTHERS, TRACE_TOLD_REFUSED };
/* Empties the error queue. An ICMP error about the probe is its result. */
enum trace_told trace_probe_errors(struct trace_probe *p);
