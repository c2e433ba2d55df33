// SPDX-License-Identifier: Apache-2.0
/* sctp: see sctp.h. The checksum is CRC32c over the packet with the field zeroed, stored least
 * significant byte first (RFC 9260, appendix A). A packet longer than SCTP_PACKET_MAX cannot
 * be one of ours and is refused rather than cut. */
#include "base/sctp.h"

#include "base/wire.h"

#include <string.h>

#define HEADER       12
#define INIT_CHUNK   20
#define PARAM_COOKIE 7
#define A_RWND       65536

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, (uint16_t)(v >> 16)), (uint16_t)v);
}

static void put_checksum(uint8_t *packet, size_t n)
{
	uint32_t crc = crc32c(packet, n);

	for (int i = 0; i < 4; i++)
		packet[8 + i] = (uint8_t)(crc >> 8 * i);
}

size_t sctp_build(const struct sctp_packet *p, uint8_t out[SCTP_PACKET_MAX])
{
	size_t cookie = p->type == SCTP_INIT_ACK && p->cookie_len ? 4u + p->cookie_len : 0;
	size_t padded = (cookie + 3) & ~3u;
	size_t n = HEADER + (p->type == SCTP_ABORT ? 4 : INIT_CHUNK + padded);
	uint8_t *w = out;

	memset(out, 0, n);
	w = put16(w, p->src);
	w = put16(w, p->dst);
	w = put32(w, p->vtag);
	w = put32(w, 0);
	*w++ = p->type;
	*w++ = 0;
	w = put16(w, (uint16_t)(p->type == SCTP_ABORT ? 4 : INIT_CHUNK + cookie));
	if (p->type != SCTP_ABORT) {
		w = put32(w, p->init_tag);
		w = put32(w, A_RWND);
		w = put16(w, 1);           /* outbound streams */
		w = put16(w, 1);           /* inbound streams */
		w = put32(w, p->init_tag); /* initial TSN: any value */
	}
	if (cookie) {
		w = put16(w, PARAM_COOKIE);
		w = put16(w, (uint16_t)cookie);
		memcpy(w, p->cookie, p->cookie_len);
	}
	put_checksum(out, n);
	return n;
}

static bool checksum_ok(const uint8_t *data, size_t n)
{
	uint8_t copy[SCTP_PACKET_MAX];

	memcpy(copy, data, n);
	memset(copy + 8, 0, 4);
	put_checksum(copy, n);
	return !memcmp(copy + 8, data + 8, 4);
}

static void parse_cookie(struct wire *w, struct sctp_packet *p)
{
	while (wire_left(w) >= 4) {
		uint16_t type = wire_u16(w), len = wire_u16(w);
		const uint8_t *v;

		if (len < 4) {
			w->bad = true;
			return;
		}
		v = wire_bytes(w, len - 4u);
		if (!v)
			return;
		if (type == PARAM_COOKIE && len - 4u <= SCTP_COOKIE_MAX) {
			p->cookie_len = (uint16_t)(len - 4u);
			memcpy(p->cookie, v, p->cookie_len);
		}
		if (len % 4 && wire_left(w))
			wire_bytes(w, 4u - len % 4);
	}
}

bool sctp_parse(const uint8_t *data, size_t n, struct sctp_packet *p)
{
	struct sctp_packet got = { 0 };
	struct wire w, chunk;
	uint16_t len;

	if (n < HEADER + 4 || n > SCTP_PACKET_MAX || !checksum_ok(data, n))
		return false;
	w = wire_from(data, n);
	got.src = wire_u16(&w);
	got.dst = wire_u16(&w);
	got.vtag = wire_u32(&w);
	wire_u32(&w);
	got.type = wire_u8(&w);
	wire_u8(&w);
	len = wire_u16(&w);
	if (len < 4)
		return false;
	chunk = wire_sub(&w, len - 4u);
	if (got.type == SCTP_INIT || got.type == SCTP_INIT_ACK) {
		got.init_tag = wire_u32(&chunk);
		wire_bytes(&chunk, INIT_CHUNK - 8);
		parse_cookie(&chunk, &got);
	} else if (got.type != SCTP_ABORT) {
		return false;
	}
	if (w.bad || chunk.bad)
		return false;
	*p = got;
	return true;
}
