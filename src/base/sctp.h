/* SPDX-License-Identifier: Apache-2.0 */
/* The two SCTP packets of a handshake's first half (RFC 9260, sections 3.1 and 3.3), enough to
 * tell an open port from a closed one on kernels without SCTP: INIT answered by INIT ACK is
 * open, by ABORT is closed. Pure: bytes in, bytes out; the caller has the raw socket. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCTP_COOKIE_MAX 256
#define SCTP_PACKET_MAX (12 + 20 + 4 + SCTP_COOKIE_MAX)

enum sctp_type { SCTP_INIT = 1, SCTP_INIT_ACK = 2, SCTP_ABORT = 6 };

/* Ports and tags in host order. */
struct sctp_packet {
	uint8_t type; /* enum sctp_type of the first chunk */
	uint16_t src, dst;
	uint32_t vtag;     /* verification tag of the common header */
	uint32_t init_tag; /* INIT, INIT ACK */
	uint16_t cookie_len;
	uint8_t cookie[SCTP_COOKIE_MAX]; /* INIT ACK: the state cookie */
};

/* Writes one packet with its checksum; returns its length. */
size_t sctp_build(const struct sctp_packet *p, uint8_t out[SCTP_PACKET_MAX]);

/* False: not SCTP, a wrong checksum, lengths that do not fit, or another first chunk. */
bool sctp_parse(const uint8_t *data, size_t n, struct sctp_packet *p);
