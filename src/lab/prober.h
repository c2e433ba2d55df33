/* SPDX-License-Identifier: Apache-2.0 */
/* Prober: makes connections out of the network namespace that it runs in and says what became
 * of each. One process probes any number of targets at once.
 *
 *     lab-prober [OPTION VALUE]... < TARGETS > RESULTS
 *
 * Both are lines of words. A target is "ID PROTO ADDR PORT" (ADDR may be a name, PORT is 0 for
 * icmp); its result is "ID RESULT SERVER SERVER_SEES REFUSED_BY MICROSECONDS DETAIL" with "-"
 * for what is not known, in the order in which they end. DETAIL is the rest of the line.
 *
 * What counts as what: a TCP handshake that completes is `connected` even when no answer to the
 * request follows; RST, ABORT and the ICMP errors "port unreachable" and "administratively
 * prohibited" are `refused`; silence is `timeout`, and so is an ICMP "no route" or "host
 * unreachable", whose text goes into DETAIL. */
#pragma once
#include "base/addr.h"
#include "base/err.h"
#include "lab/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

struct probe;

enum probe_proto { PROBE_TCP, PROBE_UDP, PROBE_SCTP, PROBE_ICMP };
enum probe_result { PROBE_PENDING, PROBE_CONNECTED, PROBE_REFUSED, PROBE_TIMEOUT };
enum refused_by { REFUSED_NOT, REFUSED_RST, REFUSED_ICMP_PORT, REFUSED_ICMP_ADMIN };

extern const struct names probe_proto_names, probe_result_names, refused_by_names;

struct probe_opts {
	int timeout_ms;
	int resends; /* datagrams are sent again so often within the timeout */
	int hold_ms; /* TCP: keep asking on the same connection that long */
	int hold_every_ms;
	int repeat;           /* requests on one socket, one after the other; each is reported */
	size_t size;          /* bytes of the request beside its headers */
	struct ipaddr source; /* family 0: the kernel's choice */
	uint16_t source_port;
	/* Called once per request with result, took, server and sees set. */
	void (*report)(const struct probe *p);
};

struct probe {
	long id;
	uint8_t proto; /* enum probe_proto */
	struct ipaddr addr;
	uint16_t port;
	const struct probe_opts *opts;

	int fd;                        /* -1 before the start and after the end */
	bool connected, asking, heard; /* TCP: handshake done; a request waits; one was answered */
	uint32_t nonce;
	int sent; /* datagrams, or requests on a connection */
	int done; /* requests reported */
	uint64_t started, asked, deadline, hold_until, wake; /* ns, monotonic; wake 0: none */
	size_t got;                                          /* bytes in `answer` */
	long body_at, body_len; /* TCP: of the answer; -1 before its head is whole */
	char answer[2048];      /* its beginning; the rest of a long body is only counted */

	uint8_t result;  /* enum probe_result */
	uint8_t refused; /* enum refused_by */
	uint64_t took;   /* ns until the connection or the first answer */
	char server[320], sees[EP_TEXT];
	char detail[64];
};

/* Opens the socket and sends the first packet. A local failure (no route, no such address)
 * ends the probe like a timeout, with the reason in `detail`. */
void probe_start(struct probe *p, uint64_t now);
/* epoll events to wait for while it is pending. */
uint32_t probe_events(const struct probe *p);
/* The socket is ready, or `wake` or `deadline` has come. */
void probe_step(struct probe *p, uint32_t events, uint64_t now);

/* ---- between the files of the prober */
/* One request is over; the socket stays for the next. */
void probe_report(struct probe *p, enum probe_result result, uint64_t now);
/* The socket is over, and with it every request that was still to come. */
void probe_end(struct probe *p, enum probe_result result, uint64_t now);
/* Did this probe send the packet that begins so behind its IP header? A raw socket hears of errors of all that its
 * namespace sends to the address, answers to somebody else's probe too. */
bool probe_sent(const struct probe *p, const uint8_t *head, size_t n);
/* Takes ICMP messages that came without an errno. True: somebody refused; the probe ended. */
bool probe_refused(struct probe *p, uint64_t now);
/* An errno of the socket, judged together with its error queue. */
void probe_fail(struct probe *p, int err, uint64_t now);
/* "NAME@EP EP …" into server and sees; anything else is left out. */
void probe_learn(struct probe *p, const char *text, size_t n);
void probe_tcp_step(struct probe *p, uint32_t events, uint64_t now);
void probe_datagram_send(struct probe *p, uint64_t now);
void probe_datagram_step(struct probe *p, uint32_t events, uint64_t now);
