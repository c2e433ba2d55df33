/* SPDX-License-Identifier: Apache-2.0 */
/* What the lab's built-in server says, apart from sockets: the answer to one request on TCP or
 * to one datagram. Pure, so that tests and the fuzzer call it without a network.
 *
 * TCP speaks HTTP/1.1 (`/hostname`, `/clientip`, `/echo`, `/probe`; any other path answers as
 * `/hostname`), and to a line that is no HTTP request the plain words below. A datagram is one
 * plain word: "hostname", "clientip", "echo TEXT", "probe NONCE"; anything else is answered as
 * "hostname". The answer to a probe is "NAME@ADDR:PORT CLIENT:PORT", which tells the prober
 * who answered and which address the server saw, padded to the size of the request. */
#pragma once
#include "base/buf.h"
#include "lab/endpoint.h"

#include <stdbool.h>

#define RESPONDER_BODY_MAX (1u << 20)

struct responder_who {
	const char *name; /* "shop/db-0", "n1", "outside" */
	char self[EP_TEXT], client[EP_TEXT];
};

/* Answers the request at p[0..n) by appending to `out`. Returns the bytes it took, 0 when more
 * are needed, or -1 when the connection is to be closed once `out` is written. */
long responder_tcp(const struct responder_who *who, const char *p, size_t n, struct buf *out);

void responder_udp(const struct responder_who *who, const char *p, size_t n, struct buf *out);
